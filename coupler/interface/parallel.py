"""What a component may know of the other ranks of its run, and how the globe is shared among them.

A rank owns latitude rows j and nlat - 1 - j together, a *pair*, and pairs that lie side by side: a
block of rows in the south and its mirror image in the north. Of the spectral side it owns zonal
wavenumbers m, dealt out to and fro (0, 1, .., n-1, n-1, .., 1, 0, 0, 1, ..) because a small m has
more coefficients than a large one.

Nothing that is computed may depend on how the globe is shared. Two rules keep it so: every product
and sum is made in units that are the same for any number of ranks (one wavenumber, one row, one
column), and sums over the globe are made from the sums of the rows, in the order of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coupler.interface.errors import ConfigError

Array = NDArray[Any]
Index = NDArray[np.intp]


class Parallel(Protocol):
    """The ranks of a run. Every method is called by all of them, in the same order."""

    @property
    def rank(self) -> int:
        """Number of this rank, from 0."""

    @property
    def size(self) -> int:
        """How many there are."""

    def alltoall(
        self,
        send: Array,
        sends: tuple[Sequence[int], Sequence[int]],
        receive: Array,
        receives: tuple[Sequence[int], Sequence[int]],
    ) -> None:
        """Moves a piece of `send` to every rank and fills `receive` with theirs.

        Args:
            send, receive: contiguous arrays of one type.
            sends, receives: numbers and first positions of elements, by rank.
        """

    def allgather(self, part: Array, whole: Array, counts: Sequence[int]) -> None:
        """Fills `whole` on every rank with the contiguous parts, `counts` elements by rank."""

    def gather(self, part: Array, whole: Array | None, counts: Sequence[int]) -> None:
        """As `allgather`, on rank 0 only; the others give None."""

    def scatter(self, whole: Array | None, part: Array, counts: Sequence[int]) -> None:
        """Fills `part` on every rank from the `whole` of rank 0."""

    def broadcast(self, thing: Any) -> Any:
        """What rank 0 gave, on every rank; any object."""

    def collect(self, thing: Any) -> list[Any]:
        """What every rank gave, on every rank; any small objects."""

    def most(self, value: int) -> int:
        """The largest of the values that the ranks give."""


class Alone:
    """The only rank."""

    rank, size = 0, 1

    def alltoall(
        self,
        send: Array,
        sends: tuple[Sequence[int], Sequence[int]],
        receive: Array,
        receives: tuple[Sequence[int], Sequence[int]],
    ) -> None:
        receive.reshape(-1)[...] = send.reshape(-1)

    def allgather(self, part: Array, whole: Array, counts: Sequence[int]) -> None:
        whole.reshape(-1)[...] = part.reshape(-1)

    def gather(self, part: Array, whole: Array | None, counts: Sequence[int]) -> None:
        if whole is not None:
            whole.reshape(-1)[...] = part.reshape(-1)

    def scatter(self, whole: Array | None, part: Array, counts: Sequence[int]) -> None:
        if whole is not None:
            part.reshape(-1)[...] = whole.reshape(-1)

    def broadcast(self, thing: Any) -> Any:
        return thing

    def collect(self, thing: Any) -> list[Any]:
        return [thing]

    def most(self, value: int) -> int:
        return value


ALONE = Alone()


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """The latitude rows of every rank.

    Attributes:
        parallel: the ranks.
        nlat: number of latitudes of the globe, even when there is more than one rank.
    """

    parallel: Parallel
    nlat: int

    def __post_init__(self) -> None:
        size, pairs = self.parallel.size, self.nlat // 2
        if size > 1 and size > pairs:
            raise ConfigError.of(
                "more ranks than latitude pairs",
                f"{size} ranks",
                expected=f"at most {pairs} for {self.nlat} latitudes",
                remedy="start fewer ranks, or take a finer grid",
            )
        if size > 1 and self.nlat % 2:
            raise ConfigError.of(
                "grid that ranks cannot share",
                f"{self.nlat} latitudes",
                expected="an even number",
                remedy="start one rank",
            )

    @cached_property
    def blocks(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Blocks (first row, end) of each rank, by rank: one if it is alone, else two."""
        size, pairs = self.parallel.size, self.nlat // 2
        if size == 1:
            return (((0, self.nlat),),)
        edges = [pairs * r // size for r in range(size + 1)]
        return tuple(
            ((first, end), (self.nlat - end, self.nlat - first)) for first, end in pairwise(edges)
        )

    def of(self, rank: int) -> Index:
        """Rows of a rank, south to north."""
        return np.concatenate([np.arange(a, b, dtype=np.intp) for a, b in self.blocks[rank]])

    @cached_property
    def own(self) -> Index:
        """Rows of this rank, south to north."""
        return self.of(self.parallel.rank)

    @cached_property
    def _order(self) -> Index:
        """All rows in the order of the ranks that own them."""
        return np.concatenate([self.of(r) for r in range(self.parallel.size)])

    def _counts(self, each: int) -> list[int]:
        return [self.of(r).size * each for r in range(self.parallel.size)]

    def whole(self, part: Array) -> Array:
        """The field of the globe ``[..., lat, lon]`` on every rank, from own rows of it."""
        if self.parallel.size == 1:
            return part
        moved = np.ascontiguousarray(np.moveaxis(part, -2, 0))
        found = np.empty((self.nlat, *moved.shape[1:]), part.dtype)
        self.parallel.allgather(moved, found, self._counts(moved[0].size))
        return self._sorted(found)

    def on_first(self, part: Array) -> Array | None:
        """As `whole`, on rank 0 only; None elsewhere."""
        if self.parallel.size == 1:
            return part
        moved = np.ascontiguousarray(np.moveaxis(part, -2, 0))
        first = self.parallel.rank == 0
        found = np.empty((self.nlat, *moved.shape[1:]), part.dtype) if first else None
        self.parallel.gather(moved, found, self._counts(moved[0].size))
        return None if found is None else self._sorted(found)

    def from_first(self, whole: Array | None, part: Array) -> None:
        """Fills `part`, own rows ``[..., lat, lon]``, from the globe's field on rank 0."""
        if self.parallel.size == 1:
            assert whole is not None
            part[...] = whole
            return
        moved = np.empty((part.shape[-2], *part.shape[:-2], part.shape[-1]), part.dtype)
        given = None
        if whole is not None:
            given = np.ascontiguousarray(
                np.moveaxis(whole, -2, 0)[self._order].astype(part.dtype, copy=False)
            )
        self.parallel.scatter(given, moved, self._counts(moved[0].size))
        part[...] = np.moveaxis(moved, 0, -2)

    def _sorted(self, by_rank: Array) -> Array:
        sorted_rows = np.empty_like(by_rank)
        sorted_rows[self._order] = by_rank
        return np.moveaxis(sorted_rows, 0, -2)

    def rows_of_all(self, own: Array) -> Array:
        """Numbers of every row of the globe, ``[..., lat]``, from those of own rows."""
        return own if self.parallel.size == 1 else self.whole(own[..., None])[..., 0]


def wavenumbers(count: int, parallel: Parallel) -> list[Index]:
    """Zonal wavenumbers 0 .. count - 1 of each rank, ascending, dealt out to and fro."""
    size = parallel.size
    m = np.arange(count, dtype=np.intp)
    turn, place = np.divmod(m, size)
    owner = np.where(turn % 2 == 0, place, size - 1 - place)
    return [m[owner == r] for r in range(size)]
