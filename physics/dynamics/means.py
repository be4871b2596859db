"""Sums over rows and columns whose bits do not depend on how the globe is shared.

A row is added in four partial sums, always the same ones, in float64; rows are added from south to
north; levels one after the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coupler.interface.jit import njit

Array = NDArray[Any]


@njit()
def row_sums(field: Array, out: Array) -> None:
    """Fills `out` [lat], float64, with the sums over the rows of `field` [lat, lon]."""
    nlat, nlon = field.shape
    for j in range(nlat):
        row = field[j]
        a = b = c = d = 0.0
        for i in range(0, nlon - 3, 4):
            a += np.float64(row[i])
            b += np.float64(row[i + 1])
            c += np.float64(row[i + 2])
            d += np.float64(row[i + 3])
        for i in range(nlon - nlon % 4, nlon):
            a += np.float64(row[i])
        out[j] = (a + b) + (c + d)


@njit()
def row_mean(sums: Array, weights: Array, nlon: int) -> float:
    """Global mean from sums over the rows of the globe, added from south to north.

    Args:
        sums: over each row, [lat].
        weights: Gaussian weights, sum 2, [lat].
        nlon: numbers in each row.
    """
    total = 0.0
    for j in range(sums.size):
        total += weights[j] * sums[j]
    return 0.5 / nlon * total


def column_sum(layers: torch.Tensor) -> torch.Tensor:
    """Sum over levels of [K, lat, lon], level after level for every column alike.

    The sum of torch takes columns at the end of an array in another order than the others.
    """
    # A state that is not finite any more is summed in silence: it is reported elsewhere.
    with np.errstate(invalid="ignore", over="ignore"):
        return torch.from_numpy(layers.cpu().numpy().sum(axis=0)).to(layers.device)
