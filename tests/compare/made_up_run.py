"""A run folder made from formulas: two jets, a cold tropopause, drag that grows with height."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml

from coupler.interface.grid import Grid, HybridLevels

NLEV, NLAT, NLON = 19, 22, 10


def fields(seed: int, records: int, shift: float, drag: float) -> tuple[xr.Dataset, Grid]:
    """Everything but the coordinates' bounds.

    Args:
        seed: of the weather.
        records: daily records.
        shift: how far the jets stand poleward of 42 degrees [degrees].
        drag: factor of the gravity-wave drag.
    """
    weather = np.random.default_rng(seed)
    grid = Grid.gaussian(NLAT, NLON)
    levels = HybridLevels.named(f"hybrid{NLEV}")
    lat = grid.lat[None, None, :, None]
    shape = (records, NLEV, NLAT, NLON)

    def noise(size: float, *dims: int) -> np.ndarray:
        """Weather that remembers itself from day to day and is smooth in height and latitude."""
        x = weather.normal(size=dims)
        for axis in (a for a, n in enumerate(dims) if n > 3):
            spectrum = np.moveaxis(np.fft.rfft(x, axis=axis), axis, -1)
            spectrum[..., max(3, dims[axis] // 4) :] = 0.0
            x = np.moveaxis(np.fft.irfft(spectrum, n=dims[axis]), -1, axis)
        return size * x / max(float(x.std()), 1e-9)

    ps = np.broadcast_to(1.0e5 - 400.0 * np.cos(np.radians(grid.lat))[None, :, None],
                         (records, NLAT, NLON)) + noise(300.0, records, 1, 1)  # fmt: skip
    half = levels.half_pressure(ps.mean(axis=(0, 2)))
    p = 0.5 * (half[1:] + half[:-1])[None, :, :, None]
    z = -7.0 * np.log(p / 1.0e5)  # km
    sine = np.sin(np.radians(lat))
    jets = sum(
        35.0 * np.exp(-(((lat - s * (42.0 + shift)) / 13.0) ** 2) - ((z - 11.5) / 6.0) ** 2)
        for s in (-1, 1)
    )
    night = 45.0 * np.exp(-(((lat + 60.0) / 14.0) ** 2) - ((z - 38.0) / 14.0) ** 2)
    trades = -6.0 * np.exp(-((lat / 14.0) ** 2) - z / 4.0)
    summer = -25.0 * np.exp(-(((lat - 35.0) / 25.0) ** 2) - ((z - 40.0) / 14.0) ** 2)
    wave = np.sin(np.radians(4 * grid.lon))[None, None, None, :] * np.cos(np.radians(lat)) ** 2
    ua = jets + night + trades + summer + 5.0 * wave + noise(1.5, *shape[:3], 1)
    va = 1.0 * np.sin(np.radians(2 * lat)) * np.exp(-z / 3.0) + noise(0.3, *shape[:3], 1)
    surface = 300.0 - 38.0 * sine**2
    tropopause = 16.0 - 7.0 * sine**2
    above = np.maximum(z - tropopause - 3.0, 0.0)
    ta = surface - 6.5 * np.minimum(z, tropopause) + 1.6 * above + noise(0.8, *shape[:3], 1)
    hus = 0.016 * np.cos(np.radians(lat)) ** 3 * np.exp(-z / 2.2) * np.ones(shape)
    push = drag * np.exp((z - 40.0) / 7.0) * -np.tanh(ua / 15.0) / 86400.0 * 3.0
    push = np.where(z > 12.0, push, 0.0)
    rain = (
        2.0
        + 7.0 * np.exp(-((lat[0] / 8.0) ** 2))
        + 2.5 * np.exp(-(((np.abs(lat[0]) - 42) / 12) ** 2))
    )
    rain = rain + noise(0.3, records, NLAT, 1)
    columns = {
        "ps": ps,
        "pr": rain / 86400.0 * np.ones(NLON),
        "ts": surface[0] + noise(0.3, records, NLAT, 1) * np.ones(NLON),
        "rlut": 290.0 - 75.0 * sine[0] ** 2 + noise(1.0, records, NLAT, 1) * np.ones(NLON),
        "rsdt": 420.0 - 240.0 * sine[0] ** 2 * np.ones((records, 1, NLON)),
        "rsut": 130.0 - 40.0 * sine[0] ** 2 * np.ones((records, 1, NLON)),
    }
    volume = {"ua": ua, "va": va, "ta": ta, "hus": hus, "utendnogw": push, "vtendnogw": 0.2 * push}
    data = xr.Dataset(
        {
            **{n: (("time", "lat", "lon"), np.broadcast_to(x, (records, NLAT, NLON)))
               for n, x in columns.items()},
            **{n: (("time", "lev", "lat", "lon"), np.broadcast_to(x, shape))
               for n, x in volume.items()},
        }
    )  # fmt: skip
    a, b = levels.a, levels.b
    data["lev"] = ("lev", np.arange(1.0, NLEV + 1))
    data["lev"].attrs = {
        "standard_name": "atmosphere_hybrid_sigma_pressure_coordinate",
        "formula_terms": "ap: ap b: b ps: ps",
        "bounds": "lev_bnds",
    }
    data["ap"] = ("lev", 0.5 * (a[1:] + a[:-1]))
    data["b"] = ("lev", 0.5 * (b[1:] + b[:-1]))
    data["lev_bnds"] = (("lev", "bnds"), np.arange(NLEV)[:, None] + [0.5, 1.5])
    data["lev_bnds"].attrs["formula_terms"] = "ap: ap_bnds b: b_bnds ps: ps"
    data["ap_bnds"] = (("lev", "bnds"), np.stack([a[:-1], a[1:]], axis=1))
    data["b_bnds"] = (("lev", "bnds"), np.stack([b[:-1], b[1:]], axis=1))
    return data, grid


def write_run(
    folder: Path,
    *,
    seed: int = 1,
    records: int = 9,
    shift: float = 0.0,
    drag: float = 1.0,
    settings: Mapping[str, Any] | None = None,
    edit: Callable[[xr.Dataset], xr.Dataset] | None = None,
) -> Path:
    """A folder with all that a run leaves; `edit` changes ``atmosphere.nc`` beforehand."""
    folder.mkdir(parents=True, exist_ok=True)
    data, grid = fields(seed, records, shift, drag)
    edges = np.stack([np.arange(records), np.arange(1.0, records + 1)], axis=1)
    data["time"] = ("time", edges.mean(axis=1))
    data["time"].attrs = {
        "units": "days since 2001-03-01",
        "calendar": "noleap",
        "bounds": "time_bnds",
    }
    data["time_bnds"] = (("time", "bnds"), edges)
    data["lat"] = ("lat", grid.lat)
    data["lat"].attrs = {"units": "degrees_north", "bounds": "lat_bnds"}
    data["lat_bnds"] = (("lat", "bnds"), np.stack([grid.lat_bounds[:-1], grid.lat_bounds[1:]], 1))
    data["lon"] = ("lon", grid.lon)
    # As the model does: the surface has a file of its own.
    surface = data[["ts", "time", "time_bnds", "lat", "lat_bnds", "lon"]]
    data = data.drop_vars("ts")
    data = edit(data) if edit else data
    data.to_netcdf(folder / "atmosphere.nc")
    surface.to_netcdf(folder / "surface.nc")
    drift = 1.0 + 2e-11 * np.linspace(0.0, 1.0, records)
    mass = xr.DataArray(1.0e4 * drift, dims="time", attrs={"units": "kg m-2"})
    fix = xr.DataArray(np.full(records, 3e-6), dims="time", attrs={"units": "1"})
    budgets = xr.Dataset({"dry_air_mass": mass, "mass_fix": fix, "time": data["time"]})
    budgets.to_netcdf(folder / "budgets.nc")
    case = {"title": "made_up", "planet": {}, "physics": {"gravity_wave": {"scheme": "ad99"}}}
    (folder / "case.resolved.yaml").write_text(yaml.safe_dump(case | dict(settings or {})))
    record = {
        "days_run": float(records),
        "wall_seconds": 12.5 + seed,
        "sypd": 1.75,
        "ranks": 1,
        "budgets": {"dry_air_mass": 1.0e4, "mass_fix": 3e-6},
        "guard": {"gravity_wave": {"columns": 17, "share": 1.2e-5}},
        "versions": {"isthmus": "0.1.0", "torch": "2.13.0"},
    }
    (folder / "run.json").write_text(json.dumps(record))
    return folder
