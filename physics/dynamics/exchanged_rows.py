"""What the grid-space transport needs of other ranks: rows beside its own, and whole meridians.

Differences across the edges of a block of rows need some rows of the neighbours (`Halo`). The sweep
along meridians follows the air over any number of cells and across the poles, level by level; for
it fields are transposed from rows to levels and back (`Levels`), so that one kernel serves one rank
and many. All buffers are kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coupler.interface.parallel import Rows

Array = NDArray[Any]
Index = NDArray[np.intp]


class Halo:
    """Own rows and up to `width` rows on either side of each block of them.

    Args:
        rows: whose rows.
        width: rows on each side.
    """

    def __init__(self, rows: Rows, width: int) -> None:
        self._parallel, size = rows.parallel, rows.parallel.size
        wanted = [_around(rows.by_rank[r], width, rows.nlat) for r in range(size)]
        own = wanted[rows.parallel.rank]
        self.count = rows.own.size + own.size
        self.place = np.full(rows.nlat, -1, np.intp)
        """Where a row of the globe lies in an array of own and neighbouring rows; -1: nowhere."""
        self.place[rows.own] = np.arange(rows.own.size)
        self._gives = [self.place[w[np.isin(w, rows.own)]] for w in wanted]
        takes = [own[np.isin(own, rows.by_rank[r])] for r in range(size)]
        order = np.concatenate(takes).astype(np.intp)
        self.place[order] = rows.own.size + np.arange(order.size)
        self._sizes = [t.size for t in takes]
        self._own = rows.own.size
        self._buffers: tuple[Array, Array] | None = None

    def fill(self, field: Array) -> None:
        """Fetches the neighbouring rows of `field` [K, own rows then others, lon]."""
        if self._parallel.size == 1:
            return
        levels, _, nlon = field.shape
        line = levels * nlon
        if self._buffers is None:
            gives = sum(g.size for g in self._gives)
            self._buffers = (
                np.zeros((gives, levels, nlon), field.dtype),
                np.zeros((sum(self._sizes), levels, nlon), field.dtype),
            )
        sent, received = self._buffers
        for target, row in zip(sent, np.concatenate(self._gives), strict=True):
            target[...] = field[:, row]
        self._parallel.alltoall(
            sent,
            _counts([g.size for g in self._gives], line),
            received,
            _counts(self._sizes, line),
        )
        for n, row in enumerate(received):
            field[:, self._own + n] = row


class Levels:
    """Transposes fields between own rows of all levels and all rows of own levels.

    Args:
        rows: whose rows.
        levels: K, dealt out in turn: the winds of neighbours are about as strong.
    """

    def __init__(self, rows: Rows, levels: int) -> None:
        self._parallel, size = rows.parallel, rows.parallel.size
        self._levels = [slice(r, levels, size) for r in range(size)]
        self._counts = [len(range(r, levels, size)) for r in range(size)]
        self._rows = [rows.by_rank[r] for r in range(size)]
        self._rank = rows.parallel.rank
        self.count = self._counts[self._rank]
        """Levels of this rank."""
        self._buffers: dict[tuple[int, ...], tuple[Array, Array]] = {}

    def _pieces(self, fields: int, nlon: int, dtype: Any) -> tuple[Array, Array, Any, Any]:
        """Memory on the side of rows and of levels, with counts and places by rank."""
        own = self._rows[self._rank].size
        by_rows = [fields * k * own * nlon for k in self._counts]
        by_levels = [fields * self.count * r.size * nlon for r in self._rows]
        key = (fields, nlon)
        if key not in self._buffers:
            self._buffers[key] = np.zeros(sum(by_rows), dtype), np.zeros(sum(by_levels), dtype)
        return *self._buffers[key], _counts(by_rows, 1), _counts(by_levels, 1)

    def to_levels(self, fields: list[Array], out: Array) -> None:
        """Fields [K, own rows, lon] to `out` [field, own levels, lat, lon]."""
        n, _, _, nlon = out.shape
        here, there, sends, receives = self._pieces(n, nlon, out.dtype)
        own = self._rows[self._rank].size
        for at, k, levels in zip(sends[1], self._counts, self._levels, strict=True):
            piece = here[at : at + n * k * own * nlon].reshape(n, k, own, nlon)
            for target, field in zip(piece, fields, strict=True):
                target[...] = field[levels]
        self._parallel.alltoall(here, sends, there, receives)
        for at, rows in zip(receives[1], self._rows, strict=True):
            size = n * self.count * rows.size * nlon
            out[:, :, rows] = there[at : at + size].reshape(n, self.count, rows.size, nlon)

    def to_rows(self, by_level: Array, out: list[Array]) -> None:
        """The inverse of :meth:`to_levels`."""
        n, _, _, nlon = by_level.shape
        here, there, receives, sends = self._pieces(n, nlon, by_level.dtype)
        own = self._rows[self._rank].size
        for at, rows in zip(sends[1], self._rows, strict=True):
            size = n * self.count * rows.size * nlon
            piece = there[at : at + size].reshape(n, self.count, rows.size, nlon)
            piece[...] = by_level[:, :, rows]
        self._parallel.alltoall(there, sends, here, receives)
        for at, k, levels in zip(receives[1], self._counts, self._levels, strict=True):
            piece = here[at : at + n * k * own * nlon].reshape(n, k, own, nlon)
            for source, field in zip(piece, out, strict=True):
                field[levels] = source


def _around(own: Index, width: int, nlat: int) -> Index:
    """Rows within `width` of `own` ones that are not among them, ascending."""
    near = own[:, None] + np.arange(-width, width + 1)
    return np.setdiff1d(near[(near >= 0) & (near < nlat)], own).astype(np.intp)


def _counts(sizes: list[int], each: int) -> tuple[list[int], list[int]]:
    counts = [int(n) * each for n in sizes]
    return counts, [int(x) for x in np.cumsum([0, *counts[:-1]])]
