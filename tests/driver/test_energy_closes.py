"""Energy of the coupled model: nothing is lost among schemes, or between air and surface."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coupler.config import read_yaml
from coupler.driver.assemble import Assembly, assemble
from coupler.driver.loop import step
from coupler.interface.constants import Planet
from physics.surface.slab import Slab

AQUAPLANET = Path(__file__).parents[2] / "cases" / "aquaplanet_t21.yaml"
PLANET = Planet()
Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def model() -> Assembly:
    raw = read_yaml(AQUAPLANET) | {"precision": "float64"}
    raw["atmosphere"] |= {"truncation": 10, "dt": "20 min"}
    raw["surface"] |= {"nlat": 13, "nlon": 22}
    return assemble(raw, AQUAPLANET.parent)


def energy(x: dict[str, Array], dp: Array) -> Array:
    """c_p T + L q + kinetic energy of columns [J m-2]."""
    density = PLANET.cp_dry * x["ta"] + PLANET.latent_heat_vaporization * x["hus"]
    density = density + 0.5 * (x["ua"] ** 2 + x["va"] ** 2)
    return np.asarray((density * dp).sum(axis=0) / PLANET.gravity)


def into_surface(pool: Callable[[str], Array]) -> Array:
    down = pool("rsds") - pool("rsus") + pool("rlds") - pool("rlus")
    return np.asarray(down - pool("hfss") - pool("hfls"))


def test_a_column_gains_what_comes_through_its_ends_and_the_slab_what_comes_to_it(
    model: Assembly,
) -> None:
    suite, slab = model.suite, model.couplings["surface"].model
    assert isinstance(slab, Slab)
    grid = model.atmosphere.grid
    given, before = 0.0, slab.grid.mean(slab.heat())
    for n in range(9):  # one step of the surface, three hours
        start = {name: a.copy() for name, a in suite.start.items()}
        model.atmosphere.columns()
        dp = np.diff(suite.phalf, axis=0)
        dt = model.atmosphere.physics_dt()
        step(model)
        left = suite.after()
        gained = energy(left, dp) - energy(start, dp)
        pool = suite.pool.__getitem__
        net = into_surface(pool)
        through = pool("rsdt") - pool("rsut") - pool("rlut") - net
        # Sums of 1e9 J m-2, each rounded: 1e-13 of them is 1e-4 J m-2 beside gains of 1e5.
        np.testing.assert_allclose(gained, dt * through, atol=1e-2, rtol=0)
        assert np.abs(gained).max() > 1e4
        warmer = energy({**left, "ta": left["ta"] + 1e-6}, dp) - energy(start, dp)
        assert np.abs(warmer - dt * through).min() > 1.0, "a microkelvin must be seen"
        given += model.clock.step_length * grid.mean(net.reshape(grid.shape))
        if n < 8:
            assert slab.grid.mean(slab.heat()) == before
    stored = slab.grid.mean(slab.heat()) - before
    # Heat above 0 K is 1e10 J m-2: its rounding is 1e-6 J m-2, its sum's somewhat more.
    assert stored == pytest.approx(given, abs=1e-3)
    assert abs(given) > 1e4


def test_what_is_averaged_together_is_of_one_time(model: Assembly) -> None:
    """Pressure on interfaces ends with the surface pressure of the same moment."""
    live = dict(model.atmosphere.columns())
    for _ in range(3):
        before = live["ps"].copy()
        step(model)
        np.testing.assert_array_equal(live["phalf"][-1], live["ps"])
        assert np.abs(live["ps"] - before).max() > 1e-3, "a lag of one step must be seen"
