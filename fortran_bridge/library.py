"""Shared libraries that hold Fortran routines: found, opened, and their symbols looked up."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

from coupler.interface.errors import ConfigError, nearest

PREFIX = "fortran:"
"""What a scheme's name begins with when it is a routine: ``fortran:./libmine.so:my_routine``."""


def split(scheme: str) -> tuple[str, str]:
    """Library and routine of ``fortran:LIBRARY:ROUTINE``.

    Raises:
        ConfigError: for another form.
    """
    library, _, routine = scheme.removeprefix(PREFIX).rpartition(":")
    if not library or not routine:
        raise ConfigError.of(
            "not the name of a Fortran routine",
            scheme,
            expected="fortran:LIBRARY:ROUTINE, for example fortran:./libmine.so:my_routine",
        )
    return library, routine


def locate(library: str, base: Path) -> Path | None:
    """The file of a library: beside the case, as given, or None to let the system look for it.

    Raises:
        ConfigError: when a path is given and there is no such file.
    """
    for path in (base / library, Path(library)):
        if path.is_file():
            return path.resolve()
    if "/" not in library:
        return None
    near = nearest(Path(library).name, [p.name for p in (base / library).parent.glob("*.so")])
    raise ConfigError.of(
        "no such library",
        library,
        expected=f"a shared library, relative to {base} or to the working folder",
        remedy=f"build it: gfortran -shared -fPIC -o {Path(library).name} SOURCE.f90; {near}",
    )


def open_library(library: str, path: Path | None) -> ctypes.CDLL:
    """The library, loaded into this process.

    Raises:
        ConfigError: with what the dynamic linker said.
    """
    try:
        return ctypes.CDLL(str(path or library))
    except OSError as error:
        raise ConfigError.of(
            "a library that cannot be loaded",
            library,
            found=str(error),
            remedy="build it for this machine with -shared -fPIC, or say in which folder it is",
        ) from error


def symbol(handle: ctypes.CDLL, routine: str, library: str, path: Path | None) -> int:
    """Address of a routine, by its binding label or by the name that gfortran and others give it.

    A ``subroutine Foo(...) bind(c)`` is ``foo``; one outside of a module without ``bind(c)`` is
    ``foo_``.

    Raises:
        ConfigError: when the library has none of them, with the near ones.
    """
    names = list(dict.fromkeys([routine, routine.lower(), f"{routine.lower()}_"]))
    for name in names:
        try:
            return ctypes.cast(getattr(handle, name), ctypes.c_void_p).value or 0
        except AttributeError:
            continue
    known = _symbols(path)
    raise ConfigError.of(
        "no such routine in the library",
        f"{routine} of {library}",
        expected=" or ".join(names),
        remedy=f"declare it with bind(c); {nearest(routine, known)}"
        if known
        else "declare it with bind(c)",
    )


def _symbols(path: Path | None) -> list[str]:
    """Routines that a library offers, where ``nm`` is there to say it; for messages only."""
    tool = shutil.which("nm")
    if path is None or tool is None:
        return []
    said = subprocess.run([tool, "-D", "--defined-only", str(path)], capture_output=True, text=True)
    words = [line.split() for line in said.stdout.splitlines()]
    names = [w[2] for w in words if len(w) == 3 and w[1] == "T"]
    return [n for n in names if not n.startswith(("_init", "_fini"))]
