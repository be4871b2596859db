"""Where each millisecond of a step goes.

    python benchmarks/profile_step.py [CASE ...] [--steps 120] [--cpu] [--write PAGE]

Every part is timed exclusively: what it calls and is named itself is not counted twice, and the
parts add up to the step. A scheme that is called rarely is averaged over all steps. ``--cpu``
counts the processor time of the only thread, for a machine that does other things too.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CASES = ("cases/earth_t31.yaml", "cases/tests/held_suarez_1994_t42.yaml")


class Stopwatch:
    """Exclusive times of named functions."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._inner: list[float] = []
        self.spent: dict[str, float] = {}

    def wrap(self, owner: Any, attribute: str, name: str) -> None:
        """Times ``owner.attribute`` as `name`."""
        call = getattr(owner, attribute)
        self.spent.setdefault(name, 0.0)

        def timed(*args: Any, **options: Any) -> Any:
            self._inner.append(0.0)
            begin = self._clock()
            try:
                return call(*args, **options)
            finally:
                whole = self._clock() - begin
                self.spent[name] += whole - self._inner.pop()
                if self._inner:
                    self._inner[-1] += whole

        setattr(owner, attribute, timed)


def attach(model: Any, watch: Stopwatch) -> None:
    """Names the parts of a step."""
    from coupler.driver import loop
    from physics.dynamics import fused, fused_spectral, leapfrog

    atmosphere = model.atmosphere
    core = atmosphere.core
    transform, legendre = core.transform, core.transform._legendre
    watch.wrap(loop, "step", "coupler: clock, couplings, calls")
    watch.wrap(model.suite, "run", "coupler: copies and sums of the state")
    watch.wrap(atmosphere, "columns", "pressure, height, vertical motion")
    watch.wrap(atmosphere, "advance", "dynamics: the rest")
    watch.wrap(core, "_dry_mass_terms", "dynamics: global mass")
    if core.moisture is not None:
        for name in ("leave", "arrive"):
            watch.wrap(core.moisture, name, "dynamics: transport of humidity")
    watch.wrap(fused_spectral, "synthesis_batch", "dynamics: winds and gradients of coefficients")
    watch.wrap(legendre, "synthesis", "transform: Legendre, to the grid")
    watch.wrap(transform, "_rows_from_fourier", "transform: longitude, to the grid")
    watch.wrap(fused, "expose", "dynamics: winds and temperature on the grid")
    watch.wrap(fused, "grid_tendency", "dynamics: grid-point tendencies")
    watch.wrap(transform, "_fourier_from_rows", "transform: longitude, from the grid")
    watch.wrap(legendre, "analysis", "transform: Legendre, from the grid")
    watch.wrap(fused_spectral, "assemble_tendency", "dynamics: tendencies of coefficients")
    watch.wrap(leapfrog, "leapfrog_step", "dynamics: implicit waves, diffusion, time filter")
    for process in model.suite.processes:
        for bound in process.schemes:
            watch.wrap(bound, "call", "coupler: fluxes and zeroing around schemes")
            component = bound.component
            watch.wrap(component, "compute", f"physics: {process.name} = {bound.label}")
    for name, coupling in model.couplings.items():
        watch.wrap(coupling, "step", name)


def profile(case: Path, steps: int, clock: Callable[[], float]) -> tuple[str, dict[str, float]]:
    """A sentence on the set-up, and milliseconds per step by part."""
    from coupler import Simulation
    from coupler.driver import loop

    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation.from_case(case, out=Path(folder) / "run")
    model = simulation.model
    loop.run(model, 24, lambda _: True)
    watch = Stopwatch(clock)
    attach(model, watch)
    for _ in range(steps):
        loop.step(model)
    spent = {name: 1e3 * total / steps for name, total in watch.spent.items()}
    return f"`{case}`: {simulation.describe()}, {model.case.precision}", spent


def table(spent: dict[str, float]) -> str:
    whole = sum(spent.values())
    lines = ["| | ms | % |", "|---|---:|---:|"]
    for name, value in sorted(spent.items(), key=lambda item: -item[1]):
        lines.append(f"| {name} | {value:.2f} | {100 * value / whole:.1f} |")
    groups: dict[str, float] = {}
    for name, value in spent.items():
        group = name.partition(":")[0] if ":" in name else "other"
        groups[group] = groups.get(group, 0.0) + value
    shares = ", ".join(
        f"{name} {100 * value / whole:.0f} %"
        for name, value in sorted(groups.items(), key=lambda item: -item[1])
    )
    return "\n".join([*lines, f"| **step** | **{whole:.2f}** | |", "", f"By kind: {shares}.", ""])


def versions() -> str:
    import numba
    import torch

    return (
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"numba {numba.__version__}, numpy {np.__version__}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path, nargs="*", default=[Path(c) for c in CASES])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--cpu", action="store_true", help="processor time, on a busy machine")
    parser.add_argument("--write", type=Path, metavar="PAGE")
    options = parser.parse_args()
    clock = time.thread_time if options.cpu else time.perf_counter
    what = "processor time of the only thread" if options.cpu else "time"
    command = " ".join(["benchmarks/profile_step.py", *(["--cpu"] if options.cpu else [])])
    page = [
        "# Where each millisecond of a step goes",
        "",
        f"Made by `python {command}`: one thread,",
        f"{what}, means over {options.steps} steps, each part without what it calls and is listed",
        f"itself. {versions()}; {platform.machine()}, load {os.getloadavg()[0]:.1f}.",
        "",
    ]
    for case in options.cases:
        title, spent = profile(case, options.steps, clock)
        page += [f"## {case.stem}", "", title, "", table(spent)]
    text = "\n".join(page)
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
