"""From recipe and recordings to a bundle, and everything that can be wrong on the way."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import torch
import yaml
from rich.console import Console
from synthetic_columns import FLUXES, NAMES, columns, with_truth, write_recording

from coupler.driver.info import versions
from coupler.interface.errors import ConfigError, DataError
from coupler.interface.grid import HybridLevels
from emulators.bundle import load_bundle
from emulators.component import emulator_class
from emulators.schema import Source
from emulators.training import train
from emulators.training.data import (
    fingerprint,
    read_recording,
    refuse_duplicates,
    refuse_leaks,
    refuse_other_levels,
    split,
    thinned,
)
from emulators.training.recipe import Recipe, read_recipe

ALL = (*NAMES, *FLUXES)
TIMES = 7
SMALL: dict[str, Any] = {
    "name": "tiny",
    "process": "gravity_wave",
    "bundle": "bundles/tiny",
    "train": [{"file": "one.nc"}],
    "test": {"file": "two.nc"},
    "architecture": {"name": "column_mlp", "config": {"width": 11, "depth": 1}},
    "optimizer": {"epochs": 2, "batch": 64},
    "seed": 3,
}


def write(path: Path, levels: HybridLevels, seed: int, n: int = 39, **options: Any) -> Path:
    c = with_truth(columns(n * TIMES, levels, seed), levels)
    return write_recording(path, c, levels, times=TIMES, seed=seed, **options)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, levels: HybridLevels) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("recordings")
    return write(folder / "one.nc", levels, 41), write(folder / "two.nc", levels, 42, n=17)


def recipe_at(folder: Path, **changes: Any) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(SMALL | changes))
    return path


def quiet() -> Console:
    return Console(quiet=True)


def test_a_recording_is_read_column_by_column(files: tuple[Path, Path]) -> None:
    r = read_recording(files[0], ALL)
    assert r.n == 39 * TIMES
    assert r.source.seed == 41
    assert r.source.scheme == "ad99"
    assert r.levels.name == "hybrid13"
    with netCDF4.Dataset(files[0]) as f:
        np.testing.assert_array_equal(r.fields["ua"][:, 2 * 39 + 5], f["ua"][2, :, 5])
        np.testing.assert_array_equal(r.fields["xgwdparam"][:, 6 * 39], f["xgwdparam"][6, :, 0])
        assert float(r.fields["lat"][3 * 39 + 1]) == float(f["lat"][3, 1])
    assert all(v.dtype == torch.float32 and v.is_contiguous() for v in r.fields.values())


def test_a_unit_is_converted_and_a_wrong_one_refused(
    tmp_path: Path, levels: HybridLevels, files: tuple[Path, Path]
) -> None:
    path = write(tmp_path / "hpa.nc", levels, 41, units={"pfull": "hPa"})
    got, plain = (read_recording(p, ["pfull"]).fields["pfull"] for p in (path, files[0]))
    torch.testing.assert_close(got, 100.0 * plain, rtol=1e-6, atol=0.0)  # one float32 rounding
    bad = write(tmp_path / "bad.nc", levels, 41, units={"pfull": "K", "ua": "1"})
    with pytest.raises(DataError) as caught:
        read_recording(bad, ALL)
    assert "wrong unit: " in str(caught.value)
    assert "pfull; expected Pa; found K" in str(caught.value)
    assert "ua; expected m s-1; found 1" in str(caught.value)


def test_constant_latitude_is_spread_over_the_times(tmp_path: Path, levels: HybridLevels) -> None:
    path = write(tmp_path / "r.nc", levels, 41, names=("ua",))
    with netCDF4.Dataset(path, "a") as f:
        f.createVariable("lat", "f4", ("column",)).units = "degrees_north"
        f["lat"][:] = np.arange(39)
    lat = read_recording(path, ["lat"]).fields["lat"]
    np.testing.assert_array_equal(lat, np.tile(np.arange(39), TIMES))


def test_days_at_the_start_can_be_left_out(files: tuple[Path, Path]) -> None:
    r, whole = read_recording(files[0], ALL, skip_days=0.25), read_recording(files[0], ALL)
    assert r.times == r.source.times == TIMES - 2
    assert torch.equal(r.fields["ua"], whole.fields["ua"][:, 2 * 39 :])
    with pytest.raises(DataError, match=r"no time left: .*expected more than 9 days"):
        read_recording(files[0], ALL, skip_days=9.0)


def test_a_missing_or_truncated_file_is_refused(tmp_path: Path, files: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match=r"no such recording: .*nothing.nc"):
        read_recording(tmp_path / "nothing.nc", ALL)
    broken = tmp_path / "broken.nc"
    broken.write_bytes(files[0].read_bytes()[:3000])
    with pytest.raises(DataError, match=r"not readable as netCDF: .*broken.nc"):
        read_recording(broken, ALL)


def test_all_that_a_recording_lacks_is_said_at_once(tmp_path: Path, levels: HybridLevels) -> None:
    path = write(tmp_path / "r.nc", levels, 41, names=("ua", "va", "xgwdparam"))
    with netCDF4.Dataset(path, "a") as f:
        f["va"][2, 3, 5] = np.nan
        f.createVariable("ta", "f4", ("column", "lev")).units = "K"
    with pytest.raises(DataError) as caught:
        read_recording(path, ALL)
    text = str(caught.value)
    for name in ("pfull", "lat", "ygwdparam"):
        assert f"missing variable: {path}: {name}" in text
    assert f"values that are not finite: {path}: va" in text
    assert f"wrong dimensions: {path}: ta; expected ('time', 'lev', 'column')" in text


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.nc"
    with netCDF4.Dataset(path, "w") as f:
        f.createDimension("lat", 3)
    with pytest.raises(DataError) as caught:
        read_recording(path, ALL)
    for name in ("time", "lev", "ilev", "column"):
        assert f"missing dimension: {path}: {name}" in str(caught.value)


def test_levels_that_do_not_match_their_coefficients_are_refused(
    tmp_path: Path, levels: HybridLevels
) -> None:
    path = tmp_path / "x.nc"
    with netCDF4.Dataset(path, "w") as f:
        for name, size in (("time", 1), ("lev", 9), ("ilev", 14), ("column", 2)):
            f.createDimension(name, size)
        f.createVariable("ap", "f8", ("ilev",))[:] = levels.a
        f.createVariable("b", "f8", ("ilev",))[:] = levels.b
    with pytest.raises(DataError, match=r"wrong length: .*lev; expected 13; found 9"):
        read_recording(path, ())


def source(**changes: Any) -> Source:
    content: dict[str, Any] = {
        "file": "a.nc",
        "sha256": "1",
        "case": "c",
        "scheme": "s",
        "seed": 1,
        "times": 1,
        "columns": 1,
    }
    return Source.model_validate(content | changes)


def test_the_same_file_twice_and_a_test_that_was_trained_on_are_refused() -> None:
    refuse_duplicates([source(), source(sha256="2", seed=2), source(sha256="3", seed=3)])
    # Two parts of one run may both train; it may not test as well.
    refuse_duplicates([source(), source(sha256="2")])
    with pytest.raises(DataError, match=r"the same recording twice: train a.nc and train b.nc"):
        refuse_duplicates([source(), source(file="b.nc")])
    with pytest.raises(DataError, match=r"train a.nc and test b.nc; .*give another seed"):
        refuse_duplicates([source(), source(file="b.nc", sha256="2", role="test")])


def test_a_test_run_that_repeats_a_training_run_under_another_seed_is_refused(
    tmp_path: Path, levels: HybridLevels, files: tuple[Path, Path]
) -> None:
    one, two = (read_recording(p, ALL) for p in files)
    refuse_leaks([one], two)
    c = with_truth(columns(39 * TIMES, levels, 41), levels)
    again = write_recording(tmp_path / "again.nc", c, levels, times=TIMES, seed=99)
    with pytest.raises(DataError, match=r"repeats a training recording: .*found 100 %"):
        refuse_leaks([two, one], read_recording(again, ALL, role="test"))


def test_recordings_on_different_levels_are_refused(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    other = write(tmp_path / "o.nc", HybridLevels.named("hybrid9"), 5, n=3)
    with pytest.raises(DataError, match=r"different levels: one.nc and o.nc; expected 13 .* 9 "):
        refuse_other_levels([read_recording(files[0], ALL), read_recording(other, ALL)])


def test_the_last_times_validate_and_never_a_time_that_was_fitted(
    files: tuple[Path, Path],
) -> None:
    r = read_recording(files[0], ALL)
    fitting, later = split(r, 0.3)
    assert (fitting, later) == (slice(0, 5 * 39), slice(5 * 39, 7 * 39))
    assert split(r, 0.001)[1] == slice(6 * 39, 7 * 39)  # at least one time
    assert split(r, 0.89)[0] == slice(0, 39)


def test_thinning_keeps_every_so_manieth_column(files: tuple[Path, Path]) -> None:
    fields = read_recording(files[0], ALL).fields
    less = thinned(fields, 100)
    assert less["ua"].shape == (13, 91)
    assert torch.equal(less["lat"], fields["lat"][::3])
    assert thinned(fields, 273) is fields


def test_the_fingerprint_knows_roles_and_contents_but_no_order() -> None:
    a, b = source(), source(sha256="2", role="test")
    assert fingerprint([a, b]) == fingerprint([b, a])
    assert fingerprint([a, b]) != fingerprint([a, source(sha256="2")])
    assert len(fingerprint([a])) == 64


# -- recipes --------------------------------------------------------------------------------------


def test_a_recipe_that_is_missing_or_not_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such recipe: .*gone.yaml"):
        read_recipe(tmp_path / "gone.yaml")
    (tmp_path / "r.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        read_recipe(tmp_path / "r.yaml")


def test_all_that_is_wrong_with_a_recipe_is_said_at_once(tmp_path: Path) -> None:
    path = recipe_at(
        tmp_path,
        sead=4,
        optimizer={"epoch": 3, "batch": 0},
        train=[{"file": "a.nc", "case": "b.yaml"}, {"case": "b.yaml"}, {"dais": 3, "file": "c"}],
        name="../x",
    )
    with pytest.raises(ConfigError) as caught:
        read_recipe(path)
    text = str(caught.value)
    assert f"unknown key in a recipe: {path}: sead; did you mean 'seed'" in text
    assert "optimizer.epoch; did you mean 'epochs'" in text
    assert "optimizer.batch; found Input should be greater than or equal to 1" in text
    assert "train.0; found Value error, a recording is either a file, or a case" in text
    assert "train.1; found Value error, a recording of a case needs days" in text
    assert "train.2.dais; did you mean 'days'" in text
    assert "wrong entry in a recipe" in text
    assert len(caught.value.problems) == 7


def test_an_unknown_field_in_a_recipe_is_refused(tmp_path: Path) -> None:
    path = recipe_at(tmp_path, inputs=["ua", "vaa"])
    with pytest.raises(ConfigError, match=r"unknown field in a recipe: .*vaa; did you mean 'va'"):
        train(path, console=quiet())


def test_the_recipe_that_ships_is_sound() -> None:
    path = Path(__file__).parents[2] / "emulators" / "recipes" / "gw_column.yaml"
    recipe = read_recipe(path)
    assert recipe.interval == 10800.0
    assert (path.parent / recipe.bundle).resolve() == path.parents[1] / "bundles" / "gw_column"
    assert recipe.test.seed not in {r.seed for r in recipe.train}
    assert all((path.parent / str(r.case)).is_file() for r in (*recipe.train, recipe.test))


# -- all of it ------------------------------------------------------------------------------------


def test_files_become_a_bundle_with_skill_and_provenance(
    tmp_path: Path, files: tuple[Path, Path], levels: HybridLevels
) -> None:
    for file in files:
        (tmp_path / file.name).symlink_to(file)
    recipe = recipe_at(tmp_path, work=str(tmp_path / "work"))
    with (tmp_path / "log").open("w") as log:
        folder = train(recipe, console=Console(file=log, width=160))
    assert folder == (tmp_path / "bundles" / "tiny").resolve()
    bundle = load_bundle(folder)
    p = bundle.spec.provenance
    assert [(s.role, s.file, s.seed) for s in p.sources] == [
        ("train", "one.nc", 41),
        ("test", "two.nc", 42),
    ]
    assert p.fingerprint == fingerprint(p.sources)
    assert p.recipe["optimizer"] == SMALL["optimizer"]
    assert set(p.software) == {"isthmus", "python", "torch", "numpy"}
    skill = bundle.spec.skill
    assert skill is not None
    assert len(skill.flux["xgwdparam"]) == 14
    assert len(skill.drag["ygwdparam"]) == 13
    text = (tmp_path / "log").read_text()
    assert "Offline R2 on the held-out run" in text
    assert f"R2 flux {skill.flux_overall:.3f}" in text
    assert emulator_class(folder).host_problems(levels) == []
    before = (folder / "weights.safetensors").read_bytes()
    (tmp_path / "work" / "checkpoint.safetensors").unlink()
    assert train(recipe, out=tmp_path / "other", console=quiet()) == (tmp_path / "other").resolve()
    assert (tmp_path / "other" / "weights.safetensors").read_bytes() == before
    with pytest.raises(DataError, match="there is something already"):
        train(recipe, overwrite=False, console=quiet())


def test_statistics_come_from_the_fitted_columns_alone(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    for file in files:
        (tmp_path / file.name).symlink_to(file)
    folder = train(
        recipe_at(tmp_path, work=str(tmp_path / "work"), validation=0.3), console=quiet()
    )
    spec = load_bundle(folder).spec
    ta = read_recording(files[0], ["ta"]).fields["ta"][:, : 5 * 39]
    np.testing.assert_allclose(spec.input("ta").mean, ta.double().mean(dim=1), rtol=1e-12)
    np.testing.assert_array_equal(spec.input("ta").maximum, ta.amax(dim=1).double())
    assert spec.input("lat").minimum == [-90.0]
    assert spec.outputs[0].scale[-1] == 0.0


class Recorder:
    """Stands for the driver: a 'run' is columns drawn from the seed."""

    def __init__(self, levels: HybridLevels) -> None:
        self.levels = levels
        self.calls: list[tuple[str, float, int, dict[str, Any]]] = []

    def __call__(
        self,
        case: Path,
        days: float,
        seed: int,
        overrides: Mapping[str, Any],
        out: Path,
        columns: int | None,
    ) -> Path:
        self.calls.append((case.name, days, seed, dict(overrides)))
        return write(out / "deep" / "record_gravity_wave.nc", self.levels, seed, n=23)


def test_cases_are_recorded_once_and_kept(tmp_path: Path, levels: HybridLevels) -> None:
    (tmp_path / "case.yaml").write_text("title: something\n")
    recipe = recipe_at(
        tmp_path,
        train=[{"case": "case.yaml", "days": 2, "seed": 51, "set": {"physics.sponge": "none"}}],
        test={"case": "case.yaml", "days": 1, "seed": 52},
    )
    work, record = tmp_path / "work", Recorder(levels)
    train(recipe, record=record, work=work, console=quiet())
    assert record.calls == [
        ("case.yaml", 2.0, 51, {"physics.sponge": "none"}),
        ("case.yaml", 1.0, 52, {}),
    ]
    train(recipe, record=record, work=work, console=quiet())
    assert len(record.calls) == 2
    (tmp_path / "case.yaml").write_text("title: something else\n")
    train(recipe, record=record, work=tmp_path / "work2", console=quiet())
    assert len(record.calls) == 4


def test_a_case_without_a_driver_and_a_missing_case_are_refused(
    tmp_path: Path, levels: HybridLevels
) -> None:
    recipe = recipe_at(tmp_path, train=[{"case": "no.yaml", "days": 2}])
    with pytest.raises(ConfigError, match=r"recordings cannot be made here: .*no.yaml"):
        train(recipe, console=quiet())
    with pytest.raises(ConfigError, match=r"no such case: .*relative to the recipe"):
        train(recipe, record=Recorder(levels), work=tmp_path / "w", console=quiet())


def test_the_commit_is_that_of_the_code_wherever_the_recipe_lies(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    for file in files:
        (tmp_path / file.name).symlink_to(file)
    recipe = recipe_at(tmp_path, work=str(tmp_path / "work"))
    # A repository of the user's, with commits of its own.
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "recipe.yaml"], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    made = load_bundle(train(recipe, console=quiet())).spec.provenance
    assert made.commit == versions().get("commit", "unknown")
    assert made.software == {n: versions()[n] for n in ("isthmus", "python", "torch", "numpy")}


def test_recipes_are_frozen() -> None:
    recipe = Recipe.model_validate(SMALL)
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 4  # type: ignore[misc]
