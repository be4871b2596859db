"""Pressure and height on model levels: the compiled pass against the expressions in torch."""

import numpy as np
import pytest
import torch

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import to_spectral
from physics.dynamics.initial_states import INITIAL_STATES


@pytest.mark.parametrize("tracers", [0, 1])
@pytest.mark.parametrize("levels", [HybridLevels.sigma(7), HybridLevels.named("hybrid30")])
def test_compiled_pass_gives_what_the_torch_expressions_give(
    levels: HybridLevels, tracers: int
) -> None:
    core = DynamicalCore(
        truncation=10, levels=levels, planet=Planet(), dt=600.0, dtype=torch.float64,
        tracers=tracers, moisture="grid",
    )  # fmt: skip
    state = INITIAL_STATES["jablonowski_williamson"](core.frame)
    humidity = np.full(state.hus.shape, 0.012)  # so that the virtual temperature counts
    mountain = torch.zeros_like(core.surface_geopotential)
    mountain[1, 0, 0, 2] = 3000.0
    core.set_surface(mountain)
    core.start(to_spectral(core.equations, state), humidity)
    k, nlat, nlon = state.ta.shape
    shapes = {"pfull": k, "zg": k, "phalf": k + 1, "zghalf": k + 1}
    compiled = {n: np.full((size, nlat, nlon), np.nan) for n, size in shapes.items()}
    plain = {n: np.full((size, nlat, nlon), np.nan) for n, size in shapes.items()}
    core.pressure_and_height(compiled)
    core.equations.fused = False
    core.pressure_and_height(plain)
    for name, array in plain.items():
        # heights are sums of 30 terms of up to 1e5 m2 s-2
        np.testing.assert_allclose(compiled[name], array, rtol=1e-12, atol=1e-9, err_msg=name)
    assert np.ptp(plain["zghalf"][-1]) > 100.0  # the mountain
    top = compiled["zghalf"][0]
    assert np.isfinite(top).all()
    assert (top > compiled["zg"][0]).all()
