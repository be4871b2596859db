"""The stratosphere case runs, with drag of gravity waves and a momentum budget that closes."""

from pathlib import Path

import numpy as np
import pytest

from coupler import Simulation
from coupler.config import read_yaml
from coupler.driver import loop
from coupler.driver.assemble import check

CASES = Path(__file__).resolve().parents[2] / "cases"


@pytest.mark.parametrize("name", ["stratosphere_t21", "stratosphere_t42", "qbo_1d"])
def test_the_case_has_nothing_wrong(name):
    assert check(read_yaml(CASES / f"{name}.yaml"), CASES) == []


def test_two_days_are_stable_and_the_drag_takes_no_momentum_from_a_column(tmp_path):
    sim = Simulation.from_case(
        CASES / "stratosphere_t21.yaml",
        set={"days": 2, "precision": "float64", "output.interval": 1},
        out=tmp_path / "run",
    )
    sim.run(quiet=True)
    model = sim.model
    loop.step(model)  # a step at which the scheme is not called, as is the next one
    model.atmosphere.columns()
    model.suite.run(model.clock.now)
    bound = next(p for p in model.suite.processes if p.name == "gravity_wave").schemes[0]
    assert model.clock.now.step % bound.every
    mass = np.diff(model.suite.phalf, axis=0) / model.suite.host.planet.gravity
    for of in ("ua", "va"):
        total = (bound.rate[of] * mass).sum(axis=0)
        absolute = np.abs(bound.rate[of] * mass).sum(axis=0)
        assert absolute.max() > 1e-4
        # the contract: 1e-12 of the absolute column sum, in float64; nothing escapes under dump
        assert np.all(np.abs(total) <= 1e-12 * np.maximum(absolute, 1e-6))
    assert np.abs(bound.rate["ua"]).max() * 86400.0 > 1.0
    # the control: on the layers of a column with 1 hPa more the same rates do not close
    other = mass + np.diff(model.atmosphere.levels.b)[:, None] * 100.0 / 9.8
    assert np.abs((bound.rate["ua"] * other).sum(axis=0)).max() > 1e-9
