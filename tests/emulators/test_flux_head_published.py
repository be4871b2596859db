"""The released flux head as a bundle: taken strictly, at its published size, and as it computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from map_bundles import NLAT, NLON, map_spec, some_inputs

from coupler.cli import main
from coupler.interface.errors import ContractError, DataError
from coupler.interface.grid import Grid, HybridLevels
from emulators.bundle import load_bundle
from emulators.convert import convert
from emulators.networks import build
from emulators.networks.flux_head import FluxHead
from emulators.networks.flux_head_published import PublishedHead, PublishedHeadConfig
from emulators.schema import BundleSpec

NAMES = ("ta", "pfull", "ua", "va")
SMALL: dict[str, Any] = {
    "widths": [4, 6],
    "size": {
        "embed_dim": 12,
        "n_heads": 2,
        "n_blocks_encoder": 1,
        "n_blocks_decoder": 1,
        "mask_unit_size_px": [2, 6],
    },
}


def small_spec(levels: HybridLevels, **config: Any) -> BundleSpec:
    """A small head's, whose fluxes are cubes as the published ones."""
    content = map_spec(
        levels, "flux_head_published", {**SMALL, **config}, inputs=NAMES
    ).model_dump()
    for output in content["outputs"]:
        output.update(transform="cbrt", mean=[-0.003] * (levels.nlev + 1))
    return BundleSpec.model_validate(content)


def released(spec: BundleSpec, nlev: int) -> FluxHead:
    """A head of the released layout, its normalizations not fresh ones."""
    config = PublishedHeadConfig.model_validate(spec.architecture.config)
    torch.manual_seed(5)
    head = FluxHead(
        n_in=4 * nlev, n_out=3 * nlev, widths=config.widths, backbone=config.prithvi()
    ).eval()
    for name, buffer in head.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    return head


def description(spec: BundleSpec, path: Path) -> Path:
    """What a user writes about the file."""
    content = spec.model_dump(mode="json")
    for key in ("sha256", "normalizer", "provenance", "schema_version"):
        del content[key]
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_released_file_becomes_a_bundle_that_gives_its_fluxes(
    tmp_path: Path, levels: HybridLevels, capsys: pytest.CaptureFixture[str]
) -> None:
    k = levels.nlev
    spec = small_spec(levels)
    head = released(spec, k)
    file = tmp_path / "released.pt"
    torch.save({"model_state": {f"module.{n}": t for n, t in head.state_dict().items()}}, file)
    out, said = tmp_path / "made", description(spec, tmp_path / "spec.yaml")
    assert main(["bundle", "convert", str(file), "--spec", str(said), "--out", str(out)]) == 0
    text = f"{len(head.state_dict())} tensors loaded, 0 left as they were, 0 of another shape"
    assert text in capsys.readouterr().out

    network = load_bundle(out).network
    assert isinstance(network, PublishedHead)
    inputs = some_inputs(levels, 8, NAMES)
    # the same by hand: normalized channels beside each other, the head, and the cubes of its fluxes
    x = torch.cat(
        [
            (inputs[n] - torch.tensor(spec.input(n).mean)[:, None])
            / torch.tensor(spec.input(n).scale)[:, None]
            for n in NAMES
        ]
    ).view(1, 4 * k, NLAT, NLON)
    grid = Grid.gaussian(NLAT, NLON)
    lat, lon = (torch.deg2rad(torch.tensor(v)).float() for v in (grid.lat, grid.lon))
    ones = torch.ones(NLAT, NLON)
    static = torch.stack((lat.sin()[:, None] * ones, lon.cos() * ones, lon.sin() * ones))[None]
    with torch.inference_mode():
        y = head(x, static)[0].view(3, k, -1)
        fluxes = network(inputs)
    for output, part in zip(spec.outputs, y[1:], strict=True):  # the first is temperature
        want = -0.003 + output.scale[0] * part[0] ** 3
        got = fluxes[output.name]
        # sums of float32 in another order, cubed
        assert torch.allclose(got[0], want, rtol=1e-4, atol=1e-7)
        assert not got[-1].any()
    assert not torch.allclose(fluxes["xgwdparam"], fluxes["ygwdparam"])


def test_at_the_published_size_it_is_the_published_head() -> None:
    levels = HybridLevels.sigma(122)
    grid = {"grid": {"kind": "gaussian", "nlat": 64, "nlon": 128}}
    spec = map_spec(levels, "flux_head_published", grid, inputs=NAMES)
    with torch.device("meta"):
        network, head = build(spec), FluxHead()
    assert isinstance(network, PublishedHead)
    own, published = network.core.state_dict(), head.state_dict()
    assert {n: t.shape for n, t in own.items()} == {n: t.shape for n, t in published.items()}
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert trained == 93_641_646


def test_a_file_of_another_head_is_refused(tmp_path: Path, levels: HybridLevels) -> None:
    spec = small_spec(levels)
    file = tmp_path / "released.pt"
    said = description(spec, tmp_path / "spec.yaml")
    state = released(spec, levels.nlev).state_dict()
    del state["decoder.final_conv.bias"]
    torch.save(state, file)
    with pytest.raises(DataError, match=r"another network: FluxHead; .*decoder\.final_conv\.bias"):
        convert(file, tmp_path / "made", spec=said)
    torch.save(released(spec, levels.nlev + 1).state_dict(), file)
    with pytest.raises(DataError, match=r"another network: FluxHead; .*of another shape"):
        convert(file, tmp_path / "made", spec=said)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"poles": "rotate"}, "flux_head_published.poles"),
        ({"size": {"mask_unit_size_px": [4, 6]}}, "n_lats_px = 10 is no whole number of mask"),
    ],
)
def test_an_impossible_published_head_is_refused_in_a_sentence(
    levels: HybridLevels, config: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ContractError, match=sentence):
        build(map_spec(levels, "flux_head_published", {**SMALL, **config}, inputs=NAMES))
