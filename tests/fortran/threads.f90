! OpenMP threads that call: each with a session of its own, as members of one group, and all with one
! session; prints what fails.
program threads
  use, intrinsic :: iso_c_binding
  use omp_lib, only: omp_get_max_threads, omp_get_num_threads, omp_get_thread_num
  use isthmus
  implicit none
  integer, parameter :: nx = 5, nlev = 7, calls = 30
  type(isthmus_session) :: shared
  real(c_double) :: a(nlev + 1), b(nlev + 1)
  real(c_double), target :: x(nx, nlev), dx(nx, nlev), t(nx, nlev), ps(nx)
  integer :: i, failures, refused, status
  integer :: first(calls)

  failures = 0
  refused = 0
  a = 0
  b = [(real(i - 1, c_double) / nlev, i=1, nlev + 1)]

  !$omp parallel reduction(+:failures)
  call own_session(omp_get_thread_num(), failures)
  !$omp barrier
  call one_batch(omp_get_thread_num(), omp_get_num_threads(), failures)
  !$omp end parallel

  ! One session of all threads: they take turns.
  call random_number(x)
  call random_number(t)
  call random_number(ps)
  call shared%open(nx, nlev, a, b)
  call shared%declare_field('ua', 'm s-1', x)
  call shared%declare_field('ta', 'K', t)
  call shared%declare_field('ps', 'Pa', ps)
  call shared%declare_field('tendency ua', 'm s-2', dx)
  !$omp parallel do private(status) reduction(+:failures) schedule(dynamic, 1)
  do i = 1, calls
    call shared%run(status=status)
    if (status /= isthmus_ok) failures = failures + 1
  end do
  !$omp end parallel do
  if (any(abs(dx - 2 * x) > 0)) failures = failures + 1
  ! A post while another thread's is open is refused with a word, and does no harm.
  !$omp parallel do private(status)
  do i = 1, calls
    call shared%post(status=status)
    first(i) = status
  end do
  !$omp end parallel do
  call shared%wait()
  if (count(first == isthmus_ok) /= 1) failures = failures + 1
  if (count(first == -isthmus_order) /= calls - 1) failures = failures + 1
  if (any(abs(dx - 2 * x) > 0)) failures = failures + 1
  call shared%close()
  print '(i0, a, i0, a)', omp_get_max_threads(), ' threads, ', failures, ' failures'

contains

  ! Columns of this thread's own number, in arrays of its own.
  subroutine own_session(thread, wrong)
    integer, intent(in) :: thread
    integer, intent(inout) :: wrong
    type(isthmus_session) :: s
    real(c_double), allocatable, target :: u(:, :), du(:, :), temperature(:, :), p(:)
    integer :: n, call
    n = 4 + 2 * thread
    allocate (u(n, nlev), du(n, nlev), temperature(n, nlev), p(n))
    call s%open(n, nlev, a, b)
    call s%declare_field('ua', 'm s-1', u)
    call s%declare_field('ta', 'K', temperature)
    call s%declare_field('ps', 'Pa', p)
    call s%declare_field('tendency ua', 'm s-2', du)
    temperature = 250
    p = 1
    do call = 1, calls
      u = thread + 0.125_c_double * call
      call s%run()
      if (any(abs(du - 2 * u) > 0)) wrong = wrong + 1
    end do
    call s%close()
  end subroutine own_session

  ! The columns of all threads as one batch, in the shared memory itself.
  subroutine one_batch(thread, members, wrong)
    integer, intent(in) :: thread, members
    integer, intent(inout) :: wrong
    type(isthmus_session) :: s
    real(c_double), pointer :: u(:, :, :), du(:, :, :), temperature(:, :), p(:, :)
    real(c_double), pointer :: flux(:, :, :, :)
    integer :: ny, call, k
    ny = 1 + thread
    call s%open(nx * ny, nlev, a, b, group='threads', members=members, member=thread)
    call s%alloc_field('ua', 'm s-1', u, columns=[nx, ny])
    call s%alloc_field('ta', 'K', temperature)
    call s%alloc_field('ps', 'Pa', p, columns=[nx, ny])
    call s%alloc_field('tendency ua', 'm s-2', du, columns=[nx, ny])
    call s%alloc_field('xgwdparam', 'Pa', flux, columns=[nx, 1, ny])
    p = -0.5_c_double + nx + thread
    do call = 1, calls
      do k = 1, nlev
        u(:, :, k) = 10 * k + thread + 0.125_c_double * call
        temperature(:, k) = 200 + k + thread
      end do
      call s%run()
      if (any(abs(du - 2 * u) > 0)) wrong = wrong + 1
      if (any(abs(flux(:, 1, :, 1) - p) > 0)) wrong = wrong + 1
      if (any(abs(reshape(flux(:, :, :, 2:), [nx * ny, nlev]) - temperature) > 0)) wrong = wrong + 1
    end do
    call s%close()
  end subroutine one_batch
end program threads
