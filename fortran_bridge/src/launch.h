/* Starting a server: `isthmus serve SCHEME --socket PATH --lifeline FD`. The lifeline is an end of a
 * socket pair whose other end the session keeps: the server ends with it, however it goes. */
#ifndef ISTHMUS_LAUNCH_H
#define ISTHMUS_LAUNCH_H

#include <signal.h>
#include <sys/wait.h>

#include "channel.h"

extern char **environ;

enum { MOST_WORDS = 48 };

/* Variables by which MPI launchers speak to the processes they start: not to ours. */
static int is_launchers(const char *entry)
{
  static const char *const leads[] = {"PMI_", "PMIX_", "OMPI_", "HYDRA_", "HYDI_", "MPI_LOCAL",
                                      "I_MPI_", "PALS_"};
  for (size_t i = 0; i < sizeof leads / sizeof *leads; i++)
    if (strncmp(entry, leads[i], strlen(leads[i])) == 0)
      return 1;
  return 0;
}

/* Splits text at blanks; the pieces lie in `text`. */
static int split_words(char *text, char **words, int most)
{
  int n = 0;
  char *rest = NULL;
  for (char *w = strtok_r(text, " \t\n", &rest); w && n < most; w = strtok_r(NULL, " \t\n", &rest))
    words[n++] = w;
  return n;
}

typedef struct {
  pid_t process; /* 0: none */
  int lifeline;
} launched;

/* Starts a server; 0, or a negative status. */
static int launch_server(const isthmus_options *o, const char *path, launched *it, sentence *said)
{
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return say(said, ISTHMUS_SYSTEM, "cannot start a server: %s", strerror(errno));
  const char *given = o->command ? o->command : getenv("ISTHMUS_COMMAND");
  char *command = strdup(given && *given ? given : "isthmus");
  char *settings = strdup(o->settings ? o->settings : "");
  size_t n = 0;
  while (environ[n])
    n++;
  char **kept = calloc(n + 1, sizeof *kept);
  if (!command || !settings || !kept) {
    free(command), free(settings), free(kept);
    close(pair[0]), close(pair[1]);
    return say(said, ISTHMUS_MEMORY, "no memory to start a server");
  }
  for (size_t i = 0, j = 0; i < n; i++)
    if (!is_launchers(environ[i]))
      kept[j++] = environ[i];
  char *words[MOST_WORDS + 1], *pairs[16];
  int count = split_words(command, words, 8);
  words[count++] = (char *)(uintptr_t)"serve";
  words[count++] = (char *)(uintptr_t)o->scheme;
  words[count++] = (char *)(uintptr_t)"--socket";
  words[count++] = (char *)(uintptr_t)path;
  words[count++] = (char *)(uintptr_t)"--lifeline";
  words[count++] = (char *)(uintptr_t)"3";
  const int npairs = split_words(settings, pairs, 16);
  for (int i = 0; i < npairs; i++) {
    words[count++] = (char *)(uintptr_t)"--set";
    words[count++] = pairs[i];
  }
  words[count] = NULL;
  it->process = fork();
  if (it->process == 0) {
    const int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, 0);
    dup2(nothing, 1);
    if (pair[1] == 3)
      fcntl(3, F_SETFD, 0);
    else
      dup2(pair[1], 3);
    for (int fd = 4; fd < 1024; fd++)
      close(fd);
    execvpe(words[0], words, kept);
    _exit(127);
  }
  const int why = errno;
  free(command), free(settings), free(kept);
  close(pair[1]);
  it->lifeline = pair[0];
  if (it->process > 0)
    return 0;
  it->process = 0;
  close(pair[0]);
  return say(said, ISTHMUS_SYSTEM, "cannot start a server: %s", strerror(why));
}

/* 0 while the server that we started runs, else a negative status with how it ended. */
static int launched_alive(launched *it, const isthmus_options *o, sentence *said)
{
  int how = 0;
  if (it->process == 0 || waitpid(it->process, &how, WNOHANG) != it->process)
    return 0;
  it->process = 0;
  close(it->lifeline);
  const int missing = WIFEXITED(how) && WEXITSTATUS(how) == 127;
  return say(said, ISTHMUS_NO_SERVER, "the server did not start: %s serve %s; it ended with %s %d; "
             "%s", o->command ? o->command : "isthmus", o->scheme,
             WIFSIGNALED(how) ? "signal" : "status",
             WIFSIGNALED(how) ? WTERMSIG(how) : WEXITSTATUS(how),
             missing ? "put isthmus on the PATH, or name it with command or ISTHMUS_COMMAND"
                     : "what it said stands above");
}

/* Ends a server that we started: its lifeline first, a signal if that does not do. */
static void launched_end(launched *it)
{
  if (it->process == 0)
    return;
  close(it->lifeline);
  for (int i = 0; i < 300 && waitpid(it->process, NULL, WNOHANG) == 0; i++) {
    if (i == 200)
      kill(it->process, SIGKILL);
    nanosleep(&(struct timespec){0, 10000000}, NULL);
  }
  it->process = 0;
}

#endif
