"""netCDF files, one at a time in a process.

The netCDF library and HDF5 below it may not be called by two threads at once, not even for two
files: the process then ends with a segmentation fault. Here a thread writes while the model goes
on, and tests have ranks that are threads. A file that xarray has open is closed when nobody looks
at it any more, in the middle of whatever the thread that notices is doing: `lazy` opens one that
waits for its turn.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import netCDF4

from coupler.interface.errors import CouplerError, DataError

if TYPE_CHECKING:
    import xarray as xr

_LOCK = threading.RLock()


@contextmanager
def opened(path: Path, mode: Any = "r", **how: Any) -> Iterator[Any]:
    """A file, open; no other thread of this process has one open meanwhile."""
    with _LOCK, netCDF4.Dataset(path, mode, **how) as file:
        yield file


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Around what reads values of a file that is open: damage within it shows only then.

    Raises:
        DataError: for errors of the netCDF library, with the file's name.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith("NetCDF: "):
            raise
        raise DataError.of(
            "values that cannot be read",
            str(path),
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            remedy="the file is damaged; make it again",
        ) from error


def lazy(path: Path, *, decode: bool = True) -> xr.Dataset:
    """A file as an xarray dataset, read when its values are asked for; times decoded or not."""
    import xarray as xr  # a run does without it, and it takes half a second

    backends: Any = xr.backends
    with _LOCK:
        how = {"mode": "r", "lock": _LOCK}
        file = backends.CachingFileManager(netCDF4.Dataset, str(path.absolute()), **how)
        store = backends.NetCDF4DataStore(file, lock=_LOCK)
        coder = xr.coders.CFDatetimeCoder(use_cftime=True) if decode else False
        return xr.open_dataset(store, decode_times=coder)


def refuse_without_records(data: xr.Dataset, path: Path, axis: str = "time") -> None:
    """Refuses a file of a run that was too short to write anything.

    Raises:
        DataError: when its axis of time has no entry.
    """
    if not data.sizes.get(axis):
        raise DataError.of(
            "no record in a file",
            str(path),
            expected="a run of at least output.interval",
            remedy="run longer, or set output.interval to less",
        )


def nothing_left(path: Path, skip_days: float, last: float) -> CouplerError:
    """The error of a reader that is to leave out more days than a file has.

    Args:
        path: the file.
        skip_days: to be left out.
        last: day on which it ends.
    """
    return DataError.of(
        "nothing left of a run",
        str(path),
        expected=f"more than {skip_days:g} days",
        found=f"{last:g} days",
        remedy="leave out fewer days or run longer",
    )
