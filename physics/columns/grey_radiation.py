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
from physics.columns.lanes import LANES, load, load_flat, store, store_flat, upward
from physics.elementary import exp, expm1


@njit(inline=True)
def optical_depth(sigma: float, tau_0: float, linear: float) -> float:
    """tau [1] at ``sigma = p/ps``."""
    s2 = sigma * sigma
    return tau_0 * (linear * sigma + (1.0 - linear) * s2 * s2)


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
    work: Array,
    half: Array,
    lane: Array,
    up: Array,
    rnl: Array,
    rlut: Array,
    rlds: Array,
    rlus: Array,
) -> None:
    """Fills the net upward longwave flux `rnl` [W m-2], shape [interface, column], and its ends.

    `work` [2, level, lane], `half` [2, interface, lane] and `lane` [4, lane] are scratch.
    """
    nlev, ncol = ta.shape
    lanes = work.shape[2]
    passed, emitted = work[0], work[1]
    p, entering = half[0], half[1]
    tau_0, per_ps, tau_above, beam = lane[0], lane[1], lane[2], lane[3]
    for start in range(0, ncol, lanes):
        load(ta, start, emitted)
        load(phalf, start, p)
        load_flat(lat, start, tau_0)
        load_flat(ps, start, per_ps)
        for j in range(lanes):
            s = math.sin(math.radians(tau_0[j]))
            tau_0[j] = tau_equator + (tau_pole - tau_equator) * s * s
        for j in range(lanes):
            per_ps[j] = 1.0 / per_ps[j]
            entering[0, j], beam[j] = 0.0, 0.0
            tau_above[j] = optical_depth(p[0, j] * per_ps[j], tau_0[j], linear)
        for k in range(nlev):
            for j in range(lanes):
                tau = optical_depth(p[k + 1, j] * per_ps[j], tau_0[j], linear)
                emissivity = -expm1(tau_above[j] - tau)
                tau_above[j] = tau
                t2 = emitted[k, j] * emitted[k, j]
                passed[k, j] = 1.0 - emissivity
                emitted[k, j] = emissivity * sigma_b * t2 * t2
                beam[j] = beam[j] * passed[k, j] + emitted[k, j]
                entering[k + 1, j] = beam[j]
        store_flat(beam, start, rlds)
        load_flat(ts, start, beam)
        for j in range(lanes):
            ts2 = beam[j] * beam[j]
            beam[j] = sigma_b * ts2 * ts2
            entering[nlev, j] = beam[j] - entering[nlev, j]
        store_flat(beam, start, rlus)
        for k in up:
            for j in range(lanes):
                beam[j] = beam[j] * passed[k, j] + emitted[k, j]
                entering[k, j] = beam[j] - entering[k, j]
        store_flat(beam, start, rlut)
        store(entering, start, rnl)


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
            sigma = np.float64(phalf[k, c]) / ps[c]
            passed = exp(-tau_sw * sigma * sigma) if k > 0 else 1.0
            rns[k, c] = albs[c] * (insolation[c] * ground) - insolation[c] * passed


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
    fills = True
    diagnostics = gives("rsdt rsut rlut rsds rsus rlds rlus")

    def setup(self, host: Host) -> None:
        self._insolation = np.zeros(host.ncol)
        self._work = np.zeros((2, host.nlev, LANES))
        self._half = np.zeros((2, host.nlev + 1, LANES))
        self._lane = np.zeros((4, LANES))
        self._up = upward(host.nlev)

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
            self._work,
            self._half,
            self._lane,
            self._up,
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
