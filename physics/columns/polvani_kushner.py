r"""Relaxation to a stratosphere with a polar vortex: a dry forcing with one winter hemisphere.

.. math:: \partial_t T = -k_T (T - T_{eq})

Below p_T the equilibrium is that of Held and Suarez with a colder winter hemisphere,

.. math:: T_{eq} = \max\{T_T, [T_0 - \Delta T_y \sin^2\phi - s\,\varepsilon \sin\phi
          - \Delta\theta_z \ln(p/p_0) \cos^2\phi] (p/p_0)^\kappa\}

and above it the US Standard Atmosphere 1976 with a cold cap over the winter pole,

.. math:: T_{eq} = (1 - W)\, T_{US}(p) + W\, T_T (p/p_T)^{R \gamma / g}, \qquad
          W = \frac12 \left[1 + \tanh\frac{s\phi - \phi_0}{\delta\phi}\right]

with T_T = T_US(p_T), which makes T_eq continuous at p_T, and s = 1 for a northern, -1 for a
southern winter. k_T is that of Held and Suarez. gamma [K m-1] sets the strength of the vortex: 2
and 4 K/km are the usual values. Backward in time over the step.

Source: Polvani and Kushner (2002), Geophys. Res. Lett. 29(7), 1114, doi:10.1029/2001GL014284. The
friction near the ground is ``boundary_layer: held_suarez``, the sponge ``sponge: rayleigh``.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from coupler.interface.component import (
    Array,
    Arrays,
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
from physics.columns.held_suarez import equilibrium
from physics.columns.jit import njit

_STANDARD = (
    (101325.0, 288.15, -6.5e-3),
    (22632.06, 216.65, 0.0),
    (5474.889, 216.65, 1.0e-3),
    (868.0187, 228.65, 2.8e-3),
    (110.9063, 270.65, 0.0),
    (66.93887, 270.65, -2.8e-3),
    (3.956420, 214.65, -2.0e-3),
)
"""Pressure [Pa] and temperature [K] at the foot of each layer, and dT/dz [K m-1] in it."""
STANDARD = np.array(_STANDARD)
R_OVER_G = 287.053 / 9.80665
"""R/g of the US Standard Atmosphere [m K-1]."""


@njit()
def standard_temperature(p: float, layers: Array) -> float:
    """Temperature of the US Standard Atmosphere 1976 [K] at `p` [Pa]; `layers` is `STANDARD`."""
    n = layers.shape[0] - 1
    while n > 0 and p > layers[n, 0]:
        n -= 1
    exponent = -layers[n, 2] * R_OVER_G
    return float(layers[n, 1] * (p / layers[n, 0]) ** exponent)


@njit()
def relax(
    ta: Array,
    pfull: Array,
    ps: Array,
    columns: tuple[Array, Array],
    dt: float,
    layers: Array,
    shape: tuple[float, float, float, float, float],
    vortex: tuple[float, float, float],
    rates: tuple[float, float, float],
    kappa: float,
    dta: Array,
) -> None:
    """Fills the tendency of temperature.

    Args:
        ta: Temperature [K], shape [level, column].
        pfull: Pressure [Pa], shape [level, column].
        ps: Surface pressure [Pa], shape [column].
        columns: Sine of latitude and W [1], shape [column].
        dt: Time over which the tendency will be applied [s].
        layers: `STANDARD`.
        shape: T_0, Delta T_y, epsilon, Delta theta_z [K] and the sign s of the winter hemisphere.
        vortex: p_T [Pa], T_T [K], R gamma/g [1].
        rates: k_a and k_s [s-1], sigma_b [1].
        kappa: R/c_p [1].
        dta: Tendency of `ta` [K s-1], shape [level, column].
    """
    t0, dty, season, dthz, winter = shape
    p_t, t_t, power = vortex
    ka, ks, sigma_b = rates
    sines, weights = columns
    nlev, ncol = ta.shape
    for k in range(nlev):
        before = -1.0
        standard = cold = 0.0
        for c in range(ncol):
            p = np.float64(pfull[k, c])
            s2 = sines[c] * sines[c]
            if p >= p_t:
                warm = t0 - winter * season * sines[c]
                teq = equilibrium(p, s2, warm, dty, dthz, t_t, kappa)
            else:
                if p != before:  # high hybrid levels have one pressure all round the globe
                    standard = standard_temperature(p, layers)
                    cold = t_t * (p / p_t) ** power
                    before = p
                teq = (1.0 - weights[c]) * standard + weights[c] * cold
            s = max(0.0, (p / ps[c] - sigma_b) / (1.0 - sigma_b))
            rate = ka + (ks - ka) * s * (1.0 - s2) * (1.0 - s2)
            dta[k, c] = -rate / (1.0 + rate * dt) * (ta[k, c] - teq)


@scheme("radiation", "polvani_kushner")
class PolvaniKushner(Tendency):
    """Newtonian relaxation to an equilibrium with a winter polar vortex."""

    class Parameters(Params):
        """Defaults are those of the paper, with a strong vortex."""

        vortex_lapse_rate: Annotated[float, Unit("K m-1"), Field(ge=0, le=0.01)] = 4.0e-3
        """gamma: how fast it gets colder upward over the winter pole."""
        winter: Literal["north", "south"] = "north"
        tropopause: Annotated[float, Unit("Pa"), Field(gt=0, lt=5.0e4)] = 1.0e4
        """p_T."""
        vortex_edge: Annotated[float, Unit("degree"), Field(gt=0, lt=90)] = 50.0
        """phi_0, latitude of the edge of the cold cap."""
        vortex_width: Annotated[float, Unit("degree"), Field(gt=0)] = 10.0
        """delta phi."""
        t_equator: Annotated[float, Unit("K"), Field(gt=100, lt=500)] = 315.0
        """T_0."""
        delta_t_y: Annotated[float, Unit("K"), Field(ge=0)] = 60.0
        seasonal: Annotated[float, Unit("K"), Field(ge=0)] = 10.0
        """epsilon: the winter pole is colder and the summer pole warmer by this."""
        delta_theta_z: Annotated[float, Unit("K"), Field(ge=0)] = 10.0
        k_a: Annotated[float, Unit("s-1"), Field(ge=0)] = 1.0 / (40.0 * SECONDS_PER_DAY)
        k_s: Annotated[float, Unit("s-1"), Field(ge=0)] = 1.0 / (4.0 * SECONDS_PER_DAY)
        sigma_b: Annotated[float, Unit("1"), Field(ge=0, lt=1)] = 0.7

    inputs = reads("ta pfull ps lat")
    tendencies = tendencies_of("ta")

    def setup(self, host: Host) -> None:
        p, planet = self.p, host.planet
        self._kappa = planet.kappa
        winter = 1.0 if p.winter == "north" else -1.0
        self._shape = (p.t_equator, p.delta_t_y, p.seasonal, p.delta_theta_z, winter)
        self._vortex = (
            p.tropopause,
            standard_temperature(p.tropopause, STANDARD),
            planet.gas_constant_dry * p.vortex_lapse_rate / planet.gravity,
        )
        self._rates = (p.k_a, p.k_s, p.sigma_b)
        self._lat = np.full(host.ncol, np.nan)
        self._columns = (np.zeros(host.ncol), np.zeros(host.ncol))

    def _locate(self, lat: Array) -> None:
        """Takes what depends on latitude [degrees_north] alone; it hardly ever changes."""
        self._lat[:] = lat
        phi = np.radians(self._lat)
        beyond = self._shape[4] * phi - math.radians(self.p.vortex_edge)
        sines, weights = self._columns
        sines[:] = np.sin(phi)
        weights[:] = 0.5 * (1.0 + np.tanh(beyond / math.radians(self.p.vortex_width)))

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        if not np.array_equal(x.lat, self._lat):
            self._locate(x.lat)
        relax(
            x.ta, x.pfull, x.ps, self._columns, now.dt, STANDARD, self._shape, self._vortex,
            self._rates, self._kappa, tend.ta,
        )  # fmt: skip
