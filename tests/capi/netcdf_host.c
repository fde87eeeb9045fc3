/* A host that writes netCDF-4 with its own library before, between and after the calls of the component.
 *     netcdf_host CONFIG FILE [GRID]
 * FILE gets land_cover_fraction(time, class, cell) of 2000 to 2002 and the attribute `done`. */
#include <netcdf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "a4l.h"

static void check(int code, const char *call) {
  char text[A4L_MESSAGE_LENGTH];
  if (code == A4L_OK) return;
  a4l_error_message(text, sizeof text);
  printf("%s: error %d: %s\n", call, code, text);
  exit(1);
}

static void check_nc(int code, const char *call) {
  if (code == NC_NOERR) return;
  printf("%s: %s\n", call, nc_strerror(code));
  exit(2);
}

int main(int argc, char **argv) {
  int file, variable, dimensions[3], land, types;
  int64_t cells, id[2] = {0, 1};
  double lon[2][4] = {{0, 1, 1, 0}, {1, 2, 2, 1}}, lat[2][4] = {{50, 50, 51, 51}, {50, 50, 51, 51}};
  char units[16];
  printf("host has netCDF %s\n", nc_inq_libvers());
  check_nc(nc_create(argv[2], NC_NETCDF4 | NC_CLOBBER, &file), "nc_create");
  check(a4l_init(argv[1], A4L_NO_COMM, &land), "a4l_init");
  if (argc > 3)
    check(a4l_set_named_grid(land, argv[3]), "a4l_set_named_grid");
  else
    check(a4l_set_grid(land, 2, id, 4, &lon[0][0], &lat[0][0], A4L_LATLON, NULL, 2), "a4l_set_grid");
  check(a4l_realize(land), "a4l_realize");
  check(a4l_cell_count(land, &cells), "a4l_cell_count");
  check(a4l_field_info(land, "land_cover_fraction", &types, units, sizeof units), "a4l_field_info");
  check_nc(nc_def_dim(file, "time", NC_UNLIMITED, &dimensions[0]), "nc_def_dim");
  check_nc(nc_def_dim(file, "class", types, &dimensions[1]), "nc_def_dim");
  check_nc(nc_def_dim(file, "cell", cells, &dimensions[2]), "nc_def_dim");
  check_nc(nc_def_var(file, "land_cover_fraction", NC_DOUBLE, 3, dimensions, &variable), "nc_def_var");
  check_nc(nc_def_var_deflate(file, variable, 1, 1, 4), "nc_def_var_deflate");
  check_nc(nc_enddef(file), "nc_enddef");
  double *fraction = malloc(types * cells * sizeof *fraction);
  for (int year = 2000; year <= 2002; year++) {
    size_t start[3] = {year - 2000, 0, 0}, count[3] = {1, types, cells};
    check(a4l_run(land, year), "a4l_run");
    check(a4l_get_field(land, "land_cover_fraction", fraction, types * cells), "a4l_get_field");
    check_nc(nc_put_vara_double(file, variable, start, count, fraction), "nc_put_vara_double");
    check_nc(nc_sync(file), "nc_sync");
  }
  check(a4l_finalize(land), "a4l_finalize");
  check_nc(nc_put_att_text(file, NC_GLOBAL, "done", 3, "yes"), "nc_put_att_text");
  check_nc(nc_close(file), "nc_close");
  free(fraction);
  printf("host ends\n");
  return 0;
}
