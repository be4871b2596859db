r"""Correctors: what all schemes of a step did together is put right before the dynamics take it.

A case switches them on by one line, ``correctors: [clamp, dry_air, moisture, energy]`` or ``all``;
they act in this order, each on what the one before it left. With <> the global mean, dp layer
masses, dt the time that the rates are applied for:

``clamp``
    no humidity and no tracer falls below zero. The water that this makes is not hidden: the next
    but one takes it back. It comes first, since clamping later would break the budgets again:

    .. math:: \dot q \leftarrow \max(\dot q, -q/\Delta t)

``dry_air``
    the dynamics keep the mean dry pressure of the start by themselves, at every step; what is left
    is held against it and recorded.

``moisture``
    the rain is scaled so that the air gains what evaporates less what rains:

    .. math::
       P \leftarrow r P, \qquad r = \max\left(0, \frac{\langle E\rangle - \langle\dot W\rangle}
       {\langle P\rangle}\right), \qquad W = \frac{1}{g} \sum_k q_k\, \Delta p_k

    Its parts, prl and prc, are scaled alike, unless one of them is held between calls.
    What rain cannot bear, because there is none or it would be negative, the humidity bears
    in proportion to itself.

``energy``
    one rate of temperature, the same everywhere, so that the air gains what flows in at its ends:

    .. math::
       \dot T \leftarrow \dot T + \frac{\langle N_{top} - N_{sfc}\rangle - \langle\dot e\rangle}
       {c_p \langle p_s - p_t\rangle / g}, \qquad
       \dot e = \frac{1}{g} \sum_k \left[c_p \dot T + L_v \dot q
       + (\mathbf{v} + \tfrac12 \Delta t\, \dot{\mathbf{v}}) \cdot \dot{\mathbf{v}}\right] \Delta p

Schemes that conserve need none of this; networks often do. What the dynamics lose by themselves is
not corrected: ``energy_residual`` in ``budgets.nc`` shows it. How much each corrector had to do is
in ``budgets.nc``, in ``run.json`` and in the closing lines.

Source: the correctors of ACE2-SOM (Clark et al. 2024, arXiv:2412.04418), here on rates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np

from coupler.contracts import Corrector
from coupler.diagnostics.budgets import SIGNS
from coupler.driver.process_budgets import gains
from coupler.driver.suite import Suite
from coupler.interface.component import Array, Now
from coupler.interface.errors import Problem
from coupler.interface.fields import TRACERS
from coupler.interface.jit import njit

ALL: tuple[Corrector, ...] = get_args(Corrector)
"""In the order in which they act."""
READS: Mapping[Corrector, tuple[str, ...]] = {
    "clamp": ("hus", "phalf"),
    "dry_air": ("ps", "hus", "phalf"),
    "moisture": ("hus", "phalf", "pr", "evspsbl"),
    "energy": ("ta", "hus", "phalf", "ps", *SIGNS),
}
"""What each of them needs to know."""
_UNITS = {"dry_air": "Pa", "energy": "W m-2"}
_SAID = {
    "clamp": "that the clamp made of nothing",
    "dry_air": "mean dry pressure less that of the start, which the dynamics keep",
    "moisture": "rain that was added to close the budget of water",
    "moisture_of_air": "water that was added to the air where rain could not bear it",
    "energy": "heat that was added to close the budget of energy",
}


def problems(
    asked: Sequence[Corrector], offered: Sequence[str], calls: Mapping[str, float | None], dt: float
) -> list[Problem]:
    """What keeps correctors from acting in a case.

    Args:
        asked: their names.
        offered: fields of the air.
        calls: time between calls [s] of the scheme that gives a diagnostic, by the diagnostic's
            name; None: every step.
        dt: of the atmosphere [s].
    """
    found = []
    for name in asked:
        missing = [n for n in READS[name] if n not in offered and n not in calls]
        if missing:
            found.append(
                Problem(
                    what="a corrector without the fluxes that it closes",
                    name=f"correctors: {name}",
                    expected=f"schemes that give {', '.join(READS[name])}",
                    found=f"no {', '.join(missing)}",
                    remedy="add the schemes, or leave the corrector out",
                )
            )
    rain = calls.get("pr")
    if "moisture" in asked and rain is not None and rain > dt:
        found.append(
            Problem(
                what="rain that is held between calls cannot be corrected at every step",
                name="correctors: moisture",
                expected="a scheme that gives pr at every step",
                found=f"one that is called every {rain:g} s",
                remedy="leave out its interval; those of the schemes that rain may stay",
            )
        )
    return found


class Correctors:
    """Those of one run, in their order, and what they did."""

    def __init__(self, asked: Sequence[Corrector], suite: Suite) -> None:
        """Binds them to what the suite gives.

        Args:
            asked: their names; none is fine.
            suite: all schemes; its total rates and its rain are corrected in place.
        """
        self.asked = tuple(name for name in ALL if name in asked)
        self._suite, host = suite, suite.host
        self._planet, self._mean = host.planet, host.mean
        self._phalf = np.empty((0, 0)) if suite.phalf is None else suite.phalf
        self._gains = np.zeros((3, host.ncol))
        """Of water [kg m-2 s-1] and energy [W m-2] by all rates, and water itself [kg m-2]."""
        self._column = np.zeros(host.ncol)
        self._clamped = [of for of in suite.start if of == "hus" or of in TRACERS]
        names: list[str] = []
        for name in self.asked:
            names += [f"clamp_{of}" for of in self._clamped] if name == "clamp" else [name]
            names += ["moisture_of_air"] if name == "moisture" else []
        self._rain = _rain(suite)
        self._place = {name: i for i, name in enumerate(names)}
        self._did = np.zeros((3, len(names)))
        """Effort times time since the last record and since the start, and the largest."""
        self._seconds = np.zeros(2)
        self._dry = np.full(1, np.nan)
        """Mean dry pressure at the start [Pa]."""

    # -- acting -------------------------------------------------------------------------------

    def apply(self, now: Now, length: float) -> None:
        """Corrects the rates of the step that is about to be taken, and its rain.

        Args:
            now: when, with the time that rates are applied for.
            length: of the step [s].
        """
        for name in self.asked:
            getattr(self, f"_{name}")(now.dt, length)
        self._seconds += length

    def _clamp(self, dt: float, length: float) -> None:
        suite = self._suite
        for of in self._clamped:
            _clamp(suite.start[of], suite.total[of], self._phalf, 1.0 / dt, self._column)
            self._note(f"clamp_{of}", self._mean(self._column) / self._planet.gravity, length)

    def _dry_air(self, dt: float, length: float) -> None:
        self._add_up(dt)
        vapour = self._mean(self._gains[2])
        dry = self._mean(self._suite.pool["ps"]) - self._planet.gravity * vapour
        if math.isnan(self._dry[0]):
            self._dry[0] = dry
        self._note("dry_air", dry - float(self._dry[0]), length)

    def _moisture(self, dt: float, length: float) -> None:
        pool, total = self._suite.pool, self._suite.total
        self._add_up(dt)
        rain, gain = self._mean(pool["pr"]), self._mean(self._gains[0])
        wanted = self._mean(pool["evspsbl"]) - gain
        bears = wanted >= 0.0 and rain > 0.0
        for part in self._rain:
            part *= wanted / rain if bears else 0.0
        water = self._mean(self._gains[2])
        # Air without water gives none, and no air more than it has.
        left = 0.0 if bears or water <= 0.0 else max(wanted, -water / dt)
        if left:
            share = left / water
            total["hus"] += np.multiply(self._suite.start["hus"], share)
        self._note("moisture", (wanted if bears else 0.0) - rain, length)
        self._note("moisture_of_air", left, length)

    def _energy(self, dt: float, length: float) -> None:
        pool, planet, column = self._suite.pool, self._planet, self._column
        self._add_up(dt)
        column.fill(0.0)
        for name, sign in SIGNS.items():
            (np.add if sign > 0.0 else np.subtract)(column, pool[name], out=column)
        missing = self._mean(column) - self._mean(self._gains[1])
        mass = (self._mean(pool["ps"]) - self._mean(self._phalf[0])) / planet.gravity
        self._suite.total["ta"] += self._suite.host.dtype.type(missing / (planet.cp_dry * mass))
        self._note("energy", missing, length)

    def _add_up(self, dt: float) -> None:
        start, total, planet = self._suite.start, self._suite.total, self._planet
        gains(
            start["ua"],
            start["va"],
            start["hus"],
            total["ua"],
            total["va"],
            total["ta"],
            total["hus"],
            self._phalf,
            0.5 * dt,
            planet.cp_dry,
            planet.latent_heat_vaporization,
            1.0 / planet.gravity,
            self._gains,
        )

    def _note(self, name: str, effort: float, length: float) -> None:
        did = self._did[:, self._place[name]]
        did[:2] += length * effort
        did[2] = max(did[2], abs(effort))

    # -- telling ------------------------------------------------------------------------------

    def take(self) -> dict[str, tuple[float, str, str]]:
        """Mean efforts for ``budgets.nc`` since the last time: value, units, long name by name."""
        if not self._seconds[0]:
            return {}
        found = {
            f"corrector_{n}": (float(self._did[0, i] / self._seconds[0]), _units(n), _spoken(n))
            for n, i in self._place.items()
        }
        self._did[0], self._seconds[0] = 0.0, 0.0
        return found

    def mean(self) -> dict[str, float]:
        """Mean efforts since the start."""
        if not self._seconds[1]:
            return {}
        return {
            f"corrector_{n}": float(self._did[1, i] / self._seconds[1])
            for n, i in self._place.items()
        }

    def record(self) -> dict[str, float]:
        """Mean efforts since the start and the largest of a step, for ``run.json``."""
        means = self.mean()
        largest = {f"corrector_{n}_largest": float(self._did[2, i]) for n, i in self._place.items()}
        return means | largest if means else {}

    def lines(self) -> list[str]:
        """Closing lines of a run."""
        means = self.mean()
        return [
            f"corrector {n.replace('_', ' ')}: {means[f'corrector_{n}']:.2e} {_units(n)} in the "
            f"mean, at most {self._did[2, i]:.1e} in a step"
            for n, i in (self._place.items() if means else ())
        ]

    def memory(self) -> dict[str, Array]:
        """What a restart needs; the same on all ranks."""
        return {"did": self._did, "seconds": self._seconds, "dry": self._dry}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave."""
        for name, array in self.memory().items():
            array[...] = memory[name]


def _rain(suite: Suite) -> list[Array]:
    """Rain and its parts, those that are new at every step: what is held would be scaled again."""
    found = {n: suite.pool[n] for n in ("pr", "prl", "prc") if n in suite.pool}
    schemes = [b for p in suite.processes for b in p.schemes]
    if any(b.every > 1 and n in b.diag for b in schemes for n in ("prl", "prc")):
        found = {n: a for n, a in found.items() if n == "pr"}
    return list(found.values())


def _units(name: str) -> str:
    return _UNITS.get(name, "kg m-2 s-1")


def _spoken(name: str) -> str:
    if name.startswith("clamp_"):
        return f"{name.removeprefix('clamp_')} {_SAID['clamp']}, global mean"
    return f"{_SAID[name]}, global mean"


@njit()
def _clamp(q: Array, rate: Array, phalf: Array, per_dt: float, made: Array) -> None:
    """Raises rates [level, column] that leave less than nothing of `q`; fills `made` [column] with
    the sum of what this adds, times dp [Pa s-1]."""
    made[:] = 0.0
    for k in range(q.shape[0]):
        for i in range(made.size):
            least = -max(q[k, i], q.dtype.type(0.0)) * q.dtype.type(per_dt)
            if rate[k, i] < least:
                dp = np.float64(phalf[k + 1, i]) - np.float64(phalf[k, i])
                made[i] += dp * (np.float64(least) - np.float64(rate[k, i]))
                rate[k, i] = least
