"""What a component may know of the other ranks of its run, and how they share the globe.

A rank owns latitude rows j and nlat - 1 - j together, a *pair*, in two groups of neighbouring pairs
that are dealt out to and fro from the pole to the equator (0, 1, .., n-1, n-1, .., 1, 0), because
schemes have more to do in some climates than in others. Of the spectral side it owns zonal
wavenumbers m, dealt out in the same way, again and again, because a small m has more coefficients
than a large one.

Nothing that is computed may depend on how the globe is shared. Two rules keep it so: every product
and sum is made in units that are the same for any number of ranks (one wavenumber, one row, one
column), and sums over the globe are made from the sums of the rows, in the order of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coupler.interface.errors import ConfigError

Array = NDArray[Any]
Index = NDArray[np.intp]


class Peer(Protocol):
    """Another process of the job: one that serves this one, or is served by it.

    There is at most one message of bytes on its way in each direction. Nothing here waits but
    `hear`, and that only for what was not `heard` of before.
    """

    def tell(self, thing: Any) -> None:
        """Sends a small object."""

    def heard(self) -> bool:
        """Whether an object has come."""

    def hear(self) -> Any:
        """The next object."""

    def send(self, message: Array) -> None:
        """Begins to send bytes; they stay as they are until the other side has answered."""

    def receive(self, message: Array) -> None:
        """Begins to receive into these bytes."""

    def arrived(self) -> bool:
        """Whether the message has come that `receive` waits for."""


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

    def exchange(
        self, sends: Sequence[tuple[int, Array]], receives: Sequence[tuple[int, Array]]
    ) -> None:
        """Sends arrays to other ranks and fills arrays with theirs.

        Args:
            sends, receives: the other rank and a contiguous array; what a rank sends to another
                one arrives in the order in which it is listed.
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

    @property
    def services(self) -> Mapping[str, Peer]:
        """Processes of the same job that serve this run, by what they compute."""


class Alone:
    """The only rank."""

    rank, size = 0, 1
    services: Mapping[str, Peer] = MappingProxyType({})

    def alltoall(
        self,
        send: Array,
        sends: tuple[Sequence[int], Sequence[int]],
        receive: Array,
        receives: tuple[Sequence[int], Sequence[int]],
    ) -> None:
        receive.reshape(-1)[...] = send.reshape(-1)

    def exchange(
        self, sends: Sequence[tuple[int, Array]], receives: Sequence[tuple[int, Array]]
    ) -> None:
        pass  # there is nobody else

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


class Dealt:
    """How the places along one axis of arrays are dealt out to the ranks.

    Attributes:
        parallel: the ranks.
        by_rank: places of each rank, ascending.
        own: places of this rank.
        count: number of all places.
    """

    def __init__(self, parallel: Parallel, by_rank: Sequence[Index]) -> None:
        self.parallel, self.by_rank = parallel, tuple(by_rank)
        self.own = self.by_rank[parallel.rank]
        self._order = np.concatenate(self.by_rank)
        self.count = int(self._order.size)

    def _counts(self, each: int) -> list[int]:
        return [places.size * each for places in self.by_rank]

    def whole(self, part: Array, axis: int) -> Array:
        """The array with all places along `axis`, on every rank, from the own ones."""
        if self.parallel.size == 1:
            return part
        moved = np.ascontiguousarray(np.moveaxis(part, axis, 0))
        found = np.empty((self.count, *moved.shape[1:]), part.dtype)
        self.parallel.allgather(moved, found, self._counts(_each(moved)))
        return self._sorted(found, axis)

    def on_first(self, part: Array, axis: int) -> Array | None:
        """As `whole`, on rank 0 only; None elsewhere."""
        if self.parallel.size == 1:
            return part
        moved = np.ascontiguousarray(np.moveaxis(part, axis, 0))
        first = self.parallel.rank == 0
        found = np.empty((self.count, *moved.shape[1:]), part.dtype) if first else None
        self.parallel.gather(moved, found, self._counts(_each(moved)))
        return None if found is None else self._sorted(found, axis)

    def from_first(self, whole: Array | None, part: Array, axis: int) -> None:
        """Fills `part` with the own places of what rank 0 has."""
        if self.parallel.size == 1:
            assert whole is not None
            part[...] = whole
            return
        moved = np.empty_like(np.ascontiguousarray(np.moveaxis(part, axis, 0)))
        given = None
        if whole is not None:
            given = np.moveaxis(whole, axis, 0)[self._order].astype(part.dtype, order="C")
        self.parallel.scatter(given, moved, self._counts(_each(moved)))
        part[...] = np.moveaxis(moved, 0, axis)

    def _sorted(self, by_rank: Array, axis: int) -> Array:
        places = np.empty_like(by_rank)
        places[self._order] = by_rank
        return np.ascontiguousarray(np.moveaxis(places, 0, axis))


def _each(moved: Array) -> int:
    return int(np.prod(moved.shape[1:], dtype=np.int64))


def _blocks_of_rows(nlat: int, size: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Pairs of rows north and south in two groups for each rank, dealt out to and fro.

    A rank that has rows near the equator also has some near the poles: work that follows the
    climate, as convection does, is shared more evenly.
    """
    if size == 1:
        return (((0, nlat),),)
    pairs = nlat // 2
    groups = 2 * size if pairs >= 2 * size else size
    edges = [pairs * n // groups for n in range(groups + 1)]
    of_all = []
    for rank in range(size):
        own = sorted({rank, groups - 1 - rank} if groups > size else {rank})
        south = [(edges[n], edges[n + 1]) for n in own]
        blocks: list[tuple[int, int]] = []
        for first, end in [*south, *((nlat - b, nlat - a) for a, b in reversed(south))]:
            if blocks and blocks[-1][1] == first:
                first = blocks.pop()[0]
            blocks.append((first, end))
        of_all.append(blocks)
    most = max(len(blocks) for blocks in of_all)
    return tuple((*b, *[(nlat, nlat)] * (most - len(b))) for b in of_all)


class Rows(Dealt):
    """The latitude rows of every rank.

    Attributes:
        nlat: number of latitudes of the globe, even when there is more than one rank.
        blocks: blocks (first row, end) of each rank, by rank, ascending; all have as many, some of
            them empty.
    """

    def __init__(self, *, parallel: Parallel, nlat: int) -> None:
        size, pairs = parallel.size, nlat // 2
        if size > 1 and nlat % 2:
            raise ConfigError.of(
                "grid that ranks cannot share",
                f"{nlat} latitudes",
                expected="an even number",
                remedy="start one rank",
            )
        if size > max(pairs, 1):
            raise ConfigError.of(
                "more ranks than latitude pairs",
                f"{size} ranks",
                expected=f"at most {pairs} for {nlat} latitudes",
                remedy="start fewer ranks, or take a finer grid",
            )
        self.nlat = nlat
        self.blocks = _blocks_of_rows(nlat, size)
        super().__init__(
            parallel,
            [
                np.concatenate([np.arange(a, b, dtype=np.intp) for a, b in blocks])
                for blocks in self.blocks
            ],
        )

    def globe(self, part: Array) -> Array:
        """The field ``[..., lat, lon]`` of the globe, on every rank, from own rows of it."""
        return self.whole(part, -2)

    def each(self, own: Array) -> Array:
        """Numbers of every row of the globe, ``[..., lat]``, from those of own rows."""
        return self.whole(own, -1)

    def columns(self, nlon: int) -> Dealt:
        """The columns of these rows: how arrays ``[..., column]`` are dealt out."""
        along = np.arange(nlon, dtype=np.intp)
        return Dealt(self.parallel, [(r[:, None] * nlon + along).ravel() for r in self.by_rank])


class Spread(Protocol):
    """How an array of a component's memory lies on the ranks."""

    def shape(self, part: Array) -> tuple[int, ...]:
        """Shape of the whole array."""

    def on_first(self, part: Array) -> Array | None:
        """The whole array on rank 0, None elsewhere."""

    def from_first(self, whole: Array | None, part: Array) -> None:
        """Fills `part` on every rank from the whole array of rank 0."""


@dataclass(frozen=True, eq=False)
class Along:
    """Each rank holds its own places along one axis."""

    dealt: Dealt
    axis: int

    def shape(self, part: Array) -> tuple[int, ...]:
        whole = list(part.shape)
        whole[self.axis] = self.dealt.count
        return tuple(whole)

    def on_first(self, part: Array) -> Array | None:
        return self.dealt.on_first(part, self.axis)

    def from_first(self, whole: Array | None, part: Array) -> None:
        self.dealt.from_first(whole, part, self.axis)


@dataclass(frozen=True, eq=False)
class Same:
    """The same on every rank."""

    parallel: Parallel

    def shape(self, part: Array) -> tuple[int, ...]:
        return part.shape

    def on_first(self, part: Array) -> Array | None:
        return part if self.parallel.rank == 0 else None

    def from_first(self, whole: Array | None, part: Array) -> None:
        part[...] = self.parallel.broadcast(whole)


@dataclass(frozen=True, eq=False)
class Counted:
    """Numbers that count over columns: what the ranks have adds up to the whole."""

    parallel: Parallel

    def shape(self, part: Array) -> tuple[int, ...]:
        return part.shape

    def on_first(self, part: Array) -> Array | None:
        total = sum(self.parallel.collect(part), start=np.zeros_like(part))
        return np.asarray(total) if self.parallel.rank == 0 else None

    def from_first(self, whole: Array | None, part: Array) -> None:
        part[...] = 0 if whole is None else whole


def wavenumbers(count: int, parallel: Parallel) -> list[Index]:
    """Zonal wavenumbers 0 .. count - 1 of each rank, ascending, dealt out to and fro."""
    size = parallel.size
    m = np.arange(count, dtype=np.intp)
    turn, place = np.divmod(m, size)
    owner = np.where(turn % 2 == 0, place, size - 1 - place)
    return [m[owner == r] for r in range(size)]
