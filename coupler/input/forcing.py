"""Numbers that a case prescribes in time, from a file: the whole globe's carbon dioxide, for now.

A table (CSV) has a heading and one line for each date: ``YYYY``, ``YYYY-MM``, ``YYYY-MM-DD`` or a
decimal year such as 1958.2027; lines that begin with ``#`` are passed over, a unit may stand in the
heading as ``co2 [ppm]``. A netCDF file has a variable along a time axis with units and calendar.

Between two dates a value is interpolated linearly on the axis of decimal years, in which a date of
any calendar is its year plus the share of that year that is over: a file of one calendar serves a
run of another. Where a file ends before the run, the run is refused, unless the case says
``after: hold``; the same before its first date with ``before: hold``. There is no extrapolation.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cftime
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from coupler.interface.errors import ConfigError, CouplerError, DataError, Problem, nearest
from coupler.interface.fields import FIELDS
from coupler.interface.units import conversion, convertible

F64 = NDArray[np.float64]

FORCINGS = ("co2",)
"""Fields that a case may prescribe so."""
_DATE = re.compile(r"(-?\d{1,4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?")
_HEADING = re.compile(r"\s*(.*?)\s*(?:[\[(]\s*(.*?)\s*[\])])?\s*")


class Forcing(BaseModel):
    """Where a prescribed number comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    """CSV or netCDF, relative to the case."""
    variable: str | None = None
    """Column or variable; by default the forcing's own name."""
    units: str | None = None
    """Where the file does not say it or is wrong."""
    before: Literal["refuse", "hold"] = "refuse"
    """What to do where the run begins before the file does; ``hold`` takes the first value."""
    after: Literal["refuse", "hold"] = "refuse"
    """What to do where the file ends before the run does; ``hold`` keeps the last value."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """A number by date."""

    years: F64
    """Decimal years, increasing, shape [time]."""
    values: F64
    """In the unit of the table of fields, shape [time]."""
    labels: tuple[str, ...]
    """The dates as the file has them."""
    name: str
    """Of the forcing."""
    choice: Forcing
    """What to do beyond the ends."""

    def at(self, date: cftime.datetime) -> float:
        """The value at a date; beyond either end that end's, where it may be held.

        Raises:
            ConfigError: for a date beyond an end that may not be held.
        """
        year = decimal_year(date)
        if not self.years[0] <= year <= self.years[-1]:
            missing = self.problems(date, date)
            if missing:
                raise ConfigError(*missing)
        return float(np.interp(year, self.years, self.values))

    def problems(self, start: cftime.datetime, end: cftime.datetime) -> list[Problem]:
        """What the file lacks for a run from `start` to `end`."""
        choice, where = self.choice, f"forcing.{self.name}={self.choice.file}"
        found = []
        if choice.after == "refuse" and decimal_year(end) > self.years[-1]:
            found.append(
                Problem(
                    what="a file that ends before the run",
                    name=where,
                    expected=f"values up to {end.strftime('%Y-%m-%d')}, the end of the run",
                    found=f"a last date of {self.labels[-1]}",
                    remedy=f"run for a shorter time, or set forcing.{self.name}.after to hold, "
                    "which keeps the last value",
                )
            )
        if choice.before == "refuse" and decimal_year(start) < self.years[0]:
            found.append(
                Problem(
                    what="a file that begins after the run",
                    name=where,
                    expected=f"values from {start.strftime('%Y-%m-%d')} on, the start of the run",
                    found=f"a first date of {self.labels[0]}",
                    remedy=f"start later, or set forcing.{self.name}.before to hold, which takes "
                    "the first value",
                )
            )
        return found


def decimal_year(date: cftime.datetime) -> float:
    """Year plus the share of it that is over [1]."""
    calendar = date.calendar or "standard"
    start = cftime.datetime(date.year, 1, 1, calendar=calendar)
    end = cftime.datetime(date.year + 1, 1, 1, calendar=calendar)
    return float(date.year + (date - start) / (end - start))


def read_forcings(
    choices: Mapping[str, Forcing], base: Path, start: cftime.datetime | None, end: Any
) -> tuple[dict[str, Series], list[Problem]]:
    """The series of a case, and all that is wrong with them.

    Args:
        choices: by name of the field.
        base: folder that relative names are relative to.
        start: first date of the run; None when it is not known.
        end: last date of the run.
    """
    found: dict[str, Series] = {}
    problems: list[Problem] = []
    for name, choice in choices.items():
        if name not in FORCINGS:
            hint = nearest(name, FORCINGS)
            what = "cannot be prescribed in time"
            problems.append(Problem(what=what, name=f"forcing.{name}", remedy=hint))
            continue
        try:
            series = read_series(base / choice.file, name, choice)
        except CouplerError as error:
            problems += error.problems
            continue
        if start is not None:
            problems += series.problems(start, end)
        found[name] = series
    return found, problems


def read_series(path: Path, name: str, choice: Forcing) -> Series:
    """A series from a file.

    Raises:
        DataError: with one sentence saying what is wrong.
    """
    if not path.is_file():
        near = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
        raise DataError.of(
            "no such file", str(path), remedy=nearest(path.name, near) if near else ""
        )
    variable = choice.variable or name
    table = path.suffix.lower() in (".csv", ".txt")
    labels, years, values, units = (_from_table if table else _from_netcdf)(path, variable)
    units, wanted = choice.units or units, FIELDS[name].units
    if not units or not convertible(units, wanted):
        raise DataError.of(
            "a unit that does not fit" if units else "values without a unit",
            f"{variable} in {path}",
            expected=f"a unit convertible to {wanted!r}",
            found=repr(units) if units else "",
            remedy=f"give the right one as forcing.{name}.units, for example ppm",
        )
    factor, offset = conversion(units, wanted)
    values = factor * values + offset
    _check(path, variable, labels, years, values)
    return Series(years=years, values=values, labels=tuple(labels), name=name, choice=choice)


def _check(path: Path, variable: str, labels: list[str], years: F64, values: F64) -> None:
    where = f"{variable} in {path}"
    if years.size == 0:
        raise DataError.of("no values", where, expected="a line or a time for each date")
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0.0)))
    if bad.size:
        raise DataError.of(
            "a value that is none",
            where,
            expected="finite numbers above 0 at all dates",
            found=f"{values[bad[0]]:g} at {labels[bad[0]]}"
            + (f", and {bad.size - 1} more" if bad.size > 1 else ""),
            remedy="fill the gap or leave the date out: between dates is interpolated",
        )
    back = np.flatnonzero(np.diff(years) <= 0.0)
    if back.size:
        n = int(back[0])
        raise DataError.of(
            "dates that do not increase",
            where,
            found=f"{labels[n + 1]} after {labels[n]}",
            remedy="sort the file and remove what stands twice",
        )


def _from_table(path: Path, variable: str) -> tuple[list[str], F64, F64, str]:
    """Dates, decimal years, values and unit of a column."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    lines = [n for n in text.splitlines() if n.strip() and not n.lstrip().startswith("#")]
    rows = list(csv.reader(lines))
    heading = [_HEADING.fullmatch(cell) for cell in (rows[0] if rows else [])]
    names = [m[1] if m else "" for m in heading]
    if variable not in names[1:]:
        raise DataError.of(
            "no such column",
            f"{variable} in {path}",
            expected="a first line with a name for each column, dates in the first one",
            remedy=nearest(variable, names[1:]),
        )
    column = names.index(variable)
    match = heading[column]
    units = (match[2] or "") if match else ""
    labels, years, values = [], [], []
    for number, row in enumerate(rows[1:], start=2):
        year = _year(row[0].strip())
        value = _number(row[column]) if len(row) > column else None
        if year is None or value is None:
            raise DataError.of(
                "a line that is no date and number",
                f"line {number} of {path}",
                expected="a date as YYYY, YYYY-MM, YYYY-MM-DD or a decimal year, and numbers",
                found=repr(",".join(row)),
            )
        labels.append(row[0].strip())
        years.append(year)
        values.append(value)
    return labels, np.array(years, np.float64), np.array(values, np.float64), units


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _year(text: str) -> float | None:
    """A date as a decimal year; of a month or a year alone it is the middle."""
    match = _DATE.fullmatch(text)
    if match is None:
        return _number(text)
    year, month, day = (int(x) if x else None for x in match.groups())
    if year is None or month is None:
        return None if year is None else year + 0.5
    try:
        first = cftime.datetime(year, month, day or 1, calendar="standard")
    except ValueError:
        return None
    if day is not None:
        return decimal_year(first)
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    after = cftime.datetime(*following, 1, calendar="standard")
    return 0.5 * (decimal_year(first) + decimal_year(after))


def _from_netcdf(path: Path, variable: str) -> tuple[list[str], F64, F64, str]:
    from coupler.input.files import open_file

    with open_file(path) as file:
        if variable not in file.variables:
            raise DataError.of(
                "no such variable",
                f"{variable} in {path}",
                remedy=nearest(variable, file.variables),
            )
        values = file[variable]
        if values.ndim != 1 or values.dimensions[0] not in file.variables:
            raise DataError.of(
                "not a series in time",
                f"{variable} in {path}",
                expected="one dimension with a coordinate variable of dates",
                found=f"dimensions {', '.join(values.dimensions) or 'none'}",
            )
        time = file[values.dimensions[0]]
        try:
            dates = cftime.num2date(
                time[:], time.units, getattr(time, "calendar", "standard"),
                only_use_cftime_datetimes=True,
            )  # fmt: skip
        except (AttributeError, ValueError) as error:
            raise DataError.of(
                "no dates",
                f"{time.name} in {path}",
                expected="units such as 'days since 1850-01-01' and a calendar of CF",
                found=f"units {getattr(time, 'units', None)!r}, "
                f"calendar {getattr(time, 'calendar', None)!r}: {error}",
            ) from error
        numbers = np.ma.filled(np.ma.asarray(values[:], dtype=np.float64), np.nan)
        labels = [d.strftime("%Y-%m-%d") for d in dates]
        years = np.array([decimal_year(d) for d in dates], np.float64)
        return labels, years, numbers, str(getattr(values, "units", ""))
