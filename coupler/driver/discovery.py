"""Finding schemes: our own packages, installed plugins, files named by a case, and bundles."""

from __future__ import annotations

import importlib.util
import pkgutil
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

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
    for entry in entry_points(group="isthmus.schemes"):
        entry.load()
    problems: list[Problem] = []
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
        raise ConfigError.of("no such plugin file", str(path))
    name = f"isthmus_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError.of("not a Python file", str(path), expected="a name ending in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except CouplerError:
        raise
    except Exception as error:
        raise ConfigError.of(
            "plugin does not run", str(path), found=f"{type(error).__name__}: {error}"
        ) from error


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
        if folder.is_dir():
            return folder
    return None


def find_scheme(process: str, scheme: str, base: Path) -> type[Component]:
    """The class that `scheme` of `process` names: registered, in a file, or a bundle.

    Raises:
        ConfigError: for an unknown process or scheme, with the near ones.
        DataError: for a bundle that is damaged.
    """
    known = SCHEMES.get(process)
    if known is None:
        raise ConfigError.of("unknown process", process, remedy=nearest(process, SCHEMES))
    if scheme in known:
        return known[scheme]
    if ".py:" in scheme:
        file, _, name = scheme.rpartition(":")
        load_file(Path(file) if Path(file).is_absolute() else base / file)
        if name in known:
            return known[name]
    folder = bundle_path(scheme, base)
    if folder is not None:
        from_bundle = import_module("emulators.component").emulator_class
        cls: type[Component] = from_bundle(folder, process)
        return cls
    bundles = list(shipped_bundles()) if process == "gravity_wave" else []
    raise ConfigError.of(
        "unknown scheme",
        f"{process}={scheme}",
        remedy=nearest(scheme, [*known, *bundles]) + " A folder with a bundle is given by its path",
    )
