/* A host that makes the calls of its arguments, in order, and prints a line for each call:
 *     <rank> <argument> <code> <answer or message, line ends as '|'>
 * tests/capi/test_capi_calls.py lists the arguments. With -DWITHOUT_MPI it needs no MPI library. */
#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifndef WITHOUT_MPI
#include <mpi.h>
#endif
#include "a4l.h"

#define CELLS 3
static int rank = 0, comm = A4L_NO_COMM;

static void say(const char *word, int code, const char *answer) {
  char text[A4L_MESSAGE_LENGTH];
  if (code != A4L_OK) {
    a4l_error_message(text, sizeof text);
    answer = text;
    for (char *c = text; *c; c++)
      if (*c == '\n') *c = '|';
  }
  printf("%d %s %d %s\n", rank, word, code, answer);
  fflush(stdout);
}

/* Three cells a rank, each a degree wide; the last is a triangle that repeats a corner. */
static int set_grid(int h, int edges, int with_mask, int rank) {
  int64_t ids[CELLS];
  double lon[CELLS][4], lat[CELLS][4];
  int32_t mask[CELLS] = {1, 0, 1};
  for (int i = 0; i < CELLS; i++) {
    double west = 10.0 * rank + i;
    ids[i] = CELLS * rank + i;
    lon[i][0] = lon[i][3] = west;
    lon[i][1] = lon[i][2] = west + 1;
    lat[i][0] = lat[i][1] = 50;
    lat[i][2] = lat[i][3] = 51;
  }
  lon[CELLS - 1][3] = lon[CELLS - 1][2];
  lat[CELLS - 1][3] = lat[CELLS - 1][2];
  return a4l_set_grid(h, CELLS, &ids[0], 4, &lon[0][0], &lat[0][0], edges, with_mask ? mask : NULL, 1000);
}

static int get(int h, const char *name, int64_t n, char *answer) {
  double data[64];
  for (int i = 0; i < 64; i++) data[i] = -1;
  int code = a4l_get_field(h, name, data, n);
  char *end = answer;
  for (int i = 0; i < n && i < 64; i++) end += sprintf(end, "%g ", data[i]);
  return code;
}

/* All types of a field, with all digits. */
static int get_exactly(int h, const char *name, char *answer) {
  double data[64];
  char units[64];
  int ntype, code = a4l_field_info(h, name, &ntype, units, sizeof units);
  if (code == A4L_OK) code = a4l_get_field(h, name, data, ntype * CELLS);
  for (int i = 0; code == A4L_OK && i < ntype * CELLS; i++) answer += sprintf(answer, "%a ", data[i]);
  return code;
}

/* "order:kind:nproma:ntype:size" of an array of at most 64 values, which stays the host's between the calls. */
static double memory[64];

static int array(int (*call)(int, const char *, void *, int, int, int, int, int64_t), int h, const char *name,
                 const char *how) {
  int order = 0, kind = 8, nproma = 0, ntype = 0, size = 0;
  sscanf(how, "%d:%d:%d:%d:%d", &order, &kind, &nproma, &ntype, &size);
  for (int i = 0; i < 64; i++)
    if (kind == A4L_REAL32) ((float *)memory)[i] = -1;
    else memory[i] = -1;
  return call(h, name, memory, kind, order, nproma, ntype, size);
}

static void show(const char *how, char *answer) {
  int kind = 8, size = 0;
  sscanf(how, "%d:%d", &kind, &size);
  for (int i = 0; i < size; i++)
    answer += sprintf(answer, "%g ", kind == A4L_REAL32 ? ((float *)memory)[i] : memory[i]);
}

int host_main(int argc, char **argv) {
  int h = -7, start_mpi = 0;
  for (int i = 1; i < argc; i++) start_mpi |= strcmp(argv[i], "mpi") == 0;
#ifndef WITHOUT_MPI
  MPI_Comm part = MPI_COMM_NULL;
  if (start_mpi) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_dup(MPI_COMM_WORLD, &part);
    comm = MPI_Comm_c2f(part);
  }
#else
  (void)start_mpi;
#endif
  for (int i = 1; i < argc; i++) {
    char word[64], answer[1024] = "";
    snprintf(word, sizeof word, "%s", argv[i]);
    char *value = strchr(argv[i], '=');
    value = value ? value + 1 : "";
    word[strcspn(word, "=")] = '\0';
    int code = A4L_OK, number = -7;
    int64_t count = -7;
    if (!strcmp(word, "mpi")) continue;
    else if (!strcmp(word, "comm")) comm = atoi(value);
    else if (!strcmp(word, "handle")) h = atoi(value);
    else if (!strcmp(word, "traps")) feenableexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
    else if (!strcmp(word, "round_up")) fesetround(FE_UPWARD);
    else if (!strcmp(word, "fp")) sprintf(answer, "traps %d rounding %d raised %d", fegetexcept(), fegetround(), fetestexcept(FE_ALL_EXCEPT));
    else if (!strcmp(word, "init")) code = a4l_init(value, comm, &h), sprintf(answer, "%d", h);
    else if (!strcmp(word, "init_alone")) code = a4l_init(rank ? "absent.yaml" : value, comm, &h);
    else if (!strcmp(word, "init_null")) code = a4l_init(NULL, comm, &h);
    else if (!strcmp(word, "restart")) code = a4l_init_restart(value, "restarts", comm, &h);
    else if (!strcmp(word, "show_handle")) sprintf(answer, "%d", h);
    else if (!strcmp(word, "grid")) code = set_grid(h, atoi(value), 1, rank);
    else if (!strcmp(word, "grid_no_mask")) code = set_grid(h, atoi(value), 0, rank);
    else if (!strcmp(word, "grid_same")) code = set_grid(h, A4L_GREAT_CIRCLE, 0, 0);
    else if (!strcmp(word, "grid_empty")) code = a4l_set_grid(h, 0, NULL, 3, NULL, NULL, A4L_LATLON, NULL, 1000);
    else if (!strcmp(word, "grid_null")) code = a4l_set_grid(h, 2, NULL, 3, NULL, NULL, A4L_LATLON, NULL, 1000);
    else if (!strcmp(word, "grid_negative")) code = a4l_set_grid(h, -1, NULL, 3, NULL, NULL, A4L_LATLON, NULL, 1000);
    else if (!strcmp(word, "named")) code = a4l_set_named_grid(h, value);
    else if (!strcmp(word, "realize")) code = a4l_realize(h);
    else if (!strcmp(word, "run")) code = a4l_run(h, atoi(value));
    else if (!strcmp(word, "branch")) code = a4l_init_branch(value, "restarts", comm, &h);
    else if (!strcmp(word, "restart_year")) code = a4l_init_restart_year(value, "restarts", 5, comm, &h);
    else if (!strcmp(word, "branch_year")) code = a4l_init_branch_year(value, "restarts", -3, comm, &h);
    else if (!strcmp(word, "restart_2002")) code = a4l_init_restart_year(value, "restarts", 2002, comm, &h);
    else if (!strcmp(word, "branch_2002")) code = a4l_init_branch_year(value, "restarts", 2002, comm, &h);
    else if (!strcmp(word, "calendar")) code = a4l_set_calendar(h, value);
    else if (!strcmp(word, "date")) { int y = -7, m = -7, d = -7; double s = -7; code = a4l_date(h, &y, &m, &d, &s); sprintf(answer, "%d %d %d %g", y, m, d, s); }
    else if (!strcmp(word, "run_date")) { int y, m, d; double s = 0; sscanf(value, "%d-%d-%d-%lf", &y, &m, &d, &s); code = a4l_run_date(h, y, m, d, s); }
    else if (!strcmp(word, "next_year")) code = a4l_next_year(h, &number), sprintf(answer, "%d", number);
    else if (!strcmp(word, "steps")) code = a4l_step_count(h, &count), sprintf(answer, "%d", (int)count);
    else if (!strcmp(word, "fields")) code = a4l_field_count(h, atoi(value), &number), sprintf(answer, "%d", number);
    else if (!strcmp(word, "export")) code = a4l_field_name(h, A4L_EXPORT, atoi(value), answer, sizeof answer);
    else if (!strcmp(word, "import")) code = a4l_field_name(h, A4L_IMPORT, atoi(value), answer, sizeof answer);
    else if (!strcmp(word, "import_units")) code = a4l_import_info(h, value, answer, sizeof answer);
    else if (!strcmp(word, "mean") || !strcmp(word, "mean_celsius")) {
      float t[CELLS + 1] = {1, 2, 3, -99};
      const char *units = word[4] ? "degC" : NULL;
      code = a4l_import(h, "air_temperature", units, 2001, 2, 3, 43200, t, A4L_REAL32, 2, CELLS + 1);
    }
    else if (!strcmp(word, "surface")) { double x[8] = {1, 2, 4, 5, 3, -9, 6, -9}; code = a4l_set_surface(h, "landCoverFrac", x, A4L_REAL64, A4L_TYPE_IN_BLOCK, 2, atoi(value), 8); }
    else if (!strcmp(word, "land")) { float x[3] = {0.5, 0.25, 1}; code = a4l_set_surface(h, "land_area_fraction", x, A4L_REAL32, A4L_CELL_FASTEST, 0, 1, atoi(value)); }
    else if (!strcmp(word, "year")) code = a4l_year(h, &number), sprintf(answer, "%d", number);
    else if (!strcmp(word, "count")) code = a4l_cell_count(h, &count), sprintf(answer, "%d", (int)count);
    else if (!strcmp(word, "info")) { char units[16]; code = a4l_field_info(h, value, &number, units, 16); if (!code) sprintf(answer, "%d %s", number, units); }
    else if (!strcmp(word, "info_short")) { char units[2] = "?"; code = a4l_field_info(h, value, &number, units, 2); }
    else if (!strcmp(word, "type")) code = a4l_type_name(h, "landCoverFrac", atoi(value), answer, sizeof answer);
    else if (!strcmp(word, "cover")) code = get(h, "landCoverFrac", atoi(value), answer);
    else if (!strcmp(word, "get")) code = get(h, value, CELLS, answer);
    else if (!strcmp(word, "exact")) code = get_exactly(h, value, answer);
    else if (!strcmp(word, "get_null")) code = a4l_get_field(h, value, NULL, CELLS);
    else if (!strcmp(word, "set")) { double t[CELLS] = {280, 281, 282}; code = a4l_set_field(h, value, t, 1, CELLS); }
    else if (!strcmp(word, "set_nan")) { double t[CELLS] = {atoi(value) == rank ? NAN : 280, 281, 282}; code = a4l_set_field(h, "air_temperature", t, 1, CELLS); }
    else if (!strcmp(word, "set_short")) { double t[CELLS] = {280, 281, 282}; code = a4l_set_field(h, "air_temperature", t, 1, CELLS - (atoi(value) == rank)); }
    else if (!strcmp(word, "mean_units")) { double t[CELLS] = {280, 281, 282}; code = a4l_import(h, "air_temperature", value, 2000, 1, 20, 0, t, A4L_REAL64, 0, CELLS); }
    else if (!strcmp(word, "set_monthly")) { double t[12 * CELLS]; for (int j = 0; j < 12 * CELLS; j++) t[j] = j; code = a4l_set_field(h, value, t, 12, CELLS); }
    else if (!strcmp(word, "array")) code = array(a4l_get_array, h, "landCoverFrac", value);
    else if (!strcmp(word, "bind")) code = array(a4l_bind_field, h, "landCoverFrac", value);
    else if (!strcmp(word, "bind_lai")) code = array(a4l_bind_field, h, "lai", value);
    else if (!strcmp(word, "bind_date")) code = array(a4l_bind_field, h, "lai@date", value);
    else if (!strcmp(word, "unbind")) code = a4l_bind_field(h, value, NULL, A4L_REAL64, 0, 0, 0, 0);
    else if (!strcmp(word, "show")) show(value, answer);
    else if (!strcmp(word, "fail")) code = a4l_fail(atoi(value), "what a wrapper found");
    else if (!strcmp(word, "write")) code = a4l_write_restart(h, value);
    else if (!strcmp(word, "finalize")) code = a4l_finalize(h);
#ifndef WITHOUT_MPI
    else if (!strcmp(word, "errors")) {
      MPI_Errhandler world, own;
      MPI_Comm_get_errhandler(MPI_COMM_WORLD, &world);
      MPI_Comm_get_errhandler(MPI_COMM_SELF, &own);
      sprintf(answer, "%d %d", world == MPI_ERRORS_ARE_FATAL, own == MPI_ERRORS_ARE_FATAL);
    }
    else if (!strcmp(word, "mpi_finalize")) { MPI_Comm_free(&part); MPI_Finalize(); start_mpi = 0; }
#endif
    else { printf("unknown argument %s\n", word); return 3; }
    say(word, code, answer);
  }
#ifndef WITHOUT_MPI
  if (start_mpi) {
    MPI_Comm_free(&part);
    MPI_Finalize();
  }
#endif
  printf("%d end 0 \n", rank);
  return 0;
}

#ifndef AS_PLUGIN
int main(int argc, char **argv) { return host_main(argc, argv); }
#endif
