"""Ways to run one case: on how many ranks, and where the gravity waves are computed."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from team import PATIENCE, Wire, on_ranks, wires
from tiny import changed

from coupler import Simulation
from coupler.config import with_changes
from coupler.driver import services
from coupler.exchange import answering

TRANSPORTS = ("inline", "worker", "mpi")


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

    here, there = wires(way.ranks)
    served = threading.Thread(target=_serve, args=(there, raw, how.get("swap")))
    if way.transport == "mpi":
        served.start()

    def work(parallel: Any) -> None:
        parallel.services = {"gravity_wave": here[parallel.rank]}
        try:
            simulation = Simulation.from_case(raw, out=out, parallel=parallel, **how)
            try:
                simulation.run(days, quiet=True)
            finally:
                simulation.close()
        finally:
            here[parallel.rank].tell((answering.END, 0))

    on_ranks(way.ranks, work)
    if way.transport == "mpi":
        served.join(PATIENCE)
        assert not served.is_alive()
    return out


def _serve(clients: list[Wire], raw: dict[str, Any], swap: dict[str, str] | None) -> None:
    """What a rank of the job does that computes the waves; ``test_mpi_jobs`` has real ones."""
    whole, _ = with_changes(raw, swap=swap)
    answering.serve(clients, lambda: services.build("gravity_wave", whole, Path()))
