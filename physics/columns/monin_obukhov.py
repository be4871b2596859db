r"""Exchange between the surface and the lowest layer by Monin-Obukhov similarity.

.. math::
   C_D = \frac{\kappa^2}{F_m^2}, \quad C_H = \frac{\kappa^2}{F_m F_h}, \qquad
   F_x = \ln\frac{Z}{z_{0x}} - \psi_x(\zeta) + \psi_x\!\left(\zeta \frac{z_{0x}}{Z}\right), \qquad
   Ri = \frac{Z\, \Delta b}{U^2} = \zeta \frac{F_h}{F_m^2}

with Z = z_1 + z_0m, zeta = Z/L of the Obukhov length L [m], Delta b = g (s_v1 - s_vs)/(c_p T_v)
[m s-2]. The last equation is solved for zeta by Newton's method, kept inside a bracket. Unstable,
x = (1 - 16 zeta)^(1/4):

.. math:: \psi_m = 2\ln\frac{1+x}{2} + \ln\frac{1+x^2}{2} - 2\arctan x + \frac\pi2, \qquad
          \psi_h = 2 \ln\frac{1+x^2}{2}

and stable, with a = 1, b = 0.667, c = 5, d = 0.35 (no critical Richardson number):

.. math:: -\psi_m = a\zeta + b\left(\zeta - \frac cd\right) e^{-d\zeta} + \frac{bc}{d}, \qquad
          -\psi_h = \left(1 + \tfrac23 a\zeta\right)^{3/2} - 1
                    + b\left(\zeta - \frac cd\right) e^{-d\zeta} + \frac{bc}{d}

Roughness over sea follows the waves, and the heat's its Reynolds number:

.. math:: z_{0m} = \frac{\alpha u_*^2}{g} + 0.11 \frac{\nu}{u_*}, \qquad
          z_{0h} = \min\left(1.1 \times 10^{-4},\; 5.5 \times 10^{-5} Re_*^{-0.6}\right), \quad
          Re_* = \frac{u_* z_{0m}}{\nu}

alpha = 0.011 up to 10 m/s at 10 m, 0.018 from 18 m/s on, linear between, nu = 1.5e-5 m2 s-1. Over
land both are given. Where both share a cell, logarithms are averaged by area.

Gustiness: eddies of a convective boundary layer of depth z_i blow at the surface also in a calm,

.. math:: U^2 = u_1^2 + v_1^2 + \max(u_g, \beta w_*)^2, \qquad w_*^3 = C_H U\, |\Delta b|\, z_i
          \quad (\Delta b < 0)

Sources: Dyer (1974), doi:10.1007/BF00240838, and Paulson (1970),
doi:10.1175/1520-0450(1970)009<0857:TMROWS>2.0.CO;2; Beljaars and Holtslag (1991),
doi:10.1175/1520-0450(1991)030<0327:FPOLSF>2.0.CO;2; Fairall et al. (2003),
doi:10.1175/1520-0442(2003)016<0571:BPOASF>2.0.CO;2, for the sea (COARE 3.0); Beljaars (1995),
doi:10.1002/qj.49712152203, for gustiness.
"""

from __future__ import annotations

import math

from physics.columns.jit import njit

VISCOSITY = 1.5e-5
"""Kinematic viscosity of air [m2 s-1]."""
FARTHEST = 1.0e5
"""Largest |zeta| that is looked for [1]."""


@njit(inline=True)
def _unstable(zeta: float) -> tuple[float, float, float, float]:
    """psi_m, psi_h, phi_m, phi_h [1] at zeta < 0."""
    square = math.sqrt(1.0 - 16.0 * zeta)
    x = math.sqrt(square)
    half, near = 0.5 * (1.0 + square), 0.5 * (1.0 + x)
    turn = 2.0 * math.atan(x) - 0.5 * math.pi
    return math.log(near * near * half) - turn, 2.0 * math.log(half), 1.0 / x, 1.0 / square


@njit(inline=True)
def _stable(zeta: float) -> tuple[float, float, float, float]:
    """psi_m, psi_h, phi_m, phi_h [1] at zeta >= 0."""
    fall = 0.667 * math.exp(-0.35 * zeta)
    bent = (zeta - 5.0 / 0.35) * fall + 0.667 * 5.0 / 0.35
    slope = fall * (6.0 - 0.35 * zeta)
    root = math.sqrt(1.0 + 2.0 / 3.0 * zeta)
    heat = 1.0 - root * root * root - bent
    return -zeta - bent, heat, 1.0 + zeta * (1.0 + slope), 1.0 + zeta * (root + slope)


@njit()
def psi(zeta: float) -> tuple[float, float]:
    """psi_m and psi_h [1]."""
    at_m, at_h, _, _ = _unstable(zeta) if zeta < 0.0 else _stable(zeta)
    return at_m, at_h


@njit()
def phi(zeta: float) -> tuple[float, float]:
    """phi_m and phi_h [1], the gradients that belong to `psi`: phi = 1 - zeta dpsi/dzeta."""
    _, _, steep_m, steep_h = _unstable(zeta) if zeta < 0.0 else _stable(zeta)
    return steep_m, steep_h


@njit(inline=True)
def _foot(zeta: float) -> tuple[float, float, float, float]:
    """As `_unstable` near the ground, where a series does: to 1e-11 for zeta above -3e-4."""
    m = -zeta * (4.0 + zeta * (20.0 + zeta * 160.0))
    h = -zeta * (8.0 + zeta * (48.0 + zeta * (1280.0 / 3.0)))
    steep_m = 1.0 + zeta * (4.0 + zeta * (40.0 + zeta * 480.0))
    steep_h = 1.0 + zeta * (8.0 + zeta * (96.0 + zeta * 1280.0))
    return m, h, steep_m, steep_h


@njit()
def profiles(zeta: float, log_m: float, log_h: float) -> tuple[float, float, float]:
    """F_m, F_h and d(zeta F_h/F_m^2)/dzeta [1], for ``ln(Z/z_0)`` of momentum and heat."""
    below_m, below_h = zeta * math.exp(-log_m), zeta * math.exp(-log_h)
    if zeta < 0.0:
        at_m, at_h, steep_m, steep_h = _unstable(zeta)
        near = min(below_m, below_h) > -3.0e-4
        low_m, _, foot_m, _ = _foot(below_m) if near else _unstable(below_m)
        _, low_h, _, foot_h = _foot(below_h) if near else _unstable(below_h)
    else:
        at_m, at_h, steep_m, steep_h = _stable(zeta)
        low_m, _, foot_m, _ = _stable(below_m)
        _, low_h, _, foot_h = _stable(below_h)
    f_m, f_h = log_m - at_m + low_m, log_h - at_h + low_h
    slope = f_h + (steep_h - foot_h) - 2.0 * f_h / f_m * (steep_m - foot_m)
    return f_m, f_h, slope / (f_m * f_m)


@njit()
def stability(ri: float, log_m: float, log_h: float, first: float) -> float:
    """zeta [1] at the bulk Richardson number `ri`, looked for from `first` on."""
    low, high = (0.0, FARTHEST) if ri > 0.0 else (-FARTHEST, 0.0)
    zeta = first
    if not low < first < high:
        zeta = ri * log_m * log_m / log_h  # neutral profiles
        if not low < zeta < high:
            zeta = 0.5 * (low + high)
    for _ in range(60):
        f_m, f_h, slope = profiles(zeta, log_m, log_h)
        miss = zeta * f_h / (f_m * f_m) - ri
        if miss > 0.0:
            high = zeta
        else:
            low = zeta
        following = zeta - miss / slope
        close = 1.0e-5  # squared by a step of Newton's
        if not (slope > 0.0 and low < following < high):
            following, close = 0.5 * (low + high), 1.0e-9
        if abs(following - zeta) <= close * abs(zeta):
            return following
        zeta = following
    return zeta


@njit()
def own_gusts(speed2: float, push: float, least: float) -> float:
    """Squared gusts [m2 s-2] that the exchange they make keeps up: g^3 = push^3 (speed2 + g).

    Args:
        speed2: u_1^2 + v_1^2 [m2 s-2].
        push: beta^2 (C_H |Delta b| z_i)^(2/3) [(m2 s-2)^(2/3)].
        least: u_g^2 [m2 s-2].
    """
    cube = push * push * push
    g = math.sqrt(cube) + math.sqrt(math.sqrt(cube) * speed2) + push  # above the root
    g = max(g, least)
    for _ in range(30):
        step = (g * (g * g - cube) - cube * speed2) / (3.0 * g * g - cube)
        g -= step
        if abs(step) <= 1.0e-8 * g:
            break
    return max(g, least)


@njit()
def similarity(
    height: float,
    speed2: float,
    buoyancy: float,
    land: float,
    gravity: float,
    gust: float,
    settings: tuple[float, float, float, float, float, float],
    accuracy: float = 1.0e-7,
) -> tuple[float, float, float]:
    """C_D, C_H [1] and the squared gusts [m2 s-2] to add to the squared wind.

    Args:
        height: z_1, of the lowest layer's centre above ground [m].
        speed2: u_1^2 + v_1^2 [m2 s-2].
        buoyancy: Delta b, positive when stable [m s-2].
        land: Share of the cell that is land [1].
        gravity: g [m s-2].
        gust: u_g, the least gusts [m s-1].
        settings: ln z_0m and ln z_0h over land, the same over sea where waves do not make them
            (with the next one below 0.5), whether they do, beta [1] and z_i [m].
        accuracy: Relative, of the squared wind and of u_* [1].
    """
    land_m, land_h, still, waves, beta, depth = settings
    sea_m, sea_h = still, still
    gust2, zeta = gust * gust, 0.0
    c_d, c_h = 0.0, 0.0
    u_star = 0.04 * math.sqrt(speed2 + gust2)
    for _ in range(30):
        if waves > 0.5:
            rough = math.exp(sea_m) if c_d > 0.0 else 1.0e-4
            at_ten = u_star / 0.4 * math.log(1.0 + 10.0 / rough)
            alpha = 0.011 + 0.007 * min(max((at_ten - 10.0) / 8.0, 0.0), 1.0)
            rough = alpha * u_star * u_star / gravity + 0.11 * VISCOSITY / u_star
            reynolds = u_star * rough / VISCOSITY
            sea_m = math.log(rough)
            sea_h = math.log(min(1.1e-4, 5.5e-5 * reynolds**-0.6))
        rough_m = land * land_m + (1.0 - land) * sea_m
        rough_h = land * land_h + (1.0 - land) * sea_h
        reference = height + math.exp(rough_m)
        log_m = math.log(reference) - rough_m
        log_h = math.log(reference) - rough_h
        wind2 = speed2 + gust2
        ri = reference * buoyancy / wind2
        zeta = stability(ri, log_m, log_h, zeta) if buoyancy != 0.0 else 0.0
        f_m, f_h, _ = profiles(zeta, log_m, log_h)
        c_d, c_h = 0.16 / (f_m * f_m), 0.16 / (f_m * f_h)
        before, u_before = gust2, u_star
        if buoyancy < 0.0:
            push = beta * beta * (c_h * -buoyancy * depth) ** (2.0 / 3.0)
            gust2 = own_gusts(speed2, push, gust * gust)
            zeta *= (speed2 + before) / (speed2 + gust2)  # as the Richardson number will change
        u_star = math.sqrt(c_d * (speed2 + gust2))
        if abs(gust2 - before) < accuracy * wind2 and abs(u_star - u_before) < accuracy * u_star:
            break
    return c_d, c_h, gust2
