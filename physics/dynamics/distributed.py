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
_Mail = list[tuple[int, Array]]
"""Arrays and the other rank that they go to or come from."""


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
        self._pieces: dict[tuple[int, Any], Array] = {}
        self._known: dict[tuple[int, tuple[int, ...]], tuple[_Mail, _Mail, list[Array]]] = {}

    def _mail(self, by_m: Array) -> tuple[_Mail, _Mail, list[Array]]:
        """What goes to whom, or comes from whom, when the Fourier coefficients change hands.

        Args:
            by_m: [lat, own m, 2 field], used again and again.

        Returns:
            parts ``[row of rank, own m, 2 field]`` of `by_m` by other rank; parts
            ``[own row, m of rank, 2 field]`` of memory in between by other rank; the latter memory
            of each block of own rows.
        """
        key = by_m.ctypes.data, by_m.shape
        if key not in self._known:
            rank, blocks, fields = self.parallel.rank, self.rows.blocks, by_m.shape[2]
            others = [r for r in range(self.parallel.size) if r != rank]
            legendre = [(r, by_m[a:b]) for r in others for a, b in blocks[r] if b > a]
            line = sum(self._sizes) * fields
            size = self.rows.own.size * line
            flat = self._pieces.setdefault((size, by_m.dtype), np.zeros(size, by_m.dtype))
            rows: _Mail = []
            of_blocks, first = [], 0
            for start, stop in blocks[rank]:
                of_blocks.append(flat[first : first + (stop - start) * line])
                first += (stop - start) * line
                at = 0
                for r in others:
                    part = (stop - start) * self._sizes[r] * fields
                    if part:
                        rows.append((r, of_blocks[-1][at : at + part]))
                    at += part
            self._known[key] = legendre, rows, of_blocks
        return self._known[key]

    def to_rows(self, by_m: Array, out: Array) -> None:
        """Own wavenumbers of all rows to all wavenumbers of own rows.

        Args:
            by_m: [lat, own m, 2 field], used again and again.
            out: [own row, T+1, 2 field].
        """
        sent, received, pieces = self._mail(by_m)
        self.parallel.exchange(sent, received)
        rank, first = self.parallel.rank, 0
        for (start, stop), piece in zip(self.rows.blocks[rank], pieces, strict=True):
            here, kept = out[first : first + stop - start], by_m[start:stop]
            _deal(piece, kept, rank, self._order, self._sizes_array, here)
            first += stop - start

    def to_wavenumbers(self, by_row: Array, out: Array) -> None:
        """The inverse of :meth:`to_rows`.

        Args:
            by_row: [own row, T+1, 2 field].
            out: [lat, own m, 2 field], used again and again.
        """
        received, sent, pieces = self._mail(out)
        rank, first = self.parallel.rank, 0
        for (start, stop), piece in zip(self.rows.blocks[rank], pieces, strict=True):
            here, kept = by_row[first : first + stop - start], out[start:stop]
            _gather(here, self._order, self._sizes_array, piece, rank, kept)
            first += stop - start
        self.parallel.exchange(sent, received)


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
