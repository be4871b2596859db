"""Fortran programs that call Isthmus: the module, the demos, with and without MPI."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from c_library import ROOT, Server, environment

from coupler.config import read_yaml
from coupler.diagnostics.qbo import oscillation
from coupler.driver import loop
from coupler.driver.assemble import assemble

HERE = Path(__file__).resolve().parent
DEMO = ROOT / "fortran_bridge" / "demo"
STRICT = ["-O2", "-std=f2018", "-Wall", "-Wextra", "-fimplicit-none"]
SYSTEM = {"linux-vdso", "ld-linux-x86-64", "libc", "libm", "libgfortran", "libpthread"}
"""What a program may need beside what libgfortran itself does (libquadmath, libgcc_s)."""

Build = Callable[..., Path]


@pytest.fixture(scope="module")
def build(bridge: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("programs")

    def make(source: Path, *more: str, name: str = "") -> Path:
        program = folder / (name or source.stem)
        command = ["gfortran", *STRICT, "-J", str(folder), f"-I{bridge}/include", "-o"]
        command += [str(program), str(source), f"{bridge}/lib/libisthmus.a", *more]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return program

    return make


@pytest.fixture(scope="module")
def with_mpi(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shallow-water demo on MPI ranks: MPI's C compiler, and what it links."""
    folder = tmp_path_factory.mktemp("mpi")
    mpicc, ranks = scripts() / "mpicc", folder / "ranks_mpi.o"
    command = [str(mpicc), "-O2", "-Wall", "-Wextra", "-c", str(DEMO / "ranks_mpi.c"), "-o"]
    done = subprocess.run([*command, str(ranks)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = subprocess.run([str(mpicc), "-show"], capture_output=True, text=True, check=True)
    links = [w for w in shown.stdout.split()[1:] if w.startswith(("-L", "-l", "-Wl"))]
    return build(DEMO / "shallow_water.f90", str(ranks), *links, name="shallow_water_mpi")


def scripts() -> Path:
    return Path(sysconfig.get_path("scripts"))


def call(command: list[str | Path], cwd: Path, **variables: str) -> str:
    """What a program prints."""
    env = environment() | {"ISTHMUS_PYTHON": sys.executable} | variables
    done = subprocess.run(
        list(map(str, command)), env=env, cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_procedure_of_the_module_does_what_it_says(
    build: Build, server: Path, tmp_path: Path
) -> None:
    said = call([build(HERE / "api.f90")], tmp_path, ISTHMUS_SOCKET=str(server))
    assert said == "0 failures\n"


def test_every_procedure_does_the_same_with_an_interpreter_in_the_process(
    build: Build, tmp_path: Path
) -> None:
    scheme = f"test_bridge={HERE / 'served.py'}:mirror"
    said = call([build(HERE / "api.f90"), scheme], tmp_path, ISTHMUS_TRANSPORT="embedded")
    assert said == "0 failures\n"


def test_openmp_threads_call_with_sessions_of_their_own_as_a_group_and_with_one(
    build: Build, server: Path, tmp_path: Path
) -> None:
    program = build(HERE / "threads.f90", "-fopenmp")
    for threads in (1, 3, 4):  # more than there may be cores: they take turns there too
        variables = {"OMP_NUM_THREADS": str(threads), "ISTHMUS_SOCKET": str(server)}
        assert call([program], tmp_path, **variables) == f"{threads} threads, 0 failures\n"


def test_a_program_without_status_stops_with_the_sentence(build: Build, tmp_path: Path) -> None:
    env = environment() | {"ISTHMUS_COMMAND": "no-such-command"}
    done = subprocess.run(
        [build(DEMO / "qbo_column.f90")], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "isthmus: the server did not start: " in done.stderr
    assert "put isthmus on the PATH" in done.stderr


def test_a_program_needs_nothing_but_the_system_s_libraries(build: Build) -> None:
    program = build(DEMO / "qbo_column.f90")
    linked = subprocess.run(["objdump", "-p", program], capture_output=True, text=True, check=True)
    needed = set(re.findall(r"NEEDED +([\w-]+)\.so", linked.stdout))
    assert needed <= SYSTEM, needed
    assert "libgfortran" in needed


def python_winds(years: int) -> np.ndarray:
    """Wind at 25 km at the start of each day [m s-1], by Isthmus's own QBO model."""
    case = ROOT / "cases" / "qbo_1d.yaml"
    model = assemble(read_yaml(case), case.parent)
    wind = model.atmosphere.columns()["ua"]
    found = np.empty(360 * years)
    for day in range(found.size):
        model.atmosphere.columns()
        found[day] = wind[40, 0, 0]
        loop.step(model)
    return found


def test_the_qbo_in_fortran_is_the_one_in_python_day_by_day(build: Build, tmp_path: Path) -> None:
    years = 32
    said = call([build(DEMO / "qbo_column.f90"), str(years), "wind.bin"], tmp_path)
    theirs, ours = np.fromfile(tmp_path / "wind.bin"), python_winds(years)
    # The same formulas with sums in another order; the oscillation is periodic, errors do not grow.
    assert np.abs(theirs - ours).max() < 1e-6
    assert np.abs(ours).max() > 25.0
    printed = float(said.split()[1])
    # Twenty years after the spin-up place the period to 0.02 months; printed by 96: 25.66.
    assert printed == pytest.approx(oscillation(ours[360 * 12 :], 1.0).crossing_period, abs=1e-3)
    assert printed == pytest.approx(25.66, abs=0.02)


def test_the_interpreter_in_the_process_gives_the_same_bits(build: Build, tmp_path: Path) -> None:
    program = build(DEMO / "qbo_column.f90")
    call([program, "1", "shared.bin"], tmp_path)
    call([program, "1", "embedded.bin"], tmp_path, ISTHMUS_TRANSPORT="embedded")
    shared, embedded = (np.fromfile(tmp_path / f"{n}.bin") for n in ("shared", "embedded"))
    np.testing.assert_array_equal(embedded, shared)
    assert shared.size == 360


def test_an_embedded_interpreter_that_is_missing_or_refuses_is_said(
    build: Build, tmp_path: Path
) -> None:
    program = build(DEMO / "qbo_column.f90")
    env = environment() | {"ISTHMUS_TRANSPORT": "embedded", "ISTHMUS_PYTHON": "/no/such/python"}
    done = subprocess.run([program], env=env, capture_output=True, text=True, cwd=tmp_path)
    assert "no Python to embed: /no/such/python; set ISTHMUS_PYTHON" in done.stderr


# -- shallow water ----------------------------------------------------------------------------

NX, NY = 61, 31


def fields(path: Path) -> np.ndarray:
    """h u v of the shallow-water demo."""
    return np.fromfile(path).reshape(3, NY, NX)


def mpiexec(program: Path, ranks: int, *words: str) -> list[str | Path]:
    return [scripts() / "mpiexec", "-n", str(ranks), program, *words]


def test_ranks_on_one_server_give_the_bits_of_one_process(
    build: Build, with_mpi: Path, tmp_path: Path
) -> None:
    none = tmp_path / "ranks_none.o"
    source = str(DEMO / "ranks_none.c")
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-c", source, "-o", str(none)], check=True)
    alone = build(DEMO / "shallow_water.f90", str(none), name="shallow_water_alone")
    steps = "40"
    call([alone, steps, "alone.bin"], tmp_path)
    wanted = fields(tmp_path / "alone.bin")
    for ranks in (1, 2, 3):
        socket = {"ISTHMUS_SOCKET": str(tmp_path / f"ranks{ranks}.sock")}
        said = call(mpiexec(with_mpi, ranks, steps, f"{ranks}.bin"), tmp_path, **socket)
        assert said.count(f"{steps} answers, 0 by the fallback") == ranks
        np.testing.assert_array_equal(fields(tmp_path / f"{ranks}.bin"), wanted)
    lat = -0.5 * np.pi + (np.arange(NY) + 0.5) * np.pi / NY
    water = (wanted[0] * np.cos(lat)[:, None]).sum()
    call([alone, "1", "start.bin"], tmp_path)
    before = (fields(tmp_path / "start.bin")[0] * np.cos(lat)[:, None]).sum()
    assert abs(water / before - 1.0) < 1e-13, "fluxes between cells cancel"
    assert np.ptp(wanted[2]) > 1.0


def test_a_server_killed_under_three_ranks_and_restarted_is_used_again(
    with_mpi: Path, tmp_path: Path
) -> None:
    steps = 900  # of 20 ms: a busy machine takes ten seconds to start the second server
    first = Server(tmp_path / "friction.sock", "boundary_layer=held_suarez")
    env = environment() | {"ISTHMUS_SOCKET": str(first.socket)}
    call(mpiexec(with_mpi, 2, str(steps), "undisturbed.bin"), tmp_path, **env)
    command = list(map(str, mpiexec(with_mpi, 3, str(steps), "disturbed.bin", "20")))
    model = subprocess.Popen(
        command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        time.sleep(2.0)
        first.kill()
        again = Server(first.socket, "boundary_layer=held_suarez")
        said, errors = model.communicate(timeout=120)
    finally:
        model.kill()
    again.close()
    assert model.returncode == 0, errors
    pattern = (
        r"rank \d: (\d+) answers, (\d+) by the fallback, (\d+) changes, slowest call +([\d.]+)"
    )
    found = [tuple(map(float, m)) for m in re.findall(pattern, said)]
    assert len(found) == 3, said
    for answers, fallbacks, changes, slowest in found:
        assert answers + fallbacks == steps
        assert fallbacks > 0
        assert changes == 2, "to the fallback and back"
        assert slowest < 2.0
    assert len({f[:2] for f in found}) == 1, "all ranks at the same steps"
    # The fallback is the server's formula in Fortran; the flow keeps the difference of round-off.
    wanted, got = (fields(tmp_path / f"{n}.bin") for n in ("undisturbed", "disturbed"))
    assert np.abs(got - wanted).max() < 1e-9
    assert not first.socket.exists()
