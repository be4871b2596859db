"""The Attention U-Net of the published gravity-wave emulators, and as an architecture of bundles.

Encoder blocks of twice [3x3 convolution, batch normalization, ReLU] with 64, 128, 256, 512 and
1024 channels, 2x2 maximum and dropout between them; on the way up nearest-neighbour doubling, a 3x3
convolution, and a gate on what comes across (Oktay et al. 2018, arXiv:1804.03999):

    a = sigmoid(N(W_a relu(N(W_x x) + N(W_g g)))),   x <- a x

with 3x3 convolutions W, batch normalizations N, half the channels inside and one in a. Ronneberger
et al. 2015, doi:10.1007/978-3-319-24574-4_28. For 366 inputs and 244 outputs it has 37,892,576
parameters, as the published one (Gupta et al. 2024, arXiv:2406.14775, winds and potential
temperature on 122 levels). `poles: zero` is the published padding; here longitude is circular.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from emulators.networks.maps import MapConfig, MapNetwork
from emulators.networks.sphere import Poles, SphereConv2d
from emulators.schema import BundleSpec


def double_conv(
    n_in: int, n_out: int, *, poles: Poles, norm: Literal["batch", "group"] = "batch"
) -> nn.Sequential:
    """Twice [3x3 convolution, normalization, ReLU]."""
    return nn.Sequential(
        SphereConv2d(n_in, n_out, 3, poles=poles),
        normalization(n_out, norm),
        nn.ReLU(inplace=True),
        SphereConv2d(n_out, n_out, 3, poles=poles),
        normalization(n_out, norm),
        nn.ReLU(inplace=True),
    )


def normalization(channels: int, kind: Literal["batch", "group"]) -> nn.Module:
    """Batch normalization, or group normalization with up to 8 channels in a group or more.

    Groups do not care how many maps are in a batch: in the loop there is one.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(next(g for g in (8, 4, 2, 1) if channels % g == 0), channels)


class Gate(nn.Module):
    """Attention of what comes from below, on what comes across."""

    def __init__(self, channels: int, *, poles: Poles, norm: Literal["batch", "group"]) -> None:
        super().__init__()
        inside = max(channels // 2, 1)
        self.below = nn.Sequential(
            SphereConv2d(channels, inside, 3, poles=poles), normalization(inside, norm)
        )
        self.across = nn.Sequential(
            SphereConv2d(channels, inside, 3, poles=poles), normalization(inside, norm)
        )
        self.attention = nn.Sequential(
            SphereConv2d(inside, 1, 3, poles=poles), normalization(1, norm), nn.Sigmoid()
        )

    def forward(self, across: Tensor, below: Tensor) -> Tensor:
        """What of `across` passes; both shape [batch, channel, lat, lon]."""
        inside = torch.relu(self.below(below) + self.across(across))
        attention: Tensor = self.attention(inside)
        return across * attention


class AttentionUNet(nn.Module):
    """See the module. Rows and longitudes must be divisible by ``2 ** (levels - 1)``."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        width: int = 64,
        levels: int = 5,
        dropout: float = 0.1,
        poles: Poles = "rotate",
        norm: Literal["batch", "group"] = "batch",
    ) -> None:
        super().__init__()
        sizes = [width * 2**i for i in range(levels)]
        self.down = nn.ModuleList(
            double_conv(a, b, poles=poles, norm=norm)
            for a, b in zip([n_in, *sizes[:-1]], sizes, strict=True)
        )
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList()
        self.gates = nn.ModuleList()
        self.join = nn.ModuleList()
        for size in reversed(sizes[:-1]):
            self.up.append(
                nn.Sequential(
                    nn.Upsample(scale_factor=2),
                    SphereConv2d(2 * size, size, 3, poles=poles),
                    normalization(size, norm),
                    nn.ReLU(inplace=True),
                )
            )
            self.gates.append(Gate(size, poles=poles, norm=norm))
            self.join.append(double_conv(2 * size, size, poles=poles, norm=norm))
        self.out = nn.Conv2d(width, n_out, 1)

    @property
    def first(self) -> SphereConv2d:
        """The convolution that sees the input."""
        conv = self.down[0][0]  # type: ignore[index]
        assert isinstance(conv, SphereConv2d)
        return conv

    def forward(self, x: Tensor) -> Tensor:
        """Shape [batch, n_in, lat, lon] to [batch, n_out, lat, lon]."""
        kept: list[Tensor] = []
        for i, block in enumerate(self.down):
            if i > 0:
                x = self.dropout(max_pool2d(x, 2))
            x = block(x)
            kept.append(x)
        kept.pop()
        for up, gate, join in zip(self.up, self.gates, self.join, strict=True):
            x = up(x)
            x = join(torch.cat((gate(kept.pop(), x), x), dim=1))
        found: Tensor = self.out(x)
        return found


class UNetConfig(MapConfig):
    """Size of an `attention_unet`."""

    width: int = Field(default=64, ge=1, le=256)
    depth: int = Field(default=5, ge=2, le=7)
    """Number of resolutions; the grid must be divisible by ``2 ** (depth - 1)``."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    norm: Literal["batch", "group"] = "group"

    @model_validator(mode="after")
    def _divisible(self) -> UNetConfig:
        by = 2 ** (self.depth - 1)
        if self.grid.nlat % by or self.grid.nlon % by:
            raise ValueError(
                f"a grid of {self.grid.nlat}x{self.grid.nlon} is not divisible by {by}, as "
                f"depth {self.depth} needs"
            )
        return self


class UNet(MapNetwork):
    """The Attention U-Net between a bundle's channels."""

    Config = UNetConfig

    def __init__(self, spec: BundleSpec, config: UNetConfig) -> None:
        super().__init__(spec, config)
        core = AttentionUNet(
            self.stack.size,
            self.unstack.size,
            width=config.width,
            levels=config.depth,
            dropout=config.dropout,
            poles=config.poles,
            norm=config.norm,
        )
        self.turn_components(core.first)
        # Channels last: what a convolution gives is what the next one reads, without a copy.
        self.core = core.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def through_core(self, x: Tensor) -> Tensor:
        """Stacked fluxes of stacked channels, both shape [map, stacked channel, lat, lon]."""
        return super().through_core(x.contiguous(memory_format=torch.channels_last))
