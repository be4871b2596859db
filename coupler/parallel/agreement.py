"""Agreement between ranks: all go on, or all stop for the same reason.

A rank that fails alone would leave the others waiting for its part of the next exchange. What a
rank may do by itself is therefore done `together`: the first rank that failed tells the others why,
and all raise the same error. Our own errors and those of files are agreed upon; anything else ends
the job where it is raised (`coupler.parallel.launch`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from coupler.interface.errors import CouplerError
from coupler.interface.parallel import Parallel

T = TypeVar("T")


def together(parallel: Parallel, work: Callable[[], T]) -> T:
    """What `work` returns, once it has returned on every rank.

    Args:
        parallel: the ranks.
        work: what a rank does without speaking to others.

    Raises:
        CouplerError, OSError: on every rank, the one of the first rank that failed.
    """
    if parallel.size == 1:
        return work()
    failure: CouplerError | OSError | None = None
    result: list[T] = []
    try:
        result.append(work())
    except (CouplerError, OSError) as error:
        failure = error
    if parallel.most(failure is not None):
        _raise_first(parallel, failure)
    return result[0]


def _raise_first(parallel: Parallel, own: CouplerError | OSError | None) -> None:
    told = parallel.collect(None if own is None else (type(own), _parts(own)))
    rank = next(r for r, failure in enumerate(told) if failure is not None)
    if rank == parallel.rank and own is not None:
        raise own
    kind, parts = told[rank]
    raise kind(*parts) from own


def _parts(error: CouplerError | OSError) -> tuple[Any, ...]:
    """What an error of its type is made of again."""
    if isinstance(error, CouplerError):
        return error.problems
    return (error.errno, error.strerror or str(error), error.filename)


def from_first(parallel: Parallel, work: Callable[[], T]) -> T:
    """What `work` returns on rank 0, on every rank; the others do not call it.

    Raises:
        CouplerError: on every rank, that of rank 0.
    """
    if parallel.size == 1:
        return work()
    found: list[T] = []

    def first() -> None:
        if parallel.rank == 0:
            found.append(work())

    together(parallel, first)
    result: T = parallel.broadcast(found[0] if found else None)
    return result


def summed(parallel: Parallel, counts: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Counts of all ranks, added; what a rank did not count is 0."""
    total: dict[str, dict[str, int]] = {}
    for rank in parallel.collect(counts):
        for name, own in rank.items():
            so_far = total.setdefault(name, {})
            for key, count in own.items():
                so_far[key] = so_far.get(key, 0) + count
    return total
