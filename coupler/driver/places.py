"""What of a case runs in another process: what can be wrong with that, and how it is arranged."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from coupler.config import Case, SchemeChoice
from coupler.driver import serving
from coupler.driver.behind import Behind
from coupler.driver.workers import Worker
from coupler.exchange import sockets
from coupler.exchange.remote import Member, Remote, Terms
from coupler.interface.component import Component, Tendency
from coupler.interface.errors import Problem, nearest
from coupler.interface.grid import HybridLevels
from coupler.interface.parallel import ALONE, Parallel
from coupler.where import Place


def place_of(case: Case, process: str) -> Place | None:
    """Where a process runs; None for the run's own process."""
    place = case.where.get(process)
    return None if place is None or place.at == "inline" else place


def place_problems(
    case: Case, components: Mapping[str, Component], record: Sequence[str] = ()
) -> list[Problem]:
    """Everything wrong with where the processes of a case run.

    Args:
        case: the case.
        components: the scheme of each process that could be built.
        record: processes whose scheme is recorded.
    """
    found = [
        Problem(
            what="a place for a process that the case does not have",
            name=f"where.{name}",
            remedy=nearest(name, list(case.physics)),
        )
        for name in case.where
        if name not in case.physics
    ]
    for process, choice in case.physics.items():
        component = components.get(process)
        place = place_of(case, process)
        if component is None:
            continue
        if place is not None:
            found += _wrong(process, choice, place, component)
        if choice.lag and not isinstance(component, Tendency):
            found.append(
                Problem(
                    what="cannot run behind",
                    name=f"{process}={choice.scheme}",
                    expected="a scheme that gives tendencies or fluxes",
                    remedy="leave lag out",
                )
            )
        if choice.lag and process in record:
            found.append(
                Problem(
                    what="cannot record a scheme that runs behind",
                    name=process,
                    remedy="record it with lag: 0",
                )
            )
    return found


def _node() -> str:
    """What the processes have in common that can share memory."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return socket.gethostname() + (boot.read_text().strip() if boot.is_file() else "")


def _wrong(process: str, choice: SchemeChoice, place: Place, component: Component) -> list[Problem]:
    found = []
    if not isinstance(component, Tendency):
        found.append(
            Problem(
                what="cannot run in another process",
                name=f"{process}={choice.scheme}",
                expected="a scheme that gives tendencies or fluxes",
                remedy=f"leave where.{process} out",
            )
        )
    if place.on_failure == "reference" and choice.reference is None:
        found.append(
            Problem(
                what="no reference to take over from the worker",
                name=f"where.{process}.on_failure",
                remedy=f"give {process} a reference, or use stop or hold",
            )
        )
    if place.at != "worker" and "/" not in place.at:
        found.append(
            Problem(
                what="unknown place",
                name=f"where.{process}.at",
                expected="inline, worker, or the path of a socket (with a '/')",
                found=repr(place.at),
                remedy=nearest(place.at, ["inline", "worker"]),
            )
        )
    return found


class Elsewhere:
    """All that runs in other processes, for one run."""

    def __init__(self, case: Case, base: Path, parallel: Parallel = ALONE) -> None:
        """Starts the workers of a case; they load while the run sets up its own models.

        The first rank on a node starts the workers for all ranks there. Called by all ranks.

        Args:
            case: the case, without anything wrong.
            base: folder that relative names of the case are relative to.
            parallel: the ranks of the run.
        """
        self._case, self._base = case, base
        nodes = parallel.collect(_node())
        here = [rank for rank, node in enumerate(nodes) if node == nodes[parallel.rank]]
        first = here[0] == parallel.rank
        self._members = len(here), here.index(parallel.rank)
        self._paths: dict[str, Path] = {}
        self._groups: dict[str, str] = {}
        self.remotes: dict[str, Remote] = {}
        self.workers: dict[str, Worker] = {}
        for process, choice in case.physics.items():
            place = place_of(case, process)
            if place is None or choice.mode == "off":
                continue
            path = base / place.at
            if place.at == "worker" and first:
                self.workers[process] = self._worker(process, choice, place)
                path = self.workers[process].path
            told = parallel.collect((str(path), secrets.token_hex(8)))[here[0]]
            self._paths[process], self._groups[process] = Path(told[0]), told[1]

    def _worker(self, process: str, choice: SchemeChoice, place: Place) -> Worker:
        other = choice.reference
        request = {
            "process": process,
            "scheme": choice.scheme,
            "parameters": choice.parameters,
            "reference": other and {"scheme": other.scheme, "parameters": other.parameters},
            "plugins": self._case.plugins,
            "base": str(self._base.resolve()),
            "spin": place.spin,
        }
        return Worker(f"{process}={choice.scheme}", request, threads=place.threads)

    def place(
        self,
        component: Tendency,
        process: str,
        *,
        levels: HybridLevels,
        available: Iterable[str],
        reference: Component | None,
    ) -> Tendency:
        """A scheme where and when the case wants it.

        Args:
            component: an instance of it; where it runs elsewhere, for what it declares.
            process: its process.
            levels: of the host.
            available: fields that the host has.
            reference: an instance of the process's reference scheme that nobody else uses.
        """
        case, place = self._case, place_of(self._case, process)
        choice = case.physics[process]
        if place is None:
            return Behind(component) if choice.lag else component
        fit = getattr(component, "fit_ports", None)
        if fit is not None:
            fit(levels)
        worker, path = self.workers.get(process), self._paths[process]
        members, member = self._members
        takes_over = place.on_failure == "reference" and isinstance(reference, Tendency)
        remote = self.remotes[process] = Remote(
            component,
            lambda: sockets.connect(path),
            terms=Terms(deadline=place.deadline, spin=place.spin, on_failure=place.on_failure),
            available=available,
            calendar=case.calendar,
            fingerprint=serving.fingerprint(component, getattr(component, "fallback", None)),
            member=Member(
                group=self._groups[process] if members > 1 else "", members=members, member=member
            ),
            reference=cast(Tendency, reference) if takes_over else None,
            fate=worker.fate if worker is not None else str,
        )
        return Behind(remote) if choice.lag else remote

    @contextmanager
    def closed_on_failure(self) -> Iterator[None]:
        """Ends the workers when what is done inside fails."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def complete(self) -> None:
        """Everything is connected: no rank is set up before all ranks of its group have come."""
        for worker in self.workers.values():
            worker.connected()

    def waits(self) -> dict[str, dict[str, float]]:
        """Who waited for whom, by process [s]."""
        return {
            process: {
                "calls": remote.waits.calls,
                "worker_busy_seconds": round(remote.waits.busy, 4),
                "run_waited_seconds": round(remote.waits.host, 4),
                "worker_waited_seconds": round(remote.waits.server, 4),
            }
            for process, remote in self.remotes.items()
        }

    def who_waited(self) -> list[str]:
        """The same in sentences."""
        return [
            f"{process}: {w['calls']} calls in another process took "
            f"{w['worker_busy_seconds']:.2f} s; the run waited {w['run_waited_seconds']:.2f} s for "
            f"them, and the other process {w['worker_waited_seconds']:.2f} s for the run"
            for process, w in self.waits().items()
        ]

    def close(self) -> None:
        """Hangs up and ends the run's own workers; they end with the run in any case."""
        for remote in self.remotes.values():
            remote.close()
        for worker in self.workers.values():
            worker.close()
