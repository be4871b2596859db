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
    q: Array,
    dp: Array,
    dta: Array,
    dhus: Array,
    prl: Array,
    filled: Array,
) -> None:
    """Fills tendencies [K s-1, s-1] and the column fluxes [kg m-2 s-1]; `q`, `dp` are scratch."""
    nlev, ncol = ta.shape
    per_kelvin = latent / cp
    for c in range(ncol):
        negative = False
        for k in range(nlev):
            q[k] = hus[k, c]
            dp[k] = np.float64(phalf[k + 1, c]) - np.float64(phalf[k, c])
            negative = negative or q[k] < 0.0
        filled[c] = 0.0
        if negative:
            filled[c] = fill_negative(q, dp) / (gravity * dt)
        rain = 0.0  # times g [Pa]
        for k in range(nlev):
            t = np.float64(ta[k, c])
            p = np.float64(pfull[k, c])
            qs, slope = saturation(t, p, latent, rd, rv)
            change = 0.0
            if q[k] > qs:
                change = (qs - q[k]) / (1.0 + per_kelvin * slope)
                for _ in range(iterations - 1):
                    qs, slope = saturation(t - per_kelvin * change, p, latent, rd, rv)
                    change += (qs - q[k] - change) / (1.0 + per_kelvin * slope)
                change = min(change, 0.0)
            elif rain > 0.0 and share > 0.0:
                room = share * (qs - q[k]) / (1.0 + per_kelvin * slope)
                change = min(room, rain / dp[k])
            rain -= change * dp[k]
            dta[k, c] = -per_kelvin * change / dt
            dhus[k, c] = (change + (q[k] - hus[k, c])) / dt
        prl[c] = max(rain, 0.0) / (gravity * dt)


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
        self._q = np.zeros(host.nlev)
        self._dp = np.zeros(host.nlev)

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
            self._q,
            self._dp,
            tend.ta,
            tend.hus,
            diag.prl,
            diag.husfill,
        )
