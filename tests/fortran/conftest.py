"""What the tests of the Fortran bridge build with gfortran, once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from c_library import Server, load

from coupler.cli import main
from fortran_bridge.build import build

HERE = Path(__file__).resolve().parent
DEMO = HERE.parents[1] / "fortran_bridge" / "demo"
STRICT = ["-O2", "-std=f2018", "-Wall", "-Wextra", "-Werror", "-fimplicit-none"]


def compile_library(source: Path, library: Path, *flags: str) -> Path:
    """A shared library from one Fortran file."""
    command = ["gfortran", *flags, "-shared", "-fPIC", "-J", str(library.parent)]
    command += ["-o", str(library), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return library


@pytest.fixture(scope="session")
def routines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with the routines of routines.f90."""
    folder = tmp_path_factory.mktemp("routines")
    return compile_library(HERE / "routines.f90", folder / "libroutines.so", *STRICT)


@pytest.fixture(scope="session")
def ad99(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of the gravity-wave demo, with its declaration beside it."""
    folder = tmp_path_factory.mktemp("ad99")
    shutil.copy(DEMO / "gravity_wave_ad99.yaml", folder / "libgravity_wave_ad99.yaml")
    source = DEMO / "gravity_wave_ad99.f90"
    return compile_library(source, folder / "libgravity_wave_ad99.so", *STRICT)


@pytest.fixture(scope="session")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``isthmus bridge build`` makes, or one built with the flags of a test."""
    folder = tmp_path_factory.mktemp("bridge") / "made"
    flags = os.environ.get("ISTHMUS_TEST_FLAGS")
    if flags:
        build(folder, flags=flags.split())
    else:
        assert main(["bridge", "build", "--to", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def library(bridge: Path) -> Any:
    """The shared library with its signatures."""
    return load(bridge / "lib" / "libisthmus.so")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a server of the mirror scheme."""
    running = Server(tmp_path_factory.mktemp("server") / "mirror.sock")
    yield running.socket
    running.close()
