"""Maps of one run, as the papers of the test cases show them.

At chosen days, or at one, two and three thirds of the run: of one layer of fluid the shape of the
free surface or the vorticity; of an atmosphere on levels the surface pressure, the precipitation,
or temperature, wind and height at a pressure (linear in its logarithm, blank below the ground).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import NDArray

from coupler.compare.opening import opened
from coupler.compare.pictures import linear_levels
from coupler.diagnostics.figures import no_levels
from coupler.interface.constants import SECONDS_PER_DAY
from coupler.interface.errors import DataError
from coupler.output.library import nothing_left, refuse_without_records

F64 = NDArray[np.float64]

_INK, _EDGE = "#24292f", "#8c959f"
_PANELS = 3


@dataclass(frozen=True, kw_only=True)
class MapKind:
    """What a map shows."""

    name: str
    """Variable of the output file."""
    title: str
    units: str
    scale: float = 1.0
    """From the file's unit to the picture's."""
    diverging: bool = False
    level: float | None = None
    """Pressure at which it is shown where it is on levels [Pa]; None: it never is."""


HEIGHT = MapKind(name="zg", title="Height of the free surface", units="m", level=5.0e4)
VORTICITY = MapKind(
    name="rv", title="Relative vorticity", units="10$^{-5}$ s$^{-1}$", scale=1e5, diverging=True
)
PRESSURE = MapKind(name="ps", title="Surface pressure", units="hPa", scale=0.01)
TEMPERATURE = MapKind(name="ta", title="Temperature", units="K", level=8.5e4)
WIND = MapKind(name="ua", title="Eastward wind", units="m s$^{-1}$", diverging=True, level=8.5e4)
RAIN = MapKind(
    name="prl", title="Large-scale precipitation", units="mm day$^{-1}$", scale=SECONDS_PER_DAY
)


def map_figure(
    folder: Path,
    kind: MapKind,
    *,
    skip_days: float = 0.0,
    days: Sequence[float] = (),
    level: float | None = None,
) -> Figure:
    """Maps of the run in `folder`, by default at three times that end with its last.

    Args:
        folder: of the run.
        kind: what to show.
        skip_days: days at the start to leave out.
        days: to show instead, each by the record that ends nearest to it.
        level: pressure to show it at instead of the kind's own [Pa].

    Raises:
        DataError: when there is no run, no such variable, levels, a pressure that is below the
            ground everywhere, or nothing left.
    """
    path = folder / "atmosphere.nc"
    with opened(path) as data:
        if kind.name not in data:
            raise DataError.of(
                "missing variable",
                kind.name,
                expected=f"in {path}",
                remedy="add it to output.fields of the case, if its atmosphere has it",
            )
        refuse_without_records(data, path)
        on_levels = data[kind.name].dims == ("time", "lev", "lat", "lon")
        if data["lat"].size < 2:
            raise DataError.of(
                "no map of a single column", str(folder), remedy="use --kind qbo for its wind"
            )
        if level is not None and not on_levels:
            raise no_levels(kind.name, data[kind.name].dims)
        pressure = (kind.level if level is None else level) if on_levels else None
        bounds = data["time_bnds"].values
        since = np.array([(t - bounds[0, 0]).total_seconds() for t in bounds.ravel()])
        spans = since.reshape(bounds.shape) / SECONDS_PER_DAY
        kept = np.flatnonzero(spans[:, 0] >= skip_days - 1e-9)
        if not kept.size:
            raise nothing_left(path, skip_days, spans.max())
        first = skip_days if skip_days > 0.0 else 0.0
        wanted = first + (spans[-1, 1] - first) * (np.arange(_PANELS) + 1.0) / _PANELS
        ends = spans[kept, 1]
        if days and not spans[0, 0] < max(days) <= ends[-1] + 1e-9:
            raise DataError.of(
                "no such day",
                f"{max(days):g}",
                expected=f"days to {ends[-1]:g}",
                remedy="choose others with --days",
            )
        shown = sorted({int(kept[np.argmin(np.abs(ends - w))]) for w in days or wanted})
        fields = kind.scale * np.asarray(data[kind.name].values[shown], np.float64)
        if pressure is not None:
            fields = _at_pressure(data, shown, fields, pressure)
        ground = np.asarray(data["orog"].values[-1], np.float64) if "orog" in data else None
        lat, lon = data["lat"].values, data["lon"].values
    title = kind.title if pressure is None else f"{kind.title} at {pressure / 100.0:g} hPa"
    if pressure is not None and kind.name == "zg":
        title = f"Height of the {pressure / 100.0:g} hPa surface"
    return _draw(folder, kind, title, spans[shown], fields, ground, lat, lon)


def _at_pressure(data: xr.Dataset, shown: Sequence[int], fields: F64, pressure: float) -> F64:
    """Records [time, lev, lat, lon] at a pressure [Pa]; NaN below the ground.

    Between the ground and the lowest level, and above the highest, the nearest level's value.

    Raises:
        DataError: for a pressure that is nowhere above the ground.
    """
    ps = np.asarray(data["ps"].values[list(shown)], np.float64)[:, None]
    if pressure > np.nanmax(ps):
        raise DataError.of(
            "no such pressure in the records shown",
            f"{pressure / 100.0:g} hPa",
            expected=f"0 to {np.nanmax(ps) / 100.0:.6g} hPa, the largest at the surface",
            remedy="choose another with --level",
        )
    ap, b = data["ap"].values[None, :, None, None], data["b"].values[None, :, None, None]
    x, want = np.log(ap + b * ps), np.log(pressure)
    top = np.clip((x < want).sum(axis=1, keepdims=True) - 1, 0, x.shape[1] - 2)
    x0, x1 = np.take_along_axis(x, top, 1), np.take_along_axis(x, top + 1, 1)
    share = np.clip((want - x0) / (x1 - x0), 0.0, 1.0)
    upper, lower = np.take_along_axis(fields, top, 1), np.take_along_axis(fields, top + 1, 1)
    found = (upper + share * (lower - upper))[:, 0]
    return np.where(pressure <= ps[:, 0], found, np.nan)


def _draw(
    folder: Path,
    kind: MapKind,
    title: str,
    days: F64,
    fields: F64,
    ground: F64 | None,
    lat: F64,
    lon: F64,
) -> Figure:
    figure = Figure(figsize=(9.0, 3.0 * len(fields) + 0.6), layout="constrained")
    levels = linear_levels([fields], diverging=kind.diverging, count=16)
    if kind.diverging:  # no edge at zero: the sign of round-off is no news
        levels = levels[np.abs(levels) > 1e-9 * levels.max()]
    filled: Any = None
    around = np.append(lon, lon[0] + 360.0)  # the map closes at 360 east
    rows = figure.subplots(len(fields), 1, squeeze=False)[:, 0]
    for axes, field, (begin, end) in zip(rows, fields, days, strict=True):
        closed = np.ma.masked_invalid(np.concatenate([field, field[:, :1]], axis=1))
        filled = axes.contourf(
            around, lat, closed, levels=levels, extend="both",
            cmap="RdBu_r" if kind.diverging else "viridis",
            norm=BoundaryNorm(levels, 256, extend="both"),
        )  # fmt: skip
        if not kind.diverging:
            axes.contour(around, lat, closed, levels=levels, colors=_INK, linewidths=0.4)
        if ground is not None and ground.max() > 10.0:
            hill = np.concatenate([ground, ground[:, :1]], axis=1)
            axes.contour(
                around, lat, hill, levels=ground.max() * np.array([0.1, 0.5, 0.9]),
                colors="white", linewidths=0.9,
            )  # fmt: skip
        span = f"day {end:g}" if end - begin < 0.3 else f"mean of days {begin:g} to {end:g}"
        axes.set_title(f"{title}, {span}", fontsize=9, color=_INK, loc="left")
        axes.set_xlim(0.0, 360.0)
        axes.set_ylim(-90.0, 90.0)
        axes.xaxis.set_major_locator(FixedLocator(list(range(0, 361, 60))))
        axes.yaxis.set_major_locator(FixedLocator([-60, -30, 0, 30, 60]))
        axes.set_ylabel("Latitude [degrees north]", fontsize=8, color=_INK)
        axes.tick_params(colors=_INK, labelsize=8, length=3)
        for spine in axes.spines.values():
            spine.set_color(_EDGE)
    rows[-1].set_xlabel("Longitude [degrees east]", fontsize=8, color=_INK)
    bar = figure.colorbar(filled, ax=figure.axes, orientation="horizontal", aspect=50, pad=0.01)
    bar.set_label(kind.units, fontsize=8, color=_INK)
    bar.ax.tick_params(labelsize=7, colors=_INK)
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    figure.suptitle(folder.resolve().name, fontsize=9, color=_INK)
    return figure
