"""Networks that see whole maps: named channels to one stacked tensor and back.

Channels are normalized level by level, ``y = (t(x) - mean) / scale``, and stacked in the order of
the bundle, K of a field on levels, K + 1 on interfaces, one of a column. An angle (a channel in
degrees) enters as its sine and its cosine. Outputs are interface fluxes, stacked alike:
``F = scale y``, or ``mean + scale y^3`` where the bundle says ``cbrt`` (a published choice that
compresses the tails). A network that gives fluxes in the middle of layers (`on: level`) has them
interpolated linearly in pressure to interfaces; the top interface gets the uppermost value, and
nothing passes the ground.

All of the globe is one sample: columns come in the order of the grid, latitude by latitude.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NoReturn

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from coupler.interface.errors import ContractError, Problem
from coupler.interface.grid import Grid
from emulators.networks import Network
from emulators.networks.sphere import Poles, SphereConv2d, components_turn
from emulators.normalization import transformed
from emulators.schema import BundleSpec, Channel, Data, Output

VECTORS = ("ua", "va", "uas", "vas")
"""Components of horizontal vectors, whose sign turns across a pole."""


class MapGrid(Data):
    """The grid that a network was made for."""

    kind: Literal["gaussian", "regular"] = "gaussian"
    nlat: int = Field(ge=2)
    nlon: int = Field(ge=4)

    @property
    def ncol(self) -> int:
        """Number of columns."""
        return self.nlat * self.nlon

    def grid(self) -> Grid:
        """The same as the interface's grid."""
        return {"gaussian": Grid.gaussian, "regular": Grid.regular}[self.kind](self.nlat, self.nlon)

    def problem(self, name: str, host: Grid) -> Problem | None:
        """The sentence naming both grids where they differ, None where they agree."""
        own = self.grid()
        if (
            own.shape == host.shape
            and np.allclose(own.lat, host.lat, atol=1e-3)
            and np.allclose(own.lon, host.lon, atol=1e-3)
        ):
            return None
        return Problem(
            what="a network that sees whole maps has another grid than the host",
            name=name,
            expected=str(own),
            found=str(host),
            remedy="take an atmosphere on its grid, let it run inline and not in another process, "
            "or use a column network",
        )


class MapConfig(Data):
    """What all networks on maps have in common."""

    grid: MapGrid
    poles: Poles = "rotate"
    on: Literal["interface", "level"] = "interface"
    """Where the network's fluxes are; see the module."""

    @model_validator(mode="after")
    def _can_turn(self) -> MapConfig:
        if self.poles == "rotate" and self.grid.nlon % 2:
            raise ValueError("poles: rotate needs an even number of longitudes")
        return self


class Stack(nn.Module):
    """Named channels to one tensor of normalized channels."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.rows: dict[str, slice] = {}
        row = 0
        for channel in channels:
            size = 2 if is_angle(channel) else len(channel.mean)
            self.rows[channel.name] = slice(row, row + size)
            row += size
            for key in ("mean", "scale"):
                # In bundle.yaml already: not stored a second time with the weights.
                values = torch.tensor(getattr(channel, key))[:, None]
                self.register_buffer(f"{channel.name}_{key}", values, persistent=False)
        self.size = row
        """Number of stacked channels."""

    def components(self) -> list[bool]:
        """Which of the stacked channels are components of horizontal vectors."""
        found = []
        for channel in self.channels:
            rows = self.rows[channel.name]
            found += [channel.name in VECTORS] * (rows.stop - rows.start)
        return found

    def forward(self, inputs: Mapping[str, Tensor], out: Tensor) -> Tensor:
        """Fills `out`, float32 shape [stacked channel, column], and returns it."""
        for channel in self.channels:
            x, part = inputs[channel.name], out[self.rows[channel.name]]
            if is_angle(channel):
                angle = torch.deg2rad(x.reshape(-1).to(out.dtype))
                part[0], part[1] = angle.sin(), angle.cos()
                continue
            x = x if x.dim() == 2 else x[None]
            mean = self.get_buffer(f"{channel.name}_mean")
            scale = self.get_buffer(f"{channel.name}_scale")
            if channel.transform == "none":
                torch.sub(x, mean, out=part) if x.dtype == out.dtype else part.copy_(x - mean)
                part.div_(scale)
            elif channel.transform == "log":
                part.copy_((transformed(x, "log") - mean) / scale)
            else:
                part.copy_(cube_root((x - mean) / scale))
        return out


class Unstack(nn.Module):
    """One tensor of normalized channels to named interface fluxes."""

    def __init__(self, spec: BundleSpec, on: Literal["interface", "level"]) -> None:
        super().__init__()
        self.outputs: tuple[Output, ...] = tuple(spec.outputs)
        self.on = on
        nlev = spec.levels.nlev
        self.each = nlev + (on == "interface")
        """Values of one output in a column, as the network gives them."""
        self.size = self.each * len(self.outputs)
        for output in self.outputs:
            for key, values in (("scale", output.scale), ("mean", output.mean)):
                if values:
                    self.register_buffer(
                        f"{output.name}_{key}", torch.tensor(values)[:, None], persistent=False
                    )
        half = torch.tensor(spec.levels.half_pressure(np.float32))
        full = 0.5 * (half[1:] + half[:-1])
        share = (half[1:-1] - full[:-1]) / (full[1:] - full[:-1])
        self.register_buffer("share", share[:, None], persistent=False)

    def normalized(self, y: Tensor) -> Tensor:
        """Shape [interface, outputs x column] of `y`, shape [stacked channel, column]."""
        parts = y.reshape(len(self.outputs), self.each, y.shape[1])
        return torch.cat([self._on_interfaces(p) for p in parts], dim=1)

    def _on_interfaces(self, y: Tensor) -> Tensor:
        if self.on == "interface":
            return y
        inner = torch.lerp(y[:-1], y[1:], self.get_buffer("share"))
        return torch.cat((y[:1], inner, torch.zeros_like(y[:1])))

    def forward(self, y: Tensor, out: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """Fluxes by name, shape [interface, column], of `y`, shape [stacked channel, column]."""
        parts = y.reshape(len(self.outputs), self.each, y.shape[1])
        result = {}
        for output, part in zip(self.outputs, parts, strict=True):
            flux = self._on_interfaces(part)
            scale = self.get_buffer(f"{output.name}_scale")
            if output.transform == "cbrt":
                flux = scale * flux**3
                if output.mean:
                    # Where the scale is 0, nothing is known and the flux is 0.
                    flux = flux + self.get_buffer(f"{output.name}_mean") * (scale > 0.0)
            else:
                flux = scale * flux
            result[output.name] = flux if out is None else out[output.name].copy_(flux)
        return result


class MapNetwork(Network):
    """Base of networks between stacked channels on maps; a subclass sets `core`."""

    core: nn.Module
    tolerance = 1e-4
    """Sums over thousands of products, in an order that depends on processor and threads."""

    def __init__(self, spec: BundleSpec, config: MapConfig) -> None:
        super().__init__(spec, config)
        self.name, self.config, self.grid = spec.name, config, config.grid
        self.stack = Stack(spec.inputs)
        self.unstack = Unstack(spec, config.on)
        self._room: Tensor | None = None

    @property
    def columns_together(self) -> int:
        """All columns of the globe are one sample."""
        return self.grid.ncol

    def host_problem(self, name: str, host: Grid) -> Problem | None:
        """Why it cannot run on the grid of a host, or None."""
        return self.grid.problem(name, host)

    def turn_components(self, conv: SphereConv2d) -> None:
        """`conv` is the one that sees the stacked channels."""
        components_turn(conv, self.stack.components())

    def refuse(self, what: str, name: str, *, expected: str) -> NoReturn:
        """Ends the building with one sentence.

        Raises:
            ContractError: always.
        """
        raise ContractError.of(what, f"{self.name}: {name}", expected=expected)

    def maps(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Stacked channels as maps, shape [map, stacked channel, lat, lon]."""
        first = inputs[self.stack.channels[0].name]
        n, device = first.shape[-1], first.device
        if torch.is_inference_mode_enabled():
            if self._room is None or self._room.shape[1] != n or self._room.device != device:
                self._room = torch.zeros(self.stack.size, n, device=device)
            room = self._room
        else:
            room = torch.zeros(self.stack.size, n, device=device)
        with torch.no_grad():
            x: Tensor = self.stack(inputs, room)
        shape = (self.stack.size, n // self.grid.ncol, self.grid.nlat, self.grid.nlon)
        return x.view(shape).transpose(0, 1).contiguous()

    def through_core(self, x: Tensor) -> Tensor:
        """Stacked fluxes of stacked channels, both shape [map, stacked channel, lat, lon]."""
        y: Tensor = self.core(x)
        return y

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What the core gives, shape [stacked channel, column]."""
        y = self.through_core(self.maps(inputs))
        return y.transpose(0, 1).reshape(self.unstack.size, -1)

    def normalized(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Normalized fluxes, shape [interface, outputs x column]."""
        return self.unstack.normalized(self.raw(inputs))

    def forward(
        self, inputs: Mapping[str, Tensor], out: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Fluxes by output name, shape [interface, column], written to `out` where given."""
        found: dict[str, Tensor] = self.unstack(self.raw(inputs), out)
        return found


def is_angle(channel: Channel) -> bool:
    """Whether a channel enters as sine and cosine."""
    return channel.units.startswith("degree") and channel.dims == "column"


def cube_root(x: Tensor) -> Tensor:
    """The real cube root."""
    return x.sign() * x.abs() ** (1.0 / 3.0)
