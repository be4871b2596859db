/* Bytes read and written per second by the packing of the C library, one core, by kinds and by what
 * comes first in the host's memory: for a T42 atmosphere of 8192 columns x 40 levels, and for 256
 * columns, which stay in a core's own cache. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "pack.h"

static double seconds(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
  return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

enum { NLEV = 40, REPEAT = 101 };

/* One line of the table. */
static void measure(int64_t ncol, int host, int slot, int levels)
{
  const size_t n = NLEV * (size_t)ncol;
  char *h = malloc(n * (size_t)host), *s = malloc(n * (size_t)slot);
  memset(h, 1, n * (size_t)host); /* pages of its own, not the one of zeros */
  memset(s, 1, n * (size_t)slot);
  isthmus_strided array = {h, host, {ncol, 1, 1}, {levels ? NLEV * host : host, 0, 0}, NLEV,
                           levels ? host : ncol * host};
  double times[2][REPEAT];
  double rate[2];
  for (int way = 0; way < 2; way++) {
    for (int i = 0; i < REPEAT; i++) {
      const double began = seconds();
      (way ? unpack : pack)(&array, s, slot, ncol * slot);
      times[way][i] = seconds() - began;
    }
    qsort(times[way], REPEAT, sizeof(double), ascending);
    rate[way] = 1e-9 * (double)n * (host + slot) / times[way][REPEAT / 2];
  }
  printf("%4d columns, real%d -> real%d, %-13s %8.1f %10.1f\n", (int)ncol, 8 * host, 8 * slot,
         levels ? "levels first" : "columns first", rate[0], rate[1]);
  free(h);
  free(s);
}

int main(void)
{
  printf("%-45s %8s %10s  [GB/s, median of %d]\n", "packing", "in", "out", REPEAT);
  for (int small = 0; small < 2; small++)
    for (int host = 4; host <= 8; host += 4)
      for (int slot = 4; slot <= 8; slot += 4)
        for (int levels = 0; levels < 2; levels++)
          measure(small ? 256 : 8192, host, slot, levels);
  return 0;
}
