"""Memory and time of the gradient of a scalar after n steps, with and without checkpoints.

    OMP_NUM_THREADS=1 python benchmarks/gradient.py [--steps 1 4 24 96] [--stepper sil3]

"Kept" is what autograd holds between the forward and the backward pass, counted once per storage;
"peak" the highest resident memory of a process of its own less that before the first step. T21, 8
layers, dry, float32, one thread.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time

import torch

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import jablonowski_williamson, to_spectral
from physics.dynamics.unroll import unroll

MEGA = 2.0**20


def peak() -> float:
    """Highest resident memory of this process so far [MiB]."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(size) / (MEGA if sys.platform == "darwin" else 1024.0)


def measure(steps: int, checkpoint: bool, stepper: str) -> tuple[float, float, float, float]:
    """Kept and peak memory [MiB], time of the forward and of the backward pass [s]."""
    torch.set_num_threads(1)
    core = DynamicalCore(
        truncation=21, levels=HybridLevels.sigma(8), planet=Planet(), dt=1800.0, tracers=0,
        stepper=stepper,
    )  # fmt: skip
    start = to_spectral(core.equations, jablonowski_williamson(core.frame)).requires_grad_()
    for warm in (False, True):  # tables, and what the first checkpoint imports
        unroll(core, start, 1, checkpoint=warm).square().sum().backward()
    sizes: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    before, began = peak(), time.perf_counter()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        end = unroll(core, start, steps, checkpoint=checkpoint)
        kept = sum(sizes.values())  # those of the way back, computed again, come later
        middle = time.perf_counter()
        end[:, :, core.equations.temperature_slice].square().sum().backward()
    return kept / MEGA, peak() - before, middle - began, time.perf_counter() - middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 4, 24, 96])
    parser.add_argument("--stepper", default="leapfrog", choices=("leapfrog", "sil3"))
    options = parser.parse_args()
    fresh = multiprocessing.get_context("spawn")
    print("| steps | checkpoints | kept [MiB] | peak [MiB] | forward [s] | backward [s] |")
    print("|---|---|---|---|---|---|")
    for steps in options.steps:
        for checkpoint in (False, True):
            with fresh.Pool(1) as pool:
                kept, high, forward, backward = pool.apply(
                    measure, (steps, checkpoint, options.stepper)
                )
            print(
                f"| {steps} | {'yes' if checkpoint else 'no'} | {kept:.1f} | {high:.0f} | "
                f"{forward:.2f} | {backward:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
