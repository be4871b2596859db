r"""The Legendre stage as matrix products that leave out what is zero or negligible.

Coefficients of wavenumber m have degrees n = m .. T + 1, and P_n^m is negligible where
n < m / cos(phi), near the poles. One product for all m would multiply twice as much as there is.
Wavenumbers are therefore grouped, `STEP` at a time: a group has products of the length, and over
the latitudes, that its lowest wavenumber needs. Which these are depends on m alone, so that every
share of the wavenumbers gives the same bits (see ``transform``).

Negligible is what is below ``NEGLIGIBLE`` of the largest entry of the table: under a hundredth of
the rounding of the type, with its square root's worth of terms.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

Tensor = torch.Tensor
Float64 = npt.NDArray[np.float64]

STEP = 16
NEGLIGIBLE = {torch.float32: 1e-12, torch.float64: 1e-20}
"""Of the largest entry. In float32 products of smaller numbers are denormal, and slow."""


class LegendreProducts:
    """Products with the associated Legendre functions, for the CPU without gradients.

    Args:
        table: P of all wavenumbers [1], shape [T+1, T+2 (l), lat].
        wavenumbers: m of this rank, ascending.
        synthesis: P of this rank's wavenumbers, shape [m, lat, l].
        analysis: P times half the Gaussian weight, shape [m, lat, l].
    """

    def __init__(
        self,
        *,
        table: Float64,
        wavenumbers: npt.NDArray[np.int_],
        synthesis: Tensor,
        analysis: Tensor,
    ) -> None:
        size_l = table.shape[1]
        limit = NEGLIGIBLE[synthesis.dtype] * np.abs(table).max()
        lengths = np.minimum(-(-(size_l - np.arange(table.shape[0])) // STEP) * STEP, size_l)
        self._groups: list[tuple[slice, slice, int, Tensor, Tensor]] = []
        for length in dict.fromkeys(lengths.tolist()):
            members = np.flatnonzero(lengths == length)
            own = np.flatnonzero(np.isin(wavenumbers, members))
            if own.size:
                seen = np.flatnonzero((np.abs(table[members]) > limit).any((0, 1)))
                rows = slice(int(seen[0]), int(seen[-1]) + 1)
                m = slice(int(own[0]), int(own[-1]) + 1)
                tables = synthesis[m, rows, :length], analysis[m, rows, :length]
                self._groups.append((m, rows, length, *tables))
        self._known: dict[tuple[int, torch.Size], list[Tensor]] = {}

    def _parts(self, fourier: Tensor) -> list[Tensor]:
        """[m, lat, 2 field] of each group: for a few arrays that are used again and again."""
        key = fourier.data_ptr(), fourier.shape
        if key not in self._known:
            self._known[key] = [fourier[rows, m].transpose(0, 1) for m, rows, *_ in self._groups]
        return self._known[key]

    def synthesis(self, spec: Tensor, out: Tensor) -> None:
        """Fourier coefficients at every latitude.

        Args:
            spec: shape [m, 2 field, l].
            out: shape [lat, m, 2 field], zero where nothing is written, as it was at first; to be
                kept, as the other one is.
        """
        for (m, _, length, table, _), target in zip(self._groups, self._parts(out), strict=True):
            torch.bmm(table, spec[m, :, :length].mT, out=target)

    def analysis(self, fourier: Tensor, out: Tensor) -> None:
        """Coefficients by Gaussian quadrature.

        Args:
            fourier: shape [lat, m, 2 field].
            out: shape [m, 2 field, l], zero where nothing is written, as it was at first.
        """
        parts = self._parts(fourier)
        for (m, _, length, _, table), part in zip(self._groups, parts, strict=True):
            torch.bmm(part.mT, table, out=out[m, :, :length])
