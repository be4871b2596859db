"""Files and stores of runs, ours or anybody's, with a sentence for what cannot be read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xarray as xr

from coupler.interface.errors import DataError
from coupler.output.library import lazy, readable


@contextmanager
def opened(path: Path) -> Iterator[xr.Dataset]:
    """A file or a store, read when its values are asked for.

    Raises:
        DataError: when it is missing or cannot be opened, or values of it cannot be read.
    """
    with _opened(path) as data, readable(path):
        yield data


def _opened(path: Path) -> xr.Dataset:
    if not path.exists():
        raise DataError.of("no such file", str(path), remedy="correct the path, or run it again")
    try:
        if path.is_file():
            return lazy(path)
        coder = xr.coders.CFDatetimeCoder(use_cftime=True)
        with warnings.catch_warnings():  # a store without gathered metadata is only slower to open
            warnings.filterwarnings("ignore", "Failed to open Zarr store", RuntimeWarning)
            return xr.open_dataset(path, engine="zarr", decode_times=coder)
    except (OSError, ValueError, ImportError, KeyError) as error:
        zarr = "; zarr needs `pip install isthmus[zarr]`" if path.is_dir() else ""
        raise DataError.of(
            "not a readable zarr store" if zarr else "not a readable netCDF file",
            str(path),
            found=str(error).splitlines()[0],
            remedy=f"it may be cut short{zarr}",
        ) from error
