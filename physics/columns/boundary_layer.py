r"""Surface fluxes and vertical mixing, both backward in time and solved together.

.. math::
   \frac{\partial x}{\partial t} = \frac{1}{\rho} \frac{\partial}{\partial z}
   \left(\rho K \frac{\partial x}{\partial z}\right), \qquad x = u, v, s, q

with s = c_p T + g z dry static energy [J kg-1] at fixed heights, so that mixing s keeps the
column's enthalpy; K from `diffusivity`, surface exchange coefficients from `surface_layer`, the
surface flux implicit in the lowest layer. The fluxes reported are those of the implicit solution:
what the column gains is what they say, to round-off. Friction at the surface and inside the air
turns kinetic energy into heat (``dissipation``): each layer gets half of K rho |dv|^2/dz of its
interfaces, the lowest one also tau . v, and the loss of the backward step, which together are
exactly the column's loss of kinetic energy.

Condensing water (dew, q_1 > q_s(T_s)) is not throttled by beta: a dry surface takes dew.
Heights come with the state and are those of its hydrostatic balance before this step.

Units: u, v [m s-1], q [1], T [K], z [m], K [m2 s-1], stress [Pa], heat [W m-2], evaporation
[kg m-2 s-1]. Sources: see `surface_layer`, `diffusivity`, `tridiagonal`.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

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
from physics.columns.diffusivity import k_profile, pressure_profile
from physics.columns.jit import njit
from physics.columns.surface_layer import louis, reed_jablonowski, richardson
from physics.columns.thermo import saturation
from physics.columns.tridiagonal import factor, solve

_ROWS = ("u", "v", "s", "q", "sv", "z", "mass", "beta", "pivot", "inc_u", "inc_v", "inc")


@njit()
def friction_heat(
    u: Array,
    v: Array,
    inc_u: Array,
    inc_v: Array,
    conduct: Array,
    mass: Array,
    drag: float,
    dt: float,
    heat: Array,
) -> None:
    """Adds the heat of dissipated kinetic energy [W m-2] to `heat`, shape [level]."""
    last = u.size - 1
    for k in range(last + 1):
        heat[k] += 0.5 * mass[k] / dt * (inc_u[k] * inc_u[k] + inc_v[k] * inc_v[k])
        if k > 0:
            du = u[k - 1] + inc_u[k - 1] - u[k] - inc_u[k]
            dv = v[k - 1] + inc_v[k - 1] - v[k] - inc_v[k]
            half = 0.5 * conduct[k] * (du * du + dv * dv)
            heat[k - 1] += half
            heat[k] += half
    lowest_u, lowest_v = u[last] + inc_u[last], v[last] + inc_v[last]
    heat[last] += drag * (lowest_u * lowest_u + lowest_v * lowest_v)


@njit()
def mix(
    ua: Array,
    va: Array,
    ta: Array,
    hus: Array,
    pfull: Array,
    phalf: Array,
    zg: Array,
    zghalf: Array,
    ps: Array,
    ts: Array,
    wetness: Array,
    log_roughness: Array,
    dt: float,
    gravity: float,
    cp: float,
    rd: float,
    rv: float,
    latent: float,
    gustiness: float,
    critical: float,
    by_roughness: bool,
    profile: bool,
    dissipation: bool,
    work: Array,
    half: Array,
    dua: Array,
    dva: Array,
    dta: Array,
    dhus: Array,
    tauu: Array,
    tauv: Array,
    hfss: Array,
    hfls: Array,
    evspsbl: Array,
    tas: Array,
    uas: Array,
    vas: Array,
    bldep: Array,
) -> None:
    """Fills tendencies [SI s-1] and surface diagnostics; `work`, `half` are scratch."""
    nlev, ncol = ta.shape
    last = nlev - 1
    vf = rv / rd - 1.0
    u, v, s, q, sv, z = work[0], work[1], work[2], work[3], work[4], work[5]
    mass, beta, pivot = work[6], work[7], work[8]
    inc_u, inc_v, inc = work[9], work[10], work[11]
    zhalf, ph, k_m, k_h = half[0], half[1], half[2], half[3]
    for c in range(ncol):  # np.float64, not float: numba's float() leaves float32 what it is
        ground = np.float64(zghalf[nlev, c])
        for k in range(nlev):
            u[k], v[k], q[k] = ua[k, c], va[k, c], hus[k, c]
            z[k] = zg[k, c] - ground
            t = np.float64(ta[k, c])
            s[k] = cp * t + gravity * z[k]
            sv[k] = cp * t * (1.0 + vf * q[k]) + gravity * z[k]
            zhalf[k] = zghalf[k, c] - ground
            ph[k] = phalf[k, c]
            mass[k] = (np.float64(phalf[k + 1, c]) - np.float64(phalf[k, c])) / gravity
        ph[nlev] = phalf[nlev, c]
        # surface layer, with the old state
        t_surface = np.float64(ts[c])
        tv = np.float64(ta[last, c]) * (1.0 + vf * q[last])
        density = pfull[last, c] / (rd * tv)
        qs, _ = saturation(t_surface, np.float64(ps[c]), latent, rd, rv)
        beta_e = np.float64(wetness[c]) if qs > q[last] else 1.0
        speed2 = u[last] * u[last] + v[last] * v[last]
        wind = math.sqrt(speed2 + gustiness * gustiness)
        if by_roughness:
            q_ground = q[last] + beta_e * (qs - q[last])
            sv_ground = cp * t_surface * (1.0 + vf * q_ground)
            buoyancy = gravity * (sv[last] - sv_ground) / (cp * tv)
            ri = richardson(z[last], wind * wind, buoyancy)
            c_d, c_h = louis(z[last], math.exp(log_roughness[c]), ri)
        else:
            c_d, c_h = reed_jablonowski(math.sqrt(speed2))
        drag = density * c_d * wind
        exchange = density * c_h * wind
        s_surface = cp * t_surface
        # mixing inside the air
        depth = 0.0
        if profile:
            u_star = math.sqrt(c_d) * wind
            warm = (s_surface - s[last]) / (cp * tv)
            moist = vf * beta_e * (qs - q[last])
            b = gravity * c_h * wind * (warm + moist)
            depth = k_profile(z, zhalf, u, v, sv, gravity, cp * tv, u_star, b, critical, k_h)
            for k in range(1, nlev):
                k_m[k] = k_h[k]
        else:
            pressure_profile(ph, c_h * wind * z[last], k_h)
            pressure_profile(ph, c_d * wind * z[last], k_m)
        for k in range(1, nlev):  # K becomes a conductance rho K/dz, rho dz = dp/g
            dz = z[k - 1] - z[k]
            per = (np.float64(pfull[k, c]) - np.float64(pfull[k - 1, c])) / (gravity * dz * dz)
            k_m[k] *= per
            k_h[k] *= per
        # momentum
        factor(mass, k_m, dt, beta, pivot)
        tauu[c] = -solve(u, k_m, beta, pivot, drag, 0.0, inc_u)
        tauv[c] = -solve(v, k_m, beta, pivot, drag, 0.0, inc_v)
        # heat and water
        if not profile:
            factor(mass, k_h, dt, beta, pivot)
        sensible = solve(s, k_h, beta, pivot, exchange, s_surface, inc)
        for k in range(nlev):
            s[k] = inc[k] * mass[k] / dt  # from here on: heat [W m-2]
        evaporation = solve(q, k_h, beta, pivot, beta_e * exchange, qs, inc)
        if dissipation:
            friction_heat(u, v, inc_u, inc_v, k_m, mass, drag, dt, s)
        for k in range(nlev):
            dua[k, c] = inc_u[k] / dt
            dva[k, c] = inc_v[k] / dt
            dta[k, c] = s[k] / (mass[k] * cp)
            dhus[k, c] = inc[k] / dt
        hfss[c] = sensible
        evspsbl[c] = evaporation
        hfls[c] = latent * evaporation
        uas[c] = u[last] + inc_u[last]
        vas[c] = v[last] + inc_v[last]
        tas[c] = ta[last, c] + s[last] * dt / (mass[last] * cp)
        bldep[c] = depth


@scheme("boundary_layer", "bulk_diffusion")
class BulkDiffusion(Tendency):
    """Bulk surface fluxes and implicit vertical diffusion of momentum, heat and water."""

    class Parameters(Params):
        """Choices of formula and their constants."""

        exchange: Literal["louis", "reed_jablonowski"] = "louis"
        """Surface exchange coefficients."""
        mixing: Literal["k_profile", "reed_jablonowski"] = "k_profile"
        """Diffusivity in the air."""
        roughness_sea: Annotated[float, Unit("m"), Field(gt=0, lt=1)] = 3.21e-5
        """Roughness length over sea (Frierson et al. 2006) [m]."""
        roughness_land: Annotated[float, Unit("m"), Field(gt=0, lt=10)] = 0.1
        """Roughness length over land: low crops to scattered trees [m]. Where both share a cell,
        the mean of the logarithms is used."""
        gustiness: Annotated[float, Unit("m s-1"), Field(gt=0, lt=20)] = 1.0
        """u_g, wind that exchange never falls below [m s-1]."""
        critical_richardson: Annotated[float, Unit("1"), Field(gt=0, le=2)] = 0.3
        """Ri_c at the top of the boundary layer (Vogelezang and Holtslag 1996) [1]."""
        dissipation: bool = True
        """Whether dissipated kinetic energy warms the air."""

    inputs = reads(
        "ua va ta hus pfull phalf zg zghalf ps ts",
        optional="wetness sftlf",
    )
    tendencies = tendencies_of("ua va ta hus")
    diagnostics = gives(
        "tauu tauv hfss hfls evspsbl tas uas vas",
        bldep=Entry(
            name="bldep",
            standard_name="atmosphere_boundary_layer_thickness",
            long_name="Boundary Layer Depth",
            units="m",
            dims=COLUMN,
        ),
    )
    conserves: ClassVar[tuple[Conserves, ...]] = (
        Conserves(quantity="momentum"),
        Conserves(quantity="energy"),
        Conserves(quantity="water"),
    )

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        if not self.p.dissipation:
            kept = tuple(c for c in type(self).conserves if c.quantity != "energy")
            self.conserves = kept  # type: ignore[misc]

    def setup(self, host: Host) -> None:
        self._planet = host.planet
        self._work = np.zeros((len(_ROWS), host.nlev))
        self._half = np.zeros((4, host.nlev + 1))
        self._wet = np.ones(host.ncol, host.dtype)
        self._log_roughness = np.full(host.ncol, math.log(self.p.roughness_sea))

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        p, planet = self.p, self._planet
        if "sftlf" in x:
            sea, land = math.log(p.roughness_sea), math.log(p.roughness_land)
            np.multiply(x.sftlf, land - sea, out=self._log_roughness, dtype=np.float64)
            self._log_roughness += sea
        mix(
            x.ua,
            x.va,
            x.ta,
            x.hus,
            x.pfull,
            x.phalf,
            x.zg,
            x.zghalf,
            x.ps,
            x.ts,
            x.wetness if "wetness" in x else self._wet,
            self._log_roughness,
            now.dt,
            planet.gravity,
            planet.cp_dry,
            planet.gas_constant_dry,
            planet.gas_constant_vapour,
            planet.latent_heat_vaporization,
            p.gustiness,
            p.critical_richardson,
            p.exchange == "louis",
            p.mixing == "k_profile",
            p.dissipation,
            self._work,
            self._half,
            tend.ua,
            tend.va,
            tend.ta,
            tend.hus,
            diag.tauu,
            diag.tauv,
            diag.hfss,
            diag.hfls,
            diag.evspsbl,
            diag.tas,
            diag.uas,
            diag.vas,
            diag.bldep,
        )
