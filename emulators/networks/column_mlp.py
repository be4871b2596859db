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

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import silu

from coupler.interface.errors import ContractError, Problem
from emulators.features import FeatureConfig, column_features, launch_level, saturation_speed
from emulators.networks import Network
from emulators.schema import BundleSpec, Data

TILE = 512
"""Columns per matrix product. Always the same number, the last tile filled up with zeros: matrix
kernels choose their order of summation by size, so a column's flux would otherwise depend on how
many others there are, and hence on the number of ranks."""


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
        self._buffers_for: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def core(self, odd: Tensor, even: Tensor) -> Tensor:
        """Normalized flux, shape [interface, n], of features of shape [feature, n]."""
        n = odd.shape[1]
        e = torch.addmm(self.even_in.bias[:, None], self.even_in.weight, even)
        o = self.odd_in.weight @ odd
        h = silu(torch.cat((e + o, e - o), dim=1))
        for layer in self.hidden:
            assert isinstance(layer, nn.Linear)
            h = h + silu(torch.addmm(layer.bias[:, None], layer.weight, h))
        y: Tensor = self.out.weight @ (h[:, :n] - h[:, n:])
        return 0.5 * y

    def _features(self, inputs: Mapping[str, Tensor], odd: Tensor, even: Tensor) -> None:
        c = self.config
        lat = inputs[c.latitude].reshape(-1)
        column_features(
            winds=tuple(inputs[name] for name in c.pairs),
            temperature=inputs[c.temperature],
            lowest_pressure=inputs[c.pressure][-1],
            lat=lat,
            launch=launch_level(lat, inputs[c.pressure], self.levels, c.features),
            saturation=self.get_buffer("saturation"),
            wind_scale=self.get_buffer("wind_scale"),
            temperature_mean=self.get_buffer("temperature_mean"),
            temperature_scale=self.get_buffer("temperature_scale"),
            log_pressure=self.log_pressure,
            config=c.features,
            odd=odd,
            even=even,
        )

    def _workspace(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        size = -(-n // TILE) * TILE
        if size not in self._buffers_for:
            nlev, f = self.levels.nlev, self.config.features
            rows = (f.odd(nlev), f.even(nlev), nlev + 1)
            odd, even, y = (torch.zeros(r, size) for r in rows)
            self._buffers_for = {size: (odd, even, y)}
        odd, even, y = self._buffers_for[size]
        odd[:, n:] = 0.0
        even[:, n:] = 0.0
        return odd, even, y

    def normalized(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Normalized fluxes, shape [interface, pairs x column]; for inference a shared buffer."""
        c = self.config
        n = len(c.pairs) * inputs[c.temperature].shape[1]
        if torch.is_grad_enabled():
            nlev = self.levels.nlev
            odd = torch.empty(c.features.odd(nlev), n)
            even = torch.empty(c.features.even(nlev), n)
            self._features(inputs, odd, even)
            return self.core(odd, even)
        odd, even, y = self._workspace(n)
        self._features(inputs, odd, even)
        for j in range(0, y.shape[1], TILE):
            tile = slice(j, j + TILE)
            y[:, tile] = self.core(odd[:, tile], even[:, tile])
        return y[:, :n]

    def forward(
        self, inputs: Mapping[str, Tensor], out: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Fluxes [Pa] by output name, shape [interface, column], written to `out` where given."""
        y = self.normalized(inputs)
        ncol = y.shape[1] // len(self.config.pairs)
        scale = self.get_buffer("flux_scale")[:, None]
        result = {}
        for i, name in enumerate(self.config.pairs.values()):
            part = y[:, i * ncol : (i + 1) * ncol]
            if out is None:
                result[name] = part * scale
            else:
                result[name] = torch.mul(part, scale, out=out[name])
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
