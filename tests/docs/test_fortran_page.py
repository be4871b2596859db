"""The page docs/fortran.md: its listings compile, its commands work as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "fortran.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder, with the command `isthmus` beside it, as in an environment."""
    command = tmp_path / "bin" / "isthmus"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m coupler "$@"\n')
    command.chmod(0o755)
    found = tmp_path / "empty"
    found.mkdir()
    return found


def shell(text: str, folder: Path) -> str:
    """What commands print, run one after the other as a user would type them."""
    path = os.pathsep.join([str(folder.parent / "bin"), os.environ["PATH"]])
    python = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PATH": path, "PYTHONPATH": python}
    env.pop("ISTHMUS_COMMAND", None)
    done = subprocess.run(
        ["sh", "-e", "-c", text], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_call_works_by_the_commands_of_the_page_in_an_empty_folder(folder: Path) -> None:
    (folder / "first_call.f90").write_text(blocks("fortran")[0])
    (commands,) = blocks("console")
    said = shell(commands, folder)
    found = re.search(r"largest drag: +([\d.]+) m/s per day", said)
    assert found, said
    assert 0.1 < float(found[1]) < 100.0


def test_the_call_itself_takes_ten_lines() -> None:
    lines = [line for line in blocks("fortran")[0].splitlines() if "waves" in line]
    assert len(lines) <= 10


def test_the_routine_of_the_page_runs_as_a_scheme(folder: Path) -> None:
    (folder / "relax.f90").write_text(blocks("fortran")[2])
    (folder / "librelax.yaml").write_text(blocks("yaml")[0])
    (folder / "cases").symlink_to(ROOT / "cases")
    # Shorter than the case's 60 days.
    (commands,) = blocks("shell")
    shell(f"{commands.rstrip()} --days '1 h' --set output.interval='1 h' --quiet", folder)
    assert (folder / "runs" / "held_suarez_t21" / "atmosphere.nc").is_file()


def test_one_command_compiles_a_program_with_the_sources(folder: Path) -> None:
    (folder / "model.f90").write_text(blocks("fortran")[0])
    bridge = ROOT / "fortran_bridge"
    sources = f"{bridge}/src/isthmus.f90 model.f90 {bridge}/src/isthmus.c"
    shell(f"gfortran -I{bridge}/include {sources} -o model", folder)
    assert (folder / "model").is_file()
