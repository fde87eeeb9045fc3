! A small climate model that runs AI4Land as its land-use component.
!
!     mpiexec -n 3 ./model CONFIG.yaml FIRST_YEAR LAST_YEAR [GRID]
!
! The last of three or more ranks is the "ocean" and never calls AI4Land; the others are the "atmosphere". GRID is the
! name of a grid in the configuration's `hosts`; without it the model uses its own latitude-longitude grid. The
! atmosphere has daily steps, years of 365 days, and fields in blocks of nproma cells, which AI4Land fills on the first
! day of each year. Once a year it prints the share of the globe that each class covers.
program model
  use, intrinsic :: iso_c_binding, only: c_int64_t
  use, intrinsic :: iso_fortran_env, only: wp => real64
  use mpi_f08
  use ai4land_mod
  implicit none

  integer, parameter :: nlon = 144, nlat = 72, nproma = 32 ! 2.5 degrees
  integer, parameter :: month_length(12) = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
  real(wp), parameter :: pi = acos(-1._wp), earth_radius = 6371007.2_wp ! m
  type(MPI_Comm) :: comm
  integer :: world_rank, world_size, colour, bad
  character(1000) :: config, argument, grid
  integer :: first_year, last_year

  call MPI_Init()
  call MPI_Comm_rank(MPI_COMM_WORLD, world_rank)
  call MPI_Comm_size(MPI_COMM_WORLD, world_size)
  bad = 0
  if (command_argument_count() < 3) then
    if (world_rank == 0) print '(a)', 'usage: model CONFIG.yaml FIRST_YEAR LAST_YEAR [GRID]'
    bad = 2
  else
    call get_command_argument(1, config)
    call get_command_argument(2, argument); read (argument, *) first_year
    call get_command_argument(3, argument); read (argument, *) last_year
    call get_command_argument(4, grid)
    colour = merge(1, 0, world_size > 2 .and. world_rank == world_size - 1)
    call MPI_Comm_split(MPI_COMM_WORLD, colour, world_rank, comm)
    if (colour == 1) then
      print '(a)', 'ocean: nothing to do with land'
    else if (.not. atmosphere()) then
      bad = 1
    end if
    call MPI_Comm_free(comm)
  end if
  call MPI_Finalize()
  if (bad /= 0) stop 1

contains

  ! Whether all ranks succeeded. No call of AI4Land stops the model, so the model decides here what to do.
  logical function atmosphere()
    type(ai4land_t) :: land
    integer :: code, ncell, nblock, ntype, year, month, day, seconds, steps, seen
    character(:), allocatable :: units
    real(wp), allocatable :: area(:)
    real(wp), allocatable, target :: cover(:, :, :) ! (nproma, ntype, nblock)

    atmosphere = .false.
    call land%init(config, comm%mpi_val, code)
    if (failed(code, 'init')) return
    opened: block
      call land%set_calendar('noleap', code)
      if (failed(code, 'set_calendar')) exit opened
      if (grid /= '') then
        call land%set_named_grid(grid, code)
        if (failed(code, 'set_named_grid')) exit opened
      else
        call describe_grid(land, area, code)
        if (failed(code, 'set_grid')) exit opened
      end if
      call land%cell_count(ncell, code)
      if (failed(code, 'cell_count')) exit opened
      call land%field_info('land_cover_fraction', ntype, units, code)
      if (failed(code, 'field_info')) exit opened
      nblock = (ncell + nproma - 1)/nproma
      allocate (cover(nproma, ntype, nblock), source=0._wp)
      call land%bind('land_cover_fraction', cover, code, order=A4L_TYPE_IN_BLOCK)
      if (failed(code, 'bind')) exit opened
      call land%realize(code)
      if (failed(code, 'realize')) exit opened

      seen = -1
      steps = 0
      time: do year = first_year, last_year
        do month = 1, 12
          do day = 1, month_length(month)
            do seconds = 0, 86399, 21600 ! the model's time step: microseconds where AI4Land has nothing to do
              call land%run(year, month, day, seconds, code)
              if (failed(code, 'run')) exit opened
            end do
            call land%step_count(steps, code)
            if (steps /= seen) call report(land, year, cover, ntype, ncell, area)
            seen = steps
            if (year == last_year) exit time
          end do
        end do
      end do time

      ! An error does not end the model: the land cannot go back in time, and the model continues.
      call land%run(first_year - 1, code)
      if (code == A4L_ERR_TIME .and. world_rank == 0) print '(a,i0,2a)', 'error ', code, ': ', a4l_message()
      atmosphere = code == A4L_ERR_TIME
    end block opened
    call land%finalize(code)
    if (failed(code, 'finalize')) atmosphere = .false.
  end function

  logical function failed(code, call_name)
    integer, intent(in) :: code
    character(*), intent(in) :: call_name
    failed = code /= A4L_OK
    if (failed) print '(2a,i0,2a)', call_name, ': error ', code, ': ', a4l_message()
  end function

  ! Own grid: each rank owns the cells whose number modulo the number of ranks is its rank.
  subroutine describe_grid(land, area, code)
    type(ai4land_t), intent(in) :: land
    real(wp), allocatable, intent(out) :: area(:)
    integer, intent(out) :: code
    integer(c_int64_t), allocatable :: id(:)
    real(wp), allocatable :: lon(:, :), lat(:, :)
    real(wp) :: west, east, south, north
    integer :: rank, ranks, n, i, cell
    call MPI_Comm_rank(comm, rank)
    call MPI_Comm_size(comm, ranks)
    n = (nlon*nlat - rank + ranks - 1)/ranks
    allocate (id(n), lon(4, n), lat(4, n), area(n))
    do i = 1, n
      cell = rank + (i - 1)*ranks ! from 0
      west = 360._wp/nlon*mod(cell, nlon)
      east = 360._wp/nlon*(mod(cell, nlon) + 1)
      south = -90 + 180._wp/nlat*(cell/nlon)
      north = -90 + 180._wp/nlat*(cell/nlon + 1)
      id(i) = cell
      lon(:, i) = [west, east, east, west] ! counter-clockwise
      lat(:, i) = [south, south, north, north]
      area(i) = earth_radius**2*(east - west)*pi/180*(sin(north*pi/180) - sin(south*pi/180))
    end do
    call land%set_grid(id, lon, lat, A4L_LATLON, int(nlon*nlat, c_int64_t), code)
  end subroutine

  ! Print the area of each class over the globe, or its sum in cells if the model does not know their areas.
  subroutine report(land, year, cover, ntype, ncell, area)
    type(ai4land_t), intent(in) :: land
    integer, intent(in) :: year, ntype, ncell
    real(wp), intent(in) :: cover(:, :, :)
    real(wp), allocatable, intent(in) :: area(:)
    real(wp) :: total(ntype), weight
    character(:), allocatable :: name
    integer :: i, t, code
    total = 0
    do i = 1, ncell
      weight = 1
      if (allocated(area)) weight = area(i)*1e-6_wp
      total = total + cover(mod(i - 1, nproma) + 1, :, (i - 1)/nproma + 1)*weight
    end do
    call MPI_Allreduce(MPI_IN_PLACE, total, ntype, MPI_DOUBLE_PRECISION, MPI_SUM, comm)
    do t = 1, ntype
      call land%type_name('land_cover_fraction', t, name, code)
      if (failed(code, 'type_name') .or. world_rank /= 0) cycle
      print '(i0,1x,a24,1x,f16.6,1x,a)', year, name//repeat(' ', 24 - len(name)), total(t), &
        trim(merge('km2  ', 'cells', allocated(area)))
    end do
  end subroutine

end program model
