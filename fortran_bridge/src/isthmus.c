/* Isthmus for C and Fortran: what include/isthmus.h promises. The one C file to compile; it needs
 * libc alone.
 *
 *     cc -O2 -I include -c src/isthmus.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "isthmus.h"

#include "link.h"

isthmus_options isthmus_defaults(void)
{
  return (isthmus_options){.size = sizeof(isthmus_options), .startup = 60, .deadline = 60,
                           .spin = 50e-6, .kind = 8, .members = 1, .calendar = "standard"};
}

int isthmus_open(isthmus_session *handle, const isthmus_options *o)
{
  if (!handle || !o || o->size != sizeof *o)
    return say(&last, ISTHMUS_ARGUMENT, "options that isthmus_defaults did not make");
  if (*handle != 0) {
    session *old = enter(*handle);
    if (old) {
      say(&old->said, ISTHMUS_ORDER, "a second open: close the session first");
      return leave(old, -ISTHMUS_ORDER);
    }
  }
  session *s = new_session();
  if (!s)
    return say(&last, ISTHMUS_MEMORY, "too many sessions: at most %d", MOST_SESSIONS - 1);
  s->now.date[0] = 2000, s->now.date[1] = s->now.date[2] = 1;
  s->now.dt = 1;
  int status = take_options(s, o, &s->said);
  if (status == 0)
    status = s->o.transport == ISTHMUS_EMBEDDED ? open_embedded(s, &s->said)
                                                : open_shared(s, &s->said);
  /* A server that is not there yet may come. */
  if (status == -ISTHMUS_NO_SERVER && s->o.policy != ISTHMUS_STOP && !s->o.launch) {
    s->retry_at = clock_now() + RETRY;
    status = ISTHMUS_NO_SERVER;
  }
  if (status == 0)
    s->said.text[0] = '\0';
  if (status < 0) {
    let_go(s);
    *handle = 0;
    return leave(s, status);
  }
  *handle = s->handle;
  return leave(s, status);
}

int isthmus_close(isthmus_session *handle)
{
  session *s = handle ? enter(*handle) : NULL;
  if (!s)
    return -ISTHMUS_ORDER;
  let_go(s);
  *handle = 0;
  return leave(s, ISTHMUS_OK);
}

/* -- fields ------------------------------------------------------------------------------------ */

int isthmus_field(isthmus_session handle, int index, isthmus_field_info *info)
{
  session *s = enter(handle);
  if (!s)
    return -ISTHMUS_ORDER;
  for (int i = 0, n = 0; s->c.memory && info && i < s->c.nfields; i++) {
    const field_record *f = &s->c.table[i];
    if (f->role < INPUT || f->role > DIAGNOSTIC || n++ != index)
      continue;
    snprintf(info->name, sizeof info->name, "%.48s", f->name);
    snprintf(info->units, sizeof info->units, "%.24s", f->units);
    snprintf(info->role, sizeof info->role, "%s", role_names[f->role]);
    info->rows = field_rows(f);
    info->declared = 0;
    for (int d = 0; d < s->ndeclared; d++)
      info->declared |= s->declared[d].field == i;
    return leave(s, ISTHMUS_OK);
  }
  return leave(s, say(&s->said, ISTHMUS_ARGUMENT, "no field %d", index));
}

/* A new line of the declared fields; one that is there already is declared anew. */
static int add_field(session *s, const declared_field *d)
{
  for (int i = 0; i < s->ndeclared; i++)
    if (strcmp(s->declared[i].name, d->name) == 0 && s->declared[i].role == d->role) {
      free(s->declared[i].held);
      s->declared[i] = *d;
      return 0;
    }
  if (s->ndeclared == MOST_DECLARED)
    return say(&s->said, ISTHMUS_MEMORY, "too many fields: at most %d", MOST_DECLARED);
  s->declared[s->ndeclared++] = *d;
  s->checked = 0;
  return 0;
}

static int take_field(session *s, const char *name, const char *units, declared_field *d)
{
  if (!name || !units)
    return say(&s->said, ISTHMUS_ARGUMENT, "a field without name or unit: %s", name ? name : "");
  int status = split_name(name, d, &s->said);
  if (status == 0 && strlen(units) >= sizeof d->units)
    status = say(&s->said, ISTHMUS_ARGUMENT, "a unit that is too long: %s", units);
  if (status < 0)
    return status;
  strcpy(d->units, units);
  if (s->posted)
    return say(&s->said, ISTHMUS_ORDER, "a field declared between post and wait: %s", name);
  return s->c.memory ? bind_field(&s->c, d, &s->o, &s->said) : 0;
}

int isthmus_declare(isthmus_session handle, const char *name, const char *units,
                    const isthmus_array *a)
{
  session *s = enter(handle);
  if (!s)
    return -ISTHMUS_ORDER;
  if (!a || !a->base || (a->kind != 4 && a->kind != 8) || a->rank < 0 || a->rank > 4)
    return leave(s, say(&s->said, ISTHMUS_FIELD, "another kind: %s; expected an array of real32 or "
                        "real64 of rank 0 to 4; found %d bytes a number, rank %d",
                        name ? name : "", a ? a->kind : 0, a ? a->rank : 0));
  if (a->layout < ISTHMUS_AUTO || a->layout > ISTHMUS_LEVELS_FIRST)
    return leave(s, say(&s->said, ISTHMUS_ARGUMENT, "unknown layout: %s; expected columns or levels",
                        name ? name : ""));
  declared_field d = {.field = -1, .array = *a};
  int status = take_field(s, name, units, &d);
  if (status == 0)
    status = add_field(s, &d);
  if (status == 0 && !s->c.memory)
    return leave(s, ISTHMUS_NO_SERVER);
  return leave(s, status);
}

static int allocate(session *s, const char *name, const char *units, int kind, slot_view *v)
{
  declared_field d = {.field = -1, .allocated = 1};
  int status = take_field(s, name, units, &d);
  if (status == 0 && kind != s->o.kind)
    status = say(&s->said, ISTHMUS_FIELD, "another kind: %s; expected real%d, as the session was "
                 "opened; found real%d", name, 8 * s->o.kind, 8 * kind);
  if (status == 0 && !s->c.memory)
    status = say(&s->said, ISTHMUS_NO_SERVER, "no server yet that could give memory: %s", name);
  if (status == 0)
    status = shape_of_slot(&s->c.table[d.field], &s->o, v, &s->said);
  if (status == 0)
    status = add_field(s, &d);
  if (status == 0) {
    v->base = field_slot(&s->c, &s->c.table[d.field]);
    v->pitch = (int64_t)s->c.table[d.field].stride;
    v->rows = field_rows(&s->c.table[d.field]);
  }
  return status;
}

int isthmus_alloc(isthmus_session handle, const char *name, const char *units, int kind,
                  void **pointer, int64_t *pitch, int *rows)
{
  *pointer = NULL;
  *pitch = *rows = 0;
  session *s = enter(handle);
  if (!s)
    return -ISTHMUS_ORDER;
  slot_view v = {.rank = 0};
  const int status = allocate(s, name, units, kind, &v);
  *pointer = v.base;
  *pitch = v.pitch;
  *rows = v.rows;
  return leave(s, status);
}

int isthmus_set_time(isthmus_session handle, const int date[6], int64_t step, double seconds,
                     double dt)
{
  session *s = enter(handle);
  if (!s)
    return -ISTHMUS_ORDER;
  for (int i = 0; i < 6; i++)
    s->now.date[i] = date[i];
  s->now.step = step;
  s->now.seconds = seconds;
  s->now.dt = dt;
  s->timed = 1;
  return leave(s, ISTHMUS_OK);
}

int isthmus_register_callback(isthmus_session handle, isthmus_fallback *fallback, void *context)
{
  session *s = enter(handle);
  if (!s)
    return -ISTHMUS_ORDER;
  s->fallback = fallback;
  s->context = context;
  return leave(s, ISTHMUS_OK);
}

/* -- calls ------------------------------------------------------------------------------------- */

/* Whether every input is there, and pressure increases downward. */
static int check_inputs(session *s)
{
  for (int i = 0; i < s->c.nfields; i++) {
    const field_record *f = &s->c.table[i];
    if (f->role != INPUT)
      continue;
    int there = 0;
    for (int d = 0; d < s->ndeclared; d++)
      there |= s->declared[d].field == i;
    for (int k = 0; k < s->o.nstatic && !there && f->rank == 1; k++)
      if (strncmp(f->name, s->static_names[k], sizeof f->name) == 0 &&
          field_is_sound(&s->c, f, &s->o)) {
        const isthmus_strided h = {(char *)(uintptr_t)s->static_values[k], 8, {s->o.ncol, 1, 1},
                                   {8, 0, 0}, 1, 0};
        pack(&h, field_slot(&s->c, f), s->o.kind, 0);
        there = 1;
      }
    if (!there)
      return say(&s->said, ISTHMUS_FIELD, "an input that was not declared: %.48s [%.24s]", f->name,
                 f->units);
    if (strcmp(f->name, "pfull") == 0 || strcmp(f->name, "phalf") == 0) {
      const char *top = field_slot(&s->c, f);
      const char *ground = top + (uint64_t)(field_rows(f) - 1) * f->stride;
      const double p0 = s->o.kind == 4 ? *(const float *)(const void *)top
                                       : *(const double *)(const void *)top;
      const double p1 = s->o.kind == 4 ? *(const float *)(const void *)ground
                                       : *(const double *)(const void *)ground;
      if (field_rows(f) > 1 && !(p0 < p1))
        return say(&s->said, ISTHMUS_FIELD, "levels in another order: %.48s; expected the top "
                   "first; found %g Pa first and %g Pa last; declare it as counted upward",
                   f->name, p0, p1);
    }
  }
  s->checked = 1;
  return 0;
}

/* The longest row of zeros that an output may want: one that no server explained is taken for columns
 * even where it is levels, and may have more of these than there are columns. */
static size_t widest(const session *s)
{
  size_t most = (size_t)s->o.ncol;
  for (int i = 0; i < s->ndeclared; i++) {
    size_t n = s->declared[i].field < 0;
    for (int k = 0; k < s->declared[i].array.rank; k++)
      n *= (size_t)s->declared[i].array.extent[k];
    most = n > most ? n : most;
  }
  return most;
}

/* The outputs without an answer, as the policy says; the status of the call. */
static int stand_in(session *s, int reason)
{
  if (s->o.policy == ISTHMUS_STOP || reason == ISTHMUS_FIELD)
    return -reason;
  if (s->o.policy == ISTHMUS_CALLBACK) {
    if (!s->fallback) {
      say(&s->said, ISTHMUS_ORDER, "no function to fall back on: register one");
      return -ISTHMUS_ORDER;
    }
    s->fallback(reason, s->context);
    return reason;
  }
  char *zeros = NULL;
  for (int i = 0; i < s->ndeclared; i++) {
    declared_field *d = &s->declared[i];
    if (d->role <= INPUT)
      continue;
    if (d->field < 0) { /* no server so far: the host's own word for what it is */
      const int levelled = d->array.rank > 1;
      const int layout = d->array.layout ? d->array.layout : ISTHMUS_COLUMNS_FIRST;
      const int axis = layout == ISTHMUS_LEVELS_FIRST ? 0 : d->array.rank - 1;
      d->host = strided_of(&d->array, levelled ? d->array.extent[axis] : 1, levelled, layout);
    }
    const field_record *f = d->field < 0 ? NULL : &s->c.table[d->field];
    const size_t row = (size_t)s->o.ncol * (size_t)s->o.kind;
    const char *from = s->o.policy == ISTHMUS_HOLD ? d->held : NULL;
    int64_t pitch = from ? (int64_t)row : 0;
    if (!from && !zeros && !(zeros = calloc(widest(s), (size_t)s->o.kind)))
      return say(&s->said, ISTHMUS_MEMORY, "no memory to fill outputs with zero");
    if (!from)
      from = zeros;
    if (!d->allocated)
      unpack(&d->host, (char *)(uintptr_t)from, s->o.kind, pitch);
    else if (f)
      for (int k = 0; k < field_rows(f); k++)
        memcpy(field_slot(&s->c, f) + (uint64_t)k * f->stride, from + k * pitch, row);
  }
  free(zeros);
  return reason;
}

/* Brings the answer to the host; 0, or the reason why it is none. */
static int take_answer(session *s)
{
  for (int i = 0; i < s->c.nfields; i++) {
    const field_record *f = &s->c.table[i];
    if (f->role > INPUT && f->role <= DIAGNOSTIC && field_is_sound(&s->c, f, &s->o) &&
        !all_finite(field_slot(&s->c, f), s->o.kind, (int64_t)f->stride, field_rows(f),
                    s->o.ncol)) {
      say(&s->said, ISTHMUS_NOT_FINITE, "an answer that is not finite: %s %.48s",
          role_names[f->role], f->name);
      return ISTHMUS_NOT_FINITE;
    }
  }
  for (int i = 0; i < s->ndeclared; i++) {
    declared_field *d = &s->declared[i];
    if (d->role <= INPUT)
      continue;
    const field_record *f = &s->c.table[d->field];
    char *slot = field_slot(&s->c, f);
    if (!d->allocated)
      unpack(&d->host, slot, s->o.kind, (int64_t)f->stride);
    if (s->o.policy != ISTHMUS_HOLD)
      continue;
    const size_t row = (size_t)s->o.ncol * (size_t)s->o.kind;
    if (!d->held)
      d->held = malloc(row * (size_t)field_rows(f));
    for (int k = 0; d->held && k < field_rows(f); k++)
      memcpy(d->held + (size_t)k * row, slot + (uint64_t)k * f->stride, row);
  }
  return 0;
}

static int post(session *s)
{
  if (s->posted)
    return say(&s->said, ISTHMUS_ORDER, "a post before the answer to the last one: wait for it");
  const uint64_t call = s->calls++;
  if (!s->timed) {
    s->now.step = (int64_t)call;
    s->now.seconds = s->now.dt * (double)call;
  }
  s->reason = 0;
  const int was_late = s->link == LINK_UP && !channel_done(&s->c);
  if (was_late) {
    s->reason = ISTHMUS_LATE;
    say(&s->said, ISTHMUS_LATE, "the answer to an earlier call is still due");
  } else if (!link_ready(s, &s->said)) {
    s->reason = s->c.memory ? ISTHMUS_GONE : ISTHMUS_NO_SERVER;
    if (!s->said.text[0])
      say(&s->said, s->reason, "no server: %s", s->o.socket ? s->o.socket : "");
  } else {
    for (int i = 0; i < s->ndeclared; i++) {
      const declared_field *d = &s->declared[i];
      const field_record *f = &s->c.table[d->field];
      if (d->role == INPUT && !d->allocated)
        pack(&d->host, field_slot(&s->c, f), s->o.kind, (int64_t)f->stride);
    }
    const int status = s->checked ? 0 : check_inputs(s);
    if (status < 0) {
      s->calls = call;
      return status;
    }
    channel_post(&s->c, &s->now);
  }
  s->posted = 1;
  return ISTHMUS_OK;
}

static int wait_for(session *s)
{
  if (!s->posted)
    return say(&s->said, ISTHMUS_ORDER, "a wait without a post");
  s->posted = 0;
  int reason = s->reason;
  if (!reason && s->embedded)
    reason = -embedded_call(s->embedded, &s->said);
  const int posted = !reason;
  if (posted)
    reason = -channel_wait(&s->c, s->o.spin, s->o.deadline, &s->said);
  if (posted && reason && reason != ISTHMUS_LATE) {
    channel_hang_up(&s->c);
    s->link = LINK_NONE;
    s->retry_at = clock_now() + RETRY;
    reason = ISTHMUS_GONE; /* whatever it said at the end */
  }
  if (!reason && read_u64(s->c.block + STATUS) != 0) {
    uint64_t text[2];
    memcpy(text, s->c.memory + TOP_PLACES + 32, sizeof text);
    const char *words = s->c.memory + text[0];
    const char *line = memchr(words, '\n', text[1]); /* the first line is the kind of error */
    const size_t skip = line ? (size_t)(line + 1 - words) : 0;
    say(&s->said, ISTHMUS_FAILED, "%.*s", (int)(text[1] - skip), words + skip);
    reason = ISTHMUS_FAILED;
  }
  if (!reason)
    reason = take_answer(s);
  return reason ? stand_in(s, reason) : ISTHMUS_OK;
}

int isthmus_post(isthmus_session handle)
{
  session *s = enter(handle);
  return s ? leave(s, post(s)) : -ISTHMUS_ORDER;
}

int isthmus_test(isthmus_session handle)
{
  session *s = enter(handle);
  if (!s)
    return -ISTHMUS_ORDER;
  if (!s->posted)
    return leave(s, say(&s->said, ISTHMUS_ORDER, "a test without a post"));
  const int ready = s->reason || s->embedded || channel_done(&s->c);
  return leave(s, ready ? ISTHMUS_OK : ISTHMUS_PENDING);
}

int isthmus_wait(isthmus_session handle)
{
  session *s = enter(handle);
  return s ? leave(s, wait_for(s)) : -ISTHMUS_ORDER;
}

int isthmus_run(isthmus_session handle)
{
  session *s = enter(handle);
  if (!s)
    return -ISTHMUS_ORDER;
  int status = post(s);
  if (status == 0)
    status = wait_for(s);
  return leave(s, status);
}

/* -- words ------------------------------------------------------------------------------------- */

const char *isthmus_last_error(isthmus_session handle)
{
  static _Thread_local sentence copy;
  sentence kept = last;
  session *s = handle ? enter(handle) : NULL;
  copy = s ? s->said : kept;
  last = kept;
  if (s)
    pthread_mutex_unlock(&s->lock);
  return copy.text;
}

const char *isthmus_status_name(int status)
{
  static const char *const names[] = {"ok", "no server", "refused", "gone", "late", "failed",
                                      "not finite", "another version", "a wrong field",
                                      "out of order", "no memory", "a wrong argument", "system"};
  const int n = status < 0 ? -status : status;
  return n == ISTHMUS_PENDING ? "pending"
                              : n < (int)(sizeof names / sizeof *names) ? names[n] : "unknown";
}

#if defined(__has_include)
#if __has_include(<ISO_Fortran_binding.h>)
#include "descriptor.h"
#endif
#endif
