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

Array = NDArray[Any]
SOURCES = ("physics", "mountains")


@njit()
def torque(rate: Array, ps: Array, delta_a: Array, delta_b: Array, arm: Array, out: Array) -> None:
    """Fills `out` with sum_k dp F a cos(phi) [Pa m2 s-2] of every column, in float64.

    Args:
        rate: F [m s-2], [K, lat, lon]. ps: [Pa], [lat, lon].
        delta_a, delta_b: of the half-level coefficients [Pa], [1], [K].
        arm: a cos(phi) [m], [lat].
        out: [lat, lon].
    """
    out[:] = 0.0
    for k in range(rate.shape[0]):
        da, db = delta_a[k], delta_b[k]
        for j in range(rate.shape[1]):
            row, pressure, target, lever = rate[k, j], ps[j], out[j], arm[j]
            for i in range(row.size):
                target[i] += lever * (da + db * pressure[i]) * row[i]


class AngularMomentum:
    """Angular momentum that each source gave since the start.

    Args:
        core: of the flow; its orography must not change afterwards.
    """

    def __init__(self, core: DynamicalCore) -> None:
        self._core = core
        tr, planet = core.transform, core.planet
        self._arm = planet.radius * tr.cos_lat
        self._delta_a, self._delta_b = np.diff(core.vertical.a), np.diff(core.vertical.b)
        with torch.no_grad():
            east = tr.synthesis(tr.gradient(core.surface_geopotential))[0].cpu().numpy()
        # cos(phi) times (1/(a cos(phi))) d/d(lambda), so 1/a is left to take out
        self._slope = torch.tensor(east, dtype=torch.float64) * planet.radius
        self._given = torch.zeros(self._slope.shape, dtype=torch.float64)
        self.sums = np.zeros(len(SOURCES))
        """By source [kg s-1]."""

    def add(self, tendencies: Mapping[str, Array]) -> None:
        """Adds the step just taken with these tendencies [SI s-1].

        What leapfrog shows after a step is the centre that its forces were computed at.
        """
        core, given = self._core, self._given
        ps = core.grid_state()["ps"]
        if "ua" in tendencies:
            parts = self._delta_a, self._delta_b, self._arm
            torque(tendencies["ua"], ps, *parts, given.numpy())
        else:
            given.zero_()
        means = core.mean(given, self._slope * torch.from_numpy(ps).double())
        self.sums += core.dt / core.planet.gravity * np.array([means[0], -means[1]])
