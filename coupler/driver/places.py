"""What of a case runs in another process: what can be wrong with that, and how it is arranged."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from coupler.config import Case, SchemeChoice
from coupler.driver import serving
from coupler.driver.behind import Behind, BehindModel
from coupler.driver.workers import Worker
from coupler.exchange import sockets
from coupler.exchange.channel import SPIN, Channel
from coupler.exchange.messages import MessageChannel
from coupler.exchange.remote import Member, Remote, Terms
from coupler.exchange.remote_model import RemoteModel
from coupler.interface.component import Component, Model, Tendency
from coupler.interface.errors import ConfigError, Problem, nearest
from coupler.interface.grid import HybridLevels
from coupler.interface.parallel import ALONE, Parallel
from coupler.where import MODELS, Place


def place_of(case: Case, process: str) -> Place | None:
    """Where a process runs; None for the run's own process."""
    place = case.where.get(process)
    return None if place is None or place.at == "inline" else place


def over_mpi(raw: Mapping[str, Any]) -> list[str]:
    """What a case, as it was read, wants to have on ranks of its own; what is wrong is left out."""
    where = raw.get("where")
    places = where.items() if isinstance(where, Mapping) else ()
    return [
        name
        for name, place in places
        if (place.get("at") if isinstance(place, Mapping) else place) == "mpi"
    ]


def _beside(case: Case) -> list[str]:
    """Models of the case beside the atmosphere."""
    return [name for name in MODELS if getattr(case, name) is not None]


def _wrong_model(case: Case, name: str) -> list[Problem]:
    place, found = case.where[name], []
    if place.at not in ("inline", "mpi"):
        found.append(
            Problem(
                what="unknown place for a model",
                name=f"where.{name}.at",
                expected="inline or mpi",
                found=repr(place.at),
            )
        )
    if place.on_failure != "stop":
        found.append(
            Problem(
                what="nothing takes a model's place",
                name=f"where.{name}.on_failure",
                expected="stop",
                found=place.on_failure,
            )
        )
    return found


def place_problems(
    case: Case,
    components: Mapping[str, Component],
    record: Sequence[str] = (),
    parallel: Parallel = ALONE,
) -> list[Problem]:
    """Everything wrong with where the processes of a case run.

    Args:
        case: the case.
        components: the scheme of each process that could be built.
        record: processes whose scheme is recorded.
        parallel: the ranks of the run.
    """
    found = [
        Problem(
            what="a place for a process that the case does not have",
            name=f"where.{name}",
            remedy=nearest(name, [*case.physics, *_beside(case)]),
        )
        for name in case.where
        if name not in case.physics and name not in _beside(case)
    ]
    found += [p for name in case.where if name in _beside(case) for p in _wrong_model(case, name)]
    for name, wanted in case.where.items():
        if wanted.at == "mpi" and name not in parallel.services:
            found.append(
                Problem(
                    what="no rank of the job to run on",
                    name=f"where.{name}",
                    expected="one for each process and model over mpi, and one for the rest",
                    found=f"{parallel.size} in all",
                    remedy="start more with mpiexec -n N isthmus run",
                )
            )
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
    if place.at not in ("worker", "mpi") and "/" not in place.at:
        found.append(
            Problem(
                what="unknown place",
                name=f"where.{process}.at",
                expected="inline, worker, mpi, or the path of a socket (with a '/')",
                found=repr(place.at),
                remedy=nearest(place.at, ["inline", "worker", "mpi"]),
            )
        )
    return found


def request_of(case: Case, base: Path, process: str) -> serving.Request:
    """What a server of a process of the case has to serve."""
    choice = case.physics[process]
    other, place = choice.reference, place_of(case, process)
    return serving.Request(
        process=process,
        scheme=choice.scheme,
        parameters=choice.parameters,
        reference={"scheme": other.scheme, "parameters": other.parameters} if other else None,
        plugins=case.plugins,
        base=str(base.resolve()),
        spin=place.spin if place is not None else SPIN,
    )


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
        self._parallel = parallel
        self._paths: dict[str, Path] = {}
        self._groups: dict[str, str] = {}
        self.remotes: dict[str, Remote | RemoteModel] = {}
        self.workers: dict[str, Worker] = {}
        for process, choice in case.physics.items():
            place = place_of(case, process)
            if place is None or place.at == "mpi" or choice.mode == "off":
                continue
            path = base / place.at
            if place.at == "worker" and first:
                self.workers[process] = self._worker(process, choice, place)
                path = self.workers[process].path
            told = parallel.collect((str(path), secrets.token_hex(8)))[here[0]]
            self._paths[process], self._groups[process] = Path(told[0]), told[1]

    def _worker(self, process: str, choice: SchemeChoice, place: Place) -> Worker:
        request = asdict(request_of(self._case, self._base, process))
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
        worker, path = self.workers.get(process), self._paths.get(process, Path())
        members, member = self._members
        group = self._groups.get(process, "")
        mpi = self._parallel.services.get(process) if place.at == "mpi" else None
        if mpi is not None:  # one batch of all ranks, wherever they are
            members, member, group = self._parallel.size, self._parallel.rank, "ranks"
        takes_over = place.on_failure == "reference" and isinstance(reference, Tendency)

        def connect() -> Any:
            if mpi is not None:
                return mpi
            if worker is not None:
                worker.revive()
            return sockets.connect(path)

        remote = self.remotes[process] = Remote(
            component,
            connect,
            terms=Terms(deadline=place.deadline, spin=place.spin, on_failure=place.on_failure),
            available=available,
            calendar=case.calendar,
            fingerprint=serving.fingerprint(component, getattr(component, "fallback", None)),
            member=Member(group=group if members > 1 else "", members=members, member=member),
            reference=cast(Tendency, reference) if takes_over else None,
            fate=worker.fate if worker is not None else str,
            opens=Channel.open if mpi is None else MessageChannel.open,
        )
        return Behind(remote) if choice.lag else remote

    def model(self, name: str, model: Model) -> Model:
        """A model beside the atmosphere where and when the case wants it."""
        place, choice = self._case.where.get(name), getattr(self._case, name)
        if place is not None and place.at == "mpi":
            if type(model).parts is not Model.parts:
                raise ConfigError.of(
                    "a model that shares its cells with others, on a rank of its own",
                    f"where.{name}",
                    expected="inline",
                    found="mpi",
                    remedy="leave it inline: its share of a cell is asked for between its steps",
                )
            model = self.remotes[name] = RemoteModel(
                model,
                self._parallel.services[name],
                deadline=place.deadline,
                greeting=Terms.greeting,
            )
        return BehindModel(model) if getattr(choice, "lag", 0) else model

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
