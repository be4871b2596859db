"""A rank's part of the spectral transform, and how Fourier coefficients change hands.

Between the Legendre stage, which a rank does for its wavenumbers at all latitudes, and the
longitude stage, which it does for its rows with all wavenumbers, ``[lat, m, 2 field]`` is
transposed over the ranks, a block of each rank's rows at a time. On the Legendre side a block for a
rank lies together; on the other side wavenumbers are interleaved, so that one copy in memory puts
them in order. All buffers are kept.

Source: Foster, I. T. and P. H. Worley (1997), SIAM J. Sci. Comput. 18, 806-837,
doi:10.1137/S1064827594266891 (parallel spectral transforms by transposition).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coupler.interface.jit import njit
from coupler.interface.parallel import Dealt, Parallel, Rows, wavenumbers

Array = NDArray[Any]


class Share:
    """The rows and wavenumbers of this rank, and the transposition between them.

    Args:
        parallel: the ranks.
        truncation: T.
        nlat: number of latitudes of the globe.

    Raises:
        ConfigError: for more ranks than latitude pairs.
    """

    def __init__(self, *, parallel: Parallel, truncation: int, nlat: int) -> None:
        self.parallel = parallel
        self.rows = Rows(parallel=parallel, nlat=nlat)
        self.dealt = Dealt(parallel, wavenumbers(truncation + 1, parallel))
        self.wavenumbers = self.dealt.own
        self._order = np.concatenate(self.dealt.by_rank)
        """All wavenumbers in the order of the ranks that own them."""
        self._sizes = [m.size for m in self.dealt.by_rank]
        self._sizes_array = np.array(self._sizes, np.intp)
        self._buffers: dict[tuple[int, Any], Array] = {}
        self._known_moves: dict[tuple[int, int], tuple[Any, Any]] = {}

    def _buffer(self, size: int, dtype: Any) -> Array:
        key = (size, dtype)
        if key not in self._buffers:
            self._buffers[key] = np.zeros(size, dtype)
        return self._buffers[key]

    def _moves(self, block: int, fields: int) -> tuple[Any, Any]:
        """Counts and first positions of a block of rows on both sides of the transposition.

        Args:
            block: number of it, from the south.
            fields: numbers for each row and wavenumber.

        Returns:
            for ``[lat, own m, fields]`` and for the pieces ``rank [own row, m of rank, fields]``.
            What a rank keeps is not among them.
        """
        if (block, fields) not in self._known_moves:
            rank, size = self.parallel.rank, self.parallel.size
            edges = [self.rows.blocks[r][block] for r in range(size)]
            line = self._sizes[rank] * fields
            legendre = [(b - a) * line for a, b in edges], [a * line for a, _ in edges]
            own = edges[rank][1] - edges[rank][0]
            counts = [own * m * fields for m in self._sizes]
            counts[rank] = legendre[0][rank] = 0
            firsts = [int(x) for x in np.cumsum([0, *counts[:-1]])]
            self._known_moves[block, fields] = legendre, (counts, firsts)
        return self._known_moves[block, fields]

    def to_rows(self, by_m: Array, out: Array) -> None:
        """Own wavenumbers of all rows to all wavenumbers of own rows.

        Args:
            by_m: [lat, own m, 2 field].
            out: [own row, T+1, 2 field].
        """
        fields, first = out.shape[2], 0
        for block, (start, stop) in enumerate(self.rows.blocks[self.parallel.rank]):
            here = out[first : first + stop - start]
            pieces = self._buffer(here.size, here.dtype)
            sent, received = self._moves(block, fields)
            self.parallel.alltoall(by_m, sent, pieces, received)
            kept = by_m[start:stop]
            _deal(pieces, kept, self.parallel.rank, self._order, self._sizes_array, here)
            first += stop - start

    def to_wavenumbers(self, by_row: Array, out: Array) -> None:
        """The inverse of :meth:`to_rows`.

        Args:
            by_row: [own row, T+1, 2 field].
            out: [lat, own m, 2 field].
        """
        fields, first = by_row.shape[2], 0
        for block, (start, stop) in enumerate(self.rows.blocks[self.parallel.rank]):
            here = by_row[first : first + stop - start]
            pieces = self._buffer(here.size, here.dtype)
            kept = out[start:stop]
            _gather(here, self._order, self._sizes_array, pieces, self.parallel.rank, kept)
            received, sent = self._moves(block, fields)
            self.parallel.alltoall(pieces, sent, out, received)
            first += stop - start


@njit()
def _deal(pieces: Array, kept: Array, rank: int, order: Array, sizes: Array, out: Array) -> None:
    """Pieces ``other rank [row, m of rank, field]`` and `kept` [row, own m, field] into `out`."""
    rows, _, fields = out.shape
    at, first = 0, 0
    for r in range(sizes.size):
        for j in range(rows):
            for k in range(sizes[r]):
                target = out[j, order[first + k]]
                if r == rank:
                    source = kept[j, k]
                else:
                    source = pieces[at : at + fields]
                    at += fields
                for i in range(fields):
                    target[i] = source[i]
        first += sizes[r]


@njit()
def _gather(
    by_row: Array, order: Array, sizes: Array, pieces: Array, rank: int, kept: Array
) -> None:
    """The inverse of :func:`_deal`."""
    rows, _, fields = by_row.shape
    at, first = 0, 0
    for r in range(sizes.size):
        for j in range(rows):
            for k in range(sizes[r]):
                source = by_row[j, order[first + k]]
                if r == rank:
                    target = kept[j, k]
                else:
                    target = pieces[at : at + fields]
                    at += fields
                for i in range(fields):
                    target[i] = source[i]
        first += sizes[r]
