"""The pictures of a comparison, drawn without a display and returned as PNG bytes.

Sections have the logarithm of pressure as height. Both runs share one scale; their difference has
its own, centred on zero. Dots mark where the difference is no larger than what a run differs from
itself between its halves.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from coupler.compare.climate import F64, Climate
from coupler.interface.errors import DataError

COLOUR_A, COLOUR_B = "#1b5e9e", "#c8501e"
_INK = "#24292f"
_DPI = 150


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI, facecolor="white")
    return stream.getvalue()


def nice_step(largest: float, count: int) -> float:
    """The smallest round number that covers `largest` in `count` steps."""
    if not largest > 0.0:
        return 1.0
    raw = largest / count
    power = 10.0 ** np.floor(np.log10(raw))
    return float(
        next(
            m * power
            for m in (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
            if m * power >= raw * 0.999
        )
    )


def linear_levels(values: Sequence[F64], *, diverging: bool, count: int = 10) -> F64:
    """Contour levels that cover almost all of `values`; symmetric about zero when diverging.

    Raises:
        DataError: when none of `values` is finite.
    """
    data = np.concatenate([v.ravel() for v in values])
    data = data[np.isfinite(data)]
    if not data.size:
        raise DataError.of(
            "nothing to draw",
            "a field without a finite value",
            remedy="look for what blew up, or leave the field out",
        )
    if diverging:
        step = nice_step(float(np.percentile(np.abs(data), 99.5)), count // 2)
        return np.asarray(step * (np.arange(-(count // 2), count // 2 + 1)))
    low, high = np.percentile(data, [0.2, 99.8])
    step = nice_step(float(high - low), count)
    first = np.floor(low / step)
    return np.asarray(step * np.arange(first, np.ceil(high / step) + 1))


def decade_levels(values: Sequence[F64], *, decades: int = 3) -> F64:
    """Levels 1, 3, 10, ... of both signs that reach the largest of `values` from below."""
    largest = max(float(np.nanmax(np.abs(v))) for v in values)
    top = np.ceil(2.0 * np.log10(largest)) / 2.0 if largest > 0.0 else 0.0
    exponents = np.arange(top - decades, top + 0.25, 0.5)
    mantissa = np.where(np.isclose(exponents % 1.0, 0.5), 3.0, 1.0)
    sizes = mantissa * 10.0 ** np.floor(exponents + 1e-9)
    return np.concatenate([-sizes[::-1], sizes])


def _pressure_axis(axes: Axes, p: F64, *, labels: bool) -> None:
    bottom, top = float(p.max()) / 100.0, max(float(p.min()) / 100.0, 0.01)
    axes.set_yscale("log")
    axes.set_ylim(bottom, top)
    ticks = [m * 10.0**e for e in range(-2, 4) for m in (1, 2, 5) if top <= m * 10.0**e <= bottom]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel("Pressure [hPa]" if labels else "")
    axes.tick_params(labelleft=labels)


def _latitude_axis(axes: Axes, lat: F64) -> None:
    def name(value: float, _: int) -> str:
        return "EQ" if value == 0 else f"{abs(value):g}°{'N' if value > 0 else 'S'}"

    axes.set_xlim(float(lat[0]), float(lat[-1]))
    axes.xaxis.set_major_locator(FixedLocator([-60, -30, 0, 30, 60]))
    axes.xaxis.set_major_formatter(FuncFormatter(name))


def _style(axes: Axes) -> None:
    axes.tick_params(colors=_INK, labelsize=8, length=3)
    for spine in axes.spines.values():
        spine.set_color("#8c959f")


def _fill(axes: Axes, run: Climate, values: F64, levels: F64, colours: str) -> QuadContourSet:
    lat = np.broadcast_to(run.lat, run.p.shape)
    return axes.contourf(
        lat,
        run.p / 100.0,
        values,
        levels=levels,
        cmap=colours,
        norm=BoundaryNorm(levels, 256, extend="both"),
        extend="both",
    )


def _lines(axes: Axes, run: Climate, values: F64, levels: F64) -> None:
    if values.min() >= levels[-1] or values.max() <= levels[0]:
        return
    lat = np.broadcast_to(run.lat, run.p.shape)
    lines = axes.contour(
        lat,
        run.p / 100.0,
        values,
        levels=levels,
        colors=_INK,
        linewidths=np.where(np.isclose(levels, 0.0), 1.1, 0.5).tolist(),
        negative_linestyles="dashed",
    )
    axes.clabel(lines, fontsize=6, fmt="%g")


def section_triptych(
    a: Climate,
    b: Climate,
    name: str,
    units: str,
    *,
    scale: float = 1.0,
    diverging: bool = True,
    decades: bool = False,
    wind_lines: bool = False,
) -> bytes:
    """Run A, run B and B minus A of a zonal mean, side by side.

    Args:
        a: run A.
        b: run B, on the same grid.
        name: a key of `Climate.sections`.
        units: of the picture, for the colour bars.
        scale: from SI to `units`.
        diverging: colours centred on zero.
        decades: colour steps of half a decade, for what spans orders of magnitude.
        wind_lines: overlay the run's zonal wind instead of contours of the field itself.
    """
    first, second = scale * a.section(name), scale * b.section(name)
    change = second - first
    if decades:
        levels, own = decade_levels([first, second]), decade_levels([change])
    else:
        levels = linear_levels([first, second], diverging=diverging, count=14)
        own = linear_levels([change], diverging=True)
    colours = "RdBu_r" if diverging else "RdYlBu_r"

    figure = Figure(figsize=(12.0, 4.3), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for axes, run, values, title in (
        (panels[0], a, first, a.title),
        (panels[1], b, second, b.title),
    ):
        filled = _fill(axes, run, values, levels, colours)
        if wind_lines:
            _lines(axes, run, run.section("ua"), np.arange(-80.0, 161.0, 20.0))
        elif not decades:
            even = np.isclose(np.round(levels / (levels[1] - levels[0])) % 2.0, 0.0)
            _lines(axes, run, values, levels[even])
        axes.set_title(title, fontsize=10, color=_INK, loc="left")
    difference = _fill(panels[2], a, change, own, "PuOr_r")
    panels[2].set_title("Difference, second minus first", fontsize=10, color=_INK, loc="left")
    if a.has_halves and b.has_halves:
        noise = np.maximum(*(scale * np.abs(c.section(name, "second") - c.section(name, "first"))
                             for c in (a, b)))  # fmt: skip
        k, j = np.nonzero(np.abs(change) <= noise)
        panels[2].scatter(a.lat[j], a.p[k, j] / 100.0, s=1.6, c=_INK, linewidths=0, alpha=0.75)
    pressure = np.concatenate([a.p, b.p])
    for number, axes in enumerate(panels):
        _pressure_axis(axes, pressure, labels=number == 0)
        _latitude_axis(axes, a.lat)
        _style(axes)
    for content, where in ((filled, list(panels[:2])), (difference, [panels[2]])):
        bar = figure.colorbar(
            content, ax=where, orientation="horizontal", aspect=45 if len(where) == 2 else 22,
            pad=0.03, shrink=0.9,
        )  # fmt: skip
        bar.set_label(units, fontsize=8, color=_INK)
        bar.ax.tick_params(labelsize=7, colors=_INK)
        bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return _png(figure)


def latitude_lines(a: Climate, b: Climate, wanted: Sequence[tuple[str, str, str, float]]) -> bytes:
    """Time-mean zonal means against latitude, both runs, with the range of their halves.

    Args:
        a: run A.
        b: run B.
        wanted: name, title, units and scale of each panel.
    """
    figure = Figure(figsize=(12.0, 3.5), layout="constrained")
    for axes, (name, title, units, scale) in zip(
        figure.subplots(1, len(wanted), squeeze=False)[0], wanted, strict=True
    ):
        for run, colour in ((a, COLOUR_A), (b, COLOUR_B)):
            lat = run.bands[name].lat
            if run.has_halves:
                halves = [scale * run.band(name, "first"), scale * run.band(name, "second")]
                axes.fill_between(lat, *halves, color=colour, alpha=0.18, linewidth=0)
            axes.plot(lat, scale * run.band(name), color=colour, lw=1.8, label=run.title)
        axes.set_title(title, fontsize=10, color=_INK, loc="left")
        axes.set_ylabel(units, fontsize=8, color=_INK)
        axes.grid(color="#d8dee4", lw=0.6)
        _latitude_axis(axes, a.bands[name].lat)
        _style(axes)
        axes.legend(fontsize=8, frameon=False)
    return _png(figure)


def time_series(a: Climate, b: Climate) -> bytes:
    """Global means of every output interval of both runs."""
    panels: list[tuple[str, str, list[F64]]] = []
    for name, title, units, scale in (
        ("ts", "Surface temperature", "K", 1.0),
        ("pr", "Precipitation", "mm day$^{-1}$", 86400.0),
        ("rlut", "Outgoing longwave radiation", "W m$^{-2}$", 1.0),
    ):
        if name in a.bands and name in b.bands:
            panels.append((title, units, [scale * c.bands[name].global_mean() for c in (a, b)]))
    for name, title, scale, units in (
        ("water", "Water vapour", 1.0, "kg m$^{-2}$"),
        ("thermal", "Thermal and latent energy of the air", 1e-9, "GJ m$^{-2}$"),
        ("kinetic", "Kinetic energy of the mean winds", 1e-6, "MJ m$^{-2}$"),
    ):
        if a.air[name].any() or b.air[name].any():
            panels.append((title, units, [scale * c.air[name] for c in (a, b)]))

    columns = 3 if len(panels) > 2 else len(panels)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(12.0, 2.7 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (title, units, series) in zip(grid, panels, strict=False):
        for run, values, colour in zip((a, b), series, (COLOUR_A, COLOUR_B), strict=True):
            marker = "o" if run.days.size < 16 else None
            axes.plot(run.days, values, color=colour, lw=1.5, marker=marker, ms=3, label=run.title)
        axes.set_title(title, fontsize=10, color=_INK, loc="left")
        axes.set_ylabel(units, fontsize=8, color=_INK)
        axes.set_xlabel("Day of the run", fontsize=8, color=_INK)
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.grid(color="#d8dee4", lw=0.6)
        _style(axes)
    grid[0].legend(fontsize=8, frameon=False)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    return _png(figure)
