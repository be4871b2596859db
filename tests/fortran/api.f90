! Every procedure of the module, called from Fortran; prints what fails. The scheme may be given.
program api
  use, intrinsic :: iso_c_binding
  use isthmus
  implicit none
  integer, parameter :: nx = 5, ny = 3, ncol = nx * ny, nlev = 7
  type(isthmus_session) :: s, never
  real(c_double), target :: a(nlev + 1), b(nlev + 1), big(2 * nx, ny, nlev), ps(nx, ny)
  real(c_float), allocatable, target :: flux(:, :)
  real(c_double), pointer :: ta(:, :), flat(:), cube(:, :, :), faces(:, :, :, :), plane(:, :)
  real(c_float), pointer :: single(:, :)
  real(c_double), target :: dua(nlev, ncol), prl(ncol)
  integer, target :: whole(ncol, nlev)
  integer :: status, i, failures, fallbacks
  logical :: ready
  character(4096) :: scheme

  call get_command_argument(1, scheme)
  failures = 0
  fallbacks = 0
  a = 0
  b = [(real(i - 1, c_double) / nlev, i=1, nlev + 1)]
  call random_number(big)
  call random_number(ps)
  allocate (flux(ncol, nlev + 1))

  call never%run(status=status)
  call expect(status == -isthmus_order .and. never%last_error() == &
    'a call before open; open the session first', 'before open')
  call s%open(ncol, nlev, a, b, transport='telepathy', status=status)
  call expect(status < 0, 'unknown transport')
  call s%open(ncol, nlev, a(:nlev), b, status=status)
  call expect(status == -isthmus_argument, 'levels of another size')
  call s%open(ncol, nlev, a, b, policy='callback', deadline=20.0_c_double, scheme=trim(scheme), &
    status=status)
  call expect(status == isthmus_ok, 'open: ' // s%last_error())
  call s%open(ncol, nlev, a, b, status=status)
  call expect(status == -isthmus_order, 'a second open')

  call s%declare_field('ua', 'm s-1', whole, status=status)
  call expect(status == -isthmus_wrong_field .and. index(s%last_error(), 'another kind') == 1, 'kind')
  call s%declare_field('ua', 'm s-1', big, status=status)
  call expect(status == -isthmus_wrong_field .and. index(s%last_error(), 'found (10, 3, 7)') > 0, &
    'shape: ' // s%last_error())
  call s%declare_field('ua', 'm s-1', big(2::2, :, :), layout='rows', status=status)
  call expect(status == -isthmus_argument, 'unknown layout')
  call s%declare_field('ua', 'm s-1', big(2::2, :, nlev:1:-1))
  call s%declare_field('ps', 'Pa', ps)
  call s%declare_field('flux xgwdparam', 'Pa', flux, layout='columns')
  call s%declare_field('tendency ua', 'm s-2', dua, layout='levels', upward=.true.)
  call s%declare_field('prl', 'kg m-2 s-1', prl)
  call s%alloc_field('ta', 'K', single, status=status)
  call expect(status == -isthmus_wrong_field .and. .not. associated(single), 'kind of memory')
  call s%alloc_field('ta', 'K', ta)
  call expect(all(shape(ta) == [ncol, nlev]), 'shape of memory')
  call s%alloc_field('prc', 'kg m-2 s-1', flat)
  call expect(size(flat) == ncol, 'size of memory')
  call s%alloc_field('ta', 'K', cube, columns=[nx, ny])
  call expect(all(shape(cube) == [nx, ny, nlev]), 'shape with two axes of columns')
  call s%alloc_field('ta', 'K', faces, columns=[nx, 1, ny])
  call expect(all(shape(faces) == [nx, 1, ny, nlev]), 'shape with three axes of columns')
  call s%alloc_field('prc', 'kg m-2 s-1', plane, columns=[nx, ny])
  call expect(all(shape(plane) == [nx, ny]), 'shape of a field of columns')
  call s%alloc_field('ta', 'K', cube, columns=[nx, ny + 1], status=status)
  call expect(status == -isthmus_wrong_field .and. .not. associated(cube) .and. &
    index(s%last_error(), 'whose product is 15 and one of levels') > 0, s%last_error())
  call s%alloc_field('ta', 'K', cube, status=status)
  call expect(status == -isthmus_wrong_field .and. .not. associated(cube), 'axes that nobody named')
  call s%alloc_field('ta', 'K', faces, columns=[nx, ny, 1, 1], status=status)
  call expect(status == -isthmus_wrong_field .and. .not. associated(faces), 'too many axes')
  call s%alloc_field('ta', 'K', flat, status=status)
  call expect(status == -isthmus_wrong_field .and. .not. associated(flat), 'levels without an axis')
  call never%alloc_field('ta', 'K', flat, status=status)
  call expect(status == -isthmus_order .and. .not. associated(flat), 'memory before open')
  call s%alloc_field('prc', 'kg m-2 s-1', flat)
  call s%alloc_field('ta', 'K', cube, columns=[nx, ny])
  call s%alloc_field('ta', 'K', faces, columns=[nx, 1, ny])
  call s%register_callback(fallback)

  call random_number(cube)
  cube(2, 3, 4) = -11
  call expect(all(abs(reshape(cube, [ncol, nlev]) - ta) <= 0), 'one memory')
  call expect(all(abs(faces(:, 1, :, :) - cube) <= 0) .and. faces(2, 1, 3, 4) < -10, 'one memory')
  call s%set_time([2001, 4, 1, 0, 0, 0], 5_c_int64_t, 3.0_c_double, 2.0_c_double)
  call s%run(status=status)
  call expect(status == isthmus_ok, 'run: ' // s%last_error())
  ! Levels of ua run backward in the section and, for the result, backward again.
  do i = 1, nlev
    call expect(all(abs(dua(i, :) - 2 * reshape(big(2::2, :, i), [ncol])) <= 0), 'tendency')
  end do
  call expect(all(abs(flux(:, 2:) - real(ta, c_float)) <= 0), 'flux')
  call expect(all(abs(flux(:, 1) - real(reshape(ps, [ncol]), c_float)) <= 0), 'flux at the top')
  call expect(all(abs(prl - (5 + 3 + 2 + 4)) <= 0), 'time')
  call expect(all(flat > 0), 'calls')
  call expect(all(abs(reshape(plane, [ncol]) - flat) <= 0), 'a field of columns')

  call s%post()
  call s%post(status=status)
  call expect(status == -isthmus_order, 'a second post')
  ready = .false.
  do while (.not. ready)
    ready = s%test()
  end do
  call s%wait()
  ps(1, 1) = -2  ! the scheme raises
  call s%run(status=status)
  call expect(status == isthmus_failed .and. fallbacks == 1, 'callback: ' // s%last_error())
  call expect(isthmus_status_name(status) == 'failed', 'name of a status')
  call s%close()
  call s%close(status=status)
  call expect(status == -isthmus_order, 'a second close')
  print '(i0, a)', failures, ' failures'

contains

  subroutine fallback(reason, context) bind(c)
    integer(c_int), value :: reason
    type(c_ptr), value :: context
    if (reason == isthmus_failed .and. .not. c_associated(context)) fallbacks = fallbacks + 1
  end subroutine fallback

  subroutine expect(holds, what)
    logical, intent(in) :: holds
    character(*), intent(in) :: what
    if (holds) return
    failures = failures + 1
    print '(2a)', 'wrong: ', what
  end subroutine expect
end program api
