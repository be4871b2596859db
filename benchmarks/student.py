"""Column networks against the scheme they learned: `python -m benchmarks.student --threads 2`.

The component `column_mlp` with its features, normalization and guard, in several widths, and AD99,
on the same 8192 columns of T42L40 in float32. The weights are random: time does not depend on them.
All are called in turn; a number is the smallest time of all rounds, on the clock and of processors
(summed over threads), and the ratio is the median over rounds of the time on the clock relative to
AD99's in the same round. The size that is shipped has the R2 of the shipped bundle beside it.
Below: what stands around the bare network in the loop, of its own time. Several threads on a busy
machine wait for each other at every layer: run it on a quiet one.
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
from coupler.driver.flux import flux_tendency
from coupler.interface.component import Arrays, Host, Now, Tendency
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels
from emulators.bundle import Bundle, read_spec
from emulators.component import class_of
from emulators.features import TILE, from_tiles
from emulators.networks import build
from emulators.networks.column_mlp import TOGETHER
from emulators.schema import Architecture, BundleSpec, Channel, Levels, Output, Provenance
from physics.columns.gravity_wave_ad99 import AlexanderDunkerton1999

SHIPPED = Path(__file__).resolve().parents[1] / "emulators" / "bundles" / "gw_column"
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


def around(cls: type[Tendency], host: Host, x: Arrays, repeats: int) -> tuple[float, float]:
    """Median times of the bare network, and of features, scaling and flux divergence [ms]."""
    bundle = cls.bundle  # type: ignore[attr-defined]
    network, nlev = bundle.network, host.levels.nlev
    inputs = {c.name: torch.from_numpy(getattr(x, c.name)) for c in bundle.spec.inputs}
    fluxes = tuple(host.empty("interface", "column") for _ in bundle.spec.outputs)
    scale = network.flux_scale.numpy()
    rate, escaped = host.empty("level", "column"), host.empty("column")
    tiles = -(-host.ncol // TILE)
    bare, more = [], []
    with torch.inference_mode():
        y = torch.zeros(tiles, len(fluxes), nlev + 1, TILE)
        for _ in range(repeats + 1):
            features, network_time = 0.0, 0.0
            start = time.perf_counter()
            give = network._features(inputs)
            features += time.perf_counter() - start
            for j in range(0, tiles, TOGETHER):
                some = slice(j, min(j + TOGETHER, tiles))
                start = time.perf_counter()
                got = give(some)
                between = time.perf_counter()
                network._infer(*got, y[some])
                features += between - start
                network_time += time.perf_counter() - between
            start = time.perf_counter()
            from_tiles(y.numpy(), scale, fluxes)
            for flux in fluxes:
                flux_tendency(flux, x.phalf, scale=9.8, top="dump", dump_above=85.0, out=rate,
                              escaped=escaped)  # fmt: skip
            features += time.perf_counter() - start
            bare.append(1e3 * network_time)
            more.append(1e3 * features)
    return statistics.median(bare[1:]), statistics.median(more[1:])


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
    shipped = read_spec(SHIPPED)
    c = shipped.architecture.config
    r2, students = {}, {}
    for size in args.sizes:
        width, depth = (int(n) for n in size.split("x"))
        students[size] = student(levels, width, depth)
        calls[f"column_mlp {size}"] = called(students[size], host, x)
        if (width, depth) == (c["width"], c["depth"]) and shipped.skill is not None:
            s = shipped.skill
            r2[f"column_mlp {size}"] = f", R2 flux {s.flux_overall:.3f}, drag {s.drag_overall:.3f}"
    times: dict[str, list[tuple[float, float]]] = {n: [] for n in calls}
    for call in calls.values():
        call()
    for _ in range(args.repeats):
        for name, call in calls.items():
            start = time.perf_counter(), time.process_time()
            call()
            now = time.perf_counter(), time.process_time()
            times[name].append((now[0] - start[0], now[1] - start[1]))
    print(f"{grid.ncol} columns x {args.levels} levels, {args.threads} thread(s)")
    for name, found in times.items():
        pairs = zip(found, times["ad99"], strict=True)
        ratio = statistics.median(a[0] / b[0] for a, b in pairs)
        wall, processor = (1e3 * min(t[i] for t in found) for i in (0, 1))
        print(
            f"{name:20} {wall:7.1f} ms, processors {processor:7.1f} ms, {ratio:5.2f} of ad99"
            + r2.get(name, "")
        )
    for size, cls in students.items():
        bare, more = around(cls, host, x, args.repeats)
        print(
            f"column_mlp {size}: bare network {bare:.1f} ms; features, scaling and flux divergence "
            f"{more:.1f} ms, {100.0 * more / bare:.0f} % of it"
        )


if __name__ == "__main__":
    main()
