"""Humidity on the grid inside the dynamical core: conservation, bounds, sources, refusals."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.atmosphere import SpectralParameters
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import to_spectral
from physics.dynamics.initial_ullrich import baroclinic_wave
from physics.dynamics.moisture import GridMoisture

DT = 2400.0


def moist_core(moisture="grid", dtype=torch.float64, hus=None, **options):
    core = DynamicalCore(
        truncation=21, levels=HybridLevels.named("hybrid9"), planet=Planet(), dt=DT, dtype=dtype,
        moisture=moisture, **options,
    )  # fmt: skip
    state = baroclinic_wave(core.frame, moist=True)
    core.start(to_spectral(core.equations, state), state.hus if hus is None else hus(state.hus))
    return core


def water_changes(core, steps):
    """Relative change of the mass of water in each step."""
    water = [core.integrals()["water"]]
    for _ in range(steps):
        core.step()
        water.append(core.integrals()["water"])
    return np.abs(np.diff(water)) / water[0]


def test_water_is_kept_to_rounding_in_every_step_and_without_a_fixer():
    core = moist_core()
    assert water_changes(core, 72).max() < 1e-12
    assert core.moisture.filled == core.moisture.made == 0.0
    assert abs(core.mass_fix) < 1e-7  # the air's fixer, which the tracer's mass does not feel


def test_spectral_transport_does_not_keep_water():
    """The control."""
    assert water_changes(moist_core("spectral"), 72).max() > 1e-8


def sharp(hus):
    """Moist in the tropics, dry elsewhere, with a step between."""
    box = np.zeros_like(hus)
    box[4:, 10:22] = 1e-2  # of 32 rows
    return box


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_step_in_humidity_stays_within_its_bounds(dtype):
    core = moist_core(hus=sharp, dtype=dtype)
    for _ in range(37):
        core.step()
    q = core.grid_state()["hus"][:, ::-1]
    # The air's fixer changes mixing ratios by its own size: 1e-7 in all steps together.
    assert q.min() >= 0.0 and q.max() <= 1e-2 * (1.0 + 1e-6 + 100 * np.finfo(q.dtype).eps)
    assert q[:, 9].max() > 1e-5 and q[:, 9].min() < 1e-9  # northern edge: something did move


def test_the_same_step_rings_when_it_is_spectral():
    """The control."""
    core = moist_core("spectral")
    state = baroclinic_wave(core.frame, moist=True)
    spec = to_spectral(core.equations, state)
    q = torch.tensor(sharp(state.hus))
    with torch.no_grad():
        spec[:, :, core.equations.tracer_slice] = core.transform.analysis(q)
    core.start(spec)
    core.step()
    assert core.grid_state()["hus"].min() < -1e-4


def test_uniform_humidity_stays_uniform_but_for_the_change_of_the_mass_of_air():
    core = moist_core(hus=lambda hus: np.full_like(hus, 5e-3))
    change = 0.0
    for _ in range(36):
        core.step()
        change += abs(core.moisture.transport.air_change)
    assert change < 1e-6
    spread = np.abs(core.grid_state()["hus"] / 5e-3 - 1.0).max()
    assert spread <= change + 1e-11  # rounding of fluxes between thin layers; seen: 2e-12


def test_the_closing_flux_is_a_small_part_of_the_wind():
    core = moist_core()
    for _ in range(20):
        core.step()
    shift = core.moisture.transport.closing_shift
    assert 0.0 < shift < 0.02 * core.integrals()["max_wind"] * DT


def test_water_changes_by_exactly_what_the_schemes_report():
    core = moist_core()
    rate = -core.grid_state()["hus"] / (5.0 * 86400.0)
    core.step({"hus": rate})  # the start shows the same state again: its rate is applied once
    for _ in range(6):
        before, state = core.integrals()["water"], core.grid_state()
        rate = -state["hus"] / (5.0 * 86400.0)
        removed = core.moisture.transport.mass(rate, state["ps"]) / core.planet.gravity * DT
        core.step({"hus": rate})
        assert abs(core.integrals()["water"] - before - removed) < 1e-12 * before


def test_dry_air_is_kept_while_water_leaves():
    core = moist_core()
    start = core.integrals()
    for _ in range(200):
        core.step({"hus": -core.grid_state()["hus"] / (3.0 * 86400.0)})
    end = core.integrals()
    assert end["water"] < 0.3 * start["water"]
    assert abs(end["dry_mass"] / start["dry_mass"] - 1.0) < 1e-12


def test_a_rate_that_overdraws_borrows_from_the_column_and_is_reported():
    core = moist_core()
    core.step()
    rate = np.zeros_like(core.grid_state()["hus"])
    rate[6, 16, 5] = -2.0 * core.grid_state()["hus"][6, 16, 5] / DT
    before = core.integrals()["water"]
    removed = core.moisture.transport.mass(rate, core.grid_state()["ps"]) / core.planet.gravity * DT
    core.step({"hus": rate})
    assert core.grid_state()["hus"].min() >= 0.0
    assert core.moisture.filled > 0.0 and core.moisture.made == 0.0
    assert abs(core.integrals()["water"] - before - removed) < 1e-12 * before
    rate = -2.0 * core.grid_state()["hus"] / DT
    core.step({"hus": rate})
    assert core.moisture.made > 0.9 * before
    assert core.integrals()["water"] == 0.0


def test_a_moist_flow_stays_close_to_the_spectral_one():
    cores = [moist_core("grid"), moist_core("spectral")]
    for core in cores:
        for _ in range(73):
            core.step()
    one, other = (core.grid_state() for core in cores)
    assert np.abs(one["ta"] - other["ta"]).max() < 1.0
    assert np.abs(one["ps"] - other["ps"]).max() < 50.0
    difference = np.abs(one["hus"] - other["hus"])[-3:]  # above, spectral humidity is ringing
    assert difference.mean() < 0.01 * other["hus"][-3:].mean()


def test_humidity_on_the_grid_acts_on_the_flow_as_it_does_in_the_spectral_form():
    """Virtual temperature: the first right-hand side is the same, and not the dry one."""
    cores = [moist_core(m) for m in ("grid", "spectral")]
    dry = moist_core(hus=np.zeros_like)
    for core in (*cores, dry):
        core.step()
    now = [core._now[:, :, :27] for core in (*cores, dry)]
    difference = float((now[0] - now[1]).abs().max())
    assert difference < 1e-3 * float((now[0] - now[2]).abs().max())


def test_moisture_on_the_grid_needs_a_tracer():
    core = moist_core()
    with pytest.raises(ValueError, match="at least one tracer on the CPU"):
        GridMoisture(transform=core.transform, vertical=core.vertical, planet=core.planet, names=())


def test_an_unknown_way_of_transport_is_refused():
    with pytest.raises(ValidationError, match="grid"):
        SpectralParameters.model_validate({"moisture": "gird"})
