"""Four gravity-wave schemes in one coupled model for 30 days, and what each does to it.

    python tools/thirty_days.py [--days 30] [--skip-days 10] [--work DIR]

AD99, the shipped column network, an Attention U-Net and a flux head on a pretrained backbone, on
the T21 aquaplanet: recorded, trained, bundled, run in shadow, and swapped in. Writes
docs/results/thirty-days.md. Recordings, bundles and runs are kept in the folder of work: runs for
the same code only, bundles for the same recipe and training code; the page says with which commits
bundles and recordings were made.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent))

import ablation_results
import kept
from options import asked

from coupler import Simulation
from coupler.compare.differences import patterns
from coupler.compare.reading import read_climate
from coupler.driver.info import versions
from coupler.driver.training import train
from coupler.interface.component import Array
from coupler.interface.files import write_json, write_whole
from coupler.parallel import threads
from emulators.bundle import read_spec, sha256
from emulators.schema import BundleSpec

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "results" / "thirty-days.md"
CASE = ROOT / "cases" / "aquaplanet_t21.yaml"
CHANGES = {"atmosphere.noise": "1 K"}
SHIPPED = ROOT / "emulators" / "bundles" / "gw_column"
TRAINED = ("gw_unet", "gw_flux_head")
TITLES = {
    "ad99": "AD99", "other": "AD99, another start", "gw_column": "column network",
    "gw_unet": "Attention U-Net", "gw_flux_head": "flux head, pretrained backbone",
}  # fmt: skip


class Pooled:
    """R2 over all levels, columns and calls, around each level's mean."""

    def __init__(self, nhalf: int) -> None:
        self._n = 0
        self._sum, self._square, self._error = (np.zeros(nhalf) for _ in range(3))

    def add(self, truth: Array, estimate: Array) -> None:
        """One call, shape [interface, column] each."""
        t, e = truth.astype(np.float64), estimate.astype(np.float64)
        self._n += t.shape[1]
        self._sum += t.sum(axis=1)
        self._square += (t * t).sum(axis=1)
        self._error += ((t - e) ** 2).sum(axis=1)

    @property
    def r2(self) -> float:
        """See the class."""
        total = self._square - self._sum**2 / self._n
        return float(1.0 - self._error.sum() / total.sum())


@dataclass(frozen=True, kw_only=True)
class Online:
    """What a coupled run gave."""

    folder: Path
    step: float
    """Processor time of a step of the whole model [ms]."""
    call: float
    """Of a call of the scheme, one in nine steps [ms]."""
    guard: dict[str, int]


def timed(component: Any, spent: list[float]) -> None:
    """Notes the processor time of every call of a scheme."""
    compute = component.compute

    def measured(*args: Any) -> None:
        began = time.process_time()
        compute(*args)
        spent.append(time.process_time() - began)

    component.compute = measured


def of_now() -> list[Any]:
    """What every run of the table is made of."""
    return [kept.model("tools/thirty_days.py"), CASE.read_text(encoding="utf-8"), CHANGES]


def coupled(name: str, scheme: str | None, days: float, seed: int, work: Path) -> Online:
    """A run with a scheme in the place of AD99, unless that is done."""
    made_of = [scheme and sha256(Path(scheme) / "bundle.yaml"), days, seed, of_now()]
    folder = work / "runs" / f"{name}_{kept.digest(made_of)}"
    done = folder / "thirty_days.json"
    if not done.is_file():
        simulation = Simulation.from_case(
            CASE, set={**CHANGES, "days": days, "seed": seed}, out=folder, overwrite=True,
            swap={"gravity_wave": scheme} if scheme else {},
        )  # fmt: skip
        process = next(p for p in simulation.model.suite.processes if p.name == "gravity_wave")
        spent: list[float] = []
        timed(process.schemes[0].component, spent)
        began = time.process_time()
        simulation.run(quiet=True)
        whole = time.process_time() - began
        counts = getattr(process.schemes[0].component, "counts", dict)()
        steps = days * simulation.model.steps_per_day
        said = {"step": 1e3 * whole / steps, "call": 1e3 * float(np.median(spent)), "guard": counts}
        simulation.close()
        write_json(done, said)
    return Online(folder=folder, **json.loads(done.read_text(encoding="utf-8")))


def shadow(name: str, scheme: str, days: float, skip: float, seed: int, work: Path) -> float:
    """R2 of a scheme's flux along a run that AD99 drives, unless that is done."""
    made_of = [sha256(Path(scheme) / "bundle.yaml"), days, skip, seed, of_now()]
    done = work / "shadow" / f"{name}_{kept.digest(made_of)}.json"
    if not done.is_file():
        simulation = Simulation.from_case(
            CASE, set={**CHANGES, "days": days, "seed": seed, "gravity_wave.mode": "shadow"},
            out=work / "runs" / f"shadow_{name}", overwrite=True, swap={"gravity_wave": scheme},
        )  # fmt: skip
        process = next(p for p in simulation.model.suite.processes if p.name == "gravity_wave")
        acting = process.weights.index(1.0)
        truth, learned = process.schemes[acting], process.schemes[1 - acting]
        pooled = Pooled(simulation.model.atmosphere.levels.nlev + 1)

        def look(now: Any) -> None:
            if now.seconds >= 86400.0 * skip:
                for f in truth.fluxes:
                    pooled.add(getattr(truth.flux, f.name), getattr(learned.flux, f.name))

        process.schemes[-1].on_call = look  # the other one has been called by then
        simulation.run(quiet=True)
        simulation.close()
        write_json(done, {"r2": pooled.r2})
    return float(json.loads(done.read_text(encoding="utf-8"))["r2"])


def trained(name: str, preset: str, work: Path, console: Console) -> Path:
    """The bundle of a recipe, unless it is there; a backbone is pretrained for it where needed."""
    sizes = ablation_results.PRESETS[preset]
    recipe = ROOT / "emulators" / "recipes" / f"{name}.yaml"
    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    if preset == "tiny":  # for its test: nothing is learned
        content["train"][0] |= {"days": sizes.days, "skip_days": sizes.skip}
        content["test"] |= {"days": sizes.test_days, "skip_days": sizes.test_skip}
        content["optimizer"]["epochs"] = 1
    made_of: list[Any] = [content, ablation_results.code(), sizes]
    own = work / "recipes"
    own.mkdir(parents=True, exist_ok=True)
    if "pretrained" in content:
        states = ablation_results.states_to_pretrain(sizes, work, console)
        found = ablation_results.backbone(sizes, states, 1, work, console)
        content["architecture"]["config"] |= {"size": sizes.size, "widths": sizes.widths}
        shutil.copy(found.path, own / "backbone.safetensors")
        made_of.append(sha256(found.path))
        content["pretrained"] = "backbone.safetensors"
        content = json.loads(json.dumps(content))  # tuples are lists in YAML
    for recording in (*content["train"], content["test"]):
        recording["case"] = str(CASE)
    bundle = work / "bundles" / f"{name}_{kept.digest(made_of)}"
    if not (bundle / "bundle.yaml").is_file():
        path = own / f"{name}.yaml"
        write_whole(path, yaml.safe_dump(content))
        made = train(path, out=bundle, work=own / bundle.name)
        assert made == bundle.resolve()
    return bundle


def made_with(bundles: dict[str, Path], work: Path) -> str:
    """With which commits bundles and the recordings in the folder of work were made."""
    specs = {TITLES[n]: read_spec(b).provenance for n, b in bundles.items()}
    used = {s.sha256 for made in specs.values() for s in made.sources}
    there = [p for n in TRAINED for p in (work / "recipes").glob(f"{n}_*/**/record_*.nc")]
    recordings = sorted({ablation_results.commit_of(p) for p in there if sha256(p) in used})
    parts = [f"{title} `{short(made.commit)}`" for title, made in specs.items()]
    of_runs = ", ".join(f"`{c}`" for c in recordings)
    return f"{', '.join(parts)}; recordings for the latter two {of_runs}"


def short(commit: str) -> str:
    """Twelve digits of it, and whether the code was that of the commit."""
    digits, dirty, _ = commit.partition("-dirty")
    return digits[:12] + dirty


def number_of_weights(spec: BundleSpec) -> int:
    """Weights of a bundle's network."""
    from emulators.networks import build

    return sum(p.numel() for p in build(spec).parameters())


HEAD = (
    "| scheme | weights | R2 offline, flux | drag | R2 in shadow, flux | zonal wind, rms "
    "difference [m/s] | temperature [K] | drag, correlation by height | columns handed over "
    "| per million outside | step [ms] | call [ms] |"
)


def row(name: str, bundle: Path | None, in_shadow: float | None, run: Online, against: Any,
        skip: float) -> str:  # fmt: skip
    """A line of the table."""
    cells = [TITLES[name]]
    if bundle is None:
        cells += ["", "", "", ""]
    else:
        spec = read_spec(bundle)
        assert spec.skill is not None and in_shadow is not None
        cells += [f"{number_of_weights(spec):,}", f"{spec.skill.flux_overall:.3f}",
                  f"{spec.skill.drag_overall:.3f}", f"{in_shadow:.3f}"]  # fmt: skip
    if against is None:
        cells += ["", "", ""]
    else:
        own = read_climate(run.folder, TITLES[name], spinup_days=skip)
        found = {p.name: p.value for p in patterns(against, own)}
        cells += [f"{found['Zonal wind, rms difference']:.2f}",
                  f"{found['Temperature, rms difference']:.2f}",
                  f"{found['Zonal drag, correlation by height']:.3f}"]  # fmt: skip
    g = run.guard
    if g:
        cells += [f"{g['guarded']} of {g['columns']}", f"{1e6 * g['outside'] / g['columns']:.0f}"]
    else:
        cells += ["", ""]
    cells += [f"{run.step:.1f}", f"{run.call:.1f}"]
    return f"| {' | '.join(cells)} |"


TEXT = """# Thirty days with learned gravity waves

Written by `{command}` with Isthmus {isthmus}, commit `{commit}`.

`cases/aquaplanet_t21.yaml` ({changes}) for {days:g} days from the same start, one scheme of
`gravity_wave` exchanged for another by one line. The column network is the one that is shipped; the
others were recorded, trained and bundled by `isthmus train emulators/recipes/gw_unet.yaml` and
`gw_flux_head.yaml`, the latter on a backbone of [the ablation](ablation.md). *Offline* is another
run than the training runs. Bundles are of commits: {commits}.
*In shadow*: called along days {skip:g} to {shadow:g} of a run that AD99 drives, guard included.
Climate differences are of zonal means over days {skip:g} to {days:g},
against AD99 from the same start; between its own first and second half of these days AD99 differs
by {own_u:.2f} m/s and {own_t:.2f} K, and the correlation of its drag is {own_c:.3f}. *Outside*:
inputs beyond the training domain by more than the narrow margin of the guard, which only counts
them; *handed over* are columns that AD99 took. Times are of a processor,
one thread, with whatever else ran beside (`python -m benchmarks.student` compares calls in turn);
the scheme is called at every ninth step.

{table}

{reading}

That a recording replayed through its scheme gives the same bits is
`tests/driver/test_record.py`.
"""


def main(argv: list[str] | None = None) -> None:
    """The command."""
    usual = {"days": 30.0, "skip-days": 10.0, "shadow-days": 20.0}
    args, said = asked(__doc__, PAGE, usual, argv)
    threads.prepare()
    console, seed = Console(), 61
    bundles = {"gw_column": SHIPPED} | {
        n: trained(n, args.preset, args.work, console) for n in TRAINED
    }
    base = coupled("ad99", None, args.days, seed, args.work)
    climate = read_climate(base.folder, TITLES["ad99"], spinup_days=args.skip_days)
    other = coupled("other", None, args.days, seed + 1, args.work)
    lines = [
        row("ad99", None, None, base, None, args.skip_days),
        row("other", None, None, other, climate, args.skip_days),
    ]
    for name, bundle in bundles.items():
        console.print(f"{name}: in shadow and coupled")
        r2 = shadow(name, str(bundle), args.shadow_days, args.skip_days, seed, args.work)
        run = coupled(name, str(bundle), args.days, seed, args.work)
        lines.append(row(name, bundle, r2, run, climate, args.skip_days))
    nan = float("nan")  # a single record has no halves
    own = {p.name: nan if p.yardstick is None else p.yardstick for p in patterns(climate, climate)}
    made = versions()
    text = TEXT.format(
        command=f"python tools/thirty_days.py{said}", isthmus=made["isthmus"],
        commit=made.get("commit", "unknown"), days=args.days, skip=args.skip_days,
        commits=made_with(bundles, args.work),
        changes=", ".join(f"{k}: {v}" for k, v in CHANGES.items()), shadow=args.shadow_days,
        own_u=own["Zonal wind, rms difference"], own_t=own["Temperature, rms difference"],
        own_c=own["Zonal drag, correlation by height"],
        table="\n".join((HEAD, "|---|" + "---:|" * (HEAD.count("|") - 2), *lines)),
        reading=READING,
    )  # fmt: skip
    write_whole(args.out, text)
    print(f"{args.out} written")


READING = """A climate difference below that of "AD99, another start" says nothing about the scheme.
An R2 in shadow below the offline one is what the guard, other states and the spin-up cost."""


if __name__ == "__main__":
    main()
