"""What exchange, restarts and coupling cost, in one table, against the aims.

    python -m benchmarks.exchange_table [coupling files restart channel scaling]

``coupling`` is what `coupler.driver.spent` calls so: all that is neither dynamics nor a component's
own compute nor files nor waiting. Processor time of the main thread, so that it can be compared
on a machine that does other things; ``restart`` is wall time, the best of several rounds in turn.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "aquaplanet T21L30": ("aquaplanet_t21", {}),
    "aquaplanet T42L20": (
        "aquaplanet_t21",
        {
            "atmosphere.truncation": "T42",
            "atmosphere.levels": "hybrid20",
            "atmosphere.dt": 720.0,
        },
    ),
    "earth T31L30": ("earth_t31", {}),
}
LARGE = {
    "atmosphere.truncation": "T85",
    "atmosphere.levels": "hybrid25",
    "atmosphere.dt": 360.0,
}


def coupling(name: str, steps: int) -> None:
    """Shares of one case, as every run counts them, but in processor time of the main thread."""
    from coupler import Simulation
    from coupler.driver.spent import FILES, kind, overhead

    case, changes = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        raw = ROOT / "cases" / f"{case}.yaml"
        simulation = Simulation.from_case(raw, set=changes, out=folder)
        length = simulation.model.clock.step_length / 86400.0
        simulation.run(days=20 * length, quiet=True)
        spent = simulation.model.spent
        spent.clock = time.thread_time
        spent.leave()
        spent.reset()
        simulation.run(days=steps * length, quiet=True)
        seconds = spent.seconds()
        simulation.close()
    counted = {n: s for n, s in seconds.items() if n != FILES}
    whole = sum(counted.values())
    print(f"\n{name}: {1e3 * whole / steps:.2f} ms a step without files")
    for what, own in counted.items():
        print(f"    {what:32s}{kind(what):12s}{1e3 * own / steps:9.3f} ms{own / whole:8.1%}")
    print(f"    {'coupling, all together (aim 3 %)':56s}{overhead(seconds):8.1%}")


def files(name: str, steps: int) -> None:
    """How long a run waits for its files, written by a thread or by itself, in turn."""
    from coupler import Simulation
    from coupler.driver.spent import FILES
    from coupler.output.background import Background

    def at_once(self: Background, task: Callable[[], None], size: int = 0) -> None:
        task()

    case, changes = CASES[name]
    often = {"output.interval": 0.1, "restart.interval": 0.2, "output.fields": "all"}
    ways: dict[str, Any] = {"a thread": Background.do, "the run itself": at_once}
    waited: dict[str, float] = {}
    for who, do in ways.items():
        Background.do = do  # type: ignore[method-assign]
        with tempfile.TemporaryDirectory(dir=ROOT) as folder:
            raw = ROOT / "cases" / f"{case}.yaml"
            simulation = Simulation.from_case(raw, set={**changes, **often}, out=folder)
            length = simulation.model.clock.step_length / 86400.0
            begin = time.perf_counter()
            simulation.run(days=steps * length, quiet=True)
            wall = time.perf_counter() - begin
            waited[who] = simulation.model.spent.seconds()[FILES]
            simulation.close()
            size = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()) / 1e6
        print(f"    written by {who:16s}{waited[who]:8.3f} s of {wall:6.2f} s are spent on files")
    Background.do = ways["a thread"]  # type: ignore[method-assign]
    print(f"    ({name}, {steps} steps, {size:.0f} MB left of them)")


def restarts(rounds: int) -> None:
    """A restart of T85L25 against the same bytes in a plain file."""
    from coupler import Simulation
    from coupler.output import restart

    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        case = ROOT / "cases" / "aquaplanet_t21.yaml"
        simulation = Simulation.from_case(case, set=LARGE, out=Path(folder) / "run")
        snapshot = simulation._memory.take()
        there, plain = Path(folder) / "restart", Path(folder) / "plain"
        path = restart.write(there, snapshot.memories, snapshot.moment)
        data = path.read_bytes()

        def write_plain() -> None:
            with plain.open("wb") as file:
                file.write(data)
                os.fsync(file.fileno())

        ways: dict[str, Callable[[], Any]] = {
            "plain file, written and synced": write_plain,
            "restart written": lambda: restart.write(there, snapshot.memories, snapshot.moment),
            "plain file read": plain.read_bytes,
            "restart read and checked": lambda: restart.read(path),
        }
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                begin = time.perf_counter()
                way()
                spent[name].append(time.perf_counter() - begin)
        simulation.close()
    print(f"\nrestart of T85L25, {len(data) / 1e6:.0f} MB [ms]{'min':>22s}{'median':>10s}")
    for name, times in spent.items():
        print(f"    {name:40s}{1e3 * min(times):10.0f}{1e3 * float(np.median(times)):10.0f}")
    plain_write, write, _, read = map(np.array, spent.values())
    for what, times in (("written", write), ("read", read)):
        ratio = np.median(times / plain_write)
        print(f"    {what}: {ratio:.2f} times writing the plain file (median of pairs; aim 2)")


def main() -> None:
    parts = ("coupling", "files", "restart", "channel", "scaling")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(parts))
    parser.add_argument("--steps", type=int, default=72, help="of the coupling's part")
    parser.add_argument("--rounds", type=int, default=7, help="of restarts and ranks")
    parser.add_argument("--calls", type=int, default=1_000_000, help="for growth of memory")
    args = parser.parse_args()
    chosen: Iterable[str] = args.parts or parts
    from coupler.parallel import threads

    threads.prepare(1)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    if "coupling" in chosen:
        for name in CASES:
            coupling(name, args.steps)
    if "files" in chosen:
        print("\nall fields every 0.1 day, a restart every 0.2 day")
        files("aquaplanet T42L20", args.steps)
    if "restart" in chosen:
        restarts(args.rounds)
    if "channel" in chosen:
        from benchmarks import channel

        print()
        channel.null(20_000)
        channel.network(10)
        channel.growth(args.calls)
        channel.sharing(4, 10)
    if "scaling" in chosen:
        from benchmarks import scaling

        print()
        scaling.table(list(scaling.SETUPS), [1, 2], args.rounds, 20)


class _Raw(argparse.RawDescriptionHelpFormatter):
    """The table of this module as it is."""


if __name__ == "__main__":
    main()
