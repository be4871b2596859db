"""The server: one process, one copy of a scheme's weights, any number of clients.

It looks at the words of its groups for a short while after each call and then sleeps on all sockets
at once. Whatever a client says or does, at worst that client is turned away.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from contextlib import suppress

import numpy as np

from coupler.exchange import groups as g
from coupler.exchange import protocol as p
from coupler.exchange import sockets, words
from coupler.exchange.channel import SPIN, turns_per_second
from coupler.interface.errors import CouplerError, ExchangeError, Problem

_log = logging.getLogger(__name__)

_BEAT = 0.2
"""Time between signs of life [s]."""
_LOOK_UP = 5e-3
"""Longest time that a busy server does not look at its sockets [s]."""
_GREET = 10.0
"""Time for a client to say who it is [s]."""
_MOST = 1024
"""Clients at one time."""


class Server:
    """Serves one scheme to all who connect."""

    def __init__(
        self,
        listener: socket.socket,
        build: g.Build,
        *,
        process: str,
        scheme: str,
        fingerprint: str = "",
        spin: float = SPIN,
        join: float = 60.0,
        lifeline: socket.socket | None = None,
    ) -> None:
        """Prepares to serve.

        Args:
            listener: a listening socket, see `sockets.listen`; taken over.
            build: makes an instance of the scheme for each group of clients.
            process: what the scheme is for.
            scheme: its name.
            fingerprint: digest of scheme, parameters and weights, compared with the clients'.
            spin: how long to look for the next call before sleeping [s].
            join: how long the first member of a group waits for the last one [s].
            lifeline: a connection to the process that this server belongs to; it ends with it.
        """
        self._build, self._spin, self._join = build, spin, join
        self.process, self.scheme, self.fingerprint = process, scheme, fingerprint
        self._listener, self._lifeline = listener, lifeline
        listener.setblocking(False)
        self._stop = False
        self._groups: list[g.Group] = []
        self._forming: dict[str, tuple[float, list[g.Greeting]]] = {}
        self._clients: dict[int, socket.socket] = {}
        self._strangers: dict[int, float] = {}
        """Clients that have not said who they are, and until when they may."""
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.epoll()
        for fd in (listener.fileno(), self._wake, *([lifeline.fileno()] if lifeline else [])):
            self._poll.register(fd, select.EPOLLIN)
        self._turns = max(1, round(min(spin, 1e-4) * turns_per_second()))
        nobody = np.zeros(4, np.int64)
        words.gather(nobody, 0, 0)  # compiled before the first call
        words.answer(nobody, 0, 0, 0, 0)

    def stop(self) -> None:
        """Makes `run` return; safe in a signal handler and from another thread."""
        if not self._stop:
            self._stop = True
            os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        """Serves until `stop`, or until the process at the other end of the lifeline is gone."""
        beating = threading.Thread(target=self._beat, daemon=True)
        beating.start()
        until = looked = 0.0
        try:
            while not self._stop:
                busy = self._serve()
                now = time.monotonic()
                if busy:
                    until = now + self._spin
                if not busy and now >= until:
                    self._sleep()
                elif now - looked > _LOOK_UP:
                    self._look(0.0)
                    looked = now
        finally:
            self._stop = True
            for client in self._clients.values():
                client.close()
            self._listener.close()
            beating.join(2 * _BEAT)
            self._poll.close()
            os.close(self._wake)

    # -- calls --------------------------------------------------------------------------------

    def _serve(self) -> bool:
        """Calls for the groups that are ready; whether there was one."""
        busy = False
        turns = max(1, self._turns // max(1, len(self._groups)))
        for group in self._groups:
            if group.ready(turns):
                group.call()
                busy = True
        return busy

    def _sleep(self) -> None:
        """Sleeps until somebody rings, speaks, comes or goes."""
        self._say_sleep(1)
        if not any(group.ready() for group in self._groups):
            self._look(1.0)
        self._say_sleep(0)

    def _say_sleep(self, sleeps: int) -> None:
        for group in self._groups:
            words.store(group.sleeps, sleeps)

    # -- clients ------------------------------------------------------------------------------

    def _look(self, seconds: float) -> None:
        for fd, _ in self._poll.poll(seconds):
            if fd == self._listener.fileno():
                self._accept()
            elif fd in self._clients:
                self._listen(self._clients[fd])
            elif self._lifeline is not None and fd == self._lifeline.fileno():
                self._stop = True
        if self._strangers or self._forming:
            self._lose_patience()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        uid = sockets.peer(client)
        if uid != os.getuid():
            self._refuse(
                client,
                Problem(
                    what="a client of another user",
                    name=self.process,
                    expected=f"user {os.getuid()}",
                    found=f"user {uid}",
                ),
            )
        elif len(self._clients) >= _MOST:
            self._refuse(
                client, Problem(what="too many clients", name=self.process, expected=f"{_MOST}")
            )
        else:
            client.setblocking(False)
            self._clients[client.fileno()] = client
            self._strangers[client.fileno()] = time.monotonic() + _GREET
            self._poll.register(client.fileno(), select.EPOLLIN)

    def _listen(self, client: socket.socket) -> None:
        try:
            if client.fileno() in self._strangers:
                there = self._meet(client)
            else:
                there = sockets.rang(client)
        except BlockingIOError:
            return
        except OSError:
            there = False
        except CouplerError as error:
            self._refuse(client, *error.problems)
            return
        if not there:
            self._forget(client)

    def _meet(self, client: socket.socket) -> bool:
        """Takes the first message of a client; False at the end of the connection."""
        found = sockets.receive(client)
        if found is None:
            return False
        kind, payload, fds = found
        try:
            if kind is not p.Kind.HELLO:
                raise ExchangeError.of(
                    "a message out of turn",
                    self.process,
                    expected="one greeting, then rings",
                    found=kind.name.lower(),
                )
            self._greet(client, payload, fds)
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _greet(self, client: socket.socket, payload: bytes, fds: list[int]) -> None:
        new = g.greeting(client, payload, fds)
        hello = new[1]
        self._refuse_other(hello)
        # Clients without a group are groups of their own.
        name = hello.group or f"\0{client.fileno()}"
        since, waiting = self._forming.get(name, (time.monotonic(), []))
        if waiting:
            problems = g.differences(waiting[0][1], hello)
            if hello.member in [w[1].member for w in waiting]:
                problems.append(
                    Problem(what="a member that is there already", name=f"member {hello.member}")
                )
            if problems:
                raise ExchangeError(*problems)
        del self._strangers[client.fileno()]
        waiting = [*waiting, new]
        if len(waiting) < hello.members:
            self._forming[name] = (since, waiting)
            return
        self._forming.pop(name, None)
        self._complete(waiting)

    def _complete(self, waiting: list[g.Greeting]) -> None:
        try:
            group = g.Group(self._build(), waiting)
        except CouplerError as error:
            for client, _, _ in waiting:
                self._refuse(client, *error.problems)
        except Exception as error:
            _log.exception("the scheme could not be set up")
            problem = Problem(
                what="the scheme could not be set up",
                name=f"{self.process}={self.scheme}",
                found=f"{type(error).__name__}: {' '.join(str(error).split())}",
            )
            for client, _, _ in waiting:
                self._refuse(client, problem)
        else:
            self._groups.append(group)
            ncol = group.shared.head.ncol
            _log.info("%s: %d clients, %d columns", group.name, len(waiting), ncol)

    def _refuse_other(self, hello: p.Hello) -> None:
        """Refuses a client that wants something else than this server has."""
        pairs = (
            ("process", hello.process, self.process),
            ("scheme", hello.scheme, self.scheme),
            ("parameters or weights", hello.fingerprint[:12], self.fingerprint[:12]),
        )
        problems = [
            Problem(
                what=f"the server has another {what}",
                name=f"{self.process}={self.scheme}",
                expected=f"{wanted} (the client's)",
                found=have,
                remedy="start a server for it, or change the case",
            )
            for what, wanted, have in pairs
            if wanted and wanted != have
        ]
        if problems:
            raise ExchangeError(*problems)

    def _refuse(self, client: socket.socket, *problems: Problem) -> None:
        for problem in problems:
            _log.warning("client turned away: %s", problem)
        with suppress(OSError):
            client.setblocking(False)
            sockets.send(client, p.Kind.REFUSED, p.sentences(problems))
        self._forget(client)

    def _forget(self, client: socket.socket) -> None:
        fd = client.fileno()
        if self._clients.pop(fd, None) is not None:
            self._poll.unregister(fd)
        self._strangers.pop(fd, None)
        for name, (_, waiting) in list(self._forming.items()):
            if client in [w[0] for w in waiting]:
                del self._forming[name]
                rest = [w[0] for w in waiting if w[0] is not client]
                for other in rest:
                    self._refuse(
                        other,
                        Problem(what="a member left before its group was complete", name=name),
                    )
        for group in self._groups:
            if client in group.connections:
                group.leave(client)
        self._groups = [group for group in self._groups if not group.empty]
        client.close()

    def _lose_patience(self) -> None:
        now = time.monotonic()
        for fd in [fd for fd, until in self._strangers.items() if now > until]:
            self._refuse(
                self._clients[fd],
                Problem(
                    what="a client that did not say who it is",
                    name=self.process,
                    expected=f"a greeting within {_GREET:g} s",
                ),
            )
        for name, (since, waiting) in list(self._forming.items()):
            if now - since > self._join:
                del self._forming[name]
                missing = set(range(waiting[0][1].members)) - {w[1].member for w in waiting}
                problem = Problem(
                    what="members of a group that did not come",
                    name=name,
                    expected=f"{waiting[0][1].members} within {self._join:g} s",
                    found=f"no member {', '.join(map(str, sorted(missing)))}",
                )
                for client, _, _ in waiting:
                    self._refuse(client, problem)

    # -- life ---------------------------------------------------------------------------------

    def _beat(self) -> None:
        """Signs of life, and an end when nobody is left who wants this server.

        In a thread of its own: a long call must not look like death, and a call that never ends
        must not outlive the process that wanted it.
        """
        end = select.poll()
        if self._lifeline is not None:
            end.register(self._lifeline, select.POLLIN)
        while not self._stop:
            if self._lifeline is None:
                time.sleep(_BEAT)
            elif end.poll(_BEAT * 1000.0) and not self._stop:
                time.sleep(_BEAT)  # the main thread may do it in order
                if not self._stop:
                    os._exit(0)
            self._sign()

    def _sign(self) -> None:
        now = time.monotonic_ns()
        for group in list(self._groups):
            words.store(group.heartbeat, now)
