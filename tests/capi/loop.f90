! What loop.c is, in Fortran, with an array of blocks that the component fills by itself:
!     loop CONFIG GRID CALENDAR START STOP FOLDER [RESTART]        START, STOP: 'year month day'
program loop
  use, intrinsic :: iso_fortran_env, only: real64
  use mpi_f08
  use ai4land_mod
  implicit none
  integer, parameter :: nproma = 17
  character(1000) :: argument(7)
  character(:), allocatable :: units
  character(20) :: number
  type(ai4land_t) :: land
  type(MPI_Comm) :: own
  integer :: rank, ranks, code, now(3), stop_at(3), cells, types, blocks, steps, seen, i, values, dates
  real(real64), allocatable, target :: cover(:, :, :)
  logical :: out
  call MPI_Init()
  call MPI_Comm_rank(MPI_COMM_WORLD, rank)
  call MPI_Comm_size(MPI_COMM_WORLD, ranks)
  out = ranks > 2 .and. rank == ranks - 1
  call MPI_Comm_split(MPI_COMM_WORLD, merge(1, 0, out), rank, own)
  if (.not. out) then
    do i = 1, 7
      call get_command_argument(i, argument(i))
    end do
    read (argument(4), *) now
    read (argument(5), *) stop_at
    if (argument(7) /= '') then
      call land%init(argument(1), own%mpi_val, code, restart=trim(argument(7)))
    else
      call land%init(argument(1), own%mpi_val, code)
    end if
    call check('init')
    call land%set_calendar(argument(3), code); call check('set_calendar')
    call land%set_named_grid(argument(2), code); call check('set_named_grid')
    call land%cell_count(cells, code); call check('cell_count')
    call land%field_info('land_cover_fraction', types, units, code); call check('field_info')
    blocks = (cells + nproma - 1)/nproma
    allocate (cover(nproma, types, blocks))
    cover = -1
    call land%bind('land_cover_fraction', cover, code, order=A4L_TYPE_IN_BLOCK); call check('bind')
    call land%realize(code); call check('realize')
    write (number, '(i0)') rank
    open (newunit=values, file=trim(argument(6))//'/'//trim(number)//'.f64', access='stream', form='unformatted')
    open (newunit=dates, file=trim(argument(6))//'/'//trim(number)//'.txt')
    seen = -1
    do
      call land%run(now(1), now(2), now(3), 0, code); call check('run')
      call land%step_count(steps, code); call check('step_count')
      if (steps /= seen) then
        do i = 1, types
          write (values) pack_cells(cover(:, i, :))
        end do
        write (dates, '(i0,"-",i0,"-",i0)') now
        seen = steps
      end if
      if (all(now == stop_at)) exit
      call next_day(now, argument(3))
    end do
    close (values)
    close (dates)
    if (any(cover(cells - nproma*(blocks - 1) + 1:, :, blocks) /= -1)) call MPI_Abort(MPI_COMM_WORLD, 2)
    call land%write_restart(trim(argument(6))//'/restarts', code); call check('write_restart')
    call land%finalize(code); call check('finalize')
  end if
  call MPI_Comm_free(own)
  call MPI_Finalize()

contains

  subroutine check(call_name)
    character(*), intent(in) :: call_name
    if (code == A4L_OK) return
    print '(2a,i0,2a)', call_name, ': error ', code, ': ', a4l_message()
    call MPI_Abort(MPI_COMM_WORLD, 1) ! a test's host may do what the component must not
  end subroutine

  function pack_cells(blocked) result(flat)
    real(real64), intent(in) :: blocked(:, :)
    real(real64) :: flat(cells), row(size(blocked))
    row = reshape(blocked, [size(blocked)])
    flat = row(:cells)
  end function

  subroutine next_day(when, calendar)
    integer, intent(inout) :: when(3)
    character(*), intent(in) :: calendar
    integer :: length
    integer, parameter :: usual(12) = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    length = usual(when(2))
    if (calendar == 'standard' .and. when(2) == 2 .and. mod(when(1), 4) == 0 .and. &
        (mod(when(1), 100) /= 0 .or. mod(when(1), 400) == 0)) length = 29
    if (calendar == '360_day') length = 30
    when(3) = when(3) + 1
    if (when(3) <= length) return
    when(3) = 1
    when(2) = when(2) + 1
    if (when(2) <= 12) return
    when(2) = 1
    when(1) = when(1) + 1
  end subroutine

end program loop
