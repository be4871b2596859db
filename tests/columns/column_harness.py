"""Columns to try schemes on, without a driver: states, binding, application, column sums."""

from __future__ import annotations

from dataclasses import dataclass, field

import cftime
import numpy as np

from coupler.interface.component import Arrays, Host, Now, Tendency
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels

PLANET = Planet()
NLAT, NLON = 5, 7
NCOL = NLAT * NLON
STATE = ("ua", "va", "ta", "hus")


def now(dt: float = 1200.0, date: cftime.datetime | None = None) -> Now:
    return Now(date=date or cftime.datetime(2001, 1, 1), step=0, seconds=0.0, dt=dt)


def host(levels: HybridLevels, dtype: str = "float64", planet: Planet = PLANET) -> Host:
    return Host(
        grid=Grid.regular(NLAT, NLON), levels=levels, planet=planet, dtype=np.dtype(dtype), seed=0
    )


def heights(x: dict[str, np.ndarray], planet: Planet = PLANET) -> None:
    """Hydrostatic zg and zghalf [m], the layer's T_v constant in ln p; the top one has its own."""
    tv = x["ta"] * (1.0 + planet.virtual_factor * x["hus"])
    rg = planet.gas_constant_dry / planet.gravity
    k = x["ta"].shape[0]
    x["zghalf"] = np.empty_like(x["phalf"])
    x["zg"] = np.empty_like(x["ta"])
    x["zghalf"][k] = x["orog"]
    for i in range(k - 1, -1, -1):
        below = x["zghalf"][i + 1]
        x["zg"][i] = below + rg * tv[i] * np.log(x["phalf"][i + 1] / x["pfull"][i])
        upper = np.maximum(x["phalf"][i], 0.25 * x["pfull"][i])
        x["zghalf"][i] = below + rg * tv[i] * np.log(x["phalf"][i + 1] / upper)


def state(
    levels: HybridLevels, *, seed: int = 3, dtype: str = "float64", planet: Planet = PLANET
) -> dict[str, np.ndarray]:
    """Random but plausible columns: jets, some unstable layers, some wet, varied surfaces."""
    rng = np.random.default_rng(seed)
    n, k = NCOL, levels.nlev
    lat = np.repeat(Grid.regular(NLAT, NLON).lat, NLON)
    x: dict[str, np.ndarray] = {"lat": lat, "lon": np.tile(np.arange(NLON) * 51.0, NLAT)}
    x["ps"] = 1.0e5 + 3.0e3 * rng.standard_normal(n)
    x["orog"] = rng.uniform(0.0, 900.0, n)
    x["phalf"] = levels.half_pressure(x["ps"])
    x["pfull"] = 0.5 * (x["phalf"][1:] + x["phalf"][:-1])
    warm = 300.0 - 45.0 * np.sin(np.radians(lat)) ** 2
    x["ta"] = np.maximum(205.0, warm * (x["pfull"] / x["ps"]) ** 0.19)
    x["ta"] += 2.0 * rng.standard_normal((k, n))
    x["hus"] = 0.017 * (x["pfull"] / x["ps"]) ** 3 * np.cos(np.radians(lat)) ** 2
    x["hus"] *= rng.uniform(0.2, 1.4, (k, n))
    x["ua"] = 25.0 * (1.0 - x["pfull"] / x["ps"]) + 4.0 * rng.standard_normal((k, n))
    x["va"] = 3.0 * rng.standard_normal((k, n))
    x["ts"] = warm + 3.0 * rng.standard_normal(n)
    x["albs"] = rng.uniform(0.05, 0.6, n)
    x["wetness"] = rng.uniform(0.0, 1.0, n)
    x["sftlf"] = rng.uniform(0.0, 1.0, n)
    heights(x, planet)
    return {name: a.astype(dtype) for name, a in x.items()}


@dataclass
class Bound:
    """A scheme bound to a state, as the driver does it."""

    scheme: Tendency
    x: dict[str, np.ndarray]
    levels: HybridLevels
    planet: Planet = PLANET
    tend: dict[str, np.ndarray] = field(init=False)
    flux: dict[str, np.ndarray] = field(init=False)
    diag: dict[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        h = host(self.levels, self.x["ta"].dtype.name, self.planet)
        self.scheme.setup(h)
        self.tend = {of: h.empty("level", "column") for of in self.scheme.tendencies}
        self.flux = {f.name: h.empty("interface", "column") for f in self.scheme.fluxes}
        self.diag = {f.name: h.empty(*f.dims) for f in self.scheme.diagnostics}
        inputs = {p.name: self.x[p.name] for p in self.scheme.inputs if p.name in self.x}
        self.bound = [Arrays(**a) for a in (inputs, self.tend, self.flux, self.diag)]

    def __call__(self, when: Now) -> dict[str, np.ndarray]:
        """Rates of change of the state [SI s-1], fluxes differentiated."""
        for array in (*self.tend.values(), *self.flux.values()):
            array.fill(0.0)
        self.scheme.compute(*self.bound, when)
        rates = dict(self.tend)
        for f in self.scheme.fluxes:
            scale = self.planet.gravity / (self.planet.cp_dry if f.of == "ta" else 1.0)
            assert f.top == "escape"
            out = scale * np.diff(self.flux[f.name], axis=0) / np.diff(self.x["phalf"], axis=0)
            rates[f.of] = rates.get(f.of, 0.0) + out
        return rates


def run(
    scheme: Tendency,
    x: dict[str, np.ndarray],
    levels: HybridLevels,
    *,
    dt: float = 1200.0,
    date: cftime.datetime | None = None,
    planet: Planet = PLANET,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Rates and diagnostics of one call."""
    bound = Bound(scheme, x, levels, planet)
    rates = bound(now(dt, date))
    return rates, bound.diag


def column(values: np.ndarray, x: dict[str, np.ndarray], planet: Planet = PLANET) -> np.ndarray:
    """Mass integral [units of `values` times kg m-2], shape [column], in float64."""
    mass = np.diff(x["phalf"].astype(np.float64), axis=0) / planet.gravity
    return (values.astype(np.float64) * mass).sum(axis=0)


def moist_enthalpy(rates: dict[str, np.ndarray], planet: Planet = PLANET) -> np.ndarray:
    """c_p dT + L dq [W kg-1]."""
    return planet.cp_dry * rates.get("ta", 0.0) + planet.latent_heat_vaporization * rates.get(
        "hus", 0.0
    )


def closes(residual: np.ndarray, scale: np.ndarray, tolerance: float = 1e-12) -> bool:
    """Whether residuals vanish relative to absolute column sums."""
    return bool(np.all(np.abs(residual) <= tolerance * scale))
