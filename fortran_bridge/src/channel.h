/* The client's end of the channel protocol, byte by byte as docs/channel.md has it.
 *
 * Everything is little-endian and naturally aligned, as on the machines that this is for; the order
 * word of the shared memory is checked. What the two sides publish are 64-bit words with sequential
 * consistency: who sleeps says so and looks once more, who publishes looks whether the other sleeps.
 */
#ifndef ISTHMUS_CHANNEL_H
#define ISTHMUS_CHANNEL_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "isthmus.h"
#include "pack.h"

enum { CHANNEL_VERSION = 1, LONGEST_MESSAGE = 65536, MOST_FIELDS = 256 };
enum { HELLO = 1, WELCOME = 2, REFUSED = 3, RING = 4 };
enum { INPUT = 1, TENDENCY = 2, FLUX = 3, DIAGNOSTIC = 4, MEMORY = 5 };
enum { MESSAGE_MAGIC = 0x48545349, ORDER = 0x01020304 };
#define FILE_MAGIC UINT64_C(0x0053554D48545349) /* ISTHMUS and a zero byte */

/* Offsets in the shared memory. */
enum { TOP_SIZE = 8, TOP_MEMBERS = 24, TOP_FIELDS = 40, TOP_PLACES = 48, TOP_PROCESS = 96 };
enum { SERVER_SLEEPS = 512, RESTORE = 1 };
/* Offsets in a member's block; from 80 to 127 the clients have words among themselves. */
enum { POSTED = 0, CLIENT_SLEEPS = 8, FLAGS = 16, CALL_AT = 24, JOINED = 80, START = 88 };
enum { DONE = 128, STATUS = 136, GONE_WORD = 144, FIRST_COLUMN = 168, COLUMN_COUNT = 176 };

typedef struct {
  uint32_t magic;
  uint16_t version, kind;
  uint32_t length, reserved;
} message_header;

typedef struct {
  uint32_t nlev, ncol, real, members, member, nstatic, nplanet, noffers;
  uint64_t seed;
  char group[64], calendar[20];
  uint32_t row;
  char process[32], scheme[64], levels[32], fingerprint[64];
} hello_head;

typedef struct {
  char name[48], units[24];
  uint32_t role, dims;
  char kind[4];
  uint32_t rank, shape[4];
  uint64_t offset, stride;
  uint32_t columns, reserved;
} field_record;

typedef struct {
  int64_t step;
  double seconds, dt;
  int32_t date[7];
} call_record;

_Static_assert(sizeof(message_header) == 16, "docs/channel.md");
_Static_assert(sizeof(hello_head) == 320, "docs/channel.md");
_Static_assert(sizeof(field_record) == 128, "docs/channel.md");

typedef struct {
  int socket;          /* -1: none */
  char *memory;        /* NULL: none */
  size_t size;
  char *block;         /* this member's */
  field_record *table;
  int nfields;
  uint64_t number;     /* of the last call that was posted */
  uint64_t flags;      /* of the next one; RESTORE: take up the memory fields first */
} channel;

/* A sentence for the caller. */
typedef struct {
  char text[1024];
} sentence;

static int say(sentence *said, int status, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(said->text, sizeof said->text, format, arguments);
  va_end(arguments);
  return -status;
}

static double clock_now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint64_t load_word(const char *at)
{
  return __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_SEQ_CST);
}

static void store_word(char *at, uint64_t value)
{
  __atomic_store_n((uint64_t *)(void *)at, value, __ATOMIC_SEQ_CST);
}

static uint64_t read_u64(const char *at)
{
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint32_t read_u32(const char *at)
{
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

/* -- the socket -------------------------------------------------------------------------------- */

/* An address for a path; one that is too long goes by its folder, opened as *folder. */
static int address_of(const char *path, struct sockaddr_un *to, int *folder)
{
  memset(to, 0, sizeof *to);
  to->sun_family = AF_UNIX;
  *folder = -1;
  if (strlen(path) < sizeof to->sun_path) {
    strcpy(to->sun_path, path);
    return 0;
  }
  const char *slash = strrchr(path, '/');
  char *parent = slash ? strndup(path, (size_t)(slash - path)) : NULL;
  if (parent)
    *folder = open(*parent ? parent : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  free(parent);
  if (*folder < 0)
    return -1;
  const int n = snprintf(to->sun_path, sizeof to->sun_path, "/proc/self/fd/%d%s", *folder, slash);
  return n > 0 && (size_t)n < sizeof to->sun_path ? 0 : -1;
}

/* A connection to the server at a path. */
static int channel_connect(channel *c, const char *path, sentence *said)
{
  struct sockaddr_un to;
  struct stat found;
  int folder;
  if (lstat(path, &found) != 0)
    return say(said, ISTHMUS_NO_SERVER,
               "no server: %s; expected the socket of a running server; found %s; start one with "
               "isthmus serve SCHEME --socket %s", path, strerror(errno), path);
  if (!S_ISSOCK(found.st_mode))
    return say(said, ISTHMUS_NO_SERVER,
               "no server: %s; expected a socket; found a file of another kind", path);
  if (address_of(path, &to, &folder) != 0)
    return say(said, ISTHMUS_ARGUMENT, "a path that is too long for a socket: %s", path);
  const int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  int failed = s < 0 || connect(s, (struct sockaddr *)&to, sizeof to) != 0;
  const int why = errno;
  if (folder >= 0)
    close(folder);
  struct ucred peer = {0, 0, 0};
  socklen_t length = sizeof peer;
  if (!failed && (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 ||
                  peer.uid != getuid() || found.st_uid != getuid())) {
    close(s);
    return say(said, ISTHMUS_REFUSED,
               "a socket of another user: %s; expected user %u; found user %u; start a server of "
               "your own", path, (unsigned)getuid(), (unsigned)peer.uid);
  }
  if (failed) {
    if (s >= 0)
      close(s);
    return say(said, ISTHMUS_NO_SERVER, "no server: %s; expected the socket of a running server; "
               "found %s; start one with isthmus serve SCHEME --socket %s", path,
               why == ECONNREFUSED ? "a socket that a dead server left behind" : strerror(why),
               path);
  }
  c->socket = s;
  return 0;
}

static int send_message(int socket, int kind, const void *payload, size_t length, int descriptor)
{
  message_header head = {MESSAGE_MAGIC, CHANNEL_VERSION, (uint16_t)kind, (uint32_t)length, 0};
  struct iovec parts[2] = {{&head, sizeof head}, {(void *)(uintptr_t)payload, length}};
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = length ? 2 : 1};
  if (descriptor >= 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &descriptor, sizeof descriptor);
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* The next message without waiting: its kind, 0 for none yet, or a negative status. A descriptor
 * that comes along is in *descriptor, else -1. The text of a refusal is in `said`. */
static int receive_message(int socket, int *descriptor, sentence *said)
{
  static const char *const not_ours = "not the channel protocol; expected a message as in "
                                      "docs/channel.md; found %zd bytes";
  struct {
    message_header head;
    char payload[sizeof(sentence)];
  } got;
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(4 * sizeof(int))];
  } control;
  struct iovec part = {&got, sizeof got - 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  *descriptor = -1;
  const ssize_t n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return 0;
  if (n < 0)
    return say(said, ISTHMUS_GONE, "the connection to the server broke: %s", strerror(errno));
  if (n == 0)
    return say(said, ISTHMUS_GONE, "the server is gone; the connection ended");
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
      for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
        if (*descriptor >= 0)
          close(*descriptor);
        memcpy(descriptor, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      }
  int kind = (size_t)n < sizeof got.head || got.head.magic != MESSAGE_MAGIC
                 ? say(said, ISTHMUS_VERSION, not_ours, n) : got.head.kind;
  if (kind > 0 && got.head.version != CHANNEL_VERSION)
    kind = say(said, ISTHMUS_VERSION, "another version of the channel protocol; expected version "
               "%d; found version %d; use the same version of Isthmus on both sides",
               CHANNEL_VERSION, (int)got.head.version);
  if (kind == REFUSED) {
    got.payload[(size_t)n - sizeof got.head] = '\0';
    kind = say(said, ISTHMUS_REFUSED, "%s", got.payload);
  }
  if (kind < 0 && *descriptor >= 0) {
    close(*descriptor);
    *descriptor = -1;
  }
  return kind;
}

/* -- greeting ---------------------------------------------------------------------------------- */

static void put_text(char *to, size_t size, const char *text)
{
  memset(to, 0, size);
  if (text)
    memcpy(to, text, strnlen(text, size));
}

/* Says who we are: the scheme tells what it reads and gives, so that no fields are offered. */
static int channel_greet(channel *c, const isthmus_options *o, const char *process,
                         const char *scheme, sentence *said)
{
  const uint32_t nstatic = (uint32_t)o->nstatic;
  uint32_t nplanet = 0;
  const size_t half = ((size_t)o->nlev + 1) * sizeof(double);
  const size_t longest = sizeof(hello_head) + 2 * half + 2 * 48 + (size_t)nstatic * 48;
  if (longest > LONGEST_MESSAGE - sizeof(message_header))
    return say(said, ISTHMUS_ARGUMENT, "too many levels for a greeting: %d", o->nlev);
  char *payload = calloc(1, longest);
  if (!payload)
    return say(said, ISTHMUS_MEMORY, "no memory for a greeting");
  char *at = payload + sizeof(hello_head);
  memcpy(at, o->a, half);
  memcpy(at + half, o->b, half);
  at += 2 * half;
  const struct {
    const char *name;
    double value;
  } planet[2] = {{"gravity", o->gravity}, {"radius", o->radius}};
  for (int i = 0; i < 2; i++)
    if (planet[i].value > 0) {
      put_text(at, 40, planet[i].name);
      memcpy(at + 40, &planet[i].value, sizeof(double));
      at += 48;
      nplanet++;
    }
  int descriptor = -1, status = 0;
  if (nstatic) {
    descriptor = memfd_create("isthmus-static", MFD_CLOEXEC);
    const size_t bytes = (size_t)o->ncol * sizeof(double);
    for (uint32_t i = 0; i < nstatic; i++, at += 48) {
      put_text(at, 48, o->static_names[i]);
      for (size_t done = 0; descriptor >= 0 && done < bytes && status == 0;) {
        const ssize_t n = write(descriptor, (const char *)o->static_values[i] + done, bytes - done);
        if (n <= 0)
          status = -1;
        else
          done += (size_t)n;
      }
    }
    if (descriptor < 0 || status != 0)
      status = say(said, ISTHMUS_MEMORY, "no memory for the fields that never change: %s",
                   strerror(errno));
  }
  hello_head head = {(uint32_t)o->nlev, (uint32_t)o->ncol, (uint32_t)o->kind,
                     (uint32_t)o->members, (uint32_t)o->member, nstatic, nplanet, 0,
                     (uint64_t)o->seed, "", "", (uint32_t)o->row, "", "", "", ""};
  put_text(head.group, sizeof head.group, o->group);
  put_text(head.calendar, sizeof head.calendar, o->calendar);
  put_text(head.process, sizeof head.process, process);
  put_text(head.scheme, sizeof head.scheme, scheme);
  put_text(head.levels, sizeof head.levels, "custom");
  memcpy(payload, &head, sizeof head);
  if (status == 0) {
    const int sent = send_message(c->socket, HELLO, payload, (size_t)(at - payload), descriptor);
    if (sent < 0)
      status = say(said, ISTHMUS_GONE, "the server hung up: %s", strerror(-sent));
  }
  if (descriptor >= 0)
    close(descriptor);
  free(payload);
  return status;
}

/* Maps what the server gave; over the memory of the last server if there was one, so that pointers
 * into it stay valid. */
static int channel_map(channel *c, const isthmus_options *o, int descriptor, sentence *said)
{
  struct stat found;
  const int seals = fcntl(descriptor, F_GET_SEALS);
  const int whole = F_SEAL_SHRINK | F_SEAL_GROW;
  if (fstat(descriptor, &found) != 0 || seals < 0 || (seals & whole) != whole ||
      found.st_size < 1024)
    return say(said, ISTHMUS_VERSION, "shared memory that is not a channel's");
  const size_t size = (size_t)found.st_size;
  char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (memory == MAP_FAILED)
    return say(said, ISTHMUS_MEMORY, "no memory for a channel: expected %.1f MB; found %s",
               1e-6 * (double)size, strerror(errno));
  uint64_t places[6];
  memcpy(places, memory + TOP_PLACES, sizeof places);
  const uint32_t members = read_u32(memory + TOP_MEMBERS), nfields = read_u32(memory + TOP_FIELDS);
  const int fits = read_u64(memory) == FILE_MAGIC && read_u32(memory + 12) == ORDER &&
                   read_u32(memory + 8) == CHANNEL_VERSION && read_u64(memory + 16) == size &&
                   places[3] == sizeof(field_record) && nfields <= MOST_FIELDS &&
                   members == (uint32_t)o->members &&
                   places[0] + members * places[1] <= size &&
                   places[2] + nfields * sizeof(field_record) <= size && places[4] < size &&
                   places[4] + places[5] <= size;
  if (fits && c->memory) {
    const size_t table = (size_t)nfields * sizeof(field_record);
    if (size != c->size || (int)nfields != c->nfields ||
        memcmp(memory + places[2], c->table, table) != 0) {
      munmap(memory, size);
      return say(said, ISTHMUS_REFUSED, "the server that is there now serves other fields than the "
                 "one that went; close the session and open it again");
    }
    munmap(memory, size);
    memory = mmap(c->memory, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0);
    if (memory == MAP_FAILED) {
      c->memory = NULL; /* the range is unmapped now */
      return say(said, ISTHMUS_MEMORY, "no memory for a channel: %s", strerror(errno));
    }
  }
  if (!fits) {
    munmap(memory, size);
    return say(said, ISTHMUS_VERSION, "shared memory that is not a channel's; expected version %d "
               "for %d members; use the same version of Isthmus on both sides", CHANNEL_VERSION,
               o->members);
  }
  c->memory = memory;
  c->size = size;
  c->block = memory + places[0] + (uint64_t)o->member * places[1];
  c->table = (field_record *)(void *)(memory + places[2]);
  c->nfields = (int)nfields;
  c->number = 0;
  return 0;
}

/* -- calls ------------------------------------------------------------------------------------- */

static int channel_done(const channel *c)
{
  return load_word(c->block + DONE) >= c->number;
}

/* Publishes a call; wakes the server if it sleeps. */
static void channel_post(channel *c, const call_record *call)
{
  memcpy(c->block + CALL_AT, call, 3 * 8 + 7 * 4);
  memcpy(c->block + FLAGS, &c->flags, sizeof c->flags); /* seen with the word after it */
  c->flags = 0;
  store_word(c->block + POSTED, ++c->number);
  if (load_word(c->memory + SERVER_SLEEPS))
    send_message(c->socket, RING, NULL, 0, -1); /* its end shows when waiting */
}

/* Waits until the last call is answered: 0, or a negative status. */
static int channel_wait(channel *c, double spin, double deadline, sentence *said)
{
  const double began = clock_now();
  for (int turn = 0; !channel_done(c); turn++) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
    if (turn % 64 == 63 && clock_now() - began > spin)
      break;
  }
  int status = 0;
  while (!channel_done(c)) {
    store_word(c->block + CLIENT_SLEEPS, 1);
    if (channel_done(c)) /* in this order: say that we sleep, look once more, sleep */
      break;
    const double left = deadline - (clock_now() - began);
    if (left <= 0) {
      status = say(said, ISTHMUS_LATE, "no answer in time; expected one within %g s", deadline);
      break;
    }
    struct pollfd wait = {c->socket, POLLIN, 0};
    poll(&wait, 1, left < 1 ? 1 + (int)(1000 * left) : 1000);
    int descriptor;
    const int kind = receive_message(c->socket, &descriptor, said);
    if (descriptor >= 0)
      close(descriptor);
    if (kind < 0 && !channel_done(c)) {
      status = kind;
      break;
    }
  }
  store_word(c->block + CLIENT_SLEEPS, 0);
  return status;
}

static void channel_hang_up(channel *c)
{
  if (c->socket >= 0)
    close(c->socket);
  c->socket = -1;
}

#endif
