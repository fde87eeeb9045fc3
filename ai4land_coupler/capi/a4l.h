/* a4l.h: AI4Land as a component of a climate model, from C (and from whatever can call C).
 *
 * Every function returns A4L_OK (0) or one of the codes below, and never exits, aborts or raises into the
 * host; a4l_error_message then says what was wrong. All output arguments are left alone on failure.
 *
 * Order of calls:   a4l_init -> a4l_set_calendar -> a4l_set_grid or a4l_set_named_grid -> a4l_realize
 *                   -> (a4l_set_field*, a4l_run, a4l_get_field*) per year -> a4l_finalize
 * or, from a model's own time loop, (a4l_import*, a4l_run_date, a4l_get_field*) per time step.
 *
 * Functions marked "collective" are called by every rank of the communicator given to a4l_init, in the same
 * order. When one rank fails inside one, every rank gets an error: the code of that rank's failure, or
 * A4L_ERR_REMOTE where nobody foresaw it. A null pointer or a stale handle is refused before the ranks talk: that
 * rank alone hears of it.
 * Calls on one handle come from one thread at a time. Arrays are copied and nothing of the host's is kept, but for
 * a4l_bind_field.
 * Text is UTF-8 and ends with a zero byte. */
#ifndef A4L_H
#define A4L_H

#include <stdint.h>

#if defined(__GNUC__)
#define A4L_API __attribute__((visibility("default")))
#else
#define A4L_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Compare with a4l_abi_version() to see whether the library found at run time is the one compiled against: its
 * number is the same or, where functions were added since, greater. */
#define A4L_ABI_VERSION 2

/* For a4l_init: the host has no MPI; the component runs in this process alone. */
#define A4L_NO_COMM (-1)

/* No message of a4l_error_message is longer than this, the zero byte included. */
#define A4L_MESSAGE_LENGTH 4096

/* The codes: host_code of the classes in ai4land_coupler/errors.py. */
enum {
  A4L_OK = 0,
  A4L_ERR = 1,        /* none of the others: null pointer, text that does not fit its buffer */
  A4L_ERR_CONFIG = 2, /* the configuration cannot be used */
  A4L_ERR_FIELD = 3,  /* unknown field, or wrong size, units or values */
  A4L_ERR_STATE = 4,  /* calls out of order, or a handle that is not (or no longer) in use */
  A4L_ERR_TIME = 5,   /* a year in the past, or outside what the data cover */
  A4L_ERR_GRID = 6,   /* malformed grid */
  A4L_ERR_DATA = 7,   /* an input file is missing, unreadable or wrong */
  A4L_ERR_PLUGIN = 8, /* a plugin is unknown or broke its contract */
  A4L_ERR_RUN = 9,    /* something failed while a run was under way */
  A4L_ERR_PYTHON = 90, /* Python could not start, or an exception nobody foresaw */
  A4L_ERR_MPI = 91,    /* the host's MPI library and that of Python do not fit */
  A4L_ERR_REMOTE = 92  /* another rank failed */
};

/* For a4l_set_grid: how two corners of a cell are joined. */
enum {
  A4L_GREAT_CIRCLE = 0,
  A4L_LATLON = 1 /* along meridians and parallels */
};

/* For functions that take arrays of any kind: bytes per value. */
enum {
  A4L_REAL32 = 4,
  A4L_REAL64 = 8
};

/* For a4l_field_count and a4l_field_name: what the component gives, and what it wants of the host. */
enum {
  A4L_EXPORT = 0,
  A4L_IMPORT = 1
};

/* How an array of ntype types (classes; months of an import) and ncell cells lies in memory. With nproma > 0 the
 * cells come in blocks of that length: cell i is element i % nproma of block i / nproma, and the array holds whole
 * blocks, as many as the cells need or more. What follows the last cell is padding: never read, never written. */
enum {
  A4L_CELL_FASTEST = 0, /* [ntype][ncell], or [ntype][nblock][nproma]; Fortran: (ncell, ntype) */
  A4L_TYPE_FASTEST = 1, /* [ncell][ntype], or [nblock][nproma][ntype]; Fortran: (ntype, ncell) */
  A4L_TYPE_IN_BLOCK = 2 /* [nblock][ntype][nproma]; Fortran: (nproma, ntype, nblock) */
};

A4L_API int a4l_abi_version(void);

/* The message of this thread's latest failure, cut to fit `size` bytes; empty where nothing has failed. */
A4L_API int a4l_error_message(char *text, int size);

/* For wrappers in other languages: make this the message of this thread's latest failure. Returns `code`. */
A4L_API int a4l_fail(int code, const char *message);

/* Create a component from a configuration file (YAML). Collective.
 * comm: MPI_Comm_c2f of the host's communicator (in Fortran: the communicator itself), or A4L_NO_COMM. It is
 *   duplicated: the component's messages never meet the host's. MPI must be initialised already.
 * handle: a small positive integer for all other calls. A handle is never given out twice. */
A4L_API int a4l_init(const char *config, int comm, int *handle);

/* The same, continuing from a folder of restarts that a4l_write_restart (or an offline run) wrote: the newest
 * complete one is taken. Collective. */
A4L_API int a4l_init_restart(const char *config, const char *restart, int comm, int *handle);

/* The same, but branching off from a restart of another run: the state becomes that of the configuration's
 * time.start; scenario, seed and years may differ. Collective. */
A4L_API int a4l_init_branch(const char *config, const char *restart, int comm, int *handle);

/* How the host counts days: "standard" (which is assumed), "proleptic_gregorian", "julian", "noleap", "all_leap",
 * "360_day", or another of cftime's names for them; the same on all ranks. Before the first run. Local. */
A4L_API int a4l_set_calendar(int handle, const char *calendar);

/* Describe the cells that this rank owns, halo left out. A rank may own none. Local.
 * global_id[ncell]: 0-based, unique over all ranks, below global_size.
 * lon, lat [ncell][nvert]: corners in degrees, counter-clockwise seen from above; a cell with fewer corners
 *   repeats its last one.
 * edges: A4L_GREAT_CIRCLE or A4L_LATLON.
 * mask[ncell]: 0 for cells that take no part; NULL where all take part.
 * global_size: number of cells of the whole grid. */
A4L_API int a4l_set_grid(int handle, int64_t ncell, const int64_t *global_id, int nvert, const double *lon,
                         const double *lat, int edges, const int32_t *mask, int64_t global_size);

/* Use a grid that the configuration lists under `hosts`, split evenly over the ranks. Collective. */
A4L_API int a4l_set_named_grid(int handle, const char *name);

/* Give the host's own surface data of the first year, in the layouts of a4l_get_array: exports then are these plus
 * what has changed since. name: "land_cover_fraction" (shares of the whole cell, a type for each class of the export
 * of this name, in its order) or "land_area_fraction" (the host's land mask wins). Between setting the grid and
 * a4l_realize, where all ranks hear of values that cannot be. Local. */
A4L_API int a4l_set_surface(int handle, const char *name, const void *data, int kind, int order, int nproma, int ntype,
                            int64_t size);

/* Make the regrid weights. Collective. */
A4L_API int a4l_realize(int handle);

/* Take every step that is due by 1 January of `year`. The year that is current is a no-op, an earlier one and one
 * beyond the configuration's time.stop are A4L_ERR_TIME. A predictor of three-year steps holds its state in
 * between. Collective. */
A4L_API int a4l_run(int handle, int year);

/* The same for a date of the host's calendar; `seconds` count from midnight. Call it at each time step: steps are
 * taken on 1 January, and a call that finds none due decides so on this rank alone, in microseconds. */
A4L_API int a4l_run_date(int handle, int year, int month, int day, double seconds);

/* The state holds from 1 January of this year. */
A4L_API int a4l_year(int handle, int *year);

/* The year of the fields `name@next`. A4L_ERR_TIME where there is none: the configuration has no exports.lookahead, or
 * the run is at its end. */
A4L_API int a4l_next_year(int handle, int *year);

/* How far the host has come. */
A4L_API int a4l_date(int handle, int *year, int *month, int *day, double *seconds);

/* A number that rises whenever exports change. */
A4L_API int a4l_step_count(int handle, int64_t *count);

/* Cells of the host's grid that this rank owns. */
A4L_API int a4l_cell_count(int handle, int64_t *ncell);

/* How many fields there are: A4L_EXPORT or A4L_IMPORT. */
A4L_API int a4l_field_count(int handle, int direction, int *count);

/* The name of field `index` (0-based) of a direction. */
A4L_API int a4l_field_name(int handle, int direction, int index, char *text, int size);

/* Where exports.lookahead is on, an export has three names, in all functions that take one: `name`, the state of
 * a4l_year; `name@next`, that of a4l_next_year; and for fractions `name@date`, which changes linearly from the one to
 * the other, for the date that the host has run to. */

/* Describe an export field: how many types (classes) it has, 1 for a plain field, and its units. */
A4L_API int a4l_field_info(int handle, const char *name, int *ntype, char *units, int size);

/* The units of an import field. */
A4L_API int a4l_import_info(int handle, const char *name, char *units, int size);

/* The name of type `index` (0-based) of an export field. */
A4L_API int a4l_type_name(int handle, const char *name, int index, char *text, int size);

/* Copy an export field into data[ntype][ncell] (the cells of one type side by side); `n` is ntype * ncell. */
A4L_API int a4l_get_field(int handle, const char *name, double *data, int64_t n);

/* Copy an import field from data[ntime][ncell], in the units that the predictor wants; ntime is 1, or 12 for the
 * months of a year. It holds for the steps to come. */
A4L_API int a4l_set_field(int handle, const char *name, const double *data, int ntime, int64_t ncell);

/* The same for other layouts and for real32, to which values are rounded. nproma is 0 for cells without blocks;
 * ntype is what a4l_field_info says, or 0 to leave that unchecked; for an import it is 1, or 12 for the months of a
 * year. `size` is the number of values in the whole array, padding included. */
A4L_API int a4l_get_array(int handle, const char *name, void *data, int kind, int order, int nproma, int ntype,
                          int64_t size);
A4L_API int a4l_set_array(int handle, const char *name, const void *data, int kind, int order, int nproma, int ntype,
                          int64_t size);

/* Give an import field as its mean over the time since the last import of it (at first: since the start of the run) up
 * to a date; the component makes the monthly means. units: of the values, or NULL for those of a4l_import_info. What
 * is wrong with the values is told to every rank by the next collective call, and they are not taken. Local. */
A4L_API int a4l_import(int handle, const char *name, const char *units, int year, int month, int day, double seconds,
                       const void *data, int kind, int nproma, int64_t size);

/* Let the component fill an array of the host by itself: now, and at the end of each a4l_run or a4l_run_date that changes the
 * field. The host keeps the array where it is until a4l_finalize, or until it calls this with data NULL, which ends the
 * binding. Binding a field again replaces its array. After the grid was set. Local. */
A4L_API int a4l_bind_field(int handle, const char *name, void *data, int kind, int order, int nproma, int ntype,
                           int64_t size);

/* Write the whole state into the folder `path`, under its year. Collective. */
A4L_API int a4l_write_restart(int handle, const char *path);

/* Release the component; the handle is stale from then on, also where this fails. Collective. Call it before
 * MPI_Finalize where you can. Python itself stays in the process until it ends. */
A4L_API int a4l_finalize(int handle);

#ifdef __cplusplus
}
#endif

#endif
