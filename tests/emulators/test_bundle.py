"""Bundles: they come back as they were, and anything wrong with one is said in a sentence."""

import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from map_bundles import map_spec, some_inputs
from safetensors.torch import load_file, save_file
from synthetic_columns import columns, tensors

import emulators.bundle as module
from coupler.interface.errors import ContractError, DataError
from coupler.interface.fields import FIELDS, INTERFACE, STATE
from coupler.interface.grid import HybridLevels
from emulators.bundle import (
    channel_problems,
    level_problem,
    load_bundle,
    read_spec,
    same_levels,
    sha256,
    write_bundle,
)
from emulators.component import emulator_class
from emulators.features import nominal_full_pressure
from emulators.networks import build
from emulators.schema import FLUX_OF, BundleSpec, Levels, normalizer_hash
from emulators.training.skill import layer_thickness
from physics.columns.gravity_wave_ad99 import AlexanderDunkerton1999
from physics.columns.grey_layers import GreyLayers
from physics.columns.orographic_drag import MountainDrag


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def edit(path: Path, change: Callable[[dict[str, Any]], None], *, forged: bool = False) -> None:
    """Changes the description; `forged`: and the hash of the normalizer with it."""
    content = yaml.safe_load((path / "bundle.yaml").read_text())
    change(content)
    if forged:
        content["normalizer"] = normalizer_hash(BundleSpec.model_validate(content))
    (path / "bundle.yaml").write_text(yaml.safe_dump(content))


def edited(spec: BundleSpec, change: Callable[[dict[str, Any]], None]) -> BundleSpec:
    content = spec.model_dump()
    change(content)
    return BundleSpec.model_validate(content)


def test_a_bundle_comes_back_as_it_was_written(
    tmp_path: Path, spec: BundleSpec, levels: HybridLevels
) -> None:
    torch.manual_seed(3)
    network = build(spec).eval()
    some = tensors(columns(5, levels, 4))
    path = write_bundle(tmp_path / "one", spec, network, some)
    again = load_bundle(path)
    assert again.spec.model_copy(update={"sha256": {}, "normalizer": ""}) == spec
    assert again.spec.normalizer == normalizer_hash(spec)
    assert set(again.spec.sha256) == {"weights.safetensors", "reference.safetensors"}
    other = tensors(columns(41, levels, 5))
    with torch.inference_mode():
        want, got = network(other), again.network(other)
    for name in want:
        assert torch.equal(want[name], got[name])
    assert not again.network.training
    assert not any(p.requires_grad for p in again.network.parameters())


def test_a_bundle_is_three_small_files_and_nothing_beside_them(folder: Path) -> None:
    names = {"bundle.yaml", "weights.safetensors", "reference.safetensors"}
    assert {p.name for p in folder.iterdir()} == names
    assert {p.name for p in folder.parent.iterdir()} == {folder.name}
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o644}
    assert sum(p.stat().st_size for p in folder.iterdir()) < 2_000_000


def test_a_write_that_fails_leaves_nothing(
    tmp_path: Path, spec: BundleSpec, levels: HybridLevels, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: Any, path: Path) -> None:
        if path.name == "reference.safetensors":
            raise OSError("disk full")
        save_file(tensors, path)

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(OSError, match="disk full"):
        write_bundle(tmp_path / "one", spec, build(spec), tensors(columns(5, levels, 4)))
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_replaced_only_on_demand_and_nothing_else_ever(
    copy: Path, spec: BundleSpec, levels: HybridLevels
) -> None:
    some = tensors(columns(5, levels, 4))
    torch.manual_seed(9)
    network = build(spec)
    before = sha256(copy / "weights.safetensors")
    with pytest.raises(DataError, match=r"there is something already: .*copy"):
        write_bundle(copy, spec, network, some)
    assert sha256(copy / "weights.safetensors") == before
    write_bundle(copy, spec, network, some, overwrite=True)
    assert sha256(copy / "weights.safetensors") != before
    assert [p.name for p in copy.parent.iterdir()] == ["copy"]
    other = copy.parent / "precious"
    other.mkdir()
    with pytest.raises(DataError, match="expected a bundle or nothing"):
        write_bundle(other, spec, network, some, overwrite=True)


def test_a_missing_folder_and_missing_files_are_named(copy: Path) -> None:
    with pytest.raises(DataError, match=r"no such bundle: .*nowhere; .*isthmus train RECIPE.yaml"):
        load_bundle(copy.parent / "nowhere")
    (copy / "weights.safetensors").unlink()
    (copy / "reference.safetensors").unlink()
    with pytest.raises(
        DataError, match=r"files are missing: .*no weights.safetensors, no reference.safetensors"
    ):
        load_bundle(copy)


@pytest.mark.parametrize("version", [None, 0, 4, "one"])
def test_an_unknown_schema_version_is_refused(copy: Path, version: object) -> None:
    edit(copy, lambda c: c.update(schema_version=version))
    with pytest.raises(
        DataError, match=f"unknown schema version .*expected 1 to 3; found {version}"
    ):
        load_bundle(copy)


def test_a_description_that_is_not_yaml_or_no_mapping_is_refused(copy: Path) -> None:
    (copy / "bundle.yaml").write_text("a: [1, 2")
    with pytest.raises(DataError, match="not readable as YAML"):
        load_bundle(copy)
    (copy / "bundle.yaml").write_text("- 1\n")
    with pytest.raises(DataError, match="unknown schema version"):
        load_bundle(copy)


def test_every_wrong_entry_is_named_at_once(copy: Path) -> None:
    def change(c: dict[str, Any]) -> None:
        c["colour"] = "red"
        c["inputs"][0]["dims"] = "latitude"
        c["guard"]["margin"] = -1.0
        del c["process"]

    edit(copy, change)
    with pytest.raises(DataError) as caught:
        read_spec(copy)
    text = str(caught.value)
    for name in ("colour", "inputs.0.dims", "guard.margin", "process"):
        assert f"bundle.yaml: {name}; found" in text
    assert len(caught.value.problems) == 4


def test_channels_of_wrong_length_scale_or_name_are_refused_together(copy: Path) -> None:
    def change(c: dict[str, Any]) -> None:
        c["inputs"][2]["mean"].append(250.0)
        c["inputs"][2]["scale"][1] = 0.0
        c["outputs"][1]["name"] = "xgwdparam"

    edit(copy, change)
    with pytest.raises(DataError) as caught:
        read_spec(copy)
    assert "ta.mean has 14 values, 13 expected" in str(caught.value)
    assert "ta.scale has a value that is not positive" in str(caught.value)
    assert "two channels are called xgwdparam" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c["levels"]["b"].pop(), "equally long lists a and b"),
        (lambda c: c["guard"].update(wide_margin=0.01), "wide_margin must not be smaller"),
    ],
)
def test_impossible_levels_and_margins_are_refused(
    copy: Path, change: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    edit(copy, change)
    with pytest.raises(DataError, match=sentence):
        read_spec(copy)


def test_an_unknown_architecture_is_refused_with_the_near_one(copy: Path) -> None:
    edit(copy, lambda c: c["architecture"].update(name="colum_mlp"))
    with pytest.raises(
        ContractError, match=r"unknown architecture .*colum_mlp; did you mean 'column_mlp' or"
    ):
        load_bundle(copy)


def test_a_configuration_that_the_architecture_does_not_know_is_refused(copy: Path) -> None:
    edit(copy, lambda c: c["architecture"]["config"].update(depht=3, width=0))
    with pytest.raises(ContractError) as caught:
        load_bundle(copy)
    assert "column_mlp.depht" in str(caught.value)
    assert "column_mlp.width" in str(caught.value)


@pytest.mark.parametrize("name", ["weights.safetensors", "reference.safetensors"])
def test_one_flipped_bit_is_refused(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[-5] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(DataError, match=f"corrupted file in a bundle: .*{name}; expected sha256"):
        load_bundle(copy)


def test_a_pickle_is_never_loaded_even_under_the_right_hash(copy: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (pytest.fail, ("a pickle was loaded",))

    (copy / "weights.safetensors").write_bytes(pickle.dumps(Trap()))
    digest = sha256(copy / "weights.safetensors")
    edit(copy, lambda c: c["sha256"].update({"weights.safetensors": digest}))
    with pytest.raises(DataError, match="weights do not fit the architecture"):
        load_bundle(copy)


def test_weights_of_another_size_are_refused(copy: Path) -> None:
    edit(copy, lambda c: c["architecture"]["config"].update(depth=3))
    with pytest.raises(DataError, match=r"weights do not fit the architecture: .*hidden.2.weight"):
        load_bundle(copy)


def swap_winds(c: dict[str, Any]) -> None:
    c["inputs"][0]["name"], c["inputs"][1]["name"] = "va", "ua"


OTHER = {
    "order of levels": lambda c: c["inputs"][2]["mean"].reverse(),
    "unit of temperature": lambda c: c["inputs"][2].update(
        mean=[m - 273.15 for m in c["inputs"][2]["mean"]]
    ),
    "scale of the flux": lambda c: [
        o.update(scale=[1.001 * s for s in o["scale"]]) for o in c["outputs"]
    ],
}


def swap_targets(c: dict[str, Any]) -> None:
    c["outputs"][0]["of"], c["outputs"][1]["of"] = "va", "ua"


ENDS = {
    "swapped targets": swap_targets,
    "policy at the top": lambda c: c["outputs"][1].update(top="zero"),
    "place of the dump": lambda c: c["outputs"][0].update(dump_above=8500.0),
    "bound": lambda c: c["outputs"][0].update(bound=1e9),
}


@pytest.mark.parametrize(
    "change",
    [*OTHER.values(), swap_winds, *ENDS.values()],
    ids=[*OTHER, "swapped channels", *ENDS],
)
def test_another_normalizer_than_was_fitted_with_is_refused(
    copy: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    before = read_spec(copy).normalizer
    edit(copy, change)
    with pytest.raises(DataError) as caught:
        load_bundle(copy)
    assert "another normalizer than the weights were fitted with" in str(caught.value)
    assert before in str(caught.value)


def test_a_wrong_hash_of_the_normalizer_is_refused(copy: Path) -> None:
    edit(copy, lambda c: c.update(normalizer="0" * 64))
    with pytest.raises(DataError, match=r"another normalizer .*hash 0000"):
        load_bundle(copy)
    edit(copy, lambda c: c.pop("normalizer"))
    with pytest.raises(DataError, match=r"another normalizer .*in its normalizer"):
        load_bundle(copy)


@pytest.mark.parametrize(
    "change",
    [
        *OTHER.values(),
        lambda c: c["architecture"]["config"].update(features={"launch_pressure": 25000.0}),
    ],
    ids=[*OTHER, "source level"],
)
def test_what_is_forged_with_its_hash_does_not_reproduce_the_reference(
    copy: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    edit(copy, change, forged=True)
    with pytest.raises(
        DataError, match=r"reference is not reproduced: .*xgwdparam; expected agreement to 1e-05"
    ):
        load_bundle(copy)


def test_swapped_channels_of_a_network_on_maps_do_not_reproduce_the_reference(
    tmp_path: Path, levels: HybridLevels
) -> None:
    spec = map_spec(levels, "stencil", {"stencil": 3, "width": 9, "last": 7, "depth": 1})
    torch.manual_seed(2)
    path = write_bundle(tmp_path / "map", spec, build(spec), some_inputs(levels, 5))
    load_bundle(path)
    edit(path, lambda c: c["inputs"].reverse(), forged=True)
    with pytest.raises(DataError, match=r"reference is not reproduced"):
        load_bundle(path)


def test_a_bundle_of_the_first_schema_version_is_brought_up_to_date(copy: Path) -> None:
    now = load_bundle(copy)

    def as_it_was(c: dict[str, Any]) -> None:
        for key in ("weights", "normalizer", "tolerance"):
            del c[key]
        for channel in c["outputs"]:
            del channel["transform"], channel["mean"]
        c["schema_version"] = 1

    edit(copy, as_it_was)
    assert load_bundle(copy).spec == now.spec
    # and its reference still holds it to what was fitted
    edit(copy, lambda c: c["inputs"][2]["mean"].reverse())
    with pytest.raises(DataError, match="reference is not reproduced"):
        load_bundle(copy)


def test_a_bundle_of_the_second_schema_version_is_held_to_its_hash_of_then(copy: Path) -> None:
    now = load_bundle(copy)

    def as_it_was(c: dict[str, Any]) -> None:
        c["normalizer"] = normalizer_hash(now.spec, 2)
        c["schema_version"] = 2

    edit(copy, as_it_was)
    assert normalizer_hash(now.spec, 2) != now.spec.normalizer
    assert load_bundle(copy).spec == now.spec
    edit(copy, swap_winds)
    with pytest.raises(DataError, match="another normalizer than the weights were fitted with"):
        load_bundle(copy)


def test_a_flux_that_would_push_another_wind_is_refused_even_under_the_right_hash(
    copy: Path,
) -> None:
    edit(copy, swap_targets, forged=True)
    load_bundle(copy)  # the network gives what it gave
    with pytest.raises(ContractError) as caught:
        emulator_class(copy)
    text = str(caught.value)
    what = "wrong state variable of a bundle's flux: small"
    assert f"{what}: xgwdparam; expected of ua; found of va" in text
    assert f"{what}: ygwdparam; expected of va; found of ua" in text


def test_every_interface_flux_of_the_table_has_its_state_variable() -> None:
    fluxes = [f for f in FIELDS.values() if f.dims == INTERFACE and f.positive]
    assert {f.name for f in fluxes} == FLUX_OF.keys()
    momentum = {n: of for n, of in FLUX_OF.items() if FIELDS[n].units == "Pa"}
    for name, of in momentum.items():
        assert ("eastward" if of == "ua" else "northward") in str(FIELDS[name].standard_name)
    assert {FLUX_OF[n] for n in FLUX_OF.keys() - momentum.keys()} == {"ta"}
    assert set(FLUX_OF.values()) <= set(STATE)
    schemes = (AlexanderDunkerton1999, MountainDrag, GreyLayers)
    for flux in (f for scheme in schemes for f in scheme.fluxes):
        assert FLUX_OF[flux.name] == flux.of


def test_truncated_weights_are_refused_with_and_without_the_right_hash(copy: Path) -> None:
    file = copy / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"corrupted file in a bundle: .*weights.safetensors"):
        load_bundle(copy)
    edit(copy, lambda c: c["sha256"].update({"weights.safetensors": sha256(file)}))
    with pytest.raises(DataError, match="weights do not fit the architecture"):
        load_bundle(copy)


@pytest.mark.parametrize("name", ["../weights.safetensors", ".hidden", "a/b"])
def test_weights_lie_in_the_bundles_own_folder(copy: Path, name: str) -> None:
    edit(copy, lambda c: c["weights"].update(file=name))
    with pytest.raises(DataError, match=r"weights.file; found"):
        read_spec(copy)


def test_a_reference_without_a_channel_is_refused(copy: Path) -> None:
    reference = load_file(copy / "reference.safetensors")
    del reference["input.ta"]
    save_file(reference, copy / "reference.safetensors")
    digest = sha256(copy / "reference.safetensors")
    edit(copy, lambda c: c["sha256"].update({"reference.safetensors": digest}))
    with pytest.raises(DataError, match=r"reference lacks channels: .*found no ta"):
        load_bundle(copy)


def test_every_channel_that_differs_from_the_fields_table_is_listed(spec: BundleSpec) -> None:
    assert channel_problems(spec) == []

    def change(c: dict[str, Any]) -> None:
        c["inputs"][0]["name"] = "uaa"
        c["inputs"][2]["units"] = "m s-1"
        c["inputs"][4].update(dims="column", name="zghalf")
        c["outputs"][0]["units"] = "hPa"

        c["outputs"][1]["name"] = "phalf"

    text = "\n".join(map(str, channel_problems(edited(spec, change))))
    assert "bundle's flux: small: phalf; expected a flux, one of xgwdparam" in text
    assert "unknown channel of a bundle: small: uaa; did you mean 'ua'" in text
    assert "wrong unit of a bundle's channel: small: ta; expected K; found m s-1" in text
    assert "wrong dimension of a bundle's channel: small: zghalf; expected interface" in text
    assert "wrong unit of a bundle's channel: small: xgwdparam; expected Pa; found hPa" in text


def test_levels_agree_within_a_thousandth_and_the_sentence_names_both(
    spec: BundleSpec, levels: HybridLevels
) -> None:
    assert level_problem(spec, levels) is None
    near = HybridLevels(a=levels.a * (1.0 + 5e-4), b=levels.b)
    # 2 % in a alone; at 1000 hPa the b part hides nothing here, since a > 0 only aloft.
    far = HybridLevels(a=levels.a * 1.02, b=levels.b)
    assert same_levels(levels, near)
    assert not same_levels(levels, far)
    problem = level_problem(spec, HybridLevels.named("hybrid17"))
    assert "expected 13 levels 'hybrid13'" in str(problem)
    assert "found 17 levels 'hybrid17'" in str(problem)


def test_sigma_levels_with_the_same_nominal_pressures_are_not_the_same(
    levels: HybridLevels,
) -> None:
    p = levels.half_pressure(np.array(1.0e5))
    sigma = HybridLevels(a=np.zeros_like(p), b=p / 1.0e5)
    assert np.allclose(sigma.half_pressure(np.array(1.0e5)), p)
    assert not same_levels(levels, sigma)


def test_nominal_pressure_is_computed_in_one_place_with_the_numbers_of_before() -> None:
    for name in ("hybrid40", "stratosphere40", "sigma17"):
        levels = HybridLevels.named(name)
        own = Levels(a=levels.a.tolist(), b=levels.b.tolist())
        half = own.half_pressure()
        assert half.tolist() == [a + 1.0e5 * b for a, b in zip(own.a, own.b, strict=True)]
        single = torch.tensor(own.a) + 1.0e5 * torch.tensor(own.b)  # as networks on maps have it
        assert torch.equal(torch.tensor(own.half_pressure(np.float32)), single)
        double = torch.tensor(own.a, dtype=torch.float64)
        double = double + 1.0e5 * torch.tensor(own.b, dtype=torch.float64)
        assert torch.equal(layer_thickness(own)[:, 0], double.diff())
        assert torch.equal(nominal_full_pressure(own), 0.5 * (double[1:] + double[:-1]))
    code = Path(__file__).resolve().parents[2] / "emulators"
    by_hand = {p.name for p in code.rglob("*.py") if re.search(r"\b1(\.0)?e5\b", p.read_text())}
    assert by_hand == {"schema.py"}
