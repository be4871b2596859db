! Gravity waves of Alexander and Dunkerton (1999), as a Fortran routine that Isthmus calls.
!
! Alexander and Dunkerton (1999), J. Atmos. Sci. 56, 4167-4182,
! doi:10.1175/1520-0469(1999)056<4167:ASPOMF>2.0.CO;2.
!
! Waves of phase speed c and horizontal wavenumber k leave the source level s with the amplitude
! B(a) = B_w 2**(-(a/c_w)**2) [m2 s-2], a = |c - u_s|, and carry F = sgn(c - u_s) B_t B / sum(B)
! [Pa]. In a layer above, a wave of intrinsic speed ci = |c - u| sgn(c - u_s)
!
!     is reflected  if  ci >= N / sqrt(k**2 + alpha**2),    alpha = 1/(2 H)
!     breaks        if  ci <= 0   or   ci**3 <= (rho_s/rho) 2 N B / k
!
! with N**2 = (g/T)(dT/dz + g/c_p) and H the scale height of density, 1/H = g/(R T) + (dT/dz)/T. It
! then leaves its flux in that layer. Waves for which either holds at the source are not launched.
! The flux on interfaces, positive upward, is that of the active waves; below the source it is a
! straight line in pressure to zero at the ground, and what reaches the top is the coupler's affair.
!
!     gfortran -O2 -shared -fPIC -o libgravity_wave_ad99.so gravity_wave_ad99.f90
module gravity_wave_ad99_waves
  use, intrinsic :: iso_c_binding, only: c_double, c_int
  implicit none
  private
  public :: ad99

contains

  subroutine ad99(ncol, nlev, u, v, t, p, ph, z, lat, source_pressure, speed_max, speed_step, &
      wide_amplitude, wide_half_width, wavelength, stress, stress_equator, transition, &
      transition_width, buoyancy_floor, g, r, cp, fu, fv, status) bind(c, name='ad99')
    integer(c_int), intent(in) :: ncol, nlev
    real(c_double), intent(in) :: u(ncol, nlev), v(ncol, nlev)  ! wind [m s-1]
    real(c_double), intent(in) :: t(ncol, nlev)                 ! temperature [K]
    real(c_double), intent(in) :: p(ncol, nlev), ph(ncol, nlev + 1)  ! pressure [Pa]
    real(c_double), intent(in) :: z(ncol, nlev)                 ! height [m]
    real(c_double), intent(in) :: lat(ncol)                     ! [degrees_north]
    real(c_double), intent(in) :: source_pressure, speed_max, speed_step, wide_amplitude
    real(c_double), intent(in) :: wide_half_width, wavelength, stress, stress_equator
    real(c_double), intent(in) :: transition, transition_width, buoyancy_floor, g, r, cp
    real(c_double), intent(inout) :: fu(ncol, nlev + 1), fv(ncol, nlev + 1)  ! flux, upward [Pa]
    integer(c_int), intent(inout) :: status

    real(c_double), parameter :: pi = acos(-1.0_c_double)
    real(c_double) :: k, launched
    real(c_double), allocatable :: speed(:), amplitude(:), part(:), breaking(:), fastest(:)
    integer :: i, j, nwave, s

    k = 2 * pi / wavelength
    nwave = int(speed_max / speed_step + 1e-6_c_double)
    allocate (speed(nwave), amplitude(nwave), part(nwave), breaking(nlev), fastest(nlev))
    speed = [(j * speed_step, j=1, nwave)]
    amplitude = wide_amplitude * 0.5_c_double**((speed / wide_half_width)**2)
    part = amplitude / (2 * sum(amplitude))  ! of the stress of both directions together

    do i = 1, ncol
      if (.not. sensible(u(i, :), v(i, :), t(i, :), p(i, :), z(i, :))) then
        status = 1
        return
      end if
      s = 2
      do while (s < nlev .and. p(i, s) <= source_pressure)
        s = s + 1
      end do
      call air(s, t(i, :), p(i, :), z(i, :), k, breaking, fastest)
      launched = stress_at(lat(i))
      call flux(s, u(i, :), ph(i, :), launched, breaking, fastest, fu(i, :))
      call flux(s, v(i, :), ph(i, :), launched, breaking, fastest, fv(i, :))
    end do

  contains

    ! Launched stress of one wind component [Pa].
    real(c_double) function stress_at(latitude)
      real(c_double), intent(in) :: latitude
      real(c_double) :: share
      share = (abs(latitude) - transition_width) / max(transition - transition_width, 1e-12_c_double)
      share = min(max(share, 0.0_c_double), 1.0_c_double)
      stress_at = stress_equator + share * (stress - stress_equator)
    end function stress_at

    ! Whether a column means something: finite, layers in order, level 1 at the top.
    logical function sensible(u, v, t, p, z)
      real(c_double), intent(in) :: u(:), v(:), t(:), p(:), z(:)
      integer :: n
      n = size(t)
      sensible = all(abs(u) + abs(v) <= huge(k)) .and. all(t > 0 .and. t <= huge(k)) &
        .and. p(1) > 0 .and. all(p(2:) > p(:n - 1)) .and. all(z(2:) < z(:n - 1))
    end function sensible

    ! Breaking factor and largest intrinsic speed that is not reflected [m s-1], levels 1 to s.
    subroutine air(s, t, p, z, k, breaking, fastest)
      integer, intent(in) :: s
      real(c_double), intent(in) :: t(:), p(:), z(:), k
      real(c_double), intent(inout) :: breaking(:), fastest(:)
      real(c_double) :: slope, n, alpha
      integer :: l, up, down
      do l = 1, s
        up = max(l - 1, 1)
        down = min(l + 1, size(t))
        slope = (t(up) - t(down)) / (z(up) - z(down))
        n = sqrt(max(g / t(l) * (slope + g / cp), buoyancy_floor))
        alpha = 0.5_c_double * (g / r + slope) / t(l)
        breaking(l) = 2 * n / k * (p(s) * t(l)) / (p(l) * t(s))
        fastest(l) = n / sqrt(k**2 + alpha**2)
      end do
    end subroutine air

    ! Momentum flux on the interfaces of one column [Pa].
    subroutine flux(s, u, ph, stress, breaking, fastest, f)
      integer, intent(in) :: s
      real(c_double), intent(in) :: u(:), ph(:), stress, breaking(:), fastest(:)
      real(c_double), intent(inout) :: f(:)
      real(c_double) :: ci, base
      integer :: direction, j, l, n
      f = 0
      do direction = 1, -1, -2
        waves: do j = 1, nwave
          if (speed(j) >= fastest(s) .or. speed(j)**3 <= breaking(s) * amplitude(j)) cycle
          do l = s - 1, 1, -1
            ci = speed(j) - direction * (u(l) - u(s))
            if (ci >= fastest(l)) cycle waves  ! goes back down: nothing on balance
            if (ci <= 0 .or. ci**3 <= breaking(l) * amplitude(j)) exit
          end do
          f(l + 1:s) = f(l + 1:s) + direction * stress * part(j)  ! interface l is above layer l
        end do waves
      end do
      n = size(f)
      base = f(s)
      if (abs(base) < 1e-14_c_double * stress) base = 0  ! round-off of a spectrum without a sum
      f(s:) = base * (ph(n) - ph(s:)) / (ph(n) - ph(s))
    end subroutine flux
  end subroutine ad99
end module gravity_wave_ad99_waves
