"""`column_mlp`: one residual network per column, exactly odd in the wind.

A scheme such as Alexander and Dunkerton (1999, doi:10.1175/1520-0469(1999)056<4167:ASPOMF>2.0.CO;2)
treats the two wind components alike and turns its flux around with the wind. So one network f is
applied to both components, as one batch, and ``F(u) = [f(u) - f(-u)] / 2``. With odd features o and
even features e (`emulators.features`) the first layer is ``E +- O``, E = W_e e + b, O = W_o o:

    h(+-) = silu(E +- O);   h <- h + silu(W h + b), `depth` times, same weights for both signs
    y = V [h(+) - h(-)] / 2;   F_i = scale_i y_i

which is odd to the last bit. F is exactly zero where scale is, at the surface above all.
SiLU: Elfwing et al. 2018, doi:10.1016/j.neunet.2017.12.012.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import silu

from coupler.interface.errors import ContractError, Problem
from emulators.features import (
    TILE,
    FeatureConfig,
    fill_features,
    from_tiles,
    launch_level,
    saturation_speed,
)
from emulators.networks import Network
from emulators.schema import BundleSpec, Data

TOGETHER = 4
"""Tiles that go through all layers before the next ones: what they need fits a core's cache."""


Features = tuple[Tensor, Tensor, Tensor]
NORMALS = ("temperature_mean", "temperature_scale")


class ColumnMLPConfig(Data):
    """Size and channels of a `column_mlp`."""

    width: int = Field(default=128, ge=1, le=2048)
    depth: int = Field(default=3, ge=0, le=64)
    """Number of hidden layers after the first."""
    pairs: dict[str, str] = Field(default={"ua": "xgwdparam", "va": "ygwdparam"}, min_length=1)
    """Wind component to the flux it gives."""
    temperature: str = "ta"
    pressure: str = "pfull"
    latitude: str = "lat"
    features: FeatureConfig = FeatureConfig()


class ColumnMLP(Network):
    """See the module."""

    Config = ColumnMLPConfig

    def __init__(self, spec: BundleSpec, config: ColumnMLPConfig) -> None:
        super().__init__(spec, config)
        _check_channels(spec, config)
        self.config, self.levels = config, spec.levels
        nlev, width = spec.levels.nlev, config.width
        self.odd_in = nn.Linear(config.features.odd(nlev), width, bias=False)
        self.even_in = nn.Linear(config.features.even(nlev), width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(config.depth))
        self.out = nn.Linear(width, nlev + 1, bias=False)
        first_wind, first_flux = next(iter(config.pairs.items()))
        temperature, pressure = spec.input(config.temperature), spec.input(config.pressure)
        self.log_pressure = (pressure.mean[-1], pressure.scale[-1])
        for name, values in (
            ("wind_scale", spec.input(first_wind).scale),
            ("temperature_mean", temperature.mean),
            ("temperature_scale", temperature.scale),
            ("flux_scale", spec.output(first_flux).scale),
        ):
            # In bundle.yaml already: not stored a second time with the weights.
            self.register_buffer(name, torch.tensor(values), persistent=False)
        saturation = saturation_speed(spec.levels, config.features)
        self.register_buffer("saturation", saturation, persistent=False)
        self._room: dict[tuple[Any, ...], Tensor] = {}

    def _features(self, inputs: Mapping[str, Tensor]) -> Callable[[slice], Features]:
        """What gives the odd, spread and common features of some tiles, see `fill_features`."""
        c, nlev = self.config, self.levels.nlev
        x = {n: t.cpu() for n, t in inputs.items()}
        lat, pressure = x[c.latitude].reshape(-1), x[c.pressure]
        wind_scale = self.get_buffer("wind_scale").cpu().numpy()
        fields = (
            tuple(x[n].numpy() for n in c.pairs),
            x[c.temperature].numpy(),
            pressure[-1].numpy(),
            lat.numpy(),
            launch_level(lat, pressure, self.levels, c.features).numpy(),
            self.get_buffer("saturation").cpu().numpy(),
            wind_scale,
            np.float32(wind_scale.mean()),
            *(self.get_buffer(n).cpu().numpy() for n in NORMALS),
            *self.log_pressure,
        )
        device = self.out.weight.device

        def of(some: slice) -> Features:
            tiles, pairs = some.stop - some.start, len(c.pairs)
            odd = self._empty("odd", tiles, pairs, c.features.odd(nlev), TILE)
            spread = self._empty("spread", tiles, pairs, nlev, TILE)
            common = self._empty("common", tiles, c.features.common(nlev), TILE)
            given: list[Any] = [some.start, *fields, odd.numpy(), spread.numpy(), common.numpy()]
            fill_features(*given)
            return odd.to(device), spread.to(device), common.to(device)

        return of

    def _empty(self, name: str, *shape: int) -> Tensor:
        """Room that is kept from call to call, but not while gradients hold on to it."""
        if torch.is_grad_enabled():
            return torch.empty(shape)
        key = (name, *shape)
        if key not in self._room:
            self._room[key] = torch.empty(shape)
        return self._room[key]

    def core(self, odd: Tensor, spread: Tensor, common: Tensor) -> Tensor:
        """Normalized flux, shape [tile, component, interface, TILE], of features in tiles."""
        own, shared = self.even_in.weight.tensor_split((spread.shape[2],), dim=1)
        e = own @ spread + (shared @ common + self.even_in.bias[:, None])[:, None]
        o = self.odd_in.weight @ odd
        h = silu(torch.stack((e + o, e - o)))
        for layer in self.hidden:
            assert isinstance(layer, nn.Linear)
            h = h + silu(layer.weight @ h + layer.bias[:, None])
        y: Tensor = 0.5 * (self.out.weight @ (h[0] - h[1]))
        return y

    def _infer(self, odd: Tensor, spread: Tensor, common: Tensor, y: Tensor) -> None:
        """`core` of a few tiles into `y`, in room that is kept."""
        tiles, pairs, nlev = spread.shape[:3]
        h = self._empty("h", 2, tiles, pairs, self.config.width, TILE)
        z = self._empty("z", *h.shape)
        once = self._empty("once", tiles, self.config.width, TILE)

        def product(w: Tensor, x: Tensor, to: Tensor) -> Tensor:
            """``w @ x`` of the last two axes; one kind of matrix product for any number of them."""
            many = x.flatten(0, -3)
            torch.bmm(w.expand(many.shape[0], *w.shape), many, out=to.flatten(0, -3))
            return to

        own, shared = self.even_in.weight.tensor_split((nlev,), dim=1)
        product(shared, common, once).add_(self.even_in.bias[:, None])
        e = product(own, spread, z[0]).add_(once[:, None])
        o = product(self.odd_in.weight, odd, z[1])
        torch.add(e, o, out=h[0])
        torch.sub(e, o, out=h[1])
        silu(h, inplace=True)
        for layer in self.hidden:
            assert isinstance(layer, nn.Linear)
            product(layer.weight, h, z).add_(layer.bias[:, None])
            h.add_(silu(z, inplace=True))
        difference = torch.sub(h[0], h[1], out=z[0])
        product(self.out.weight, difference, y).mul_(0.5)

    def _tiles(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What `core` gives, some tiles at a time where no gradient is wanted."""
        features = self._features(inputs)
        tiles = -(-inputs[self.config.temperature].shape[1] // TILE)
        if torch.is_grad_enabled() or self.out.weight.device.type != "cpu":
            return self.core(*features(slice(0, tiles)))
        y = self._empty("y", tiles, len(self.config.pairs), self.levels.nlev + 1, TILE)
        for j in range(0, tiles, TOGETHER):
            some = slice(j, min(j + TOGETHER, tiles))
            self._infer(*features(some), y[some])
        return y

    def normalized(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Normalized fluxes, shape [interface, pairs x column]."""
        y = self._tiles(inputs).permute(2, 1, 0, 3).flatten(2)
        return y[..., : inputs[self.config.temperature].shape[1]].flatten(1)

    def forward(
        self, inputs: Mapping[str, Tensor], out: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Fluxes [Pa] by output name, shape [interface, column], written to `out` where given."""
        names = self.config.pairs.values()
        if torch.is_grad_enabled():
            parts = self.normalized(inputs).chunk(len(names), dim=1)
            scale = self.get_buffer("flux_scale")[:, None]
            return {n: p * scale for n, p in zip(names, parts, strict=True)}
        y = self._tiles(inputs).cpu()
        shape = (self.levels.nlev + 1, inputs[self.config.temperature].shape[1])
        result = {n: torch.empty(shape) if out is None else out[n] for n in names}
        per_scale = self.get_buffer("flux_scale").cpu().numpy()
        from_tiles(y.numpy(), per_scale, tuple(f.numpy() for f in result.values()))
        return result


def _check_channels(spec: BundleSpec, config: ColumnMLPConfig) -> None:
    """The channels this network names must be there, and winds alike in their normalization."""
    problems = []
    have = {c.name: c for c in spec.inputs}
    wanted = dict.fromkeys(config.pairs, "level") | {
        config.temperature: "level",
        config.pressure: "level",
        config.latitude: "column",
    }
    for name, dims in wanted.items():
        if name not in have or have[name].dims != dims:
            problems.append(
                Problem(
                    what="input channel that the architecture needs",
                    name=f"{spec.name}: {name}",
                    expected=f"a channel on {dims}s",
                    found=f"one on {have[name].dims}s" if name in have else "none",
                )
            )
    problems += [
        Problem(
            what="input channel that the architecture does not use", name=f"{spec.name}: {name}"
        )
        for name in have
        if name not in wanted
    ]
    if {c.name for c in spec.outputs} != set(config.pairs.values()):
        problems.append(
            Problem(
                what="output channels differ from the architecture's",
                name=spec.name,
                expected=", ".join(config.pairs.values()),
                found=", ".join(c.name for c in spec.outputs),
            )
        )
    if not problems:
        winds = [have[w] for w in config.pairs]
        scales = [spec.output(f).scale for f in config.pairs.values()]
        if any(w.scale != winds[0].scale or any(w.mean) for w in winds) or any(
            s != scales[0] for s in scales
        ):
            problems.append(
                Problem(
                    what="components are not normalized alike",
                    name=spec.name,
                    expected="one scale for all winds, zero mean, one scale for all fluxes",
                )
            )
        if have[config.pressure].transform != "log":
            problems.append(
                Problem(
                    what="wrong transform of an input channel",
                    name=f"{spec.name}: {config.pressure}",
                    expected="log",
                    found=have[config.pressure].transform,
                )
            )
    if problems:
        raise ContractError(*problems)
