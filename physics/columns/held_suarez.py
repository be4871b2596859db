r"""Held-Suarez forcing: Newtonian relaxation of temperature and Rayleigh friction.

.. math::
   \partial_t T &= -k_T (T - T_{eq}), \qquad \partial_t v = -k_v v \\
   T_{eq} &= \max\{T_{min}, [T_0 - \Delta T_y \sin^2\phi
             - \Delta\theta_z \ln(p/p_0) \cos^2\phi] (p/p_0)^\kappa\} \\
   k_T &= k_a + (k_s - k_a)\, s \cos^4\phi, \qquad k_v = k_f s, \qquad
   s = \max\{0, (\sigma - \sigma_b)/(1 - \sigma_b)\}, \quad \sigma = p/p_s

T [K], v [m s-1], p [Pa], k [s-1]. Both are taken backward in time over the step that applies
them. The original returns no heat from friction, and neither does the default here.

Source: Held and Suarez (1994), Bull. Amer. Meteor. Soc. 75, 1825-1830,
doi:10.1175/1520-0477(1994)075<1825:APFTIO>2.0.CO;2.
"""

from __future__ import annotations

import math
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
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns.jit import njit
from physics.columns.rayleigh import damp
from physics.elementary import exp, log

_DAY = SECONDS_PER_DAY


@njit(inline=True)
def equilibrium(
    p: float, sin2: float, t0: float, dty: float, dthz: float, tmin: float, kappa: float
) -> float:
    """T_eq [K] at pressure `p` [Pa] and squared sine of latitude `sin2` [1]."""
    log_p = log(p * 1.0e-5)
    t = (t0 - dty * sin2 - dthz * log_p * (1.0 - sin2)) * exp(kappa * log_p)
    return max(tmin, t)


@njit()
def relax(
    ta: Array,
    pfull: Array,
    ps: Array,
    sin2: Array,
    dt: float,
    t0: float,
    dty: float,
    dthz: float,
    tmin: float,
    kappa: float,
    ka: float,
    ks: float,
    sigma_b: float,
    dta: Array,
) -> None:
    """Fills the tendency of temperature `dta` [K s-1], shape [level, column]."""
    nlev, ncol = ta.shape
    per_depth = 1.0 / (1.0 - sigma_b)
    for k in range(nlev):
        for c in range(ncol):
            p = np.float64(pfull[k, c])
            teq = equilibrium(p, sin2[c], t0, dty, dthz, tmin, kappa)
            s = max(0.0, (p / ps[c] - sigma_b) * per_depth)
            cos2 = 1.0 - sin2[c]
            rate = ka + (ks - ka) * s * cos2 * cos2
            dta[k, c] = -rate / (1.0 + rate * dt) * (ta[k, c] - teq)


@njit()
def squared_sine(lat: Array, sin2: Array) -> None:
    """Fills sin^2 of the latitude `lat` [degrees_north], shape [column]."""
    for c in range(lat.size):
        s = math.sin(math.radians(lat[c]))
        sin2[c] = s * s


@njit()
def friction_rate(pfull: Array, ps: Array, kf: float, sigma_b: float, rate: Array) -> int:
    """Fills k_v [s-1], shape [level, column], from below; returns the first level that has any.

    Levels above it are left as they were.
    """
    nlev: int = pfull.shape[0]
    per_depth = 1.0 / (1.0 - sigma_b)
    for k in range(nlev - 1, -1, -1):
        reached = 0
        for c in range(pfull.shape[1]):
            depth = max(0.0, (np.float64(pfull[k, c]) / ps[c] - sigma_b) * per_depth)
            rate[k, c] = kf * depth
            reached += 1 if depth > 0.0 else 0
        if reached == 0:
            return k + 1
    return 0


@scheme("radiation", "held_suarez")
class HeldSuarezRelaxation(Tendency):
    """Newtonian relaxation of temperature towards the Held-Suarez equilibrium."""

    class Parameters(Params):
        """Defaults are those of the paper."""

        t_equator: Annotated[float, Unit("K"), Field(gt=100, lt=500)] = 315.0
        """T_0, equilibrium temperature at the equator at p0 [K]."""
        t_min: Annotated[float, Unit("K"), Field(gt=0, lt=400)] = 200.0
        """Stratospheric equilibrium temperature [K]."""
        delta_t_y: Annotated[float, Unit("K"), Field(ge=0)] = 60.0
        """Equator-to-pole difference [K]."""
        delta_theta_z: Annotated[float, Unit("K"), Field(ge=0)] = 10.0
        """Static stability at the equator: potential temperature rise per e-fold of p [K]."""
        k_a: Annotated[float, Unit("s-1"), Field(ge=0)] = 1.0 / (40.0 * _DAY)
        """Relaxation rate aloft [s-1]."""
        k_s: Annotated[float, Unit("s-1"), Field(ge=0)] = 1.0 / (4.0 * _DAY)
        """Relaxation rate at the surface on the equator [s-1]."""
        sigma_b: Annotated[float, Unit("1"), Field(ge=0, lt=1)] = 0.7
        """Top of the boundary layer in sigma [1]."""

    inputs = reads("ta pfull ps lat")
    tendencies = tendencies_of("ta")
    fills = True

    def setup(self, host: Host) -> None:
        self._kappa = host.planet.kappa
        self._sin2 = host.empty("column").astype(float)
        self._lat: Array | None = None

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        p = self.p
        if self._lat is not x.lat:  # columns stay where they are
            self._lat = x.lat
            squared_sine(x.lat, self._sin2)
        relax(
            x.ta,
            x.pfull,
            x.ps,
            self._sin2,
            now.dt,
            p.t_equator,
            p.delta_t_y,
            p.delta_theta_z,
            p.t_min,
            self._kappa,
            p.k_a,
            p.k_s,
            p.sigma_b,
            tend.ta,
        )


@scheme("boundary_layer", "held_suarez")
class HeldSuarezFriction(Tendency):
    """Rayleigh friction near the surface."""

    class Parameters(Params):
        """Defaults are those of the paper."""

        k_f: Annotated[float, Unit("s-1"), Field(ge=0)] = 1.0 / _DAY
        """Friction rate at the surface [s-1]."""
        sigma_b: Annotated[float, Unit("1"), Field(ge=0, lt=1)] = 0.7
        """Top of the boundary layer in sigma [1]."""
        heat: bool = False
        """Whether the kinetic energy lost warms the air; the original drops it."""

    inputs = reads("ua va pfull ps")
    tendencies = tendencies_of("ua va ta")

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        if self.p.heat:
            # c_p T + |u|^2/2 of every column stays as it was, but only with the heat returned.
            self.conserves = (Conserves(quantity="energy"),)  # type: ignore[misc]

    def setup(self, host: Host) -> None:
        self._per_energy = 1.0 / host.planet.cp_dry if self.p.heat else 0.0
        self._rate = host.empty("level", "column").astype(float)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        # Only near the ground: elsewhere the outputs stay the zeros that they were given as.
        n = friction_rate(x.pfull, x.ps, self.p.k_f, self.p.sigma_b, self._rate)
        rate, u, v, t = self._rate[n:], tend.ua[n:], tend.va[n:], tend.ta[n:]
        damp(x.ua[n:], x.va[n:], rate, now.dt, self._per_energy, u, v, t)
