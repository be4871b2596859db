"""Processes side by side, and parts of analyses that are made beside runs and kept."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_study import FINE, STRONG, made_up_study
from tiny import COUPLED, changed, write_case

from coupler.compare import jobs
from coupler.compare.candidates import NONE, REFERENCE
from coupler.compare.foretold import ANALYSES, Analysis, Foretold, ahead
from coupler.compare.jobs import FAILED, Job, Run
from coupler.compare.parts import Part, keep, kept, make, make_alone
from coupler.compare.side_by_side import Children, Stopped, Task, side_by_side
from coupler.compare.stability import parts
from coupler.driver.signals import Terminated, terminable
from coupler.interface.errors import DataError

FUNCTIONS = """
import numpy as np
from coupler.interface.errors import DataError


def twice(words):
    return {"second": 2.0 * np.array(words["x"]), "first": np.array("said")}


def silent(words):
    raise DataError.of("nothing to say", "x")


def crashing(words):
    return {"x": 1 / 0}
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a module that other processes find, too."""
    (tmp_path / "made_up_parts.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    return tmp_path


def part(base: Path, name: str) -> Part:
    return Part(name=name, call=f"made_up_parts:{name}", words={"x": [0.1, 3.0]},
                file=base / "analyses" / f"{name}.npz")  # fmt: skip


# -- side by side ----------------------------------------------------------------------------------


def test_what_has_become_possible_begins_before_what_waits() -> None:
    order: list[str] = []

    def task(name: str) -> Task[str]:
        return lambda children: name

    def then(name: str) -> list[Task[str]]:
        order.append(name)
        return [task("a1"), task("a2")] if name == "a" else []

    side_by_side([task("a"), task("b"), task("c")], parallel=1, then=then)
    assert order == ["a", "a1", "a2", "b", "c"]


def test_as_many_go_on_at_a_time_as_are_asked_for() -> None:
    both, going, most = threading.Barrier(2), [0], [0]
    lock = threading.Lock()

    def task(children: Children) -> None:
        with lock:
            going[0] += 1
            most[0] = max(most[0], going[0])
        both.wait(60.0)  # one alone would wait in vain
        with lock:
            going[0] -= 1

    side_by_side([task] * 4, parallel=2, then=lambda result: [])
    assert most == [2]


def test_when_one_fails_the_others_are_ended_and_none_begins(tmp_path: Path) -> None:
    ends: list[int] = []

    def long(children: Children) -> None:
        ends.append(children.run(["sleep", "600"], tmp_path / "long.txt")[0])
        with pytest.raises(Stopped):
            children.run(["touch", str(tmp_path / "begun")], tmp_path / "late.txt")

    def failing(children: Children) -> None:
        while not (tmp_path / "long.txt").exists():
            time.sleep(0.01)
        raise DataError.of("broken", "x")

    start = time.perf_counter()
    with pytest.raises(DataError, match="broken"):
        side_by_side([long, failing], parallel=2, then=lambda result: [])
    assert ends == [-15]
    assert not (tmp_path / "begun").exists()
    assert time.perf_counter() - start < 300.0


# -- parts -----------------------------------------------------------------------------------------


def test_a_part_is_the_same_here_and_in_a_process_of_its_own(functions: Path) -> None:
    one = part(functions, "twice")
    assert kept(one.file) is None
    made = make_alone(one, Children())
    assert (made.why, made.wall > 0.0) == ("", True)
    there = kept(one.file)
    assert there is not None
    assert list(there) == ["second", "first"]
    assert there["second"].tolist() == [0.2, 6.0] and str(there["first"]) == "said"
    here = replace(one, file=functions / "here.npz")
    make(here)
    assert {n: x.tolist() for n, x in (kept(here.file) or {}).items()} == {
        n: x.tolist() for n, x in there.items()
    }


@pytest.mark.parametrize(
    ("name", "why"),
    [("silent", "nothing to say: x"), ("crashing", "ZeroDivisionError: division by zero")],
)
def test_a_part_without_an_answer_is_said_and_not_kept(
    functions: Path, name: str, why: str
) -> None:
    one = part(functions, name)
    assert make_alone(one, Children()).why == why
    assert kept(one.file) is None


def test_a_damaged_answer_counts_as_none(tmp_path: Path) -> None:
    one = part(tmp_path, "twice")
    keep(one, {"x": np.arange(1000.0)})
    whole = one.file.read_bytes()
    for damaged in (b"", whole[:300], b"x" * 300):
        one.file.write_bytes(damaged)
        assert kept(one.file) is None


class Short(Job):
    """A run that is complete at once."""

    def command(self) -> list[str]:
        report = json.dumps({"outcome": "complete"})
        text = f"open({str(self.folder / 'run.json')!r}, 'w').write({report!r})"
        return [sys.executable, "-c", text, "--resume"]


def test_parts_are_made_beside_the_runs_each_once(functions: Path) -> None:
    asked: list[int] = []
    told: list[str] = []

    def possible(runs: Sequence[Run]) -> list[Part]:
        asked.append(len(runs))
        return [part(functions, name) for name in ("twice", "silent")] if runs else []

    short = [Short(candidate="x", member=m, case=functions / "c.yaml", days=1.0, changes={},
                   folder=functions / f"run{m}") for m in (1, 2, 3)]  # fmt: skip
    how: dict[str, Any] = {
        "parallel": 1,
        "told": lambda run, done, of: told.append(f"{run.job.member}: {done} of {of}"),
        "ahead": possible,
        "told_part": lambda made: told.append(f"{made.part.name}: {made.why}"),
    }
    runs = jobs.run_all(short, **how)
    assert [r.status for r in runs] == ["complete"] * 3
    assert told == ["1: 1 of 3", "twice: ", "silent: nothing to say: x", "2: 2 of 3", "3: 3 of 3"]
    assert asked == [0, 1, 1, 1, 2, 3]
    told.clear()
    assert jobs.run_all(short, **how) == runs
    assert told == ["silent: nothing to say: x"]  # what is kept is not made again


def test_an_analysis_says_what_can_be_made_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, _ = made_up_study(tmp_path, members=1, kind="stability")
    one = part(tmp_path, "twice")

    def nothing(plan: Any, runs: Any) -> Foretold:
        return Foretold()

    monkeypatch.setattr("coupler.compare.foretold.ANALYSES", [
        Analysis(name="long", of=nothing, ahead=lambda plan, runs: [one]),
        Analysis(name="short", of=nothing),
        Analysis(name="other", of=nothing, kinds=("shadow",), ahead=lambda plan, runs: [one, one]),
    ])  # fmt: skip
    assert ahead(plan, []) == [one]


# -- those of the linear analysis ------------------------------------------------------------------


def test_linear_analyses_begin_with_the_first_good_run_of_the_reference(tmp_path: Path) -> None:
    plan, runs = made_up_study(tmp_path, members=2, kind="stability")
    first, second = (r for r in runs if r.job.candidate == REFERENCE)
    assert parts.ahead(plan, []) == []
    assert parts.ahead(plan, [second]) == []  # the first may still be good
    lost = replace(first, status=FAILED)
    (alone,) = parts.ahead(plan, [lost, second])
    assert (alone.words["name"], alone.words["choice"]) == (NONE, None)
    assert alone.words["run"]["member"] == 2
    (alone,) = parts.ahead(plan, [first, second])
    assert alone.words["run"]["member"] == 1
    json.dumps(alone.words)
    keep(alone, {})
    schemes = parts.ahead(plan, [first, second])
    assert [p.words["name"] for p in schemes] == [REFERENCE, FINE, STRONG]
    assert {p.words["near"] for p in schemes} == {str(alone.file)}
    assert len({p.file for p in schemes}) == 3
    assert all(p in ANALYSES[0].ahead(plan, [first, second]) for p in schemes)


def test_what_decides_an_answer_decides_where_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, runs = made_up_study(tmp_path, members=1, kind="stability")
    source = next(r for r in runs if r.job.candidate == REFERENCE)
    before = parts.part(plan, source, REFERENCE).file
    assert parts.part(plan, source, REFERENCE).file == before
    other = replace(source, job=replace(source.job, folder=tmp_path / "other"))
    tuned = replace(plan, reference={"scheme": "ad99", "wide_amplitude": 0.3})
    files = [before, parts.part(plan, other, REFERENCE).file,
             parts.part(tuned, source, REFERENCE).file]  # fmt: skip
    monkeypatch.setattr("coupler.compare.stability.flow.EFFORT", parts.Effort(vectors=3))
    files.append(parts.part(plan, source, REFERENCE).file)
    assert len(set(files)) == 4
    assert parts.part(plan, source, NONE).name == "linear analysis of the flow alone"


def test_a_terminated_comparison_ends_its_runs_in_order(tmp_path: Path) -> None:
    case = write_case(tmp_path / "case.yaml", changed(COUPLED, {"days": 3000}))
    command = subprocess.Popen(
        [sys.executable, "-m", "coupler", "compare", "online", str(case), "--candidates", "wms=wms",
         "--members", "1", "--jobs", "1", "--report", str(tmp_path / "r.html")],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    runs = tmp_path / "r.work" / "runs"
    until = time.monotonic() + 240.0
    while not list(runs.glob("*/atmosphere.nc")):
        assert command.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    os.kill(command.pid, signal.SIGTERM)
    _, said = command.communicate(timeout=120)
    assert command.returncode == 143
    assert said == (
        "isthmus: stopped by SIGTERM; what is finished is kept, and the same command goes on\n"
    )
    with pytest.raises(ProcessLookupError):  # nothing is left of its session
        os.killpg(command.pid, 0)
    (run,) = runs.iterdir()
    assert json.loads((run / "run.json").read_text())["outcome"] == "stopped by SIGTERM"
    assert list(run.glob("restart/*.safetensors"))


def test_terminations_are_raised_inside_alone_and_not_where_they_are_ignored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated, match="stopped by SIGTERM"), terminable():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5.0)
    assert signal.getsignal(signal.SIGTERM) == before
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with terminable():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
