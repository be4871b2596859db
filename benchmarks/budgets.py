"""What budgets of processes cost: ``python benchmarks/budgets.py [CASE] [--steps N] [--rounds N]``.

Two models of one case take turns, step by step, one of them without the budgets of energy and water
of its processes; the state of both is the same. Prints medians over the steps of each round and of
all, and their ratio: processor time of the main thread, which other things on the machine disturb
least.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from coupler import Simulation
from coupler.driver import loop
from coupler.driver.assemble import Assembly


def built(case: Path, *, books: bool) -> Assembly:
    """The model after its first steps."""
    with tempfile.TemporaryDirectory() as folder:
        model = Simulation.from_case(case, out=folder).model
    for process in model.suite.processes if not books else ():
        process.book = None
    loop.run(model, 40, lambda _: True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path, nargs="?", default=Path("cases/aquaplanet_t21.yaml"))
    parser.add_argument("--steps", type=int, default=180, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    models = [built(args.case, books=books) for books in (False, True)]
    spent = np.zeros((args.rounds, args.steps, 2))
    for r, n in np.ndindex(spent.shape[:2]):
        for which in (0, 1) if n % 2 else (1, 0):
            begin = time.thread_time()
            loop.step(models[which])
            spent[r, n, which] = time.thread_time() - begin
    for what, some in [*((f"round {r + 1}", x) for r, x in enumerate(spent)), ("all", spent)]:
        off, on = 1e3 * np.median(some.reshape(-1, 2), axis=0)
        ratio = 100.0 * (on / off - 1.0)
        print(f"{what}: without {off:.3f} ms, with {on:.3f} ms: {ratio:+.2f} %")
    first, second = (model.atmosphere.columns() for model in models)
    assert all(np.array_equal(first[name], second[name]) for name in first)


if __name__ == "__main__":
    main()
