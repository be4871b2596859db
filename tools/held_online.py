"""What a foretold mean is worth in a run: a head that is called once a day, coupled.

    python tools/held_online.py [--days 10] [--starts 3] [--work DIR]

The target of `ablation_held.py` by `isthmus train emulators/recipes/gw_forecast_head.yaml`, with a
pretrained backbone and with none, beside AD99 that is called once a day and held. Each drives
forecasts of the T21 aquaplanet from the same developed states, and its error is the difference from
what AD99 makes of them when it is called every three hours, as usual. Recordings, the backbone,
bundles and runs are kept in the folder of work: backbone, bundles and runs for the same code only.
Writes docs/results/held-online.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import netCDF4
import numpy as np
import yaml
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ablation_held import HELD, HOURS
from ablation_results import ROOT, backbone, code, recorded, states_to_pretrain
from gates.pictures import INK, png
from kept import digest
from options import asked
from thirty_days import CASE, CHANGES, of_now, timed

from coupler import Simulation
from coupler.driver.info import versions
from coupler.driver.training import train
from coupler.interface.files import write_json, write_whole
from coupler.parallel import threads
from emulators.bundle import read_spec, sha256

F64 = NDArray[np.float64]
PAGE = ROOT / "docs" / "results" / "held-online.md"
RECIPE = ROOT / "emulators" / "recipes" / "gw_forecast_head.yaml"
SPIN_UP = 15.0
"""Days after which forecasts begin."""
USUAL = "AD99, every 3 h"
TITLES = {
    "held": "AD99, once a day, held",
    "zero": "head without a backbone, once a day",
    "pretrained": "head with a pretrained backbone, once a day",
}
COLOURS = {"held": "#57606a", "zero": "#bf8700", "pretrained": "#1b6ca8"}
STRATOSPHERE = 100e2
"""Pressure above which the second error is taken [Pa]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """What the page needs of one forecast."""

    wind: F64
    """Zonal wind, means of days [m s-1], [day, level, lat, lon]."""
    weight: F64
    """Mass of a cell, any unit, [level, lat, 1]."""
    pressure: F64
    """Of the levels [Pa]."""
    call: float
    """Processor time of a call [ms], the median."""


def bundle_of(kind: str, pretrained: Path, preset: str, work: Path, console: Console) -> Path:
    """The bundle of a head, unless it is there."""
    sizes = HELD[preset]
    content = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    config = content["architecture"]["config"]
    config |= {"backbone": kind, "size": sizes.size, "widths": sizes.widths, "every": sizes.every}
    # The recordings that the recipe asks for, which the ablation has made already.
    fitted, tested = (
        {"file": str(recorded(sizes, days, seed, work, console).resolve()), "skip_days": skip}
        for days, skip, seed in (
            (sizes.days, sizes.skip, 42), (sizes.test_days, sizes.test_skip, 43)
        )
    )  # fmt: skip
    content |= {"train": [fitted], "test": tested}
    if preset == "tiny":  # for its test: nothing is learned
        content["optimizer"]["epochs"] = 1
    content["pretrained"] = str(pretrained.resolve())
    if kind == "zero":
        del content["pretrained"]
    content = json.loads(json.dumps(content))  # tuples are lists in YAML
    bundle = work / "bundles" / f"forecast_{kind}_{digest([content, code(), sha256(pretrained)])}"
    if not (bundle / "bundle.yaml").is_file():
        path = work / "recipes" / f"forecast_{kind}.yaml"
        write_whole(path, yaml.safe_dump(content))
        train(path, out=bundle, work=bundle.with_suffix(".work"))
    return bundle


def run(
    name: str, days: float, work: Path, changes: Mapping[str, Any], scheme: Path | None = None
) -> Path:
    """A coupled run, unless that is done; returns its folder."""
    made_of = [days, of_now(), {k: str(v) for k, v in changes.items()},
               scheme and sha256(scheme / "bundle.yaml")]  # fmt: skip
    folder = work / "runs" / f"{name}_{digest(made_of)}"
    done = folder / "calls.json"
    if not done.is_file():
        simulation = Simulation.from_case(
            CASE, set={**CHANGES, "days": days, "output.interval": 1.0, **changes}, out=folder,
            overwrite=True, swap={"gravity_wave": str(scheme)} if scheme else {},
        )  # fmt: skip
        process = next(p for p in simulation.model.suite.processes if p.name == "gravity_wave")
        spent: list[float] = []
        timed(process.schemes[0].component, spent)
        simulation.run(quiet=True)
        simulation.close()
        write_json(done, {"call": 1e3 * float(np.median(spent))})
    return folder


def read(folder: Path) -> Run:
    """A forecast from its files."""
    with netCDF4.Dataset(folder / "atmosphere.nc") as file:
        file.set_auto_mask(False)
        half = [np.asarray(file[n][:], np.float64) for n in ("ap_bnds", "b_bnds")]
        edges = half[0] + 1e5 * half[1]
        thick, area = np.abs(np.diff(edges, axis=1)), np.cos(np.radians(file["lat"][:]))
        return Run(
            wind=np.asarray(file["ua"][:], np.float64),
            weight=np.asarray(thick * area)[..., None],
            pressure=edges.mean(axis=1),
            call=json.loads((folder / "calls.json").read_text(encoding="utf-8"))["call"],
        )


def errors(own: Run, truth: Run) -> tuple[F64, F64]:
    """Root-mean-square difference of the wind by day [m s-1]: of all air, and of the uppermost."""
    square = ((own.wind - truth.wind) ** 2).mean(axis=-1, keepdims=True)

    def of(inside: NDArray[np.bool_]) -> F64:
        weight = truth.weight[inside]
        return np.sqrt((square[:, inside] * weight).sum(axis=(1, 2, 3)) / weight.sum())

    return of(truth.pressure > 0.0), of(truth.pressure < STRATOSPHERE)


TEXT = """# A head that is called once a day, in a run

Written by `{command}` with Isthmus {isthmus}, commit `{commit}`.

[The ablation](ablation-held.md) found that a pretrained backbone foretells the mean of AD99's fluxes
over the next {hours:g} hours. Here such a head drives `cases/aquaplanet_t21.yaml` ({changes}): trained by
`isthmus train emulators/recipes/gw_forecast_head.yaml`, swapped in by one line,
called once a day because its bundle says so. {starts} states of runs that AD99 drove, {spin_up:g} days old, are
each gone on with for {days:g} days by every scheme. The error is the root-mean-square difference of the
zonal wind, means of days, weighted with mass, from what AD99 makes of the same state when it is called
every 3 hours.

| | R2 offline, flux | drag | error on day {early} [m/s] | day {late} | above 100 hPa, day {early} | day {late} | ms of a call | of a simulated day |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
{rows}

{reading}

![Error by day]({picture})

Thick lines are means over the starts, thin ones single starts.
"""  # noqa: E501


def main(argv: list[str] | None = None) -> None:
    """The command."""
    args, said = asked(__doc__, PAGE, {"days": 10.0, "starts": 3}, argv)
    threads.prepare()
    console, work = Console(), args.work
    states = states_to_pretrain(HELD[args.preset], work, console)
    forecaster = backbone(HELD[args.preset], states, 1, work, console).path
    bundles = {
        k: bundle_of(k, forecaster, args.preset, work, console) for k in ("zero", "pretrained")
    }
    spin_up = 1.0 if args.preset == "tiny" else SPIN_UP
    found: dict[str, list[Run]] = {n: [] for n in ("usual", *TITLES)}
    for seed in range(71, 71 + args.starts):
        ways: dict[str, tuple[Mapping[str, Any], Path | None]] = {
            "usual": ({}, None),
            "held": ({"gravity_wave.interval": f"{HOURS:g} h"}, None),
            **{kind: ({}, bundle) for kind, bundle in bundles.items()},
        }
        for name, (more, scheme) in ways.items():
            # A restart knows the schemes of its run: in the shadow one changes nothing.
            shadow = {"gravity_wave.mode": "shadow"} if scheme else {}
            start = run("start", spin_up, work, {"seed": seed, **shadow}, scheme)
            folder = run(name, args.days, work, {"branch": str(start.resolve()), **more}, scheme)
            found[name].append(read(folder))
            console.print(f"start {seed}: {name}")
    page(found, bundles, f"python tools/held_online.py{said}", spin_up, args.out)
    print(f"{args.out} written")


def page(
    found: Mapping[str, list[Run]], bundles: Mapping[str, Path], command: str, spin_up: float,
    to: Path,
) -> None:  # fmt: skip
    """Writes page and picture."""
    by_day = {
        name: [errors(own, truth) for own, truth in zip(found[name], found["usual"], strict=True)]
        for name in TITLES
    }
    days = found["usual"][0].wind.shape[0]
    early, late = (3 if days > 3 else 1), days
    rows = [line(USUAL, found["usual"], None, None, 8.0, (early, late))]
    for name, title in TITLES.items():
        rows.append(line(title, found[name], by_day[name], bundles.get(name), 1.0, (early, late)))
    picture, made = f"{to.stem}.png", versions()
    write_whole(to.parent / picture, drawn(by_day))
    text = TEXT.format(
        command=command, isthmus=made["isthmus"], commit=made.get("commit", "unknown"),
        hours=HOURS, changes=", ".join(f"{k}: {v}" for k, v in CHANGES.items()),
        starts=len(found["usual"]), spin_up=spin_up,
        days=days, early=early, late=late, rows="\n".join(rows),
        reading=reading(
            {n: (fmean(e[0][early - 1] for e in many), fmean(e[1][early - 1] for e in many))
             for n, many in by_day.items()}, early,
        ), picture=picture,
    )  # fmt: skip
    write_whole(to, text)


def line(
    title: str, runs: list[Run], wrong: list[tuple[F64, F64]] | None, bundle: Path | None,
    calls: float, days: tuple[int, int],
) -> str:  # fmt: skip
    """A row of the table."""
    cells = [title, "", ""]
    if bundle is not None:
        skill = read_spec(bundle).skill
        assert skill is not None
        cells[1:] = [f"{skill.flux_overall:.3f}", f"{skill.drag_overall:.3f}"]
    for part in (0, 1):
        for day in days:
            value = [] if wrong is None else [e[part][day - 1] for e in wrong]
            cells.append(f"{fmean(value):.3f} ({min(value):.3f}-{max(value):.3f})" if value else "")
    call = fmean(r.call for r in runs)
    return f"| {' | '.join([*cells, f'{call:.1f}', f'{calls * call:.0f}'])} |"


def reading(mean: Mapping[str, tuple[float, float]], day: int) -> str:
    """What the table says, of the mean errors of all air and of the uppermost on one day."""
    ratios = {n: [a / b for a, b in zip(mean[n], mean["held"], strict=True)]
              for n in mean if n != "held"}  # fmt: skip
    told = ", ".join(f"{TITLES[n]}: {r[0]:.2f} and {r[1]:.2f}" for n, r in ratios.items())
    better = [TITLES[n] for n, r in ratios.items() if max(r) < 0.95]
    verdict = (
        f"Smaller than by holding what AD99 gives at the call: {', '.join(better)}."
        if better
        else "No head has clearly smaller errors than AD99 whose answer of the call is held: what "
        "a mean that is foretold gains offline is not seen in these runs."
    )
    return (
        f"Errors of day {day} in those of AD99 that is held, of all air and above 100 hPa: {told}. "
        f"{verdict} Differences grow with the flow's own instability, whatever made them: the "
        "first days tell schemes apart, later ones do not."
    )


def drawn(by_day: Mapping[str, list[tuple[F64, F64]]]) -> bytes:
    """Errors against time."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    for part, (axes, title) in enumerate(
        zip(figure.subplots(1, 2), ("All air", "Above 100 hPa"), strict=True)
    ):
        for name, many in by_day.items():
            time = np.arange(1, many[0][part].size + 1)
            for e in many:
                axes.semilogy(time, e[part], color=COLOURS[name], lw=0.5, alpha=0.6)
            axes.semilogy(time, np.mean([e[part] for e in many], axis=0), color=COLOURS[name],
                          lw=1.8, label=TITLES[name])  # fmt: skip
        axes.set_title(title, fontsize=9, color=INK)
        axes.set_xlabel("Day", fontsize=8, color=INK)
        axes.tick_params(labelsize=7, colors=INK)
        axes.grid(color="#d0d7de", lw=0.4, which="both")
    figure.axes[0].set_ylabel("rms error of zonal wind [m/s]", fontsize=8, color=INK)
    figure.axes[0].legend(fontsize=7, frameon=False)
    return png(figure)


if __name__ == "__main__":
    main()
