"""Maps of one layer of fluid, as the papers of its test cases show them.

Three times, at one, two and three thirds of the run: the shape of the free surface with the ground
below it, or the vorticity.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import NDArray

from coupler.compare.pictures import linear_levels
from coupler.interface.constants import SECONDS_PER_DAY
from coupler.interface.errors import DataError

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


HEIGHT = MapKind(name="zg", title="Height of the free surface", units="m")
VORTICITY = MapKind(
    name="rv", title="Relative vorticity", units="10$^{-5}$ s$^{-1}$", scale=1e5, diverging=True
)


def map_figure(folder: Path, kind: MapKind, *, skip_days: float = 0.0) -> Figure:
    """Maps of the run in `folder` at three times that end with its last.

    Args:
        folder: of the run.
        kind: what to show.
        skip_days: days at the start to leave out.

    Raises:
        DataError: when there is no run, no such variable, levels, or nothing left.
    """
    path = folder / "atmosphere.nc"
    if not path.is_file():
        raise DataError.of(
            "no such file", str(path), remedy="give the folder of a run that has finished"
        )
    coder = xr.coders.CFDatetimeCoder(use_cftime=True)
    with xr.open_dataset(path, decode_times=coder) as data:
        if kind.name not in data or not data.sizes.get("time"):
            raise DataError.of(
                "missing variable",
                kind.name,
                expected=f"at least one record in {path}",
                remedy="add it to output.fields of the case, if its atmosphere has it",
            )
        if data[kind.name].dims != ("time", "lat", "lon"):
            raise DataError.of(
                "no map of a variable on levels",
                kind.name,
                found=", ".join(str(d) for d in data[kind.name].dims),
                remedy="use --kind sections",
            )
        bounds = data["time_bnds"].values
        since = np.array([(t - bounds[0, 0]).total_seconds() for t in bounds.ravel()])
        days = since.reshape(bounds.shape) / SECONDS_PER_DAY
        kept = np.flatnonzero(days[:, 0] >= skip_days - 1e-9)
        if not kept.size:
            raise DataError.of(
                "nothing left of a run",
                str(path),
                expected=f"more than {skip_days:g} days",
                found=f"{days.max():g} days",
                remedy="leave out fewer days or run longer",
            )
        first = skip_days if skip_days > 0.0 else 0.0
        wanted = first + (days[-1, 1] - first) * (np.arange(_PANELS) + 1.0) / _PANELS
        ends = days[kept, 1]
        shown = sorted({int(kept[np.argmin(np.abs(ends - w))]) for w in wanted})
        fields = kind.scale * np.asarray(data[kind.name].values[shown], np.float64)
        ground = np.asarray(data["orog"].values[-1], np.float64) if "orog" in data else None
        lat, lon = data["lat"].values, data["lon"].values
    return _draw(folder, kind, days[shown], fields, ground, lat, lon)


def _draw(
    folder: Path,
    kind: MapKind,
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
        closed = np.concatenate([field, field[:, :1]], axis=1)
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
        axes.set_title(f"{kind.title}, {span}", fontsize=9, color=_INK, loc="left")
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
