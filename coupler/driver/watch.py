"""The blow-up detector: finite and within the plausible range, at every step.

A violation is reported with component, variable, level, point and step, and leaves a restart file
from before it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from coupler.interface.component import Array
from coupler.interface.errors import Problem, UnstableError
from coupler.interface.fields import FIELDS, SMALL_STATE, STATE
from coupler.interface.grid import Grid
from coupler.interface.jit import njit

_LARGE_RATE = {"ua": 0.1, "va": 0.1, "ta": 0.1, "hus": 1e-4}
"""A tendency beyond this [SI per s] is named as the likely culprit (0.1 K/s is 8640 K/day)."""

DYNAMICS = "atmosphere (dynamics)"
"""Whom nobody else can be blamed for."""


def large_rate(variable: str) -> float:
    """A tracer does nothing to the flow: only a rate that is not finite is to blame."""
    return _LARGE_RATE.get(variable, np.inf)


BLEW_UP = "the model state blew up"
NO_LONGER_FINITE = "the state is no longer finite"
"""What dynamics say that fail; they know no component and no date."""
_REMEDY = (
    "continue from the last good restart with a shorter atmosphere.dt, or swap or shadow the named "
    "component"
)


def inside(array: Array, low: float, high: float) -> bool:
    """Whether all values lie within these bounds, in one pass; NaN does not."""
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    return bool(_outside(array.reshape(-1), low, high) == 0)


@njit()
def _outside(values: Array, low: float, high: float) -> int:
    """Number of values out of bounds. NaN compares false with everything."""
    count = 0
    for i in range(values.size):
        count += 0 if low <= values[i] <= high else 1
    return count


def first_violation(name: str, array: Array) -> tuple[int, float] | None:
    """Flat index and value of the first point outside the plausible range, or None."""
    valid = FIELDS[name].valid
    low, high = valid if valid is not None else (-np.inf, np.inf)
    if inside(array, low, high):
        return None
    flat = np.asarray(array).reshape(-1)
    bad = ~((flat >= low) & (flat <= high))
    index = int(np.argmax(bad))
    return index, float(flat[index])


def check_state(
    state: Mapping[str, Array],
    who: Callable[[], str],
    grid: Grid,
    step: int,
    date: object,
) -> None:
    """Raises when the state has left the range in which it means anything.

    Args:
        state: fields ``[level, ...]`` or ``[...]`` over the columns of `grid`.
        who: names the component that did it.
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
        where = f"level {level}, " if array.size > grid.ncol else ""
        valid = FIELDS[name].valid
        raise UnstableError.of(
            BLEW_UP,
            name,
            expected=f"{valid[0]:g} to {valid[1]:g} {FIELDS[name].units}" if valid else "a number",
            found=f"{value:g} at {where}{grid.point(column)}, "
            f"step {step}, date {date}, component {who()}",
            remedy=_REMEDY,
        )


def culprit(rates: Mapping[str, Mapping[str, Array]]) -> str:
    """The component whose last tendency is not finite or far too large; else the dynamics."""
    worst, name = 0.0, DYNAMICS
    for component, of in rates.items():
        for variable, rate in of.items():
            size = float(np.abs(rate).max()) / large_rate(variable)
            if not np.isfinite(size):
                return component
            if size > max(worst, 1.0):
                worst, name = size, component
    return name


def blame(rates: Mapping[str, Mapping[str, Array]], grid: Grid, step: int, date: object) -> Problem:
    """Who was to blame when the dynamics fail before there is a state to look at.

    That is the first tendency that is not finite, or else the most absurd one, or the dynamics.

    Args:
        rates: last tendencies by component and variable, shape [level, column].
        grid: where the columns are.
        step: number of the step that failed.
        date: its date, for the message.
    """
    component = culprit(rates)
    worst = 1.0
    found = Problem(
        what=BLEW_UP,
        name="ps",
        expected="a finite mass of air",
        found=f"none at step {step}, date {date}, component {component}",
        remedy=_REMEDY,
    )
    for variable, rate in rates.get(component, {}).items():
        size = np.nan_to_num(np.abs(rate) / large_rate(variable), nan=np.inf)
        if float(size.max()) > worst:
            worst = float(size.max())
            level, column = divmod(int(np.argmax(size)), grid.ncol)
            value = float(rate[level, column])
            units = FIELDS[variable].units
            found = Problem(
                what=BLEW_UP,
                name=variable,
                expected=f"tendencies within {large_rate(variable):g} {units} per second",
                found=f"{value:g} at level {level}, {grid.point(column)}, "
                f"step {step}, date {date}, component {component}",
                remedy=_REMEDY,
            )
    return found


WATCHED = (*STATE, *SMALL_STATE, "ps")
_SUSPECT_FOR = 10
"""Steps after which an absurd tendency is no longer held responsible."""


class Watch:
    """Looks at tendencies and state after every step.

    What columns show is a step or two behind what tendencies did, and by then the component may
    give harmless ones again: the last absurd tendency is remembered.
    """

    def __init__(
        self,
        state: Mapping[str, Array],
        absurd: Collection[str],
        rates: Callable[[], Mapping[str, Mapping[str, Array]]],
        grid: Grid,
    ) -> None:
        """Binds what is watched.

        Args:
            state: fields ``[level, ...]`` or ``[...]`` over the columns of `grid`.
            absurd: variables of which the last step had tendencies beyond belief.
            rates: gives the last tendencies by component.
            grid: where the columns are.
        """
        self._state, self._absurd, self._rates, self._grid = state, absurd, rates, grid
        self._suspect: tuple[int, str, Problem] | None = None
        self.ranges = {name: FIELDS[name].valid or (-np.inf, np.inf) for name in state}
        """Within which the fields mean anything."""

    def look(self, step: int, date: object, sound: Collection[str] = ()) -> None:
        """Looks at what step number `step` did.

        Args:
            step: its number.
            date: its date.
            sound: fields that were found within their range already.

        Raises:
            UnstableError: for a state out of range.
        """
        if self._absurd:
            problem = blame(self._rates(), self._grid, step, date)
            self._suspect = (step, culprit(self._rates()), problem)
        left = {name: array for name, array in self._state.items() if name not in sound}
        check_state(left, lambda: self._who(step), self._grid, step, date)

    def explain(self, step: int, date: object) -> Problem:
        """Why the dynamics failed in step number `step`."""
        recent = self._recent(step)
        return recent[2] if recent else blame(self._rates(), self._grid, step, date)

    def _who(self, step: int) -> str:
        recent = self._recent(step)
        return recent[1] if recent else culprit(self._rates())

    def _recent(self, step: int) -> tuple[int, str, Problem] | None:
        if self._suspect is not None and step - self._suspect[0] <= _SUSPECT_FOR:
            return self._suspect
        return None
