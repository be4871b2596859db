"""Errors of somebody's code, in a sentence: what Python said, and in which line of which file."""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path

import coupler
from coupler.interface.errors import Problem

INSIDE, STATE_KEPT = "in ", "The state before it is kept in "
"""How the notes begin that a run adds to the error of a scheme: where it was, what is left."""
TRACEBACK = "ISTHMUS_TRACEBACK"
"""Environment variable that asks for Python's own words."""
_ROOT = Path(coupler.__file__).parent.parent
_OURS = [_ROOT / name for name in ("coupler", "physics", "emulators", "fortran_bridge")]
_PYTHON = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]
_NOT_OF_CODE = OSError, MemoryError
"""Of the machine: a file or memory that is there another time."""


def what_python_said(error: Exception, *, in_ours: bool) -> str:
    """The error, with the last line that it passed through in a plugin, else in our own code."""
    frames = traceback.extract_tb(error.__traceback__)
    others = [f for f in frames if not _below(f.filename, [*_OURS, *_PYTHON])]
    ours = [f for f in frames if in_ours and not _below(f.filename, _PYTHON)]
    where = "".join(f" ({f.filename}, line {f.lineno})" for f in (others or ours)[-1:])
    return f"{type(error).__name__}: {error}{where}"


def _below(file: str, folders: list[Path]) -> bool:
    return file.startswith("<") or any(Path(file).is_relative_to(f) for f in folders)


def not_made(name: str, error: Exception) -> Problem:
    """What is wrong with a class of which no component can be made.

    Raises:
        Exception: the error itself where the machine is at fault.
    """
    if isinstance(error, _NOT_OF_CODE):
        raise error
    return Problem(
        what="component cannot be made",
        name=name,
        found=what_python_said(error, in_ours=False),
        remedy="see docs/add-a-component.md for what its class must have",
    )


def in_a_scheme(error: Exception, ranks: int) -> Problem | None:
    """What ended a run in the code of a scheme.

    None where Python shall say it itself: an error of another part, one on a rank of several (which
    ends the job), or one that was asked for by the environment variable ISTHMUS_TRACEBACK.
    """
    notes: list[str] = getattr(error, "__notes__", [])
    where = next((n for n in notes if n.startswith(INSIDE)), None)
    if where is None or ranks > 1 or os.environ.get(TRACEBACK) or isinstance(error, _NOT_OF_CODE):
        return None
    kept = [n[0].lower() + n[1:] for n in notes if n.startswith(STATE_KEPT)]
    return Problem(
        what="a scheme failed",
        name=where.removeprefix(INSIDE),
        found=what_python_said(error, in_ours=True),
        remedy="; ".join([*kept, f"{TRACEBACK}=1 shows Python's traceback"]),
    )
