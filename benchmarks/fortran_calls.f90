! The Fortran side of benchmarks/fortran_bridge.py: calls one server and writes the time of each.
!
!     calls NCOL NLEV COUNT SPIN RANK RANKS FILE SCHEME
program calls
  use, intrinsic :: iso_c_binding
  use isthmus
  implicit none
  type(isthmus_session) :: s
  real(c_double), allocatable, target :: x(:, :, :), y(:, :, :)
  real(c_double), allocatable :: a(:), b(:), seconds(:)
  real(c_double) :: spin
  integer :: ncol, nlev, count, rank, ranks, i, unit
  integer(c_int64_t) :: began, ended, rate
  character(256) :: words(8)

  do i = 1, 8
    call get_command_argument(i, words(i))
  end do
  read (words(1:3), *) ncol, nlev, count
  read (words(4), *) spin
  read (words(5:6), *) rank, ranks
  allocate (x(ncol, nlev, 4), y(ncol, nlev, 2), seconds(count), a(nlev + 1), b(nlev + 1))
  call random_number(x)
  a = 0
  b = [(real(i, c_double) / nlev, i=0, nlev)]
  call s%open(ncol, nlev, a, b, scheme=trim(words(8)), spin=spin, kind=4, group='ranks', &
    members=ranks, member=rank)
  call s%declare_field('ua', 'm s-1', x(:, :, 1))
  call s%declare_field('tendency ua', 'm s-2', y(:, :, 1))
  if (nlev > 1) then
    call s%declare_field('va', 'm s-1', x(:, :, 2))
    call s%declare_field('ta', 'K', x(:, :, 3))
    call s%declare_field('hus', '1', x(:, :, 4))
    call s%declare_field('tendency va', 'm s-2', y(:, :, 2))
  end if
  do i = 1, 100
    call s%run()
  end do
  do i = 1, count
    call system_clock(began, rate)
    call s%run()
    call system_clock(ended)
    seconds(i) = real(ended - began, c_double) / rate
  end do
  call s%close()
  open (newunit=unit, file=words(7), access='stream', form='unformatted', status='replace')
  write (unit) seconds
end program calls
