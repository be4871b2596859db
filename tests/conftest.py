"""Fixtures that several test folders share."""

import os
import signal
from pathlib import Path

import pytest

from coupler.input import fetch

# A shell tells what it starts in the background to ignore interrupts, and children inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
