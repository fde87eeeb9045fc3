/* Cost of calls through the C interface; c_interface.py builds and runs this program.
 *     cost CONFIG NLON NLAT copy|cycles N */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "a4l.h"

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

static long resident(void) { /* KiB */
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1) exit(2);
  fclose(file);
  return pages * 4;
}

static void check(int code, const char *call) {
  char text[A4L_MESSAGE_LENGTH];
  if (code == A4L_OK) return;
  a4l_error_message(text, sizeof text);
  printf("%s: error %d: %s\n", call, code, text);
  exit(1);
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, int n) {
  qsort(values, n, sizeof *values, compare);
  return values[n / 2];
}

static int open_component(const char *config, int nlon, int nlat) {
  int handle;
  int64_t n = (int64_t)nlon * nlat, *id = malloc(n * sizeof *id);
  double(*lon)[4] = malloc(n * sizeof *lon), (*lat)[4] = malloc(n * sizeof *lat);
  for (int64_t i = 0; i < n; i++) {
    double west = 360.0 / nlon * (i % nlon), east = 360.0 / nlon * (i % nlon + 1);
    double south = -85 + 170.0 / nlat * (i / nlon), north = -85 + 170.0 / nlat * (i / nlon + 1);
    double x[4] = {west, east, east, west}, y[4] = {south, south, north, north};
    id[i] = i;
    memcpy(lon[i], x, sizeof x);
    memcpy(lat[i], y, sizeof y);
  }
  check(a4l_init(config, A4L_NO_COMM, &handle), "a4l_init");
  check(a4l_set_grid(handle, n, id, 4, &lon[0][0], &lat[0][0], A4L_LATLON, NULL, n), "a4l_set_grid");
  free(id), free(lon), free(lat);
  return handle;
}

/* memcpy and a4l_get_field in turns, so that both see the same machine. */
static void copy(int handle, int64_t ncell, int times) {
  int ntype;
  char units[16];
  check(a4l_realize(handle), "a4l_realize");
  check(a4l_run(handle, 2001), "a4l_run");
  check(a4l_field_info(handle, "land_cover_fraction", &ntype, units, sizeof units), "a4l_field_info");
  int64_t n = ntype * ncell;
  double *source = malloc(n * sizeof *source), *target = malloc(n * sizeof *target);
  double *plain = malloc(times * sizeof *plain), *door = malloc(times * sizeof *door);
  for (int64_t i = 0; i < n; i++) source[i] = i, target[i] = 0;
  for (int i = -1; i < times; i++) {
    double begin = now();
    memcpy(target, source, n * sizeof *source);
    double middle = now();
    check(a4l_get_field(handle, "land_cover_fraction", target, n), "a4l_get_field");
    if (i >= 0) plain[i] = middle - begin, door[i] = now() - middle;
  }
  double a = median(plain, times) * 1e6, b = median(door, times) * 1e6;
  printf("%9lld doubles   memcpy %9.1f us   a4l_get_field %9.1f us   ratio %.2f\n", (long long)n, a, b, b / a);
}

int main(int argc, char **argv) {
  if (argc < 6) return 2;
  int nlon = atoi(argv[2]), nlat = atoi(argv[3]), times = atoi(argv[5]);
  if (!strcmp(argv[4], "copy")) {
    int handle = open_component(argv[1], nlon, nlat);
    copy(handle, (int64_t)nlon * nlat, times);
    check(a4l_finalize(handle), "a4l_finalize");
    return 0;
  }
  long settled = 0;
  double begin = now();
  for (int i = 0; i < times; i++) {
    check(a4l_finalize(open_component(argv[1], nlon, nlat)), "a4l_finalize");
    if (i == times / 10) settled = resident();
  }
  printf("%d times init and finalize in %.0f s: %+ld KiB since the first tenth\n", times, now() - begin, resident() - settled);
  return 0;
}
