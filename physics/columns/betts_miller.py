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
from physics.columns.lanes import LANES, load, store, store_flat, upward
from physics.columns.thermo import saturation
from physics.elementary import exp, log


@njit(inline=True)
def lapse(t: float, p: float, cp: float, latent: float, rd: float, rv: float) -> float:
    """dT/dln p along the pseudo-adiabat [K]."""
    r, _ = saturation(t, p, latent, rd, rv)
    rv_t2 = rv * t * t
    return (rd * t + latent * r) * rv_t2 / (cp * rv_t2 + latent * latent * r)


@njit()
def lift(
    t: Array,
    q: Array,
    p: Array,
    cp: float,
    latent: float,
    rd: float,
    rv: float,
    up: Array,
    lane: Array,
    parcel: Array,
    top: Array,
) -> None:
    """Fills the temperature of lifted parcels [K] and their highest buoyant layers.

    Args:
        t: Temperature [K], shape [level, lane].
        q: Specific humidity [1], shape [level, lane].
        p: Pressure [Pa], shape [level, lane].
        cp: Specific heat [J kg-1 K-1].
        latent: Latent heat [J kg-1].
        rd: Gas constant of dry air [J kg-1 K-1].
        rv: Gas constant of water vapour [J kg-1 K-1].
        up: Levels from the lowest to the highest, see `lanes.upward`.
        lane: Scratch, shape [8, lane].
        parcel: Filled down from the level in `top`, shape [level, lane].
        top: Filled: index of the highest layer below the level of zero buoyancy, the number of
            layers where the parcel is nowhere buoyant above its condensation level, shape [lane].
    """
    n, lanes = t.shape
    last = n - 1
    kappa = rd / cp
    log_ground, log_lcl, p_lcl, t_lcl = lane[0], lane[1], lane[2], lane[3]
    log_below, log_here, rising, now_t = lane[4], lane[5], lane[6], lane[7]
    for j in range(lanes):
        qs, _ = saturation(t[last, j], p[last, j], latent, rd, rv)
        humidity = min(1.0, max(q[last, j], 0.0) / qs)
        rising[j] = 1.0 if humidity >= 1.0e-3 else 0.0
        warm = max(t[last, j], 100.0)
        level = 1.0 / (1.0 / (warm - 55.0) - log(max(humidity, 1.0e-3)) / 2840.0) + 55.0
        fall = log(min(level, warm) / warm)
        log_ground[j] = log(p[last, j])
        log_lcl[j] = log_ground[j] + fall / kappa
        p_lcl[j] = exp(log_lcl[j])
        t_lcl[j] = t[last, j] * exp(fall)
    for j in range(lanes):
        log_below[j] = log_ground[j]
        parcel[last, j], now_t[j] = t[last, j], t[last, j]
        top[j] = n
    for i in range(1, n):
        k = up[i]
        dry, wet = 0, 0
        for j in range(lanes):
            log_here[j] = log(p[k, j])
            wet += 1 if rising[j] > 0.0 and log_here[j] < log_lcl[j] else 0
            dry += 1 if rising[j] > 0.0 and log_here[j] >= log_lcl[j] else 0
        if dry + wet == 0:
            break
        if dry > 0:
            for j in range(lanes):
                parcel[k, j] = t[last, j] * exp(kappa * (log_here[j] - log_ground[j]))
        else:
            for j in range(lanes):
                parcel[k, j] = now_t[j]
        if wet > 0:
            for j in range(lanes):
                # Loads first, choices after: a load under a condition keeps the loop scalar.
                t_below, p_below, p_start, t_start = now_t[j], p[k + 1, j], p_lcl[j], t_lcl[j]
                here, start, below = log_here[j], log_lcl[j], log_below[j]
                crossing = below > start  # condensation began in this step
                from_t = t_start if crossing else t_below
                from_p = p_start if crossing else p_below
                step = here - (start if crossing else below)
                middle = from_t + 0.5 * step * lapse(from_t, from_p, cp, latent, rd, rv)
                halfway = math.sqrt(p[k, j] * from_p)
                lifted = from_t + step * lapse(middle, halfway, cp, latent, rd, rv)
                dry_t, t_air, highest, goes_on = parcel[k, j], t[k, j], top[j], rising[j]
                above = here < start
                own = lifted if above else dry_t
                parcel[k, j] = own
                buoyant = own > t_air
                # ends above its buoyant layers, or inhibited far above its condensation level
                far = p[k, j] < 0.5 * p[last, j]
                top[j] = k if above and buoyant and goes_on > 0.0 else highest
                ends = above and not buoyant and (highest < n or far)
                rising[j] = 0.0 if ends else goes_on
        for j in range(lanes):
            log_below[j], now_t[j] = log_here[j], parcel[k, j]


@njit()
def shallow_top(drying: Array, dp: Array, top: int, share: Array) -> int:
    """Highest layer of shallow convection in one column; its layer counts by ``share`` [level].

    Layers are counted from below while they dry, on balance; not above `top`, where nothing was
    computed: round-off may keep the sum from below at or above zero up to there although the one
    from above was not.
    """
    n = drying.size
    total = 0.0
    highest = top
    for k in range(n - 1, highest - 1, -1):
        following = total + drying[k] * dp[k]
        if following < 0.0:
            share[k] = -total / (drying[k] * dp[k])
            top = k
            break
        total = following
    return top + 1 if share[top] <= 0.0 else top


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
    half: Array,
    lane: Array,
    up: Array,
    dta: Array,
    dhus: Array,
    prc: Array,
) -> None:
    """Fills tendencies [K s-1, s-1] and rain `prc` [kg m-2 s-1].

    `work` [7, level, lane], `half` [interface, lane] and `lane` [12, lane] are scratch.
    """
    nlev, ncol = ta.shape
    lanes = half.shape[1]
    t, q, p, dp = work[0], work[1], work[2], work[3]
    parcel, drying, share = work[4], work[5], work[6]
    wet, warm, mass, top = lane[8], lane[9], lane[10], lane[11]
    rate = 1.0 / (tau + dt)
    for start in range(0, ncol, lanes):
        load(ta, start, t)
        load(hus, start, q)
        load(pfull, start, p)
        load(phalf, start, half)
        lift(t, q, p, cp, latent, rd, rv, up, lane, parcel, top)
        highest = nlev
        for j in range(lanes):
            wet[j], warm[j], mass[j] = 0.0, 0.0, 0.0
            highest = min(highest, int(top[j]))
        for k in range(highest, nlev):
            for j in range(lanes):
                dp[k, j] = half[k + 1, j] - half[k, j]
                counts = 1.0 if k >= top[j] else 0.0
                share[k, j] = counts
                rising, air = parcel[k, j], t[k, j]
                lifted = rising if counts > 0.0 else air  # above its top it is not known
                qs, _ = saturation(lifted, p[k, j], latent, rd, rv)
                drying[k, j] = q[k, j] - humidity * qs
                counted = counts * dp[k, j]
                wet[j] += drying[k, j] * counted
                warm[j] += cp / latent * (lifted - air) * counted
                mass[j] += counted
        for j in range(lanes):
            if top[j] < nlev and (warm[j] <= 0.0 or wet[j] <= 0.0):
                first = nlev
                if warm[j] > 0.0:
                    first = shallow_top(drying[:, j], dp[:, j], int(top[j]), share[:, j])
                wet[j], warm[j], mass[j] = 0.0, 0.0, 0.0
                for k in range(highest, nlev):
                    if k < first:
                        share[k, j] = 0.0
                    counted = share[k, j] * dp[k, j]
                    warm[j] += cp / latent * counted * (parcel[k, j] - t[k, j])
                    mass[j] += counted
        for j in range(lanes):  # from here on: the shift of the reference temperature [K]
            warm[j] = latent / cp * (wet[j] - warm[j]) / max(mass[j], 1.0e-30)
        for k in range(highest):
            for j in range(lanes):
                t[k, j], q[k, j] = 0.0, 0.0
        for k in range(highest, nlev):
            for j in range(lanes):
                part, lifted, dries = share[k, j], parcel[k, j], drying[k, j]
                heating = part * (lifted + warm[j] - t[k, j]) * rate
                acts = part > 0.0  # elsewhere the parcel is not known
                t[k, j] = heating if acts else 0.0
                q[k, j] = -part * dries * rate if acts else 0.0
        for j in range(lanes):
            wet[j] *= rate / gravity
        store(t, start, dta)
        store(q, start, dhus)
        store_flat(wet, start, prc)


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
    fills = True
    diagnostics = gives("prc")
    conserves = (Conserves(quantity="energy"), Conserves(quantity="water"))

    def setup(self, host: Host) -> None:
        self._planet = host.planet
        self._work = np.zeros((7, host.nlev, LANES))
        self._half = np.zeros((host.nlev + 1, LANES))
        self._lane = np.zeros((12, LANES))
        self._up = upward(host.nlev)

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
            self._half,
            self._lane,
            self._up,
            tend.ta,
            tend.hus,
            diag.prc,
        )
