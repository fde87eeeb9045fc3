! Calls run from Fortran without a step that is due; c_interface.py builds and runs this program.
!     idle CONFIG
program idle
  use, intrinsic :: iso_c_binding, only: c_int64_t, c_double
  use ai4land_mod
  implicit none
  ! Half hours of a year of 360 days, in short batches, so that other jobs on the machine disturb few of them.
  integer, parameter :: batches = 48, length = 360
  type(ai4land_t) :: land
  character(1000) :: config
  real(c_double) :: lon(4, 1), lat(4, 1)
  real(c_double), target :: cover(1, 7)
  real(c_double) :: new_date(batches), same_date(batches)
  integer :: i, code
  call get_command_argument(1, config)
  lon(:, 1) = [0, 1, 1, 0]
  lat(:, 1) = [50, 50, 51, 51]
  call land%init(trim(config), A4L_NO_COMM, code); call check()
  call land%set_calendar('360_day', code); call check()
  call land%set_grid([0_c_int64_t], lon, lat, A4L_LATLON, 1_c_int64_t, code); call check()
  call land%realize(code); call check()
  call land%bind('land_cover_fraction', cover, code); call check()
  call land%run(2001, code); call check()
  do i = 1, batches
    new_date(i) = microseconds(first=(i - 1)*length, step=1)
  end do
  call land%run(2001, 12, 30, 86399, code); call check()
  do i = 1, batches
    same_date(i) = microseconds(first=360*48 - 1, step=0)
  end do
  print '(a,f5.2,a,f5.2,a)', 'run with nothing to do, a new date each time   median ', median(new_date), ' us, least ', &
    minval(new_date), ' us'
  print '(a,f5.2,a,f5.2,a)', 'run with nothing to do, the same date          median ', median(same_date), ' us, least ', &
    minval(same_date), ' us'
  call land%finalize(code); call check()
contains
  ! Mean time of a call in one batch.
  real(c_double) function microseconds(first, step)
    integer, intent(in) :: first, step
    integer(c_int64_t) :: begin, done, rate
    integer :: n, half_hour
    call system_clock(begin, rate)
    do n = 0, length - 1
      half_hour = first + n*step
      call land%run(2001, 1 + half_hour/1440, 1 + mod(half_hour/48, 30), mod(half_hour, 48)*1800 + 1799*(1 - step), code)
      if (code /= A4L_OK) call check()
    end do
    call system_clock(done)
    microseconds = 1d6*(done - begin)/rate/length
  end function

  real(c_double) function median(values)
    real(c_double), intent(in) :: values(:)
    integer :: n
    ! The value that half of the others do not exceed.
    do n = 1, size(values)
      if (2*count(values < values(n)) <= size(values) .and. 2*count(values <= values(n)) >= size(values)) exit
    end do
    median = values(n)
  end function

  subroutine check()
    if (code == A4L_OK) return
    print *, code, a4l_message()
    stop 1
  end subroutine
end program
