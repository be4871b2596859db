"""Pictures for the page of test cases, drawn without a display and returned as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator
from PIL import Image

INK, EDGE = "#24292f", "#8c959f"
DPI = 110


def png(figure: Figure) -> bytes:
    """The figure as a PNG of 128 colours, small enough for a repository."""
    FigureCanvasAgg(figure)
    whole, small = io.BytesIO(), io.BytesIO()
    figure.savefig(whole, format="png", dpi=DPI, facecolor="white")
    Image.open(whole).convert("RGB").quantize(128).save(small, format="PNG", optimize=True)
    return small.getvalue()


def plain(figure: Figure) -> bytes:
    """The figure as a PNG with all its colours."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    return drawn.getvalue()


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """One map or section."""

    title: str
    values: Any
    """[lat, lon] or [level, lat]."""
    levels: Any
    lat: Any
    """[degrees_north]."""
    lon: Any = None
    """[degrees_east]; none for a section."""
    sigma: Any = None
    """Height of a section [1]; none for a map."""
    pressure: Any = None
    """Or its pressure [hPa], drawn as a logarithm."""
    colours: str = "viridis"
    middle: float | None = None
    """Value of the colours' middle."""


def at_pressure(field: Any, full: Any, pressure: float) -> Any:
    """A field [level, lat, lon] at a pressure [Pa], linear in ln p, [lat, lon].

    Args:
        field: on levels.
        full: pressure of the levels [Pa], [level, lat, lon].
        pressure: wanted [Pa]; below the lowest level its value is continued.
    """
    ln_p, wanted = np.log(full), np.log(pressure)
    k = np.clip((ln_p < wanted).sum(0) - 1, 0, ln_p.shape[0] - 2)[None]
    upper, lower = np.take_along_axis(ln_p, k, 0), np.take_along_axis(ln_p, k + 1, 0)
    above, under = np.take_along_axis(field, k, 0), np.take_along_axis(field, k + 1, 0)
    return (above + (wanted - upper) / (lower - upper) * (under - above))[0]


def _style(axes: Any) -> None:
    axes.tick_params(colors=INK, labelsize=7, length=3)
    for spine in axes.spines.values():
        spine.set_color(EDGE)


def _fill(figure: Figure, axes: Any, panel: Panel, across: Any, up: Any, values: Any) -> None:
    import matplotlib

    levels = np.asarray(panel.levels)
    colours = matplotlib.colormaps[panel.colours]
    if panel.middle is None:
        norm: Any = BoundaryNorm(levels, 256, extend="both")
    else:
        reach = float(np.abs(levels - panel.middle).max())
        norm = TwoSlopeNorm(panel.middle, panel.middle - reach, panel.middle + reach)
    filled = axes.contourf(
        across, up, values, levels=levels, extend="both", cmap=colours, norm=norm
    )
    axes.contour(across, up, values, levels=levels, colors=INK, linewidths=0.35)
    bar = figure.colorbar(filled, ax=axes, orientation="horizontal", aspect=35, pad=0.02)
    bar.ax.tick_params(labelsize=6, colors=INK, length=2)
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_title(panel.title, fontsize=8, color=INK, loc="left")
    _style(axes)


def sphere_panels(
    panels: Sequence[Panel],
    *,
    columns: int,
    window: tuple[float, float, float, float] = (0.0, 360.0, -90.0, 90.0),
    size: tuple[float, float] = (3.6, 1.9),
) -> bytes:
    """Maps in rows of `columns`, in a window of longitudes and latitudes."""
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    for axes, panel in zip(figure.subplots(rows, columns, squeeze=False).ravel(), panels,
                           strict=False):  # fmt: skip
        around = np.append(panel.lon, panel.lon[0] + 360.0)  # the map closes at 360 east
        closed = np.concatenate([panel.values, panel.values[:, :1]], axis=1)
        _fill(figure, axes, panel, around, panel.lat, closed)
        axes.set_xlim(*window[:2])
        axes.set_ylim(*window[2:])
        axes.xaxis.set_major_locator(MultipleLocator(45.0 if window[1] - window[0] > 200 else 30.0))
        axes.yaxis.set_major_locator(MultipleLocator(30.0))
    return png(figure)


def section_panels(
    panels: Sequence[Panel], *, columns: int, size: tuple[float, float] = (3.2, 2.7)
) -> bytes:
    """Sections of latitude and height in rows of `columns`."""
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for number, (axes, panel) in enumerate(zip(grid.ravel(), panels, strict=False)):
        up = panel.sigma if panel.pressure is None else panel.pressure
        _fill(figure, axes, panel, panel.lat, up, panel.values)
        if panel.pressure is not None:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_ylim(float(np.max(up)), float(np.min(up)))
        axes.set_xlim(-90.0, 90.0)
        axes.xaxis.set_major_locator(MultipleLocator(30.0))
        if number % columns == 0:
            axes.set_ylabel("sigma" if panel.pressure is None else "Pressure [hPa]", fontsize=7,
                            color=INK)  # fmt: skip
    for axes in grid.ravel()[len(panels) :]:
        axes.set_visible(False)
    return png(figure)
