r"""Initial states of published tests with mountains, and of the three-dimensional wave.

mountain_rest: an atmosphere at rest, T = T_0 - Gamma z, over mountains 11 degrees apart:

.. math:: p_s = p_0 (1 - \Gamma z_s/T_0)^{g/(R\Gamma)}, \qquad
          z_s = \tfrac12 h_0 \left(1 + \cos\frac{\pi r}{R_m}\right) \cos^2 \frac{\pi r}{\zeta_m}

for r < R_m, with the great-circle angle r from (3 pi/2, 0), h_0 = 2000 m, R_m = 3 pi/4,
zeta_m = pi/16, T_0 = 300 K, Gamma = 6.5 K/km. Above the test's own top at 205.44 hPa the air is
isothermal here, so that any levels will do. The exact answer on a planet that does not turn is no
wind.

mountain_rossby_wave: solid-body rotation u = u_0 cos(phi) in an isothermal atmosphere, in exact
balance without the mountain z_s = 2000 m exp(-(r/d)^2) at 90 E, 30 N:

.. math:: p_s = p_p \exp\left[-\frac{a u_0}{2 R T_0}\left(\frac{u_0}{a} + 2\Omega\right)
          (\sin^2\phi - 1) - \frac{g z_s}{R T_0}\right]

with u_0 = 20 m/s, T_0 = 288 K, p_p = 930 hPa, d = 1500 km. solid_rotation has no mountain.

rossby_haurwitz: the wave of case 6 of Williamson et al. (1992) with zonal wavenumber n = 4,
u_0 = 50 m/s, w = K = u_0/(n a) at every height:

.. math:: T = T_0 (p/p_r)^{R\Gamma/g}, \qquad
          p_s = p_r \left(1 + \frac{\Gamma}{g T_0} \Phi'\right)^{g/(\Gamma R)}

with Phi' the geopotential of case 6 less its mean depth, T_0 = 288 K, Gamma = 6.5 K/km,
p_r = 955 hPa. The wave moves at [n (3 + n) w - 2 Omega]/[(1 + n)(2 + n)].

Sources: Ullrich, P. A. et al. (2012), DCMIP test case document, test 2-0-0; Jablonowski, C.,
P. H. Lauritzen, R. D. Nair and M. A. Taylor (2008), Idealized test cases for the dynamical cores of
atmospheric general circulation models (NCAR ASP summer colloquium), tests 4-0-0 and 5-0-0;
Williamson, D. L. et al. (1992), J. Comput. Phys. 102, 211-224,
doi:10.1016/S0021-9991(05)80016-6.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from physics.dynamics.initial import Frame, GridState
from physics.dynamics.shallow_water_initial import LayerFrame, haurwitz_wave

Float64 = npt.NDArray[np.float64]
_TOP = 20544.0
"""Model top of DCMIP test 2-0-0 [Pa]."""


def _arc(frame: Frame, east: float, north: float) -> Float64:
    """Great-circle angle from a point [rad], [lat, lon]."""
    phi, lam = frame.latitude, frame.longitude
    cosine = np.sin(north) * np.sin(phi) + np.cos(north) * np.cos(phi) * np.cos(lam - east)
    return np.asarray(np.arccos(np.clip(cosine, -1.0, 1.0)))


def narrow_mountains(frame: Frame) -> Float64:
    """Surface geopotential of DCMIP test 2-0-0 before truncation [m2 s-2], [lat, lon]."""
    r = _arc(frame, 1.5 * np.pi, 0.0)
    shape = 0.5 * (1.0 + np.cos(4.0 * r / 3.0)) * np.cos(16.0 * r) ** 2
    return np.where(r < 0.75 * np.pi, 2000.0 * frame.planet.gravity * shape, 0.0)


def mountain_rest(frame: Frame) -> GridState:
    """No wind and a constant lapse rate above the ground of `frame`; DCMIP test 2-0-0."""
    planet, t0, lapse, p0 = frame.planet, 300.0, 0.0065, 1.0e5
    power = planet.gas_constant_dry * lapse / planet.gravity
    height = frame.surface_geopotential / planet.gravity
    ps = p0 * (1.0 - lapse * height / t0) ** (1.0 / power)
    zero = np.zeros(frame.shape)
    return GridState(
        ua=zero,
        va=zero.copy(),
        ta=t0 * (np.maximum(frame.full_pressure(ps), _TOP) / p0) ** power,
        hus=zero.copy(),
        ps=ps,
        surface_geopotential=frame.surface_geopotential,
    )


def broad_mountain(frame: Frame) -> Float64:
    """Surface geopotential of ASP test 5-0-0 before truncation [m2 s-2], [lat, lon]."""
    r = frame.planet.radius * _arc(frame, 0.5 * np.pi, np.pi / 6.0)
    return np.asarray(2000.0 * frame.planet.gravity * np.exp(-((r / 1.5e6) ** 2)))


def mountain_rossby_wave(frame: Frame) -> GridState:
    """Solid-body rotation of isothermal air over the ground of `frame`; ASP test 5-0-0."""
    planet, u0, t0 = frame.planet, 20.0, 288.0
    thermal = planet.gas_constant_dry * t0
    phi = frame.latitude
    turning = planet.radius * u0 * (u0 / planet.radius + 2.0 * planet.rotation_rate)
    exponent = -0.5 * turning / thermal * (np.sin(phi) ** 2 - 1.0)
    return GridState(
        ua=np.broadcast_to(u0 * np.cos(phi), frame.shape).copy(),
        va=np.zeros(frame.shape),
        ta=np.full(frame.shape, t0),
        hus=np.zeros(frame.shape),
        ps=9.3e4 * np.exp(exponent - frame.surface_geopotential / thermal),
        surface_geopotential=frame.surface_geopotential,
    )


def rossby_haurwitz(frame: Frame) -> GridState:
    """The wave of zonal wavenumber 4 at every height over flat ground; ASP test 4-0-0."""
    planet, u0, t0, lapse, p_r, n = frame.planet, 50.0, 288.0, 0.0065, 9.55e4, 4
    layer = LayerFrame(
        sin_lat=frame.sin_lat,
        weights=np.zeros_like(frame.sin_lat),
        nlon=frame.nlon,
        planet=planet,
    )
    ua, va, shape = haurwitz_wave(layer, wavenumber=n, w=u0 / (n * planet.radius))
    power = planet.gas_constant_dry * lapse / planet.gravity
    ps = p_r * (1.0 + lapse / (planet.gravity * t0) * shape) ** (1.0 / power)
    return GridState(
        ua=np.broadcast_to(ua, frame.shape).copy(),
        va=np.broadcast_to(va, frame.shape).copy(),
        ta=t0 * (frame.full_pressure(ps) / p_r) ** power,
        hus=np.zeros(frame.shape),
        ps=ps,
        surface_geopotential=np.zeros(frame.shape[1:]),
    )
