"""Shared memory without a name: a sealed memory file with a head, member blocks and fields.

The server makes it and hands its descriptor over the socket. It has no name anywhere, so that
nothing is left of it once both sides are gone, however they went. Seals keep its size: neither side
can take pages away under the other.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coupler.exchange import protocol as p
from coupler.interface.component import Array
from coupler.interface.errors import CouplerError, ExchangeError

_ALIGN = 128
"""Two cache lines: processors fetch them in pairs."""
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One field of the shared memory, of all members."""

    name: str
    units: str
    role: p.Role
    dims: p.Dims
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    columns: bool = True
    """Whether the last axis is the column, so that each member has a part of its own."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """What stands at the beginning."""

    members: int
    nlev: int
    ncol: int
    real: int
    fields: int
    pid: int
    process: str
    scheme: str


def _up(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN


def static_file(arrays: Sequence[Array]) -> int:
    """A memory file with fields that never change, float64 one after the other."""
    fd = os.memfd_create("isthmus-static", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        for array in arrays:
            file.write(np.ascontiguousarray(array, "<f8").tobytes())
    return fd


def read_static(fd: int, names: Sequence[str], ncol: int) -> dict[str, Array]:
    """The fields in such a file; read, not mapped: a client may still shorten it.

    Raises:
        ExchangeError: when the file has another size.
    """
    size = len(names) * ncol * 8
    found = os.fstat(fd).st_size
    data = os.pread(fd, size, 0) if found == size else b""
    if len(data) != size:
        raise ExchangeError.of(
            "a file of static fields of another size",
            ", ".join(names),
            expected=f"{size} bytes",
            found=str(found),
        )
    values = np.frombuffer(data, "<f8").reshape(len(names), ncol)
    return {name: values[i].copy() for i, name in enumerate(names)}


class Shared:
    """The memory, mapped."""

    def __init__(self, fd: int) -> None:
        """Maps the file.

        Raises:
            ExchangeError: when it is not what the protocol says.
        """
        try:
            size = os.fstat(fd).st_size
            seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        except OSError as error:
            raise _not_ours(str(error)) from error
        if size < p.MEMBERS_AT or (seals & _SEALS) != _SEALS:
            raise _not_ours(f"{size} bytes, seals {seals:#x}")
        self.bytes = mmap.mmap(fd, size)
        self._whole = np.frombuffer(self.bytes, np.uint8)
        self.address = int(self._whole.ctypes.data)
        head = p.TOP.unpack_from(self.bytes)
        magic, version, order, total, members, nlev, ncol, real, fields, pid = head[:10]
        self._members_at, self._member_size, table, record, self._text_at, self._text_size = head[
            10:16
        ]
        if (magic, version, order, total) != (p.FILE_MAGIC, p.VERSION, p.ORDER, size):
            raise _not_ours(f"version {version}, {total} bytes")
        ends = (
            self._members_at + members * self._member_size,
            table + fields * record,
            self._text_at + self._text_size,
        )
        if max(ends) > size or record != p.RECORD.itemsize or self._member_size < p.MEMBER_SIZE:
            raise _not_ours("tables beyond its end")
        self.head = Head(
            members=members,
            nlev=nlev,
            ncol=ncol,
            real=real,
            fields=fields,
            pid=pid,
            process=head[16].rstrip(b"\0").decode(),
            scheme=head[17].rstrip(b"\0").decode(),
        )
        self.table = np.frombuffer(self.bytes, p.RECORD, fields, table)

    def block(self, member: int) -> int:
        """Offset of a member's block."""
        return int(self._members_at + member * self._member_size)

    def fields(self, role: p.Role, member: int | None = None) -> dict[str, Array]:
        """Fields of a role by name, shape [..., column]; a member's own columns, or all.

        Raises:
            ExchangeError: for a field that does not lie in the memory.
        """
        found: dict[str, Array] = {}
        for line in self.table[self.table["role"] == role]:
            shape = tuple(int(n) for n in line["shape"][: int(line["rank"])])
            dtype = np.dtype(line["kind"].decode())
            offset, count = int(line["offset"]), int(np.prod(shape, dtype=np.int64))
            if offset + count * dtype.itemsize > len(self.bytes):
                raise _not_ours(f"field {line['name'].decode()} beyond its end")
            array = np.frombuffer(self.bytes, dtype, count, offset).reshape(shape)
            if member is not None and line["columns"]:
                first, ncol = self.part(member)
                array = array[..., first : first + ncol]
            found[line["name"].decode()] = array
        return found

    def part(self, member: int) -> tuple[int, int]:
        """First column and number of columns of a member."""
        first, ncol = struct.unpack_from("<QQ", self.bytes, self.block(member) + p.FIRST)
        return int(first), int(ncol)

    @property
    def text(self) -> str:
        """What the server last had to say."""
        raw = bytes(self.bytes[self._text_at : self._text_at + self._text_size])
        return raw.partition(b"\0")[0].decode(errors="replace")

    @text.setter
    def text(self, text: str) -> None:
        raw = text.encode()[: self._text_size - 1]
        self.bytes[self._text_at : self._text_at + self._text_size] = raw.ljust(
            self._text_size, b"\0"
        )


def create(
    slots: Sequence[Slot],
    counts: Sequence[int],
    *,
    nlev: int,
    real: int,
    process: str,
    scheme: str,
) -> int:
    """A new sealed memory file for these fields; returns its descriptor.

    Args:
        slots: the fields, with the columns of all members.
        counts: columns of each member.
        nlev: layers.
        real: bytes of a real number.
        process: what is computed.
        scheme: by whom.

    Raises:
        ExchangeError: when there is no memory for it.
    """
    table_at = _up(p.MEMBERS_AT + len(counts) * p.MEMBER_SIZE)
    text_at = _up(table_at + len(slots) * p.RECORD.itemsize)
    offset = _up(text_at + p.TEXT_SIZE)
    table = np.zeros(len(slots), p.RECORD)
    for line, slot in zip(table, slots, strict=True):
        if len(slot.shape) > 4:
            raise ExchangeError.of(
                "a field with too many axes for a channel",
                f"{slot.name} of {process}={scheme}",
                expected="at most 4",
                found=str(len(slot.shape)),
            )
        line["name"], line["units"] = _short(slot.name, 48), _short(slot.units, 24)
        line["role"], line["dims"] = slot.role, slot.dims
        line["kind"], line["rank"] = slot.dtype.str[1:].encode(), len(slot.shape)
        line["shape"][: len(slot.shape)] = slot.shape
        line["offset"], line["columns"] = offset, slot.columns
        line["stride"] = slot.shape[-1] * slot.dtype.itemsize if slot.shape else 0
        offset = _up(offset + int(np.prod(slot.shape, dtype=np.int64)) * slot.dtype.itemsize)
    fd = os.memfd_create("isthmus", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(fd, 0, offset)  # pages that are missing later end a process
    except OSError as error:
        os.close(fd)
        raise ExchangeError.of(
            "no memory for a channel",
            f"{process}={scheme}",
            expected=f"{offset / 1e6:.1f} MB",
            found=error.strerror or str(error),
        ) from error
    head = p.TOP.pack(
        p.FILE_MAGIC,
        p.VERSION,
        p.ORDER,
        offset,
        len(counts),
        nlev,
        int(sum(counts)),
        real,
        len(slots),
        os.getpid(),
        p.MEMBERS_AT,
        p.MEMBER_SIZE,
        table_at,
        p.RECORD.itemsize,
        text_at,
        p.TEXT_SIZE,
        _short(process, 32),
        _short(scheme, 64),
    )
    os.pwrite(fd, head, 0)
    os.pwrite(fd, table.tobytes(), table_at)
    first = 0
    for i, ncol in enumerate(counts):
        os.pwrite(fd, struct.pack("<QQ", first, ncol), p.MEMBERS_AT + i * p.MEMBER_SIZE + p.FIRST)
        first += ncol
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_SEAL)
    return fd


def memory_slots(memory: Mapping[str, Array], ncol: int) -> list[Slot]:
    """Slots for what a scheme remembers."""
    return [
        Slot(
            name=name,
            units="",
            role=p.Role.MEMORY,
            dims=p.Dims.OTHER,
            dtype=array.dtype,
            shape=array.shape,
            columns=bool(array.ndim) and array.shape[-1] == ncol,
        )
        for name, array in memory.items()
    ]


def _short(text: str, size: int) -> bytes:
    raw = text.encode()
    if len(raw) > size:
        raise ExchangeError.of(
            "a name too long for a channel", text, expected=f"at most {size} bytes"
        )
    return raw


def _not_ours(found: str) -> CouplerError:
    return ExchangeError.of(
        "shared memory that is not a channel's",
        "channel",
        expected=f"a sealed file, version {p.VERSION}",
        found=found,
        remedy="use the same version of Isthmus on both sides",
    )
