! AI4Land as a component of OASIS3-MCT: a thin program around the Fortran module.
!
!     mpiexec -n 2 ./land CONFIG.yaml FIRST_YEAR LAST_YEAR : -n 2 ./atmosphere FIRST_YEAR LAST_YEAR
!
! OASIS splits COMM_WORLD; AI4Land gets the communicator of this component. On 1 January of each year (of 365 days) it
! puts the share of each of the seven classes (LC1 ... LC7 in namcouple) on a grid of 2.5 degrees. Time is in hours, because
! old versions of OASIS read only eight digits of the run time.
program land
  use, intrinsic :: iso_c_binding, only: c_int64_t
  use, intrinsic :: iso_fortran_env, only: wp => real64
  use mod_oasis
  use ai4land_mod
  implicit none

  integer, parameter :: nlon = 144, nlat = 72, nclass = 7, year_hours = 365*24
  type(ai4land_t) :: ai4land
  character(1000) :: config, argument
  character(8) :: name
  integer :: first_year, last_year, component, comm, rank, ranks, first, last, n, part, var(nclass), code, year, t, info
  integer :: shape(4)
  real(wp), allocatable :: cover(:, :) ! (cell, class)

  call get_command_argument(1, config)
  call get_command_argument(2, argument); read (argument, *) first_year
  call get_command_argument(3, argument); read (argument, *) last_year
  call oasis_init_comp(component, 'land', info)
  call oasis_get_localcomm(comm, info)
  call ranges()

  call ai4land%init(config, comm, code); call stop_if(code)
  call ai4land%set_calendar('noleap', code); call stop_if(code)
  call describe_grid(); call stop_if(code)
  call ai4land%realize(code); call stop_if(code)

  call oasis_def_partition(part, [1, first, n], info)
  shape = [1, n, 1, 1]
  do t = 1, nclass
    write (name, '(a,i0)') 'LC', t
    call oasis_def_var(var(t), name, part, [1, 1], OASIS_Out, shape, OASIS_Real, info)
  end do
  call oasis_enddef(info)

  allocate (cover(n, nclass))
  do year = first_year, last_year
    call ai4land%run(year, code); call stop_if(code)
    call ai4land%get('land_cover_fraction', cover, code); call stop_if(code)
    do t = 1, nclass
      call oasis_put(var(t), (year - first_year)*year_hours, cover(:, t), info)
    end do
  end do
  call ai4land%finalize(code)
  call oasis_terminate(info)

contains

  ! Cells first to first + n - 1 (from 0) belong to this rank.
  subroutine ranges()
    use mpi
    call MPI_Comm_rank(comm, rank, info)
    call MPI_Comm_size(comm, ranks, info)
    first = nlon*nlat*rank/ranks
    last = nlon*nlat*(rank + 1)/ranks
    n = last - first
  end subroutine

  subroutine describe_grid()
    integer(c_int64_t) :: id(n)
    real(wp) :: lon(4, n), lat(4, n), west, south
    integer :: i
    do i = 1, n
      id(i) = first + i - 1
      west = 360._wp/nlon*mod(first + i - 1, nlon)
      south = -90 + 180._wp/nlat*((first + i - 1)/nlon)
      lon(:, i) = [west, west + 360._wp/nlon, west + 360._wp/nlon, west]
      lat(:, i) = [south, south, south + 180._wp/nlat, south + 180._wp/nlat]
    end do
    call ai4land%set_grid(id, lon, lat, A4L_LATLON, int(nlon*nlat, c_int64_t), code)
  end subroutine

  ! A component that cannot continue must end the job, because the others would wait for it for ever.
  subroutine stop_if(code)
    integer, intent(in) :: code
    if (code == A4L_OK) return
    print '(a,i0,2a)', 'AI4Land: error ', code, ': ', a4l_message()
    call oasis_abort(component, 'land', 'AI4Land failed, see above')
  end subroutine

end program land
