"""The dynamical core gives the same bits on any number of ranks, whatever its levels and moisture.

Ranks are threads here, see ``team``; nothing is written.
"""

from dataclasses import fields

import numpy as np
import pytest
import torch
from team import on_ranks

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import GridState, to_spectral
from physics.dynamics.initial_ullrich import baroclinic_wave


def end(ranks, levels, dtype, tracers, moisture, steps=5):
    """The memory of the core, of the whole globe, after some steps."""

    def work(parallel):
        core = DynamicalCore(
            truncation=13, levels=HybridLevels.named(levels), planet=Planet(), dt=900.0,
            dtype=dtype, tracers=tracers, moisture=moisture, parallel=parallel,
        )  # fmt: skip
        state = baroclinic_wave(core.frame)
        own = {f.name: np.take(getattr(state, f.name), core.rows.own, -2) for f in fields(state)}
        core.start(to_spectral(core.equations, GridState(**own)), own["hus"])
        for _ in range(steps):
            x = core.grid_state()
            core.step({"ua": -x["ua"] / 86400.0, "ta": -(x["ta"] - 270.0) / 86400.0})
        spread = core.spread()
        return {
            n: spread[n].on_first(np.ascontiguousarray(a)) if n in spread else a
            for n, a in core.memory().items()
        }

    return on_ranks(ranks, work)[0]


def differing(one, other):
    return [n for n in one if not np.array_equal(one[n], other[n])]


@pytest.mark.parametrize("levels", ["hybrid7", "sigma9"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("tracers", "moisture"), [(0, "spectral"), (1, "spectral"), (1, "grid")])
def test_a_core_has_the_same_bits_on_two_three_and_five_ranks(levels, dtype, tracers, moisture):
    alone = end(1, levels, dtype, tracers, moisture)
    for ranks in (2, 3, 5):
        assert differing(alone, end(ranks, levels, dtype, tracers, moisture)) == [], ranks


def test_the_comparison_sees_one_step_more():
    setting = ("sigma9", torch.float32, 0, "spectral")
    different = differing(end(1, *setting), end(2, *setting, steps=6))
    assert {"spectral_now", "ua", "ps"} <= set(different)
