! AI4Land as a component of a climate model, for Fortran 2008: a thin layer over a4l.h, which describes each call.
!
!   use ai4land_mod
!   type(ai4land_t) :: land
!   call land%init('run.yaml', comm, code)          ! mpi: the communicator; mpi_f08: comm%mpi_val
!   if (code /= A4L_OK) print *, a4l_message()
!
! Every call sets `code` to A4L_OK or one of the codes below, and never stops the program. After a failure,
! a4l_message() gives the message. Other intent(out) arguments are set only on success, so give them a value first.
!
! Compile this file with the model's own compiler, because .mod files differ between compilers. No MPI module is needed.
! Arrays can be strided (they are then copied once more), except for `bind`.
module ai4land_mod
  use, intrinsic :: iso_c_binding, only: c_int, c_int32_t, c_int64_t, c_char, c_ptr, c_float, c_double, c_loc, &
                                         c_null_ptr, c_null_char
  implicit none
  private

  integer, parameter, public :: A4L_ABI_VERSION = 3
  integer, parameter, public :: A4L_NO_COMM = -1
  integer, parameter, public :: A4L_OK = 0, A4L_ERR = 1, A4L_ERR_CONFIG = 2, A4L_ERR_FIELD = 3, A4L_ERR_STATE = 4, &
                                A4L_ERR_TIME = 5, A4L_ERR_GRID = 6, A4L_ERR_DATA = 7, A4L_ERR_PLUGIN = 8, &
                                A4L_ERR_RUN = 9, A4L_ERR_PYTHON = 90, A4L_ERR_MPI = 91, A4L_ERR_REMOTE = 92
  integer, parameter, public :: A4L_GREAT_CIRCLE = 0, A4L_LATLON = 1
  integer, parameter, public :: A4L_EXPORT = 0, A4L_IMPORT = 1
  integer, parameter, public :: A4L_CELL_FASTEST = 0, A4L_TYPE_FASTEST = 1, A4L_TYPE_IN_BLOCK = 2

  integer(c_int), parameter :: REAL32 = 4, REAL64 = 8
  integer, parameter :: MESSAGE_LENGTH = 4096, TEXT_LENGTH = 256

  public :: a4l_message, a4l_abi

  type :: layout_t
    integer(c_int) :: order, nproma, ntype
  end type layout_t

  ! A component. A copy refers to the same component, so finalize only one of them.
  type, public :: ai4land_t
    private
    integer(c_int) :: handle = 0 ! a number that is no handle
  contains
    procedure :: init, set_calendar, set_grid, set_named_grid, realize, year, next_year, date, step_count, cell_count, &
                 field_count, field_name, field_info, import_info, type_name, write_restart, finalize
    ! run(year, code), run(year, month, day, seconds, code); seconds integer or double
    generic :: run => run_year, run_date, run_date_int
    ! get(name, x, code [, order] [, nproma]): copy an export into x. See a4l.h for `order`. The shape of x:
    !   rank 1  (ncell), or all of a4l.h's array in a row
    !   rank 2  (ncell, ntype) or, with order=A4L_TYPE_FASTEST, (ntype, ncell); (nproma, nblock) if nproma is given
    !   rank 3  blocks: (nproma, nblock, ntype), A4L_TYPE_FASTEST (ntype, nproma, nblock),
    !           A4L_TYPE_IN_BLOCK (nproma, ntype, nblock); nproma is then the extent of that dimension
    generic :: get => get_r64_1, get_r64_2, get_r64_3, get_r32_1, get_r32_2, get_r32_3
    ! set(name, x, code [, order] [, nproma] [, ntime]): give an import; its types are the months, if there are any.
    !   ntime is for x of rank 1.
    generic :: set => set_r64_1, set_r64_2, set_r64_3, set_r32_1, set_r32_2, set_r32_3
    ! bind(name, x, code [, order] [, nproma]): fill x now and at the end of each run that changes the field. x must be
    ! contiguous, be declared with the target attribute, and stay allocated until unbind or finalize.
    generic :: bind => bind_r64_1, bind_r64_2, bind_r64_3, bind_r32_1, bind_r32_2, bind_r32_3
    procedure :: unbind
    ! set_surface(name, x, code [, order] [, nproma]): set the model's own surface of the first year; shapes as in get.
    generic :: set_surface => surface_r64_1, surface_r64_2, surface_r64_3, surface_r32_1, surface_r32_2, surface_r32_3
    ! import_mean(name, x, year, month, day, seconds, code [, units] [, nproma]): give an import as its mean over the
    !   interval from the last one to a date. x(ncell), or x(nproma, nblock).
    generic :: import_mean => import_r64_1, import_r64_2, import_r32_1, import_r32_2
    procedure, private :: run_year, run_date, run_date_int
    procedure, private :: surface_r64_1, surface_r64_2, surface_r64_3, surface_r32_1, surface_r32_2, surface_r32_3
    procedure, private :: import_r64_1, import_r64_2, import_r32_1, import_r32_2
    procedure, private :: get_r64_1, get_r64_2, get_r64_3, get_r32_1, get_r32_2, get_r32_3
    procedure, private :: set_r64_1, set_r64_2, set_r64_3, set_r32_1, set_r32_2, set_r32_3
    procedure, private :: bind_r64_1, bind_r64_2, bind_r64_3, bind_r32_1, bind_r32_2, bind_r32_3
  end type ai4land_t

  interface
    integer(c_int) function c_abi_version() bind(c, name='a4l_abi_version')
      import :: c_int
    end function
    integer(c_int) function c_error_message(text, size) bind(c, name='a4l_error_message')
      import :: c_int, c_char
      character(kind=c_char), intent(out) :: text(*)
      integer(c_int), value :: size
    end function
    integer(c_int) function c_fail(code, message) bind(c, name='a4l_fail')
      import :: c_int, c_char
      integer(c_int), value :: code
      character(kind=c_char), intent(in) :: message(*)
    end function
    integer(c_int) function c_init(config, comm, handle) bind(c, name='a4l_init')
      import :: c_int, c_char
      character(kind=c_char), intent(in) :: config(*)
      integer(c_int), value :: comm
      integer(c_int), intent(inout) :: handle
    end function
    integer(c_int) function c_init_restart(config, restart, comm, handle) bind(c, name='a4l_init_restart')
      import :: c_int, c_char
      character(kind=c_char), intent(in) :: config(*), restart(*)
      integer(c_int), value :: comm
      integer(c_int), intent(inout) :: handle
    end function
    integer(c_int) function c_init_branch(config, restart, comm, handle) bind(c, name='a4l_init_branch')
      import :: c_int, c_char
      character(kind=c_char), intent(in) :: config(*), restart(*)
      integer(c_int), value :: comm
      integer(c_int), intent(inout) :: handle
    end function
    integer(c_int) function c_init_restart_year(config, restart, restart_year, comm, handle) &
        bind(c, name='a4l_init_restart_year')
      import :: c_int, c_char
      character(kind=c_char), intent(in) :: config(*), restart(*)
      integer(c_int), value :: restart_year, comm
      integer(c_int), intent(inout) :: handle
    end function
    integer(c_int) function c_init_branch_year(config, restart, restart_year, comm, handle) &
        bind(c, name='a4l_init_branch_year')
      import :: c_int, c_char
      character(kind=c_char), intent(in) :: config(*), restart(*)
      integer(c_int), value :: restart_year, comm
      integer(c_int), intent(inout) :: handle
    end function
    integer(c_int) function c_set_calendar(handle, calendar) bind(c, name='a4l_set_calendar')
      import :: c_int, c_char
      integer(c_int), value :: handle
      character(kind=c_char), intent(in) :: calendar(*)
    end function
    integer(c_int) function c_set_grid(handle, ncell, global_id, nvert, lon, lat, edges, mask, global_size) &
        bind(c, name='a4l_set_grid')
      import :: c_int, c_int64_t, c_ptr
      integer(c_int), value :: handle, nvert, edges
      integer(c_int64_t), value :: ncell, global_size
      type(c_ptr), value :: global_id, lon, lat, mask
    end function
    integer(c_int) function c_set_named_grid(handle, name) bind(c, name='a4l_set_named_grid')
      import :: c_int, c_char
      integer(c_int), value :: handle
      character(kind=c_char), intent(in) :: name(*)
    end function
    integer(c_int) function c_realize(handle) bind(c, name='a4l_realize')
      import :: c_int
      integer(c_int), value :: handle
    end function
    integer(c_int) function c_run(handle, year) bind(c, name='a4l_run')
      import :: c_int
      integer(c_int), value :: handle, year
    end function
    integer(c_int) function c_run_date(handle, year, month, day, seconds) bind(c, name='a4l_run_date')
      import :: c_int, c_double
      integer(c_int), value :: handle, year, month, day
      real(c_double), value :: seconds
    end function
    integer(c_int) function c_next_year(handle, year) bind(c, name='a4l_next_year')
      import :: c_int
      integer(c_int), value :: handle
      integer(c_int), intent(inout) :: year
    end function
    integer(c_int) function c_date(handle, year, month, day, seconds) bind(c, name='a4l_date')
      import :: c_int, c_double
      integer(c_int), value :: handle
      integer(c_int), intent(inout) :: year, month, day
      real(c_double), intent(inout) :: seconds
    end function
    integer(c_int) function c_step_count(handle, count) bind(c, name='a4l_step_count')
      import :: c_int, c_int64_t
      integer(c_int), value :: handle
      integer(c_int64_t), intent(inout) :: count
    end function
    integer(c_int) function c_field_count(handle, direction, count) bind(c, name='a4l_field_count')
      import :: c_int
      integer(c_int), value :: handle, direction
      integer(c_int), intent(inout) :: count
    end function
    integer(c_int) function c_field_name(handle, direction, index, text, size) bind(c, name='a4l_field_name')
      import :: c_int, c_char
      integer(c_int), value :: handle, direction, index, size
      character(kind=c_char), intent(inout) :: text(*)
    end function
    integer(c_int) function c_import_info(handle, name, units, size) bind(c, name='a4l_import_info')
      import :: c_int, c_char
      integer(c_int), value :: handle, size
      character(kind=c_char), intent(in) :: name(*)
      character(kind=c_char), intent(inout) :: units(*)
    end function
    integer(c_int) function c_import(handle, name, units, year, month, day, seconds, data, kind, nproma, size) &
        bind(c, name='a4l_import')
      import :: c_int, c_int64_t, c_char, c_ptr, c_double
      integer(c_int), value :: handle, year, month, day, kind, nproma
      character(kind=c_char), intent(in) :: name(*)
      type(c_ptr), value :: units, data
      real(c_double), value :: seconds
      integer(c_int64_t), value :: size
    end function
    integer(c_int) function c_set_surface(handle, name, data, kind, order, nproma, ntype, size) &
        bind(c, name='a4l_set_surface')
      import :: c_int, c_int64_t, c_char, c_ptr
      integer(c_int), value :: handle, kind, order, nproma, ntype
      character(kind=c_char), intent(in) :: name(*)
      type(c_ptr), value :: data
      integer(c_int64_t), value :: size
    end function
    integer(c_int) function c_year(handle, year) bind(c, name='a4l_year')
      import :: c_int
      integer(c_int), value :: handle
      integer(c_int), intent(inout) :: year
    end function
    integer(c_int) function c_cell_count(handle, ncell) bind(c, name='a4l_cell_count')
      import :: c_int, c_int64_t
      integer(c_int), value :: handle
      integer(c_int64_t), intent(inout) :: ncell
    end function
    integer(c_int) function c_field_info(handle, name, ntype, units, size) bind(c, name='a4l_field_info')
      import :: c_int, c_char
      integer(c_int), value :: handle, size
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int), intent(inout) :: ntype
      character(kind=c_char), intent(inout) :: units(*)
    end function
    integer(c_int) function c_type_name(handle, name, index, text, size) bind(c, name='a4l_type_name')
      import :: c_int, c_char
      integer(c_int), value :: handle, index, size
      character(kind=c_char), intent(in) :: name(*)
      character(kind=c_char), intent(inout) :: text(*)
    end function
    integer(c_int) function c_get_array(handle, name, data, kind, order, nproma, ntype, size) &
        bind(c, name='a4l_get_array')
      import :: c_int, c_int64_t, c_char, c_ptr
      integer(c_int), value :: handle, kind, order, nproma, ntype
      character(kind=c_char), intent(in) :: name(*)
      type(c_ptr), value :: data
      integer(c_int64_t), value :: size
    end function
    integer(c_int) function c_set_array(handle, name, data, kind, order, nproma, ntype, size) &
        bind(c, name='a4l_set_array')
      import :: c_int, c_int64_t, c_char, c_ptr
      integer(c_int), value :: handle, kind, order, nproma, ntype
      character(kind=c_char), intent(in) :: name(*)
      type(c_ptr), value :: data
      integer(c_int64_t), value :: size
    end function
    integer(c_int) function c_bind_field(handle, name, data, kind, order, nproma, ntype, size) &
        bind(c, name='a4l_bind_field')
      import :: c_int, c_int64_t, c_char, c_ptr
      integer(c_int), value :: handle, kind, order, nproma, ntype
      character(kind=c_char), intent(in) :: name(*)
      type(c_ptr), value :: data
      integer(c_int64_t), value :: size
    end function
    integer(c_int) function c_write_restart(handle, path) bind(c, name='a4l_write_restart')
      import :: c_int, c_char
      integer(c_int), value :: handle
      character(kind=c_char), intent(in) :: path(*)
    end function
    integer(c_int) function c_finalize(handle) bind(c, name='a4l_finalize')
      import :: c_int
      integer(c_int), value :: handle
    end function
  end interface

contains

  ! The version number of the library at run time; this module needs A4L_ABI_VERSION or more.
  integer function a4l_abi()
    a4l_abi = c_abi_version()
  end function

  ! The message of this thread's last failure; new-line characters separate its lines.
  function a4l_message() result(text)
    character(:), allocatable :: text
    character(kind=c_char) :: raw(MESSAGE_LENGTH)
    integer :: ignored
    raw = c_null_char
    ignored = c_error_message(raw, int(MESSAGE_LENGTH, c_int))
    text = from_c(raw)
  end function

  ! Create the component from a configuration file. Collective over comm. restart: a folder of restarts to continue
  ! from, or with branch=.true. to branch off from. restart_year: the year of the restart; default: the newest one, or
  ! for a branch that of time.start.
  subroutine init(self, config, comm, code, restart, branch, restart_year)
    class(ai4land_t), intent(inout) :: self
    character(*), intent(in) :: config
    integer, intent(in) :: comm
    integer, intent(out) :: code
    character(*), intent(in), optional :: restart
    logical, intent(in), optional :: branch
    integer, intent(in), optional :: restart_year
    integer(c_int) :: handle
    logical :: off
    handle = self%handle
    off = .false.
    if (present(branch)) off = branch
    if (off .and. .not. present(restart)) then
      code = refuse(A4L_ERR_CONFIG, 'init: branch needs the restart to branch off from')
    else if (present(restart_year) .and. .not. present(restart)) then
      code = refuse(A4L_ERR_CONFIG, 'init: restart_year needs the folder of the restart')
    else if (off .and. present(restart_year)) then
      code = c_init_branch_year(to_c(config), to_c(restart), int(restart_year, c_int), int(comm, c_int), handle)
    else if (present(restart_year)) then
      code = c_init_restart_year(to_c(config), to_c(restart), int(restart_year, c_int), int(comm, c_int), handle)
    else if (off) then
      code = c_init_branch(to_c(config), to_c(restart), int(comm, c_int), handle)
    else if (present(restart)) then
      code = c_init_restart(to_c(config), to_c(restart), int(comm, c_int), handle)
    else
      code = c_init(to_c(config), int(comm, c_int), handle)
    end if
    if (code == A4L_OK) self%handle = handle
  end subroutine

  ! The cells that this rank owns. global_id(ncell): 0-based. lon, lat(nvert, ncell): corners in degrees,
  ! counter-clockwise. mask(ncell): .false. for cells that are not used. Local.
  subroutine set_grid(self, global_id, lon, lat, edges, global_size, code, mask)
    class(ai4land_t), intent(in) :: self
    integer(c_int64_t), intent(in) :: global_id(:)
    real(c_double), intent(in) :: lon(:, :), lat(:, :)
    integer, intent(in) :: edges
    integer(c_int64_t), intent(in) :: global_size
    integer, intent(out) :: code
    logical, intent(in), optional :: mask(:)
    integer(c_int64_t), allocatable, target :: ids(:)
    real(c_double), allocatable, target :: x(:, :), y(:, :)
    integer(c_int32_t), allocatable, target :: taken(:)
    type(c_ptr) :: where_taken
    integer :: n
    n = size(global_id)
    if (any(shape(lon) /= shape(lat)) .or. size(lon, 2) /= n) then
      code = refuse(A4L_ERR_GRID, 'set_grid: lon and lat must be (nvert, ncell), ncell the size of global_id')
      return
    end if
    ! One element more than needed, because c_loc does not accept size 0.
    allocate (ids(n + 1), x(size(lon, 1), n + 1), y(size(lon, 1), n + 1), taken(n + 1))
    ids(:n) = global_id
    x(:, :n) = lon
    y(:, :n) = lat
    where_taken = c_null_ptr
    if (present(mask)) then
      if (size(mask) /= n) then
        code = refuse(A4L_ERR_GRID, 'set_grid: mask must have the size of global_id')
        return
      end if
      taken(:n) = merge(1_c_int32_t, 0_c_int32_t, mask)
      where_taken = c_loc(taken)
    end if
    code = c_set_grid(self%handle, int(n, c_int64_t), c_loc(ids), size(lon, 1, c_int), c_loc(x), c_loc(y), &
                      int(edges, c_int), where_taken, global_size)
  end subroutine

  ! Use a grid of the configuration's `hosts`, split evenly over the ranks. Collective.
  subroutine set_named_grid(self, name, code)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    integer, intent(out) :: code
    code = c_set_named_grid(self%handle, to_c(name))
  end subroutine

  ! Make the regridding weights. Collective.
  subroutine realize(self, code)
    class(ai4land_t), intent(in) :: self
    integer, intent(out) :: code
    code = c_realize(self%handle)
  end subroutine

  ! Take every step that is due by 1 January of `to_year`. Collective if a step is due.
  subroutine run_year(self, to_year, code)
    class(ai4land_t), intent(in) :: self
    integer, intent(in) :: to_year
    integer, intent(out) :: code
    code = c_run(self%handle, int(to_year, c_int))
  end subroutine

  ! The same for a date; seconds count from midnight. Call this at each time step of the model.
  subroutine run_date(self, to_year, month, day, seconds, code)
    class(ai4land_t), intent(in) :: self
    integer, intent(in) :: to_year, month, day
    real(c_double), intent(in) :: seconds
    integer, intent(out) :: code
    code = c_run_date(self%handle, int(to_year, c_int), int(month, c_int), int(day, c_int), seconds)
  end subroutine

  subroutine run_date_int(self, to_year, month, day, seconds, code)
    class(ai4land_t), intent(in) :: self
    integer, intent(in) :: to_year, month, day, seconds
    integer, intent(out) :: code
    call self%run_date(to_year, month, day, real(seconds, c_double), code)
  end subroutine

  ! Set the model's calendar, by a name of cftime. Call this before the first run. Local.
  subroutine set_calendar(self, calendar, code)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: calendar
    integer, intent(out) :: code
    code = c_set_calendar(self%handle, to_c(calendar))
  end subroutine

  ! The year of the fields 'name@next'.
  subroutine next_year(self, this_year, code)
    class(ai4land_t), intent(in) :: self
    integer, intent(inout) :: this_year
    integer, intent(out) :: code
    integer(c_int) :: found
    code = c_next_year(self%handle, found)
    if (code == A4L_OK) this_year = found
  end subroutine

  ! The last date that the model ran to.
  subroutine date(self, this_year, month, day, seconds, code)
    class(ai4land_t), intent(in) :: self
    integer, intent(inout) :: this_year, month, day
    real(c_double), intent(inout) :: seconds
    integer, intent(out) :: code
    integer(c_int) :: y, m, d
    code = c_date(self%handle, y, m, d, seconds)
    if (code /= A4L_OK) return
    this_year = y
    month = m
    day = d
  end subroutine

  ! A number that grows whenever exports change.
  subroutine step_count(self, count, code)
    class(ai4land_t), intent(in) :: self
    integer, intent(inout) :: count
    integer, intent(out) :: code
    integer(c_int64_t) :: found
    code = c_step_count(self%handle, found)
    if (code == A4L_OK) count = int(found)
  end subroutine

  ! Number of fields of a direction: A4L_EXPORT or A4L_IMPORT.
  subroutine field_count(self, direction, count, code)
    class(ai4land_t), intent(in) :: self
    integer, intent(in) :: direction
    integer, intent(inout) :: count
    integer, intent(out) :: code
    integer(c_int) :: found
    code = c_field_count(self%handle, int(direction, c_int), found)
    if (code == A4L_OK) count = found
  end subroutine

  ! The name of field `index`, from 1, of a direction.
  subroutine field_name(self, direction, index, text, code)
    class(ai4land_t), intent(in) :: self
    integer, intent(in) :: direction, index
    character(:), allocatable, intent(inout) :: text
    integer, intent(out) :: code
    character(kind=c_char) :: raw(TEXT_LENGTH)
    code = c_field_name(self%handle, int(direction, c_int), int(index - 1, c_int), raw, int(TEXT_LENGTH, c_int))
    if (code == A4L_OK) text = from_c(raw)
  end subroutine

  ! The units of an import.
  subroutine import_info(self, name, units, code)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    character(:), allocatable, intent(inout) :: units
    integer, intent(out) :: code
    character(kind=c_char) :: raw(TEXT_LENGTH)
    code = c_import_info(self%handle, to_c(name), raw, int(TEXT_LENGTH, c_int))
    if (code == A4L_OK) units = from_c(raw)
  end subroutine

  ! Year of the state: it is valid from 1 January of this year.
  subroutine year(self, this_year, code)
    class(ai4land_t), intent(in) :: self
    integer, intent(inout) :: this_year
    integer, intent(out) :: code
    integer(c_int) :: found
    code = c_year(self%handle, found)
    if (code == A4L_OK) this_year = found
  end subroutine

  ! Number of cells of the grid that this rank owns.
  subroutine cell_count(self, ncell, code)
    class(ai4land_t), intent(in) :: self
    integer, intent(inout) :: ncell
    integer, intent(out) :: code
    integer(c_int64_t) :: found
    code = c_cell_count(self%handle, found)
    if (code == A4L_OK) ncell = int(found)
  end subroutine

  ! Number of types of an export, and its units.
  subroutine field_info(self, name, ntype, units, code)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    integer, intent(inout) :: ntype
    character(:), allocatable, intent(inout) :: units
    integer, intent(out) :: code
    character(kind=c_char) :: raw(TEXT_LENGTH)
    integer(c_int) :: found
    code = c_field_info(self%handle, to_c(name), found, raw, int(TEXT_LENGTH, c_int))
    if (code /= A4L_OK) return
    ntype = found
    units = from_c(raw)
  end subroutine

  ! The name of type `index`, from 1, of an export.
  subroutine type_name(self, name, index, text, code)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    integer, intent(in) :: index
    character(:), allocatable, intent(inout) :: text
    integer, intent(out) :: code
    character(kind=c_char) :: raw(TEXT_LENGTH)
    code = c_type_name(self%handle, to_c(name), int(index - 1, c_int), raw, int(TEXT_LENGTH, c_int))
    if (code == A4L_OK) text = from_c(raw)
  end subroutine

  ! Write the whole state to a folder. Collective.
  subroutine write_restart(self, path, code)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: path
    integer, intent(out) :: code
    code = c_write_restart(self%handle, to_c(path))
  end subroutine

  ! Release the component. Collective.
  subroutine finalize(self, code)
    class(ai4land_t), intent(in) :: self
    integer, intent(out) :: code
    code = c_finalize(self%handle)
  end subroutine

  ! End a binding: the component does not use the array any more.
  subroutine unbind(self, name, code)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    integer, intent(out) :: code
    code = c_bind_field(self%handle, to_c(name), c_null_ptr, REAL64, 0_c_int, 0_c_int, 0_c_int, 0_c_int64_t)
  end subroutine

  subroutine get_r64_1(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_double), intent(inout), target :: x(:)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_double), allocatable, target :: copy(:)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_get_array(self%handle, to_c(name), c_loc(x), REAL64, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    else
      copy = x
      code = c_get_array(self%handle, to_c(name), c_loc(copy), REAL64, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
      if (code == A4L_OK) x = copy
    end if
  end subroutine

  subroutine get_r64_2(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_double), intent(inout), target :: x(:, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_double), allocatable, target :: copy(:, :)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_get_array(self%handle, to_c(name), c_loc(x), REAL64, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    else
      copy = x
      code = c_get_array(self%handle, to_c(name), c_loc(copy), REAL64, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
      if (code == A4L_OK) x = copy
    end if
  end subroutine

  subroutine get_r64_3(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_double), intent(inout), target :: x(:, :, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_double), allocatable, target :: copy(:, :, :)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_get_array(self%handle, to_c(name), c_loc(x), REAL64, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    else
      copy = x
      code = c_get_array(self%handle, to_c(name), c_loc(copy), REAL64, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
      if (code == A4L_OK) x = copy
    end if
  end subroutine

  subroutine get_r32_1(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_float), intent(inout), target :: x(:)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_float), allocatable, target :: copy(:)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_get_array(self%handle, to_c(name), c_loc(x), REAL32, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    else
      copy = x
      code = c_get_array(self%handle, to_c(name), c_loc(copy), REAL32, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
      if (code == A4L_OK) x = copy
    end if
  end subroutine

  subroutine get_r32_2(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_float), intent(inout), target :: x(:, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_float), allocatable, target :: copy(:, :)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_get_array(self%handle, to_c(name), c_loc(x), REAL32, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    else
      copy = x
      code = c_get_array(self%handle, to_c(name), c_loc(copy), REAL32, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
      if (code == A4L_OK) x = copy
    end if
  end subroutine

  subroutine get_r32_3(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_float), intent(inout), target :: x(:, :, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_float), allocatable, target :: copy(:, :, :)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_get_array(self%handle, to_c(name), c_loc(x), REAL32, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    else
      copy = x
      code = c_get_array(self%handle, to_c(name), c_loc(copy), REAL32, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
      if (code == A4L_OK) x = copy
    end if
  end subroutine

  subroutine set_r64_1(self, name, x, code, order, nproma, ntime)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_double), intent(in), target :: x(:)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma, ntime
    real(c_double), allocatable, target :: copy(:)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma, ntime)
    if (is_contiguous(x)) then
      code = c_set_array(self%handle, to_c(name), c_loc(x), REAL64, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    else
      copy = x
      code = c_set_array(self%handle, to_c(name), c_loc(copy), REAL64, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    end if
  end subroutine

  subroutine set_r64_2(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_double), intent(in), target :: x(:, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_double), allocatable, target :: copy(:, :)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_set_array(self%handle, to_c(name), c_loc(x), REAL64, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    else
      copy = x
      code = c_set_array(self%handle, to_c(name), c_loc(copy), REAL64, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    end if
  end subroutine

  subroutine set_r64_3(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_double), intent(in), target :: x(:, :, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_double), allocatable, target :: copy(:, :, :)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_set_array(self%handle, to_c(name), c_loc(x), REAL64, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    else
      copy = x
      code = c_set_array(self%handle, to_c(name), c_loc(copy), REAL64, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    end if
  end subroutine

  subroutine set_r32_1(self, name, x, code, order, nproma, ntime)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_float), intent(in), target :: x(:)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma, ntime
    real(c_float), allocatable, target :: copy(:)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma, ntime)
    if (is_contiguous(x)) then
      code = c_set_array(self%handle, to_c(name), c_loc(x), REAL32, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    else
      copy = x
      code = c_set_array(self%handle, to_c(name), c_loc(copy), REAL32, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    end if
  end subroutine

  subroutine set_r32_2(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_float), intent(in), target :: x(:, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_float), allocatable, target :: copy(:, :)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_set_array(self%handle, to_c(name), c_loc(x), REAL32, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    else
      copy = x
      code = c_set_array(self%handle, to_c(name), c_loc(copy), REAL32, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    end if
  end subroutine

  subroutine set_r32_3(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_float), intent(in), target :: x(:, :, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_float), allocatable, target :: copy(:, :, :)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_set_array(self%handle, to_c(name), c_loc(x), REAL32, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    else
      copy = x
      code = c_set_array(self%handle, to_c(name), c_loc(copy), REAL32, way%order, way%nproma, way%ntype, &
                         size(x, kind=c_int64_t))
    end if
  end subroutine

  subroutine bind_r64_1(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_double), intent(inout), target :: x(:)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (.not. is_contiguous(x)) then
      code = refuse(A4L_ERR_FIELD, 'bind: the array for '//name//' is strided; only contiguous memory can be bound')
      return
    end if
    code = c_bind_field(self%handle, to_c(name), c_loc(x), REAL64, way%order, way%nproma, way%ntype, &
                        size(x, kind=c_int64_t))
  end subroutine

  subroutine bind_r64_2(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_double), intent(inout), target :: x(:, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (.not. is_contiguous(x)) then
      code = refuse(A4L_ERR_FIELD, 'bind: the array for '//name//' is strided; only contiguous memory can be bound')
      return
    end if
    code = c_bind_field(self%handle, to_c(name), c_loc(x), REAL64, way%order, way%nproma, way%ntype, &
                        size(x, kind=c_int64_t))
  end subroutine

  subroutine bind_r64_3(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_double), intent(inout), target :: x(:, :, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (.not. is_contiguous(x)) then
      code = refuse(A4L_ERR_FIELD, 'bind: the array for '//name//' is strided; only contiguous memory can be bound')
      return
    end if
    code = c_bind_field(self%handle, to_c(name), c_loc(x), REAL64, way%order, way%nproma, way%ntype, &
                        size(x, kind=c_int64_t))
  end subroutine

  subroutine bind_r32_1(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_float), intent(inout), target :: x(:)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (.not. is_contiguous(x)) then
      code = refuse(A4L_ERR_FIELD, 'bind: the array for '//name//' is strided; only contiguous memory can be bound')
      return
    end if
    code = c_bind_field(self%handle, to_c(name), c_loc(x), REAL32, way%order, way%nproma, way%ntype, &
                        size(x, kind=c_int64_t))
  end subroutine

  subroutine bind_r32_2(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_float), intent(inout), target :: x(:, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (.not. is_contiguous(x)) then
      code = refuse(A4L_ERR_FIELD, 'bind: the array for '//name//' is strided; only contiguous memory can be bound')
      return
    end if
    code = c_bind_field(self%handle, to_c(name), c_loc(x), REAL32, way%order, way%nproma, way%ntype, &
                        size(x, kind=c_int64_t))
  end subroutine

  subroutine bind_r32_3(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_float), intent(inout), target :: x(:, :, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (.not. is_contiguous(x)) then
      code = refuse(A4L_ERR_FIELD, 'bind: the array for '//name//' is strided; only contiguous memory can be bound')
      return
    end if
    code = c_bind_field(self%handle, to_c(name), c_loc(x), REAL32, way%order, way%nproma, way%ntype, &
                        size(x, kind=c_int64_t))
  end subroutine

  subroutine surface_r64_1(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_double), intent(in), target :: x(:)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_double), allocatable, target :: copy(:)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_set_surface(self%handle, to_c(name), c_loc(x), REAL64, way%order, way%nproma, way%ntype, &
                           size(x, kind=c_int64_t))
    else
      copy = x
      code = c_set_surface(self%handle, to_c(name), c_loc(copy), REAL64, way%order, way%nproma, way%ntype, &
                           size(x, kind=c_int64_t))
    end if
  end subroutine

  subroutine surface_r64_2(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_double), intent(in), target :: x(:, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_double), allocatable, target :: copy(:, :)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_set_surface(self%handle, to_c(name), c_loc(x), REAL64, way%order, way%nproma, way%ntype, &
                           size(x, kind=c_int64_t))
    else
      copy = x
      code = c_set_surface(self%handle, to_c(name), c_loc(copy), REAL64, way%order, way%nproma, way%ntype, &
                           size(x, kind=c_int64_t))
    end if
  end subroutine

  subroutine surface_r64_3(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_double), intent(in), target :: x(:, :, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_double), allocatable, target :: copy(:, :, :)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_set_surface(self%handle, to_c(name), c_loc(x), REAL64, way%order, way%nproma, way%ntype, &
                           size(x, kind=c_int64_t))
    else
      copy = x
      code = c_set_surface(self%handle, to_c(name), c_loc(copy), REAL64, way%order, way%nproma, way%ntype, &
                           size(x, kind=c_int64_t))
    end if
  end subroutine

  subroutine import_r64_1(self, name, x, to_year, month, day, seconds, code, units, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_double), intent(in) :: x(:)
    integer, intent(in) :: to_year, month, day
    real(c_double), intent(in) :: seconds
    integer, intent(out) :: code
    character(*), intent(in), optional :: units
    integer, intent(in), optional :: nproma
    real(c_double), allocatable, target :: copy(:)
    character(kind=c_char), allocatable, target :: raw(:)
    type(c_ptr) :: where_units
    integer(c_int) :: length
    length = 0
    if (present(nproma)) length = int(nproma, c_int)
    where_units = c_null_ptr
    if (present(units)) then
      allocate (raw(len_trim(units) + 1))
      raw(:) = to_c(units)
      where_units = c_loc(raw)
    end if
    copy = x
    code = c_import(self%handle, to_c(name), where_units, int(to_year, c_int), int(month, c_int), int(day, c_int), &
                    seconds, c_loc(copy), REAL64, length, size(copy, kind=c_int64_t))
  end subroutine

  subroutine import_r64_2(self, name, x, to_year, month, day, seconds, code, units, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_double), intent(in) :: x(:, :)
    integer, intent(in) :: to_year, month, day
    real(c_double), intent(in) :: seconds
    integer, intent(out) :: code
    character(*), intent(in), optional :: units
    integer, intent(in), optional :: nproma
    real(c_double), allocatable, target :: copy(:, :)
    character(kind=c_char), allocatable, target :: raw(:)
    type(c_ptr) :: where_units
    integer(c_int) :: length
    length = size(x, 1, c_int)
    if (present(nproma)) length = int(nproma, c_int)
    where_units = c_null_ptr
    if (present(units)) then
      allocate (raw(len_trim(units) + 1))
      raw(:) = to_c(units)
      where_units = c_loc(raw)
    end if
    copy = x
    code = c_import(self%handle, to_c(name), where_units, int(to_year, c_int), int(month, c_int), int(day, c_int), &
                    seconds, c_loc(copy), REAL64, length, size(copy, kind=c_int64_t))
  end subroutine

  subroutine surface_r32_1(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_float), intent(in), target :: x(:)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_float), allocatable, target :: copy(:)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_set_surface(self%handle, to_c(name), c_loc(x), REAL32, way%order, way%nproma, way%ntype, &
                           size(x, kind=c_int64_t))
    else
      copy = x
      code = c_set_surface(self%handle, to_c(name), c_loc(copy), REAL32, way%order, way%nproma, way%ntype, &
                           size(x, kind=c_int64_t))
    end if
  end subroutine

  subroutine surface_r32_2(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_float), intent(in), target :: x(:, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_float), allocatable, target :: copy(:, :)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_set_surface(self%handle, to_c(name), c_loc(x), REAL32, way%order, way%nproma, way%ntype, &
                           size(x, kind=c_int64_t))
    else
      copy = x
      code = c_set_surface(self%handle, to_c(name), c_loc(copy), REAL32, way%order, way%nproma, way%ntype, &
                           size(x, kind=c_int64_t))
    end if
  end subroutine

  subroutine surface_r32_3(self, name, x, code, order, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_float), intent(in), target :: x(:, :, :)
    integer, intent(out) :: code
    integer, intent(in), optional :: order, nproma
    real(c_float), allocatable, target :: copy(:, :, :)
    type(layout_t) :: way
    way = layout(shape(x), order, nproma)
    if (is_contiguous(x)) then
      code = c_set_surface(self%handle, to_c(name), c_loc(x), REAL32, way%order, way%nproma, way%ntype, &
                           size(x, kind=c_int64_t))
    else
      copy = x
      code = c_set_surface(self%handle, to_c(name), c_loc(copy), REAL32, way%order, way%nproma, way%ntype, &
                           size(x, kind=c_int64_t))
    end if
  end subroutine

  subroutine import_r32_1(self, name, x, to_year, month, day, seconds, code, units, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_float), intent(in) :: x(:)
    integer, intent(in) :: to_year, month, day
    real(c_double), intent(in) :: seconds
    integer, intent(out) :: code
    character(*), intent(in), optional :: units
    integer, intent(in), optional :: nproma
    real(c_float), allocatable, target :: copy(:)
    character(kind=c_char), allocatable, target :: raw(:)
    type(c_ptr) :: where_units
    integer(c_int) :: length
    length = 0
    if (present(nproma)) length = int(nproma, c_int)
    where_units = c_null_ptr
    if (present(units)) then
      allocate (raw(len_trim(units) + 1))
      raw(:) = to_c(units)
      where_units = c_loc(raw)
    end if
    copy = x
    code = c_import(self%handle, to_c(name), where_units, int(to_year, c_int), int(month, c_int), int(day, c_int), &
                    seconds, c_loc(copy), REAL32, length, size(copy, kind=c_int64_t))
  end subroutine

  subroutine import_r32_2(self, name, x, to_year, month, day, seconds, code, units, nproma)
    class(ai4land_t), intent(in) :: self
    character(*), intent(in) :: name
    real(c_float), intent(in) :: x(:, :)
    integer, intent(in) :: to_year, month, day
    real(c_double), intent(in) :: seconds
    integer, intent(out) :: code
    character(*), intent(in), optional :: units
    integer, intent(in), optional :: nproma
    real(c_float), allocatable, target :: copy(:, :)
    character(kind=c_char), allocatable, target :: raw(:)
    type(c_ptr) :: where_units
    integer(c_int) :: length
    length = size(x, 1, c_int)
    if (present(nproma)) length = int(nproma, c_int)
    where_units = c_null_ptr
    if (present(units)) then
      allocate (raw(len_trim(units) + 1))
      raw(:) = to_c(units)
      where_units = c_loc(raw)
    end if
    copy = x
    code = c_import(self%handle, to_c(name), where_units, int(to_year, c_int), int(month, c_int), int(day, c_int), &
                    seconds, c_loc(copy), REAL32, length, size(copy, kind=c_int64_t))
  end subroutine

  ! Layout arguments of a4l.h for an array of this shape. ntype 0: no check.
  pure type(layout_t) function layout(extents, order, nproma, ntype) result(way)
    integer, intent(in) :: extents(:)
    integer, intent(in), optional :: order, nproma, ntype
    integer :: type_dimension, cell_dimension
    way = layout_t(A4L_CELL_FASTEST, 0, 0)
    if (present(order)) way%order = int(order, c_int)
    if (present(nproma)) way%nproma = int(nproma, c_int)
    if (present(ntype)) way%ntype = int(ntype, c_int)
    type_dimension = size(extents)
    if (way%order == A4L_TYPE_FASTEST) type_dimension = 1
    if (way%order == A4L_TYPE_IN_BLOCK) type_dimension = 2
    cell_dimension = merge(2, 1, way%order == A4L_TYPE_FASTEST)
    if (size(extents) == 3) then
      way%ntype = int(extents(type_dimension), c_int)
      if (.not. present(nproma)) way%nproma = int(extents(cell_dimension), c_int)
    else if (size(extents) == 2) then
      way%ntype = 1
      if (.not. present(nproma)) way%ntype = int(extents(type_dimension), c_int)
    end if
  end function

  integer function refuse(code, message)
    integer, intent(in) :: code
    character(*), intent(in) :: message
    refuse = c_fail(int(code, c_int), to_c(message))
  end function

  pure function to_c(text) result(raw)
    character(*), intent(in) :: text
    character(kind=c_char) :: raw(len_trim(text) + 1)
    integer :: i
    do i = 1, len_trim(text)
      raw(i) = text(i:i)
    end do
    raw(len_trim(text) + 1) = c_null_char
  end function

  pure function from_c(raw) result(text)
    character(kind=c_char), intent(in) :: raw(:)
    character(:), allocatable :: text
    integer :: i, n
    n = 0
    do while (n < size(raw))
      if (raw(n + 1) == c_null_char) exit
      n = n + 1
    end do
    allocate (character(n) :: text)
    do i = 1, n
      text(i:i) = raw(i)
    end do
  end function

end module ai4land_mod
