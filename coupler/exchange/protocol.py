"""The bytes of a channel: messages on the socket, words and tables in the shared memory.

docs/channel.md is this module in words, for clients in other languages. Everything is little-endian
and naturally aligned; texts are UTF-8, filled up with zero bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from coupler.interface.errors import ExchangeError

MAGIC = 0x48545349
"""``ISTH`` as the first four bytes of every message."""
FILE_MAGIC = int.from_bytes(b"ISTHMUS\0", "little")
"""First eight bytes of the shared memory."""
ORDER = 0x01020304
"""Tells a reader whose byte order is another."""
VERSION = 1
LONGEST = 65536
"""Bytes of the longest message, its header included."""


class Kind(IntEnum):
    """What a message is."""

    HELLO = 1
    """Client: who I am; with a memory file of the fields that never change, if there are any."""
    WELCOME = 2
    """Server: here is the shared memory."""
    REFUSED = 3
    """Server: no, with the reasons as text, one sentence in a line. It closes the connection."""
    RING = 4
    """Either: look at the words; only sent to one who said that it sleeps."""


class Role(IntEnum):
    """What a field of the shared memory is."""

    INPUT = 1
    TENDENCY = 2
    FLUX = 3
    DIAGNOSTIC = 4
    MEMORY = 5
    """What the scheme remembers, for the host's restart."""
    COUNT = 6
    """A number worth a place in the run's report."""


class Dims(IntEnum):
    """Along what a field runs; its last axis is the column, but for `OTHER`."""

    OTHER = 0
    COLUMN = 1
    LEVEL = 2
    INTERFACE = 3


class Status(IntEnum):
    """How a call ended."""

    DONE = 0
    FAILED = 1
    """The scheme raised; why stands in the text area."""


HEADER = struct.Struct("<IHHII")
"""magic, version, kind, length of the payload, reserved."""
HELLO = struct.Struct("<IIIIIIIIQ64s20sI32s64s32s64s")
PLANET = struct.Struct("<40sd")
NAME = struct.Struct("<48s")
OFFER = struct.Struct("<48s24sII")
WELCOME = struct.Struct("<QII")

RECORD = np.dtype(
    [
        ("name", "S48"),
        ("units", "S24"),
        ("role", "<u4"),
        ("dims", "<u4"),
        ("kind", "S4"),
        ("rank", "<u4"),
        ("shape", "<u4", 4),
        ("offset", "<u8"),
        ("stride", "<u8"),
        ("columns", "<u4"),
        ("reserved", "<u4"),
    ]
)
"""One line of the field table in the shared memory, 128 bytes."""

TOP = struct.Struct("<QIIQIIIIIIQQQQQQ32s64s")
"""magic, version, byte order, size; members, levels, columns, bytes of a real, fields, process id
of the server; offset and size of member blocks, of lines of the field table, of the text area;
process and scheme."""
SERVER_SLEEPS, HEARTBEAT = 512, 576
"""Offsets of the words that all members share."""
MEMBERS_AT = 1024
MEMBER_SIZE = 256
POSTED, CLIENT_SLEEPS, FLAGS = 0, 8, 16
CALL = struct.Struct("<qddiiiiiii")
CALL_AT = 24
"""step, seconds, dt, year, month, day, hour, minute, second, microsecond."""
DONE, STATUS, GONE, BEGAN, ENDED = 128, 136, 144, 152, 160
FIRST, COUNT = 168, 176
RESTORE = 1
"""Flag of a call: what stands in the memory fields is to be taken up first."""
TEXT_SIZE = 4096


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A field that a client gives or takes."""

    name: str
    units: str
    role: Role
    dims: Dims

    def __str__(self) -> str:
        return f"{self.role.name.lower()} {self.name} [{self.units}] on {self.dims.name.lower()}s"


@dataclass(frozen=True, kw_only=True, eq=False)
class Hello:
    """What a client says first."""

    ncol: int
    """Columns of this member."""
    dtype: np.dtype[Any]
    a: Sequence[float]
    b: Sequence[float]
    levels: str = "custom"
    seed: int = 0
    group: str = ""
    """Name that the members of one model share; empty: alone."""
    members: int = 1
    member: int = 0
    calendar: str = "standard"
    row: int = 0
    """Columns side by side in one row of the grid; 0: they have no rows. Schemes whose rounding
    depends on the shape of a batch compute row by row."""
    process: str = ""
    """What is wanted; empty: whatever the server has."""
    scheme: str = ""
    fingerprint: str = ""
    """Digest of scheme, parameters and weights; empty: not compared."""
    planet: dict[str, float] = field(default_factory=dict)
    """Constants that differ from the usual ones."""
    static: tuple[str, ...] = ()
    """Fields in the memory file that comes along: float64, ``[name, column]``."""
    offers: tuple[Offer, ...] = ()
    """Fields that the client gives and takes; none: whatever the scheme needs and gives."""

    @property
    def nlev(self) -> int:
        return len(self.a) - 1

    def pack(self) -> bytes:
        """The payload of the message."""
        head = HELLO.pack(
            self.nlev,
            self.ncol,
            self.dtype.itemsize,
            self.members,
            self.member,
            len(self.static),
            len(self.planet),
            len(self.offers),
            self.seed,
            _text(self.group, 64),
            _text(self.calendar, 20),
            self.row,
            _text(self.process, 32),
            _text(self.scheme, 64),
            _text(self.levels, 32),
            _text(self.fingerprint, 64),
        )
        parts = [head, np.asarray(self.a, "<f8").tobytes(), np.asarray(self.b, "<f8").tobytes()]
        parts += [PLANET.pack(_text(n, 40), v) for n, v in self.planet.items()]
        parts += [NAME.pack(_text(n, 48)) for n in self.static]
        parts += [
            OFFER.pack(_text(o.name, 48), _text(o.units, 24), o.role, o.dims) for o in self.offers
        ]
        return b"".join(parts)

    @classmethod
    def unpack(cls, payload: bytes) -> Hello:
        """The message in a payload.

        Raises:
            ExchangeError: when that makes no sense.
        """
        try:
            return cls._unpack(payload)
        except (struct.error, ValueError, UnicodeDecodeError) as error:
            raise ExchangeError.of(
                "a greeting that makes no sense",
                "hello",
                expected="the layout in docs/channel.md",
                found=str(error),
            ) from error

    @classmethod
    def _unpack(cls, payload: bytes) -> Hello:
        head = HELLO.unpack_from(payload)
        nlev, ncol, size, members, member, nstatic, nplanet, noffers, seed = head[:9]
        group, calendar = _plain(head[9]), _plain(head[10])
        row = head[11]
        process, scheme, levels, fingerprint = map(_plain, head[12:])
        if not (1 <= nlev <= 1000 and 1 <= ncol <= 2**27 and size in (4, 8)):
            raise ValueError(f"{nlev} levels, {ncol} columns, reals of {size} bytes")
        if not (1 <= members <= 65536 and member < members):
            raise ValueError(f"member {member} of {members}")
        if row and ncol % row:
            raise ValueError(f"{ncol} columns in rows of {row}")
        if max(nstatic, nplanet, noffers) > 1000:
            raise ValueError(f"{nstatic} static fields, {nplanet} constants, {noffers} fields")
        at = HELLO.size
        coefficients = np.frombuffer(payload, "<f8", 2 * (nlev + 1), at)
        at += coefficients.nbytes
        planet = [PLANET.unpack_from(payload, at + i * PLANET.size) for i in range(nplanet)]
        at += nplanet * PLANET.size
        static = [NAME.unpack_from(payload, at + i * NAME.size)[0] for i in range(nstatic)]
        at += nstatic * NAME.size
        offers = [OFFER.unpack_from(payload, at + i * OFFER.size) for i in range(noffers)]
        at += noffers * OFFER.size
        if at != len(payload):
            raise ValueError(f"{len(payload)} bytes where the counts give {at}")
        return cls(
            ncol=ncol,
            dtype=np.dtype(f"<f{size}"),
            a=coefficients[: nlev + 1].tolist(),
            b=coefficients[nlev + 1 :].tolist(),
            levels=levels,
            seed=seed,
            group=group,
            members=members,
            member=member,
            calendar=calendar,
            row=row,
            process=process,
            scheme=scheme,
            fingerprint=fingerprint,
            planet={_plain(n): float(v) for n, v in planet},
            static=tuple(_plain(n) for n in static),
            offers=tuple(
                Offer(name=_plain(n), units=_plain(u), role=Role(r), dims=Dims(d))
                for n, u, r, d in offers
            ),
        )


def message(kind: Kind, payload: bytes = b"", *, version: int = VERSION) -> bytes:
    """A message as it goes over the socket."""
    return HEADER.pack(MAGIC, version, kind, len(payload), 0) + payload


def opened(data: bytes) -> tuple[Kind, bytes]:
    """Kind and payload of a message.

    Raises:
        ExchangeError: for bytes that are no message, or one of another version.
    """
    found = ""
    if len(data) < HEADER.size:
        found = f"{len(data)} bytes"
    else:
        magic, version, kind, length, _ = HEADER.unpack_from(data)
        if magic != MAGIC:
            found = f"bytes that begin with {data[:4]!r}"
        elif version != VERSION:
            raise ExchangeError.of(
                "another version of the channel protocol",
                "channel",
                expected=f"version {VERSION}",
                found=f"version {version}",
                remedy="use the same version of Isthmus on both sides",
            )
        elif length != len(data) - HEADER.size:
            found = f"{len(data) - HEADER.size} bytes of payload where {length} were announced"
        elif kind not in Kind.__members__.values():
            found = f"a message of kind {kind}"
    if found:
        raise ExchangeError.of(
            "not the channel protocol", "channel", expected="a message as in docs/channel.md",
            found=found,
        )  # fmt: skip
    return Kind(kind), data[HEADER.size :]


def sentences(lines: Iterable[object]) -> bytes:
    """Reasons of a refusal as the payload of its message."""
    text = "\n".join(str(line) for line in lines)
    return text.encode()[: LONGEST // 2]


def _text(text: str, size: int) -> bytes:
    raw = text.encode()
    if len(raw) > size:
        raise ExchangeError.of(
            "a name too long for a channel",
            text,
            expected=f"at most {size} bytes",
            found=str(len(raw)),
        )
    return raw


def _plain(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode()
