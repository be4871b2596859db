"""Model time: whole steps on a calendar, and intervals as whole numbers of steps."""

from __future__ import annotations

import datetime as dt
import re

import cftime

from coupler.interface.component import Now
from coupler.interface.errors import Problem


def parse_date(text: str, calendar: str) -> cftime.datetime:
    """The date ``YYYY-MM-DD[ hh:mm[:ss]]`` in `calendar`.

    Raises:
        ValueError: for a date that the calendar does not have.
    """
    parts = [int(x) for x in re.split(r"[-T: ]", text)]
    return cftime.datetime(*parts, calendar=calendar)


def steps_of(interval: float, step: float, name: str) -> tuple[int, list[Problem]]:
    """`interval` [s] as a number of steps of `step` [s], and what is wrong if it is none."""
    n = round(interval / step)
    if n >= 1 and abs(n * step - interval) <= 1e-9 * interval:
        return n, []
    near = sorted({max(1, int(interval // step)) * step, (int(interval // step) + 1) * step})
    return max(1, n), [
        Problem(
            what="interval is not a whole number of steps",
            name=name,
            expected=f"a multiple of the atmosphere's step of {step:g} s",
            found=f"{interval:g} s",
            remedy="use " + " or ".join(f"{x:g} s" for x in near),
        )
    ]


class Clock:
    """Counts steps; the date follows from the count, so that it cannot drift."""

    def __init__(self, start: cftime.datetime, step_length: float) -> None:
        self.start = start
        self.step_length = step_length
        self.now = Now(date=start, step=0, seconds=0.0, dt=step_length)

    def set(self, step: int) -> None:
        """Goes to the beginning of step number `step`."""
        self.now.step = step
        self.now.seconds = step * self.step_length
        self.now.date = self.start + dt.timedelta(seconds=self.now.seconds)

    def tick(self) -> None:
        """One step on."""
        self.set(self.now.step + 1)

    @property
    def days(self) -> float:
        """Days since the start of the run."""
        return self.now.seconds / 86400.0
