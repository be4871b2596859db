r"""Grey radiation: one longwave band, optical depth fixed in space, and a beam of sunlight.

.. math::
   \frac{dU}{d\tau} &= U - \sigma T^4, \qquad \frac{dD}{d\tau} = \sigma T^4 - D,
   \qquad U_s = \sigma T_s^4, \quad D_{top} = 0 \\
   \tau &= \tau_0(\phi)\left[f_l \frac{p}{p_s} + (1 - f_l)\left(\frac{p}{p_s}\right)^4\right],
   \qquad \tau_0 = \tau_e + (\tau_p - \tau_e)\sin^2\phi

U, D up- and downward fluxes [W m-2], T [K], tau [1]; no diffusivity factor, it is in tau. Layers
are isothermal, so that each one is integrated exactly: it passes exp(-dtau) of what enters it and
emits (1 - exp(-dtau)) sigma T^4 to either side. Sunlight is that of
`sunlight`, and of `ozone` where there is some. By default the air absorbs none of it, and with the
albedo 0.31 of the slab surface the net insolation is that of the source, 938.4/4 = 234.6 W m-2 in
the global mean.

Sources: Frierson, Held and Zurita-Gotor (2006), J. Atmos. Sci. 63, 2548-2566,
doi:10.1175/JAS3753.1.
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
    Tendency,
    flux_of,
    gives,
    reads,
)
from coupler.interface.constants import STEFAN_BOLTZMANN
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns.jit import njit
from physics.columns.lanes import LANES, load, load_flat, store, store_flat, upward
from physics.columns.sun import Sun, SunParams
from physics.elementary import expm1


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


@scheme("radiation", "grey")
class GreyRadiation(Tendency):
    """Two-stream grey longwave, sunlight with optional absorption, seasons and hours."""

    class Parameters(SunParams):
        """Defaults are those of Frierson et al. (2006)."""

        tau_equator: Annotated[float, Unit("1"), Field(ge=0)] = 6.0
        """Longwave optical depth at the equator [1]."""
        tau_pole: Annotated[float, Unit("1"), Field(ge=0)] = 1.5
        """Longwave optical depth at the poles [1]."""
        linear_fraction: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.1
        """f_l, share of the optical depth that is linear in pressure [1]."""
        tau_sw: Annotated[float, Unit("1"), Field(ge=0)] = 0.0
        """Optical depth of the air for sunlight [1]."""
        ozone: Annotated[float, Unit("cm"), Field(ge=0, le=2)] = 0.0
        """Ozone of a column as a layer at standard conditions; 0.3 cm are 300 Dobson units, 0 is
        none [cm]."""

    inputs = reads("ta phalf ps ts albs lat", optional="lon")
    fluxes = (flux_of("ta", "rnl"), flux_of("ta", "rns"))
    fills = True
    diagnostics = gives("rsdt rsut rlut rsds rsus rlds rlus")

    def setup(self, host: Host) -> None:
        self._sun = Sun(self.p, host.ncol)
        self._work = np.zeros((2, host.nlev, LANES))
        self._half = np.zeros((2, host.nlev + 1, LANES))
        self._lane = np.zeros((4, LANES))
        self._up = upward(host.nlev)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        p = self.p
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
        self._sun.absorb(x, now, p.tau_sw, p.ozone, flux, diag)
