/* Isthmus for C and Fortran: call a scheme or emulator of Isthmus from a model of one's own.
 *
 *     isthmus_options o = isthmus_defaults();
 *     o.socket = "/tmp/gw.sock"; o.ncol = ncol; o.nlev = nlev; o.a = a; o.b = b;
 *     isthmus_session s = 0;
 *     if (isthmus_open(&s, &o) < 0) { puts(isthmus_last_error(s)); ... }
 *     isthmus_declare(s, "ua", "m s-1", &u_array);          once
 *     isthmus_declare(s, "xgwdparam", "Pa", &flux_array);
 *     isthmus_run(s);                                       at every step
 *     isthmus_close(&s);
 *
 * Every call returns a status: 0 is well; a negative one says why nothing was done; a positive one
 * says why the session's policy stood in for the answer, so that the host can go on. The numbers
 * are the same: 3 is "the server is gone and the policy took over", -3 "and there is no policy".
 * isthmus_last_error gives the sentence. Calls are safe from several threads; those of one session
 * take turns. Nothing here ends the process, prints, or needs more than libc.
 *
 * Isthmus is under the Apache License 2.0.
 */
#ifndef ISTHMUS_H
#define ISTHMUS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int64_t isthmus_session; /* 0 is none; one that was closed is never valid again */

enum isthmus_status {
  ISTHMUS_OK = 0,
  ISTHMUS_PENDING = 100,   /* isthmus_test: not yet */
  ISTHMUS_NO_SERVER = 1,   /* nobody answers, or the server could not be started */
  ISTHMUS_REFUSED = 2,     /* the server said no */
  ISTHMUS_GONE = 3,        /* the server died */
  ISTHMUS_LATE = 4,        /* no answer within the deadline */
  ISTHMUS_FAILED = 5,      /* the scheme raised an error */
  ISTHMUS_NOT_FINITE = 6,  /* the answer has a NaN or an infinity */
  ISTHMUS_VERSION = 7,     /* the other side speaks another version of the protocol */
  ISTHMUS_FIELD = 8,       /* a wrong name, unit, shape, level order or kind; or one is missing */
  ISTHMUS_ORDER = 9,       /* a call before open or after close, or a second open */
  ISTHMUS_MEMORY = 10,     /* no memory */
  ISTHMUS_ARGUMENT = 11,   /* an argument that makes no sense */
  ISTHMUS_SYSTEM = 12      /* the operating system said no */
};

enum isthmus_policy {       /* what stands in for an answer that does not come or is not finite */
  ISTHMUS_STOP = 0,         /* nothing: a negative status, outputs as they were */
  ISTHMUS_ZERO = 1,         /* zero */
  ISTHMUS_HOLD = 2,         /* the last good answer */
  ISTHMUS_CALLBACK = 3      /* what the registered function writes into the host's arrays */
};

enum isthmus_transport {
  ISTHMUS_ANY = 0,          /* as $ISTHMUS_TRANSPORT says, "shared" or "embedded"; else shared */
  ISTHMUS_SHARED = 1,       /* a server on this node, through shared memory */
  ISTHMUS_EMBEDDED = 2      /* an interpreter in this process, for single-rank runs */
};

enum isthmus_layout {
  ISTHMUS_AUTO = 0,          /* by the extents */
  ISTHMUS_COLUMNS_FIRST = 1, /* the column is the fast axis: Fortran (ncol, nlev), (lon, lat, nlev) */
  ISTHMUS_LEVELS_FIRST = 2   /* the level is: Fortran (nlev, ncol), (nlev, lon, lat) */
};

typedef struct {
  size_t size;              /* of this struct, set by isthmus_defaults */
  const char *scheme;       /* "gravity_wave=ad99", a bundle's name or folder; needed to start it */
  const char *socket;       /* where the server is; NULL: $ISTHMUS_SOCKET, or, for one member
                               that starts it, a place of its own */
  int transport;            /* enum isthmus_transport */
  int launch;               /* 1: member 0 starts the server if nobody answers; it ends with us */
  const char *command;      /* how to start it; NULL: $ISTHMUS_COMMAND or "isthmus" */
  const char *settings;     /* parameters of the scheme for a start, "stress=0.004 wavelength=2e5" */
  int policy;               /* enum isthmus_policy */
  double startup;           /* longest time for a server to start or set up the scheme [s] */
  double deadline;          /* longest time for an answer [s] */
  double spin;              /* how long to look for an answer before sleeping [s] */
  int kind;                 /* bytes of a real in the shared memory, 4 or 8 */
  int ncol, nlev;           /* columns of this member, layers */
  int row;                  /* columns of one row of the grid, or 0: schemes whose rounding depends on
                               the shape of a batch then compute row by row, on any number of ranks */
  const double *a, *b;      /* hybrid coefficients of the nlev + 1 interfaces, top first:
                               pressure = a [Pa] + b * surface pressure */
  const char *group;        /* ranks of one model that are computed as one batch share a name */
  int members, member;      /* how many ranks, and which one this is, from 0 */
  const char *calendar;     /* "standard", "noleap", "360_day" */
  int64_t seed;
  double gravity, radius;   /* of the planet; 0: Isthmus's own */
  const double *lat, *lon;  /* degrees of the columns, or NULL */
  int nstatic;              /* further fields that never change: names, and ncol values each */
  const char *const *static_names;
  const double *const *static_values;
} isthmus_options;

typedef struct {            /* a host's array: element (i0, i1, ...) lies at base + sum i * stride */
  void *base;
  int kind;                 /* bytes of a real, 4 or 8 */
  int rank;                 /* at most 4 */
  int64_t extent[4];
  int64_t stride[4];        /* [byte]; the first axis is Fortran's first */
  int layout;               /* enum isthmus_layout */
  int upward;               /* 1: the host counts levels from the ground */
} isthmus_array;

typedef struct {            /* one field of a session, see isthmus_field */
  char name[49], units[25];
  char role[12];            /* "input", "tendency", "flux", "diagnostic" */
  int rows;                 /* 1, nlev or nlev + 1 */
  int declared;
} isthmus_field_info;

typedef void isthmus_fallback(int reason, void *context);

isthmus_options isthmus_defaults(void);

/* Connects, starts the server if asked, agrees on columns and levels. A session that is open
 * already is refused and stays as it is. Under a policy other than stop, a server that is not there
 * is no error (a positive status): it is looked for again at later calls. */
int isthmus_open(isthmus_session *session, const isthmus_options *options);

/* The field `index` (from 0) of the scheme; ISTHMUS_ARGUMENT beyond the last one. */
int isthmus_field(isthmus_session session, int index, isthmus_field_info *info);

/* Takes a host's array for a field: an input is read and an output written by every call. A name is
 * an input's if there is one, else an output's; "tendency ua" says which. The array must stay. */
int isthmus_declare(isthmus_session session, const char *name, const char *units,
                    const isthmus_array *array);

/* Instead of that, the field's own place in the shared memory: `*pointer` to this member's first
 * column at the top level, columns next to each other, `*pitch` bytes from one of `*rows` levels to
 * the next; `kind` bytes a real, as the session has them. Valid until close, also across a restart
 * of the server. */
int isthmus_alloc(isthmus_session session, const char *name, const char *units, int kind,
                  void **pointer, int64_t *pitch, int *rows);

/* When the next call is, and how long its result will be applied: dt [s], seconds since the start
 * of the run [s], completed steps. Without it, steps are counted from 2000-01-01. */
int isthmus_set_time(isthmus_session session, const int date[6], int64_t step, double seconds,
                     double dt);

/* What the policy ISTHMUS_CALLBACK calls: in the calling thread, free to call anything but this
 * session. */
int isthmus_register_callback(isthmus_session session, isthmus_fallback *fallback, void *context);

int isthmus_run(isthmus_session session);   /* post and wait */
int isthmus_post(isthmus_session session);  /* hands the inputs over; the host may go on */
int isthmus_test(isthmus_session session);  /* ISTHMUS_PENDING, or ISTHMUS_OK: wait will not wait */
int isthmus_wait(isthmus_session session);  /* brings the outputs */

int isthmus_close(isthmus_session *session); /* hangs up and sets it to 0 */

/* What last went wrong in this session, or in this thread for session 0. Never NULL; valid until the
 * thread's next call. */
const char *isthmus_last_error(isthmus_session session);

/* A word for a status, "ok", "gone" ... */
const char *isthmus_status_name(int status);

#ifdef __cplusplus
}
#endif
#endif
