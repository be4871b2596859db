r"""Large-scale condensation: saturation adjustment, rain that falls at once, negative filling.

Where q > q_s(T), water condenses until the layer is just saturated at constant pressure and
constant enthalpy,

.. math:: q^+ = q_s(T^+), \qquad c_p (T^+ - T) = L (q - q^+),

found by Newton steps from (T, q); the first one is the usual one-step form
:math:`\delta q = (q_s - q)/(1 + (L/c_p)\, dq_s/dT)`. Condensate reaches the ground within the
step; on its way it may re-evaporate into the layers below up to a share of what would saturate
them (1 is the choice of the source, 0 none).

Before that, negative humidity (a product of spectral transport) is filled by borrowing from the
nearest layers of the column, those below first; the column's water stays as it was, and the mass
moved is reported. A column whose total is negative keeps the deficit in its lowest layer.

q [1], T [K], L [J kg-1], c_p [J kg-1 K-1].

Source: Frierson, Held and Zurita-Gotor (2006), doi:10.1175/JAS3753.1, section 2d.
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
    gives,
    reads,
    tendencies_of,
)
from coupler.interface.fields import COLUMN
from coupler.interface.fields import Field as Entry
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns.jit import njit
from physics.columns.lanes import LANES, load, store, store_flat
from physics.columns.thermo import saturation


@njit()
def fill_negative(q: Array, dp: Array) -> float:
    """Fills negative `q` of one column in place; returns the mass moved times g [Pa].

    Args:
        q: Specific humidity [1], shape [level].
        dp: Pressure thicknesses [Pa], shape [level].
    """
    n = q.size
    moved = 0.0
    owed = 0.0
    for k in range(n):
        moved += max(0.0, -q[k] * dp[k])
        content = q[k] * dp[k] - owed
        if content < 0.0:
            owed = -content
            q[k] = 0.0
        elif owed > 0.0:
            owed = 0.0
            q[k] = content / dp[k]
    if owed > 0.0:  # nothing is left below: the nearest layers above give
        for k in range(n - 2, -1, -1):
            taken = min(owed, q[k] * dp[k])
            q[k] -= taken / dp[k]
            owed -= taken
        q[n - 1] = -owed / dp[n - 1]
        moved -= owed
    return moved


@njit()
def adjusted(
    t: float,
    q: float,
    p: float,
    first: float,
    per_kelvin: float,
    latent: float,
    rd: float,
    rv: float,
    iterations: int,
) -> float:
    """Change of the humidity `q` [1] by condensation [1], from the `first` Newton step."""
    change = first
    for _ in range(iterations - 1):
        qs, slope = saturation(t - per_kelvin * change, p, latent, rd, rv)
        change += (qs - q - change) / (1.0 + per_kelvin * slope)
    return min(change, 0.0)


@njit()
def condense(
    ta: Array,
    hus: Array,
    pfull: Array,
    phalf: Array,
    dt: float,
    gravity: float,
    cp: float,
    latent: float,
    rd: float,
    rv: float,
    iterations: int,
    share: float,
    work: Array,
    half: Array,
    lane: Array,
    dta: Array,
    dhus: Array,
    prl: Array,
    filled: Array,
) -> None:
    """Fills tendencies [K s-1, s-1] and the column fluxes [kg m-2 s-1].

    `work` [6, level, lane], `half` [interface, lane] and `lane` [4, lane] are scratch.
    """
    nlev, ncol = ta.shape
    lanes = half.shape[1]
    per_kelvin, per_dt = latent / cp, 1.0 / dt
    t, p, q, old, dp, change = work[0], work[1], work[2], work[3], work[4], work[5]
    rain, moved, at_qs, per = lane[0], lane[1], lane[2], lane[3]
    for start in range(0, ncol, lanes):
        load(ta, start, t)
        load(pfull, start, p)
        load(hus, start, old)
        load(phalf, start, half)
        negative = 0
        for k in range(nlev):
            for j in range(lanes):
                q[k, j] = old[k, j]
                dp[k, j] = half[k + 1, j] - half[k, j]
                negative += 1 if old[k, j] < 0.0 else 0
        for j in range(lanes):
            rain[j], moved[j] = 0.0, 0.0  # times g [Pa]
            if negative > 0:
                moved[j] = fill_negative(q[:, j], dp[:, j])
        for k in range(nlev):
            wet = 0
            for j in range(lanes):
                at_qs[j], slope = saturation(t[k, j], p[k, j], latent, rd, rv)
                per[j] = 1.0 + per_kelvin * slope
                wet += 1 if q[k, j] > at_qs[j] else 0
            for j in range(lanes):
                room = share * (at_qs[j] - q[k, j]) / per[j]
                change[k, j] = min(max(room, 0.0), rain[j] / dp[k, j])
            if wet > 0:
                for j in range(lanes):
                    if q[k, j] > at_qs[j]:
                        first = (at_qs[j] - q[k, j]) / per[j]
                        change[k, j] = adjusted(
                            t[k, j], q[k, j], p[k, j], first, per_kelvin, latent, rd, rv, iterations
                        )
            for j in range(lanes):
                rain[j] = max(rain[j] - change[k, j] * dp[k, j], 0.0)
        for k in range(nlev):
            for j in range(lanes):
                t[k, j] = -per_kelvin * change[k, j] * per_dt
                old[k, j] = (change[k, j] + (q[k, j] - old[k, j])) * per_dt
        store(t, start, dta)
        store(old, start, dhus)
        for j in range(lanes):
            rain[j] *= per_dt / gravity
            moved[j] *= per_dt / gravity
        store_flat(rain, start, prl)
        store_flat(moved, start, filled)


@scheme("condensation", "large_scale")
class LargeScaleCondensation(Tendency):
    """Removes supersaturation, warms the air, and lets the water fall out."""

    class Parameters(Params):
        """Frierson et al. (2006) have `reevaporation` = 1 and one step."""

        iterations: Annotated[int, Field(ge=1, le=10)] = 3
        """Newton steps; the error of the third is below float32 round-off."""
        reevaporation: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.0
        """Share of the saturation deficit that falling rain may fill in each layer [1]."""

    inputs = reads("ta hus pfull phalf")
    tendencies = tendencies_of("ta hus")
    fills = True
    diagnostics = gives(
        "prl",
        husfill=Entry(
            name="husfill",
            standard_name=None,
            long_name="Water Vapour Moved to Fill Negative Specific Humidity",
            units="kg m-2 s-1",
            dims=COLUMN,
        ),
    )
    conserves = (Conserves(quantity="energy"), Conserves(quantity="water"))

    def setup(self, host: Host) -> None:
        self._planet = host.planet
        self._work = np.zeros((6, host.nlev, LANES))
        self._half = np.zeros((host.nlev + 1, LANES))
        self._lane = np.zeros((4, LANES))

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        planet = self._planet
        condense(
            x.ta,
            x.hus,
            x.pfull,
            x.phalf,
            now.dt,
            planet.gravity,
            planet.cp_dry,
            planet.latent_heat_vaporization,
            planet.gas_constant_dry,
            planet.gas_constant_vapour,
            self.p.iterations,
            self.p.reevaporation,
            self._work,
            self._half,
            self._lane,
            tend.ta,
            tend.hus,
            diag.prl,
            diag.husfill,
        )
