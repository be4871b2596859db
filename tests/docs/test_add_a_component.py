"""The page docs/add-a-component.md: its scheme runs, its commands work, its claims hold."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from coupler import Simulation
from coupler.cli import main
from coupler.interface.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "add-a-component.md").read_text()
CASE = ROOT / "cases" / "held_suarez_t21.yaml"


def _blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


COMMANDS = [line for block in _blocks("console") for line in block.splitlines()]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (code,) = _blocks("python")
    path = tmp_path_factory.mktemp("plugin") / "newtonian.py"
    path.write_text(code)
    return path


def test_the_scheme_of_the_page_is_about_thirty_lines() -> None:
    (code,) = _blocks("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 30


def test_the_scheme_of_the_page_runs_and_does_what_its_formula_says(
    plugin: Path, tmp_path: Path
) -> None:
    sim = Simulation.from_case(
        CASE,
        plugins=[plugin],
        set={
            "atmosphere.initial": "jablonowski_williamson",  # warm and cold, unlike the case's
            "days": "1 h",
            "output.interval": "30 min",
            "output.fields": ["ta", "pfull", "tnt_stratosphere"],
            "physics.stratosphere": {
                "scheme": "newtonian",
                "temperature": 190.0,
                "below": "90 hPa",
            },
        },
        out=tmp_path / "run",
    )
    sim.run(quiet=True)
    with sim.dataset() as ds:
        rate, ta, p = (ds[n].values[0] for n in ("tnt_stratosphere", "ta", "pfull"))
    below = p < 9.0e3
    assert 0.05 < below.mean() < 0.5
    assert (rate[~below] == 0.0).all()
    # Away from 190 K by up to 50 K. The output gives the temperature after the step, which the
    # dynamics moved by some tenths of a kelvin, and dt is one or two steps of 432000 s: 0.2 K.
    np.testing.assert_allclose(rate[below] * (432000.0 + 1800.0), 190.0 - ta[below], atol=1.0)
    assert np.ptp(ta[below]) > 10.0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_works(
    command: str, plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(command)
    assert words[:2] == ["isthmus", "run"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cases").symlink_to(ROOT / "cases")
    (tmp_path / "newtonian.py").write_text(plugin.read_text())
    # Shorter than on the page, where the case's 60 days run.
    assert main([*words[1:], "--days", "1 h", "--set", "output.interval=1 h", "--quiet"]) == 0
    assert (tmp_path / "runs" / "held_suarez_t21" / "atmosphere.nc").is_file()


def test_the_page_has_both_commands() -> None:
    assert len(COMMANDS) == 2


def test_a_wrong_parameter_of_the_page_s_scheme_gets_a_sentence(
    plugin: Path, tmp_path: Path
) -> None:
    wrong = {"scheme": "newtonian", "temprature": 190.0, "below": "90 K"}
    with pytest.raises(ConfigError) as caught:
        Simulation.from_case(
            CASE, plugins=[plugin], set={"physics.stratosphere": wrong}, out=tmp_path / "run"
        )
    said = str(caught.value)
    assert re.search(r"unknown key: \S*temprature; did you mean 'temperature'", said)
    assert re.search(r"wrong unit: \S*below; expected a unit convertible to 'Pa'", said)
