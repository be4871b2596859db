"""Milliseconds per member and step of ensembles stepped in one batch, against members one by one.

    OMP_NUM_THREADS=1 python benchmarks/ensemble.py [--turns 15] [--members 1 4 16]

Every turn times the core alone and each batch in succession; a ratio is the median over turns of
paired times, so that a busy machine changes it little. The flow is the dry baroclinic wave of
Jablonowski and Williamson (2006) in float32 with a little noise, its orography left out.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.ensemble import Ensemble
from physics.dynamics.initial import jablonowski_williamson, to_spectral

CASES = (("T21L20", 21, 20, 1800.0), ("T42L25", 42, 25, 1200.0))


def starts(core: DynamicalCore, members: int) -> torch.Tensor:
    """Coefficients of the wave with noise, [member, ...]."""
    spec = to_spectral(core.equations, jablonowski_williamson(core.frame))
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn((members, *spec.shape), generator=generator, dtype=spec.dtype)
    noise[:, 0, 1] = 0.0
    size = spec.abs().amax((0, 1, 3), keepdim=True) * core.transform.inside
    return spec + 1e-4 * noise * size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    wait = torch.cuda.synchronize if options.device.startswith("cuda") else lambda: None
    for name, truncation, levels, dt in CASES:
        for stepper in ("leapfrog", "sil3"):
            core = DynamicalCore(
                truncation=truncation,
                levels=HybridLevels.sigma(levels),
                planet=Planet(),
                dt=dt,
                tracers=0,
                stepper=stepper,
                device=options.device,
            )
            models = {0: core} | {n: Ensemble(core, n) for n in options.members}
            core.start(starts(core, 1)[0].to(options.device))
            for n in options.members:
                models[n].start(starts(core, n).to(options.device))
            times: dict[int, list[float]] = {n: [] for n in models}
            for turn in range(options.turns + 2):
                for n, model in models.items():
                    wait()
                    begin = time.perf_counter()
                    model.step()
                    wait()
                    if turn >= 2:
                        times[n].append(1e3 * (time.perf_counter() - begin) / max(n, 1))
            print(f"{name} {stepper}: core alone {statistics.median(times[0]):.2f} ms", end="")
            for n in options.members:
                pairs = zip(times[n], times[0], strict=True)
                ratio = statistics.median(own / alone for own, alone in pairs)
                print(f", {n} members {statistics.median(times[n]):.2f} ({ratio:.2f})", end="")
            print(" ms a member (ratio)", flush=True)


if __name__ == "__main__":
    main()
