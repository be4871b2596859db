"""The page, made from stored results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from coupler.driver.info import versions
from coupler.interface.files import write_whole
from gates.catalogue import GATES, state_of
from gates.store import ROOT, Result

STATE = "page.json"
"""Beside the results: of which commit the page is, and which results are of other code."""
PAGE = ROOT / "docs" / "results" / "dynamical-core.md"
HEADER = """\
# Test cases of the dynamical core

Made by `python tools/dynamical_core_results.py`; the numbers lie beside it in
[dynamical-core/](dynamical-core), one file per gate, with the commit, the versions and the
seconds that each took on one core of a shared machine. `--only NAME` runs one again.

"Reference" is what the paper prints or, for most, what an independent spectral model gave at the
same truncation. "Older" under code: what the gate depends on has changed between its run and the
commit at which this page was made{commit}; the number is that of the commit named with it.
"""


def assemble(page: Path, folder: Path) -> int:
    """Writes the page and returns how many gates are missed."""
    older = [name for name in GATES if state_of(name, folder) == "stale"]
    state = {"commit": versions().get("commit", ""), "older": older}
    write_whole(folder / STATE, json.dumps(state, indent=1) + "\n")
    text, missed = render(folder)
    write_whole(page, text)
    return missed


def render(folder: Path) -> tuple[str, int]:
    """The page's text and how many numbers are not where they have to be."""
    found = {name: Result.load(folder, name) for name in GATES}
    path = folder / STATE
    state = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    commit = f" (`{state['commit']}`)" if state.get("commit") else ""
    parts = [HEADER.format(commit=commit), _summary(found, state.get("older", []))]
    for name, result in found.items():
        if result is not None:
            text = " ".join(GATES[name].text.split()) or result.text
            parts.append(_section(GATES[name].title, replace(result, text=text)))
    missed = sum(len(r.missed) for r in found.values() if r is not None)
    return "\n".join(parts), missed


def _anchor(title: str) -> str:
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -")
    return kept.replace(" ", "-")


def _summary(found: dict[str, Result | None], older: list[Any]) -> str:
    lines = ["| gate | met | code | seconds |", "|---|---|---|---|"]
    for name, result in found.items():
        title = GATES[name].title
        if result is None:
            lines.append(f"| {title} | not run yet | | |")
            continue
        met = len(result.rows) - len(result.missed)
        score = f"{met} of {len(result.rows)}" if result.rows else "no gate"
        if result.missed:
            score = f"**{score}**"
        code = "older" if name in older else "this"
        lines.append(f"| [{title}](#{_anchor(title)}) | {score} | {code} | {result.seconds:.0f} |")
    return "\n".join(lines) + "\n"


def _section(title: str, result: Result) -> str:
    lines = [f"## {title}", "", result.text, ""]
    if result.rows:
        lines += ["| quantity | ours | reference | gate | met |", "|---|---|---|---|---|"]
        lines += ["| " + " | ".join(row.cells()) + " |" for row in result.rows] + [""]
    for table in result.tables:
        lines += [*table.lines(), ""]
    for name, caption in result.pictures:
        lines += [f"![{caption}](dynamical-core/{name})", "", f"*{caption}*", ""]
    commit = result.made.get("commit", "")
    made = f"commit `{commit}`" if commit else "commit unknown"
    lines += [f"`{result.command}`, {result.seconds:.0f} s, {made}.", ""]
    return "\n".join(lines)
