"""The momentum budget of a run closes, and would show it if it did not."""

from pathlib import Path

import numpy as np
import pytest

from coupler import Simulation
from coupler.diagnostics.momentum import MomentumBudget
from coupler.interface.grid import Grid

CASES = Path(__file__).resolve().parents[2] / "cases"


def budgets(out, case, swap=None, days=2.0, **changes):
    settings = {"days": days, "output.interval": days, **changes}
    made = Simulation.from_case(CASES / case, set=settings, swap=swap, out=out).run(quiet=True)
    return made.dataset("budgets").isel(time=-1)


@pytest.mark.parametrize(
    ("precision", "limit"),
    [
        # A tendency is rounded once when stored: 2^-24 of each layer's at most.
        ("float32", 6e-8),
        ("float64", 1e-12),
    ],
)
def test_the_winds_receive_what_the_fluxes_bring(tmp_path, precision, limit):
    settings = {"atmosphere.truncation": 10, "precision": precision, "atmosphere.dt": "30 min"}
    last = budgets(tmp_path / "run", "stratosphere_t21.yaml", **settings)
    for axis in "xy":
        drag = float(last[f"momentum_{axis}_gravity_wave_drag"])
        assert drag > 1e-5
        assert float(last[f"momentum_{axis}_gravity_wave_residual_abs"]) < limit * drag


@pytest.mark.parametrize("top", ["escape", "zero"])
def test_every_policy_at_the_top_closes(tmp_path, top):
    last = budgets(tmp_path / "run", "qbo_1d.yaml", days=60, **{"gravity_wave.top": top})
    drag = float(last["momentum_x_gravity_wave_drag"])
    # float64, and the flux of one wave is as large as the drag of both
    assert float(last["momentum_x_gravity_wave_residual_abs"]) < 1e-12 * drag
    assert "momentum_y_gravity_wave_drag" not in last, "no flux changes the other wind"


def test_a_blend_closes_with_the_weights_of_both(tmp_path):
    last = budgets(
        tmp_path / "run",
        "qbo_1d.yaml",
        {"gravity_wave": "plumb_stochastic"},
        days=60,
        **{"gravity_wave.mode": "blend", "gravity_wave.weight": 0.3},
    )
    drag = float(last["momentum_x_gravity_wave_drag"])
    assert float(last["momentum_x_gravity_wave_residual_abs"]) < 1e-12 * drag


def test_a_tendency_that_no_flux_explains_is_seen():
    """The control: the same sums with a millionth of the drag added to one layer."""
    rng = np.random.default_rng(5)
    grid = Grid.gaussian(4, 8)

    def mean(field):
        return grid.mean(field.reshape(grid.shape))

    phalf = np.linspace(0.0, 1e5, 7)[:, None] + np.zeros(grid.ncol)
    flux = rng.standard_normal((7, grid.ncol)) * 1e-3
    rate = 9.8 * np.diff(flux, axis=0) / np.diff(phalf, axis=0)
    budget = MomentumBudget("gravity_wave", "ua", rate, phalf, 9.8)
    name = "momentum_x_gravity_wave_residual"
    budget.add([(1.0, flux, flux[0])])
    drag = budget.take(mean)["momentum_x_gravity_wave_drag"][0]
    rate[3] *= 1.0 + 1e-6
    budget.add([(1.0, flux, flux[0])])
    spoilt = budget.take(mean)[f"{name}_abs"][0]
    assert spoilt > 1e-8 * drag
    rate[3] /= 1.0 + 1e-6
    budget.add([(1.0, flux, 0.0 * flux[0])])  # what left at the top forgotten
    forgotten = budget.take(mean)[f"{name}_abs"][0]
    assert forgotten == pytest.approx(grid.mean(np.abs(flux[0]).reshape(grid.shape)), rel=1e-9)
    assert not budget.take(mean), "nothing was added since"


def test_a_restart_inside_an_output_interval_keeps_the_budget(tmp_path):
    days = {"output.interval": 20, "restart.interval": 5}
    whole = budgets(tmp_path / "whole", "qbo_1d.yaml", days=20, **days)
    first = Simulation.from_case(
        CASES / "qbo_1d.yaml", set={**days, "days": 20}, out=tmp_path / "parts"
    )
    first.run(days=10, quiet=True)
    Simulation.from_case(
        CASES / "qbo_1d.yaml", set={**days, "days": 20}, out=tmp_path / "parts", resume=True
    ).run(quiet=True)
    parts = first.dataset("budgets").isel(time=-1)
    for name in whole:
        if str(name).startswith("momentum_"):
            assert float(parts[name]) == float(whole[name])
