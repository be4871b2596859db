/* Bytes read and written per second by the packing of the C library, one core: a T42 atmosphere of
 * 8192 columns x 40 levels, by kinds and by what comes first in the host's memory. */
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

int main(void)
{
  enum { NLEV = 40, NCOL = 8192, REPEAT = 101 };
  printf("%-36s %10s %10s  [GB/s, median of %d]\n", "packing", "in", "out", REPEAT);
  for (int host = 4; host <= 8; host += 4)
    for (int slot = 4; slot <= 8; slot += 4)
      for (int levels = 0; levels < 2; levels++) {
        char *h = malloc((size_t)(NLEV * NCOL * host)), *s = malloc((size_t)(NLEV * NCOL * slot));
        memset(h, 1, (size_t)(NLEV * NCOL * host)); /* pages of its own, not the one of zeros */
        memset(s, 1, (size_t)(NLEV * NCOL * slot));
        isthmus_strided array = {h, host, {NCOL, 1}, {levels ? NLEV * host : host, 0}, NLEV,
                                 levels ? host : NCOL * host};
        double times[2][REPEAT];
        for (int way = 0; way < 2; way++)
          for (int i = 0; i < REPEAT; i++) {
            const double began = seconds();
            (way ? unpack : pack)(&array, s, slot, NCOL * slot);
            times[way][i] = seconds() - began;
          }
        double rate[2];
        for (int way = 0; way < 2; way++) {
          qsort(times[way], REPEAT, sizeof(double), ascending);
          rate[way] = 1e-9 * NLEV * NCOL * (host + slot) / times[way][REPEAT / 2];
        }
        printf("real%d -> real%d, %-18s %10.1f %10.1f\n", 8 * host, 8 * slot,
               levels ? "levels first" : "columns first", rate[0], rate[1]);
        free(h);
        free(s);
      }
  return 0;
}
