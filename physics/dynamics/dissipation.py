r"""Kinetic energy that horizontal diffusion takes, returned as heat where it was lost.

.. math:: c_p \frac{\partial T}{\partial t} = \mathbf v \cdot \mathbf d, \qquad
          \mathbf d = \sum_{n,m} \nu_n \mathbf v_n^m Y_n^m, \qquad
          \nu_n = \frac{f_n^{-2} - 1}{2 \tau}

with v the wind [m s-1], f_n [1] the factor by which a step of tau [s] damps degree n, and d [m s-2]
the wind of vorticity and divergence damped at the rate nu_n [s-1]. A coefficient X that was damped
had the energy X^2/f^2 before and has X^2 now: nu is what it lost, per energy left and time, so that
on one level of even mass the heat is exactly the kinetic energy lost. Where air weighs more, the
product with the layer's mass is taken by the grid. The heat of one step's loss acts in the next.

The rate may be negative at a point, where diffusion brings energy there; its global mean is not.

Source: Becker, E. (2003), Mon. Wea. Rev. 131, 508-524,
doi:10.1175/1520-0493(2003)131<0508:FHISTG>2.0.CO;2, for why it has to be returned; the local form
v.d is that of the Eulerian core of Neale et al. (2012), Description of CAM 5.0, NCAR/TN-486+STR.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coupler.interface.jit import njit
from physics.dynamics.fused_spectral import damped_wind
from physics.dynamics.primitive import GridFields, PrimitiveEquations

Tensor = torch.Tensor
Array = NDArray[Any]


@njit(fastmath=True)
def _add_heat(
    ua: Array, va: Array, lost: Array, secant: Array, per_cp: float, given: Array, out: Array
) -> None:
    """``out = given + v.d / c_p`` [K s-1], [K, lat, lon]; d cos(lat) is `lost`, [2K, lat, lon]."""
    levels, nlat, nlon = ua.shape
    for k in range(levels):
        for j in range(nlat):
            factor = per_cp * secant[j]
            for i in range(nlon):
                work = ua[k, j, i] * lost[k, j, i] + va[k, j, i] * lost[levels + k, j, i]
                out[k, j, i] = given[k, j, i] + factor * work


class DissipationHeat:
    """Adds the heat of diffusion to the temperature tendency of a step.

    Args:
        equations: of the core, without members.
        damping: factor of every coefficient of the state in one step [1],
            [T+1, 1, (3+n) K + 1, T+2].
        span: time over which it damps [s].
    """

    def __init__(self, *, equations: PrimitiveEquations, damping: Tensor, span: float) -> None:
        tr, k = equations.transform, equations.levels
        self._transform = tr
        factor = damping[:, 0, : equations.divergence_slice.stop].double()
        self._levels, self._per_cp = k, 1.0 / equations.planet.cp_dry
        self._rate = ((factor**-2.0 - 1.0) / (2.0 * span)).to(tr.dtype).numpy()
        """nu of vorticity and divergence [s-1], [T+1, 2K, T+2]."""
        self._tables, self._wind = tr.plain_tables(), tr.zeros(2 * k)
        plane = (tr.nlat, tr.nlon)
        self._lost = torch.zeros((2 * k, *plane), dtype=tr.dtype)
        self._total = torch.zeros((k, *plane), dtype=tr.dtype)
        self._none = np.zeros((k, *plane), self._total.numpy().dtype)
        self._secant = tr.secant[:, 0].numpy().copy()

    def added(
        self, spec: Tensor, g: GridFields, forcing: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """`forcing` with the heat in its ``ta`` [K s-1].

        Args:
            spec: coefficients of the state that the last step left.
            g: the same state on the grid.
            forcing: physics tendencies; not changed.
        """
        x = self._tables
        damped_wind(
            spec.numpy(),
            self._rate,
            x["east"],
            x["up"],
            x["down"],
            x["inverse"],
            self._transform.degrees,
            self._levels,
            self._wind.numpy(),
        )
        self._transform.synthesis(self._wind, self._lost)
        given = forcing["ta"].numpy() if "ta" in forcing else self._none
        _add_heat(
            g.ua.numpy(),
            g.va.numpy(),
            self._lost.numpy(),
            self._secant,
            self._per_cp,
            given,
            self._total.numpy(),
        )
        return {**forcing, "ta": self._total}
