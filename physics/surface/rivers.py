r"""Rivers: a linear reservoir in each land cell, from the hills to the sea.

.. math:: \frac{dV}{dt} = R + \sum_{upstream} Q - Q, \qquad Q = \frac{v}{m L} V

V water [kg], R runoff [kg s-1], L distance to the next cell [m], v speed of the water, m how much
longer than straight rivers are. Each step is backward in time along the order of the flow, so that
it is stable for any step and loses nothing. Directions: `routing`. A cell is land where more than
half of it is; runoff of the land in other cells reaches their sea in the same step.

Source: Oki, Nishimura and Dirmeyer (1999), J. Meteor. Soc. Japan 77, 235-255, for TRIP: v = 0.5
m/s, meandering 1.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from coupler.interface.component import Array, Arrays, Model, Now, Params, Site, gives, reads
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.surface.parts import OnGrid, land_fraction
from physics.surface.routing import downstream_order, flow, flow_directions, lengths


@scheme("rivers", "linear_reservoirs")
class Rivers(Model):
    """Runoff is routed to the sea along directions that follow from the orography."""

    class Parameters(OnGrid):
        """Grid, step and speed."""

        dt: Annotated[float, Unit("s"), Field(gt=0)] = 10800.0
        """Time step [s]."""
        speed: Annotated[float, Unit("m s-1"), Field(gt=0, le=20)] = 0.5
        """v [m s-1]."""
        meandering: Annotated[float, Unit("1"), Field(ge=1, le=5)] = 1.4
        """m [1]."""

    receives = reads("mrro")
    provides = gives("rivw friver")
    boundary = reads("sftlf", optional="orog")

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        self.grid, self.dt = self.p.grid(), self.p.dt

    def setup(self, site: Site) -> None:
        p, grid = self.p, self.grid
        land = land_fraction(site, grid.shape) > 0.5
        orog = np.asarray(site.boundary.get("orog", np.zeros(grid.shape)), np.float64)
        self.receiver = flow_directions(orog, land)
        self._order = downstream_order(self.receiver, land, grid)
        length = lengths(self.receiver, grid, site.planet.radius)
        self._rate = np.where(land, p.speed / (p.meandering * np.maximum(length, 1.0)), 0.0)
        self._area = 4.0 * np.pi * site.planet.radius**2 * grid.cell_weights
        self._mouths = np.where(land, 0.0, 1.0)
        self._volume = np.zeros(grid.shape)
        self._fields = {f.name: np.zeros(grid.shape) for f in self.provides}

    def fields(self) -> Mapping[str, Array]:
        return self._fields

    def parts(self, received: Arrays) -> Mapping[str, Array]:
        return {"friver": self._mouths}

    def step(self, received: Arrays, now: Now) -> None:
        inflow = received.mrro * self._area
        flow(
            self._order,
            self.receiver.reshape(-1),
            self._rate.reshape(-1),
            self._volume.reshape(-1),
            inflow.reshape(-1),
            self.dt,
        )
        inflow *= self._mouths
        np.divide(inflow, self._area, out=self._fields["friver"])
        self._show()

    def _show(self) -> None:
        np.divide(self._volume, self._area, out=self._fields["rivw"])

    def stores(self) -> Mapping[str, Array]:
        """Water in rivers per area of the cell."""
        return {"water": self._fields["rivw"]}

    def memory(self) -> dict[str, Array]:
        return {"volume": self._volume, "friver": self._fields["friver"]}

    def restore(self, memory: Mapping[str, Array]) -> None:
        super().restore(memory)
        self._show()
