"""Prithvi WxC (Schmude et al. 2024): published state and sizes; evaluation is never random."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from emulators.networks.prithvi import PrithviConfig, PrithviWxC
from emulators.networks.transformer import (
    DropPath,
    LocalGlobalLocal,
    MultiheadAttention,
    Shifter,
    Transformer,
)

LAT, LON, C, S = 12, 24, 5, 4


def config(**changes: Any) -> PrithviConfig:
    """3x2 windows of 2x6 tokens."""
    return PrithviConfig.model_validate(
        {
            "in_channels": C,
            "in_channels_static": S,
            "n_lats_px": LAT,
            "n_lons_px": LON,
            "mask_unit_size_px": (4, 12),
            "embed_dim": 24,
            "n_blocks_encoder": 2,
            "n_blocks_decoder": 2,
            "n_heads": 3,
            **changes,
        }
    )


def model(seed: int = 0, scalers: dict[str, Tensor] | None = None, **changes: Any) -> PrithviWxC:
    torch.manual_seed(seed)
    return PrithviWxC(config(**changes), scalers).eval()


def sample(batch: int = 2, *, static: int = S + 2, seed: int = 9) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g)

    return {
        "x": draw(batch, 2, C, LAT, LON),
        "static": draw(batch, static, LAT, LON),
        "climate": draw(batch, C, LAT, LON),
        "input_time": torch.full((batch, 1), 6.0),
        "lead_time": torch.full((batch, 1), 12.0),
    }


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def listed(c: PrithviConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes as section 9.3 of the reference lists them."""
    e, p, m = c.embed_dim, c.patch_size_px[0], c.mlp_multiplier * c.embed_dim
    s0 = c.in_channels_static + (3 if c.positional_encoding == "fourier" else 0)
    s = c.in_channels_static + (c.in_channels if c.residual == "climate" else 0)
    shapes: dict[str, tuple[int, ...]] = {
        "mask_token": (1, 1, 1, e),
        "input_scalers_mu": (1, 1, c.in_channels, 1, 1),
        "input_scalers_sigma": (1, 1, c.in_channels, 1, 1),
        "static_input_scalers_mu": (1, s0, 1, 1),
        "static_input_scalers_sigma": (1, s0, 1, 1),
        "output_scalers": (1, c.in_channels, 1, 1),
        "patch_embedding.proj.weight": (e, c.input_size_time * c.in_channels, p, p),
        "patch_embedding.proj.bias": (e,),
        "patch_embedding_static.proj.weight": (e, s, p, p),
        "patch_embedding_static.proj.bias": (e,),
        "input_time_embedding.weight": (e // 4, 1),
        "input_time_embedding.bias": (e // 4,),
        "lead_time_embedding.weight": (e // 4, 1),
        "lead_time_embedding.bias": (e // 4,),
        "unembed.weight": (c.in_channels * p * p, e),
        "unembed.bias": (c.in_channels * p * p,),
    }
    for part, n in (("encoder", c.n_blocks_encoder), ("decoder", c.n_blocks_decoder)):
        for i in range(2 * n + 1):
            t = f"{part}.lgl_block.transformers.{i}."
            shapes |= {
                t + "attention.0.weight": (e,),
                t + "attention.0.bias": (e,),
                t + "attention.1.qkv_layer.weight": (3 * e, e),
                t + "attention.1.w_layer.weight": (e, e),
                t + "ff.0.weight": (e,),
                t + "ff.0.bias": (e,),
                t + "ff.1.net.0.weight": (m, e),
                t + "ff.1.net.0.bias": (m,),
                t + "ff.1.net.3.weight": (e, m),
                t + "ff.1.net.3.bias": (e,),
            }
    if c.decoder_shifting:
        g = c.windows[0] * c.windows[1]
        n = c.tokens[0] * c.tokens[1]
        for at in ("decoder_shifter.", "decoder.lgl_block.shifter."):
            shapes |= {at + "local_mask": (g, 1, n, n), at + "global_mask": (n, 1, g, g)}
    return shapes


def shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {n: tuple(t.shape) for n, t in module.state_dict().items()}


def test_the_published_configuration_has_the_published_state() -> None:
    with torch.device("meta"):
        net = PrithviWxC(PrithviConfig.published())
    assert parameters(net) == 2_366_633_600
    assert len(net.state_dict()) == 320
    assert shapes(net) == listed(net.config)
    parts = {
        "encoder": 1_966_656_000,
        "decoder": 393_331_200,
        "patch_embedding": 3_279_360,
        "patch_embedding_static": 1_722_880,
        "unembed": 1_639_040,
    }
    assert {n: parameters(net.get_submodule(n)) for n in parts} == parts
    one = net.encoder.lgl_block.get_submodule("transformers.0")
    assert parameters(one) == 78_666_240


def test_the_small_configuration_has_its_published_number_of_parameters() -> None:
    with torch.device("meta"):
        net = PrithviWxC(PrithviConfig.small())
    assert parameters(net) == 279_685_760


def test_a_forward_of_the_published_size_has_the_size_of_the_maps() -> None:
    with torch.device("meta"):
        net = PrithviWxC(PrithviConfig.published()).eval()
        maps = torch.zeros(1, 2, 160, 360, 576)
        y = net(maps, torch.zeros(1, 10, 360, 576), climate=maps[:, 0])
    assert y.shape == (1, 160, 360, 576)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"residual": "temporal"},
        {"residual": "none", "positional_encoding": "absolute", "decoder_shifting": False},
        {"mlp_multiplier": 3, "n_blocks_encoder": 4, "encoder_shifting": False},
    ],
)
def test_names_and_shapes_follow_the_configuration(changes: dict[str, Any]) -> None:
    assert shapes(model(**changes)) == listed(config(**changes))


@pytest.mark.parametrize("mode", ["local", "global", "both"])
@pytest.mark.parametrize("shifting", [False, True])
def test_two_calls_in_evaluation_are_identical(mode: str, shifting: bool) -> None:
    net = model(masking_mode=mode, encoder_shifting=shifting, drop_path=0.3, parameter_dropout=0.3)
    data = sample()
    with torch.inference_mode():
        one, two = net(**data), net(**data)
        assert torch.equal(one, two)
        # nor do samples of a batch see each other
        alone = net(**{n: t[1:] for n, t in data.items()})
    assert torch.allclose(one[1:], alone, atol=1e-5)
    net.train()
    with torch.no_grad():  # the control: training is random
        assert not torch.equal(net(**data), net(**data))


def test_residuals_are_what_the_scaled_output_is_added_to() -> None:
    data = sample()
    zero = {"output": torch.zeros(C), "input_mu": torch.arange(1.0, C + 1.0)}
    with torch.inference_mode():
        y = model(scalers=zero)(**data)
        assert torch.equal(y, data["climate"])
        data["lead_time"][1] = -6.0
        y = model(scalers=zero, residual="temporal")(**data)
        assert torch.equal(y[0], data["x"][0, 1])
        assert torch.equal(y[1], data["x"][1, 0])
        y = model(scalers=zero, residual="none")(**data)
        assert torch.equal(y, torch.arange(1.0, C + 1.0)[None, :, None, None].expand_as(y))
        # and the output scalers scale
        half = {"output": torch.full((C,), 0.5)}
        full, scaled = model(residual="none")(**data), model(scalers=half, residual="none")(**data)
    assert torch.allclose(0.5 * full, scaled, atol=1e-6)


@pytest.mark.parametrize("name", ["x", "static", "climate", "input_time", "lead_time"])
def test_every_input_matters(name: str) -> None:
    net = model()
    data, other = sample(1), sample(1, seed=10)
    with torch.inference_mode():
        before = net(**data) - data["climate"]
        data[name] = 3.0 * data[name] + 1.0 if name.endswith("time") else other[name]
        after = net(**data) - data["climate"]
    assert (after - before).abs().max() > 1e-3


def test_inputs_are_scaled_by_their_own_scalers_earlier_time_first() -> None:
    mu, sigma = torch.arange(C) + 0.5, torch.arange(C) + 1.5
    net = model(scalers={"input_mu": mu, "input_sigma": sigma}, residual="none")
    plain = model(residual="none")
    data = sample()
    scaled = {**data, "x": (data["x"] - mu[:, None, None]) / sigma[:, None, None]}
    with torch.inference_mode():
        want = plain(**scaled) + mu[None, :, None, None]
        assert torch.allclose(net(**data), want, atol=1e-5)
        weight = plain.patch_embedding.proj.weight
        weight[:, :C] = 0.0  # time-major: now it does not see the earlier time
        before = plain(**data)
        data["x"][:, 0] += 1.0
        assert torch.equal(plain(**data), before)
        data["x"][:, 1] += 1.0
        assert not torch.equal(plain(**data), before)


def test_the_first_two_static_fields_are_the_position_and_are_not_scaled() -> None:
    data = sample(1)
    big = torch.ones(S + 3)
    big[:3] = 1e6  # the entries of latitude and longitude are not used
    with torch.inference_mode():
        one = model()(**data)
        two = model(scalers={"static_sigma": big})(**data)
        assert torch.equal(one, two)
        big[3] = 2.0
        three = model(scalers={"static_sigma": big})(**data)
    assert not torch.allclose(one, three)
    net = model()
    lat, lon = data["static"][:, 0], data["static"][:, 1]
    code = net.position(lat, lon)
    assert code.shape == (1, 24, LAT // 2, LON // 2)
    mean = lat[0, 2:4, 4:6].mean()
    assert torch.allclose(code[0, 1, 1, 2], torch.sin(2.0 * mean), atol=1e-6)
    assert torch.allclose(code[0, 12 + 2, 1, 2], torch.cos(3.0 * mean), atol=1e-6)
    mean = lon[0, 2:4, 4:6].mean()
    assert torch.allclose(code[0, 6, 1, 2], torch.sin(mean), atol=1e-6)
    assert torch.allclose(code[0, 23, 1, 2], torch.cos(6.0 * mean), atol=1e-5)


def test_with_absolute_positions_all_static_fields_are_embedded() -> None:
    net = model(positional_encoding="absolute", in_channels_static=S)
    data = sample(1, static=S)
    with torch.inference_mode():
        before = net(**data)
        data["static"][:, 0] += 1.0
        assert not torch.allclose(before, net(**data))


def test_windows_hold_neighbouring_tokens_and_come_back() -> None:
    net = model()
    grid = torch.arange(6 * 12.0).reshape(1, 1, 6, 12)
    windows = net.to_windows(grid)
    assert windows.shape == (1, 6, 12, 1)
    # window 3 of 3x2 begins at row 2, column 6 and has 2 rows of 6 tokens
    assert torch.equal(windows[0, 3, :, 0].reshape(2, 6), grid[0, 0, 2:4, 6:12])
    assert torch.equal(net.to_map(windows), grid)


def test_rows_of_queries_keys_and_values_are_sorted_by_head() -> None:
    torch.manual_seed(4)
    heads, e, tokens = 3, 12, 5
    layer, d = MultiheadAttention(e, heads, 0.5).eval(), 4
    x = torch.randn(1, 1, tokens, e)
    w = layer.qkv_layer.weight
    parts = []
    for h in range(heads):
        q, k, v = (x[0, 0] @ w[(3 * h + j) * d : (3 * h + j + 1) * d].T for j in range(3))
        parts.append(torch.softmax(q @ k.T / d**0.5, dim=-1) @ v)
    want = torch.cat(parts, dim=-1) @ layer.w_layer.weight.T
    assert torch.allclose(layer(x)[0, 0], want, atol=1e-6)


def test_even_transformers_attend_within_windows_and_odd_ones_across() -> None:
    torch.manual_seed(4)
    x = torch.randn(1, 4, 3, 12)
    other = x.clone()
    other[0, 2, 1] += 1.0
    within = LocalGlobalLocal(12, 2, 3, 0.0, 0.0, 0).eval()
    changed = (within(x) != within(other)).any(dim=-1)[0]
    assert changed[2].all()
    assert int(changed.sum()) == 3
    both = LocalGlobalLocal(12, 2, 3, 0.0, 0.0, 1).eval()
    with torch.no_grad():  # without the first and last only the one across windows is left
        for i in (0, 2):
            for p in both.transformers[i].parameters():
                p.zero_()
    changed = (both(x) != both(other)).any(dim=-1)[0]
    assert changed[:, 1].all()
    assert int(changed.sum()) == 4


def test_the_shifter_rolls_half_a_window_and_back() -> None:
    published = PrithviConfig.published()
    shifter = Shifter(published.windows, published.tokens)
    net = model()
    small = Shifter((3, 2), (2, 6))
    grid = torch.randn(1, 1, 6, 12)
    tokens = net.to_windows(grid).transpose(1, 2)
    rolled = small(tokens)
    assert torch.equal(net.to_map(rolled.transpose(1, 2)), grid.roll((1, 3), (2, 3)))
    assert torch.equal(small(rolled), tokens)
    one = torch.zeros(1, 240, 216, 1)
    one[0, 0, 0] = 1.0  # first token of the first window
    there = shifter(one)[0, :, :, 0].nonzero()[0].tolist()
    assert there == [7 * 16 + 8, 0]


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_forward_ends_where_it_began_on_the_map(part: str) -> None:
    # The state of the shifter of a forward that broke off is not taken into the next.
    net = model()
    data = sample(1)
    with torch.inference_mode():
        before = net(**data)
        block = net.get_submodule(part).lgl_block
        block.shifter.back = True  # type: ignore[union-attr]
        assert torch.equal(net(**data), before)


@pytest.mark.parametrize("mode", ["local", "global"])
def test_what_is_masked_is_not_seen(mode: str) -> None:
    net = model(masking_mode=mode)
    data = sample(1)

    def run() -> Tensor:
        generator = torch.Generator().manual_seed(5)
        found: Tensor = net(**data, mask_ratio=0.5, generator=generator)
        return found

    with torch.no_grad():
        before = run()
        assert torch.equal(before, run())
        other = net(**data, mask_ratio=0.5, generator=torch.Generator().manual_seed(6))
        assert not torch.equal(before, other)
    data["x"].requires_grad_(True)
    run().square().sum().backward()
    seen = data["x"].grad[0, 0, 0].reshape(6, 2, 12, 2).abs().sum(dim=(1, 3)) > 0.0  # type: ignore[index]
    assert int(seen.sum()) == 36  # of 72 tokens
    if mode == "global":
        windows = seen.reshape(3, 2, 2, 6).sum(dim=(1, 3))
        assert set(windows.flatten().tolist()) == {0, 12}
    else:
        windows = seen.reshape(3, 2, 2, 6).sum(dim=(1, 3))
        assert set(windows.flatten().tolist()) == {6}


def test_masked_tokens_return_to_their_places() -> None:
    # With all transformers idle, a token that is seen gives what it gives without a mask.
    for mode in ("local", "global"):
        net = model(masking_mode=mode, residual="none")
        with torch.no_grad():
            for name, p in net.named_parameters():
                if "transformers" in name:
                    p.zero_()
            net.mask_token.fill_(100.0)
            full = net(**sample(2))
            half = net(**sample(2), mask_ratio=0.4, generator=torch.Generator().manual_seed(1))
        same = torch.isclose(full, half, atol=1e-4).all(dim=1)
        # int(0.4 n) of 12 tokens, or of 6 windows, are masked: 4 of 12 and 2 of 6
        assert float(same.float().mean()) == pytest.approx(2.0 / 3.0)


def test_both_kinds_of_masking_are_swapped() -> None:
    net = model(masking_mode="both")
    assert net.masking == "local"
    net.swap_masking()
    assert net.masking == "global"
    fixed = model(masking_mode="local")
    fixed.swap_masking()
    assert fixed.masking == "local"


def test_activations_computed_again_give_the_same_gradients() -> None:
    data = sample(1)
    grads = []
    for checkpoints in ((), (0, 1, 3)):
        net = model(checkpoint_encoder=checkpoints, checkpoint_decoder=checkpoints)
        net(**data).square().mean().backward()
        grads.append([p.grad for p in net.parameters() if p.grad is not None])
    assert len(grads[0]) == len(grads[1]) > 100
    for a, b in zip(*grads, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-7)


def test_paths_are_dropped_while_training_only_and_on_average_not_at_all() -> None:
    drop = DropPath(0.25)
    x = torch.ones(4000, 1, 1)
    torch.manual_seed(0)
    y = drop(x)
    assert y.unique().tolist() == pytest.approx([0.0, 4.0 / 3.0])
    # four standard errors of 4000 draws
    assert float(y.mean()) == pytest.approx(1.0, abs=4.0 * (1.0 / 3.0 / 4000) ** 0.5)
    assert drop.eval()(x) is x
    assert isinstance(Transformer(8, 2, 2, 0.0, 0.0).drop_path, DropPath)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_lats_px": 13}, "n_lats_px = 13 is no whole number of mask units of 4"),
        ({"mask_unit_size_px": (4, 9), "n_lons_px": 27}, "n_lons_px = 27 is no whole number"),
        ({"patch_size_px": (2, 1)}, "patches are square"),
        ({"n_heads": 5}, "embed_dim = 24 must be divisible by 4 and by n_heads = 5"),
        ({"n_blocks_decoder": 1}, "decoder_shifting needs an even number of blocks"),
        ({"embedding": 3}, "embedding"),
    ],
)
def test_an_impossible_configuration_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        config(**changes)


def test_wrong_inputs_are_named() -> None:
    net, data = model(), sample()
    with pytest.raises(ValueError, match=r"wrong shape of x; expected \(2, 2, 5, 12, 24\)"):
        net(**{**data, "x": data["x"][..., :-1]})
    with pytest.raises(ValueError, match=r"wrong shape of static; expected \(2, 6, 12, 24\)"):
        net(**{**data, "static": data["static"][:, 1:]})
    with pytest.raises(ValueError, match=r"wrong shape of climate; .*found None"):
        net(**{**data, "climate": None})
    with pytest.raises(ValueError, match="mask_ratio must be at least 0 and below 1; found 1"):
        net(**data, mask_ratio=1.0)
    with pytest.raises(ValueError, match="a masked forward in evaluation needs a generator"):
        net(**data, mask_ratio=0.5)
    with pytest.raises(TypeError, match="unknown scalers: gain"):
        model(scalers={"gain": torch.ones(1)})
