"""Versions and machine: what a run depends on besides its case."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coupler.driver.discovery import discover, shipped_bundles
from coupler.input import fetch
from coupler.interface.registry import SCHEMES
from coupler.interface.source import commit, software
from coupler.parallel import mpi

_PACKAGES = (
    "torch",
    "numpy",
    "numba",
    "scipy",
    "xarray",
    "netCDF4",
    "mpi4py",
    "pydantic",
    "cftime",
)


def versions() -> dict[str, str]:
    """Versions of Isthmus, Python and the packages that results depend on."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    found = software(*_PACKAGES)
    return {**found, "commit": commit()} if commit() else found


def _processor() -> str:
    """The processor's own name where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> dict[str, str | int]:
    """Processor, cores and threads."""
    import numba
    import torch

    return {
        "processor": _processor(),
        "system": platform.system(),
        "cores": os.cpu_count() or 1,
        "torch_threads": torch.get_num_threads(),
        "numba_threads": numba.get_num_threads(),
        "blas_threads": os.environ.get("OMP_NUM_THREADS", "not set"),
        "ranks": mpi.launched_size(),
        "gpus": torch.cuda.device_count(),
    }


def print_info(console: Console | None = None) -> None:
    """Prints versions, the machine, and what is at hand: data, schemes, bundles."""
    discover()
    there = [name for name in fetch.FILES if (fetch.folder() / name).is_file()]
    at_hand = {
        "data": f"{fetch.folder()} ({len(there)} of {len(fetch.FILES)} files, isthmus data list)",
        "schemes": f"{sum(map(len, SCHEMES.values()))} of {len(SCHEMES)} processes, "
        "isthmus schemes",
        "bundles": ", ".join(shipped_bundles()) or "none",
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in {**versions(), **machine(), **at_hand}.items():
        table.add_row(name.replace("_", " "), Text(str(value)))
    (console or Console()).print(table)
