"""Fixtures that several test folders share, and what tests beside each other have to share."""

import fcntl
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coupler.input import fetch

# A shell tells what it starts in the background to ignore interrupts, and children inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

BESIDE_OTHERS = "PYTEST_XDIST_WORKER" in os.environ
"""Whether other tests run at the same time, in other workers."""

if BESIDE_OTHERS:
    # The cores are taken by workers; libraries read this when they are loaded.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def _one_at_a_time(save: Callable[..., None]) -> Callable[..., None]:
    """Workers fill one cache of compiled code, whose index numba reads, changes and writes.

    Without a lock two that compile one function for float32 and float64 at the same moment could
    give both the same file.
    """

    def locked(*args: Any) -> None:
        with Path(tempfile.gettempdir(), f"isthmus-tests-{os.getuid()}.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            save(*args)

    return locked


if BESIDE_OTHERS:
    from numba.core.caching import IndexDataCacheFile

    IndexDataCacheFile.save = _one_at_a_time(IndexDataCacheFile.save)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Untrained networks have the same weights in every process and order."""
    import torch

    torch.manual_seed(0)


BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The real data files: ``$ISTHMUS_DATA``, or ``../shared/data`` beside the repository.

    Without either, the files are fetched into the user's cache; tests that need them never skip.
    """
    if os.environ.get(fetch.ENVIRONMENT):
        return fetch.folder()
    if BESIDE.is_dir():
        return BESIDE
    for name in fetch.FILES:
        fetch.fetch(name)
    return fetch.folder()


@pytest.fixture
def data(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the real data files, with ``ISTHMUS_DATA`` pointing to it."""
    monkeypatch.setenv(fetch.ENVIRONMENT, str(data_folder))
    return data_folder
