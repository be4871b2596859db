"""Networks of one column or of its 3x3 or 5x5 neighbourhood, as published for gravity waves.

A fully connected network of the stacked channels, five hidden layers of four times as many units
as inputs, one of twice as many as outputs, LeakyReLU and dropout 0.1, no normalization layers. With
a stencil of 3 a 3x3 convolution with ReLU and dropout 0.05 comes first, with 5 two of them, so that
every column sees its neighbours (Gupta et al. 2024, arXiv:2406.14775). For 369 inputs, 244 outputs
and stencils of 1 and 3 it has 10,106,420 and 11,332,238 parameters; for 491 inputs and 1, 3 and 5
17,481,564, 19,651,784 and 21,822,004. Here the neighbourhood is on a sphere.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from emulators.networks.maps import MapConfig, MapNetwork
from emulators.networks.sphere import Poles, SphereConv2d
from emulators.schema import BundleSpec


class StencilNet(nn.Module):
    """See the module."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        stencil: Literal[1, 3, 5] = 1,
        width: int | None = None,
        last: int | None = None,
        depth: int = 5,
        dropout: float = 0.1,
        poles: Poles = "rotate",
    ) -> None:
        """Builds it.

        Args:
            n_in, n_out: channels.
            stencil: columns along one side of the neighbourhood.
            width: of the hidden layers; None: as published, four times the inputs.
            last: of the last hidden layer; None: as published, twice the outputs.
            depth: number of hidden layers before the last.
            dropout: after every hidden layer.
            poles: what lies beyond the last row.
        """
        super().__init__()
        width, last = width or 4 * n_in, last or 2 * n_out
        around: list[nn.Module] = []
        for _ in range(stencil // 2):
            around += [
                SphereConv2d(n_in, n_in, 3, poles=poles),
                nn.ReLU(),
                nn.Dropout(0.5 * dropout),
            ]
        self.around = nn.Sequential(*around)
        layers: list[nn.Module] = []
        for a, b in zip([n_in, *[width] * depth], [*[width] * depth, last], strict=True):
            layers += [nn.Linear(a, b), nn.LeakyReLU(), nn.Dropout(dropout)]
        self.column = nn.Sequential(*layers, nn.Linear(last, n_out))

    def forward(self, x: Tensor) -> Tensor:
        """Shape [batch, n_in, lat, lon] to [batch, n_out, lat, lon]."""
        x = self.around(x)
        found: Tensor = self.column(x.permute(0, 2, 3, 1))
        return found.permute(0, 3, 1, 2)


class StencilConfig(MapConfig):
    """Size of a `stencil` network."""

    stencil: Literal[1, 3, 5] = 3
    width: int | None = Field(default=None, ge=1, le=4096)
    """Of the hidden layers; four times the inputs if left out."""
    last: int | None = Field(default=None, ge=1, le=4096)
    """Of the last hidden layer; twice the outputs if left out."""
    depth: int = Field(default=5, ge=1, le=32)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)


class Stencil(MapNetwork):
    """A stencil network between a bundle's channels."""

    Config = StencilConfig

    def __init__(self, spec: BundleSpec, config: StencilConfig) -> None:
        super().__init__(spec, config)
        core = StencilNet(
            self.stack.size,
            self.unstack.size,
            stencil=config.stencil,
            width=config.width,
            last=config.last,
            depth=config.depth,
            dropout=config.dropout,
            poles=config.poles,
        )
        self.core = core
        if len(core.around):
            first = core.around[0]
            assert isinstance(first, SphereConv2d)
            self.turn_components(first)
