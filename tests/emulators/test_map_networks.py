"""Networks on maps: published sizes, a sphere without an edge, channels in their places."""

from pathlib import Path
from typing import Any

import pytest
import torch
from map_bundles import GRID, NLAT, NLON, map_spec, some_inputs, turned
from torch import nn

from coupler.interface.errors import ContractError
from coupler.interface.grid import Grid, HybridLevels
from emulators.networks import build
from emulators.networks.attention_unet import AttentionUNet
from emulators.networks.maps import MapGrid, MapNetwork, cube_root
from emulators.networks.sphere import SphereConv2d, sphere_pad
from emulators.networks.stencil import StencilNet
from emulators.programs import read_program, write_program


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("n_in", "n_out", "parameters"),
    [(366, 244, 37_892_576), (488, 244, 37_962_848), (180, 120, 37_777_380)],
)
def test_the_attention_unet_has_the_published_number_of_parameters(
    n_in: int, n_out: int, parameters: int
) -> None:
    with torch.device("meta"):
        net = AttentionUNet(n_in, n_out)
        assert size(net) == parameters
        assert net(torch.zeros(1, n_in, 64, 128)).shape == (1, n_out, 64, 128)


@pytest.mark.parametrize(
    ("n_in", "n_out", "stencil", "parameters"),
    [
        (369, 244, 1, 10_106_420),
        (491, 244, 1, 17_481_564),
        (369, 244, 3, 11_332_238),
        (491, 244, 3, 19_651_784),
        (491, 244, 5, 21_822_004),
        (183, 120, 1, 2_485_752),
    ],
)
def test_stencil_networks_have_the_published_number_of_parameters(
    n_in: int, n_out: int, stencil: Any, parameters: int
) -> None:
    with torch.device("meta"):
        net = StencilNet(n_in, n_out, stencil=stencil)
        assert size(net) == parameters
        assert net(torch.zeros(1, n_in, 6, 8)).shape == (1, n_out, 6, 8)


def test_beyond_the_pole_lies_the_same_row_half_a_turn_away() -> None:
    x = torch.arange(3 * 8.0).reshape(1, 1, 3, 8)
    y = sphere_pad(x, 2, "rotate")
    assert y.shape == (1, 1, 7, 12)
    south, north = y[0, 0, :2, 2:-2], y[0, 0, -2:, 2:-2]
    assert torch.equal(south[1], x[0, 0, 0].roll(4))
    assert torch.equal(south[0], x[0, 0, 1].roll(4))
    assert torch.equal(north[0], x[0, 0, 2].roll(4))
    assert torch.equal(north[1], x[0, 0, 1].roll(4))
    # longitude closes, corners included: a meridian across the pole is one line
    assert torch.equal(y[..., :2], y[..., -4:-2])
    assert torch.equal(y[..., -2:], y[..., 2:4])
    replicated = sphere_pad(x, 1, "replicate")
    assert torch.equal(replicated[0, 0, 0, 1:-1], x[0, 0, 0])
    assert not sphere_pad(x, 1, "zero")[..., 0].any()


@pytest.mark.parametrize("poles", ["rotate", "replicate"])
@pytest.mark.parametrize("nlon", [8, 9])
@pytest.mark.parametrize("n", [1, 2])
def test_padding_is_the_same_with_and_without_gradients(poles: Any, nlon: int, n: int) -> None:
    x = torch.randn(2, 3, 5, nlon)
    signs = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    for turning in (None, signs):
        want = sphere_pad(x, n, poles, turning)
        with torch.no_grad():
            assert torch.equal(sphere_pad(x, n, poles, turning), want)


def test_a_flow_across_the_pole_has_no_divergence_there() -> None:
    # A uniform flow over the pole: as components it turns with longitude, and a padding that did
    # not turn the sign beyond the pole would see it reversed.
    lon = 2.0 * torch.pi * torch.arange(24) / 24
    u, v = -torch.sin(lon), -torch.cos(lon)
    x = torch.stack((u, v)).reshape(1, 2, 1, 24).expand(1, 2, 2, 24)
    signs = torch.tensor([-1.0, -1.0])[:, None, None]
    padded = sphere_pad(x, 1, "rotate", signs)[0, :, -1, 1:-1]
    assert torch.allclose(padded, x[0, :, -1], atol=1e-6)
    without = sphere_pad(x, 1, "rotate")[0, :, -1, 1:-1]
    assert torch.allclose(without, -x[0, :, -1], atol=1e-6)


NETWORKS = [
    ("attention_unet", {"width": 5, "depth": 2}),
    ("stencil", {"stencil": 3, "width": 11, "last": 7, "depth": 2}),
    ("stencil", {"stencil": 5, "width": 11, "last": 7, "depth": 2}),
]
each = pytest.mark.parametrize(("name", "config"), NETWORKS, ids=["unet", "3x3", "5x5"])


def network(levels: HybridLevels, name: str, config: dict[str, Any], **more: Any) -> MapNetwork:
    torch.manual_seed(3)
    made = build(map_spec(levels, name, config, **more)).eval()
    assert isinstance(made, MapNetwork)
    for module in made.modules():  # a fresh normalization hardly depends on anything
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    return made


@each
@pytest.mark.parametrize("poles", ["rotate", "replicate"])
def test_a_globe_that_is_turned_gives_the_same_fluxes_turned(
    levels: HybridLevels, name: str, config: dict[str, Any], poles: str
) -> None:
    net = network(levels, name, {**config, "poles": poles})
    inputs = some_inputs(levels, 7)
    by = 4  # a multiple of the coarsest cell: a net with coarser maps knows no other symmetry
    with torch.inference_mode():
        straight = {n: f.clone() for n, f in net(inputs).items()}
        around = net({n: turned(x, by) for n, x in inputs.items()})
    for n in straight:
        scale = straight[n].abs().max()
        assert (turned(straight[n], by) - around[n]).abs().max() < 1e-5 * scale
    zero = network(levels, name, {**config, "poles": "zero"})
    with torch.inference_mode():
        straight = {n: f.clone() for n, f in zero(inputs).items()}
        around = zero({n: turned(x, by) for n, x in inputs.items()})
    x = straight["xgwdparam"]
    # the control: with zeros beyond the ends of the map it depends on where the map begins
    assert (turned(x, by) - around["xgwdparam"]).abs().max() > 1e-3 * x.abs().max()


@each
def test_a_column_depends_on_its_neighbours_and_nothing_passes_the_ground(
    levels: HybridLevels, name: str, config: dict[str, Any]
) -> None:
    net = network(levels, name, config)
    inputs = some_inputs(levels, 7)
    with torch.inference_mode():
        before = {n: f.clone() for n, f in net(inputs).items()}
        inputs["ua"][:, 5 * NLON] += 10.0
        after = net(inputs)
    changed = (after["ygwdparam"] != before["ygwdparam"]).any(dim=0).reshape(NLAT, NLON)
    reach = {"attention_unet": 99, "stencil": config.get("stencil", 0) // 2}[name]
    assert changed[5, 0]
    assert changed[5, NLON - 1]  # across the date line
    assert changed[4, 0]
    if name == "stencil":
        assert int(changed.sum()) == (2 * reach + 1) ** 2
    for flux in after.values():
        assert not flux[-1].any()
        assert flux[:-1].any(dim=1).all()


@each
def test_normalized_and_physical_fluxes_are_one_computation(
    levels: HybridLevels, name: str, config: dict[str, Any]
) -> None:
    net = network(levels, name, config)
    one, two = some_inputs(levels, 7), some_inputs(levels, 8)
    both = {n: torch.cat((one[n], two[n]), dim=-1) for n in one}
    fluxes = net(both)
    y = net.normalized(both)
    assert y.requires_grad
    ncol = 2 * NLAT * NLON
    assert y.shape == (levels.nlev + 1, 2 * ncol)
    scale = torch.tensor([0.02 + 0.01 * k for k in range(levels.nlev)] + [0.0])[:, None]
    assert torch.allclose(fluxes["xgwdparam"], scale * y[:, :ncol], atol=1e-7)
    assert torch.allclose(fluxes["ygwdparam"], scale * y[:, ncol:], atol=1e-7)
    # maps of a batch do not see each other
    with torch.inference_mode():
        alone = net(two)
    assert torch.allclose(fluxes["xgwdparam"][:, NLAT * NLON :], alone["xgwdparam"], atol=1e-6)
    assert net.columns_together == NLAT * NLON


def test_channels_are_stacked_in_the_order_of_the_bundle(levels: HybridLevels) -> None:
    names = ("ta", "lat", "ua")
    net = network(levels, "stencil", {"stencil": 3, "width": 5}, inputs=names)
    inputs = some_inputs(levels, 7, names)
    x = net.maps(inputs)[0].reshape(net.stack.size, -1)
    k = levels.nlev
    assert net.stack.size == 2 * k + 2
    spec = map_spec(levels, "stencil", {}, inputs=names)
    mean, scale = (torch.tensor(getattr(spec.input("ta"), n))[:, None] for n in ("mean", "scale"))
    assert torch.allclose(x[:k], (inputs["ta"] - mean) / scale, atol=1e-6)
    angle = torch.deg2rad(inputs["lat"])
    assert torch.allclose(x[k], angle.sin(), atol=1e-6)
    assert torch.allclose(x[k + 1], angle.cos(), atol=1e-6)
    assert torch.allclose(
        x[k + 2 :], inputs["ua"] / torch.tensor(spec.input("ua").scale)[:, None], atol=1e-6
    )
    assert net.stack.components() == [False] * (k + 2) + [True] * k


def test_cube_root_channels_and_fluxes_on_levels_go_there_and_back(levels: HybridLevels) -> None:
    spec = map_spec(levels, "stencil", {"stencil": 3, "width": 5, "on": "level"})
    content = spec.model_dump()
    content["inputs"][0].update(transform="cbrt")
    for o in content["outputs"]:
        o.update(transform="cbrt", mean=[-0.003] * (levels.nlev + 1))
    net = build(type(spec).model_validate(content)).eval()
    assert isinstance(net, MapNetwork)
    inputs = some_inputs(levels, 7)
    x = net.maps(inputs)[0].reshape(net.stack.size, -1)[: levels.nlev]
    scale = torch.tensor(spec.inputs[0].scale)[:, None]
    assert torch.allclose(x**3, inputs["ua"] / scale, atol=1e-4)
    assert torch.equal(cube_root(torch.tensor([-8.0])).round(), torch.tensor([-2.0]))
    y = net.raw(inputs).detach()
    flux = net(inputs)["xgwdparam"].detach()
    f = torch.tensor(spec.outputs[0].scale)[:, None]
    top = -0.003 + f[0] * y[0] ** 3
    assert torch.allclose(flux[0], top, atol=1e-7)
    assert not flux[-1].any()
    half = torch.tensor(levels.half_pressure(torch.tensor(1.0e5).numpy()))
    full = 0.5 * (half[1:] + half[:-1])
    w = ((half[3] - full[2]) / (full[3] - full[2])).float()
    want = -0.003 + f[3] * ((1 - w) * y[2] + w * y[3]) ** 3
    assert torch.allclose(flux[3], want, atol=1e-7)


HEAD = {
    "widths": [6, 8],
    "backbone": "random",
    "size": {
        "embed_dim": 12,
        "n_heads": 2,
        "n_blocks_encoder": 1,
        "n_blocks_decoder": 1,
        "mask_unit": [2, 6],
    },
}
SCRIPTED = {
    "1x1": ("stencil", {"stencil": 1, "width": 11, "last": 7, "depth": 2}),
    "3x3": NETWORKS[1],
    "5x5": NETWORKS[2],
    "unet": NETWORKS[0],
    "flux head": ("flux_head", HEAD),
}


class Core(nn.Module):
    """A network between its stacked channels."""

    def __init__(self, net: MapNetwork) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net.through_core(x)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize(("name", "config"), SCRIPTED.values(), ids=SCRIPTED)
def test_a_scripted_network_is_the_eager_one(
    levels: HybridLevels, name: str, config: dict[str, Any]
) -> None:
    net = network(levels, name, config)

    core = Core(net).eval()
    one, other = torch.randn(2, 1, net.stack.size, NLAT, NLON)
    with torch.no_grad():
        traced = torch.jit.trace(core, one)  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        want = core(other)
        assert torch.equal(traced(other), want)  # nothing of the traced sample is in it
        scale = want.abs().max()
        assert (core(one) - want).abs().max() > 1e-3 * scale
        # The published scripted networks leave their convolution out; here neighbours are seen.
        there = other.clone()
        there[..., 5, 7] += 1.0
        reached = ((traced(there) - want).abs().amax(dim=(0, 1)) > 0.0).nonzero().tolist()
    assert ([5, 8] in reached) == (name != "stencil" or config["stencil"] > 1)
    assert [5, 7] in reached


@pytest.mark.parametrize("which", ["unet", "flux head"])
def test_nothing_in_an_exported_network_is_refused(
    tmp_path: Path, levels: HybridLevels, which: str
) -> None:
    core = Core(network(levels, *SCRIPTED[which])).eval()
    x = torch.randn(1, core.net.stack.size, NLAT, NLON)
    write_program(core, torch.zeros_like(x), tmp_path / "net.pt2", "export")
    with torch.inference_mode():
        assert torch.equal(read_program(tmp_path / "net.pt2", "export")(x), core(x))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"grid": {"nlat": 10, "nlon": 17}}, "rotate needs an even number of longitudes"),
        ({"depth": 3}, "a grid of 10x18 is not divisible by 4"),
        ({"grid": {"nlat": 10}}, "grid.nlon"),
        ({"poles": "open"}, "attention_unet.poles"),
    ],
)
def test_impossible_maps_are_refused_in_a_sentence(
    levels: HybridLevels, config: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ContractError, match=sentence):
        build(map_spec(levels, "attention_unet", {"width": 3, "depth": 2, **config}))


def test_another_grid_is_named_beside_its_own() -> None:
    own = MapGrid.model_validate(GRID)
    assert own.problem("map", Grid.gaussian(NLAT, NLON)) is None
    text = str(own.problem("map", Grid.regular(NLAT, NLON)))
    assert "expected gaussian 10x18; found regular 10x18; take an atmosphere on its grid" in text


def test_a_convolution_keeps_the_names_of_its_parameters() -> None:
    ours, plain = SphereConv2d(3, 5, 3), nn.Conv2d(3, 5, 3)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in plain.state_dict().items()
    }
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 6, 8)
    # away from the poles and the date line they are the same convolution
    assert torch.allclose(ours(x)[..., 1:-1, 1:-1], plain(x), atol=1e-6)
