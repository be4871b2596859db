r"""Terminator chemistry: two tracers that react fast where the sun shines, a test of transport.

    Cl2 -> Cl + Cl (k1),  Cl + Cl -> Cl2 (k2),  k1 = max(0, sin(phi) sin(phi_c) + cos(phi)
    cos(phi_c) cos(lambda - lambda_c)) s-1,  k2 = 1 s-1,  (phi_c, lambda_c) = (20 N, 300 E)

Mixing ratios X of Cl and X2 of Cl2; X_t = X + 2 X2 does not react and, uniform at first, has to
stay so whatever the flow. With r = k1/(4 k2), D = sqrt(r^2 + 2 r X_t), Y = X + r the equation
dY/dt = -2 k2 (Y - D)(Y + D) is solved exactly over a step:

    dX/dt = -L (Y - D)(Y + D) / (1 + E + dt L Y),  E = exp(-4 k2 D dt),  L = (1 - E)/(D dt)
    dX2/dt = -(dX/dt) / 2

Source: Lauritzen, P. H., A. J. Conley, J.-F. Lamarque, F. Vitt, M. A. Taylor (2015), Geosci. Model
Dev. 8, 1299-1313, doi:10.5194/gmd-8-1299-2015.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field as Limit

from coupler.interface.component import Array, Arrays, Host, Now, Params, Tendency, reads
from coupler.interface.fields import tracer
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns.jit import njit

TOTAL = 4.0e-6
"""X + 2 X2 of the published start [kg kg-1]."""
tracer("cl", "Mass Fraction of Cl in Air")
tracer("cl2", "Mass Fraction of Cl2 in Air")


def photolysis(lat: Array, lon: Array, sun_lat: float = 20.0, sun_lon: float = 300.0) -> Array:
    """k1 [s-1] at latitudes and longitudes [degree], any shapes that go together."""
    phi, centre = np.radians(lat), np.radians(sun_lat)
    lag = np.radians(np.asarray(lon) - sun_lon)
    zenith = np.sin(phi) * np.sin(centre) + np.cos(phi) * np.cos(centre) * np.cos(lag)
    return np.asarray(np.maximum(0.0, zenith))


def balanced(k1: Array, k2: float = 1.0, total: float = TOTAL) -> tuple[Array, Array]:
    """X and X2 in chemical balance, the published start, of the shape of `k1` [s-1]."""
    r = k1 / (4.0 * k2)
    x = np.sqrt(r * r + 2.0 * r * total) - r
    return x, 0.5 * (total - x)


@njit()
def react(x: Array, x2: Array, k1: Array, k2: float, dt: float, dx: Array, dx2: Array) -> None:
    """Fills `dx` and `dx2` [s-1] with the mean rates over `dt` [s].

    All are [level, column], `k1` [s-1] is [column]. In float64 whatever the arrays: where the sun
    is low, D is the root of a small difference.
    """
    for k in range(x.shape[0]):
        for i in range(x.shape[1]):
            first, second = float(x[k, i]), float(x2[k, i])
            r = float(k1[i]) / (4.0 * k2)
            total = max(first + 2.0 * second, 0.0)
            root = math.sqrt(r * r + 2.0 * r * total)
            late = math.exp(-4.0 * k2 * root * dt)
            # (1 - E)/(D dt), which is 4 k2 where D vanishes
            speed = -math.expm1(-4.0 * k2 * root * dt) / (root * dt) if root > 0.0 else 4.0 * k2
            y = first + r
            rate = -speed * (y - root) * (y + root) / (1.0 + late + dt * speed * y)
            dx[k, i] = rate
            dx2[k, i] = -0.5 * rate


class TerminatorParameters(Params):
    """Where the sun stands, and how fast Cl recombines."""

    sun_lat: Annotated[float, Unit("degree"), Limit(ge=-90.0, le=90.0)] = 20.0
    sun_lon: Annotated[float, Unit("degree"), Limit(ge=-360.0, le=360.0)] = 300.0
    recombination: Annotated[float, Unit("s-1"), Limit(gt=0.0)] = 1.0
    """k2."""


@scheme("chemistry", "terminator")
class Terminator(Tendency):
    """Cl and Cl2 with fast chemistry in the sun (Lauritzen et al. 2015): a test of transport."""

    Parameters = TerminatorParameters
    inputs = reads("cl cl2")
    tendencies: ClassVar[tuple[str, ...]] = ("cl", "cl2")

    def setup(self, host: Host) -> None:
        """Photolysis rate of every column."""
        static: Any = host.static
        k1 = photolysis(static["lat"], static["lon"], self.p.sun_lat, self.p.sun_lon)
        self._k1 = np.ascontiguousarray(k1, np.float64)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """See `Tendency.compute`."""
        react(x.cl, x.cl2, self._k1, self.p.recombination, now.dt, tend.cl, tend.cl2)
