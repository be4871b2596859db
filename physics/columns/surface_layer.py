r"""Bulk exchange between the surface and the lowest layer.

.. math::
   \tau &= \rho C_D U\, u_1, \qquad H = \rho C_H U\, (s_s - s_1), \qquad
   E = \rho C_E U\, \beta\, (q_s(T_s) - q_1) \\
   U &= \sqrt{u_1^2 + v_1^2 + u_g^2}

tau [Pa], H [W m-2], E [kg m-2 s-1]; s = c_p T + g z dry static energy [J kg-1]; u_g a gustiness
that keeps exchange alive in calm air [m s-1]; beta the share of potential evaporation that the
surface delivers [1].

``louis``: neutral coefficient by roughness, times a function of the bulk Richardson number,

.. math::
   C_N &= \left[\frac{\kappa}{\ln(1 + z_1/z_0)}\right]^2, \qquad
   Ri = \frac{g z_1}{c_p T_v U^2} (s_{v,1} - s_{v,s}) \\
   F &= \begin{cases} (1 + 4.7 Ri)^{-2} & Ri \ge 0 \\
        1 + \dfrac{9.4 |Ri|}{1 + c \sqrt{|Ri|}}, \quad c = 9.4\, c^*\, C_N \sqrt{z_1/z_0}
        & Ri < 0 \end{cases}

with c* = 7.4 for momentum and 5.3 for heat and water, kappa = 0.4 and equal neutral coefficients
(the source has kappa = 0.35 and a ratio of 0.74). F never reaches zero: the surface stays coupled
to the air above it on a polar night.

``reed_jablonowski``: C_D = 7e-4 + 6.5e-5 |v_1| below 20 m/s and 2e-3 above, C_H = C_E = 1.1e-3.

Sources: Louis (1979), Boundary-Layer Meteorol. 17, 187-202, doi:10.1007/BF00117978; Reed and
Jablonowski (2012), doi:10.1029/2011MS000099.
"""

from __future__ import annotations

import math

from physics.columns.jit import njit
from physics.elementary import log

KARMAN = 0.4
"""Von Karman's constant [1]."""


@njit(inline=True)
def richardson(height: float, wind2: float, buoyancy: float) -> float:
    """Bulk Richardson number [1].

    Args:
        height: z_1, height of the lowest layer's centre above ground [m].
        wind2: U^2 [m2 s-2].
        buoyancy: g (s_v1 - s_vs)/(c_p T_v), positive when stable [m s-2].
    """
    return height * buoyancy / wind2


@njit(inline=True)
def louis(height: float, roughness: float, ri: float) -> tuple[float, float]:
    """C_D and C_H [1] at `height` [m] over `roughness` [m] for the bulk Richardson number `ri`."""
    ratio = height / roughness
    neutral = (0.4 / log(1.0 + ratio)) ** 2
    # Both branches are computed and one is taken: that can be a vector instruction.
    up, down = max(ri, 0.0), max(-ri, 0.0)
    stable = 1.0 / (1.0 + 4.7 * up) ** 2
    c = 9.4 * neutral * math.sqrt(ratio * down)
    momentum = 1.0 + 9.4 * down / (1.0 + 7.4 * c)
    heat = 1.0 + 9.4 * down / (1.0 + 5.3 * c)
    return neutral * stable * momentum, neutral * stable * heat


@njit(inline=True)
def reed_jablonowski(speed: float) -> tuple[float, float]:
    """C_D and C_H [1] at the lowest-layer wind `speed` [m s-1]."""
    return (7.0e-4 + 6.5e-5 * speed if speed < 20.0 else 2.0e-3), 1.1e-3
