"""A convolutional network on a periodic plane: fields of layers in, tendencies of layers out.

Convolutions with ReLU between them, as published for the subgrid forcing of two-layer turbulence
(Guillaumin and Zanna 2021, doi:10.1029/2021MS002534; Ross et al. 2023, doi:10.1029/2022MS003258:
5x5x128, 5x5x64, five of 3x3x32, 3x3x1 for each layer). All layers are in one network here, there is
no batch normalization, and the plane is continued periodically once, by as many points as all
kernels reach, after which every convolution takes what it needs: the output is exactly as periodic
as the input. Its mean over the plane is taken out.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from coupler.interface.errors import ContractError, Problem
from coupler.interface.grid import Grid
from emulators.networks import Network
from emulators.schema import BundleSpec, Data


class PlaneConvConfig(Data):
    """Grid and size."""

    nx: int = Field(ge=4)
    """Points along either side of the plane."""
    spacing: float = Field(gt=0.0)
    """Distance of points [m]."""
    channels: list[int] = Field(default=[16, 16, 16])
    """Of the layers between input and output."""
    kernels: list[int] = Field(default=[5, 3, 3, 3])
    """Points along either side, one more than `channels`."""

    @model_validator(mode="after")
    def _fits(self) -> PlaneConvConfig:
        if len(self.kernels) != len(self.channels) + 1 or any(k % 2 == 0 for k in self.kernels):
            raise ValueError("kernels are odd numbers, one more than channels")
        if self.reach > self.nx:
            raise ValueError(f"kernels reach {self.reach} points, more than the plane has")
        return self

    @property
    def reach(self) -> int:
        """Points beyond the plane that the output depends on."""
        return sum(k // 2 for k in self.kernels)


class PlaneConv(Network):
    """See the module; columns come as [member, y, x]."""

    Config = PlaneConvConfig
    tolerance = 1e-4
    """Sums over hundreds of products, in an order that depends on the processor."""

    def __init__(self, spec: BundleSpec, config: PlaneConvConfig) -> None:
        super().__init__(spec, config)
        wrong = [c.name for c in spec.channels if c.dims != "level"]
        if wrong:
            raise ContractError.of(
                "channels that are not on layers",
                f"{spec.name}: {', '.join(wrong)}",
                expected="inputs and outputs with dims: level for the architecture plane_conv",
            )
        self.config, self.names = config, [c.name for c in spec.inputs]
        self.outputs = [o.name for o in spec.outputs]
        sizes = [
            spec.levels.nlev * len(spec.inputs),
            *config.channels,
            spec.levels.nlev * len(spec.outputs),
        ]
        layers: list[nn.Module] = []
        for a, b, kernel in zip(sizes, sizes[1:], config.kernels, strict=False):
            layers += [nn.Conv2d(a, b, kernel), nn.ReLU(inplace=True)]
        # Channels last: what a convolution gives is what the next one reads, without a copy.
        self.core = nn.Sequential(*layers[:-1]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for key, channels in (("in", spec.inputs), ("out", spec.outputs)):
            scale = torch.tensor([s for c in channels for s in c.scale])
            self.register_buffer(f"{key}_scale", scale.view(1, -1, 1, 1), persistent=False)
        mean = torch.tensor([m for c in spec.inputs for m in c.mean])
        self.register_buffer("in_mean", mean.view(1, -1, 1, 1), persistent=False)

    @property
    def columns_together(self) -> int:
        """All columns of a plane are one sample."""
        return self.config.nx**2

    def host_problem(self, name: str, host: Grid) -> Problem | None:
        """Why it cannot run on the grid of a host, or None."""
        c = self.config
        square = host.is_plane and (host.lat.size // host.members, host.lon.size) == (c.nx, c.nx)
        if square and abs(host.spacing / c.spacing - 1.0) < 1e-6:
            return None
        return Problem(
            what="a network for another plane than the host's",
            name=name,
            expected=f"a periodic plane of {c.nx}x{c.nx} points, {c.spacing:g} m apart",
            found=str(host) + (f", {host.spacing:g} m apart" if host.is_plane else ""),
            remedy="take an atmosphere on such a plane, or train it on this one",
        )

    def rates(self, x: Tensor) -> Tensor:
        """Normalized tendencies of normalized fields, both [plane, channel, y, x]."""
        r = self.config.reach
        x = torch.cat([x[..., -r:, :], x, x[..., :r, :]], dim=-2)
        x = torch.cat([x[..., -r:], x, x[..., :r]], dim=-1)
        y: Tensor = self.core(x.contiguous(memory_format=torch.channels_last))
        return y - y.mean(dim=(-2, -1), keepdim=True)

    def wanted(self, target: Tensor) -> Tensor:
        """A target [level, map, y, x] as `rates` gives it."""
        return target.transpose(0, 1).float() / self.get_buffer("out_scale")

    def stacked(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Normalized fields [plane, channel, y, x] of inputs [level, column]."""
        n = self.config.nx
        x = torch.cat([inputs[name].to(torch.float32) for name in self.names])
        x = x.view(x.shape[0], -1, n, n).transpose(0, 1)
        return (x - self.get_buffer("in_mean")) / self.get_buffer("in_scale")

    def normalized(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Normalized tendencies, shape [level, outputs x column]."""
        y = self.rates(self.stacked(inputs)).transpose(0, 1).flatten(1)
        return torch.cat(y.chunk(len(self.outputs)), dim=1)

    def forward(
        self, inputs: Mapping[str, Tensor], out: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Tendencies by output name, shape [level, column], written to `out` where given."""
        y = self.rates(self.stacked(inputs)) * self.get_buffer("out_scale")
        y = y.transpose(0, 1).flatten(1)
        parts = zip(self.outputs, y.chunk(len(self.outputs)), strict=True)
        return {n: p.contiguous() if out is None else out[n].copy_(p) for n, p in parts}
