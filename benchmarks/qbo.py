"""Time of a year of the 1-D QBO model: the coupled step alone, and a whole run with its files.

python -m benchmarks.qbo [--years 12] [--repeats 3]

Wall and CPU time of the fastest of the repeats; they differ on a machine that is busy with other
things.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from coupler import Simulation
from coupler.driver import loop

CASE = Path(__file__).resolve().parents[1] / "cases" / "qbo_1d.yaml"
VARIANTS: dict[str, tuple[dict[str, str], dict[str, float]]] = {
    "two waves": ({}, {}),
    "20 random waves": ({"gravity_wave": "plumb_stochastic"}, {"atmosphere.upwelling": 3e-4}),
}


Time = tuple[float, float]


def seconds(call: Callable[[], object]) -> Time:
    """Wall and CPU time of `call` [s]."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def once(swap: dict[str, str], changes: dict[str, float], steps: int) -> tuple[Time, Time]:
    """The coupled step alone, and a run with its files."""
    with tempfile.TemporaryDirectory() as folder:
        run = Simulation.from_case(CASE, swap=swap, set=changes, out=Path(folder) / "run")
        loop.run(run.model, 10, lambda _: True)  # compiles
        alone = seconds(partial(loop.run, run.model, steps, lambda _: True))
        whole = Simulation.from_case(CASE, swap=swap, set=changes, out=Path(folder) / "files")
        return alone, seconds(partial(whole.run, days=steps, quiet=True))


def main() -> None:
    """Prints two lines for each variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    steps = 360 * given.years
    for name, (swap, changes) in VARIANTS.items():
        runs = [once(swap, changes, steps) for _ in range(given.repeats)]
        for n, what in enumerate(("the step alone", "with checks, means and monthly files")):
            wall, cpu = (min(r[n][clock] for r in runs) for clock in (0, 1))
            print(
                f"{name:16} {what:36} {1e3 * wall / given.years:7.1f} ms per year, "
                f"CPU {1e3 * cpu / given.years:6.1f} ms"
            )


if __name__ == "__main__":
    main()
