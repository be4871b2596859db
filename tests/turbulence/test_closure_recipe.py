"""`isthmus train` of a closure: maps from a fine run, the recipe, its score, refusals."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import netCDF4
import numpy as np
import pytest
import torch
import yaml

from coupler import Simulation
from coupler.cli import main
from coupler.driver.info import versions
from coupler.interface.errors import ConfigError, CouplerError, DataError
from emulators.bundle import load_bundle, read_spec
from emulators.training.recipe import content_of
from physics.dynamics.plane_waves import PlaneWaves
from physics.dynamics.qg_coarsen import Coarsener, forcing
from physics.dynamics.qg_core import EDDY, QGCore, noise
from physics.dynamics.qg_dataset import read_fields

ROOT = Path(__file__).resolve().parents[2]
CASE = ROOT / "cases" / "qg_eddy.yaml"
NX = 16


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = ROOT / "tools" / "resolved_forcing.py"
    spec = importlib.util.spec_from_file_location("resolved_forcing", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def write(path: Path, number: int, seed: int, edit: Callable[[Any], None] | None = None) -> Path:
    """Two runs of maps of q and, as what is missing, its Laplacian in units of the grid."""
    q = torch.tensor(1e3 * noise(EDDY.at(NX), 2 * number, seed, shortest=5), dtype=torch.float32)
    q[1] = 0.5 * q[0].flip(-1)
    plane = PlaneWaves(NX, NX, 1.0, 1, torch.float32)
    rate = 1e-9 * plane.grid(-plane.k2 * plane.waves(q))
    with netCDF4.Dataset(path, "w") as file:
        for name, size in zip(("run", "time", "lev", "y", "x"), (2, number, 2, NX, NX),
                              strict=True):  # fmt: skip
            file.createDimension(name, size)
        file.createVariable("x", "f8", ("x",))[:] = EDDY.at(NX).dx * np.arange(NX)
        for name, field, units in (("q", 1e-2 * q, "s-1"), ("missing", rate, "s-2")):
            v = file.createVariable(name, "f4", ("run", "time", "lev", "y", "x"))
            v.units = units
            v[:] = field.numpy().reshape(2, 2, number, NX, NX).transpose(1, 2, 0, 3, 4)
        if edit is not None:
            edit(file)
    return path


def recipe(folder: Path, **changes: Any) -> Path:
    content = {
        "kind": "tendency", "name": "small", "bundle": "small", "of": "qgpv",
        "inputs": {"qgpv": "q"}, "target": "missing", "train": ["a.nc"], "test": "b.nc",
        "architecture": {"name": "plane_conv", "config": {"channels": [6], "kernels": [3, 3]}},
        "fit": {"epochs": 40, "learning_rate": 1e-2}, "seed": 1,
    }  # fmt: skip
    content = {k: v for k, v in (content | changes).items() if v is not None}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "a.nc", 12, 1)
    write(tmp_path / "b.nc", 3, 2)
    return tmp_path


def test_a_recipe_becomes_a_bundle_with_its_score_and_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(recipe(folder))]) == 0
    said = capsys.readouterr().out
    assert "bundle written to" in said
    bundle = folder / "small"
    skill = read_spec(bundle).tendency_skill
    assert skill is not None
    with netCDF4.Dataset(folder / "b.nc") as file:
        q, truth = (np.asarray(file[n][:], np.float64) for n in ("q", "missing"))
    network = load_bundle(bundle).network
    # [run, time, lev, y, x] -> [lev, run, time, y, x]
    q, truth = (np.ascontiguousarray(np.moveaxis(a, 2, 0)).reshape(2, -1) for a in (q, truth))
    found = network({"qgpv": torch.tensor(q, dtype=torch.float32)})["tn_qgpv"].detach().numpy()
    r2 = [1.0 - ((found[i] - truth[i]) ** 2).mean() / truth[i].var() for i in range(2)]
    np.testing.assert_allclose(skill.r2, r2, rtol=1e-4)
    assert skill.maps == 6
    # A linear map of 3x3 points is within reach; nothing learned is 0.
    assert skill.overall > 0.8
    assert f"{skill.overall:.4f}" in said
    run = Simulation.from_case(
        CASE, set={"atmosphere.nx": NX, "days": 1, "output.interval": 1},
        swap={"subgrid": str(bundle)}, out=folder / "run",
    ).run(quiet=True)  # fmt: skip
    assert float(np.abs(run.dataset()["tn_qgpv_subgrid"]).max()) > 0.0
    assert main(["bundle", "show", str(bundle)]) == 0
    assert f"tendency {skill.overall:.3f}" in capsys.readouterr().out


def test_seeds_give_one_bundle_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recipe(folder, fit={"epochs": 1})
    assert main(["train", str(path), "--seeds", "2", "--out", str(folder / "n")]) == 0
    assert "deviation" in capsys.readouterr().out
    one, two = (read_spec(folder / f"n_seed{i}") for i in (1, 2))
    assert (one.provenance.seed, two.provenance.seed) == (1, 2)
    assert one.provenance.fingerprint == two.provenance.fingerprint
    assert one.provenance.commit == versions().get("commit", "unknown")
    assert one.provenance.software["isthmus"] == versions()["isthmus"]
    assert one.tendency_skill != two.tendency_skill


def other(name: str, **how: Any) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        if "rename" in how:
            file.renameVariable(name, how["rename"])
        if "units" in how:
            file[name].units = how["units"]
        if "value" in how:
            file[name][0, 0, 0, 0, 0] = how["value"]

    return edit


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (other("missing", rename="lacking"), "variable missing in a file of maps.*missing"),
        (other("q", units="m"), "unit of a file of maps.*expected s-1; found m"),
        (other("q", value=np.nan), "values that are not finite.*found 1 of"),
    ],
)
def test_files_that_hold_something_else_are_refused(
    folder: Path, edit: Callable[[Any], None], match: str
) -> None:
    write(folder / "a.nc", 2, 1, edit)
    with pytest.raises(DataError, match=match):
        follow(recipe(folder))


def follow(path: Path) -> None:
    from coupler.driver.training import train

    train(path)


def test_all_that_is_wrong_with_a_file_is_said_at_once(folder: Path) -> None:
    write(folder / "a.nc", 2, 1, other("q", units="m"))
    with netCDF4.Dataset(folder / "a.nc", "a") as file:
        file.renameDimension("lev", "layer")
    with pytest.raises(DataError) as error:
        follow(recipe(folder))
    assert [p.what for p in error.value.problems] == ["dimensions of a file of maps"] * 2


def test_a_test_that_repeats_the_training_is_refused_and_another_grid_too(folder: Path) -> None:
    with pytest.raises(DataError, match=r"the test repeats what is fitted.*24 of 24 maps"):
        follow(recipe(folder, test="a.nc"))
    with netCDF4.Dataset(folder / "b.nc", "a") as file:
        file["x"][:] = 2.0 * file["x"][:]
    with pytest.raises(DataError, match="maps of another grid"):
        follow(recipe(folder))
    with pytest.raises(DataError, match=r"no such file of maps.*c\.nc"):
        follow(recipe(folder, test="c.nc"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"kind": "tendencies"}, "unknown kind of recipe.*found tendencies"),
        ({"of": "psi"}, "no state variable that a closure changes"),
        ({"inputs": {"qgvp": "q"}}, "unknown field in a recipe.*qgvp.*qgpv"),
        ({"fit": {"epoch": 3}}, "unknown key in a recipe.*fit.epoch.*epochs"),
        ({"fit": {"epochs": 0}}, "wrong entry in a recipe.*fit.epochs"),
        ({"target": None}, "wrong entry in a recipe.*target"),
        ({"architecture": {"name": "column_mlp"}}, "architecture that gives no tendencies"),
    ],
)
def test_recipes_that_are_wrong_are_refused(
    folder: Path, change: dict[str, Any], match: str
) -> None:
    with pytest.raises(CouplerError, match=match):
        follow(recipe(folder, **change))


def test_all_that_is_wrong_with_a_recipe_is_said_at_once(folder: Path) -> None:
    how = {"name": "plane_conv", "config": {"channels": [6], "kernels": [3, 4]}}
    path = recipe(folder, of="psi", fit={"epochs": 0}, test="c.nc", architecture=how)
    with pytest.raises(ConfigError) as error:
        follow(path)
    assert [p.what for p in error.value.problems] == [
        "wrong entry in a recipe",
        "no state variable that a closure changes",
        "wrong configuration of an architecture",
        "no such file of maps",
    ]


def test_the_shipped_recipe_is_one() -> None:
    from emulators.training.closure_recipe import ClosureRecipe
    from emulators.training.recipe import checked

    path = ROOT / "emulators" / "recipes" / "qg_closure.yaml"
    assert checked(path, content_of(path), ClosureRecipe).architecture.name == "plane_conv"


def test_maps_of_a_fine_run_are_its_states_coarsened(tool: ModuleType, tmp_path: Path) -> None:
    path = tool.record(CASE, tmp_path / "m.nc", days=6, fine=32, coarse=NX, skip_days=2, every=2,
                       changes={"atmosphere.members": 2, "precision": "float64"})  # fmt: skip
    q, missing, u = read_fields(path, "q", "q_forcing_total", "u")
    assert q.shape == (2, 4, NX, NX)  # two runs, days 4 and 6
    run = Simulation.from_case(
        CASE, out=tmp_path / "again",
        set={"atmosphere.nx": 32, "atmosphere.members": 2, "precision": "float64", "days": 6,
             "subgrid.mode": "off", "output.interval": 6},
    ).run(quiet=True)  # fmt: skip
    state = np.asarray(run.model.atmosphere.columns()["qgpv"]).reshape(2, 2, 32, 32)
    cores = [QGCore(EDDY.at(n), dtype=torch.float64) for n in (32, NX)]
    want = forcing(Coarsener(*cores), cores[0].to_waves(torch.tensor(state)))
    for found, name in ((q, "q"), (missing, "q_forcing_total"), (u, "u")):
        size = float(want[name].abs().max())
        np.testing.assert_allclose(found[:, 1::2], want[name], atol=1e-12 * size)
    with netCDF4.Dataset(path) as file:
        assert file["x"].units == "m"
        assert float(file["x"][1]) == pytest.approx(EDDY.at(NX).dx)
    assert not list(tmp_path.glob(".*partial"))


def test_an_interrupted_run_keeps_what_was_stored(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, left = tool.loop.step, [60]

    def interrupted(model: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        step(model)

    monkeypatch.setattr(tool.loop, "step", interrupted)
    path = tool.record(CASE, tmp_path / "m.nc", days=6, fine=32, coarse=NX, every=1)
    (q,) = read_fields(path, "q")
    assert q.shape == (2, 4 * 2, NX, NX)  # four members, days 1 and 2
    assert torch.isfinite(q).all()


def test_cases_without_such_turbulence_and_nothing_to_store_are_refused(
    tool: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="nothing to store"):
        tool.record(CASE, tmp_path / "m.nc", days=2, fine=32, skip_days=2)
    with pytest.raises(ConfigError, match="cannot coarsen"):
        tool.record(CASE, tmp_path / "m.nc", days=2, fine=32, coarse=64)
