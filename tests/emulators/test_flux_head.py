"""The flux head: as published, its backbone is multiplied by zero; in version 2 it contributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from map_bundles import NLAT, NLON, map_spec, some_inputs
from torch import Tensor, nn

from coupler.interface.errors import ContractError, DataError
from coupler.interface.grid import HybridLevels
from emulators.bundle import load_bundle, write_bundle
from emulators.networks import build
from emulators.networks.flux_head import FluxHead
from emulators.networks.flux_head_v2 import FluxHeadNetwork, FluxHeadV2
from emulators.networks.pretrained import load_pretrained, read_checkpoint, take
from emulators.networks.prithvi import PrithviConfig, PrithviWxC

LAT, LON, N_IN, N_OUT = 8, 12, 7, 6
WIDTHS = (4, 6)


def size(module: nn.Module, *, trained: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def backbone(**changes: Any) -> PrithviConfig:
    return PrithviConfig.model_validate(
        {
            "in_channels": WIDTHS[-1],
            "input_size_time": 1,
            "in_channels_static": 3,
            "n_lats_px": LAT,
            "n_lons_px": LON,
            "mask_unit_size_px": (4, 6),
            "embed_dim": 12,
            "n_blocks_encoder": 1,
            "n_blocks_decoder": 1,
            "n_heads": 2,
            "residual": "none",
            "encoder_shifting": False,
            "decoder_shifting": False,
            "positional_encoding": "absolute",
            **changes,
        }
    )


def published() -> FluxHead:
    torch.manual_seed(1)
    head = FluxHead(n_in=N_IN, n_out=N_OUT, widths=WIDTHS, backbone=backbone())
    return head.eval()


def version_2(which: Any = "random", seed: int = 1) -> FluxHeadV2:
    torch.manual_seed(seed)
    head = FluxHeadV2(N_IN, N_OUT, widths=WIDTHS, prithvi=backbone(), backbone=which)
    return head.eval()


def sample() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(3)
    return torch.randn(2, N_IN, LAT, LON, generator=g), torch.randn(2, 3, LAT, LON, generator=g)


def shuffled(head: Any) -> None:
    """Other transformers."""
    torch.manual_seed(77)
    with torch.no_grad():
        for name, p in head.model.named_parameters():
            if "transformers" in name:
                p.normal_(std=0.3)


# -- as published -----------------------------------------------------------------------------


def test_the_published_head_has_the_published_size() -> None:
    with torch.device("meta"):
        head = FluxHead()
    assert size(head, trained=True) == 93_641_646
    assert size(head) == 2_479_889_326
    assert size(head.encoder) == 29_977_920
    assert size(head.decoder) == 63_663_726
    assert size(head.model) == 2_386_247_680
    # the tensors of the released file, down to the byte: scalers are 64-bit integers
    assert sum(t.numel() * t.element_size() for t in head.state_dict().values()) == 9_919_665_000
    names = head.state_dict().keys()
    assert {n.split(".")[0] for n in names} == {"encoder", "decoder", "model"}
    layers = {".".join(n.split(".")[:3]) for n in names if not n.startswith("model")}
    blocks = [f"encoder.encoder{i}" for i in range(1, 5)]
    blocks += [f"decoder.decoder{i}" for i in range(1, 5)]
    want = {f"{b}.{j}" for b in blocks for j in (0, 1, 3, 4)}
    assert layers == want | {"decoder.final_conv.weight", "decoder.final_conv.bias"}
    state = head.state_dict()
    assert state["encoder.encoder1.0.weight"].shape == (160, 488, 3, 3)
    assert state["decoder.decoder4.0.weight"].shape == (1280, 2560, 3, 3)
    assert state["decoder.decoder1.0.weight"].shape == (160, 480, 3, 3)
    assert state["model.patch_embedding.proj.weight"].shape == (2560, 1280, 2, 2)
    assert state["model.patch_embedding_static.proj.weight"].shape == (2560, 3, 2, 2)
    assert state["model.unembed.weight"].shape == (5120, 2560)


def test_the_backbone_of_the_published_head_contributes_nothing() -> None:
    head, (x, static) = published(), sample()
    assert head.backbone_share() == 0.0
    with torch.no_grad():
        before = head(x, static)
        shuffled(head)
        assert torch.equal(head(x, static), before)
        assert torch.equal(head(x, static + 1.0), before)
        through = head.model(head.encoder(x)[-1][:, None], static)
        assert not through.any()
        head.model.get_buffer("output_scalers").fill_(1)
        # the control: with scalers of 1 it would
        assert not torch.allclose(head(x, static), before)
    assert head.backbone_share() == 1.0


def test_the_published_head_is_deterministic_in_evaluation() -> None:
    head, (x, static) = published(), sample()
    head.model.get_buffer("output_scalers").fill_(1)
    with torch.no_grad():
        assert torch.equal(head(x, static), head(x, static))


def test_a_file_of_the_released_layout_is_taken_strictly(tmp_path: Path) -> None:
    head, (x, static) = published(), sample()
    file = tmp_path / "released.pt"
    torch.save({f"module.{n}": t for n, t in head.state_dict().items()}, file)
    torch.manual_seed(2)
    other = FluxHead(n_in=N_IN, n_out=N_OUT, widths=WIDTHS, backbone=backbone()).eval()
    taken = other.load_published(file)
    assert len(taken.loaded) == len(head.state_dict())
    with torch.no_grad():
        assert torch.equal(other(x, static), head(x, static))
    short = {n: t for n, t in head.state_dict().items() if "final_conv" not in n}
    torch.save({f"module.{n}": t for n, t in short.items()}, file)
    with pytest.raises(DataError, match=r"another network.*decoder.final_conv.weight"):
        other.load_published(file)


# -- version 2 --------------------------------------------------------------------------------


def test_the_backbone_of_version_2_contributes() -> None:
    head, (x, static) = version_2(), sample()
    with torch.no_grad():
        before = head(x, static)
        shuffled(head)
        after = head(x, static)
        again = head(x, static + 1.0)
    # not a trace of it: the transformers move the output by a good part of its own size
    assert (after - before).std() > 0.02 * before.std()
    assert not torch.allclose(again, after)


def test_the_ablation_switch_changes_the_backbone_and_nothing_else() -> None:
    x, static = sample()
    torch.manual_seed(8)
    source = PrithviWxC(backbone(in_channels=160))
    found = {}
    for which in ("pretrained", "random", "zero", "identity"):
        head = version_2(which)
        if which == "pretrained":
            head.take_backbone(source.state_dict())
        with torch.no_grad():
            found[which] = head(x, static)
    names = list(found)
    for i, a in enumerate(names):
        for b in names[:i]:
            assert not torch.allclose(found[a], found[b], atol=1e-4), (a, b)
    same = [version_2(w).state_dict() for w in ("zero", "identity")]
    assert all(torch.equal(same[0][n], same[1][n]) for n in same[0])


@pytest.mark.parametrize("which", ["random", "zero", "identity"])
def test_gradients_reach_what_is_trained_and_only_that(which: Any) -> None:
    head, (x, static) = version_2(which).train(), sample()
    head(x, static).square().mean().backward()
    width = WIDTHS[-1]
    # the decoder's channels that come from the backbone
    from_backbone = head.decoder[0][0].weight.grad[:, :width]  # type: ignore[index]
    assert bool(from_backbone.any()) == (which != "zero")
    for name, p in head.model.named_parameters():
        trained = name.startswith(("patch_embedding", "unembed")) and which != "zero"
        assert (p.grad is not None) == trained, name
        assert p.requires_grad == trained
    account = head.account()
    assert account["trained"] == size(head, trained=True) > 0
    assert account["trained"] + account["frozen"] == size(head)


def test_frozen_transformers_stay_as_they_are_while_the_head_is_trained() -> None:
    torch.manual_seed(1)
    prithvi = backbone(drop_path=0.9)
    head = FluxHeadV2(N_IN, N_OUT, widths=WIDTHS, prithvi=prithvi, backbone="random").train()
    x, static = sample()
    with torch.no_grad():
        assert torch.equal(head(x, static), head(x, static))


def test_pretrained_transformers_are_taken_from_a_checkpoint_of_another_task(
    tmp_path: Path,
) -> None:
    torch.manual_seed(8)
    # other channels, times, statics and residual: what a foundation model was trained for
    source = PrithviWxC(
        backbone(in_channels=5, input_size_time=2, residual="climate", in_channels_static=4)
    )
    file = tmp_path / "pretrained.pt"
    torch.save({"model_state": source.state_dict()}, file)
    head, (x, static) = version_2("pretrained"), sample()
    with pytest.raises(ContractError, match="a pretrained backbone without pretrained weights"):
        head(x, static)
    taken = head.load_backbone(file)
    assert len(taken.loaded) == 60  # six transformers of ten tensors
    assert not taken.left
    for name in ("encoder.lgl_block.transformers.1.ff.1.net.0.weight", "lead_time_embedding.bias"):
        assert torch.equal(head.model.get_parameter(name), source.get_parameter(name))
    with torch.no_grad():
        head(x, static)
    narrow = PrithviWxC(backbone(embed_dim=8))
    with pytest.raises(DataError, match="a checkpoint of another network"):
        version_2("pretrained").take_backbone(narrow.state_dict())


# -- checkpoints ------------------------------------------------------------------------------


def test_what_a_checkpoint_gave_is_told(tmp_path: Path) -> None:
    source = PrithviWxC(backbone(in_channels=5))
    target = PrithviWxC(backbone())
    file = tmp_path / "some.pt"
    torch.save({"state_dict": {"module." + n: t for n, t in source.state_dict().items()}}, file)
    taken = load_pretrained(target, file)
    assert "patch_embedding.proj.weight (12, 5, 2, 2) for (12, 6, 2, 2)" in taken.other_shape
    assert "encoder.lgl_block.transformers.0.ff.0.bias" in taken.loaded
    assert not taken.left
    assert "6 of another shape" in str(taken)
    with pytest.raises(DataError, match="expected every tensor of the network"):
        load_pretrained(target, file, strict=True)
    with pytest.raises(DataError, match="expected some tensor"):
        take(target, {"alien": torch.ones(1)})


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("code of a checkpoint was executed",))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"model_state": {"w": torch.ones(2)}, "optimizer": Trap()}, "more than tensors"),
        ({"epoch": 3}, "without a state dict"),
        ([torch.ones(1)], "without a state dict"),
    ],
)
def test_a_checkpoint_with_code_or_without_tensors_is_refused(
    tmp_path: Path, content: Any, sentence: str
) -> None:
    file = tmp_path / "some.pt"
    torch.save(content, file)
    with pytest.raises(DataError, match=sentence):
        read_checkpoint(file)


@pytest.mark.parametrize("name", ["some.pt", "some.safetensors"])
def test_a_truncated_or_missing_checkpoint_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no such checkpoint"):
        read_checkpoint(tmp_path / name)
    torch.save({"w": torch.ones(500)}, tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="unreadable checkpoint"):
        read_checkpoint(tmp_path / name)


# -- in a bundle ------------------------------------------------------------------------------

SMALL = {
    "widths": [5, 7],
    "size": {"embed_dim": 12, "n_heads": 3, "n_blocks_encoder": 1, "mask_unit": [2, 6]},
    "static": ["orog"],
}
NAMES = ("ua", "va", "ta", "orog", "lat")


def test_a_flux_head_is_a_bundle(tmp_path: Path, levels: HybridLevels) -> None:
    spec = map_spec(levels, "flux_head", {**SMALL, "backbone": "random"}, inputs=NAMES)
    torch.manual_seed(4)
    net = build(spec)
    assert isinstance(net, FluxHeadNetwork)
    path = write_bundle(tmp_path / "head", spec, net, some_inputs(levels, 5, NAMES))
    again = load_bundle(path)
    inputs = some_inputs(levels, 6, NAMES)
    with torch.inference_mode():
        one = {n: f.clone() for n, f in net.eval()(inputs).items()}
        two = again.network(inputs)
    assert one["xgwdparam"].shape == (levels.nlev + 1, NLAT * NLON)
    for name in one:
        assert torch.equal(one[name], two[name])
        assert not one[name][-1].any()
    with torch.inference_mode():
        inputs["orog"] = inputs["orog"] + 500.0
        higher = again.network(inputs)
    assert not torch.allclose(higher["xgwdparam"], one["xgwdparam"])


def test_a_bundle_that_says_pretrained_has_to_have_been(
    tmp_path: Path, levels: HybridLevels
) -> None:
    spec = map_spec(levels, "flux_head", SMALL, inputs=NAMES)
    torch.manual_seed(4)
    net = build(spec)
    assert isinstance(net, FluxHeadNetwork)
    with pytest.raises(ContractError, match=r"call load_backbone first, or set backbone: random"):
        write_bundle(tmp_path / "head", spec, net, some_inputs(levels, 5, NAMES))
    core = net.core
    assert isinstance(core, FluxHeadV2)
    core.take_backbone(PrithviWxC(core.model.config).state_dict())
    path = write_bundle(tmp_path / "head", spec, net, some_inputs(levels, 5, NAMES))
    load_bundle(path)  # it is part of the state


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"static": ["sgh"]}, r"no input channel: map: sgh; expected one of orog"),
        ({"static": ["lat"]}, r"no input channel: map: lat; expected one of orog"),
        ({"size": {"mask_unit": [4, 6]}}, "n_lats_px = 10 is no whole number of mask units"),
        ({"size": {"mask_unit": [2, 6], "n_heads": 5}}, "embed_dim = 64 must be divisible"),
        ({"backbone": "frozen"}, "flux_head.backbone"),
    ],
)
def test_an_impossible_head_is_refused_in_a_sentence(
    levels: HybridLevels, config: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ContractError, match=sentence):
        build(map_spec(levels, "flux_head", {**SMALL, **config}, inputs=NAMES))
