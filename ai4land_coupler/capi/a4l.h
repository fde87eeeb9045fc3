/* a4l.h: AI4Land as a component of a climate model, for C and languages that can call C.
 *
 * Every function returns A4L_OK (0) or one of the codes below. It never exits, aborts or raises an exception in the
 * host. After a failure, a4l_error_message gives the message, and all output arguments are unchanged.
 *
 * Order of calls:   a4l_init -> a4l_set_calendar -> a4l_set_grid or a4l_set_named_grid -> a4l_realize
 *                   -> (a4l_set_field*, a4l_run, a4l_get_field*) per year -> a4l_finalize
 * or, from a model's own time loop, (a4l_import*, a4l_run_date, a4l_get_field*) per time step.
 *
 * Every rank of the communicator given to a4l_init must call the functions marked "collective", in the same order.
 * If one rank fails in such a call, every rank gets an error: the code of that rank's failure, or A4L_ERR_REMOTE if
 * the failure was unexpected. If ranks make different calls (another date, another folder), or one rank has already
 * finalized, every rank that makes the call gets an error. A null pointer or an invalid handle is refused before any communication, on that rank
 * only.
 * Only one thread at a time can use a handle. All functions copy the host's arrays, except a4l_bind_field.
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

/* Compare this with a4l_abi_version() of the library at run time. The library fits if its number is the same, or
 * greater (functions were added since). */
#define A4L_ABI_VERSION 3

/* For a4l_init: the host has no MPI; the component runs in this process only. */
#define A4L_NO_COMM (-1)

/* Largest length of a message of a4l_error_message, including the zero byte. */
#define A4L_MESSAGE_LENGTH 4096

/* The codes: host_code of the classes in ai4land_coupler/errors.py. */
enum {
  A4L_OK = 0,
  A4L_ERR = 1,        /* other faults: null pointer, text that does not fit its buffer */
  A4L_ERR_CONFIG = 2, /* the configuration cannot be used */
  A4L_ERR_FIELD = 3,  /* unknown field, or wrong size, units or values */
  A4L_ERR_STATE = 4,  /* calls in the wrong order, or an invalid handle */
  A4L_ERR_TIME = 5,   /* a year in the past, or outside what the data cover */
  A4L_ERR_GRID = 6,   /* malformed grid */
  A4L_ERR_DATA = 7,   /* an input file is missing, unreadable or wrong */
  A4L_ERR_PLUGIN = 8, /* a plugin is unknown or broke its contract */
  A4L_ERR_RUN = 9,    /* a failure during a run */
  A4L_ERR_PYTHON = 90, /* Python could not start, or an unexpected exception */
  A4L_ERR_MPI = 91,    /* host and Python use different MPI libraries */
  A4L_ERR_REMOTE = 92  /* another rank failed */
};

/* For a4l_set_grid: the edges between the corners of a cell. */
enum {
  A4L_GREAT_CIRCLE = 0,
  A4L_LATLON = 1 /* along meridians and parallels */
};

/* For functions that take arrays of either kind: bytes per value. */
enum {
  A4L_REAL32 = 4,
  A4L_REAL64 = 8
};

/* For a4l_field_count and a4l_field_name: fields that the component gives, and fields that it needs. */
enum {
  A4L_EXPORT = 0,
  A4L_IMPORT = 1
};

/* Memory layout of an array of ntype types (classes; months of an import) and ncell cells. With nproma > 0 the cells
 * are in blocks of that length: cell i is element i % nproma of block i / nproma. The array contains whole blocks, at
 * least as many as the cells need. Elements after the last cell are padding: never read, never written. */
enum {
  A4L_CELL_FASTEST = 0, /* [ntype][ncell], or [ntype][nblock][nproma]; Fortran: (ncell, ntype) */
  A4L_TYPE_FASTEST = 1, /* [ncell][ntype], or [nblock][nproma][ntype]; Fortran: (ntype, ncell) */
  A4L_TYPE_IN_BLOCK = 2 /* [nblock][ntype][nproma]; Fortran: (nproma, ntype, nblock) */
};

A4L_API int a4l_abi_version(void);

/* The message of this thread's last failure, cut to `size` bytes; empty if no call has failed. */
A4L_API int a4l_error_message(char *text, int size);

/* For wrappers in other languages: set the message of this thread's last failure. Returns `code`. */
A4L_API int a4l_fail(int code, const char *message);

/* Create a component from a configuration file (YAML). Collective.
 * comm: MPI_Comm_c2f of the host's communicator (in Fortran: the communicator itself), or A4L_NO_COMM. The component
 *   duplicates it, so that its messages never mix with the host's. MPI must be initialised already.
 * handle: a small positive integer for all other calls. A handle is never used twice. */
A4L_API int a4l_init(const char *config, int comm, int *handle);

/* The same, but continue from the newest complete restart in a folder that a4l_write_restart or an offline run wrote.
 * Collective. */
A4L_API int a4l_init_restart(const char *config, const char *restart, int comm, int *handle);

/* The same, but branch off from a restart of another run: the state becomes that of the configuration's time.start.
 * Scenario, seed and years can differ. Collective. */
A4L_API int a4l_init_branch(const char *config, const char *restart, int comm, int *handle);

/* The same two, from the restart of a given year of the folder. (a4l_init_branch takes the restart of time.start.)
 * A branch can start from any year: the state of restart_year becomes that of time.start. Collective. Since version 3. */
A4L_API int a4l_init_restart_year(const char *config, const char *restart, int restart_year, int comm, int *handle);
A4L_API int a4l_init_branch_year(const char *config, const char *restart, int restart_year, int comm, int *handle);

/* Set the host's calendar: "standard" (the default), "proleptic_gregorian", "julian", "noleap", "all_leap", "360_day",
 * or another name that cftime has for them; the same on all ranks. Call this before the first run. Local. */
A4L_API int a4l_set_calendar(int handle, const char *calendar);

/* Set the cells that this rank owns, without the halo. A rank can own no cells. Local.
 * global_id[ncell]: 0-based, unique over all ranks, below global_size.
 * lon, lat [ncell][nvert]: corners in degrees, counter-clockwise seen from above; a cell with fewer corners
 *   repeats its last one.
 * edges: A4L_GREAT_CIRCLE or A4L_LATLON.
 * mask[ncell]: 0 for cells that are not used; NULL if all cells are used.
 * global_size: number of cells of the whole grid. */
A4L_API int a4l_set_grid(int handle, int64_t ncell, const int64_t *global_id, int nvert, const double *lon,
                         const double *lat, int edges, const int32_t *mask, int64_t global_size);

/* Use a grid that the configuration lists under `hosts`, split evenly over the ranks. Collective. */
A4L_API int a4l_set_named_grid(int handle, const char *name);

/* Set the host's own surface data of the first year, in the layouts of a4l_get_array. Exports are then these data plus
 * the change since the first year. name: "land_cover_fraction" (shares of the whole cell, with the classes of this
 * export, in its order), "land_area_fraction" (the host's land mask replaces that of the map), or
 * "surface_type_fraction" (if the configuration has exports.profile). Call this after setting the grid and before
 * a4l_realize, which raises faults of the values on all ranks. Local. */
A4L_API int a4l_set_surface(int handle, const char *name, const void *data, int kind, int order, int nproma, int ntype,
                            int64_t size);

/* Make the regridding weights. Collective. */
A4L_API int a4l_realize(int handle);

/* Take every step that is due by 1 January of `year`. The current year does nothing. An earlier year, or one after the
 * configuration's time.stop, is A4L_ERR_TIME. A predictor with steps of three years keeps its state between them, also
 * after time.stop to the end of the last step. Collective. */
A4L_API int a4l_run(int handle, int year);

/* The same for a date of the host's calendar; `seconds` count from midnight. Call it at each time step of the model.
 * Steps are due on 1 January. If no step is due, the call is local and takes microseconds; else it is collective. */
A4L_API int a4l_run_date(int handle, int year, int month, int day, double seconds);

/* Year of the state: it is valid from 1 January of this year. */
A4L_API int a4l_year(int handle, int *year);

/* The year of the fields `name@next`. A4L_ERR_TIME if there is no such year: the configuration has no
 * exports.lookahead, or the run is at its end. */
A4L_API int a4l_next_year(int handle, int *year);

/* The last date that the host ran to. */
A4L_API int a4l_date(int handle, int *year, int *month, int *day, double *seconds);

/* A number that grows whenever exports change. */
A4L_API int a4l_step_count(int handle, int64_t *count);

/* Number of cells of the host's grid that this rank owns. */
A4L_API int a4l_cell_count(int handle, int64_t *ncell);

/* Number of fields of a direction: A4L_EXPORT or A4L_IMPORT. */
A4L_API int a4l_field_count(int handle, int direction, int *count);

/* The name of field `index` (0-based) of a direction. */
A4L_API int a4l_field_name(int handle, int direction, int index, char *text, int size);

/* With exports.lookahead in the configuration, all functions accept three names for an export: `name` is the state of
 * a4l_year; `name@next` is the state of a4l_next_year; `name@date`, for fractions only, is linear between the two, at
 * the date that the host ran to. */

/* Describe an export field: its number of types (classes), 1 for a field without types, and its units. */
A4L_API int a4l_field_info(int handle, const char *name, int *ntype, char *units, int size);

/* The units of an import field. */
A4L_API int a4l_import_info(int handle, const char *name, char *units, int size);

/* The name of type `index` (0-based) of an export field. */
A4L_API int a4l_type_name(int handle, const char *name, int index, char *text, int size);

/* Copy an export field to data[ntype][ncell] (cells are contiguous); `n` is ntype * ncell. */
A4L_API int a4l_get_field(int handle, const char *name, double *data, int64_t n);

/* Copy an import field from data[ntime][ncell], in the units of the predictor; ntime is 1, or 12 for the months of a
 * year. The values are used for all later steps. */
A4L_API int a4l_set_field(int handle, const char *name, const double *data, int ntime, int64_t ncell);

/* The same for other layouts, and for real32 (values are rounded). nproma is 0 for cells without blocks. ntype is the
 * number of a4l_field_info, or 0 for no check; for an import it is 1, or 12 for the months of a year. `size` is the
 * number of values in the whole array, including padding. */
A4L_API int a4l_get_array(int handle, const char *name, void *data, int kind, int order, int nproma, int ntype,
                          int64_t size);
A4L_API int a4l_set_array(int handle, const char *name, const void *data, int kind, int order, int nproma, int ntype,
                          int64_t size);

/* Give an import field as its mean over the interval from its last import (at first: from the start of the run) to a
 * date. The component makes monthly means. units: units of the values, or NULL for those of a4l_import_info. Faulty
 * values are not used; the next collective call raises the fault on every rank. Local. */
A4L_API int a4l_import(int handle, const char *name, const char *units, int year, int month, int day, double seconds,
                       const void *data, int kind, int nproma, int64_t size);

/* Let the component fill an array of the host: now, and at the end of each a4l_run or a4l_run_date that changes the
 * field. The host must keep the array in place until a4l_finalize, or until it calls this with data NULL, which ends
 * the binding. Binding a field again replaces its array. Call this after setting the grid. Local. */
A4L_API int a4l_bind_field(int handle, const char *name, void *data, int kind, int order, int nproma, int ntype,
                           int64_t size);

/* Write the whole state to the folder `path`, in a subfolder named by the year. Collective. */
A4L_API int a4l_write_restart(int handle, const char *path);

/* Release the component. The handle is invalid afterwards, also if this call fails. Call it before MPI_Finalize if
 * possible. Python stays in the process until the process ends. Collective. */
A4L_API int a4l_finalize(int handle);

#ifdef __cplusplus
}
#endif

#endif
