"""Clients of `misbehaving`: columns, greetings, and a server to talk to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cftime
import misbehaving
import numpy as np

from coupler.exchange import groups, sockets
from coupler.exchange import protocol as p
from coupler.exchange.remote import Remote, Terms
from coupler.interface.component import Arrays, Host, Now
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels

ROOT = Path(__file__).resolve().parents[2]
NLEV, NCOL = 5, 7
LEVELS = HybridLevels.sigma(NLEV)
AVAILABLE = ("ua", "ta", "pfull", "lat")
QUICK = Terms(deadline=20.0, greeting=30.0)
"""Far more than anything here takes, so that a busy machine fails no test."""


def host(ncol: int = NCOL, dtype: str = "f8", levels: HybridLevels = LEVELS) -> Host:
    lat = np.linspace(-80.0, 77.0, ncol)
    return Host(
        grid=Grid.column(count=ncol),
        levels=levels,
        planet=Planet(gravity=9.5),
        dtype=np.dtype(dtype),
        seed=3,
        static={"lat": lat.astype(dtype), "lon": np.zeros(ncol, dtype)},
    )


def now(step: int = 0) -> Now:
    date = cftime.datetime(2001, 2, 1 + step % 28, calendar="noleap")
    return Now(date=date, step=step, seconds=600.0 * step, dt=600.0)


def columns(asked: float = misbehaving.GOOD, *, of: Host | None = None, seed: int = 1) -> Arrays:
    """Inputs; the first temperature tells the scheme what to do."""
    h = of or host()
    rng = np.random.default_rng(seed)
    x = {n: rng.standard_normal((h.nlev, h.ncol)).astype(h.dtype) for n in ("ua", "ta", "pfull")}
    x["ta"][0, 0] = asked
    return Arrays(**x, lat=h.static["lat"])


def outputs(of: Host | None = None) -> tuple[Arrays, Arrays, Arrays]:
    h = of or host()
    return (
        Arrays(ta=h.empty("level", "column")),
        Arrays(xgwdparam=h.empty("interface", "column")),
        Arrays(calls_seen=h.empty("column")),
    )


def call(scheme: Any, x: Arrays, step: int = 0) -> dict[str, np.ndarray]:
    """What a scheme answers."""
    of = host(x.ua.shape[1], x.ua.dtype.str)
    out = outputs(of)
    for group in out:
        for _, array in group.items():
            array.fill(0.0)
    scheme.compute(x, *out, now(step))
    return {n: a for group in out for n, a in group.items()}


def inline(of: Host | None = None) -> misbehaving.Waves:
    """The same scheme in this process."""
    scheme = misbehaving.Waves()
    scheme.setup(of or host())
    return scheme


def hello(**other: Any) -> p.Hello:
    """A greeting that the server accepts, unless told otherwise."""
    scheme = misbehaving.Waves()
    what: dict[str, Any] = {
        "ncol": NCOL,
        "dtype": np.dtype("f8"),
        "a": LEVELS.a.tolist(),
        "b": LEVELS.b.tolist(),
        "calendar": "noleap",
        "process": "gravity_wave",
        "scheme": "made_up",
        "static": ("lat",),
        "offers": (*groups.inputs_of(scheme, AVAILABLE), *groups.outputs_of(scheme)),
    }
    return p.Hello(**{**what, **other})


class Serving:
    """A server process."""

    def __init__(self, path: Path, spin: float = 50e-6) -> None:
        self.path = path
        self.process = subprocess.Popen(
            [sys.executable, misbehaving.__file__, str(path), str(spin)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        if said != "ready\n":
            self.kill()
            raise AssertionError(f"the server did not start: {said!r}")

    def remote(self, terms: Terms = QUICK, **more: Any) -> Remote:
        """A client that is not set up yet."""
        return Remote(
            misbehaving.Waves(),
            lambda: sockets.connect(self.path),
            terms=terms,
            available=AVAILABLE,
            calendar="noleap",
            fingerprint="f" * 64,
            **more,
        )

    def client(self, terms: Terms = QUICK, of: Host | None = None, **more: Any) -> Remote:
        """A client that is connected."""
        remote = self.remote(terms, **more)
        remote.setup(of or host())
        return remote

    def stop(self) -> int:
        """Ends it in order; its exit status."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        status = self.process.wait(30.0)
        self.process.stdout.close()
        return status

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


@contextmanager
def serving(path: Path, spin: float = 50e-6) -> Iterator[Serving]:
    """A server that is gone afterwards."""
    server = Serving(path, spin)
    try:
        yield server
    finally:
        server.kill()
