"""The column network and its features: symmetry, invariance, and features computed by hand."""

from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from synthetic_columns import columns, tensors

from coupler.interface.errors import ContractError
from coupler.interface.grid import HybridLevels
from emulators.bundle import load_bundle
from emulators.features import TILE, FeatureConfig, launch_level, saturation_speed
from emulators.networks import Network, build
from emulators.networks.column_mlp import ColumnMLP
from emulators.schema import BundleSpec, Levels
from physics.columns.gravity_wave_ad99 import AD99Parameters, AlexanderDunkerton1999


@pytest.fixture(scope="module")
def network(folder: Path) -> Network:
    return load_bundle(folder).network


def run(network: Network, c: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        out = network(c)
    return out["xgwdparam"].clone(), out["ygwdparam"].clone()


def test_turning_the_wind_turns_the_flux_to_the_last_bit(
    network: Network, levels: HybridLevels
) -> None:
    c = tensors(columns(53, levels, 11))
    x, y = run(network, c)
    turned = c | {"ua": -c["ua"], "va": -c["va"]}
    xt, yt = run(network, turned)
    assert x.abs().max() > 1e-5
    assert torch.equal(xt, -x)
    assert torch.equal(yt, -y)


def test_components_are_treated_alike_and_apart(network: Network, levels: HybridLevels) -> None:
    c = tensors(columns(53, levels, 11))
    x, y = run(network, c)
    xs, ys = run(network, c | {"ua": c["va"], "va": c["ua"]})
    assert torch.equal(xs, y)
    assert torch.equal(ys, x)
    xo, _ = run(network, c | {"va": 3.0 * c["va"]})
    assert torch.equal(xo, x)


def test_no_wind_and_uniform_wind_give_exactly_no_flux(
    network: Network, levels: HybridLevels
) -> None:
    c = tensors(columns(9, levels, 12))
    x, y = run(network, c | {"ua": torch.zeros_like(c["ua"]), "va": torch.zeros_like(c["va"])})
    assert not x.any()
    assert not y.any()


def test_nothing_passes_the_ground(network: Network, levels: HybridLevels) -> None:
    x, y = run(network, tensors(columns(101, levels, 13)))
    assert not x[-1].any()
    assert not y[-1].any()
    assert x[0].any()  # the top interface is free


def test_a_column_has_the_same_bits_wherever_it_stands(
    network: Network, levels: HybridLevels
) -> None:
    # More columns than one tile, and not a multiple of it.
    c = tensors(columns(TILE + 117, levels, 14))
    x, y = run(network, c)
    order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(1))
    xp, yp = run(network, {k: v[..., order].contiguous() for k, v in c.items()})
    assert torch.equal(xp, x[:, order])
    assert torch.equal(yp, y[:, order])


@pytest.mark.parametrize("n", [1, 7, TILE // 2 + 1])
def test_a_column_has_the_same_bits_however_many_others_there_are(
    network: Network, levels: HybridLevels, n: int
) -> None:
    c = tensors(columns(TILE + 117, levels, 14))
    x, _ = run(network, c)
    part, _ = run(network, {k: v[..., 100 : 100 + n].contiguous() for k, v in c.items()})
    assert torch.equal(part, x[:, 100 : 100 + n])


def test_a_column_has_the_same_bits_with_any_number_of_threads(
    network: Network, levels: HybridLevels
) -> None:
    c = tensors(columns(TILE + 117, levels, 14))
    before, compiled, fluxes = torch.get_num_threads(), numba.get_num_threads(), []
    try:
        for threads in range(1, 1 + max(2, compiled)):
            torch.set_num_threads(threads)
            numba.set_num_threads(min(threads, compiled))
            fluxes.append(run(network, c)[0])
    finally:
        torch.set_num_threads(before)
        numba.set_num_threads(compiled)
    assert len(fluxes) > 1
    assert all(torch.equal(fluxes[0], other) for other in fluxes[1:])


def test_the_same_inputs_in_float64_give_the_same_flux(
    network: Network, levels: HybridLevels
) -> None:
    c = columns(53, levels, 15)
    single = tensors(c)
    x, _ = run(network, single)
    xd, _ = run(network, {k: v.double() for k, v in single.items()})
    # Features of the same numbers differ by one rounding; a few through the layers.
    torch.testing.assert_close(xd, x, rtol=0.0, atol=2e-5 * float(x.abs().max()))


def test_training_and_inference_are_one_path(network: Network, levels: HybridLevels) -> None:
    c = tensors(columns(53, levels, 16))
    x, _ = run(network, c)
    assert torch.is_grad_enabled()
    trained = network(c)["xgwdparam"].detach()
    # One matrix product instead of tiles: another order of sums, float32 round-off.
    torch.testing.assert_close(trained, x, rtol=0.0, atol=1e-5 * float(x.abs().max()))


def by_hand(
    c: dict[str, Any], spec: BundleSpec, levels: HybridLevels
) -> tuple[np.ndarray, np.ndarray]:
    """Features of the first component, in numpy, column by column."""
    nlev, n = c["ua"].shape
    odd, even = np.zeros((2 * nlev + 1, n)), np.zeros((2 * nlev + 1 + 6, n))
    scale = np.array(spec.input("ua").scale)
    half = levels.half_pressure(np.array(1e5))
    speed = 9.0 * (31500.0 / (0.5 * (half[1:] + half[:-1]))) ** (1.0 / 3.0)
    for i in range(n):
        s = max(1, int(np.count_nonzero(c["pfull"][:, i] <= 31500.0)))
        source = c["ua"][s, i]
        high = low = 0.0
        for k in range(s - 1, -1, -1):
            r = c["ua"][k, i] - source
            high, low = max(high, r + speed[k]), min(low, r - speed[k])
            odd[k, i] = r / scale[k]
            odd[nlev + k, i] = (high + low) / scale[k]
            even[k, i] = (high - low) / scale[k]
        odd[2 * nlev, i] = source / scale.mean()
        t, p = spec.input("ta"), spec.input("pfull")
        even[nlev : 2 * nlev, i] = (c["ta"][:, i] - t.mean) / t.scale
        even[2 * nlev, i] = (np.log(c["pfull"][-1, i]) - p.mean[-1]) / p.scale[-1]
        for m in (1, 2, 3):
            angle = m * np.radians(c["lat"][i])
            even[2 * nlev + 2 * m - 1 : 2 * nlev + 2 * m + 1, i] = np.sin(angle), np.cos(angle)
    return odd, even


def test_features_are_those_of_the_formulas(
    network: Network, spec: BundleSpec, levels: HybridLevels
) -> None:
    assert isinstance(network, ColumnMLP)
    c = columns(19, levels, 17)
    want_odd, want_even = by_hand(c, spec, levels)
    odd, spread, common = network._features({k: torch.from_numpy(v) for k, v in c.items()})(
        slice(0, 1)
    )
    assert odd.shape == (1, 2, want_odd.shape[0], TILE)
    even = torch.cat((spread[0, 0], common[0]))
    # float32 features of float64 columns.
    np.testing.assert_allclose(odd[0, 0, :, :19], want_odd, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(even[:, :19], want_even, rtol=2e-5, atol=2e-5)
    # What fills up the tile is no column.
    assert not odd[..., 19:].any()
    assert not even[:, 19:].any()


@pytest.mark.parametrize("rule", ["pressure", "cos_lat"])
def test_the_source_level_is_the_one_of_the_physical_scheme(
    rule: str, levels: HybridLevels
) -> None:
    from synthetic_columns import host

    c = columns(211, levels, 18)
    scheme = AlexanderDunkerton1999(AD99Parameters.model_validate({"source_level": rule}))
    scheme.setup(host(levels, c["lat"]))
    source = scheme._columns[0]
    by_pressure = np.maximum(1, (c["pfull"] <= 31500.0).sum(axis=0))
    want = np.where(source < 0, by_pressure, source)
    config = FeatureConfig.model_validate({"launch": rule})
    own = Levels(a=levels.a.tolist(), b=levels.b.tolist())
    got = launch_level(torch.from_numpy(c["lat"]), torch.from_numpy(c["pfull"]), own, config)
    np.testing.assert_array_equal(got.numpy(), want)
    assert len(set(want.tolist())) > (3 if rule == "cos_lat" else 0)


def test_without_saturation_the_extremes_are_those_of_the_wind(levels: HybridLevels) -> None:
    own = Levels(a=levels.a.tolist(), b=levels.b.tolist())
    assert not saturation_speed(own, FeatureConfig(saturation=0.0)).any()
    assert saturation_speed(own, FeatureConfig())[0] > 20.0


def test_channels_that_the_network_needs_are_asked_for_all_at_once(spec: BundleSpec) -> None:
    content = spec.model_dump()
    content["inputs"][2]["name"] = "hus"
    content["inputs"][3]["transform"] = "none"
    content["outputs"][1]["name"] = "rnl"
    with pytest.raises(ContractError) as caught:
        build(BundleSpec.model_validate(content))
    text = str(caught.value)
    assert "input channel that the architecture needs: small: ta; expected a channel on l" in text
    assert "input channel that the architecture does not use: small: hus" in text
    assert "output channels differ from the architecture's: small" in text


@pytest.mark.parametrize("what", ["wind", "mean", "flux", "transform"])
def test_a_normalization_that_breaks_the_symmetry_is_refused(spec: BundleSpec, what: str) -> None:
    content = spec.model_dump()
    if what == "wind":
        content["inputs"][1]["scale"] = [2.0 * s for s in content["inputs"][1]["scale"]]
    elif what == "mean":
        content["inputs"][0]["mean"][3] = 0.1
    elif what == "flux":
        content["outputs"][1]["scale"][4] *= 2.0
    else:
        content["inputs"][3]["transform"] = "none"
    sentence = "wrong transform" if what == "transform" else "components are not normalized alike"
    with pytest.raises(ContractError, match=sentence):
        build(BundleSpec.model_validate(content))
