"""The page of `ablation_results.py`: tables, intervals over seeds, pictures, what it all says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from coupler.driver.info import versions
from emulators.training.pretrain import Pretraining

if TYPE_CHECKING:
    from ablation_results import Backbone, Data, Preset, Score

BACKBONES = ("pretrained", "random", "zero", "identity")
SHARES = (1.0, 0.1, 0.01)
COLOURS = {"pretrained": "#1b6ca8", "random": "#d1495b", "zero": "#555555", "identity": "#edae49"}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its 95 % interval (Student's t)."""
    if len(values) < 2:
        return fmean(values), float("nan")
    t = float(stats.t.ppf(0.975, len(values) - 1))
    return fmean(values), t * stdev(values) / len(values) ** 0.5


def of(found: Sequence[Score], share: float, kind: str) -> list[Score]:
    """Scores of all seeds, by seed."""
    return [s for s in found if s.share == share and s.backbone == kind]


def table(found: Sequence[Score], what: str) -> list[str]:
    """Mean and deviation over seeds."""
    lines = [f"| share | maps | {' | '.join(BACKBONES)} |", "|---|---|" + "---|" * len(BACKBONES)]
    for share in SHARES:
        cells = []
        for kind in BACKBONES:
            values = [getattr(s, what) for s in of(found, share, kind)]
            spread = stdev(values) if len(values) > 1 else float("nan")
            cells.append(f"{fmean(values):.3f} ± {spread:.3f}")
        maps = of(found, share, BACKBONES[0])[0].maps
        lines.append(f"| {100 * share:g} % | {maps} | {' | '.join(cells)} |")
    return lines


def gains(found: Sequence[Score]) -> tuple[list[str], list[str]]:
    """What pretraining adds to R2 of the flux, seed by seed; and in words."""
    others = BACKBONES[1:]
    lines = [f"| share | {' | '.join(f'over {k}' for k in others)} |", "|---|" + "---|" * 3]
    words = []
    for share in SHARES:
        cells = []
        for kind in others:
            pairs = zip(of(found, share, "pretrained"), of(found, share, kind), strict=True)
            mean, half = interval([a.flux - b.flux for a, b in pairs])
            cells.append(f"{mean:+.3f} ± {half:.3f}")
            if abs(mean) > half:
                verb = "helps" if mean > 0 else "harms"
                words.append(f"at {100 * share:g} % it {verb} against {kind} ({mean:+.3f})")
        lines.append(f"| {100 * share:g} % | {' | '.join(cells)} |")
    return lines, words


def draw(found: Sequence[Score], backbones: Sequence[Backbone], block: int, to: Path) -> None:
    """R2 against the share of the data, and the losses of pretraining."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, kind in enumerate(BACKBONES):
        groups = [[s.flux for s in of(found, share, kind)] for share in SHARES]
        x = np.array([100.0 * s for s in SHARES]) * 1.06 ** (i - 1.5)
        half = [max(interval(g)[1], 0.0) if len(g) > 1 else 0.0 for g in groups]
        left.errorbar(x, [fmean(g) for g in groups], yerr=half, color=COLOURS[kind], capsize=3,
                      marker="o", ms=4, lw=1.2, label=kind)  # fmt: skip
        for share, group in zip(x, groups, strict=True):
            left.plot([share] * len(group), group, ".", color=COLOURS[kind], ms=3, alpha=0.6)
    left.set_xscale("log")
    left.set_xticks([1, 10, 100], ["1", "10", "100"])
    left.set(xlabel="share of the calls that are fitted [%]", ylabel="R² of the flux, other run")
    left.legend(frameon=False, title="backbone")
    for n, b in enumerate(backbones):
        steps = np.arange(1, len(b.validation) + 1)
        right.plot(steps, b.train, color="#9bb8d3", lw=1, label="fitted" if n == 0 else None)
        right.plot(steps, b.validation, color="#1b6ca8", lw=1.4,
                   label="later states" if n == 0 else None)  # fmt: skip
    right.axhline(1.0, color="0.6", lw=0.8, ls="--")
    right.annotate("climatology", (1, 1.0), xytext=(2, 3), textcoords="offset points", fontsize=8)
    right.xaxis.get_major_locator().set_params(integer=True)
    right.set(xlabel=f"blocks of {block} steps", ylabel="loss of pretraining")
    right.legend(frameon=False)
    figure.savefig(to, dpi=110)


TEXT = """# Does pretraining help a flux head?

Written by `{command}` with Isthmus {isthmus}, commit `{commit}`.

A small Prithvi WxC ({size}) is pretrained on the states of {states_days:g} days of `{case}`
({states} maps, winds and temperature on every {every}. level, {grid}): half of the tokens or
windows hidden, inputs {inputs} h apart, leads of {leads} h, around a climatology, {steps} steps of
{batch} samples. Its transformers are then frozen inside a flux head of version 2 (convolutions of
{widths} channels around it), which learns the momentum fluxes of `ad99` that another run of
{days:g} days recorded, at 1, 10 and 100 % of its {maps} calls: {fit_steps} steps of {fit_batch}
maps for every head, whatever its share, the epoch kept that validates best on a ninth of the maps
at hand. Scored on {test} maps of a third run. The runs were recorded with commit {recorded}. Seeds
differ in weights, pretraining, tasks, and which calls are seen. `zero` gives the decoder nothing
from the backbone, `identity` leaves its transformers out, `random` freezes them as they were drawn.
A head trains {trained} weights around {frozen} frozen ones.

## R2 of the flux

Mean and standard deviation over {seeds} seeds.

{flux}

## R2 of the drag

{drag}

## What pretraining adds

R2 of the flux with a pretrained backbone minus that with another one, seed by seed: mean and half
width of the 95 % interval (Student's t, {seeds} seeds).

{gains}

{verdict}

![R2 against the share of the data, and the losses of pretraining]({picture})

Bars are 95 % intervals, points single seeds.

## Did it learn anything in pretraining?

Mean square error over the variance around the climatology, on later states that were not fitted:

| seed | half hidden | nothing hidden | persistence |
|---|---|---|---|
{pretrained}

{learned}

## How far this goes

AD99 works on single columns: all that a head needs is within the reach of its convolutions, so
nothing here could have shown what a backbone that sees the globe is worth for fluxes of waves that
travel. The backbone has {frozen} frozen weights, the published one 2.4 billion; the data are a
year, not decades. All of it took {minutes:.0f} minutes of processor time of one core, runs not
counted.
`--preset large` is the same at T42 with a backbone of 512 features for a GPU; it has not been run.
"""


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


def page(preset: Preset, command: str, backbones: Sequence[Backbone], found: Sequence[Score],
         data: Data, to: Path) -> None:  # fmt: skip
    """Writes page and picture."""
    config = Pretraining.model_validate(
        {"size": preset.size, "every": preset.every, **preset.pretraining}
    )
    s = config.size
    lines, words = gains(found)
    verdict = (
        "Beyond these intervals, " + "; ".join(words) + "."
        if words
        else "No difference is beyond its interval: with these sizes and this scheme, whether the "
        "backbone is pretrained cannot be told from the seeds."
    )
    made = versions()
    picture = to.stem + ".png"
    draw(found, backbones, config.block, to.parent / picture)
    text = TEXT.format(
        command=command, isthmus=made["isthmus"], commit=made.get("commit", "unknown"),
        size=f"{s.embed_dim} features, {2 * s.n_blocks_encoder + 1} and "
        f"{2 * s.n_blocks_decoder + 1} transformers, patches of {s.patch}x{s.patch}",
        recorded=" and ".join(f"`{c}`" for c in data.commits),
        states_days=preset.pretrain_days - preset.skip, states=data.pretrain.times,
        days=preset.days - preset.skip, case=preset.case, maps=data.fit.times, every=preset.every,
        grid=f"{preset.nlat}x{preset.nlon}", inputs=", ".join(f"{h:g}" for h in config.input_hours),
        leads=", ".join(f"{h:g}" for h in config.lead_hours), steps=config.steps,
        batch=config.batch, widths=" and ".join(map(str, preset.widths)), fit_steps=preset.steps,
        fit_batch=preset.batch, test=min(preset.test_maps, data.test.times),
        trained=found[0].trained, frozen=found[0].frozen, seeds=len(backbones),
        flux="\n".join(table(found, "flux")), drag="\n".join(table(found, "drag")),
        gains="\n".join(lines), verdict=verdict, picture=picture,
        pretrained="\n".join(
            f"| {n} | {b.hidden:.3f} | {b.whole:.3f} | {b.persistence:.3f} |"
            for n, b in enumerate(backbones, 1)
        ),
        learned=learned(backbones, preset.pretrain_days - preset.skip),
        minutes=sum(x.seconds for x in (*backbones, *found)) / 60.0,
    )  # fmt: skip
    to.write_text(text, encoding="utf-8")
