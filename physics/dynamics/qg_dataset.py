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


def write_forcing(path: Path, operator: Coarsener, runs: Iterable[np.ndarray]) -> Path:
    """Writes one data set; the file appears whole.

    Args:
        path: the file.
        operator: between the grids.
        runs: states of the fine flow, q [s-1] of each run [time, 2, n, n]; as many times in all.
    """
    import netCDF4

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    fine, m = operator.fine, operator.coarse.config.nx
    with netCDF4.Dataset(beside, "w") as file:
        for name, size in zip(DIMENSIONS, (None, None, 2, m, m), strict=True):
            file.createDimension(name, size)
        for run, states in enumerate(runs):
            for time, state in enumerate(states):
                q = torch.tensor(state, dtype=fine.dtype)[:, None]
                with torch.inference_mode():
                    found = forcing(operator, fine.to_waves(q))
                for name, field in found.items():
                    if name not in file.variables:
                        kind = "f4" if fine.dtype == torch.float32 else "f8"
                        file.createVariable(name, kind, DIMENSIONS).units = units_of(name)
                    file[name][run, time] = field[:, 0].numpy()
        file.operator = operator.operator
        file.fine = json.dumps(asdict(fine.config))
        file.coarse = json.dumps(asdict(operator.coarse.config))
    beside.rename(path)
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
