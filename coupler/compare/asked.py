"""What a user asks of a study, and what is wrong with it before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from coupler.compare.sample import times_of
from coupler.driver.discovery import discover, find_scheme
from coupler.interface.errors import CouplerError, Problem
from coupler.interface.units import parse_quantity

Kind = Literal["offline", "shadow", "online", "stability", "full"]
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

    @property
    def runs_online(self) -> bool:
        """Whether candidates run coupled."""
        return self.kind in ("online", "full")


def wrong_numbers(settings: Settings) -> list[Problem]:
    """Options that are out of range, or files that are not there."""
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


def nothing_to_do(
    settings: Settings, schemes: Mapping[str, str], raw: Mapping[str, Any]
) -> list[Problem]:
    """Nothing to compare, or members that are all the same run."""
    problems = []
    if not schemes:
        problems.append(
            Problem(
                what="nothing to compare",
                name="--candidates",
                expected="at least one NAME=SCHEME",
                remedy="for example --candidates emulator=gw_column",
            )
        )
    if raw.get("branch") and settings.members > 1 and settings.runs_online:
        problems.append(
            Problem(
                what="members that begin with the same state",
                name=f"branch={raw['branch']}",
                expected="starts that differ by their seed, which noise is drawn with",
                found=f"{settings.members} members and one restart",
                remedy="begin without it (--set branch=null), or say --members 1",
            )
        )
    return problems


def no_climate(
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


def fits(raw: Mapping[str, Any], truth: Path, length: float) -> list[Problem]:
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
