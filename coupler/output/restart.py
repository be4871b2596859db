"""Restart files: everything a run needs to go on, bit for bit, in one file per date.

A file ``restart_000000360.safetensors`` (the number is that of completed steps) holds every
component's memory as ``component/name``, and in its header two texts: ``isthmus`` (JSON: schema
version, case fingerprint, date, calendar, step, seconds and what the driver adds) and ``sha256``
over that JSON and all arrays. Files appear whole or not at all: they are written beside, synced and
renamed. The newest good one is found by itself; a damaged one is passed over, and that is said.

The safetensors format holds plain arrays only, so that reading a restart runs no code of its own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from coupler.interface.errors import DataError
from coupler.interface.parallel import ALONE, Parallel, Same, Spread
from coupler.output.background import Background
from coupler.parallel.agreement import together

Array = NDArray[Any]

SCHEMA = 1
"""Version of the layout; a file of another version is refused."""

_NAME = re.compile(r"^restart_(\d+)\.safetensors$")
_PARTIAL = ".partial"
_SAFETENSORS = {
    **{f"float{n}": f"F{n}" for n in (64, 32, 16)},
    **{f"int{n}": f"I{n}" for n in (64, 32, 16, 8)},
    **{f"uint{n}": f"U{n}" for n in (64, 32, 16, 8)},
    "bool": "BOOL",
}
"""Names of types in the format."""
_TYPES = set(_SAFETENSORS)
_COMPLEX = {"complex128": "float64", "complex64": "float32"}
"""Stored as pairs in a last dimension of two, because the format has no complex128."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What a restart says about when and of what it was made."""

    case: str
    """Fingerprint of the case, as the driver makes it."""
    date: str
    """Model date, ISO 8601."""
    calendar: str
    step: int
    """Completed steps."""
    seconds: float
    """Model time since the start of the run [s]."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the driver keeps, as JSON values; floats come back bit for bit."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Restart:
    """A restart that was read and found good."""

    path: Path
    moment: Moment
    arrays: Mapping[str, Array]
    """Every array by ``component/name``, with the type and bits it was written with."""
    passed_over: tuple[str, ...] = ()
    """Sentences about newer files that were damaged."""

    def memory(self, component: str) -> dict[str, Array]:
        """The arrays of one component, by their own names."""
        prefix = component + "/"
        return {k.removeprefix(prefix): a for k, a in self.arrays.items() if k.startswith(prefix)}


def write(
    folder: Path,
    memories: Mapping[str, Mapping[str, Array]],
    moment: Moment,
    keep: int = 2,
    *,
    young: int | None = None,
    spread: Mapping[str, Mapping[str, Spread]] | None = None,
    parallel: Parallel = ALONE,
) -> Path:
    """Writes a restart and then removes all but the `keep` newest and the young ones.

    In a parallel run rank 0 writes one array after another as the ranks hand them up, so that it
    never holds more than one of the globe's.

    Args:
        folder: where restarts lie; made if missing.
        memories: the arrays of every component, by component; what this rank has of them.
        moment: when and of what.
        keep: number of files to keep, at least 1.
        young: step from which on files are kept too; None: none for their age.
        spread: how arrays lie on the ranks, by component and name; others are the same on all.
        parallel: the ranks.

    Raises:
        DataError: for an array of a type that the format does not hold.
        OSError: when it cannot be written; what was there stays.
    """
    writing = Writing(folder, memories, moment, keep, young=young, spread=spread, parallel=parallel)
    together(parallel, writing.rest)
    return writing.path


class Writing:
    """A restart on its way to the disk: begun at once, handed over array by array.

    The arrays must stay as they are until all are handed over, on one rank until it is on disk.
    """

    def __init__(
        self,
        folder: Path,
        memories: Mapping[str, Mapping[str, Array]],
        moment: Moment,
        keep: int = 2,
        *,
        young: int | None = None,
        spread: Mapping[str, Mapping[str, Spread]] | None = None,
        parallel: Parallel = ALONE,
        background: Background | None = None,
    ) -> None:
        """Lists what is to be written, see `write`.

        Args:
            folder, memories, moment, keep, young, spread, parallel: see `write`.
            background: who writes; None: whoever calls.
        """
        same = Same(parallel)
        entries = [
            Entry(name=f"{component}/{name}", part=np.asarray(array), spread=ways.get(name, same))
            for component, memory in memories.items()
            for ways in [(spread or {}).get(component, {})]
            for name, array in memory.items()
        ]
        entries.sort(key=lambda entry: entry.name)
        for entry in entries:
            entry.check()
        complex_names = [e.name for e in entries if e.part.dtype.name in _COMPLEX]
        about = asdict(moment) | {"schema": SCHEMA, "complex": complex_names}
        text = json.dumps(about, sort_keys=True)
        self.path = Path(folder) / f"restart_{moment.step:09d}.safetensors"
        self._parallel, self._background = parallel, background
        self._entries = list(entries)
        self._file: _File | None = None
        if parallel.rank == 0:
            self._file = _File(self.path, entries, text, keep, young)

    @property
    def handed_over(self) -> bool:
        """Whether nothing is left to be handed over."""
        return not self._entries

    def advance(self) -> None:
        """Hands over what there is room for; called by all ranks, after each step."""
        while self._entries:
            if self._parallel.size > 1 and not self._parallel.most(self._has_room()):
                return
            self._hand_over()

    def rest(self) -> None:
        """Hands over all that is left, whether there is room or not.

        Raises:
            OSError: when it cannot be written, once the other ranks have given what they have.
        """
        error: OSError | None = None
        while self._entries:
            try:
                self._hand_over()
            except OSError as failed:
                error = error or failed
        if error is not None:
            raise error

    def _has_room(self) -> int:
        return int(self._file is not None and (not self._background or self._background.has_room))

    def _hand_over(self) -> None:
        entry = self._entries.pop(0)
        whole = entry.spread.on_first(entry.part)
        if self._file is None or whole is None:
            return
        file, last = self._file, not self._entries

        def task() -> None:
            file.append(entry, whole)
            if last:
                file.finish()

        if self._background is None:
            task()
        else:
            self._background.do(task, whole.nbytes)


class _File:
    """Rank 0's part of a restart: written beside, synced, renamed, older ones removed."""

    def __init__(
        self, path: Path, entries: Sequence[Entry], text: str, keep: int, young: int | None
    ) -> None:
        self._path, self._keep, self._young = path, keep, young
        self._beside = path.with_name(path.name + _PARTIAL)
        self._begin: tuple[Sequence[Entry], str] | None = (entries, text)
        self._failed = False

    def append(self, entry: Entry, whole: Array) -> None:
        if not self._failed:
            self._do(lambda: self._append(entry, whole))

    def finish(self) -> None:
        if not self._failed:
            self._do(self._finish)

    def _do(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            self._failed = True
            with suppress(OSError, AttributeError):
                self._file.close()
            with suppress(OSError):  # on a full disk it would only be in the way
                self._beside.unlink()
            raise OSError(error.errno, error.strerror or str(error), str(self._path)) from error

    def _append(self, entry: Entry, whole: Array) -> None:
        if self._begin is not None:
            folder = self._path.parent
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob("restart_*" + _PARTIAL):
                leftover.unlink()
            self._file = self._beside.open("wb")
            self._writer = _Writer(self._file, *self._begin)
            self._begin = None
        self._writer.append(entry, whole)

    def _finish(self) -> None:
        self._writer.finish()
        self._file.close()
        _fsync(self._beside)
        self._beside.replace(self._path)
        _fsync(self._path.parent)  # the rename itself
        for step, old in _numbered(self._path.parent)[: -max(self._keep, 1)]:
            if self._young is None or step < self._young:
                old.unlink()


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """One array of a restart that is being written."""

    name: str
    part: Array
    """What this rank has of it."""
    spread: Spread

    def check(self) -> None:
        """Refuses a type that the format does not hold."""
        kind = self.part.dtype.name
        if not self.part.dtype.isnative or kind not in _TYPES | set(_COMPLEX):
            raise DataError.of(
                "array cannot go into a restart",
                self.name,
                expected="numbers or booleans in the machine's byte order",
                found=f"type {self.part.dtype.str}",
            )

    @property
    def stored(self) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Type and shape in the file."""
        kind, shape = self.part.dtype.name, self.spread.shape(self.part)
        if kind in _COMPLEX:
            return np.dtype(_COMPLEX[kind]), (*shape, 2)
        return self.part.dtype, shape


class _Writer:
    """Writes a file of the safetensors format front to back, array by array.

    Eight bytes with the length of the header, the header in JSON with names, types, shapes and
    places, the arrays (https://github.com/huggingface/safetensors#format). The checksum in the
    header is known last and takes the place that was kept for it.
    """

    def __init__(self, file: BinaryIO, entries: Sequence[Entry], text: str) -> None:
        self._file, self._digest = file, hashlib.sha256(text.encode())
        room = "0" * hashlib.sha256().digest_size * 2
        header: dict[str, Any] = {"__metadata__": {"isthmus": text, "sha256": room}}
        at = 0
        for entry in entries:
            dtype, shape = entry.stored
            size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            header[entry.name] = {
                "dtype": _SAFETENSORS[dtype.name],
                "shape": list(shape),
                "data_offsets": [at, at + size],
            }
            at += size
        whole = json.dumps(header, separators=(",", ":")).encode()
        whole += b" " * (-len(whole) % 8)
        self._checksum_at = 8 + whole.index(f'"sha256":"{room}"'.encode()) + len('"sha256":"')
        file.write(len(whole).to_bytes(8, "little") + whole)

    def append(self, entry: Entry, whole: Array | None) -> None:
        assert whole is not None
        dtype, shape = entry.stored
        plain = np.ascontiguousarray(whole).reshape(-1).view(dtype)
        self._digest.update(f"\n{entry.name} {dtype.str} {shape}\n".encode())
        raw = plain.view(np.uint8).data
        self._digest.update(raw)
        self._file.write(raw)

    def finish(self) -> None:
        """Enters the checksum."""
        self._file.seek(self._checksum_at)
        self._file.write(self._digest.hexdigest().encode())


def remove_after(folder: Path, step: int) -> None:
    """Removes restarts of later steps than `step`: those of a state that was about to fail."""
    for number, path in _numbered(Path(folder)):
        if number > step:
            path.unlink()


def read(path: Path, *, case: str | None = None) -> Restart:
    """Reads one restart and checks it.

    Args:
        path: the file.
        case: fingerprint that it must have; None: any.

    Raises:
        DamagedError: when the file is truncated or its checksum is wrong.
        DataError: when it is missing, has another schema version or is of another case.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise DataError.of("no such restart file", str(path))
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedError.of(
            "restart file cannot be read",
            str(path),
            found=f"{error} ({path.stat().st_size} bytes)",
            remedy="remove it; the newest good one is used",
        ) from error
    text = header.get("isthmus")
    if text is None:
        raise DataError.of("not a restart of Isthmus", str(path))
    if _digest(text, stored) != header.get("sha256"):
        raise DamagedError.of(
            "restart file is damaged",
            str(path),
            expected=f"sha256 {header.get('sha256')}",
            found="another checksum",
            remedy="remove it; the newest good one is used",
        )
    about = json.loads(text)
    schema = about.pop("schema", None)
    if schema != SCHEMA:
        raise DataError.of(
            "restart of another version",
            str(path),
            expected=f"schema version {SCHEMA}",
            found=str(schema),
            remedy="continue with the version of Isthmus that wrote it, or begin a new run",
        )
    complex_names = about.pop("complex")
    moment = Moment(**about)
    if case is not None and moment.case != case:
        raise DataError.of(
            "restart of another case",
            str(path),
            expected=f"case {case}",
            found=f"case {moment.case}",
            remedy="resume with the case that wrote it, or choose another folder with --out",
        )
    arrays = {k: _from_stored(a) if k in complex_names else a for k, a in stored.items()}
    return Restart(path=path, moment=moment, arrays=arrays)


def newest_good(folder: Path, *, case: str | None = None) -> Restart:
    """The newest restart of a folder that is whole.

    Damaged ones are passed over with a warning in the log and a sentence in the result. A good one
    of another case or version is not passed over: it means that the folder is the wrong one.

    Raises:
        DataError: when no good restart is there, or for another case or version.
    """
    damaged: list[str] = []
    for _, path in reversed(_numbered(Path(folder))):
        try:
            found = read(path, case=case)
        except DamagedError as error:
            _log.warning("passed over: %s", error)
            damaged.append(str(error))
            continue
        return Restart(
            path=path, moment=found.moment, arrays=found.arrays, passed_over=tuple(damaged)
        )
    raise DataError.of(
        "no good restart",
        str(folder),
        found=" and ".join(damaged) or "no restart file",
        remedy="begin a new run, or give the folder of the run to continue",
    )


class DamagedError(DataError):
    """A restart that is truncated or whose checksum is wrong."""


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    """Restart files by step, oldest first."""
    found = [(_NAME.match(p.name), p) for p in folder.glob("restart_*")]
    return sorted((int(m[1]), p) for m, p in found if m)


def _from_stored(pairs: Array) -> Array:
    kind = next(c for c, real in _COMPLEX.items() if real == pairs.dtype.name)
    values: Array = pairs.view(kind)[..., 0]
    return values


def _digest(text: str, stored: Mapping[str, Array]) -> str:
    """SHA-256 over the header text and every array's name, type, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(stored):
        array = stored[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
