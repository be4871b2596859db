"""What exchange, restarts and coupling cost, in one table, against the aims.

    python -m benchmarks.exchange_table [coupling restart channel scaling]

``coupling`` is what a run spends on neither dynamics nor the components' own compute nor files:
copies of the state, zeroed outputs, divergences of fluxes, sums, means for output and exchange,
the look at the state after each step. Processor time of the main thread, so that it can be compared
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
}
LARGE = {
    "atmosphere.truncation": "T85",
    "atmosphere.levels": "hybrid25",
    "atmosphere.dt": 360.0,
}


class Meter:
    """Processor time by name; what is timed inside another belongs to the inner one only."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._inner = [0.0]

    def wrap(self, owner: Any, method: str, name: str) -> None:
        """Times a method or function of an object or module."""
        call = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            begin = time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                took = time.thread_time() - begin
                self.spent[name] = self.spent.get(name, 0.0) + took - self._inner.pop()
                self._inner[-1] += took

        setattr(owner, method, timed)


def coupling(name: str, steps: int) -> None:
    """Shares of one case."""
    from coupler import Simulation
    from coupler.driver import bound, suite

    case, changes = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        raw = ROOT / "cases" / f"{case}.yaml"
        simulation = Simulation.from_case(raw, set=changes, out=folder)
        model = simulation.model
        length = model.clock.step_length / 86400.0
        simulation.run(days=20 * length, quiet=True)
        meter = Meter()
        own, files, coupler = "components", "files", "coupler: "
        meter.wrap(model.atmosphere, "advance", "dynamics")
        meter.wrap(model.atmosphere, "columns", "dynamics")
        for process in model.suite.processes:
            for scheme in process.schemes:
                meter.wrap(scheme.component, "compute", own)
                meter.wrap(scheme, "call", coupler + "outputs zeroed, inputs converted")
            meter.wrap(process, "balance", coupler + "momentum sums")
        for link in model.couplings.values():
            meter.wrap(link.model, "step", own)
            meter.wrap(link, "collect", coupler + "means for exchange")
            meter.wrap(link, "step_if_due", coupler + "remapping")
        meter.wrap(simulation._out, "add", coupler + "means for output")
        meter.wrap(simulation._watch, "look", coupler + "look at the state")
        meter.wrap(model.suite, "run", coupler + "copies, loops")
        for method in ("_write", "_checkpoint", "_save", "_begin", "_report"):
            meter.wrap(simulation, method, files)
        meter.wrap(simulation, "_remember", coupler + "copy of the state in memory")
        originals = [(bound, "flux_tendency"), (bound, "dissipative_heating")]
        originals += [(suite, "apply_rate")]
        kept = [(owner, method, getattr(owner, method)) for owner, method in originals]
        for (owner, method), what in zip(
            originals, ("divergence of fluxes", "heat of drag", "rates applied"), strict=True
        ):
            meter.wrap(owner, method, coupler + what)
        begin = time.thread_time()
        simulation.run(days=steps * length, quiet=True)
        whole = time.thread_time() - begin
        for owner, method, call in kept:
            setattr(owner, method, call)
        simulation.close()
    meter.spent[coupler + "loop"] = whole - sum(meter.spent.values())
    counted = whole - meter.spent.get(files, 0.0)
    print(f"\n{name}: {1e3 * counted / steps:.2f} ms a step without files")
    for what, spent in sorted(meter.spent.items(), key=lambda item: -item[1]):
        if what != files:
            print(f"    {what:44s}{1e3 * spent / steps:9.3f} ms{spent / counted:8.1%}")
    share = sum(s for n, s in meter.spent.items() if n.startswith(coupler)) / counted
    print(f"    {'coupler, all together (aim 3 %)':44s}{'':12s}{share:8.1%}")


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
    parts = ("coupling", "restart", "channel", "scaling")
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
