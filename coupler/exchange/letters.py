"""A call as one message: a fixed head and named arrays in one piece of bytes, for `mpi`.

What lies in shared memory for two processes of a node (`shared`) is put into two such pieces where
messages have to carry it: one with what the client gives, one with the answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import cftime
import numpy as np

from coupler.interface.component import Array, Now
from coupler.interface.errors import ExchangeError
from coupler.interface.parallel import Peer

HEAD = np.dtype(
    [
        ("flags", "<u8"),
        ("status", "<u8"),
        ("step", "<i8"),
        ("seconds", "<f8"),
        ("dt", "<f8"),
        ("date", "<i4", 8),
        ("began", "<u8"),
        ("ended", "<u8"),
        ("text", "S4096"),
    ]
)
"""Of both letters: flags and moment of the call; status, times [ns] and reasons of the answer."""
RESTORE, LEAVE, ONLY_RESTORE = 1, 2, 4
"""Flags: take the memory up first; this is the last letter; and do nothing else."""
_ALIGN = 64
_NAP, _LONGEST_NAP = 20e-6, 1e-3
"""Sleep between looks for a message [s]: at first, and after a while."""

Row = tuple[str, str, str, tuple[int, ...]]
"""Part, name, kind and shape of an array."""


class Letter:
    """One message."""

    def __init__(self, rows: Sequence[Row]) -> None:
        """Makes room for it.

        Args:
            rows: its arrays.
        """
        sizes = [np.dtype(k).itemsize * int(np.prod(s, dtype=np.int64)) for _, _, k, s in rows]
        places, end = [], -(-HEAD.itemsize // _ALIGN) * _ALIGN
        for size in sizes:
            places.append(end)
            end += -(-size // _ALIGN) * _ALIGN
        self.bytes = np.zeros(end, np.uint8)
        self.head: Any = self.bytes[: HEAD.itemsize].view(HEAD)[0:1].reshape(())
        self._parts: dict[str, dict[str, Array]] = {}
        for (part, name, kind, shape), at, size in zip(rows, places, sizes, strict=True):
            array = self.bytes[at : at + size].view(kind).reshape(shape)
            self._parts.setdefault(part, {})[name] = array

    def part(self, name: str) -> dict[str, Array]:
        """The arrays of a part, by name."""
        return self._parts.get(name, {})

    def set_moment(self, now: Now) -> None:
        """Notes when the call is."""
        d, head = now.date, self.head
        head["step"], head["seconds"], head["dt"] = now.step, now.seconds, now.dt
        head["date"][:7] = (d.year, d.month, d.day, d.hour, d.minute, d.second, d.microsecond)

    def moment(self, calendar: str) -> Now:
        """When the call is."""
        head = self.head
        date = cftime.datetime(*(int(n) for n in head["date"][:7]), calendar=calendar)
        return Now(
            date=date,
            step=int(head["step"]),
            seconds=float(head["seconds"]),
            dt=float(head["dt"]),
        )


def rows(part: str, arrays: Mapping[str, Array]) -> list[Row]:
    """Lines of a letter for such arrays."""
    return [(part, name, a.dtype.str, a.shape) for name, a in arrays.items()]


def naps() -> Any:
    """Sleeps a little, and a little longer at each ``next``."""
    nap = _NAP
    while True:
        time.sleep(nap)
        nap = min(2.0 * nap, _LONGEST_NAP)
        yield


def answer_to(peer: Peer, greeting: object, who: str, seconds: float) -> list[list[Row]]:
    """The lines of both letters that the other side answers a greeting with.

    Raises:
        ExchangeError: when it refuses, or says nothing for so many seconds.
    """
    peer.tell(greeting)
    until, sleep = time.monotonic() + seconds, naps()
    while not peer.heard():
        if time.monotonic() > until:
            raise ExchangeError.of(
                "no answer from the rank that computes it",
                who,
                expected=f"one within {seconds:g} s",
            )
        next(sleep)
    kind, content = peer.hear()
    if kind == "refused":
        raise ExchangeError(*content)
    letters: list[list[Row]] = content
    return letters
