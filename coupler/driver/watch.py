"""The blow-up detector: finite and within the plausible range, at every step.

A violation is reported with component, variable, level, point and step, and leaves a restart file
from before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from coupler.interface.component import Array
from coupler.interface.errors import UnstableError
from coupler.interface.fields import FIELDS, STATE
from coupler.interface.grid import Grid

_LARGE_RATE = {"ua": 0.1, "va": 0.1, "ta": 0.1, "hus": 1e-4}
"""A tendency beyond this [SI per s] is named as the likely culprit (0.1 K/s is 8640 K/day)."""


def first_violation(name: str, array: Array) -> tuple[int, float] | None:
    """Flat index and value of the first point outside the plausible range, or None.

    NaN compares false with everything, so one pair of reductions sees all three cases.
    """
    valid = FIELDS[name].valid
    low, high = valid if valid is not None else (-np.inf, np.inf)
    if array.min() >= low and array.max() <= high:
        return None
    flat = np.asarray(array).reshape(-1)
    bad = ~((flat >= low) & (flat <= high))
    index = int(np.argmax(bad))
    return index, float(flat[index])


def check_state(
    state: Mapping[str, Array],
    rates: Callable[[], Mapping[str, Mapping[str, Array]]],
    grid: Grid,
    step: int,
    date: object,
) -> None:
    """Raises when the state has left the range in which it means anything.

    Args:
        state: fields ``[level, ...]`` or ``[...]`` over the columns of `grid`.
        rates: gives the last tendencies by component, to name the one that did it.
        grid: where the columns are.
        step: number of the step that gave this state.
        date: its date, for the message.

    Raises:
        UnstableError: naming component, variable, level, point and step.
    """
    for name, array in state.items():
        violation = first_violation(name, array)
        if violation is None:
            continue
        index, value = violation
        level, column = divmod(index, grid.ncol)
        j, i = divmod(column, grid.lon.size)
        where = f"level {level}, " if array.size > grid.ncol else ""
        valid = FIELDS[name].valid
        raise UnstableError.of(
            "the model state blew up",
            name,
            expected=f"{valid[0]:g} to {valid[1]:g} {FIELDS[name].units}" if valid else "a number",
            found=f"{value:g} at {where}lat {grid.lat[j]:.1f}, lon {grid.lon[i]:.1f}, "
            f"step {step}, date {date}, component {culprit(rates())}",
            remedy="continue from the last good restart with a shorter atmosphere.dt, or swap or "
            "shadow the named component",
        )


def culprit(rates: Mapping[str, Mapping[str, Array]]) -> str:
    """The component whose last tendency is not finite or far too large; else the dynamics."""
    worst, name = 0.0, "atmosphere (dynamics)"
    for component, of in rates.items():
        for variable, rate in of.items():
            size = float(np.abs(rate).max()) / _LARGE_RATE[variable]
            if not np.isfinite(size):
                return component
            if size > max(worst, 1.0):
                worst, name = size, component
    return name


WATCHED = (*STATE, "ps")
