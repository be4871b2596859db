r"""Budgets of energy and water of one process: what the air gained by it against what it says.

.. math::
   \dot W = \frac{1}{g} \sum_k \dot q_k\, \Delta p_k, \qquad
   \dot E = \frac{1}{g} \sum_k \left[c_p \dot T_k + L_v \dot q_k
   + (\mathbf{v}_k + \tfrac12 \Delta t\, \dot{\mathbf{v}}_k) \cdot \dot{\mathbf{v}}_k\right]
   \Delta p_k, \qquad r_W = \dot W - S_W, \quad r_E = \dot E - S_E

for each column, with the rates that are applied, dt the time that they were made for, and S what
the scheme's own fluxes bring: its diagnostics (evaporation less rain; radiation at both ends,
sensible and latent heat), or where it gives none the ends of its fluxes on interfaces. Rain leaves
with the moist energy of liquid water, which is 0: it brings no energy.

What a scheme declares decides what is said of it:

- every process that changes the air has its *gain*;
- a *residual* has one that says something of the quantity: by a promise (`Conserves`), or by
  fluxes. Nothing makes water: who changes humidity has a residual of it in any case;
- who promises is held to it (`coupler.driver.promises`), and so is who leaves all division among
  layers to the coupler. A prescribed source, such as a relaxation, promises nothing.

Sums are made at calls of a scheme: what it gives is held until the next one, fluxes and tendencies
alike. They are float64, by column, and part of a restart; means are made when a record is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from coupler.diagnostics.budgets import SIGNS
from coupler.driver.behind import Behind
from coupler.driver.bound import MOMENTUM, Bound
from coupler.interface.component import Array, Conserves, Host, Tendency
from coupler.interface.fields import STATE
from coupler.interface.jit import njit

Quantity = Literal["water", "energy"]
QUANTITIES: tuple[Quantity, ...] = ("water", "energy")
UNITS: Mapping[Quantity, str] = {"water": "kg m-2 s-1", "energy": "W m-2"}
_WATER = {"evspsbl": 1.0, "prl": -1.0, "prc": -1.0}
"""Sign of each flux as a source of water of the air; ``pr`` where its parts are not given."""
_TOGETHER = (
    ("rsdt", "rsut", "rsds", "rsus"),
    ("rlut", "rlds", "rlus"),
    ("hfss",),
    ("hfls",),
)
"""Fluxes of energy that say nothing of what the air gains but together."""
_SAID = (
    ("gain", "{} that the air gained by {}, global mean"),
    ("residual", "{} that the air gained by {} beyond its own fluxes, global mean"),
    ("residual_abs", "absolute value of the residual of {} of {} in a column, global mean"),
)


class ProcessBudget:
    """Budget of one process."""

    def __init__(
        self,
        name: str,
        schemes: Sequence[Bound],
        acting: Sequence[int],
        applied: Mapping[str, Array],
        phalf: Array,
        host: Host,
    ) -> None:
        """Binds the arrays.

        Args:
            name: of the process.
            schemes: all of it.
            acting: places of those in it whose rates are applied.
            applied: rates by variable, shape [level, column]; below their last level nothing
                changes.
            phalf: pressure at the interfaces [Pa], shape [interface, column].
            host: the column model.
        """
        self.name, self._phalf, self._host = name, phalf, host
        self._acting = [(n, schemes[n]) for n in acting]
        parts = [b for _, b in self._acting]
        self.key = f"{name}={'+'.join(b.label for b in parts)}"
        """Its name in messages."""
        self.reach = max(a.shape[0] for a in applied.values())
        """How many of the uppermost levels it changes."""
        self.moves_air = any(of in MOMENTUM for of in applied)
        nothing = np.zeros((0, host.ncol), phalf.dtype)
        self._nothing = nothing
        self._rates = [applied.get(of, nothing) for of in STATE]
        seen = parts[0].seen
        self._winds = [seen.get(of, nothing) if self.moves_air else nothing for of in MOMENTUM]
        self.quantities: tuple[Quantity, ...] = tuple(
            q for q in QUANTITIES if q == "energy" or "hus" in applied
        )
        self._diagnosed: list[tuple[int, int, float, Array]] = []
        """Of each flux that is a diagnostic: scheme, quantity, factor, values [column]."""
        self._ends: list[tuple[int, int, float, Array, Array]] = []
        """Of each flux on interfaces that no diagnostic explains: values and what escaped, too."""
        for n, b in self._acting:
            self._declare(n, b)
        mixed = len(parts) > 1
        self.residuals = {q for q in self.quantities if self._speaks(q, parts)}
        """Of what it has a residual."""
        self.promised = {q for q in self.residuals if self._held_to(q, parts, mixed)}
        """Of what its residual has to be none."""
        promises = {(c.quantity, c.scope) for b in parts for c in _promises(b)}
        self.by_column = {q for q in self.quantities if (q, "global") not in promises}
        """Of what columns may not make good for each other."""
        self._gain = np.zeros((3, host.ncol))
        self._left = np.zeros((2, host.ncol))
        self._sums = np.zeros((len(QUANTITIES), len(_SAID), host.ncol))
        self._calls = np.zeros((), np.int64)

    # -- what schemes declare -----------------------------------------------------------------

    def _declare(self, n: int, b: Bound) -> None:
        latent = self._host.planet.latent_heat_vaporization
        given: dict[str, Array] = dict(b.diag.items())
        water = {f: s for f, s in _WATER.items() if f in given}
        if "pr" in given and not {"prl", "prc"} & water.keys():
            water["pr"] = -1.0
        energy = {f: SIGNS[f] for fs in _TOGETHER if all(f in given for f in fs) for f in fs}
        self._diagnosed += [(n, 0, s, given[f]) for f, s in water.items()]
        self._diagnosed += [(n, 1, s, given[f]) for f, s in energy.items()]
        if "evspsbl" in given and "hfls" not in given:
            self._diagnosed.append((n, 1, latent, given["evspsbl"]))
        for f in b.fluxes:
            ends = getattr(b.flux, f.name), b.escaped[f.name]
            if f.of == "hus" and not water:
                self._ends.append((n, 0, 1.0, *ends))
            if f.of in ("ta", "hus") and not energy:
                self._ends.append((n, 1, latent if f.of == "hus" else 1.0, *ends))

    def _speaks(self, q: Quantity, parts: Sequence[Bound]) -> bool:
        which = QUANTITIES.index(q)
        fluxes = any(term[1] == which for term in (*self._diagnosed, *self._ends))
        return q == "water" or fluxes or any(_answers(b, q) for b in parts)

    def _held_to(self, q: Quantity, parts: Sequence[Bound], mixed: bool) -> bool:
        """Whether all that acts promises it, and their mixture keeps it, too."""
        if not all(_answers(b, q) for b in parts):
            return False
        own = {of for b in parts for of in b.tendencies}
        if own and any(isinstance(b.component, Behind) for b in parts):
            return False  # what it divided by was the air of another moment
        held = any(b.every > 1 and b.tendencies for b in parts)
        # Kinetic energy of a mixture is not the mixture of kinetic energies.
        return not mixed or not (held or (q == "energy" and own & {*MOMENTUM}))

    # -- adding up ----------------------------------------------------------------------------

    def due(self, step: int) -> bool:
        """Whether a scheme that acts is called in a step."""
        return any(step % b.every == 0 for _, b in self._acting)

    def add(self, weights: Sequence[float], dt: float) -> None:
        """Adds a step in which a scheme was called, while the winds still are what it saw.

        Args:
            weights: of all schemes of the process.
            dt: time for which rates of a step are applied [s].
        """
        planet, gain, left = self._host.planet, self._gain, self._left
        # Who makes heat of drag itself made it for the time until its next call, the coupler for
        # a step.
        span = max([dt, *(b.span for _, b in self._acting if not b.heats)])
        ua, va = self._winds
        dua, dva, dta, dhus = self._rates
        gains(
            ua,
            va,
            self._nothing,
            dua,
            dva,
            dta,
            dhus,
            self._phalf,
            0.5 * span,
            planet.cp_dry,
            planet.latent_heat_vaporization,
            1.0 / planet.gravity,
            gain,
        )
        left[:] = gain[:2]
        for n, which, factor, values in self._diagnosed:
            _take(values, weights[n] * factor, left[which])
        for n, which, factor, flux, escaped in self._ends:
            _take(flux[-1], weights[n] * factor, left[which])
            _take(escaped, -weights[n] * factor, left[which])
        for q in self.quantities:
            which = QUANTITIES.index(q)
            _add(gain[which], left[which], self._sums[which])
        self._calls += 1

    # -- telling ------------------------------------------------------------------------------

    def take(self, mean: Callable[[Array], float]) -> dict[str, tuple[float, str, str]]:
        """Means since the last time: value, units and long name; begins a new interval.

        Args:
            mean: global mean of a field [column]; called by all ranks.
        """
        found: dict[str, tuple[float, str, str]] = {}
        for q in self.quantities if self._calls else ():
            kinds = _SAID if q in self.residuals else _SAID[:1]
            for (kind, text), sums in zip(kinds, self._sums[QUANTITIES.index(q)], strict=False):
                value = mean(sums) / int(self._calls)
                found[f"{q}_{self.name}_{kind}"] = value, UNITS[q], text.format(q, self.name)
        self._sums.fill(0.0)
        self._calls[...] = 0
        return found

    def gap(self, q: Quantity, mean: Callable[[Array], float]) -> float:
        """How much of `q` it made of nothing since the last `take` [UNITS]; called by all ranks."""
        if not self._calls:
            return 0.0
        sums = self._sums[QUANTITIES.index(q), 2 if q in self.by_column else 1]
        return abs(mean(sums)) / int(self._calls)

    def gap_of(self, q: Quantity, found: Mapping[str, tuple[float, str, str]]) -> float:
        """The same of an interval of which `take` gave `found`."""
        kind = "residual_abs" if q in self.by_column else "residual"
        value = found.get(f"{q}_{self.name}_{kind}")
        return 0.0 if value is None else abs(value[0])

    def memory(self) -> dict[str, Array]:
        """What a restart in the middle of an interval needs."""
        return {"sums": self._sums, "calls": self._calls}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave; begins anew with a restart of before there was one."""
        for name, array in self.memory().items():
            array[...] = memory.get(name, 0)


def _promises(b: Bound) -> Sequence[Conserves]:
    return b.component.conserves if isinstance(b.component, Tendency) else ()


def _answers(b: Bound, q: Quantity) -> bool:
    """Whether a scheme promises a quantity, or the coupler does for all that it gives."""
    if any(c.quantity == q for c in _promises(b)):
        return True
    if q == "water":
        return "hus" not in b.tendencies
    own = {*b.tendencies} & {*STATE}
    return not own and (b.heats or not any(f.of in MOMENTUM for f in b.fluxes))


@njit()
def gains(
    ua: Array,
    va: Array,
    hus: Array,
    dua: Array,
    dva: Array,
    dta: Array,
    dhus: Array,
    phalf: Array,
    half_dt: float,
    cp: float,
    latent: float,
    per_gravity: float,
    out: Array,
) -> None:
    """Fills `out` [3, column], float64: gains of water and of energy, and water itself.

    Rates [level, column] may end before the last level, or have none; so may `hus`.
    """
    out[:] = 0.0
    water, energy, vapour = out[0], out[1], out[2]
    windy, warm, moist, humid = dua.shape[0], dta.shape[0], dhus.shape[0], hus.shape[0]
    other = dva.shape[0]
    for k in range(max(windy, other, warm, moist, humid)):
        above, below = phalf[k], phalf[k + 1]
        if k < windy and k < other and k < warm and k < moist:
            u, v, x, y, heat, wet = ua[k], va[k], dua[k], dva[k], dta[k], dhus[k]
            for i in range(water.size):
                mass = (np.float64(below[i]) - np.float64(above[i])) * per_gravity
                du, dv, dq = np.float64(x[i]), np.float64(y[i]), np.float64(wet[i])
                work = (np.float64(u[i]) + half_dt * du) * du
                work += (np.float64(v[i]) + half_dt * dv) * dv
                water[i] += mass * dq
                energy[i] += mass * (cp * np.float64(heat[i]) + latent * dq + work)
        else:
            if k < warm and k < moist:
                heat, wet = dta[k], dhus[k]
                for i in range(water.size):
                    mass = (np.float64(below[i]) - np.float64(above[i])) * per_gravity
                    dq = np.float64(wet[i])
                    water[i] += mass * dq
                    energy[i] += mass * (cp * np.float64(heat[i]) + latent * dq)
            elif k < warm:
                _gain(dta[k], above, below, cp * per_gravity, energy)
            elif k < moist:
                _gain(dhus[k], above, below, per_gravity, water)
                _gain(dhus[k], above, below, latent * per_gravity, energy)
            if k < windy:
                _work(ua[k], dua[k], above, below, half_dt, per_gravity, energy)
            if k < other:
                _work(va[k], dva[k], above, below, half_dt, per_gravity, energy)
        if k < humid:
            _gain(hus[k], above, below, per_gravity, vapour)


@njit(inline=True)
def _gain(row: Array, above: Array, below: Array, factor: float, into: Array) -> None:
    """Adds `row` of one layer, times its thickness and `factor`."""
    for i in range(into.size):
        thick = np.float64(below[i]) - np.float64(above[i])
        into[i] += factor * thick * np.float64(row[i])


@njit(inline=True)
def _work(
    u: Array,
    x: Array,
    above: Array,
    below: Array,
    half_dt: float,
    per_gravity: float,
    energy: Array,
) -> None:
    """Adds what one wind of one layer gains of kinetic energy."""
    for i in range(energy.size):
        mass = (np.float64(below[i]) - np.float64(above[i])) * per_gravity
        du = np.float64(x[i])
        energy[i] += mass * ((np.float64(u[i]) + half_dt * du) * du)


@njit()
def _take(values: Array, factor: float, left: Array) -> None:
    for i in range(left.size):
        left[i] -= factor * np.float64(values[i])


@njit()
def _add(gain: Array, left: Array, sums: Array) -> None:
    for i in range(gain.size):
        sums[0, i] += gain[i]
        sums[1, i] += left[i]
        sums[2, i] += abs(left[i])
