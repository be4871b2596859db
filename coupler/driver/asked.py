"""A case as it was asked for: with its changes, and the same from any working folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coupler.config import with_changes
from coupler.driver.discovery import absolute_file
from coupler.interface.errors import Problem
from coupler.where import BESIDE


def asked_for(
    raw: Mapping[str, Any],
    base: Path,
    *,
    set: Mapping[str, Any] | None = None,
    swap: Mapping[str, str] | None = None,
    plugins: Sequence[str | Path] = (),
) -> tuple[dict[str, Any], list[Problem]]:
    """`with_changes`, and `plugins` added to those of the case.

    Files of schemes, ``FILE.py:NAME``, get their whole paths where a swap names them, and where a
    case does that has them in the working folder instead of its own: so does the resolved case.

    Args:
        raw: the case as read.
        base: its folder.
        set: values by dotted key.
        swap: scheme by process.
        plugins: Python files with schemes, relative to the working folder.
    """
    swap = {process: absolute_file(scheme, base) for process, scheme in (swap or {}).items()}
    data, problems = with_changes(raw, set=set, swap=swap)
    for key in ("atmosphere", "physics", *BESIDE):
        if key in data:
            data[key] = _found(data[key], base)
    named = data.get("plugins")
    if plugins and isinstance(named, list | None):
        data["plugins"] = [*(named or []), *(str(Path(p).resolve()) for p in plugins)]
    return data, problems


def _found(node: Any, base: Path) -> Any:
    """Names of files that are not in `base` but in the working folder, with their whole paths."""
    if isinstance(node, Mapping):
        return {key: _found(value, base) for key, value in node.items()}
    if isinstance(node, str) and ".py:" in node:
        return node if (base / node.rpartition(":")[0]).is_file() else absolute_file(node, base)
    return node
