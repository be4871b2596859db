"""What the guard looks at in every column, one pass over each field: kernels."""

from __future__ import annotations

import numba
import numpy as np

from coupler.interface.component import Array
from coupler.interface.jit import njit

BLOCK = 256
"""Columns done side by side."""


@njit(parallel=True)
def widen_distance(x: Array, low: Array, high: Array, per_range: Array, worst: Array) -> None:
    """``worst <- max(worst, (x - high) per_range, (low - x) per_range)``; NaN stays NaN.

    Args:
        x: shape [level, column].
        low, high, per_range: of the training values, shape [level].
        worst: changed, shape [column].
    """
    nlev, ncol = x.shape
    for block in numba.prange((ncol + BLOCK - 1) // BLOCK):
        start = block * BLOCK
        stop = min(start + BLOCK, ncol)
        for k in range(nlev):
            a, b, s = low[k], high[k], per_range[k]
            for i in range(start, stop):
                d = max(x[k, i] - b, a - x[k, i]) * s
                if d > worst[i] or d != d:
                    worst[i] = d


@njit(parallel=True)
def largest(x: Array, size: Array) -> None:
    """Largest |x| of each column in `size`, shape [column]; NaN stays NaN."""
    nlev, ncol = x.shape
    for block in numba.prange((ncol + BLOCK - 1) // BLOCK):
        start = block * BLOCK
        stop = min(start + BLOCK, ncol)
        size[start:stop] = 0.0
        for k in range(nlev):
            for i in range(start, stop):
                d = np.abs(x[k, i])
                if d > size[i] or d != d:
                    size[i] = d
