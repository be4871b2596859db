r"""Grey radiation: one longwave band, optical depth fixed in space, and a beam of sunlight.

.. math::
   \tau = \tau_0(\phi)\left[f_l \frac{p}{p_s} + (1 - f_l)\left(\frac{p}{p_s}\right)^4\right],
   \qquad \tau_0 = \tau_e + (\tau_p - \tau_e)\sin^2\phi

tau [1] optical depth; the equations of the fluxes are in `grey_layers`. Sunlight is that of
`sunlight`, and of `ozone` where there is some. By default the air absorbs none of it, and with the
albedo 0.31 of the slab surface the net insolation is that of the source, 938.4/4 = 234.6 W m-2 in
the global mean.

Sources: Frierson, Held and Zurita-Gotor (2006), J. Atmos. Sci. 63, 2548-2566,
doi:10.1175/JAS3753.1.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from coupler.interface.component import Array, Arrays, Now, reads
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns.grey_layers import GreyLayers, GreyParameters, beams
from physics.columns.jit import njit
from physics.columns.lanes import load, load_flat
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
    emissivity, temperature = work[0], work[1]
    p, entering = half[0], half[1]
    tau_0, per_ps, tau_above, beam = lane[0], lane[1], lane[2], lane[3]
    for start in range(0, ncol, lanes):
        load(ta, start, temperature)
        load(phalf, start, p)
        load_flat(lat, start, tau_0)
        load_flat(ps, start, per_ps)
        for j in range(lanes):
            s = math.sin(math.radians(tau_0[j]))
            tau_0[j] = tau_equator + (tau_pole - tau_equator) * s * s
        for j in range(lanes):
            per_ps[j] = 1.0 / per_ps[j]
            tau_above[j] = optical_depth(p[0, j] * per_ps[j], tau_0[j], linear)
        for k in range(nlev):
            for j in range(lanes):
                tau = optical_depth(p[k + 1, j] * per_ps[j], tau_0[j], linear)
                emissivity[k, j] = -expm1(tau_above[j] - tau)
                tau_above[j] = tau
        beams(start, emissivity, temperature, entering, beam, up, ts, rnl, rlut, rlds, rlus)


class FriersonParameters(GreyParameters):
    """Defaults are those of Frierson et al. (2006)."""

    tau_equator: Annotated[float, Unit("1"), Field(ge=0)] = 6.0
    """Longwave optical depth at the equator [1]."""
    tau_pole: Annotated[float, Unit("1"), Field(ge=0)] = 1.5
    """Longwave optical depth at the poles [1]."""
    linear_fraction: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.1
    """f_l, share of the optical depth that is linear in pressure [1]."""


@scheme("radiation", "grey")
class GreyRadiation(GreyLayers):
    """Two-stream grey longwave, sunlight with optional absorption, seasons and hours."""

    Parameters = FriersonParameters
    inputs = reads("ta phalf ps ts albs lat", optional="lon")

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        p = self.p
        two_stream(
            x.ta,
            x.phalf,
            x.ps,
            x.ts,
            x.lat,
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
        self.sunlight(x, flux, diag, now)
