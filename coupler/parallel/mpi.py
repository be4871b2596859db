"""The ranks of an MPI job; the only module that imports mpi4py.

A process is one rank of a job when a launcher (``mpiexec -n N``, ``srun``) says so in the
environment. Without one, MPI is neither loaded nor needed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from coupler.interface.component import Array
from coupler.interface.parallel import ALONE, Parallel, Peer

_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PALS_SIZE", "MPI_LOCALNRANKS")
"""Where launchers tell how many ranks they started: MPICH and its relatives, Open MPI, Cray."""


def launched_size() -> int:
    """Number of ranks that the launcher of this process says it started; 1 without one."""
    for name in _SIZES:
        text = os.environ.get(name, "")
        if text.isdigit():
            return int(text)
    if "PMIX_RANK" in os.environ or "PMI_RANK" in os.environ:
        text = os.environ.get("SLURM_NTASKS", "1")
        return int(text) if text.isdigit() else 1
    return 1


def launched_rank() -> int:
    """Number of this process among those that the launcher started; 0 without one."""
    for name in ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PALS_RANKID"):
        text = os.environ.get(name, "")
        if text.isdigit():
            return int(text)
    return 0


def environment_alone() -> dict[str, str]:
    """The environment without what a launcher put there, for a process that is no rank."""
    marks = ("PMI_", "PMIX_", "OMPI_", "MPI_", "HYDI_", "HYDRA_", "PALS_")
    return {k: v for k, v in os.environ.items() if not k.startswith(marks)}


_EXCHANGE = 3
"""Tag of the messages of :meth:`Ranks.exchange`."""
_Method = TypeVar("_Method", bound=Callable[..., Any])


def _counted(method: _Method) -> _Method:
    """Has the time of a call, exchange and waiting alike, counted where `Ranks.count` says."""

    @wraps(method)
    def call(self: Ranks, *args: Any, **kwargs: Any) -> Any:
        if self._count is None:
            return method(self, *args, **kwargs)
        to, account = self._count
        before = to(account)
        try:
            return method(self, *args, **kwargs)
        finally:
            to(before)

    return call  # type: ignore[return-value]


class Ranks:
    """All ranks of the job, or those among them that share the model."""

    def __init__(
        self, communicator: Any = None, services: Mapping[str, Peer] | None = None
    ) -> None:
        """Takes part in the job.

        Args:
            communicator: of some ranks; None for all of the job.
            services: ranks of the job beside them, by what they compute.
        """
        import mpi4py

        # Only the main thread calls MPI; without locks a small message takes half the time.
        mpi4py.rc.thread_level = "funneled"
        from mpi4py import MPI

        self._mpi: Any = MPI
        self._world: Any = MPI.COMM_WORLD if communicator is None else communicator
        self.rank, self.size = int(self._world.rank), int(self._world.size)
        self.services: Mapping[str, Peer] = services or {}
        self._count: tuple[Callable[[str], str], str] | None = None
        if communicator is None:
            self._world.Barrier()  # all have opened what they share
            _take_names_away(Path("/proc/self/maps"))

    def count(self, to: Callable[[str], str], account: str) -> None:
        """Counts the time of every exchange from now on.

        Args:
            to: counts for an account until it is called again; returns the one before.
            account: name of this one.
        """
        self._count = to, account

    def share_out(self, services: Sequence[str]) -> Ranks | Served:
        """Gives each of the last ranks a service; what this rank is then.

        Args:
            services: what they compute; fewer than there are ranks.
        """
        model = self.size - len(services)
        own = self._world.Split(max(0, self.rank - model + 1), self.rank)
        wire = self._world.Dup()
        if self.rank >= model:
            clients = [Wire(self._mpi, wire, rank) for rank in range(model)]
            return Served(name=services[self.rank - model], clients=clients)
        return Ranks(
            own, {name: Wire(self._mpi, wire, model + i) for i, name in enumerate(services)}
        )

    @_counted
    def alltoall(
        self,
        send: Array,
        sends: tuple[Sequence[int], Sequence[int]],
        receive: Array,
        receives: tuple[Sequence[int], Sequence[int]],
    ) -> None:
        self._world.Alltoallv([send, sends], [receive, receives])

    @_counted
    def exchange(
        self, sends: Sequence[tuple[int, Array]], receives: Sequence[tuple[int, Array]]
    ) -> None:
        requests = [self._world.Irecv(array, rank, _EXCHANGE) for rank, array in receives]
        requests += [self._world.Isend(array, rank, _EXCHANGE) for rank, array in sends]
        self._mpi.Request.Waitall(requests)

    @_counted
    def allgather(self, part: Array, whole: Array, counts: Sequence[int]) -> None:
        self._world.Allgatherv(part, [whole, counts])

    @_counted
    def gather(self, part: Array, whole: Array | None, counts: Sequence[int]) -> None:
        self._world.Gatherv(part, None if whole is None else [whole, counts])

    @_counted
    def scatter(self, whole: Array | None, part: Array, counts: Sequence[int]) -> None:
        self._world.Scatterv(None if whole is None else [whole, counts], part)

    @_counted
    def broadcast(self, thing: Any) -> Any:
        return self._world.bcast(thing)

    @_counted
    def collect(self, thing: Any) -> list[Any]:
        return list(self._world.allgather(thing))

    @_counted
    def most(self, value: int) -> int:
        return int(self._world.allreduce(value, self._mpi.MAX))

    def meet(self, seconds: float) -> bool:
        """Whether all ranks call this within so many seconds."""
        request, until = self._world.Ibarrier(), time.monotonic() + seconds
        while not request.Test():
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    def abort(self, status: int) -> None:
        """Ends all ranks of the job at once."""
        self._mpi.COMM_WORLD.Abort(status)


@dataclass(frozen=True, kw_only=True)
class Served:
    """What a rank is that computes something for the others."""

    name: str
    clients: Sequence[Peer]
    """The ranks of the model, in their order."""


class Wire:
    """Messages to and from another rank of the job."""

    _OBJECT, _BYTES = 1, 2

    def __init__(self, mpi: Any, communicator: Any, rank: int) -> None:
        self._mpi, self._with, self._rank = mpi, communicator, rank
        self._sent = self._awaited = mpi.REQUEST_NULL

    def tell(self, thing: Any) -> None:
        self._with.send(thing, self._rank, self._OBJECT)

    def heard(self) -> bool:
        return bool(self._with.Iprobe(self._rank, self._OBJECT))

    def hear(self) -> Any:
        return self._with.recv(None, self._rank, self._OBJECT)

    def send(self, message: Array) -> None:
        self._sent.Wait()  # long since there: it has been answered
        self._sent = self._with.Isend([message, self._mpi.BYTE], self._rank, self._BYTES)

    def receive(self, message: Array) -> None:
        self._awaited = self._with.Irecv([message, self._mpi.BYTE], self._rank, self._BYTES)

    def arrived(self) -> bool:
        return bool(self._awaited.Test())


def _take_names_away(maps: Path) -> None:
    """Unlinks the memory that MPICH's ranks share on a node.

    MPICH does so itself when a job ends in order, and leaves it in /dev/shm when it is killed.
    Memory that all have opened needs no name; what is mapped here is of no other job.

    Args:
        maps: list of what this process has mapped.
    """
    if not maps.is_file():
        return
    for line in maps.read_text(encoding="utf-8", errors="replace").splitlines():
        path = line.split(maxsplit=5)[-1]
        if path.startswith("/dev/shm/mpich_shm_") and not path.endswith(" (deleted)"):
            with contextlib.suppress(OSError):  # another rank was first
                Path(path).unlink()


_world: Parallel | None = None


def world() -> Parallel:
    """The ranks of this run; the same object at every call."""
    global _world
    if _world is None:
        _world = Ranks() if launched_size() > 1 else ALONE
    return _world
