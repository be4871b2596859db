"""The planet of published dry waves, and what their starts are built on."""

import numpy as np

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.initial import Frame

PLANET = Planet(
    radius=6.37122e6, rotation_rate=7.292e-5, gravity=9.80616, gas_constant_dry=287.0,
    cp_dry=1004.5,
)  # fmt: skip


def frame(nlat, nlev):
    """Flat ground on a Gaussian grid of `nlat` latitudes, with equal sigma layers."""
    levels = HybridLevels.sigma(nlev)
    return Frame(
        sin_lat=np.polynomial.legendre.leggauss(nlat)[0], nlon=2 * nlat, a=levels.a, b=levels.b,
        planet=PLANET, surface_geopotential=np.zeros((nlat, 2 * nlat)),
    )  # fmt: skip
