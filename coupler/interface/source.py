"""Which code made a result: its version and commit, and a fingerprint of the files it depends on.

Comments, layout and documentation do not enter a fingerprint: what was kept is stale when the code
that gave it has changed. What a file depends on is found by its import statements (`reached`).
"""

from __future__ import annotations

import ast
import hashlib
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder with the packages."""


@cache
def commit() -> str:
    """Commit of the source tree, with ``-dirty`` when code differs from it; empty when unknown.

    Pages and their numbers, in ``docs``, change nothing that a run does.
    """
    if not (ROOT / ".git").exists():
        return ""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()

    try:
        found = git("rev-parse", "--short=12", "HEAD")
        changed = git("diff", "HEAD", "--name-only", "--", ".", ":(exclude)docs")
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{found}-dirty" if changed else found


def software(*packages: str) -> dict[str, str]:
    """Versions of Isthmus, Python and `packages`."""
    from importlib.metadata import PackageNotFoundError, version

    own = sys.modules["coupler"].__version__  # there: this is a part of it
    found = {"isthmus": own, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def fingerprint(patterns: Iterable[str], root: Path = ROOT) -> str:
    """SHA-256 of the code of all files that match `patterns`, its first 16 digits.

    Args:
        patterns: as of ``Path.glob``, relative to `root`.
        root: of the files.
    """
    digest = hashlib.sha256()
    for path in sorted({p for pattern in patterns for p in root.glob(pattern)}):
        text = path.read_text(encoding="utf-8")
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update((bare(text) if path.suffix == ".py" else text).encode())
    return digest.hexdigest()[:16]


def bare(source: str) -> str:
    """Python code without comments, layout and documentation."""
    return ast.dump(stripped(source))


def stripped(source: str) -> ast.Module:
    """The tree of Python code without documentation."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        kept = [
            n for n in body
            if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))
        ]  # fmt: skip
        node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return tree


def reached(
    *starts: str, inside: Sequence[str], but: Sequence[str] = (), root: Path = ROOT
) -> tuple[str, ...]:
    """`starts` and the files that they import, directly or not, by import statements.

    A name is that of a file from `root` on or, as scripts import each other, from the uppermost
    folder of the file that imports it. A package's own ``__init__.py`` counts where there is code
    in it; what is imported by a string is not seen.

    Args:
        starts: relative to `root`.
        inside: how paths begin that are followed and listed, besides `starts`.
        but: files that are neither.
        root: of the files.
    """
    found: set[str] = set()
    todo = list(starts)
    while todo:
        path = todo.pop()
        if path not in found and path not in but:
            found.add(path)
            todo += [p for p in _imports(path, root) if p.startswith(tuple(inside))]
    return tuple(sorted(found))


@cache
def _imports(path: str, root: Path) -> tuple[str, ...]:
    names: set[str] = set()
    for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    # Importing a part of a package runs the package's own file, too.
    names |= {".".join(n.split(".")[:i]) for n in names for i in range(1, n.count(".") + 1)}
    script = Path(path).parts[0]
    places = [f"{before}{n.replace('.', '/')}" for n in names for before in ("", f"{script}/")]
    files = {f"{p}.py" for p in places if (root / f"{p}.py").is_file()}
    packages = {f"{p}/__init__.py" for p in places}
    return tuple(sorted(files | {p for p in packages if _has_code(root / p)}))


def _has_code(path: Path) -> bool:
    if not path.is_file():
        return False
    return any(not isinstance(n, ast.Pass) for n in stripped(path.read_text("utf-8")).body)
