"""Where the time of one coupled step goes: ``python benchmarks/model_step.py CASE [--steps N]``.

Prints milliseconds per step of the dynamics, of each process and of everything else (the coupler:
sums, copies of the state, exchange), as medians over the steps; a scheme that is called rarely is
averaged over its interval. ``--threads 1 2`` repeats it in a process of its own for each number.
``--cpu`` counts the processor time of the main thread instead of the time that passes: on a machine
that does other things too, that is what can be compared (for one thread only).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def measure(case: Path, steps: int, changes: dict[str, Any], clock: Callable[[], float]) -> None:
    from coupler import Simulation
    from coupler.driver import loop

    with tempfile.TemporaryDirectory() as folder:
        model = Simulation.from_case(case, set=changes, out=folder).model
    loop.run(model, 40, lambda _: True)

    spent: dict[str, list[float]] = {}

    def timed(name: str, call: Any) -> Any:
        spent[name] = []

        def timing(*args: Any) -> Any:
            begin = clock()
            result = call(*args)
            spent[name].append(clock() - begin)
            return result

        return timing

    atmosphere = model.atmosphere
    atmosphere.advance = timed("dynamics", atmosphere.advance)  # type: ignore[method-assign]
    atmosphere.columns = timed("pressure and height", atmosphere.columns)  # type: ignore[method-assign]
    every = {}
    for process in model.suite.processes:
        bound = process.schemes[0]
        name = f"{process.name}={bound.label}"
        every[name] = bound.every
        bound.call = timed(name, bound.call)  # type: ignore[method-assign]
    for name, coupling in model.couplings.items():
        coupling.step = timed(name, coupling.step)  # type: ignore[method-assign]
    whole: list[float] = []
    for _ in range(steps):
        begin = clock()
        loop.step(model)
        whole.append(clock() - begin)
    total = float(np.median(whole))
    known = 0.0
    print(f"{model.case.title}: {model.atmosphere.grid}, {model.atmosphere.levels.nlev} levels,")
    print(f"  {model.case.precision}, {os.environ.get('ISTHMUS_THREADS', '1')} thread(s)")
    for name, times in spent.items():
        ms = float(np.median(times)) * 1e3 / every.get(name, 1)
        known += ms
        print(f"  {name:36s}{ms:9.3f} ms{100 * ms / (total * 1e3):7.1f} %")
    rest = total * 1e3 - known
    print(f"  {'coupler':36s}{rest:9.3f} ms{100 * rest / (total * 1e3):7.1f} %")
    sypd = model.clock.step_length / 365.0 / total
    print(f"  {'step':36s}{total * 1e3:9.3f} ms = {sypd:.0f} simulated years per day")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path)
    parser.add_argument("--steps", type=int, default=90)
    parser.add_argument("--cpu", action="store_true", help="processor time, not time passed")
    parser.add_argument("--threads", type=int, nargs="*", default=[])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    if not args.threads:
        changes = dict(item.partition("=")[::2] for item in args.set)
        measure(args.case, args.steps, changes, time.thread_time if args.cpu else time.perf_counter)
    for n in args.threads:
        command = [sys.executable, __file__, str(args.case), "--steps", str(args.steps)]
        command += ["--cpu"] if args.cpu else []
        command += [x for item in args.set for x in ("--set", item)]
        subprocess.run(command, env=os.environ | {"ISTHMUS_THREADS": str(n)}, check=True)


if __name__ == "__main__":
    main()
