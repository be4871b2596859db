/* A session: its state, its handle, and the host's options. */
#ifndef ISTHMUS_SESSION_H
#define ISTHMUS_SESSION_H

#include <pthread.h>

#include "channel.h"
#include "embedded.h"
#include "fields.h"
#include "launch.h"

enum { MOST_SESSIONS = 512, MOST_DECLARED = 128, MOST_STATIC = 34 };
enum { LINK_NONE, LINK_GREETED, LINK_UP };
static const double RETRY = 1.0; /* seconds between looks for a server that went */

typedef struct {
  pthread_mutex_t lock;
  int64_t handle; /* 0: free */
  isthmus_options o;
  char *strings[5]; /* copies of what the options point to */
  double *numbers;
  char static_texts[MOST_STATIC][48];
  const char *static_names[MOST_STATIC];
  const double *static_values[MOST_STATIC];
  char process[33], scheme[65];
  channel c;
  int link, rejoining;
  double retry_at;
  launched server;
  object *embedded;
  declared_field declared[MOST_DECLARED];
  int ndeclared;
  call_record now;
  int timed;      /* the host tells the time */
  uint64_t calls; /* posts, answered or not */
  int posted;     /* 1: wait is due */
  int reason;     /* why the open call was not posted; 0 when it was */
  int checked;    /* inputs are complete and in order */
  isthmus_fallback *fallback;
  void *context;
  sentence said;
} session;

static session sessions[MOST_SESSIONS];
static pthread_mutex_t all_sessions = PTHREAD_MUTEX_INITIALIZER;
static int64_t generation;
static _Thread_local sentence last;

/* -- handles ----------------------------------------------------------------------------------- */

/* The session of a handle, locked; NULL with the sentence said. */
static session *enter(int64_t handle)
{
  session *s = handle > 0 ? &sessions[handle % MOST_SESSIONS] : NULL;
  if (s && handle / MOST_SESSIONS <= __atomic_load_n(&generation, __ATOMIC_ACQUIRE)) {
    pthread_mutex_lock(&s->lock);
    if (s->handle == handle)
      return s;
    pthread_mutex_unlock(&s->lock);
  }
  say(&last, ISTHMUS_ORDER, "a call %s; open the session first",
      handle ? "after close" : "before open");
  return NULL;
}

static int leave(session *s, int status)
{
  if (status < 0)
    last = s->said;
  pthread_mutex_unlock(&s->lock);
  return status;
}

/* A free place with a new handle, locked. */
static session *new_session(void)
{
  session *found = NULL;
  pthread_mutex_lock(&all_sessions);
  static int prepared; /* sessions that nobody needs take no memory */
  for (int i = 1; i < MOST_SESSIONS && !found; i++) {
    session *s = &sessions[i];
    if (i > prepared)
      pthread_mutex_init(&sessions[prepared = i].lock, NULL);
    if (pthread_mutex_trylock(&s->lock) != 0)
      continue; /* somebody works in it */
    if (s->handle == 0) {
      memset((char *)s + sizeof s->lock, 0, sizeof *s - sizeof s->lock);
      s->handle = __atomic_add_fetch(&generation, 1, __ATOMIC_ACQ_REL) * MOST_SESSIONS + i;
      s->c.socket = -1;
      found = s;
    } else {
      pthread_mutex_unlock(&s->lock);
    }
  }
  pthread_mutex_unlock(&all_sessions);
  return found;
}

/* Gives back all that a session holds. */
static void let_go(session *s)
{
  channel_hang_up(&s->c);
  if (s->c.memory)
    munmap(s->c.memory, s->c.size);
  if (s->embedded)
    embedded_close(s->embedded);
  launched_end(&s->server);
  for (int i = 0; i < 5; i++)
    free(s->strings[i]);
  for (int i = 0; i < s->ndeclared; i++)
    free(s->declared[i].held);
  free(s->numbers);
  s->handle = 0;
}

/* -- options ----------------------------------------------------------------------------------- */

/* Copies levels and the fields that never change; lat and lon become the first of these. */
static int take_numbers(session *s, const isthmus_options *o)
{
  const size_t half = (size_t)o->nlev + 1, ncol = (size_t)o->ncol;
  s->numbers = malloc((2 * half + MOST_STATIC * ncol) * sizeof(double));
  if (!s->numbers)
    return -1;
  memcpy(s->numbers, o->a, half * sizeof(double));
  memcpy(s->numbers + half, o->b, half * sizeof(double));
  s->o.a = s->numbers;
  s->o.b = s->numbers + half;
  int n = 0;
  for (int i = -2; i < o->nstatic; i++) {
    const double *values = i == -2 ? o->lat : i == -1 ? o->lon : o->static_values[i];
    const char *name = i == -2 ? "lat" : i == -1 ? "lon" : o->static_names[i];
    if (!values)
      continue;
    double *copy = s->numbers + 2 * half + (size_t)n * ncol;
    memcpy(copy, values, ncol * sizeof(double));
    snprintf(s->static_texts[n], sizeof s->static_texts[n], "%s", name);
    s->static_names[n] = s->static_texts[n];
    s->static_values[n++] = copy;
  }
  s->o.lat = s->o.lon = NULL;
  s->o.nstatic = n;
  s->o.static_names = s->static_names;
  s->o.static_values = s->static_values;
  return 0;
}

/* Copies what the options point to: the host's memory may go. */
static int take_options(session *s, const isthmus_options *o, sentence *said)
{
  s->o = *o;
  if (!o->a || !o->b || o->nlev < 1 || o->nlev > 1000 || o->ncol < 1)
    return say(said, ISTHMUS_ARGUMENT, "no columns or levels: expected ncol and nlev above 0, and a "
               "and b of the nlev + 1 interfaces; found ncol = %d, nlev = %d%s", o->ncol, o->nlev,
               o->a && o->b ? "" : ", without a or b");
  if (o->row < 0 || (o->row && o->ncol % o->row))
    return say(said, ISTHMUS_ARGUMENT, "rows that do not divide the columns: %d columns in rows of %d",
               o->ncol, o->row);
  if ((o->kind != 4 && o->kind != 8) || o->members < 1 || o->member < 0 ||
      o->member >= o->members || o->policy < ISTHMUS_STOP || o->policy > ISTHMUS_CALLBACK ||
      o->nstatic < 0 || o->nstatic > 32 || !(o->deadline > 0) || !(o->startup > 0))
    return say(said, ISTHMUS_ARGUMENT, "options out of range: kind %d of 4 or 8, member %d of %d, "
               "policy %d, %d static fields of at most 32, deadline %g s", o->kind, o->member,
               o->members, o->policy, o->nstatic, o->deadline);
  if (o->transport < ISTHMUS_ANY || o->transport > ISTHMUS_EMBEDDED)
    return say(said, ISTHMUS_ARGUMENT, "unknown transport: expected shared or embedded");
  if (o->members > 1 && (!o->group || !*o->group))
    return say(said, ISTHMUS_ARGUMENT, "%d members without the name of their group", o->members);
  for (int k = 0; k < o->nlev; k++) {
    const double p0 = o->a[k] + 1e5 * o->b[k], p1 = o->a[k + 1] + 1e5 * o->b[k + 1];
    if (!(p1 > p0))
      return say(said, ISTHMUS_FIELD, "levels out of order: expected pressure that increases from "
                 "the top, interface 0, down; found %g Pa at interface %d and %g Pa at %d", p0, k,
                 p1, k + 1);
  }
  if (s->o.transport == ISTHMUS_ANY) {
    const char *given = getenv("ISTHMUS_TRANSPORT");
    if (given && *given && strcmp(given, "shared") != 0 && strcmp(given, "embedded") != 0)
      return say(said, ISTHMUS_ARGUMENT, "unknown transport: ISTHMUS_TRANSPORT=%s; expected shared "
                 "or embedded", given);
    s->o.transport = given && strcmp(given, "embedded") == 0 ? ISTHMUS_EMBEDDED : ISTHMUS_SHARED;
  }
  const char *socket = o->socket && *o->socket ? o->socket : getenv("ISTHMUS_SOCKET");
  const char *scheme = o->scheme && *o->scheme ? o->scheme : NULL;
  char own[256];
  if ((!socket || !*socket) && o->launch && o->members == 1) { /* one that nobody else uses */
    const char *folder = getenv("XDG_RUNTIME_DIR");
    snprintf(own, sizeof own, "%.200s/isthmus-%ld-%lld.sock", folder && *folder ? folder : "/tmp",
             (long)getpid(), (long long)s->handle);
    socket = own;
  }
  if ((s->o.transport == ISTHMUS_EMBEDDED || o->launch) && !scheme)
    return say(said, ISTHMUS_ARGUMENT, "nothing to start: expected a scheme, PROCESS=NAME or a "
               "bundle");
  if (s->o.transport == ISTHMUS_SHARED && (!socket || !*socket))
    return say(said, ISTHMUS_ARGUMENT, "no socket: name it, or set ISTHMUS_SOCKET");
  if (s->o.transport == ISTHMUS_EMBEDDED && o->members > 1)
    return say(said, ISTHMUS_ARGUMENT, "an embedded interpreter serves one rank: expected members = "
               "1; found %d; take the shared transport", o->members);
  const char *texts[5] = {scheme, socket, o->group, o->calendar, o->settings};
  const char **places[5] = {&s->o.scheme, &s->o.socket, &s->o.group, &s->o.calendar,
                            &s->o.settings};
  int complete = 1;
  for (int i = 0; i < 5; i++) {
    s->strings[i] = texts[i] ? strdup(texts[i]) : NULL;
    complete &= !texts[i] || s->strings[i];
    *places[i] = s->strings[i];
  }
  if (!complete || take_numbers(s, o) != 0)
    return say(said, ISTHMUS_MEMORY, "no memory for a session");
  const char *equals = scheme ? strchr(scheme, '=') : NULL; /* the server compares its own */
  if (equals && (size_t)(equals - scheme) < sizeof s->process && !strchr(scheme, '/') &&
      strlen(equals + 1) < sizeof s->scheme) {
    memcpy(s->process, scheme, (size_t)(equals - scheme));
    strcpy(s->scheme, equals + 1);
  }
  return 0;
}

#endif
