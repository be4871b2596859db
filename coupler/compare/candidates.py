"""What is compared: schemes and bundles by the names that a user gives them.

The runs of a comparison are kept by the content of what made them: the case with its changes, the
files that it names, the bundles and scripts of its schemes, and the code of Isthmus but for the
comparison itself, so that a new table costs no new run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import coupler
from coupler.driver.discovery import absolute_file, bundle_path, bundle_process, discover
from coupler.input.fetch import places
from coupler.interface.errors import ConfigError, CouplerError, Problem, nearest
from coupler.interface.registry import SCHEMES
from coupler.output.folder import RunFolder

REFERENCE, BASELINE = "reference", "baseline"
"""Names of the case's own runs and of those that similarity is measured from."""
NONE = "none"
"""Name of the flow without any scheme, in linear analyses."""
_RESERVED = (REFERENCE, BASELINE, NONE, "truth", "control")
_LARGE = 1 << 26
"""Larger files are known by size and time of change instead of by their content [B]."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One column of the tables."""

    name: str
    scheme: str
    """As ``--swap`` takes it, file names absolute; empty for the process switched off."""
    own: bool = False
    """Whether it is the case's own scheme, with the parameters of the case: the case as it is."""
    repeats: bool = False
    """Whether it is that beside runs of the reference: with other starts it is the A/A test."""

    @property
    def off(self) -> bool:
        return not self.scheme


def parse(pairs: Sequence[str]) -> dict[str, str]:
    """Schemes by name from ``NAME=SCHEME`` words; a word without ``=`` names itself.

    Raises:
        ConfigError: with every name that is missing, reserved, given twice or no word.
    """
    found: dict[str, str] = {}
    problems = []
    for pair in pairs:
        name, equals, scheme = pair.partition("=")
        if not equals:
            name, scheme = re.sub(r"\W+", "_", Path(pair.rpartition(":")[2]).name), pair
        good = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and scheme
        if not good or name in _RESERVED or name in found:
            taken = "a name given twice" if name in found else "not a candidate"
            what = "a name that is taken" if name in _RESERVED else taken
            problems.append(
                Problem(
                    what=what,
                    name=pair,
                    expected="NAME=SCHEME, the name a word other than " + ", ".join(_RESERVED),
                    remedy="for example --candidates emulator=gw_column",
                )
            )
        else:
            found[name] = scheme
    if problems:
        raise ConfigError(*problems)
    return found


def process_of(
    schemes: Mapping[str, str], raw: Mapping[str, Any], base: Path, wanted: str | None
) -> str:
    """The process that all candidates are of.

    Args:
        schemes: by candidate.
        raw: the case.
        base: folder that file names are relative to.
        wanted: what the user says; None to find it.

    Raises:
        ConfigError: when they are of different processes, of none, or of one that the case lacks.
    """
    known = [str(p) for p in raw.get("physics") or {}]
    if wanted is not None:
        if wanted not in known:
            remedy = nearest(wanted, known)
            raise ConfigError.of("the case does not have such a process", wanted, remedy=remedy)
        return wanted
    discover(raw.get("plugins") or (), base)
    possible: dict[str, list[str]] = {}
    for name, scheme in schemes.items():
        possible[name] = _processes(scheme, known, base)
    common = [p for p in known if all(p in found for found in possible.values())]
    if len(common) == 1:
        return str(common[0])
    told = "; ".join(f"{n}: {', '.join(p) or 'none'}" for n, p in possible.items())
    raise ConfigError.of(
        "candidates without one process in common" if not common else "candidates of two processes",
        ", ".join(schemes) or "--candidates",
        expected=f"schemes of one of {', '.join(known)}",
        found=told or "no candidate",
        remedy="say which with --process, or correct a name (isthmus schemes lists them)",
    )


def _processes(scheme: str, known: Sequence[str], base: Path) -> list[str]:
    if ".py:" in scheme or scheme.startswith("fortran:"):
        return list(known)
    folder = bundle_path(scheme, base)
    if folder is not None and not any(scheme in SCHEMES.get(p, {}) for p in known):
        try:
            return [bundle_process(folder)]
        except CouplerError:
            return list(known)  # what is wrong with it is said when the case is checked
    return [p for p in known if scheme in SCHEMES.get(p, {})]


def absolute(scheme: str, base: Path) -> str:
    """A scheme with its file names absolute, so that it means the same from any folder."""
    if scheme.startswith("fortran:"):
        lead, library, routine = scheme.split(":", 2)
        return ":".join((lead, str((base / library).resolve()), routine))
    if ".py:" in scheme:
        return absolute_file(scheme, base)
    for folder in (base / scheme, Path(scheme)):
        if "/" in scheme and folder.is_dir():
            return str(folder.resolve())
    return scheme


# -- content ---------------------------------------------------------------------------------------


def fingerprint(raw: Mapping[str, Any], base: Path, more: Sequence[str] = ()) -> str:
    """Hash of all that decides a run's numbers.

    Args:
        raw: the case with its changes.
        base: folder that its file names are relative to.
        more: what else tells one run from another.
    """
    digest = hashlib.sha256(code_version().encode())
    digest.update(json.dumps(raw, sort_keys=True, default=str).encode())
    for word in more:
        digest.update(word.encode())
    paths = set(_files_named(raw, base))
    if isinstance(raw.get("branch"), str):
        paths.update(RunFolder(base / raw["branch"]).restart.glob("*.safetensors"))
    for path in sorted(paths):
        digest.update(_content(path).encode())
    return digest.hexdigest()[:16]


def _files_named(node: Any, base: Path) -> list[Path]:
    """Files and folders that exist under a name that stands in the case, where a run looks."""
    if isinstance(node, Mapping):
        return [p for v in node.values() for p in _files_named(v, base)]
    if isinstance(node, list):
        return [p for v in node for p in _files_named(v, base)]
    if not isinstance(node, str) or not node or "\n" in node:
        return []
    words = [node, node.rpartition(":")[0], *node.split(":")[1:2]]
    try:
        folder = bundle_path(node, base)
        if folder is not None and (folder / "bundle.yaml").is_file():
            return [folder]
        looked = [places(w, beside=base) for w in words if w]
        return [p for of in looked if (p := next(filter(Path.is_file, of), None)) is not None]
    except (OSError, RuntimeError):  # a text that is too long for a name, or begins with ~
        return []


@cache
def _content(path: Path) -> str:
    if path.is_dir():
        return " ".join(_content(p) for p in sorted(path.iterdir()) if p.is_file())
    stat = path.stat()
    if stat.st_size > _LARGE:
        return f"{path.name} {stat.st_size} {stat.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def code_version() -> str:
    """Hash of the sources that a run is made of: all packages but the comparison."""
    digest = hashlib.sha256(coupler.__version__.encode())
    root = Path(coupler.__file__).parents[1]
    for package in ("coupler", "physics", "emulators", "fortran_bridge"):
        for path in sorted((root / package).rglob("*")):
            name = path.relative_to(root)
            own = path.suffix in (".py", ".c", ".h", ".f90") or package == "physics"
            if path.is_file() and own and "__pycache__" not in name.parts:
                if "compare" in name.parts or path.name == "cli.py":
                    continue
                digest.update(name.as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
