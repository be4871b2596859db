! The Fortran side of benchmarks/fortran_bridge.py: calls one server and writes the time of each.
!
!     calls NCOL NLEV COUNT SPIN RANK RANKS FILE SCHEME FIELDS
!
! FIELDS: real64, real32 (arrays of the program), or slots (in the shared memory itself).
program calls
  use, intrinsic :: iso_c_binding
  use isthmus
  implicit none
  type(isthmus_session) :: s
  real(c_double), allocatable, target :: x(:, :, :), y(:, :, :)
  real(c_float), allocatable, target :: x4(:, :, :), y4(:, :, :)
  real(c_float), pointer :: slot(:, :)
  real(c_double), allocatable :: a(:), b(:), seconds(:)
  real(c_double) :: spin
  integer :: ncol, nlev, count, rank, ranks, i, unit
  integer(c_int64_t) :: began, ended, rate
  character(256) :: words(9)

  do i = 1, 9
    call get_command_argument(i, words(i))
  end do
  read (words(1:3), *) ncol, nlev, count
  read (words(4), *) spin
  read (words(5:6), *) rank, ranks
  allocate (x(ncol, nlev, 4), y(ncol, nlev, 2), seconds(count), a(nlev + 1), b(nlev + 1))
  call random_number(x)
  y = 0
  a = 0
  b = [(real(i, c_double) / nlev, i=0, nlev)]
  call s%open(ncol, nlev, a, b, scheme=trim(words(8)), spin=spin, kind=4, group='ranks', &
    members=ranks, member=rank)
  x4 = real(x, c_float)
  y4 = real(y, c_float)
  call field('ua', 'm s-1', 1)
  call field('tendency ua', 'm s-2', -1)
  if (nlev > 1) then
    call field('va', 'm s-1', 2)
    call field('ta', 'K', 3)
    call field('hus', '1', 4)
    call field('tendency va', 'm s-2', -2)
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

contains

  ! Input number i, or output number -i.
  subroutine field(name, units, i)
    character(*), intent(in) :: name, units
    integer, intent(in) :: i
    select case (words(9))
    case ('real64')
      if (i > 0) call s%declare_field(name, units, x(:, :, i))
      if (i < 0) call s%declare_field(name, units, y(:, :, -i))
    case ('real32')
      if (i > 0) call s%declare_field(name, units, x4(:, :, i))
      if (i < 0) call s%declare_field(name, units, y4(:, :, -i))
    case default
      call s%alloc_field(name, units, slot)
      if (i > 0) slot = x4(:, :, i)
    end select
  end subroutine field
end program calls
