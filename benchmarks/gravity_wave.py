"""Time per call of the gravity-wave schemes on a T42L40 atmosphere (8192 columns, 40 levels).

python -m benchmarks.gravity_wave [--columns 64x128] [--levels 40] [--repeat 20]
"""

from __future__ import annotations

import argparse
import time

import cftime
import numba
import numpy as np

from coupler.driver.flux import flux_tendency
from coupler.interface.component import Arrays, Host, Now, Tendency
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels
from physics.columns.gravity_wave_ad99 import AlexanderDunkerton1999, AlexanderDunkertonMiMA
from physics.columns.gravity_wave_wms import WarnerMcIntyreScinocca

CASES: dict[str, tuple[type[Tendency], dict[str, str]]] = {
    "ad99": (AlexanderDunkerton1999, {}),
    "ad99 frame=ground": (AlexanderDunkerton1999, {"frame": "ground"}),
    "ad99_mima": (AlexanderDunkertonMiMA, {}),
    "wms": (WarnerMcIntyreScinocca, {}),
}


def atmosphere(host: Host) -> Arrays:
    """Two jets with waves on them, a tropical shear zone, 240 K; deterministic."""
    rng = np.random.default_rng(3)
    ps = 1.0e5 + 500.0 * rng.standard_normal(host.ncol)
    phalf = host.levels.half_pressure(ps)
    pfull = 0.5 * (phalf[1:] + phalf[:-1])
    height = host.planet.gas_constant_dry * 240.0 / host.planet.gravity * np.log(ps / pfull)
    z, lat = height / 1e3, np.radians(host.static["lat"])
    ua = 40.0 * np.sin(2 * lat) ** 2 * np.exp(-(((z - 12) / 6) ** 2))
    ua += 60.0 * np.sin(lat) * np.exp(-(((z - 50) / 18) ** 2))
    ua += 20.0 * np.exp(-((lat / 0.2) ** 2)) * np.sin(2 * np.pi * (z - 18) / 14)
    ua += 5.0 * rng.standard_normal(ua.shape)
    values = {
        "ua": ua,
        "va": 8.0 * rng.standard_normal(ua.shape),
        "ta": 240.0 + 3.0 * rng.standard_normal(ua.shape),
        "pfull": pfull,
        "phalf": phalf,
        "zg": height,
    }
    return Arrays(**{name: np.ascontiguousarray(a, host.dtype) for name, a in values.items()})


def median_ms(call: object, repeat: int) -> float:
    """Median wall time of `call` [ms]."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()  # type: ignore[operator]
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def main() -> None:
    """Prints one line per scheme, type and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--columns", default="64x128")
    parser.add_argument("--levels", type=int, default=40)
    parser.add_argument("--repeat", type=int, default=20)
    args = parser.parse_args()
    nlat, nlon = (int(n) for n in args.columns.split("x"))
    grid = Grid.gaussian(nlat, nlon)
    now = Now(date=cftime.datetime(2000, 1, 1), step=0, seconds=0.0, dt=1800.0)
    print(f"{grid.ncol} columns x {args.levels} levels, median of {args.repeat} calls [ms]")
    for dtype in (np.float32, np.float64):
        host = Host(
            grid=grid,
            levels=HybridLevels.stretched(args.levels, scale_heights=11.0),
            planet=Planet(),
            dtype=np.dtype(dtype),
            seed=0,
            static={"lat": np.repeat(grid.lat, nlon)},
        )
        x = atmosphere(host)
        for name, (cls, options) in CASES.items():
            component = cls(cls.Parameters(**options))
            component.setup(host)
            flux = Arrays(**{f.name: host.empty("interface", "column") for f in cls.fluxes})
            tend = Arrays(**{n: host.empty("level", "column") for n in ("ua", "va")})
            diag = Arrays(**{f.name: host.empty("column") for f in cls.diagnostics})
            out, escaped = host.empty("level", "column"), host.empty("column")
            for threads in sorted({1, min(2, numba.config.NUMBA_NUM_THREADS)}):
                numba.set_num_threads(threads)

                def scheme() -> None:
                    component.compute(x, tend, flux, diag, now)  # noqa: B023

                def divergence() -> None:
                    flux_tendency(
                        flux.xgwdparam, x.phalf, scale=9.8, top="dump", dump_above=85.0,  # noqa: B023
                        out=out, escaped=escaped,  # noqa: B023
                    )  # fmt: skip

                scheme()
                line = f"{name:20s} {np.dtype(dtype).name} {threads} thread(s): "
                line += f"scheme {median_ms(scheme, args.repeat):7.2f}"
                if cls.fluxes:
                    divergence()
                    line += f", flux divergence {median_ms(divergence, args.repeat):6.2f}"
                print(line)


if __name__ == "__main__":
    main()
