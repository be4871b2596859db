r"""Initial states of one layer of fluid, by name.

williamson_2        steady zonal flow in geostrophic balance, u0 = 2 pi a / (12 days)
williamson_5        zonal flow of 20 m/s over an isolated mountain of 2000 m
rossby_haurwitz     wave of zonal wavenumber 4, case 6; non-divergent, so it serves both equations
galewsky            jet in balance with a bump of height that lets it roll up
galewsky_steady     the same jet without the bump

Sources: Williamson, D. L. et al. (1992), J. Comput. Phys. 102, 211-224,
doi:10.1016/S0021-9991(05)80016-6 (section 3, cases 2, 5 and 6); Galewsky, J., R. K. Scott and
L. M. Polvani (2004), Tellus A 56, 429-440, doi:10.3402/tellusa.v56i5.14436.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coupler.interface.constants import SECONDS_PER_DAY, Planet

F64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LayerState:
    """A state on the grid, float64, latitudes south to north.

    Attributes:
        ua, va: wind [m s-1], [lat, lon].
        height: of the free surface [m], [lat, lon].
        ground: height of the ground [m], [lat, lon].
    """

    ua: F64
    va: F64
    height: F64
    ground: F64


@dataclass(frozen=True, kw_only=True)
class LayerFrame:
    """What an initial state is built on.

    Attributes:
        sin_lat: of the Gaussian latitudes [1], [lat].
        weights: Gaussian weights, sum 2, [lat].
        nlon: number of longitudes, from 0 east.
        planet: constants.
        tilt: angle between the axis of rotation and that of the grid [rad].
    """

    sin_lat: F64
    weights: F64
    nlon: int
    planet: Planet
    tilt: float = 0.0

    @property
    def latitude(self) -> F64:
        """[rad], [lat, 1]."""
        return np.arcsin(self.sin_lat)[:, None]

    @property
    def longitude(self) -> F64:
        """[rad], [1, lon]."""
        return (2.0 * np.pi / self.nlon) * np.arange(self.nlon, dtype=np.float64)[None, :]

    def full(self, field: F64) -> F64:
        """`field` on the whole grid, [lat, lon]."""
        return np.broadcast_to(field, (self.sin_lat.size, self.nlon)).copy()


def _solid_body(frame: LayerFrame, u0: float, h0: float) -> LayerState:
    """Solid-body rotation about the tilted axis, in balance; h0 [m] is where the axis' f is 0."""
    planet, al = frame.planet, frame.tilt
    phi, lam = frame.latitude, frame.longitude
    axis = np.sin(phi) * np.cos(al) - np.cos(lam) * np.cos(phi) * np.sin(al)
    slope = planet.radius * planet.rotation_rate * u0 + 0.5 * u0 * u0
    return LayerState(
        ua=frame.full(u0 * (np.cos(phi) * np.cos(al) + np.sin(phi) * np.cos(lam) * np.sin(al))),
        va=frame.full(-u0 * np.sin(lam) * np.sin(al)),
        height=frame.full(h0 - slope * axis**2 / planet.gravity),
        ground=frame.full(np.zeros_like(axis)),
    )


def williamson_2(frame: LayerFrame) -> LayerState:
    """Case 2: steady zonal flow about the tilted axis."""
    u0 = 2.0 * np.pi * frame.planet.radius / (12.0 * SECONDS_PER_DAY)
    return _solid_body(frame, u0, 2.94e4 / frame.planet.gravity)


def williamson_5(frame: LayerFrame) -> LayerState:
    """Case 5: zonal flow over a cone at 90 W, 30 N."""
    state = _solid_body(frame, 20.0, 5960.0)
    width = np.pi / 9.0
    east, north = frame.longitude - 1.5 * np.pi, frame.latitude - np.pi / 6.0
    distance = np.sqrt(np.minimum(width**2, east**2 + north**2))
    return LayerState(
        ua=state.ua,
        va=state.va,
        height=state.height,
        ground=frame.full(2000.0 * (1.0 - distance / width)),
    )


def haurwitz_wave(
    frame: LayerFrame, *, wavenumber: int = 4, w: float = 7.848e-6
) -> tuple[F64, F64, F64]:
    """Winds u, v [m s-1] and the balanced geopotential less its depth [m2 s-2], [lat, lon].

    Args:
        frame: grid and planet.
        wavenumber: R, around a circle of latitude.
        w: angular speed of the zonal flow, and strength K of the wave [s-1].
    """
    a, om = frame.planet.radius, frame.planet.rotation_rate
    k, r = w, float(wavenumber)
    phi, lam = frame.latitude, frame.longitude
    s, c = np.sin(phi), np.cos(phi)
    wave = a * k * c ** (r - 1.0)
    ua = a * w * c + wave * (r * s**2 - c**2) * np.cos(r * lam)
    va = -wave * r * s * np.sin(r * lam)
    zonal = 0.5 * w * (2.0 * om + w) * c**2 + 0.25 * k * k * c ** (2.0 * r) * (
        (r + 1.0) * c**2 + (2.0 * r**2 - r - 2.0) - 2.0 * r**2 / c**2
    )
    first = 2.0 * (om + w) * k / ((r + 1.0) * (r + 2.0)) * c**r
    first = first * ((r**2 + 2.0 * r + 2.0) - (r + 1.0) ** 2 * c**2)
    second = 0.25 * k * k * c ** (2.0 * r) * ((r + 1.0) * c**2 - (r + 2.0))
    shape = zonal + first * np.cos(r * lam) + second * np.cos(2.0 * r * lam)
    return frame.full(ua), frame.full(va), frame.full(a * a * shape)


def rossby_haurwitz(frame: LayerFrame) -> LayerState:
    """Case 6: wave of zonal wavenumber R = 4, w = K = 7.848e-6 1/s."""
    ua, va, shape = haurwitz_wave(frame)
    height = 8000.0 + shape / frame.planet.gravity
    return LayerState(ua=ua, va=va, height=height, ground=np.zeros_like(shape))


def _jet(phi: F64) -> F64:
    """Wind of the jet [m s-1] at latitudes [rad]."""
    south, north = np.pi / 7.0, 0.5 * np.pi - np.pi / 7.0
    inside = (phi > south) & (phi < north)
    gap = np.where(inside, (phi - south) * (phi - north), -1.0)
    peak = np.exp(-4.0 / (north - south) ** 2)
    return np.asarray(np.where(inside, 80.0 / peak * np.exp(1.0 / gap), 0.0))


def galewsky(frame: LayerFrame, *, perturbed: bool = True) -> LayerState:
    """A jet of 80 m/s at 45 N in gradient balance; mean depth 10 km before the bump is added.

    Args:
        frame: grid and planet.
        perturbed: add 120 m of height near 0 E, 45 N.
    """
    a, om, g = frame.planet.radius, frame.planet.rotation_rate, frame.planet.gravity
    phi, lam = frame.latitude, frame.longitude
    # The integral from the south pole, by 64 Gauss points between neighbouring latitudes: the
    # integrand is smooth to all orders, and what is left is round-off.
    edges = np.concatenate([[-0.5 * np.pi], phi[:, 0]])
    x, weight = np.polynomial.legendre.leggauss(64)
    half = 0.5 * np.diff(edges)[:, None]
    points = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * x
    u = _jet(points)
    slope = a * u * (2.0 * om * np.sin(points) + np.tan(points) * u / a)
    height = -np.cumsum((slope * weight * half).sum(axis=1))[:, None] / g
    height = height - float(0.5 * frame.weights @ height[:, 0]) + 1.0e4
    if perturbed:
        east = np.where(lam > np.pi, lam - 2.0 * np.pi, lam)
        bump = np.exp(-((3.0 * east) ** 2)) * np.exp(-((15.0 * (0.25 * np.pi - phi)) ** 2))
        height = height + 120.0 * np.cos(phi) * bump
    zero = np.zeros_like(phi)
    return LayerState(
        ua=frame.full(_jet(phi)),
        va=frame.full(zero),
        height=frame.full(height),
        ground=frame.full(zero),
    )


def galewsky_steady(frame: LayerFrame) -> LayerState:
    """:func:`galewsky` without the bump."""
    return galewsky(frame, perturbed=False)


LAYER_STATES: dict[str, Callable[[LayerFrame], LayerState]] = {
    "williamson_2": williamson_2,
    "williamson_5": williamson_5,
    "rossby_haurwitz": rossby_haurwitz,
    "galewsky": galewsky,
    "galewsky_steady": galewsky_steady,
}
TILTED = ("williamson_2",)
"""States that are meant for any tilt; the others are balanced for none."""


def rossby_haurwitz_speed(planet: Planet, *, wavenumber: int = 4, w: float = 7.848e-6) -> float:
    """Eastward angular speed of the non-divergent wave [rad s-1]."""
    r = float(wavenumber)
    drift = r * (3.0 + r) * w - 2.0 * planet.rotation_rate
    return drift / ((1.0 + r) * (2.0 + r))
