/* The second transport: an interpreter in this process, loaded at run time and only if asked for.
 *
 * libpython is found by asking the interpreter that $ISTHMUS_PYTHON names, or `python3`. It is the
 * same shared memory and the same protocol; a socket pair stands in for the server's socket, and
 * the call is made in the thread that waits for it.
 */
#ifndef ISTHMUS_EMBEDDED_H
#define ISTHMUS_EMBEDDED_H

#include <dlfcn.h>
#include <pthread.h>

#include "channel.h"

typedef struct object object; /* PyObject */

static struct {
  pthread_mutex_t lock;
  int ready;
  void (*initialize)(int);
  int (*initialized)(void);
  object *(*save_thread)(void);
  int (*ensure)(void);
  void (*release)(int);
  int (*run)(const char *);
  object *(*import)(const char *);
  object *(*call_method)(object *, const char *, const char *, ...);
  object *(*call)(object *, object *);
  void (*fetch)(object **, object **, object **);
  void (*normalize)(object **, object **, object **);
  object *(*str)(object *);
  const char *(*utf8)(object *);
  void (*forget)(object *);
} python = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* What the interpreter last raised, as a sentence. */
static int python_said(int status, sentence *said)
{
  object *kind = NULL, *value = NULL, *trace = NULL, *text = NULL;
  python.fetch(&kind, &value, &trace);
  python.normalize(&kind, &value, &trace);
  if (value)
    text = python.str(value);
  const char *words = text ? python.utf8(text) : NULL;
  say(said, status, "%s", words && *words ? words : "the embedded interpreter failed");
  object *all[] = {kind, value, trace, text};
  for (int i = 0; i < 4; i++)
    if (all[i])
      python.forget(all[i]);
  return -status;
}

static const char *const PROBE =
    " -c 'import os, sys, sysconfig; v = sysconfig.get_config_var; "
    "print(os.path.join(v(\"LIBDIR\"), v(\"INSTSONAME\"))); "
    "print(os.pathsep.join(p for p in sys.path if p))'";

static const char *const SET_UP =
    "import os, site, sys\n"
    "for p in os.environ.pop('ISTHMUS_EMBEDDED_PATH').split(os.pathsep):\n"
    "    sys.path.append(p) if p not in sys.path else None\n"
    "    site.addsitedir(p) if p.endswith('-packages') else None\n"
    "sys.argv = ['isthmus']\n";

/* Loads and starts the interpreter, once in a process. Called with the lock held. */
static int python_load(sentence *said)
{
  const char *name = getenv("ISTHMUS_PYTHON");
  char command[1024], library[4096] = "", path[16384] = "";
  snprintf(command, sizeof command, "'%s'%s", name && *name ? name : "python3", PROBE);
  FILE *answer = popen(command, "re");
  if (answer) {
    if (!fgets(library, sizeof library, answer) || !fgets(path, sizeof path, answer))
      library[0] = '\0';
    pclose(answer);
  }
  library[strcspn(library, "\n")] = path[strcspn(path, "\n")] = '\0';
  if (!*library)
    return say(said, ISTHMUS_SYSTEM, "no Python to embed: %s; set ISTHMUS_PYTHON to the interpreter "
               "that has isthmus", name && *name ? name : "python3");
  void *handle = dlopen(library, RTLD_NOW | RTLD_GLOBAL);
  if (!handle)
    return say(said, ISTHMUS_SYSTEM, "cannot load the interpreter: %s; take a Python that was built "
               "with a shared library", dlerror());
  const struct {
    void *place;
    const char *name;
  } symbols[] = {
      {&python.initialize, "Py_InitializeEx"}, {&python.initialized, "Py_IsInitialized"},
      {&python.save_thread, "PyEval_SaveThread"}, {&python.ensure, "PyGILState_Ensure"},
      {&python.release, "PyGILState_Release"}, {&python.run, "PyRun_SimpleString"},
      {&python.import, "PyImport_ImportModule"}, {&python.call_method, "PyObject_CallMethod"},
      {&python.call, "PyObject_CallObject"}, {&python.fetch, "PyErr_Fetch"},
      {&python.normalize, "PyErr_NormalizeException"}, {&python.str, "PyObject_Str"},
      {&python.utf8, "PyUnicode_AsUTF8"}, {&python.forget, "Py_DecRef"},
  };
  for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
    void *found = dlsym(handle, symbols[i].name);
    if (!found)
      return say(said, ISTHMUS_SYSTEM, "not a Python interpreter: %s has no %s", library,
                 symbols[i].name);
    memcpy(symbols[i].place, &found, sizeof found);
  }
  setenv("ISTHMUS_EMBEDDED_PATH", path, 1);
  const int ours = !python.initialized();
  if (ours)
    python.initialize(0); /* without its signal handlers: they are the host's */
  const int state = ours ? 0 : python.ensure();
  const int failed = python.run(SET_UP);
  if (ours)
    python.save_thread(); /* any thread of the host may call from now on */
  else
    python.release(state);
  if (failed)
    return say(said, ISTHMUS_SYSTEM, "the embedded interpreter does not start: %s", library);
  python.ready = 1;
  return 0;
}

/* Builds the scheme; `answer` then computes what was posted. The greeting lies in the socket. */
static int embedded_open(const isthmus_options *o, int theirs, object **answer, sentence *said)
{
  pthread_mutex_lock(&python.lock);
  int status = python.ready ? 0 : python_load(said);
  pthread_mutex_unlock(&python.lock);
  if (status < 0)
    return status;
  const int state = python.ensure();
  object *module = python.import("coupler.driver.embedded");
  if (module)
    *answer = python.call_method(module, "start", "iss", theirs, o->scheme,
                                 o->settings ? o->settings : "");
  if (!module || !*answer)
    status = python_said(ISTHMUS_REFUSED, said);
  if (module)
    python.forget(module);
  python.release(state);
  return status;
}

/* One call. */
static int embedded_call(object *answer, sentence *said)
{
  const int state = python.ensure();
  object *nothing = python.call(answer, NULL);
  const int status = nothing ? 0 : python_said(ISTHMUS_FAILED, said);
  if (nothing)
    python.forget(nothing);
  python.release(state);
  return status;
}

static void embedded_close(object *answer)
{
  const int state = python.ensure();
  python.forget(answer);
  python.release(state);
}

#endif
