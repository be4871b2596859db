"""The server's end: the members of one model, their columns end to end, one call for all of them.

A group is complete when all of its members have said who they are. Their columns then lie end to
end in every field, so that a member that writes its part has gathered it, and a scheme sees one
contiguous batch. It is called when every member that is still there has posted.
"""

from __future__ import annotations

import os
import socket
import struct
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from pathlib import Path

import cftime
import numpy as np

from coupler.exchange import protocol as p
from coupler.exchange import sockets, words
from coupler.exchange.shared import Shared, Slot, create, memory_slots, read_static
from coupler.interface.component import Array, Arrays, Host, Now, Tendency
from coupler.interface.constants import Planet
from coupler.interface.errors import CouplerError, ExchangeError, Problem, nearest
from coupler.interface.fields import TENDENCY_UNITS, Field
from coupler.interface.grid import Grid, HybridLevels

_DIMS = {"column": p.Dims.COLUMN, "level": p.Dims.LEVEL, "interface": p.Dims.INTERFACE}
Greeting = tuple[socket.socket, p.Hello, Mapping[str, Array]]
"""A member before its group is complete: connection, what it said, its static fields."""


def dims_of(f: Field) -> p.Dims:
    """Along what a field runs."""
    return _DIMS[f.dims[0]]


def outputs_of(component: Tendency) -> list[p.Offer]:
    """What a scheme gives, as a client says that it takes it."""
    found = [
        p.Offer(name=of, units=TENDENCY_UNITS[of], role=p.Role.TENDENCY, dims=p.Dims.LEVEL)
        for of in component.tendencies
    ]
    found += [
        p.Offer(name=f.name, units=f.field.units, role=p.Role.FLUX, dims=dims_of(f.field))
        for f in component.fluxes
    ]
    found += [
        p.Offer(name=f.name, units=f.units, role=p.Role.DIAGNOSTIC, dims=dims_of(f))
        for f in component.diagnostics
    ]
    return found


def inputs_of(component: Tendency, available: Iterable[str] | None = None) -> list[p.Offer]:
    """What a scheme reads: of optional inputs those that are `available`, without it none."""
    have = None if available is None else set(available)
    return [
        p.Offer(name=port.name, units=port.units, role=p.Role.INPUT, dims=dims_of(port.field))
        for port in component.inputs
        if not port.optional or (have is not None and port.name in have)
    ]


def mismatches(component: Tendency, offers: tuple[p.Offer, ...], who: str) -> list[Problem]:
    """A sentence for each field in which client and server differ."""
    every = {(o.role, o.name): o for o in inputs_of(component, [i.name for i in component.inputs])}
    every |= {(o.role, o.name): o for o in outputs_of(component)}
    optional = {port.name for port in component.inputs if port.optional}
    given = {(o.role, o.name): o for o in offers}
    problems = []
    for key, own in every.items():
        if key not in given and not (own.role is p.Role.INPUT and own.name in optional):
            problems.append(
                Problem(
                    what="a field that the client does not have",
                    name=f"{own.name} of {who}",
                    expected=str(own),
                    found="none",
                )
            )
        elif key in given and given[key] != own:
            problems.append(
                Problem(
                    what="a field that the client declares otherwise",
                    name=f"{own.name} of {who}",
                    expected=str(own),
                    found=str(given[key]),
                )
            )
    problems += [
        Problem(
            what="a field that the scheme does not have",
            name=f"{o.name} of {who}",
            found=str(o),
            remedy=nearest(o.name, [n for r, n in every if r is o.role]),
        )
        for key, o in given.items()
        if key not in every
    ]
    return problems


def differences(first: p.Hello, other: p.Hello) -> list[Problem]:
    """Where two members of one group do not say the same."""
    own = ("ncol", "member")
    return [
        Problem(
            what="a member that differs from its group",
            name=f"{f.name} of member {other.member} of {first.group!r}",
            expected=repr(getattr(first, f.name)),
            found=repr(getattr(other, f.name)),
        )
        for f in dataclass_fields(p.Hello)
        if f.name not in own and getattr(first, f.name) != getattr(other, f.name)
    ]


def refuse_too_large(component: Tendency, hellos: Sequence[p.Hello]) -> None:
    """Refuses columns for which there is no memory, before anything of their size is made.

    Raises:
        ExchangeError: when the fields alone would take more than half of what is free.
    """
    fields = len(component.inputs) + len(outputs_of(component))
    ncol = sum(h.ncol for h in hellos)
    size = fields * (hellos[0].nlev + 1) * ncol * hellos[0].dtype.itemsize
    info = Path("/proc/meminfo").read_text(encoding="ascii").split()
    free = 1024 * int(info[info.index("MemAvailable:") + 1])
    if 2 * size > free:
        raise ExchangeError.of(
            "no memory for a channel",
            f"{component.process}={component.scheme}",
            expected=f"at most half of the {free / 1e9:.1f} GB that are free",
            found=f"{ncol} columns that need {size / 1e9:.1f} GB",
        )


class _Moment(Now):
    """When a call is, as the clients say it; the date is made for schemes that ask for it."""

    _date: cftime.datetime | None
    _said: list[int]
    _calendar: str

    def take(self, record: Array) -> None:
        """Takes up the record of a call."""
        self.step, self.seconds, self.dt, *said = p.CALL.unpack_from(record.data)
        if said != self._said:
            self._said, self._date = said, None

    @property
    def date(self) -> cftime.datetime:
        """Of the call."""
        if self._date is None:
            self._date = cftime.datetime(*self._said, calendar=self._calendar)
        return self._date

    @date.setter
    def date(self, date: cftime.datetime) -> None:
        self._date, self._said, self._calendar = date, [], date.calendar


class Group:
    """A complete group: a scheme that is set up for its columns, and the memory that all share."""

    def __init__(self, component: Tendency, greetings: list[Greeting]) -> None:
        """Sets the scheme up.

        Raises:
            CouplerError: when scheme and columns do not fit.
        """
        greetings = sorted(greetings, key=lambda g: g[1].member)
        hello = greetings[0][1]
        self.component = component
        self.connections: list[socket.socket | None] = [g[0] for g in greetings]
        refuse_too_large(component, [g[1] for g in greetings])
        host = _host(hello, [g[1].ncol for g in greetings], [g[2] for g in greetings])
        component.setup(host)
        who = f"{component.process}={component.scheme}"
        problems = mismatches(component, hello.offers, who) if hello.offers else []
        if problems:
            raise ExchangeError(*problems)
        self.name = who
        fd = create(
            _slots(component, hello, host),
            [g[1].ncol for g in greetings],
            nlev=host.nlev,
            real=host.dtype.itemsize,
            process=component.process,
            scheme=component.scheme,
        )
        try:
            self.shared = Shared(fd)
            self._bind(hello)
            words.store(self.heartbeat, time.monotonic_ns())
            self._welcome(fd)
        finally:
            os.close(fd)

    def _welcome(self, fd: int) -> None:
        """Hands the memory to the members."""
        payload = p.WELCOME.pack(len(self.shared.bytes), self.shared.head.fields, 0)
        for connection in list(self.connections):
            assert connection is not None
            try:
                sockets.send(connection, p.Kind.WELCOME, payload, (fd,))
            except OSError:
                self.leave(connection)

    def _bind(self, hello: p.Hello) -> None:
        s = self.shared
        self.x = Arrays(**s.fields(p.Role.INPUT))
        self.tend = Arrays(**s.fields(p.Role.TENDENCY))
        self.flux = Arrays(**s.fields(p.Role.FLUX))
        self.diag = Arrays(**s.fields(p.Role.DIAGNOSTIC))
        groups = (self.tend, self.flux, self.diag)
        self._outputs = [a for group in groups for _, a in group.items()]
        self._memory = s.fields(p.Role.MEMORY)
        self._counts = s.fields(p.Role.COUNT)
        self._remember()
        self._record = np.full(words.CALL_WORDS, -1, np.int64)
        first, size = s.address + s.block(0), s.block(1) - s.block(0)
        plan = (first, size, len(self.connections), int(self._record.ctypes.data))
        self._plan = np.array(plan, np.int64)
        self.sleeps = s.address + p.SERVER_SLEEPS
        self.heartbeat = s.address + p.HEARTBEAT
        self._number = self._found = 0
        start = cftime.datetime(2000, 1, 1, calendar=hello.calendar)
        self._now = _Moment(date=start, step=0, seconds=0.0, dt=0.0)

    @property
    def empty(self) -> bool:
        """Whether nobody is left."""
        return all(c is None for c in self.connections)

    def leave(self, connection: socket.socket) -> None:
        """A member that hung up is not waited for any more."""
        i = self.connections.index(connection)
        self.connections[i] = None
        words.store(self.shared.address + self.shared.block(i) + p.GONE, 1)

    def ready(self, turns: int = 1) -> bool:
        """Whether all members that are there have posted; looks up to `turns` times.

        A look brings the copy of the call's record up to date: what it found is kept for the call,
        whoever looks again before.
        """
        self._found |= words.gather(self._plan, self._number + 1, turns)
        return bool(self._found)

    def call(self) -> None:
        """Calls the scheme for all columns and tells the members; after `ready` said so."""
        began = time.monotonic_ns()
        self._number += 1
        found, self._found = self._found, 0
        status = int(p.Status.DONE)
        try:
            if found != words.READY:
                self._take_up(found)
            if not self.component.fills:
                for array in self._outputs:
                    array.fill(0.0)
            self.component.compute(self.x, self.tend, self.flux, self.diag, self._now)
            self._remember()
        except Exception as error:
            status = int(p.Status.FAILED)
            self.shared.text = said(error, self.name)
        if words.answer(self._plan, self._number, status, began, time.monotonic_ns()):
            self._ring()

    def answer(self) -> None:
        """The same for a group of one that has posted, where nobody looked before."""
        if self.ready():
            self.call()

    def _ring(self) -> None:
        """Wakes the members up that sleep."""
        for i, connection in enumerate(self.connections):
            at = self.shared.address + self.shared.block(i) + p.CLIENT_SLEEPS
            if connection is not None and words.load(at):
                # Its end shows on the socket; rings that it does not read are enough for it.
                with suppress(OSError):
                    sockets.ring(connection)

    def _take_up(self, found: int) -> None:
        """What the members said beside that they have posted: a time, or a memory."""
        if found & words.APART:
            self._record.fill(-1)
            raise self._apart()
        if found & words.OTHER_TIME:
            self._now.take(self._record)
        if found & words.RESTORE:
            self.component.restore({n: a.copy() for n, a in self._memory.items()})

    def _apart(self) -> CouplerError:
        said = []
        for i, connection in enumerate(self.connections):
            if connection is not None:
                at = self.shared.block(i)
                (posted,) = struct.unpack_from("<Q", self.shared.bytes, at + p.POSTED)
                (step,) = struct.unpack_from("<q", self.shared.bytes, at + p.CALL_AT)
                said.append(f"call {posted}, step {step}")
        return ExchangeError.of(
            "members of a group at different times",
            self.name,
            expected=f"call {self._number} of all, at one step",
            found=", ".join(said),
            remedy="call from all members in every step, or give each a group of its own",
        )

    def _remember(self) -> None:
        if self._memory:
            memory = self.component.memory()
            for name, slot in self._memory.items():
                np.copyto(slot, memory[name])
        if self._counts:
            counts = self.component.counts()
            for name, slot in self._counts.items():
                slot[...] = counts[name]


def _slots(component: Tendency, hello: p.Hello, host: Host) -> list[Slot]:
    n = {p.Dims.COLUMN: (), p.Dims.LEVEL: (host.nlev,), p.Dims.INTERFACE: (host.nlev + 1,)}
    offers = [o for o in hello.offers if o.role is p.Role.INPUT] or inputs_of(component)
    slots = [
        Slot(
            name=o.name,
            units=o.units,
            role=o.role,
            dims=o.dims,
            dtype=host.dtype,
            shape=(*n[o.dims], host.ncol),
        )
        for o in (*offers, *outputs_of(component))
    ]
    slots += memory_slots(component.memory(), host.ncol)
    slots += [
        Slot(
            name=name,
            units="1",
            role=p.Role.COUNT,
            dims=p.Dims.OTHER,
            dtype=np.dtype("<i8"),
            shape=(1,),
            columns=False,
        )
        for name in component.counts()
    ]
    return slots


def _host(hello: p.Hello, counts: list[int], static: list[Mapping[str, Array]]) -> Host:
    known = {f.name for f in dataclass_fields(Planet)}
    wrong = [n for n in hello.planet if n not in known]
    if wrong:
        raise ExchangeError(
            *(
                Problem(
                    what="unknown constant", name=f"planet.{n}", remedy=nearest(n, sorted(known))
                )
                for n in wrong
            )
        )
    joined = {n: np.concatenate([s[n] for s in static]) for n in hello.static}
    return Host(
        grid=_grid(sum(counts), hello.row, joined.get("lat")),
        levels=HybridLevels(a=np.array(hello.a), b=np.array(hello.b), name=hello.levels),
        planet=replace(Planet(), **hello.planet),
        dtype=hello.dtype,
        seed=hello.seed,
        static={n: np.ascontiguousarray(a, hello.dtype) for n, a in joined.items()},
    )


def _grid(ncol: int, row: int, lat: Array | None) -> Grid:
    """Columns in rows, one after the other; where on the globe only the static fields say."""
    if not row or row == ncol:
        return Grid.column(count=ncol)
    n = ncol // row
    return Grid(
        kind="rows",
        lat=np.zeros(n) if lat is None else np.asarray(lat[::row], np.float64),
        lon=360.0 / row * np.arange(row, dtype=np.float64),
        lat_bounds=np.linspace(-90.0, 90.0, n + 1),
        lon_bounds=360.0 / row * (np.arange(row + 1, dtype=np.float64) - 0.5),
        weights=np.full(n, 1.0 / n),
    )


def said(error: Exception, who: str) -> str:
    """An error as text for the other side: its kind, then a sentence in each line."""
    if isinstance(error, CouplerError):
        return "\n".join([type(error).__name__, *map(str, error.problems)])
    last = traceback.extract_tb(error.__traceback__)[-1]
    problem = Problem(
        what="the scheme broke off in its worker",
        name=who,
        found=f"{type(error).__name__}: {' '.join(str(error).split())} "
        f"({Path(last.filename).name}, line {last.lineno})",
    )
    return f"ExchangeError\n{problem}"


def greeting(connection: socket.socket, payload: bytes, fds: list[int]) -> Greeting:
    """What a client said first.

    Raises:
        ExchangeError: when that makes no sense.
    """
    hello = p.Hello.unpack(payload)
    if hello.static and len(fds) != 1:
        raise ExchangeError.of(
            "static fields without their file",
            ", ".join(hello.static),
            expected="one descriptor",
            found=str(len(fds)),
        )
    static = read_static(fds[0], hello.static, hello.ncol) if hello.static else {}
    return connection, hello, static


Build = Callable[[], Tendency]
"""Makes another instance of the scheme that a server serves."""
