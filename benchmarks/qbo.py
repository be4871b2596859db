"""Time of a year of the 1-D QBO model: the coupled step alone, and a whole run with its files.

python -m benchmarks.qbo [--years 12]
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


def seconds(call: Callable[[], object]) -> float:
    """Wall time of `call` [s]."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Prints one line for each variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=12)
    years = parser.parse_args().years
    steps = 360 * years
    for name, (swap, changes) in VARIANTS.items():
        with tempfile.TemporaryDirectory() as folder:
            run = Simulation.from_case(CASE, swap=swap, set=changes, out=Path(folder) / "run")
            loop.run(run.model, 10, lambda _: True)  # compiles
            alone = seconds(partial(loop.run, run.model, steps, lambda _: True))
            whole = Simulation.from_case(CASE, swap=swap, set=changes, out=Path(folder) / "files")
            files = seconds(partial(whole.run, days=steps, quiet=True))
        print(
            f"{name:16}  {1e3 * alone / years:6.1f} ms per year, {1e6 * alone / steps:5.1f} us per "
            f"step; with checks, means and monthly files {1e3 * files / years:6.1f} ms per year"
        )


if __name__ == "__main__":
    main()
