"""Every published case runs, and the pictures that it names can be drawn from the run."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from gates.mountain import dcmip_levels

from coupler import Simulation
from coupler.cli import main

FOLDER = Path(__file__).resolve().parents[2] / "cases" / "tests"
CASES = sorted(FOLDER.glob("*.yaml"))


def pictures(case):
    """The commands ``isthmus plot RUN ...`` of a description, and kinds named after them."""
    text = " ".join(yaml.safe_load(case.read_text())["description"].split())
    found = re.findall(r"isthmus plot RUN ((?:--?[\w-]+(?: [\w.-]+)*[ ,.]*)+)", text)
    return [shlex.split(command.rstrip(" .,")) for command in found]


def without_days(arguments):
    """The run of a test is too short for the days of the paper."""
    kept, skipping = [], False
    for word in arguments:
        if word.startswith("--"):
            skipping = word in ("--days", "--skip-days")
        if not skipping:
            kept.append(word.rstrip(",."))
    return kept


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_a_published_case_runs_and_its_pictures_are_drawn(case, tmp_path):
    scheme = yaml.safe_load(case.read_text())["atmosphere"]
    small = {"atmosphere.truncation": 10, "output.interval": 0.125, "days": 0.25}
    if scheme["scheme"].startswith("prescribed"):
        small |= {"atmosphere.dt": 5400, "atmosphere.latitudes": 16, "restart.interval": 1}
        del small["atmosphere.truncation"]
    elif "levels" in scheme:
        small |= {"days": 0.375, "atmosphere.dt": 2700}
        levels = scheme["levels"]
        if isinstance(levels, str):
            levels = levels.rstrip("0123456789")
            small["atmosphere.levels"] = levels + ("20" if levels == "stratosphere" else "7")
    run = tmp_path / "run"
    Simulation.from_case(case, set=small, out=run).run(quiet=True)
    commands = pictures(case)
    assert commands
    for number, arguments in enumerate(commands):
        out = tmp_path / f"{number}.png"
        assert main(["plot", str(run), *without_days(arguments), "--out", str(out)]) == 0
        assert out.stat().st_size > 5000


def test_the_commands_of_a_description_are_found():
    found = pictures(FOLDER / "jablonowski_williamson_2006_t42.yaml")
    assert found[0][:2] == ["--kind", "pressure"]
    assert without_days(found[0]) == ["--kind", "pressure"]
    assert len(CASES) >= 20


def test_the_levels_of_dcmip_2012_2_0_0_are_equal_steps_of_height():
    given = yaml.safe_load((FOLDER / "dcmip_2012_2_0_0_t85.yaml").read_text())
    levels = dcmip_levels(30)
    for name, wanted in (("a", levels.a), ("b", levels.b)):
        found = np.array(given["atmosphere"]["levels"][name])
        assert np.abs(found - wanted).max() < (1e-4 if name == "a" else 1e-8)  # digits written
    assert abs(levels.a[0] - 20544.0) < 10.0  # as printed, from rounded constants
