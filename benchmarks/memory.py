"""Resident memory of a run beyond that of the imports: ``python -m benchmarks.memory``.

    python -m benchmarks.memory [--truncation 85] [--layers 25] [--steps 20]
    python -m benchmarks.memory --case cases/slab_earth_t31.yaml [--set KEY=VALUE ...]

Prints MiB: after the imports, after setting up, at the highest, and how much grew over the last
half of the steps. Without ``--case`` it is the dry Held-Suarez case of ``peers.py``.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

from benchmarks.peers import case


def resident() -> float:
    """Resident memory [MiB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def highest() -> float:
    """Highest resident memory so far [MiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--truncation", type=int, default=85)
    parser.add_argument("--layers", type=int, default=25)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--case", type=Path, help="of its own resolution and step")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--limit", type=float, help="fail above so many MiB beyond the imports")
    options = parser.parse_args()

    import coupler.cli  # noqa: F401
    from coupler import Simulation
    from coupler.driver import assemble, loop  # noqa: F401
    from physics.columns import held_suarez  # noqa: F401
    from physics.dynamics import atmosphere  # noqa: F401

    imports = resident()
    with tempfile.TemporaryDirectory() as folder:
        raw = options.case or case(options.truncation, options.layers, options.minutes)
        changes = dict(item.partition("=")[::2] for item in options.set)
        model = Simulation.from_case(raw, set=changes, out=Path(folder) / "run").model
        ready = resident()
        half = options.steps // 2
        loop.run(model, half, lambda _: True)
        middle = resident()
        loop.run(model, options.steps - half, lambda _: True)
    beyond = highest() - imports
    dry = f"T{options.truncation}L{options.layers} float32, dry Held-Suarez"
    print(f"{' '.join([str(options.case), *options.set]) if options.case else dry}, MiB:")
    print(f"  imports                 {imports:8.0f}")
    print(f"  set up, beyond them     {ready - imports:8.0f}")
    print(f"  highest, beyond them    {beyond:8.0f}")
    print(f"  highest, with them      {highest():8.0f}")
    print(f"  grown in {options.steps - half:3d} steps       {resident() - middle:8.1f}")
    if options.limit is not None and beyond > options.limit:
        raise SystemExit(f"memory: {beyond:.0f} MiB, expected at most {options.limit:.0f}")


if __name__ == "__main__":
    main()
