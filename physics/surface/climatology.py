r"""A monthly climatology at any date of any cftime calendar.

The value of month m holds at the middle of month m; between two middles it is linear in time.
Values are therefore exact at mid-month; the mean over a month of the interpolated curve differs
from the given one by a share of the curvature of the seasonal cycle.
"""

from __future__ import annotations

from typing import Any

from coupler.interface.component import Array


def month_weights(date: Any) -> tuple[int, int, float]:
    """Which two months surround a date, and how far it is between their middles.

    Args:
        date: A cftime date.

    Returns:
        Indices 0..11 of the earlier and the later month, and the weight of the later one [1].
    """
    month = date.month - 1

    def length(index: int) -> int:
        # the neighbours' lengths are taken in the same year: December and January have the same
        # one in every year, and a year before the calendar's first need not exist
        return int(date.replace(month=index % 12 + 1, day=1).daysinmonth)

    start = date.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    own = length(month)
    elapsed = (date - start).total_seconds() / 86400.0 - 0.5 * own
    if elapsed < 0.0:
        other = (month - 1) % 12
        gap = 0.5 * (own + length(other))
        return other, month, 1.0 + elapsed / gap
    other = (month + 1) % 12
    return month, other, elapsed / (0.5 * (own + length(other)))


def interpolate(climatology: Array, date: Any, out: Array) -> None:
    """Fills `out` [lat, lon] from `climatology` [12, lat, lon] at a cftime date."""
    earlier, later, weight = month_weights(date)
    out[...] = climatology[earlier]
    out *= 1.0 - weight
    out += weight * climatology[later]
