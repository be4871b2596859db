"""Parts of analyses that take long: processes of their own beside the runs, kept by their content.

A part is a function of words, which are JSON, and gives arrays. Who needs its answer looks whether
it is kept, and computes it where it is not: with or without a process of its own the numbers are
the same. What gives no answer is not kept, so that the one who needs it finds out why.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from coupler.compare.side_by_side import Children
from coupler.interface.files import write_json, write_whole

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One function of words."""

    name: str
    """For people who wait."""
    call: str
    """``module:function``, which takes the words and gives arrays; a `CouplerError` says that there
    is no answer."""
    words: Mapping[str, Any]
    file: Path
    """Of its answer, named by the content of all that decides it."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What became of a part in a process of its own."""

    part: Part
    why: str = ""
    """Why there is no answer."""
    wall: float = float("nan")
    """[s]"""


def kept(file: Path) -> Arrays | None:
    """The answer that is there, in the order in which it was given; None for a damaged file."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, EOFError, ValueError, BadZipFile):
        return None


def keep(part: Part, arrays: Arrays) -> None:
    """Writes an answer; it is there whole or not at all."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    write_whole(part.file, stream.getvalue())


def make(part: Part) -> None:
    """Computes an answer here and keeps it.

    Raises:
        CouplerError: when there is none.
    """
    module, _, name = part.call.partition(":")
    function: Callable[[Mapping[str, Any]], Arrays] = getattr(import_module(module), name)
    keep(part, function(part.words))


def make_alone(part: Part, children: Children) -> Made:
    """Computes it in a process of its own."""
    order, log = (part.file.with_suffix(end) for end in (".json", ".txt"))
    write_json(order, asdict(part))
    began = time.perf_counter()
    command = [sys.executable, "-m", "coupler.compare.alone", str(order)]
    status, _ = children.run(command, log)
    said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    why = "" if status == 0 else said[-1] if said else f"exit status {status}"
    return Made(part=part, why=why, wall=time.perf_counter() - began)


def ordered(path: Path) -> Part:
    """The part that another process is to compute."""
    words = json.loads(path.read_text())
    return Part(**{**words, "file": Path(words["file"])})
