"""The page of the one-dimensional QBO model: its published figures, run by the coupler's driver.

    python tools/qbo_results.py [--years 96] [--emulators 3] [--work DIR] [--out FILE.md]

Twelve years are left out as spin-up. ``--emulators N`` also trains N emulators of the source with
different seeds (`emulators/recipes/gw_qbo.yaml`) and lets each drive the model, and as many of a
network that sees too few levels (`gw_qbo_short.yaml`), which has to fail. Emulators are kept in
the folder of work for the same recipe, case and code. Exit status 1 when a number is not where it
has to be.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import kept
from gates.pictures import png
from gates.rows import Row, Table, at_most, near

from coupler import Simulation
from coupler.config import read_yaml, with_changes
from coupler.diagnostics.plots import OBSERVED, observed_time_height, qbo_figure, read_time_height
from coupler.diagnostics.qbo import Oscillation, oscillation
from coupler.driver import loop
from coupler.driver.assemble import Assembly, assemble
from coupler.driver.info import versions
from coupler.driver.training import train_seeds
from coupler.input.fetch import folder as data_folder
from coupler.interface.files import write_whole
from emulators.bundle import load_bundle

ROOT = Path(__file__).resolve().parents[1]
CASE = ROOT / "cases" / "qbo_1d.yaml"
RECIPE = ROOT / "emulators" / "recipes" / "gw_qbo.yaml"
SHORT = RECIPE.with_name("gw_qbo_short.yaml")
PAGE = ROOT / "docs" / "results" / "qbo.md"
SPIN_UP = 12
DAY = 86400.0

Published = tuple[str, dict[str, Any], float, float, float, float | None]
TABLE: tuple[Published, ...] = (
    ("two waves", {}, 25.66, 23.48, 20.15, 28.49),
    ("step of 12 hours", {"atmosphere.dt": 43200.0}, 25.66, 23.49, 20.15, 28.50),
    ("step of 6 hours", {"atmosphere.dt": 21600.0}, 25.66, 23.49, 20.15, 28.50),
    ("layers of 500 m", {"atmosphere.spacing": 500.0}, 25.78, 23.51, 20.12, 28.86),
    ("layers of 125 m", {"atmosphere.spacing": 125.0}, 25.64, 23.50, 20.15, 28.47),
    ("w = 1e-5 m/s", {"atmosphere.upwelling": 1e-5}, 26.46, 23.52, 20.06, 28.49),
    ("w = 1e-4 m/s", {"atmosphere.upwelling": 1e-4}, 36.81, 23.71, 19.48, 28.48),
    ("K = 0.1 m2/s", {"atmosphere.diffusivity": 0.1}, 37.81, 30.40, 26.09, 34.5),
    ("K = 0.6 m2/s", {"atmosphere.diffusivity": 0.6}, 19.45, 17.36, 10.87, 23.5),
    ("A = 5e-4 Pa", {"gravity_wave.stress": 5e-4}, 28.81, 22.22, 19.0, None),
    ("A = 7e-4 Pa", {"gravity_wave.stress": 7e-4}, 23.22, 24.46, 20.9, None),
    ("A = 5.2e-4 Pa, tuned to 28 months", {"gravity_wave.stress": 5.2e-4},
     28.11, 22.51, 19.30, 27.92),
    ("c = 30 m/s", {"gravity_wave.phase_speed": 30.0}, 24.58, 21.29, 18.39, None),
    ("c = 25 m/s", {"gravity_wave.phase_speed": 25.0}, 20.70, 14.69, 13.69, None),
    ("A = 4.5e-4 Pa, c = 40 m/s",
     {"gravity_wave.stress": 4.5e-4, "gravity_wave.phase_speed": 40.0},
     34.96, 28.80, 23.06, 35.98),
)  # fmt: skip
"""Name, changes of the case, period [month], deviation at 25 and 20 km, largest wind [m s-1]."""
BROAD = {"gravity_wave": "plumb_stochastic"}
LIFTED = {"atmosphere.upwelling": 3e-4}
HEADER = """\
# The one-dimensional model of the quasi-biennial oscillation

The wind over the equator between 17 and 35 km, driven by the waves of the case (Holton and Lindzen
1972, Plumb 1977): `cases/qbo_1d.yaml`, stepped by the driver of the global model, the waves being a
scheme of `gravity_wave` like any other. Made by `{command}` with Isthmus
{isthmus}, commit `{commit}`. {years} years, of which {spin_up} are left out; wind at 25 km unless
another height is said; a month has 30 days. "Reference" is what an independent implementation of
the published equations gave.
"""


@dataclass(kw_only=True)
class Section:
    """A part of the page."""

    title: str
    text: str
    rows: list[Row] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    picture: str = ""

    def lines(self) -> list[str]:
        """In Markdown."""
        lines = [f"## {self.title}", "", self.text, ""]
        if self.rows:
            lines += ["| quantity | ours | reference | gate | met |", "|---|---|---|---|---|"]
            lines += ["| " + " | ".join(row.cells()) + " |" for row in self.rows] + [""]
        for table in self.tables:
            lines += [*table.lines(), ""]
        if self.picture:
            lines += [f"![{self.title}]({self.picture})", ""]
        return lines


def built(changes: dict[str, Any], swap: dict[str, str] | None = None) -> Assembly:
    """The case with changes, in memory."""
    raw, problems = with_changes(read_yaml(CASE), set=changes, swap=swap)
    return assemble(raw, CASE.parent, problems)


def daily(model: Assembly, years: int) -> np.ndarray:
    """Winds at the start of every day after the spin-up [m s-1], shape [day, level, column]."""
    per_day = round(DAY / model.clock.step_length)
    wind = model.atmosphere.columns()["ua"]
    found = np.empty((360 * years, wind.shape[0], wind.shape[2]))
    for step in range(360 * years * per_day):
        if step % per_day == 0:
            model.atmosphere.columns()
            found[step // per_day] = wind[:, 0]
        loop.step(model)
    return found[360 * min(SPIN_UP, years // 2) :]


def at(model: Assembly, winds: np.ndarray, km: float, column: int = 0) -> np.ndarray:
    """The series at a height."""
    height = np.asarray(getattr(model.atmosphere, "height"))  # noqa: B009 - of this model only
    return winds[:, int(np.argmin(np.abs(height - 1e3 * km))), column]


def said(model: Assembly, winds: np.ndarray, column: int = 0) -> tuple[Oscillation, float]:
    """What the wind at 25 km does, and the deviation at 20 km."""
    return oscillation(at(model, winds, 25, column), 1.0), float(at(model, winds, 20, column).std())


def published(years: int) -> Section:
    """The table of two waves."""
    rows = []
    for name, changes, period, deviation, lower, largest in TABLE:
        model = built(changes)
        found, low = said(model, daily(model, years))
        rows += [
            near(f"{name}: period [month]", found.period, period, 0.05, ".2f"),
            near("sigma at 25 km [m/s]", found.deviation, deviation, 0.05, ".2f"),
            near("sigma at 20 km [m/s]", low, lower, 0.05, ".2f"),
        ]
        if largest is not None:
            rows.append(near("largest wind [m/s]", found.largest, largest, 0.05, ".2f"))
        print(f"{name}: {found.period:.2f} months", flush=True)
    text = (
        "Two waves of wavenumber 1, w upwelling, K diffusivity, A momentum flux, c phase speed. "
        "The oscillation is strictly periodic: the gate is the last digits of the reference."
    )
    return Section(title="Two waves", text=text, rows=rows)


def splitting(years: int) -> Section:
    """The source as a component that is called once in a step of first order."""
    reference = 25.66
    months, rows = [], []
    for hours, target in ((24, 25.96), (12, 25.81), (6, 25.74)):
        model = built({"atmosphere.stepping": "split", "atmosphere.dt": 3600.0 * hours})
        found, _ = said(model, daily(model, years))
        months.append(found.crossing_period)
        what = f"forward source, backward diffusion, {hours} h: period [month]"
        rows.append(near(what, found.crossing_period, target, 0.02, ".2f"))
    error = 100.0 * abs(months[0] / reference - 1.0)
    rows.append(at_most("error of one call a day [%]", error, "1.5", 1.5, ".2f"))
    excess = np.array(months) - reference
    for n, (one, other) in enumerate(pairwise(excess)):
        name = f"error of {24 >> n} h over that of {12 >> n} h"
        rows.append(near(name, one / other, 2.0, 0.25, ".2f"))
    text = (
        "`stepping: split` applies the waves as an operator of its own, as a coupler that knows "
        "nothing of the equation does. The period converges at first order in the step."
    )
    return Section(title="The source as a component", text=text, rows=rows)


def stall(years: int) -> Section:
    """Two waves cannot work against strong upwelling."""
    model = built(dict(LIFTED))
    found, _ = said(model, daily(model, years))
    rows = [
        at_most("whole cycles", found.cycles, "none", 0.0, ".0f"),
        at_most("sigma at 25 km [m/s]", found.deviation, "none", 1.0, ".2f"),
    ]
    text = "w = 3e-4 m/s lifts the shear zones as fast as two waves bring them down."
    return Section(title="Stall", text=text, rows=rows)


def broad(years: int) -> Section:
    """Twenty waves, steady and random."""
    calm = {"gravity_wave.stress_variance": 0.0, "gravity_wave.width_variance": 0.0}
    model = built({**LIFTED, **calm}, BROAD)
    found, low = said(model, daily(model, years))
    rows = [
        near("steady: period [month]", found.period, 28.77, 0.05, ".2f"),
        near("sigma at 25 km [m/s]", found.deviation, 38.67, 0.05, ".2f"),
        near("sigma at 20 km [m/s]", low, 23.49, 0.05, ".2f"),
        near("largest wind [m/s]", found.largest, 43.45, 0.05, ".2f"),
    ]
    model = built({**LIFTED, "atmosphere.columns": 3}, BROAD)
    winds = daily(model, years + SPIN_UP)
    for member in range(3):
        found, low = said(model, winds, member)
        name = f"random, member {member + 1}: period [month]"
        rows += [
            Row(what=name, ours=found.period, reference="25.8 to 26.0", low=25.75, high=26.05,
                form=".2f"),
            Row(what="sigma at 25 km [m/s]", ours=found.deviation, reference="33.8 to 33.9",
                low=33.6, high=34.1, form=".2f"),
            Row(what="sigma at 20 km [m/s]", ours=low, reference="19.1 to 19.3", low=19.0,
                high=19.4, form=".2f"),
        ]  # fmt: skip
    text = (
        "Waves of wavenumber 2 at phase speeds of 10 to 100 m/s to either side, w = 3e-4 m/s. "
        "Random: total stress and spectral width are drawn anew every day, log-normal and "
        "correlated; three members with numbers of their own. The reference's three members had "
        "others, hence 0.05 month beyond their range."
    )
    return Section(title="Twenty waves", text=text, rows=rows)


@dataclass(frozen=True, kw_only=True)
class Driven:
    """What an emulator made of the oscillation."""

    r2: float
    found: Oscillation
    guarded: int
    period: float
    """Error [%]; NaN where nothing oscillates."""
    amplitude: float
    """Error [%]."""

    @property
    def worst(self) -> float:
        """The larger error over its limit, 5 and 10 %; infinite where nothing oscillates."""
        share = max(self.period / 5.0, self.amplitude / 10.0)
        return share if np.isfinite(self.period + self.amplitude) else float("inf")


def driven(recipe_path: Path, seed: int, years: int, work: Path, truth: Oscillation,
           guard: str = "hand_over") -> Driven:  # fmt: skip
    """Trains an emulator, unless it is there, and lets it drive the model."""
    recipe = yaml.safe_load(recipe_path.read_text(encoding="utf-8")) | {"seed": seed}
    for recording in (*recipe["train"], recipe["test"]):
        recording["case"] = str(CASE)
    content = yaml.safe_dump(recipe)
    code = kept.model(str(CASE.relative_to(ROOT)))
    own = kept.place(work, f"seed_{seed}", [code, content])
    write_whole(own / "recipe.yaml", content)
    bundle = own / recipe["name"]
    if not kept.there(own, f"{recipe['name']}/bundle.yaml"):
        # Recordings are the same for all seeds, and made once.
        recorded = work / f"recordings_{code}"
        train_seeds(own / "recipe.yaml", [seed], out=bundle, work=recorded)
        bundle.with_name(f"{bundle.name}_seed{seed}").rename(bundle)
    skill = load_bundle(bundle).spec.skill
    assert skill is not None
    model = built({"gravity_wave.guard": guard}, {"gravity_wave": str(bundle)})
    found, _ = said(model, daily(model, years))
    component: Any = model.suite.processes[0].schemes[0].component
    return Driven(
        r2=skill.flux_overall,
        found=found,
        guarded=component.counts()["guarded"],
        period=100.0 * abs(found.period / truth.period - 1.0),
        amplitude=100.0 * abs(found.amplitude / truth.amplitude - 1.0),
    )


HEAD = ["seed", "offline R2 of the flux", "period [month]", "amplitude [m/s]", "handed over"]


def line(seed: int, run: Driven) -> list[str]:
    """A row of the table of emulators."""
    found = run.found
    return [
        str(seed), f"{run.r2:.4f}", f"{found.period:.2f}", f"{found.amplitude:.2f}",
        f"{run.guarded}",
    ]  # fmt: skip


def learned(years: int, seeds: int, work: Path) -> Section:
    """Emulators of the source, each driving the model."""
    truth_model = built({})
    truth, _ = said(truth_model, daily(truth_model, years))
    rows, body = [], []
    for seed in range(1, seeds + 1):
        run = driven(RECIPE, seed, years, work, truth)
        rows += [
            at_most(f"seed {seed}: error of the period [%]", run.period, "5", 5.0, ".2f"),
            at_most(f"seed {seed}: error of the amplitude [%]", run.amplitude, "10", 10.0, ".2f"),
        ]
        body.append(line(seed, run))
    truth_row = ["the waves themselves", "", f"{truth.period:.2f}", f"{truth.amplitude:.2f}", ""]
    body.append(truth_row)
    text = (
        "A column network, recorded, trained and swapped in this model (`isthmus train "
        "emulators/recipes/gw_qbo.yaml`): it was trained at other mixing, upwelling and starts "
        "than those of the case that it drives here."
    )
    caption = "Handed over: days on which the flux was that of the case's own scheme."
    tables = [Table(caption=caption, head=HEAD, body=body)]
    return Section(title="Learned waves", text=text, rows=rows, tables=tables)


def short_sighted(years: int, seeds: int, work: Path) -> Section:
    """Networks that see only some levels: good offline, and what they are worth."""
    truth_model = built({})
    truth, _ = said(truth_model, daily(truth_model, years))
    rows, body = [], []
    for seed in range(1, seeds + 1):
        run = driven(SHORT, seed, years, work / "short", truth, guard="count")
        inf = float("inf")
        rows += [
            Row(what=f"seed {seed}: offline R2", ours=run.r2, reference="0.9", low=0.9, high=inf,
                form=".4f"),
            Row(what=f"seed {seed}: error over what is allowed", ours=run.worst,
                reference="fails", low=1.0, high=inf, form=".2f"),
        ]  # fmt: skip
        body.append(line(seed, run))
    text = (
        "The control of the gate: convolutions along the column that see 26 of 72 levels "
        "(`emulators/recipes/gw_qbo_short.yaml`). The flux at a height depends on all levels "
        "below; in the training data the near ones tell most of it, so R2 is high. It has no help: "
        "the guard only counts, and no flux is beyond the bound of these bundles (`bound_factor` "
        "of the recipe), so that the case's own scheme takes over nothing. The gate is met when "
        "the network fails."
    )
    caption = "Days on which the flux was that of the case's own scheme: none, by construction."
    tables = [Table(caption=caption, head=HEAD, body=body)]
    return Section(title="A net with a high R2 that fails", text=text, rows=rows, tables=tables)


def picture(years: int, work: Path, page: Path) -> Section | None:
    """Time-height section of a run tuned to the observed period, beside the observed winds."""
    observed = data_folder() / OBSERVED
    out = work / "tuned"
    changes = {"gravity_wave.stress": 5.2e-4, "days": 360 * min(years, 24), "output.interval": 30}
    began = time.perf_counter()
    Simulation.from_case(CASE, set=changes, out=out, overwrite=True).run(quiet=True)
    took = time.perf_counter() - began
    section = read_time_height(out, skip_days=360.0 * (min(years, 24) // 4))
    seen = observed_time_height(observed) if observed.is_file() else None
    name = page.stem + ".png"
    page.parent.mkdir(parents=True, exist_ok=True)
    figure = qbo_figure(section, seen)
    figure.set_size_inches(8.6, 5.4)
    write_whole(page.parent / name, png(figure))
    text = (
        f"A = 5.2e-4 Pa: `isthmus run cases/qbo_1d.yaml --set gravity_wave.stress=5.2e-4`, drawn "
        f"by `isthmus plot RUN --kind qbo`. {min(years, 24)} years with monthly output took "
        f"{took:.1f} s of wall time. "
    )
    if seen is None:
        text += "The observed winds were not at hand."
    else:
        text += (
            "Below, the observed monthly winds (Naujokat 1986, Freie Universitaet Berlin). Period "
            "and descent agree; observed westerlies are weaker than easterlies, which two equal "
            "waves cannot give, and no cycle is like the other."
        )
    return Section(title="Beside the observed winds", text=text, picture=name)


def sections(years: int, seeds: int, work: Path, page: Path) -> Iterator[Section]:
    """All parts of the page, one after the other."""
    yield published(years)
    yield splitting(min(years, 40))
    yield stall(min(years, 40))
    yield broad(years)
    if seeds:
        yield learned(years, seeds, work)
        yield short_sighted(years, seeds, work)
    shown = picture(years, work, page)
    if shown is not None:
        yield shown


def main(argv: list[str] | None = None) -> int:
    """Writes the page; returns 1 when a gate is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--years", type=int, default=96)
    parser.add_argument("--emulators", type=int, default=0, metavar="N")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "qbo_results")
    parser.add_argument("--out", type=Path, default=PAGE)
    args = parser.parse_args(argv)
    made = versions()
    found = list(sections(args.years, args.emulators, args.work, args.out))
    given = (("years", args.years, 96), ("emulators", args.emulators, 0))
    options = shlex.join(f"--{name}={value}" for name, value, usual in given if value != usual)
    header = HEADER.format(
        command=f"python tools/qbo_results.py {options}".strip(),
        isthmus=made["isthmus"],
        commit=made.get("commit", "unknown"),
        years=args.years,
        spin_up=min(SPIN_UP, args.years // 2),
    )
    text = "\n".join([header, *("\n".join(section.lines()) for section in found)])
    write_whole(args.out, text.rstrip() + "\n")
    missed = [row for section in found for row in section.rows if not row.good]
    for row in missed:
        print(f"missed: {row.what}: {row.ours:g}, reference {row.reference}")
    print(f"{args.out} written, {len(missed)} gates missed")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
