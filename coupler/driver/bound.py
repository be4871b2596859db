"""One scheme bound to its arrays: called when due, its fluxes divided among the host's layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from coupler.config import TopPolicy
from coupler.driver.behind import may_lack
from coupler.driver.flux import (
    NO_SUMS,
    dissipative_heating,
    drag_and_heat,
    flux_pair_tendency,
    flux_tendency,
)
from coupler.driver.spent import Spent
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
from coupler.interface.fields import SMALL_STATE, STATE, TRACERS, Field, tendency_field
from coupler.interface.units import conversion

MOMENTUM = ("ua", "va")


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
        self.before_call: list[Callable[[], None]] = []
        """Called while the results of the call before are still there."""
        self.spent, self.account = Spent(), label
        """Where the scheme's own time is counted, and its name there; the suite says."""
        self.seen = dict(pool)
        """Every array that the scheme could have asked for, as it is when it is called."""
        self.tendencies: tuple[str, ...] = ()
        self.fluxes: tuple[Flux, ...] = ()
        if isinstance(component, Tendency):
            self.tendencies = component.tendencies
            self.fluxes = tuple(with_top(f, top) for f in component.fluxes)
        self.converted: list[Converted] = []
        # A scheme in another process may have arrays that both see: used as they are, no copies.
        shared: tuple[Mapping[str, Array], ...] = ({}, {}, {}, {})
        if hasattr(component, "in_place"):
            shared = component.in_place()
        self._slots, tend, flux, diag = shared
        inputs = {p.name: self._input(p, pool) for p in component.inputs}
        self.x = Arrays(**{name: a for name, a in inputs.items() if a is not None})
        self.tend = Arrays(
            **{of: tend.get(of, host.empty("level", "column")) for of in self.tendencies}
        )
        self.flux = Arrays(
            **{f.name: flux.get(f.name, host.empty("interface", "column")) for f in self.fluxes}
        )
        self.diag = Arrays(
            **{f.name: diag.get(f.name, host.empty(*f.dims)) for f in component.diagnostics}
        )
        self.escaped = {f.name: np.zeros(host.ncol) for f in self.fluxes}
        changed = dict.fromkeys((*self.tendencies, *(f.of for f in self.fluxes)))
        self.heats = "ta" not in changed and any(f.of in MOMENTUM for f in self.fluxes)
        self.rate: dict[str, Array] = {
            of: self.tend.__dict__[of] if of in self.tend else host.empty("level", "column")
            for of in changed
        }
        if self.heats:
            self.rate["ta"] = host.empty("level", "column")
        self._scratch = host.empty("level", "column")
        self._push = np.zeros(host.ncol), np.zeros(host.ncol)
        self._pairs = _pairs(self.fluxes, self.tendencies)
        """The second of two fluxes of one variable that may leave at the top, by the first."""
        self._second = set(self._pairs.values())
        self.sums: dict[str, Array] = {}
        """Filled with the column sums of a rate and of its absolute value, see `flux_tendency`."""
        of_winds = tuple(f.of for f in self.fluxes) == MOMENTUM
        self._at_once = self.heats and of_winds and not {*MOMENTUM} & {*self.tendencies}
        """Whether drag and heat are made in one pass."""
        own = component.reach if isinstance(component, Tendency) else None
        self.reach = host.nlev if own is None or self.fluxes else own
        """How many of the uppermost levels it may change."""
        lowest = component.lowest if isinstance(component, Diagnostic) else None
        self.looks = (0, self.reach) if lowest is None else (host.nlev - lowest, host.nlev)
        """The first level it looks at, and the one after the last."""
        outputs = (*self.flux.items(), *self.diag.items())
        changing = (*STATE, *SMALL_STATE, *TRACERS)
        self.reads: tuple[str, ...] = tuple(of for of in changing if of in self.x)
        """State that it looks at when it is called."""
        self._zeroed = [] if component.fills else [a for _, a in outputs]
        self._zeroed += [] if component.fills else [a[: self.reach] for _, a in self.tend.items()]

    def held(self) -> dict[str, Array]:
        """Arrays that change in a call of the scheme only, by name."""
        if self.every == 1:
            return {}
        return {**dict(self.flux.items()), **dict(self.diag.items())}

    def _input(self, port: Port, pool: Mapping[str, Array]) -> Array | None:
        source = pool.get(port.name)
        if source is None or port.units == port.field.units:
            return source
        factor, offset = conversion(port.field.units, port.units)
        target = self._slots.get(port.name, np.empty_like(source))
        self.converted.append(Converted(source=source, target=target, factor=factor, offset=offset))
        return target

    def described(self) -> dict[str, Field]:
        """Inputs, fluxes, tendencies and diagnostics by the names that `arrays` gives them."""
        given = [replace(p.field, units=p.units) for p in self.component.inputs if p.name in self.x]
        given += [f.field for f in self.fluxes]
        given += [tendency_field(self.component.process, of) for of in self.tendencies]
        return {f.name: f for f in (*given, *self.component.diagnostics)}

    def arrays(self) -> dict[str, Array]:
        """What the scheme is given and gives, the arrays themselves."""
        process = self.component.process
        tend = {tendency_field(process, of).name: a for of, a in self.tend.items()}
        return {
            **dict(self.x.items()),
            **dict(self.flux.items()),
            **tend,
            **dict(self.diag.items()),
        }

    def call(self, now: Now, phalf: Array | None) -> None:
        """Calls the scheme and brings its rate up to date.

        Args:
            now: when.
            phalf: pressure at the interfaces [Pa], ``[interface, column]``; a host without it has
                no scheme with fluxes (`negotiate` sees to that).
        """
        for tell in self.before_call:
            tell()
        for conversion_ in self.converted:
            conversion_.refresh()
        for array in self._zeroed:
            array.fill(0.0)
        # What is held until the next call is applied for that long, not for one step: a scheme
        # that adjusts would otherwise adjust once in each step.
        step = now.dt
        now.dt = max(step, self.span)
        before = self.spent.to(self.account)
        try:
            if isinstance(self.component, Diagnostic):
                self.component.compute(self.x, self.diag, now)
            else:
                self.component.compute(self.x, self.tend, self.flux, self.diag, now)
            self.spent.to(before)
            if self.on_call is not None:
                self.on_call(now)
        finally:
            now.dt = step
        fresh = set(self.tendencies)
        self._divide(phalf, fresh, step)

    def hold(self, phalf: Array | None, dt: float) -> None:
        """Between calls: the held fluxes meet the layers of the present step.

        Layer masses follow the surface pressure. A held tendency would give a column a momentum
        that its fluxes do not have (some 1e-4 of the drag in three hours); held fluxes give none.
        """
        self._divide(phalf, set(), dt, but=self.tendencies)

    def _divide(
        self, phalf: Array | None, fresh: set[str], dt: float, but: Sequence[str] = ()
    ) -> None:
        """Divides the fluxes among the layers; rates of what is in `fresh` are added to.

        Kinetic energy that the drag takes from the flow over `dt` becomes heat.
        """
        if phalf is not None and self._at_once:
            self._drag(phalf, dt)
            return
        for f in self.fluxes if phalf is not None else ():
            assert phalf is not None
            if f.name in self._second or f.of in but:
                continue
            self._diverge(f, phalf, add=f.of in fresh)
            fresh.add(f.of)
        if self.heats:
            self._heat(dt)

    def _drag(self, phalf: Array, dt: float) -> None:
        (x, y), planet, rate = self.fluxes, self.host.planet, self.rate
        drag_and_heat(
            (getattr(self.flux, x.name), getattr(self.flux, y.name)),
            phalf,
            gravity=planet.gravity,
            cp=planet.cp_dry,
            tops=((x.top, x.dump_above), (y.top, y.dump_above)),
            winds=(self.seen["ua"], self.seen["va"]),
            dt=dt,
            out=(rate["ua"], rate["va"], rate["ta"]),
            escaped=(self.escaped[x.name], self.escaped[y.name]),
            push=self._push,
            sums=(self.sums.get("ua", NO_SUMS), self.sums.get("va", NO_SUMS)),
        )

    def _diverge(self, f: Flux, phalf: Array, *, add: bool) -> None:
        other = self._pairs.get(f.name)
        planet = self.host.planet
        scale = planet.gravity / (planet.cp_dry if f.of == "ta" else 1.0)
        out = self._scratch if add else self.rate[f.of]
        if other is not None:
            both = getattr(self.flux, f.name), getattr(self.flux, other)
            flux_pair_tendency(
                *both,
                phalf,
                scale=scale,
                out=out,
                escaped=(self.escaped[f.name], self.escaped[other]),
            )
            return
        flux_tendency(
            getattr(self.flux, f.name),
            phalf,
            scale=scale,
            top=f.top,
            dump_above=f.dump_above,
            out=out,
            escaped=self.escaped[f.name],
            push=self._push[0],
            **({"sums": self.sums[f.of]} if f.of in self.sums else {}),
        )
        if add:
            self.rate[f.of] += out

    def _heat(self, dt: float) -> None:
        zero = self._scratch
        zero.fill(0.0)
        dissipative_heating(
            self.seen["ua"],
            self.seen["va"],
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

    def may_lack(self) -> tuple[str, ...]:
        """What of it a restart may be without."""
        return tuple(f"component.{n}" for n in may_lack(self.component))

    def restore(self, memory: Mapping[str, Array]) -> None:
        lead = "component."
        own = {k.removeprefix(lead): v for k, v in memory.items() if k.startswith(lead)}
        if own:
            self.component.restore(own)
        for name, array in self.memory().items():
            if not name.startswith(lead):
                array[...] = memory[name]


def _pairs(fluxes: Sequence[Flux], tendencies: Sequence[str]) -> dict[str, str]:
    found = {}
    for of in dict.fromkeys(f.of for f in fluxes):
        own = [f for f in fluxes if f.of == of]
        if len(own) == 2 and all(f.top == "escape" for f in own) and of not in tendencies:
            found[own[0].name] = own[1].name
    return found


def with_top(flux: Flux, top: TopPolicy | None) -> Flux:
    """A flux under the case's policy at the model top, or under its own."""
    if top is None:
        return flux
    return replace(flux, top=top.policy, dump_above=top.above or flux.dump_above)
