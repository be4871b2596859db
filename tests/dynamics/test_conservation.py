"""What the flow must keep: dry air with and without water, energy, angular momentum."""

import numpy as np
import pytest
import torch

from cases import begin, wave_2006
from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import held_suarez_start
from physics.dynamics.initial_ullrich import baroclinic_wave
from physics.dynamics.leapfrog import Diffusion, TimeFilter


def moist_core(dtype, *, fix_mass=True, dt=2400.0):
    core = DynamicalCore(
        truncation=21, levels=HybridLevels.named("hybrid9"), planet=Planet(), dt=dt, dtype=dtype,
        fix_mass=fix_mass,
    )  # fmt: skip
    return begin(core, baroclinic_wave(core.frame, moist=True))


def drift_with_rain(dtype, *, fix_mass=True):
    """Relative drift of dry air over 10 days in which a sink removes water."""
    core = moist_core(dtype, fix_mass=fix_mass)
    start = core.integrals()
    for _ in range(361):
        core.step({"hus": -core.grid_state()["hus"] / (5.0 * 86400.0)})
    end = core.integrals()
    assert end["water"] < 0.3 * start["water"]
    return end["dry_mass"] / start["dry_mass"] - 1.0


# The fixer acts on ln ps: rounding of ps is what is left (many points, so far below epsilon).
@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float64, 1e-10), (torch.float32, 1e-6)], ids=["f64", "f32"]
)
def test_dry_air_is_kept_for_ten_days_while_water_leaves(dtype, limit):
    assert abs(drift_with_rain(dtype)) < limit


def test_without_the_fixer_dry_air_drifts():
    """The control: the sink takes 20 kg/m2 of water and leaves surface pressure as it is."""
    assert abs(drift_with_rain(torch.float64, fix_mass=False)) > 1e-4


def test_the_fixer_reports_what_it_did():
    core = moist_core(torch.float64)
    core.step()
    assert core.mass_fix == 0.0
    for _ in range(3):
        core.step({"hus": -core.grid_state()["hus"] / 86400.0})
    assert -1e-3 < core.mass_fix < -1e-7


def test_total_mass_is_nearly_kept_without_the_fixer():
    core = wave_2006(31, 13, 1800.0, perturbed=True, fix_mass=False)
    start = core.integrals()["dry_mass"]
    for _ in range(97):
        core.step()
    # ln ps is not a conserved form: what is left is the error of the time step (next test).
    assert abs(core.integrals()["dry_mass"] / start - 1.0) < 1e-8


def test_mass_energy_and_angular_momentum_are_kept_in_space_and_to_second_order_in_time():
    changes = []
    for dt in (1200.0, 600.0):
        core = wave_2006(
            21,
            13,
            dt,
            perturbed=True,
            fix_mass=False,
            diffusion=Diffusion(timescale=1e12),
            time_filter=TimeFilter(strength=0.0),
        )
        start = core.integrals()
        for _ in range(round(86400.0 / dt) + 1):
            core.step()
        end = core.integrals()
        names = ("dry_mass", "energy", "angular_momentum")
        changes.append(np.array([end[n] / start[n] - 1.0 for n in names]))
    # Simmons-Burridge differences conserve all three; the leapfrog does to order dt^2: a factor 4.
    assert np.all(np.abs(changes[1]) < [1e-9, 1e-8, 1e-7])
    ratio = changes[0] / changes[1]
    assert np.all((ratio > 2.5) & (ratio < 5.5)), ratio


def test_zero_tendencies_leave_the_trajectory_bitwise_unchanged():
    cores = [moist_core(torch.float32), moist_core(torch.float32)]
    shape = cores[0].grid_state()["ua"].shape
    zero = {n: np.zeros(shape, np.float32) for n in ("ua", "va", "ta", "hus")}
    for _ in range(4):
        cores[0].step()
        cores[1].step(zero)
    states = [core.newest() for core in cores]
    for name in states[0]:
        assert np.array_equal(states[0][name], states[1][name]), name


def test_a_uniform_heating_of_one_kelvin_a_day_warms_by_one_kelvin_in_a_day():
    core = DynamicalCore(
        truncation=10, levels=HybridLevels.sigma(7), planet=Planet(), dt=1800.0,
        dtype=torch.float64, tracers=0,
    )  # fmt: skip
    begin(core, held_suarez_start(core.frame))
    start = core.newest()["ta"].mean()
    heating = {"ta": np.full(core.grid_state()["ta"].shape, 1.0 / 86400.0)}
    for _ in range(48):
        core.step(heating)
    # The unweighted mean moves by the waves of the 0.1 K noise too; the coefficient (0, 0) of T is
    # heated exactly, compression aside.
    assert abs(core.newest()["ta"].mean() - start - 1.0) < 1e-3


def test_a_torque_of_known_size_appears_in_the_angular_momentum():
    core = DynamicalCore(
        truncation=21, levels=HybridLevels.sigma(7), planet=Planet(), dt=1200.0,
        dtype=torch.float64, tracers=0, diffusion=Diffusion(timescale=1e12),
    )  # fmt: skip
    begin(core, held_suarez_start(core.frame))
    cos = core.transform.cos_lat[None, :, None]
    push = 1e-6 * cos * np.ones_like(core.grid_state()["ua"])
    first = core.integrals()["angular_momentum"]
    for _ in range(37):
        core.step({"ua": push, "va": np.zeros_like(push)})
    gained = core.integrals()["angular_momentum"] - first
    # mean over the sphere of cos^2 is 2/3; a cos(phi) is the arm; mass is ps/g.
    expected = 1e-6 * 6.371e6 * (2.0 / 3.0) * (1e5 / 9.80665) * 12.0 * 3600.0
    assert abs(gained / expected - 1.0) < 2e-3  # ps varies by 0.1 % under the noise
