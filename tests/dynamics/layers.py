"""One-layer cores on the planet of Williamson et al. (1992), and norms that several tests use."""

import numpy as np
import torch

from coupler.interface.constants import Planet
from physics.dynamics.shallow_water import LayerCore, LayerDiffusion
from physics.dynamics.shallow_water_initial import LAYER_STATES, LayerFrame

EARTH_1992 = Planet(radius=6.37122e6, rotation_rate=7.292e-5, gravity=9.80616)
NU = {21: 5e16, 42: 5e15, 63: 1e15, 85: 3e14}
"""del^4 coefficients of the reference runs [m4 s-1] (T21: for quick tests only)."""


def layer(truncation, dt, initial, *, tilt=0.0, stepping="rk4", **options):
    """A core at the start of a named state, and the state."""
    core = LayerCore(
        truncation=truncation, planet=EARTH_1992, dt=dt, tilt=tilt, stepping=stepping, **options
    )  # fmt: skip
    tr, g = core.transform, EARTH_1992.gravity
    frame = LayerFrame(
        sin_lat=tr.sin_lat, weights=tr.gauss_weights, nlon=tr.nlon, planet=EARTH_1992, tilt=tilt
    )  # fmt: skip
    state = LAYER_STATES[initial](frame)
    core.start(state.ua, state.va, g * state.height, g * state.ground)
    return core, state


def del4(truncation):
    return LayerDiffusion(coefficient=NU[truncation], power=2)


def run(core, days):
    """Steps `core` on by so many days and returns it."""
    for _ in range(round(days * 86400.0 / core.dt)):
        core.step()
    return core


def l2(core, field, true):
    """Normalised l2 error of a field [lat, lon]."""
    return float(np.sqrt(core.mean((field - true) ** 2) / core.mean(true**2)))


def error(core, fine):
    """Normalised l2 error of height against a finer run, truncated as `core` is."""
    truth = fine.transform.to_complex(fine.coefficients())[2:]
    size = core.transform.truncation + 1
    with torch.no_grad():
        spec = core.transform.from_complex(truth[:, :size, :size])
        grid = core.transform.synthesis(spec)[0].numpy() + fine.reference
    return l2(core, core.newest()["zg"], grid / EARTH_1992.gravity)


def relative_change(core, before):
    """Of each integral, against `before`."""
    now = core.integrals()
    return {name: now[name] / before[name] - 1.0 for name in before}
