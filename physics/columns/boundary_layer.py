r"""Surface fluxes and vertical mixing, both backward in time and solved together.

.. math::
   \frac{\partial x}{\partial t} = \frac{1}{\rho} \frac{\partial}{\partial z}
   \left(\rho K \frac{\partial x}{\partial z}\right), \qquad x = u, v, s, q

with s = c_p T + g z dry static energy [J kg-1] at fixed heights, so that mixing s keeps the
column's enthalpy; K from `diffusivity`, surface exchange coefficients from `surface_layer` or
`monin_obukhov`, the surface flux implicit in the lowest layer. The fluxes reported are those of
the implicit solution: what the column gains is what they say, to round-off. Friction at the surface
and inside the air turns kinetic energy into heat (``dissipation``): each layer gets half of
K rho |dv|^2/dz of its interfaces, the lowest one also tau . v, and the loss of the backward step,
which together are exactly the column's loss of kinetic energy.

Condensing water (dew, q_1 > q_s(T_s)) is not throttled by beta: a dry surface takes dew.
Heights come with the state and are those of its hydrostatic balance before this step.

Units: u, v [m s-1], q [1], T [K], z [m], K [m2 s-1], stress [Pa], heat [W m-2], evaporation
[kg m-2 s-1]. Sources: see `surface_layer`, `monin_obukhov`, `diffusivity`, `tridiagonal`.
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
from physics.columns.diffusivity import depth, k_profile, pressure_profile
from physics.columns.jit import njit
from physics.columns.lanes import LANES, load, load_flat, store, store_flat, upward
from physics.columns.monin_obukhov import similarity
from physics.columns.surface_layer import louis, reed_jablonowski, richardson
from physics.columns.thermo import saturation
from physics.columns.tridiagonal import factor, solve
from physics.elementary import exp

_FULL = ("u", "v", "t", "q", "s", "sv", "z", "mass", "beta", "pivot", "inc_u", "inc_v", "inc", "p")
_HALF = ("zhalf", "phalf", "k_m", "k_h")
_FLAT = 26


@njit()
def friction_heat(
    u: Array,
    v: Array,
    inc_u: Array,
    inc_v: Array,
    conduct: Array,
    mass_rate: Array,
    drag: Array,
    up: Array,
    carried: Array,
    heat: Array,
) -> None:
    """Adds the heat of dissipated kinetic energy [W m-2] to `heat`, shape [level, lane]."""
    last, lanes = u.shape[0] - 1, u.shape[1]
    from_above, below_u, below_v = carried[0], carried[1], carried[2]
    for j in range(lanes):
        below_u[j], below_v[j] = u[last, j] + inc_u[last, j], v[last, j] + inc_v[last, j]
        square = below_u[j] * below_u[j] + below_v[j] * below_v[j]
        from_above[j] = drag[j] * square  # the surface's, below the lowest layer
    for k in up:
        for j in range(lanes):
            new_u, new_v = below_u[j], below_v[j]
            half = 0.0
            if k > 0:
                un, vn = u[k - 1, j] + inc_u[k - 1, j], v[k - 1, j] + inc_v[k - 1, j]
                du, dv = un - new_u, vn - new_v
                half = 0.5 * conduct[k, j] * (du * du + dv * dv)
                below_u[j], below_v[j] = un, vn
            square = inc_u[k, j] * inc_u[k, j] + inc_v[k, j] * inc_v[k, j]
            heat[k, j] += half + from_above[j] + 0.5 * mass_rate[k, j] * square
            from_above[j] = half


@njit()
def prepare(
    ground: Array,
    t: Array,
    q: Array,
    phalf: Array,
    dt: float,
    gravity: float,
    cp: float,
    vf: float,
    z: Array,
    zhalf: Array,
    s: Array,
    sv: Array,
    mass_rate: Array,
) -> None:
    """Heights above `ground` [lane], static energies and layer masses over dt, [level, lane]."""
    lanes = t.shape[1]
    for k in range(t.shape[0]):
        for j in range(lanes):
            z[k, j] -= ground[j]
            zhalf[k, j] -= ground[j]
            mass_rate[k, j] = (phalf[k + 1, j] - phalf[k, j]) * (1.0 / (gravity * dt))
        for j in range(lanes):
            potential = gravity * z[k, j]
            s[k, j] = cp * t[k, j] + potential
            sv[k, j] = cp * t[k, j] * (1.0 + vf * q[k, j]) + potential


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
    sftlf: Array,
    dt: float,
    gravity: float,
    cp: float,
    rd: float,
    rv: float,
    latent: float,
    gustiness: float,
    critical: float,
    by_roughness: bool,
    by_similarity: bool,
    settings: tuple[float, float, float, float, float, float],
    profile: bool,
    dissipation: bool,
    work: Array,
    half: Array,
    lane: Array,
    up: Array,
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
    """Fills tendencies [SI s-1] and surface diagnostics; `work`, `half`, `lane` are scratch."""
    nlev, ncol = ta.shape
    last, lanes = nlev - 1, work.shape[2]
    vf = rv / rd - 1.0
    u, v, t, q, s, sv, z = work[0], work[1], work[2], work[3], work[4], work[5], work[6]
    mass, beta, pivot = work[7], work[8], work[9]
    inc_u, inc_v, inc, p = work[10], work[11], work[12], work[13]
    zhalf, ph, k_m, k_h = half[0], half[1], half[2], half[3]
    surface_p, surface_t, wet, roughness = lane[0], lane[1], lane[2], lane[3]
    ground, zero, drag, exchange = lane[4], lane[5], lane[6], lane[7]
    qs, evaporates, s_surface, cp_tv = lane[8], lane[9], lane[10], lane[11]
    u_star, buoyancy, depth_h, spare = lane[12], lane[13], lane[14], lane[15]
    c_m, c_h, flux, other, speed2 = lane[16], lane[17], lane[18], lane[19], lane[20]
    carried, gust2, land = lane[21:24], lane[24], lane[25]
    per_dt = 1.0 / dt
    for start in range(0, ncol, lanes):
        load(ua, start, u)
        load(va, start, v)
        load(ta, start, t)
        load(hus, start, q)
        load(pfull, start, p)
        load(phalf, start, ph)
        load(zg, start, z)
        load(zghalf, start, zhalf)
        load_flat(ps, start, surface_p)
        load_flat(ts, start, surface_t)
        load_flat(wetness, start, wet)
        load_flat(log_roughness, start, roughness)
        load_flat(sftlf, start, land)
        for j in range(lanes):
            ground[j], zero[j], depth_h[j] = zhalf[nlev, j], 0.0, 0.0
        prepare(ground, t, q, ph, dt, gravity, cp, vf, z, zhalf, s, sv, mass)
        # surface layer, with the old state
        for j in range(lanes):
            qs[j], _ = saturation(surface_t[j], surface_p[j], latent, rd, rv)
            roughness[j] = exp(roughness[j])
            cp_tv[j] = cp * (t[last, j] * (1.0 + vf * q[last, j]))
        for j in range(lanes):
            beta_e = wet[j]  # dew is not throttled
            wet[j] = beta_e if qs[j] > q[last, j] else 1.0
            speed2[j] = u[last, j] * u[last, j] + v[last, j] * v[last, j]
            s_surface[j] = cp * surface_t[j]
            gust2[j] = gustiness * gustiness
        for j in range(lanes):
            wind2 = speed2[j] + gust2[j]
            if by_roughness:
                q_ground = q[last, j] + wet[j] * (qs[j] - q[last, j])
                sv_ground = s_surface[j] * (1.0 + vf * q_ground)
                lighter = gravity * (sv[last, j] - sv_ground) / cp_tv[j]
                ri = richardson(z[last, j], wind2, lighter)
                c_m[j], c_h[j] = louis(z[last, j], roughness[j], ri)
            else:
                c_m[j], c_h[j] = reed_jablonowski(math.sqrt(speed2[j]))
        if by_similarity:
            for j in range(lanes):
                q_ground = q[last, j] + wet[j] * (qs[j] - q[last, j])
                sv_ground = s_surface[j] * (1.0 + vf * q_ground)
                lighter = gravity * (sv[last, j] - sv_ground) / cp_tv[j]
                c_m[j], c_h[j], gust2[j] = similarity(
                    z[last, j], speed2[j], lighter, land[j], gravity, gustiness, settings
                )
        for j in range(lanes):
            wind = math.sqrt(speed2[j] + gust2[j])
            density = p[last, j] * cp / (rd * cp_tv[j])
            u_star[j] = math.sqrt(c_m[j]) * wind
            warm = (s_surface[j] - s[last, j]) / cp_tv[j]
            moist = vf * wet[j] * (qs[j] - q[last, j])
            c_m[j] *= wind
            c_h[j] *= wind
            buoyancy[j] = gravity * c_h[j] * (warm + moist)
            drag[j] = density * c_m[j]
            exchange[j] = density * c_h[j]
        for j in range(lanes):
            evaporates[j] = wet[j] * exchange[j]
            c_m[j] *= z[last, j]
            c_h[j] *= z[last, j]
        # mixing inside the air
        if profile:
            depth(z, u, v, sv, gravity, cp_tv, u_star, critical, up, spare, other, depth_h)
            k_profile(
                z, zhalf, u, v, sv, gravity, cp_tv, u_star, buoyancy, depth_h, spare, other, k_h
            )
            for k in range(1, nlev):
                for j in range(lanes):
                    k_m[k, j] = k_h[k, j]
        else:
            pressure_profile(ph, c_h, k_h)
            pressure_profile(ph, c_m, k_m)
        for k in range(1, nlev):  # K becomes a conductance rho K/dz, rho dz = dp/g
            for j in range(lanes):
                dz = z[k - 1, j] - z[k, j]
                per = (p[k, j] - p[k - 1, j]) / (gravity * dz * dz)
                k_m[k, j] *= per
                k_h[k, j] *= per
        # momentum
        factor(mass, k_m, beta, pivot, flux)
        solve(u, k_m, beta, pivot, drag, zero, up, carried, inc_u, flux)
        solve(v, k_m, beta, pivot, drag, zero, up, carried, inc_v, other)
        for j in range(lanes):
            flux[j], other[j] = -flux[j], -other[j]
            c_m[j] = u[last, j] + inc_u[last, j]
            c_h[j] = v[last, j] + inc_v[last, j]
        store_flat(flux, start, tauu)
        store_flat(other, start, tauv)
        store_flat(c_m, start, uas)
        store_flat(c_h, start, vas)
        store_flat(depth_h, start, bldep)
        # heat and water
        if not profile:
            factor(mass, k_h, beta, pivot, flux)
        solve(s, k_h, beta, pivot, exchange, s_surface, up, carried, inc, flux)
        for k in range(nlev):
            for j in range(lanes):
                s[k, j] = inc[k, j] * mass[k, j]  # from here on: heat [W m-2]
        solve(q, k_h, beta, pivot, evaporates, qs, up, carried, inc, other)
        if dissipation:
            friction_heat(u, v, inc_u, inc_v, k_m, mass, drag, up, carried, s)
        for k in range(nlev):
            for j in range(lanes):
                inc_u[k, j] *= per_dt
                inc_v[k, j] *= per_dt
                inc[k, j] *= per_dt
                s[k, j] /= mass[k, j] * (cp * dt)
        store(inc_u, start, dua)
        store(inc_v, start, dva)
        store(s, start, dta)
        store(inc, start, dhus)
        store_flat(flux, start, hfss)
        store_flat(other, start, evspsbl)
        for j in range(lanes):
            other[j] *= latent
            t[last, j] += s[last, j] * dt
        store_flat(other, start, hfls)
        store_flat(t[last], start, tas)


@scheme("boundary_layer", "bulk_diffusion")
class BulkDiffusion(Tendency):
    """Bulk surface fluxes and implicit vertical diffusion of momentum, heat and water."""

    class Parameters(Params):
        """Choices of formula and their constants."""

        exchange: Literal["louis", "monin_obukhov", "reed_jablonowski"] = "louis"
        """Surface exchange coefficients."""
        mixing: Literal["k_profile", "reed_jablonowski"] = "k_profile"
        """Diffusivity in the air."""
        roughness_sea: Annotated[float, Unit("m"), Field(gt=0, lt=1)] = 3.21e-5
        """Roughness length over sea (Frierson et al. 2006), with `louis` or without `waves` [m]."""
        roughness_land: Annotated[float, Unit("m"), Field(gt=0, lt=10)] = 0.1
        """Roughness length over land: low crops to scattered trees [m]. Where both share a cell,
        the mean of the logarithms is used."""
        waves: bool = True
        """With `monin_obukhov`: roughness over sea follows the wind (Fairall et al. 2003)."""
        roughness_ratio: Annotated[float, Unit("1"), Field(ge=1, le=1e6)] = 10.0
        """With `monin_obukhov`: of momentum's roughness to that of heat over land [1]."""
        gust_factor: Annotated[float, Unit("1"), Field(ge=0, le=5)] = 1.2
        """beta, of convective gusts to w_*, with `monin_obukhov` [1]."""
        gust_depth: Annotated[float, Unit("m"), Field(gt=0, le=5000)] = 1000.0
        """z_i, depth of the convection that makes them [m]."""
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
    fills = True
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
        self._work = np.zeros((len(_FULL), host.nlev, LANES))
        self._half = np.zeros((len(_HALF), host.nlev + 1, LANES))
        self._lane = np.zeros((_FLAT, LANES))
        self._up = upward(host.nlev)
        self._wet = np.ones(host.ncol, host.dtype)
        p = self.p
        self._log_roughness = np.full(host.ncol, math.log(p.roughness_sea))
        self._sea = np.zeros(host.ncol, host.dtype)
        log_land, waves = math.log(p.roughness_land), float(p.waves)
        heat = log_land - math.log(p.roughness_ratio)
        still = math.log(p.roughness_sea)
        self._settings = (log_land, heat, still, waves, p.gust_factor, p.gust_depth)

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
            x.sftlf if "sftlf" in x else self._sea,
            now.dt,
            planet.gravity,
            planet.cp_dry,
            planet.gas_constant_dry,
            planet.gas_constant_vapour,
            planet.latent_heat_vaporization,
            p.gustiness,
            p.critical_richardson,
            p.exchange == "louis",
            p.exchange == "monin_obukhov",
            self._settings,
            p.mixing == "k_profile",
            p.dissipation,
            self._work,
            self._half,
            self._lane,
            self._up,
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
