"""Faults in whole runs: real processes, one fault each, and what the run did.

Every test holds that the job ends within its deadline, leaves neither a process nor shared memory
behind, and loses no finished output: what is in the files afterwards are the records of an
undisturbed run up to some time, and where the run can go on, it ends as that one did.
``tools/fault_table.py`` makes docs/results/faults.md of it.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobs import Job, last_restart, records
from tiny import DRY, changed, plugin, write_case

SOON = 60.0
"""Deadline of what needs a moment on an idle machine [s]."""
LONG = {"days": 400.0, "restart.interval": "5 h", "output.interval": "5 h"}
"""Longer than any test takes: what ends the run is the fault."""
SHORT = {"days": 2.0, "restart.interval": "5 h", "output.interval": "5 h"}
WORKER = "where.test_forcing"
Note = Callable[[str, str, float, float], None]


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Takes down a line of the table: fault, what the run did, how long it took, the deadline."""

    def take(fault: str, did: str, took: float, deadline: float) -> None:
        assert took < deadline
        for name, value in zip(
            ("fault", "did", "took", "deadline"), (fault, did, f"{took:.1f}", deadline), strict=True
        ):
            record_property(name, value)

    return take


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A case whose steps take a moment, so that a fault has a time and not an instant to meet."""
    body = "tend.ta.fill(__import__('time').sleep(0.05) or 0.0)"
    return changed(DRY, plugin(tmp_path_factory.mktemp("slow"), f"slow_{os.getpid()}", body))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, slow: dict[str, Any]) -> Path:
    """The short run, without a fault."""
    folder = tmp_path_factory.mktemp("undisturbed")
    case = write_case(folder / "case.yaml", changed(slow, SHORT))
    status, said, _ = Job("run", case, "--out", folder / "run", "--quiet").end()
    assert status == 0, said
    return folder / "run"


def no_record_lost(out: Path, undisturbed: Path) -> int:
    """Holds that the records of a run are those of the undisturbed one; how many there are."""
    found, wanted = records(out), records(undisturbed)
    n = min(found["time"].size, wanted["time"].size)
    assert n > 0
    for name, values in found.items():
        assert values[:n].tobytes() == wanted[name][:n].tobytes(), name
    return int(found["time"].size)


def resumes(folder: Path, out: Path, undisturbed: Path, raw: dict[str, Any]) -> str:
    """Holds that the run goes on to the end of the undisturbed one; what it said."""
    case = write_case(folder / "again.yaml", changed(raw, {"days": SHORT["days"]}))
    job = Job("run", case, "--out", out, "--quiet", "--resume")
    status, said, _ = job.end()
    assert status == 0, said
    assert no_record_lost(out, undisturbed) == records(undisturbed)["time"].size
    wanted = last_restart(undisturbed)
    assert {n: a.tobytes() for n, a in last_restart(out).items()} == {
        n: a.tobytes() for n, a in wanted.items()
    }
    return said


# -- the worker -------------------------------------------------------------------------------

NOTHING = "tend.ta.fill(0.0)"
AT = "if now.step == 7"


def forced(folder: Path, body: str, name: str, **where: Any) -> tuple[Path, Path]:
    """A case with a forcing in a worker, and the folder of its run."""
    forcing = plugin(folder, f"{name}_{os.getpid()}", body)
    # In one entry: the process stands last, where it acts last.
    raw = changed(DRY, {**(LONG if name == "calm" else SHORT), **forcing, WORKER: where})
    return write_case(folder / "case.yaml", raw), folder / "run"


def in_worker(
    folder: Path, undisturbed: Path, body: str, name: str, **where: Any
) -> tuple[int, str, float]:
    """Runs it; what it ended with. Until the fault the forcing is nothing and leaves no trace."""
    case, out = forced(folder, body, name, **where)
    job = Job("run", case, "--out", out, "--quiet")
    ended = job.end()
    job.leaves_nothing()
    assert no_record_lost(out, undisturbed) >= 1
    return ended


def test_worker_killed(tmp_path: Path, note: Note, undisturbed: Path) -> None:
    case, out = forced(tmp_path, NOTHING, "calm")
    job = Job("run", case, "--out", out, "--quiet").under_way(out)
    os.kill(job.workers()[0], signal.SIGKILL)
    job.hurt()
    status, said, took = job.end()
    assert status == 1
    assert "the worker died: test_forcing=calm" in said
    assert "killed by SIGKILL" in said
    job.leaves_nothing()
    assert no_record_lost(out, undisturbed) >= 1
    assert last_restart(out)
    note("worker killed", 'stopped, "the worker died", restart kept', took, SOON)


def test_worker_killed_and_held(tmp_path: Path, note: Note, undisturbed: Path) -> None:
    """A forcing of nothing: what is held changes nothing either."""
    die = f"__import__('os').kill(__import__('os').getpid(), 9) {AT} else tend.ta.fill(0.0)"
    status, said, took = in_worker(tmp_path, undisturbed, die, "dies", on_failure="hold")
    assert status == 0, said
    assert "the last answer takes its place: the worker died" in said
    assert records(tmp_path / "run")["time"].size == records(undisturbed)["time"].size
    note("worker killed, `on_failure: hold`", "went on with the last answer", took, 2 * SOON)


def test_worker_stopped(tmp_path: Path, note: Note, undisturbed: Path) -> None:
    case, out = forced(tmp_path, NOTHING, "calm", deadline="3 s")
    job = Job("run", case, "--out", out, "--quiet").under_way(out)
    os.kill(job.workers()[0], signal.SIGSTOP)
    job.hurt()
    status, said, took = job.end()
    assert status == 1
    assert "no answer from the worker in time" in said
    assert re.search(r"its last sign of life is \d+\.\d s old", said)
    job.leaves_nothing()  # nor the stopped one
    assert no_record_lost(out, undisturbed) >= 1
    note("worker stopped (SIGSTOP)", 'stopped, "no answer in time"; ended the worker', took, SOON)


def test_worker_late(tmp_path: Path, note: Note, undisturbed: Path) -> None:
    sleep = f"__import__('time').sleep(90.0 {AT} else 0.0)"
    status, said, took = in_worker(tmp_path, undisturbed, sleep, "late", deadline="1 s")
    assert status == 1
    assert "no answer from the worker in time: test_forcing=late" in said
    assert "expected one within 1 s; found none; it is alive and computing" in said
    note("worker late by 90 s, deadline 1 s", 'stopped, "no answer in time"', took, 2 * SOON)


def test_worker_gives_nan(tmp_path: Path, note: Note, undisturbed: Path) -> None:
    nan = f"tend.ta[2, 5] = np.nan {AT} else 0.0"
    status, said, took = in_worker(tmp_path, undisturbed, nan, "nan")
    assert status == 3  # blown up
    assert "a tendency is not finite: ta of test_forcing=nan" in said
    assert "the state before it was kept" in said
    note("worker gives NaN", "stopped; component, level, point and step named", took, 2 * SOON)


def test_worker_gives_nan_and_held(tmp_path: Path, note: Note, undisturbed: Path) -> None:
    nan = f"tend.ta[2, 5] = np.nan {AT} else 0.0"
    status, said, took = in_worker(tmp_path, undisturbed, nan, "nan", on_failure="hold")
    assert status == 0, said
    assert "the last answer takes its place: an answer that is not finite" in said
    note("worker gives NaN, `on_failure: hold`", "went on with the last answer", took, 2 * SOON)


def test_worker_raises(tmp_path: Path, note: Note, undisturbed: Path) -> None:
    body = "1 / (now.step - 7)"
    status, said, took = in_worker(tmp_path, undisturbed, body, "raises")
    assert status == 1
    assert "the scheme broke off in its worker: test_forcing=raises" in said
    assert "ZeroDivisionError: division by zero (raises_" in said
    note("the scheme raises in its worker", "stopped; error, file and line named", took, 2 * SOON)


def test_host_killed(tmp_path: Path, note: Note, undisturbed: Path) -> None:
    case, out = forced(tmp_path, NOTHING, "calm")
    job = Job("run", case, "--out", out, "--quiet").under_way(out)
    assert len(job.workers()) == 1
    job.process.kill()
    job.hurt()
    status, _, _ = job.end()
    assert status == -signal.SIGKILL
    while job.workers():
        time.sleep(0.01)
        assert time.monotonic() - job._since < SOON
    took = time.monotonic() - job._since
    job.leaves_nothing()
    assert no_record_lost(out, undisturbed) >= 1
    assert last_restart(out)
    note("run killed (SIGKILL)", "its worker ended by itself; restart there", took, SOON)


# -- the disk ---------------------------------------------------------------------------------


def full_at(job: Job, out: Path, size: int) -> None:
    """No file of the job can grow beyond so many bytes: a full disk, without a disk.

    A run looks for room before it opens a file. It is full before that, never between the two.
    """
    for pid in job.ranks():
        full = False
        while not full:
            os.kill(pid, signal.SIGSTOP)
            full = not _has_open(pid, out)
            if full:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, size))
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.01)


def _has_open(pid: int, folder: Path) -> bool:
    files = Path(f"/proc/{pid}/fd").iterdir()
    return any(f.is_symlink() and folder in f.readlink().parents for f in files)


@pytest.mark.parametrize("ranks", [1, 2])
def test_disk_full_during_output(
    tmp_path: Path, note: Note, slow: dict[str, Any], undisturbed: Path, ranks: int
) -> None:
    raw = changed(slow, LONG)
    case, out = write_case(tmp_path / "case.yaml", raw), tmp_path / "run"
    job = Job("run", case, "--out", out, "--quiet", ranks=ranks).under_way(out)
    job.hurt()
    full_at(job, out, (out / "atmosphere.nc").stat().st_size + 1000)
    status, said, took = job.end()
    assert status == os.EX_TEMPFAIL
    assert said.count(f"isthmus: cannot read or write: File too large ({out}/") == 1
    job.leaves_nothing()
    no_record_lost(out, undisturbed)
    resumes(tmp_path, out, undisturbed, raw)
    did = "stopped; files whole, restart from before; `--resume` gives the undisturbed bits"
    note(f"disk full during output, {ranks} rank{'s' * (ranks > 1)}", did, took, SOON)


def test_disk_full_during_restart(tmp_path: Path, note: Note, slow: dict[str, Any]) -> None:
    raw = changed(slow, LONG | {"output.interval": 200.0})
    case, out = write_case(tmp_path / "case.yaml", raw), tmp_path / "run"
    job = Job("run", case, "--out", out, "--quiet").under_way(out, 2)
    job.hurt()
    smallest = min(p.stat().st_size for p in (out / "restart").glob("*.safetensors"))
    full_at(job, out, smallest - 1000)
    status, said, took = job.end()
    assert status == os.EX_TEMPFAIL
    assert re.search(r"cannot read or write: File too large \(\S+restart_\d+\S*\)", said)
    job.leaves_nothing()
    assert last_restart(out)
    assert not list((out / "restart").glob("*.partial"))
    note("disk full during restart", "stopped; the restarts before it are whole", took, SOON)


# -- signals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [1, 2])
def test_sigterm(
    tmp_path: Path, note: Note, slow: dict[str, Any], undisturbed: Path, ranks: int
) -> None:
    raw = changed(slow, LONG)
    case, out = write_case(tmp_path / "case.yaml", raw), tmp_path / "run"
    job = Job("run", case, "--out", out, "--quiet", ranks=ranks).under_way(out)
    os.kill(job.process.pid, signal.SIGTERM)
    job.hurt()
    status, said, took = job.end()
    assert status == 0, said
    assert said.count("stopped by SIGTERM") == 1
    job.leaves_nothing()
    resumes(tmp_path, out, undisturbed, raw)
    did = "finished the step, wrote a restart, status 0; `--resume` gives the undisturbed bits"
    note(f"SIGTERM, {ranks} rank{'s' * (ranks > 1)}", did, took, SOON)


@pytest.mark.parametrize("whom", ["one", "all"])
def test_sigkill_of_ranks(
    tmp_path: Path, note: Note, slow: dict[str, Any], undisturbed: Path, whom: str
) -> None:
    raw = changed(slow, LONG)
    case, out = write_case(tmp_path / "case.yaml", raw), tmp_path / "run"
    job = Job("run", case, "--out", out, "--quiet", ranks=3).under_way(out)
    victims = job.ranks()[-1:] if whom == "one" else job.processes()
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    job.hurt()
    status, _, took = job.end()
    assert status != 0
    job.leaves_nothing()
    no_record_lost(out, undisturbed)
    resumes(tmp_path, out, undisturbed, raw)
    said = {"one": "SIGKILL of one of 3 ranks", "all": "SIGKILL of all 3 ranks and the launcher"}
    note(said[whom], "all ended; `--resume` gives the undisturbed bits", took, SOON)


def test_a_rank_fails_in_compute(tmp_path: Path, note: Note) -> None:
    # 8 pairs on three ranks: 2, 3 and 3 of them, 192 columns where there are 3.
    body = "1 / (now.step - 3 if x.ta.shape[1] == 192 else 1)"
    raw = changed(DRY, plugin(tmp_path, "planted_in_the_table", body))
    case = write_case(tmp_path / "case.yaml", raw)
    job = Job("run", case, "--out", tmp_path / "run", "--quiet", ranks=3)
    status, said, took = job.end()
    assert status != 0
    assert said.count("ZeroDivisionError") == 1
    job.leaves_nothing()
    note("a scheme raises on one of 3 ranks", "one report, all ended", took, 2 * SOON)


# -- what lies about --------------------------------------------------------------------------


def test_newest_restart_truncated(
    tmp_path: Path, note: Note, slow: dict[str, Any], undisturbed: Path
) -> None:
    raw = changed(slow, SHORT | {"days": 1.0})
    case, out = write_case(tmp_path / "case.yaml", raw), tmp_path / "run"
    status, said, _ = Job("run", case, "--out", out, "--quiet").end()
    assert status == 0, said
    newest = max((out / "restart").glob("*.safetensors"))
    os.truncate(newest, newest.stat().st_size - 1)
    began = time.monotonic()
    said = resumes(tmp_path, out, undisturbed, raw)
    assert re.search(rf"passed over: restart [a-z ]+: {newest}", said), said
    did = "said so, went on from the one before; the undisturbed bits"
    note("newest restart truncated", did, time.monotonic() - began, 2 * SOON)


def test_stale_socket_and_garbage(tmp_path: Path, note: Note) -> None:
    """A dead server's socket for the run, then for a server, which then is fed with garbage."""
    path = tmp_path / "gw.sock"
    stale = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stale.bind(str(path))
    stale.close()
    forcing = plugin(tmp_path, "served", NOTHING)
    raw = changed(DRY, {**forcing, WORKER: str(path)})
    case, out = write_case(tmp_path / "case.yaml", raw), tmp_path / "run"
    job = Job("run", case, "--out", out, "--quiet")
    status, said, took = job.end()
    assert status == 2
    assert "a socket that a dead server left behind" in said
    job.leaves_nothing()
    file = f"test_forcing={tmp_path / 'served.py'}:served"
    server = Job("serve", file, "--socket", path)
    server.until(lambda: _answers(path))
    for garbage in (b"\0" * 16, os.urandom(4000), b"ISTH"):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.connect(str(path))
        client.send(garbage)
        client.settimeout(SOON)
        assert b"not the channel protocol" in client.recv(70000)
        client.close()
    job = Job("run", case, "--out", out, "--quiet")
    status, said, _ = job.end()
    assert status == 0, said
    os.kill(server.process.pid, signal.SIGTERM)
    server.hurt()
    status, said, ended = server.end()
    assert status == 0, said
    server.leaves_nothing()
    assert not path.exists()
    note(
        "stale socket; garbage on a server's socket",
        "run: one sentence; server: takes its place, turns garbage away, serves on",
        max(took, ended),
        SOON,
    )


def _answers(path: Path) -> bool:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        client.connect(str(path))
    except OSError:
        return False
    finally:
        client.close()
    return True
