"""Milliseconds per step of the dynamical core, and where they go.

    OMP_NUM_THREADS=1 python benchmarks/dynamics_step.py [--repeat 30] [--dtype float64] [--cpu]

One thread; medians. The flow is the baroclinic wave of Ullrich et al. (2014) with humidity after
a few steps; the last column is simulated years per day of the dynamics alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import to_spectral
from physics.dynamics.initial_ullrich import baroclinic_wave

CASES = (("T21L30", 21, "hybrid30", 1800.0), ("T31L30", 31, "hybrid30", 1200.0),
         ("T42L25", 42, "sigma25", 1800.0), ("T85L30", 85, "hybrid30", 600.0))  # fmt: skip


CLOCK = time.perf_counter
"""Time that passes; ``--cpu`` makes it the processor time of the only thread."""


def median(function: Callable[[], object], repeat: int) -> float:
    times = []
    for turn in range(repeat + 2):
        start = CLOCK()
        function()
        if turn >= 2:
            times.append(1e3 * (CLOCK() - start))
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--dry", action="store_true", help="no humidity")
    parser.add_argument("--cpu", action="store_true", help="processor time, on a busy machine")
    options = parser.parse_args()
    if options.cpu:
        global CLOCK
        CLOCK = time.thread_time
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print("ms: step = synthesis batch + transform + grid + analysis + assembly + implicit + rest")
    for name, truncation, levels, dt in CASES:
        core = DynamicalCore(
            truncation=truncation,
            levels=HybridLevels.named(levels),
            planet=Planet(),
            dt=dt,
            dtype=getattr(torch, options.dtype),
            tracers=0 if options.dry else 1,
        )
        core.start(to_spectral(core.equations, baroclinic_wave(core.frame)))
        for _ in range(4):
            core.step()
        eq, tr = core.equations, core.transform
        batch = torch.randn(tr.spectral_shape(eq.batch_shape[0]), dtype=tr.dtype) * tr.inside
        grid = torch.empty(eq.batch_shape, dtype=tr.dtype)
        rates = eq._fused_tendency(core._fields, {})
        coefficients = tr.analysis(rates, extended=True)
        before, now = core._before.clone(), core._now.clone()
        tendency = torch.zeros_like(now)
        surface = core.surface_geopotential

        def to_grid() -> None:
            eq.to_grid(now, grid)  # noqa: B023

        def grid_part() -> None:
            eq._fused_tendency(core._fields, {})  # noqa: B023

        def assembly() -> None:
            eq._fused_assemble(now, coefficients, surface)  # noqa: B023

        def implicit() -> None:
            core.leapfrog.step(before, now, tendency, 2.0 * dt)  # noqa: B023

        n = options.repeat
        parts = {
            "to grid": median(to_grid, n),
            "of which transform": median(lambda: tr.synthesis(batch, grid), n),  # noqa: B023
            "grid": median(grid_part, n),
            "analysis": median(lambda: tr.analysis(rates, extended=True), n),  # noqa: B023
            "assembly": median(assembly, n),
            "implicit, filter": median(implicit, n),
        }
        step = median(core.step, n)
        years = 86400.0 / (365.0 * 86400.0 / dt * step / 1e3)
        line = "  ".join(f"{part} {value:.2f}" for part, value in parts.items())
        print(f"{name} {options.dtype}: step {step:.2f}  {line}  {years:.0f} SYPD", flush=True)


if __name__ == "__main__":
    main()
