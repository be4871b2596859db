"""Pictures of the linear analyses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from coupler.compare.candidates import NONE, REFERENCE
from coupler.compare.drawings import as_png, colour, plain, pressure_axis
from coupler.compare.foretold import Picture
from coupler.compare.stability.waves import FAST
from coupler.interface.constants import SECONDS_PER_DAY

if TYPE_CHECKING:
    from coupler.compare.stability.analysed import Analysed

_FLOW = "#6e7781"


def first(found: Mapping[str, Analysed], names: Sequence[str]) -> Picture | None:
    """Growth of the flow by wavenumber, and of gravity waves by wavelength.

    Args:
        found: what is known of those that were analysed.
        names: all candidates, which decides their colours.
    """
    shown = _answering(found, names)
    if not shown:
        return None
    with_modes = [n for n in (NONE, *shown) if found[n].modes is not None]
    with_waves = [n for n in shown if found[n].waves]
    if not with_modes and not with_waves:
        return None
    figure = Figure(figsize=(10.2, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for n in with_modes:
        modes = found[n].modes
        assert modes is not None
        flow = n == NONE
        left.errorbar(
            modes.wavenumber, modes.growth, yerr=modes.uncertainty,
            color=_FLOW if flow else colour(names, n), linestyle="--" if flow else "-", marker="o",
            markersize=3, linewidth=1.4, elinewidth=0.8,
            label="the flow without it" if flow else n,
        )  # fmt: skip
    plain(left, "Flow with the scheme: leading mode of each wavenumber")
    _zero(left, "zonal wavenumber")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    for n in with_waves:
        diagrams = found[n].waves.values()
        growth = np.stack(
            [np.where(d.speed > FAST, d.growth, -np.inf).max(axis=1) for d in diagrams]
        ).max(axis=0)
        length = next(iter(diagrams)).wavelengths / 1e3
        right.plot(length, growth, color=colour(names, n), linewidth=1.6, label=n)
    plain(right, f"Gravity waves above {FAST:g} m/s: fastest growth")
    _zero(right, "wavelength [km]")
    right.set_xscale("log")
    right.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    for axes in (left, right):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    return (
        "What linear analyses foretell",
        "Above zero it grows. Left: leading modes of one step of the dry flow about its zonal "
        "mean, with the scheme's linear response in it. Right: gravity waves of a resting column "
        "coupled to the response, the worst of all kinds of columns.",
        as_png(figure),
    )


def _answering(found: Mapping[str, Analysed], names: Sequence[str]) -> list[str]:
    """Schemes that respond to the state, the reference first."""
    own = {n: found[n].response for n in (REFERENCE, *names) if n in found}
    return [n for n, response in own.items() if response is not None and response.blocks]


def _zero(axes: Axes, label: str) -> None:
    axes.axhline(0.0, color="#24292f", linewidth=0.8)
    axes.set_xlabel(label, fontsize=9)
    axes.set_ylabel("growth [day$^{-1}$]", fontsize=9)


def more(found: Mapping[str, Analysed], names: Sequence[str]) -> list[Picture]:
    """Responses, stability diagrams and the pattern of the leading modes."""
    shown = _answering(found, names)
    pictures: list[Picture] = []
    if shown:
        pictures.append(_responses(found, shown))
    waves = [n for n in shown if found[n].waves]
    if waves:
        pictures.append(_diagrams(found, waves))
    modes = [n for n in shown if found[n].modes is not None]
    if modes:
        pictures.append(_patterns(found, modes))
    return pictures


def _panels(names: Sequence[str], height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(min(14.0, 1.2 + 3.6 * len(names)), height), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    return figure, list(axes)


def _responses(found: Mapping[str, Analysed], names: Sequence[str]) -> Picture:
    """The largest block of the response in the column where the reference's growth is largest."""
    lead = found[names[0]].response
    assert lead is not None
    size = {key: float(np.abs(x).mean()) * _TYPICAL[key[1]] / _TYPICAL[key[0]]
            for key, x in lead.blocks.items() if key[1] != "ps"}  # fmt: skip
    key = max(size, key=lambda k: size[k], default=("ua", "ua"))
    column = int(lead.growth().argmax())
    p = lead.columns.fields["pfull"][:, column] / 100.0
    figure, panels = _panels(names, 3.6)
    blocks = []
    for n in names:
        own = found[n].response
        assert own is not None
        blocks.append(own.block(*key)[column] * SECONDS_PER_DAY * _SCALE[key[1]] / _SCALE[key[0]])
    top = float(np.quantile(np.abs(np.stack(blocks)), 0.995)) or 1.0
    for axes, n, block in zip(panels, names, blocks, strict=True):
        drawn = axes.pcolormesh(p, p, block, cmap="RdBu_r", vmin=-top, vmax=top)
        plain(axes, n)
        axes.set_xscale("log")
        axes.set_xlim(p.max(), p.min())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.set_xlabel(f"{key[1]} at [hPa]", fontsize=9)
        pressure_axis(axes, 100.0 * p)
    panels[0].set_ylabel(f"rate of {key[0]} at [hPa]", fontsize=9)
    figure.colorbar(drawn, ax=panels, label=f"per day, {_NAMES[key[0]]} per {_NAMES[key[1]]}")
    return (
        "Linear response",
        f"How the rate of {key[0]} answers to {key[1]}, mean column: "
        f"{lead.columns.names[column]}; red on the diagonal amplifies itself.",
        as_png(figure),
    )


_TYPICAL = {"ua": 10.0, "va": 10.0, "ta": 5.0, "hus": 1e-3}
_SCALE = {"ua": 1.0, "va": 1.0, "ta": 1.0, "hus": 1e-3}
_NAMES = {"ua": "m/s", "va": "m/s", "ta": "K", "hus": "g/kg"}


def _diagrams(found: Mapping[str, Analysed], names: Sequence[str]) -> Picture:
    """Every mode of every wavelength by its phase speed and growth."""
    figure, panels = _panels(names, 3.6)
    for axes, n in zip(panels, names, strict=True):
        plain(axes, n)
        axes.axvspan(FAST, 400.0, color="#fdecea", zorder=0)
        for d in found[n].waves.values():
            size = np.broadcast_to(np.log10(d.wavelengths)[:, None], d.speed.shape)
            drawn = axes.scatter(np.maximum(d.speed, 0.01).ravel(), d.growth.ravel(), s=3,
                                 c=size.ravel(), cmap="viridis", linewidths=0)  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlim(0.01, 400.0)
        axes.set_yscale("symlog", linthresh=0.1)
        axes.axhline(0.0, color="#24292f", linewidth=0.8)
        axes.set_xlabel("phase speed [m s$^{-1}$]", fontsize=9)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    panels[0].set_ylabel("growth [day$^{-1}$]", fontsize=9)
    bar = figure.colorbar(drawn, ax=panels, label="wavelength [km]", ticks=[5, 6, 7])
    bar.ax.set_yticklabels(["100", "1000", "10000"])
    return (
        "Stability diagram: gravity waves coupled to the scheme",
        "Each dot is a mode of one wavelength and one kind of column. Growing and fast (shaded, "
        "above zero) is what blew up in Brenowitz et al. (2020); standing modes need not. Slower "
        "than 0.01 m/s is drawn at the edge.",
        as_png(figure),
    )


def _patterns(found: Mapping[str, Analysed], names: Sequence[str]) -> Picture:
    """Amplitude of the wind of the fastest-growing mode."""
    figure, panels = _panels(names, 3.6)
    for axes, n in zip(panels, names, strict=True):
        modes, own = found[n].modes, found[n].response
        assert modes is not None and own is not None
        at = int(modes.growth.argmax())
        c = own.columns
        p = c.fields["pfull"][:, : c.zonal].mean(axis=1)
        drawn = axes.contourf(c.fields["lat"][: c.zonal], p / 100.0, np.abs(modes.wind[at]),
                              levels=np.linspace(0.0, 1.0, 11), cmap="magma_r")  # fmt: skip
        plain(axes, f"{n}: m = {modes.wavenumber[at]:.0f}, {modes.growth[at]:.2f} per day, "
              f"{abs(modes.period[at]):.1f} days")  # fmt: skip
        pressure_axis(axes, p)
        axes.set_xlabel("latitude", fontsize=9)
    panels[0].set_ylabel("pressure [hPa]", fontsize=9)
    figure.colorbar(drawn, ax=panels, label="zonal wind, largest is 1")
    return (
        "Leading modes of the flow",
        "Zonal wind of the fastest-growing mode: its wavenumber, growth and period.",
        as_png(figure),
    )
