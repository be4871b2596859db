"""Data sets of what a coarse two-layer flow is missing, one file for each filter-coarsen operator.

``forcing1.nc`` (spectral), ``forcing2.nc`` (gaussian) and ``forcing3.nc`` (block) hold everything
that `qg_coarsen.forcing` gives, on the coarse grid with the dimensions (run, time, lev, y, x). The
configurations of both flows and the operator are attributes, in JSON.

Source of the layout: the data of Ross et al. (2023), doi:10.1029/2022MS003258.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from coupler.interface.errors import DataError
from physics.dynamics.qg_coarsen import OPERATORS, Coarsener, Operator, forcing

Tensor = torch.Tensor
DIMENSIONS = ("run", "time", "lev", "y", "x")
UNITS = {"q": "s-1", "u": "m s-1", "v": "m s-1", "psi": "m2 s-1"}


def units_of(name: str) -> str:
    """Unit of a variable of `qg_coarsen.forcing`."""
    if name in UNITS:
        return UNITS[name]
    if name.endswith("_flux"):
        return "m s-2" if "q" in name.split("_")[0] else "m2 s-2"
    return "s-2" if name.startswith("q_") else "m s-2"


def file_name(operator: Operator) -> str:
    """``forcing1.nc`` and so on."""
    return f"forcing{OPERATORS.index(operator) + 1}.nc"


class ForcingFile:
    """A data set that grows; it has its name when it is closed, and what was added by then."""

    def __init__(self, path: Path, operator: Coarsener) -> None:
        import netCDF4

        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.operator = path, operator
        self._beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
        config = operator.coarse.config
        self.file = netCDF4.Dataset(self._beside, "w")
        for name, size in zip(DIMENSIONS, (None, None, 2, config.nx, config.nx), strict=True):
            self.file.createDimension(name, size)
        for name in ("y", "x"):
            points = self.file.createVariable(name, "f8", (name,))
            points.units, points.axis = "m", name.upper()
            points[:] = config.dx * np.arange(config.nx)
        self.file.operator = operator.operator
        self.file.fine = json.dumps(asdict(operator.fine.config))
        self.file.coarse = json.dumps(asdict(config))

    def add(self, run: int, time: int, q: Tensor) -> None:
        """What the coarse grid misses of states of the fine one.

        Args:
            run: of the first member.
            time: index of the state.
            q: potential vorticity of the fine flow [s-1], [2, member, n, n].
        """
        fine, members = self.operator.fine, q.shape[1]
        with torch.inference_mode():
            found = forcing(self.operator, fine.to_waves(q.to(fine.dtype)))
        for name, field in found.items():
            if name not in self.file.variables:
                kind = "f4" if fine.dtype == torch.float32 else "f8"
                self.file.createVariable(name, kind, DIMENSIONS).units = units_of(name)
            self.file[name][run : run + members, time] = field.swapaxes(0, 1).numpy()

    def close(self) -> None:
        """Gives the file its name; without a state there is no file."""
        empty = not self.file.dimensions["time"].size
        self.file.close()
        if empty:
            self._beside.unlink()
        else:
            self._beside.rename(self.path)


def write_forcing(path: Path, operator: Coarsener, runs: Iterable[np.ndarray]) -> Path:
    """Writes one data set; the file appears whole.

    Args:
        path: the file.
        operator: between the grids.
        runs: states of the fine flow, q [s-1] of each run [time, 2, n, n]; as many times in all.
    """
    file = ForcingFile(path, operator)
    for run, states in enumerate(runs):
        for time, state in enumerate(states):
            file.add(run, time, torch.tensor(state)[:, None])
    file.close()
    return path


def read_fields(path: Path, *names: str) -> list[Tensor]:
    """Variables of a data set, [2, run x time, y, x] each.

    Raises:
        DataError: when the file or one of them is missing.
    """
    import netCDF4

    if not path.is_file():
        raise DataError.of("no such data set", str(path), remedy="make it with write_forcing")
    with netCDF4.Dataset(path) as file:
        missing = [n for n in names if n not in file.variables]
        if missing:
            raise DataError.of(
                "variables missing in a data set",
                f"{path}: {', '.join(missing)}",
                expected="what physics.dynamics.qg_coarsen.forcing gives",
            )
        found = []
        for name in names:
            array = np.ma.getdata(file[name][:])
            flat = array.reshape(-1, *array.shape[2:]).swapaxes(0, 1)
            found.append(torch.tensor(np.ascontiguousarray(flat)))
    return found
