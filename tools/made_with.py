"""With which Isthmus a run was made, for the pages of its results."""

from __future__ import annotations

import json
from pathlib import Path


def made_with(run: Path) -> str:
    """``Isthmus 0.1.0, commit `abc```, as ``run.json`` has it; empty where nothing is known."""
    path = run / "run.json"
    known = json.loads(path.read_text(encoding="utf-8")).get("versions") if path.is_file() else None
    if not known:
        return ""
    commit = known.get("commit")
    return f"Isthmus {known['isthmus']}" + (f", commit `{commit}`" if commit else "")
