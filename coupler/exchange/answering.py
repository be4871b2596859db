"""The server's end of messages: a rank of the job that computes a scheme, or a model, for others.

A scheme gets the columns of all clients as one batch, in the group and with the calls that it would
have through shared memory. A model is stepped with what the first client gives, and all are told.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from coupler.exchange import groups, letters, words
from coupler.exchange import protocol as p
from coupler.exchange.letters import Letter, rows
from coupler.interface.component import Array, Arrays, Model, Site, Tendency
from coupler.interface.errors import CouplerError, ExchangeError, Problem
from coupler.interface.parallel import Peer

_PARTS = {
    p.Role.TENDENCY: "tendency",
    p.Role.FLUX: "flux",
    p.Role.DIAGNOSTIC: "diagnostic",
    p.Role.MEMORY: "memory",
    p.Role.COUNT: "count",
}
END = "end"
"""Kind of a client's last word, which says how the run ended."""


def serve(clients: Sequence[Peer], build: Callable[[], Tendency | Model]) -> int:
    """Serves until all clients have said how the run ended; returns that.

    Args:
        clients: the ranks of the model.
        build: makes the component.
    """
    greetings = [_hear(client) for client in clients]
    greeted = [c for c, said in zip(clients, greetings, strict=True) if said[0] != END]
    if len(greeted) == len(clients):
        try:
            component = build()
            if isinstance(component, Model):
                serving: Any = _ModelLetters(component, clients, greetings[0][1])
            else:
                serving = _SchemeLetters(component, list(zip(clients, greetings, strict=True)))
        except CouplerError as error:
            _refuse(greeted, *error.problems)
        else:
            serving.run()
    else:
        _refuse(greeted, Problem(what="another rank of the run gave up", name="start"))
    ends = [
        said if said[0] == END else _hear(client)
        for client, said in zip(clients, greetings, strict=True)
    ]
    for client in clients:
        client.tell((END, 0))  # and goodbye
    return int(max(status for _, status in ends))


def _hear(client: Peer) -> tuple[Any, ...]:
    sleep = letters.naps()
    while not client.heard():
        next(sleep)
    said: tuple[Any, ...] = client.hear()
    return said


def _refuse(clients: Sequence[Peer], *problems: Problem) -> None:
    for client in clients:
        client.tell(("refused", problems))


class _SchemeLetters(groups.Group):
    """A group whose members write letters."""

    def __init__(self, component: Tendency, greetings: Sequence[tuple[Peer, Any]]) -> None:
        self._letters: list[tuple[Letter, Letter]] = []
        self._clients = [client for client, _ in greetings]
        super().__init__(
            component,
            [(c, p.Hello.unpack(payload), static) for c, (_, payload, static) in greetings],  # type: ignore[misc]
        )

    def _welcome(self, fd: int) -> None:
        os.fstat(fd)  # nobody else is given the memory
        for i, client in enumerate(self._clients):
            memory = rows("memory", self.shared.fields(p.Role.MEMORY, i))
            up = rows("input", self.shared.fields(p.Role.INPUT, i)) + memory
            down = [r for role, part in _PARTS.items() for r in rows(part, self._own(role, i))]
            self._letters.append((Letter(up), Letter(down)))
            client.tell(("welcome", [up, down]))

    def _own(self, role: p.Role, member: int) -> Any:
        return self.shared.fields(role, member)

    def run(self) -> None:
        """Answers until all have left."""
        for client, (up, _) in zip(self._clients, self._letters, strict=True):
            client.receive(up.bytes)
        awaited, sleep = set(range(len(self._clients))), letters.naps()
        while not self.empty:
            came = [i for i in awaited if self._clients[i].arrived()]
            for i in came:
                awaited.discard(i)
                self._take(i)
            if came:
                sleep = letters.naps()
            elif not self.ready():
                next(sleep)
            if not self.empty and self.ready():
                self.call()
                for i, connection in enumerate(self.connections):
                    if connection is not None:
                        self._answer(i)
                        awaited.add(i)

    def _take(self, i: int) -> None:
        """Puts a letter where its member would have written to."""
        up, block = self._letters[i][0], self.shared.block(i)
        flags = int(up.head["flags"])
        if flags & letters.LEAVE:
            self.leave(self._clients[i])  # type: ignore[arg-type]
            return
        for name, slot in self.shared.fields(p.Role.INPUT, i).items():
            np.copyto(slot, up.part("input")[name])
        if flags & letters.RESTORE:
            whole = self.shared.fields(p.Role.MEMORY)
            for name, slot in self.shared.fields(p.Role.MEMORY, i).items():
                if not i or slot.shape != whole[name].shape:  # what all share, the first one says
                    np.copyto(slot, up.part("memory")[name])
        head = up.head
        p.CALL.pack_into(
            self.shared.bytes,
            block + p.CALL_AT,
            int(head["step"]),
            float(head["seconds"]),
            float(head["dt"]),
            *(int(n) for n in head["date"][:7]),
        )
        at = self.shared.address + block
        words.store(at + p.FLAGS, p.RESTORE if flags & letters.RESTORE else 0)
        words.store(at + p.POSTED, self._number + 1)

    def _answer(self, i: int) -> None:
        """Writes to a member what it would have read."""
        up, down = self._letters[i]
        at = self.shared.address + self.shared.block(i)
        for field, word in (("status", p.STATUS), ("began", p.BEGAN), ("ended", p.ENDED)):
            down.head[field] = words.load(at + word)
        down.head["text"] = self.shared.text.encode() if down.head["status"] else b""
        for role, part in _PARTS.items():
            for name, array in self._own(role, i).items():
                np.copyto(down.part(part)[name], array)
        self._clients[i].receive(up.bytes)
        self._clients[i].send(down.bytes)


class _ModelLetters:
    """A model that is stepped for others."""

    def __init__(self, model: Model, clients: Sequence[Peer], site: Site | None) -> None:
        if site is None:
            raise ExchangeError.of("a model without a place", model.scheme)
        self._model, self._clients = model, clients
        self._calendar = "standard" if site.date is None else site.date.calendar
        model.setup(site)
        received = {port.name: np.zeros(model.grid.shape) for port in model.receives}
        memory = rows("memory", model.memory())
        up = rows("input", received) + memory
        down = [row for part, arrays in self._shown() for row in rows(part, arrays)]
        self._up, self._down = Letter(up), Letter(down)
        for client in clients:
            client.tell(("welcome", [up, down]))

    def run(self) -> None:
        """Answers until the first client leaves."""
        first, up, down = self._clients[0], self._up, self._down
        self._tell_all()
        received = Arrays(**up.part("input"))
        while True:
            first.receive(up.bytes)
            sleep = letters.naps()
            while not first.arrived():
                next(sleep)
            flags = int(up.head["flags"])
            if flags & letters.LEAVE:
                return
            down.head["began"], down.head["status"] = time.monotonic_ns(), p.Status.DONE
            try:
                if flags & letters.RESTORE:
                    self._model.restore({n: a.copy() for n, a in up.part("memory").items()})
                if not flags & letters.ONLY_RESTORE:
                    self._model.step(received, up.moment(self._calendar))
            except Exception as error:
                down.head["status"] = p.Status.FAILED
                down.head["text"] = groups.said(error, self._model.scheme).encode()
            self._tell_all()

    def _shown(self) -> Iterator[tuple[str, Mapping[str, Array]]]:
        """All that the run may ask of it between two steps."""
        model = self._model
        yield "field", model.fields()
        yield "memory", model.memory()
        yield "store", model.stores()
        yield "source", model.sources()

    def _tell_all(self) -> None:
        down = self._down
        for part, arrays in self._shown():
            for name, slot in down.part(part).items():
                np.copyto(slot, arrays[name])
        down.head["ended"] = time.monotonic_ns()
        for client in self._clients:
            client.send(down.bytes)
