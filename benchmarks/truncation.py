"""Cost of a dry step against truncation, with the slope of the log-log line.

    python benchmarks/truncation.py [--layers 25] [--cpu] [--plot docs/results/cost.png]

One thread, float32, the dynamics alone (``DynamicalCore.step``) from the baroclinic wave of Ullrich
et al. (2014). The truncations take turns, and each has the median over the rounds. An FFT and
triangular Legendre sums cost T^2 log T and T^3; a day at a time step that follows the truncation
costs one power more. ``--cpu`` counts processor time, for a machine that does other things too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import to_spectral
from physics.dynamics.initial_ullrich import baroclinic_wave

TRUNCATIONS = (21, 31, 42, 63, 85, 106, 127)


def core_of(truncation: int, layers: int) -> DynamicalCore:
    core = DynamicalCore(
        truncation=truncation,
        levels=HybridLevels.sigma(layers),
        planet=Planet(),
        dt=1800.0 * 21.0 / truncation,
        dtype=torch.float32,
        tracers=0,
    )
    core.start(to_spectral(core.equations, baroclinic_wave(core.frame)))
    for _ in range(3):
        core.step()
    return core


def plot(path: Path, milliseconds: list[float], slopes: tuple[float, float], title: str) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    t = np.array(TRUNCATIONS, float)
    axes.loglog(t, milliseconds, "o-", color="#1f5a8a", label=f"measured, slope {slopes[0]:.2f}")
    for power, style in ((2, ":"), (3, "--")):
        line = milliseconds[0] * (t / t[0]) ** power
        axes.loglog(t, line, style, color="0.6", label=f"T$^{power}$")
    axes.set_xticks(t, [f"T{n}" for n in TRUNCATIONS])
    axes.set_xticks([], minor=True)
    axes.set_ylabel("ms per step")
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cpu", action="store_true", help="processor time, on a busy machine")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    clock = time.thread_time if options.cpu else time.perf_counter
    cores = [core_of(t, options.layers) for t in TRUNCATIONS]
    times: list[list[float]] = [[] for _ in cores]
    for _ in range(options.rounds):
        for core, found in zip(cores, times, strict=True):
            begin = clock()
            core.step()
            found.append(1e3 * (clock() - begin))
    medians = [statistics.median(t) for t in times]
    logs = np.log(TRUNCATIONS), np.log(medians)
    slopes = (
        float(np.polyfit(*logs, 1)[0]),
        float(np.polyfit(logs[0][-4:], logs[1][-4:], 1)[0]),
    )
    what = "processor time" if options.cpu else "time"
    title = f"Dry step, {options.layers} levels, float32, one thread, {what}"
    print(title)
    for truncation, core, value in zip(TRUNCATIONS, cores, medians, strict=True):
        grid = f"{core.transform.nlat}x{core.transform.nlon}"
        print(f"  T{truncation:<4d}{grid:>9s}{value:9.2f} ms")
    print(f"  slope {slopes[0]:.2f}; from T{TRUNCATIONS[-4]} on {slopes[1]:.2f}")
    if options.plot:
        plot(options.plot, medians, slopes, title)


if __name__ == "__main__":
    main()
