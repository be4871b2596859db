"""Does pretraining help a head that is called once a day? Writes docs/results/ablation-held.md.

    python tools/ablation_held.py [--preset small] [--work DIR] [--seeds 3] [--steps N]

A head that is dear is called once a day, and its fluxes are held until the next call: it should
give their mean over the day to come, which takes a forecast. The truth is the mean of what AD99
gave at all calls of that day, from recordings of the same case as in `ablation_results.py`. A
backbone is pretrained to forecast states, and used as a forecaster in a head
(`emulators.networks.forecast_head`), with the same four kinds of backbones and the same protocol.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ablation_page import draw_shares, fewest, tables
from ablation_results import (
    FLUXES,
    PRESETS,
    ROOT,
    Architectures,
    Backbone,
    Data,
    Preset,
    Score,
    all_scores,
    of_ad99,
    sized,
    states_to_pretrain,
)
from gates.pictures import plain

from coupler.driver.info import versions
from coupler.interface.files import write_whole
from coupler.parallel import threads
from emulators.networks.flux_head_v2 import BackboneSize
from emulators.training.data import Columns, thinned
from emulators.training.holding import calls_within, held
from emulators.training.pretrain import Pretraining
from emulators.training.skill import skill

PAGE = ROOT / "docs" / "results" / "ablation-held.md"
HOURS = 24.0
"""For which an answer is held."""
TARGET = f"mean of {HOURS:g} h"
LEADS = (3.0, 18.0)
"""What the backbone is asked for: two times with the mean, and about the spread, of all eight."""
FORECAST = {"mask_ratio": 0.0, "residual": "temporal", "clock": False, "turned": True,
            "input_hours": (0.0,)}  # fmt: skip
"""Forecasts from one state, of a planet without seasons that looks the same from everywhere."""
HELD = {
    "small": replace(
        PRESETS["small"], pretrain_days=190, widths=(16, 32), steps=300,
        pretraining={"steps": 3000, "batch": 4, "learning_rate": 2e-3, "block": 200,
                     "lead_hours": (3.0, 6.0, 12.0, 18.0, 24.0), **FORECAST},
    ),
    "tiny": replace(  # for its test: nothing is learned
        PRESETS["tiny"], pretrain_days=8, days=4, test_days=3, widths=(4, 5),
        pretraining={"steps": 4, "batch": 1, "block": 2, "lead_hours": (3.0, 6.0, 12.0, 18.0, 24.0),
                     **FORECAST},
    ),
}  # fmt: skip


def forecast_heads(preset: Preset) -> Architectures:
    """Heads that look ahead."""
    size = BackboneSize.model_validate(preset.size).model_dump(mode="json")
    grid = {"nlat": preset.nlat, "nlon": preset.nlon}
    return lambda kind: {
        "name": "forecast_head",
        "config": {"grid": grid, "widths": list(preset.widths), "backbone": kind, "size": size,
                   "every": preset.every, "lead_hours": list(LEADS)},
    }  # fmt: skip


def as_held(data: Data, hours: float) -> Data:
    """Both recordings with means."""
    fit, test = (held(r, 3600.0 * hours, FLUXES) for r in (data.fit, data.test))
    return replace(data, fit=fit, test=test)


def of_the_call(now: Data, mean: Data, maps: int) -> tuple[float, float]:
    """R2 of flux and drag where AD99 itself is called and its answer is held."""
    each = mean.test.n // mean.test.times
    instant = {n: now.test.fields[n][..., : mean.test.n] for n in FLUXES}
    truth = {n: mean.test.fields[n] for n in FLUXES}
    found = skill(
        thinned(truth, maps * each, each), thinned(instant, maps * each, each), mean.test.levels
    )
    return found.flux_overall, found.drag_overall


def main(argv: list[str] | None = None) -> None:
    """The command."""
    preset, args, said = sized(__doc__, PAGE, HELD, argv)
    threads.prepare()
    console = Console()
    pretraining = states_to_pretrain(preset, args.work, console)
    now = of_ad99(preset, pretraining, args.work, console)
    mean = as_held(now, HOURS)
    usual = of_the_call(now, mean, preset.test_maps)
    every = all_scores(
        preset, pretraining, {TARGET: mean}, forecast_heads(preset), args.work, args.seeds, console
    )
    for backbones, found in every:
        page(preset, f"python tools/ablation_held.py{said}", backbones, found, pretraining,
             mean, usual, args.out)  # fmt: skip
    print(f"{args.out} written")


TEXT = """# Does pretraining help a head whose answer is held for a day?

Written by `{command}` with Isthmus {isthmus}, commit `{commit}`.

A head that is dear is called rarely, and its fluxes are held until the next call. It should then
give not the fluxes of the call but their mean over the {hours:g} hours to come, and that takes a
forecast: here a backbone that was pretrained on states alone could have something to add.

The truth is the mean over {hours:g} hours ({calls} calls) of what Alexander and Dunkerton (1999)
gave in {days:g} days of `{case}` ({maps} maps to fit, {tested} of another run to score; recorded
with commit {made}). **Held from the call on, AD99's own answer reaches an R2 of {flux_now:.3f} for
the flux and {drag_now:.3f} for the drag.**

The backbone is a small Prithvi WxC ({size}) that forecasts wind and temperature on every {every}.
level from one state, {leads} h ahead, pretrained on {states_days:g} days of a run of its own
({states} maps, {steps} steps of {batch} samples, turned about the axis and mirrored at the equator
at random, nothing hidden). It is asked for the states {asked} h
ahead; one network, a perceptron on columns beside convolutions of {widths} channels and back, sees
each of them, and the mean is the answer
(`forecast_head`, [code](../../emulators/networks/forecast_head.py)). `pretrained` begins with all
of the pretrained backbone; `random` with one as it was drawn; `identity` leaves its transformers
out; with `zero` nothing changes, and the same network sees the state of the call. Transformers are
frozen and embeddings are trained ({trained} weights are trained, {frozen} are not). All heads get
{fit_steps} steps of {fit_batch} maps. Blocks that validate, shares, seeds and the run that scores
are as in [the first ablation](ablation.md). {fewest} Means and standard deviations are over
{seeds} seeds.

## Fluxes of AD99, mean over the next {hours:g} hours

{tables}

![R2 against the share of the data, and errors of forecasts]({picture})

Bars are 95 % intervals, points single seeds.

## Can the backbone forecast?

Mean square error over the variance around the climatology, on later states that were not fitted,
mean over {seeds} seeds:

| lead [h] | backbone | persistence | backbone / persistence |
|---|---|---|---|
{forecasts}

The loss ends at {seen:.3f} on the states that were fitted and at {later:.3f} on later ones.

## How far this goes

The forecasts are of a coarse model, by a backbone of some {thousands:.0f} thousand weights that
are frozen; the published one has 2.4 billion. The form of the head was chosen with one seed on the
block that validates ([decision 48](../decisions/0048-a-held-answer-is-a-forecast.md)), not on the
run that scores. What a mean that was foretold is worth in a run, [another page](held-online.md)
says.
All of it took {minutes:.0f} minutes of processor time of one core, runs not counted.
"""


def by_lead(backbones: Sequence[Backbone]) -> Mapping[str, tuple[float, float]]:
    """Error of forecast and of persistence by lead time, mean over seeds."""
    return {
        h: (fmean(b.leads[h][0] for b in backbones), fmean(b.leads[h][1] for b in backbones))
        for h in backbones[0].leads
    }


def page(
    preset: Preset, command: str, backbones: Sequence[Backbone], found: Sequence[Score],
    pretraining: Columns, data: Data, usual: tuple[float, float], to: Path,
) -> None:  # fmt: skip
    """Writes page and picture."""
    config = Pretraining.model_validate(
        {"size": preset.size, "every": preset.every, **preset.pretraining}
    )
    s, made = config.size, versions()
    picture = to.stem + ".png"
    draw(found, backbones, usual[0], to.parent / picture)
    wide = [x for x in found if x.backbone == "pretrained"]
    text = TEXT.format(
        command=command, isthmus=made["isthmus"], commit=made.get("commit", "unknown"),
        hours=HOURS, calls=calls_within(data.fit, 3600.0 * HOURS), days=preset.days - preset.skip,
        case=preset.case, maps=data.fit.times, tested=min(preset.test_maps, data.test.times),
        made=" and ".join(f"`{c}`" for c in data.commits), flux_now=usual[0], drag_now=usual[1],
        size=f"{s.embed_dim} features, {2 * s.n_blocks_encoder + 1} and "
        f"{2 * s.n_blocks_decoder + 1} transformers, patches of {s.patch}x{s.patch}",
        every=preset.every, leads=", ".join(f"{h:g}" for h in config.lead_hours),
        states_days=preset.pretrain_days - preset.skip, states=pretraining.times,
        steps=config.steps, batch=config.batch, asked=", ".join(f"{h:g}" for h in LEADS),
        widths=", ".join(map(str, preset.widths)), trained=wide[0].trained, frozen=wide[0].frozen,
        fit_steps=preset.steps, fit_batch=preset.batch, fewest=fewest(found), seeds=len(backbones),
        tables="\n\n".join(tables(found, TARGET)), picture=picture,
        forecasts="\n".join(
            f"| {h} | {a:.3f} | {b:.3f} | {a / b:.2f} |" for h, (a, b) in by_lead(backbones).items()
        ),
        seen=fmean(b.train[-1] for b in backbones),
        later=fmean(b.validation[-1] for b in backbones), thousands=wide[0].frozen / 1e3,
        minutes=(sum(b.seconds for b in backbones) + sum(x.seconds for x in found)) / 60.0,
    )  # fmt: skip
    write_whole(to, text)


def draw(found: Sequence[Score], backbones: Sequence[Backbone], usual: float, to: Path) -> None:
    """R2 against the share of the data, and errors of forecasts against their lead."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_shares(left, found, TARGET)
    left.axhline(usual, color="0.6", lw=0.8, ls="--")
    left.annotate("AD99 of the call, held", (1, usual), xytext=(2, 3),
                  textcoords="offset points", fontsize=8)  # fmt: skip
    left.set_title(f"Fluxes of AD99, mean over the next {HOURS:g} h", fontsize=10)
    left.legend(frameon=False, title="backbone")
    errors = by_lead(backbones)
    hours = [float(h) for h in errors]
    for n, (name, colour) in enumerate((("backbone", "#1b6ca8"), ("persistence", "#555555"))):
        right.plot(hours, [e[n] for e in errors.values()], color=colour, marker="o", ms=4,
                   label=name)  # fmt: skip
    right.set(xlabel="lead [h]", ylabel="error / variance", xticks=hours, ylim=(0.0, None))
    right.set_title("Forecasts of wind and temperature", fontsize=10)
    right.legend(frameon=False)
    write_whole(to, plain(figure))


if __name__ == "__main__":
    main()
