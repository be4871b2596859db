"""A model that another rank of the job steps, as a model: couplings call it like any other.

The first rank of the run sends what the model receives, and the answer, its fields, its memory and
what the books ask for, goes to all ranks. `step` is `post` and `wait`; with a declared lag
(`coupler.driver.behind`) the rest of the run goes on in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

import numpy as np

from coupler.exchange import letters
from coupler.exchange.channel import raised
from coupler.exchange.letters import Letter
from coupler.exchange.remote import Waits
from coupler.interface.component import Array, Arrays, Model, Now, Site
from coupler.interface.errors import CouplerError, ExchangeError
from coupler.interface.parallel import ALONE, Peer

_PATIENCE = 5.0
"""Time for an open step to end before the run leaves all the same [s]."""


class RemoteModel(Model):
    """The run's end of a model on another rank."""

    def __init__(self, declared: Model, peer: Peer, *, deadline: float, greeting: float) -> None:
        """Prepares; `setup` greets.

        Args:
            declared: an instance of the model, for what it declares; never set up or stepped.
            peer: the rank that steps it.
            deadline: longest time for an answer [s].
            greeting: longest time for it to be set up [s].
        """
        self.stand_for(declared)
        self._peer, self._deadline, self._greeting = peer, deadline, greeting
        self._name = f"{declared.process}={declared.scheme}"
        self._open = False
        self.waits = Waits()
        self.on_span: Callable[[str, float, float], None] | None = None
        """Called with what, begin and end [s] for each wait and each step."""

    def setup(self, site: Site) -> None:
        """Has it set up on the other rank.

        Raises:
            ExchangeError: when it is refused there, or nobody answers.
        """
        self._first = site.parallel.rank == 0
        told = replace(site, parallel=ALONE) if self._first else None
        up, down = letters.answer_to(self._peer, ("site", told), self._name, self._greeting)
        self._up, self._down = Letter(up), Letter(down)
        self._fields = {name: a.copy() for name, a in self._down.part("field").items()}
        self._receive()
        self._take(self._deadline)

    def fields(self) -> Mapping[str, Array]:
        return self._fields

    def step(self, received: Arrays, now: Now) -> None:
        """Has it stepped, and waits."""
        self.post(received, now)
        self.wait()

    def post(self, received: Arrays, now: Now) -> None:
        """Asks for a step."""
        if self._first:
            for name, array in self._up.part("input").items():
                np.copyto(array, getattr(received, name))
            self._up.set_moment(now)
        self._ask(0)

    def wait(self) -> None:
        """Takes the answer to the last `post`; without one it does nothing.

        Raises:
            CouplerError: what the step raised, or that no answer came in time.
        """
        if not self._open:
            return
        began = time.monotonic()
        self._take(self._deadline)
        ended, head, w = time.monotonic(), self._down.head, self.waits
        start, end = 1e-9 * int(head["began"]), 1e-9 * int(head["ended"])
        w.calls, w.host, w.busy = w.calls + 1, w.host + ended - began, w.busy + end - start
        if self.on_span is not None:
            self.on_span("wait", began, ended)
            self.on_span("call", start, end)

    def _ask(self, flags: int) -> None:
        self._receive()
        if self._first:
            self._up.head["flags"] = flags
            self._peer.send(self._up.bytes)

    def _receive(self) -> None:
        self._peer.receive(self._down.bytes)
        self._open = True

    def _take(self, seconds: float) -> None:
        until, sleep = time.monotonic() + seconds, letters.naps()
        while not self._peer.arrived():
            if time.monotonic() > until:
                raise ExchangeError.of(
                    "no answer from the rank that steps it in time",
                    self._name,
                    expected=f"one within {seconds:g} s",
                    remedy="give it a longer deadline",
                )
            next(sleep)
        self._open = False
        if self._down.head["status"]:
            kind, _, text = self._down.head["text"].item().decode().partition("\n")
            raise raised(kind, text)
        for name, array in self._down.part("field").items():
            np.copyto(self._fields[name], array)

    def memory(self) -> dict[str, Array]:
        """The model's, as it was after its last step."""
        self.wait()
        return dict(self._down.part("memory"))

    def stores(self) -> Mapping[str, Array]:
        """The model's, as they were after its last step."""
        self.wait()
        return self._down.part("store")

    def sources(self) -> Mapping[str, Array]:
        """What its last step took from outside."""
        self.wait()
        return self._down.part("source")

    def restore(self, memory: Mapping[str, Array]) -> None:
        self.wait()
        if self._first:
            for name, array in self._up.part("memory").items():
                array[...] = memory[name]
        self._ask(letters.RESTORE | letters.ONLY_RESTORE)
        self._take(self._deadline)

    def close(self) -> None:
        """Leaves; a model that still steps is not told, and the job ends without it."""
        if not hasattr(self, "_up"):
            return
        if self._open:
            with suppress(CouplerError):  # what it raised, nobody asks any more
                self._take(_PATIENCE)
        if self._first and not self._open:
            self._up.head["flags"] = letters.LEAVE
            self._peer.send(self._up.bytes)
