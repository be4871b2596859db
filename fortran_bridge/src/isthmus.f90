! Isthmus for Fortran: call a scheme or emulator of Isthmus from a model of one's own.
!
!     use isthmus
!     type(isthmus_session) :: gw
!     call gw%open(ncol, nlev, a, b, socket='/tmp/gw.sock')
!     call gw%declare_field('ua', 'm s-1', u)               ! once; u stays where it is
!     call gw%declare_field('xgwdparam', 'Pa', flux)
!     call gw%run()                                         ! at every step: flux is filled
!     call gw%close()
!
! Every procedure has an optional last argument `status`: 0 is well; negative: nothing was done, and
! why; positive: why the session's policy stood in. Without it, a negative status stops the program
! with the sentence that `last_error` gives. isthmus.h says more about each call.
!
! Declared arrays must have the target attribute, or be allocatable or pointer and stay allocated.
!
!     gfortran -I include model.f90 isthmus.f90 isthmus.c
module isthmus
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: error_unit
  implicit none
  private
  public :: isthmus_session, isthmus_fallback, isthmus_status_name

  enum, bind(c)
    enumerator :: isthmus_ok = 0, isthmus_no_server, isthmus_refused, isthmus_gone, isthmus_late
    enumerator :: isthmus_failed, isthmus_not_finite, isthmus_version, isthmus_wrong_field
    enumerator :: isthmus_order, isthmus_memory, isthmus_argument, isthmus_system
    enumerator :: isthmus_pending = 100
  end enum
  public :: isthmus_ok, isthmus_no_server, isthmus_refused, isthmus_gone, isthmus_late
  public :: isthmus_failed, isthmus_not_finite, isthmus_version, isthmus_wrong_field
  public :: isthmus_order, isthmus_memory, isthmus_argument, isthmus_system, isthmus_pending

  ! As in isthmus.h.
  type, bind(c) :: c_options
    integer(c_size_t) :: size
    type(c_ptr) :: scheme, socket
    integer(c_int) :: transport, launch
    type(c_ptr) :: command, settings
    integer(c_int) :: policy
    real(c_double) :: startup, deadline, spin
    integer(c_int) :: kind, ncol, nlev, row
    type(c_ptr) :: a, b, group
    integer(c_int) :: members, member
    type(c_ptr) :: calendar
    integer(c_int64_t) :: seed
    real(c_double) :: gravity, radius
    type(c_ptr) :: lat, lon
    integer(c_int) :: nstatic
    type(c_ptr) :: static_names, static_values
  end type c_options

  type :: isthmus_session
    private
    integer(c_int64_t) :: handle = 0
  contains
    procedure :: open => session_open
    procedure :: close => session_close
    procedure :: declare_field
    procedure, private :: alloc_r64, alloc_r32
    generic :: alloc_field => alloc_r64, alloc_r32
    procedure :: set_time
    procedure :: register_callback
    procedure :: run => session_run
    procedure :: post => session_post
    procedure :: test => session_test
    procedure :: wait => session_wait
    procedure :: last_error
  end type isthmus_session

  abstract interface
    ! What the policy 'callback' calls: fills the outputs that the host declared.
    subroutine isthmus_fallback(reason, context) bind(c)
      import :: c_int, c_ptr
      integer(c_int), value :: reason
      type(c_ptr), value :: context
    end subroutine isthmus_fallback
  end interface

  interface
    function isthmus_defaults() bind(c)
      import :: c_options
      type(c_options) :: isthmus_defaults
    end function isthmus_defaults
    integer(c_int) function isthmus_open(session, options) bind(c)
      import :: c_int, c_int64_t, c_options
      integer(c_int64_t), intent(inout) :: session
      type(c_options), intent(in) :: options
    end function isthmus_open
    integer(c_int) function isthmus_close(session) bind(c)
      import :: c_int, c_int64_t
      integer(c_int64_t), intent(inout) :: session
    end function isthmus_close
    integer(c_int) function isthmus_declare_descriptor(session, name, units, x, layout, upward) bind(c)
      import :: c_int, c_int64_t, c_char
      integer(c_int64_t), value :: session
      character(kind=c_char), intent(in) :: name(*), units(*)
      type(*), dimension(..), intent(in), target, asynchronous :: x
      integer(c_int), value :: layout, upward
    end function isthmus_declare_descriptor
    integer(c_int) function c_alloc_r64(session, name, units, x, naxes, columns) &
        bind(c, name='isthmus_alloc_descriptor')
      import :: c_int, c_int64_t, c_char, c_double
      integer(c_int64_t), value :: session
      character(kind=c_char), intent(in) :: name(*), units(*)
      real(c_double), pointer, intent(inout) :: x(..)
      integer(c_int), value :: naxes
      integer(c_int64_t), intent(in) :: columns(*)
    end function c_alloc_r64
    integer(c_int) function c_alloc_r32(session, name, units, x, naxes, columns) &
        bind(c, name='isthmus_alloc_descriptor')
      import :: c_int, c_int64_t, c_char, c_float
      integer(c_int64_t), value :: session
      character(kind=c_char), intent(in) :: name(*), units(*)
      real(c_float), pointer, intent(inout) :: x(..)
      integer(c_int), value :: naxes
      integer(c_int64_t), intent(in) :: columns(*)
    end function c_alloc_r32
    integer(c_int) function isthmus_set_time(session, date, step, seconds, dt) bind(c)
      import :: c_int, c_int64_t, c_double
      integer(c_int64_t), value :: session, step
      integer(c_int), intent(in) :: date(6)
      real(c_double), value :: seconds, dt
    end function isthmus_set_time
    integer(c_int) function isthmus_register_callback(session, fallback, context) bind(c)
      import :: c_int, c_int64_t, c_funptr, c_ptr
      integer(c_int64_t), value :: session
      type(c_funptr), value :: fallback
      type(c_ptr), value :: context
    end function isthmus_register_callback
    integer(c_int) function isthmus_run(session) bind(c)
      import :: c_int, c_int64_t
      integer(c_int64_t), value :: session
    end function isthmus_run
    integer(c_int) function isthmus_post(session) bind(c)
      import :: c_int, c_int64_t
      integer(c_int64_t), value :: session
    end function isthmus_post
    integer(c_int) function isthmus_test(session) bind(c)
      import :: c_int, c_int64_t
      integer(c_int64_t), value :: session
    end function isthmus_test
    integer(c_int) function isthmus_wait(session) bind(c)
      import :: c_int, c_int64_t
      integer(c_int64_t), value :: session
    end function isthmus_wait
    function c_last_error(session) bind(c, name='isthmus_last_error')
      import :: c_int64_t, c_ptr
      integer(c_int64_t), value :: session
      type(c_ptr) :: c_last_error
    end function c_last_error
    function c_status_name(status) bind(c, name='isthmus_status_name')
      import :: c_int, c_ptr
      integer(c_int), value :: status
      type(c_ptr) :: c_status_name
    end function c_status_name
    integer(c_size_t) function c_strlen(text) bind(c, name='strlen')
      import :: c_size_t, c_ptr
      type(c_ptr), value :: text
    end function c_strlen
  end interface

contains

  ! Connects to a server, or starts one (launch), or an interpreter in this process (transport =
  ! 'embedded'). a [Pa] and b are the hybrid coefficients of the nlev + 1 interfaces, top first.
  ! policy: 'stop', 'zero', 'hold' or 'callback'. Ranks of one model name one group, say how many
  ! they are (members) and which this is (member, from 0). lat and lon: degrees of the columns. row:
  ! columns of one row of the grid, for emulators whose last digits must not depend on the ranks.
  subroutine session_open(self, ncol, nlev, a, b, scheme, socket, transport, launch, command, &
      settings, policy, startup, deadline, spin, kind, group, members, member, calendar, seed, &
      gravity, radius, lat, lon, row, status)
    class(isthmus_session), intent(inout) :: self
    integer, intent(in) :: ncol, nlev
    real(c_double), intent(in), target, contiguous :: a(:), b(:)
    character(*), intent(in), optional :: scheme, socket, transport, command, settings, policy
    character(*), intent(in), optional :: group, calendar
    logical, intent(in), optional :: launch
    real(c_double), intent(in), optional :: startup, deadline, spin, gravity, radius
    integer, intent(in), optional :: kind, members, member, row
    integer(c_int64_t), intent(in), optional :: seed
    real(c_double), intent(in), optional, target, contiguous :: lat(:), lon(:)
    integer, intent(out), optional :: status
    character(kind=c_char, len=4096), target :: texts(6)  ! as long as a path may be
    type(c_options) :: o
    integer :: found

    o = isthmus_defaults()
    call take(o%scheme, 1, scheme)
    call take(o%socket, 2, socket)
    call take(o%command, 3, command)
    call take(o%settings, 4, settings)
    call take(o%group, 5, group)
    call take(o%calendar, 6, calendar)
    if (present(transport)) o%transport = word(transport, [character(8) :: 'shared', 'embedded'])
    if (present(policy)) &
      o%policy = word(policy, [character(8) :: 'stop', 'zero', 'hold', 'callback']) - 1
    if (present(launch)) o%launch = merge(1, 0, launch)
    if (present(startup)) o%startup = startup
    if (present(deadline)) o%deadline = deadline
    if (present(spin)) o%spin = spin
    if (present(kind)) o%kind = kind
    if (present(members)) o%members = members
    if (present(member)) o%member = member
    if (present(row)) o%row = row
    if (present(seed)) o%seed = seed
    if (present(gravity)) o%gravity = gravity
    if (present(radius)) o%radius = radius
    o%ncol = ncol
    o%nlev = nlev
    if (size(a) == nlev + 1 .and. size(b) == nlev + 1) then
      o%a = c_loc(a)
      o%b = c_loc(b)
    end if
    if (present(lat)) then
      if (size(lat) == ncol) o%lat = c_loc(lat)
      if (size(lat) /= ncol) o%a = c_null_ptr
    end if
    if (present(lon)) then
      if (size(lon) == ncol) o%lon = c_loc(lon)
      if (size(lon) /= ncol) o%a = c_null_ptr
    end if
    found = isthmus_open(self%handle, o)
    call done(self, found, status)

  contains

    subroutine take(place, i, text)
      type(c_ptr), intent(inout) :: place
      integer, intent(in) :: i
      character(*), intent(in), optional :: text
      if (.not. present(text)) return
      texts(i) = trim(text) // c_null_char
      place = c_loc(texts(i))
    end subroutine take
  end subroutine session_open

  subroutine session_close(self, status)
    class(isthmus_session), intent(inout) :: self
    integer, intent(out), optional :: status
    call done(self, int(isthmus_close(self%handle)), status)
  end subroutine session_close

  ! Takes the host's array for a field: any rank, real32 or real64, also a section. 'ua' is an input
  ! if there is one of that name; 'tendency ua' says which. layout: 'columns' or 'levels' first,
  ! where the extents leave it open; upward: the host counts levels from the ground.
  subroutine declare_field(self, name, units, x, layout, upward, status)
    class(isthmus_session), intent(in) :: self
    character(*), intent(in) :: name, units
    type(*), dimension(..), intent(in), target, asynchronous :: x
    character(*), intent(in), optional :: layout
    logical, intent(in), optional :: upward
    integer, intent(out), optional :: status
    integer(c_int) :: first, up
    first = 0
    up = 0
    if (present(layout)) first = word(layout, [character(8) :: 'columns', 'levels'])
    if (present(upward)) up = merge(1, 0, upward)
    call done(self, int(isthmus_declare_descriptor(self%handle, trim(name) // c_null_char, &
      trim(units) // c_null_char, x, first, up)), status)
  end subroutine declare_field

  ! Instead of that: x becomes a pointer to the field's own place in the shared memory, of rank 1 to
  ! 4, with the levels last: (ncol, nlev), or with columns=[nlon, nlat] (nlon, nlat, nlev).
  subroutine alloc_r64(self, name, units, x, columns, status)
    class(isthmus_session), intent(in) :: self
    character(*), intent(in) :: name, units
    real(c_double), pointer, intent(inout) :: x(..)
    integer, intent(in), optional :: columns(:)
    integer, intent(out), optional :: status
    integer :: axes(4), naxes
    naxes = 0
    axes = 1
    if (present(columns)) naxes = size(columns)
    if (present(columns)) axes(:min(naxes, 4)) = columns(:min(naxes, 4))
    call done(self, int(c_alloc_r64(self%handle, trim(name) // c_null_char, &
      trim(units) // c_null_char, x, naxes, int(axes, c_int64_t))), status)
  end subroutine alloc_r64

  subroutine alloc_r32(self, name, units, x, columns, status)
    class(isthmus_session), intent(in) :: self
    character(*), intent(in) :: name, units
    real(c_float), pointer, intent(inout) :: x(..)
    integer, intent(in), optional :: columns(:)
    integer, intent(out), optional :: status
    integer :: axes(4), naxes
    naxes = 0
    axes = 1
    if (present(columns)) naxes = size(columns)
    if (present(columns)) axes(:min(naxes, 4)) = columns(:min(naxes, 4))
    call done(self, int(c_alloc_r32(self%handle, trim(name) // c_null_char, &
      trim(units) // c_null_char, x, naxes, int(axes, c_int64_t))), status)
  end subroutine alloc_r32

  ! When the next call is: date (year month day hour minute second), completed steps, seconds since
  ! the start, and the time over which the result will be applied [s].
  subroutine set_time(self, date, step, seconds, dt, status)
    class(isthmus_session), intent(in) :: self
    integer, intent(in) :: date(6)
    integer(c_int64_t), intent(in) :: step
    real(c_double), intent(in) :: seconds, dt
    integer, intent(out), optional :: status
    call done(self, int(isthmus_set_time(self%handle, date, step, seconds, dt)), status)
  end subroutine set_time

  subroutine register_callback(self, fallback, context, status)
    class(isthmus_session), intent(in) :: self
    procedure(isthmus_fallback) :: fallback
    type(c_ptr), intent(in), optional :: context
    integer, intent(out), optional :: status
    type(c_ptr) :: given
    given = c_null_ptr
    if (present(context)) given = context
    call done(self, int(isthmus_register_callback(self%handle, c_funloc(fallback), given)), status)
  end subroutine register_callback

  subroutine session_run(self, status)
    class(isthmus_session), intent(in) :: self
    integer, intent(out), optional :: status
    call done(self, int(isthmus_run(self%handle)), status)
  end subroutine session_run

  subroutine session_post(self, status)
    class(isthmus_session), intent(in) :: self
    integer, intent(out), optional :: status
    call done(self, int(isthmus_post(self%handle)), status)
  end subroutine session_post

  ! Whether `wait` would return at once.
  logical function session_test(self, status)
    class(isthmus_session), intent(in) :: self
    integer, intent(out), optional :: status
    integer :: found
    found = isthmus_test(self%handle)
    session_test = found == isthmus_ok
    call done(self, found, status)
  end function session_test

  subroutine session_wait(self, status)
    class(isthmus_session), intent(in) :: self
    integer, intent(out), optional :: status
    call done(self, int(isthmus_wait(self%handle)), status)
  end subroutine session_wait

  ! The sentence about what last went wrong.
  function last_error(self) result(text)
    class(isthmus_session), intent(in) :: self
    character(:), allocatable :: text
    text = text_of(c_last_error(self%handle))
  end function last_error

  function isthmus_status_name(status) result(text)
    integer, intent(in) :: status
    character(:), allocatable :: text
    text = text_of(c_status_name(int(status, c_int)))
  end function isthmus_status_name

  ! Hands a status over, or stops with its sentence where nobody asked for it.
  subroutine done(self, found, status)
    class(isthmus_session), intent(in) :: self
    integer, intent(in) :: found
    integer, intent(out), optional :: status
    if (present(status)) then
      status = found
    else if (found < 0) then
      write (error_unit, '(2a)') 'isthmus: ', self%last_error()
      error stop 1, quiet=.true.
    end if
  end subroutine done

  ! Place of a word among the known ones; -1 for another.
  integer(c_int) function word(text, known)
    character(*), intent(in) :: text, known(:)
    integer :: i
    word = -1
    do i = 1, size(known)
      if (text == known(i)) word = i
    end do
  end function word

  function text_of(place) result(text)
    type(c_ptr), intent(in) :: place
    character(:), allocatable :: text
    character(kind=c_char), pointer :: letters(:)
    integer :: i
    call c_f_pointer(place, letters, [c_strlen(place)])
    allocate (character(size(letters)) :: text)
    do i = 1, size(letters)
      text(i:i) = letters(i)
    end do
  end function text_of
end module isthmus
