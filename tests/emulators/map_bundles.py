"""Small networks on maps: columns of a whole globe and descriptions that fit them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from synthetic_columns import columns

from coupler.interface.component import Host
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels
from emulators.normalization import extremes, statistics, wind_scale
from emulators.schema import Architecture, BundleSpec, Channel, Levels, Output, Provenance

NLAT, NLON = 10, 18
GRID = {"kind": "gaussian", "nlat": NLAT, "nlon": NLON}
FIELD_UNITS = {
    "ua": "m s-1",
    "va": "m s-1",
    "ta": "K",
    "pfull": "Pa",
    "lat": "degrees_north",
    "orog": "m",
}


def globe(levels: HybridLevels, seed: int, grid: Grid | None = None) -> dict[str, NDArray[Any]]:
    """Random columns on all places of a grid, ``lat`` and ``lon`` those of the places."""
    grid = grid or Grid.gaussian(NLAT, NLON)
    found = columns(grid.ncol, levels, seed)
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    orog = 1000.0 * np.random.default_rng(seed).uniform(size=grid.ncol)
    return {**found, "lat": lat.ravel(), "lon": lon.ravel(), "orog": orog}


def map_host(levels: HybridLevels, dtype: str = "float32", grid: Grid | None = None) -> Host:
    """A host of the whole globe."""
    grid = grid or Grid.gaussian(NLAT, NLON)
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    return Host(
        grid=grid,
        levels=levels,
        planet=Planet(),
        dtype=np.dtype(dtype),
        seed=0,
        static={"lat": lat.ravel().astype(dtype), "lon": lon.ravel().astype(dtype)},
    )


def map_spec(
    levels: HybridLevels,
    architecture: str,
    config: dict[str, Any],
    *,
    inputs: tuple[str, ...] = ("ua", "va", "ta"),
    seed: int = 1,
    **more: Any,
) -> BundleSpec:
    """A description with the statistics of some columns and fluxes of some tenths of a pascal."""
    some = {n: torch.from_numpy(a).float() for n, a in globe(levels, seed).items()}
    channels = []
    for name in inputs:
        values = some[name] if some[name].dim() == 2 else some[name][None]
        low, high = extremes(values)
        mean, scale = statistics(values, "none")
        if name in ("ua", "va"):
            mean, scale = [0.0] * len(mean), wind_scale([some["ua"], some["va"]])
        if name == "lat":
            mean, scale, low, high = [0.0], [1.0], [-90.0], [90.0]
        channels.append(
            Channel(
                name=name,
                units=FIELD_UNITS[name],
                dims="column" if name in ("lat", "orog") else "level",
                mean=mean,
                scale=scale,
                minimum=low,
                maximum=high,
            )
        )
    flux = [0.02 + 0.01 * k for k in range(levels.nlev)] + [0.0]
    outputs = [
        Output(
            name=name,
            of=of,
            units="Pa",
            scale=flux,
            minimum=[-3.0 * f for f in flux],
            maximum=[3.0 * f for f in flux],
            bound=50.0,
        )
        for name, of in (("xgwdparam", "ua"), ("ygwdparam", "va"))
    ]
    return BundleSpec(
        process="gravity_wave",
        name="map",
        architecture=Architecture(name=architecture, config={"grid": GRID, **config}),
        levels=Levels(name=levels.name, a=levels.a.tolist(), b=levels.b.tolist()),
        inputs=channels,
        outputs=outputs,
        provenance=Provenance(fingerprint="0" * 64, sources=[], seed=0),
        **more,
    )


def some_inputs(
    levels: HybridLevels, seed: int, names: tuple[str, ...] = ("ua", "va", "ta")
) -> dict[str, torch.Tensor]:
    """float32 inputs of one map."""
    found = globe(levels, seed)
    return {n: torch.from_numpy(np.ascontiguousarray(found[n], np.float32)) for n in names}


def turned(x: torch.Tensor, by: int, grid: tuple[int, int] = (NLAT, NLON)) -> torch.Tensor:
    """Columns of the globe turned eastward by `by` places."""
    return x.reshape(*x.shape[:-1], *grid).roll(by, -1).reshape(x.shape)
