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
    """Runs a case for `days`, by default to its end, into a folder.

    Over ``mpi`` the surface is elsewhere too.
    """
    elsewhere = ("gravity_wave", "surface") if way.transport == "mpi" else ()
    raw = changed(raw, {f"where.{name}": way.transport for name in ("gravity_wave", *elsewhere)})
    whole, _ = with_changes(raw, swap=how.get("swap"))
    links = {name: wires(way.ranks) for name in elsewhere}
    served = [
        threading.Thread(target=_serve, args=(there, name, whole))
        for name, (_, there) in links.items()
    ]
    for thread in served:
        thread.start()

    def work(parallel: Any) -> None:
        own = {name: here[parallel.rank] for name, (here, _) in links.items()}
        parallel.services = own
        try:
            simulation = Simulation.from_case(raw, out=out, parallel=parallel, **how)
            try:
                simulation.run(days, quiet=True)
            finally:
                simulation.close()
        finally:
            for wire in own.values():
                wire.tell((answering.END, 0))

    on_ranks(way.ranks, work)
    for thread in served:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    return out


def _serve(clients: list[Wire], name: str, raw: dict[str, Any]) -> None:
    """What a rank of the job does that computes one thing; ``test_mpi_jobs`` has real ones."""
    answering.serve(clients, lambda: services.build(name, raw, Path()))
