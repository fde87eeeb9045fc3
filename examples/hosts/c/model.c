/* A small climate model that runs AI4Land as its land-use component.
 *
 *     mpiexec -n 3 ./model CONFIG.yaml FIRST_YEAR LAST_YEAR [GRID]
 *
 * The last of three or more ranks is the "ocean" and never calls AI4Land; the others are the "atmosphere". GRID is
 * the name of a grid in the configuration's `hosts`; without it the model uses its own latitude-longitude grid.
 * Each year the atmosphere gets the land cover and prints the share of the globe that each class covers. */
#include <math.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "a4l.h"

#define NLON 144 /* 2.5 degrees */
#define NLAT 72
#define PI 3.14159265358979323846
#define EARTH_RADIUS 6371007.2 /* m */

/* No call aborts, so the host decides what to do with a return code. This one prints the message. */
static int failed(int code, const char *what) {
  char message[A4L_MESSAGE_LENGTH];
  if (code == A4L_OK) return 0;
  a4l_error_message(message, sizeof message);
  printf("%s: error %d: %s\n", what, code, message);
  return 1;
}

/* Whether a call failed on any rank. Used before the model's own collective calls. */
static int anywhere(int bad, MPI_Comm comm) {
  MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MAX, comm);
  return bad;
}

/* Own grid: each rank owns the cells whose number modulo size is its rank. Returns the number of its cells. */
static int64_t describe_grid(int handle, int rank, int size, double **area) {
  int64_t n = 0, capacity = NLON * NLAT / size + 1;
  int64_t *id = malloc(capacity * sizeof *id);
  double(*lon)[4] = malloc(capacity * sizeof *lon), (*lat)[4] = malloc(capacity * sizeof *lat);
  *area = malloc(capacity * sizeof **area);
  for (int64_t cell = rank; cell < NLON * NLAT; cell += size, n++) {
    double west = 360.0 / NLON * (cell % NLON), east = 360.0 / NLON * (cell % NLON + 1);
    double south = -90 + 180.0 / NLAT * (cell / NLON), north = -90 + 180.0 / NLAT * (cell / NLON + 1);
    id[n] = cell;
    lon[n][0] = west, lat[n][0] = south; /* counter-clockwise */
    lon[n][1] = east, lat[n][1] = south;
    lon[n][2] = east, lat[n][2] = north;
    lon[n][3] = west, lat[n][3] = north;
    (*area)[n] = EARTH_RADIUS * EARTH_RADIUS * (east - west) * PI / 180 * (sin(north * PI / 180) - sin(south * PI / 180));
  }
  int code = a4l_set_grid(handle, n, id, 4, &lon[0][0], &lat[0][0], A4L_LATLON, NULL, NLON * NLAT);
  free(id), free(lon), free(lat); /* the component has its own copy */
  return failed(code, "a4l_set_grid") ? -1 : n;
}

/* Print the area of each class over the globe, or its sum in cells if the model does not know their areas. */
static int report(int handle, MPI_Comm comm, int64_t ncell, const double *area) {
  const char *field = "land_cover_fraction";
  char units[32], name[64];
  int rank, ntype, year;
  MPI_Comm_rank(comm, &rank);
  if (failed(a4l_field_info(handle, field, &ntype, units, sizeof units), "a4l_field_info")) return 1;
  if (failed(a4l_year(handle, &year), "a4l_year")) return 1;

  double *fraction = malloc((ntype * ncell + 1) * sizeof *fraction); /* [ntype][ncell] */
  double *sum = calloc(ntype, sizeof *sum);
  int bad = failed(a4l_get_field(handle, field, fraction, ntype * ncell), "a4l_get_field");
  bad = anywhere(bad, comm);
  if (!bad) {
    for (int type = 0; type < ntype; type++)
      for (int64_t i = 0; i < ncell; i++) sum[type] += fraction[type * ncell + i] * (area ? area[i] * 1e-6 : 1);
    MPI_Allreduce(MPI_IN_PLACE, sum, ntype, MPI_DOUBLE, MPI_SUM, comm);
    for (int type = 0; rank == 0 && type < ntype; type++)
      if (!failed(a4l_type_name(handle, field, type, name, sizeof name), "a4l_type_name"))
        printf("%d %-24s %16.6f %s\n", year, name, sum[type], area ? "km2" : "cells");
  }
  free(fraction), free(sum);
  return bad;
}

static int run_atmosphere(MPI_Comm comm, const char *config, int first, int last, const char *grid) {
  int handle, rank, size;
  int64_t ncell;
  double *area = NULL;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);

  if (failed(a4l_init(config, MPI_Comm_c2f(comm), &handle), "a4l_init")) return 1;
  int bad = grid ? failed(a4l_set_named_grid(handle, grid), "a4l_set_named_grid")
                 : describe_grid(handle, rank, size, &area) < 0;
  bad = bad || failed(a4l_realize(handle), "a4l_realize");
  bad = bad || failed(a4l_cell_count(handle, &ncell), "a4l_cell_count");

  for (int year = first; !bad && year <= last; year++) {
    bad = failed(a4l_run(handle, year), "a4l_run");
    bad = bad || report(handle, comm, ncell, area);
  }

  /* An error does not end the model: the land cannot go back in time, and the model continues. */
  if (!bad && rank == 0) printf("asking for a year that is over:\n");
  if (!bad && a4l_run(handle, first - 1) == A4L_ERR_TIME) {
    char message[A4L_MESSAGE_LENGTH];
    a4l_error_message(message, sizeof message);
    if (rank == 0) printf("error %d: %s\n", A4L_ERR_TIME, message);
    bad = report(handle, comm, ncell, area);
  }

  bad = failed(a4l_finalize(handle), "a4l_finalize") || bad;
  free(area);
  return bad;
}

int main(int argc, char **argv) {
  int rank, size, bad = 0;
  MPI_Comm comm;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (argc < 4) {
    if (rank == 0) fprintf(stderr, "usage: %s CONFIG.yaml FIRST_YEAR LAST_YEAR [GRID]\n", argv[0]);
    MPI_Finalize();
    return 2;
  }
  int ocean = size > 2 && rank == size - 1;
  MPI_Comm_split(MPI_COMM_WORLD, ocean, rank, &comm);
  if (ocean)
    printf("ocean: nothing to do with land\n");
  else
    bad = run_atmosphere(comm, argv[1], atoi(argv[2]), atoi(argv[3]), argc > 4 ? argv[4] : NULL);
  MPI_Comm_free(&comm);
  MPI_Finalize();
  return bad;
}
