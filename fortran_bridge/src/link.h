/* A session's link to its server: opened, lost, found again. */
#ifndef ISTHMUS_LINK_H
#define ISTHMUS_LINK_H

#include "session.h"

/* -- the link to the server -------------------------------------------------------------------- */

static int link_begin(session *s, sentence *said)
{
  int status = channel_connect(&s->c, s->o.socket, said);
  if (status == 0)
    status = channel_greet(&s->c, &s->o, s->process, s->scheme, said);
  if (status < 0)
    channel_hang_up(&s->c);
  s->link = status < 0 ? LINK_NONE : LINK_GREETED;
  return status;
}

/* Brings inputs that the host keeps in the shared memory, and what the scheme remembers, from the
 * memory of the server that went to that of the new one; both have the same fields. */
static void carry_over(session *s, const char *old)
{
  for (int i = 0; i < s->c.nfields; i++) {
    const field_record *f = &s->c.table[i];
    if (f->role != INPUT && f->role != MEMORY)
      continue;
    uint64_t bytes = f->kind[1] > '0' ? (uint64_t)(f->kind[1] - '0') : 1, rows = 1;
    for (uint32_t k = 0; k < f->rank && k < 4; k++)
      rows *= f->shape[k];
    uint64_t at = f->offset, pitch = rows * bytes, size = pitch;
    if (f->columns && f->rank && f->stride) { /* this member's part of each row */
      rows /= f->shape[f->rank - 1];
      pitch = f->stride;
      size = (uint64_t)s->o.ncol * bytes;
      at += read_u64(s->c.block + FIRST_COLUMN) * bytes;
    } else {
      rows = 1;
    }
    for (uint64_t k = 0; k < rows && at + k * pitch + size <= s->c.size; k++)
      memcpy(s->c.memory + at + k * pitch, old + at + k * pitch, size);
    if (f->role == MEMORY)
      s->c.flags = RESTORE;
  }
}

/* Takes up the server's welcome if it is there: 1, else 0, or a negative status. */
static int link_advance(session *s, sentence *said)
{
  int descriptor;
  int status = receive_message(s->c.socket, &descriptor, said);
  if (status == 0)
    return 0;
  if (status == WELCOME && descriptor >= 0) {
    char *old = NULL; /* what was written into the memory of the server that went */
    const int again = s->c.memory != NULL;
    if (again && (old = malloc(s->c.size)))
      memcpy(old, s->c.memory, s->c.size);
    status = channel_map(&s->c, &s->o, descriptor, said);
    if (status == 0 && old)
      carry_over(s, old);
    free(old);
    for (int i = 0; i < s->ndeclared && status == 0 && !again; i++)
      status = bind_field(&s->c, &s->declared[i], &s->o, said);
    s->checked = 0;
    s->rejoining = again && s->o.members > 1;
  } else if (status > 0) {
    status = say(said, ISTHMUS_VERSION, "a message out of turn: expected a welcome; found kind %d",
                 status);
  }
  if (descriptor >= 0)
    close(descriptor);
  if (status < 0)
    channel_hang_up(&s->c);
  s->link = status < 0 ? LINK_NONE : LINK_UP;
  return status < 0 ? status : 1;
}

/* Whether a group that lost its server takes up the new one at this call: all ranks at one and the
 * same. The first of them that is there says at which, two calls ahead; ranks that exchange halos
 * never are further apart than one. */
static __attribute__((noinline)) int joins_now(const channel *c, int members, uint64_t call)
{
  const uint64_t size = read_u64(c->memory + TOP_PLACES + 8);
  char *first = c->memory + read_u64(c->memory + TOP_PLACES), *leader = NULL;
  int joined = 1;
  store_word(c->block + JOINED, 1);
  for (int i = 0; i < members; i++) {
    char *block = first + (uint64_t)i * size;
    if (load_word(block + GONE_WORD))
      continue;
    leader = leader ? leader : block;
    joined &= load_word(block + JOINED) != 0;
  }
  if (leader && leader == c->block && joined && !load_word(leader + START))
    store_word(leader + START, call + 2);
  const uint64_t start = leader ? load_word(leader + START) : 0;
  return start != 0 && call >= start;
}

/* Whether this call goes to the server; a server that went is looked for now and then. */
static int link_ready(session *s, sentence *said)
{
  if (s->link == LINK_NONE && s->o.transport == ISTHMUS_SHARED && clock_now() >= s->retry_at) {
    s->retry_at = clock_now() + RETRY;
    link_begin(s, said);
  }
  if (s->link == LINK_GREETED && link_advance(s, said) < 0)
    s->retry_at = clock_now() + RETRY;
  if (s->link != LINK_UP)
    return 0;
  if (s->rejoining && !joins_now(&s->c, s->o.members, s->calls)) {
    say(said, ISTHMUS_GONE, "a server is there again; the ranks take it up together");
    return 0;
  }
  s->rejoining = 0;
  return 1;
}

static int open_embedded(session *s, sentence *said)
{
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return say(said, ISTHMUS_SYSTEM, "no socket pair: %s", strerror(errno));
  s->c.socket = pair[0];
  int status = channel_greet(&s->c, &s->o, s->process, s->scheme, said);
  if (status == 0)
    status = embedded_open(&s->o, pair[1], &s->embedded, said);
  if (status == 0 && link_advance(s, said) <= 0)
    status = -ISTHMUS_REFUSED;
  close(pair[1]);
  return status;
}

static int open_shared(session *s, sentence *said)
{
  const double until = clock_now() + s->o.startup;
  int status = link_begin(s, said);
  if (status == -ISTHMUS_NO_SERVER && s->o.launch) {
    status = s->o.member == 0 ? launch_server(&s->o, s->o.socket, &s->server, said) : 0;
    while (status == 0 && clock_now() < until) {
      if ((status = launched_alive(&s->server, &s->o, said)) < 0)
        break;
      status = link_begin(s, said);
      if (status != -ISTHMUS_NO_SERVER)
        break;
      status = 0;
      nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
  }
  while (status == 0 && s->link == LINK_GREETED && clock_now() < until) {
    struct pollfd wait = {s->c.socket, POLLIN, 0};
    poll(&wait, 1, 100);
    status = link_advance(s, said);
    if (status > 0)
      return 0;
  }
  while (status == -ISTHMUS_GONE && s->server.process && clock_now() < until) {
    nanosleep(&(struct timespec){0, 10000000}, NULL); /* the one that we started: why? */
    if (launched_alive(&s->server, &s->o, said) < 0)
      status = -ISTHMUS_NO_SERVER;
  }
  if (status == 0)
    status = say(said, ISTHMUS_LATE, "no answer to the greeting within %g s: %s", s->o.startup,
                 s->o.socket);
  return status;
}

#endif
