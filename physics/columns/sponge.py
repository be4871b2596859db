r"""Rayleigh sponge under the model top.

.. math:: \partial_t u = -r \left(\frac{p_{sponge} - p}{p_{sponge}}\right)^2 u,
          \qquad p < p_{sponge}

u [m s-1], p [Pa], r [s-1], backward in time over the step; the heat of the lost kinetic energy
is returned unless ``heat`` is off. A sponge takes angular momentum out of the atmosphere, so its
tendency, and its force on the column,

.. math:: \tau = \frac1g \sum_k \partial_t u_k\, dp_k \quad [Pa]

are kept apart from those of gravity waves (Shepherd, Semeniuk and Koshyk, 1996,
doi:10.1029/96JD01994).

Source: Polvani and Kushner (2002), doi:10.1029/2001GL014284 (the profile and the time scale of
half a day; the form used with the GFDL spectral core).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

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
from coupler.interface.constants import SECONDS_PER_DAY
from coupler.interface.fields import COLUMN, FIELDS
from coupler.interface.fields import Field as Table
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns.jit import njit
from physics.columns.rayleigh import damp


@njit()
def sponge_rate(pfull: Array, p_sponge: float, r: float, rate: Array) -> int:
    """Fills the drag coefficient `rate` [s-1], shape [level, column]; returns in how many levels.

    Levels from the first one that is nowhere in the sponge are left as they were.
    """
    nlev: int = pfull.shape[0]
    for k in range(nlev):
        reached = 0
        for c in range(pfull.shape[1]):
            depth = max(0.0, (p_sponge - pfull[k, c]) / p_sponge)
            rate[k, c] = r * depth * depth
            reached += 1 if depth > 0.0 else 0
        if reached == 0:
            return k
    return nlev


@njit()
def column_force(rate: Array, phalf: Array, gravity: float, total: Array, force: Array) -> None:
    """Fills the mass integral `force` [Pa], shape [column], of a `rate` [m s-2], from the top.

    `total` [column] is scratch.
    """
    nlev, ncol = rate.shape
    total[:] = 0.0
    for k in range(nlev):
        for c in range(ncol):
            dp = np.float64(phalf[k + 1, c]) - np.float64(phalf[k, c])
            total[c] += np.float64(rate[k, c]) * dp
    for c in range(ncol):
        force[c] = total[c] / gravity


def _force(name: str, axis: str) -> Table:
    long_name = f"{axis} Force of the Sponge on the Column"
    return Table(name=name, standard_name=None, long_name=long_name, units="Pa", dims=COLUMN)


@scheme("sponge", "rayleigh")
class RayleighSponge(Tendency):
    """Linear drag on the wind above `p_sponge`."""

    class Parameters(Params):
        """Defaults are those of Polvani and Kushner (2002)."""

        p_sponge: Annotated[float, Unit("Pa"), Field(gt=0)] = 50.0
        """Pressure of the sponge's lower edge [Pa]."""
        rate: Annotated[float, Unit("s-1"), Field(ge=0)] = 2.0 / SECONDS_PER_DAY
        """Drag coefficient at zero pressure [s-1]."""
        heat: bool = True
        """Whether the kinetic energy lost warms the air; off: damp only."""

    inputs = reads("ua va pfull phalf")
    tendencies = tendencies_of("ua va ta")
    diagnostics = (_force("xsponge", "Eastward"), _force("ysponge", "Northward"))

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        if self.p.heat:
            # c_p T + |u|^2/2 of every column stays as it was, but only with the heat returned.
            self.conserves = (Conserves(quantity="energy"),)  # type: ignore[misc]

    def setup(self, host: Host) -> None:
        self._gravity = host.planet.gravity
        self._per_energy = 1.0 / host.planet.cp_dry if self.p.heat else 0.0
        self._rate = host.empty("level", "column").astype(float)
        self._total = np.zeros(host.ncol)
        lowest, _ = FIELDS["ps"].valid or (0.0, 0.0)
        top = host.levels.half_pressure(np.array(lowest))[:-1]
        self.reach = int(np.count_nonzero(top < self.p.p_sponge))

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        # Only where the sponge is: elsewhere the outputs stay the zeros that they were given as.
        n = self.reach
        n = sponge_rate(x.pfull[:n], self.p.p_sponge, self.p.rate, self._rate[:n])
        u, v, t = tend.ua[:n], tend.va[:n], tend.ta[:n]
        damp(x.ua[:n], x.va[:n], self._rate[:n], now.dt, self._per_energy, u, v, t)
        column_force(u, x.phalf[: n + 1], self._gravity, self._total, diag.xsponge)
        column_force(v, x.phalf[: n + 1], self._gravity, self._total, diag.ysponge)
