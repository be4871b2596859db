"""Random but plausible columns: jets, a tropical oscillation, planetary waves, smooth noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import torch
from numpy.typing import NDArray

from coupler.interface.component import Arrays, Host, Now, Tendency
from coupler.interface.constants import Planet
from coupler.interface.fields import FIELDS
from coupler.interface.grid import Grid, HybridLevels
from physics.columns.gravity_wave_ad99 import AlexanderDunkerton1999

G, R = 9.80665, 287.04


def columns(n: int, levels: HybridLevels, seed: int) -> dict[str, NDArray[Any]]:
    """`n` columns of ``ua va ta pfull zg`` [level, n], ``phalf zghalf`` and ``lat``."""
    rng = np.random.default_rng(seed)
    lat = np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, n)))
    ps = 1.0e5 * np.exp(-np.abs(rng.normal(0.0, 0.04, n))) * rng.uniform(0.97, 1.02, n)
    phalf = levels.half_pressure(ps)
    pfull = 0.5 * (phalf[1:] + phalf[:-1])
    z = 7.0 * np.log(1.0e5 / pfull)  # log-pressure height [km]
    tropical = np.exp(-((lat / 15.0) ** 2))

    def draw(mean: float, std: float) -> NDArray[Any]:
        return rng.normal(mean, std, n)

    def bump(centre: NDArray[Any], width: NDArray[Any]) -> NDArray[Any]:
        return np.exp(-(((z - centre) / width) ** 2))

    def waves(amplitude: float) -> NDArray[Any]:
        total = np.zeros_like(z)
        for _ in range(5):
            length, phase = rng.uniform(5.0, 30.0, n), rng.uniform(0.0, 2.0 * np.pi, n)
            total += draw(0.0, amplitude) * np.sin(2.0 * np.pi * z / length + phase)
        return total * np.exp(np.clip(z - 12.0, -12.0, 30.0) / 45.0)

    ua = draw(12.0, 14.0) * bump(draw(12.0, 1.5), rng.uniform(4.0, 8.0, n))
    ua += draw(5.0, 32.0) * bump(draw(52.0, 7.0), rng.uniform(12.0, 22.0, n)) * (1 - 0.5 * tropical)
    height = draw(0.0, 1.0) * 14.0
    ua += (
        tropical
        * rng.uniform(0.0, 35.0, n)
        * np.sin(2.0 * np.pi * (z - height) / rng.uniform(18.0, 28.0, n))
        * np.clip((z - 16.0) / 4.0, 0.0, 1.0)
    )
    ua += waves(4.0)
    va = waves(4.0)
    ground = 300.0 - 45.0 * np.sin(np.radians(lat)) ** 2 + draw(0.0, 6.0)
    tropopause = 10.0 + 6.5 * np.cos(np.radians(lat)) ** 4 + draw(0.0, 0.8)
    cold = ground - 6.2 * tropopause
    ta = ground - 6.2 * np.minimum(z, tropopause)
    ta += np.clip(z - np.maximum(tropopause, 20.0), 0.0, 28.0) * (1.8 + draw(0.0, 0.4))
    ta = np.maximum(ta + np.where(cold < 190.0, 4.0, 0.0) + waves(1.0), 165.0)
    zghalf = np.zeros_like(phalf)
    thickness = R * ta / G * np.log(phalf[1:] / np.maximum(phalf[:-1], 0.5 * phalf[1:2]))
    zghalf[:-1] = np.cumsum(thickness[::-1], axis=0)[::-1]
    zg = 0.5 * (zghalf[1:] + zghalf[:-1])
    return {
        "ua": ua,
        "va": va,
        "ta": ta,
        "pfull": pfull,
        "phalf": phalf,
        "zg": zg,
        "zghalf": zghalf,
        "lat": lat,
    }


NAMES = ("ua", "va", "ta", "pfull", "lat")
FLUXES = ("xgwdparam", "ygwdparam")


def host(levels: HybridLevels, lat: NDArray[Any], dtype: str = "float64") -> Host:
    """A host of as many columns as `lat` has, some grid that has as many."""
    n = lat.size
    grid = Grid(
        kind="regular",
        lat=np.zeros(1),
        lon=np.linspace(0.0, 360.0, n, endpoint=False),
        lat_bounds=np.array([-90.0, 90.0]),
        lon_bounds=np.linspace(0.0, 360.0, n + 1),
        weights=np.ones(1),
    )
    return Host(
        grid=grid,
        levels=levels,
        planet=Planet(),
        dtype=np.dtype(dtype),
        seed=0,
        static={"lat": lat.astype(dtype)},
    )


def now() -> Now:
    """Some time."""
    return Now(date=cftime.DatetimeNoLeap(2000, 1, 1), step=0, seconds=0.0, dt=1200.0)


def call(component: Tendency, c: Mapping[str, NDArray[Any]], where: Host) -> tuple[Arrays, Arrays]:
    """Sets nothing up; calls `component` once on fresh zeroed outputs: (fluxes, diagnostics)."""
    x = Arrays(**{p.name: np.ascontiguousarray(c[p.name], where.dtype) for p in component.inputs})
    flux = Arrays(**{f.name: where.empty("interface", "column") for f in component.fluxes})
    diag = Arrays(**{f.name: where.empty(*f.dims) for f in component.diagnostics})
    component.compute(x, Arrays(), flux, diag, now())
    return flux, diag


def with_truth(c: Mapping[str, NDArray[Any]], levels: HybridLevels) -> dict[str, NDArray[Any]]:
    """The columns and what Alexander and Dunkerton (1999) makes of them."""
    where = host(levels, c["lat"])
    scheme = AlexanderDunkerton1999()
    scheme.setup(where)
    flux, _ = call(scheme, c, where)
    return {**c, **{n: getattr(flux, n) for n in FLUXES}}


def tensors(c: Mapping[str, NDArray[Any]], names: Sequence[str] = NAMES) -> dict[str, torch.Tensor]:
    """float32 tensors of some fields."""
    return {n: torch.from_numpy(np.ascontiguousarray(c[n], np.float32)) for n in names}


def write_recording(
    path: Path,
    c: Mapping[str, NDArray[Any]],
    levels: HybridLevels,
    *,
    times: int,
    seed: int,
    title: str = "some case",
    units: Mapping[str, str] | None = None,
    names: Sequence[str] = (*NAMES, *FLUXES),
) -> Path:
    """Writes columns as a recording of `times` calls; ``lat`` varies from call to call."""
    units = dict(units or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as f:
        f.setncatts({"title": title, "seed": str(seed), "scheme": "ad99"})
        ncol = c["lat"].size // times
        for name, size in (
            ("time", None),
            ("lev", levels.nlev),
            ("ilev", levels.nlev + 1),
            ("column", ncol),
        ):
            f.createDimension(name, size)
        time = f.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01 00:00:00"
        time[:] = 0.125 * np.arange(times)
        for name, values in (("ap", levels.a), ("b", levels.b)):
            f.createVariable(name, "f8", ("ilev",))[:] = values
        vertical = {"level": ("lev",), "interface": ("ilev",), "column": ()}
        for name in names:
            dims = ("time", *vertical[FIELDS[name].dims[0]], "column")
            v = f.createVariable(name, "f4", dims)
            v.units = units.get(name, FIELDS[name].units)
            parts = c[name][..., : ncol * times].reshape(*c[name].shape[:-1], times, ncol)
            v[:] = np.moveaxis(parts, -2, 0)
    return path
