"""Spherical harmonic transform of 100 fields, paired against ducc0 and torch-harmonics.

    OMP_NUM_THREADS=1 python benchmarks/transform.py [--fields 100] [--repeat 15] [--cpu]

One thread. Each repetition times ours and the other in turn (A B A B ...); what is printed is the
median of each and the ratio of the medians. Ours and ducc0 write into memory they are given.
``parity`` times the Legendre products split by north-south parity, with the pass that recombines
hemispheres, against the plain product; ``matrix`` and ``fft`` are the two ways along longitude.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import ducc0
import numpy as np
import torch

from physics.dynamics.core import quadratic_grid
from physics.dynamics.transform import SpectralTransform

Function = Callable[[], object]


CLOCK = time.perf_counter
"""Time that passes; ``--cpu`` makes it the processor time of the only thread."""


def paired(functions: dict[str, Function], repeat: int) -> dict[str, float]:
    """Median milliseconds of each, called in turn."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeat + 2):
        for name, function in functions.items():
            start = CLOCK()
            function()
            if turn >= 2:
                times[name].append(1e3 * (CLOCK() - start))
    return {name: statistics.median(t) for name, t in times.items()}


def ducc_functions(tr: SpectralTransform, fields: int, dtype: torch.dtype) -> dict[str, Function]:
    t, real = tr.truncation, np.float32 if dtype == torch.float32 else np.float64
    rng = np.random.default_rng(0)
    size = (t + 1) * (t + 2) // 2
    kind = np.complex64 if real is np.float32 else np.complex128
    alm = rng.standard_normal((fields, 1, size)).astype(kind)
    rows = np.arange(tr.nlat, dtype=np.uint64) * np.uint64(tr.nlon)
    common = {
        "theta": np.arccos(tr.sin_lat),
        "nphi": np.full(tr.nlat, tr.nlon, np.uint64),
        "phi0": np.zeros(tr.nlat),
        "ringstart": rows,
        "lmax": t,
        "spin": 0,
        "nthreads": 1,
    }
    weight = np.repeat(tr.gauss_weights * 2.0 * np.pi / tr.nlon, tr.nlon).astype(real)
    grid = ducc0.sht.synthesis(alm=alm, **common)
    out, weighted, back = np.empty_like(grid), np.empty_like(grid), np.empty_like(alm)

    def forward() -> None:
        np.multiply(grid, weight, out=weighted)  # the quadrature, which is part of an analysis
        ducc0.sht.adjoint_synthesis(map=weighted, alm=back, **common)

    return {
        "inverse": lambda: ducc0.sht.synthesis(alm=alm, map=out, **common),
        "forward": forward,
    }


def harmonics_functions(
    tr: SpectralTransform, fields: int, dtype: torch.dtype
) -> dict[str, Function]:
    try:
        import torch_harmonics
    except ImportError:  # its compiled part does not fit every torch
        return {}
    n = tr.truncation + 1
    options = {"lmax": n, "mmax": n, "grid": "legendre-gauss"}
    to_grid = torch_harmonics.InverseRealSHT(tr.nlat, tr.nlon, **options)
    to_spec = torch_harmonics.RealSHT(tr.nlat, tr.nlon, **options)
    if dtype == torch.float64:
        to_grid, to_spec = to_grid.double(), to_spec.double()
    else:
        to_grid, to_spec = to_grid.float(), to_spec.float()
    grid = torch.randn(fields, tr.nlat, tr.nlon, dtype=dtype)
    spec = to_spec(grid)
    return {"inverse": lambda: to_grid(spec), "forward": lambda: to_spec(grid)}


def parity_functions(tr: SpectralTransform, fields: int, dtype: torch.dtype) -> dict[str, Function]:
    m, size, half, nlat = tr.size_m, tr.size_l, (tr.size_l + 1) // 2, tr.nlat
    spec = torch.randn(m, 2 * fields, size, dtype=dtype)
    table = torch.randn(m, size, nlat, dtype=dtype)
    split = torch.randn(m, 2 * fields, 2, half, dtype=dtype)
    half_table = torch.randn(m, half, nlat // 2, dtype=dtype)
    out = torch.empty(m, 2 * fields, nlat, dtype=dtype)

    def with_parity() -> None:
        even = torch.bmm(split[:, :, 0], half_table)
        odd = torch.bmm(split[:, :, 1], half_table)
        torch.add(even, odd, out=even_odd)
        out[:, :, : nlat // 2] = even_odd
        out[:, :, nlat // 2 :] = torch.sub(even, odd).flip(2)

    even_odd = torch.empty(m, 2 * fields, nlat // 2, dtype=dtype)
    return {"plain": lambda: torch.bmm(spec, table, out=out), "parity": with_parity}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--truncations", default="21,31,42,85")
    parser.add_argument("--cpu", action="store_true", help="processor time, on a busy machine")
    options = parser.parse_args()
    if options.cpu:
        global CLOCK
        CLOCK = time.thread_time
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    fields = options.fields
    print(f"milliseconds for {fields} fields, one thread; x is the other divided by ours")
    for t in map(int, options.truncations.split(",")):
        nlat, nlon = quadratic_grid(t)
        for dtype in (torch.float32, torch.float64):
            ways = {
                way: SpectralTransform(
                    truncation=t, nlat=nlat, nlon=nlon, dtype=dtype, longitude=way
                )
                for way in ("matrix", "fft")
            }
            used = SpectralTransform(truncation=t, nlat=nlat, nlon=nlon, dtype=dtype)
            spec = torch.randn(used.spectral_shape(fields), dtype=dtype) * used.inside
            grid = used.synthesis(spec)
            out, back = torch.empty_like(grid), used.zeros(fields)
            others = {
                "ducc0": ducc_functions(used, fields, dtype),
                "torch-harmonics": harmonics_functions(used, fields, dtype),
            }
            for direction in ("inverse", "forward"):

                def ours(tr: SpectralTransform, direction: str = direction) -> object:
                    if direction == "inverse":
                        return tr.synthesis(spec, out)  # noqa: B023
                    return tr.analysis(grid, back, extended=True)  # noqa: B023

                functions: dict[str, Function] = {
                    way: (lambda tr=tr: ours(tr)) for way, tr in ways.items()
                }
                functions |= {n: f[direction] for n, f in others.items() if f}
                times = paired(functions, options.repeat)
                best = times[used.longitude]
                line = f"T{t:<3d} {str(dtype)[6:]} {direction}: {best:7.3f} ({used.longitude})"
                for name, value in times.items():
                    if name != used.longitude:
                        line += f"  {name} {value:7.3f} ({value / best:4.1f}x)"
                print(line, flush=True)
            times = paired(parity_functions(used, fields, dtype), options.repeat)
            print(
                f"T{t:<3d} {str(dtype)[6:]} Legendre, plain {times['plain']:.3f}, "
                f"by parity {times['parity']:.3f} ({times['parity'] / times['plain']:.1f}x)"
            )


if __name__ == "__main__":
    main()
