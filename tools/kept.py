"""What tools keep of their work: under a name with a hash of all that decides it.

With other settings, other code or other versions the name is another one, and the work is done
anew; what was kept stays beside it. Whoever looks for something says in a line whether it is taken
or made anew.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from coupler.driver.info import versions
from coupler.interface.source import ROOT, fingerprint, reached

MODEL = ("coupler/**/*.py", "emulators/**/*.py", "physics/**/*.py")
"""What a run of the model depends on beside its case: parts of it are named by strings."""
_KEY = 16
_SAID: set[Path] = set()
_VERSIONS = ("python", "torch", "numpy", "numba")


def digest(what: Any) -> str:
    """The first digits of a hash of everything that decides a result."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:_KEY]


@cache
def model(*also: str) -> str:
    """Fingerprint of all code that runs of the model depend on, and of files beside it."""
    return fingerprint((*MODEL, *also), ROOT)


@cache
def code(*starts: str, inside: tuple[str, ...]) -> str:
    """Fingerprint of files and of all that they import; see `reached`."""
    return fingerprint(reached(*starts, inside=inside), ROOT)


def place(folder: Path, name: str, what: Any, suffix: str = "") -> Path:
    """Where something is kept, or will be: ``FOLDER/NAME_HASH.SUFFIX``.

    Args:
        folder: of all that is kept.
        name: for people.
        what: decides the result, with the versions of the packages that compute.
        suffix: of the file.
    """
    used = {n: v for n, v in versions().items() if n in _VERSIONS}
    return folder / f"{name}_{digest([what, used])}{suffix}"


def there(path: Path, within: str = "") -> bool:
    """Whether what `place` names is kept; says so, the first time that it is asked for.

    Args:
        path: a file, or a folder.
        within: the file of the folder that is written last.
    """
    found = (path / within).exists()
    if path not in _SAID:
        _SAID.add(path)
        _say(path, found)
    return found


def _say(path: Path, found: bool) -> None:
    name = path.stem[: -_KEY - 1]
    if found:
        print(f"{name}: kept, {path.name} is of these settings and this code", flush=True)
        return
    older = len(list(path.parent.glob(f"{name}_{'?' * _KEY}{path.suffix}")))
    why = f"{older} kept of other settings, code or versions" if older else "none is kept"
    print(f"{name}: made anew, {why}", flush=True)
