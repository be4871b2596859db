"""A run that is asked to stop does, in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tiny import (
    DRY,
    assert_same,
    changed,
    contents,
    run,
    write_case,
)

from coupler.driver import loop
from coupler.driver.signals import Interrupted, listening
from coupler.output import restart

HOUR = 1.0 / 24.0


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
