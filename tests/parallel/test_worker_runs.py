"""Whole runs with a scheme in another process: the same numbers, restarts, faults, timelines."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny import (
    COUPLED,
    assert_same,
    changed,
    contents,
    plugin,
    run,
    write_case,
    write_small_bundle,
)

from coupler import Simulation
from coupler.interface.errors import ConfigError, CouplerError, ExchangeError
from coupler.interface.grid import HybridLevels

ROOT = Path(__file__).resolve().parents[2]
WORKER = {"where.gravity_wave": "worker"}
LAG = {"physics.gravity_wave.lag": 1}
# Calls of the waves every 5 of 36 steps; output every 9; more calls make a test no sharper.
FILES = ("atmosphere.nc", "surface.nc")


def output(out: Path, changes: dict[str, Any], **how: Any) -> list[dict[str, Any]]:
    """What a run writes."""
    simulation = run(out, changed(COUPLED, changes), **how)
    simulation.close()
    return [contents(out / name) for name in FILES]


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """The same case in one process, without and with a lag."""
    folder = tmp_path_factory.mktemp("inline")
    return {0: output(folder / "0", {}), 1: output(folder / "1", LAG)}


@pytest.mark.parametrize("lag", [0, 1])
def test_a_worker_changes_no_bit_of_the_output(
    tmp_path: Path, inline: dict[int, list[dict[str, Any]]], lag: int
) -> None:
    got = output(tmp_path, WORKER | {"physics.gravity_wave.lag": lag})
    for mine, want in zip(got, inline[lag], strict=True):
        assert_same(mine, want)
    report = json.loads((tmp_path / "run.json").read_text())
    waits = report["waits"]["gravity_wave"]
    assert waits["calls"] == 8  # of 36 steps every fifth, also when one is late
    assert waits["worker_busy_seconds"] > 0.0


def test_a_lag_is_seen_in_the_output(inline: dict[int, list[dict[str, Any]]]) -> None:
    """Else the test above would not see it."""
    assert (inline[0][0]["ua"] != inline[1][0]["ua"]).any()


def test_a_surface_that_is_a_step_behind_is_seen_in_the_output(
    tmp_path: Path, inline: dict[int, list[dict[str, Any]]]
) -> None:
    atmosphere, surface = output(tmp_path, {"surface.lag": 1})
    assert (atmosphere["ua"] != inline[0][0]["ua"]).any()
    assert (surface["ts"] != inline[0][1]["ts"]).any()


def test_a_run_stopped_with_a_call_on_its_way_goes_on_with_another_transport(
    tmp_path: Path, inline: dict[int, list[dict[str, Any]]]
) -> None:
    part = changed(COUPLED, LAG | WORKER)
    run(tmp_path, part, days=7 / 72).close()  # between the second call and the third
    run(tmp_path, changed(COUPLED, LAG), days=10 / 72, resume=True)
    run(tmp_path, part, resume=True).close()
    for name, want in zip(FILES, inline[1], strict=True):
        assert_same(contents(tmp_path / name), want)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """``isthmus serve`` with an emulator."""
    bundle = write_small_bundle(tmp_path / "small", HybridLevels.named("hybrid9"))
    path = tmp_path / "gw.sock"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "coupler", "serve", str(bundle), "--fallback", "ad99"),
            *("--socket", str(path)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"ready: gravity_wave=small at {path}\n"
    yield bundle, process
    process.kill()
    process.communicate()


def test_a_bundle_at_a_socket_serves_several_runs_as_if_inline(
    tmp_path: Path, served: tuple[Path, subprocess.Popen[str]]
) -> None:
    bundle, process = served
    emulator = {
        "physics.gravity_wave": {"scheme": str(bundle), "reference": "ad99", "interval": "100 min"},
        "days": 0.25,
    }
    there = emulator | {"where.gravity_wave": str(tmp_path / "gw.sock")}
    want = output(tmp_path / "inline", emulator)
    for name in ("one", "two"):
        for mine, other in zip(output(tmp_path / name, there), want, strict=True):
            assert_same(mine, other)
    # The guard's counts come from the other process.
    counts = [
        json.loads((tmp_path / name / "run.json").read_text())["guard"]["gravity_wave"]
        for name in ("inline", "two")
    ]
    assert counts[0] == counts[1]
    assert counts[0]["calls"] == 4
    with pytest.raises(ExchangeError, match=r"the server has another parameters or weights"):
        output(tmp_path / "three", there | {"physics.gravity_wave.guard": "count"})
    process.send_signal(signal.SIGTERM)
    assert process.wait(20.0) == 0
    assert not (tmp_path / "gw.sock").exists()


SLOW_THEN_DIE = "__import__('os')._exit(3) if now.step >= 4 else tend.ta.fill(0.0)"


def dying(tmp_path: Path, **place: Any) -> dict[str, Any]:
    """A case whose forcing takes its process along at step 4."""
    forcing = plugin(tmp_path, "dies", SLOW_THEN_DIE)
    return changed(COUPLED, {"days": 0.125, **forcing, "where.test_forcing": place})


def test_a_worker_that_dies_stops_the_run_with_a_restart(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match=r"the worker died: test_forcing=dies") as caught:
        run(tmp_path / "out", dying(tmp_path))
    assert "exit status 3" in str(caught.value)
    assert "in test_forcing=dies, step 4, date" in "".join(caught.value.__notes__)
    assert list((tmp_path / "out" / "restart").glob("*.safetensors"))
    assert json.loads((tmp_path / "out" / "run.json").read_text())["outcome"] == "failed"


def test_a_worker_that_dies_is_replaced_by_its_last_answer_where_the_case_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        simulation = run(tmp_path / "out", dying(tmp_path, on_failure="hold"))
    assert "test_forcing=dies: the last answer takes its place: the worker died" in caplog.text
    assert simulation.model.clock.now.step == 9
    simulation.close()
    report = json.loads((tmp_path / "out" / "run.json").read_text())
    assert report["outcome"] == "complete"
    assert report["guard"]["test_forcing"] == {"worker_gone": 5, "worker_replaced": 5}


ONCE = """
        import os
        from pathlib import Path
        tend.ta[...] = 1e-6
        died = Path(__file__).with_suffix(".died")
        if now.step >= 4 and not died.exists():
            died.touch()
            os._exit(3)
"""


def test_a_worker_that_died_once_is_started_again_and_used_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coupler.exchange.remote._RETRY", 0.0)
    forcing = plugin(tmp_path, "dies_once", ONCE.strip())
    where = {"where.test_forcing": {"on_failure": "hold"}}
    with caplog.at_level(logging.WARNING):
        simulation = run(tmp_path / "out", changed(COUPLED, {"days": 1.0, **forcing, **where}))
    assert "test_forcing=dies_once: process" in caplog.text
    assert "ended, exit status 3; it is started again" in caplog.text
    assert "test_forcing=dies_once: there is a server again" in caplog.text
    counts = simulation.model.suite.counts()["test_forcing"]
    assert 1 <= counts["worker_gone"] < 60  # of 72 steps
    (worker,) = simulation.model.elsewhere.workers.values()
    assert worker.process.poll() is None
    simulation.close()
    assert worker.process.poll() is not None
    assert not worker.path.exists()


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    forcing = plugin(tmp_path, "here", "pass")
    broken.write_text(
        (tmp_path / "here.py").read_text().replace('"here"', '"broken"')
        + "\nimport sys\nif 'serve' in sys.argv: raise RuntimeError('not in a worker')\n"
    )
    forcing = {"plugins": [str(broken)], "physics.test_forcing": "broken"}
    with pytest.raises(CouplerError, match=r"the worker did not start: .*not in a worker"):
        run(tmp_path / "out", changed(COUPLED, forcing | {"where.test_forcing": "worker"}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"where.gravity_wav": "worker"}, "a place for a process that the case does not have: "),
        ({"where.gravity_wave": "wörker"}, "unknown place: where.gravity_wave.at; expected inline"),
        (
            {"where.gravity_wave": "mpi"},
            "no rank of the job to run on: where.gravity_wave; expected",
        ),
        ({"where.surface": "worker"}, "unknown place for a model: where.surface.at; expected inli"),
        (
            {"where.surface": {"at": "inline", "on_failure": "hold"}},
            "nothing takes a model's place: where.surface.on_failure; expected stop; found hold",
        ),
        ({"surface.lag": 2}, "surface.lag"),
        ({"where.gravity_wave": {"at": "worker", "thread": 2}}, "did you mean 'threads'"),
        ({"where.gravity_wave": {"deadline": "-3 s"}}, "where.gravity_wave.deadline; expected gr"),
        (
            {"where.gravity_wave": {"on_failure": "reference"}},
            "no reference to take over from the worker: where.gravity_wave.on_failure; give",
        ),
        ({"physics.gravity_wave.lag": 2}, "physics.gravity_wave.lag"),
        (
            {"physics.precipitation": "total", "where.precipitation": "worker"},
            "cannot run in another process: precipitation=total; expected a scheme that gives",
        ),
        (
            {"physics.precipitation": {"scheme": "total", "lag": 1}},
            "cannot run behind: precipitation=total",
        ),
    ],
)
def test_where_something_cannot_run_is_said_before_a_step(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Simulation.from_case(changed(COUPLED, changes), out=tmp_path)
    assert sentence in str(caught.value)


def test_what_runs_behind_is_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot record a scheme that runs behind: gravity_wave"):
        Simulation.from_case(changed(COUPLED, LAG), out=tmp_path, record=["gravity_wave"])


def test_a_socket_that_nobody_serves_is_said_before_a_step(tmp_path: Path) -> None:
    where = {"where.gravity_wave": str(tmp_path / "none.sock")}
    with pytest.raises(ExchangeError, match=r"no server: .*none.sock"):
        Simulation.from_case(changed(COUPLED, where), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_timeline_shows_the_worker_beside_the_run(tmp_path: Path) -> None:
    raw = changed(COUPLED, WORKER | LAG | {"days": 0.25})
    simulation = Simulation.from_case(raw, out=tmp_path, timeline=True)
    simulation.run(quiet=True)
    simulation.close()
    events = json.loads((tmp_path / "timeline.json").read_text())["traceEvents"]
    tracks = {e["args"]["name"]: e["tid"] for e in events if e["ph"] == "M"}
    assert set(tracks) == {"run", "start", "worker gravity_wave"}
    spans = [e for e in events if e["ph"] == "X"]
    assert all(e["dur"] >= 0.0 and e["ts"] >= 0.0 for e in spans)
    on = {name: {e["name"] for e in spans if e["tid"] == tid} for name, tid in tracks.items()}
    assert on["worker gravity_wave"] == {"gravity_wave=ad99"}
    assert on["run"] > {"dynamics", "radiation=grey", "wait for gravity_wave", "output", "surface"}
    assert sum(e["name"] == "dynamics" for e in spans) == 18
    assert (tmp_path / "timeline.png").read_bytes()[:4] == b"\x89PNG"


def test_a_batch_system_that_ends_all_processes_lets_the_step_be_finished(tmp_path: Path) -> None:
    """SIGTERM to the whole process group: the worker stays until the run does not need it."""
    raw = changed(COUPLED, WORKER | {"days": 30, "physics.gravity_wave.interval": "20 min"})
    case, out = write_case(tmp_path / "case.yaml", raw), tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "coupler", "run", str(case), "--quiet", "--out", str(out)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    timer = threading.Timer(120.0, process.kill)
    timer.start()
    while not (out / "budgets.nc").exists() and process.poll() is None:
        time.sleep(0.02)
    workers = _children(process.pid)
    assert len(workers) == 1
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate()
    timer.cancel()
    assert process.returncode == 0, said
    assert "stopped by SIGTERM" in said
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(x) for x in text.split()]
