"""Dry Held-Suarez steps of Isthmus against the public `dinosaur` (JAX), one after the other.

    python -m benchmarks.peers [--setups T42L25] [--schemes leapfrog sil3] [--rounds 7]

The first call installs the peer into an environment of its own (``--install`` makes it again); the
table then takes about five minutes on an idle machine. Each set-up has the same grid, levels and
time step in both, float32, on the same two cores: the peer with its threads, Isthmus as two ranks
of one thread each (or ``--ranks 1``). All processes are started and warmed up, and then take a
block of steps in turn (A B C A B C ...), the others asleep; what counts is the ratio of the medians
of the blocks. What a step of the peer does is dynamics and forcing: ``ours`` is the same, the core
with the two schemes of the case; ``coupled`` is the whole step of the coupler around it, with its
checks, budgets, heights and clock. ``start`` is the time from the start of the process to the end
of its first step, ``compile`` the peer's share of it that is compilation; kernels of Isthmus are
compiled once after installation and cached, which is not counted.

On a machine that does other things too, the ratios of neighbouring blocks are printed with their
quartiles; a table to be quoted wants an idle one.
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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()
HERE = Path(__file__).resolve().parent
HOME = Path.home() / ".cache" / "isthmus" / "peers"
PEER = "dinosaur==1.5.1"
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
SETUPS = {"T31L8": (31, 8, 30.0), "T42L25": (42, 25, 20.0), "T85L25": (85, 25, 10.0)}
STEPS = {"T31L8": 48, "T42L25": 12, "T85L25": 6}
"""Of a block."""


def install(home: Path) -> None:
    """Makes the peer's environment: JAX and torch side by side in one only cost memory."""
    print(f"installing {PEER} into {home}, once", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    subprocess.run([str(home / "bin" / "pip"), "install", "--quiet", PEER], check=True)


def case(truncation: int, layers: int, minutes: float) -> dict[str, Any]:
    """The dry Held-Suarez case in the peer's resolution."""
    return {
        "title": "peers",
        "start": "2000-01-01",
        "days": 1000,
        "atmosphere": {
            "scheme": "spectral",
            "truncation": truncation,
            "levels": f"sigma{layers}",
            "dt": f"{minutes:g} min",
            "initial": "held_suarez",
            "moist": False,
        },
        "physics": {"radiation": "held_suarez", "boundary_layer": "held_suarez"},
    }


def forced_core(model: Any) -> Callable[[], None]:
    """A step of the dynamics with the forcing of the case, and nothing else."""
    from coupler.interface.component import Arrays

    suite, now, core = model.suite, model.clock.now, model.atmosphere.core
    columns = model.atmosphere.columns()
    shape = (-1, *suite.host.grid.shape)
    calls, forcing = [], {}
    for process in suite.processes:
        for bound in process.schemes:
            x = Arrays(**{name: suite.start.get(name, array) for name, array in bound.x.items()})
            calls.append((bound.component.compute, x, bound.tend, bound.flux, bound.diag))
            used = "ta" if process.name == "radiation" else "ua va"
            forcing |= {of: getattr(bound.tend, of).reshape(shape) for of in used.split()}

    def step() -> None:
        core.pressure_and_height(columns)
        now.dt = core.physics_dt()
        for compute, *arguments in calls:
            compute(*arguments, now)
        core.step(forcing)

    return step


def told(world: Any, steps: int) -> int:
    """What rank 0 was asked for, on every rank; those that wait leave the cores to the peer."""
    if world.rank == 0:
        for rank in range(1, world.size):
            world.send(steps, rank)
        return steps
    while not world.Iprobe(0):
        time.sleep(5e-4)
    return int(world.recv(None, 0))


def steps_of_isthmus(name: str) -> None:
    """The child process: steps on demand, as ``peer_dinosaur.py`` takes them.

    A negative number asks for so many coupled steps.
    """
    from coupler import Simulation
    from coupler.driver import loop

    options: dict[str, Any] = {}
    world = None
    if "OMPI_COMM_WORLD_SIZE" in os.environ or "PMI_SIZE" in os.environ:
        from mpi4py import MPI

        from coupler.parallel import mpi

        world, options = MPI.COMM_WORLD, {"parallel": mpi.world()}
    first = world is None or world.rank == 0
    with tempfile.TemporaryDirectory() as folder:
        raw = case(*SETUPS[name])
        model = Simulation.from_case(raw, out=Path(folder) / "run", **options).model
        loop.step(model)
        forced = forced_core(model)
        if first:
            from importlib import metadata

            versions = {n: metadata.version(n) for n in ("torch", "numba", "numpy")}
            ready = {"versions": versions, "start": time.perf_counter() - STARTED, "compile": 0.0}
            print(json.dumps(ready), flush=True)
        while True:
            steps = int(sys.stdin.readline() or 0) if first else 0
            steps = steps if world is None else told(world, steps)
            if not steps:
                return
            begin = time.perf_counter()
            if steps < 0:
                loop.run(model, -steps, lambda _: True)
            else:
                for _ in range(steps):
                    forced()
            seconds = (time.perf_counter() - begin) / abs(steps)
            if first:
                print(json.dumps({"step": seconds}), flush=True)


@dataclass(kw_only=True)
class Child:
    """A process that takes steps on demand."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]

    @classmethod
    def started(cls, command: list[str], environment: dict[str, str]) -> Child:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        child = cls(process=process, ready={})
        child.ready = child.answer()
        return child

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"peers: {self.process.args!r} ended with {self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def step(self, steps: int) -> float:
        """Milliseconds of a step."""
        assert self.process.stdin is not None
        print(steps, file=self.process.stdin, flush=True)
        return 1e3 * float(self.answer()["step"])

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        if self.process.wait(60):
            raise SystemExit(f"peers: {self.process.args!r} failed")


def ours(name: str, ranks: int) -> Child:
    command = [sys.executable, str(HERE / "peers.py"), "--child", name]
    if ranks > 1:
        command = [str(MPIEXEC), "-n", str(ranks), *command]
    path = os.pathsep.join(p for p in (str(HERE.parent), os.environ.get("PYTHONPATH")) if p)
    return Child.started(command, {"ISTHMUS_THREADS": "1", "PYTHONPATH": path})


def theirs(name: str, scheme: str, home: Path) -> Child:
    truncation, layers, minutes = SETUPS[name]
    command = [str(home / "bin" / "python"), str(HERE / "peer_dinosaur.py")]
    command += ["--truncation", str(truncation), "--layers", str(layers)]
    command += ["--minutes", str(minutes), "--scheme", scheme]
    return Child.started(command, {})


def compare(name: str, one: Child, scheme: str, options: argparse.Namespace) -> dict[str, str]:
    """One row of the table."""
    other, steps = theirs(name, scheme, options.home), options.steps or STEPS[name]
    turns = (one, steps), (other, steps), (one, -steps)
    times: tuple[list[float], ...] = [], [], []
    for turn in range(options.rounds + 1):
        for (child, number), found in zip(turns, times, strict=True):
            milliseconds = child.step(number)
            if turn:
                found.append(milliseconds)
    other.end()
    medians = [statistics.median(t) for t in times]
    ratios = [b / a for a, b in zip(*times[:2], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    a, b = one.ready, other.ready
    return {
        "set-up": name,
        "peer": f"{PEER.replace('==', ' ')} {scheme}",
        "ours [ms]": f"{medians[0]:.2f}",
        "peer [ms]": f"{medians[1]:.2f}",
        "coupled [ms]": f"{medians[2]:.2f}",
        "ratio of medians": f"{medians[1] / medians[0]:.2f}",
        "of coupled": f"{medians[1] / medians[2]:.2f}",
        "paired ratios, quartiles": f"{low:.2f} {middle:.2f} {high:.2f}",
        "start, ours [s]": f"{a['start']:.1f}",
        "start, peer [s]": f"{b['start']:.1f} (compile {b['compile']:.1f})",
        "versions": json.dumps(a["versions"] | b["versions"]),
    }


def machine() -> str:
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return f"{model}, {os.cpu_count()} cores, load {load}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=HOME, help="of the peer's environment")
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--setups", nargs="+", choices=SETUPS, default=list(SETUPS))
    parser.add_argument(
        "--schemes", nargs="+", choices=("leapfrog", "sil3"), default=["leapfrog", "sil3"]
    )
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="steps of one block, a multiple of 6")
    parser.add_argument("--child", choices=SETUPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        steps_of_isthmus(options.child)
        return
    if options.ranks > 1 and MPIEXEC is None:
        parser.error("no mpiexec for --ranks 2; use --ranks 1")
    if options.install or not (options.home / "bin" / "python").exists():
        install(options.home)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    print(f"{machine()}; {options.ranks} rank(s) of Isthmus, two cores for both\n")
    rows = []
    for name in options.setups:
        one = ours(name, options.ranks)
        for scheme in options.schemes:
            row = compare(name, one, scheme, options)
            versions = row.pop("versions")
            if not rows:
                print("| " + " | ".join(row) + " |\n|" + "---|" * len(row))
            print("| " + " | ".join(row.values()) + " |", flush=True)
            rows.append(row)
        one.end()
    print(f"\nversions: {versions}; load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
