r"""Blocks of columns side by side: kernels whose inner loop runs over `LANES` columns at one level.

Fields are ``[level, column]``. A kernel takes `LANES` neighbouring columns at a time into float64
scratch ``[level, LANES]`` and does each level for all of them: memory is read in whole cache lines
and the compiler turns the inner loop, whose length it knows, into vector instructions also where
levels depend on each other. What is left of the last block is filled with its last column.

For the compiler to do so,

- functions called in an inner loop are ``njit(inline=True)``, as those of `physics.elementary`;
- an inner loop never writes one row of an array of which it reads another: what one level hands to
  the next is kept in a row of its own (the check that arrays do not overlap, which the compiler
  makes once for all levels, would fail and leave the loop scalar);
- a loop from the ground upward takes its levels from an array (`upward`): the same check fails for
  negative steps;
- values are loaded before they are chosen between, and counted with integers.
"""

from __future__ import annotations

import numpy as np

from coupler.interface.component import Array
from physics.columns.jit import njit

LANES = 32
"""Columns of a block."""


def upward(nlev: int) -> Array:
    """Indices of the levels from the lowest to the highest, shape [level]."""
    return np.arange(nlev)[::-1].copy()


@njit()
def load(field: Array, start: int, out: Array) -> None:
    """Takes columns from `start` on of `field` [level, column] into `out` [level, lane]."""
    n = min(out.shape[1], field.shape[1] - start)
    for k in range(field.shape[0]):
        source, target = field[k, start : start + n], out[k]
        for j in range(n):
            target[j] = source[j]
        for j in range(n, target.size):
            target[j] = source[n - 1]


@njit()
def load_flat(field: Array, start: int, out: Array) -> None:
    """Takes columns from `start` on of `field` [column] into `out` [lane]."""
    n = min(out.size, field.size - start)
    source = field[start : start + n]
    for j in range(n):
        out[j] = source[j]
    for j in range(n, out.size):
        out[j] = source[n - 1]


@njit()
def store(source: Array, start: int, out: Array) -> None:
    """Puts `source` [level, lane] into columns from `start` on of `out` [level, column]."""
    n = min(source.shape[1], out.shape[1] - start)
    for k in range(out.shape[0]):
        row, target = source[k], out[k, start : start + n]
        for j in range(n):
            target[j] = row[j]


@njit()
def store_flat(source: Array, start: int, out: Array) -> None:
    """Puts `source` [lane] into columns from `start` on of `out` [column]."""
    n = min(source.size, out.size - start)
    target = out[start : start + n]
    for j in range(n):
        target[j] = source[j]
