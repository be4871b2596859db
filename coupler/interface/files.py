"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes beside, syncs and renames: the file is there completely or as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """`write_whole` of a mapping as JSON."""
    write_whole(path, json.dumps(data, indent=2, default=str) + "\n")


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A place beside `path` to write a file to, which becomes `path` if nothing is raised.

    For what writes files itself; the place has the suffix of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
