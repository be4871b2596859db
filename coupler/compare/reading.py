"""From the files of a run to its climate.

Pressure on model levels comes from the formula terms that the file declares,

    p = ap + b ps    or    p = a p0 + b ps        [Pa]

with the time-mean zonal-mean surface pressure. Column integrals are

    water    = 1/g sum_k dp_k q                    [kg m-2]
    thermal  = 1/g sum_k dp_k (c_p T + L q)        [J m-2]
    kinetic  = 1/g sum_k dp_k (u^2 + v^2) / 2      [J m-2]

from the interval means in the file; the kinetic energy of what varies within an interval is not in
it. Source of the vertical coordinate: CF conventions 1.10, appendix D.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml

from coupler.compare.climate import F64, Band, Climate
from coupler.compare.opening import opened
from coupler.compare.sample import PARTS, formula
from coupler.interface.constants import SECONDS_PER_DAY, Planet
from coupler.interface.errors import DataError, Problem
from coupler.output.library import nothing_left, refuse_without_records

SECTIONS = ("ua", "va", "ta", "hus", "zg", "utendnogw", "vtendnogw", "utendogw", "vtendogw")
"""Fields [time, lev, lat, lon] that a comparison looks at, where a run has them."""
BANDS = ("ps", "pr", "ts", "tas", "rsdt", "rsut", "rlut", "hfls", "hfss")
"""Fields [time, lat, lon]."""
NEEDED = ("ua", "ta", "ps")
_BLOCK = 32
"""Records read at once, which bounds the memory that a long run takes."""


def _latitudes(data: xr.Dataset) -> tuple[F64, F64]:
    """Latitudes and their area fractions, from the bounds where the file has them."""
    lat = np.asarray(data["lat"].values, np.float64)
    bounds = data.get(str(data["lat"].attrs.get("bounds", "lat_bnds")))
    if bounds is not None:
        area = np.abs(np.diff(np.sin(np.radians(bounds.values.astype(np.float64))), axis=1))[:, 0]
    else:
        area = np.cos(np.radians(lat))
    return lat, area / area.sum()


def _zonal_mean(variable: xr.DataArray, first: int, *, square: bool = False) -> F64:
    """Mean over the longitudes that have a value, block by block of time."""
    blocks = []
    for start in range(first, variable.sizes["time"], _BLOCK):
        x = variable.isel(time=slice(start, start + _BLOCK)).values.astype(np.float64)
        good = np.isfinite(x)
        count = good.sum(axis=-1)
        x = np.where(good, x, 0.0)
        total = (x * x if square else x).sum(axis=-1)
        blocks.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return np.concatenate(blocks)


def _pressure(data: xr.Dataset, level: str, ps: F64) -> tuple[F64, F64]:
    """Pressure of layers and their thickness [Pa], shape [lev, lat], from surface pressure."""

    def evaluate(terms: str) -> F64:
        a, b, _ = formula(data, terms)
        return np.asarray(a[..., None] + b[..., None] * ps)

    axis = data[level]
    if "formula_terms" not in axis.attrs:
        scale = 100.0 if axis.attrs.get("units") in ("hPa", "mbar", "millibar") else 1.0
        p = np.repeat(scale * axis.values.astype(np.float64)[:, None], ps.size, axis=1)
    else:
        p = evaluate(axis.attrs["formula_terms"])
    bounds = str(axis.attrs.get("bounds", ""))
    terms = data[bounds].attrs.get("formula_terms") if bounds in data else None
    if terms:
        return p, np.asarray(np.abs(np.diff(evaluate(terms), axis=1))[:, 0])
    # Without bounds, interfaces half-way between layers; the order of levels does not matter.
    middle = 0.5 * (p[1:] + p[:-1])
    top_first = p[0].mean() < p[-1].mean()
    ends = (np.zeros_like(ps), ps) if top_first else (ps, np.zeros_like(ps))
    return p, np.asarray(np.abs(np.diff(np.vstack([ends[0], middle, ends[1]]), axis=0)))


def _time_axis(data: xr.Dataset, spinup_days: float, path: Path) -> tuple[int, F64, F64, str, str]:
    """First record to use, middles and lengths of the intervals [day], first and last date."""
    refuse_without_records(data, path)
    time = data["time"].values
    bounds = data.get(str(data["time"].attrs.get("bounds", "time_bnds")))
    if bounds is not None:
        edges = bounds.values
    else:
        step = time[1] - time[0] if time.size > 1 else np.timedelta64(1, "D").item()
        edges = np.stack([time - step / 2, time + step / 2], axis=1)
    since = np.vectorize(lambda d: (d - edges[0, 0]).total_seconds() / SECONDS_PER_DAY)(edges)
    first = int(np.searchsorted(since[:, 0], spinup_days - 1e-9))
    if first >= time.size:
        raise nothing_left(path, spinup_days, since[-1, 1])
    days = since[first:]
    return (
        first,
        np.asarray(days.mean(axis=1)),
        np.asarray(days[:, 1] - days[:, 0]),
        str(edges[first, 0]),
        str(edges[-1, 1]),
    )


def _yaml_or_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    try:
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise DataError.of(
            "not readable", str(path), found=" ".join(str(error).split()), remedy="run it again"
        ) from error
    return found if isinstance(found, dict) else {}


def read_climate(folder: Path, title: str = "", *, spinup_days: float = 0.0) -> Climate:
    """Zonal means of the run in `folder`, without its first `spinup_days`.

    Reads ``atmosphere.nc``, and where they exist ``surface.nc``, ``budgets.nc``, ``run.json`` and
    ``case.resolved.yaml``. A field without levels may stand in either file, on the grid of either.

    Raises:
        DataError: when a file is missing, unreadable, without a record or lacks a needed variable,
            or when nothing is left after the spin-up.
    """
    path = folder / "atmosphere.nc"
    with opened(path) as data:
        lacking = [name for name in NEEDED if name not in data]
        if lacking:
            raise DataError(
                *(
                    Problem(
                        what="missing variable",
                        name=name,
                        expected=f"in {path}",
                        found=", ".join(str(v) for v in data.data_vars),
                        remedy="add it to output.fields of the case and run it again",
                    )
                    for name in lacking
                )
            )
        first, days, length, start, end = _time_axis(data, spinup_days, path)
        lat, area = _latitudes(data)
        up = np.argsort(lat)
        bands = _bands(data, first)
        ps = bands["ps"].values
        sections = {
            name: _zonal_mean(data[name], first)[..., up] for name in SECTIONS if name in data
        }
        level = str(data["ua"].dims[1])
        calendar = str(getattr(data["time"].values[0], "calendar", ""))
        units = {n: str(data[n].attrs.get("units", "")) for n in (*SECTIONS, *BANDS) if n in data}
        p, dp = _pressure(data, level, np.average(ps, axis=0, weights=length))
        squares = [
            _zonal_mean(data[name], first, square=True)[..., up]
            for name in ("ua", "va")
            if name in data
        ]
    if (folder / "surface.nc").is_file():
        with opened(folder / "surface.nc") as surface:
            if surface.sizes.get("time") == first + days.size:
                bands = {**_bands(surface, first), **bands}
    case = _yaml_or_json(folder / "case.resolved.yaml")
    area = area[up]
    planet = Planet(**(case.get("planet") or {}))
    mass = dp / planet.gravity
    vapour = sections.get("hus", np.zeros_like(sections["ta"]))
    density = {
        "water": vapour,
        "thermal": planet.cp_dry * sections["ta"] + planet.latent_heat_vaporization * vapour,
        "kinetic": 0.5 * np.sum(squares, axis=0),
    }
    air = {name: np.einsum("tkj,kj,j->t", x, mass, area) for name, x in density.items()}
    if p[0].mean() > p[-1].mean():
        p, dp = p[::-1], dp[::-1]
        sections = {name: x[:, ::-1] for name, x in sections.items()}
    return Climate(
        title=title or folder.name,
        folder=folder,
        start=start,
        end=end,
        days=days,
        length=length,
        lat=lat[up],
        area=area,
        p=p,
        dp=dp,
        sections=sections,
        bands=bands,
        air=air,
        calendar=calendar,
        units=units,
        budgets=budgets_of(folder / "budgets.nc"),
        record=_yaml_or_json(folder / "run.json"),
        case=case,
    )


def _bands(data: xr.Dataset, first: int) -> dict[str, Band]:
    lat, area = _latitudes(data)
    up = np.argsort(lat)
    found = {}
    for name in BANDS:
        parts = [name] if name in data else PARTS.get(name, ())
        if parts and all(n in data and "time" in data[n].dims for n in parts):
            values = sum((_zonal_mean(data[n], first) for n in parts), start=np.zeros(1))
            found[name] = Band(values=values[:, up], lat=lat[up], area=area[up])
    return found


def budgets_of(path: Path) -> dict[str, tuple[float, float, str]]:
    """First and last value of every series in a file of budgets, where there is one."""
    if not path.is_file():
        return {}
    with opened(path) as data:
        return {
            str(name): (float(x.values[0]), float(x.values[-1]), str(x.attrs.get("units", "")))
            for name, x in data.data_vars.items()
            if x.dims == ("time",) and x.size
        }
