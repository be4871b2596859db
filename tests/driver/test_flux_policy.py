"""A case chooses what happens to momentum at the model top, and finds what left in the output."""

from pathlib import Path

import numpy as np
import pytest

from coupler import Simulation
from coupler.config import Case, read_yaml, with_changes
from coupler.driver.replay import RecordedScheme
from coupler.interface.errors import ConfigError

CASE = Path(__file__).resolve().parents[2] / "cases" / "qbo_1d.yaml"


def run(out, swap=None, **changes):
    keys = {"gravity_wave." + k.replace("__", "."): v for k, v in changes.items()}
    settings = {"days": 20, "output.interval": 20, "output.fields": "all", **keys}
    return Simulation.from_case(CASE, set=settings, swap=swap, out=out).run(quiet=True)


def closure(simulation):
    """Column sum of the drag, flux at the bottom, what escaped [Pa]: means of the last record."""
    ds = simulation.dataset().isel(time=-1, lat=0, lon=0)
    mass = np.diff(ds["phalf"].values) / 9.8
    escaped = float(ds["xgwdparam_escaped"])
    return float((ds["utendnogw"].values * mass).sum()), float(ds["xgwdparam"][-1]), escaped


@pytest.mark.parametrize("top", ["escape", "zero", "dump", {"policy": "dump", "above": "5 hPa"}])
def test_the_column_closes_under_the_policy_of_the_case(tmp_path, top):
    drag, launched, escaped = closure(run(tmp_path / "run", top=top))
    # layer masses from pressure in single precision: 2e-6 of the 6e-4 Pa that one wave carries
    assert drag == pytest.approx(launched - escaped, abs=1e-9)
    if top == "escape":
        assert abs(escaped) > 1e-6
    else:
        assert escaped == 0.0


def test_the_level_of_the_dump_is_the_one_of_the_case(tmp_path):
    drags = {
        name: run(tmp_path / name, top={"policy": "dump", "above": above})
        .dataset()["utendnogw"]
        .values[-1, :, 0, 0]
        for name, above in (("low", "10 hPa"), ("high", 300.0))
    }
    change = drags["low"] - drags["high"]
    pressure = run(tmp_path / "p").dataset()["pfull"].values[-1, :, 0, 0]
    assert np.abs(change[pressure < 900.0]).min() > 0.0
    below = np.abs(change[pressure > 1100.0]).max()
    assert below < 1e-3 * np.abs(change).max()  # only through the wind that came to differ


def test_a_swap_keeps_the_policy_of_the_process_for_both_schemes():
    raw, problems = with_changes(
        {**read_yaml(CASE), "physics": {"gravity_wave": {"scheme": "ad99", "top": "zero"}}},
        swap={"gravity_wave": "wms"},
    )
    choice = Case.model_validate(raw).physics["gravity_wave"]
    assert not problems
    assert choice.top is not None and choice.top.policy == "zero"
    assert choice.reference is not None and "top" not in choice.reference.parameters


def test_a_shadow_reports_what_escaped_from_it_too(tmp_path):
    made = run(tmp_path / "run", {"gravity_wave": "plumb_stochastic"}, mode="shadow")
    ds = made.dataset()
    assert {"xgwdparam_escaped", "xgwdparam_escaped_plumb_stochastic"} <= set(ds)
    assert abs(float(ds["xgwdparam_escaped_plumb_stochastic"][-1, 0, 0])) > 0.0


@pytest.mark.parametrize("top", ["escape", "zero"])
def test_offline_a_flux_meets_the_policy_of_the_case_too(tmp_path, top):
    settings = {"days": 4, "gravity_wave.top": top}
    Simulation.from_case(CASE, set=settings, out=tmp_path, record=["gravity_wave"]).run(quiet=True)
    with RecordedScheme(tmp_path / "record_gravity_wave.nc", CASE.parent) as recorded:
        found = recorded.answer(recorded.calls - 1)
    drag = (found.rates["ua"] * np.diff(found.half_pressure, axis=0) / 9.8).sum(axis=0)
    escaped = float(found.held["xgwdparam"][-1, 0] - drag[0])
    # layer masses from pressure in single precision: 2e-6 of the 6e-4 Pa that one wave carries
    assert abs(escaped) < 1e-9 if top == "zero" else abs(escaped) > 1e-6


@pytest.mark.parametrize(
    ("top", "sentence"),
    [
        ("ecsape", r"gravity_wave\.top\.policy; expected 'escape', 'dump' or 'zero'"),
        ({"policy": "dump", "above": "10 K"}, r"top\.above"),
        ({"policy": "dump", "above": -1}, "greater than 0"),
        ({"policy": "dump", "abvoe": 10}, r"unknown key: .*top\.abvoe"),
    ],
)
def test_an_impossible_policy_is_refused(tmp_path, top, sentence):
    with pytest.raises(ConfigError, match=sentence):
        run(tmp_path / "run", top=top)


def test_a_policy_for_a_scheme_without_fluxes_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"without fluxes: gravity_wave\.top.*ad99_mima"):
        run(tmp_path / "run", {"gravity_wave": "ad99_mima"}, top="dump")
