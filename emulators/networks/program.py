"""`program`: a bundle whose weights are a program of another framework or an exported one.

The program takes stacked normalized channels and returns stacked normalized fluxes, as
`emulators.networks.maps` describes: features, units and normalization stay in `bundle.yaml`, where
they are checked. With a `grid` it gets maps, ``[map, channel, lat, lon]``; without one it gets
columns, ``[tile, channel]``, always `tile` of them, the last tile filled up with zeros, so that a
column's flux does not depend on how many others there are. How programs are read, and which of
them are refused, is in `emulators.programs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from coupler.interface.errors import ContractError, DataError, Problem
from coupler.interface.grid import Grid
from emulators.networks import Network
from emulators.networks.maps import MapGrid, Stack, Unstack
from emulators.programs import read_program
from emulators.schema import BundleSpec, Data


class ProgramConfig(Data):
    """What a program is called with."""

    grid: MapGrid | None = None
    """The grid of its maps; without one it is a network of columns."""
    tile: int = Field(default=512, ge=1, le=65536)
    """Columns of a call, without a grid."""
    on: Literal["interface", "level"] = "interface"
    """Where its fluxes are, see `emulators.networks.maps`."""

    @model_validator(mode="after")
    def _one(self) -> ProgramConfig:
        if self.grid is not None and "tile" in self.model_fields_set:
            raise ValueError("a program on a grid is called with the globe, tile has no meaning")
        return self

    def shape(self, channels: int) -> tuple[int, ...]:
        """Of its input."""
        if self.grid is None:
            return (self.tile, channels)
        return (1, channels, self.grid.nlat, self.grid.nlon)


class Program(Network):
    """See the module."""

    Config = ProgramConfig
    tolerance = 1e-4
    """Every compiler has an order of summation of its own."""

    def __init__(self, spec: BundleSpec, config: ProgramConfig) -> None:
        super().__init__(spec, config)
        self.name, self.config = spec.name, config
        self.stack = Stack(spec.inputs)
        self.unstack = Unstack(spec, config.on)
        self._call: Callable[[Tensor], Tensor] | None = None
        self._room: Tensor | None = None

    @property
    def columns_together(self) -> int:
        """The globe, or one column."""
        return self.config.grid.ncol if self.config.grid is not None else 1

    def host_problem(self, name: str, host: Grid) -> Problem | None:
        """Why it cannot run on a host's grid, or None."""
        return None if self.config.grid is None else self.config.grid.problem(name, host)

    def read_weights(self, path: Path, format: str) -> None:
        """Reads the program and calls it once.

        Raises:
            DataError: for one that cannot be read, may not be run, or has other channels.
        """
        self._call = read_program(path, format)
        wanted = list(self.config.shape(self.stack.size))
        expected = [*wanted[:1], self.unstack.size, *wanted[2:]]
        try:
            with torch.no_grad():
                found = list(self._call(torch.zeros(wanted)).shape)
        except Exception as error:
            raise DataError.of(
                "a program that cannot be called with the bundle's channels",
                str(path),
                expected=f"one that takes float32 of shape {wanted}",
                found=" ".join(str(error).split())[:200],
            ) from error
        if found != expected:
            raise DataError.of(
                "a program with other outputs than the bundle's",
                str(path),
                expected=f"shape {expected}",
                found=f"shape {found}",
            )

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What the program gives, shape [stacked channel, column]."""
        if self._call is None:
            raise ContractError.of("a program that was not read", self.name)
        first = inputs[self.stack.channels[0].name]
        n = first.shape[-1]
        together = self.columns_together if self.config.grid is not None else self.config.tile
        size = -(-n // together) * together
        if self._room is None or self._room.shape[1] != size:
            with torch.inference_mode(False):  # to be written to in any mode
                self._room = torch.zeros(self.stack.size, size)
        x = self._room
        with torch.no_grad():
            self.stack(inputs, x[:, :n])
            parts = [self._one(x[:, j : j + together]) for j in range(0, size, together)]
        return torch.cat(parts, dim=1)[:, :n]

    def _one(self, x: Tensor) -> Tensor:
        assert self._call is not None
        if self.config.grid is None:
            return self._call(x.T.contiguous()).T
        shape = self.config.shape(self.stack.size)
        return self._call(x.contiguous().view(shape)).reshape(self.unstack.size, -1)

    def normalized(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Normalized fluxes, shape [interface, outputs x column]; without gradients."""
        return self.unstack.normalized(self.raw(inputs))

    def forward(
        self, inputs: Mapping[str, Tensor], out: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Fluxes by output name, shape [interface, column], written to `out` where given."""
        found: dict[str, Tensor] = self.unstack(self.raw(inputs), out)
        return found
