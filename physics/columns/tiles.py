r"""Types of surface that share a cell: what the air sees of them, and what each of them gets.

Open water, ice, bare land and land under snow cover the fractions f_k of a cell, with temperatures
T_k, albedos alpha_k. The air sees

.. math:: \bar\alpha = \sum_k f_k \alpha_k, \qquad \sigma T_s^4 = \sum_k f_k\, \sigma T_k^4

(`mosaic`, to stand before radiation), and each type takes its own net downward heat flux
(`balance`, to stand after the boundary layer)

.. math::
   F_k = S_\downarrow - \left[S_\uparrow + (\alpha_k - \bar\alpha) S_\downarrow\right]
         + L_\downarrow - \left[L_\uparrow + \sigma (T_k^4 - T_s^4)\right] - H_k - L_v E_k

The corrections in brackets sum to nothing over the cell, so that sum_k f_k F_k is what the air gave
also while radiation is held between its calls and the ground has moved on. F [W m-2], E [kg m-2
s-1]. Fluxes are per area of the type.
"""

from __future__ import annotations

import numpy as np

from coupler.interface.component import Array, Arrays, Diagnostic, Host, Now, gives, reads
from coupler.interface.constants import STEFAN_BOLTZMANN
from coupler.interface.errors import UnstableError
from coupler.interface.fields import TILES
from coupler.interface.registry import scheme

EMPTY = 1e-9
"""Fraction below which a type is not there."""


def listed(prefix: str) -> str:
    """Names of a field of all types: ``ts_ocean ts_ice ts_land ts_snow``."""
    return " ".join(f"{prefix}_{tile}" for tile in TILES)


def stack(x: Arrays, prefix: str, out: Array) -> Array:
    """The field of all types as [tile, column] in float64."""
    for row, tile in zip(out, TILES, strict=True):
        row[...] = getattr(x, f"{prefix}_{tile}")
    return out


@scheme("tiles", "mosaic")
class Mosaic(Diagnostic):
    """Fractions of the types of surface, and the surface as radiation sees it."""

    inputs = reads(
        f"sftof sft_land sft_snow {listed('ts')} {listed('albs')}",
        optional="sft_ice",
    )
    diagnostics = gives("sft_ocean ts albs")
    fills = True

    def setup(self, host: Host) -> None:
        self._grid = host.grid
        self._f = np.zeros((len(TILES), host.ncol))
        self._x = np.zeros((len(TILES), host.ncol))

    def compute(self, x: Arrays, diag: Arrays, now: Now) -> None:
        f = fractions(x, self._f)
        total = f.sum(axis=0)
        bad = ~(np.abs(total - 1.0) <= 1e-5)
        if bad.any():
            column = int(np.argmax(bad))
            raise UnstableError.of(
                "fractions of surface types do not add up",
                "sftof (of which sft_ice) + sft_land + sft_snow",
                expected="1 in every cell",
                found=f"{total[column]:.6g} at {self._grid.point(column)}, step {now.step}",
                remedy="look at the models that provide them",
            )
        diag.sft_ocean[...] = f[0]
        diag.albs[...] = (f * stack(x, "albs", self._x)).sum(axis=0)
        fourth = stack(x, "ts", self._x)
        fourth **= 4
        diag.ts[...] = (f * fourth).sum(axis=0) ** 0.25


def fractions(x: Arrays, out: Array) -> Array:
    """f_k, shape [tile, column]: the open water is what ice leaves of the sea."""
    ice = x.sft_ice if "sft_ice" in x else 0.0
    out[1], out[2], out[3] = ice, x.sft_land, x.sft_snow
    np.subtract(x.sftof, out[1], out=out[0], dtype=np.float64)
    out[out < EMPTY] = 0.0
    return out


@scheme("tile_balance", "net")
class TileBalance(Diagnostic):
    """Net downward heat flux into each type of surface."""

    inputs = reads(
        f"sft_ocean sft_land sft_snow {listed('ts')} {listed('albs')} {listed('hfss')} "
        f"{listed('evspsbl')} rsds rsus rlds rlus",
        optional="sft_ice",
    )
    diagnostics = gives(listed("hfds"))
    fills = True

    def setup(self, host: Host) -> None:
        self._latent = host.planet.latent_heat_vaporization
        shape = len(TILES), host.ncol
        self._f, self._net, self._x = np.zeros(shape), np.zeros(shape), np.zeros(shape)

    def compute(self, x: Arrays, diag: Arrays, now: Now) -> None:
        f, net = self._f, self._net
        f[0], f[2], f[3] = x.sft_ocean, x.sft_land, x.sft_snow
        f[1] = x.sft_ice if "sft_ice" in x else 0.0
        f[f < EMPTY] = 0.0
        albedo = stack(x, "albs", net)
        albedo -= (f * albedo).sum(axis=0)
        net *= -np.asarray(x.rsds, np.float64)
        fourth = stack(x, "ts", self._x)
        fourth **= 4
        fourth -= (f * fourth).sum(axis=0)
        fourth *= STEFAN_BOLTZMANN
        net -= fourth
        net += np.asarray(x.rsds, np.float64) - x.rsus
        net += np.asarray(x.rlds, np.float64) - x.rlus
        net -= stack(x, "hfss", self._x)
        evaporation = stack(x, "evspsbl", self._x)
        evaporation *= self._latent
        net -= evaporation
        for row, tile in zip(net, TILES, strict=True):
            getattr(diag, f"hfds_{tile}")[...] = row
