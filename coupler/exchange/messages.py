"""The client's end of a channel over messages: `Channel` for a server on another rank of the job.

The same calls and the same names as with shared memory, so that `Remote` knows no difference. A
rank does not go away alone: the launcher ends the whole job, so that nobody is ever `gone` here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from coupler.exchange import letters, protocol
from coupler.exchange.channel import SPIN, Answer, raised
from coupler.exchange.letters import Letter
from coupler.interface.component import Array, Now
from coupler.interface.errors import CouplerError, ExchangeError
from coupler.interface.parallel import Peer

_PATIENCE = 5.0
"""Time for an open call to end before the client leaves all the same [s]."""


class MessageChannel:
    """One member's end."""

    gone = ""

    def __init__(self, peer: Peer, up: Letter, down: Letter, name: str, *, spin: float) -> None:
        """Use `open`."""
        self._peer, self._up, self._down, self._name = peer, up, down, name
        self._spin, self._open = spin, False
        self.inputs = up.part("input")
        self.tendencies = down.part("tendency")
        self.fluxes = down.part("flux")
        self.diagnostics = down.part("diagnostic")
        self.memory = down.part("memory")
        self.counts = down.part("count")

    @classmethod
    def open(
        cls,
        peer: Peer,
        hello: protocol.Hello,
        static: Mapping[str, Array],
        *,
        deadline: float = 60.0,
        spin: float = SPIN,
    ) -> MessageChannel:
        """Greets the server; arguments as `Channel.open`.

        Raises:
            ExchangeError: when the server refuses, with its reasons, or does not answer.
        """
        name = f"{hello.process}={hello.scheme}"
        fields = {n: np.ascontiguousarray(static[n], np.float64) for n in hello.static}
        greeting = ("hello", hello.pack(), fields)
        up, down = letters.answer_to(peer, greeting, name, deadline)
        return cls(peer, Letter(up), Letter(down), name, spin=spin)

    def post(self, now: Now, *, restore: bool = False) -> None:
        """Asks for a call with what stands in `inputs`, or with `restore` also in `memory`.

        Raises:
            ExchangeError: while the last call is not answered.
        """
        if not self.test():
            raise ExchangeError.of(
                "a call before the answer to the last one", self._name, remedy="wait for it"
            )
        up = self._up
        up.set_moment(now)
        up.head["flags"] = letters.RESTORE if restore else 0
        if restore:
            for name, array in up.part("memory").items():
                np.copyto(array, self.memory[name])
        self._peer.receive(self._down.bytes)
        self._peer.send(up.bytes)
        self._open = True

    def test(self) -> bool:
        """Whether the last call is answered."""
        if self._open and self._peer.arrived():
            self._open = False
        return not self._open

    def wait(self, seconds: float) -> Answer:
        """What came of the last call; after at most about `seconds`."""
        began, sleep = time.monotonic(), letters.naps()
        while not self.test():
            waited = time.monotonic() - began
            if waited > seconds:
                return Answer.LATE
            if waited > self._spin:
                next(sleep)
        return Answer.DONE if not self._down.head["status"] else Answer.FAILED

    def error(self) -> CouplerError:
        """Why the scheme raised, as it would have raised here."""
        kind, _, text = self._down.head["text"].item().decode().partition("\n")
        return raised(kind, text)

    def spans(self) -> tuple[float, float]:
        """When the server began and ended the last call, on its own clock [s]."""
        return 1e-9 * int(self._down.head["began"]), 1e-9 * int(self._down.head["ended"])

    def silence(self) -> float:
        """Time since the server's last sign of life [s]: it has none but its answers."""
        return 0.0

    def alive(self) -> bool:
        """Whether the server is still there."""
        return True

    def close(self) -> None:
        """Leaves; a server that still computes is not told, and the job ends without it."""
        if self.wait(_PATIENCE) is not Answer.LATE:
            self._up.head["flags"] = letters.LEAVE
            self._peer.send(self._up.bytes)
