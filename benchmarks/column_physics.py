"""Milliseconds per call of every column scheme, T31 (96 x 48 columns) with 30 levels, float32.

    python benchmarks/column_physics.py [--dtype float64] [--repeat 20]

One thread; the best of the repetitions, after one call to compile. The state has convection,
rain, and winds everywhere, so that no scheme takes its short way out.
"""

from __future__ import annotations

import argparse
import time

import cftime
import numpy as np

from coupler.interface.component import Arrays, Host, Now, Tendency
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels
from physics.columns.betts_miller import SimplifiedBettsMiller
from physics.columns.boundary_layer import BulkDiffusion
from physics.columns.byrne_ogorman import ByrneOGorman
from physics.columns.condensation import LargeScaleCondensation
from physics.columns.dry_adjustment import DryAdjustment
from physics.columns.grey_radiation import GreyRadiation
from physics.columns.held_suarez import HeldSuarezFriction, HeldSuarezRelaxation
from physics.columns.mass_flux import MassFlux
from physics.columns.sponge import RayleighSponge

SCHEMES: tuple[type[Tendency], ...] = (
    HeldSuarezRelaxation,
    HeldSuarezFriction,
    GreyRadiation,
    ByrneOGorman,
    BulkDiffusion,
    DryAdjustment,
    SimplifiedBettsMiller,
    MassFlux,
    LargeScaleCondensation,
    RayleighSponge,
)


def state(grid: Grid, levels: HybridLevels, dtype: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    planet = Planet()
    lat = np.repeat(grid.lat, grid.lon.size)
    n, k = lat.size, levels.nlev
    cos2 = np.cos(np.radians(lat)) ** 2
    x = {"lat": lat, "ps": 1e5 + 1e3 * rng.standard_normal(n)}
    x["phalf"] = levels.half_pressure(x["ps"])
    x["pfull"] = 0.5 * (x["phalf"][1:] + x["phalf"][:-1])
    x["ts"] = 260.0 + 42.0 * cos2
    x["ta"] = np.maximum(200.0, x["ts"] * (x["pfull"] / x["ps"]) ** 0.18)
    x["ta"] += 0.5 * rng.standard_normal((k, n))
    x["hus"] = 0.016 * (x["pfull"] / x["ps"]) ** 3 * cos2 * rng.uniform(0.5, 1.2, (k, n))
    x["ua"] = 20.0 * rng.standard_normal((k, n))
    x["va"] = 10.0 * rng.standard_normal((k, n))
    scale = planet.gas_constant_dry * 250.0 / planet.gravity
    x["zg"] = scale * np.log(x["ps"] / x["pfull"])
    x["zghalf"] = scale * np.log(x["ps"] / np.maximum(x["phalf"], 10.0))
    x["albs"] = np.full(n, 0.31)
    x["wetness"] = np.ones(n)
    x["sftlf"] = rng.uniform(0, 1, n)
    return {name: np.ascontiguousarray(a, dtype) for name, a in x.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--repeat", type=int, default=20)
    options = parser.parse_args()
    grid, levels = Grid.gaussian(48, 96), HybridLevels.named("hybrid30")
    host = Host(grid=grid, levels=levels, planet=Planet(), dtype=np.dtype(options.dtype), seed=0)
    x = state(grid, levels, options.dtype)
    now = Now(date=cftime.datetime(2001, 1, 1), step=0, seconds=0.0, dt=1200.0)
    print(f"{grid}, {levels.nlev} levels, {options.dtype}")
    for cls in SCHEMES:
        component = cls()
        component.setup(host)
        bound = (
            Arrays(**{p.name: x[p.name] for p in component.inputs if p.name in x}),
            Arrays(**{of: host.empty("level", "column") for of in component.tendencies}),
            Arrays(**{f.name: host.empty("interface", "column") for f in component.fluxes}),
            Arrays(**{f.name: host.empty(*f.dims) for f in component.diagnostics}),
        )
        component.compute(*bound, now)
        best = np.inf
        for _ in range(options.repeat):
            start = time.perf_counter()
            component.compute(*bound, now)
            best = min(best, time.perf_counter() - start)
        print(f"{component.process:>16} {component.scheme:<16} {1e3 * best:8.2f} ms")


if __name__ == "__main__":
    main()
