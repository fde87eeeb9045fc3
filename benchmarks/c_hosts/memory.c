/* Additional memory of a rank with and without a predictor; c_interface.py builds and runs this program with MPI.
 *     memory CONFIG GRID YEAR */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "a4l.h"

static long kib(const char *what) {
  char line[200];
  long value = -1;
  FILE *file = fopen("/proc/self/status", "r");
  while (file != NULL && fgets(line, sizeof line, file))
    if (!strncmp(line, what, strlen(what))) value = atol(line + strlen(what) + 1);
  if (file != NULL) fclose(file);
  return value;
}

static int has_torch(void) {
  char line[4200];
  int found = 0;
  FILE *file = fopen("/proc/self/maps", "r");
  while (file != NULL && fgets(line, sizeof line, file)) found |= strstr(line, "libtorch") != NULL;
  if (file != NULL) fclose(file);
  return found;
}

static void check(int code, const char *call) {
  char text[A4L_MESSAGE_LENGTH];
  if (code == A4L_OK) return;
  a4l_error_message(text, sizeof text);
  printf("%s: error %d: %s\n", call, code, text);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

int main(int argc, char **argv) {
  int rank, size, handle;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  long before = kib("VmRSS:");
  check(a4l_init(argv[1], MPI_Comm_c2f(MPI_COMM_WORLD), &handle), "a4l_init");
  check(a4l_set_named_grid(handle, argv[2]), "a4l_set_named_grid");
  check(a4l_realize(handle), "a4l_realize");
  check(a4l_run(handle, atoi(argv[3])), "a4l_run");
  long after = kib("VmRSS:"), peak = kib("VmHWM:");
  for (int turn = 0; turn < size; turn++) {
    MPI_Barrier(MPI_COMM_WORLD);
    if (turn == rank)
      printf("rank %d  torch %-3s  host alone %3ld MB   adds %4ld MB, at most %4ld MB\n", rank,
             has_torch() ? "yes" : "no", before / 1024, (after - before) / 1024, (peak - before) / 1024);
    fflush(stdout);
  }
  check(a4l_finalize(handle), "a4l_finalize");
  MPI_Finalize();
  return 0;
}
