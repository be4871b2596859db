"""Results of gates as small JSON files, so that a page can be made again without running them.

A result says how it was made: command, commit, versions, machine, seconds, and a fingerprint of
the source files that it depends on (`coupler.interface.source`): a result is stale when the code
that gave it has changed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from coupler.interface.files import write_whole
from gates.rows import Data, Picture, Row, Table

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "results" / "dynamical-core"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one gate gave."""

    name: str
    text: str
    rows: list[Row]
    tables: list[Table] = field(default_factory=list)
    pictures: list[tuple[str, str]] = field(default_factory=list)
    """File name and caption."""
    data: dict[str, Any] = field(default_factory=dict)
    """Numbers that other gates use."""
    command: str = ""
    seconds: float = 0.0
    made: dict[str, str] = field(default_factory=dict)
    """Versions, commit and machine."""
    sources: str = ""
    """Fingerprint of the code, see `coupler.interface.source.fingerprint`."""

    @property
    def missed(self) -> list[Row]:
        """Rows that are not where they have to be."""
        return [row for row in self.rows if not row.good]

    def save(self, folder: Path) -> Path:
        """Writes ``NAME.json``."""
        data = asdict(self) | {"rows": [row.to_json() for row in self.rows]}
        path = folder / f"{self.name}.json"
        write_whole(path, json.dumps(data, indent=1, allow_nan=False) + "\n")
        return path

    @classmethod
    def load(cls, folder: Path, name: str) -> Result | None:
        """The stored result, or None when there is none."""
        path = folder / f"{name}.json"
        if not path.is_file():
            return None
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        data["rows"] = [Row.from_json(row) for row in data["rows"]]
        data["tables"] = [Table(**table) for table in data["tables"]]
        data["pictures"] = [tuple(p) for p in data["pictures"]]
        return cls(**data)


def collect(
    name: str, text: str, items: Iterable[Row | Table | Picture | Data], folder: Path | None
) -> Result:
    """Runs a gate to its end; its pictures are written to `folder`, if there is one.

    A long run that was stored before says with ``seconds`` in its numbers how long it took.
    """
    found = Result(name=name, text=" ".join(text.split()), rows=[])
    began = time.perf_counter()
    for item in items:
        if isinstance(item, Row):
            found.rows.append(item)
        elif isinstance(item, Table):
            found.tables.append(item)
        elif isinstance(item, Data):
            found.data.update(item.numbers)
        elif folder is not None:
            write_whole(folder / item.name, item.png)
            found.pictures.append((item.name, item.caption))
    seconds = float(found.data.pop("seconds", time.perf_counter() - began))
    made, sources = found.data.pop("made", {}), found.data.pop("sources", "")
    return replace(found, seconds=round(seconds, 1), made=made, sources=sources)
