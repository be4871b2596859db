"""What is known of candidates before they have run: analyses that warn, and how one is added.

An analysis looks at a plan and at the runs that are there, and gives findings for candidates, one
picture for the first screen, more for below, numbers for programs. A new one is one more entry of
`ANALYSES`. What it finds is evidence in the verdict (`coupler.compare.verdict`), with the grade
that it gives; whether it was right is what `isthmus compare full` shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from coupler.compare.asked import Kind
from coupler.compare.jobs import Run
from coupler.compare.parts import Part
from coupler.compare.study import Plan
from coupler.compare.verdict import Evidence, When
from coupler.interface.errors import CouplerError

if TYPE_CHECKING:
    import xarray as xr

Picture = tuple[str, str, bytes]
"""Heading, caption, PNG."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Foretold:
    """What one analysis found."""

    evidence: Mapping[str, Sequence[Evidence]] = field(default_factory=dict)
    """By candidate; the worst first."""
    picture: Picture | None = None
    """For the first screen of the report."""
    more_pictures: Sequence[Picture] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """For ``report.json``: numbers, words, lists and mappings of them."""
    dataset: xr.Dataset | None = None
    """Written beside the report, ``REPORT.NAME.nc``."""
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """An analysis and when it is made."""

    name: str
    """A word: names files and numbers."""
    of: Callable[[Plan, Sequence[Run]], Foretold]
    """Imports what it needs when it is called. A `CouplerError` means that it cannot tell."""
    kinds: tuple[Kind, ...] = ("stability", "full")
    option: str = ""
    """Of the settings, without which it is not made."""
    ahead: Callable[[Plan, Sequence[Run]], Sequence[Part]] = lambda plan, runs: ()
    """Parts of it that the runs which have ended make possible (`coupler.compare.parts`)."""
    when: When = "before"
    """Whether it looks at a candidate's own long runs."""

    def wanted(self, plan: Plan) -> bool:
        """Whether a comparison asks for it."""
        asked = not self.option or bool(getattr(plan.settings, self.option))
        return plan.settings.kind in self.kinds and asked


def _later(module: str, name: str) -> Callable[[Plan, Sequence[Run]], Any]:
    """A function of a module that is imported when it is called."""
    return lambda plan, runs: getattr(import_module(module), name)(plan, runs)


ANALYSES: list[Analysis] = [
    Analysis(
        name="stability",
        of=_later("coupler.compare.stability.analysis", "analyse"),
        ahead=_later("coupler.compare.stability.parts", "ahead"),
    ),
    Analysis(name="ablation", of=_later("coupler.compare.signs", "ablations")),
    Analysis(
        name="twins",
        of=_later("coupler.compare.signs", "twin_growth"),
        kinds=("online", "full"),
        option="twins",
        when="after",
    ),
    Analysis(
        name="early_warning",
        of=_later("coupler.compare.signs", "warnings"),
        kinds=("online", "full"),
        when="after",
    ),
]


def ahead(plan: Plan, runs: Sequence[Run]) -> list[Part]:
    """Parts of all analyses that the runs which have ended make possible."""
    wanted = (analysis for analysis in ANALYSES if analysis.wanted(plan))
    return [part for analysis in wanted for part in analysis.ahead(plan, runs)]


def foretell(plan: Plan, runs: Sequence[Run]) -> dict[str, Foretold]:
    """Makes every analysis of a comparison of this kind, in the order of `ANALYSES`.

    One that cannot tell is shown as such: in a note, and in the evidence on each candidate.
    """
    found = {}
    for analysis in ANALYSES:
        if not analysis.wanted(plan):
            continue
        try:
            found[analysis.name] = analysis.of(plan, runs)
        except CouplerError as error:
            why = str(error.problems[0])
            silent = Evidence(
                when=analysis.when,
                what=f"{analysis.name}: no answer",
                found=why,
                expected="an answer",
                grade="open",
            )
            found[analysis.name] = Foretold(
                evidence=dict.fromkeys(plan.judged_names, (silent,)),
                notes=(f"{analysis.name} cannot tell: {why}",),
            )
    return found
