"""Ranks as threads of one process: what does not need MPI is tested without it, and quickly."""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

PATIENCE = 300.0
"""How long ranks wait for each other [s]: what takes longer hangs."""


class Board:
    """What the members of a team lay open to each other."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size)
        self.slots: list[Any] = [None] * size


class Member:
    """One rank."""

    def __init__(self, board: Board, rank: int) -> None:
        self.board, self.rank, self.size = board, rank, board.size
        self.services: Mapping[str, Wire] = {}

    def collect(self, thing: Any) -> list[Any]:
        self.board.slots[self.rank] = thing
        self.board.barrier.wait(PATIENCE)
        found = list(self.board.slots)
        self.board.barrier.wait(PATIENCE)
        return found

    def broadcast(self, thing: Any) -> Any:
        return self.collect(thing)[0]

    def most(self, value: int) -> int:
        return max(self.collect(value))

    def alltoall(self, send, sends, receive, receives) -> None:
        flat, target = send.reshape(-1), receive.reshape(-1)
        others = self.collect((flat, sends))
        # Receivers copy before the senders go on: see the wait below.
        for rank, (given, (counts, at)) in enumerate(others):
            piece = given[at[self.rank] : at[self.rank] + counts[self.rank]]
            assert piece.size == receives[0][rank]
            target[receives[1][rank] : receives[1][rank] + piece.size] = piece
        self.board.barrier.wait(PATIENCE)

    def exchange(self, sends, receives) -> None:
        others = self.collect(list(sends))
        for rank, given in enumerate(others):
            sent = [array for to, array in given if to == self.rank]
            taken = [array for source, array in receives if source == rank]
            assert [a.size for a in sent] == [a.size for a in taken]
            for source, target in zip(sent, taken, strict=True):
                target[...] = source.reshape(target.shape)
        self.board.barrier.wait(PATIENCE)

    def allgather(self, part, whole, counts: Sequence[int]) -> None:
        parts = self.collect(part.reshape(-1).copy())
        assert [p.size for p in parts] == list(counts)
        whole.reshape(-1)[...] = np.concatenate(parts)

    def gather(self, part, whole, counts: Sequence[int]) -> None:
        found = np.empty(sum(counts), part.dtype)
        self.allgather(part, found, counts)
        assert (whole is None) == (self.rank != 0)
        if whole is not None:
            whole.reshape(-1)[...] = found

    def scatter(self, whole, part, counts: Sequence[int]) -> None:
        found = self.broadcast(None if whole is None else whole.reshape(-1).copy())
        first = sum(counts[: self.rank])
        part.reshape(-1)[...] = found[first : first + counts[self.rank]]


class Wire:
    """One end of what two threads tell each other."""

    def __init__(self, away: list[queue.Queue], here: list[queue.Queue]) -> None:
        self._away, self._here, self._into = away, here, None

    def tell(self, thing: Any) -> None:
        self._away[0].put(thing)

    def heard(self) -> bool:
        return not self._here[0].empty()

    def hear(self) -> Any:
        return self._here[0].get(timeout=PATIENCE)

    def send(self, message: np.ndarray) -> None:
        self._away[1].put(message.copy())

    def receive(self, message: np.ndarray) -> None:
        assert self._into is None
        self._into = message

    def arrived(self) -> bool:
        if self._into is not None and not self._here[1].empty():
            came = self._here[1].get()
            self._into[: came.size] = came
            self._into = None
        return self._into is None


def wires(count: int) -> tuple[list[Wire], list[Wire]]:
    """Ends of `count` connections: on this side, and on the other."""
    ways = [([queue.Queue(), queue.Queue()], [queue.Queue(), queue.Queue()]) for _ in range(count)]
    return [Wire(a, b) for a, b in ways], [Wire(b, a) for a, b in ways]


def on_ranks(size: int, work: Callable[[Any], Any]) -> list[Any]:
    """What `work(parallel)` returns on each of `size` ranks; the first error is raised."""
    board = Board(size)
    results: list[Any] = [None] * size
    errors: list[BaseException] = []
    in_vain: list[BaseException] = []

    def member(rank: int) -> None:
        try:
            with torch.no_grad():
                results[rank] = work(Member(board, rank))
        except BaseException as error:  # another rank must not wait for this one
            waited = isinstance(error, threading.BrokenBarrierError)
            (in_vain if waited else errors).append(error)
            board.barrier.abort()

    threads = [threading.Thread(target=member, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in (*errors, *in_vain):  # who waited in vain is rarely the one to blame
        raise error
    return results
