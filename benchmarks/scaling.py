"""Strong scaling of the whole model: the same case on 1, 2, .. ranks, in turn.

    python benchmarks/scaling.py --ranks 1 2 --rounds 5

The rounds alternate between the numbers of ranks, so that whatever else the machine does meets all
of them; each number of ranks has the least of its rounds' medians, and the efficiency is also given
as the median over rounds of the ratio within a round. Ranks run one thread each. ``exchange`` is
the share of rank 0's time in exchanges between ranks, waiting for the slowest included. ``work`` is
the processor time of a step outside of exchanges, of the rank that has most to do, and the
efficiency that it alone would allow: what ranks do twice and how unevenly they share. It can be
compared also on a machine that does other things.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SETUPS: dict[str, dict[str, Any]] = {
    "T42L20": {
        "atmosphere.truncation": "T42",
        "atmosphere.levels": "hybrid20",
        "atmosphere.dt": 720.0,
    },
    "T85L25": {
        "atmosphere.truncation": "T85",
        "atmosphere.levels": "hybrid25",
        "atmosphere.dt": 360.0,
    },
}
_EXCHANGES = (
    "alltoall",
    "exchange",
    "allgather",
    "gather",
    "scatter",
    "broadcast",
    "collect",
    "most",
)


def measure(setup: str, steps: int) -> None:
    """Times steps on the ranks of this job; rank 0 prints the result as JSON."""
    from coupler.driver import loop
    from coupler.driver.simulation import Simulation
    from coupler.parallel import mpi, threads

    threads.prepare(1)
    ranks: Any = mpi.world()
    spent = worked = 0.0

    def timed(method: Any) -> Any:
        def call(*words: Any) -> Any:
            nonlocal spent, worked
            begin, busy = time.perf_counter(), time.thread_time()
            found = method(*words)
            spent += time.perf_counter() - begin
            worked -= time.thread_time() - busy
            return found

        return call

    with tempfile.TemporaryDirectory() as folder:
        changes = {**SETUPS[setup], "days": 100.0}
        model = Simulation.from_case(
            ROOT / "cases" / "aquaplanet_t21.yaml",
            set=changes,
            out=Path(folder) / "run",
            parallel=ranks,
        ).model
        for _ in range(3):
            loop.step(model)
        if ranks.size > 1:
            for name in _EXCHANGES:
                setattr(ranks, name, timed(getattr(ranks, name)))
        times, begin, busy = [], time.perf_counter(), time.thread_time()
        for _ in range(steps):
            start = time.perf_counter()
            loop.step(model)
            times.append(time.perf_counter() - start)
        whole = time.perf_counter() - begin
        worked += time.thread_time() - busy
    most = max(ranks.collect(worked / steps))
    if ranks.rank == 0:
        found = {"step": statistics.median(times), "exchange": spent / whole, "work": most}
        print(json.dumps(found))


def run(setup: str, ranks: int, steps: int) -> dict[str, float]:
    """`measure` on so many ranks."""
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.is_file() else shutil.which("mpiexec")
    own = [sys.executable, __file__, "--measure", setup, "--steps", str(steps)]
    command = own if ranks == 1 else [str(mpiexec), "-n", str(ranks), *own]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(setups: list[str], ranks: list[int], rounds: int, steps: int) -> None:
    """Measures and prints."""
    load = os.getloadavg()[0]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f}")
    print(
        f"{'setup':8s} {'ranks':>5s} {'ms/step':>8s} {'speed-up':>8s} {'efficiency':>10s} exchange"
    )
    for setup in setups:
        found: dict[int, list[dict[str, float]]] = {n: [] for n in ranks}
        for _ in range(rounds):
            for n in ranks:
                found[n].append(run(setup, n, steps))
        base = ranks[0]
        for n in ranks:
            least = min(r["step"] for r in found[n])
            pairs = zip(found[base], found[n], strict=True)
            gain = statistics.median(a["step"] / b["step"] for a, b in pairs)
            share = statistics.median(r["exchange"] for r in found[n])
            work, alone = (min(r["work"] for r in found[m]) for m in (n, base))
            print(
                f"{setup:8s} {n:5d} {1e3 * least:8.1f} {gain:8.2f} {gain * base / n:10.2f} "
                f"{share:8.0%} {1e3 * work:7.1f} ({alone * base / (work * n):.2f})"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setups", nargs="*", default=list(SETUPS), choices=list(SETUPS))
    parser.add_argument("--ranks", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--measure", choices=list(SETUPS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, args.steps)
        return
    table(args.setups, args.ranks, args.rounds, args.steps)


if __name__ == "__main__":
    main()
