"""Pictures of one run: ``isthmus plot RUN --kind KIND --out FILE.png``.

qbo       time-height section of the zonal wind over the equator, with period and amplitude, and
          below it the observed winds (Canton Island, Gan and Singapore) over as many years
sections  zonal-mean wind, temperature and gravity-wave drag of the time mean
height    maps of the free surface of one layer of fluid, or of a pressure surface
vorticity maps of the vorticity of one layer of fluid
pressure, temperature, wind, precipitation    maps of an atmosphere on levels
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from coupler.compare.opening import opened
from coupler.compare.pictures import decade_levels, linear_levels
from coupler.compare.reading import read_climate
from coupler.diagnostics.figures import refuse_format, refuse_numbers, save
from coupler.diagnostics.maps import (
    HEIGHT,
    PRESSURE,
    RAIN,
    TEMPERATURE,
    VORTICITY,
    WIND,
    MapKind,
    map_figure,
)
from coupler.diagnostics.qbo import MONTH, Oscillation, oscillation, read_singapore
from coupler.interface.constants import SECONDS_PER_DAY
from coupler.interface.errors import CouplerError, DataError, nearest
from coupler.output.library import nothing_left, refuse_without_records

F64 = NDArray[np.float64]

OBSERVED = "qbo/qbo.dat"
"""Name of the observed winds in the data folder."""
TROPICS = 5.0
"""A global run is averaged to this latitude [degrees]."""
_HEIGHT = 2500.0
"""Pressure at which period and amplitude are said [Pa]; about 25 km."""
_INK, _EDGE = "#24292f", "#8c959f"
_WIND = np.arange(-45.0, 46.0, 5.0)
_SECTIONS: tuple[tuple[str, str, str, float, bool], ...] = (
    ("ua", "Zonal wind", "m s$^{-1}$", 1.0, True),
    ("ta", "Temperature", "K", 1.0, False),
    ("utendnogw", "Non-orographic drag", "m s$^{-1}$ day$^{-1}$", SECONDS_PER_DAY, True),
    ("utendogw", "Orographic drag", "m s$^{-1}$ day$^{-1}$", SECONDS_PER_DAY, True),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class TimeHeight:
    """A time-height section of the wind over the equator."""

    title: str
    years: F64
    """Time [year], shape [time]."""
    pressure: F64
    """Of the levels [Pa], shape [level]."""
    wind: F64
    """Eastward wind [m s-1], shape [level, time]; NaN where there is none."""
    days: float
    """Mean time between values [day]."""

    def oscillation_at(self, pressure: float) -> tuple[float, Oscillation | None]:
        """Pressure of the nearest level [Pa] and what its whole series says."""
        k = int(np.argmin(np.abs(np.log(self.pressure / pressure))))
        series = self.wind[k]
        known = np.flatnonzero(np.isfinite(series))
        try:
            found = oscillation(series[known[0] : known[-1] + 1], self.days) if known.size else None
        except DataError:  # too short for a running mean, or with gaps: a picture without numbers
            found = None
        return float(self.pressure[k]), found


def read_time_height(folder: Path, *, skip_days: float = 0.0) -> TimeHeight:
    """The wind over the equator of the run in `folder`, without its first `skip_days`.

    Raises:
        DataError: when there is no run, no wind, or nothing left.
    """
    path = folder / "atmosphere.nc"
    with opened(path) as data:
        if "ua" not in data:
            raise DataError.of(
                "missing variable",
                "ua",
                expected=f"in {path}",
                remedy="add it to output.fields of the case and run it again",
            )
        refuse_without_records(data, path)
        ends = data["time_bnds"].values
        begin = ends[0, 0]
        since = np.array([(t - begin).total_seconds() / SECONDS_PER_DAY for t in ends.ravel()])
        days = since.reshape(ends.shape).mean(axis=1)
        kept = since.reshape(ends.shape)[:, 0] >= skip_days - 1e-9
        if not kept.any():
            raise nothing_left(path, skip_days, since.max())
        rows = np.abs(data["lat"].values) <= TROPICS
        rows |= np.abs(data["lat"].values) == np.abs(data["lat"].values).min()
        weights = np.cos(np.radians(data["lat"].values[rows]))
        wind = np.average(data["ua"].values[:, :, rows].mean(axis=-1), axis=-1, weights=weights)
        ps = np.average(data["ps"].values[:, rows].mean(axis=(0, 2)), weights=weights)
        pressure = data["ap"].values + data["b"].values * ps
        year = 360.0 if data["time"].dt.calendar == "360_day" else 365.25
    days, wind = days[kept], np.asarray(wind[kept], np.float64)
    step = float(np.mean(np.diff(days))) if days.size > 1 else float(days[0])
    return TimeHeight(
        title=folder.resolve().name, years=days / year, pressure=pressure, wind=wind.T, days=step
    )


def observed_time_height(path: Path) -> TimeHeight:
    """The observed winds as a section; a month counts as one, whatever its days."""
    time, pressure, wind = read_singapore(path)
    return TimeHeight(
        title="Observed at the equator",
        years=time,
        pressure=pressure,
        wind=wind,
        days=MONTH,
    )


def qbo_figure(run: TimeHeight, observed: TimeHeight | None = None) -> Figure:
    """Time-height sections, one below the other, with one colour scale."""
    panels = [run] if observed is None else [run, observed]
    figure = Figure(figsize=(11.0, 3.4 * len(panels)), layout="constrained")
    span = float(run.years[-1] - run.years[0])
    filled = None
    rows = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, section in zip(rows, panels, strict=True):
        last = float(section.years[-1])  # of a long series, the last years of the run's length
        filled = _time_height(axes, section, max(float(section.years[0]), last - span), last)
    if filled is not None:
        bar = figure.colorbar(filled, ax=figure.axes, aspect=35, pad=0.01)
        bar.set_label("Eastward wind [m s$^{-1}$]", fontsize=8, color=_INK)
        bar.ax.tick_params(labelsize=7, colors=_INK)
    return figure


def _time_height(axes: Axes, section: TimeHeight, start: float, end: float) -> Any:
    # Layers in which the wind never changes (held ends) say nothing.
    moving = np.nanmax(np.abs(section.wind), axis=1) > 0.0
    p, wind = section.pressure[moving] / 100.0, np.ma.masked_invalid(section.wind[moving])
    filled = axes.contourf(
        section.years, p, wind, levels=_WIND, cmap="RdBu_r",
        norm=BoundaryNorm(_WIND, 256, extend="both"), extend="both",
    )  # fmt: skip
    axes.contour(section.years, p, wind, levels=[0.0], colors=_INK, linewidths=0.7)
    axes.set_xlim(start, max(end, start + 1e-3))
    window = (max(float(p.min()), 4.0), min(float(p.max()), 110.0))
    low, high = window if window[0] < window[1] else (float(p.min()), float(p.max()))
    _pressure(axes, high, low)
    axes.set_xlabel("Year", fontsize=8, color=_INK)
    at, found = section.oscillation_at(_HEIGHT)
    numbers = ""
    if found is not None and found.cycles > 0:
        numbers = (
            f"   {at / 100.0:.0f} hPa: period {found.crossing_period:.1f} months, "
            f"amplitude {found.amplitude:.1f} m/s, deviation {found.deviation:.1f} m/s"
        )
    axes.set_title(section.title + numbers, fontsize=10, color=_INK, loc="left")
    _style(axes)
    return filled


def sections_figure(folder: Path, *, skip_days: float = 0.0) -> Figure:
    """Zonal means of the run in `folder`: wind, temperature and the drag that it has."""
    climate = read_climate(folder, spinup_days=skip_days)
    if climate.lat.size < 2:
        raise DataError.of(
            "no section of a single column", str(folder), remedy="use --kind qbo for its wind"
        )
    chosen = [s for s in _SECTIONS if s[0] in climate.sections]
    figure = Figure(figsize=(4.0 * len(chosen), 4.2), layout="constrained")
    lat = np.broadcast_to(climate.lat, climate.p.shape)
    for number, (name, title, units, scale, diverging) in enumerate(chosen):
        axes = figure.add_subplot(1, len(chosen), number + 1)
        values = scale * climate.section(name)
        # drag spans orders of magnitude between the tropopause and the model top
        drag = name.startswith("utend")
        levels = decade_levels([values]) if drag else linear_levels([values], diverging=diverging)
        filled = axes.contourf(
            lat, climate.p / 100.0, values, levels=levels, extend="both",
            cmap="RdBu_r" if diverging else "RdYlBu_r",
            norm=BoundaryNorm(levels, 256, extend="both"),
        )  # fmt: skip
        if not drag:
            axes.contour(lat, climate.p / 100.0, values, levels=levels, colors=_INK, linewidths=0.4)
        _pressure(axes, float(climate.p.max()) / 100.0, max(float(climate.p.min()) / 100.0, 0.01))
        axes.set_xlim(float(climate.lat[0]), float(climate.lat[-1]))
        axes.xaxis.set_major_locator(FixedLocator([-60, -30, 0, 30, 60]))
        axes.set_xlabel("Latitude [degrees north]", fontsize=8, color=_INK)
        axes.set_title(title, fontsize=10, color=_INK, loc="left")
        bar = figure.colorbar(filled, ax=axes, orientation="horizontal", aspect=30, pad=0.02)
        bar.set_label(units, fontsize=8, color=_INK)
        bar.ax.tick_params(labelsize=6, colors=_INK)
        bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        _style(axes)
    figure.suptitle(f"{climate.title}: {climate.start} to {climate.end}", fontsize=9, color=_INK)
    return figure


def _pressure(axes: Axes, bottom: float, top: float) -> None:
    """The vertical axis: logarithm of pressure [hPa]."""
    axes.set_yscale("log")
    axes.set_ylim(bottom, top)
    ticks = [m * 10.0**e for e in range(-2, 4) for m in (1, 2, 5) if top <= m * 10.0**e <= bottom]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel("Pressure [hPa]", fontsize=8, color=_INK)


def _style(axes: Axes) -> None:
    axes.tick_params(colors=_INK, labelsize=8, length=3)
    for spine in axes.spines.values():
        spine.set_color(_EDGE)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What of a run to show."""

    skip_days: float = 0.0
    observed: Path | None = None
    days: tuple[float, ...] = ()
    level: float | None = None
    """Pressure [Pa]."""
    name: str = ""
    """Of a tracer."""


def _qbo(folder: Path, wish: Wish) -> Figure:
    _refuse(wish, "qbo", "days", "level", "name")
    run = read_time_height(folder, skip_days=wish.skip_days)
    observed = wish.observed
    return qbo_figure(run, observed_time_height(observed) if observed is not None else None)


def _zonal(folder: Path, wish: Wish) -> Figure:
    _refuse(wish, "sections", "observed", "days", "level", "name")
    return sections_figure(folder, skip_days=wish.skip_days)


def _map(kind: MapKind) -> Callable[[Path, Wish], Figure]:
    def draw(folder: Path, wish: Wish) -> Figure:
        _refuse(wish, "maps", "observed", "name")
        return map_figure(folder, kind, skip_days=wish.skip_days, days=wish.days, level=wish.level)

    return draw


def _tracer(folder: Path, wish: Wish) -> Figure:
    _refuse(wish, "tracer", "observed")
    if not wish.name:
        raise DataError.of("no tracer named", "tracer", remedy="add --name NAME")
    kind = MapKind(name=wish.name, title=wish.name, units="kg kg$^{-1}$", level=5.65e4)
    return map_figure(folder, kind, skip_days=wish.skip_days, days=wish.days, level=wish.level)


def _refuse(wish: Wish, kind: str, *options: str) -> None:
    """Says which option a kind of picture has no use for.

    Raises:
        DataError: for the first of `options` that was given.
    """
    what = {
        "observed": ("nothing observed for this kind", "use --kind qbo"),
        "days": ("no single days in this kind", "leave --days out, or use --kind pressure"),
        "level": ("no level in this kind", "leave --level out, or use --kind temperature"),
        "name": ("no name in this kind", "leave --name out, or use --kind tracer"),
    }
    for option in options:
        if getattr(wish, option):
            raise DataError.of(what[option][0], kind, remedy=what[option][1])


KINDS: dict[str, Callable[[Path, Wish], Figure]] = {
    "qbo": _qbo,
    "sections": _zonal,
    "height": _map(HEIGHT),
    "vorticity": _map(VORTICITY),
    "pressure": _map(PRESSURE),
    "temperature": _map(TEMPERATURE),
    "wind": _map(WIND),
    "precipitation": _map(RAIN),
    "tracer": _tracer,
}


def plot(
    folder: Path,
    kind: str,
    out: Path,
    *,
    skip_days: float = 0.0,
    observed: Path | None = None,
    days: Sequence[float] = (),
    level: float | None = None,
    name: str = "",
) -> Path:
    """Draws a picture of a run and returns where it is.

    Args:
        folder: of the run.
        kind: a key of `KINDS`.
        out: the picture; its suffix says the format: png, pdf or svg.
        skip_days: days at the start to leave out.
        observed: file of observed winds beside a QBO; None takes the one of the data folder, if
            it is there.
        days: of a map, by default three.
        level: pressure of a map [Pa], by default the kind's own.
        name: of the tracer of ``tracer``.

    Raises:
        DataError: for an unknown kind or format, for numbers that mean nothing, or when the run
            lacks what is to be shown.
    """
    if kind not in KINDS:
        raise DataError.of("unknown kind of picture", kind, remedy=nearest(kind, KINDS))
    refuse_format(out)
    refuse_numbers(skip_days, level)
    if observed is None and kind == "qbo":
        from coupler.input.fetch import locate

        try:
            observed = locate(OBSERVED)
        except CouplerError:  # nobody asked for it
            observed = None
    wish = Wish(skip_days=skip_days, observed=observed, days=tuple(days), level=level, name=name)
    save(KINDS[kind](folder, wish), out, dpi=150)
    return out
