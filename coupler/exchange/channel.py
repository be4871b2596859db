"""The client's end of a channel: `post` a call, `test` or `wait` for its answer.

    channel = Channel.open(connect(path), hello, static)
    channel.inputs["ua"][...] = ua          # the member's columns, in the memory of both sides
    channel.post(now)
    ...                                     # something else meanwhile
    if channel.wait(10.0) is Answer.DONE: use(channel.fluxes["xgwdparam"])

Waiting looks at a word for a short while and then sleeps on the socket, whose end tells that the
server died. Nothing here raises for a dead or late server: what then happens is the caller's
choice.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
import weakref
from collections.abc import Mapping
from enum import Enum
from functools import cache

import numpy as np

from coupler.exchange import protocol as p
from coupler.exchange import sockets, words
from coupler.exchange.shared import Shared, static_file
from coupler.interface.component import Array, Now
from coupler.interface.errors import CouplerError, ExchangeError, Problem

SPIN = 50e-6
"""How long to look at a word before sleeping [s]: some three times what falling asleep and being
woken takes."""
_CHUNK = 1e-3
"""Longest look without a chance for signals [s]."""
_LOOK_AGAIN = 1.0
"""Longest sleep [s]. No wake-up is lost; this is against a server that breaks the protocol."""


class Answer(Enum):
    """What came of a call."""

    DONE = "done"
    FAILED = "the scheme raised"
    LATE = "no answer in time"
    GONE = "the server is gone"


@cache
def turns_per_second() -> float:
    """How often this machine looks at a word in a second."""
    word = np.zeros(1, np.int64)
    address = int(word.ctypes.data)
    words.spin(address, 1, 1)
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        words.spin(address, 1, 100_000)
        best = min(best, time.perf_counter() - began)
    return 100_000 / best


class Channel:
    """One member's end."""

    def __init__(
        self, connection: socket.socket, shared: Shared, member: int, *, spin: float = SPIN
    ) -> None:
        """Use `open`."""
        self._socket, self.shared, self.member = connection, shared, member
        self.inputs = shared.fields(p.Role.INPUT, member)
        self.tendencies = shared.fields(p.Role.TENDENCY, member)
        self.fluxes = shared.fields(p.Role.FLUX, member)
        self.diagnostics = shared.fields(p.Role.DIAGNOSTIC, member)
        self.memory = shared.fields(p.Role.MEMORY, member)
        self.counts = shared.fields(p.Role.COUNT)
        self._block = shared.block(member)
        at = shared.address + self._block
        self._posted, self._done, self._sleeps = (
            at + p.POSTED,
            at + p.DONE,
            at + p.CLIENT_SLEEPS,
        )
        self._server_sleeps = shared.address + p.SERVER_SLEEPS
        self._number = self._answered = 0
        self._restores: bool | None = None
        """What the word for it holds."""
        self._spin = spin
        self._turns = max(1, round(min(spin, _CHUNK) * turns_per_second()))
        self._looks = max(1, round(spin / _CHUNK))
        self.gone = ""
        """Why there is nobody at the other end any more; empty while there is."""
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        connection.setblocking(False)
        weakref.finalize(self, connection.close)  # the server sees that, and forgets us

    @classmethod
    def open(
        cls,
        connection: socket.socket,
        hello: p.Hello,
        static: Mapping[str, Array],
        *,
        deadline: float = 60.0,
        spin: float = SPIN,
    ) -> Channel:
        """Greets the server and maps what it gives.

        Args:
            connection: to the server, see `sockets.connect`; taken over.
            hello: who this is.
            static: fields that never change, shape [column]; the names of `hello.static`.
            deadline: longest time for the server to answer [s].
            spin: how long to look at a word before sleeping [s].

        Raises:
            ExchangeError: when the server refuses, with its reasons, or does not answer.
        """
        try:
            connection.settimeout(deadline)
            fds: tuple[int, ...] = ()
            if hello.static:
                fds = (static_file([static[n] for n in hello.static]),)
            try:
                sockets.send(connection, p.Kind.HELLO, hello.pack(), fds)
            finally:
                for fd in fds:
                    os.close(fd)
            return cls(connection, _welcome(connection, deadline), hello.member, spin=spin)
        except OSError as error:
            connection.close()
            raise ExchangeError.of(
                sockets.HUNG_UP, hello.process or "channel", found=str(error)
            ) from error
        except CouplerError:
            connection.close()
            raise

    # -- calls --------------------------------------------------------------------------------

    def post(self, now: Now, *, restore: bool = False) -> None:
        """Asks for a call with what stands in `inputs`, or with `restore` also in `memory`.

        Raises:
            ExchangeError: while the last call is not answered.
        """
        if not self.test():
            raise ExchangeError.of(
                "a call before the answer to the last one",
                self.shared.head.process,
                remedy="wait for it",
            )
        date = now.date
        p.CALL.pack_into(
            self.shared.bytes,
            self._block + p.CALL_AT,
            now.step,
            now.seconds,
            now.dt,
            date.year,
            date.month,
            date.day,
            date.hour,
            date.minute,
            date.second,
            date.microsecond,
        )
        if restore is not self._restores:  # the word stays as it was written last
            flags = p.RESTORE if restore else 0
            struct.pack_into("<Q", self.shared.bytes, self._block + p.FLAGS, flags)
            self._restores = restore
        self._number += 1
        if words.publish(self._posted, self._number, self._server_sleeps):
            self._ring()

    def test(self) -> bool:
        """Whether the last call is answered."""
        if self._answered < self._number:
            self._answered = int(words.load(self._done))
        return self._answered >= self._number

    def wait(self, seconds: float) -> Answer:
        """What came of the last call; after at most about `seconds`.

        `Answer.LATE` leaves the call open: `test` tells when its answer comes after all.
        """
        for _ in range(self._looks):
            if words.spin(self._done, self._number, self._turns):
                return self._answer()
        end = time.monotonic() + seconds
        while not self.gone:
            # In this order: say that we sleep, look once more, sleep.
            if words.publish(self._sleeps, 1, self._done) >= self._number:
                break
            left = end - time.monotonic()
            if left <= 0.0:
                words.store(self._sleeps, 0)
                return Answer.LATE
            if self._poll.poll(min(left, _LOOK_AGAIN) * 1000.0):
                self._listen()
        words.store(self._sleeps, 0)
        return self._answer() if self.test() else Answer.GONE

    def _answer(self) -> Answer:
        (status,) = struct.unpack_from("<Q", self.shared.bytes, self._block + p.STATUS)
        return Answer.DONE if status == p.Status.DONE else Answer.FAILED

    def _listen(self) -> None:
        """Reads what the server sent: a ring, or its end."""
        try:
            if not sockets.rang(self._socket):
                self.gone = "the connection ended"
        except BlockingIOError:
            return
        except (OSError, CouplerError) as error:
            self.gone = str(error)

    def _ring(self) -> None:
        try:
            sockets.ring(self._socket)
        except BlockingIOError:
            pass  # it has rings enough to wake up by
        except OSError as error:
            self.gone = str(error)

    # -- what is known about the server -------------------------------------------------------

    def alive(self) -> bool:
        """Whether the server still holds its end; does not wait."""
        while not self.gone and self._poll.poll(0):
            self._listen()
        return not self.gone

    def error(self) -> CouplerError:
        """Why the scheme raised, as it would have raised here."""
        kind, _, text = self.shared.text.partition("\n")
        return raised(kind, text)

    def spans(self) -> tuple[float, float]:
        """When the server began and ended the last call, on the clock of `time.monotonic` [s]."""
        began, ended = struct.unpack_from("<QQ", self.shared.bytes, self._block + p.BEGAN)
        return 1e-9 * began, 1e-9 * ended

    def silence(self) -> float:
        """Time since the server's last sign of life [s]."""
        (beat,) = struct.unpack_from("<Q", self.shared.bytes, p.HEARTBEAT)
        return max(0.0, time.monotonic() - 1e-9 * int(beat))

    def close(self) -> None:
        """Hangs up; the arrays stay valid."""
        self.gone = self.gone or "closed"
        self._socket.close()


def _welcome(connection: socket.socket, deadline: float) -> Shared:
    try:
        found = sockets.receive(connection)
    except TimeoutError as error:
        raise ExchangeError.of(
            "no answer to the greeting",
            "channel",
            expected=f"one within {deadline:g} s",
            remedy="look at what the server does, or whether all members of the group came",
        ) from error
    if found is None:
        raise ExchangeError.of(sockets.HUNG_UP, "channel", found="end of the connection")
    kind, payload, fds = found
    try:
        if kind is p.Kind.REFUSED:
            raise raised("ExchangeError", payload.decode(errors="replace"))
        if kind is not p.Kind.WELCOME or len(fds) != 1:
            raise ExchangeError.of(
                "not the channel protocol",
                "channel",
                expected="a welcome with one file",
                found=f"{kind.name.lower()} with {len(fds)}",
            )
        return Shared(fds[0])
    finally:
        for fd in fds:
            os.close(fd)


def raised(kind: str, text: str) -> CouplerError:
    """The error that sentences from another process tell of."""
    kinds = {c.__name__: c for c in CouplerError.__subclasses__()}
    problems = []
    for line in text.splitlines():
        what, _, rest = line.partition(": ")
        name, _, tail = rest.partition("; ")
        problems.append(Problem(what=what, name=name, remedy=tail))
    return kinds.get(kind, ExchangeError)(*problems)
