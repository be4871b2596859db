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
from typing import Literal

import numpy as np

from coupler.interface.component import Array, Arrays, Host, Now, gives, reads
from coupler.interface.registry import scheme
from physics.columns.implicit_mixing import (
    BLDEP,
    COLUMN_INPUTS,
    SURFACE_OUTPUTS,
    ImplicitMixing,
    MixingParameters,
)
from physics.columns.jit import njit
from physics.columns.lanes import load, load_flat
from physics.columns.mixing import mix_block, prepare
from physics.columns.monin_obukhov import similarity
from physics.columns.surface_layer import louis, reed_jablonowski, richardson
from physics.columns.thermo import saturation
from physics.elementary import exp


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
    mass, p = work[7], work[13]
    zhalf, ph = half[0], half[1]
    surface_p, surface_t, wet, roughness = lane[0], lane[1], lane[2], lane[3]
    ground, zero, drag, exchange = lane[4], lane[5], lane[6], lane[7]
    qs, evaporates, s_surface, cp_tv = lane[8], lane[9], lane[10], lane[11]
    u_star, buoyancy, depth_h = lane[12], lane[13], lane[14]
    c_m, c_h, speed2 = lane[16], lane[17], lane[20]
    gust2, land = lane[24], lane[25]
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
        mix_block(
            start,
            dt,
            gravity,
            cp,
            latent,
            critical,
            profile,
            dissipation,
            work,
            half,
            lane,
            up,
            dua,
            dva,
            dta,
            dhus,
            tauu,
            tauv,
            hfss,
            hfls,
            evspsbl,
            tas,
            uas,
            vas,
            bldep,
        )


class BulkParameters(MixingParameters):
    """Choices of formula and their constants."""

    exchange: Literal["louis", "monin_obukhov", "reed_jablonowski"] = "louis"
    """Surface exchange coefficients. Where land and sea share a cell, the mean of the logarithms of
    their roughness is used."""


@scheme("boundary_layer", "bulk_diffusion")
class BulkDiffusion(ImplicitMixing):
    """Bulk surface fluxes and implicit vertical diffusion of momentum, heat and water."""

    Parameters = BulkParameters
    inputs = reads(f"{COLUMN_INPUTS} ts", optional="wetness sftlf")
    diagnostics = gives(SURFACE_OUTPUTS, bldep=BLDEP)

    def setup(self, host: Host) -> None:
        super().setup(host)
        self._wet = np.ones(host.ncol, host.dtype)
        self._log_roughness = np.full(host.ncol, math.log(self.p.roughness_sea))
        self._sea = np.zeros(host.ncol, host.dtype)
        self._settings = self.similarity_settings(self.p.roughness_land)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        p = self.p
        if "sftlf" in x:
            sea, land = math.log(p.roughness_sea), math.log(p.roughness_land)
            np.multiply(x.sftlf, land - sea, out=self._log_roughness, dtype=np.float64)
            self._log_roughness += sea
        mix(
            *self.column(x),
            x.ts,
            x.wetness if "wetness" in x else self._wet,
            self._log_roughness,
            x.sftlf if "sftlf" in x else self._sea,
            now.dt,
            *self._constants,
            p.exchange == "louis",
            p.exchange == "monin_obukhov",
            self._settings,
            p.mixing == "k_profile",
            p.dissipation,
            self._work,
            self._half,
            self._lane,
            self._up,
            *self.results(tend, diag),
        )
