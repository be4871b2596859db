"""Cores and norms that several tests use."""

import numpy as np
import torch

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import (
    filtered_orography,
    isothermal_rest,
    jablonowski_williamson,
    to_spectral,
)

EARTH_2006 = Planet(
    radius=6.371229e6, rotation_rate=7.29212e-5, gravity=9.80616,
    gas_constant_dry=287.0, cp_dry=1004.5,
)  # fmt: skip


def begin(core, state):
    with torch.no_grad():
        core.start(to_spectral(core.equations, state))
    return core


def wave_2006(truncation, nlev, dt, *, perturbed, dtype=torch.float64, tracers=0, **options):
    """Jablonowski and Williamson (2006) on equal sigma layers."""
    core = DynamicalCore(
        truncation=truncation, levels=HybridLevels.sigma(nlev), planet=EARTH_2006, dt=dt,
        dtype=dtype, tracers=tracers, **options,
    )  # fmt: skip
    state = jablonowski_williamson(core.frame, perturbed=perturbed)
    core.set_surface(filtered_orography(core.transform, state.surface_geopotential, taper=False))
    return begin(core, state)


def mountain_2012(core):
    """Surface height [m] of DCMIP 2012 test 2-0-0, [lat, lon]."""
    frame = core.frame
    phi, lam = frame.latitude, frame.longitude
    r = np.arccos(np.clip(np.cos(phi) * np.cos(lam - 1.5 * np.pi), -1.0, 1.0))
    shape = 0.5 * (1.0 + np.cos(4.0 * r / 3.0)) * np.cos(16.0 * r) ** 2
    return np.where(r < 0.75 * np.pi, 2000.0 * shape, 0.0)


def broad_mountain(core):
    """A single cone [m] of 2000 m height, resolved at T21, [lat, lon]."""
    frame = core.frame
    phi, lam = frame.latitude, frame.longitude
    r = np.arccos(np.clip(np.cos(phi) * np.cos(lam - 1.5 * np.pi), -1.0, 1.0))
    return np.where(r < 0.75 * np.pi, 1000.0 * (1.0 + np.cos(4.0 * r / 3.0)), 0.0)


def over_mountain(
    truncation,
    levels,
    dt,
    *,
    state=isothermal_rest,
    planet=None,
    mountain=mountain_2012,
    **options,
):
    """A state at rest over the filtered mountain."""
    planet = planet or Planet(rotation_rate=0.0, gravity=9.80616, gas_constant_dry=287.0)
    core = DynamicalCore(
        truncation=truncation, levels=levels, planet=planet, dt=dt, tracers=0, **options
    )
    height = mountain(core)
    core.set_surface(filtered_orography(core.transform, height * planet.gravity))
    return begin(core, state(core.frame))


def max_wind(core):
    return core.integrals()["max_wind"]


def mass_weighted_rms(core, field):
    """Root mean square over the globe and sigma thickness."""
    w = 0.5 * core.transform.gauss_weights
    return float(np.sqrt(np.diff(core.levels.b) @ ((field**2).mean(-1) @ w)))
