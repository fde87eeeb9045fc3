/* A host that runs the component on its own part of MPI_COMM_WORLD and writes raw arrays for comparison.
 * Usage: dump CONFIG GRID FIRST LAST FOLDER     (a file FOLDER/<rank>.f64 for each rank: [year][class][cell]) */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "a4l.h"

static void check(int code, const char *call) {
  char text[4000];
  if (code == A4L_OK) return;
  a4l_error_message(text, sizeof text);
  printf("%s: error %d: %s\n", call, code, text);
  MPI_Abort(MPI_COMM_WORLD, 1); /* a test's host may do what the component must not */
}

int main(int argc, char **argv) {
  int rank, land, types;
  int64_t cells;
  char units[16], path[1000];
  MPI_Comm own;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_split(MPI_COMM_WORLD, 0, rank, &own);
  check(a4l_init(argv[1], MPI_Comm_c2f(own), &land), "a4l_init");
  check(a4l_set_named_grid(land, argv[2]), "a4l_set_named_grid");
  check(a4l_realize(land), "a4l_realize");
  check(a4l_cell_count(land, &cells), "a4l_cell_count");
  check(a4l_field_info(land, "land_cover_fraction", &types, units, sizeof units), "a4l_field_info");
  double *fraction = malloc(sizeof *fraction * (size_t)(types * cells));
  snprintf(path, sizeof path, "%s/%d.f64", argv[5], rank);
  FILE *file = fopen(path, "wb");
  for (int year = atoi(argv[3]); year <= atoi(argv[4]); year++) {
    check(a4l_run(land, year), "a4l_run");
    check(a4l_get_field(land, "land_cover_fraction", fraction, types * cells), "a4l_get_field");
    fwrite(fraction, sizeof *fraction, (size_t)(types * cells), file);
  }
  fclose(file);
  free(fraction);
  check(a4l_finalize(land), "a4l_finalize");
  MPI_Comm_free(&own);
  MPI_Finalize();
  return 0;
}
