"""What the runs of a study say: scores, survival, growth, cost, conservation, verdicts."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from coupler.compare import fates
from coupler.compare.answers import Answers, in_run, on_recording
from coupler.compare.candidates import BASELINE, REFERENCE, code_version
from coupler.compare.conservation import Residual, conserved, residuals_of_schemes
from coupler.compare.fates import Fate
from coupler.compare.forecasts import Forecast, forecasts, global_means
from coupler.compare.foretold import Foretold, foretell
from coupler.compare.jobs import Run
from coupler.compare.metrics import Vector, energy_spectrum, measure, zonal_mean
from coupler.compare.online import Online, score
from coupler.compare.order import Order, Standing, order
from coupler.compare.pieces import block_of, memory
from coupler.compare.sample import (
    LEVELS,
    Sample,
    differences_of,
    levels_of,
    read_foreign,
    read_run,
)
from coupler.compare.starts import Cell, Parting, parting, scorecard
from coupler.compare.statistics.survival import Survival
from coupler.compare.study import TWIN, Plan
from coupler.compare.verdict import Facts, Verdict, judge_candidate
from coupler.interface.constants import Planet
from coupler.interface.errors import CouplerError, DataError
from coupler.interface.fields import STATE, tendency_field

F64 = NDArray[np.float64]
Array = NDArray[Any]


@dataclass(kw_only=True, eq=False)
class Ensemble:
    """The members of one candidate that reached the end."""

    name: str
    vectors: dict[int, dict[str, Vector]] = field(default_factory=dict)
    sections: dict[str, list[F64]] = field(default_factory=dict)
    """Zonal means of each member, shape [level, lat], by field."""
    maps: dict[str, list[F64]] = field(default_factory=dict)
    spectra: dict[str, list[F64]] = field(default_factory=dict)
    equator: list[F64] = field(default_factory=list)
    """Zonal wind within 5 degrees of the equator, shape [time, level], the whole run."""
    partings: dict[int, Parting] = field(default_factory=dict)
    means: dict[int, tuple[F64, Mapping[str, F64]]] = field(default_factory=dict)
    """Days and global means of the whole run, by member."""

    def add(self, member: int, whole: Sample, climate: Sample, planet: Planet) -> None:
        """Takes a member in; its fields need not be kept."""
        self.vectors[member] = measure(climate, planet)
        self.means[member] = whole.days, global_means(whole)
        for of in climate.deep:
            self.sections.setdefault(of, []).append(zonal_mean(climate, of))
        for of in ("pr", "ts"):
            if of in climate.flat:
                mean = climate.flat[of].mean(axis=0, dtype=np.float64)
                self.maps.setdefault(of, []).append(mean)
        k = int(np.argmin(np.abs(climate.levels - 250e2)))
        if "ua" in climate.deep:
            wind = climate.deep["ua"][:, k].mean(axis=0, dtype=np.float64)
            self.maps.setdefault("ua", []).append(wind)
            belt = np.abs(whole.lat) <= max(5.0, 1.01 * float(np.abs(whole.lat).min()))
            self.equator.append(whole.deep["ua"][:, :, belt].mean(axis=(2, 3), dtype=np.float64))
        for band in ("30N-60N", "15S-15N"):
            power = energy_spectrum(climate, 250e2, band)
            if power is not None:
                self.spectra.setdefault(band, []).append(power)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a candidate costs, medians over its runs."""

    component: float
    """Milliseconds a call for a thousand columns, from the recording."""
    steps_per_second: float
    sypd: float
    memory: float
    """[MB]"""
    wall: float
    """[s]"""


@dataclass(kw_only=True, eq=False)
class Findings:
    """All that the report shows."""

    plan: Plan
    runs: Sequence[Run]
    offline: dict[str, Answers] = field(default_factory=dict)
    shadow: dict[str, Answers] = field(default_factory=dict)
    own_states: dict[str, Answers] = field(default_factory=dict)
    foretold: dict[str, Foretold] = field(default_factory=dict)
    """By analysis."""
    ensembles: dict[str, Ensemble] = field(default_factory=dict)
    online: dict[str, Online] = field(default_factory=dict)
    survival: dict[str, Survival] = field(default_factory=dict)
    ends: dict[str, list[Fate]] = field(default_factory=dict)
    """Of all members, by ensemble."""
    cards: dict[str, Mapping[tuple[str, float, str], Mapping[float, Cell]]] = field(
        default_factory=dict
    )
    forecasts: dict[str, tuple[Forecast, ...]] = field(default_factory=dict)
    block: int = 0
    """Pieces of a truth from one that counts as independent to the next; 0 without a truth."""
    cost: dict[str, Cost] = field(default_factory=dict)
    conservation: dict[str, dict[str, tuple[float, str]]] = field(default_factory=dict)
    """Value and unit by quantity."""
    residuals_of_schemes: dict[str, dict[str, Residual]] = field(default_factory=dict)
    """The largest by quantity."""
    verdicts: list[Verdict] = field(default_factory=list)
    order: Order = field(default_factory=Order)
    starts: dict[int, str] = field(default_factory=dict)
    """Hash of everything but the process, by member."""
    unequal: list[str] = field(default_factory=list)
    lat: F64 = field(default_factory=lambda: np.zeros(0))
    lon: F64 = field(default_factory=lambda: np.zeros(0))
    levels: F64 = field(default_factory=lambda: np.zeros(0))
    days: F64 = field(default_factory=lambda: np.zeros(0))
    notes: list[str] = field(default_factory=list)
    code: str = ""

    @property
    def failures(self) -> dict[str, list[str]]:
        """Who failed in each ensemble that lost a member: when, why."""
        return {n: told for n, of in self.ends.items() if (told := fates.failures(of))}

    @property
    def missing(self) -> dict[str, list[str]]:
        """Who is missing in each ensemble that lacks a member: why."""
        return {n: told for n, of in self.ends.items() if (told := fates.absences(of))}

    @property
    def truth_name(self) -> str:
        truth = self.plan.settings.truth
        return truth.name if truth is not None else str(self.plan.reference["scheme"])


def examine(plan: Plan, runs: Sequence[Run]) -> Findings:
    """Reads everything that the runs left.

    Raises:
        DataError: for a truth or a recording that does not fit.
    """
    found = Findings(plan=plan, runs=runs, notes=list(plan.notes), code=code_version())
    kind = plan.settings.kind
    if kind in ("offline", "full"):
        _offline(found)
    if kind not in ("offline", "stability"):
        _shadows(found)
    found.foretold = foretell(plan, runs)
    found.notes += [note for of in found.foretold.values() for note in of.notes]
    if kind in ("online", "full"):
        _climates(found)
        _lives(found)
        _costs(found)
        _conserved(found)
        _same_starts(found)
    _verdicts(found)
    return found


def _named(found: Findings, name: str, *, recorded: bool = False) -> list[Run]:
    return [r for r in found.runs if r.job.candidate == name and (r.job.member == 0) == recorded]


def _offline(found: Findings) -> None:
    plan = found.plan
    path, skip = plan.settings.recording, plan.settings.skip_days or 0.0
    if path is None:
        run = _named(found, REFERENCE, recorded=True)[0]
        if not run.good:
            found.notes.append(f"no recording: {run.why}")
            return
        path = run.folder / f"record_{plan.process}.nc"
        skip = 0.5 * run.job.days
    own = str(plan.reference["scheme"])
    schemes = {c.name: own if c.own else c.scheme for c in plan.judged if not c.off}
    found.offline = on_recording(path, schemes, base=plan.settings.case.parent, skip_days=skip)


def _shadows(found: Findings) -> None:
    plan = found.plan
    first = next((r for r in _named(found, REFERENCE) if r.job.member == 1), None)
    for c in plan.judged:
        if c.repeats or c.off:
            continue
        if first is not None:
            answers = (
                in_run(first.folder, plan.process, c.name, where="shadow", applied_is_truth=True,
                       skip_days=plan.skip_days)
                if first.good else Answers(where="shadow", why=first.why)
            )  # fmt: skip
            share = _outside(first, f"{plan.process}.{c.name}")
            found.shadow[c.name] = replace(answers, outside=share)
        own = next((r for r in _named(found, c.name) if r.job.member == 1), None)
        if own is not None and plan.settings.truth is None:
            found.own_states[c.name] = (
                in_run(own.folder, plan.process, REFERENCE, where="own states",
                       applied_is_truth=False, skip_days=plan.skip_days)
                if own.good else Answers(where="own states", why=own.why)
            )  # fmt: skip


def _climates(found: Findings) -> None:
    """Reads member by member; only what metrics need is kept."""
    plan = found.plan
    planet = Planet(**(plan.raw.get("planet") or {}))
    extra = [tendency_field(plan.process, of).name for of in STATE]
    truth = plan.settings.truth
    levels = LEVELS if truth is None else levels_of(truth)
    names = plan.names if plan.settings.truth is not None else (REFERENCE, *plan.names)
    last: Sample | None = None
    first: Sample | None = None
    kept: dict[int, Sample] = {}
    for name in names:
        ensemble = found.ensembles.setdefault(name, Ensemble(name=name))
        ends = found.ends.setdefault(name, [])
        own: dict[bytes, int] = {}
        for run in _named(found, name):
            fate, whole = _ended(run, plan.days, extra, levels)
            ends.append(fate)
            if whole is None:
                continue
            if first is None:
                first = whole
                found.lat, found.lon = whole.lat, whole.lon
                found.levels, found.days = whole.levels, whole.days
            problems = differences_of({first.name: first, name: whole})
            if problems:
                raise DataError(*problems)
            member = run.job.member
            same = own.setdefault(_bits(whole), member)
            if same != member:  # counted twice, one run's weather would be a difference
                found.notes.append(
                    f"member {member} of {name} is member {same} to the bit and is not counted: "
                    "its start and its schemes do not depend on the seed"
                )
                continue
            ensemble.add(member, whole, whole.since(plan.skip_days), planet)
            if name == REFERENCE:
                if last is not None:
                    ensemble.partings[member] = parting(whole, last)
                kept[member] = last = whole
            elif member in kept and not _repeats(plan, name):
                ensemble.partings[member] = parting(whole, kept[member])
        if name == REFERENCE and len(kept) > 1:
            members = sorted(kept)
            ensemble.partings[members[0]] = parting(kept[members[0]], kept[members[-1]])
    if plan.settings.truth is not None and first is not None:
        _foreign(found, first, planet)
    _scores(found)


def _bits(sample: Sample) -> bytes:
    return hashlib.sha256(sample.deep["ua"].tobytes()).digest()


def _repeats(plan: Plan, name: str) -> bool:
    return any(c.name == name and c.repeats for c in plan.candidates)


def _foreign(found: Findings, like: Sample, planet: Planet) -> None:
    """Cuts somebody's file into pieces as long as the climates of the runs: its members."""
    plan = found.plan
    assert plan.settings.truth is not None
    truth = read_foreign(plan.settings.truth, like, regrid=plan.settings.regrid)
    length = plan.days - plan.skip_days
    ensemble = found.ensembles.setdefault(REFERENCE, Ensemble(name=REFERENCE))
    parts = truth.pieces(length)
    for piece, part in enumerate(parts, 1):
        ensemble.add(piece, part, part, planet)
    found.notes.append(
        f"the truth is {plan.settings.truth.name}, from {truth.start} on, in {len(parts)} pieces "
        f"of {length:g} days; its seasons are not those of the runs unless you chose them so"
    )
    records, tau = min((part.days.size for part in parts), default=1), memory(truth)
    found.block = block_of(tau, records)
    if found.block > 1:
        found.notes.append(
            f"the truth remembers itself for {tau} of its records and a piece has {records}: one "
            f"piece in {found.block} counts as independent, {len(parts[:: found.block])} of "
            f"{len(parts)}, and intervals come from blocks of {found.block} pieces"
        )


def _scores(found: Findings) -> None:
    reference = found.ensembles.get(REFERENCE)
    if reference is None or not reference.vectors:
        return
    baseline = found.ensembles.get(BASELINE)
    base = baseline.vectors if baseline is not None and baseline.vectors else None
    for c in found.plan.candidates:
        found.online[c.name] = score(
            c.name, found.ensembles[c.name].vectors, reference.vectors, base, block=found.block
        )
        partings = found.ensembles[c.name].partings
        if c.name != BASELINE and partings:
            found.cards[c.name] = scorecard(partings, reference.partings)
    for name, ensemble in found.ensembles.items():
        if ensemble.partings:
            found.forecasts[name] = forecasts(ensemble.partings, ensemble.means)


def _ended(
    run: Run, days: float, extra: Sequence[str], levels: tuple[float, ...]
) -> tuple[Fate, Sample | None]:
    """What became of a run, and what it wrote if that can be looked at."""
    fate = fates.of_run(run)
    if not run.good:
        return fate, None
    try:
        whole = read_run(run.folder, run.job.candidate, extra, levels)
    except CouplerError as error:
        return fates.missing(fate.member, str(error.problems[0])), None
    return (fate, whole) if whole.finite() else (fates.no_number(fate.member, days), None)


def _lives(found: Findings) -> None:
    at = np.linspace(0.0, found.plan.days, 61)
    for name, ends in found.ends.items():
        lives = fates.survival_of(ends, found.plan.days, at)
        if lives is not None:
            found.survival[name] = lives


def _costs(found: Findings) -> None:
    for name in (REFERENCE, *found.plan.names):
        runs = [r for r in _named(found, name) if r.good and r.record]
        # Member 1 calls other schemes too.
        alone = [r for r in runs if r.job.member > 1] or runs
        if not alone:
            continue
        speed = [r.record["steps"] / r.record["wall_seconds"] for r in alone
                 if r.record.get("wall_seconds")]  # fmt: skip
        answers = found.offline.get(name)
        found.cost[name] = Cost(
            component=answers.milliseconds if answers is not None else math.nan,
            steps_per_second=float(np.median(speed)) if speed else math.nan,
            sypd=float(np.median([r.record.get("sypd", math.nan) for r in alone])),
            memory=float(np.median([r.memory for r in alone])),
            wall=float(np.median([r.wall for r in alone])),
        )


def _conserved(found: Findings) -> None:
    for name, ensemble in found.ensembles.items():
        runs = [r for r in _named(found, name) if r.good]
        found.conservation[name] = conserved(runs, ensemble.vectors, found.plan.days)
        found.residuals_of_schemes[name] = residuals_of_schemes(runs)


def _same_starts(found: Findings) -> None:
    """Hashes of all that candidates must share: the case without the process."""
    for run in found.runs:
        name, member = run.job.candidate, run.job.member
        if member == 0 or not run.good or name.endswith(TWIN) or _repeats(found.plan, name):
            continue
        digest = _options(run.folder, found.plan.process)
        known = found.starts.setdefault(member, digest)
        if known != digest:
            found.unequal.append(f"{name}, member {member}: {digest} instead of {known}")


def _options(folder: Path, process: str) -> str:
    case = yaml.safe_load((folder / "case.resolved.yaml").read_text())
    case["physics"] = {k: v for k, v in case.get("physics", {}).items() if k != process}
    text = json.dumps(case, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _verdicts(found: Findings) -> None:
    reference = found.ensembles.get(REFERENCE)
    standings = []
    for c in found.plan.judged:
        runs, ends = _named(found, c.name), found.ends.get(c.name, [])
        online = found.online.get(c.name)
        parted = math.nan
        if reference is not None and c.name in found.ensembles:
            parted = _parted(found.ensembles[c.name], reference)
        found.verdicts.append(
            judge_candidate(
                Facts(
                    name=c.name,
                    offline=found.offline.get(c.name),
                    shadow=found.shadow.get(c.name),
                    own_states=found.own_states.get(c.name),
                    online=online,
                    ends=tuple(ends),
                    handed_over=_handed_over(runs, found.plan.process),
                    outside=tuple(
                        share
                        for r in runs
                        if math.isfinite(share := _outside(r, found.plan.process))
                    ),
                    parting=parted,
                    more=tuple(
                        e for of in found.foretold.values() for e in of.evidence.get(c.name, ())
                    ),
                )
            )
        )
        if c.repeats:
            continue
        offline = found.offline.get(c.name)
        standings.append(
            Standing(
                name=c.name,
                r2=offline.mean("r2") if offline is not None else math.nan,
                lost=fates.lost(ends),
                over_noise=online.mean("over_noise") if online is not None else math.nan,
                relative=online.mean("relative") if online is not None else math.nan,
            )
        )
    found.order = order(standings)


def _parted(ensemble: Ensemble, reference: Ensemble) -> float:
    both = sorted(set(ensemble.partings) & set(reference.partings))
    ratios = []
    for m in both:
        own, other = ensemble.partings[m], reference.partings[m]
        if "ua" in own.globe and own.days[-1] >= 5.0:
            at = [float(np.interp(5.0, p.days, p.globe["ua"])) for p in (own, other)]
            ratios.append(at[0] / at[1] if at[1] > 0.0 else math.nan)
    return float(np.mean(ratios)) if ratios else math.nan


def _handed_over(runs: Sequence[Run], process: str) -> float:
    taken = columns = 0
    for run in runs:
        counts = (run.record.get("guard") or {}).get(process, {})
        taken += int(counts.get("guarded", 0))
        columns += int(counts.get("columns", 0))
    return taken / columns if columns else math.nan


def _outside(run: Run, name: str) -> float:
    """Share of columns that a scheme counted outside its training in a whole run; NaN for none."""
    counts = (run.record.get("guard") or {}).get(name, {})
    known = counts.get("columns") and "outside" in counts
    return float(counts["outside"] / counts["columns"]) if known else math.nan
