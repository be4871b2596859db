"""Which code a result depends on, and whether that is still the code of a commit.

What a file reaches (`coupler.interface.source`) is followed inside ``physics``. The registry of
initial states is not followed: it imports every state, of which a gate uses one and lists that
one's file.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Sequence
from pathlib import Path

from coupler.interface import source
from coupler.interface.source import bare, stripped
from gates.store import ROOT

REGISTRY = "physics/dynamics/initial_states.py"


def reached(*starts: str, but: Sequence[str] = ()) -> tuple[str, ...]:
    """Files of ``physics`` that `starts` import, directly or not, and themselves.

    Args:
        starts: relative to the repository.
        but: files that are neither followed nor listed.
    """
    followed = (s for s in starts if s != REGISTRY)
    found = source.reached(*followed, inside=("physics/",), but=(*but, REGISTRY))
    return tuple(sorted({*found, *(s for s in starts if s == REGISTRY)}))


def changed_since(commit: str, patterns: Sequence[str], root: Path = ROOT) -> list[str]:
    """Files matching `patterns` whose code is not what it was in a commit.

    Comments, layout and documentation do not count, and neither do functions, classes and constants
    that were taken out of a file and are named nowhere in what is left of it.

    Raises:
        ValueError: when the commit is not in the repository, or says that it was not clean.
    """
    if not commit or "-" in commit or not _git(root, "cat-file", "-t", commit):
        raise ValueError(f"no clean commit: {commit or 'unknown'}")
    now = {p.relative_to(root).as_posix() for pattern in patterns for p in root.glob(pattern)}
    listed = _git(root, "ls-tree", "-r", "--name-only", commit).splitlines()
    before = {path for path in listed if any(_matches(path, pattern) for pattern in patterns)}
    touched = set(_git(root, "diff", "--name-only", commit, "--").splitlines())
    same = {p for p in now & before if p not in touched or _same(p, root, commit)}
    return sorted((now | before) - same)


def _matches(path: str, pattern: str) -> bool:
    """As ``Path.glob`` has it: a star does not cross folders."""
    return path.count("/") == pattern.count("/") and Path(path).match(pattern)


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else ""


def _same(path: str, root: Path, commit: str) -> bool:
    before = _git(root, "show", f"{commit}:{path}")
    now = (root / path).read_text(encoding="utf-8")
    if not path.endswith(".py"):
        return before == now
    return bare(before) == bare(now) or _only_less(before, now)


def _only_less(before: str, now: str) -> bool:
    """Whether `now` is `before` without some definitions that nothing in it names."""
    old, new = _statements(before), _statements(now)
    if [key for key in old if key in new] != list(new):
        return False
    gone = [node for key, node in old.items() if key not in new]
    named = [_defined(node) for node in gone if not isinstance(node, ast.Import | ast.ImportFrom)]
    words = {n.id for n in ast.walk(ast.parse(now)) if isinstance(n, ast.Name)}
    return all(name is not None and name not in words for name in named)


def _defined(node: ast.stmt) -> str | None:
    """The one name that a statement defines and does nothing else; None for other statements."""
    match node:
        case ast.FunctionDef(name=name, decorator_list=[]):
            return name
        case ast.ClassDef(name=name, decorator_list=[]):
            return name
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Tuple() | ast.Constant()):
            return name
    return None


def _statements(text: str) -> dict[str, ast.stmt]:
    """Statements of a file by their code, without documentation; imports name by name."""
    found: dict[str, ast.stmt] = {}
    for node in stripped(text).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                one = ast.ImportFrom(module=node.module, names=[alias], level=node.level)
                found[ast.dump(one)] = one
        elif not isinstance(node, ast.Pass):
            found[ast.dump(node)] = node
    return found
