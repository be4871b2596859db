! The one-dimensional model of the quasi-biennial oscillation in Fortran; its waves come from Isthmus.
!
! Wind u [m s-1] over the equator between 17 and 35 km, mixed by K = 0.3 m2 s-1 and pushed by waves of
! momentum flux F [Pa], on pressure p [Pa] of an isothermal atmosphere:
!
!     du/dt = K d2u/dz2 + g dF/dp,   (I + dt A) u(n+1) = (I - dt A) u(n-1) + 2 dt s(n),  A = -K d2/dz2
!
! Leapfrog after a forward Euler step; u is held at both ends. Holton and Lindzen (1972),
! doi:10.1175/1520-0469(1972)029<1076:AUTFTQ>2.0.CO;2; Plumb (1977),
! doi:10.1175/1520-0469(1977)034<1847:TIOTLA>2.0.CO;2. Twelve years of spin-up are left out.
!
!     qbo_column [YEARS [FILE]]     prints the period; FILE gets the daily wind at 25 km
program qbo_column
  use, intrinsic :: iso_c_binding, only: dp => c_double
  use isthmus
  implicit none

  real(dp), parameter :: g = 9.8_dp, r = 287.04_dp, t0 = 204, p0 = 101325, k = 0.3_dp
  real(dp), parameter :: bottom = 17e3_dp, top = 35e3_dp, dz = 250, dt = 86400
  integer, parameter :: n = nint((top - bottom) / dz) + 1, spin_up = 12
  type(isthmus_session) :: waves
  real(dp), target :: u(n), flux(n + 1)
  real(dp) :: z(n), p_half(n + 1), before(n), next(n), source(n), scale
  real(dp), allocatable :: wind(:)
  integer :: years, day, i, unit
  character(256) :: argument

  years = 96
  call get_command_argument(1, argument)
  if (argument /= '') read (argument, *) years
  allocate (wind(360 * years))
  scale = r * t0 / g
  z = [(top - (i - 1) * dz, i=1, n)]  ! top first
  p_half = [(p0 * exp(-(top + dz / 2 - (i - 1) * dz) / scale), i=1, n + 1)]
  u = -(14 / 81e6_dp) * (z - bottom) * (z - top)
  before = u

  call waves%open(1, n, p_half, 0 * p_half, scheme='gravity_wave=plumb_two_wave', launch=.true., &
    gravity=g, calendar='360_day')
  call waves%declare_field('ua', 'm s-1', u)
  call waves%declare_field('zg', 'm', z)
  call waves%declare_field('xgwdparam', 'Pa', flux)

  do day = 1, size(wind)
    wind(day) = u(nint((top - 25e3_dp) / dz) + 1)
    call waves%run()
    source = g * (flux(2:) - flux(:n)) / (p_half(2:) - p_half(:n))
    if (day == 1) then
      next = u + dt * (mixing(u) + free(source))
    else
      next = implicit_mixing(before + dt * mixing(before) + 2 * dt * free(source))
    end if
    before = u
    u = next
  end do
  call waves%close()

  call get_command_argument(2, argument)
  if (argument /= '') then
    open (newunit=unit, file=argument, access='stream', form='unformatted', status='replace')
    write (unit) wind
    close (unit)
  end if
  if (years > spin_up) print '(a, f7.3, a)', 'period: ', period(wind(360 * spin_up + 1:)), ' months'

contains

  ! Zero at both ends, where the wind is held.
  pure function free(x)
    real(dp), intent(in) :: x(:)
    real(dp) :: free(size(x))
    free = x
    free([1, size(x)]) = 0
  end function free

  ! K d2x/dz2.
  pure function mixing(x)
    real(dp), intent(in) :: x(:)
    real(dp) :: mixing(size(x))
    mixing = 0
    mixing(2:n - 1) = k * (x(:n - 2) - 2 * x(2:n - 1) + x(3:)) / dz**2
  end function mixing

  ! (I - dt K d2/dz2) x = b, by elimination.
  pure function implicit_mixing(b) result(x)
    real(dp), intent(in) :: b(:)
    real(dp) :: x(size(b)), ratio(size(b)), a
    integer :: i
    a = dt * k / dz**2
    ratio(1) = 0
    x(1) = b(1)
    do i = 2, n - 1
      ratio(i) = a / (1 + 2 * a - a * ratio(i - 1))
      x(i) = (b(i) + a * x(i - 1)) * ratio(i) / a
    end do
    x(n) = b(n)
    do i = n - 1, 2, -1
      x(i) = x(i) + ratio(i) * x(i + 1)
    end do
  end function implicit_mixing

  ! Mean time between turns from westward to eastward, after a running mean of five months [month].
  pure real(dp) function period(x)
    real(dp), intent(in) :: x(:)
    integer, parameter :: width = 150
    real(dp) :: a, b, first, last
    integer :: i, turns
    turns = 0
    first = 0
    last = 0
    b = sum(x(:width))
    do i = 1, size(x) - width
      a = b
      b = b + x(i + width) - x(i)
      if (a < 0 .and. b >= 0) then
        last = i + a / (a - b)
        if (turns == 0) first = last
        turns = turns + 1
      end if
    end do
    period = (last - first) / (30 * max(turns - 1, 1))
  end function period
end program qbo_column
