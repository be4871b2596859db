"""A head that looks ahead: its backbone forecasts as it was pretrained to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from map_bundles import GRID, NLAT, NLON, map_spec, some_inputs, turned
from safetensors.torch import save_file

from coupler.interface.errors import ContractError, DataError
from coupler.interface.grid import HybridLevels
from emulators.bundle import load_bundle, write_bundle
from emulators.networks import build
from emulators.networks.flux_head_v2 import BackboneSize
from emulators.networks.forecast_head import ForecastHead
from emulators.networks.maps import MapGrid, MapNetwork
from emulators.training import pretrain

SIZE = {"embed_dim": 12, "n_heads": 3, "n_blocks_encoder": 1, "mask_unit": [2, 6]}
SMALL = {"widths": [5, 7], "column": [9], "size": SIZE, "every": 2, "lead_hours": [6.0, 18.0]}
NAMES = ("ua", "va", "ta", "lat")


def head(levels: HybridLevels, **changes: Any) -> ForecastHead:
    torch.manual_seed(4)
    net = build(map_spec(levels, "forecast_head", {**SMALL, **changes}, inputs=NAMES))
    assert isinstance(net, ForecastHead)
    return net.eval()


def foreteller(levels: HybridLevels, **changes: Any) -> tuple[Any, pretrain.Normal]:
    """A backbone as pretraining makes it, and its scales."""
    config = pretrain.Pretraining(
        size=BackboneSize.model_validate(SIZE), every=2, residual="temporal", clock=False
    ).model_copy(update=changes)
    channels = 3 * len(range(0, levels.nlev, 2))
    torch.manual_seed(9)
    normal = pretrain.Normal(
        mean=torch.randn(channels), deviation=torch.rand(channels) + 1.0,
        climate=torch.zeros(channels, NLAT, 1), departure=torch.rand(channels) + 0.5,
    )  # fmt: skip
    model = pretrain.backbone(config, channels, MapGrid.model_validate(GRID), normal)
    return model.eval(), normal


def test_it_sees_what_the_pretrained_backbone_says_of_states_in_its_own_units(
    levels: HybridLevels, tmp_path: Path
) -> None:
    model, _ = foreteller(levels)
    save_file(model.state_dict(), tmp_path / "backbone.safetensors")
    net = head(levels)
    with pytest.raises(ContractError, match="a pretrained backbone without pretrained weights"):
        net(some_inputs(levels, 5, NAMES))
    assert not net.load_backbone(tmp_path / "backbone.safetensors").left
    inputs = {
        n: torch.cat((some_inputs(levels, 5, NAMES)[n], some_inputs(levels, 6, NAMES)[n]), dim=-1)
        for n in NAMES
    }
    # What pretraining gives to the same network: a recording of two calls.
    states = torch.cat([inputs[n][::2] for n in ("ua", "va", "ta")])
    x = states.reshape(len(states), 2, NLAT, NLON).transpose(0, 1)
    run = pretrain.States(values=x, step=6.0, start=0.0, grid=MapGrid.model_validate(GRID))
    asked = pretrain.Pretraining(
        every=2, input_hours=(0.0,), lead_hours=(0.0,), residual="temporal", clock=False
    )
    task = pretrain.draw([run], asked, 1, torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = net.changes(inputs).unflatten(2, (3, levels.nlev))
        for i in range(2):
            for j, hours in enumerate((6.0, 18.0)):
                want = model(
                    torch.stack((x[i], x[i]))[None], task.static, lead_time=torch.tensor([[hours]])
                )
                change = (want[0] - x[i]).unflatten(0, (3, -1))
                # float32 of temperatures, batches of another size
                assert torch.allclose(found[i, j, :, ::2], change, atol=1e-3)
                middle = 0.5 * (change[:, :-1] + change[:, 1:])
                between = found[i, j, :, 1 : 2 * middle.shape[1] : 2]
                assert torch.allclose(between, middle, atol=1e-3)
    assert not torch.allclose(found[:, 0], found[:, 1], atol=1e-2)  # the lead matters


def test_what_is_forecast_reaches_the_fluxes(levels: HybridLevels) -> None:
    inputs = some_inputs(levels, 5, NAMES)
    for which, counts in (("random", True), ("identity", False)):
        net = head(levels, backbone=which)
        with torch.no_grad():
            before = net(inputs)["xgwdparam"].clone()
            for name, p in net.model.named_parameters():
                if "transformers" in name:
                    p.add_(0.5)
            moved = (net(inputs)["xgwdparam"] - before).abs().max() > 0.0
        assert bool(moved) == counts


def test_the_answer_is_the_mean_over_states_that_are_foretold(levels: HybridLevels) -> None:
    net, inputs = head(levels, backbone="random"), some_inputs(levels, 5, NAMES)
    with torch.no_grad():
        change = net.changes(inputs)[0].unflatten(1, (3, levels.nlev)).flatten(-2)
        plain = head(levels, backbone="zero")
        plain.core.load_state_dict(net.core.state_dict())
        each = [
            plain.raw({**inputs, **{n: inputs[n] + c[k] for k, n in enumerate(NAMES[:3])}})
            for c in change
        ]
        # float32: temperatures of hundreds against changes of one
        assert torch.allclose(net.raw(inputs), 0.5 * (each[0] + each[1]), atol=1e-3)
    assert not torch.allclose(each[0], each[1], atol=1e-2)


def test_with_zero_there_is_no_forecast_and_nothing_of_it_to_train(levels: HybridLevels) -> None:
    net = head(levels, backbone="zero")
    with torch.no_grad():
        x = MapNetwork.maps(net, inputs := some_inputs(levels, 5, NAMES))
        assert torch.equal(net.raw(inputs), net.core(x)[0].flatten(1))
    assert not any(p.requires_grad for p in net.model.parameters())
    others = [head(levels, backbone=b).core.state_dict() for b in ("random", "identity")]
    for name, tensor in net.core.state_dict().items():
        assert all(torch.equal(o[name], tensor) for o in others), name


def test_embeddings_are_trained_and_transformers_are_not(levels: HybridLevels) -> None:
    net = head(levels, backbone="random").train()
    net.normalized(some_inputs(levels, 5, NAMES)).square().mean().backward()
    for name, p in net.model.named_parameters():
        trained = name.startswith(("patch_embedding", "unembed"))
        assert p.requires_grad == trained and (p.grad is not None) == trained, name
    assert not net.model.training


def test_without_a_backbone_it_does_not_know_where_the_map_begins(levels: HybridLevels) -> None:
    net = head(levels, backbone="zero")
    inputs = some_inputs(levels, 5, NAMES)
    east = {n: turned(v, 5) for n, v in inputs.items()}
    with torch.no_grad():
        want = turned(net(inputs)["xgwdparam"], 5)
        assert torch.allclose(net(east)["xgwdparam"], want, atol=1e-6)


def test_it_is_a_bundle_once_it_has_been_pretrained(levels: HybridLevels, tmp_path: Path) -> None:
    model, _ = foreteller(levels)
    save_file(model.state_dict(), tmp_path / "backbone.safetensors")
    net, inputs = head(levels), some_inputs(levels, 5, NAMES)
    net.load_backbone(tmp_path / "backbone.safetensors")
    spec = map_spec(levels, "forecast_head", SMALL, inputs=NAMES)
    again = load_bundle(write_bundle(tmp_path / "head", spec, net, inputs))
    with torch.inference_mode():
        one, two = net(inputs), again.network(inputs)
    assert torch.equal(one["ygwdparam"], two["ygwdparam"])


@pytest.mark.parametrize(
    "changes",
    [{"residual": "climate"}, {"size": BackboneSize.model_validate({**SIZE, "embed_dim": 24})}],
)
def test_a_backbone_of_another_kind_is_refused(
    levels: HybridLevels, tmp_path: Path, changes: dict[str, Any]
) -> None:
    save_file(foreteller(levels, **changes)[0].state_dict(), tmp_path / "b.safetensors")
    with pytest.raises(DataError, match="a checkpoint of another network"):
        head(levels).load_backbone(tmp_path / "b.safetensors")


def test_a_forecast_of_what_is_no_input_is_refused(levels: HybridLevels) -> None:
    with pytest.raises(ContractError, match=r"no input channel on levels: map: lat; .* ua, va, ta"):
        head(levels, names=["ua", "lat"])
