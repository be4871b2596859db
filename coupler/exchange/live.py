"""Sums over time of live arrays, all of them in one compiled pass.

Arrays that stay in their place from step to step are known to the pass by their addresses: a call
costs the same for one field as for sixty. What is read is looked at too: how many of its numbers
lie outside of a range costs nothing beside the reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from coupler.interface.jit import njit

Array = NDArray[Any]
F64 = NDArray[np.float64]
Ranges = Mapping[str, tuple[float, float]]


def can_follow(array: Array) -> bool:
    """Whether an array is of a kind that `Live` knows."""
    return bool(array.flags.c_contiguous) and array.dtype in (np.float32, np.float64)


class Live:
    """Some arrays and the places of a buffer where they are summed."""

    def __init__(
        self, arrays: Mapping[str, Array], sums: F64, at: Mapping[str, int], ranges: Ranges
    ) -> None:
        """Binds them.

        Args:
            arrays: by name, all such that `can_follow`; kept alive, and never to be moved.
            sums: the buffer.
            at: first position in the buffer, by name.
            ranges: smallest and largest value of fields that are to be looked at.
        """
        self.names = tuple(arrays)
        self._arrays, self._sums = dict(arrays), sums
        rows = [
            (a.__array_interface__["data"][0], a.size, at[n], a.dtype.itemsize, n in ranges)
            for n, a in arrays.items()
        ]
        self._table = np.array(rows, np.int64).reshape(-1, 5)
        everything = (-np.inf, np.inf)
        self._ranges = np.array([ranges.get(n, everything) for n in arrays]).reshape(-1, 2)
        self._outside = np.zeros(len(rows), np.int64)
        self._looked_at = [(i, n) for i, n in enumerate(self.names) if n in ranges]

    def add(self, dt: float) -> set[str]:
        """Adds the present values times `dt` [s]; which fields are within their ranges."""
        _add(self._table, self._ranges, dt, self._sums, self._outside)
        return {name for i, name in self._looked_at if not self._outside[i]}


def _pointer_to(kind: Any) -> Any:
    """A function for compiled code: an address as a pointer to `kind`."""

    def pointer(context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            target = context.get_value_type(signature.return_type)
            return builder.inttoptr(arguments[0], target)

        known: Any = types
        return known.CPointer(kind)(address), generate

    return intrinsic(pointer)


_single, _double = _pointer_to(types.float32), _pointer_to(types.float64)
_array: Any = numba.__dict__["carray"]


@njit(allocates=True)
def _add(table: Array, ranges: Array, dt: float, sums: F64, outside: Array) -> None:
    for n in range(table.shape[0]):
        address, size, begin = table[n, 0], table[n, 1], table[n, 2]
        target, low, high = sums[begin : begin + size], ranges[n, 0], ranges[n, 1]
        if table[n, 3] == 4:
            single = _array(_single(address), size)
            if table[n, 4]:
                outside[n] = _add_and_look(single, dt, target, low, high)
            else:
                _add_one(single, dt, target)
        else:
            double = _array(_double(address), size)
            if table[n, 4]:
                outside[n] = _add_and_look(double, dt, target, low, high)
            else:
                _add_one(double, dt, target)


@njit()
def _add_one(array: Array, dt: float, total: F64) -> None:
    """``total += dt array``, each rounded as by itself."""
    for i in range(total.size):
        total[i] += dt * np.float64(array[i])


@njit()
def _add_and_look(array: Array, dt: float, total: F64, low: float, high: float) -> int:
    """The same, and how many numbers are out of range. NaN compares false with everything."""
    outside = 0
    for i in range(total.size):
        value = np.float64(array[i])
        total[i] += dt * value
        outside += 0 if low <= value <= high else 1
    return outside
