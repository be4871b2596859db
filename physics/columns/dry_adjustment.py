r"""Dry convective adjustment, complete in one pass.

Wherever potential temperature falls with height, the layers involved are mixed to one potential
temperature that keeps their enthalpy,

.. math:: \theta_B = \frac{\sum_{k \in B} T_k\, \Delta p_k}{\sum_{k \in B} \Pi_k\, \Delta p_k},
          \qquad T^+_k = \theta_B \Pi_k, \quad \Pi_k = (p_k/p_0)^\kappa,

with T [K], p [Pa]. Finding the blocks B is isotonic regression of theta with the weights
Pi dp, and pooling adjacent violators solves it exactly: the result is stable everywhere, whatever
the profile was, without iteration. Layers that were stable are not touched. Within a block
specific humidity may be mixed too, by mass.

Sources: Manabe, Smagorinsky and Strickler (1965),
doi:10.1175/1520-0493(1965)093<0769:SCOAGC>2.3.CO;2, for the adjustment; Barlow et al. (1972),
Statistical Inference under Order Restrictions, chapter 1, for the pooling.
"""

from __future__ import annotations

import numpy as np

from coupler.interface.component import (
    Array,
    Arrays,
    Conserves,
    Host,
    Now,
    Params,
    Tendency,
    reads,
    tendencies_of,
)
from coupler.interface.registry import scheme
from physics.columns.jit import njit


@njit()
def adjust(
    ta: Array,
    hus: Array,
    pfull: Array,
    phalf: Array,
    dt: float,
    p0: float,
    kappa: float,
    mix_humidity: bool,
    exner: Array,
    weight: Array,
    theta: Array,
    first: Array,
    dta: Array,
    dhus: Array,
) -> None:
    """Fills tendencies [K s-1, s-1]; `exner`, `weight`, `theta`, `first` are scratch [level]."""
    nlev, ncol = ta.shape
    for c in range(ncol):
        stable = True
        for k in range(nlev):
            exner[k] = (pfull[k, c] / p0) ** kappa
            if k > 0 and ta[k, c] * exner[k - 1] > ta[k - 1, c] * exner[k]:
                stable = False
        if stable:
            continue
        blocks = 0  # a stack of blocks from the top downward, theta falling from one to the next
        for k in range(nlev):
            dp = np.float64(phalf[k + 1, c]) - np.float64(phalf[k, c])
            w = exner[k] * dp
            b = ta[k, c] / exner[k]
            start = k
            while blocks > 0 and theta[blocks - 1] < b:
                blocks -= 1
                total = w + weight[blocks]
                b += (theta[blocks] - b) * (weight[blocks] / total)
                w = total
                start = first[blocks]
            theta[blocks] = b
            weight[blocks] = w
            first[blocks] = start
            blocks += 1
        for block in range(blocks):
            start = first[block]
            end = first[block + 1] if block + 1 < blocks else nlev
            if end - start < 2:
                continue
            # theta from plain sums: enthalpy then closes to round-off also in tall blocks
            heat, water, mass = 0.0, 0.0, 0.0
            for k in range(start, end):
                dp = np.float64(phalf[k + 1, c]) - np.float64(phalf[k, c])
                heat += (ta[k, c] - theta[block] * exner[k]) * dp
                water += hus[k, c] * dp
                mass += dp
            b = theta[block] + heat / weight[block]
            for k in range(start, end):
                dta[k, c] = (b * exner[k] - ta[k, c]) / dt
                if mix_humidity:
                    dhus[k, c] = (water / mass - hus[k, c]) / dt


@scheme("convection", "dry_adjustment")
class DryAdjustment(Tendency):
    """Mixes every dry-unstable stretch of a column to one potential temperature."""

    class Parameters(Params):
        """What is mixed besides heat."""

        mix_humidity: bool = True
        """Whether specific humidity is mixed with the heat."""

    inputs = reads("ta hus pfull phalf")
    tendencies = tendencies_of("ta hus")
    conserves = (Conserves(quantity="energy"), Conserves(quantity="water"))

    def setup(self, host: Host) -> None:
        self._planet = host.planet
        self._exner = np.zeros(host.nlev)
        self._weight = np.zeros(host.nlev)
        self._theta = np.zeros(host.nlev)
        self._first = np.zeros(host.nlev, np.int64)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        adjust(
            x.ta,
            x.hus,
            x.pfull,
            x.phalf,
            now.dt,
            self._planet.reference_pressure,
            self._planet.kappa,
            self.p.mix_humidity,
            self._exner,
            self._weight,
            self._theta,
            self._first,
            tend.ta,
            tend.hus,
        )
