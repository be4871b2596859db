"""Time of a call through the C and Fortran library, beside other ways to make the same call.

python -m benchmarks.fortran_bridge [--calls 3000]

Builds the library and a Fortran program in a temporary folder. The table gives the shortest,
median and 99th percentile time in microseconds: a null call (one column, a scheme that does
nothing) with both sides sleeping and both spinning; 16 and 1024 columns through a network of 240
features and 3 x 256 nodes beside the same scheme called from Python on one thread, as the server
and the embedded interpreter have it; a scheme of the same fields that does nothing, which leaves
the bridge's own share, with real64 and real32 arrays of the host and with fields in the shared
memory; the embedded interpreter; a plain Unix-domain socket that copies the same bytes; one to
four ranks on one server; and packing in gigabytes read and written per second. With fewer free
cores than processes the times of spinning say little.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import torch

from coupler.driver.discovery import load_file
from coupler.interface.component import Arrays, Host, Now
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels
from coupler.interface.registry import SCHEMES
from fortran_bridge.build import build

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LEVELS = 60
"""Four fields of so many levels are 240 features."""
PLUGIN = '''
import numpy as np
import torch
from coupler.interface.component import Tendency, reads, tendencies_of
from coupler.interface.registry import scheme


@scheme("benchmark", "null")
class Null(Tendency):
    """Nothing."""
    inputs = reads("ua")
    tendencies = tendencies_of("ua")

    def compute(self, x, tend, flux, diag, now):
        pass


@scheme("benchmark", "fields")
class Fields(Null):
    """Nothing, with the fields of the network."""
    inputs = reads("ua va ta hus")
    tendencies = tendencies_of("ua va")


@scheme("benchmark", "network")
class Network(Tendency):
    """240 features, three layers of 256, two fields of 60 levels."""
    inputs = reads("ua va ta hus")
    tendencies = tendencies_of("ua va")

    def setup(self, host):
        torch.manual_seed(0)
        sizes = (240, 256, 256, 256, 120)
        layers = []
        for n, m in zip(sizes[:-1], sizes[1:]):
            layers += [torch.nn.Linear(n, m), torch.nn.SiLU()]
        self.network = torch.nn.Sequential(*layers[:-1])
        self.x = np.zeros((240, host.ncol), np.float32)

    def compute(self, x, tend, flux, diag, now):
        for i, a in enumerate((x.ua, x.va, x.ta, x.hus)):
            self.x[60 * i : 60 * i + 60] = a
        with torch.inference_mode():
            y = self.network(torch.from_numpy(self.x).T).T.numpy()
        tend.ua[...], tend.va[...] = y[:60], y[60:]
'''


def show(what: str, seconds: np.ndarray) -> float:
    """One line of the table; returns the shortest time [us], which other load disturbs least."""
    us = 1e6 * np.sort(seconds)
    middle, high = float(np.median(us)), float(us[int(0.99 * (us.size - 1))])
    print(f"{what:44s} {us[0]:10.1f} {middle:10.1f} {high:10.1f}", flush=True)
    return float(us[0])


def timed(call: Callable[[], object], repeat: int) -> np.ndarray:
    """Wall times of calls [s]."""
    found = np.empty(repeat)
    for i in range(repeat):
        began = time.perf_counter()
        call()
        found[i] = time.perf_counter() - began
    return found


class Bench:
    """A folder with the program and the servers that it talks to."""

    def __init__(self, folder: Path, calls: int) -> None:
        self.folder, self.calls = folder, calls
        (folder / "plugin.py").write_text(PLUGIN)
        build(folder)
        self.program = folder / "calls"
        source = [str(HERE / "fortran_calls.f90"), str(folder / "lib" / "libisthmus.a")]
        command = ["gfortran", "-O2", f"-I{folder}/include", "-J", str(folder)]
        subprocess.run([*command, "-o", str(self.program), *source], check=True)
        packing = [str(HERE / "pack_bandwidth.c"), "-o", str(folder / "packing")]
        include = f"-I{ROOT}/fortran_bridge/src"
        subprocess.run(["gcc", "-O2", "-std=c11", "-Wno-unused", include, *packing], check=True)
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self.env = os.environ | {"PYTHONPATH": path, "ISTHMUS_PYTHON": sys.executable}

    def named(self, scheme: str) -> str:
        """The scheme as a server or an embedded interpreter finds it."""
        return f"benchmark={self.folder / 'plugin.py'}:{scheme}"

    def serve(self, scheme: str, spin: float) -> tuple[subprocess.Popen[str], Path]:
        """A server and its socket."""
        path = self.folder / f"{scheme}.sock"
        command = [sys.executable, "-m", "coupler", "serve", self.named(scheme)]
        self.lifeline, theirs = socket.socketpair()  # a server does not outlive this process
        command += ["--socket", str(path), "--spin", str(spin), "--lifeline", str(theirs.fileno())]
        server = subprocess.Popen(
            command,
            env=self.env,
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        theirs.close()
        assert server.stdout is not None
        if not server.stdout.readline().startswith("ready"):
            raise SystemExit("the server did not start")
        return server, path

    def ranks(
        self,
        path: Path | str,
        scheme: str,
        ncol: int,
        nlev: int,
        spin: float,
        ranks: int = 1,
        fields: str = "real64",
    ) -> np.ndarray:
        """Times of the calls of the last of some ranks [s]; no path: embedded."""
        running = []
        transport = "shared" if path else "embedded"
        env = self.env | {"ISTHMUS_SOCKET": str(path), "ISTHMUS_TRANSPORT": transport}
        for rank in range(ranks):
            words = [ncol, nlev, self.calls, spin, rank, ranks, self.folder / f"times{rank}"]
            words += [self.named(scheme), fields]
            running.append(subprocess.Popen([self.program, *map(str, words)], env=env))
        if any(p.wait() for p in running):
            raise SystemExit("a rank failed")
        return np.fromfile(self.folder / f"times{ranks - 1}")


def plain_socket(nbytes: int, back: int, repeat: int) -> np.ndarray:
    """Sends so many bytes to another process's stand-in, a thread, and receives some back [s]."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    out, answer = bytearray(nbytes), bytearray(back)

    def echo() -> None:
        got = bytearray(nbytes)
        for _ in range(repeat):
            read(theirs, got)
            theirs.sendall(answer)

    def read(end: socket.socket, into: bytearray) -> None:
        view = memoryview(into)
        while view:
            view = view[end.recv_into(view) :]

    def call() -> None:
        ours.sendall(out)
        read(ours, answer)

    thread = threading.Thread(target=echo)
    thread.start()
    found = timed(call, repeat)
    thread.join()
    ours.close()
    theirs.close()
    return found


def in_python(plugin: Path, ncol: int, repeat: int) -> np.ndarray:
    """The same scheme called from Python on arrays of its own precision [s]."""
    load_file(plugin)
    component: Any = SCHEMES["benchmark"]["network"]()
    host = Host(
        grid=Grid.column(count=ncol),
        levels=HybridLevels.sigma(LEVELS),
        planet=Planet(),
        dtype=np.dtype("float32"),
        seed=0,
    )
    component.setup(host)
    x = Arrays(**{n: host.empty("level", "column") for n in ("ua", "va", "ta", "hus")})
    rng = np.random.default_rng(1)
    for _, array in x.items():
        array[...] = rng.random(array.shape)  # as the Fortran program has them
    tend = Arrays(**{n: host.empty("level", "column") for n in ("ua", "va")})
    now = Now(date=cftime.datetime(2000, 1, 1), step=0, seconds=0.0, dt=1.0)

    def call() -> None:
        component.compute(x, tend, Arrays(), Arrays(), now)

    timed(call, 100)
    return timed(call, repeat)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    calls = parser.parse_args().calls
    torch.set_num_threads(1)
    print(f"{'':44s} {'least':>10s} {'median':>10s} {'99 %':>10s}  [us]")
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), calls)
        for word, spin in (("sleeping", 0.0), ("spinning", 1.0)):
            server, path = bench.serve("null", spin)
            show(f"null call, both sides {word}", bench.ranks(path, "null", 1, 1, spin))
            server.kill()
            server.communicate()
        show("null call, embedded", bench.ranks("", "null", 1, 1, 0.0))
        show("null call, plain socket", plain_socket(8, 8, calls))
        for ncol in (16, 1024):
            found = in_python(bench.folder / "plugin.py", ncol, calls)
            alone = show(f"{ncol} columns, network called from Python", found)
            for word, spin in (("spinning", 1.0), ("sleeping", 0.0)):
                server, path = bench.serve("fields", spin)
                for fields in ("real64", "real32", "slots"):
                    found = bench.ranks(path, "fields", ncol, LEVELS, spin, fields=fields)
                    best = show(f"{ncol} columns, bridge alone, {fields}, {word}", found)
                    print(f"{'':44s} {100 * best / alone:.1f} % of the network")
                server.kill()
                server.communicate()
            for word, spin, ranks in (
                ("spinning", 1.0, 1),
                ("sleeping", 0.0, 1),
                ("50 us of spinning", 50e-6, 1),
                ("50 us of spinning", 50e-6, 2),
                ("50 us of spinning", 50e-6, 4),
            ):
                server, path = bench.serve("network", spin)
                found = bench.ranks(path, "network", ncol // ranks, LEVELS, spin, ranks)
                show(f"{ncol} columns, ranks: {ranks}, {word}", found)
                server.kill()
                server.communicate()
            show(f"{ncol} columns, embedded", bench.ranks("", "network", ncol, LEVELS, 0.0))
            out, back = 240 * ncol * 8, 120 * ncol * 8
            show(f"{ncol} columns, plain socket without network", plain_socket(out, back, calls))
        subprocess.run([bench.folder / "packing"], check=True)


if __name__ == "__main__":
    main()
