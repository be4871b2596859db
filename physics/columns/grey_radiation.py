r"""Grey radiation: one longwave band, optical depth fixed in space, and a beam of sunlight.

.. math::
   \frac{dU}{d\tau} &= U - \sigma T^4, \qquad \frac{dD}{d\tau} = \sigma T^4 - D,
   \qquad U_s = \sigma T_s^4, \quad D_{top} = 0 \\
   \tau &= \tau_0(\phi)\left[f_l \frac{p}{p_s} + (1 - f_l)\left(\frac{p}{p_s}\right)^4\right],
   \qquad \tau_0 = \tau_e + (\tau_p - \tau_e)\sin^2\phi

U, D up- and downward fluxes [W m-2], T [K], tau [1]; no diffusivity factor, it is in tau. Layers
are isothermal, so that each one is integrated exactly: it passes exp(-dtau) of what enters it and
emits (1 - exp(-dtau)) sigma T^4 to either side. Sunlight:

.. math:: S_{down} = Q \exp\left[-\tau_{sw} (p/p_s)^2\right], \qquad
          S_{up} = \alpha S_{down}(p_s)

The reflected beam leaves without further absorption. By default the air absorbs no sunlight, and
with the albedo 0.31 of the slab surface the net insolation is that of the source,
938.4/4 = 234.6 W m-2 in the global mean.

Sources: Frierson, Held and Zurita-Gotor (2006), J. Atmos. Sci. 63, 2548-2566,
doi:10.1175/JAS3753.1; O'Gorman and Schneider (2008), doi:10.1175/2007JCLI2065.1, for the
absorption of sunlight (tau_sw = 0.22 there).
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from coupler.interface.component import (
    Array,
    Arrays,
    Host,
    Now,
    Params,
    Tendency,
    flux_of,
    gives,
    reads,
)
from coupler.interface.constants import STEFAN_BOLTZMANN
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns.insolation import annual_mean, daily_mean, orbit, year_fraction
from physics.columns.jit import njit


@njit()
def two_stream(
    ta: Array,
    phalf: Array,
    ps: Array,
    ts: Array,
    lat: Array,
    sigma_b: float,
    tau_equator: float,
    tau_pole: float,
    linear: float,
    passed: Array,
    emitted: Array,
    entering: Array,
    rnl: Array,
    rlut: Array,
    rlds: Array,
    rlus: Array,
) -> None:
    """Fills the net upward longwave flux `rnl` [W m-2], shape [interface, column], and its ends.

    `passed`, `emitted` [level] and `entering` [interface] are scratch.
    """
    nlev, ncol = ta.shape
    for c in range(ncol):
        s = math.sin(math.radians(lat[c]))
        tau_0 = tau_equator + (tau_pole - tau_equator) * s * s
        down = 0.0
        sigma = np.float64(phalf[0, c]) / ps[c]
        tau_above = tau_0 * (linear * sigma + (1.0 - linear) * sigma**4)
        entering[0] = 0.0
        for k in range(nlev):
            sigma = np.float64(phalf[k + 1, c]) / ps[c]
            tau = tau_0 * (linear * sigma + (1.0 - linear) * sigma**4)
            emissivity = -math.expm1(tau_above - tau)
            tau_above = tau
            t2 = np.float64(ta[k, c]) * np.float64(ta[k, c])
            passed[k] = 1.0 - emissivity
            emitted[k] = emissivity * sigma_b * t2 * t2
            down = down * passed[k] + emitted[k]
            entering[k + 1] = down
        ts2 = np.float64(ts[c]) * np.float64(ts[c])
        up = sigma_b * ts2 * ts2
        rlds[c] = down
        rlus[c] = up
        rnl[nlev, c] = up - down
        for k in range(nlev - 1, -1, -1):
            up = up * passed[k] + emitted[k]
            rnl[k, c] = up - entering[k]
        rlut[c] = up


@njit()
def sunlight(
    phalf: Array,
    ps: Array,
    albs: Array,
    insolation: Array,
    tau_sw: float,
    rns: Array,
    rsdt: Array,
    rsut: Array,
    rsds: Array,
    rsus: Array,
) -> None:
    """Fills the net upward shortwave flux `rns` [W m-2], shape [interface, column], and its ends.

    Args:
        phalf: Interface pressure [Pa], shape [interface, column].
        ps: Surface pressure [Pa], shape [column].
        albs: Surface albedo [1], shape [column].
        insolation: Downward flux at the top [W m-2], shape [column].
        tau_sw: Optical depth of the whole air for sunlight [1].
        rns: Filled.
        rsdt: Filled: downward at the top.
        rsut: Filled: upward at the top.
        rsds: Filled: downward at the surface.
        rsus: Filled: upward at the surface.
    """
    nhalf, ncol = phalf.shape
    ground = math.exp(-tau_sw)
    for c in range(ncol):
        rsdt[c] = insolation[c]
        rsds[c] = insolation[c] * ground
        rsus[c] = albs[c] * (insolation[c] * ground)
        rsut[c] = albs[c] * (insolation[c] * ground)
    for k in range(nhalf):
        for c in range(ncol):
            down = insolation[c]
            if tau_sw > 0.0:
                sigma = np.float64(phalf[k, c]) / ps[c]
                down *= math.exp(-tau_sw * sigma * sigma) if k > 0 else 1.0
            rns[k, c] = albs[c] * (insolation[c] * ground) - down


@scheme("radiation", "grey")
class GreyRadiation(Tendency):
    """Two-stream grey longwave, sunlight with optional absorption and optional seasons."""

    class Parameters(Params):
        """Defaults are those of Frierson et al. (2006)."""

        solar_constant: Annotated[float, Unit("W m-2"), Field(ge=0)] = 1360.0
        """S; with an albedo of 0.31 the net is 938.4 W m-2 [W m-2]."""
        delta_sol: Annotated[float, Unit("1"), Field(ge=-2, le=2)] = 1.4
        """Delta_s, contrast of the annual-mean profile [1]."""
        tau_equator: Annotated[float, Unit("1"), Field(ge=0)] = 6.0
        """Longwave optical depth at the equator [1]."""
        tau_pole: Annotated[float, Unit("1"), Field(ge=0)] = 1.5
        """Longwave optical depth at the poles [1]."""
        linear_fraction: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.1
        """f_l, share of the optical depth that is linear in pressure [1]."""
        tau_sw: Annotated[float, Unit("1"), Field(ge=0)] = 0.0
        """Optical depth of the air for sunlight [1]."""
        seasonal: bool = False
        """Daily-mean insolation of the date instead of the annual-mean profile."""
        obliquity: Annotated[float, Unit("degrees"), Field(ge=0, lt=90)] = 23.44
        """Tilt of the axis, used with `seasonal` [degrees]."""
        eccentricity: Annotated[float, Unit("1"), Field(ge=0, le=0.2)] = 0.0167
        """Of the orbit, used with `seasonal` [1]."""
        perihelion: Annotated[float, Unit("degrees")] = 282.9
        """The sun's longitude when nearest, from the March equinox, with `seasonal` [degrees]."""

    inputs = reads("ta phalf ps ts albs lat")
    fluxes = (flux_of("ta", "rnl"), flux_of("ta", "rns"))
    diagnostics = gives("rsdt rsut rlut rsds rsus rlds rlus")

    def setup(self, host: Host) -> None:
        self._insolation = np.zeros(host.ncol)
        self._passed = np.zeros(host.nlev)
        self._emitted = np.zeros(host.nlev)
        self._entering = np.zeros(host.nlev + 1)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        p = self.p
        if p.seasonal:
            declination, distance = orbit(
                year_fraction(now.date),
                math.radians(p.obliquity),
                p.eccentricity,
                math.radians(p.perihelion),
            )
            daily_mean(x.lat, p.solar_constant, declination, distance, self._insolation)
        else:
            annual_mean(x.lat, p.solar_constant, p.delta_sol, self._insolation)
        two_stream(
            x.ta,
            x.phalf,
            x.ps,
            x.ts,
            x.lat,
            STEFAN_BOLTZMANN,
            p.tau_equator,
            p.tau_pole,
            p.linear_fraction,
            self._passed,
            self._emitted,
            self._entering,
            flux.rnl,
            diag.rlut,
            diag.rlds,
            diag.rlus,
        )
        sunlight(
            x.phalf,
            x.ps,
            x.albs,
            self._insolation,
            p.tau_sw,
            flux.rns,
            diag.rsdt,
            diag.rsut,
            diag.rsds,
            diag.rsus,
        )
