r"""Limits on the drag of a mountain wave that lose no momentum.

From the top down, layer k may take at most

.. math:: |du_k| \le \min(d_{max},\; s \max(u_k, 0)/\Delta t)

with u_k [m s-1] the wind along the one at the source, so that no layer is turned round and one that
blows backwards takes nothing. The stress at its lower interface is recomputed from what it took,

.. math:: \tau_{k+1} \leftarrow \min(\tau_{k+1},\; \tau_k + |du_k|_{max}\, dp_k / g)

which hands the excess to the next layer down and in the end to the ground (the rule of the
Community Atmosphere Model). What is reported is the largest momentum on its way down,
max(tau - tau limited) [Pa].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from coupler.interface.component import Array
from coupler.interface.fields import COLUMN, Field
from physics.columns.jit import njit

MOVED = Field(
    name="ogwdlimit",
    standard_name=None,
    long_name="Orographic Gravity-wave Stress that Limits on Drag Moved Down",
    units="Pa",
    dims=COLUMN,
)


@njit()
def limit_downward(
    tau: Array,
    along: Array,
    phalf: Array,
    column: int,
    limits: Any,
    direction: Any,
    fx: Array,
    fy: Array,
) -> tuple[float, float]:
    """Fills the flux above every layer; returns the stress at the ground and what was moved [Pa].

    Args:
        tau: Stress above every layer, before limits [Pa], shape [level]; that above the lowest
            layer also is the one at the ground.
        along: Wind along the one at the source [m s-1], shape [level].
        phalf: Interface pressure [Pa], shape [interface, column].
        column: Which one.
        limits: Largest drag [m s-2], share of the wind [1], step [s], gravity [m s-2].
        direction: Unit vector of the wind at the source [1], eastward and northward.
        fx: Eastward flux, positive upward [Pa], shape [level].
        fy: Northward flux, positive upward [Pa], shape [level].
    """
    drag_max, share, dt, g = limits
    ex, ey = direction
    nlev = tau.size
    above = tau[0]
    moved = 0.0
    for k in range(nlev):
        fx[k], fy[k] = -above * ex, -above * ey
        lower = tau[min(k + 1, nlev - 1)]
        dp = np.float64(phalf[k + 1, column]) - np.float64(phalf[k, column])
        most = min(drag_max, share * max(along[k], 0.0) / dt) * dp / g
        if lower - above > most:
            moved = max(moved, lower - above - most)
            lower = above + most
        above = lower
    return above, moved
