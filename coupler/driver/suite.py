"""The physics suite: every scheme of a case, bound to its arrays once, called when due.

Schemes act in the order of the case, each on the state that the ones before it left (sequential
splitting). A scheme's tendencies and fluxes are kept between calls; their rate, tendencies plus the
divergence of the fluxes over the present layers, is applied at every step, and the sum over all
schemes goes to the dynamics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from coupler.config import Ramp, TopPolicy
from coupler.diagnostics.momentum import MomentumBudget
from coupler.driver.flux import add_scaled, dissipative_heating, flux_tendency
from coupler.interface.component import (
    Array,
    Arrays,
    Diagnostic,
    Flux,
    Host,
    Now,
    Port,
    Tendency,
)
from coupler.interface.errors import UnstableError
from coupler.interface.fields import COLUMN, STATE, TRACERS, Field, tendency_field
from coupler.interface.units import conversion

NOT_FINITE = "a tendency is not finite"
_MOMENTUM = ("ua", "va")


@dataclass(kw_only=True)
class Converted:
    """An input that the scheme wants in a unit of its own: converted before each call."""

    source: Array
    target: Array
    factor: float
    offset: float

    def refresh(self) -> None:
        np.multiply(self.source, self.factor, out=self.target, casting="same_kind")
        if self.offset:
            np.add(self.target, self.offset, out=self.target, casting="same_kind")


class Bound:
    """One scheme with its inputs, outputs and the rate that it last gave."""

    def __init__(
        self,
        component: Tendency | Diagnostic,
        label: str,
        every: int,
        pool: Mapping[str, Array],
        host: Host,
        *,
        span: float = 0.0,
        top: TopPolicy | None = None,
    ) -> None:
        """Binds a scheme.

        Args:
            component: the scheme, already set up.
            label: its name in messages and in the output.
            every: steps from one call to the next.
            pool: arrays that inputs are taken from, by name.
            host: the column model.
            span: time from one call to the next [s]; 0 where every step has a call.
            top: policy at the model top for its fluxes; None: what it declares.
        """
        self.component, self.label, self.every, self.host = component, label, every, host
        self.span = span
        self.on_call: Callable[[Now], None] | None = None
        """Called right after the scheme, while its inputs still are what it saw."""
        self.tendencies: tuple[str, ...] = ()
        self.fluxes: tuple[Flux, ...] = ()
        if isinstance(component, Tendency):
            self.tendencies = component.tendencies
            self.fluxes = tuple(_with_top(f, top) for f in component.fluxes)
        self.converted: list[Converted] = []
        inputs = {p.name: self._input(p, pool) for p in component.inputs}
        self.x = Arrays(**{name: a for name, a in inputs.items() if a is not None})
        self.tend = Arrays(**{of: host.empty("level", "column") for of in self.tendencies})
        self.flux = Arrays(**{f.name: host.empty("interface", "column") for f in self.fluxes})
        self.diag = Arrays(**{f.name: host.empty(*f.dims) for f in component.diagnostics})
        self.escaped = {f.name: np.zeros(host.ncol) for f in self.fluxes}
        changed = dict.fromkeys((*self.tendencies, *(f.of for f in self.fluxes)))
        self.heats = "ta" not in changed and any(f.of in _MOMENTUM for f in self.fluxes)
        self.rate: dict[str, Array] = {
            of: self.tend.__dict__[of] if of in self.tend else host.empty("level", "column")
            for of in changed
        }
        if self.heats:
            self.rate["ta"] = host.empty("level", "column")
        self._scratch = host.empty("level", "column")

    def _input(self, port: Port, pool: Mapping[str, Array]) -> Array | None:
        source = pool.get(port.name)
        if source is None or port.units == port.field.units:
            return source
        factor, offset = conversion(port.field.units, port.units)
        target = np.empty_like(source)
        self.converted.append(Converted(source=source, target=target, factor=factor, offset=offset))
        return target

    def call(self, now: Now, phalf: Array | None) -> None:
        """Calls the scheme and brings its rate up to date.

        Args:
            now: when.
            phalf: pressure at the interfaces [Pa], ``[interface, column]``; a host without it has
                no scheme with fluxes (`negotiate` sees to that).
        """
        for conversion_ in self.converted:
            conversion_.refresh()
        for _, array in (*self.tend.items(), *self.flux.items(), *self.diag.items()):
            array.fill(0.0)
        # What is held until the next call is applied for that long, not for one step: a scheme
        # that adjusts would otherwise adjust once in each step.
        step = now.dt
        now.dt = max(step, self.span)
        try:
            if isinstance(self.component, Diagnostic):
                self.component.compute(self.x, self.diag, now)
            else:
                self.component.compute(self.x, self.tend, self.flux, self.diag, now)
            if self.on_call is not None:
                self.on_call(now)
        finally:
            now.dt = step
        fresh = set(self.tendencies)
        if phalf is None:
            return
        for f in self.fluxes:
            self._diverge(f, phalf, add=f.of in fresh)
            fresh.add(f.of)

    def hold(self, phalf: Array | None) -> None:
        """Between calls: the held fluxes meet the layers of the present step.

        Layer masses follow the surface pressure. A held tendency would give a column a momentum
        that its fluxes do not have (some 1e-4 of the drag in three hours); held fluxes give none.
        """
        fresh: set[str] = set()
        if phalf is None:
            return
        for f in self.fluxes:
            if f.of not in self.tendencies:
                self._diverge(f, phalf, add=f.of in fresh)
                fresh.add(f.of)

    def _diverge(self, f: Flux, phalf: Array, *, add: bool) -> None:
        planet = self.host.planet
        scale = planet.gravity / (planet.cp_dry if f.of == "ta" else 1.0)
        out = self._scratch if add else self.rate[f.of]
        flux_tendency(
            getattr(self.flux, f.name),
            phalf,
            scale=scale,
            top=f.top,
            dump_above=f.dump_above,
            out=out,
            escaped=self.escaped[f.name],
        )
        if add:
            self.rate[f.of] += out

    def heat(self, state: Mapping[str, Array], dt: float) -> None:
        """Kinetic energy that the drag takes from the flow over `dt` becomes heat."""
        if self.heats:
            zero = self._scratch
            zero.fill(0.0)
            dissipative_heating(
                state["ua"],
                state["va"],
                self.rate.get("ua", zero),
                self.rate.get("va", zero),
                dt=dt,
                cp=self.host.planet.cp_dry,
                out=self.rate["ta"],
            )

    def memory(self) -> dict[str, Array]:
        own = {f"component.{k}": v for k, v in self.component.memory().items()}
        held = {f"rate.{k}": v for k, v in self.rate.items()}
        flux = {f"flux.{k}": v for k, v in self.flux.items()}
        diag = {f"diag.{k}": v for k, v in self.diag.items()}
        escaped = {f"escaped.{k}": v for k, v in self.escaped.items()}
        return {**own, **held, **flux, **diag, **escaped}

    def restore(self, memory: Mapping[str, Array]) -> None:
        lead = "component."
        own = {k.removeprefix(lead): v for k, v in memory.items() if k.startswith(lead)}
        if own:
            self.component.restore(own)
        for name, array in self.memory().items():
            if not name.startswith(lead):
                array[...] = memory[name]


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

    def weight(self, index: int, seconds: float) -> float:
        w = self.weights[index]
        return w.at(seconds) if isinstance(w, Ramp) else w

    @property
    def mixes(self) -> bool:
        """Whether what is applied is not simply one scheme's rate."""
        return sum(w != 0.0 for w in self.weights) > 1

    def balance(self, seconds: float) -> None:
        """Holds what is applied against the fluxes at both ends of the columns."""
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

    def __init__(self, host: Host, columns: Mapping[str, Array]) -> None:
        self.host = host
        self.start = {of: flat(columns[of]) for of in (*STATE, *TRACERS) if of in columns}
        self.state = {of: a.copy() for of, a in self.start.items()}
        self.total = {of: np.zeros_like(a) for of, a in self.start.items()}
        self.phalf = flat(columns["phalf"]) if "phalf" in columns else None
        self.pool: dict[str, Array] = {
            **{n: flat(a) for n, a in columns.items()},
            **self.state,
            **host.static,
        }
        self.processes: list[Process] = []

    def add(self, process: Process) -> None:
        """Takes a bound process into the suite, after the ones before it."""
        if process.mixes:
            for bound in process.schemes:
                for of in bound.rate:
                    process.applied.setdefault(of, self.host.empty("level", "column"))
        else:
            acting = [b for b, w in zip(process.schemes, process.weights, strict=True) if w != 0.0]
            for bound in acting:
                process.applied.update(bound.rate)
        driven = {f.of for b in process.schemes for f in b.fluxes} & process.applied.keys()
        for of in _MOMENTUM:
            if of in driven and self.phalf is not None:
                rate, gravity = process.applied[of], self.host.planet.gravity
                process.budgets[of] = MomentumBudget(process.name, of, rate, self.phalf, gravity)
        self.processes.append(process)

    def run(self, now: Now) -> dict[str, Array]:
        """Calls what is due and returns the total tendency of the state [SI per s].

        Raises:
            UnstableError: for a tendency that is not finite, naming the first scheme that gave one.
        """
        for of, array in self.start.items():
            self.state[of][...] = array
            self.total[of].fill(0.0)
        try:
            self._act(now)
        except UnstableError:
            self._blame(now)  # a scheme that complains of its input is rarely the one to blame
            raise
        with np.errstate(invalid="ignore", over="ignore"):
            finite = all(np.isfinite(total.sum()) for total in self.total.values())
        if not finite:
            self._blame(now)
        return self.total

    def _act(self, now: Now) -> None:
        for process in self.processes:
            for bound in process.schemes:
                if now.step % bound.every == 0:
                    try:
                        bound.call(now, self.phalf)
                    except Exception as error:
                        where = f"{process.name}={bound.label}, step {now.step}, date {now.date}"
                        error.add_note(f"in {where}")
                        raise
                else:
                    bound.hold(self.phalf)
                bound.heat(self.state, now.dt)
            if process.mixes:
                self._mix(process, now.seconds)
            process.balance(now.seconds)
            for of, rate in process.applied.items():
                add_scaled(self.state[of], rate, now.dt)
                add_scaled(self.total[of], rate, 1.0)

    def _blame(self, now: Now) -> None:
        """Raises for the first scheme that acts and whose rate is not finite, if there is one."""
        for name, rates in self.rates().items():
            for of, rate in rates.items():
                bad = ~np.isfinite(rate)
                if not bad.any():
                    continue
                level, column = (int(i) for i in np.argwhere(bad)[0])
                j, i = divmod(column, self.host.grid.lon.size)
                grid = self.host.grid
                raise UnstableError.of(
                    NOT_FINITE,
                    f"{of} of {name}",
                    expected="a finite number",
                    found=f"{rate[level, column]:g} at level {level}, lat {grid.lat[j]:.1f}, "
                    f"lon {grid.lon[i]:.1f}, step {now.step}, date {now.date}, "
                    f"{int(bad.sum())} of {bad.size} points",
                    remedy="swap or shadow this scheme, or give a learned one a reference to fall "
                    "back on",
                )

    def _mix(self, process: Process, seconds: float) -> None:
        for array in process.applied.values():
            array.fill(0.0)
        for index, bound in enumerate(process.schemes):
            weight = process.weight(index, seconds)
            for of, rate in bound.rate.items():
                add_scaled(process.applied[of], rate, weight)

    def outputs(self) -> dict[str, tuple[Field, Array]]:
        """Everything the schemes give to the output, by its name there.

        What is applied has the plain name; a scheme beside it adds ``_<scheme>`` to its names.
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
                    if fx.of in _MOMENTUM:
                        f = _renamed(_escaped(fx), tail)
                        found[f.name] = (f, bound.escaped[fx.name])
                for d in bound.component.diagnostics:
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

    def budgets(self) -> dict[str, tuple[float, str, str]]:
        """Momentum budget of every process since the last time: value, units, long name."""
        found: dict[str, tuple[float, str, str]] = {}
        for budget in self._budgets().values():
            found |= budget.take(self.host.grid)
        return found

    def _budgets(self) -> dict[str, MomentumBudget]:
        return {f"budget.{b.key}.": b for p in self.processes for b in p.budgets.values()}

    def memory(self) -> dict[str, Array]:
        """What a restart needs of the suite."""
        return {
            f"{p.name}.{b.label}.{k}": v
            for p in self.processes
            for b in p.schemes
            for k, v in b.memory().items()
        } | {lead + k: v for lead, b in self._budgets().items() for k, v in b.memory().items()}

    def restore(self, memory: Mapping[str, Array]) -> None:
        for p in self.processes:
            for b in p.schemes:
                lead = f"{p.name}.{b.label}."
                b.restore(_below(lead, memory))
        for lead, budget in self._budgets().items():
            budget.restore(_below(lead, memory))


def _below(lead: str, memory: Mapping[str, Array]) -> dict[str, Array]:
    return {k.removeprefix(lead): v for k, v in memory.items() if k.startswith(lead)}


def _with_top(flux: Flux, top: TopPolicy | None) -> Flux:
    if top is None:
        return flux
    return replace(flux, top=top.policy, dump_above=top.above or flux.dump_above)


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
    return Field(
        name=f.name + tail,
        standard_name=f.standard_name,
        long_name=f"{f.long_name} ({tail.lstrip('_')})",
        units=f.units,
        dims=f.dims,
        positive=f.positive,
        valid=f.valid,
    )


def flat(array: Any) -> Array:
    """``[..., lat, lon]`` as ``[..., column]``, the same memory.

    Raises:
        ValueError: when that would need a copy.
    """
    view = array.reshape(*array.shape[:-2], -1)
    if not np.shares_memory(view, array):
        raise ValueError("columns must be contiguous")
    return np.asarray(view)
