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
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coupler.interface.errors import DataError

Array = NDArray[Any]

SCHEMA = 1
"""Version of the layout; a file of another version is refused."""

_NAME = re.compile(r"^restart_(\d+)\.safetensors$")
_PARTIAL = ".partial"
_TYPES = {"float64", "float32", "float16", "int64", "int32", "int16", "int8"}
_TYPES |= {"uint64", "uint32", "uint16", "uint8", "bool"}
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
    folder: Path, memories: Mapping[str, Mapping[str, Array]], moment: Moment, keep: int = 2
) -> Path:
    """Writes a restart and then removes all but the `keep` newest.

    Args:
        folder: where restarts lie; made if missing.
        memories: the arrays of every component, by component.
        moment: when and of what.
        keep: number of files to keep, at least 1.

    Raises:
        DataError: for an array of a type that the format does not hold.
    """
    from safetensors.numpy import save

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stored: dict[str, Array] = {}
    complex_names = []
    for component, memory in memories.items():
        for name, array in memory.items():
            key = f"{component}/{name}"
            stored[key], is_complex = _to_stored(key, np.asarray(array))
            if is_complex:
                complex_names.append(key)
    about = asdict(moment) | {"schema": SCHEMA, "complex": sorted(complex_names)}
    text = json.dumps(about, sort_keys=True)
    path = folder / f"restart_{moment.step:09d}.safetensors"
    beside = folder / (path.name + _PARTIAL)
    for leftover in folder.glob("restart_*" + _PARTIAL):
        leftover.unlink()
    whole = save(stored, metadata={"isthmus": text, "sha256": _digest(text, stored)})
    beside.write_bytes(whole)
    _fsync(beside)
    beside.replace(path)
    _fsync(folder)  # the rename itself
    for _, old in _numbered(folder)[: -max(keep, 1)]:
        old.unlink()
    return path


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


def _to_stored(name: str, array: Array) -> tuple[Array, bool]:
    kind = array.dtype.name
    if not array.dtype.isnative or kind not in _TYPES | set(_COMPLEX):
        raise DataError.of(
            "array cannot go into a restart",
            name,
            expected="numbers or booleans in the machine's byte order",
            found=f"type {array.dtype.str}",
        )
    plain = np.array(array, order="C", copy=None)
    if kind in _COMPLEX:
        pairs = plain.reshape(*plain.shape, 1).view(_COMPLEX[kind])
        return pairs, True
    return plain, False


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
