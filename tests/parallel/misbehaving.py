"""A server in a process of its own, with a scheme that can be told to misbehave.

    python misbehaving.py SOCKET [spin]

Prints ``ready`` and serves until its standard input ends. The first value of the temperature says
what the scheme does beside its sums: see `MISBEHAVE`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

from coupler.exchange import sockets
from coupler.exchange.server import Server
from coupler.interface.component import (
    Array,
    Arrays,
    Host,
    Now,
    Params,
    Tendency,
    flux_of,
    reads,
    tendencies_of,
)
from coupler.interface.errors import ContractError, UnstableError
from coupler.interface.fields import COLUMN, Field

GOOD, NAN, BREAK_OFF, UNSTABLE, SLEEP, DIE = 250.0, 1.0, 2.0, 3.0, 4.0, 5.0
"""What the first temperature asks for."""
LONG = 30.0
"""Time that `SLEEP` takes [s]: far longer than any deadline of a test."""


class Waves(Tendency):
    """Some numbers that depend on every input, on the columns one by one, and on its memory."""

    process, scheme = "gravity_wave", "made_up"

    class Parameters(Params):
        speed: float = 7.0

    inputs = reads("ua ta lat", optional="orog", pfull="hPa")
    tendencies = tendencies_of("ta")
    fluxes = (flux_of("ua", "xgwdparam"),)
    diagnostics = (
        Field(name="calls_seen", standard_name=None, long_name="Calls", units="1", dims=COLUMN),
    )

    def setup(self, host: Host) -> None:
        if host.nlev == 13:
            raise ContractError.of("no taste for levels", "made_up", found="13")
        self._calls = np.zeros(host.ncol)
        self._lat = host.static["lat"]

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        self._calls += 1.0
        asked = float(x.ta[0, 0])
        if asked == BREAK_OFF:
            raise ValueError("no\nwaves today")
        if asked == UNSTABLE:
            raise UnstableError.of("too windy", "ua", found="400", remedy="go inside")
        if asked == SLEEP:
            time.sleep(LONG)
        if asked == DIE:
            os._exit(3)
        tend.ta[...] = x.ta * now.dt * self.p.speed + x.pfull
        flux.xgwdparam[:-1] = x.ua * np.cos(np.radians(self._lat + x.lat)) + now.date.day
        flux.xgwdparam[-1] = self._calls
        if "orog" in x:
            flux.xgwdparam[-1] += x.orog
        diag.calls_seen[...] = self._calls
        if asked == NAN:
            tend.ta[0, 0] = np.nan

    def counts(self) -> dict[str, int]:
        return {"seen": int(self._calls[0])}

    def memory(self) -> dict[str, Array]:
        return {"calls": self._calls}


def main(path: str, spin: str = "5e-5") -> None:
    server = Server(
        sockets.listen(Path(path)),
        Waves,
        process=Waves.process,
        scheme=Waves.scheme,
        fingerprint="f" * 64,
        spin=float(spin),
        join=2.0,
    )
    threading.Thread(target=lambda: (sys.stdin.read(), server.stop()), daemon=True).start()
    print("ready", flush=True)
    server.run()
    Path(path).unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
