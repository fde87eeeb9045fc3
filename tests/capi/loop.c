/* A model's daily time loop, in its own calendar, with the component on a part of MPI_COMM_WORLD.
 *     loop CONFIG GRID CALENDAR START STOP FOLDER [RESTART]        START, STOP: year-month-day
 * The last of three or more ranks does not use the component. Whenever exports change, FOLDER/<rank>.f64 gets the land cover
 * [class][cell], and <rank>.txt the date. At STOP the state goes to FOLDER/restarts. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "a4l.h"

static void check(int code, const char *call) {
  char text[A4L_MESSAGE_LENGTH];
  if (code == A4L_OK) return;
  a4l_error_message(text, sizeof text);
  printf("%s: error %d: %s\n", call, code, text);
  MPI_Abort(MPI_COMM_WORLD, 1); /* a test's host may do what the component must not */
}

static int month_length(const char *calendar, int year, int month) {
  static const int usual[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (!strcmp(calendar, "360_day")) return 30;
  int leap = !strcmp(calendar, "standard") && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return usual[month - 1] + (month == 2 && leap);
}

int main(int argc, char **argv) {
  int rank, size, land, types, y, m, d, last_y, last_m, last_d;
  int64_t cells, steps, seen = -1;
  char units[16], path[1000];
  MPI_Comm own;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  int out = size > 2 && rank == size - 1;
  MPI_Comm_split(MPI_COMM_WORLD, out, rank, &own);
  if (!out) {
    const char *calendar = argv[3];
    sscanf(argv[4], "%d-%d-%d", &y, &m, &d);
    sscanf(argv[5], "%d-%d-%d", &last_y, &last_m, &last_d);
    if (argc > 7)
      check(a4l_init_restart(argv[1], argv[7], MPI_Comm_c2f(own), &land), "a4l_init_restart");
    else
      check(a4l_init(argv[1], MPI_Comm_c2f(own), &land), "a4l_init");
    check(a4l_set_calendar(land, calendar), "a4l_set_calendar");
    check(a4l_set_named_grid(land, argv[2]), "a4l_set_named_grid");
    check(a4l_realize(land), "a4l_realize");
    check(a4l_cell_count(land, &cells), "a4l_cell_count");
    check(a4l_field_info(land, "land_cover_fraction", &types, units, sizeof units), "a4l_field_info");
    double *fraction = malloc(sizeof *fraction * (size_t)(types * cells + 1));
    snprintf(path, sizeof path, "%s/%d.f64", argv[6], rank);
    FILE *values = fopen(path, "wb");
    snprintf(path, sizeof path, "%s/%d.txt", argv[6], rank);
    FILE *dates = fopen(path, "w");
    for (;;) {
      check(a4l_run_date(land, y, m, d, 0), "a4l_run_date");
      check(a4l_step_count(land, &steps), "a4l_step_count");
      if (steps != seen) {
        check(a4l_get_field(land, "land_cover_fraction", fraction, types * cells), "a4l_get_field");
        fwrite(fraction, sizeof *fraction, (size_t)(types * cells), values);
        fprintf(dates, "%d-%d-%d\n", y, m, d);
        seen = steps;
      }
      if (y == last_y && m == last_m && d == last_d) break;
      if (++d > month_length(calendar, y, m)) d = 1, m++;
      if (m > 12) m = 1, y++;
    }
    fclose(values), fclose(dates), free(fraction);
    snprintf(path, sizeof path, "%s/restarts", argv[6]);
    check(a4l_write_restart(land, path), "a4l_write_restart");
    check(a4l_finalize(land), "a4l_finalize");
  }
  MPI_Comm_free(&own);
  MPI_Finalize();
  return 0;
}
