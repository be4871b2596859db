"""Arrays between ``[level, column]`` and ``[column, level]``, transposed and cast in one pass.

Sixteen columns at a time: a cache line of float32 is read whole at each level, and the lines that
are written stay in the cache until they are full.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from coupler.interface.component import Array
from coupler.interface.jit import njit

_BLOCK = 16


@njit()
def to_columns(source: Array, out: Array) -> None:
    """Fills `out` [column, level] from `source` [level, column]."""
    nlev, ncol = source.shape
    for start in range(0, ncol, _BLOCK):
        stop = min(start + _BLOCK, ncol)
        for k in range(nlev):
            for i in range(start, stop):
                out[i, k] = source[k, i]


@njit()
def to_levels(source: Array, out: Array) -> None:
    """Fills `out` [level, column] from `source` [column, level]."""
    ncol, nlev = source.shape
    for start in range(0, ncol, _BLOCK):
        stop = min(start + _BLOCK, ncol)
        for k in range(nlev):
            for i in range(start, stop):
                out[k, i] = source[i, k]


@cache
def each_column(arguments: int) -> Any:
    """A compiled loop that calls a routine of so many pointer arguments once for each column.

    The loop takes the routine, as a ctypes function, the address of each argument for column 0, the
    bytes to the next column's [argument], and how many columns there are.
    """
    import numba
    from numba.np.unsafe import ndarray

    to_fixed_tuple: Any = ndarray.to_fixed_tuple  # an intrinsic: its stub lacks the second argument

    def loop(routine: Any, base: Array, stride: Array, ncol: int) -> None:
        for i in range(ncol):
            routine(*to_fixed_tuple(base + np.uint64(i) * stride, arguments))

    return numba.njit(loop)


def pointer_routine(address: int, arguments: int) -> Any:
    """The routine at `address` as a ctypes function of so many pointers, passed as integers."""
    return ctypes.CFUNCTYPE(None, *[ctypes.c_size_t] * arguments)(address)
