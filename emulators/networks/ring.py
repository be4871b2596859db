"""Numbers on a ring: what is at a place and at its neighbours in, a tendency out.

    y_k = f(z_{k-r} ... z_{k+r}),    f a perceptron, the same at every place

with z all inputs of a place, normalized. The network of the two-scale model of Lorenz (1996), as
polynomials of one place (Wilks 2005, doi:10.1256/qj.04.03) were the first closures of it and
perceptrons followed (Rasp 2020, doi:10.5194/gmd-13-2185-2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from coupler.interface.errors import ContractError, Problem
from coupler.interface.grid import Grid
from emulators.networks import Network
from emulators.schema import BundleSpec, Data

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU}


class RingConfig(Data):
    """Ring and size."""

    points: int = Field(ge=3)
    """K, places on the ring."""
    reach: int = Field(default=0, ge=0, le=64)
    """Neighbours on either side that are seen."""
    widths: list[int] = Field(default=[32, 32])
    """Of the layers between input and output; empty for a linear map."""
    activation: Literal["relu", "tanh", "silu"] = "silu"

    @model_validator(mode="after")
    def _fits(self) -> RingConfig:
        if 2 * self.reach + 1 > self.points:
            raise ValueError(f"reach {self.reach} sees a place of {self.points} twice")
        if any(w < 1 for w in self.widths):
            raise ValueError("widths are at least 1")
        return self


class Ring(Network):
    """See the module; columns come as [member, place]."""

    Config = RingConfig

    def __init__(self, spec: BundleSpec, config: RingConfig) -> None:
        super().__init__(spec, config)
        wrong = [c.name for c in spec.channels if c.dims != "level"]
        if wrong or spec.levels.nlev != 1 or len(spec.outputs) != 1:
            raise ContractError.of(
                "channels that are not numbers on a ring",
                f"{spec.name}: {', '.join(wrong) or f'{spec.levels.nlev} levels'}",
                expected="one level, inputs and one output with dims: level",
                found=f"{spec.levels.nlev} levels, {len(spec.outputs)} outputs",
            )
        self.config, self.names = config, [c.name for c in spec.inputs]
        self.output = spec.outputs[0].name
        sizes = [len(spec.inputs) * (2 * config.reach + 1), *config.widths, 1]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), _ACTIVATIONS[config.activation]()]
        self.core = nn.Sequential(*layers[:-1])
        mean = torch.tensor([c.mean[0] for c in spec.inputs])
        scale = torch.tensor([c.scale[0] for c in spec.inputs])
        self.register_buffer("in_mean", mean[:, None, None], persistent=False)
        self.register_buffer("in_scale", scale[:, None, None], persistent=False)
        self.out_scale = spec.outputs[0].scale[0]

    @property
    def columns_together(self) -> int:
        """All places of a ring are one sample."""
        return self.config.points

    def host_problem(self, name: str, host: Grid) -> Problem | None:
        """Why it cannot run on the grid of a host, or None."""
        n = self.config.points
        if host.is_plane and (host.lat.size, host.lon.size) == (host.members, n):
            return None
        return Problem(
            what="a network for another ring than the host's",
            name=name,
            expected=f"a ring of {n} places",
            found=str(host),
            remedy="take an atmosphere on such a ring, or train it on this one",
        )

    def stacked(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Normalized neighbourhoods, [member x place, input x neighbour], of inputs [1, column]."""
        n, r = self.config.points, self.config.reach
        x = torch.stack([inputs[name].to(torch.float32) for name in self.names])
        x = (x.view(len(self.names), -1, n) - self.get_buffer("in_mean")) / self.get_buffer(
            "in_scale"
        )
        if r:
            x = torch.cat([x[..., -r:], x, x[..., :r]], dim=-1).unfold(-1, 2 * r + 1, 1)
        else:
            x = x.unsqueeze(-1)
        return x.permute(1, 2, 0, 3).reshape(-1, len(self.names) * (2 * r + 1))

    def rates(self, x: Tensor) -> Tensor:
        """Normalized tendencies [sample, 1] of normalized neighbourhoods."""
        y: Tensor = self.core(x)
        return y

    def wanted(self, target: Tensor) -> Tensor:
        """A target [1, map, 1, place] as `rates` gives it."""
        return (target.reshape(-1, 1) / self.out_scale).float()

    def normalized(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Normalized tendency, shape [1, column]."""
        return self.rates(self.stacked(inputs)).view(1, -1)

    def forward(
        self, inputs: Mapping[str, Tensor], out: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The tendency by output name, shape [1, column], written to `out` where given."""
        y = self.normalized(inputs) * self.out_scale
        return {self.output: y if out is None else out[self.output].copy_(y)}
