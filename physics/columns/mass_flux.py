r"""A compact mass-flux convection scheme with a trigger and a memory.

*Trigger.* Air of the lowest 50 hPa is lifted with its mean properties (`mass_flux_plume`).
Convection starts where this costs at most N_max and yields at least A_min:

.. math:: N = \int_{source}^{base} g \frac{T_v - T_{v,u}}{T_v}\, dz < N_{max}, \qquad
          A = \int_{base}^{top} g \frac{T_{v,u} - T_v}{T_v}\, dz > A_{min}

*Closure.* The mass flux at the base M_b [kg m-2 s-1] would use up A in the time tau,

.. math:: M_b = \frac{A}{-\tau\, dA/dM}, \qquad
          M_b \le \frac{1}{\tau_l} \min_k \frac{m_k}{\eta_k + D_k},

with dA/dM from a second ascent through the column as a small mass exchange leaves it; the limit
keeps what is exchanged within a layer's own mass m_k.

*Memory.* A column that was triggered convects for the time tau_l: its rates of heating and drying
per area [W m-2, kg m-2 s-1] are held and divided by the layers' present masses, so that they
keep c_p T + L q of the column and take as much water as it rains, whatever the surface pressure
does meanwhile. They are all reduced together where they would take more vapour than a layer has,
and convection ends there. Then the column is tried again. What is remembered is the time that is
left, not a date: a run that branches off, whose clock begins anew, goes on with it.

There are no downdraughts, rain does not evaporate, momentum is not carried.

Sources: Tiedtke (1989), Mon. Wea. Rev. 117, 1779-1800,
doi:10.1175/1520-0493(1989)117<1779:ACMFSF>2.0.CO;2, for the bulk updraught, eps = 1e-4 m-1 and rain
of 2e-3 m-1 from 1500 m above the base; Zhang and McFarlane (1995), Atmos.-Ocean 33, 407-446,
doi:10.1080/07055900.1995.9649539, for the closure, tau = 2 h and A_min = 70 J kg-1; Kain (2004),
J. Appl. Meteor. 43, 170-181, doi:10.1175/1520-0450(2004)043<0170:TKCPAU>2.0.CO;2, for source layers
and rates held through a lifetime of 30 minutes or more; Mapes (2000), J. Atmos. Sci. 57,
1515-1535, doi:10.1175/1520-0469(2000)057<1515:CISSCA>2.0.CO;2, for a limit of inhibition.
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
from physics.columns.mass_flux_plume import FIELDS, ascend, carry

NEVER = 1.0e9
"""An inhibition that is no limit [J kg-1]."""
TRIAL = 0.05
"""Share of a layer that the small exchange moves, for the derivative of A [1]."""


@njit()
def begin(
    work: Array,
    source: int,
    settings: tuple[float, float, float, float, float, float, float],
    span: float,
    gravity: float,
    cp: float,
    latent: float,
    rd: float,
    rv: float,
) -> tuple[float, float]:
    """Tries one column; returns M_b [kg m-2 s-1], 0 where there is no cloud, and rain per M_b [1].

    ``work[0:6]`` holds t q p z mass [level] and zhalf [interface]; heating and moistening per M_b
    are left in ``work[11:13]``. `span` [s] is how long the rates will be held.
    """
    entrainment, conversion, rainless, most, least, tau, _ = settings
    n = work.shape[1] - 1
    t, q, p, z, mass = work[0, :n], work[1, :n], work[2, :n], work[3, :n], work[4, :n]
    zhalf, h_u, q_u, rain = work[5], work[6, :n], work[7, :n], work[8, :n]
    buoyant, eta, heat, water = work[9, :n], work[10], work[11, :n], work[12, :n]
    top, available, inhibition = ascend(
        t, q, p, z, zhalf, mass, source, entrainment, conversion, rainless, most,
        gravity, cp, latent, rd, rv, h_u, q_u, rain, buoyant,
    )  # fmt: skip
    if not (top < n and available > least and inhibition <= most):
        return 0.0, 0.0
    fallen, fastest = carry(
        t, q, p, z, zhalf, mass, source, top, entrainment,
        gravity, cp, latent, h_u, q_u, rain, buoyant, eta, heat, water,
    )  # fmt: skip
    trial = TRIAL / fastest
    later_t, later_q = work[13, :n], work[14, :n]
    for k in range(n):
        later_t[k] = t[k] + trial * heat[k] / (cp * mass[k])
        later_q[k] = q[k] + trial * water[k] / mass[k]
    _, left, _ = ascend(
        later_t, later_q, p, z, zhalf, mass, source, entrainment, conversion, rainless, NEVER,
        gravity, cp, latent, rd, rv, h_u, q_u, rain, buoyant,
    )  # fmt: skip
    most_flux = 1.0 / (fastest * span)
    used = (available - left) / trial
    return (min(available / (tau * used), most_flux) if used > 0.0 else most_flux), fallen


@njit()
def convect(
    ta: Array,
    hus: Array,
    pfull: Array,
    phalf: Array,
    zg: Array,
    zghalf: Array,
    elapsed: float,
    dt: float,
    settings: tuple[float, float, float, float, float, float, float],
    source_depth: float,
    gravity: float,
    cp: float,
    latent: float,
    rd: float,
    rv: float,
    work: Array,
    left: Array,
    heat: Array,
    water: Array,
    rain: Array,
    base: Array,
    dta: Array,
    dhus: Array,
    prc: Array,
    mcb: Array,
    cntime: Array,
) -> None:
    """Fills tendencies [K s-1, s-1] and diagnostics; `left` to `base` are the memory.

    `elapsed` [s] is the time since the call before, `left` [s] that for which rates are still held.
    """
    nlev, ncol = ta.shape
    lifetime = settings[6]
    t, q, p, z, mass, zhalf = work[0], work[1], work[2], work[3], work[4], work[5]
    for c in range(ncol):
        prc[c], mcb[c], cntime[c] = 0.0, 0.0, 0.0
        for k in range(nlev):
            dta[k, c], dhus[k, c] = 0.0, 0.0
            mass[k] = (np.float64(phalf[k + 1, c]) - np.float64(phalf[k, c])) / gravity
        left[c] -= elapsed
        if left[c] <= 1.0e-3:  # what was held has had its time
            source = nlev - 1
            for k in range(nlev):
                t[k], q[k], p[k], z[k] = ta[k, c], hus[k, c], pfull[k, c], zg[k, c]
                zhalf[k] = zghalf[k, c]
            zhalf[nlev] = zghalf[nlev, c]
            ground = np.float64(phalf[nlev, c])
            while source > 1 and p[source - 1] >= ground - source_depth:
                source -= 1
            flux, fallen = begin(
                work, source, settings, max(lifetime, dt), gravity, cp, latent, rd, rv
            )
            left[c] = lifetime if flux > 0.0 else 0.0
            base[c], rain[c] = flux, flux * fallen
            for k in range(nlev):
                heat[k, c] = flux * work[11, k] if flux > 0.0 else 0.0
                water[k, c] = flux * work[12, k] if flux > 0.0 else 0.0
        if not base[c] > 0.0:
            continue
        share = 1.0
        for k in range(nlev):
            taken, there = -water[k, c] * dt, max(np.float64(hus[k, c]), 0.0) * mass[k]
            if taken > there:
                share = min(share, there / taken)
        if share < 1.0:
            left[c] = 0.0
        for k in range(nlev):
            dta[k, c] = share * heat[k, c] / (cp * mass[k])
            dhus[k, c] = share * water[k, c] / mass[k]
        prc[c], mcb[c] = share * rain[c], share * base[c]
        cntime[c] = left[c]


@scheme("convection", "mass_flux")
class MassFlux(Tendency):
    """One bulk updraught per column, started by a trigger, held through its lifetime."""

    class Parameters(Params):
        """Defaults are those of the sources named above."""

        entrainment: Annotated[float, Unit("m-1"), Field(ge=0, le=1e-2)] = 1.0e-4
        """eps, share of the updraught that it takes in [m-1]."""
        conversion: Annotated[float, Unit("m-1"), Field(ge=0, le=1)] = 2.0e-3
        """c_0, share of the condensate that becomes rain [m-1]."""
        rainless: Annotated[float, Unit("m"), Field(ge=0)] = 1500.0
        """Height above its base from which on a cloud rains [m]."""
        inhibition: Annotated[float, Unit("J kg-1"), Field(ge=0)] = 40.0
        """N_max, energy that the air of the source layers can pay to rise to its cloud: that of
        eddies 1 K warmer than the mean of a cell, through 1200 m [J kg-1]."""
        threshold: Annotated[float, Unit("J kg-1"), Field(ge=0)] = 70.0
        """A_min, work of buoyancy below which nothing starts [J kg-1]."""
        tau: Annotated[float, Unit("s"), Field(gt=0)] = 7200.0
        """Time in which convection would use up its work [s]."""
        lifetime: Annotated[float, Unit("s"), Field(ge=0)] = 1800.0
        """tau_l, time for which a column convects once triggered [s]; at least one call."""
        source_depth: Annotated[float, Unit("Pa"), Field(gt=0)] = 5000.0
        """Depth of the layers that feed the updraught, at least the lowest [Pa]."""

    inputs = reads("ta hus pfull phalf zg zghalf")
    tendencies = tendencies_of("ta hus")
    fills = True
    diagnostics = gives(
        "prc",
        mcb=Entry(
            name="mcb",
            standard_name=None,
            long_name="Convective Mass Flux at Cloud Base",
            units="kg m-2 s-1",
            dims=COLUMN,
        ),
        cntime=Entry(
            name="cntime",
            standard_name=None,
            long_name="Time for which Convection Goes on",
            units="s",
            dims=COLUMN,
        ),
    )
    conserves = (Conserves(quantity="energy"), Conserves(quantity="water"))

    def setup(self, host: Host) -> None:
        p, shape = self.p, (host.nlev, host.ncol)
        self._planet = host.planet
        self._work = np.zeros((FIELDS, host.nlev + 1))
        self._left = np.zeros(host.ncol)
        self._calls = np.array([np.nan, 0.0])
        """Time of the last call since the start, and from the one before to it [s]."""
        self._heat, self._water = np.zeros(shape), np.zeros(shape)
        self._rain, self._base = np.zeros(host.ncol), np.zeros(host.ncol)
        self._settings = (
            p.entrainment,
            p.conversion,
            p.rainless,
            p.inhibition,
            p.threshold,
            p.tau,
            p.lifetime,
        )

    def memory(self) -> dict[str, Array]:
        return {
            "left": self._left,
            "calls": self._calls,
            "heat": self._heat,
            "water": self._water,
            "rain": self._rain,
            "base": self._base,
        }

    def _elapsed(self, now: Now) -> float:
        """Time since the last call [s]; where the clock was put back, that between calls."""
        last, between = self._calls.tolist()
        if np.isnan(last):
            elapsed = 0.0
        elif now.seconds >= last:
            elapsed = now.seconds - last
        else:
            elapsed = between or now.dt
        self._calls[:] = now.seconds, elapsed
        return elapsed

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        planet = self._planet
        convect(
            x.ta,
            x.hus,
            x.pfull,
            x.phalf,
            x.zg,
            x.zghalf,
            self._elapsed(now),
            now.dt,
            self._settings,
            self.p.source_depth,
            planet.gravity,
            planet.cp_dry,
            planet.latent_heat_vaporization,
            planet.gas_constant_dry,
            planet.gas_constant_vapour,
            self._work,
            self._left,
            self._heat,
            self._water,
            self._rain,
            self._base,
            tend.ta,
            tend.hus,
            diag.prc,
            diag.mcb,
            diag.cntime,
        )
