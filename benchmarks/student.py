"""Column networks against the scheme they learned: `python -m benchmarks.student`.

The component `column_mlp` with its features, normalization and guard, in several widths, and AD99,
on the same 8192 columns of T42L40 in float32. The weights are random: time does not depend on them.
All are called in turn; a number is the smallest processor time of all rounds, summed over threads,
and the ratio is the median over rounds of the time relative to AD99's in the same round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cftime
import numba
import numpy as np
import torch

from benchmarks.gravity_wave import atmosphere
from coupler.interface.component import Arrays, Host, Now, Tendency
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels
from emulators.bundle import Bundle
from emulators.component import class_of
from emulators.networks import build
from emulators.schema import Architecture, BundleSpec, Channel, Levels, Output, Provenance
from physics.columns.gravity_wave_ad99 import AlexanderDunkerton1999

UNITS = {"ua": "m s-1", "va": "m s-1", "ta": "K", "pfull": "Pa", "lat": "degrees_north"}


def student(levels: HybridLevels, width: int, depth: int) -> type[Tendency]:
    """A column network with random weights as a scheme."""
    k = levels.nlev
    inputs = []
    for name, units in UNITS.items():
        n = 1 if name == "lat" else k
        inputs.append(
            Channel(
                name=name,
                units=units,
                dims="column" if name == "lat" else "level",
                transform="log" if name == "pfull" else "none",
                mean=[240.0 if name == "ta" else 0.0] * n,
                scale=[20.0] * n,
                minimum=[-1e6] * n,
                maximum=[1e6] * n,
            )
        )
    outputs = [
        Output(
            name=n,
            of=of,
            units="Pa",
            scale=[*[1e-3] * k, 0.0],
            minimum=[-1.0] * (k + 1),
            maximum=[1.0] * (k + 1),
            bound=1.0,
        )
        for n, of in (("xgwdparam", "ua"), ("ygwdparam", "va"))
    ]
    spec = BundleSpec(
        process="gravity_wave",
        name=f"column_mlp {width}x{depth}",
        architecture=Architecture(name="column_mlp", config={"width": width, "depth": depth}),
        levels=Levels(name=levels.name, a=levels.a.tolist(), b=levels.b.tolist()),
        inputs=inputs,
        outputs=outputs,
        provenance=Provenance(fingerprint="", sources=[], seed=0),
    )
    network = build(spec).eval().requires_grad_(False)
    some = {"input.ua": torch.zeros(1)}  # not replayed: it was not read from files
    return class_of(Bundle(path=Path("student"), spec=spec, network=network, reference=some))


def called(cls: type[Tendency], host: Host, x: Arrays) -> Callable[[], None]:
    """One call of a scheme as the driver makes it."""
    component = cls()
    component.setup(host)
    flux = Arrays(**{f.name: host.empty("interface", "column") for f in cls.fluxes})
    diag = Arrays(**{f.name: host.empty("column") for f in cls.diagnostics})
    tend = Arrays(**{n: host.empty("level", "column") for n in ("ua", "va")})
    now = Now(date=cftime.datetime(2000, 1, 1), step=0, seconds=0.0, dt=1800.0)
    return lambda: component.compute(x, tend, flux, diag, now)


def main() -> None:
    """Prints one line per scheme."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--levels", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", nargs="+", default=["16x2", "32x2", "64x3"])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    numba.set_num_threads(min(args.threads, numba.config.NUMBA_NUM_THREADS))
    grid = Grid.gaussian(64, 128)
    levels = HybridLevels.stretched(args.levels, scale_heights=11.0)
    host = Host(
        grid=grid,
        levels=levels,
        planet=Planet(),
        dtype=np.dtype("float32"),
        seed=0,
        static={"lat": np.repeat(grid.lat, 128).astype(np.float32)},
    )
    x = atmosphere(host)
    x = Arrays(**dict(x.items()), lat=host.static["lat"])
    calls = {"ad99": called(AlexanderDunkerton1999, host, x)}
    for size in args.sizes:
        width, depth = (int(n) for n in size.split("x"))
        calls[f"column_mlp {size}"] = called(student(levels, width, depth), host, x)
    times: dict[str, list[float]] = {n: [] for n in calls}
    for call in calls.values():
        call()
    for _ in range(args.repeats):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    print(f"{grid.ncol} columns x {args.levels} levels, {args.threads} thread(s)")
    for name, found in times.items():
        ratio = statistics.median(a / b for a, b in zip(found, times["ad99"], strict=True))
        print(f"{name:20} {1e3 * min(found):8.1f} ms of processor time, {ratio:5.2f} of ad99")


if __name__ == "__main__":
    main()
