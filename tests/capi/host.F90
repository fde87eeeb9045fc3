! The same as host.c, with ai4land_mod: makes the calls of its arguments and prints a line for each call:
!     <rank> <argument> <code> <answer or message, line ends as '|'>
! tests/capi/test_capi_fortran.py lists the arguments. With -DWITHOUT_MPI it needs no MPI library.
module calls
  use, intrinsic :: iso_c_binding, only: c_int64_t
  use, intrinsic :: iso_fortran_env, only: real32, real64
  use, intrinsic :: ieee_arithmetic, only: ieee_value, ieee_quiet_nan
  use ai4land_mod
  implicit none
  integer, parameter :: cells = 3, months = 12
  type(ai4land_t) :: land
  integer :: rank = 0, comm = A4L_NO_COMM, code = 0
  character(4096) :: answer

  ! What get and bind write to; `show` prints one of them in the order of memory.
  real(real64), target :: row(6), table(3, 2), turned(2, 3), blocks(2, 2, 2), blocks_turned(2, 2, 2), wide(6, 4), &
                          plain(3), plain_blocks(2, 2), wrong(3, 3), fourth(3, 2, 2), long(9), none(0)
  real(real32), target :: row4(6), table4(3, 2), turned4(2, 3), blocks4(2, 2, 2), wide4(6, 4), plain4(3)

contains

  subroutine say(word)
    character(*), intent(in) :: word
    integer :: i
    if (code /= A4L_OK) answer = a4l_message()
    do i = 1, len_trim(answer)
      if (answer(i:i) == new_line('a')) answer(i:i) = '|'
    end do
    write (*, '(i0,1x,a,1x,i0,1x,a)') rank, word, code, trim(answer)
    flush (6)
  end subroutine

  subroutine clear()
    row = -1; table = -1; turned = -1; blocks = -1; blocks_turned = -1; wide = -1; plain = -1; plain_blocks = -1
    wrong = -1; fourth = -1; row4 = -1; table4 = -1; turned4 = -1; blocks4 = -1; wide4 = -1; plain4 = -1; long = -1
  end subroutine

  subroutine get(how)
    character(*), intent(in) :: how
    character(*), parameter :: cover = 'landCoverFrac'
    call clear()
    select case (how)
    case ('row'); call land%get(cover, row, code)
    case ('table'); call land%get(cover, table, code)
    case ('turned'); call land%get(cover, turned, code, order=A4L_TYPE_FASTEST)
    case ('blocks'); call land%get(cover, blocks, code)
    case ('blocks_turned'); call land%get(cover, blocks_turned, code, order=A4L_TYPE_FASTEST)
    case ('type_in_block'); call land%get(cover, blocks, code, order=A4L_TYPE_IN_BLOCK)
    case ('wide'); call land%get(cover, wide(1:6:2, 1:4:2), code)
    case ('plain'); call land%get('lai', plain, code)
    case ('plain_blocks'); call land%get('lai', plain_blocks, code, nproma=2)
    case ('row4'); call land%get(cover, row4, code)
    case ('table4'); call land%get(cover, table4, code)
    case ('turned4'); call land%get(cover, turned4, code, order=A4L_TYPE_FASTEST)
    case ('blocks4'); call land%get(cover, blocks4, code)
    case ('wide4'); call land%get(cover, wide4(1:6:2, 1:4:2), code)
    case ('plain4'); call land%get('lai', plain4, code)
    case ('wrong'); call land%get(cover, wrong, code)
    case ('long'); call land%get(cover, long, code)
    case ('fourth'); call land%get(cover, fourth, code)
    case ('order'); call land%get(cover, table, code, order=7)
    case ('unknown'); call land%get('lei', plain, code)
    case ('none'); call land%get('lai', none, code)
    case ('temperature'); call land%get('temperature', plain, code)
    case ('land'); call land%get('land', plain, code)
    case ('surface'); call land%get('surface', table, code)
    case ('next'); call land%get('lai@next', plain, code)
    case ('date'); call land%get('lai@date', plain, code)
    end select
    if (code /= A4L_OK) return
    select case (how)
    case ('temperature', 'land', 'next', 'date'); call show('plain')
    case ('surface'); call show('table')
    case default; call show(how)
    end select
  end subroutine

  subroutine bind(how)
    character(*), intent(in) :: how
    character(*), parameter :: cover = 'landCoverFrac'
    call clear()
    select case (how)
    case ('row'); call land%bind(cover, row, code)
    case ('table'); call land%bind(cover, table, code)
    case ('blocks'); call land%bind(cover, blocks, code)
    case ('wide'); call land%bind(cover, wide(1:6:2, 1:4:2), code)
    case ('plain'); call land%bind('lai', plain, code)
    case ('plain_blocks'); call land%bind('lai', plain_blocks, code, nproma=2)
    case ('row4'); call land%bind(cover, row4, code)
    case ('table4'); call land%bind(cover, table4, code)
    case ('blocks4'); call land%bind(cover, blocks4, code, order=A4L_TYPE_IN_BLOCK)
    case ('plain4'); call land%bind('lai', plain4, code)
    end select
  end subroutine

  subroutine show(what)
    character(*), intent(in) :: what
    select case (trim(what))
    case ('row'); call list(row)
    case ('table'); call list(reshape(table, [size(table)]))
    case ('turned'); call list(reshape(turned, [size(turned)]))
    case ('blocks', 'type_in_block'); call list(reshape(blocks, [size(blocks)]))
    case ('blocks_turned'); call list(reshape(blocks_turned, [size(blocks_turned)]))
    case ('wide'); call list(reshape(wide, [size(wide)]))
    case ('plain'); call list(plain)
    case ('plain_blocks'); call list(reshape(plain_blocks, [size(plain_blocks)]))
    case ('row4'); call list(real(row4, real64))
    case ('table4'); call list(real(reshape(table4, [size(table4)]), real64))
    case ('turned4'); call list(real(reshape(turned4, [size(turned4)]), real64))
    case ('blocks4'); call list(real(reshape(blocks4, [size(blocks4)]), real64))
    case ('wide4'); call list(real(reshape(wide4, [size(wide4)]), real64))
    case ('plain4'); call list(real(plain4, real64))
    end select
  end subroutine

  subroutine list(values)
    real(real64), intent(in) :: values(:)
    write (answer, '(*(g0.8,1x))') values
  end subroutine

  ! An import of 3 (month - 1) + cell - 1 in every layout, or of 280, 281, 282 for all the year.
  subroutine set(how)
    character(*), intent(in) :: how
    character(*), parameter :: name = 'air_temperature'
    real(real64) :: year(cells), monthly(cells, months), twice(2*cells, 2*months), blocked(2, 2, months)
    integer :: i
    year = [280, 281, 282]
    monthly = reshape([(real(i, real64), i=0, cells*months - 1)], [cells, months])
    twice = -1
    twice(1:2*cells:2, 1:2*months:2) = monthly
    blocked = -1
    blocked(:, 1, :) = monthly(:2, :)
    blocked(1, 2, :) = monthly(3, :)
    select case (how)
    case ('year'); call land%set(name, year, code)
    case ('year4'); call land%set(name, real(year, real32), code)
    case ('year_blocks'); call land%set(name, reshape([year, -9d0], [2, 2]), code, nproma=2)
    case ('row'); call land%set(name, reshape(monthly, [cells*months]), code, ntime=months)
    case ('row4'); call land%set(name, real(reshape(monthly, [cells*months]), real32), code, ntime=months)
    case ('table'); call land%set(name, monthly, code)
    case ('table4'); call land%set(name, real(monthly, real32), code)
    case ('turned'); call land%set(name, transpose(monthly), code, order=A4L_TYPE_FASTEST)
    case ('wide'); call land%set(name, twice(1:2*cells:2, 1:2*months:2), code)
    case ('wide4'); call land%set(name, real(twice(1:2*cells:2, 1:2*months:2), real32), code)
    case ('blocks'); call land%set(name, blocked, code)
    case ('length'); call land%set(name, year(:2), code)
    case ('seasons'); call land%set(name, monthly(:, :4), code)
    end select
  end subroutine

  ! Air temperature of `n` cells, not a number on one rank.
  subroutine set_faulty(nan_rank, n)
    integer, intent(in) :: nan_rank, n
    real(real64) :: t(3)
    t = [280, 281, 282]
    if (rank == nan_rank) t(1) = ieee_value(t(1), ieee_quiet_nan)
    call land%set('air_temperature', t(:n), code)
  end subroutine

  ! 1, 2, 3 up to half past the third of February 2001.
  subroutine import_mean(how)
    character(*), intent(in) :: how
    character(*), parameter :: name = 'air_temperature'
    real(real64) :: x(3), twice(6), blocked(2, 2)
    x = [1, 2, 3]
    twice = -99
    twice(1:6:2) = x
    blocked = reshape([1, 2, 3, -99], [2, 2])
    select case (how)
    case ('x'); call land%import_mean(name, x, 2001, 2, 3, 43200d0, code)
    case ('x4'); call land%import_mean(name, real(x, real32), 2001, 2, 3, 43200d0, code, units='K')
    case ('celsius'); call land%import_mean(name, x - 273.15d0, 2001, 2, 3, 43200d0, code, units='degC')
    case ('wide'); call land%import_mean(name, twice(1:6:2), 2001, 2, 3, 43200d0, code)
    case ('blocks'); call land%import_mean(name, blocked, 2001, 2, 3, 43200d0, code)
    case ('blocks4'); call land%import_mean(name, real(blocked, real32), 2001, 2, 3, 43200d0, code)
    case ('flat_blocks'); call land%import_mean(name, reshape(blocked, [4]), 2001, 2, 3, 43200d0, code, nproma=2)
    case ('short'); call land%import_mean(name, x(:2), 2001, 2, 3, 43200d0, code)
    end select
  end subroutine

  ! 1 to 6 as (cell, type) in every layout; or the land fraction 0.5, 0.25, 1.
  subroutine set_surface(how)
    character(*), intent(in) :: how
    character(*), parameter :: cover = 'landCoverFrac'
    real(real64) :: x(3, 2), twice(6, 4), blocked(2, 2, 2)
    integer :: i
    x = reshape([(real(i, real64), i=1, 6)], [3, 2])
    twice = -9
    twice(1:6:2, 1:4:2) = x
    blocked = -9
    blocked(:, 1, :) = x(:2, :)
    blocked(1, 2, :) = x(3, :)
    select case (how)
    case ('row'); call land%set_surface(cover, reshape(x, [6]), code)
    case ('table'); call land%set_surface(cover, x, code)
    case ('table4'); call land%set_surface(cover, real(x, real32), code)
    case ('turned'); call land%set_surface(cover, transpose(x), code, order=A4L_TYPE_FASTEST)
    case ('wide'); call land%set_surface(cover, twice(1:6:2, 1:4:2), code)
    case ('blocks'); call land%set_surface(cover, blocked, code)
    case ('blocks4'); call land%set_surface(cover, real(blocked, real32), code)
    case ('wrong'); call land%set_surface(cover, transpose(x), code)
    case ('land'); call land%set_surface('land_area_fraction', [0.5d0, 0.25d0, 1d0], code)
    case ('land_blocks')
      call land%set_surface('land_area_fraction', reshape([0.5, 0.25, 1., -9.], [2, 2]), code, nproma=2)
    end select
  end subroutine

  ! Three cells a rank, each a degree wide; with a mask the second takes no part.
  subroutine set_grid(how)
    character(*), intent(in) :: how
    integer(c_int64_t) :: ids(cells)
    real(real64) :: lon(4, cells), lat(4, cells), west
    integer :: i, part
    part = merge(0, rank, how == 'same')
    do i = 1, cells
      west = 10*part + i - 1
      ids(i) = cells*part + i - 1
      lon(:, i) = [west, west + 1, west + 1, west]
      lat(:, i) = [50, 50, 51, 51]
    end do
    select case (how)
    case ('mask')
      call land%set_grid(ids, lon, lat, A4L_LATLON, 1000_c_int64_t, code, mask=[.true., .false., .true.])
    case ('short_mask')
      call land%set_grid(ids, lon, lat, A4L_LATLON, 1000_c_int64_t, code, mask=[.true.])
    case ('shape')
      call land%set_grid(ids, transpose(lon), transpose(lat), A4L_LATLON, 1000_c_int64_t, code)
    case ('empty')
      call land%set_grid(ids(:0), lon(:, :0), lat(:, :0), A4L_LATLON, 1000_c_int64_t, code)
    case default
      call land%set_grid(ids, lon, lat, A4L_LATLON, 1000_c_int64_t, code)
    end select
  end subroutine

end module calls

program host
  use, intrinsic :: ieee_arithmetic
  use calls
#ifndef WITHOUT_MPI
  use mpi_f08
#endif
  implicit none
  character(256) :: argument, word, value
  character(:), allocatable :: text
  type(ai4land_t) :: stale
  integer :: i, number, mark, when(4)
  real(real64) :: seconds
  logical :: flags(3)
#ifndef WITHOUT_MPI
  logical :: running = .false.
  type(MPI_Comm) :: part
  do i = 1, command_argument_count()
    call get_command_argument(i, argument)
    running = running .or. argument == 'mpi'
  end do
  if (running) then
    call MPI_Init()
    call MPI_Comm_rank(MPI_COMM_WORLD, rank)
    call MPI_Comm_dup(MPI_COMM_WORLD, part)
    comm = part%mpi_val
  end if
#endif
  do i = 1, command_argument_count()
    call get_command_argument(i, argument)
    mark = index(argument//'=', '=')
    word = argument(:mark - 1)
    value = argument(mark + 1:)
    answer = ''
    number = -7
    code = A4L_OK
    select case (word)
    case ('mpi'); cycle
    case ('traps')
      call ieee_set_halting_mode([ieee_invalid, ieee_divide_by_zero, ieee_overflow], .true.)
    case ('fp')
      call ieee_get_halting_mode([ieee_invalid, ieee_divide_by_zero, ieee_overflow], flags)
      write (answer, '(3l2)') flags
    case ('abi'); write (answer, '(i0,1x,i0)') a4l_abi(), A4L_ABI_VERSION
    case ('init'); call land%init(trim(value), comm, code)
    case ('init_alone')
      if (rank > 0) value = 'absent.yaml'
      call land%init(trim(value), comm, code)
    case ('restart'); call land%init(trim(value), comm, code, restart='restarts')
    case ('keep'); stale = land
    case ('stale'); call stale%year(number, code)
    case ('grid'); call set_grid(trim(value))
    case ('named'); call land%set_named_grid(trim(value), code)
    case ('realize'); call land%realize(code)
    case ('run'); read (value, *) number; call land%run(number, code)
    case ('branch'); call land%init(trim(value), comm, code, restart='restarts', branch=.true.)
    case ('restart_year'); call land%init(trim(value), comm, code, restart='restarts', restart_year=5)
    case ('branch_year'); call land%init(trim(value), comm, code, restart='restarts', branch=.true., restart_year=-3)
    case ('year_only'); call land%init(trim(value), comm, code, restart_year=5)
    case ('branch_only'); call land%init(trim(value), comm, code, branch=.true.)
    case ('calendar'); call land%set_calendar(trim(value), code)
    case ('run_date'); read (value, *) when; call land%run(when(1), when(2), when(3), when(4), code)
    case ('run_half'); read (value, *) when; call land%run(when(1), when(2), when(3), when(4) + 0.5d0, code)
    case ('date')
      when = -7
      seconds = -7
      call land%date(when(1), when(2), when(3), seconds, code)
      write (answer, '(3(i0,1x),f0.1)') when(:3), seconds
    case ('next_year'); call land%next_year(number, code); write (answer, '(i0)') number
    case ('steps'); call land%step_count(number, code); write (answer, '(i0)') number
    case ('exports'); call land%field_count(A4L_EXPORT, number, code); write (answer, '(i0)') number
    case ('imports'); call land%field_count(A4L_IMPORT, number, code); write (answer, '(i0)') number
    case ('import'); read (value, *) number; call land%field_name(A4L_IMPORT, number, text, code); if (code == 0) answer = text
    case ('import_units'); call land%import_info(trim(value), text, code); if (code == 0) answer = text
    case ('set_nan'); read (value, *) number; call set_faulty(number, 3)
    case ('set_short'); read (value, *) number; call set_faulty(-1, merge(2, 3, number == rank))
    case ('mean_units'); call land%import_mean('air_temperature', [280d0, 281d0, 282d0], 2000, 1, 20, 0d0, code, units=trim(value))
    case ('mean'); call import_mean(trim(value))
    case ('surface'); call set_surface(trim(value))
    case ('year'); call land%year(number, code); write (answer, '(i0)') number
    case ('count'); call land%cell_count(number, code); write (answer, '(i0)') number
    case ('info'); call land%field_info(trim(value), number, text, code); if (code == 0) write (answer, '(i0,1x,a)') number, text
    case ('type'); read (value, *) number; call land%type_name('landCoverFrac', number, text, code); if (code == 0) answer = text
    case ('get'); call get(trim(value))
    case ('set'); call set(trim(value))
    case ('bind'); call bind(trim(value))
    case ('show'); call show(value)
    case ('unbind'); call land%unbind(trim(value), code)
    case ('write'); call land%write_restart(trim(value), code)
    case ('finalize'); call land%finalize(code)
#ifndef WITHOUT_MPI
    case ('mpi_finalize')
      call MPI_Comm_free(part)
      call MPI_Finalize()
      running = .false.
#endif
    case default; write (*, '(2a)') 'unknown argument ', trim(word); stop 3
    end select
    call say(trim(word))
  end do
#ifndef WITHOUT_MPI
  if (running) then
    call MPI_Comm_free(part)
    call MPI_Finalize()
  end if
#endif
  write (*, '(i0,1x,a)') rank, 'end 0 '
end program host
