"""Time means: sum and weight of fields, for what models exchange and for output averages.

    mean = sum_n(dt_n f_n) / sum_n(dt_n)

Of a field that is per area of a part of a cell, such as sea ice, steps count by the fraction a_n of
the cell that the part has; where it had none there is no mean:

    mean = sum_n(dt_n f_n a_n) / sum_n(dt_n a_n)

Sums are float64 whatever the fields are, and are part of a restart: a run that stops inside an
averaging window goes on as if it had not stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coupler.exchange.live import Live, Ranges, can_follow
from coupler.interface.errors import ExchangeError, nearest

Array = NDArray[Any]
F64 = NDArray[np.float64]
Parts = Mapping[str, tuple[str, Array]]
"""Name and live array of the fractions that a field is weighted with, by its name."""
NOWHERE = 1e-9
"""Mean fraction below which a part of a cell was not there."""


class Accumulator:
    """Sums of named fields, each with a weight of its own.

    Fields may be added at different times: each one's mean is over what was added to it. Arrays
    that live as long as the sums are followed (`follow`, `add_live`), faster than giving them at
    each call (`add`).
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], parts: Parts | None = None) -> None:
        """Allocates float64 sums, side by side.

        Args:
            shapes: shape of every field, by name.
            parts: of fields per area of a part of a cell, the fractions, one of the fields
                themselves, in memory that stays.
        """
        self._parts = dict(parts or {})
        sizes = [int(np.prod(shape, dtype=np.int64)) for shape in shapes.values()]
        ends = np.cumsum(sizes, dtype=np.int64).tolist()
        self._all, self._all_weights = np.zeros(sum(sizes)), np.zeros(len(sizes))
        self._at = {name: end - size for name, end, size in zip(shapes, ends, sizes, strict=True)}
        self._sums: dict[str, F64] = {
            name: self._all[end - size : end].reshape(shape)
            for (name, shape), end, size in zip(shapes.items(), ends, sizes, strict=True)
        }
        self._places = {name: i for i, name in enumerate(shapes)}
        self._weights: dict[str, F64] = {
            name: self._all_weights[i : i + 1].reshape(()) for name, i in self._places.items()
        }
        self._scratch: dict[tuple[int, ...], F64] = {s: np.empty(s) for s in set(shapes.values())}
        self._live: list[Live] = []
        self._steady: list[_Steady] = []
        self._weighted = np.zeros(0, np.intp)
        """Fields that every `add_live` gives weight to."""
        self._others: dict[str, Array] = {}

    def follow(
        self,
        arrays: Mapping[str, Array],
        ranges: Ranges | None = None,
        *,
        steady: bool = False,
    ) -> Callable[[], None]:
        """Has `add_live` add these arrays from now on; called for every group of arrays once.

        Args:
            arrays: some of the fields, by name; always the same memory.
            ranges: smallest and largest value of fields that `add_live` is to look at.
            steady: whether the values stay as they are until the function that is returned is
                called. They are then added when they are about to change, for all the time that
                they were there.

        Returns:
            What to call before steady values change.

        Raises:
            ExchangeError: for an unknown field or another shape.
        """
        for name, array in arrays.items():
            self._refuse(name, array)
        plain = {name: a for name, a in arrays.items() if name not in self._parts}
        fast = {name: a for name, a in plain.items() if can_follow(a)}
        self._others |= {name: a for name, a in arrays.items() if name not in fast}
        live = Live(fast, self._all, self._at, {} if steady else ranges or {})
        self._weighted = np.append(self._weighted, [self._places[n] for n in fast]).astype(np.intp)
        if not steady:
            self._live.append(live)
            return lambda: None
        held = _Steady(live)
        self._steady.append(held)
        return held.settle

    def add_live(self, dt: float) -> set[str]:
        """Adds what is followed for `dt` [s]; which fields were found within their ranges."""
        sound: set[str] = set()
        for live in self._live:
            sound |= live.add(dt)
        for held in self._steady:
            held.waiting += dt
        self._all_weights[self._weighted] += dt
        if self._others:
            self.add(self._others, dt)
        return sound

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
            self._refuse(name, array)
            total = self._sums[name]
            part = self._scratch[total.shape]
            np.multiply(array, dt, out=part, dtype=np.float64)
            if name in self._parts:
                part *= self._parts[name][1]
            total += part
            self._weights[name] += dt

    def _refuse(self, name: str, array: Array) -> None:
        total = self._sums[self._known(name)]
        if array.shape != total.shape:
            raise ExchangeError.of(
                "wrong shape to accumulate",
                name,
                expected=str(total.shape),
                found=str(array.shape),
            )

    def mean(self, out: Mapping[str, Array]) -> None:
        """Writes the means of the fields named in `out` into its arrays, NaN where there is none.

        Raises:
            ExchangeError: for an unknown field, or one that nothing was added to.
        """
        for held in self._steady:
            held.settle()
        for name, array in out.items():
            total = self._sums[self._known(name)]
            weight = float(self._weights[name])
            if weight == 0.0:
                raise ExchangeError.of(
                    "no mean of nothing", name, expected="at least one add() since the last reset()"
                )
            part = self._scratch[total.shape]
            if name in self._parts:
                there = self._sums[self._parts[name][0]] > NOWHERE * weight
                part.fill(np.nan)
                np.divide(total, self._sums[self._parts[name][0]], out=part, where=there)
            else:
                np.divide(total, weight, out=part)
            np.copyto(array, part, casting="same_kind")

    def reset(self, names: Iterable[str] | None = None) -> None:
        """Begins a new window for `names`, or for all fields."""
        for held in self._steady:
            held.settle()
        for name in self._sums if names is None else names:
            self._sums[self._known(name)].fill(0.0)
            self._weights[name].fill(0.0)

    def memory(self) -> dict[str, Array]:
        """Live sums and weights for a restart, as ``name.sum`` and ``name.weight``.

        Sums weighted with a fraction are ``name.weighted``. Of steady fields also ``name.waiting``,
        the time for which they are still to be added.
        """
        kinds = {name: "weighted" if name in self._parts else "sum" for name in self._sums}
        sums: dict[str, Array] = {f"{n}.{kinds[n]}": a for n, a in self._sums.items()}
        waiting = {f"{name}.waiting": h.waiting for h in self._steady for name in h.live.names}
        return sums | {f"{name}.weight": a for name, a in self._weights.items()} | waiting

    def may_lack(self) -> tuple[str, ...]:
        """What of it a restart may be without: that of a version that did not wait."""
        return tuple(f"{name}.waiting" for h in self._steady for name in h.live.names)

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave.

        Raises:
            ExchangeError: when a field is missing or has another shape.
        """
        for name, array in self.memory().items():
            given = memory.get(name)
            if given is None and name in self.may_lack():
                given = np.zeros(())
            if given is None or given.shape != array.shape:
                old = name.endswith(".weighted") and f"{name.removesuffix('weighted')}sum" in memory
                remedy = (
                    "go on with the version of Isthmus that wrote it, which weights all steps "
                    "alike, or begin another run from its state with `branch: FOLDER`"
                    if old
                    else "restart with the output fields and grids that the run was started with"
                )
                raise ExchangeError.of(
                    "cannot restore an accumulator",
                    name,
                    expected=f"an array of shape {array.shape}",
                    found="none" if given is None else f"shape {given.shape}",
                    remedy=remedy,
                )
            array[...] = given

    def _known(self, name: str) -> str:
        if name not in self._sums:
            raise ExchangeError.of("unknown field", name, remedy=nearest(name, self._sums))
        return name


class _Steady:
    """Arrays that stay as they are for some time."""

    def __init__(self, live: Live) -> None:
        self.live, self.waiting = live, np.zeros(())

    def settle(self) -> None:
        """Adds them for the time that has passed."""
        if self.waiting:
            self.live.add(float(self.waiting))
            self.waiting.fill(0.0)
