"""The grid-point tendencies three ways: torch as written, torch.compile, and the numba pass.

    python benchmarks/pointwise.py [--truncation 42] [--layers 25] [--rounds 15]

One thread, float32, dry, processor time; the ways take turns. torch.compile wants a C++ compiler,
and is left out with a note where there is none.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from truncation import core_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--truncation", type=int, default=42)
    parser.add_argument("--layers", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    core = core_of(options.truncation, options.layers)
    equations, fields = core.equations, core._fields
    ways: dict[str, Callable[[], object]] = {
        "torch": lambda: equations.grid_tendency(fields, {}),
        "numba": lambda: equations._fused_tendency(fields, {}),
    }
    compiled = torch.compile(equations.grid_tendency, dynamic=False)
    begin = time.perf_counter()
    try:
        compiled(fields, {})
    except Exception as error:
        print(f"torch.compile does not work here: {type(error).__name__}")
    else:
        ways["torch.compile"] = lambda: compiled(fields, {})
        print(f"torch.compile took {time.perf_counter() - begin:.0f} s to compile")
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(options.rounds + 2):
        for name, call in ways.items():
            start = time.thread_time()
            call()
            if turn > 1:
                times[name].append(1e3 * (time.thread_time() - start))
    best = statistics.median(times["numba"])
    print(f"T{options.truncation}L{options.layers}, grid-point tendencies:")
    for name, found in times.items():
        value = statistics.median(found)
        print(f"  {name:14s}{value:8.2f} ms  {value / best:5.1f}x")


if __name__ == "__main__":
    main()
