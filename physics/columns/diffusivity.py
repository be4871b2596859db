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
from physics.elementary import exp, log


@njit()
def depth(
    z: Array,
    u: Array,
    v: Array,
    sv: Array,
    gravity: float,
    cp_tv: Array,
    u_star: Array,
    critical: float,
    up: Array,
    ri_below: Array,
    seeking: Array,
    h: Array,
) -> None:
    """Fills the depth of the boundary layer [m] of a block of columns.

    Args:
        z: Heights of layer centres above ground [m], shape [level, lane].
        u: Eastward wind [m s-1], shape [level, lane].
        v: Northward wind [m s-1], shape [level, lane].
        sv: Virtual static energy [J kg-1], shape [level, lane].
        gravity: g [m s-2].
        cp_tv: c_p times virtual temperature of the lowest layer [J kg-1], shape [lane].
        u_star: Friction velocity [m s-1], shape [lane].
        critical: Ri_c [1].
        up: Levels from the lowest to the highest, see `lanes.upward`.
        ri_below: Scratch, shape [lane].
        seeking: Scratch, shape [lane].
        h: Filled, shape [lane].
    """
    last, lanes = z.shape[0] - 1, z.shape[1]
    for j in range(lanes):
        ri_below[j], seeking[j], h[j] = 0.0, 1.0, z[0, j]
    for i in range(1, last + 1):
        k = up[i]
        left = 0
        for j in range(lanes):
            left += 1 if seeking[j] > 0.0 else 0
        if left == 0:
            break
        for j in range(lanes):
            du, dv = u[k, j] - u[last, j], v[k, j] - v[last, j]
            wind2 = max(du * du + dv * dv + 100.0 * u_star[j] * u_star[j], 1.0e-6)
            lift = gravity * (z[k, j] - z[last, j]) * (sv[k, j] - sv[last, j])
            ri = lift / (cp_tv[j] * wind2)
            share = (critical - ri_below[j]) / (ri - ri_below[j])
            here = z[k + 1, j] + share * (z[k, j] - z[k + 1, j])
            still, so_far = seeking[j], h[j]
            found = ri > critical and still > 0.0
            h[j] = here if found else so_far
            seeking[j] = 0.0 if found else still
            ri_below[j] = ri
    for j in range(lanes):
        h[j] = max(h[j], 700.0 * u_star[j])


@njit(inline=True)
def convective_velocity(h: float, u_star: float, buoyancy_flux: float) -> float:
    """w_s [m s-1] in an unstable layer of depth `h` [m]; else 0."""
    cube = u_star * u_star * u_star + 0.6 * max(buoyancy_flux, 0.0) * h
    return exp(log(max(cube, 1.0e-30)) * (1.0 / 3.0)) if buoyancy_flux > 0.0 else 0.0


@njit(inline=True)
def shear_mixing(z: float, dz: float, du2: float, buoyancy_step: float) -> float:
    """K by local shear [m2 s-1].

    Args:
        z: Height of the interface above ground [m].
        dz: Distance of the layer centres on either side [m].
        du2: Squared wind difference between them [m2 s-2].
        buoyancy_step: g (s_v above - s_v below)/(c_p T_v) [m s-2].
    """
    # The formulas above over one common denominator: divisions and roots are what it costs.
    wind2 = max(du2, 1.0e-6)
    b = buoyancy_step * dz  # Ri = b/wind2
    stable = b >= 0.0
    over = wind2 * wind2 if stable else 1.0
    under = wind2 * wind2 + 10.0 * b * (wind2 + 8.0 * b) if stable else 1.0
    root = math.sqrt(wind2 if stable else wind2 - 18.0 * b)
    length = 0.4 * z + 30.0
    return 144.0 * z * z * root * over / (length * length * dz * under)


@njit()
def k_profile(
    z: Array,
    zhalf: Array,
    u: Array,
    v: Array,
    sv: Array,
    gravity: float,
    cp_tv: Array,
    u_star: Array,
    buoyancy_flux: Array,
    h: Array,
    convective: Array,
    per: Array,
    diffusivity: Array,
) -> None:
    """Fills K [m2 s-1] at interior interfaces, shape [interface, lane].

    `zhalf` [m], shape [interface, lane], are heights of interfaces above ground; `buoyancy_flux`
    [m2 s-3], `h` from `depth` and the scratch `convective` and `per` have shape [lane]; the rest is
    as in `depth`.
    """
    lanes = z.shape[1]
    for j in range(lanes):
        convective[j] = convective_velocity(h[j], u_star[j], buoyancy_flux[j])
    for j in range(lanes):
        per[j] = gravity / cp_tv[j]
    for k in range(1, z.shape[0]):
        within = 0
        for j in range(lanes):
            dz = z[k - 1, j] - z[k, j]
            du, dv = u[k - 1, j] - u[k, j], v[k - 1, j] - v[k, j]
            step = per[j] * (sv[k - 1, j] - sv[k, j])
            diffusivity[k, j] = shear_mixing(zhalf[k, j], dz, du * du + dv * dv, step)
            within += 1 if zhalf[k, j] < h[j] else 0
        if within == 0:
            continue
        for j in range(lanes):
            # u*/phi with z/L = y/u*^3, without division by a friction velocity of zero
            cube = u_star[j] * u_star[j] * u_star[j]
            y = max(-0.4 * buoyancy_flux[j] * zhalf[k, j], 0.0)
            shape = cube + 5.0 * y if y < cube else 5.0 * cube + y
            stable = u_star[j] * cube / max(shape, 1.0e-30)
            unstable, by_shear, z_k = convective[j], diffusivity[k, j], zhalf[k, j]
            w = unstable if buoyancy_flux[j] > 0.0 else stable
            room = max(1.0 - z_k / h[j], 0.0)
            diffusivity[k, j] = max(by_shear, 0.4 * w * z_k * room * room)


@njit()
def pressure_profile(phalf: Array, at_surface: Array, diffusivity: Array) -> None:
    """Fills the Reed-Jablonowski K [m2 s-1] at interior interfaces, shape [interface, lane]."""
    for k in range(1, phalf.shape[0] - 1):
        for j in range(phalf.shape[1]):
            above = max(0.0, (8.5e4 - phalf[k, j]) / 1.0e4)
            diffusivity[k, j] = at_surface[j] * exp(-above * above)
