"""The physics suite: every scheme of a case, bound to its arrays once, called when due.

Schemes act in the order of the case, each on the state that the ones before it left (sequential
splitting). A scheme's tendencies and fluxes are kept between calls; their rate, tendencies plus the
divergence of the fluxes over the present layers, is applied at every step, and the sum over all
schemes goes to the dynamics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from coupler.config import Ramp
from coupler.diagnostics.momentum import MomentumBudget
from coupler.driver.bound import MOMENTUM, Bound
from coupler.driver.crashes import INSIDE
from coupler.driver.flux import add_scaled, add_up, dissipative_heating, move
from coupler.driver.negotiate import blended
from coupler.driver.process_budgets import ProcessBudget
from coupler.driver.spent import BUDGETS, Spent
from coupler.driver.watch import inside, large_rate
from coupler.interface.component import Array, Flux, Host, Now
from coupler.interface.errors import UnstableError
from coupler.interface.fields import COLUMN, SMALL_STATE, STATE, TRACERS, Field, tendency_field
from coupler.interface.parallel import Counted, Spread

NOT_FINITE = "a tendency is not finite"
_MOST = float(np.finfo(np.float32).max)
"""Larger rates are as good as infinite [SI per s]."""


Move = tuple[Array, Array, Array]
"""State before, rate, and where the state goes that they make together."""


@dataclass(kw_only=True)
class Process:
    """A process of the case: one scheme that acts, or two in shadow or blend."""

    name: str
    schemes: list[Bound]
    """What is called, in this order."""
    weights: list[float | Ramp]
    """Share of each scheme in what is applied; 0 for a shadow."""
    applied: dict[str, Array] = field(default_factory=dict)
    """The rate that the dynamics receives."""
    budgets: dict[str, MomentumBudget] = field(default_factory=dict)
    """Of each wind component that a flux changes."""
    book: ProcessBudget | None = None
    """Of energy and water."""
    heating_drag: dict[str, Array] = field(default_factory=dict)
    """Where schemes are mixed: the common drag that heats, and the heat of its kinetic energy."""
    shared: dict[str, tuple[Array, list[Array | None]]] = field(default_factory=dict)
    """Of a blend: diagnostics as others see them, and of each scheme."""
    moves: list[tuple[str, Move]] = field(default_factory=list)
    """What it does to the state, by variable, where its rate may differ from zero."""

    def weight(self, index: int, seconds: float) -> float:
        w = self.weights[index]
        return w.at(seconds) if isinstance(w, Ramp) else w

    @property
    def mixes(self) -> bool:
        """Whether what is applied is not simply one scheme's rate."""
        return sum(w != 0.0 for w in self.weights) > 1

    def reach(self, of: str, nlev: int) -> int:
        """How many of the uppermost levels it changes a variable of."""
        if self.mixes:
            return nlev
        return max((b.reach for b in self.schemes if of in b.rate), default=0)

    def blend(self) -> dict[str, Array]:
        """Makes the first two schemes a blend; what others see of their diagnostics, by name."""
        one, other = (dict(bound.diag.items()) for bound in self.schemes[:2])
        fields = blended(*(bound.component.diagnostics for bound in self.schemes[:2]))
        for f in fields:
            given = [a.get(f.name) for a in (one, other)]
            like = next(a for a in given if a is not None)
            self.shared[f.name] = (np.zeros_like(like), given)
        return {n: seen for n, (seen, _) in self.shared.items()}

    def share(self, seconds: float) -> None:
        """Weights the diagnostics of a blend as its tendencies are."""
        weights = [self.weight(n, seconds) for n in (0, 1)] if self.shared else []
        for seen, given in self.shared.values():
            seen.fill(0.0)
            for weight, array in zip(weights, given, strict=True):
                if weight and array is not None:
                    np.add(seen, weight * array, out=seen)

    def balance(self, now: Now) -> None:
        """Holds what is applied against the fluxes at both ends of the columns."""
        seconds = now.seconds
        if self.book is not None and self.book.due(now.step):
            self.book.add([self.weight(n, seconds) for n in range(len(self.schemes))], now.dt)
        for of, budget in self.budgets.items():
            budget.add(
                [
                    (self.weight(n, seconds), getattr(b.flux, f.name), b.escaped[f.name])
                    for n, b in enumerate(self.schemes)
                    for f in b.fluxes
                    if f.of == of
                ]
            )


class Suite:
    """All processes of a case on the columns of one model."""

    def __init__(
        self, host: Host, columns: Mapping[str, Array], spent: Spent | None = None
    ) -> None:
        self.host, self._spent = host, spent or Spent()
        changing = (*STATE, *SMALL_STATE, *TRACERS)
        self.start = {of: flat(columns[of]) for of in changing if of in columns}
        self.state = {of: np.empty_like(a) for of, a in self.start.items()}
        """What processes see of variables that others changed before; moved on when one looks."""
        self.total = {of: np.zeros_like(a) for of, a in self.start.items()}
        self._terms: dict[str, tuple[tuple[Array, ...], Array]] = {}
        self._due: dict[str, list[tuple[Move, int, int]]] = {}
        """What is still to be done to the state, by variable: from a level on, and up to which."""
        self.absurd: set[str] = set()
        """Variables of which the last step had tendencies beyond belief."""
        self.phalf = flat(columns["phalf"]) if "phalf" in columns else None
        self.pool: dict[str, Array] = {
            **{n: flat(a) for n, a in columns.items()},
            **host.static,
        }
        """What a process that is added now would be given: the start, until one has changed it."""
        self.processes: list[Process] = []

    def add(self, process: Process) -> None:
        """Takes a bound process into the suite, after the ones before it."""
        for bound in process.schemes:
            bound.spent, bound.account = self._spent, f"{process.name}={bound.label}"
        if process.mixes:
            for bound in process.schemes:
                for of in bound.rate:
                    process.applied.setdefault(of, self.host.empty("level", "column"))
            if any(bound.heats for bound in process.schemes):
                empty = self.host.empty
                process.heating_drag = {of: empty("level", "column") for of in (*MOMENTUM, "ta")}
        else:
            acting = [b for b, w in zip(process.schemes, process.weights, strict=True) if w != 0.0]
            for bound in acting:
                process.applied.update(bound.rate)
        driven = {f.of for b in process.schemes for f in b.fluxes} & process.applied.keys()
        for of in MOMENTUM:
            if of in driven and self.phalf is not None:
                rate, gravity = process.applied[of], self.host.planet.gravity
                budget = MomentumBudget(process.name, of, rate, self.phalf, gravity)
                process.budgets[of] = budget
                makers = [b for b in process.schemes if of in b.rate]
                fluxes = [f for b in makers for f in b.fluxes if f.of == of]
                if len(fluxes) == len(makers) == 1 and of not in makers[0].tendencies:
                    # Who divides the flux among the layers sums over them in the same pass.
                    makers[0].sums[of], budget.given = budget.columns, True
        self._open_book(process)
        for of, rate in process.applied.items():
            # Below its reach a process leaves a state as it is: one that had not changed before is
            # copied there by the first process that changes it.
            first = self.pool[of] is not self.state[of]
            n = self.host.nlev if first else process.reach(of, self.host.nlev)
            process.moves.append((of, (self.pool[of][:n], rate[:n], self.state[of][:n])))
            self.pool[of] = self.state[of]
            rates, reach = self._terms.get(of, ((), np.zeros(0, np.int64)))
            own = process.reach(of, self.host.nlev)
            self._terms[of] = (*rates, rate), np.append(reach, own)
        self.processes.append(process)

    def _open_book(self, process: Process) -> None:
        changed = process.applied.keys() & {*STATE}
        if self.phalf is None or not changed:
            return
        acting = [n for n, w in enumerate(process.weights) if w != 0.0]
        changes = [n for n in acting if process.schemes[n].rate]
        rates = {of: process.applied[of][: process.reach(of, self.host.nlev)] for of in changed}
        process.book = ProcessBudget(
            process.name, process.schemes, changes, rates, self.phalf, self.host
        )

    def run(self, now: Now) -> dict[str, Array]:
        """Calls what is due and returns the total tendency of the state [SI per s].

        Raises:
            UnstableError: for a tendency that is not finite, naming the first scheme that gave one.
        """
        self._due.clear()
        self._dt = now.dt
        try:
            self._act(now)
        except UnstableError:
            self._blame(now)  # a scheme that complains of its input is rarely the one to blame
            raise
        self.absurd.clear()
        for of, (rates, reach) in self._terms.items():
            if add_up(rates, reach, min(large_rate(of), _MOST), self.total[of]):
                self.absurd.add(of)
        if not all(inside(self.total[of], -_MOST, _MOST) for of in self.absurd):
            self._blame(now)
        return self.total

    def _act(self, now: Now) -> None:
        for process in self.processes:
            for bound in process.schemes:
                if bound.heats:  # by the drag on the winds as they are now
                    self._settle(MOMENTUM)
                if now.step % bound.every == 0:
                    self._settle(bound.reads, *bound.looks)
                    try:
                        bound.call(now, self.phalf)
                    except Exception as error:
                        where = f"{process.name}={bound.label}, step {now.step}, date {now.date}"
                        error.add_note(f"{INSIDE}{where}")
                        raise
                else:
                    bound.hold(self.phalf, now.dt)
            if process.mixes:
                self._mix(process, now)
            process.share(now.seconds)
            if process.budgets or process.book is not None:
                before = self._spent.to(BUDGETS)
                if process.book is not None and process.book.moves_air:
                    self._settle(MOMENTUM, 0, process.book.reach)  # its work is that on these
                process.balance(now)
                self._spent.to(before)
            for of, due in process.moves:
                self._due.setdefault(of, []).append((due, 0, due[2].shape[0]))

    def _settle(self, variables: Iterable[str], first: int = 0, last: int | None = None) -> None:
        """Moves levels from `first` to before `last` on by what is due: somebody wants to see them.

        Each level is moved by one process after the other, whatever other levels wait for.
        """
        end = self.host.nlev if last is None else last
        for of in variables:
            rest = []
            for due in self._due.pop(of, ()):
                (before, rate, after), begin, stop = due
                a, b = max(begin, first), min(stop, end)
                if a >= b:
                    rest.append(due)
                    continue
                move(before[a:b], rate[a:b], self._dt, after[a:b])
                parts = ((begin, a), (b, stop))
                rest += [(due[0], low, high) for low, high in parts if low < high]
            if rest:
                self._due[of] = rest

    def after(self) -> dict[str, Array]:
        """The state that all processes of the last step left together."""
        self._settle(tuple(self._due))
        return {of: self.pool[of] for of in self.state}

    def _blame(self, now: Now) -> None:
        """Raises for the first scheme that acts and whose rate is not finite, if there is one."""
        for name, rates in self.rates().items():
            for of, rate in rates.items():
                bad = ~np.isfinite(rate)
                if not bad.any():
                    continue
                level, column = (int(i) for i in np.argwhere(bad)[0])
                raise UnstableError.of(
                    NOT_FINITE,
                    f"{of} of {name}",
                    expected="a finite number",
                    found=f"{rate[level, column]:g} at level {level}, "
                    f"{self.host.grid.point(column)}, step {now.step}, date {now.date}, "
                    f"{int(bad.sum())} of {bad.size} points",
                    remedy="swap or shadow this scheme, or give a learned one a reference to fall "
                    "back on",
                )

    def _mix(self, process: Process, now: Now) -> None:
        """What is applied of several schemes: heat follows from their common drag.

        Kinetic energy is quadratic in the wind: the sum of each scheme's own heat would be that of
        steps that nobody takes.
        """
        drag, seen = process.heating_drag, process.schemes[0].seen
        for array in (*process.applied.values(), *drag.values()):
            array.fill(0.0)
        for index, bound in enumerate(process.schemes):
            weight = process.weight(index, now.seconds)
            for of, rate in bound.rate.items():
                if bound.heats and of == "ta":
                    continue
                add_scaled(process.applied[of], rate, weight)
                if bound.heats and of in drag:
                    add_scaled(drag[of], rate, weight)
        if drag:
            dissipative_heating(
                seen["ua"],
                seen["va"],
                drag["ua"],
                drag["va"],
                dt=now.dt,
                cp=self.host.planet.cp_dry,
                out=drag["ta"],
            )
            add_scaled(process.applied["ta"], drag["ta"], 1.0)

    def outputs(self) -> dict[str, tuple[Field, Array]]:
        """Everything the schemes give to the output, by its name there.

        What is applied has the plain name; a scheme beside it, or a part of a blend, adds
        ``_<scheme>`` to its names.
        """
        found: dict[str, tuple[Field, Array]] = {}
        for process in self.processes:
            for of, rate in process.applied.items():
                f = tendency_field(process.name, of)
                found[f.name] = (f, rate)
            for bound, weight in zip(process.schemes, process.weights, strict=True):
                plain = not process.mixes and weight != 0.0
                tail = "" if plain else f"_{bound.label}"
                if not plain:
                    for of, rate in bound.rate.items():
                        f = _renamed(tendency_field(process.name, of), tail)
                        found[f.name] = (f, rate)
                for fx in bound.fluxes:
                    f = _renamed(fx.field, tail)
                    found[f.name] = (f, getattr(bound.flux, fx.name))
                    if fx.of in MOMENTUM:
                        f = _renamed(_escaped(fx), tail)
                        found[f.name] = (f, bound.escaped[fx.name])
                for d in bound.component.diagnostics:
                    if d.name in process.shared:
                        found[d.name] = (d, process.shared[d.name][0])
                        f = _renamed(d, f"_{bound.label}")
                    else:
                        f = _renamed(d, tail)
                    found[f.name] = (f, getattr(bound.diag, d.name))
        return found

    def rates(self) -> dict[str, Mapping[str, Array]]:
        """Last rate of each scheme that acts, by component name."""
        return {
            f"{p.name}={b.label}": b.rate
            for p in self.processes
            for b, w in zip(p.schemes, p.weights, strict=True)
            if w != 0.0
        }

    def counts(self) -> dict[str, dict[str, int]]:
        """What components count, by process, or ``process.scheme`` after the first of one."""
        return {
            f"{p.name}.{b.label}" if n else p.name: counts
            for p in self.processes
            for n, b in enumerate(p.schemes)
            if (counts := b.component.counts())
        }

    def budgets(self) -> dict[str, tuple[float, str, str]]:
        """Budgets of every process since the last time: value, units, long name."""
        found: dict[str, tuple[float, str, str]] = {}
        for budget in self._budgets().values():
            found |= budget.take(self.host.mean)
        return found

    def books(self) -> list[ProcessBudget]:
        """Budgets of energy and water of all processes that change the air."""
        return [p.book for p in self.processes if p.book is not None]

    def _budgets(self) -> dict[str, MomentumBudget | ProcessBudget]:
        found: dict[str, MomentumBudget | ProcessBudget] = {
            f"budget.{b.key}.": b for p in self.processes for b in p.budgets.values()
        }
        return found | {f"book.{b.name}.": b for b in self.books()}

    def memory(self) -> dict[str, Array]:
        """What a restart needs of the suite."""
        return {
            f"{p.name}.{b.label}.{k}": v
            for p in self.processes
            for b in p.schemes
            for k, v in b.memory().items()
        } | {lead + k: v for lead, b in self._budgets().items() for k, v in b.memory().items()}

    def may_lack(self) -> tuple[str, ...]:
        """What of it a restart may be without."""
        books = tuple(f"book.{b.name}.{n}" for b in self.books() for n in b.memory())
        return books + tuple(
            f"{p.name}.{b.label}.{n}" for p in self.processes for b in p.schemes
            for n in b.may_lack()
        )  # fmt: skip

    def spread(self) -> dict[str, Spread]:
        """How the arrays of `memory` lie on the ranks; what is not named is the same on all."""
        columns, counted = self.host.spread(), Counted(self.host.parallel)
        found: dict[str, Spread] = {
            name: columns
            for name, array in self.memory().items()
            if array.ndim and array.shape[-1] == self.host.ncol
        }
        for p in self.processes:
            for b in p.schemes:
                lead = f"{p.name}.{b.label}.component."
                found |= {lead + name: counted for name in b.component.counted()}
        return found

    def restore(self, memory: Mapping[str, Array]) -> None:
        for p in self.processes:
            for b in p.schemes:
                lead = f"{p.name}.{b.label}."
                b.restore(_below(lead, memory))
        for lead, budget in self._budgets().items():
            budget.restore(_below(lead, memory))


def _below(lead: str, memory: Mapping[str, Array]) -> dict[str, Array]:
    return {k.removeprefix(lead): v for k, v in memory.items() if k.startswith(lead)}


def _escaped(flux: Flux) -> Field:
    """The momentum that left a column at the top, as a field of the output."""
    return Field(
        name=f"{flux.name}_escaped",
        standard_name=None,
        long_name=f"{flux.field.long_name} that Left at the Model Top",
        units=flux.field.units,
        dims=COLUMN,
        positive="up",
    )


def _renamed(f: Field, tail: str) -> Field:
    if not tail:
        return f
    return replace(f, name=f.name + tail, long_name=f"{f.long_name} ({tail.lstrip('_')})")


def flat(array: Any) -> Array:
    """``[..., lat, lon]`` as ``[..., column]``, the same memory.

    Raises:
        ValueError: when that would need a copy.
    """
    view = array.reshape(*array.shape[:-2], -1)
    if not np.shares_memory(view, array):
        raise ValueError("columns must be contiguous")
    return np.asarray(view)
