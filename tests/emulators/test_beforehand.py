"""All that is wrong with a recipe is told at once, and nothing is recorded before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from synthetic_columns import FLUXES, NAMES, columns, with_truth, write_recording
from tiny import DRY

from coupler.driver import training
from coupler.interface.errors import ConfigError, CouplerError, DataError
from coupler.interface.grid import HybridLevels
from emulators.training import train, train_seeds
from emulators.training.beforehand import Foreseen
from emulators.training.recipe import REQUIRED, Recipe, as_far_as_sound

SOUND: dict[str, Any] = {
    "name": "tiny",
    "process": "gravity_wave",
    "bundle": "made",
    "train": [{"case": "case.yaml", "days": 2, "seed": 1}],
    "test": {"case": "case.yaml", "days": 1, "seed": 2},
    "architecture": {"name": "column_mlp", "config": {"width": 11, "depth": 1}},
}
CASE: dict[str, Any] = DRY | {"physics": DRY["physics"] | {"gravity_wave": "ad99"}}


def never(*args: Any, **more: Any) -> Any:
    raise AssertionError("recorded, fitted or stepped before all was looked at")


def foreseen(**changes: Any) -> Callable[..., Foreseen]:
    """Stands for the driver."""
    found: dict[str, Any] = {
        "names": frozenset((*NAMES, *FLUXES)),
        "levels": HybridLevels.named("hybrid13"),
        "columns": 512,
        "interval": 3600.0,
    }
    return lambda *args: Foreseen(**found | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(CASE))
    return tmp_path


def recipe(folder: Path, **changes: Any) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in (SOUND | changes).items() if v is not None}))
    return path


def told(path: Path, by: Callable[..., Any] = train, **how: Any) -> list[str]:
    """What is said of a recipe, without the folder."""
    tools: dict[str, Any] = {"record": never, "foresee": foreseen(), "flow": never} | how
    with pytest.raises(CouplerError) as error:
        by(path, **tools, work=path.parent / "work", console=Console(quiet=True))
    assert not (path.parent / "work").exists()
    assert not (path.parent / "made").exists()
    return [str(p).replace(f"{path.parent}/", "") for p in error.value.problems]


def test_faults_in_all_parts_are_told_together_and_nothing_is_recorded(folder: Path) -> None:
    path = recipe(
        folder,
        inputs=["ua", "vaa", "ta", "pfull", "lat"],
        architecture={"name": "column_mpl"},
        optimizer={"batch": 0, "device": "cuda:77"},
        target="median",
        validation=1.5,
        test={"file": "gone.nc"},
        start="no_bundle",
        pretrained="gone.pt",
        online={"case": "none.yaml", "setp": 3},
    )
    found = told(path, flow=training.CoupledFlow)
    for sentence in (
        "wrong entry in a recipe: recipe.yaml: optimizer.batch",
        "wrong entry in a recipe: recipe.yaml: target",
        "wrong entry in a recipe: recipe.yaml: validation",
        "unknown key in a recipe: recipe.yaml: online.setp; did you mean 'set",
        "unknown field in a recipe: recipe.yaml: vaa; did you mean 'va'",
        "no such device to train on: cuda:77",
        "unknown architecture of a bundle: tiny: column_mpl; did you mean 'column_mlp'",
        "no such checkpoint: gone.pt",
        "no such recording: gone.nc",
        "no such case file: none.yaml",
    ):
        assert sum(f.startswith(sentence) for f in found) == 1, (sentence, found)
    assert sum("no_bundle" in f for f in found) == 1
    assert len(found) == 11
    by_seeds = told(path, lambda p, **how: train_seeds(p, (1, 2), **how), flow=training.CoupledFlow)
    assert by_seeds == found


@pytest.mark.parametrize(
    ("change", "ahead", "sentence"),
    [
        ({}, {"names": frozenset({"ua", "va", "ta", "pfull", *FLUXES})},
         "field that a recording of the case will not have: case.yaml: lat"),
        ({"architecture": {"name": "column_mlp", "config": {"widht": 3}}}, {},
         "wrong configuration of an architecture: tiny: column_mlp.widht"),
        ({"validation_block": 30}, {},
         "recording too short for blocks of validation: case.yaml; expected at least"),
        ({"target": "mean", "interval": 5400.0}, {"interval": 3600.0},
         "calls that do not divide the time for which an answer is held: case.yaml"),
        ({"target": "mean", "interval": 7200.0}, {"columns": 513},
         "other columns at every call, of which no mean over time can be made: case.yaml"),
        ({"test": SOUND["train"][0]}, {}, "the same recording twice: train case.yaml and test"),
        ({"outputs": {"xgwdparam": "ub"}}, {}, "no state variable that a flux changes: recipe"),
        ({"pretrained": "case.yaml"}, {}, "a pretrained backbone for a network without one"),
        ({"inputs": ["ua", "va", "ta", "pfull"]}, {}, "channel"),
    ],
)  # fmt: skip
def test_what_a_recording_would_show_is_told_before_it_is_made(
    folder: Path, change: dict[str, Any], ahead: dict[str, Any], sentence: str
) -> None:
    found = told(recipe(folder, **change), foresee=foreseen(**ahead))
    assert sentence in found[0]


def test_recordings_that_are_there_are_held_against_those_to_be_made(
    folder: Path, levels: HybridLevels
) -> None:
    c = with_truth(columns(7 * 11, levels, 5), levels)
    write_recording(folder / "there.nc", c, levels, times=7, seed=5)
    path = recipe(folder, test={"file": "there.nc"})
    other = foreseen(levels=HybridLevels.named("hybrid9"))
    (found,) = told(path, foresee=other)
    assert found.startswith("recordings on different levels: there.nc and case.yaml; expected 13")
    # The control: nothing is wrong, and it goes on to record.
    with pytest.raises(AssertionError, match="recorded"):
        train(
            path, record=never, foresee=foreseen(), work=folder / "w", console=Console(quiet=True)
        )


def test_cases_are_built_to_see_what_is_wrong_with_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.Simulation, "run", never)
    path = recipe(
        folder,
        inputs=["ua", "va", "ta", "pfull", "lat", "hfls"],
        train=[{"case": "case.yaml", "days": 2, "seed": 1, "set": {"output.fields": ["uaa"]}}],
        test={"case": "case.yaml", "days": 1, "seed": 2},
        architecture={"name": "column_mlp", "config": {"width": 0}},
    )
    with pytest.raises(ConfigError) as error:
        training.train(path, work=folder / "work")
    found = [str(p).replace(f"{folder}/", "").split(";")[0] for p in error.value.problems]
    assert found == [
        "wrong configuration of an architecture: tiny: column_mlp.width",
        "unknown output field: uaa",
        "field that a recording of the case will not have: case.yaml: hfls",
    ]
    assert not (folder / "work").exists()
    with pytest.raises(
        ConfigError, match=r"cannot record a process that the case does not have: x"
    ):
        training.train(recipe(folder, process="x"), work=folder / "work")


def test_what_stands_for_a_wrong_recording_is_not_looked_for(folder: Path) -> None:
    path = recipe(folder, test={"case": "case.yaml", "days": -1}, architecture={"name": "none"})
    found = told(path)
    assert [f.split(":")[0] for f in found] == [
        "wrong entry in a recipe", "unknown architecture of a bundle",
    ]  # fmt: skip
    said, lacking, problems = as_far_as_sound(path, Recipe, REQUIRED)
    assert said is not None and lacking == {"test"} and len(problems) == 1
    assert said.train == Recipe.model_validate(SOUND).train
    (folder / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="wrong entry in a recipe"):
        train(folder / "list.yaml")
    with pytest.raises(DataError, match="no such recording"):
        train(recipe(folder, train=[{"file": "x.nc"}], test={"file": "y.nc"}))


def test_what_is_doubtful_in_a_case_is_said_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    case, out = folder / "case.yaml", folder / "out"
    what = "gravity_wave", case, 0.25, 1, {"atmosphere.dt": "3 h"}, out
    with caplog.at_level("WARNING"):
        training.foresee(*what)
        assert training.record(*what).is_file()
    (record,) = caplog.records
    assert "warning: step probably too long for the truncation" in record.getMessage()
