"""Where a scheme has skill and at which scales, as two small pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from coupler.compare.answers import Answers
from coupler.compare.drawings import (
    INK,
    REFERENCE_COLOUR,
    as_png,
    colour,
    latitudes,
    plain,
    pressure_axis,
)
from coupler.compare.findings import Findings
from coupler.compare.foretold import Picture
from coupler.compare.scales import LAYERS, ScaleSkill

F64 = NDArray[np.float64]
_STEPS = np.linspace(-1.0, 1.0, 11)
_TOO_LITTLE = 0.005
"""Share of the power below which a layer is in the table only."""
_ROWS = 6
"""Candidates in the picture of places; more are in report.nc."""


def _shown(found: Findings) -> tuple[str, Mapping[str, Answers]]:
    """The kind of answers with maps: whole fields before what a recording holds of them."""
    kinds = (("in the shadow", found.shadow), ("on own states", found.own_states),
             ("offline", found.offline))  # fmt: skip
    for where, answers in kinds:
        known = {n: a for n, a in answers.items() if a.places}
        if known:
            return where, known
    return "", {}


def gallery(found: Findings) -> list[Picture]:
    """Heading, caption and picture of what there is."""
    where, _ = _shown(found)
    by_place = (
        f"R2 {where}: left of each column over its levels (by mass) and times, right of each "
        "latitude and level over longitudes and times. Blue has skill, red is worse than the mean "
        "of the truth there, grey has no number: what hardly varies is easily red. r, other "
        "outputs and kinds are in report.nc."
    )
    by_scale = (
        "In the shadow of the reference's run: power of the tendency by zonal wavenumber, and "
        "below it that of the candidate over that of the truth. The percentage is what the layer "
        "has of the power in the column, by mass; layers with less than half a percent are in the "
        "table alone."
    )
    wanted = [
        ("Skill by place", by_place, skill_by_place(found)),
        ("Scales of the tendency", by_scale, scales_of_tendency(found)),
    ]
    return [(heading, text, png) for heading, text, png in wanted if png is not None]


def skill_by_place(found: Findings) -> bytes | None:
    """Map and section of R2 of the first output of each candidate."""
    _, answers = _shown(found)
    if not answers:
        return None
    names = list(answers)[:_ROWS]
    figure = Figure(figsize=(8.4, 2.3 * len(names) + 0.3), layout="constrained")
    shades = colormaps["RdBu"].resampled(_STEPS.size - 1).with_extremes(under="#3a0011")
    shade = ScalarMappable(norm=BoundaryNorm(_STEPS, _STEPS.size - 1), cmap=shades)
    how: dict[str, Any] = {"cmap": shade.cmap, "norm": shade.norm, "shading": "nearest"}
    for i, name in enumerate(names):
        own = answers[name].places[0]
        left = figure.add_subplot(len(names), 2, 2 * i + 1)
        right = figure.add_subplot(len(names), 2, 2 * i + 2)
        for axes in (left, right):
            axes.set_facecolor("#c8ccd0")
            axes.tick_params(labelsize=8, colors=INK)
        left.pcolormesh(own.lon, own.lat, own.map_r2, **how)
        left.yaxis.set_major_locator(FixedLocator([-60, -30, 0, 30, 60]))
        left.set_title(f"{name}: R$^2$ of {own.of}, column", fontsize=10, loc="left", color=INK)
        right.pcolormesh(own.lat, own.pressure / 100.0, own.section_r2, **how)
        pressure_axis(right, own.pressure)
        latitudes(right, own.lat)
        right.set_ylabel("hPa", fontsize=9)
        right.set_title("by latitude and pressure", fontsize=10, loc="left", color=INK)
    bar = figure.colorbar(shade, ax=figure.axes, extend="min", pad=0.02,
                          shrink=0.7 if len(names) > 1 else 0.95)  # fmt: skip
    bar.set_label("R$^2$", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return as_png(figure)


def scales_of_tendency(found: Findings) -> bytes | None:
    """Power of the first output by zonal wavenumber, and its ratio, in each layer."""
    known = {n: a.scales for n, a in found.shadow.items() if a.scales}
    if not known:
        return None
    first = next(iter(known.values()))[0].of
    rows: dict[str, dict[str, ScaleSkill]] = {
        layer: {n: s for n, of in known.items() for s in of if (s.of, s.layer) == (first, layer)}
        for layer, _, _ in LAYERS
    }
    rows = {
        layer: of for layer, of in rows.items() if any(s.share > _TOO_LITTLE for s in of.values())
    }
    figure = Figure(figsize=(2.8 * max(2, len(rows)), 4.2), layout="constrained")
    grid = figure.subplots(2, len(rows), squeeze=False, sharex=True, height_ratios=(1.4, 1.0))
    for i, (layer, of) in enumerate(rows.items()):
        power, ratio = grid[:, i]
        one = next(iter(of.values()))
        k = np.arange(1, one.truth.size)
        power.loglog(k, one.truth[1:], color=REFERENCE_COLOUR, lw=2.0, label=found.truth_name)
        ratio.axhline(1.0, color=REFERENCE_COLOUR, lw=1.2)
        for name, s in of.items():
            tint = colour(found.plan.names, name)
            if np.isfinite(s.prediction).all():
                power.loglog(k, s.prediction[1:], color=tint, lw=1.5, label=name)
                ratio.semilogx(k, s.prediction[1:] / s.truth[1:], color=tint, lw=1.5)
        plain(power, f"{first}, {layer} ({100 * one.share:.0f} %)")
        plain(ratio)
        power.set_ylim(bottom=max(power.get_ylim()[0], 1e-7 * power.get_ylim()[1]))
        ratio.set_yscale("log")
        for axes in (power, ratio):
            axes.tick_params(which="both", labelsize=8)
        low, high = ratio.get_ylim()
        ratio.set_ylim(min(max(low, 1e-2), 0.5), max(min(high, 1e2), 2.0))
        ratio.xaxis.set_major_locator(FixedLocator([1, 2, 3, 5, 10, 20, 50, 100]))
        ratio.xaxis.set_minor_locator(NullLocator())
        for axis in (ratio.yaxis, ratio.xaxis):
            axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        ratio.set_xlabel("zonal wavenumber", fontsize=9)
        if i == 0:
            power.set_ylabel(f"power [{one.units.replace(')2', ')$^2$')}]", fontsize=8)
            ratio.set_ylabel("over truth", fontsize=9)
            power.legend(fontsize=8, frameon=False)
    return as_png(figure)
