"""Every array that two runs wrote, bit against bit."""

from pathlib import Path

import netCDF4
import numpy as np
from safetensors.numpy import load_file


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    """All variables of all output files and all arrays of all restarts, by file and name."""
    found = {}
    for file in sorted(folder.glob("*.nc")):
        with netCDF4.Dataset(file) as nc:
            nc.set_auto_mask(False)
            found |= {f"{file.name}/{name}": np.asarray(v[:]) for name, v in nc.variables.items()}
    for file in sorted((folder / "restart").glob("*.safetensors")):
        found |= {f"{file.name}/{name}": a for name, a in load_file(file).items()}
    return found


def differing(one: Path, other: Path) -> list[str]:
    """Names of the arrays that are not the same, bit for bit, in both folders."""
    return _differing(arrays_of(one), arrays_of(other))


def differing_arrays(one: Path, other: Path) -> list[str]:
    """The same for two restart files."""
    return _differing(load_file(one), load_file(other))


def _differing(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> list[str]:
    assert len(first) > 10
    return [
        name
        for name in sorted(first.keys() | second.keys())
        if name not in first
        or name not in second
        or first[name].dtype != second[name].dtype
        or first[name].shape != second[name].shape
        or first[name].tobytes() != second[name].tobytes()
    ]
