"""Recordings of a recipe: files that are there, and runs that are recorded once and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from coupler.interface.errors import ConfigError
from coupler.interface.files import write_whole
from coupler.interface.source import commit
from emulators.training.recipe import Recording


class Record(Protocol):
    """Makes a recording of a case: handed in, because emulators do not know the driver."""

    def __call__(
        self,
        case: Path,
        days: float,
        seed: int,
        overrides: Mapping[str, Any],
        out: Path,
        columns: int | None,
    ) -> Path:
        """Runs `case` for `days` and writes a recording at or below `out`; returns its path.

        `columns` of each call are recorded, all of them for None.
        """
        ...


def obtain(
    recording: Recording, here: Path, work: Path, record: Record | None, console: Console
) -> Path:
    """The recording's file, made where needed; one that is made is kept for the next time.

    Raises:
        ConfigError: see `case_of`.
    """
    there = file_of(recording, here, work)
    if recording.file is not None and there is not None:
        return there
    case = case_of(recording, here, record is not None)
    if there is not None:
        console.print(f"recording {case.name}: kept, {_age(there)}")
        return there
    assert record is not None and recording.days is not None
    console.print(f"recording {case.name}: {recording.days:g} days, seed {recording.seed}")
    out = _folder_of(recording, case, work)
    columns = None if recording.columns == "all" else recording.columns
    path = record(case, recording.days, recording.seed, recording.set, out, columns)
    # Written last: a recording without it was interrupted.
    write_whole(out / DONE, str(path.resolve().relative_to(out.resolve())))
    return path


DONE = "recording.path"
"""File that says where in its folder a recording lies that was made to its end."""


def file_of(recording: Recording, here: Path, work: Path) -> Path | None:
    """The file that a recording names, or that was made of its case; None where one is to be made.

    Args:
        recording: of a recipe.
        here: folder of the recipe.
        work: folder of recordings that were made.
    """
    if recording.file is not None:
        return here / recording.file
    case = here / str(recording.case)
    if not case.is_file():
        return None
    out = _folder_of(recording, case, work)
    done = out / DONE
    if done.is_file() and (kept := out / done.read_text(encoding="utf-8")).is_file():
        return kept
    return None


def case_of(recording: Recording, here: Path, records: bool) -> Path:
    """The case that is to be recorded.

    Args:
        recording: of a case.
        here: folder of the recipe.
        records: whether there is something that records.

    Raises:
        ConfigError: when it is not there, or nothing records.
    """
    case = here / str(recording.case)
    if not records:
        raise ConfigError.of(
            "recordings cannot be made here",
            str(case),
            remedy="use `isthmus train`, or give a file instead of a case",
        )
    if not case.is_file():
        raise ConfigError.of("no such case", str(case), remedy="paths are relative to the recipe")
    return case


def _folder_of(recording: Recording, case: Path, work: Path) -> Path:
    said = recording.model_dump_json(exclude={"skip_days", "case"})
    made_of = said + case.read_text(encoding="utf-8")
    return work / f"record_{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"


def _age(recording: Path) -> str:
    """Which code a recording that was kept is of."""
    try:
        said = json.loads(recording.with_name("run.json").read_text(encoding="utf-8"))
        made, now = str(said["versions"]["commit"]), commit() or "unknown"
    except (OSError, ValueError, KeyError):
        return "of code that is not known"
    if made == now and not made.endswith("-dirty"):
        return "of this commit"
    return f"of commit {made}, this is {now}; delete {recording.parent} to make it anew"
