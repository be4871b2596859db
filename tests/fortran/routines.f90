! Small routines of every kind that a declaration can describe, for the tests.
module routines
  use, intrinsic :: iso_c_binding, only: c_double, c_float, c_int, c_int64_t
  implicit none

contains

  ! Relaxation towards a temperature, on all columns; arrays as the coupler has them.
  subroutine relax(ncol, nlev, t, target, tau, dt, rate) bind(c)
    integer(c_int), intent(in) :: ncol, nlev
    real(c_double), intent(in) :: t(ncol, nlev), target, tau, dt
    real(c_double), intent(inout) :: rate(ncol, nlev)
    rate = (target - t) / (tau + dt)
  end subroutine relax

  ! The same with levels first, in real32, with the numbers by value.
  subroutine relax_levels_first(nlev, ncol, t, target, tau, dt, rate) bind(c)
    integer(c_int64_t), value :: nlev, ncol
    real(c_float), intent(in) :: t(nlev, ncol)
    real(c_float), value :: target
    real(c_double), value :: tau, dt
    real(c_float), intent(inout) :: rate(nlev, ncol)
    rate = real((target - t) / (tau + dt), c_float)
  end subroutine relax_levels_first

  ! The same for one column, with a diagnostic, and a status where it is too cold.
  subroutine relax_column(nlev, t, ps, target, tau, dt, rate, coldest, status) bind(c)
    integer(c_int), intent(in) :: nlev
    real(c_double), intent(in) :: t(nlev), ps, target, tau, dt
    real(c_double), intent(inout) :: rate(nlev), coldest
    integer(c_int), intent(inout) :: status
    rate = (target - t) / (tau + dt)
    coldest = minval(t) + 0 * ps
    if (coldest < 100) status = 7
  end subroutine relax_column

  ! Land of its own where the host has none.
  subroutine over_land(ncol, nlev, land, rate) bind(c)
    integer(c_int), intent(in) :: ncol, nlev
    real(c_double), intent(in), optional :: land(ncol)
    real(c_double), intent(inout) :: rate(ncol, nlev)
    rate = 0.5_c_double
    if (present(land)) rate = spread(land, 2, nlev)
  end subroutine over_land

  ! Writes what it was only to read.
  subroutine meddles(ncol, nlev, t, rate) bind(c)
    integer(c_int), intent(in) :: ncol, nlev
    real(c_double), intent(inout) :: t(ncol, nlev), rate(ncol, nlev)
    rate = 1
    t(ncol, 1) = t(ncol, 1) + 1
  end subroutine meddles

  ! Ends the process, as Fortran does where it does not know what to do.
  subroutine stops(ncol, nlev, t, rate) bind(c)
    integer(c_int), intent(in) :: ncol, nlev
    real(c_double), intent(in) :: t(ncol, nlev)
    real(c_double), intent(inout) :: rate(ncol, nlev)
    rate = t
    error stop 'unphysical'
  end subroutine stops
end module routines

! Not in a module and without bind(c): its symbol is the compiler's.
subroutine Plain(ncol, nlev, t, rate)
  implicit none
  integer, intent(in) :: ncol, nlev
  double precision, intent(in) :: t(ncol, nlev)
  double precision, intent(inout) :: rate(ncol, nlev)
  rate = -t
end subroutine Plain
