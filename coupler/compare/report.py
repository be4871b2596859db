"""The report of a comparison: a table for the terminal and one HTML file that needs nothing else.

The page carries its pictures inside it and escapes every text that comes from a run.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import coupler
from coupler.compare import pictures
from coupler.compare.climate import Climate
from coupler.compare.differences import (
    Pattern,
    Row,
    changed_settings,
    flatten,
    patterns,
    rows,
)
from coupler.compare.numerals import number, signed
from coupler.compare.reading import read_climate
from coupler.interface.constants import SECONDS_PER_DAY
from coupler.interface.errors import CouplerError, DataError, Problem
from coupler.interface.files import write_whole

_SPEED = {
    "days_run": "Days run",
    "steps": "Steps",
    "wall_seconds": "Wall time [s]",
    "sypd": "Speed [simulated years/day]",
    "ranks": "Processes",
}
_RECORDED = (*_SPEED, "budgets", "guard")
"""What of ``run.json`` stands side by side; the rest is at the end of the page."""
_NOT_SETTINGS = ("title", "description")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture of the report."""

    heading: str
    caption: str
    alt: str
    png: bytes

    @property
    def source(self) -> Markup:
        """The picture as the address of an image element."""
        return Markup("data:image/png;base64,") + base64.b64encode(self.png).decode()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs, what differs between them, and where the report lies."""

    a: Climate
    b: Climate
    rows: tuple[Row, ...]
    patterns: tuple[Pattern, ...]
    settings: tuple[tuple[str, Any, Any], ...]
    """Settings that differ: name, in the first run, in the second."""
    recorded: tuple[tuple[str, Any, Any], ...]
    """Speed, budgets and guard counts as the runs recorded them."""
    report: Path

    def table(self) -> Table:
        """The numbers as a table for the terminal; in bold what is beyond the yardstick."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("")
        for heading in (self.a.title, self.b.title, "difference", "own change"):
            table.add_column(Text(heading), justify="right")

        def label(name: str, units: str) -> Text:
            return Text(name if units == "1" else f"{name} [{units}]")

        for row in self.rows:
            style = "bold" if row.beyond else ""
            change = Text(signed(row.difference), style=style)
            own = number(row.yardstick)
            table.add_row(label(row.name, row.units), number(row.a), number(row.b), change, own)
        table.add_section()
        for pattern in self.patterns:
            value, own = number(pattern.value), number(pattern.yardstick)
            table.add_row(label(pattern.name, pattern.units), "", "", value, own)
        table.add_section()
        for name, x, y in self.recorded:
            table.add_row(Text(name), Text(number(x)), Text(number(y)))
        table.caption = (
            "own change: from the first to the second half of one run (the larger of both; for "
            "patterns, of the first). A difference below it says nothing."
        )
        table.caption_justify = "left"
        return table


def compare_runs(
    a: Path,
    b: Path,
    report: Path,
    titles: tuple[str, str] | None = None,
    *,
    spinup_days: float = 0.0,
    anyway: bool = False,
    console: Console | None = None,
) -> Comparison:
    """Compares two finished runs, prints the table and writes the report.

    Args:
        a: folder of the first run, the reference.
        b: folder of the second run, on the same grid and levels.
        report: the HTML file to write; it appears whole or not at all.
        titles: names of the runs in tables and pictures; by default those of their folders.
        spinup_days: days at the start of both runs to leave out.
        anyway: compare runs with other calendars, starts or units than each other, too.
        console: where the table is printed.

    Raises:
        DataError: with everything that is wrong with either run.

    Of runs of different length the days that both have are compared.
    """
    first, second = _read(a, b, titles or _names(a, b), spinup_days, anyway)
    comparison = Comparison(
        a=first,
        b=second,
        rows=tuple(rows(first, second)),
        patterns=tuple(patterns(first, second)),
        settings=tuple(s for s in changed_settings(first, second) if s[0] not in _NOT_SETTINGS),
        recorded=tuple(_recorded(first, second)),
        report=report,
    )
    page = _template().render(
        c=comparison,
        pictures=_pictures(first, second),
        version=coupler.__version__,
        number=number,
        signed=signed,
        rest=[(run, _provenance(run)) for run in (first, second)],
        beyond=[row for row in comparison.rows if row.beyond],
    )
    write_whole(report, page)
    (console or Console()).print(comparison.table())
    return comparison


def _names(a: Path, b: Path) -> tuple[str, str]:
    x, y = a.resolve().name, b.resolve().name
    return (x, y) if x != y else (f"{x} (first)", f"{y} (second)")


def _read(
    a: Path, b: Path, titles: tuple[str, str], spinup: float, anyway: bool
) -> tuple[Climate, Climate]:
    found: list[Climate] = []
    problems: list[Problem] = []
    for folder, title in zip((a, b), titles, strict=True):
        try:
            found.append(read_climate(folder, title, spinup_days=spinup))
        except CouplerError as error:
            problems += error.problems
    if problems:
        raise DataError(*problems)
    first, second = found
    problems = [
        Problem(
            what=f"two {what} that do not go together",
            name=f"{a} and {b}",
            expected=x,
            found=y,
            remedy="compare runs that share it, or say --anyway",
        )
        for what, x, y in (
            ("calendars", first.calendar, second.calendar),
            ("starts", first.start, second.start),
            *((f"units of {n}", u, second.units.get(n, u)) for n, u in first.units.items()),
        )
        if x != y and not anyway
    ]
    if first.p.shape != second.p.shape or not (abs(first.lat - second.lat) < 1e-3).all():
        problems.append(
            Problem(
                what="two runs on different grids",
                name=f"{a} and {b}",
                expected="the same levels and latitudes",
                found="{} and {} levels x latitudes".format(
                    *("x".join(str(n) for n in c.p.shape) for c in found)
                ),
                remedy="run both cases with the same truncation and levels",
            )
        )
    if problems:
        raise DataError(*problems)
    # Means of different spans of a run that drifts differ by the drift.
    common = min(first.end_day, second.end_day)
    return first.until(common), second.until(common)


def _recorded(a: Climate, b: Climate) -> list[tuple[str, Any, Any]]:
    """Speed, what the budgets changed from the first to the last output, guard counts."""
    x, y = (_record_of(c) for c in (a, b))
    return [(k, x.get(k), y.get(k)) for k in dict.fromkeys([*x, *y])]


def _record_of(run: Climate) -> dict[str, Any]:
    found = {name: run.record[key] for key, name in _SPEED.items() if key in run.record}
    for name, value in flatten(run.record.get("budgets", {})).items():
        first, last, units = run.budgets.get(name, (0.0, float("nan"), ""))
        label = name.replace("_", " ")
        is_rate = name.endswith("_residual")  # a mean over the run, not a content that changes
        when = "mean over the run" if is_rate else "at the end"
        found[f"{label} {when} [{units}]" if units not in ("", "1") else label] = value
        if units not in ("", "1") and first and not is_rate:
            found[f"{label}, relative change"] = last / first - 1.0
    guard = flatten(run.record.get("guard", {}), "guard")
    return found | {k.replace(".", ", ").replace("_", " "): v for k, v in guard.items()}


def _provenance(run: Climate) -> list[tuple[str, Any]]:
    rest = {k: v for k, v in run.record.items() if k not in _RECORDED}
    return list(flatten(rest).items())


def _pictures(a: Climate, b: Climate) -> list[Picture]:
    dots = (
        " Dots: the difference is no larger than what one of the runs changes from its first half "
        "to its second."
        if a.has_halves and b.has_halves
        else ""
    )
    drag = {"scale": SECONDS_PER_DAY, "decades": True, "wind_lines": True}
    drag_text = (
        " Colour steps are half decades, because drag grows with height as the air thins; lines "
        "are the zonal wind of the same run, every 20 m/s, westward dashed."
    )
    wanted: list[tuple[str, str, str, str, dict[str, Any]]] = [
        ("ua", "Zonal wind", "m s$^{-1}$", "Positive is eastward (westerly).", {}),
        ("ta", "Temperature", "K", "", {"diverging": False}),
        (
            "utendnogw",
            "Zonal gravity-wave drag",
            "m s$^{-1}$ day$^{-1}$",
            "Acceleration of the zonal wind by non-orographic gravity waves." + drag_text,
            drag,
        ),
        (
            "vtendnogw",
            "Meridional gravity-wave drag",
            "m s$^{-1}$ day$^{-1}$",
            "Acceleration of the meridional wind by non-orographic gravity waves." + drag_text,
            drag,
        ),
    ]
    shown = []
    for name, heading, units, text, how in wanted:
        if name not in a.sections or name not in b.sections:
            continue
        shown.append(
            Picture(
                heading=heading,
                caption=f"Time and zonal mean. {text}{dots}",
                alt=f"{heading} against latitude and pressure in {a.title}, in {b.title}, "
                "and their difference",
                png=pictures.section_triptych(a, b, name, units, **how),
            )
        )
    lines = [
        line
        for line in (
            ("pr", "Precipitation", "mm day$^{-1}$", SECONDS_PER_DAY),
            ("ts", "Surface temperature", "K", 1.0),
        )
        if line[0] in a.bands and line[0] in b.bands
    ]
    if lines:
        names = " and ".join(title for _, title, _, _ in lines).lower()
        shown.append(
            Picture(
                heading=names.capitalize(),
                caption="Time and zonal mean. The shaded band lies between the means of the first "
                "and the second half of a run.",
                alt=f"{names} against latitude in both runs",
                png=pictures.latitude_lines(a, b, lines),
            )
        )
    shown.append(
        Picture(
            heading="Global means",
            caption="Area means of every output interval. Two runs that differ at all part ways "
            "within days, as weather does; what counts is whether they keep to the same range.",
            alt="global means of both runs against time",
            png=pictures.time_series(a, b),
        )
    )
    return shown


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")
