"""Every published case runs, and the pictures that it names can be drawn from the run."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

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
    layer = "levels" not in scheme
    small = {"atmosphere.truncation": 10, "output.interval": 0.125}
    small |= {"days": 0.25} if layer else {"days": 0.375, "atmosphere.dt": 2700}
    if not layer:
        levels = scheme["levels"].rstrip("0123456789")
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
    assert len(CASES) >= 14
