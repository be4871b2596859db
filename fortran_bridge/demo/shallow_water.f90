! Shallow water on the sphere in Fortran, in bands of latitude on MPI ranks; its friction comes from
! one Isthmus server, which sees the columns of all ranks as one batch.
!
!     du/dt =  q V - dB/dx,  dv/dt = -q U - dB/dy,  dh/dt = -div(h u),  q = (f + zeta)/h,
!     B = g h + |u|^2/2,  (U, V) = h (u, v)
!
! on a C grid of longitudes and latitudes, energy-conserving; Sadourny (1975),
! doi:10.1175/1520-0469(1975)032<0680:TDOFDM>2.0.CO;2. Three-stage Runge-Kutta steps. The start is the
! balanced solid-body rotation of Williamson et al. (1992), doi:10.1016/S0021-9991(05)80016-6, with a
! hill of water on it. The layer is taken to lie between 850 hPa and the ground; its friction is the
! scheme boundary_layer=held_suarez, and when there is no server, the same formula in Fortran here.
!
!     shallow_water STEPS FILE [PAUSE]     FILE gets h u v; PAUSE: milliseconds after each step
!
! Results do not depend on the number of ranks by a bit.
module shallow_water_core
  use, intrinsic :: iso_c_binding, only: dp => c_double, c_int, c_ptr
  implicit none
  integer, parameter :: nx = 61, ny = 31
  real(dp), parameter :: pi = acos(-1.0_dp), a = 6.371e6_dp, g = 9.80665_dp, omega = 7.292e-5_dp
  real(dp), parameter :: dt = 120, dx = 2 * pi / nx, dy = pi / ny
  real(dp), parameter :: pressure = 92500, ground = 1e5_dp
  integer :: rank, ranks, first, last  ! rows of this rank
  real(dp), allocatable, target :: centre_u(:, :), centre_v(:, :), drag_u(:, :), drag_v(:, :)
  real(dp), allocatable, target :: p(:, :), ps(:, :)

  interface
    subroutine ranks_start(rank, size) bind(c)
      import :: c_int
      integer(c_int), intent(out) :: rank, size
    end subroutine ranks_start
    subroutine ranks_exchange(south, from_south, north, from_north, count) bind(c)
      import :: c_int, dp
      real(dp), intent(in) :: south(*), north(*)
      real(dp), intent(inout) :: from_south(*), from_north(*)
      integer(c_int), value :: count
    end subroutine ranks_exchange
    subroutine ranks_end() bind(c)
    end subroutine ranks_end
    subroutine ranks_pause(milliseconds) bind(c)
      import :: c_int
      integer(c_int), value :: milliseconds
    end subroutine ranks_pause
  end interface

contains

  pure real(dp) function lat(j)  ! of the middle of row j
    integer, intent(in) :: j
    lat = -pi / 2 + (j - 0.5_dp) * dy
  end function lat

  pure real(dp) function north(j)  ! of its northern edge
    integer, intent(in) :: j
    north = -pi / 2 + j * dy
  end function north

  pure integer function east(i)
    integer, intent(in) :: i
    east = modulo(i, nx) + 1
  end function east

  pure integer function west(i)
    integer, intent(in) :: i
    west = modulo(i - 2, nx) + 1
  end function west

  ! Fills the two rows beyond each end of a band from the neighbours.
  subroutine share(x)
    real(dp), intent(inout) :: x(nx, first - 2:last + 2)
    real(dp) :: from_south(nx, 2), from_north(nx, 2)
    from_south = x(:, first - 2:first - 1)
    from_north = x(:, last + 1:last + 2)
    call ranks_exchange(x(:, first:first + 1), from_south, x(:, last - 1:last), from_north, 2 * nx)
    x(:, first - 2:first - 1) = from_south
    x(:, last + 1:last + 2) = from_north
  end subroutine share

  ! Tendencies of a band; u lies on eastern and v on northern edges, v is zero on the poles.
  subroutine tendency(h, u, v, dh, du, dv)
    real(dp), intent(inout), dimension(nx, first - 2:last + 2) :: h, u, v
    real(dp), intent(out), dimension(nx, first - 2:last + 2) :: dh, du, dv
    real(dp), dimension(nx, first - 2:last + 2) :: uh, vh, q, b
    integer :: i, j
    call share(h)
    call share(u)
    call share(v)
    uh = 0
    vh = 0
    q = 0
    b = 0
    do j = max(first - 1, 1), min(last + 1, ny)
      do i = 1, nx
        uh(i, j) = 0.5_dp * (h(i, j) + h(east(i), j)) * u(i, j)
      end do
    end do
    do j = max(first - 1, 1), min(last, ny - 1)
      do i = 1, nx
        vh(i, j) = 0.5_dp * (h(i, j) + h(i, j + 1)) * v(i, j) * cos(north(j))
        q(i, j) = (2 * omega * sin(north(j)) + ((v(east(i), j) - v(i, j)) / dx - (u(i, j + 1) &
          * cos(lat(j + 1)) - u(i, j) * cos(lat(j))) / dy) / (a * cos(north(j)))) * 4 &
          / (h(i, j) + h(east(i), j) + h(i, j + 1) + h(east(i), j + 1))
      end do
    end do
    do j = max(first, 1), min(last + 1, ny)
      do i = 1, nx
        b(i, j) = g * h(i, j) + 0.25_dp * (u(west(i), j)**2 + u(i, j)**2) + 0.25_dp &
          * (south_edge(v, i, j)**2 * cos(north(j - 1)) + v(i, j)**2 * cos(north(j))) / cos(lat(j))
      end do
    end do
    dh = 0
    du = 0
    dv = 0
    do j = first, last
      do i = 1, nx
        dh(i, j) = -((uh(i, j) - uh(west(i), j)) / dx + (vh(i, j) - south_edge(vh, i, j)) / dy) &
          / (a * cos(lat(j)))
        du(i, j) = 0.25_dp / cos(lat(j)) * (q(i, j) * (vh(i, j) + vh(east(i), j)) &
          + south_edge(q, i, j) * (south_edge(vh, i, j) + south_edge(vh, east(i), j))) &
          - (b(east(i), j) - b(i, j)) / (a * cos(lat(j)) * dx)
      end do
      if (j == ny) cycle
      do i = 1, nx
        dv(i, j) = -0.25_dp * (q(i, j) * (uh(i, j) + uh(i, j + 1)) &
          + q(west(i), j) * (uh(west(i), j) + uh(west(i), j + 1))) - (b(i, j + 1) - b(i, j)) / (a * dy)
      end do
    end do
  end subroutine tendency

  pure real(dp) function south_edge(x, i, j)  ! on the southern edge of row j, zero on the pole
    real(dp), intent(in) :: x(nx, first - 2:last + 2)
    integer, intent(in) :: i, j
    south_edge = 0
    if (j > 1) south_edge = x(i, j - 1)
  end function south_edge

  ! Held and Suarez (1994), doi:10.1175/1520-0477(1994)075<1825:APFTIO>2.0.CO;2: what the server
  ! computes, for the time without one.
  subroutine own_friction(reason, context) bind(c)
    integer(c_int), value :: reason
    type(c_ptr), value :: context  ! of register_callback; not needed here
    real(dp), parameter :: top = 0.7_dp
    real(dp), parameter :: rate = max(0.0_dp, (pressure / ground - top) / (1 - top)) / 86400
    drag_u = -rate / (1 + rate * dt) * centre_u
    drag_v = -rate / (1 + rate * dt) * centre_v
  end subroutine own_friction
end module shallow_water_core

program shallow_water
  use, intrinsic :: iso_c_binding, only: c_funloc, c_int64_t
  use isthmus
  use shallow_water_core
  implicit none
  type(isthmus_session) :: friction
  real(dp), allocatable, dimension(:, :) :: h, u, v, h0, u0, v0, dh, du, dv
  real(dp) :: weight(2, 3), slowest
  integer :: steps, step, stage, i, j, status, unit, calls(2), pause, switches, was
  integer(c_int64_t) :: began, ended, rate
  character(256) :: argument, file

  call get_command_argument(1, argument)
  read (argument, *) steps
  call get_command_argument(2, file)
  call get_command_argument(3, argument)
  pause = 0
  if (argument /= '') read (argument, *) pause
  call ranks_start(rank, ranks)
  first = ny * rank / ranks + 1
  last = ny * (rank + 1) / ranks
  allocate (h(nx, first - 2:last + 2))
  allocate (u, v, h0, u0, v0, dh, du, dv, mold=h)
  allocate (centre_u(nx, first:last))
  allocate (centre_v, drag_u, drag_v, p, ps, mold=centre_u)
  call start()

  ! Layers between 850 hPa and the ground; the columns of a rank are its points.
  call friction%open(size(p), 1, [8.5e4_dp, 1e5_dp], [0.0_dp, 0.0_dp], &
    scheme='boundary_layer=held_suarez', launch=.true., policy='callback', group='shallow_water', &
    members=ranks, member=rank)
  call friction%declare_field('ua', 'm s-1', centre_u)
  call friction%declare_field('va', 'm s-1', centre_v)
  call friction%declare_field('pfull', 'Pa', p)
  call friction%declare_field('ps', 'Pa', ps)
  call friction%declare_field('tendency ua', 'm s-2', drag_u)
  call friction%declare_field('tendency va', 'm s-2', drag_v)
  call friction%register_callback(own_friction)

  weight = reshape([0.0_dp, 1.0_dp, 0.75_dp, 0.25_dp, 1 / 3.0_dp, 2 / 3.0_dp], [2, 3])
  calls = 0
  slowest = 0
  switches = 0
  was = 0
  do step = 1, steps
    h0 = h
    u0 = u
    v0 = v
    do stage = 1, 3
      call tendency(h, u, v, dh, du, dv)
      h = weight(1, stage) * h0 + weight(2, stage) * (h + dt * dh)
      u = weight(1, stage) * u0 + weight(2, stage) * (u + dt * du)
      v = weight(1, stage) * v0 + weight(2, stage) * (v + dt * dv)
    end do
    call share(v)
    do j = first, last
      do i = 1, nx
        centre_u(i, j) = 0.5_dp * (u(west(i), j) + u(i, j))
        centre_v(i, j) = 0.5_dp * (south_of_v(i, j) + v(i, j))
      end do
    end do
    call friction%set_time([2000, 1, 1, 0, 0, 0], int(step, c_int64_t), step * dt, dt)
    call system_clock(began, rate)
    call friction%run(status=status)
    call system_clock(ended)
    if (step > 1) slowest = max(slowest, real(ended - began, dp) / rate)
    if (status < 0) error stop 'no friction'
    calls = calls + merge([1, 0], [0, 1], status == 0)
    if (status /= was) switches = switches + 1
    was = status
    call apply()
    if (pause > 0) call ranks_pause(pause)
  end do
  call friction%close()

  print '(a, i0, a, i0, a, i0, a, i0, a, f6.3, a)', 'rank ', rank, ': ', calls(1), ' answers, ', &
    calls(2), ' by the fallback, ', switches, ' changes, slowest call ', slowest, ' s'
  open (newunit=unit, file=file, access='stream', form='unformatted')
  write (unit, pos=8 * nx * (first - 1) + 1) h(:, first:last)
  write (unit, pos=8 * nx * (ny + first - 1) + 1) u(:, first:last)
  write (unit, pos=8 * nx * (2 * ny + first - 1) + 1) v(:, first:last)
  close (unit)
  call ranks_end()

contains

  subroutine start()
    real(dp), parameter :: wind = 30, depth = 2000
    h = depth
    u = 0
    v = 0
    p = pressure
    ps = ground
    do j = max(first - 2, 1), min(last + 2, ny)
      do i = 1, nx
        u(i, j) = wind * cos(lat(j))
        h(i, j) = depth - (a * omega * wind + 0.5_dp * wind**2) * sin(lat(j))**2 / g + 100 &
          * exp(-((lat(j) - pi / 4) / 0.3_dp)**2 - (((i - 0.5_dp) * dx - pi) / 0.4_dp)**2)
      end do
    end do
  end subroutine start

  real(dp) function south_of_v(i, j)
    integer, intent(in) :: i, j
    south_of_v = 0
    if (j > 1) south_of_v = v(i, j - 1)
  end function south_of_v

  ! Friction of the centres on the edges.
  subroutine apply()
    real(dp) :: x(nx, first - 2:last + 2), y(nx, first - 2:last + 2)
    x = 0
    y = 0
    x(:, first:last) = drag_u
    y(:, first:last) = drag_v
    call share(y)
    do j = first, last
      do i = 1, nx
        u(i, j) = u(i, j) + 0.5_dp * dt * (x(i, j) + x(east(i), j))
        if (j < ny) v(i, j) = v(i, j) + 0.5_dp * dt * (y(i, j) + y(i, j + 1))
      end do
    end do
  end subroutine apply
end program shallow_water
