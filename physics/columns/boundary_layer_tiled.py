r"""Surface fluxes to each type of surface of a cell, and vertical mixing, solved together.

Types k of fractions f_k meet the same lowest layer, each with its own temperature T_k, wetness
beta_k and roughness, hence its own exchange by Monin-Obukhov similarity. The lowest layer feels

.. math::
   G = \sum_k f_k G_k, \qquad x_s = \frac{1}{G} \sum_k f_k G_k x_k, \qquad G_k = \rho C_k U_k

and is stepped backward in time with the whole column, as in `boundary_layer`; then

.. math:: F_k = G_k (x_k - x_1^+), \qquad \sum_k f_k F_k = G (x_s - x_1^+)

so that what the types get is what the column gives, to round-off. Each type has gusts of its own:
convection over open water between ice floes, a stable layer over the ice beside it.

Roughness: open water by its waves (`monin_obukhov`); ice and snow 1 mm and 0.5 mm, bare land as in
`boundary_layer`; heat's is a tenth of momentum's. Sources: see `monin_obukhov`; Andreas et al.
(2010), doi:10.1002/qj.618, for ice; Brock et al. (2006), doi:10.3189/172756506781828746, for snow.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from coupler.interface.component import Array, Arrays, Host, Now, gives, reads
from coupler.interface.fields import TILES
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns.implicit_mixing import (
    BLDEP,
    COLUMN_INPUTS,
    SURFACE_OUTPUTS,
    ImplicitMixing,
    MixingParameters,
)
from physics.columns.jit import njit
from physics.columns.lanes import LANES, load, load_flat
from physics.columns.mixing import mix_block, prepare
from physics.columns.monin_obukhov import similarity
from physics.columns.surface_layer import louis, richardson
from physics.columns.thermo import saturation
from physics.columns.tiles import EMPTY, listed, stack

_OF_TILE = ("drag", "exchange", "evaporates", "static", "humidity")


@njit()
def mix_tiles(
    ua: Array,
    va: Array,
    ta: Array,
    hus: Array,
    pfull: Array,
    phalf: Array,
    zg: Array,
    zghalf: Array,
    ps: Array,
    fraction: Array,
    ts: Array,
    wetness: Array,
    dt: float,
    gravity: float,
    cp: float,
    rd: float,
    rv: float,
    latent: float,
    gustiness: float,
    critical: float,
    settings: Array,
    by_similarity: bool,
    profile: bool,
    dissipation: bool,
    work: Array,
    half: Array,
    lane: Array,
    tile: Array,
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
    of_tile: Array,
) -> None:
    """Fills tendencies, surface fluxes, and `of_tile` [flux, tile, column]: H, E and both stresses.

    `fraction`, `ts` [K] and `wetness` are [tile, column], `settings` [tile, setting] as
    `similarity` takes them; `tile` [5, tile, lane], `work`, `half`, `lane` are scratch.
    """
    nlev, ncol = ta.shape
    last, lanes, types = nlev - 1, work.shape[2], fraction.shape[0]
    vf = rv / rd - 1.0
    u, v, t, q, s, sv, z = work[0], work[1], work[2], work[3], work[4], work[5], work[6]
    mass, p = work[7], work[13]
    zhalf, ph = half[0], half[1]
    surface_p, ground, zero, drag, exchange = lane[0], lane[4], lane[5], lane[6], lane[7]
    qs, evaporates, s_surface, cp_tv = lane[8], lane[9], lane[10], lane[11]
    u_star, buoyancy, depth_h, c_m, c_h = lane[12], lane[13], lane[14], lane[16], lane[17]
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
        for j in range(lanes):
            ground[j], zero[j], depth_h[j] = zhalf[nlev, j], 0.0, 0.0
        prepare(ground, t, q, ph, dt, gravity, cp, vf, z, zhalf, s, sv, mass)
        for j in range(lanes):
            column = min(start + j, ncol - 1)
            cp_tv[j] = cp * (t[last, j] * (1.0 + vf * q[last, j]))
            density = p[last, j] * cp / (rd * cp_tv[j])
            speed2 = u[last, j] * u[last, j] + v[last, j] * v[last, j]
            drag[j], exchange[j], evaporates[j], buoyancy[j] = 0.0, 0.0, 0.0, 0.0
            dry, moist = 0.0, 0.0
            for k in range(types):
                share = fraction[k, column]
                if share <= 0.0:
                    for i in range(5):
                        tile[i, k, j] = 0.0
                    continue
                wet_q, _ = saturation(ts[k, column], surface_p[j], latent, rd, rv)
                wet = wetness[k, column] if wet_q > q[last, j] else 1.0  # dew is not throttled
                static = cp * ts[k, column]
                excess = wet * (wet_q - q[last, j])
                sv_ground = static * (1.0 + vf * (q[last, j] + excess))
                lighter = gravity * (sv[last, j] - sv_ground) / cp_tv[j]
                gust2 = gustiness * gustiness
                if by_similarity:
                    own = (
                        settings[k, 1],
                        settings[k, 2],
                        settings[k, 3],
                        settings[k, 4],
                        settings[k, 5],
                        settings[k, 6],
                    )
                    c_d, c_e, gust2 = similarity(
                        z[last, j], speed2, lighter, settings[k, 0], gravity, gustiness, own, 1.0e-3
                    )
                else:
                    ri = richardson(z[last, j], speed2 + gust2, lighter)
                    c_d, c_e = louis(z[last, j], math.exp(settings[k, 1]), ri)
                wind = math.sqrt(speed2 + gust2)
                g = density * c_e * wind
                tile[0, k, j] = density * c_d * wind
                tile[1, k, j] = g
                tile[2, k, j] = wet * g
                tile[3, k, j] = static
                tile[4, k, j] = wet_q
                drag[j] += share * tile[0, k, j]
                exchange[j] += share * g
                evaporates[j] += share * wet * g
                dry += share * g * static
                moist += share * wet * g * wet_q
                warm = (static - s[last, j]) / cp_tv[j]
                buoyancy[j] += share * gravity * c_e * wind * (warm + vf * excess)
            s_surface[j] = dry / exchange[j]
            qs[j] = moist / evaporates[j] if evaporates[j] > 0.0 else q[last, j]
            u_star[j] = math.sqrt(drag[j] / density * math.sqrt(speed2 + gustiness * gustiness))
            c_m[j] = drag[j] / density * z[last, j]
            c_h[j] = exchange[j] / density * z[last, j]
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
        # lane 18 holds the column's H; the humidity after the step follows from its evaporation
        for j in range(min(lanes, ncol - start)):
            column = start + j
            s_new = s_surface[j] - lane[18, j] / exchange[j]
            q_new = q[last, j] + work[12, last, j] * dt
            for k in range(types):
                of_tile[0, k, column] = tile[1, k, j] * (tile[3, k, j] - s_new)
                of_tile[1, k, column] = tile[2, k, j] * (tile[4, k, j] - q_new)
                of_tile[2, k, column] = tile[0, k, j] * (u[last, j] + work[10, last, j] * dt)
                of_tile[3, k, column] = tile[0, k, j] * (v[last, j] + work[11, last, j] * dt)


class TiledParameters(MixingParameters):
    """Roughness by type, gusts, and the mixing of `bulk_diffusion`."""

    exchange: Literal["louis", "monin_obukhov"] = "monin_obukhov"
    """Surface exchange coefficients. `louis` is several times cheaper; open water then has
    `roughness_sea`, heat the roughness of momentum, and gusts are `gustiness` alone."""
    roughness_ice: Annotated[float, Unit("m"), Field(gt=0, lt=1)] = 1.0e-3
    """Of sea ice, z_0m [m]."""
    roughness_snow: Annotated[float, Unit("m"), Field(gt=0, lt=10)] = 5.0e-4
    """Of land under snow, z_0m [m]."""


@scheme("boundary_layer", "tiled")
class TiledDiffusion(ImplicitMixing):
    """Surface fluxes of each type of surface in a cell, with implicit vertical diffusion."""

    Parameters = TiledParameters
    inputs = reads(
        f"{COLUMN_INPUTS} sft_ocean sft_land sft_snow {listed('ts')} wetness_land",
        optional="sft_ice",
    )
    diagnostics = gives(
        f"{SURFACE_OUTPUTS} {listed('hfss')} {listed('evspsbl')} {listed('tauu')} {listed('tauv')}",
        bldep=BLDEP,
    )

    def setup(self, host: Host) -> None:
        super().setup(host)
        p, types, ncol = self.p, len(TILES), host.ncol
        self._tile = np.zeros((len(_OF_TILE), types, LANES))
        self._fraction, self._ts = np.zeros((types, ncol)), np.zeros((types, ncol))
        self._wetness = np.ones((types, ncol))
        self._of_tile = np.zeros((4, types, ncol))
        dry = {"ice": p.roughness_ice, "land": p.roughness_land, "snow": p.roughness_snow}
        self._settings = np.zeros((types, 7))
        for row, name in zip(self._settings, TILES, strict=True):
            settings = self.similarity_settings(dry.get(name, p.roughness_sea))
            row[:] = (float(name in dry), *settings)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        p, f = self.p, self._fraction
        f[0], f[2], f[3] = x.sft_ocean, x.sft_land, x.sft_snow
        f[1] = x.sft_ice if "sft_ice" in x else 0.0
        f[f < EMPTY] = 0.0
        self._wetness[2] = x.wetness_land
        mix_tiles(
            *self.column(x),
            f,
            stack(x, "ts", self._ts),
            self._wetness,
            now.dt,
            *self._constants,
            self._settings,
            p.exchange == "monin_obukhov",
            p.mixing == "k_profile",
            p.dissipation,
            self._work,
            self._half,
            self._lane,
            self._tile,
            self._up,
            *self.results(tend, diag),
            self._of_tile,
        )
        for rows, name in zip(self._of_tile, ("hfss", "evspsbl", "tauu", "tauv"), strict=True):
            for row, kind in zip(rows, TILES, strict=True):
                getattr(diag, f"{name}_{kind}")[...] = row
