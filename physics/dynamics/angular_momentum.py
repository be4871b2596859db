r"""Axial angular momentum of the air: what changes it, step by step.

    M = mean over the sphere of (1/g) sum_k dp_k (u + Omega a cos(phi)) a cos(phi)   [kg s-1]

    physics    (1/g) sum_k dp_k F_u,k a cos(phi), with the tendency F_u of all schemes
    mountains  -ps d(z_s)/d(lambda)

in global means [kg s-2], summed over time steps. The dynamics leave the rest unchanged, and so do
diffusion and sponge, which spare solid rotation (``leapfrog``). What the budget misses, the
spurious torque, is the error of the time step, its filter, the mass fixer and the rounding.

Source: Lauritzen, P. H. et al. (2014), J. Adv. Model. Earth Syst. 6, 129-140,
doi:10.1002/2013MS000268.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coupler.interface.jit import njit
from physics.dynamics.core import DynamicalCore
from physics.dynamics.means import row_mean

Array = NDArray[Any]
SOURCES = ("physics", "mountains")


@njit()
def torque(
    rate: Array, ps: Array, delta_a: Array, delta_b: Array, factor: Array, out: Array
) -> None:
    """Adds to `out` [lat] what sum_k dp F gives in each row, in float64.

    A row of a level is added in four partial sums, always the same ones, as in ``means``.

    Args:
        rate: F [m s-2], [K, lat, lon]. ps: [Pa], [lat, lon].
        delta_a, delta_b: of the half-level coefficients [Pa], [1], [K].
        factor: of each row, [lat].
    """
    levels, nlat, nlon = rate.shape
    for j in range(nlat):
        pressure, total = ps[j], 0.0
        for k in range(levels):
            row, da, db = rate[k, j], delta_a[k], delta_b[k]
            a = b = c = d = 0.0
            for i in range(0, nlon - 3, 4):
                a += (da + db * pressure[i]) * row[i]
                b += (da + db * pressure[i + 1]) * row[i + 1]
                c += (da + db * pressure[i + 2]) * row[i + 2]
                d += (da + db * pressure[i + 3]) * row[i + 3]
            for i in range(nlon - nlon % 4, nlon):
                a += (da + db * pressure[i]) * row[i]
            total += (a + b) + (c + d)
        out[j] += factor[j] * total


class AngularMomentum:
    """Angular momentum that each source gave since the start.

    Every rank adds up its own rows; the rows are added when somebody asks for `sums`.

    Args:
        core: of the flow; its orography must not change afterwards.
    """

    def __init__(self, core: DynamicalCore) -> None:
        self._core = core
        tr, planet = core.transform, core.planet
        self._step = core.dt / planet.gravity
        self._arm = self._step * planet.radius * tr.cos_lat
        self._delta_a, self._delta_b = np.diff(core.vertical.a), np.diff(core.vertical.b)
        with torch.no_grad():
            east = tr.synthesis(tr.gradient(core.surface_geopotential))[0].cpu().numpy()
        # cos(phi) times (1/(a cos(phi))) d/d(lambda), so 1/a is left to take out
        self._slope = (-self._step * planet.radius * east.astype(np.float64))[None]
        self._flat = not self._slope.any()
        self._whole = np.zeros(1), np.ones(1), np.ones(tr.nlat)
        self.rows = np.zeros((len(SOURCES), tr.nlat))
        """By source, the sums over each own row."""

    @property
    def sums(self) -> Array:
        """By source [kg s-1]; all ranks ask together."""
        tr = self._core.transform
        each = self._core.rows.each(self.rows)
        return np.array([row_mean(row, tr.all_weights, tr.nlon) for row in each])

    def restore(self, given: Array) -> None:
        """Goes on from `rows`, or on one rank from the sums of restarts that had no rows."""
        nlon = self._core.transform.nlon
        self.rows[...] = given if given.ndim == 2 else nlon * given[:, None]

    def add(self, tendencies: Mapping[str, Array]) -> None:
        """Adds the step just taken with these tendencies [SI s-1].

        What leapfrog shows after a step is the centre that its forces were computed at.
        """
        ps = self._core.grid_state()["ps"]
        if "ua" in tendencies:
            parts = self._delta_a, self._delta_b, self._arm
            torque(tendencies["ua"], ps, *parts, self.rows[0])
        if not self._flat:
            torque(self._slope, ps, *self._whole, self.rows[1])
