/* What shallow_water.f90 needs of MPI, through its C interface: any MPI will do, and its Fortran
 * modules are not needed. ranks_none.c stands in for it without MPI. */
#include <mpi.h>
#include <time.h>

void ranks_start(int *rank, int *size);
void ranks_exchange(const double *south, double *from_south, const double *north,
                    double *from_north, int count);
void ranks_end(void);
void ranks_pause(int milliseconds);

void ranks_start(int *rank, int *size)
{
  MPI_Init(NULL, NULL);
  MPI_Comm_rank(MPI_COMM_WORLD, rank);
  MPI_Comm_size(MPI_COMM_WORLD, size);
}

/* Sends `count` numbers to the ranks south and north of this one and receives theirs. */
void ranks_exchange(const double *south, double *from_south, const double *north,
                    double *from_north, int count)
{
  int rank, size;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const int below = rank > 0 ? rank - 1 : MPI_PROC_NULL;
  const int above = rank < size - 1 ? rank + 1 : MPI_PROC_NULL;
  MPI_Sendrecv(south, count, MPI_DOUBLE, below, 1, from_north, count, MPI_DOUBLE, above, 1,
               MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  MPI_Sendrecv(north, count, MPI_DOUBLE, above, 2, from_south, count, MPI_DOUBLE, below, 2,
               MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

void ranks_end(void)
{
  MPI_Finalize();
}

void ranks_pause(int milliseconds)
{
  nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000L}, NULL);
}
