"""Runs of a tiny case: resumed, replaced, blown up, swapped, recorded, stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

from coupler import Simulation
from coupler.cli import main
from coupler.driver import loop
from coupler.driver.signals import Interrupted, listening
from coupler.interface.errors import ConfigError
from coupler.interface.grid import HybridLevels
from coupler.output import restart

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny import COUPLED, DRY, changed, write_case, write_small_bundle

HOUR = 1.0 / 24.0


def contents(path: Path) -> dict[str, np.ndarray]:
    """All variables of a netCDF file."""
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        return {n: np.asarray(v[...]) for n, v in file.variables.items()}


def assert_same(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    assert got.keys() == want.keys()
    for name, values in want.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)


def run(
    out: Path, raw: dict[str, Any] = DRY, *, days: float | None = None, **how: Any
) -> Simulation:
    simulation = Simulation.from_case(raw, out=out, **how)
    return simulation.run(days, quiet=True)


def newest(out: Path) -> dict[str, np.ndarray]:
    """The arrays of the newest restart."""
    return dict(restart.newest_good(out / "restart").arrays)


# -- going on -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stops", "raw"),
    [
        # Steps of 20 min: 4 and 13 lie within averages (9), slab steps (7) and calls of ad99 (5).
        ((4, 13), COUPLED),
        ((4,), changed(COUPLED, {"precision": "float64"})),
        ((1,), changed(DRY, {"days": 0.5})),
    ],
    ids=["coupled", "coupled float64", "dry, after the first step"],
)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
    tmp_path: Path, stops: tuple[int, ...], raw: dict[str, Any]
) -> None:
    run(tmp_path / "whole", raw)
    done = 0
    for stop in stops:
        simulation = Simulation.from_case(raw, out=tmp_path / "parts", resume=True)
        step = simulation.model.clock.step_length
        simulation.run(days=(stop - done) * step / 86400.0, quiet=True)
        done = stop
    case = write_case(tmp_path / "case.yaml", raw)
    assert main(["run", str(case), "--quiet", "--out", str(tmp_path / "parts"), "--resume"]) == 0
    files = sorted(p.name for p in (tmp_path / "whole").glob("*.nc"))
    assert "atmosphere.nc" in files and ("surface.nc" in files) == ("surface" in raw)
    for name in files:
        whole = contents(tmp_path / "whole" / name)
        assert whole["time"].size == 4
        assert_same(contents(tmp_path / "parts" / name), whole)
    assert_same(newest(tmp_path / "parts"), newest(tmp_path / "whole"))
    # The control: a run that differs a little is seen.
    other = changed(raw, {"planet": {"rotation_rate": 7.292e-5 * (1.0 + 1e-5)}})
    run(tmp_path / "other", other)
    whole = contents(tmp_path / "whole" / "atmosphere.nc")
    assert (contents(tmp_path / "other" / "atmosphere.nc")["ua"] != whole["ua"]).any()


def test_records_after_the_restart_are_dropped_and_made_again(tmp_path: Path) -> None:
    raw = changed(DRY, {"restart.interval": 0.125, "restart.keep": 3})
    out = tmp_path / "out"
    run(out, raw)
    want = {name: contents(out / name) for name in ("atmosphere.nc", "budgets.nc")}
    newest_file = max((out / "restart").iterdir())
    newest_file.write_bytes(newest_file.read_bytes()[:1000])
    again = run(out, raw, resume=True)
    assert again._first_step == 3, "the newest restart was damaged"
    for name, values in want.items():
        assert_same(contents(out / name), values)


def test_overwrite_replaces_the_run_and_keeps_what_is_not_of_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(out, COUPLED, days=0.25, record=["gravity_wave"])
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="output folder holds another run"):
        Simulation.from_case(DRY, out=out)
    run(out, DRY, overwrite=True, days=3 * HOUR)
    names = {p.name for p in out.iterdir()}
    assert names == {
        "atmosphere.nc",
        "budgets.nc",
        "case.resolved.yaml",
        "restart",
        "run.json",
        "notes.txt",
    }
    assert [p.name for p in (out / "restart").iterdir()] == ["restart_000000003.safetensors"]
    assert contents(out / "atmosphere.nc")["time"].size == 1


def test_a_run_goes_on_beyond_its_days_and_from_an_empty_folder(tmp_path: Path) -> None:
    run(tmp_path / "a", DRY, resume=True)
    run(tmp_path / "a", changed(DRY, {"days": 0.5}), resume=True)
    run(tmp_path / "b", changed(DRY, {"days": 0.5}))
    for name in ("atmosphere.nc", "budgets.nc"):
        assert_same(contents(tmp_path / "a" / name), contents(tmp_path / "b" / name))
    finished = run(tmp_path / "a", changed(DRY, {"days": 0.5}), resume=True)
    assert finished.model.clock.now.step == 12, "nothing was left to do"


def test_a_recording_is_continued(tmp_path: Path) -> None:
    raw = changed(COUPLED, {"days": 0.25})
    how: dict[str, Any] = {"record": ["gravity_wave"], "record_columns": 17}
    run(tmp_path / "whole", raw, **how)
    run(tmp_path / "parts", raw, days=6 / 72, **how)
    run(tmp_path / "parts", raw, resume=True, **how)
    whole = contents(tmp_path / "whole" / "record_gravity_wave.nc")
    assert whole["time"].size == 4
    assert_same(contents(tmp_path / "parts" / "record_gravity_wave.nc"), whole)


# -- failing ------------------------------------------------------------------------------------

PLUGIN = """
import numpy as np
from coupler.interface.component import Tendency, reads, tendencies_of
from coupler.interface.registry import scheme
from coupler.interface.component import Params

@scheme("test_forcing", "{name}")
class Forcing(Tendency):
    class Parameters(Params):
        rate: float = 0.0
    inputs = reads("ta")
    tendencies = tendencies_of("ta ua")

    def compute(self, x, tend, flux, diag, now):
        {body}
"""


def plugin(folder: Path, name: str, body: str) -> dict[str, Any]:
    """A scheme of the process ``test_forcing``; returns what a case needs to use it."""
    file = folder / f"{name}.py"
    file.write_text(PLUGIN.format(name=name, body=body))
    return {"plugins": [str(file)], "physics.test_forcing": name}


@pytest.mark.parametrize(
    ("name", "body", "found"),
    [
        (
            "planted_nan",
            "tend.ta[1, 75] = np.nan if now.step == 8 else 0.0",
            r"ta; expected tendencies within 0\.1 K per second; found nan at level 1, lat -60\.0, "
            r"lon 123\.8, step 9, date 2000-01-01 09:00:00",
        ),
        (
            "planted_wind",
            "tend.ua[2, 75] = 0.5 if now.step == 8 else 0.0",
            r"ua; expected -350 to 350 m s-1; found -?\d+(\.\d+)? at level 2, lat -\d\d\.\d, "
            r"lon 1\d\d\.\d, step 10, date 2000-01-01 10:00:00",
        ),
        (
            "planted_infinity",
            "tend.ua[2, 75] = 1e30 if now.step == 8 else 0.0",
            r"ua; expected tendencies within 0\.1 m s-1 per second; found 1e\+30 at level 2, "
            r"lat -60\.0, lon 123\.8, step 9, date 2000-01-01 09:00:00",
        ),
    ],
)
def test_a_blow_up_names_who_what_where_and_when_and_leaves_a_restart_from_before(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    body: str,
    found: str,
) -> None:
    raw = changed(DRY, {"days": 0.5, **plugin(tmp_path, name, body)})
    case, out = write_case(tmp_path / "case.yaml", raw), tmp_path / "out"
    assert main(["run", str(case), "--quiet", "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    first, second = said.removeprefix("isthmus run: 2 problems\n  - ").split("\n  - ")
    assert re.fullmatch(
        rf"the model state blew up: {found}, component "
        rf"test_forcing={name}; continue from the last good restart with a shorter atmosphere.dt, "
        "or swap or shadow the named component",
        first,
    )
    kept = out / "restart" / "restart_000000006.safetensors"
    assert second == f"the state before it was kept: {kept}\n"
    assert json.loads((out / "run.json").read_text())["outcome"] == "failed"
    # The cause removed, the run goes on from there and ends as one that never had it.
    (tmp_path / f"{name}.py").write_text(PLUGIN.format(name=name, body="pass"))
    assert main(["run", str(case), "--quiet", "--out", str(out), "--resume"]) == 0
    run(tmp_path / "clean", raw)
    for file in ("atmosphere.nc", "budgets.nc"):
        assert_same(contents(out / file), contents(tmp_path / "clean" / file))


def test_a_scheme_that_raises_is_named_and_leaves_a_restart(tmp_path: Path) -> None:
    body = "1 / (now.step - 7)"
    raw = changed(DRY, {"days": 0.5, **plugin(tmp_path, "planted_error", body)})
    with pytest.raises(ZeroDivisionError) as caught:
        run(tmp_path / "out", raw)
    notes = "\n".join(caught.value.__notes__)
    assert "in test_forcing=planted_error, step 7, date 2000-01-01 07:00:00" in notes
    assert str(tmp_path / "out" / "restart" / "restart_000000006.safetensors") in notes
    assert restart.newest_good(tmp_path / "out" / "restart").moment.step == 6


# -- swapping -----------------------------------------------------------------------------------

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


# -- budgets ----------------------------------------------------------------------------------


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


# -- looking at it ------------------------------------------------------------------------------


def test_the_folder_tells_all_about_the_run(tmp_path: Path) -> None:
    simulation = run(tmp_path / "out", changed(COUPLED, {"days": 0.25}))
    ds = simulation.dataset()
    assert isinstance(ds, xr.Dataset)
    assert ds.time.dt.calendar == "noleap"
    assert str(ds.time.values[0]) == "2000-01-01 01:30:00"
    assert ds.ta.attrs["standard_name"] == "air_temperature"
    ds.close()
    for which in ("surface", "budgets"):
        with simulation.dataset(which) as other:
            assert other.sizes["time"] == 2
    told = json.loads((tmp_path / "out" / "run.json").read_text())
    assert told["outcome"] == "complete"
    assert told["steps"] == 18 and told["days_run"] == 0.25 and told["sypd"] > 0.0
    assert {"isthmus", "torch", "numpy", "python"} <= told["versions"].keys()
    assert told["schemes"]["gravity_wave"] == ["ad99"]
    assert told["budgets"]["dry_air_mass"] == pytest.approx(1e4, rel=0.1)


# -- signals ------------------------------------------------------------------------------------

SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from coupler.cli import main
from coupler.driver import loop
step = loop.step
def slow(model):
    step(model)
    print(model.clock.now.step, flush=True)
    time.sleep(0.05)
loop.step = slow
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_the_run_after_its_step_with_a_restart(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    raw = changed(DRY, {"days": 30})
    case, out = write_case(tmp_path / "case.yaml", raw), tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "run", str(case), "--quiet", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "4":
            process.send_signal(number)
            break
    rest, said = process.communicate(timeout=60)
    assert process.returncode == status
    steps = [int(x) for x in rest.split()]
    last = steps[-1] if steps else 4
    assert 4 <= last < 30
    path = out / "restart" / f"restart_{last:09d}.safetensors"
    assert said == (
        f"isthmus: stopped by {number.name} at 2000-01-01 {last:02d}:00:00; the state is kept in "
        f"{path}; go on with --resume\n"
    )
    assert restart.newest_good(out / "restart").moment.step == last
    assert json.loads((out / "run.json").read_text())["outcome"] == f"stopped by {number.name}"


def test_handlers_are_given_back_and_a_second_signal_acts_at_once() -> None:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    with listening() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.signal == signal.SIGTERM
        assert {n: signal.getsignal(n) for n in before} == before
    with listening() as asked:
        assert asked.signal is None
        assert signal.getsignal(signal.SIGINT) != before[signal.SIGINT]
    assert {n: signal.getsignal(n) for n in before} == before


def test_another_thread_runs_without_touching_the_handlers(tmp_path: Path) -> None:
    before, failed = signal.getsignal(signal.SIGINT), []

    def other() -> None:
        try:
            run(tmp_path / "out", DRY, days=HOUR)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert not failed
    assert signal.getsignal(signal.SIGINT) == before


def test_a_script_that_is_interrupted_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = loop.step

    def interrupted(model: Any) -> None:
        step(model)
        if model.clock.now.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop, "step", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        run(tmp_path / "out", DRY)
    assert isinstance(caught.value, Interrupted)
    assert caught.value.restart.name == "restart_000000002.safetensors"
    monkeypatch.undo()
    run(tmp_path / "out", DRY, resume=True)
    run(tmp_path / "whole", DRY)
    want = contents(tmp_path / "whole" / "atmosphere.nc")
    assert_same(contents(tmp_path / "out" / "atmosphere.nc"), want)
