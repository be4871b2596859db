"""Which month of the year each time of a climatology belongs to.

The model takes the value of a month to hold in the middle of that month of the run's own calendar,
whatever the file's (`physics.surface.climatology`): months are matched by their number, and no day
of the year is. Calendars that differ by leap days have the same months; where months differ in
length (``360_day``), that is said. Times in another order than January to December are put into it;
times that are not the twelve months of a year are refused. A mean is often stamped with the end of
its month; the file's bounds tell, and where there are none, such times are refused.
"""

from __future__ import annotations

import re
from typing import Any

import cftime
import numpy as np
from numpy.typing import NDArray

from coupler.interface.errors import DataError, Problem

_SINCE = re.compile(r"months?\s+since\s+-?\d+-(\d{1,2})\b.*")
_REMEDY = (
    "give one mean for each month of a year, with CF units and calendar of the time axis (and its "
    "bounds where times are not inside the months), or with the numbers 1 to 12"
)


def months_of(
    time: Any, where: str, name: str, calendar: str
) -> tuple[NDArray[np.intp] | None, list[Problem]]:
    """Where each month of the year stands in a file.

    Args:
        time: the netCDF variable of the twelve times; None where the file has none, which is taken
            as January to December.
        where: of the file, for messages.
        name: of the field, for messages.
        calendar: of the run.

    Returns:
        places of January to December, None where they are in that order; and what a user should
        hear.

    Raises:
        DataError: when the times are not the twelve months of a year.
    """
    if time is None:
        return None, []
    months, own = _numbers(time, where)
    if sorted(months) != list(range(1, 13)):
        raise DataError.of(
            "twelve times that are not the months of a year",
            where,
            expected="January to December, each once",
            found=", ".join(map(str, months)),
            remedy=_REMEDY,
        )
    order = np.argsort(months)
    said = []
    if own is not None and ("360_day" in (own, calendar)) and own != calendar:
        said.append(
            Problem(
                what="climatology on a calendar with other months than the run's; the mean of each "
                "month is taken for the month of that number",
                name=f"boundary.{name}",
                expected=f"the calendar {calendar!r}",
                found=f"{own!r} in {where}",
            )
        )
    return (None if np.array_equal(order, np.arange(12)) else order), said


def _numbers(time: Any, where: str) -> tuple[list[int], str | None]:
    """Month of each time from 1 to 12, and the calendar where the file has one."""
    values = np.ma.filled(np.ma.asarray(time[...], np.float64), np.nan)
    units, calendar = str(getattr(time, "units", "")), getattr(time, "calendar", None)
    if not np.isfinite(values).all():
        raise DataError.of(
            "no dates", f"time of {where}", expected="twelve times", found="a missing one",
            remedy=_REMEDY,
        )  # fmt: skip
    middles = _middles(time)
    if middles is not None:
        values = middles
    since = _SINCE.fullmatch(units)
    if since:
        first = int(since[1]) - 1
        return [int(m) % 12 + 1 for m in np.floor(values) + first], calendar
    if "since" not in units:
        return _plain(values, units, where), None
    try:
        dates = cftime.num2date(values, units, calendar or "standard")
    except (ValueError, OverflowError) as error:
        raise DataError.of(
            "no dates",
            f"time of {where}",
            expected="units and calendar of CF",
            found=f"units {units!r}, calendar {calendar!r}: {error}",
            remedy=_REMEDY,
        ) from error
    first = all((d.day, d.hour, d.minute) == (1, 0, 0) for d in dates)
    if first and dates[0].month == 2 and middles is None:
        raise DataError.of(
            "times that are the ends of months or the beginnings of others",
            f"time of {where}",
            expected="times inside the months, or bounds of the time axis",
            found=", ".join(d.strftime("%m-%d") for d in dates[:3]) + ", ...",
            remedy=_REMEDY,
        )
    return [d.month for d in dates], calendar or "standard"


def _middles(time: Any) -> NDArray[np.float64] | None:
    """The middles of the intervals of a time axis, where the file has its bounds."""
    name = getattr(time, "bounds", None)
    found = time.group().variables.get(name) if name else None
    if found is None or found.shape != (time.shape[0], 2):
        return None
    bounds = np.ma.filled(np.ma.asarray(found[...], np.float64), np.nan)
    return bounds.mean(axis=1) if np.isfinite(bounds).all() else None


def _plain(values: NDArray[np.float64], units: str, where: str) -> list[int]:
    """The numbers of months that a file counts without dates, from 0, 1/2 or 1 on."""
    for first in (0.0, 0.5, 1.0):
        if np.array_equal(values, np.arange(12) + first):
            return list(range(1, 13))
    raise DataError.of(
        "no dates",
        f"time of {where}",
        expected="units and calendar of CF, or the numbers of the months",
        found=f"{values[0]:g} to {values[-1]:g}" + (f" {units}" if units else ""),
        remedy=_REMEDY,
    )
