"""Versions and machine: what a run depends on besides its case."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import coupler

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
    found = {"isthmus": coupler.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    commit = _commit()
    if commit:
        found["commit"] = commit
    return found


def _commit() -> str:
    """Commit of the source tree, with ``-dirty`` when files differ from it; empty when unknown."""
    root = Path(coupler.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def machine() -> dict[str, str | int]:
    """Processor, cores and threads."""
    import numba
    import torch

    return {
        "processor": platform.processor() or platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count() or 1,
        "torch_threads": torch.get_num_threads(),
        "numba_threads": numba.get_num_threads(),
        "gpus": torch.cuda.device_count(),
    }


def print_info() -> None:
    """Prints both as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Isthmus", show_header=False)
    for name, value in {**versions(), **machine()}.items():
        table.add_row(name.replace("_", " "), str(value))
    Console().print(table)
