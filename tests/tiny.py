"""A case that runs in moments, and what is needed around it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import torch
import yaml

from coupler import Simulation
from coupler.interface.fields import FIELDS
from coupler.interface.grid import HybridLevels
from emulators.bundle import write_bundle
from emulators.networks import build
from emulators.schema import Architecture, BundleSpec, Channel, Levels, Output, Provenance

DRY: dict[str, Any] = {
    "title": "dry",
    "days": 0.25,
    "atmosphere": {
        "scheme": "spectral",
        "truncation": "T10",
        "levels": "sigma5",
        "dt": "60 min",
        "initial": "held_suarez",
        "moist": False,
    },
    "physics": {"radiation": "held_suarez", "boundary_layer": "held_suarez"},
    "output": {"interval": "3 h"},
}
"""Held and Suarez (1994) on 16 x 32 columns of 5 levels."""
REST = {"scheme": "spectral", "truncation": "T10", "levels": "sigma5", "initial": "standard_rest"}
"""An atmosphere that takes the orography of a file."""
COUPLED: dict[str, Any] = {
    "title": "coupled",
    "days": 0.5,
    "seed": 3,
    "atmosphere": {
        "scheme": "spectral",
        "truncation": "T10",
        "levels": "hybrid9",
        "dt": "20 min",
        "initial": "moist_baroclinic_wave",
        "noise": "0.3 K",
    },
    "physics": {
        "radiation": "grey",
        "boundary_layer": "bulk_diffusion",
        "condensation": "large_scale",
        "gravity_wave": {"scheme": "ad99", "interval": "100 min"},
    },
    "surface": {"scheme": "slab", "nlat": 11, "nlon": 18, "dt": "140 min", "depth": "10 m"},
    "output": {"interval": "3 h", "fields": "all"},
}
"""All that is coupled, with intervals of 5, 7 and 9 steps."""


def changed(raw: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`raw` with entries replaced by dotted name; None removes one."""
    raw = copy.deepcopy(raw)
    for name, value in changes.items():
        node = raw
        *path, last = name.split(".")
        for part in path:
            node = node.setdefault(part, {})
        if value is None:
            node.pop(last)
        else:
            node[last] = value
    return raw


def write_case(path: Path, raw: dict[str, Any]) -> Path:
    """The case as a YAML file."""
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


def write_orography(
    path: Path,
    *,
    name: str = "orog",
    dims: tuple[str, ...] = ("lat", "lon"),
    units: str = "m",
    southward: bool = False,
    hole: bool = False,
) -> Path:
    """A ridge of 1 km on a grid of 18 x 36 points."""
    size = {"lat": 18, "lon": 36, "station": 18, "member": 3}
    lat, lon = np.linspace(-85.0, 85.0, 18), np.arange(36) * 10.0
    height = np.cos(np.radians(lat))[:, None] ** 2 * (1.0 + np.cos(np.radians(lon)))[None]
    height = 500.0 * height * (1.2 + np.sin(np.radians(lat)))[:, None]
    if hole:
        height[3, 5] = np.nan
    if southward:
        lat, height = lat[::-1], height[::-1]
    if dims.index("lon") == 0:
        height = height.T
    with netCDF4.Dataset(path, "w") as file:
        for dim in dims:
            file.createDimension(dim, size[dim])
        for dim, values in (("lat", lat), ("lon", lon)):
            if dim in dims:
                file.createVariable(dim, "f8", (dim,))[:] = values
        variable = file.createVariable(name, "f8", dims)
        variable.units = units
        variable[:] = np.broadcast_to(height, [size[d] for d in dims])
    return path


def write_small_bundle(path: Path, levels: HybridLevels, **wrong: dict[str, Any]) -> Path:
    """An untrained emulator of gravity waves; `wrong` replaces entries of channels by name."""
    k = levels.nlev
    typical = {"ua": 20.0, "va": 20.0, "ta": 20.0, "pfull": 1.0, "lat": 1.0}
    inputs = []
    for name, scale in typical.items():
        n = 1 if name == "lat" else k
        low, high = (-90.0, 90.0) if name == "lat" else (-1e6, 1e6)
        content = {
            "name": name,
            "units": FIELDS[name].units,
            "dims": FIELDS[name].dims[0],
            "transform": "log" if name == "pfull" else "none",
            "mean": [250.0 if name == "ta" else 0.0] * n,
            "scale": [scale] * n,
            "minimum": [low] * n,
            "maximum": [high] * n,
        }
        inputs.append(Channel.model_validate(content | wrong.get(name, {})))
    outputs = [
        Output.model_validate(
            {
                "name": name,
                "units": FIELDS[name].units,
                "of": of,
                "scale": [*[1e-3] * k, 0.0],
                "minimum": [-1.0] * (k + 1),
                "maximum": [1.0] * (k + 1),
                "bound": 1.0,
            }
            | wrong.get(name, {})
        )
        for name, of in (("xgwdparam", "ua"), ("ygwdparam", "va"))
    ]
    spec = BundleSpec(
        process="gravity_wave",
        name=path.name,
        architecture=Architecture(name="column_mlp", config={"width": 7, "depth": 1}),
        levels=Levels(name=levels.name, a=levels.a.tolist(), b=levels.b.tolist()),
        inputs=inputs,
        outputs=outputs,
        provenance=Provenance(fingerprint="0" * 64, sources=[], seed=0),
    )
    generator = torch.Generator().manual_seed(1)
    some = {n: typical[n] * torch.randn(k, 3, generator=generator) for n in ("ua", "va")}
    pressure = levels.half_pressure(np.full(3, 1.0e5))
    some |= {
        "ta": torch.full((k, 3), 250.0),
        "pfull": torch.from_numpy(0.5 * (pressure[1:] + pressure[:-1])).float(),
        "lat": torch.tensor([-50.0, 0.0, 7.0]),
    }
    return write_bundle(path, spec, build(spec), some)


def contents(path: Path) -> dict[str, np.ndarray]:
    """All variables of a netCDF file."""
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        return {n: np.asarray(v[...]) for n, v in file.variables.items()}


def assert_same(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    """Bit for bit."""
    assert got.keys() == want.keys()
    for name, values in want.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)


def run(
    out: Path, raw: dict[str, Any] = DRY, *, days: float | None = None, **how: Any
) -> Simulation:
    """A run of a case into a folder."""
    simulation = Simulation.from_case(raw, out=out, **how)
    return simulation.run(days, quiet=True)


PLUGIN = """
import numpy as np
from coupler.interface.component import Params, Tendency, reads, tendencies_of
from coupler.interface.registry import scheme

@scheme("test_forcing", "{name}")
class Forcing(Tendency):
    class Parameters(Params):
        rate: float = 0.0
    inputs = reads("ta")
    tendencies = tendencies_of("ta ua")

    def compute(self, x, tend, flux, diag, now):
        {body}
"""


def plugin(folder: Path, name: str, body: str) -> dict[str, Any]:
    """A scheme of the process ``test_forcing``; returns what a case needs to use it."""
    file = folder / f"{name}.py"
    file.write_text(PLUGIN.format(name=name, body=body))
    return {"plugins": [str(file)], "physics.test_forcing": name}
