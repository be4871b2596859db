"""Record, train, swap in the 1-D QBO model; and what an emulator from elsewhere does there."""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import qbo_results

from coupler import Simulation
from coupler.driver.training import train
from coupler.interface.errors import ConfigError, ContractError

ROOT = Path(__file__).resolve().parents[2]
CASE = ROOT / "cases" / "qbo_1d.yaml"
RECIPE = ROOT / "emulators" / "recipes" / "gw_qbo.yaml"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped recipe with short runs, a narrow network and few epochs."""
    folder = tmp_path_factory.mktemp("qbo")
    recipe = yaml.safe_load(RECIPE.read_text())
    for recording in (*recipe["train"], recipe["test"]):
        recording |= {"case": str(CASE), "days": 1440}
    recipe["architecture"]["config"] |= {"width": 32, "depth": 2}
    recipe["optimizer"] |= {"epochs": 12, "batch": 256}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return train(folder / "recipe.yaml", out=folder / "small_qbo", work=folder / "work")


def run(out, days, **more):
    settings = {"days": days, "output.interval": days / 4} | more.pop("set", {})
    return Simulation.from_case(CASE, set=settings, out=out, **more).run(quiet=True)


def winds(simulation):
    return simulation.model.atmosphere.columns()["ua"][:, 0, 0].copy()


def test_an_emulator_trained_in_the_column_drives_it(bundle, tmp_path):
    days = 540
    truth = winds(run(tmp_path / "truth", days))
    still = winds(run(tmp_path / "off", days, set={"gravity_wave.mode": "off"}))
    made = run(tmp_path / "swap", days, swap={"gravity_wave": str(bundle)})
    learned = winds(made)
    # A small net after a minute of training: the shear zones lie where they should after a year
    # and a half; the control has no waves at all.
    error = np.sqrt(np.mean((learned - truth) ** 2))
    assert error < 0.35 * np.sqrt(np.mean((still - truth) ** 2))
    scheme = made.model.suite.processes[0].schemes[0].component
    assert scheme.counts()["columns"] == days
    assert scheme.counts()["not_finite"] == 0
    # the column closes with learned fluxes too: float64 sums of float32 fluxes
    last = made.dataset("budgets").isel(time=-1)
    drag = float(last["momentum_x_gravity_wave_drag"])
    assert float(last["momentum_x_gravity_wave_residual_abs"]) < 1e-12 * drag


def test_it_knows_its_levels_on_the_planet_of_the_case(bundle, tmp_path):
    with pytest.raises(ConfigError, match=r"levels of a bundle differ .*height37"):
        run(
            tmp_path / "coarse",
            12,
            swap={"gravity_wave": str(bundle)},
            set={"atmosphere.spacing": 500.0},
        )
    with pytest.raises(ConfigError, match="levels of a bundle differ from the host's"):
        run(
            tmp_path / "planet",
            12,
            swap={"gravity_wave": str(bundle)},
            set={"planet.reference_pressure": 1e5},
        )


def test_winds_far_from_those_it_learned_are_handed_to_the_scheme_of_the_case(bundle, tmp_path):
    far = {"atmosphere.initial_wind": 90.0, "atmosphere.diffusivity": 3.0}
    made = run(tmp_path / "far", 20, swap={"gravity_wave": str(bundle)}, set=far)
    truth = run(tmp_path / "truth", 20, set=far)
    counts = made.model.suite.processes[0].schemes[0].component.counts()
    assert counts["guarded"] == counts["columns"] == 20
    np.testing.assert_array_equal(winds(made), winds(truth))


GLOBAL = {
    "title": "qbo",
    "calendar": "360_day",
    "days": 360,
    "precision": "float64",
    "atmosphere": {"scheme": "qbo_1d", "levels": "hybrid80"},
    "output": {"interval": 30},
}


def test_an_emulator_of_the_global_grid_is_refused_or_guarded_in_the_column(tmp_path):
    learned = {"scheme": "gw_column", "reference": {"scheme": "ad99"}}
    with pytest.raises(ConfigError, match="levels of a bundle differ from the host's: gw_column"):
        Simulation.from_case(GLOBAL | {"physics": {"gravity_wave": learned}}, out=tmp_path / "a")
    learned["levels"] = "regrid"
    case = GLOBAL | {"physics": {"gravity_wave": learned}}
    made = Simulation.from_case(case, out=tmp_path / "b").run(quiet=True)
    counts = made.model.suite.processes[0].schemes[0].component.counts()
    assert counts["guarded"] > 0
    assert np.isfinite(winds(made)).all()
    assert float(made.dataset()["guard_gravity_wave"].max()) > 0.0


def test_another_process_fallback_that_gives_other_fluxes_is_refused(tmp_path):
    with pytest.raises(
        ContractError, match=r"fallback returns .*give it a reference with the same"
    ):
        run(
            tmp_path / "run",
            12,
            swap={"gravity_wave": "gw_column"},
            set={"atmosphere.levels": "hybrid80", "gravity_wave.levels": "regrid"},
        )


@pytest.mark.slow
def test_the_shipped_emulator_keeps_the_oscillation_and_a_short_sighted_one_does_not(tmp_path):
    years = 30 + qbo_results.SPIN_UP
    waves = qbo_results.built({})
    truth, _ = qbo_results.said(waves, qbo_results.daily(waves, years))
    assert truth.period == pytest.approx(25.66, abs=0.1)  # months, of the published equations
    assert truth.cycles >= 12
    good = qbo_results.driven(RECIPE, 1, years, tmp_path, truth)
    assert good.r2 > 0.99
    assert good.guarded == 0  # by itself
    assert good.period < 5.0 and good.amplitude < 10.0  # per cent
    assert good.worst < 1.0
    # The control: a high R2 with a reach of 26 of 72 levels, and nobody who helps.
    apart = tmp_path / "short"  # a checkpoint is of one fit
    short = qbo_results.driven(qbo_results.SHORT, 1, years, apart, truth, guard="count")
    assert short.r2 > 0.9
    assert short.guarded == 0
    assert short.period > 5.0 or short.amplitude > 10.0
