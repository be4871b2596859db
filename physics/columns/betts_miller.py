r"""Simplified Betts-Miller convection.

A parcel of the lowest layer is lifted dry to its condensation level and along the pseudo-adiabat
above it, to its level of zero buoyancy. Between the ground and there,

.. math::
   \partial_t T = -\frac{T - T_{ref}}{\tau_c}, \qquad
   \partial_t q = -\frac{q - q_{ref}}{\tau_c}, \qquad
   q_{ref} = RH\, q_s(T_p)

with T_ref the parcel's temperature T_p. With the rates of rain implied by drying and by warming,
P_q and P_T [kg m-2 s-1],

- both positive (deep): T_ref is shifted by a constant so that c_p T + L q of the column is kept;
- P_T > 0 but P_q <= 0 (shallow): the top is lowered until drying and moistening cancel, the last
  layer counting in part, and T_ref is shifted so that no heat is made; no rain;
- P_T <= 0: nothing happens.

Relaxation is backward in time: 1/tau_c becomes 1/(tau_c + dt). T [K], q [1], tau_c [s].

Lifting uses, with r = q_s of the parcel,

.. math:: \frac{dT}{d\ln p} = \frac{R_d T + L r}{c_p + L^2 r \varepsilon/(R_d T^2)}

by the midpoint rule between layers, and the condensation level of Bolton (1980).

Sources: Frierson (2007), J. Atmos. Sci. 64, 1959-1976, doi:10.1175/JAS3935.1 (the "shallower"
variant for shallow convection); Bolton (1980),
doi:10.1175/1520-0493(1980)108<1046:TCOEPT>2.0.CO;2, equation 22.
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
    gives,
    reads,
    tendencies_of,
)
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns.jit import njit
from physics.columns.thermo import saturation


@njit()
def lapse(t: float, p: float, cp: float, latent: float, rd: float, rv: float) -> float:
    """dT/dln p along the pseudo-adiabat [K]."""
    r, _ = saturation(t, p, latent, rd, rv)
    return (rd * t + latent * r) / (cp + latent * latent * r / (rv * t * t))


@njit()
def lift(
    t: Array,
    q: Array,
    p: Array,
    cp: float,
    latent: float,
    rd: float,
    rv: float,
    parcel: Array,
) -> int:
    """Fills the lifted parcel's temperature [K]; returns the highest buoyant layer.

    Args:
        t: Temperature [K], shape [level].
        q: Specific humidity [1], shape [level].
        p: Pressure [Pa], shape [level].
        cp: Specific heat [J kg-1 K-1].
        latent: Latent heat [J kg-1].
        rd: Gas constant of dry air [J kg-1 K-1].
        rv: Gas constant of water vapour [J kg-1 K-1].
        parcel: Filled down from the level returned, shape [level].

    Returns:
        Index of the highest layer below the level of zero buoyancy; the number of layers when the
        parcel is nowhere buoyant above its condensation level.
    """
    n = t.size
    last = n - 1
    kappa = rd / cp
    qs, _ = saturation(t[last], p[last], latent, rd, rv)
    humidity = min(1.0, max(q[last], 0.0) / qs)
    parcel[last] = t[last]
    if humidity < 1.0e-3:
        return n
    warm = max(t[last], 100.0)
    t_lcl = 1.0 / (1.0 / (warm - 55.0) - math.log(humidity) / 2840.0) + 55.0
    p_lcl = p[last] * (min(t_lcl, warm) / warm) ** (1.0 / kappa)
    top = n
    now_t, now_p = t[last], p[last]
    for k in range(last - 1, -1, -1):
        if p[k] >= p_lcl:
            now_t = t[last] * (p[k] / p[last]) ** kappa
        else:
            if now_p > p_lcl:
                now_t, now_p = t[last] * (p_lcl / p[last]) ** kappa, p_lcl
            step = math.log(p[k] / now_p)
            middle = now_t + 0.5 * step * lapse(now_t, now_p, cp, latent, rd, rv)
            now_t += step * lapse(middle, math.sqrt(p[k] * now_p), cp, latent, rd, rv)
        now_p = p[k]
        parcel[k] = now_t
        if p[k] < p_lcl:
            if now_t > t[k]:
                top = k
            elif top < n:
                break
            elif p[k] < 0.5 * p[last]:
                break  # inhibited far above its condensation level
    return top


@njit()
def relax_columns(
    ta: Array,
    hus: Array,
    pfull: Array,
    phalf: Array,
    dt: float,
    tau: float,
    humidity: float,
    gravity: float,
    cp: float,
    latent: float,
    rd: float,
    rv: float,
    work: Array,
    dta: Array,
    dhus: Array,
    prc: Array,
) -> None:
    """Fills tendencies [K s-1, s-1] and rain `prc` [kg m-2 s-1]; `work` is scratch [7, level]."""
    nlev, ncol = ta.shape
    t, q, p, dp = work[0], work[1], work[2], work[3]
    parcel, drying, share = work[4], work[5], work[6]
    rate = 1.0 / (tau + dt)
    for c in range(ncol):
        prc[c] = 0.0
        for k in range(nlev):
            t[k], q[k], p[k] = ta[k, c], hus[k, c], pfull[k, c]
            dp[k] = np.float64(phalf[k + 1, c]) - np.float64(phalf[k, c])
        top = lift(t, q, p, cp, latent, rd, rv, parcel)
        if top >= nlev:
            continue
        wet, warm, mass = 0.0, 0.0, 0.0
        for k in range(top, nlev):
            qs, _ = saturation(parcel[k], p[k], latent, rd, rv)
            drying[k] = q[k] - humidity * qs
            share[k] = 1.0
            wet += drying[k] * dp[k]
            warm += cp / latent * (parcel[k] - t[k]) * dp[k]
            mass += dp[k]
        if warm <= 0.0:
            continue
        if wet <= 0.0:  # shallow: count layers from below while they dry, on balance
            # Not above `top`, where nothing was computed: round-off may keep the sum from below at
            # or above zero up to there although the one from above was not.
            total = 0.0
            highest = top
            for k in range(nlev - 1, highest - 1, -1):
                following = total + drying[k] * dp[k]
                if following < 0.0:
                    share[k] = -total / (drying[k] * dp[k])
                    top = k
                    break
                total = following
            if share[top] <= 0.0:
                top += 1
            if top >= nlev:
                continue
            wet, warm, mass = 0.0, 0.0, 0.0
            for k in range(top, nlev):
                warm += cp / latent * share[k] * (parcel[k] - t[k]) * dp[k]
                mass += share[k] * dp[k]
        shift = latent / cp * (wet - warm) / mass
        for k in range(top, nlev):
            dta[k, c] = share[k] * (parcel[k] + shift - t[k]) * rate
            dhus[k, c] = -share[k] * drying[k] * rate
        prc[c] = wet * rate / gravity


@scheme("convection", "betts_miller")
class SimplifiedBettsMiller(Tendency):
    """Relaxation to a moist adiabat and a fixed relative humidity, enthalpy kept."""

    class Parameters(Params):
        """Defaults are those of Frierson (2007) as used in later grey aquaplanets."""

        tau: Annotated[float, Unit("s"), Field(gt=0)] = 7200.0
        """Relaxation time [s]."""
        relative_humidity: Annotated[float, Unit("1"), Field(gt=0, le=1)] = 0.7
        """RH of the reference profile [1]."""

    inputs = reads("ta hus pfull phalf")
    tendencies = tendencies_of("ta hus")
    diagnostics = gives("prc")
    conserves = (Conserves(quantity="energy"), Conserves(quantity="water"))

    def setup(self, host: Host) -> None:
        self._planet = host.planet
        self._work = np.zeros((7, host.nlev))

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        planet = self._planet
        relax_columns(
            x.ta,
            x.hus,
            x.pfull,
            x.phalf,
            now.dt,
            self.p.tau,
            self.p.relative_humidity,
            planet.gravity,
            planet.cp_dry,
            planet.latent_heat_vaporization,
            planet.gas_constant_dry,
            planet.gas_constant_vapour,
            self._work,
            tend.ta,
            tend.hus,
            diag.prc,
        )
