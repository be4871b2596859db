"""Time means: sum and weight of fields, for what models exchange and for output averages.

    mean = sum_n(dt_n f_n) / sum_n(dt_n)

Sums are float64 whatever the fields are, and are part of a restart: a run that stops inside an
averaging window goes on as if it had not stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coupler.interface.errors import ExchangeError, nearest
from coupler.interface.jit import njit

Array = NDArray[Any]
F64 = NDArray[np.float64]


class Accumulator:
    """Sums of named fields, each with a weight of its own.

    Fields may be added at different times: each one's mean is over what was added to it.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Allocates float64 sums.

        Args:
            shapes: shape of every field, by name.
        """
        self._sums: dict[str, F64] = {name: np.zeros(shape) for name, shape in shapes.items()}
        self._weights: dict[str, F64] = {name: np.zeros(()) for name in shapes}
        self._scratch: dict[tuple[int, ...], F64] = {s: np.empty(s) for s in set(shapes.values())}
        self._flat: dict[str, tuple[Array, Array, F64]] = {}
        """The array that was last added to each field, seen as a line, and its sum as one."""

    @property
    def names(self) -> tuple[str, ...]:
        """The accumulated fields."""
        return tuple(self._sums)

    def weight(self, name: str) -> float:
        """Time over which `name` was accumulated since the last reset [s]."""
        return float(self._weights[self._known(name)])

    def add(self, arrays: Mapping[str, Array], dt: float) -> None:
        """Adds fields that held for `dt` [s].

        Args:
            arrays: some or all of the fields, by name, in the shapes given at the start.
            dt: positive time [s].

        Raises:
            ExchangeError: for an unknown field, another shape or a time that is not positive.
        """
        if not dt > 0.0:
            raise ExchangeError.of(
                "cannot accumulate over this time", f"dt = {dt} s", expected="a positive time"
            )
        for name, array in arrays.items():
            known = self._flat.get(name)
            if known is not None and known[0] is array:  # live arrays are the same at every call
                _add(known[1], dt, known[2])
                self._weights[name] += dt
                continue
            total = self._sums[self._known(name)]
            if array.shape != total.shape:
                raise ExchangeError.of(
                    "wrong shape to accumulate",
                    name,
                    expected=str(total.shape),
                    found=str(array.shape),
                )
            if array.flags.c_contiguous and array.dtype in (np.float32, np.float64):
                self._flat[name] = array, array.reshape(-1), total.reshape(-1)
                _add(self._flat[name][1], dt, self._flat[name][2])
            else:
                part = self._scratch[total.shape]
                np.multiply(array, dt, out=part, dtype=np.float64)
                total += part
            self._weights[name] += dt

    def mean(self, out: Mapping[str, Array]) -> None:
        """Writes the means of the fields named in `out` into its arrays.

        Raises:
            ExchangeError: for an unknown field, or one that nothing was added to.
        """
        for name, array in out.items():
            total = self._sums[self._known(name)]
            weight = float(self._weights[name])
            if weight == 0.0:
                raise ExchangeError.of(
                    "no mean of nothing", name, expected="at least one add() since the last reset()"
                )
            part = self._scratch[total.shape]
            np.divide(total, weight, out=part)
            np.copyto(array, part, casting="same_kind")

    def reset(self, names: Iterable[str] | None = None) -> None:
        """Begins a new window for `names`, or for all fields."""
        for name in self._sums if names is None else names:
            self._sums[self._known(name)].fill(0.0)
            self._weights[name].fill(0.0)

    def memory(self) -> dict[str, Array]:
        """Live sums and weights for a restart, as ``name.sum`` and ``name.weight``."""
        sums: dict[str, Array] = {f"{name}.sum": a for name, a in self._sums.items()}
        return sums | {f"{name}.weight": a for name, a in self._weights.items()}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave.

        Raises:
            ExchangeError: when a field is missing or has another shape.
        """
        for name, array in self.memory().items():
            given = memory.get(name)
            if given is None or given.shape != array.shape:
                raise ExchangeError.of(
                    "cannot restore an accumulator",
                    name,
                    expected=f"an array of shape {array.shape}",
                    found="none" if given is None else f"shape {given.shape}",
                    remedy="restart with the output fields and grids that the run was started with",
                )
            array[...] = given

    def _known(self, name: str) -> str:
        if name not in self._sums:
            raise ExchangeError.of("unknown field", name, remedy=nearest(name, self._sums))
        return name


@njit()
def _add(array: Array, dt: float, total: F64) -> None:
    """``total += dt array`` in one pass, each rounded as by itself."""
    for i in range(total.size):
        total[i] += dt * np.float64(array[i])
