! A run that has nothing to do, from Fortran; door.py builds and runs it.
!     idle CONFIG
program idle
  use, intrinsic :: iso_c_binding, only: c_int64_t, c_double
  use ai4land_mod
  implicit none
  integer, parameter :: times = 200000
  type(ai4land_t) :: land
  character(1000) :: config
  real(c_double) :: lon(4, 1), lat(4, 1)
  real(c_double), target :: cover(1, 7)
  integer :: i, code
  integer(c_int64_t) :: begin, done, rate
  call get_command_argument(1, config)
  lon(:, 1) = [0, 1, 1, 0]
  lat(:, 1) = [50, 50, 51, 51]
  call land%init(trim(config), A4L_NO_COMM, code); call check()
  call land%set_calendar('360_day', code); call check()
  call land%set_grid([0_c_int64_t], lon, lat, A4L_LATLON, 1_c_int64_t, code); call check()
  call land%realize(code); call check()
  call land%bind('land_cover_fraction', cover, code); call check()
  call land%run(2001, code); call check()
  call system_clock(begin, rate)
  do i = 1, times
    call land%run(2001, 1 + i/17280, 1 + mod(i/576, 30), mod(i, 576)*150, code)
    if (code /= A4L_OK) call check()
  end do
  call system_clock(done)
  print '(a,f5.2,a)', 'run with nothing to do, a new date each time   ', 1d6*(done - begin)/rate/times, ' us'
  call system_clock(begin)
  do i = 1, times
    call land%run(2001, 12, 30, 86399, code)
    if (code /= A4L_OK) call check()
  end do
  call system_clock(done)
  print '(a,f5.2,a)', 'run with nothing to do, the same date          ', 1d6*(done - begin)/rate/times, ' us'
  call land%finalize(code); call check()
contains
  subroutine check()
    if (code == A4L_OK) return
    print *, code, a4l_message()
    stop 1
  end subroutine
end program
