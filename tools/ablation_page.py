"""The page of `ablation_results.py`: tables, intervals over seeds, pictures, what it all says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import numpy as np
from gates.pictures import plain

from coupler.compare.statistics.significance import holm, paired
from coupler.compare.statistics.student import mean_interval
from coupler.driver.info import versions
from coupler.interface.files import write_whole
from emulators.training.pretrain import Pretraining

if TYPE_CHECKING:
    from ablation_results import Backbone, Data, Preset, Score
    from matplotlib.axes import Axes

    from emulators.training.data import Columns

BACKBONES = ("pretrained", "random", "zero", "identity")
SHARES = (1.0, 0.1, 0.01)
TARGETS = {"ad99": "Fluxes of AD99", "resolved": "Fluxes of waves that a finer run resolves"}
PAIRS = (
    ("pretrained", "random"),
    ("pretrained", "zero"),
    ("pretrained", "identity"),
    ("random", "zero"),
)
"""A backbone and the one that it is held against."""
COLOURS = {"pretrained": "#1b6ca8", "random": "#d1495b", "zero": "#555555", "identity": "#edae49"}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its 95 % interval (Student's t)."""
    mean, low, _ = mean_interval(values)
    return mean, mean - low


def of(found: Sequence[Score], target: str, share: float, kind: str) -> list[Score]:
    """Scores of all seeds, by seed."""
    return [s for s in found if (s.target, s.share, s.backbone) == (target, share, kind)]


def table(found: Sequence[Score], target: str, what: str) -> list[str]:
    """Mean and deviation over seeds."""
    lines = [
        f"| share | fitted + validating maps | {' | '.join(BACKBONES)} |",
        "|---|---|" + "---|" * len(BACKBONES),
    ]
    for share in SHARES:
        cells = []
        for kind in BACKBONES:
            values = [getattr(s, what) for s in of(found, target, share, kind)]
            spread = stdev(values) if len(values) > 1 else float("nan")
            cells.append(f"{fmean(values):.3f} ± {spread:.3f}")
        first = of(found, target, share, BACKBONES[0])[0]
        lines.append(f"| {100 * share:g} % | {first.maps} + {first.held} | {' | '.join(cells)} |")
    return lines


def gains(found: Sequence[Score], target: str) -> tuple[list[str], list[str]]:
    """What a backbone adds to R2 of the flux, seed by seed; and in words what is beyond doubt.

    Some of many intervals miss zero by chance: what is said in words holds for the whole table
    (Holm's correction, at 5 %).
    """
    names = [f"{one} over {other}" for one, other in PAIRS]
    lines = [f"| share | {' | '.join(names)} |", "|---|" + "---|" * len(PAIRS)]
    words, chances = [], []
    for share in SHARES:
        cells = []
        for (one, other), name in zip(PAIRS, names, strict=True):
            pairs = zip(of(found, target, share, one), of(found, target, share, other), strict=True)
            mean, low, _, chance = paired([a.flux - b.flux for a, b in pairs])
            cells.append(f"{mean:+.3f} ± {mean - low:.3f}")
            words.append(f"at {100 * share:g} % {name} {mean:+.3f}")
            chances.append(chance)
        lines.append(f"| {100 * share:g} % | {' | '.join(cells)} |")
    return lines, [w for w, p in zip(words, holm(chances), strict=True) if p < 0.05]


def section(found: Sequence[Score], target: str, about: str) -> str:
    """Tables of one target."""
    return "\n\n".join([f"## {TARGETS[target]}", about, *tables(found, target)])


def tables(found: Sequence[Score], target: str) -> list[str]:
    """What a page says of one target, in paragraphs."""
    lines, words = gains(found, target)
    verdict = (
        f"Beyond doubt as one of {len(SHARES) * len(PAIRS)} (Holm, 5 %): {'; '.join(words)}."
        if words
        else f"As one of {len(SHARES) * len(PAIRS)}, no difference is beyond doubt (Holm, 5 %)."
    )
    return [
        "R2 of the flux:", "\n".join(table(found, target, "flux")),
        "R2 of the drag:", "\n".join(table(found, target, "drag")), "What a backbone adds to R2 of "
        "the flux, mean of the differences seed by seed and half width of their 95 % interval:",
        "\n".join(lines), verdict,
    ]  # fmt: skip


def draw(found: Sequence[Score], backbones: Sequence[Backbone], block: int, to: Path) -> None:
    """R2 against the share of the data, and the losses of pretraining."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 3.6), layout="constrained")
    *axes, right = figure.subplots(1, len(TARGETS) + 1)
    for ax, (target, title) in zip(axes, TARGETS.items(), strict=True):
        draw_shares(ax, found, target)
        ax.set_title(title, fontsize=10)
    axes[0].legend(frameon=False, title="backbone")
    for n, b in enumerate(backbones):
        steps = np.arange(1, len(b.validation) + 1)
        right.plot(steps, b.train, color="#9bb8d3", lw=1, label="fitted" if n == 0 else None)
        right.plot(steps, b.validation, color="#1b6ca8", lw=1.4,
                   label="later states" if n == 0 else None)  # fmt: skip
    right.axhline(1.0, color="0.6", lw=0.8, ls="--")
    right.annotate("climatology", (1, 1.0), xytext=(2, 3), textcoords="offset points", fontsize=8)
    right.xaxis.get_major_locator().set_params(integer=True)
    right.set(xlabel=f"blocks of {block} steps", ylabel="loss of pretraining")
    right.set_title("Masked reconstruction and forecast", fontsize=10)
    right.legend(frameon=False)
    write_whole(to, plain(figure))


def draw_shares(ax: Axes, found: Sequence[Score], target: str) -> None:
    """R2 of all backbones against the share of the data, with intervals and single seeds."""
    for i, kind in enumerate(BACKBONES):
        groups = [[s.flux for s in of(found, target, share, kind)] for share in SHARES]
        x = np.array([100.0 * s for s in SHARES]) * 1.06 ** (i - 1.5)
        half = [max(interval(g)[1], 0.0) if len(g) > 1 else 0.0 for g in groups]
        ax.errorbar(x, [fmean(g) for g in groups], yerr=half, color=COLOURS[kind], capsize=3,
                    marker="o", ms=4, lw=1.2, label=kind)  # fmt: skip
        for share, group in zip(x, groups, strict=True):
            ax.plot([share] * len(group), group, ".", color=COLOURS[kind], ms=3, alpha=0.6)
    ax.set_xscale("log")
    ax.set_xticks([1, 10, 100], ["1", "10", "100"])
    ax.set(xlabel="share of the maps that are fitted [%]", ylabel="R² of the flux, other run")


TEXT = """# Does pretraining help a flux head?

Written by `{command}` with Isthmus {isthmus}, commit `{commit}`.

A small Prithvi WxC ({size}) is pretrained on the states of {states_days:g} days of `{case}`
({states} maps, winds and temperature on every {every}. level, {grid}): half of the tokens or
windows hidden, inputs {inputs} h apart, leads of {leads} h, around a climatology, {steps} steps of
{batch} samples. Its transformers are then frozen inside a flux head of version 2 (convolutions of
{widths} channels around it), which learns momentum fluxes that another run gave, at 1, 10 and
100 % of its maps: {fit_steps} steps of {fit_batch} maps for every head, whatever its share, the
epoch kept that validates best on a block of a ninth of the run, of which it sees the same share;
half a block on either side is used for neither. {fewest} It is scored on a third run. Seeds
differ in weights, pretraining, tasks, and which maps are seen. `zero` gives the decoder nothing
from the backbone, `identity` leaves its transformers out, `random` freezes them as they were drawn.
A head trains {trained} weights around {frozen} frozen ones. Means and standard deviations are over
{seeds} seeds.

{sections}

![R2 against the share of the data, and the losses of pretraining]({picture})

Bars are 95 % intervals, points single seeds.

## Did it learn anything in pretraining?

Mean square error over the variance around the climatology, on later states that were not fitted:

| seed | half hidden | nothing hidden | persistence |
|---|---|---|---|
{pretrained}

{learned}

## How far this goes

The backbone has {frozen} frozen weights, the published one 2.4 billion; the data are a year of a
coarse model, not decades of a reanalysis. All of it took {minutes:.0f} minutes of processor time of
one core, runs not counted. `--preset large` is the same on the grid of T42 with a backbone of 512
features for a GPU; it has not been run.
"""


def fewest(found: Sequence[Score]) -> str:
    """What the smallest share is in maps."""
    least = [s for s in found if s.share == min(SHARES)]
    fitted, held = (sorted({getattr(s, n) for s in least}) for n in ("maps", "held"))
    return (
        f"At {100 * min(SHARES):g} % that is {' or '.join(map(str, fitted))} map(s) to fit and "
        f"{' or '.join(map(str, held))} to choose the epoch: read these rows as such."
    )


def about(target: str, preset: Preset, data: Data) -> str:
    """What the fluxes of a target are."""
    maps = f"{data.fit.times} maps to fit, {min(preset.test_maps, data.test.times)} to score"
    made = " and ".join(f"`{c}`" for c in data.commits)
    if target == "ad99":
        return (
            f"What Alexander and Dunkerton (1999) gave in {preset.days - preset.skip:g} days of "
            f"the same case ({maps}; recorded with commit {made}). It works on single columns: "
            "all that a head needs is within reach of its convolutions."
        )
    fine = preset.fine
    return (
        f"`{fine.case}` at T{fine.truncation}, {fine.days - fine.skip:g} days ({maps}; recorded "
        f"with commit {made}): the flux of divergent wind beyond wavenumber 21, averaged to "
        f"the grid of T{preset.coarse} as the coarse state is (`tools/resolved_fluxes.py`). What "
        "the published head was trained on, of a reanalysis. Much of it is not in a coarse state: "
        "R2 is bounded by that, not by the networks."
    )


def learned(backbones: Sequence[Backbone], days: float) -> str:
    """What the losses of pretraining say."""
    whole, usual = (fmean(getattr(b, n) for b in backbones) for n in ("whole", "persistence"))
    seen = fmean(b.train[-1] for b in backbones)
    later = fmean(b.validation[-1] for b in backbones)
    how = "about as well as" if abs(whole / usual - 1.0) < 0.1 else (
        "better than" if whole < usual else "worse than"
    )  # fmt: skip
    text = f"With nothing hidden it forecasts {how} persistence ({whole:.2f} and {usual:.2f})."
    if later > 1.2 * seen:
        what = "has learned" if later > 2.0 * seen else "knows some of"
        text += (
            f" It {what} its {days:g} days by heart: the loss ends at {seen:.2f} on the states "
            f"that were fitted and at {later:.2f} on later ones. What a backbone is worth that was "
            "pretrained on much more, this table cannot say."
        )
    return text


def page(
    preset: Preset, command: str, backbones: Sequence[Backbone], found: Sequence[Score],
    pretraining: Columns, data: Mapping[str, Data], to: Path,
) -> None:  # fmt: skip
    """Writes page and picture."""
    config = Pretraining.model_validate(
        {"size": preset.size, "every": preset.every, **preset.pretraining}
    )
    s = config.size
    made = versions()
    picture = to.stem + ".png"
    draw(found, backbones, config.block, to.parent / picture)
    text = TEXT.format(
        command=command, isthmus=made["isthmus"], commit=made.get("commit", "unknown"),
        size=f"{s.embed_dim} features, {2 * s.n_blocks_encoder + 1} and "
        f"{2 * s.n_blocks_decoder + 1} transformers, patches of {s.patch}x{s.patch}",
        states_days=preset.pretrain_days - preset.skip, states=pretraining.times,
        case=preset.case, every=preset.every, grid=f"{preset.nlat}x{preset.nlon}",
        inputs=", ".join(f"{h:g}" for h in config.input_hours),
        leads=", ".join(f"{h:g}" for h in config.lead_hours), steps=config.steps,
        batch=config.batch, widths=" and ".join(map(str, preset.widths)), fit_steps=preset.steps,
        fit_batch=preset.batch, fewest=fewest(found), trained=max(x.trained for x in found),
        frozen=min(x.frozen for x in found), seeds=len(backbones),
        sections="\n\n".join(section(found, t, about(t, preset, data[t])) for t in TARGETS),
        picture=picture,
        pretrained="\n".join(
            f"| {n} | {b.hidden:.3f} | {b.whole:.3f} | {b.persistence:.3f} |"
            for n, b in enumerate(backbones, 1)
        ),
        learned=learned(backbones, preset.pretrain_days - preset.skip),
        minutes=(sum(b.seconds for b in backbones) + sum(x.seconds for x in found)) / 60.0,
    )  # fmt: skip
    write_whole(to, text)
