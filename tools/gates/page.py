"""The page, made from stored results."""

from __future__ import annotations

from pathlib import Path

from gates.catalogue import GATES
from gates.store import ROOT, Result

PAGE = ROOT / "docs" / "results" / "dynamical-core.md"
HEADER = """\
# Test cases of the dynamical core

Made by `python tools/dynamical_core_results.py`; the numbers lie beside it in
[dynamical-core/](dynamical-core), one file per gate, with the commit, the versions and the
seconds that each took on one core of a shared machine. `--only NAME` runs one again.

"Reference" is what the paper prints or, for most, what an independent spectral model gave at the
same truncation.
"""


def assemble(page: Path, folder: Path) -> int:
    """Writes the page and returns how many gates are missed."""
    text, missed = render(folder)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    return missed


def render(folder: Path) -> tuple[str, int]:
    """The page's text and how many numbers are not where they have to be."""
    found = {name: Result.load(folder, name) for name in GATES}
    parts = [HEADER, _summary(found)]
    for name, result in found.items():
        if result is not None:
            parts.append(_section(GATES[name].title, result))
    missed = sum(len(r.missed) for r in found.values() if r is not None)
    return "\n".join(parts), missed


def _anchor(title: str) -> str:
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -")
    return kept.replace(" ", "-")


def _summary(found: dict[str, Result | None]) -> str:
    lines = ["| gate | met | seconds |", "|---|---|---|"]
    for name, result in found.items():
        title = GATES[name].title
        if result is None:
            lines.append(f"| {title} | not run yet | |")
            continue
        met = len(result.rows) - len(result.missed)
        score = f"{met} of {len(result.rows)}" if result.rows else "no gate"
        if result.missed:
            score = f"**{score}**"
        lines.append(f"| [{title}](#{_anchor(title)}) | {score} | {result.seconds:.0f} |")
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
