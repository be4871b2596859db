r"""Eddy diffusivity in the boundary layer and above it.

``k_profile``: a profile through the depth h of the boundary layer, tied to the surface fluxes,

.. math::
   K = \kappa\, w_s\, z\, (1 - z/h)^2, \qquad
   w_s = \begin{cases} u_*/\phi, \quad \phi = 1 + 5 z/L \;(z < L),\; 5 + z/L \;(z \ge L)
           & \text{stable} \\ (u_*^3 + 0.6\, w_*^3)^{1/3} & \text{unstable} \end{cases}

    L = -u_*^3 / (kappa B),   w_*^3 = B h,   B = surface buoyancy flux [m2 s-3]

with h [m] where the bulk Richardson number against the lowest layer reaches Ri_c,

.. math:: Ri(z) = \frac{g (z - z_1)(s_v - s_{v,1})/(c_p T_v)}{|v - v_1|^2 + 100\, u_*^2} ,

and at least 700 u_* (mechanical mixing). Everywhere, and added by the larger of the two, mixing by
local shear, with S [s-1] and Ri of the interface:

.. math:: K = l^2 S F(Ri), \quad \frac1l = \frac1{\kappa z} + \frac1{30\,m}, \quad
          F = \begin{cases} (1 + 10 Ri (1 + 8 Ri))^{-1} & Ri \ge 0 \\
              \sqrt{1 - 18 Ri} & Ri < 0 \end{cases}

Heat, water and momentum have one K (a Prandtl number of 1); there is no counter-gradient term.

``reed_jablonowski``: K = C |v_1| z_1 below 850 hPa, times exp(-((850 hPa - p)/100 hPa)^2) above,
with C_D for momentum and C_E for heat and water.

Sources: Holtslag and Boville (1993), doi:10.1175/1520-0442(1993)006<1825:LVNBLD>2.0.CO;2;
Vogelezang and Holtslag (1996), doi:10.1007/BF02430331, for h; Koracin and Berkowicz (1988),
doi:10.1007/BF00121865, for its floor; Reed and Jablonowski (2012), doi:10.1029/2011MS000099.
"""

from __future__ import annotations

import math

from coupler.interface.component import Array
from physics.columns.jit import njit


@njit()
def depth(
    z: Array,
    u: Array,
    v: Array,
    sv: Array,
    gravity: float,
    cp_tv: float,
    u_star: float,
    critical: float,
) -> float:
    """Depth h of the boundary layer [m].

    Args:
        z: Heights of layer centres above ground [m], shape [level].
        u: Eastward wind [m s-1], shape [level].
        v: Northward wind [m s-1], shape [level].
        sv: Virtual static energy [J kg-1], shape [level].
        gravity: g [m s-2].
        cp_tv: c_p times virtual temperature of the lowest layer [J kg-1].
        u_star: Friction velocity [m s-1].
        critical: Ri_c [1].
    """
    last = z.size - 1
    ri_below = 0.0
    h = z[0]
    for k in range(last - 1, -1, -1):
        du, dv = u[k] - u[last], v[k] - v[last]
        wind2 = du * du + dv * dv + 100.0 * u_star * u_star
        ri = gravity * (z[k] - z[last]) * (sv[k] - sv[last]) / (cp_tv * max(wind2, 1.0e-6))
        if ri > critical:
            share = (critical - ri_below) / (ri - ri_below)
            h = z[k + 1] + share * (z[k] - z[k + 1])
            break
        ri_below = ri
    return float(max(h, 700.0 * u_star))


@njit()
def velocity_scale(z: float, h: float, u_star: float, buoyancy_flux: float) -> float:
    """w_s [m s-1] at height `z` [m] in a layer of depth `h` [m]."""
    if buoyancy_flux > 0.0:
        return float((u_star**3 + 0.6 * buoyancy_flux * h) ** (1.0 / 3.0))
    if u_star <= 0.0:
        return 0.0
    stability = -0.4 * buoyancy_flux * z / u_star**3  # z/L
    phi = 1.0 + 5.0 * stability if stability < 1.0 else 5.0 + stability
    return u_star / phi


@njit()
def shear_mixing(z: float, dz: float, du2: float, buoyancy_step: float) -> float:
    """K by local shear [m2 s-1].

    Args:
        z: Height of the interface above ground [m].
        dz: Distance of the layer centres on either side [m].
        du2: Squared wind difference between them [m2 s-2].
        buoyancy_step: g (s_v above - s_v below)/(c_p T_v) [m s-2].
    """
    length = 1.0 / (1.0 / (0.4 * z) + 1.0 / 30.0)
    shear2 = max(du2, 1.0e-6) / (dz * dz)
    ri = buoyancy_step / dz / shear2
    f = 1.0 / (1.0 + 10.0 * ri * (1.0 + 8.0 * ri)) if ri >= 0.0 else math.sqrt(1.0 - 18.0 * ri)
    return length * length * math.sqrt(shear2) * f


@njit()
def k_profile(
    z: Array,
    zhalf: Array,
    u: Array,
    v: Array,
    sv: Array,
    gravity: float,
    cp_tv: float,
    u_star: float,
    buoyancy_flux: float,
    critical: float,
    diffusivity: Array,
) -> float:
    """Fills K [m2 s-1] at interior interfaces, shape [interface]; returns h [m].

    `zhalf` [m], shape [interface], are heights of interfaces above ground; the rest as in `depth`
    and `velocity_scale`.
    """
    h = depth(z, u, v, sv, gravity, cp_tv, u_star, critical)
    for k in range(1, z.size):
        dz = z[k - 1] - z[k]
        du, dv = u[k - 1] - u[k], v[k - 1] - v[k]
        step = gravity * (sv[k - 1] - sv[k]) / cp_tv
        value = shear_mixing(zhalf[k], dz, du * du + dv * dv, step)
        if zhalf[k] < h:
            w = velocity_scale(zhalf[k], h, u_star, buoyancy_flux)
            value = max(value, 0.4 * w * zhalf[k] * (1.0 - zhalf[k] / h) ** 2)
        diffusivity[k] = value
    return h


@njit()
def pressure_profile(phalf: Array, at_surface: float, diffusivity: Array) -> None:
    """Fills the Reed-Jablonowski K [m2 s-1] at interior interfaces, shape [interface]."""
    for k in range(1, phalf.size - 1):
        depth = max(0.0, (8.5e4 - phalf[k]) / 1.0e4)
        diffusivity[k] = at_surface * math.exp(-depth * depth)
