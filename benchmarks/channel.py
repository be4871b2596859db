"""What it costs to call a scheme in another process: ``python -m benchmarks.channel [PART ...]``.

    null      a call that does nothing: sleeping and spinning [us]
    network   8192 columns x 491 float32 features through networks of 0.3 and 10 million weights,
              beside the same call in this process, in turns
    growth    resident memory of both sides over --calls calls sharing   four clients of one server
    beside four processes with a network each, on the same cores

Times are medians and percentiles over calls, ratios those of pairs of neighbouring calls. On a busy
machine look at the smallest values: others' work can only add.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from multiprocessing.synchronize import Barrier
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cftime
import numpy as np

from coupler.exchange import sockets
from coupler.exchange.channel import Answer
from coupler.exchange.remote import Member, Remote, Terms
from coupler.exchange.server import Server
from coupler.interface.component import Arrays, Host, Now, Tendency, reads, tendencies_of
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels

WIDTHS = {"0.3 M weights": (256, 4), "10 M weights": (1700, 5)}
"""Width and number of layers of the networks."""
LEVELS = 122
"""Four fields on 122 levels and three of the column are 491 features, as in Mansfield and
Sheshadri's and Gupta's networks for gravity waves in ERA5."""
COLUMNS = 8192
PLENTY = Terms(deadline=600.0, greeting=300.0)


class Null(Tendency):
    """Does nothing."""

    process, scheme = "gravity_wave", "null"
    inputs = reads("ts")
    tendencies = tendencies_of("ta")

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """Nothing."""


class Net(Tendency):
    """A plain network on all fields of a column."""

    process, scheme = "gravity_wave", "network"
    inputs = reads("ua va ta hus lat lon orog")
    tendencies = tendencies_of("ua va")
    fills = True
    size = WIDTHS["0.3 M weights"]

    def setup(self, host: Host) -> None:
        import torch
        from torch import nn

        torch.manual_seed(1)
        width, layers = self.size
        sizes = [4 * host.nlev + 3, *[width] * (layers - 1), 2 * host.nlev]
        parts: list[nn.Module] = []
        for n, m in pairwise(sizes):
            parts += [nn.Linear(n, m), nn.ReLU()]
        self._network = nn.Sequential(*parts[:-1]).requires_grad_(False)
        self._features = torch.zeros(sizes[0], host.ncol)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        import torch

        f, k = self._features, x.ua.shape[0]
        for i, name in enumerate(("ua", "va", "ta", "hus")):
            f[i * k : (i + 1) * k] = torch.from_numpy(getattr(x, name))
        for i, name in enumerate(("lat", "lon", "orog")):
            f[4 * k + i] = torch.from_numpy(getattr(x, name))
        with torch.inference_mode():
            y = self._network(f.T)
        torch.from_numpy(tend.ua).copy_(y[:, :k].T)
        torch.from_numpy(tend.va).copy_(y[:, k:].T)


class BigNet(Net):
    """Ten million weights."""

    scheme = "big_network"
    size = WIDTHS["10 M weights"]


def _serve(path: str, cls: type[Tendency], spin: float, threads: int, cores: list[int]) -> None:
    from coupler.parallel.threads import prepare

    os.sched_setaffinity(0, cores)
    prepare(threads)
    server = Server(
        sockets.listen(Path(path)), cls, process=cls.process, scheme=cls.scheme, spin=spin
    )
    server.run()


@contextmanager
def serving(
    cls: type[Tendency], *, spin: float, threads: int = 1, cores: list[int] | None = None
) -> Iterator[tuple[Path, int]]:
    """A server process; the path of its socket and its number."""
    cores = cores or sorted(os.sched_getaffinity(0))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "s.sock"
        process = mp.get_context("spawn").Process(
            target=_serve, args=(str(path), cls, spin, threads, cores)
        )
        process.start()
        while not path.exists():
            time.sleep(0.01)
        try:
            yield path, process.pid or 0
        finally:
            process.kill()
            process.join()


def host(ncol: int, nlev: int) -> Host:
    levels = HybridLevels.sigma(nlev)
    static = {n: np.zeros(ncol, np.float32) for n in ("lat", "lon", "orog")}
    return Host(
        grid=Grid.column(count=ncol),
        levels=levels,
        planet=Planet(),
        dtype=np.dtype("f4"),
        seed=0,
        static=static,
    )


def client(
    path: Path, cls: type[Tendency], of: Host, spin: float, member: Member | None = None
) -> Remote:
    remote = Remote(
        cls(),
        lambda: sockets.connect(path),
        terms=Terms(deadline=PLENTY.deadline, greeting=PLENTY.greeting, spin=spin),
        available=[port.name for port in cls.inputs],
        member=member,
    )
    remote.setup(of)
    return remote


def fields(cls: type[Tendency], of: Host) -> tuple[Arrays, Arrays]:
    """Inputs and tendencies of a scheme."""
    rng = np.random.default_rng(2)
    x = {
        port.name: rng.standard_normal(of.empty(*port.field.dims).shape).astype(of.dtype)
        for port in cls.inputs
    }
    return Arrays(**x), Arrays(**{n: of.empty("level", "column") for n in cls.tendencies})


def now() -> Now:
    return Now(date=cftime.datetime(2000, 1, 1), step=0, seconds=0.0, dt=600.0)


def _times(call: Callable[[], Any], repeat: int) -> np.ndarray:
    spent = np.zeros(repeat)
    for i in range(repeat):
        begin = time.perf_counter()
        call()
        spent[i] = time.perf_counter() - begin
    return spent


def _row(name: str, spent: np.ndarray, unit: float) -> None:
    low, middle, high = np.percentile(spent, [1, 50, 99]) / unit
    print(f"{name:<46}{spent.min() / unit:10.1f}{low:10.1f}{middle:10.1f}{high:10.1f}")


def null(repeat: int) -> None:
    """A call that does nothing."""
    cores = sorted(os.sched_getaffinity(0))
    apart = ([cores[0]], [cores[-1]])
    print(f"{'null call [us]':<46}{'min':>10}{'p1':>10}{'median':>10}{'p99':>10}")
    of, moment = host(2, 2), now()
    x, tend = fields(Null, of)
    empty = Arrays()
    for name, spin in (
        ("sleeping", 0.0),
        ("spinning 50 us, then sleeping", 50e-6),
        ("spinning", 1.0),
    ):
        with serving(Null, spin=spin, cores=apart[1]) as (path, _):
            os.sched_setaffinity(0, apart[0])
            remote = client(path, Null, of, spin)
            channel = remote._channel
            assert channel is not None

            def bare(channel: Any = channel) -> None:
                channel.post(moment)
                assert channel.wait(60.0) is Answer.DONE

            _times(bare, repeat // 10)
            _row(f"channel, {name}", _times(bare, repeat), 1e-6)

            def whole(remote: Remote = remote) -> None:
                remote.compute(x, tend, empty, empty, moment)

            _row(f"scheme, {name}", _times(whole, repeat), 1e-6)
            remote.close()
            os.sched_setaffinity(0, cores)
    _row("a plain socket, one byte there and back", _echo(repeat, apart), 1e-6)


def _echo(repeat: int, apart: tuple[list[int], list[int]]) -> np.ndarray:
    import socket

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = mp.get_context("fork").Process(target=_answer, args=(theirs, ours, apart[1]))
    process.start()
    theirs.close()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, apart[0])

    def call() -> None:
        ours.send(b"x")
        ours.recv(16)

    spent = _times(call, repeat)
    os.sched_setaffinity(0, before)
    ours.close()
    process.join()
    return spent


def _answer(theirs: Any, ours: Any, cores: list[int]) -> None:
    os.sched_setaffinity(0, cores)
    ours.close()
    while theirs.recv(16):
        theirs.send(b"x")


def _cost(call: Callable[[], Any], pid: int) -> tuple[float, float]:
    """Time of a call, and processor time of this process and another [s]."""
    clock = ((~pid) << 3) | 2  # Linux: the processor-time clock of a process
    wall, cpu = time.perf_counter(), time.process_time() + time.clock_gettime(clock)
    call()
    cpu = time.process_time() + time.clock_gettime(clock) - cpu
    return time.perf_counter() - wall, cpu


def _percent(ratio: float) -> str:
    return f"{100.0 * (ratio - 1.0):+.1f} %"


def network(repeat: int) -> None:
    """8192 columns x 491 features."""
    from coupler.parallel.threads import prepare

    prepare(1)
    of, moment, empty = host(COLUMNS, LEVELS), now(), Arrays()
    print(
        f"\n{'8192 columns x 491 features [ms]':<46}{'min':>10}{'p1':>10}{'median':>10}{'p99':>10}"
    )
    for name, cls in (("0.3 M weights", Net), ("10 M weights", BigNet)):
        own = cls()
        own.setup(of)
        x, here = fields(cls, of)
        _, there = fields(cls, of)
        with serving(cls, spin=50e-6) as (path, pid):
            copied, placed = (client(path, cls, of, 50e-6) for _ in range(2))
            slots, answers, _, _ = placed.in_place()
            for port, array in x.items():
                np.copyto(slots[port], array)
            ways = {
                "in this process": partial(own.compute, x, here, empty, empty, moment),
                "through shared memory": partial(copied.compute, x, there, empty, empty, moment),
                "the same, host's arrays there": partial(
                    placed.compute, Arrays(**slots), Arrays(**answers), empty, empty, moment
                ),
            }
            spent = np.array([[_cost(f, pid) for f in ways.values()] for _ in range(repeat + 1)])
            wall, cpu = np.moveaxis(spent[1:], 2, 0)
            same = all(
                np.array_equal(getattr(here, n), found)
                for n in cls.tendencies
                for found in (getattr(there, n), answers[n])
            )
            copied.close()
            placed.close()
        for i, way in enumerate(ways):
            _row(f"{name}, {way}", wall[:, i], 1e-3)
            if i:
                print(
                    f"    extra: {_percent(np.median(wall[:, i] / wall[:, 0]))} (median of pairs), "
                    f"{_percent(wall[:, i].min() / wall[:, 0].min())} (minima); processor time of "
                    f"both sides: {_percent(np.median(cpu[:, i] / cpu[:, 0]))}, "
                    f"{_percent(cpu[:, i].min() / cpu[:, 0].min())}; same bits: {same}"
                )


def growth(calls: int) -> None:
    """Resident memory over many calls."""
    of, moment = host(2, 2), now()
    with serving(Null, spin=50e-6) as (path, pid):
        channel = client(path, Null, of, 50e-6)._channel
        assert channel is not None

        def resident(of: int) -> float:
            pages = int(Path(f"/proc/{of}/statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

        def some(n: int) -> None:
            for _ in range(n):
                channel.post(moment)
                channel.wait(60.0)

        some(min(calls // 10, 10_000))
        before = resident(os.getpid()), resident(pid)
        some(calls)
        after = resident(os.getpid()), resident(pid)
        print(f"\nresident memory over {calls:.0e} calls [MB]")
        for side, b, a in zip(("client", "server"), before, after, strict=True):
            print(f"    {side}: {b:.2f} -> {a:.2f}")
        channel.close()


def _pss(pids: list[int]) -> float:
    """Memory of processes [MB], shared pages counted once."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1e3


def _rank(
    path: str, i: int, ranks: int, ncol: int, steps: int, barrier: Barrier, spent: Any
) -> None:
    from coupler.parallel.threads import prepare

    prepare(1)
    of = host(ncol, LEVELS)
    scheme: Tendency
    if path:
        member = Member(group="ranks", members=ranks, member=i)
        scheme = client(Path(path), BigNet, of, 50e-6, member)
    else:
        scheme = BigNet()
        scheme.setup(of)
    x, tend = fields(BigNet, of)
    empty, moment = Arrays(), now()
    for step in range(steps):
        moment.step = step
        barrier.wait()
        begin = time.perf_counter()
        scheme.compute(x, tend, empty, empty, moment)
        barrier.wait()
        spent[step * ranks + i] = time.perf_counter() - begin
    barrier.wait()
    barrier.wait()  # memory is looked at in between


def sharing(ranks: int, steps: int) -> None:
    """Clients of one server beside as many copies."""
    cores = sorted(os.sched_getaffinity(0))
    ncol = COLUMNS // ranks
    print(f"\n{ranks} ranks x {ncol} columns, 10 M weights, {len(cores)} cores")
    context = mp.get_context("spawn")

    def run(path: str, extra: list[int]) -> tuple[np.ndarray, float]:
        barrier = context.Barrier(ranks + 1)
        spent = context.Array("d", steps * ranks)
        processes = [
            context.Process(target=_rank, args=(path, i, ranks, ncol, steps, barrier, spent))
            for i in range(ranks)
        ]
        for process in processes:
            process.start()
        for _ in range(2 * steps + 1):
            barrier.wait()
        memory = _pss([process.pid or 0 for process in processes] + extra)
        barrier.wait()
        for process in processes:
            process.join()
        return np.array(spent[:]).reshape(steps, ranks).max(axis=1), memory

    copies, memory = run("", [])
    with serving(BigNet, spin=50e-6, threads=len(cores)) as (path, pid):
        shared, memory_shared = run(str(path), [pid])
    for name, spent, size in (
        ("a copy each", copies, memory),
        ("one server", shared, memory_shared),
    ):
        print(
            f"    {name:<14}{np.median(spent[1:]) * 1e3:9.0f} ms a step "
            f"({COLUMNS / np.median(spent[1:]):8.0f} columns/s), memory {size:7.0f} MB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("null", "network", "growth", "sharing")
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(parts))
    parser.add_argument("--repeat", type=int, default=20_000, help="null calls")
    parser.add_argument("--steps", type=int, default=10, help="calls of networks")
    parser.add_argument(
        "--calls", type=int, default=1_000_000, help="calls for the growth of memory"
    )
    args = parser.parse_args()
    chosen = args.parts or parts
    if "null" in chosen:
        null(args.repeat)
    if "network" in chosen:
        network(args.steps)
    if "growth" in chosen:
        growth(args.calls)
    if "sharing" in chosen:
        sharing(4, args.steps)


if __name__ == "__main__":
    main()
