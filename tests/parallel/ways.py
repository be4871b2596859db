"""Ways to run one case: on how many ranks, and where the gravity waves are computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from team import on_ranks
from tiny import changed

from coupler import Simulation

TRANSPORTS = ("inline", "worker")


@dataclass(frozen=True)
class Way:
    """One of them."""

    ranks: int
    transport: str

    def __str__(self) -> str:
        return f"{self.ranks}x{self.transport}"


ALL = [Way(ranks, transport) for transport in TRANSPORTS for ranks in (1, 2, 3, 4)]


def another(random: np.random.Generator, before: Way | None) -> Way:
    """A way with another number of ranks and another transport than the one before."""
    fits = [
        w
        for w in ALL
        if before is None or (w.ranks != before.ranks and w.transport != before.transport)
    ]
    return fits[int(random.integers(len(fits)))]


def go(out: Path, raw: dict[str, Any], way: Way, *, days: float | None = None, **how: Any) -> Path:
    """Runs a case for `days`, by default to its end, into a folder."""
    raw = changed(raw, {"where.gravity_wave": way.transport})

    def work(parallel: Any) -> None:
        simulation = Simulation.from_case(raw, out=out, parallel=parallel, **how)
        try:
            simulation.run(days, quiet=True)
        finally:
            simulation.close()

    on_ranks(way.ranks, work)
    return out
