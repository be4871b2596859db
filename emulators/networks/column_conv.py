"""`column_conv`: convolutions along the column, with a receptive field that can be chosen.

Channels on levels, normalized, and the column's own numbers repeated on every level, go through
`layers` convolutions of `kernel` levels, ``h <- tanh(W * h + b)``, and one from levels to
interfaces. An interface sees

    R = 2 + layers (kernel - 1) dilation

levels around it and no more. A wave's flux depends on all levels between it and its source; a net
that sees fewer can still have an R2 near one, because in the training data what lies beyond is
correlated with what it sees, and fail as soon as it drives the flow (Pahlavan et al. 2024,
doi:10.1029/2023GL106324). Here so that one can see that, and as a network whose every operation is
differentiable in its inputs, for training through the dynamics.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from coupler.interface.errors import ContractError
from emulators.networks import Network
from emulators.normalization import transformed
from emulators.schema import BundleSpec, Data

TILE = 32
"""Columns per pass in inference, always as many: a column's flux shall not depend on how many
others there are (see `column_mlp`). Few, so that the one column of a model of one does not pay for
hundreds."""


class ColumnConvConfig(Data):
    """Size of a `column_conv`."""

    channels: int = Field(default=24, ge=1, le=1024)
    layers: int = Field(default=3, ge=1, le=64)
    kernel: int = Field(default=5, ge=1, le=63)
    """Levels that one convolution sees; odd, so that it is centred."""
    dilation: int = Field(default=1, ge=1, le=16)

    @model_validator(mode="after")
    def _centred(self) -> ColumnConvConfig:
        if self.kernel % 2 == 0:
            raise ValueError("kernel must be odd")
        return self

    def receptive_field(self) -> int:
        """Levels that an interface sees."""
        return 2 + self.layers * (self.kernel - 1) * self.dilation


class ColumnConv(Network):
    """See the module."""

    Config = ColumnConvConfig
    differentiable_in_inputs = True

    def __init__(self, spec: BundleSpec, config: ColumnConvConfig) -> None:
        super().__init__(spec, config)
        cubic = [c.name for c in spec.inputs if c.transform == "cbrt"]
        cubic += [o.name for o in spec.outputs if o.transform == "cbrt"]
        if cubic:
            raise ContractError.of(
                "transform that the architecture does not know",
                f"{spec.name}: {', '.join(cubic)}",
                expected="none or log",
                found="cbrt",
            )
        self.config, self.nlev = config, spec.levels.nlev
        self.inputs, self.outputs = list(spec.inputs), [o.name for o in spec.outputs]
        for c in spec.inputs:
            self.register_buffer(f"mean_{c.name}", torch.tensor(c.mean)[:, None], persistent=False)
            self.register_buffer(
                f"scale_{c.name}", torch.tensor(c.scale)[:, None], persistent=False
            )
        for o in spec.outputs:
            self.register_buffer(f"flux_{o.name}", torch.tensor(o.scale)[:, None], persistent=False)
        pad = (config.kernel // 2) * config.dilation
        width = len(spec.inputs)
        layers: list[nn.Module] = []
        for _ in range(config.layers):
            layers += [
                nn.Conv1d(
                    width, config.channels, config.kernel, padding=pad, dilation=config.dilation
                ),
                nn.Tanh(),
            ]
            width = config.channels
        self.body = nn.Sequential(*layers)
        self.out = nn.Conv1d(width, len(spec.outputs), 2, padding=1)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Normalized channels, shape [column, channel, level]; interfaces lose the lowest."""
        rows = []
        for c in self.inputs:
            x = inputs[c.name] if inputs[c.name].dim() == 2 else inputs[c.name][None]
            mean, scale = (self.get_buffer(f"{kind}_{c.name}") for kind in ("mean", "scale"))
            z = (transformed(x, "log" if c.transform == "log" else "none") - mean) / scale
            rows.append(z[: self.nlev].expand(self.nlev, -1))
        return torch.stack(rows, dim=1).permute(2, 1, 0).to(self.out.weight.dtype)

    def normalized(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Normalized fluxes, shape [interface, outputs x column]."""
        x = self.features(inputs)
        if torch.is_grad_enabled():
            y = self.out(self.body(x))
        else:
            n = x.shape[0]
            filled = x.new_zeros((-(-n // TILE) * TILE, *x.shape[1:]))
            filled[:n] = x
            tiles = (filled[j : j + TILE] for j in range(0, filled.shape[0], TILE))
            y = torch.cat([self.out(self.body(tile)) for tile in tiles])[:n]
        flux: Tensor = y.permute(2, 1, 0).reshape(self.nlev + 1, -1)
        return flux

    def forward(
        self, inputs: Mapping[str, Tensor], out: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Fluxes [Pa] by output name, shape [interface, column], written to `out` where given."""
        y = self.normalized(inputs)
        ncol = y.shape[1] // len(self.outputs)
        result = {}
        for i, name in enumerate(self.outputs):
            part, scale = y[:, i * ncol : (i + 1) * ncol], self.get_buffer(f"flux_{name}")
            if out is None:
                result[name] = part * scale
            else:
                result[name] = torch.mul(part, scale, out=out[name])
        return result
