"""What became of the members of an ensemble: the one place where they are counted.

Every member has one fate. It *reached the end* with numbers that can be read; or it *failed*, which
counts against its candidate: it blew up on a day, or ran through and wrote what is no number; or it
is *missing*, which says nothing of its candidate: it was killed, refused, crashed in somebody's
code, or its files cannot be read. Shares are of the members that *ended*: all but the missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from coupler.compare.jobs import FAILED, MISSING, Run
from coupler.compare.statistics.survival import Survival, survival

NOT_A_NUMBER = "its output is not a number"


@dataclass(frozen=True, kw_only=True)
class Fate:
    """Of one member."""

    member: int
    failed_on: float | None = None
    """Day since the start; None for one that did not fail."""
    missing: bool = False
    text: str = ""
    """Of one that failed or is missing, for tables."""

    @property
    def failed(self) -> bool:
        return self.failed_on is not None


def of_run(run: Run) -> Fate:
    """The fate that a run tells itself, before its output is looked at."""
    member = run.job.member
    if run.status == MISSING:
        return missing(member, run.why)
    if run.status == FAILED:
        day = run.failed_at or 0.0
        text = f"member {member} on day {day:.1f}: {run.why}"
        return Fate(member=member, failed_on=day, text=text)
    return Fate(member=member)


def missing(member: int, why: str) -> Fate:
    """That of a member without files that can be used."""
    return Fate(member=member, missing=True, text=f"member {member}: {why}")


def no_number(member: int, days: float) -> Fate:
    """That of a member that ran through its days [day] and wrote what is no number."""
    return Fate(member=member, failed_on=days, text=f"member {member}: {NOT_A_NUMBER}")


def failures(fates: Sequence[Fate]) -> list[str]:
    """Who failed: when, why."""
    return [f.text for f in fates if f.failed]


def absences(fates: Sequence[Fate]) -> list[str]:
    """Who is missing: why."""
    return [f.text for f in fates if f.missing]


def survivors(fates: Sequence[Fate]) -> tuple[int, int]:
    """How many members reached the end, and how many ended."""
    ended = [f for f in fates if not f.missing]
    return sum(not f.failed for f in ended), len(ended)


def lost(fates: Sequence[Fate]) -> float:
    """Share of the members that ended which failed; NaN where none ended."""
    alive, ended = survivors(fates)
    return (ended - alive) / ended if ended else math.nan


def survival_of(fates: Sequence[Fate], days: float, at: ArrayLike) -> Survival | None:
    """Share of the members that ended which were alive; None where none ended.

    Args:
        fates: of all members.
        days: how long members were to run [day].
        at: times of the curve [day], shape [time].
    """
    ended = [f.failed_on for f in fates if not f.missing]
    return survival(ended, days, at) if ended else None
