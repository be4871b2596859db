"""Finding schemes: our own packages, plugins, files named by a case, bundles, Fortran routines."""

from __future__ import annotations

import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from coupler.interface.component import Component
from coupler.interface.errors import ConfigError, CouplerError, Problem, nearest
from coupler.interface.registry import SCHEMES

_PACKAGES = ("physics.dynamics", "physics.columns", "physics.surface")
_BUNDLES = "emulators.bundles"


def discover(plugins: Sequence[str] = (), base: Path = Path()) -> list[Problem]:
    """Imports every module that may register a scheme; returns what could not be."""
    for package in _PACKAGES:
        for module in pkgutil.iter_modules(import_module(package).__path__):
            import_module(f"{package}.{module.name}")
    problems: list[Problem] = []
    for entry in entry_points(group="isthmus.schemes"):
        try:
            entry.load()
        except CouplerError as error:
            problems += error.problems
        except (Exception, SystemExit) as error:
            problems.append(
                Problem(
                    what="installed schemes do not load",
                    name=f"{entry.name} = {entry.value}",
                    found=f"{type(error).__name__}: {error}",
                    remedy="repair or uninstall the package that brings them",
                )
            )
    for plugin in plugins:
        path = Path(plugin) if Path(plugin).is_absolute() else base / plugin
        try:
            load_file(path)
        except CouplerError as error:
            problems += error.problems
    return problems


def load_file(path: Path) -> None:
    """Runs a Python file that registers schemes.

    Raises:
        ConfigError: when it does not exist or does not run.
    """
    if not path.is_file():
        near = nearest(path.name, [p.name for p in path.parent.glob("*.py")])
        raise ConfigError.of("no such plugin file", str(path), remedy=near)
    name = f"isthmus_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError.of("not a plugin", str(path), expected="a Python file, NAME.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except CouplerError:
        raise
    except (Exception, SystemExit) as error:  # a script may end Python itself
        raise ConfigError.of(
            "plugin does not run", str(path), found=_what_python_said(error, path)
        ) from error


def _what_python_said(error: BaseException, path: Path) -> str:
    """The error, with the line of the file that it comes from."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {message}" + (f" (line {line})" if line else "")


def bridge() -> Any:
    """The module that builds the C and Fortran library."""
    return import_module("fortran_bridge.build")


def bundle_tools() -> Any:
    """The module that shows, verifies and converts bundles."""
    return import_module("emulators.convert")


def unrolling() -> Any:
    """The module that steps the spectral core as a differentiable function."""
    return import_module("physics.dynamics.unroll")


def bundle_folder() -> Path:
    """Where the bundles that come with Isthmus lie."""
    return Path(next(iter(import_module("emulators").__path__))) / "bundles"


def shipped_bundles() -> dict[str, Path]:
    """Names and folders of the bundles that come with Isthmus."""
    return {p.parent.name: p.parent for p in sorted(bundle_folder().glob("*/bundle.yaml"))}


def bundle_path(scheme: str, base: Path) -> Path | None:
    """The folder of the bundle that `scheme` names, or None when it is no bundle."""
    if scheme in shipped_bundles():
        return shipped_bundles()[scheme]
    for folder in (base / scheme, Path(scheme)):
        if scheme and folder.is_dir():
            return folder
    return None


def bundle_process(folder: Path) -> str:
    """The process that a bundle is for.

    Raises:
        DataError: for a folder without a readable bundle.
    """
    return str(import_module("emulators.bundle").read_spec(folder).process)


def scheme_files(scheme: str, base: Path) -> list[Path]:
    """Where the file of ``FILE.py:NAME`` is looked for: in `base`, then in the working folder."""
    file = scheme.rpartition(":")[0]
    return list(dict.fromkeys(Path(p).absolute() for p in (base / file, Path(file))))


def absolute_file(scheme: str, base: Path) -> str:
    """``FILE.py:NAME`` with the whole path of the file, where there is one; others unchanged."""
    if ".py:" not in scheme or scheme.startswith("fortran:"):
        return scheme
    path = next(filter(Path.is_file, scheme_files(scheme, base)), None)
    return scheme if path is None else f"{path.resolve()}:{scheme.rpartition(':')[2]}"


def find_scheme(
    process: str,
    scheme: str,
    base: Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    weights: bool = True,
) -> type[Component]:
    """The class that `scheme` of `process` names: registered, in a file, a bundle, or Fortran.

    Args:
        process: its process.
        scheme: a name, a bundle's folder, ``FILE.py:NAME`` or ``fortran:LIBRARY:ROUTINE``.
        base: folder that relative file names are relative to; a file or a bundle that is not there
            is looked for in the working folder.
        parameters: what the case says beside it; a Fortran routine's tell where its declaration is.
        weights: without them a bundle's class declares what it is and cannot compute.

    Raises:
        ConfigError: for an unknown process or scheme, with the near ones.
        DataError: for a bundle that is damaged.
    """
    if scheme.startswith("fortran:"):
        from_routine = import_module("fortran_bridge.component").fortran_class
        routine: type[Component] = from_routine(scheme, base, process, parameters or {})
        return routine
    if ".py:" in scheme:
        return _in_file(process, scheme, base)
    known = SCHEMES.get(process)
    if known is None:
        raise ConfigError.of("unknown process", process, remedy=nearest(process, SCHEMES))
    if scheme in known:
        return known[scheme]
    folder = bundle_path(scheme, base)
    if folder is not None:
        from_bundle = import_module("emulators.component").emulator_class
        cls: type[Component] = from_bundle(folder, process, weights=weights)
        return cls
    bundles = list(shipped_bundles()) if process == "gravity_wave" else []
    remedy = nearest(scheme, [*known, *bundles])
    if "/" in scheme:
        remedy = f"there is no bundle in such a folder either; {remedy}"
    elif process not in ("atmosphere", "surface"):
        remedy += (
            " (or the path of a folder with a bundle, FILE.py:NAME or fortran:LIBRARY:ROUTINE)"
        )
    raise ConfigError.of("unknown scheme", f"{process}={scheme}", remedy=remedy)


def _in_file(process: str, scheme: str, base: Path) -> type[Component]:
    """The class that ``FILE.py:NAME`` names."""
    file, _, name = scheme.rpartition(":")
    looked = scheme_files(scheme, base)
    path = next(filter(Path.is_file, looked), None)
    if path is None:
        raise ConfigError.of(
            "no such plugin file",
            f"{process}={scheme}",
            expected=" or ".join(map(str, looked)),
            remedy=nearest(
                Path(file).name, {p.name for f in looked for p in f.parent.glob("*.py")}
            ),
        )
    load_file(path)
    known = SCHEMES.get(process, {})
    if name not in known:
        elsewhere = [f"{p}={name}" for p, schemes in SCHEMES.items() if name in schemes]
        raise ConfigError.of(
            "no such scheme in the file",
            f"{process}={scheme}",
            expected=f'a class under @scheme("{process}", "{name}")',
            remedy=f"it registers {elsewhere[0]}" if elsewhere else nearest(name, known),
        )
    return known[name]
