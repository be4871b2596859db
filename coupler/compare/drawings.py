"""The pictures of a study: ensembles, with what of a difference could be weather marked by dots."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from coupler.compare.answers import Answers
from coupler.compare.candidates import REFERENCE
from coupler.compare.findings import Ensemble, Findings
from coupler.compare.pictures import linear_levels
from coupler.compare.starts import mean_curve
from coupler.interface.constants import SECONDS_PER_DAY

F64 = NDArray[np.float64]
COLOURS = ("#c8501e", "#7a3fa0", "#1f8a5b", "#b8860b", "#c2185b", "#00838f")
REFERENCE_COLOUR = "#1b5e9e"
INK = "#24292f"


def colour(names: Sequence[str], name: str) -> str:
    """Of a candidate, the same in all pictures and tables: `names` are `Plan.names`."""
    return REFERENCE_COLOUR if name == REFERENCE else COLOURS[names.index(name) % len(COLOURS)]


def as_png(figure: Figure) -> bytes:
    """A finished figure."""
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, facecolor="white")
    return stream.getvalue()


def plain(axes: Axes, title: str = "") -> None:
    """The look that all pictures share."""
    axes.tick_params(colors=INK, labelsize=9, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#8c959f")
    axes.grid(color="#e6e9ec", linewidth=0.8)
    axes.set_axisbelow(True)
    if title:
        axes.set_title(title, fontsize=10, loc="left", color=INK)


def pressure_axis(axes: Axes, levels: F64, *, log: bool = True) -> None:
    """Pressure [hPa] downwards, of levels [Pa]."""
    p = levels / 100.0
    if log:
        axes.set_yscale("log")
    axes.set_ylim(float(p.max()), float(p.min()))
    ticks = [t for t in (1000, 850, 500, 250, 100, 50, 10, 3, 1, 0.5) if p.min() <= t <= p.max()]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def latitudes(axes: Axes, lat: F64) -> None:
    """Latitude as the horizontal axis."""
    axes.set_xlim(float(lat[0]), float(lat[-1]))
    axes.xaxis.set_major_locator(FixedLocator([-60, -30, 0, 30, 60]))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda v, _: "EQ" if v == 0 else f"{abs(v):g}{'N' if v > 0 else 'S'}")
    )


def _noise(one: Sequence[F64], other: Sequence[F64]) -> F64:
    """Twice the standard error of the difference of two ensemble means; inf below two members."""
    if len(one) < 2 or len(other) < 2:
        return np.full(np.shape(one[0] if one else other[0]), np.inf)
    return np.asarray(
        2.0 * np.sqrt(np.var(one, axis=0, ddof=1) / len(one)
                      + np.var(other, axis=0, ddof=1) / len(other))
    )  # fmt: skip


def panels(
    found: Findings, what: str, of: str, units: str, *, scale: float = 1.0, diverging: bool = True
) -> bytes | None:
    """The reference, and each candidate less the reference; sections or maps by the shape.

    Args:
        found: of a study.
        what: ``sections`` or ``maps``.
        of: the field.
        units: after `scale`.
        scale: of the values.
        diverging: whether the reference's own colours are centred on zero.
    """
    names = [n for n in found.ensembles if getattr(found.ensembles[n], what).get(of)]
    if REFERENCE not in names or len(names) < 2:
        return None
    stacks = {n: [scale * x for x in getattr(found.ensembles[n], what)[of]] for n in names}
    reference = np.mean(stacks[REFERENCE], axis=0)
    others = [n for n in names if n != REFERENCE]
    change = {n: np.mean(stacks[n], axis=0) - reference for n in others}
    own = linear_levels([reference], diverging=diverging)
    apart = linear_levels(list(change.values()), diverging=True)
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    high = (3.2 if what == "sections" else 2.5) * rows + 0.3
    figure = Figure(figsize=(3.5 * columns + 0.4, high), layout="constrained")
    for i, name in enumerate([REFERENCE, *others]):
        axes = figure.add_subplot(rows, columns, i + 1)
        first = name == REFERENCE
        values, levels = (reference, own) if first else (change[name], apart)
        map_ = ("RdBu_r" if diverging else "viridis") if first else "RdBu_r"
        x, y = (found.lat, found.levels / 100.0) if what == "sections" else (found.lon, found.lat)
        steps = BoundaryNorm(levels, 256, extend="both")
        shade = axes.contourf(x, y, values, levels=levels, cmap=map_, norm=steps, extend="both")
        if not first:
            independent = stacks[REFERENCE][:: max(1, found.block)]
            weather = np.abs(values) <= _noise(stacks[name], independent)
            j, k = np.meshgrid(x, y)
            axes.plot(j[weather], k[weather], ".", color=INK, markersize=1.0, alpha=0.6)
        title = f"{found.truth_name}" if first else f"{name} less reference"
        axes.set_title(title, fontsize=10, loc="left", color=INK)
        axes.tick_params(labelsize=8, colors=INK)
        if what == "sections":
            pressure_axis(axes, found.levels)
            latitudes(axes, found.lat)
            axes.set_ylabel("hPa" if i % columns == 0 else "", fontsize=9)
        else:
            axes.set_yticks([-60, -30, 0, 30, 60])
        bar = figure.colorbar(shade, ax=axes, shrink=0.9, pad=0.02)
        bar.ax.tick_params(labelsize=7)
        bar.set_label(units, fontsize=8)
    return as_png(figure)


def spectra(found: Findings) -> bytes | None:
    """Kinetic energy by zonal wavenumber in two belts, and the range of the reference's members."""
    names = [n for n in found.ensembles if found.ensembles[n].spectra]
    if REFERENCE not in names:
        return None
    bands = list(found.ensembles[REFERENCE].spectra)
    figure = Figure(figsize=(4.2 * len(bands), 3.4), layout="constrained")
    for i, band in enumerate(bands):
        axes = figure.add_subplot(1, len(bands), i + 1)
        members = np.array(found.ensembles[REFERENCE].spectra[band])
        k = np.arange(1, int(2 * members.shape[1] / 3) + 1)  # beyond there is no dynamics
        members = members[:, : k.size]
        axes.fill_between(
            k, members.min(0), members.max(0), color=REFERENCE_COLOUR, alpha=0.18, lw=0
        )
        for name in names:
            power = np.mean(found.ensembles[name].spectra[band], axis=0)[: k.size]
            axes.loglog(k, power, color=colour(found.plan.names, name), lw=1.6,
                        label=found.truth_name if name == REFERENCE else name)  # fmt: skip
        plain(axes, f"250 hPa, {band}")
        axes.set_xlabel("zonal wavenumber", fontsize=9)
        axes.set_ylabel("kinetic energy [m$^2$ s$^{-2}$]" if i == 0 else "", fontsize=9)
        if i == 0:
            axes.legend(fontsize=8, frameon=False)
    return as_png(figure)


def error_growth(found: Findings) -> bytes | None:
    """How runs of the same start part, beside how the reference's own repeats do."""
    reference = found.ensembles.get(REFERENCE)
    control = list(reference.partings.values()) if reference is not None else []
    if not control:
        return None
    fields = [f for f in ("ua", "ta") if f in control[0].globe]
    labels = {"ua": "zonal wind [m s$^{-1}$]", "ta": "temperature [K]"}
    figure = Figure(figsize=(4.4 * len(fields), 3.4), layout="constrained")
    for i, of in enumerate(fields):
        axes = figure.add_subplot(1, len(fields), i + 1)
        days, mean, low, high = mean_curve(control, of)
        axes.fill_between(days, low, high, color=REFERENCE_COLOUR, alpha=0.18, lw=0)
        axes.plot(days, mean, color=REFERENCE_COLOUR, lw=1.6, label="reference, perturbed repeats")
        for name, ensemble in found.ensembles.items():
            if name == REFERENCE or not ensemble.partings:
                continue
            days, mean, low, high = mean_curve(list(ensemble.partings.values()), of)
            tint = colour(found.plan.names, name)
            axes.fill_between(days, low, high, color=tint, alpha=0.12, lw=0)
            axes.plot(days, mean, color=tint, lw=1.6, label=f"{name}, same start")
        plain(axes, f"rms difference from the reference, {labels[of]}")
        axes.set_xlabel("day", fontsize=9)
        axes.set_ylim(bottom=0.0)
        if i == 0:
            axes.legend(fontsize=8, frameon=False)
    return as_png(figure)


def survivors(found: Findings) -> bytes | None:
    """Share of members alive, with Wilson's interval."""
    if not found.survival:
        return None
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    axes = figure.add_subplot()
    for name, s in found.survival.items():
        tint = colour(found.plan.names, name)
        axes.fill_between(s.days, s.low, s.high, step="post", color=tint, alpha=0.12, lw=0)
        axes.step(s.days, s.share, where="post", color=tint, lw=1.8, label=name)
    plain(axes)
    axes.set_xlabel("day", fontsize=9)
    axes.set_ylabel("share alive", fontsize=9)
    axes.set_ylim(-0.03, 1.05)
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    return as_png(figure)


def equatorial_wind(found: Findings) -> bytes | None:
    """Zonal wind over the equator against time and height, mean of the members."""
    names = [n for n, e in found.ensembles.items() if e.equator]
    if not names:
        return None
    upper = found.levels <= 110e2
    upper = upper if upper.sum() > 1 else np.ones(found.levels.size, bool)
    means = {n: np.mean(found.ensembles[n].equator, axis=0)[:, upper] for n in names}
    levels = linear_levels(list(means.values()), diverging=True)
    figure = Figure(figsize=(8.4, 1.9 * len(names) + 0.3), layout="constrained")
    shade = None
    for i, name in enumerate(names):
        axes = figure.add_subplot(len(names), 1, i + 1)
        days = found.days[: means[name].shape[0]]
        if days.size < 2:
            return None
        shade = axes.contourf(days, found.levels[upper] / 100.0, means[name].T, levels=levels,
                              cmap="RdBu_r", norm=BoundaryNorm(levels, 256, extend="both"),
                              extend="both")  # fmt: skip
        pressure_axis(axes, found.levels[upper])
        axes.set_title(found.truth_name if name == REFERENCE else name, fontsize=10, loc="left")
        axes.set_ylabel("hPa", fontsize=9)
        axes.tick_params(labelsize=8, labelbottom=i == len(names) - 1)
    axes.set_xlabel("day", fontsize=9)
    if shade is not None:
        figure.colorbar(shade, ax=figure.axes, shrink=0.6).set_label("m s$^{-1}$", fontsize=8)
    return as_png(figure)


def skill_by_level(found: Findings) -> bytes | None:
    """R2 and amplitude against pressure: offline, in the shadow, on own states."""
    kinds: Sequence[tuple[str, Mapping[str, Answers], str]] = (
        ("offline", found.offline, "-"),
        ("shadow", found.shadow, "--"),
        ("own states", found.own_states, ":"),
    )
    names = found.plan.judged_names
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    drawn = False
    for i, (of, title) in enumerate((("level_r2", "R$^2$"), ("level_amplitude", "amplitude"))):
        axes = figure.add_subplot(1, 2, i + 1)
        axes.axvline(1.0, color="#8c959f", lw=0.8)
        low = np.inf
        for where, answers, style in kinds:
            for name in names:
                outputs = answers[name].outputs if name in answers else ()
                if not outputs:
                    continue
                first = outputs[0]
                values = np.asarray(getattr(first, of), np.float64)
                shown = np.clip(values, -1.05, None) if of == "level_r2" else values
                tint = colour(found.plan.names, name)
                axes.plot(shown, first.pressure / 100.0, style, color=tint, lw=1.6,
                          label=f"{name}, {where}")  # fmt: skip
                low = min(low, float(first.pressure.min()))
                drawn = True
        if not np.isfinite(low):
            return None
        plain(
            axes,
            f"{title} of the tendency of {outputs_of(found)}",
        )
        pressure_axis(axes, np.array([1000e2, low]))
        if of == "level_r2":
            axes.set_xlim(-1.05, 1.05)
            axes.set_ylabel("hPa", fontsize=9)
            axes.legend(fontsize=8, frameon=False, loc="lower left")
    return as_png(figure) if drawn else None


def outputs_of(found: Findings) -> str:
    """The first variable that candidates change."""
    for answers in (found.offline, found.shadow, found.own_states):
        for a in answers.values():
            if a.outputs:
                return a.outputs[0].of
    return ""


def gallery(found: Findings) -> list[tuple[str, str, bytes]]:
    """Heading, caption and picture of all that there is to see."""
    dots = " Dots: within two standard errors of the difference of the ensemble means."
    drag = [n for n in next(iter(found.ensembles.values()), Ensemble(name="")).sections
            if n not in ("ua", "va", "ta", "hus")]  # fmt: skip
    wanted: list[tuple[str, str, bytes | None]] = [
        ("Skill by level", "Solid: on the recording; dashed: in the shadow of the reference's run; "
         "dotted: on the candidate's own states. R2 below -1 is drawn at the edge.",
         skill_by_level(found)),
        ("Zonal wind", "Time and zonal mean over the compared days, mean of the members." + dots,
         panels(found, "sections", "ua", "m s$^{-1}$")),
        ("Temperature", "Time and zonal mean." + dots,
         panels(found, "sections", "ta", "K", diverging=False)),
        *[(f"Tendency {name}", "Time and zonal mean of what the process does." + dots,
           panels(found, "sections", name, "per day", scale=SECONDS_PER_DAY)) for name in drag[:1]],
        ("Precipitation", "Time mean." + dots,
         panels(found, "maps", "pr", "mm day$^{-1}$", scale=SECONDS_PER_DAY, diverging=False)),
        ("Zonal wind at 250 hPa", "Time mean." + dots, panels(found, "maps", "ua", "m s$^{-1}$")),
        ("Spectra", "Kinetic energy by zonal wavenumber; shaded: range of the reference's members.",
         spectra(found)),
        ("Runs from the same start", "Mass-weighted; shaded: range over starts. The control is one "
         "member of the reference against the next.", error_growth(found)),
        ("Survival", "Share of the members that were still running, with its 95 % interval.",
         survivors(found)),
        ("Wind over the equator", "Mean of the members, upper levels, from the start of the runs.",
         equatorial_wind(found)),
    ]  # fmt: skip
    return [(heading, text, png) for heading, text, png in wanted if png is not None]
