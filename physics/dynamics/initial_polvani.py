r"""The jet of Polvani, Scott and Thomas (2004), whose wave converges.

A westerly jet in the northern hemisphere on flat ground under p_s = p_0, the temperature in
gradient-wind balance with it around the standard atmosphere T_0, and a warm spot at 0E, 45N:

.. math:: u = u_0 \sin^3(\pi \sin^2\phi) F(z) \quad (\phi > 0), \qquad
          F = \tfrac12 \left[1 - \tanh^3\frac{z - z_0}{\Delta z_0}\right] \sin\frac{\pi z}{z_1}

.. math:: \frac{\partial T}{\partial\phi} = -\frac{H}{R} (a f + 2 u \tan\phi)
          \frac{\partial u}{\partial z}, \qquad \langle T \rangle = T_0(z), \qquad
          T' = \hat T\, \mathrm{sech}^2 (3\lambda)\, \mathrm{sech}^2 [6 (\phi - \pi/4)]

with z = -H ln(p/p_0), <> the mean over the sphere, u_0 = 50 m/s, z_0 = 22 km, Delta z_0 = 5 km,
z_1 = 30 km, H = 7.34 km, T^ = 1 K. The test has a diffusion of 7e5 m2/s on vorticity, divergence
and temperature, with which the paper's solutions on day 12 converge.

Source: Polvani, L. M., R. K. Scott and S. J. Thomas (2004), Mon. Wea. Rev. 132, 2539-2552,
doi:10.1175/MWR2788.1; the standard atmosphere is that of COESA (1976).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from physics.dynamics.initial import Frame, GridState

Float64 = npt.NDArray[np.float64]
_H, _U0, _Z0, _DZ0, _Z1 = 7340.0, 50.0, 22000.0, 5000.0, 30000.0
_HEIGHT = np.array([0.0, 11.0, 20.0, 32.0, 47.0, 51.0, 71.0, 80.0]) * 1e3
_LAPSE = np.array([-6.5, 0.0, 1.0, 2.8, 0.0, -2.8, -2.0]) * 1e-3
_STANDARD = np.concatenate([[288.15], 288.15 + np.cumsum(_LAPSE * np.diff(_HEIGHT))])


def jet(phi: Float64, z: Float64) -> tuple[Float64, Float64]:
    """u [m s-1] and its derivative with height [s-1] at latitudes [rad] and heights [m]."""
    x = np.tanh((z - _Z0) / _DZ0)
    up, wave = 0.5 * (1.0 - x**3), np.sin(np.pi * z / _Z1)
    slope = -1.5 * x**2 * (1.0 - x**2) / _DZ0 * wave + up * np.cos(np.pi * z / _Z1) * np.pi / _Z1
    across = np.where(phi > 0.0, _U0 * np.sin(np.pi * np.sin(phi) ** 2) ** 3, 0.0)
    return across * up * wave, across * slope


def life_cycle(frame: Frame, *, perturbed: bool = True) -> GridState:
    """The jet over a flat surface.

    Args:
        frame: grid, levels, planet; its surface geopotential must be 0.
        perturbed: with the warm spot at 0E, 45N.
    """
    # Here, because every run that starts would wait for them.
    from scipy.integrate import cumulative_simpson
    from scipy.interpolate import CubicSpline

    planet, p0 = frame.planet, 1.0e5
    ps = np.full(frame.shape[1:], p0)
    z = -_H * np.log(frame.full_pressure(ps)[:, 0, :1] / p0)
    fine = np.linspace(0.0, 0.5 * np.pi, 2001)
    wind, shear = jet(fine, z)
    turning = 2.0 * planet.rotation_rate * planet.radius * np.sin(fine)
    # The jet vanishes at the pole faster than tan(phi) grows.
    curving = 2.0 * wind * np.tan(np.minimum(fine, 0.5 * np.pi - 1e-9))
    slope = -_H / planet.gas_constant_dry * (turning + curving) * shear
    north = cumulative_simpson(slope, x=fine, axis=1, initial=0.0)
    mean = 0.5 * cumulative_simpson(north * np.cos(fine), x=fine, axis=1)[:, -1:]
    lat = np.maximum(frame.latitude[:, 0], 0.0)
    profile = np.interp(z, _HEIGHT, _STANDARD) - mean + CubicSpline(fine, north, axis=1)(lat)
    ta = np.repeat(profile[:, :, None], frame.nlon, axis=2)
    if perturbed:
        lam = np.arctan2(np.sin(frame.longitude), np.cos(frame.longitude))
        ta += 1.0 / (np.cosh(3.0 * lam) * np.cosh(6.0 * (frame.latitude - 0.25 * np.pi))) ** 2
    ua = np.repeat(jet(frame.latitude[:, 0], z)[0][:, :, None], frame.nlon, axis=2)
    zero = np.zeros(frame.shape)
    return GridState(
        ua=ua,
        va=zero,
        ta=ta,
        hus=zero.copy(),
        ps=ps,
        surface_geopotential=frame.surface_geopotential,
    )
