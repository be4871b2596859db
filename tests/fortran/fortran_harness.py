"""Columns, declarations and one call of a Fortran routine, without a run around it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import yaml

from coupler.driver.suite import Bound
from coupler.interface.component import Host, Now, Tendency
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels
from fortran_bridge.component import fortran_class

PLANET = Planet()
GRID = Grid.regular(5, 7)
LEVELS = HybridLevels.stretched(23, scale_heights=9.0)
DT = 1200.0

RELAX: dict[str, Any] = {
    "process": "stratosphere",
    "arguments": [
        {"name": "ncol", "size": "column"},
        {"name": "nlev", "size": "level"},
        {"name": "t", "input": "ta"},
        {"name": "target", "parameter": 210.0, "units": "K", "minimum": 100.0},
        {"name": "tau", "parameter": 432000.0, "units": "s", "minimum": 1.0},
        {"name": "dt", "time": "dt"},
        {"name": "rate", "tendency": "ta"},
    ],
}
LEVELS_FIRST: dict[str, Any] = {
    "process": "stratosphere",
    "layout": "level_column",
    "kind": "real32",
    "arguments": [
        {"name": "nlev", "size": "level", "kind": "int64", "by": "value"},
        {"name": "ncol", "size": "column", "kind": "int64", "by": "value"},
        {"name": "t", "input": "ta"},
        {"name": "target", "parameter": 210.0, "units": "K", "by": "value"},
        {"name": "tau", "parameter": 432000.0, "kind": "real64", "by": "value"},
        {"name": "dt", "time": "dt", "kind": "real64", "by": "value"},
        {"name": "rate", "tendency": "ta"},
    ],
}
COLUMN: dict[str, Any] = {
    "process": "stratosphere",
    "call": "column",
    "arguments": [
        {"name": "nlev", "size": "level"},
        {"name": "t", "input": "ta"},
        {"name": "ps", "input": "ps"},
        {"name": "target", "parameter": 210.0},
        {"name": "tau", "parameter": 432000.0},
        {"name": "dt", "time": "dt"},
        {"name": "rate", "tendency": "ta"},
        {"name": "coldest", "diagnostic": "coldest", "units": "K", "long_name": "Coldest Layer"},
        {"name": "status", "status": {7: "too cold"}},
    ],
}
SIMPLE: dict[str, Any] = {
    "process": "stratosphere",
    "arguments": [
        {"name": "ncol", "size": "column"},
        {"name": "nlev", "size": "level"},
        {"name": "t", "input": "ta"},
        {"name": "rate", "tendency": "ta"},
    ],
}


def with_argument(declaration: dict[str, Any], name: str, /, **entries: Any) -> dict[str, Any]:
    """A declaration with entries of one argument changed; None removes one."""
    made = copy.deepcopy(declaration)
    (argument,) = (a for a in made["arguments"] if a["name"] == name)
    argument.update(entries)
    for key in [k for k, v in argument.items() if v is None]:
        del argument[key]
    return made


def declare(folder: Path, declaration: Any, name: str = "declaration.yaml") -> str:
    """The declaration as a file; returns its path."""
    path = folder / name
    path.write_text(declaration if isinstance(declaration, str) else yaml.safe_dump(declaration))
    return str(path)


def columns(dtype: str = "float64", seed: int = 4) -> dict[str, np.ndarray]:
    """Random but plausible columns."""
    rng = np.random.default_rng(seed)
    n, k = GRID.ncol, LEVELS.nlev
    lat, lon = np.meshgrid(GRID.lat, GRID.lon, indexing="ij")
    x = {"lat": lat.ravel(), "lon": lon.ravel(), "orog": np.zeros(n), "sftlf": np.zeros(n)}
    x["ps"] = 1.0e5 + 2.0e3 * rng.standard_normal(n)
    x["phalf"] = LEVELS.half_pressure(x["ps"])
    x["pfull"] = 0.5 * (x["phalf"][1:] + x["phalf"][:-1])
    sigma = x["pfull"] / x["ps"]
    x["ta"] = np.maximum(205.0, 290.0 * sigma**0.19) + 6.0 * rng.standard_normal((k, n))
    x["ua"] = 45.0 * (1.0 - sigma) + 25.0 * rng.standard_normal((k, n))
    x["va"] = 25.0 * rng.standard_normal((k, n))
    x["hus"] = np.zeros((k, n))
    scale = PLANET.gas_constant_dry * 250.0 / PLANET.gravity
    x["zg"] = scale * np.log(x["ps"] / x["pfull"])
    return {name: np.ascontiguousarray(a, dtype) for name, a in x.items()}


def now(step: int = 0) -> Now:
    date = cftime.datetime(2001, 3, 1, calendar="noleap")
    return Now(date=date, step=step, seconds=step * DT, dt=DT)


class Tried:
    """A scheme bound to columns as the driver does it."""

    def __init__(self, cls: type[Tendency], x: dict[str, np.ndarray], **parameters: Any) -> None:
        self.x = x
        self.component = cls(cls.Parameters.model_validate(parameters))
        static = {n: x[n] for n in ("lat", "lon", "orog", "sftlf") if n in x}
        host = Host(
            grid=GRID, levels=LEVELS, planet=PLANET, dtype=x["ta"].dtype, seed=0, static=static
        )
        self.component.setup(host)
        self.bound = Bound(self.component, "tried", 1, x, host)

    def __call__(self, step: int = 0) -> dict[str, np.ndarray]:
        """Copies of all outputs of one call."""
        self.bound.call(now(step), self.x["phalf"])
        parts = {"tend": self.bound.tend, "flux": self.bound.flux, "diag": self.bound.diag}
        return {f"{p}.{n}": a.copy() for p, arrays in parts.items() for n, a in arrays.items()}


def routine(library: Path, name: str, declaration: str, process: str = "stratosphere") -> Any:
    """The class of a routine."""
    parameters = {"declaration": declaration}
    return fortran_class(f"fortran:{library}:{name}", library.parent, process, parameters)
