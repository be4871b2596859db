"""netCDF files, one at a time in a process.

The netCDF library and HDF5 below it may not be called by two threads at once, not even for two
files: here a thread writes while the model goes on, and tests have ranks that are threads. xarray
has a lock for the same reason, which it also takes when it closes a file that nobody looks at any
more, in whatever thread that is noticed; where xarray is loaded, its lock is taken too.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import netCDF4

_LOCK = threading.RLock()


@contextmanager
def opened(path: Path, mode: Any = "r", **how: Any) -> Iterator[Any]:
    """A file, open; no other thread of this process has one open, or reads one by xarray."""
    with _LOCK:
        outermost = not _held.inside
        with _lock_of_xarray() if outermost else nullcontext():
            _held.inside = True
            try:
                with netCDF4.Dataset(path, mode, **how) as file:
                    yield file
            finally:
                _held.inside = not outermost


class _Held:
    inside = False
    """Whether the thread that has the lock has a file open already; a copy opens two."""


_held = _Held()


def _lock_of_xarray() -> AbstractContextManager[Any]:
    module = sys.modules.get("xarray.backends.locks")
    return module.HDF5_LOCK if module is not None else nullcontext()
