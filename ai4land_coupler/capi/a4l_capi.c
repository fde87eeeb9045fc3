/* The C library of a4l.h: it starts (or joins) Python and passes every call to ai4land_coupler.capi.bridge.
 *
 * A function of the bridge returns (code, text, number) and raises no exception. This file does what only C can do:
 * start the interpreter, set the floating-point environment, hold the GIL, check null pointers. It does not use MPI:
 * a communicator is passed as the integer that Fortran uses. */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <fenv.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "a4l.h"

#ifndef A4L_DEFAULT_PYTHON
#error "build with: python -m ai4land_coupler.capi build"
#endif

static __thread char last_message[A4L_MESSAGE_LENGTH];

static int fail(int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(last_message, sizeof last_message, format, arguments);
  va_end(arguments);
  return code;
}

/* Report the pending Python exception. Never PyErr_Print: it exits the process on SystemExit. */
static int fail_with_exception(const char *what) {
#if PY_VERSION_HEX >= 0x030C0000
  PyObject *value = PyErr_GetRaisedException();
#else
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  Py_XDECREF(type);
  Py_XDECREF(trace);
#endif
  PyObject *text = value ? PyObject_Str(value) : NULL;
  const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
  const char *name = value ? Py_TYPE(value)->tp_name : "no exception";
  fail(A4L_ERR_PYTHON, "%s: %s: %s", what, name, utf8 ? utf8 : "(no message)");
  Py_XDECREF(text);
  Py_XDECREF(value);
  PyErr_Clear();
  return A4L_ERR_PYTHON;
}

/* ---- the interpreter ---------------------------------------------------------------------------------- */

/* Hosts can trap floating-point exceptions, use another rounding mode or flush subnormals. But importing numpy divides
 * by zero, and results must not depend on the host. So each call into Python runs in the default environment, which
 * threads started by Python inherit. */
static void enter_default_fp(fenv_t *host) {
  feholdexcept(host);
  fesetenv(FE_DFL_ENV);
}

static int fail_with_status(PyStatus status, const char *python) {
  return fail(A4L_ERR_PYTHON,
              "Python could not start: %s (%s)\n  where: %s\n"
              "  what to do: set A4L_PYTHON to the python of the environment that holds ai4land_coupler, of version %d.%d",
              status.err_msg ? status.err_msg : "it asked to exit", status.func ? status.func : "?", python,
              PY_MAJOR_VERSION, PY_MINOR_VERSION);
}

/* Start an interpreter that ignores the host's environment variables, arguments, locale and signals. It finds its
 * packages through the path of its executable, as in a virtual environment. */
static int start_python(void) {
  const char *python = getenv("A4L_PYTHON");
  if (python == NULL || *python == '\0') python = A4L_DEFAULT_PYTHON;
  if (access(python, X_OK) != 0)
    return fail(A4L_ERR_PYTHON,
                "the python of ai4land_coupler is not there\n  expected: an executable file\n  found: %s\n"
                "  what to do: set A4L_PYTHON to the python of the environment that holds ai4land_coupler",
                python);

  /* If a host loads this library with dlopen(RTLD_LOCAL), extension modules do not see libpython, which they need. */
  Dl_info library;
  if (dladdr((void *)&Py_IsInitialized, &library) && library.dli_fname)
    dlopen(library.dli_fname, RTLD_LAZY | RTLD_GLOBAL | RTLD_NOLOAD);

  PyPreConfig before;
  PyPreConfig_InitIsolatedConfig(&before);
  before.utf8_mode = 1;
  PyStatus status = Py_PreInitialize(&before);
  if (PyStatus_Exception(status)) return fail_with_status(status, python);

  PyConfig config;
  PyConfig_InitIsolatedConfig(&config);
  config.install_signal_handlers = 0;
  config.buffered_stdio = 0; /* keeps Python's output in order with the host's */
  config.parse_argv = 0;
  status = PyConfig_SetBytesString(&config, &config.program_name, python);
  if (!PyStatus_Exception(status)) status = PyConfig_SetBytesString(&config, &config.executable, python);
  if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
  PyConfig_Clear(&config);
  if (PyStatus_Exception(status)) return fail_with_status(status, python);
  PyEval_SaveThread();
  return A4L_OK;
}

/* After a failed start there is no second attempt, because CPython can crash then. */
static int ensure_python(int *embedded) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static enum { UNKNOWN, JOINED, STARTED, FAILED } state = UNKNOWN;
  static char first_message[A4L_MESSAGE_LENGTH];
  int code = A4L_OK;
  pthread_mutex_lock(&lock);
  if (state == UNKNOWN) {
    if (Py_IsInitialized()) {
      state = JOINED;
    } else {
      code = start_python();
      state = code == A4L_OK ? STARTED : FAILED;
      snprintf(first_message, sizeof first_message, "%s", last_message);
    }
  } else if (state == FAILED) {
    code = fail(A4L_ERR_PYTHON, "%s", first_message);
  }
  *embedded = state == STARTED;
  pthread_mutex_unlock(&lock);
  return code;
}

/* The package does not import: the wrong Python, or a broken installation. */
static int fail_without_bridge(void) {
  PyObject *executable = PySys_GetObject("executable");
  const char *python = executable ? PyUnicode_AsUTF8(executable) : NULL;
  fail_with_exception("ai4land_coupler cannot be imported");
  size_t used = strlen(last_message);
  snprintf(last_message + used, sizeof last_message - used,
           "\n  where: %s\n  what to do: set A4L_PYTHON to the python of the environment that holds ai4land_coupler",
           python ? python : "unknown python");
  return A4L_ERR_PYTHON;
}

/* ---- calls -------------------------------------------------------------------------------------------- */

struct answer {
  long long number;
  char *text; /* NULL if the caller needs no text */
  int size;
};

/* An array of the host, as "O&" of Py_BuildValue takes it: a memoryview, or None for a null pointer. */
struct array {
  void *data;
  int64_t bytes;
  int flags;
};

static PyObject *as_view(void *pointer) {
  const struct array *array = pointer;
  if (array->data == NULL) Py_RETURN_NONE;
  return PyMemoryView_FromMemory(array->data, (Py_ssize_t)array->bytes, array->flags);
}

/* Read (code, text, number). */
static int read_result(PyObject *result, const char *name, struct answer *answer) {
  int code;
  const char *text;
  long long number;
  if (result == NULL || !PyArg_ParseTuple(result, "isL", &code, &text, &number)) return fail_with_exception(name);
  if (code != A4L_OK) return fail(code, "%s", text);
  if (answer->text != NULL) {
    size_t needed = strlen(text) + 1;
    if (answer->size < 0 || (size_t)answer->size < needed)
      return fail(A4L_ERR, "%s: a text does not fit\n  expected: a buffer of %zu bytes\n  found: %d", name, needed,
                  answer->size);
    memcpy(answer->text, text, needed);
  }
  answer->number = number;
  return A4L_OK;
}

/* Call bridge.<name>(...); `format` as for Py_BuildValue, always a tuple. */
static int call_bridge(struct answer *answer, const char *name, const char *format, ...) {
  if (!Py_IsInitialized()) return fail(A4L_ERR_STATE, "%s: call a4l_init first", name);
  fenv_t host;
  enter_default_fp(&host);
  PyGILState_STATE gil = PyGILState_Ensure();

  static PyObject *bridge = NULL; /* cached, because an import takes a microsecond; the GIL guards it */
  if (bridge == NULL) bridge = PyImport_ImportModule("ai4land_coupler.capi.bridge");
  PyObject *function = bridge ? PyObject_GetAttrString(bridge, name) : NULL;
  va_list list;
  va_start(list, format);
  PyObject *arguments = function ? Py_VaBuildValue(format, list) : NULL;
  va_end(list);
  PyObject *result = arguments ? PyObject_CallObject(function, arguments) : NULL;
  int code = bridge ? read_result(result, name, answer) : fail_without_bridge();
  Py_XDECREF(result);
  Py_XDECREF(arguments);
  Py_XDECREF(function);

  PyGILState_Release(gil);
  fesetenv(&host);
  return code;
}

#define REFUSE_NULL(pointer)                                                                        \
  do {                                                                                              \
    if ((pointer) == NULL)                                                                          \
      return fail(A4L_ERR, "%s: the argument '%s' is a null pointer", __func__, #pointer);          \
  } while (0)

int a4l_abi_version(void) { return A4L_ABI_VERSION; }

int a4l_error_message(char *text, int size) {
  if (text == NULL || size < 1) return A4L_ERR; /* not by fail(), which would overwrite the message */
  snprintf(text, size, "%s", last_message);
  return A4L_OK;
}

int a4l_fail(int code, const char *message) {
  REFUSE_NULL(message);
  return fail(code, "%s", message);
}

static int create(const char *config, const char *restart, int branch, const int *restart_year, int comm, int *handle) {
  fenv_t host;
  enter_default_fp(&host);
  int embedded;
  int code = ensure_python(&embedded);
  fesetenv(&host);
  if (code != A4L_OK) return code;
  struct answer answer = {0};
  code = call_bridge(&answer, "init", "(yyiiiii)", config, restart, branch, comm, embedded, restart_year != NULL,
                     restart_year != NULL ? *restart_year : 0);
  if (code == A4L_OK) *handle = (int)answer.number;
  return code;
}

int a4l_init(const char *config, int comm, int *handle) {
  REFUSE_NULL(config);
  REFUSE_NULL(handle);
  return create(config, NULL, 0, NULL, comm, handle);
}

int a4l_init_restart(const char *config, const char *restart, int comm, int *handle) {
  REFUSE_NULL(config);
  REFUSE_NULL(restart);
  REFUSE_NULL(handle);
  return create(config, restart, 0, NULL, comm, handle);
}

int a4l_init_branch(const char *config, const char *restart, int comm, int *handle) {
  REFUSE_NULL(config);
  REFUSE_NULL(restart);
  REFUSE_NULL(handle);
  return create(config, restart, 1, NULL, comm, handle);
}

int a4l_init_restart_year(const char *config, const char *restart, int restart_year, int comm, int *handle) {
  REFUSE_NULL(config);
  REFUSE_NULL(restart);
  REFUSE_NULL(handle);
  return create(config, restart, 0, &restart_year, comm, handle);
}

int a4l_init_branch_year(const char *config, const char *restart, int restart_year, int comm, int *handle) {
  REFUSE_NULL(config);
  REFUSE_NULL(restart);
  REFUSE_NULL(handle);
  return create(config, restart, 1, &restart_year, comm, handle);
}

int a4l_set_calendar(int handle, const char *calendar) {
  REFUSE_NULL(calendar);
  struct answer answer = {0};
  return call_bridge(&answer, "set_calendar", "(iy)", handle, calendar);
}

int a4l_set_grid(int handle, int64_t ncell, const int64_t *global_id, int nvert, const double *lon, const double *lat,
                 int edges, const int32_t *mask, int64_t global_size) {
  if (ncell < 0 || nvert < 3)
    return fail(A4L_ERR_GRID, "a4l_set_grid: impossible sizes\n  expected: ncell >= 0, nvert >= 3\n  found: %lld, %d",
                (long long)ncell, nvert);
  if (ncell > 0) {
    REFUSE_NULL(global_id);
    REFUSE_NULL(lon);
    REFUSE_NULL(lat);
  }
  int64_t corner_bytes = ncell * nvert * (int64_t)sizeof(double);
  struct array ids = {(void *)global_id, ncell * (int64_t)sizeof(int64_t), PyBUF_READ};
  struct array lons = {(void *)lon, corner_bytes, PyBUF_READ};
  struct array lats = {(void *)lat, corner_bytes, PyBUF_READ};
  struct array masks = {(void *)mask, ncell * (int64_t)sizeof(int32_t), PyBUF_READ};
  struct answer answer = {0};
  return call_bridge(&answer, "set_grid", "(iLiO&O&O&iO&L)", handle, (long long)ncell, nvert, as_view, &ids, as_view,
                     &lons, as_view, &lats, edges, as_view, &masks, (long long)global_size);
}

int a4l_set_named_grid(int handle, const char *name) {
  REFUSE_NULL(name);
  struct answer answer = {0};
  return call_bridge(&answer, "set_named_grid", "(iy)", handle, name);
}

int a4l_realize(int handle) {
  struct answer answer = {0};
  return call_bridge(&answer, "realize", "(i)", handle);
}

int a4l_run(int handle, int year) {
  struct answer answer = {0};
  return call_bridge(&answer, "run", "(ii)", handle, year);
}

int a4l_year(int handle, int *year) {
  REFUSE_NULL(year);
  struct answer answer = {0};
  int code = call_bridge(&answer, "year", "(i)", handle);
  if (code == A4L_OK) *year = (int)answer.number;
  return code;
}

int a4l_run_date(int handle, int year, int month, int day, double seconds) {
  struct answer answer = {0};
  return call_bridge(&answer, "run_date", "(iiiid)", handle, year, month, day, seconds);
}

int a4l_next_year(int handle, int *year) {
  REFUSE_NULL(year);
  struct answer answer = {0};
  int code = call_bridge(&answer, "next_year", "(i)", handle);
  if (code == A4L_OK) *year = (int)answer.number;
  return code;
}

int a4l_date(int handle, int *year, int *month, int *day, double *seconds) {
  REFUSE_NULL(year);
  REFUSE_NULL(month);
  REFUSE_NULL(day);
  REFUSE_NULL(seconds);
  double parts[4] = {0};
  struct array view = {parts, sizeof parts, PyBUF_WRITE};
  struct answer answer = {0};
  int code = call_bridge(&answer, "date", "(iO&)", handle, as_view, &view);
  if (code != A4L_OK) return code;
  *year = (int)parts[0];
  *month = (int)parts[1];
  *day = (int)parts[2];
  *seconds = parts[3];
  return A4L_OK;
}

int a4l_step_count(int handle, int64_t *count) {
  REFUSE_NULL(count);
  struct answer answer = {0};
  int code = call_bridge(&answer, "step_count", "(i)", handle);
  if (code == A4L_OK) *count = answer.number;
  return code;
}

int a4l_field_count(int handle, int direction, int *count) {
  REFUSE_NULL(count);
  struct answer answer = {0};
  int code = call_bridge(&answer, "field_count", "(ii)", handle, direction);
  if (code == A4L_OK) *count = (int)answer.number;
  return code;
}

int a4l_field_name(int handle, int direction, int index, char *text, int size) {
  REFUSE_NULL(text);
  struct answer answer = {.text = text, .size = size};
  return call_bridge(&answer, "field_name", "(iii)", handle, direction, index);
}

int a4l_import_info(int handle, const char *name, char *units, int size) {
  REFUSE_NULL(name);
  REFUSE_NULL(units);
  struct answer answer = {.text = units, .size = size};
  return call_bridge(&answer, "import_info", "(iy)", handle, name);
}

int a4l_cell_count(int handle, int64_t *ncell) {
  REFUSE_NULL(ncell);
  struct answer answer = {0};
  int code = call_bridge(&answer, "cell_count", "(i)", handle);
  if (code == A4L_OK) *ncell = answer.number;
  return code;
}

int a4l_field_info(int handle, const char *name, int *ntype, char *units, int size) {
  REFUSE_NULL(name);
  REFUSE_NULL(ntype);
  REFUSE_NULL(units);
  struct answer answer = {.text = units, .size = size};
  int code = call_bridge(&answer, "field_info", "(iy)", handle, name);
  if (code == A4L_OK) *ntype = (int)answer.number;
  return code;
}

int a4l_type_name(int handle, const char *name, int index, char *text, int size) {
  REFUSE_NULL(name);
  REFUSE_NULL(text);
  struct answer answer = {.text = text, .size = size};
  return call_bridge(&answer, "type_name", "(iyi)", handle, name, index);
}

int a4l_get_field(int handle, const char *name, double *data, int64_t n) {
  REFUSE_NULL(name);
  if (n < 0) return fail(A4L_ERR_FIELD, "a4l_get_field: n is negative (%lld)", (long long)n);
  if (n > 0) REFUSE_NULL(data);
  struct array view = {data, n * (int64_t)sizeof(double), PyBUF_WRITE};
  struct answer answer = {0};
  return call_bridge(&answer, "get_field", "(iyO&)", handle, name, as_view, &view);
}

int a4l_set_field(int handle, const char *name, const double *data, int ntime, int64_t ncell) {
  REFUSE_NULL(name);
  if (ncell < 0 || ntime < 1)
    return fail(A4L_ERR_FIELD, "a4l_set_field: impossible sizes\n  expected: ncell >= 0, ntime >= 1\n  found: %lld, %d",
                (long long)ncell, ntime);
  if (ncell > 0) REFUSE_NULL(data);
  struct array view = {(void *)data, ncell * ntime * (int64_t)sizeof(double), PyBUF_READ};
  struct answer answer = {0};
  return call_bridge(&answer, "set_field", "(iyO&iL)", handle, name, as_view, &view, ntime, (long long)ncell);
}

static int call_with_array(const char *function, int handle, const char *name, const struct array *view, int kind,
                           int order, int nproma, int ntype) {
  struct answer answer = {0};
  return call_bridge(&answer, function, "(iyO&iiii)", handle, name, as_view, view, kind, order, nproma, ntype);
}

static int check_array(const char *function, int kind, int64_t size) {
  if (kind != A4L_REAL32 && kind != A4L_REAL64)
    return fail(A4L_ERR_FIELD, "%s: unknown kind of number\n  expected: A4L_REAL32 or A4L_REAL64\n  found: %d", function,
                kind);
  if (size < 0) return fail(A4L_ERR_FIELD, "%s: size is negative (%lld)", function, (long long)size);
  return A4L_OK;
}

int a4l_get_array(int handle, const char *name, void *data, int kind, int order, int nproma, int ntype,
                  int64_t size) {
  REFUSE_NULL(name);
  int code = check_array(__func__, kind, size);
  if (code != A4L_OK) return code;
  if (size > 0) REFUSE_NULL(data);
  struct array view = {data, size * kind, PyBUF_WRITE};
  return call_with_array("get_array", handle, name, &view, kind, order, nproma, ntype);
}

int a4l_set_array(int handle, const char *name, const void *data, int kind, int order, int nproma, int ntype,
                  int64_t size) {
  REFUSE_NULL(name);
  int code = check_array(__func__, kind, size);
  if (code != A4L_OK) return code;
  if (size > 0) REFUSE_NULL(data);
  struct array view = {(void *)data, size * kind, PyBUF_READ};
  return call_with_array("set_array", handle, name, &view, kind, order, nproma, ntype);
}

int a4l_set_surface(int handle, const char *name, const void *data, int kind, int order, int nproma, int ntype,
                    int64_t size) {
  REFUSE_NULL(name);
  int code = check_array(__func__, kind, size);
  if (code != A4L_OK) return code;
  if (size > 0) REFUSE_NULL(data);
  struct array view = {(void *)data, size * kind, PyBUF_READ};
  return call_with_array("set_surface", handle, name, &view, kind, order, nproma, ntype);
}

int a4l_import(int handle, const char *name, const char *units, int year, int month, int day, double seconds,
               const void *data, int kind, int nproma, int64_t size) {
  REFUSE_NULL(name);
  int code = check_array(__func__, kind, size);
  if (code != A4L_OK) return code;
  if (size > 0) REFUSE_NULL(data);
  struct array view = {(void *)data, size * kind, PyBUF_READ};
  struct answer answer = {0};
  return call_bridge(&answer, "import_mean", "(iyyiiidO&ii)", handle, name, units, year, month, day, seconds, as_view,
                     &view, kind, nproma);
}

int a4l_bind_field(int handle, const char *name, void *data, int kind, int order, int nproma, int ntype,
                  int64_t size) {
  REFUSE_NULL(name);
  int code = check_array(__func__, kind, size);
  if (code != A4L_OK) return code;
  struct array view = {data, size * kind, PyBUF_WRITE};
  return call_with_array("bind_field", handle, name, &view, kind, order, nproma, ntype);
}

int a4l_write_restart(int handle, const char *path) {
  REFUSE_NULL(path);
  struct answer answer = {0};
  return call_bridge(&answer, "write_restart", "(iy)", handle, path);
}

int a4l_finalize(int handle) {
  struct answer answer = {0};
  return call_bridge(&answer, "finalize", "(i)", handle);
}
