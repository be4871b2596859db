"""A step reuses its memory: nothing that grows with the number of levels is made anew."""

import tracemalloc

import pytest
import torch

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import to_spectral
from physics.dynamics.initial_ullrich import baroclinic_wave


def core_of(levels: int, moisture: str | None) -> DynamicalCore:
    core = DynamicalCore(
        truncation=13, levels=HybridLevels.sigma(levels), planet=Planet(), dt=900.0,
        dtype=torch.float32, tracers=0 if moisture is None else 1, moisture=moisture or "spectral",
    )  # fmt: skip
    core.start(to_spectral(core.equations, baroclinic_wave(core.frame)))
    forcing = {n: core.grid_state()[n] * 0.0 for n in ("ua", "va", "ta")}
    for _ in range(3):
        core.step(forcing)
    return core


def allocated(core: DynamicalCore) -> int:
    """Bytes of all tensors that one step makes."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        core.step()
    return sum(max(0, e.self_cpu_memory_usage) for e in profile.events())


@pytest.mark.parametrize("moisture", [None, "grid"])
def test_a_step_makes_no_tensor_that_grows_with_the_levels(moisture: str | None) -> None:
    few, many = allocated(core_of(5, moisture)), allocated(core_of(23, moisture))
    core = core_of(5, moisture)
    plane = 8 * core.transform.nlat * core.transform.nlon
    assert few == many, (few, many)
    assert few < 4 * plane  # surface pressure in float64, and the like


def test_the_measure_sees_a_step_that_does_allocate() -> None:
    """Control: the torch expressions, which gradients need, make a field for each operation."""
    sizes = []
    for levels in (5, 23):
        core = core_of(levels, None)
        core.equations.fused = False
        sizes.append(allocated(core))
    assert sizes[1] > 4 * sizes[0] > 0


def test_steps_leave_nothing_behind() -> None:
    core = core_of(7, "grid")
    tracemalloc.start()
    try:
        core.step()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            core.step()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # One field of numbers would be 32 kB; interned small objects come and go.
    assert grown < 8000, grown
