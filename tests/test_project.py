"""The rules of the tree: who imports whom, how long a module is, what must never appear in it."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("coupler", "physics", "emulators", "fortran_bridge")
FOLDERS = (*PACKAGES, ".ci", "benchmarks", "cases", "docs", "examples", "tests", "tools")
CODE = (".py", ".f90", ".c", ".h", ".sh")
TEXT = (*CODE, "", ".cfg", ".j2", ".md", ".svg", ".toml", ".txt", ".yaml", ".yml")

NAMES_COMPONENTS = tuple(
    f"coupler.driver.{m}" for m in ("assemble", "discovery", "training", "evaluation", "online")
)
"""What names components of other packages: building a run, finding schemes, training emulators and
scoring them."""
MAY_IMPORT = {
    "coupler.interface": ("coupler.interface",),
    "coupler": ("coupler",),
    "physics": ("physics", "coupler.interface"),
    "emulators": ("emulators", "coupler.interface"),
    "fortran_bridge": ("fortran_bridge", "coupler.interface", "coupler.exchange"),
}
"""For a module, the longest matching line holds."""

PICKLES = ("pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal")
COMPONENT_NAME = re.compile(r"(physics|emulators|fortran_bridge)(\.[a-z_0-9]+)+$")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|work|scratch)/\w")


def _inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _modules() -> list[Path]:
    return sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))


def _files(suffixes: tuple[str, ...]) -> list[Path]:
    found = [p for p in ROOT.iterdir() if p.is_file() and not p.name.startswith(".")]
    found += [p for folder in FOLDERS for p in (ROOT / folder).rglob("*") if p.is_file()]
    return sorted(p for p in found if p.suffix in suffixes and "__pycache__" not in p.parts)


def _imports(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and full name of what is imported anywhere in a module, by statement or by string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".") if is_package else module.split(".")[:-1]
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, base] if base else parts)
            # `from coupler import driver` imports a module: the full name is what counts.
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Constant) and COMPONENT_NAME.match(str(node.value)):
            yield node.lineno, str(node.value)


def import_breaches(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """One sentence for each import that the rules of the tree forbid."""
    rule = max((r for r in MAY_IMPORT if _inside(module, r)), key=len)
    breaches = []
    for line, name in _imports(ast.parse(source), module, is_package=is_package):
        ours = any(_inside(name, package) for package in PACKAGES)
        allowed = any(_inside(name, package) for package in MAY_IMPORT[rule])
        if ours and not allowed and module not in NAMES_COMPONENTS:
            breaches.append(f"{module}:{line} imports {name}")
        if _inside(name, "mpi4py") and not _inside(module, "coupler.parallel"):
            breaches.append(f"{module}:{line} imports {name}, which coupler.parallel alone does")
        if any(_inside(name, bad) for bad in PICKLES):
            breaches.append(f"{module}:{line} imports {name}: no pickle is ever loaded")
    return breaches


def unsafe_loads(source: str, module: str) -> list[str]:
    """Calls that would unpickle: ``torch.load`` without ``weights_only=True``, ``allow_pickle``."""
    breaches = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        said = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
        if ast.unparse(node.func) == "torch.load" and said.get("weights_only") is not True:
            breaches.append(f"{module}:{node.lineno} torch.load without weights_only=True")
        if said.get("allow_pickle", False) is not False:
            breaches.append(f"{module}:{node.lineno} allow_pickle")
    return breaches


def test_imports_point_one_way() -> None:
    modules = _modules()
    assert len(modules) > 20  # the walk found the packages
    breaches = [
        breach
        for path in modules
        for breach in import_breaches(
            path.read_text(), _module_name(path), is_package=path.name == "__init__.py"
        )
    ]
    assert not breaches, "\n".join(breaches)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("coupler.interface.grid", "from coupler.driver import clock"),
        ("coupler.interface.grid", "from ..exchange import regrid"),
        ("coupler.output.netcdf", "import physics.columns.held_suarez"),
        ("coupler.output.netcdf", "def f():\n    from emulators import bundle"),
        ("coupler.driver.loop", "import_module('physics.dynamics.spectral')"),
        ("coupler.driver.loop", "from mpi4py import MPI"),
        ("physics.columns.radiation", "from coupler.exchange import regrid"),
        ("physics.columns.radiation", "import emulators"),
        ("emulators.component", "from physics.columns import ad99"),
        ("emulators.bundle", "import pickle"),
        ("fortran_bridge.server", "from coupler.driver import loop"),
    ],
)
def test_a_breach_of_the_import_rules_is_seen(module: str, source: str) -> None:
    assert len(import_breaches(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("coupler.interface.grid", "from coupler.interface.errors import ConfigError"),
        ("coupler.interface.grid", "from .errors import ConfigError"),
        ("coupler.driver.loop", "from coupler.interface import component"),
        ("coupler.driver.assemble", "import_module('physics.dynamics.spectral')"),
        ("coupler.parallel.world", "from mpi4py import MPI"),
        ("physics.columns.radiation", "from physics.columns.jit import njit"),
        ("emulators.bundle", "'''See physics.columns for the schemes.'''"),
        ("fortran_bridge.server", "from coupler.exchange import shared"),
    ],
)
def test_what_the_import_rules_allow_passes(module: str, source: str) -> None:
    assert import_breaches(source, module) == []


def test_nothing_in_the_packages_can_unpickle_a_file() -> None:
    breaches = [b for path in _modules() for b in unsafe_loads(path.read_text(), path.name)]
    assert not breaches, "\n".join(breaches)


@pytest.mark.parametrize(
    ("call", "unsafe"),
    [
        ("torch.load(path)", True),
        ("torch.load(path, weights_only=False)", True),
        ("torch.load(path, weights_only=True)", False),
        ("np.load(path, allow_pickle=True)", True),
        ("np.load(path)", False),
    ],
)
def test_a_call_that_unpickles_is_seen(call: str, unsafe: bool) -> None:
    assert bool(unsafe_loads(call, "module")) == unsafe


def test_a_module_is_one_idea_of_at_most_500_lines() -> None:
    lengths = {p.relative_to(ROOT): len(p.read_text().splitlines()) for p in _files(CODE)}
    assert lengths
    assert not {str(p): n for p, n in lengths.items() if n > 500}


def test_the_tree_names_no_path_of_a_machine() -> None:
    assert MACHINE_PATH.search("data = '/home/" + "someone/data'")
    assert not MACHINE_PATH.search("https://example.org/home/page")
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in _files(TEXT)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert not hits, "\n".join(hits)


def imported(*words: str) -> set[str]:
    """Modules that Python loads for these words."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}


def test_import_coupler_loads_neither_torch_nor_numba_nor_mpi() -> None:
    loaded = {name.split(".")[0] for name in imported("-c", "import coupler")}
    assert "coupler" in loaded
    assert not loaded & {"torch", "numba", "mpi4py"}


def test_a_run_waits_for_nothing_that_only_some_runs_need(tmp_path: Path) -> None:
    words = "-m coupler run cases/held_suarez_t21.yaml --days 0.25 --quiet --out"
    loaded = imported(*words.split(), str(tmp_path / "run"))
    assert "torch" in loaded
    few = {"xarray", "pandas", "matplotlib", "jinja2", "scipy.integrate", "scipy.interpolate"}
    assert not loaded & few
