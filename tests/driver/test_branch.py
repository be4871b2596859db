"""A run may begin with the state in which another one ended."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import COUPLED

from coupler import Simulation
from coupler.interface.errors import ConfigError
from coupler.output.restart import newest_good


def case(**more: Any) -> dict[str, Any]:
    return {**copy.deepcopy(COUPLED), "days": 0.25, **more}


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "control"
    Simulation.from_case(case(), out=folder).run(quiet=True)
    return folder


def state(sim: Simulation) -> dict[str, np.ndarray[Any, Any]]:
    snapshot = sim._memory.take()
    return {f"{p}/{n}": a for p, memory in snapshot.memories.items() for n, a in memory.items()}


def test_a_branch_starts_at_its_own_beginning_with_all_that_the_other_run_remembers(
    control: Path, tmp_path: Path
) -> None:
    found = newest_good(control / "restart")
    raw = case(branch=str(control), start="2004-02-05")
    raw["physics"]["radiation"] = {"scheme": "grey", "tau_equator": 7.0}
    sim = Simulation.from_case(raw, out=tmp_path / "branch")
    assert sim.model.clock.now.step == 0 and sim.model.clock.now.seconds == 0.0
    assert str(sim.model.clock.now.date).startswith("2004-02-05")
    own = state(sim)
    assert own
    for name, array in own.items():
        np.testing.assert_array_equal(array, found.arrays[name], err_msg=name)
    sim.run(quiet=True)
    end = newest_good(tmp_path / "branch" / "restart")
    assert end.moment.step == sim.model.clock.now.step == found.moment.step
    # Stopped and resumed it is the same run: what it branched from is not read again.
    for stop in (0.125, 0.125):
        part = Simulation.from_case(raw, out=tmp_path / "again", resume=stop > 0.0)
        part.run(days=stop, quiet=True)
    again = newest_good(tmp_path / "again" / "restart")
    for name, array in end.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array, err_msg=name)


def test_without_a_change_a_branch_is_the_other_run_going_on(control: Path, tmp_path: Path) -> None:
    sim = Simulation.from_case(case(branch=str(control)), out=tmp_path / "branch").run(quiet=True)
    longer = Simulation.from_case(case(days=0.5), out=tmp_path / "longer").run(quiet=True)
    # 18 steps are a multiple of no interval of 5 or 7 steps: calls come at other steps.
    a, b = (s.model.atmosphere.columns() for s in (sim, longer))
    np.testing.assert_allclose(a["ta"], b["ta"], atol=0.5)
    assert np.abs(a["ta"] - newest_temperature(control)).max() > 1.0, "a step must be seen"


def test_convection_that_is_held_goes_on_in_a_branch_as_in_the_run(tmp_path: Path) -> None:
    raw = case(days=0.0)
    raw["precision"] = "float64"
    raw["atmosphere"] |= {"initial": "standard_rest", "relative_humidity": 0.9, "noise": "1 K"}
    easy = {"lifetime": "2 h", "inhibition": 1e5, "threshold": 0.0}
    raw["physics"] = {
        "radiation": "grey",
        "boundary_layer": "bulk_diffusion",
        "convection": {"scheme": "mass_flux", "parameters": easy},
    }
    raw["surface"]["dt"] = "20 min"
    raw["output"]["interval"] = "20 min"
    # a clock that is far on: what it held until then would never end in a branch
    steps = 1.0 / 72.0
    Simulation.from_case({**raw, "days": 28 * steps}, out=tmp_path / "run").run(quiet=True)
    branch = Simulation.from_case(
        {**raw, "days": 10 * steps, "branch": str(tmp_path / "run")}, out=tmp_path / "branch"
    )
    going_on = Simulation.from_case({**raw, "days": 38 * steps}, out=tmp_path / "run", resume=True)
    times = []
    for _ in range(10):
        for sim in (branch, going_on):
            sim.run(days=steps, quiet=True)
        held = [sim.model.suite.pool["cntime"] for sim in (branch, going_on)]
        np.testing.assert_array_equal(*held)
        times.append(held[0].copy())
    a, b = (s.model.atmosphere.columns()["ta"] for s in (branch, going_on))
    np.testing.assert_array_equal(a, b)
    assert (np.diff(times, axis=0) > 0.0).any(), "something must have been tried anew"


def test_where_the_other_run_computed_its_schemes_does_not_matter(
    control: Path, tmp_path: Path
) -> None:
    where = {"gravity_wave": {"at": "worker", "on_failure": "hold"}}
    sim = Simulation.from_case(case(branch=str(control), where=where), out=tmp_path / "x")
    spare = set(sim.model.suite.may_lack())
    assert "gravity_wave.ad99.component.hold.xgwdparam" in spare
    sim.close()
    # The control: without what schemes remember by themselves there is no going on.
    found = newest_good(control / "restart")
    lost = {n: a for n, a in found.arrays.items() if n != "suite/gravity_wave.ad99.rate.ua"}
    (wrong,) = sim._memory.misfits(replace(found, arrays=lost))
    assert wrong == "suite/gravity_wave.ad99.rate.ua: no such array"


def newest_temperature(folder: Path) -> np.ndarray[Any, Any]:
    return newest_good(folder / "restart").arrays["atmosphere/ta"]


def test_what_cannot_be_branched_from_is_said(control: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing to branch from: branch=.*found no such folder"):
        Simulation.from_case(case(branch=str(tmp_path / "none")), out=tmp_path / "x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"nothing to branch from: .*found no good restart"):
        Simulation.from_case(case(branch=str(tmp_path / "empty")), out=tmp_path / "x")
    finer = case(branch=str(control))
    finer["atmosphere"]["levels"] = "hybrid7"
    with pytest.raises(ConfigError, match=r"not the state of a run to branch from: atmosphere/ta"):
        Simulation.from_case(finer, out=tmp_path / "x")
    other = case(branch=str(control))
    other["physics"]["convection"] = "mass_flux"
    with pytest.raises(ConfigError, match=r"to branch from: suite/convection.*found no such array"):
        Simulation.from_case(other, out=tmp_path / "x")
    assert not (tmp_path / "x").exists()
