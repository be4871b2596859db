"""A scheme that shows what the other side got, for the tests of the C and Fortran library."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import numpy as np

from coupler.interface.component import (
    Arrays,
    Flux,
    Host,
    Now,
    Params,
    Tendency,
    flux_of,
    gives,
    reads,
    tendencies_of,
)
from coupler.interface.registry import scheme

SLOW, RAISE, INFINITE = -1.0, -2.0, -3.0
"""Values of ps in the first column, and what the scheme then does."""


@scheme("test_bridge", "mirror")
class Mirror(Tendency):
    """Level, interface and column fields, each from the inputs by one rounded operation."""

    class Parameters(Params):
        factor: float = 2.0

    inputs = reads("ua ta ps")
    tendencies = tendencies_of("ua")
    fluxes: ClassVar[tuple[Flux, ...]] = (flux_of("ua", "xgwdparam"),)
    diagnostics = gives("prc prl")

    def setup(self, host: Host) -> None:
        self._calls = np.zeros(1)

    def memory(self) -> dict[str, Any]:
        return {"calls": self._calls}

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        self._calls += 1.0
        first = float(x.ps[0])
        if first == SLOW:
            time.sleep(1.0)
        if first == RAISE:
            raise ValueError("no such physics")
        tend.ua[...] = x.ua * self.p.factor
        flux.xgwdparam[1:] = x.ta
        flux.xgwdparam[0] = x.ps
        diag.prc[...] = self._calls[0]
        diag.prl[...] = now.step + now.seconds + now.dt + now.date.month
        if first == INFINITE:
            tend.ua[-1, -1] = np.inf
