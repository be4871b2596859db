/* The same as ranks_mpi.c for one process without MPI. */
#include <time.h>

void ranks_start(int *rank, int *size);
void ranks_exchange(const double *south, double *from_south, const double *north,
                    double *from_north, int count);
void ranks_end(void);
void ranks_pause(int milliseconds);

void ranks_start(int *rank, int *size)
{
  *rank = 0;
  *size = 1;
}

void ranks_exchange(const double *south, double *from_south, const double *north,
                    double *from_north, int count)
{
  (void)south, (void)from_south, (void)north, (void)from_north, (void)count;
}

void ranks_end(void) {}

void ranks_pause(int milliseconds)
{
  nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000L}, NULL);
}
