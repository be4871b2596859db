"""Programs as weights: written, read again, replayed; and what none of them may do."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from map_bundles import map_spec, some_inputs
from torch import nn

from coupler.cli import main
from coupler.interface.errors import ConfigError, ContractError, DataError
from coupler.interface.grid import HybridLevels
from emulators.bundle import load_bundle, sha256, write_bundle
from emulators.convert import convert, describe, plausible, verify
from emulators.networks import build
from emulators.networks.maps import MapNetwork
from emulators.programs import read_program, write_program
from emulators.schema import BundleSpec

STENCIL = {"stencil": 3, "width": 9, "last": 7, "depth": 1}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, levels: HybridLevels) -> Path:
    """A stencil network's bundle."""
    spec = map_spec(levels, "stencil", STENCIL)
    torch.manual_seed(6)
    path = tmp_path_factory.mktemp("programs") / "stencil"
    return write_bundle(path, spec, build(spec), some_inputs(levels, 5))


FORMATS = [
    "torchscript",
    "export",
    "onnx",
    pytest.param("aoti", marks=pytest.mark.slow),  # a minute of the C++ compiler
]


@pytest.mark.parametrize("format", FORMATS)
def test_a_program_gives_what_its_network_gives(
    tmp_path: Path,
    levels: HybridLevels,
    source: Path,
    format: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ISTHMUS_MACHINE_CODE", "allow")
    said = convert(source, tmp_path / "made", to=format)
    assert f"made: {format}, differs from" in said
    made, own = load_bundle(tmp_path / "made"), load_bundle(source)
    assert made.spec.architecture.name == "program"
    assert made.spec.weights.format == format
    assert not (tmp_path / "made" / "weights.safetensors").exists()
    inputs = some_inputs(levels, 8)
    with torch.inference_mode():
        want, got = own.network(inputs), made.network(inputs)
    for name in want:
        # another compiler sums in another order
        assert torch.allclose(want[name], got[name], rtol=1e-4, atol=1e-6)
    assert made.network.columns_together == own.network.columns_together
    y = made.network.normalized(inputs)
    assert torch.allclose(y, own.network.normalized(inputs), rtol=1e-4, atol=1e-4)


class Columns(nn.Module):
    """Stacked channels of columns to stacked fluxes."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n_in, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.layer(x))


def column_program(tmp_path: Path, levels: HybridLevels, **config: Any) -> tuple[Path, BundleSpec]:
    """A program of columns, and its description."""
    k = levels.nlev
    torch.manual_seed(2)
    file = tmp_path / "columns.ts"
    write_program(Columns(3 * k, 2 * k + 2), torch.zeros(7, 3 * k), file, "torchscript")
    content = map_spec(levels, "stencil", {}).model_dump()
    content["architecture"] = {"name": "program", "config": {"tile": 7, **config}}
    content["weights"] = {"format": "torchscript", "file": "columns.ts"}
    return file, BundleSpec.model_validate(content)


def test_a_program_of_columns_is_called_in_tiles_of_one_size(
    tmp_path: Path, levels: HybridLevels
) -> None:
    file, spec = column_program(tmp_path, levels)
    made = build(spec)
    path = write_bundle(tmp_path / "b", spec, made, plausible(spec, made), program=file)
    network = load_bundle(path).network
    assert network.columns_together == 1
    inputs = {n: t[:, :23] for n, t in some_inputs(levels, 8).items()}
    with torch.inference_mode():
        whole = {n: f.clone() for n, f in network(inputs).items()}
        part = network({n: t[:, 9:14] for n, t in inputs.items()})
    assert whole["xgwdparam"].shape == (levels.nlev + 1, 23)
    # a column's flux does not depend on how many others there are, to the bit
    for name in part:
        assert torch.equal(part[name], whole[name][:, 9:14])


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"on": "level"}, r"other outputs than the bundle's: .*expected shape \[7, 26\]"),
        ({"tile": 8}, None),
    ],
)
def test_a_program_of_another_shape_is_refused(
    tmp_path: Path, levels: HybridLevels, config: dict[str, Any], sentence: str | None
) -> None:
    file, spec = column_program(tmp_path, levels, **config)
    made = build(spec)
    write = lambda: write_bundle(  # noqa: E731
        tmp_path / "b", spec, made, plausible(spec, made), program=file
    )
    if sentence is None:
        write()  # a linear layer takes any number of columns
    else:
        with pytest.raises(DataError, match=sentence):
            write()
    content = spec.model_dump()
    del content["inputs"][2]
    fewer = BundleSpec.model_validate(content)
    with pytest.raises(DataError, match="cannot be called with the bundle's channels"):
        write_bundle(tmp_path / "c", fewer, build(fewer), {}, program=file)


def test_a_program_that_was_not_read_says_so(tmp_path: Path, levels: HybridLevels) -> None:
    _, spec = column_program(tmp_path, levels)
    with pytest.raises(ContractError, match="a program that was not read"):
        build(spec)(some_inputs(levels, 8))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights": {"format": "onnx", "file": "a.onnx"}}, "does not go with the architecture"),
        ({"architecture": {"name": "program"}}, "weights.format safetensors does not go with"),
        ({"weights": {"format": "pickle", "file": "a.pkl"}}, "weights.format"),
    ],
)
def test_a_format_and_an_architecture_that_do_not_go_together_are_refused(
    tmp_path: Path, source: Path, change: dict[str, Any], sentence: str
) -> None:
    copy = Path(shutil.copytree(source, tmp_path / "copy"))
    content = yaml.safe_load((copy / "bundle.yaml").read_text())
    (copy / "bundle.yaml").write_text(yaml.safe_dump(content | change))
    with pytest.raises(DataError, match=sentence):
        load_bundle(copy)


# -- what a program may not do ----------------------------------------------------------------


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("code of a program was executed",))


@pytest.mark.parametrize("format", ["torchscript", "export", "onnx", "aoti"])
def test_a_damaged_program_is_refused_in_a_sentence(
    tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_MACHINE_CODE", "allow")
    file = tmp_path / "net"
    file.write_bytes(b"PK\x03\x04 not a program")
    with pytest.raises(DataError, match=f"format {format}"):
        read_program(file, format)


def test_what_needs_onnxruntime_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DataError, match=r"needs onnxruntime: .*install isthmus\[onnx\]"):
        read_program(tmp_path / "net.onnx", "onnx")


def test_machine_code_is_refused_unless_the_user_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ISTHMUS_MACHINE_CODE", raising=False)
    with pytest.raises(DataError, match=r"machine code: .*to say ISTHMUS_MACHINE_CODE=allow"):
        read_program(tmp_path / "net.aoti.pt2", "aoti")


def test_a_program_under_another_hash_is_refused(tmp_path: Path, source: Path) -> None:
    convert(source, tmp_path / "made", to="torchscript")
    file = tmp_path / "made" / "program.ts"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(DataError, match=r"corrupted file in a bundle: .*program\.ts"):
        load_bundle(tmp_path / "made")
    content = yaml.safe_load((tmp_path / "made" / "bundle.yaml").read_text())
    content["sha256"]["program.ts"] = sha256(file)
    (tmp_path / "made" / "bundle.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(DataError, match="not a program of the format torchscript"):
        load_bundle(tmp_path / "made")


# -- isthmus bundle ---------------------------------------------------------------------------


def test_show_and_verify_tell_what_a_bundle_is(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "show", str(source)]) == 0
    text = capsys.readouterr().out
    assert text.strip() == describe(source)
    for part in (
        "gravity_wave=map, schema version 3",
        "a whole map, 180 columns at once",
        "in   ta           [K] on levels",
        "out  ygwdparam    [Pa] of va",
    ):
        assert part in text
    assert main(["bundle", "verify", str(source)]) == 0
    assert "map: xgwdparam reproduced to 0 (allowed 0.0001)" in capsys.readouterr().out
    assert [v.worst for v in verify(source)] == [0.0, 0.0]
    assert main(["bundle", "verify", "gw_column"]) == 0  # a shipped name
    assert main(["bundle", "show", "nowhere"]) == 2
    assert "no such bundle: nowhere" in capsys.readouterr().err


def test_an_older_bundle_is_rewritten_in_the_present_schema(tmp_path: Path, source: Path) -> None:
    old = Path(shutil.copytree(source, tmp_path / "old"))
    content = yaml.safe_load((old / "bundle.yaml").read_text())
    for key in ("weights", "normalizer", "tolerance"):
        del content[key]
    content["schema_version"] = 1
    (old / "bundle.yaml").write_text(yaml.safe_dump(content))
    assert "schema version 1" in describe(old)
    assert main(["bundle", "convert", str(old), "--out", str(tmp_path / "new")]) == 0
    assert "schema version 3" in describe(tmp_path / "new")
    assert load_bundle(tmp_path / "new").spec == load_bundle(source).spec


def description(source: Path, path: Path, **changes: Any) -> Path:
    """What a user writes about a checkpoint: a bundle.yaml without hashes and origin."""
    content = yaml.safe_load((source / "bundle.yaml").read_text())
    for key in ("sha256", "normalizer", "provenance", "skill", "schema_version"):
        content.pop(key, None)
    path.write_text(yaml.safe_dump(content | changes))
    return path


def test_a_published_checkpoint_becomes_a_bundle(
    tmp_path: Path, levels: HybridLevels, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = load_bundle(source).network
    assert isinstance(network, MapNetwork)
    file = tmp_path / "published.pt"
    state = {f"module.{n}": t for n, t in network.core.state_dict().items()}
    torch.save({"model_state": state}, file)
    spec = description(source, tmp_path / "spec.yaml")
    out = tmp_path / "made"
    command = ["bundle", "convert", str(file), "--spec", str(spec), "--out", str(out)]
    assert main(command) == 0
    assert "tensors loaded, 0 left as they were" in capsys.readouterr().out
    inputs = some_inputs(levels, 8)
    made = load_bundle(out)
    with torch.inference_mode():
        want, got = network(inputs), made.network(inputs)
    assert all(torch.equal(want[n], got[n]) for n in want)
    assert made.spec.provenance.fingerprint == sha256(file)
    assert main(command) == 2  # there is something already
    assert "there is something already" in capsys.readouterr().err


def test_what_cannot_be_converted_is_said_in_a_sentence(
    tmp_path: Path, source: Path, folder: Path
) -> None:
    out = tmp_path / "out"
    file = tmp_path / "bad.pt"
    spec = description(source, tmp_path / "spec.yaml")
    torch.save({"w": Trap()}, file)
    with pytest.raises(DataError, match="a checkpoint that is more than tensors"):
        convert(file, out, spec=spec)
    torch.save({"w": torch.ones(3)}, file)
    with pytest.raises(DataError, match=r"a checkpoint of another network: Stencil"):
        convert(file, out, spec=spec)
    with pytest.raises(ConfigError, match="a checkpoint without a description"):
        convert(file, out)
    with pytest.raises(ConfigError, match="make a bundle of it first"):
        convert(file, out, spec=spec, to="export")
    with pytest.raises(ConfigError, match="a description for a bundle that has one"):
        convert(source, out, spec=spec)
    with pytest.raises(ConfigError, match="unknown format: exe; expected torchscript, export"):
        convert(source, out, to="exe")
    with pytest.raises(ContractError, match="a network with features of its own cannot become"):
        convert(folder, out, to="export")
    bad = description(source, tmp_path / "bad.yaml", process=3, colour="red")
    with pytest.raises(DataError, match=r"wrong entry in a description: .*colour") as caught:
        convert(file, out, spec=bad)
    assert len(caught.value.problems) == 2
    bad.write_text("a: [1")
    with pytest.raises(DataError, match="not readable as YAML"):
        convert(file, out, spec=bad)
    bad.write_text("- 1")
    with pytest.raises(DataError, match="not a description of a bundle"):
        convert(file, out, spec=bad)
    assert not out.exists()
