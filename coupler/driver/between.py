"""What one model beside the atmosphere gives to another: amounts, remapped conservatively.

A flux is added up over the steps of the giver and handed out at the next step of the receiver as
the rate that carries the same amount, whatever the ratio of their steps. It is per area of the
whole cell on both sides. A receiver that can take a flux only in a part of a cell says so
(`Model.parts`): what a cell of the giver holds is then shared among the parts below it by area,

.. math:: r_j = p_j \\sum_i A_{ij} \\frac{q_i}{\\tilde p_i} \\Big/ A_j, \\qquad
          \\tilde p_i = \\sum_j A_{ij} p_j / A_i

which has the same integral over the globe. What is not a flux is handed over as it is.
"""

from __future__ import annotations

import numpy as np

from coupler.exchange.regrid import Regridder
from coupler.interface.component import Array, Arrays, Model
from coupler.interface.errors import ConfigError
from coupler.interface.fields import Field
from coupler.interface.grid import Grid

NOTHING = Arrays()


class Between:
    """One field from one model to another."""

    def __init__(self, field: Field, giver: Model, receiver: Model) -> None:
        """Binds the link.

        Args:
            field: what is given.
            giver: provides it.
            receiver: receives it.

        Raises:
            ConfigError: for a cell of the giver that has no part of the receiver below it.
        """
        self.name, self.field, self.giver = field.name, field, giver
        self.received = np.zeros(receiver.grid.shape)
        self.total = np.zeros(giver.grid.shape)
        """What was given and not yet handed out, per area of the giver's cells [unit s]."""
        self._same = same_grid(giver.grid, receiver.grid)
        self._remap = Regridder(giver.grid, receiver.grid, "conservative")
        self._part = receiver.parts(NOTHING).get(self.name)
        self._share: Array | None = None
        if self._part is not None and not self._same:
            back = Regridder(receiver.grid, giver.grid, "conservative")
            share = back.apply(self._part.astype(np.float64))
            lost = (share < 1e-6) & (giver.parts(NOTHING).get(self.name, np.ones(1)) > 0.0)
            if lost.any():
                row, column = (int(i) for i in np.argwhere(lost)[0])
                lat, lon = giver.grid.lat[row], giver.grid.lon[column]
                raise ConfigError.of(
                    f"{self.name} of {giver.process} arrives where {receiver.process} has no area",
                    self.name,
                    expected=f"a part of a {receiver.process} cell below every cell that gives",
                    found=f"{int(lost.sum())} cells without, the first at {lat:g} N, {lon:g} E",
                    remedy="give both models grids of about the same spacing, and the same sftlf",
                )
            self._share = np.where(share < 1e-6, 1.0, share)
        self.show()

    def show(self) -> None:
        """Hands over what is not a flux."""
        if self.field.carries is None:
            self._onto(self.giver.fields()[self.name].astype(np.float64))

    def collect(self) -> None:
        """Takes what the giver gave in its last step, and shows what it shows now."""
        self.show()
        if self.field.carries is not None:
            self.total += self.giver.dt * self.giver.fields()[self.name]

    def deliver(self, dt: float) -> None:
        """Hands out what was collected as the rate over `dt` [s] that carries it."""
        if self.field.carries is None:
            return
        if self._share is not None:
            self.total /= self._share
        self._onto(self.total)
        if self._share is not None and self._part is not None:
            self.received *= self._part
        self.received /= dt
        self.total.fill(0.0)

    def _onto(self, field: Array) -> None:
        if self._same:
            self.received[...] = field
        else:
            self._remap.apply(field, self.received)

    def memory(self) -> dict[str, Array]:
        """What is on its way; what was received is the coupling's."""
        return {"total": self.total}


def same_grid(one: Grid, other: Grid) -> bool:
    """Whether two grids have the same cells."""
    return one.shape == other.shape and all(
        np.array_equal(a, b)
        for a, b in ((one.lat_bounds, other.lat_bounds), (one.lon_bounds, other.lon_bounds))
    )
