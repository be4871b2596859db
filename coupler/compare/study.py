"""`isthmus compare offline | shadow | online | stability | full`: from a case to its runs.

One job is a run of the case. The reference's member m and a candidate's member m have the same
start (the case's seed + m - 1, which its noise follows from); a candidate that is the reference's
own scheme has other starts: it is the A/A test. Member 1 of the reference calls all candidates
beside its own scheme (the shadow), member 1 of a candidate calls the reference's scheme beside it
(its own states): neither changes the run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from coupler.compare.asked import Settings, fits, no_climate, nothing_to_do, wrong_numbers
from coupler.compare.candidates import BASELINE, REFERENCE, Candidate, absolute, parse, process_of
from coupler.compare.jobs import COMPLETE, FAILED, Job, Run, placed, run_all
from coupler.compare.parts import Made, Part
from coupler.config import read_yaml, with_changes
from coupler.driver.assemble import check
from coupler.interface.errors import ConfigError, Problem
from coupler.interface.units import parse_quantity

_OTHER_STARTS, _RECORDED_START = 1000, 500
"""Added to the seed for repeats of the reference, and for the run that is recorded."""
_RECORD_DAYS = 20.0
_NOISE = "0.1 K"
TWIN = " twin"
"""Behind a candidate's name: runs whose start differs from that of the member by almost nothing."""
_TWIN_NOISE = 1.01
"""Noise of a twin's start over that of its member: 1 mK where it is 0.1 K."""
_TWIN_DAYS = 20.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What has to run."""

    settings: Settings
    raw: Mapping[str, Any]
    process: str
    reference: Mapping[str, Any]
    """The case's own scheme, with its parameters."""
    candidates: tuple[Candidate, ...]
    days: float
    skip_days: float
    jobs: tuple[Job, ...]
    notes: tuple[str, ...] = ()

    @property
    def work(self) -> Path:
        return _work(self.settings)

    @property
    def judged(self) -> tuple[Candidate, ...]:
        """All but the baseline."""
        return tuple(c for c in self.candidates if c.name != BASELINE)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all candidates, in the order of their colours."""
        return tuple(c.name for c in self.candidates)

    @property
    def judged_names(self) -> tuple[str, ...]:
        """Of all but the baseline."""
        return tuple(c.name for c in self.judged)


def _work(settings: Settings) -> Path:
    return settings.work or settings.report.with_suffix(".work")


def plan(settings: Settings) -> Plan:
    """Finds the process and all jobs, and everything that is wrong, before anything runs.

    Raises:
        ConfigError: with all of it.
    """
    raw, problems = with_changes(read_yaml(settings.case), set=dict(settings.changes))
    schemes = parse(settings.candidates)
    _refuse(wrong_numbers(settings) + problems + nothing_to_do(settings, schemes, raw))
    base = settings.case.parent
    plugins = [str(Path(p).resolve()) for p in settings.plugins]
    with_plugins = {**raw, "plugins": [*(raw.get("plugins") or []), *plugins]}
    process = process_of(schemes, with_plugins, base, settings.process)
    own = (raw.get("physics") or {})[process]
    reference = {"scheme": own} if isinstance(own, str) else _choice_alone(own)
    candidates = _candidates(settings, schemes, str(reference["scheme"]))
    days, skip = _lengths(settings, raw)
    atmosphere = raw.get("atmosphere")
    words = atmosphere if isinstance(atmosphere, Mapping) else {"scheme": atmosphere}
    noise, notes = _noise(settings, words)
    changes = {**settings.changes, **noise}
    jobs = _jobs(settings, raw, process, reference, candidates, days, changes, plugins)
    if settings.twins and settings.runs_online:
        jobs += _twins(settings, jobs, words, changes)
    problems = no_climate(settings, with_plugins, str(words.get("scheme")), base)
    if settings.truth is not None:
        problems += fits(raw, settings.truth, days - skip)
    _refuse(problems + _wrong(jobs, with_plugins, base, dict(settings.changes)))
    return Plan(
        settings=settings,
        raw=raw,
        process=process,
        reference=reference,
        candidates=tuple(candidates),
        days=days,
        skip_days=skip,
        jobs=tuple(placed(job, raw, _work(settings)) for job in jobs),
        notes=tuple(notes),
    )


def _refuse(problems: Sequence[Problem]) -> None:
    """All that was found at once, if anything."""
    if problems:
        raise ConfigError(*problems)


def _candidates(settings: Settings, schemes: Mapping[str, str], reference: str) -> list[Candidate]:
    """All that are asked for, and what similarity or a truth takes beside them.

    Args:
        settings: what a user asks for.
        schemes: by name.
        reference: the case's own scheme.
    """
    base = settings.case.parent
    as_it_is = absolute(reference, base)
    candidates = [
        Candidate(
            name=name,
            scheme=scheme,
            own=scheme == as_it_is,
            repeats=scheme == as_it_is and settings.truth is None,
        )
        for name, scheme in ((n, absolute(s, base)) for n, s in schemes.items())
    ]
    if settings.truth is not None:
        if not any(c.own for c in candidates):
            candidates.append(Candidate(name=BASELINE, scheme=as_it_is, own=True))
    elif settings.baseline != "none" and settings.runs_online:
        scheme = "" if settings.baseline == "off" else absolute(settings.baseline, base)
        candidates.append(Candidate(name=BASELINE, scheme=scheme))
    return candidates


def _lengths(settings: Settings, raw: Mapping[str, Any]) -> tuple[float, float]:
    """Length of a run, and what is left out at its start [day].

    Raises:
        ConfigError: when nothing is left.
    """
    given = settings.days if settings.days is not None else raw.get("days", 10.0)
    days = float(parse_quantity(given, "day"))
    skip = settings.skip_days if settings.skip_days is not None else 0.5 * days
    if not 0.0 <= skip < days:
        raise ConfigError.of(
            "nothing left of a run",
            "--skip-days",
            expected=f"less than the {days:g} days of a run",
            found=f"{skip:g}",
        )
    return days, skip


def _noise(settings: Settings, atmosphere: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The change that makes starts differ where a case has no noise, and a note on it."""
    quiet = atmosphere.get("scheme") == "spectral" and not atmosphere.get("noise")
    if not (quiet and settings.members > 1 and settings.runs_online):
        return {}, []
    note = f"the case has no noise; starts are perturbed by {_NOISE}"
    return {"atmosphere.noise": _NOISE}, [note]


def _choice_alone(own: Mapping[str, Any]) -> dict[str, Any]:
    """A scheme with its parameters, without how the process uses it."""
    how = ("mode", "interval", "weight", "top", "lag", "reference", "beside")
    return {k: v for k, v in own.items() if k not in how}


def _jobs(
    settings: Settings,
    raw: Mapping[str, Any],
    process: str,
    reference: Mapping[str, Any],
    candidates: Sequence[Candidate],
    days: float,
    changes: Mapping[str, Any],
    plugins: Sequence[str],
) -> list[Job]:
    seed = int(changes.get("seed", raw.get("seed", 0)))

    def job(name: str, member: int, start: int, length: float, more: Mapping[str, Any],
            swap: Mapping[str, str], record: tuple[str, ...] = ()) -> Job:  # fmt: skip
        return Job(
            candidate=name,
            member=member,
            case=settings.case,
            days=length,
            changes={**changes, **more, "seed": start, "days": length},
            swap=swap,
            plugins=tuple(plugins),
            record=record,
        )

    shadows = {c.name: c.scheme for c in candidates if not c.repeats and not c.off}
    found = []
    alone = settings.kind in ("offline", "stability")
    if (alone or settings.kind == "full") and settings.recording is None:
        length = min(days, _RECORD_DAYS)
        found.append(job(REFERENCE, 0, seed + _RECORDED_START, length, {}, {}, (process,)))
    if alone:
        return found
    beside = f"{process}.beside"
    members = range(1, (1 if settings.kind == "shadow" else settings.members) + 1)
    for member in members:  # all ensembles grow together: an interrupted study has pairs
        start = seed + member - 1
        if settings.truth is None:
            more: dict[str, Any] = {beside: shadows} if member == 1 and shadows else {}
            found.append(job(REFERENCE, member, start, days, more, {}))
        if settings.kind == "shadow":
            continue
        for c in candidates:
            if c.off:
                found.append(job(c.name, member, start, days, {f"{process}.mode": "off"}, {}))
            elif c.own:
                start_of_it = start + (_OTHER_STARTS if c.repeats else 0)
                found.append(job(c.name, member, start_of_it, days, {}, {}))
            else:
                shadow = member == 1 and settings.truth is None
                more = {beside: {REFERENCE: dict(reference)}} if shadow else {}
                found.append(job(c.name, member, start, days, more, {process: c.scheme}))
    return found


def _twins(
    settings: Settings,
    jobs: Sequence[Job],
    atmosphere: Mapping[str, Any],
    changes: Mapping[str, Any],
) -> list[Job]:
    """Short runs of the first members with a little more noise at the start.

    Raises:
        ConfigError: for an atmosphere whose start has no noise.
    """
    noise = changes.get("atmosphere.noise", atmosphere.get("noise"))
    if not noise or atmosphere.get("scheme") != "spectral":
        raise ConfigError.of(
            "twins without noise at the start",
            "--twins",
            expected="a spectral atmosphere with atmosphere.noise, or more than one member",
            found=str(noise or atmosphere.get("scheme")),
            remedy="for example --set atmosphere.noise='0.1 K'",
        )
    more = {"atmosphere.noise": f"{_TWIN_NOISE * parse_quantity(noise, 'K'):.6g} K"}
    found = []
    for job in jobs:
        if 1 <= job.member <= min(settings.twins, settings.members) and job.candidate != BASELINE:
            days = min(job.days, _TWIN_DAYS)
            own = {**job.changes, **more, "days": days}
            own = {k: v for k, v in own.items() if not k.endswith(".beside")}
            found.append(replace(job, candidate=job.candidate + TWIN, days=days, changes=own))
    return found


def _wrong(
    jobs: Sequence[Job], raw: Mapping[str, Any], base: Path, changes: Mapping[str, Any]
) -> list[Problem]:
    """All that is wrong with any kind of run, checked as `isthmus check` does it."""
    problems: dict[str, Problem] = {}
    seen: set[str] = set()
    for job in jobs:
        kind = f"{job.candidate} {job.member <= 1}"
        if kind in seen:
            continue
        seen.add(kind)
        changed, found = with_changes(raw, set={**changes, **job.changes}, swap=dict(job.swap))
        for p in [*found, *check(changed, base)]:
            problems.setdefault(str(p), p)
    return list(problems.values())


def make(
    found: Plan,
    console: Console,
    ahead: Callable[[Plan, Sequence[Run]], Sequence[Part]] = lambda plan, runs: (),
) -> list[Run]:
    """Makes the runs that are not there, telling of each.

    Args:
        found: what has to run.
        console: that is told.
        ahead: parts of analyses that the runs so far make possible, made beside the others.
    """
    settings = found.settings
    parallel = settings.parallel or os.cpu_count() or 1
    console.print(f"{len(found.jobs)} runs of {found.days:g} days, {parallel} at a time, in "
                  f"{found.work}", highlight=False, soft_wrap=True)  # fmt: skip

    def say(text: str, style: str) -> None:
        console.print(f"  {text}", style=style, highlight=False, markup=False, soft_wrap=True)

    def told(run: Run, done: int, of: int) -> None:
        job = run.job
        what = f"{job.candidate}, member {job.member}" if job.member else "the recorded run"
        state = f"{run.wall:.0f} s" if run.status == COMPLETE else f"{run.status}: {run.why}"
        style = "" if run.status == COMPLETE else "bold red" if run.status == FAILED else "bold"
        say(f"{done} of {of}: {what}: {state}", style)

    def told_part(made: Made) -> None:
        say(f"{made.part.name}: {made.why or f'{made.wall:.0f} s'}", "bold" if made.why else "")

    return run_all(
        found.jobs,
        parallel=parallel,
        retry=settings.retry,
        told=told,
        ahead=partial(ahead, found),
        told_part=told_part,
    )
