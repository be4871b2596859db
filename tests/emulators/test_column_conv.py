"""The convolutional column network: what it sees, and that a column is alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_columns import FLUXES, NAMES, columns, tensors

from coupler.interface.errors import ContractError
from emulators.bundle import load_bundle, write_bundle
from emulators.networks import Network, build
from emulators.schema import Architecture, BundleSpec


def described(spec: BundleSpec, **config: int) -> BundleSpec:
    return spec.model_copy(update={"architecture": Architecture(name="column_conv", config=config)})


def made(spec: BundleSpec, **config: int) -> Network:
    torch.manual_seed(3)
    return build(described(spec, **config)).eval()


@pytest.mark.parametrize(("kernel", "layers", "dilation"), [(3, 1, 1), (3, 2, 2), (5, 1, 1)])
def test_an_interface_sees_its_receptive_field_and_no_more(
    spec: BundleSpec, levels, kernel, layers, dilation
) -> None:
    network = made(spec, kernel=kernel, layers=layers, dilation=dilation, channels=5)
    field = network.config.receptive_field()
    assert field == 2 + layers * (kernel - 1) * dilation
    x = {k: v.clone().requires_grad_(k == "ua") for k, v in tensors(columns(3, levels, 4)).items()}
    k = 6  # interface between levels 5 and 6, away from the ends
    network(x)["xgwdparam"][k].sum().backward()
    seen = torch.nonzero(x["ua"].grad.abs().sum(dim=1))[:, 0]
    assert int(seen[0]) >= k - field // 2 and int(seen[-1]) < k + field // 2
    assert int(seen[-1]) - int(seen[0]) + 1 == field


def test_a_column_does_not_depend_on_how_many_others_there_are(spec: BundleSpec, levels) -> None:
    network = made(spec, channels=7)
    x = tensors(columns(601, levels, 5))
    with torch.inference_mode():
        whole = network(x)
        part = network({k: v[..., 590:] for k, v in x.items()})
    for name in FLUXES:
        assert torch.equal(whole[name][:, 590:], part[name])
        assert float(whole[name].abs().max()) > 0.0
        assert not whole[name][-1].any()  # nothing passes the ground


def test_inference_and_training_give_the_same_flux_and_write_where_they_are_told(
    spec: BundleSpec, levels
) -> None:
    network = made(spec, channels=7)
    x = tensors(columns(23, levels, 6))
    out = {n: torch.zeros(levels.nlev + 1, 23) for n in FLUXES}
    with torch.inference_mode():
        network(x, out)
    trained = network(x)
    for name in FLUXES:
        # other sizes of products: a few round-offs of float32
        scale = float(out[name].abs().max())
        np.testing.assert_allclose(trained[name].detach(), out[name], atol=1e-5 * scale)


def test_it_is_a_bundle_like_any_other(spec: BundleSpec, levels, tmp_path: Path) -> None:
    network = made(spec, channels=7)
    x = tensors(columns(9, levels, 7))
    path = write_bundle(tmp_path / "conv", described(spec, channels=7), network, x)
    loaded = load_bundle(path)
    with torch.inference_mode():
        assert torch.equal(loaded.network(x)["xgwdparam"], network(x)["xgwdparam"])
    count = sum(p.numel() for p in loaded.network.parameters())
    inputs = len(NAMES)
    assert count == (inputs * 5 + 1) * 7 + 2 * (7 * 5 + 1) * 7 + (7 * 2 + 1) * 2


def test_a_kernel_that_is_not_centred_is_refused(spec: BundleSpec) -> None:
    with pytest.raises(ContractError, match=r"wrong configuration .*kernel must be odd"):
        made(spec, kernel=4)


def test_a_cubic_transform_is_refused(spec: BundleSpec) -> None:
    ua = spec.input("ua").model_copy(update={"transform": "cbrt"})
    cubic = spec.model_copy(update={"inputs": [ua, *spec.inputs[1:]]})
    with pytest.raises(ContractError, match=r"transform that the architecture .*ua;.*found cbrt"):
        made(cubic)
