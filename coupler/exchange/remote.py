"""A scheme that runs in another process, as a scheme: the driver calls it like any other.

`compute` is `post` and `wait`. What happens when there is no answer in time, no server any more, an
error in the scheme or a number that is not finite is the host's choice: ``stop``, the ``reference``
scheme in its place, or ``hold`` the last answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from coupler.exchange import groups, sockets
from coupler.exchange import protocol as p
from coupler.exchange.channel import SPIN, Answer, Channel
from coupler.interface.component import Array, Arrays, Host, Now, Tendency
from coupler.interface.constants import Planet
from coupler.interface.errors import ContractError, CouplerError, ExchangeError

_log = logging.getLogger(__name__)

OnFailure = Literal["stop", "reference", "hold"]
COUNTS = ("calls", "late", "gone", "failed", "not_finite", "replaced")
_RETRY = 5.0
"""Time between attempts to find a server again [s]."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a host deals with a server."""

    deadline: float = 60.0
    """Longest time for an answer [s]."""
    greeting: float = 120.0
    """Longest time for the server to load and set up the scheme [s]."""
    spin: float = SPIN
    """How long to look for the answer before sleeping [s]."""
    on_failure: OnFailure = "stop"


@dataclass(frozen=True, kw_only=True)
class Member:
    """This process among those whose columns the server computes together."""

    group: str = ""
    members: int = 1
    member: int = 0


@dataclass(kw_only=True)
class Waits:
    """Who waited for whom, summed over calls [s]."""

    calls: int = 0
    host: float = 0.0
    """The host for the answer."""
    server: float = 0.0
    """The server for the next call."""
    busy: float = 0.0
    """What the calls themselves took."""


Connect = Callable[[], Any]
"""Makes a connection to the server."""


class Remote(Tendency):
    """The host's end of a scheme in another process."""

    fills = True
    """Every element of every output is copied, or lies where the answer comes to."""

    def __init__(
        self,
        declared: Tendency,
        connect: Connect,
        *,
        terms: Terms,
        available: Iterable[str],
        calendar: str = "standard",
        fingerprint: str = "",
        member: Member | None = None,
        reference: Tendency | None = None,
        fate: Callable[[], str] = str,
        opens: Callable[..., Any] = Channel.open,
    ) -> None:
        """Prepares; `setup` connects.

        Args:
            declared: an instance of the scheme, for what it declares; never set up or called.
            connect: makes a connection to the server.
            terms: deadline and what happens after it.
            available: names of the fields that the host has.
            calendar: of the host's dates.
            fingerprint: digest of scheme, parameters and weights, for the server to compare.
            member: this process among several.
            reference: the scheme that takes over.
            fate: what became of the server, where this process started it.
            opens: makes a channel of a connection, as `Channel.open`.
        """
        self.p, self.terms, self.reference = declared.p, terms, reference
        self.declared, self._connect, self._fate = declared, connect, fate
        self._opens = opens
        self._calendar, self._fingerprint = calendar, fingerprint
        self._member = member or Member()
        self._offers = (*groups.inputs_of(declared, available), *groups.outputs_of(declared))
        inputs = declared.inputs
        if reference is not None:
            have = {i.name for i in inputs}
            inputs += tuple(i for i in reference.inputs if i.name not in have)
        # These are the class's elsewhere; here one class stands for any scheme.
        vars(self).update(
            process=declared.process,
            scheme=declared.scheme,
            inputs=inputs,
            tendencies=declared.tendencies,
            fluxes=declared.fluxes,
            diagnostics=declared.diagnostics,
            conserves=declared.conserves,
            needs=declared.needs,
            interval=declared.interval,
        )
        self._name = f"{self.process}={self.scheme}"
        self._keeps = terms.on_failure == "reference"
        self._count = dict.fromkeys(COUNTS, 0)
        self.waits = Waits()
        self.on_span: Callable[[str, float, float], None] | None = None
        """Called with what, begin and end [s] for each wait and each call of the server."""
        self._channel: Channel | None = None
        self._why = ""
        """Why the open call was not posted; empty when it was."""
        self._restore = False
        self._ended = self._retry_at = 0.0
        # The driver gives the same arrays at every call: what is paired once stays paired.
        self._given: tuple[Arrays | None, list[tuple[Array, Array]]] = (None, [])
        self._received: list[Array] = []
        self._outputs: tuple[tuple[Arrays, ...], list[Array]] = ((), [])

    def setup(self, host: Host) -> None:
        """Connects, and agrees with the server on every field.

        Raises:
            CouplerError: when there is no server, it refuses, or the reference does not fit.
        """
        self._host = host
        if self.terms.on_failure == "reference":
            self._set_up_reference(host)
        try:
            self._take(self._open(self.terms.greeting))
        except ExchangeError as error:
            silent = error.problems[0].what in (sockets.NO_SERVER, sockets.HUNG_UP)
            fate = self._fate() if silent else ""
            if not fate:
                raise
            raise ExchangeError.of("the worker did not start", self._name, found=fate) from error
        if self.terms.on_failure == "hold":
            self._last = [a.copy() for a in self._received]

    def _set_up_reference(self, host: Host) -> None:
        reference = self.reference
        if reference is None:
            raise ContractError.of("no reference to take over", self._name)
        mine = (self.tendencies, [(f.name, f.of, f.top) for f in self.fluxes])
        theirs = (reference.tendencies, [(f.name, f.of, f.top) for f in reference.fluxes])
        if (sorted(mine[0]), sorted(mine[1])) != (sorted(theirs[0]), sorted(theirs[1])):
            raise ContractError.of(
                "reference returns something else than the scheme in the worker",
                f"{self._name}: {reference.scheme}",
                expected=f"tendencies {mine[0]}, fluxes {mine[1]}",
                found=f"tendencies {theirs[0]}, fluxes {theirs[1]}",
                remedy="use on_failure: stop or hold",
            )
        units = {i.name: i.units for i in self.inputs}
        for port in reference.inputs:
            if units[port.name] != port.units:
                raise ContractError.of(
                    "reference wants an input in another unit than the scheme in the worker",
                    f"{self._name}: {port.name} of {reference.scheme}",
                    expected=units[port.name],
                    found=port.units,
                    remedy="use on_failure: stop or hold",
                )
        reference.setup(host)
        self._reference_diag = Arrays(
            **{f.name: host.empty(*f.dims) for f in reference.diagnostics}
        )
        self._kept: Arrays | None = None

    def _open(self, deadline: float) -> Channel:
        host, usual = self._host, Planet()
        planet = {k: v for k, v in vars(host.planet).items() if v != getattr(usual, k)}
        hello = p.Hello(
            ncol=host.ncol,
            dtype=host.dtype,
            a=host.levels.a.tolist(),
            b=host.levels.b.tolist(),
            levels=host.levels.name,
            seed=host.seed,
            calendar=self._calendar,
            row=host.grid.lon.size if host.grid.lat.size > 1 else 0,
            process=self.process,
            scheme=self.scheme,
            fingerprint=self._fingerprint,
            planet=planet,
            static=tuple(host.static),
            offers=self._offers,
            **vars(self._member),
        )
        channel: Channel = self._opens(
            self._connect(), hello, host.static, deadline=deadline, spin=self.terms.spin
        )
        return channel

    def in_place(self) -> tuple[Mapping[str, Array], ...]:
        """Inputs, tendencies, fluxes and diagnostics where both sides have them.

        A host that writes and reads there saves the copies. Empty where an answer that comes too
        late could overwrite what took its place, and where the columns of a field do not lie
        together.
        """
        channel = self._channel
        if channel is None or self.terms.on_failure != "stop" or self._member.members > 1:
            return {}, {}, {}, {}
        return channel.inputs, channel.tendencies, channel.fluxes, channel.diagnostics

    # -- calls --------------------------------------------------------------------------------

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """Posts the call and waits for its answer."""
        self.post(x, now)
        self.wait(tend, flux, diag)

    def post(self, x: Arrays, now: Now) -> None:
        """Hands the inputs over; the server computes meanwhile."""
        self._count["calls"] += 1
        keeps = self._keeps
        if keeps:
            self._now = replace(now)
        self._why = ""
        channel = self._ready()
        if channel is None:
            if keeps:
                self._keep(x)
            return
        if self._given[0] is not x:
            pairs = [(a, getattr(x, n)) for n, a in channel.inputs.items()]
            self._given = (x, [(slot, a) for slot, a in pairs if a is not slot])
        for slot, array in self._given[1]:
            np.copyto(slot, array)
        if keeps:
            self._keep(x)
        channel.post(now, restore=self._restore)
        self._restore = False

    def _ready(self) -> Channel | None:
        """The channel, if the server can be asked; else None, and `_why` says why not."""
        channel = self._channel
        assert channel is not None
        if channel.gone:
            self._why = "gone"
            if self.terms.on_failure == "stop" or time.monotonic() < self._retry_at:
                return None
            return self._again(channel)
        if not channel.test():
            self._why = "late"
            return None
        return channel

    def _again(self, old: Channel) -> Channel | None:
        """Another channel after the server of the first one went, if there is a server again."""
        self._retry_at = time.monotonic() + _RETRY
        try:
            channel = self._open(min(2.0, self.terms.greeting))
        except CouplerError:
            return None
        for name, array in channel.memory.items():
            if name in old.memory:
                array[...] = old.memory[name]
        self._restore = bool(channel.memory)
        self._take(channel)
        self._why = ""
        _log.warning("isthmus: %s: there is a server again", self._name)
        return channel

    def _keep(self, x: Arrays) -> None:
        """Keeps what the reference would need: the host may go on before the answer is due."""
        if self._kept is None:
            self._kept = Arrays(**{n: np.empty_like(a) for n, a in x.items()})
        for name, array in x.items():
            np.copyto(getattr(self._kept, name), array)

    def wait(self, tend: Arrays, flux: Arrays, diag: Arrays) -> None:
        """Fills the outputs with the answer to the last `post`, or as `on_failure` says.

        Raises:
            CouplerError: for `on_failure` ``stop``.
        """
        channel = self._channel
        assert channel is not None
        if self._outputs[0] != (tend, flux, diag):
            found = [a for group in (tend, flux, diag) for _, a in group.items()]
            self._outputs = ((tend, flux, diag), found)
        outputs = self._outputs[1]
        if self._why:
            answer = Answer.LATE if self._why == "late" else Answer.GONE
        else:
            began = time.monotonic()
            answer = channel.wait(self.terms.deadline)
            self._note(channel, began, time.monotonic())
        if answer is Answer.DONE:
            answers = self._received
            if self.terms.on_failure == "stop" or _finite(answers):
                for out, array in zip(outputs, answers, strict=True):
                    if out is not array:
                        np.copyto(out, array)
                if self.terms.on_failure == "hold":
                    for kept, array in zip(self._last, answers, strict=True):
                        np.copyto(kept, array)
                return
            self._replace("not_finite", "an answer that is not finite", outputs)
            return
        error = channel.error() if answer is Answer.FAILED else self._silent(answer, channel)
        if self.terms.on_failure == "stop":
            raise error
        self._replace(answer.name.lower(), str(error), outputs)

    def _take(self, channel: Channel) -> None:
        self._channel = channel
        self._given = (None, [])
        # The outputs in the order in which the driver has them.
        self._received = [
            *(channel.tendencies[of] for of in self.tendencies),
            *(channel.fluxes[f.name] for f in self.fluxes),
            *(channel.diagnostics[f.name] for f in self.diagnostics),
        ]

    def _note(self, channel: Channel, began: float, ended: float) -> None:
        start, end = channel.spans()
        w = self.waits
        w.calls += 1
        w.host += ended - began
        if end > start:
            w.busy += end - start
        if self._ended and start > self._ended:
            w.server += start - self._ended
        self._ended = end
        if self.on_span is not None:
            self.on_span("wait", began, ended)
            self.on_span("call", start, end)

    def _silent(self, answer: Answer, channel: Channel) -> CouplerError:
        if answer is Answer.GONE:
            fate = self._fate()
            return ExchangeError.of(
                "the worker died",
                self._name,
                found=fate or channel.gone,
                remedy="look at its last words, or set on_failure: reference or hold",
            )
        silence = channel.silence()
        found = f"none; its last sign of life is {silence:.1f} s old"
        return ExchangeError.of(
            "no answer from the worker in time",
            self._name,
            expected=f"one within {self.terms.deadline:g} s",
            found=found if silence > 2.0 else "none; it is alive and computing",
            remedy="give it a longer deadline, or set on_failure: reference or hold",
        )

    def _replace(self, what: str, why: str, outputs: list[Array]) -> None:
        """The outputs without the server's answer."""
        self._count[what] += 1
        self._count["replaced"] += 1
        if self._count[what] == 1:  # every one is counted; the log needs the first
            place = "the reference" if self.terms.on_failure == "reference" else "the last answer"
            _log.warning("isthmus: warning: %s: %s takes its place: %s", self._name, place, why)
        if self.terms.on_failure == "hold":
            for out, kept in zip(outputs, self._last, strict=True):
                np.copyto(out, kept)
            return
        reference = self.reference
        assert reference is not None and self._kept is not None
        named = dict(zip(self._names(), outputs, strict=True))
        for array in outputs:
            array.fill(0.0)
        for _, array in self._reference_diag.items():
            array.fill(0.0)
        reference.compute(
            self._kept,
            Arrays(**{of: named[of] for of in reference.tendencies}),
            Arrays(**{f.name: named[f.name] for f in reference.fluxes}),
            self._reference_diag,
            self._now,
        )
        for name, array in self._reference_diag.items():
            if name in named:
                np.copyto(named[name], array)

    def _names(self) -> list[str]:
        return [
            *self.tendencies,
            *(f.name for f in self.fluxes),
            *(f.name for f in self.diagnostics),
        ]

    # -- memory -------------------------------------------------------------------------------

    def memory(self) -> dict[str, Array]:
        """What the scheme remembers, as it lies in the shared memory after each call.

        Beside it what may take its place; a restart of another transport does not have that.
        """
        assert self._channel is not None
        found = dict(self._channel.memory)
        if self._member.member:  # what counts over all columns is the first member's to tell
            found |= {n: np.zeros_like(found[n]) for n in self.declared_counted() if n in found}
        return found | self._own_memory()

    def declared_counted(self) -> tuple[str, ...]:
        """Names of numbers in the scheme's memory that count over columns."""
        counted = getattr(self.declared, "counted", tuple)
        return tuple(counted())

    def counted(self) -> tuple[str, ...]:
        """The same of all of the memory."""
        own = getattr(self.reference, "counted", tuple)
        return (*self.declared_counted(), *(f"reference.{n}" for n in own()))

    def may_lack(self) -> tuple[str, ...]:
        """What of the memory a restart may be without: that of another transport."""
        return tuple(self._own_memory())

    def _own_memory(self) -> dict[str, Array]:
        if self.terms.on_failure == "hold":
            return {f"hold.{n}": a for n, a in zip(self._names(), self._last, strict=True)}
        if self.terms.on_failure == "reference" and self.reference is not None:
            return {f"reference.{n}": a for n, a in self.reference.memory().items()}
        return {}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Puts it back; the server takes it up before the next call."""
        assert self._channel is not None
        for name, array in self._channel.memory.items():
            if not self._member.member or array.shape[-1:] == (self._host.ncol,):
                array[...] = memory[name]
        self._restore = bool(self._channel.memory)
        for name, array in self._own_memory().items():
            if name in memory:
                array[...] = memory[name]

    def counts(self) -> dict[str, int]:
        """What the scheme counts, and what went wrong between the processes."""
        own = {f"worker_{k}": v for k, v in self._count.items() if v and k != "calls"}
        if self._channel is None:
            return own
        first = not self._member.member  # they are those of all members
        return {**{n: int(a[0]) * first for n, a in self._channel.counts.items()}, **own}

    def close(self) -> None:
        """Hangs up."""
        if self._channel is not None:
            self._channel.close()


def _finite(arrays: list[Array]) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        return all(bool(np.isfinite(a.sum())) for a in arrays)
