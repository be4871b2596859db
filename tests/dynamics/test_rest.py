"""States at rest: no motion where there is no force."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cases import begin, broad_mountain, max_wind, over_mountain
from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import isothermal_rest, standard_rest


# Float64: rounding of pressure and geopotential, 1e-16 of 1e5 m2/s2. Float32: 1e-7 of it.
@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float64, 1e-9), (torch.float32, 1e-3)], ids=["f64", "f32"]
)
@pytest.mark.parametrize("temperature", [300.0, 250.0])
def test_an_isothermal_atmosphere_stays_at_rest_for_ten_days(temperature, dtype, limit):
    core = DynamicalCore(
        truncation=10, levels=HybridLevels.named("hybrid9"), planet=Planet(), dt=3600.0, dtype=dtype
    )
    begin(core, isothermal_rest(core.frame, temperature=temperature))
    for _ in range(240):
        core.step()
    assert max_wind(core) < limit


@pytest.mark.parametrize("levels", ["sigma11", "hybrid11"])
def test_isothermal_rest_over_a_mountain_is_exact_at_the_reference_temperature(levels):
    core = over_mountain(21, HybridLevels.named(levels), 1800.0, dtype=torch.float64)
    for _ in range(96):
        core.step()
    assert core.surface_grid().max() > 5e3  # there is a mountain
    assert max_wind(core) < 1e-6


@pytest.mark.parametrize(("levels", "limit"), [("sigma11", 1e-6), ("hybrid11", 1e-2)])
def test_isothermal_rest_over_a_mountain_leaves_only_aliasing_at_other_temperatures(levels, limit):
    def cool(frame):
        return isothermal_rest(frame, temperature=250.0)

    core = over_mountain(21, HybridLevels.named(levels), 1800.0, dtype=torch.float64, state=cool)
    for _ in range(96):
        core.step()
    assert max_wind(core) < limit


def lapse_rest(frame):
    """DCMIP 2012 test 2-0-0: T = T0 - Gamma z, exact in z, not in the discrete hydrostatics."""
    t0, lapse = 300.0, 0.0065
    exponent = frame.planet.gravity / (frame.planet.gas_constant_dry * lapse)
    z = frame.surface_geopotential / frame.planet.gravity
    state = isothermal_rest(frame, temperature=t0)
    ps = 1e5 * (1.0 - lapse * z / t0) ** exponent
    ta = t0 * (frame.full_pressure(ps) / 1e5) ** (1.0 / exponent)
    return replace(state, ps=ps, ta=ta)


def test_pressure_gradient_error_over_a_broad_mountain_falls_with_more_levels():
    winds = []
    for nlev in (8, 16, 32):
        core = over_mountain(
            21,
            HybridLevels.named(f"hybrid{nlev}"),
            1200.0,
            dtype=torch.float64,
            state=lapse_rest,
            mountain=broad_mountain,
        )
        for _ in range(72):
            core.step()
        winds.append(max_wind(core))
    assert winds[1] < 0.6 * winds[0]
    assert winds[2] < 0.6 * winds[1]
    assert winds[2] < 0.2


@pytest.mark.slow
def test_pressure_gradient_error_of_dcmip_2012_2_0_0_at_t85l30():
    core = over_mountain(85, HybridLevels.sigma(30), 600.0, dtype=torch.float64, state=lapse_rest)
    for _ in range(864):
        core.step()
    print("max wind after 6 days", max_wind(core))
    assert max_wind(core) < 1.0


def test_the_standard_atmosphere_is_nearly_balanced_over_a_mountain():
    core = over_mountain(
        21, HybridLevels.named("hybrid30"), 1200.0, state=standard_rest, dtype=torch.float32
    )
    for _ in range(72):
        core.step()
    # Pressure-gradient error of hybrid levels over 2000 m of relief at the truncation limit.
    assert max_wind(core) < 2.0


def test_height_pressure_and_geopotential_are_those_of_an_isothermal_column():
    core = DynamicalCore(
        truncation=10, levels=HybridLevels.named("hybrid19"), planet=Planet(), dt=1800.0,
        dtype=torch.float64,
    )  # fmt: skip
    begin(core, isothermal_rest(core.frame, temperature=270.0))
    k, nlat, nlon = core.equations.omega_p.shape
    x = {n: np.zeros((k, nlat, nlon)) for n in ("pfull", "zg")}
    x |= {n: np.zeros((k + 1, nlat, nlon)) for n in ("phalf", "zghalf")}
    core.pressure_and_height(x)
    scale = 287.04 * 270.0 / 9.80665
    assert np.allclose(x["zghalf"][1:], -scale * np.log(x["phalf"][1:] / 1e5), rtol=0, atol=1e-8)
    assert np.allclose(x["zg"], -scale * np.log(x["pfull"] / 1e5), rtol=0, atol=1e-8)
    assert np.all(np.diff(x["zghalf"], axis=0) < 0.0)
    assert np.all(np.diff(x["phalf"], axis=0) > 0.0)


def test_what_is_the_same_all_over_a_level_pushes_nothing_in_float32():
    """The control: without the level's energy taken off, rounding of 1e5 m2/s2 pushes the air."""
    core = DynamicalCore(
        truncation=21, levels=HybridLevels.named("hybrid9"), planet=Planet(), dt=1800.0,
        dtype=torch.float32,
    )  # fmt: skip
    eq, usual = core.equations, core._level_energy
    spec = torch.zeros_like(core._now)
    spec[0, 0, eq.temperature_slice, 0] = -50.0
    core.start(spec)

    def push(level_energy):
        with torch.no_grad():
            g = eq.to_grid(core._now)
            rate = eq.tendency(core._now, g, core.surface_geopotential, level_energy=level_energy)
        return float(rate[:, :, eq.divergence_slice].abs().max())

    assert float(usual.abs().max()) > 5e4
    assert push(usual) < 0.01 * push(None)
    with torch.no_grad():
        eager = eq.grid_tendency(eq.to_grid(core._now), {}, usual)
        compiled = eq._fused_tendency(eq.to_grid(core._now), {}, usual)
    energies = slice(2 * core.levels.nlev, 3 * core.levels.nlev)
    # The rounding of 1e5 m2/s2, a few times.
    assert float((eager - compiled)[energies].abs().max()) < 0.1
