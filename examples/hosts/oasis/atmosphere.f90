! A toy atmosphere that gets the land cover through OASIS3-MCT each day, and prints the area of each class on the globe.
program atmosphere
  use, intrinsic :: iso_fortran_env, only: wp => real64
  use mod_oasis
  use mpi
  implicit none

  integer, parameter :: nlon = 144, nlat = 72, nclass = 7, day_hours = 24
  real(wp), parameter :: pi = acos(-1._wp), earth_radius = 6371007.2_wp
  character(8) :: name
  character(100) :: argument
  integer :: first_year, last_year, component, comm, rank, ranks, first, n, part, var(nclass), day, i, t, info
  integer :: shape(4)
  real(wp), allocatable :: cover(:, :), area(:)
  real(wp) :: total(nclass), south
  logical :: new

  call get_command_argument(1, argument); read (argument, *) first_year
  call get_command_argument(2, argument); read (argument, *) last_year
  call oasis_init_comp(component, 'atmos', info)
  call oasis_get_localcomm(comm, info)
  call MPI_Comm_rank(comm, rank, info)
  call MPI_Comm_size(comm, ranks, info)
  first = nlon*nlat*rank/ranks
  n = nlon*nlat*(rank + 1)/ranks - first
  allocate (cover(n, nclass), area(n))
  do i = 1, n
    south = -90 + 180._wp/nlat*((first + i - 1)/nlon)
    area(i) = 2*pi/nlon*earth_radius**2*(sin((south + 180._wp/nlat)*pi/180) - sin(south*pi/180))*1e-6_wp
  end do
  call oasis_def_partition(part, [1, first, n], info)
  shape = [1, n, 1, 1]
  do t = 1, nclass
    write (name, '(a,i0)') 'ATM_LC', t
    call oasis_def_var(var(t), name, part, [1, 1], OASIS_In, shape, OASIS_Real, info)
  end do
  call oasis_enddef(info)

  do day = 0, (last_year - first_year)*365
    new = .false.
    do t = 1, nclass
      call oasis_get(var(t), day*day_hours, cover(:, t), info)
      new = new .or. info == OASIS_Recvd
    end do
    if (.not. new) cycle
    do t = 1, nclass
      total(t) = sum(cover(:, t)*area)
    end do
    call MPI_Allreduce(MPI_IN_PLACE, total, nclass, MPI_DOUBLE_PRECISION, MPI_SUM, comm, info)
    if (rank == 0) print '(i0,7f14.6)', first_year + day/365, total
  end do
  call oasis_terminate(info)
end program atmosphere
