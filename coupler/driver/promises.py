"""What schemes promise of energy and water, held against what they did in each output interval.

A residual of a scheme that promises a quantity (`ProcessBudget.promised`) beyond the tolerance of
the case's contract (`coupler.contracts`, ``budgets:``) is said with the name of the scheme. With
the policy ``raise`` it ends the run; ``warn`` says it once. ``fix`` says it, too: who lets schemes
be as they are and closes the budget of the air is `coupler.driver.correctors`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

import cftime
import numpy as np

from coupler.contracts import BudgetChoice
from coupler.driver.process_budgets import QUANTITIES, UNITS, ProcessBudget, Quantity
from coupler.driver.suite import Suite
from coupler.interface.component import Array
from coupler.interface.errors import Problem, UnstableError

_log = logging.getLogger(__name__)


class Promises:
    """Those of all schemes of a run, and how well they were kept."""

    def __init__(self, suite: Suite, choice: BudgetChoice) -> None:
        """Begins with nothing.

        Args:
            suite: all schemes.
            choice: tolerances and policies.
        """
        self._choice, self._first = choice, suite.host.parallel.rank == 0
        self._mean: Callable[[Array], float] = suite.host.mean
        self._books: list[ProcessBudget] = suite.books()
        self._kept = {f"{q}.{b.name}": np.zeros(1) for b in self._books for q in b.residuals}
        """Largest mean over an output interval, since the start."""
        self._said: set[str] = set()
        self._seen: dict[str, dict[str, float]] = {}

    def judge(self, found: Mapping[str, tuple[float, str, str]], date: cftime.datetime) -> None:
        """Holds an output interval against the contracts.

        Args:
            found: what `ProcessBudget.take` gave of all processes.
            date: of its end.

        Raises:
            UnstableError: for the worst one beyond the tolerance, where the policy is ``raise``.
        """
        for q in QUANTITIES:
            contract = getattr(self._choice, q)
            worst, size = "", contract.process_tolerance
            for b in self._books:
                if q not in b.residuals:
                    continue
                gap, kept = b.gap_of(q, found), self._kept[f"{q}.{b.name}"]
                kept[0] = max(kept[0], gap)
                if q in b.promised and gap > size:
                    worst, size = b.key, gap
            if not worst:
                continue
            problem = self._problem(q, worst, size, f"of the output interval until {date}")
            if contract.policy == "raise":
                raise UnstableError(problem)
            if problem.what not in self._said and self._first:
                self._said.add(problem.what)
                told = problem.what, problem.expected, problem.found
                _log.warning("isthmus: warning: %s: expected %s, found %s", *told)

    def _problem(self, q: Quantity, name: str, size: float, over: str) -> Problem:
        unit = UNITS[q]
        return Problem(
            what=f"{name} does not conserve {q} as it promises",
            name=f"budgets.{q}.process_tolerance",
            expected=f"at most {getattr(self._choice, q).process_tolerance:g} {unit}",
            found=f"{size:.3g} {unit} in the mean {over}",
            remedy="look at its tendencies and the fluxes that it declares, or set policy to "
            "'warn' and let correctors close the budget",
        )

    def broken(self, problems: Iterable[Problem]) -> list[Problem]:
        """Schemes that may be to blame where an exchange did not keep its contract.

        Called by all ranks.

        Args:
            problems: that end the run.
        """
        if not any(p.name.startswith("budgets.") for p in problems):
            return []
        found = []
        for b, q in ((b, q) for b in self._books for q in QUANTITIES if q in b.promised):
            size = b.gap(q, self._mean)
            if size > getattr(self._choice, q).process_tolerance:
                found.append(self._problem(q, b.key, size, "since the last record"))
        return found

    # -- telling ------------------------------------------------------------------------------

    def largest(self) -> dict[str, dict[str, float]]:
        """Largest residuals of an output interval since the start, by quantity and scheme.

        What was added up since the last record counts as one. Called by all ranks.
        """
        self._seen = {q: {} for q in QUANTITIES}
        for b in self._books:
            for q in (q for q in QUANTITIES if q in b.residuals):
                now = b.gap(q, self._mean)
                self._seen[q][b.key] = max(float(self._kept[f"{q}.{b.name}"][0]), now)
        self._seen = {q: found for q, found in self._seen.items() if found}
        return self._seen

    def lines(self) -> list[str]:
        """Closing lines of a run, of what `largest` gave last."""
        said = []
        for q in QUANTITIES:
            found = self._seen.get(q)
            if found:
                name = max(found, key=lambda n: found[n])
                said.append(f"{found[name]:.1e} {UNITS[q]} of {q} by {name}")
        return [f"largest residual of a scheme: {', '.join(said)}"] if said else []

    def memory(self) -> dict[str, Array]:
        """What a restart needs; the same on all ranks."""
        return dict(self._kept)

    def may_lack(self) -> tuple[str, ...]:
        """All of it: restarts of runs that did not look are gone on with."""
        return tuple(self._kept)

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave."""
        for name, array in self._kept.items():
            array[...] = memory.get(name, 0.0)
