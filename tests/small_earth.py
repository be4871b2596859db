"""A small Earth that runs in moments: two continents, ice, rivers, all types of surface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

NLAT, NLON = 18, 28


def write_map(path: Path) -> Path:
    """Land fraction and height on a regular grid: a continent with mountains, and a polar one."""
    lat = -90.0 + 180.0 / NLAT * (np.arange(NLAT) + 0.5)
    lon = 360.0 / NLON * (np.arange(NLON) + 0.5)
    y, x = np.meshgrid(lat, lon, indexing="ij")
    land = np.clip(1.5 - np.hypot((x - 120.0) / 60.0, (y - 20.0) / 35.0), 0.0, 1.0)
    land = np.maximum(land, np.clip((-70.0 - y) / 10.0, 0.0, 1.0))
    height = 2500.0 * np.exp(-(((x - 130.0) / 25.0) ** 2) - ((y - 25.0) / 15.0) ** 2) * land
    with netCDF4.Dataset(path, "w") as file:
        for name, values, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
            file.createDimension(name, values.size)
            variable = file.createVariable(name, "f8", (name,))
            variable.units = units
            variable[:] = values
        for name, values, units in (("land", land, "1"), ("height", height, "m")):
            variable = file.createVariable(name, "f8", ("lat", "lon"))
            variable.units = units
            variable[:] = values
    return path


def small_earth(folder: Path, **changes: Any) -> dict[str, Any]:
    """The case; `changes` replace whole sections."""
    file = str(write_map(folder / "map.nc"))
    shape = {"nlat": NLAT, "nlon": NLON}
    return {
        "title": "small_earth",
        "start": "2000-12-21",
        "days": 0.5,
        "precision": "float64",
        "atmosphere": {
            "scheme": "spectral",
            "truncation": "T10",
            "levels": "hybrid8",
            "dt": "30 min",
            "initial": "standard_rest",
            "relative_humidity": 0.9,
            "noise": "1 K",
        },
        "physics": {
            "tiles": "mosaic",
            "radiation": {
                "scheme": "byrne_ogorman",
                "interval": "3 h",
                "seasonal": True,
                "diurnal": True,
            },
            "boundary_layer": "tiled",
            "convection": "betts_miller",
            "condensation": "large_scale",
            "precipitation": "total",
            "tile_balance": "net",
        },
        "land": {"scheme": "bucket", "dt": "30 min", "first_wetness": 1.0, **shape},
        "rivers": {"scheme": "linear_reservoirs", "nlat": 15, "nlon": 22, "dt": "2 h"},
        "ocean": {"scheme": "slab", "dt": "1 h", **shape},
        "ice": {"scheme": "semtner", "dt": "1 h", "first_edge": 60.0, **shape},
        "boundary": {
            "orog": {"file": file, "variable": "height"},
            "sftlf": {"file": file, "variable": "land"},
        },
        "output": {"interval": "3 h", "fields": "all"},
    } | changes
