"""`isthmus compare offline | shadow | online | stability | full`: from a case to its runs.

One job is a run of the case. The reference's member m and a candidate's member m have the same
start (the case's seed + m - 1, which its noise follows from); a candidate that is the reference's
own scheme has other starts: it is the A/A test. Member 1 of the reference calls all candidates
beside its own scheme (the shadow), member 1 of a candidate calls the reference's scheme beside it
(its own states): neither changes the run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from rich.console import Console

from coupler.compare.candidates import BASELINE, REFERENCE, Candidate, absolute, parse, process_of
from coupler.compare.jobs import COMPLETE, FAILED, Job, Run, placed, run_all
from coupler.compare.sample import times_of
from coupler.config import read_yaml, with_changes
from coupler.driver.assemble import check
from coupler.driver.discovery import discover, find_scheme
from coupler.interface.errors import ConfigError, CouplerError, Problem
from coupler.interface.units import parse_quantity

Kind = Literal["offline", "shadow", "online", "stability", "full"]
_OTHER_STARTS, _RECORDED_START = 1000, 500
"""Added to the seed for repeats of the reference, and for the run that is recorded."""
_RECORD_DAYS = 20.0
_NOISE = "0.1 K"
TWIN = " twin"
"""Behind a candidate's name: runs whose start differs from that of the member by almost nothing."""
_TWIN_NOISE = 1.01
"""Noise of a twin's start over that of its member: 1 mK where it is 0.1 K."""
_TWIN_DAYS = 20.0
_MONTHS = 0.1
"""Intervals are equal within that: calendar months and 30 days are."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a user asks for."""

    kind: Kind
    case: Path
    candidates: Sequence[str]
    process: str | None = None
    members: int = 4
    twins: int = 0
    """Members of the reference and of each candidate that get a twin."""
    days: float | None = None
    """Length of a run; default: the case's."""
    skip_days: float | None = None
    """Left out of climates at the start; default: half of each run."""
    baseline: str = "none"
    """``off``, a scheme, or ``none``: what similarity is measured from."""
    recording: Path | None = None
    truth: Path | None = None
    """Somebody's file that takes the place of the reference."""
    regrid: bool = False
    parallel: int = 0
    """Runs at a time; 0: as many as there are cores."""
    work: Path | None = None
    report: Path = Path("report.html")
    changes: Mapping[str, Any] = field(default_factory=dict)
    plugins: Sequence[str] = ()
    retry: bool = False


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
    problems = _wrong_numbers(settings)
    raw, found = with_changes(read_yaml(settings.case), set=dict(settings.changes))
    problems += found
    schemes = parse(settings.candidates)
    if not schemes:
        problems.append(
            Problem(
                what="nothing to compare",
                name="--candidates",
                expected="at least one NAME=SCHEME",
                remedy="for example --candidates emulator=gw_column",
            )
        )
    runs_online = settings.kind in ("online", "full")
    if raw.get("branch") and settings.members > 1 and runs_online:
        problems.append(
            Problem(
                what="members that begin with the same state",
                name=f"branch={raw['branch']}",
                expected="starts that differ by their seed, which noise is drawn with",
                found=f"{settings.members} members and one restart",
                remedy="begin without it (--set branch=null), or say --members 1",
            )
        )
    if problems:
        raise ConfigError(*problems)
    base = settings.case.parent
    plugins = [str(Path(p).resolve()) for p in settings.plugins]
    with_plugins = {**raw, "plugins": [*(raw.get("plugins") or []), *plugins]}
    process = process_of(schemes, with_plugins, base, settings.process)
    own = (raw.get("physics") or {})[process]
    reference = {"scheme": own} if isinstance(own, str) else _choice_alone(own)
    as_it_is = absolute(str(reference["scheme"]), base)
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
    elif settings.baseline != "none" and runs_online:
        scheme = "" if settings.baseline == "off" else absolute(settings.baseline, base)
        candidates.append(Candidate(name=BASELINE, scheme=scheme))
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
    notes: list[str] = []
    changes = dict(settings.changes)
    atmosphere = raw.get("atmosphere")
    words = atmosphere if isinstance(atmosphere, Mapping) else {"scheme": atmosphere}
    quiet = words.get("scheme") == "spectral" and not words.get("noise")
    if quiet and settings.members > 1 and runs_online:
        changes["atmosphere.noise"] = _NOISE
        notes.append(f"the case has no noise; starts are perturbed by {_NOISE}")
    jobs = _jobs(settings, raw, process, reference, candidates, days, changes, plugins)
    if settings.twins and runs_online:
        jobs += _twins(settings, jobs, words, changes)
    problems = _no_climate(settings, with_plugins, str(words.get("scheme")), base)
    if settings.truth is not None:
        problems += _fits(raw, settings.truth, days - skip)
    problems += _wrong(jobs, with_plugins, base, dict(settings.changes))
    if problems:
        raise ConfigError(*problems)
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


def _no_climate(
    settings: Settings, raw: Mapping[str, Any], atmosphere: str, base: Path
) -> list[Problem]:
    """An atmosphere without what is compared: its runs would all be made and then be missing."""
    if settings.kind == "offline" and settings.recording is not None:
        return []
    discover(raw.get("plugins") or (), base)
    try:
        provides = getattr(find_scheme("atmosphere", atmosphere, base), "provides", ())
    except CouplerError:  # which the check of the runs says
        return []
    lacking = [n for n in ("ua", "ta", "ps") if n not in {f.name for f in provides}]
    if not lacking:
        return []
    return [
        Problem(
            what="an atmosphere that is not compared",
            name=f"atmosphere={atmosphere}",
            expected="ua, ta and ps on latitudes, longitudes and levels",
            found=f"no {', '.join(lacking)}",
            remedy="tools/reversal_results.py compares closures of two_layer_qg offline and online,"
            " tools/foretelling_results.py those of lorenz96",
        )
    ]


def _fits(raw: Mapping[str, Any], truth: Path, length: float) -> list[Problem]:
    """What keeps somebody's file from being compared with the runs.

    Winds of hours and of months have other distributions, spectra and extremes; and the file must
    span the days that are compared.
    """
    ours = float(parse_quantity((raw.get("output") or {}).get("interval", 1.0), "day"))
    theirs, span = times_of(truth)
    problems = []
    if math.isfinite(theirs) and not math.isclose(ours, theirs, rel_tol=_MONTHS):
        problems.append(
            Problem(
                what="means over different times",
                name=f"--truth {truth}",
                expected=f"records {ours:g} days apart, as the case writes them (output.interval)",
                found=f"{theirs:g} days",
                remedy=f"say --set output.interval='{theirs:g} day', or average the file",
            )
        )
    if (span + 0.5 * theirs if math.isfinite(theirs) else ours) < length:
        problems.append(
            Problem(
                what="a truth that is shorter than what is compared with it",
                name=f"--truth {truth}",
                expected=f"at least the {length:g} days of a run that are compared",
                found=f"{span:g} days" if math.isfinite(span) else "one record",
                remedy="give a longer file, or say shorter runs by --days and --skip-days",
            )
        )
    return problems


def _choice_alone(own: Mapping[str, Any]) -> dict[str, Any]:
    """A scheme with its parameters, without how the process uses it."""
    how = ("mode", "interval", "weight", "top", "lag", "reference", "beside")
    return {k: v for k, v in own.items() if k not in how}


def _wrong_numbers(settings: Settings) -> list[Problem]:
    problems = []
    counts = (
        ("--members", settings.members, 1),
        ("--jobs", settings.parallel, 0),
        ("--twins", settings.twins, 0),
    )
    for name, value, least in counts:
        if value < least:
            problems.append(
                Problem(what="bad value", name=name, expected=f"at least {least}", found=str(value))
            )
    if settings.twins and settings.members < 2:
        problems.append(
            Problem(what="twins without two members, whose difference says what is far apart",
                    name="--twins", expected="--members 2 or more", found=str(settings.members))
        )  # fmt: skip
    if settings.kind not in get_args(Kind):
        problems.append(Problem(what="no such comparison", name=settings.kind))
    if settings.days is not None and not settings.days > 0.0:
        problems.append(Problem(what="bad value", name="--days", expected="above 0",
                                found=f"{settings.days:g}"))  # fmt: skip
    for option, path in (("--recording", settings.recording), ("--truth", settings.truth)):
        if path is not None and not path.exists():
            problems.append(Problem(what="no such file", name=f"{option} {path}"))
    if settings.kind == "stability" and settings.recording is not None:
        problems.append(
            Problem(
                what="a recording does not hold the state of the flow",
                name=f"--recording {settings.recording}",
                expected="a case: its own run is made",
                remedy="leave --recording out",
            )
        )
    return problems


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


def make(found: Plan, console: Console) -> list[Run]:
    """Makes the runs that are not there, telling of each."""
    settings = found.settings
    parallel = settings.parallel or os.cpu_count() or 1
    console.print(f"{len(found.jobs)} runs of {found.days:g} days, {parallel} at a time, in "
                  f"{found.work}", highlight=False, soft_wrap=True)  # fmt: skip

    def told(run: Run, done: int, of: int) -> None:
        job = run.job
        what = f"{job.candidate}, member {job.member}" if job.member else "the recorded run"
        state = f"{run.wall:.0f} s" if run.status == COMPLETE else f"{run.status}: {run.why}"
        style = "" if run.status == COMPLETE else "bold red" if run.status == FAILED else "bold"
        console.print(f"  {done} of {of}: {what}: {state}", style=style, highlight=False,
                      markup=False, soft_wrap=True)  # fmt: skip

    return run_all(found.jobs, parallel=parallel, retry=settings.retry, told=told)
