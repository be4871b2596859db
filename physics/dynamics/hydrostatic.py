"""Pressure and height of every column, from surface pressure, temperature and humidity.

The formulas are those of `vertical`. On the CPU without gradients one compiled pass does it; the
expressions in torch are its reference, and a test holds it to them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coupler.interface.constants import Planet
from coupler.interface.jit import njit
from physics.dynamics.fused import fixed_log_ratio
from physics.dynamics.vertical import TOP_ALPHA, VerticalGrid
from physics.elementary import exp, log

Tensor = torch.Tensor
Array = NDArray[Any]


class Hydrostatic:
    """Fills ``pfull phalf`` [Pa] and ``zg zghalf`` [m].

    Full-level pressure is p_{k+1/2} exp(-alpha_k), where the hydrostatic equation puts Phi_k. The
    top half level, at p = 0, is given the height 2 ln 2 R T_v/g above the next one.

    Args:
        vertical: hybrid levels.
        planet: constants.
    """

    def __init__(self, *, vertical: VerticalGrid, planet: Planet) -> None:
        self.vertical, self.planet = vertical, planet
        self._top_alpha = TOP_ALPHA if vertical.open_top else -1.0
        self._up = np.arange(vertical.levels)[::-1].copy()
        self._scratch = np.zeros((3, 0))
        self._fixed = fixed_log_ratio(vertical.a, vertical.b)

    def compiled(
        self, ps: Tensor, ta: Tensor, hus: Tensor | None, surface: Tensor, out: Mapping[str, Array]
    ) -> None:
        """Fills `out` on the CPU; arguments as for :meth:`plain`."""
        planet, nlon = self.planet, ps.shape[-1]
        if self._scratch.shape[1] != nlon:
            self._scratch = np.zeros((3, nlon))
        temperature = ta.numpy()
        _fill(
            ps.numpy(),
            temperature,
            temperature[:0] if hus is None else hus.numpy(),
            surface.numpy(),
            self.vertical.a,
            self.vertical.b,
            planet.gas_constant_dry,
            planet.virtual_factor,
            planet.gravity,
            self._top_alpha,
            self._fixed,
            self._up,
            self._scratch,
            *(out[name] for name in ("pfull", "phalf", "zg", "zghalf")),
        )

    def plain(
        self, ps: Tensor, ta: Tensor, hus: Tensor | None, surface: Tensor, out: Mapping[str, Array]
    ) -> None:
        """Fills `out`.

        Args:
            ps: [Pa], [lat, lon].
            ta: [K], [K, lat, lon].
            hus: specific humidity [1], [K, lat, lon]; None for dry air.
            surface: surface geopotential [m2 s-2], [lat, lon].
            out: ``pfull zg`` [K, lat, lon], ``phalf zghalf`` [K+1, lat, lon].
        """
        vert, planet = self.vertical, self.planet
        layers = vert.layers(ps)
        heavy = ta * planet.gas_constant_dry
        if hus is not None:
            heavy = heavy * (1.0 + planet.virtual_factor * hus)
        weighted = heavy * layers.log_ratio
        low = vert.sum_below(weighted) + surface
        full = torch.addcmul(low, heavy, layers.alpha)
        top = 2.0 * full[0] - low[0] if vert.open_top else low[0] + weighted[0]
        filled = {
            "phalf": layers.half_pressure,
            "pfull": layers.half_pressure[1:] * torch.exp(-layers.alpha),
            "zg": full / planet.gravity,
            "zghalf": torch.cat([top[None], low]) / planet.gravity,
        }
        for name, field in filled.items():
            out[name][...] = field.cpu().numpy()


@njit()
def _fill(
    ps: Array,
    ta: Array,
    hus: Array,
    surface: Array,
    a: Array,
    b: Array,
    gas: float,
    virtual: float,
    gravity: float,
    top_alpha: float,
    fixed: Array,
    up: Array,
    scratch: Array,
    pfull: Array,
    phalf: Array,
    zg: Array,
    zghalf: Array,
) -> None:
    """Fills `pfull` `phalf` [Pa], `zg` `zghalf` [m].

    Args:
        ps: [Pa], [lat, lon].
        ta: [K], [K, lat, lon].
        hus: specific humidity [1], [K, lat, lon]; a first axis of length 0 means dry.
        surface: surface geopotential [m2 s-2], [lat, lon].
        a, b: half-level coefficients [Pa], [1], [K+1], float64.
        gas, virtual, gravity: constants.
        top_alpha: alpha of the top layer when its top is at p = 0, else a negative number.
        fixed: of ``fused.fixed_log_ratio`` [1], [K]: where it is given, so is alpha.
        up: levels from the lowest to the highest, [K]. (Counting down would keep the inner loop
            scalar, see ``physics.columns.lanes``.)
        scratch: [3, lon], float64.
        pfull, zg: [K, lat, lon]. phalf, zghalf: [K+1, lat, lon].
    """
    levels, nlat, nlon = ta.shape
    below, geopotential, excess = scratch[0], scratch[1], scratch[2]
    inverse = 1.0 / gravity
    for j in range(nlat):
        for i in range(nlon):
            below[i] = a[levels] + b[levels] * ps[j, i]
            geopotential[i] = surface[j, i]
            excess[i] = 0.0
        for k in up:
            a_top, b_top, p_s, t = a[k], b[k], ps[j], ta[k, j]
            p, p_below, z, z_below = pfull[k, j], phalf[k + 1, j], zg[k, j], zghalf[k + 1, j]
            if hus.shape[0] > 0:
                q = hus[k, j]
                for i in range(nlon):
                    excess[i] = virtual * q[i]
            if fixed[k] >= 0.0:
                layer, alpha_0 = fixed[k], top_alpha
                if k == 0 and top_alpha >= 0.0:
                    layer = 2.0 * top_alpha
                else:
                    thin = (a_top + b_top) / (a[k + 1] - a_top + b[k + 1] - b_top)
                    alpha_0 = 1.0 - thin * layer
                middle = math.exp(-alpha_0)
                for i in range(nlon):
                    bottom, low = below[i], geopotential[i]
                    heavy = gas * t[i] * (1.0 + excess[i])
                    p[i] = bottom * middle
                    p_below[i] = bottom
                    z[i] = (low + heavy * alpha_0) * inverse
                    z_below[i] = low * inverse
                    below[i] = a_top + b_top * p_s[i]
                    geopotential[i] = low + heavy * layer
                continue
            for i in range(nlon):
                bottom, low = below[i], geopotential[i]
                top = a_top + b_top * p_s[i]
                ratio = log(bottom / top)
                alpha = 1.0 - top / (bottom - top) * ratio
                heavy = gas * t[i] * (1.0 + excess[i])
                p[i] = bottom * exp(-alpha)
                p_below[i] = bottom
                z[i] = (low + heavy * alpha) * inverse
                z_below[i] = low * inverse
                below[i] = top
                geopotential[i] = low + heavy * ratio
        for i in range(nlon):
            phalf[0, j, i] = below[i]
            zghalf[0, j, i] = geopotential[i] * inverse
