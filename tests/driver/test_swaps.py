"""What swaps, modes and forcings do to a run, and that its budgets close."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import (
    COUPLED,
    DRY,
    assert_same,
    changed,
    contents,
    plugin,
    run,
    write_case,
    write_small_bundle,
)

from coupler import Simulation
from coupler.cli import main
from coupler.driver import loop
from coupler.interface.grid import HybridLevels

HOUR = 1.0 / 24.0


WAVES = {"output.fields": "all", "days": 0.25}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "small"
    return write_small_bundle(folder, HybridLevels.named("hybrid9"))


@pytest.fixture(scope="module")
def with_ad99(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    out = tmp_path_factory.mktemp("pure") / "out"
    run(out, changed(COUPLED, WAVES))
    return contents(out / "atmosphere.nc")


@pytest.fixture(scope="module")
def with_bundle(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> dict[str, np.ndarray]:
    out = tmp_path_factory.mktemp("pure") / "out"
    run(out, changed(COUPLED, WAVES), swap={"gravity_wave": str(bundle)})
    return contents(out / "atmosphere.nc")


def test_a_shadow_is_in_the_file_and_the_run_is_the_one_without_it(
    tmp_path: Path, bundle: Path, with_ad99: dict[str, np.ndarray]
) -> None:
    case, out = write_case(tmp_path / "case.yaml", changed(COUPLED, WAVES)), tmp_path / "out"
    command = ["run", str(case), "--quiet", "--out", str(out)]
    command += ["--swap", f"gravity_wave={bundle}", "--set", "gravity_wave.mode=shadow"]
    assert main(command) == 0
    got = contents(out / "atmosphere.nc")
    for name, values in with_ad99.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)
    assert {"utendnogw_small", "vtendnogw_small", "xgwdparam_small"} <= got.keys()
    assert np.abs(got["utendnogw_small"]).max() > 0.0
    assert (got["utendnogw_small"] != got["utendnogw"]).any()
    told = json.loads((out / "run.json").read_text())
    assert told["schemes"]["gravity_wave"] == ["small", "ad99"]


@pytest.mark.parametrize(("weight", "which"), [(1.0, "bundle"), (0.0, "ad99")])
def test_a_blend_of_all_or_nothing_is_the_pure_scheme_bit_for_bit(
    tmp_path: Path, bundle: Path, weight: float, which: str, request: pytest.FixtureRequest
) -> None:
    want = request.getfixturevalue(f"with_{which}")
    set_ = {"gravity_wave.mode": "blend", "gravity_wave.weight": weight}
    run(tmp_path / "out", changed(COUPLED, WAVES), swap={"gravity_wave": str(bundle)}, set=set_)
    got = contents(tmp_path / "out" / "atmosphere.nc")
    for name in ("ua", "va", "ta", "hus", "ps", "utendnogw", "xgwdparam"):
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)


def test_the_two_schemes_differ_so_that_their_comparison_means_something(
    with_ad99: dict[str, np.ndarray], with_bundle: dict[str, np.ndarray]
) -> None:
    assert (with_ad99["ua"] != with_bundle["ua"]).any()


def test_a_blend_lies_between(tmp_path: Path, bundle: Path) -> None:
    set_ = {"gravity_wave.mode": "blend", "gravity_wave.weight": 0.25}
    run(tmp_path / "out", changed(COUPLED, WAVES), swap={"gravity_wave": str(bundle)}, set=set_)
    got = contents(tmp_path / "out" / "atmosphere.nc")
    mixed = 0.25 * got["utendnogw_small"] + 0.75 * got["utendnogw_ad99"]
    # The output's float32, and that of the means of three numbers.
    size = np.abs(got["utendnogw"]).max()
    np.testing.assert_allclose(got["utendnogw"], mixed, rtol=0, atol=1e-6 * size)
    assert size > 0.0


def test_mode_off_is_the_case_without_the_process(
    tmp_path: Path, with_ad99: dict[str, np.ndarray]
) -> None:
    raw = changed(COUPLED, WAVES)
    run(tmp_path / "off", raw, set={"gravity_wave.mode": "off"})
    run(tmp_path / "without", changed(raw, {"physics.gravity_wave": None}))
    off = contents(tmp_path / "off" / "atmosphere.nc")
    assert_same(off, contents(tmp_path / "without" / "atmosphere.nc"))
    assert (off["ua"] != with_ad99["ua"]).any()


def test_a_scheme_that_returns_zero_changes_no_bit(tmp_path: Path) -> None:
    raw = changed(COUPLED, {"days": 0.25})
    run(tmp_path / "without", raw)
    run(tmp_path / "with", changed(raw, plugin(tmp_path, "returns_zero", "pass")))
    want, got = (contents(tmp_path / d / "atmosphere.nc") for d in ("without", "with"))
    for name in got.keys() & want.keys():
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)
    assert got.keys() - want.keys() == {"tnt_test_forcing", "utend_test_forcing"}


def test_a_heating_of_a_kelvin_per_day_warms_the_mean_by_a_kelvin_in_a_day(
    tmp_path: Path,
) -> None:
    name = "a_kelvin_per_day"
    raw = changed(
        DRY,
        {
            "days": 1,
            "precision": "float64",
            "atmosphere.initial": "isothermal_rest",
            "atmosphere.truncation": "T7",
            "physics": {},
            **plugin(tmp_path, name, "tend.ta[...] = self.p.rate / 86400.0"),
            "physics.test_forcing": {"scheme": name, "rate": 1.0},
        },
    )
    simulation = Simulation.from_case(raw, out=tmp_path / "out")
    columns = simulation.model.atmosphere.columns()
    before = columns["ta"].copy()
    simulation.run(quiet=True)
    after = simulation.model.atmosphere.columns()["ta"]
    # What columns show is the older of the two time levels, a step of an hour behind. Heating
    # uniform in space and time makes no wind and passes the time filter: only round-off is left.
    np.testing.assert_allclose(after - before, 23.0 / 24.0, rtol=0, atol=1e-9)
    assert np.ptp(after) < 1e-9


def test_a_budget_file_closes_and_would_not_without_the_fixer(tmp_path: Path) -> None:
    drift: dict[tuple[str, bool], float] = {}
    for precision in ("float64", "float32"):
        for fixed in (True, False):
            raw = changed(COUPLED, {"days": 2, "precision": precision, "output.interval": 0.25})
            out = tmp_path / f"{precision}{fixed}"
            simulation = Simulation.from_case(raw, out=out)
            core = simulation.model.atmosphere.core  # type: ignore[attr-defined]
            core.fix_mass = fixed
            simulation.run(quiet=True)
            mass = contents(out / "budgets.nc")["dry_air_mass"]
            assert mass.size == 8
            drift[precision, fixed] = float(np.abs(mass / mass[0] - 1.0).max())
    assert drift["float64", True] < 1e-10
    assert drift["float32", True] < 1e-6
    assert drift["float64", False] > 10 * drift["float64", True]


def test_the_slab_stores_the_flux_that_it_was_given(tmp_path: Path) -> None:
    raw = changed(COUPLED, {"precision": "float64"})
    simulation = Simulation.from_case(raw, out=tmp_path / "out")
    coupling = simulation.model.couplings["surface"]
    slab: Any = coupling.model
    weights = slab.grid.cell_weights
    before = float((slab.heat() * weights).sum())
    given, sent = 0.0, 0.0
    names = {"rsds": 1.0, "rsus": -1.0, "rlds": 1.0, "rlus": -1.0, "hfss": -1.0, "hfls": -1.0}
    pool, grid = simulation.model.suite.pool, simulation.model.atmosphere.grid
    original = slab.step

    def counted(received: Any, now: Any) -> None:
        nonlocal given
        original(received, now)
        given += slab.grid.mean(slab.fields()["hfds"]) * slab.dt

    slab.step = counted
    for _ in range(35):  # five steps of the slab
        loop.step(simulation.model)
        net = sum(s * pool[n].astype(np.float64) for n, s in names.items())
        sent += grid.mean(np.asarray(net).reshape(grid.shape)) * 1200.0
    gained = float((slab.heat() * weights).sum()) - before
    size = abs(sent) + 1e5
    # Round-off of the stored heat, 1e10 J m-2, in float64; remapping is conservative to the same.
    assert abs(gained - given) < 1e-12 * before
    assert abs(gained - sent) < 1e-12 * before
    assert abs(gained) > 1e-4 * size, "there must be something to store"
