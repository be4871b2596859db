"""Signs that a candidate goes wrong: inputs that it leans on, twins, series that warn.

`ablations` looks at the recording of the reference and needs no run of a candidate; `twin_growth`
and `warnings` look at the runs that were made. What the reference does itself is always the
measure: a cold start grows and drifts with any scheme.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

from coupler.compare.ablation import LEANS, Effect, ablate, spurious
from coupler.compare.candidates import REFERENCE
from coupler.compare.foretold import Foretold
from coupler.compare.jobs import FAILED, Run
from coupler.compare.numerals import number
from coupler.compare.opening import opened
from coupler.compare.sample import read_run
from coupler.compare.starts import parting
from coupler.compare.statistics import early_warning, twins
from coupler.compare.study import TWIN, Plan
from coupler.compare.verdict import Evidence, Grade
from coupler.driver.replay import RecordedScheme
from coupler.interface.errors import CouplerError, DataError

F64 = NDArray[np.float64]
CALLS = 4
"""Of a recording, at which inputs are taken away."""
WATCHED = ("total_energy", "angular_momentum", "momentum", "energy")
"""Series of ``budgets.nc`` that may warn."""
_SURROGATES, _LEVEL = 199, 0.05
_TURNS = 1.0
"""Days in which noise on the grid turns into what grows; left out of the rate."""


# -- inputs ----------------------------------------------------------------------------------------


def ablations(plan: Plan, runs: Sequence[Run]) -> Foretold:
    """Which inputs candidates lean on, by permuting each among the columns of recorded calls.

    Raises:
        DataError: without a recording.
    """
    path = plan.settings.recording
    if path is None:
        recorded = [r for r in runs if r.job.candidate == REFERENCE and r.job.member == 0]
        if not recorded or not recorded[0].good:
            raise DataError.of("no recording to take inputs away from", plan.process)
        path = recorded[0].folder / f"record_{plan.process}.nc"
    evidence: dict[str, tuple[Evidence, ...]] = {}
    numbers: dict[str, Any] = {}
    notes: list[str] = []
    with RecordedScheme(path, plan.settings.case.parent) as recording:
        calls = np.unique(np.linspace(recording.calls // 2, recording.calls - 1, CALLS).astype(int))
        own = {e.name: e.effect for e in _effects(recording, calls.tolist(), None)}
        numbers[REFERENCE] = own
        for c in plan.judged:
            if c.off or c.repeats:
                continue
            try:
                found = _effects(recording, calls.tolist(), c.scheme)
            except CouplerError as error:
                notes.append(f"inputs of {c.name} cannot be taken away: {error.problems[0]}")
                continue
            evidence[c.name] = (lean_evidence(found, own),)
            numbers[c.name] = {e.name: e.effect for e in found}
    return Foretold(evidence=evidence, numbers=numbers, notes=notes)


def lean_evidence(found: Sequence[Effect], reference: Mapping[str, float]) -> Evidence:
    """What the effects of a candidate's inputs say beside the reference's."""
    wrong = spurious(list(found), reference)
    first = ", ".join(f"{e.name} {number(e.effect)}" for e in found[:3])
    grade: Grade = "good"
    if wrong:
        first = "; ".join(
            f"{n} {number(e)} (reference {number(reference.get(n, 0.0))})" for n, e in wrong.items()
        )
        grade = "bad" if max(wrong.values()) > 0.25 else "doubtful"
    return Evidence(
        when="before",
        what="inputs that it leans on and the reference does not"
        if wrong
        else "inputs that it leans on most (share of its variance)",
        found=first or "none",
        expected=f"those of the reference; others below {LEANS:g}",
        grade=grade,
    )


def _effects(recording: RecordedScheme, calls: Sequence[int], scheme: str | None) -> list[Effect]:
    """Mean effects over calls of the inputs that differ from column to column."""
    sums: dict[str, list[float]] = {}
    for call in calls:
        for e in _effects_at(recording, call, scheme):
            sums.setdefault(e.name, []).append(e.effect)
    nan = float("nan")
    found = [Effect(name=n, effect=float(np.mean(v)), r2=nan, lost=nan) for n, v in sums.items()]
    return sorted(found, key=lambda e: -e.effect if np.isfinite(e.effect) else np.inf)


def _effects_at(recording: RecordedScheme, call: int, scheme: str | None) -> list[Effect]:
    whole = recording.answer(call, scheme)
    mass = np.diff(np.asarray(whole.half_pressure, np.float64), axis=0)
    names = [n for n in recording.inputs(scheme) if n in whole.held]
    inputs = {n: whole.held[n] for n in names if np.ptp(whole.held[n], axis=-1).any()}
    size = {of: max(float((r * mass).std()), 1e-300) for of, r in whole.rates.items()}

    def pushes(changed: Mapping[str, Any]) -> F64:
        """Of all layers and variables, each in its own deviation."""
        rates = recording.answer(call, scheme, changed).rates
        return np.concatenate([np.asarray(r) * mass / size[of] for of, r in rates.items()])

    return ablate(pushes, inputs, seed=call)


# -- twins -----------------------------------------------------------------------------------------


def twin_growth(plan: Plan, runs: Sequence[Run]) -> Foretold:
    """Growth of the difference between members and their twins, against the reference's.

    Raises:
        DataError: where no twins were asked for, or the reference has none.
    """
    if not plan.settings.twins:
        raise DataError.of(
            "no twins were made", "--twins", remedy="ask for some: --twins 3", expected="at least 1"
        )
    fields = {n: _pairs(runs, n) for n in (REFERENCE, *plan.judged_names)}
    saturation = _saturation(runs)
    grown = {n: _growth(pairs, saturation) for n, pairs in fields.items() if pairs}
    if REFERENCE not in grown or not grown[REFERENCE].rates.size:
        raise DataError.of("no pair of the reference can be looked at", "--twins",
                           remedy="let the runs be longer")  # fmt: skip
    usual = grown[REFERENCE]
    evidence = {n: (twin_evidence(g, usual),) for n, g in grown.items() if n != REFERENCE}
    numbers = {
        n: {"rate": g.rate, "low": g.low, "high": g.high, "pairs": g.rates.size}
        for n, g in grown.items()
    }
    return Foretold(evidence=evidence, numbers=numbers)


def twin_evidence(candidate: twins.Growth, reference: twins.Growth) -> Evidence:
    """What the growth of a candidate's twins says beside the reference's."""
    apart = twins.difference(candidate, reference)
    far = abs(apart.value) > 0.25 * abs(reference.rate)
    grade: Grade = "open" if not np.isfinite(apart.high) else "good"
    if apart.certain and np.isfinite(apart.high):
        grade = "bad" if far else "doubtful"
    return Evidence(
        when="after",
        what="growth of the difference of twins less the reference's [day-1]",
        found=f"{number(apart.value)} ({number(apart.low)} to {number(apart.high)}); the "
        f"reference's own rate is {number(reference.rate)}",
        expected="an interval with 0 in it",
        grade=grade,
    )


def _pairs(runs: Sequence[Run], name: str) -> list[tuple[F64, F64]]:
    """Days and difference of the zonal wind of each member that has a twin."""
    own = {r.job.member: r for r in runs if r.job.candidate == name and r.good}
    others = [r for r in runs if r.job.candidate == name + TWIN and r.good]
    found = []
    for other in others:
        if other.job.member not in own:
            continue
        a, b = (read_run(r.folder, name) for r in (own[other.job.member], other))
        apart = parting(a, b)
        found.append((apart.days, apart.globe["ua"]))
    return found


def _saturation(runs: Sequence[Run]) -> float:
    """Difference of the zonal wind of two members of the reference at their end."""
    own = [r for r in runs if r.job.candidate == REFERENCE and r.job.member and r.good][:2]
    if len(own) < 2:
        raise DataError.of(
            "no two members of the reference to know saturation from", "--members",
            expected="at least 2",
        )  # fmt: skip
    apart = parting(*(read_run(r.folder, REFERENCE) for r in own)).globe["ua"]
    return float(apart[-max(1, apart.size // 4) :].mean())


def _growth(pairs: Sequence[tuple[F64, F64]], saturation: float) -> twins.Growth:
    n = min(days.size for days, _ in pairs)
    days, apart = pairs[0][0][:n], np.stack([d[:n] for _, d in pairs])
    return twins.growth(days, apart, saturation=saturation, skip=_TURNS)


# -- series ----------------------------------------------------------------------------------------


def warnings(plan: Plan, runs: Sequence[Run]) -> Foretold:
    """Share of runs with a series whose variance or memory rises, against the reference's."""
    alarms = {n: _alarms(runs, n) for n in (REFERENCE, *plan.judged_names)}
    usual = alarms[REFERENCE]
    if not usual:
        least = early_warning.LEAST_VALUES
        return Foretold(notes=(f"no early warning: it takes {least} records of a run",))
    evidence = {
        n: (warning_evidence(found, usual),) for n, found in alarms.items()
        if n != REFERENCE and found
    }  # fmt: skip
    numbers = {n: {"runs": len(a), "warn": int(sum(a))} for n, a in alarms.items()}
    return Foretold(evidence=evidence, numbers=numbers)


def warning_evidence(candidate: Sequence[bool], reference: Sequence[bool]) -> Evidence:
    """What the runs of a candidate say beside the reference's: one alarm or none from each.

    Both shares are uncertain: the probability is Fisher's, of so many more alarms by chance.
    """
    n, m, a, b = len(candidate), len(reference), sum(candidate), sum(reference)
    grade: Grade = "good"
    if a > _LEVEL * n:
        if _by_chance(a, n, b, m) <= _LEVEL:
            grade = "doubtful"
        elif _by_chance(n, n, 0, m) > _LEVEL:  # not even the clearest case would be seen
            grade = "open"
    return Evidence(
        when="after",
        what="runs with a series of rising variance or memory",
        found=f"{a} of {n} (p = {_by_chance(a, n, b, m):.2g})",
        expected=f"the reference's {b} of {m}; {_LEVEL:g} by chance",
        grade=grade,
    )


def _by_chance(a: int, n: int, b: int, m: int) -> float:
    """Probability of at least a of n, of all a + b of n + m that there are (Fisher 1935)."""
    return float(hypergeom.sf(a - 1, n + m, a + b, n))


def _alarms(runs: Sequence[Run], name: str) -> list[bool]:
    """Whether each run warns: one that has a series that can."""
    found = []
    for run in runs:
        if (
            run.job.candidate != name
            or not run.job.member
            or run.status not in ("complete", FAILED)
        ):
            continue
        chances = []
        for series in _series(run.folder / "budgets.nc"):
            try:
                alarm = early_warning.warning(series, surrogates=_SURROGATES, seed=run.job.member)
            except DataError:  # too short, or constant
                continue
            chances.append(alarm.probability)
        if chances:  # series of one run are not independent: one alarm at most (Bonferroni)
            found.append(min(chances) * len(chances) <= _LEVEL)
    return found


def _series(path: Path) -> list[F64]:
    if not path.is_file():
        return []
    with opened(path) as data:
        some = [np.asarray(data[n].values, np.float64) for n in WATCHED if n in data]
    # A run that failed has a last record that is no number: what came before it may have warned.
    return [x[: int(np.argmin(np.isfinite(x)))] if not np.isfinite(x).all() else x for x in some]
