"""Couplings between models: time means, remapped conservatively to the receiver's grid.

A receiver gets the mean over its own time step of what it asked for; the sums and weights are
float64 and part of the restart. What it provides goes back after each of its steps.

Where several types of surface share a cell, a flux is per area of its type, and so is what is
remapped: with fractions f of the receiver's cells and f_i = remap(f) of the atmosphere's, the
integrals of f_i F_i and of f remap(F) are the same. Fields that go back are weighted with f.
Models also give to each other (`Between`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from coupler.driver.between import Between
from coupler.driver.spent import Spent
from coupler.exchange.accumulate import Accumulator
from coupler.exchange.regrid import Regridder
from coupler.interface.component import Array, Arrays, Model, Now
from coupler.interface.fields import FIELDS
from coupler.interface.grid import Grid
from coupler.interface.parallel import Along, Rows, Spread
from coupler.parallel.agreement import together

EMPTY = 1e-9
"""Area fraction below which a part of a cell is not there."""


class Coupling:
    """A model that is stepped more rarely than the atmosphere, and its links to it."""

    def __init__(
        self,
        model: Model,
        every: int,
        atmosphere_grid: Grid,
        rows: Rows,
        sent: Mapping[str, Array],
        wanted: Mapping[str, Array],
        between: Sequence[Between] = (),
        *,
        account: str = "model",
        spent: Spent | None = None,
    ) -> None:
        """Binds the links.

        Args:
            model: the model on the other side.
            every: atmosphere steps in one step of it.
            atmosphere_grid: grid of the atmosphere's columns.
            rows: which of its rows are at hand. Every rank steps the model for the whole globe.
            sent: what the model receives, live arrays ``[column]`` of these rows.
            wanted: what it provides, arrays ``[column]`` of these rows to be filled.
            between: what it receives from other models.
            account: what the model's own steps are counted under, in `spent`.
        """
        self._account, self._spent = account, spent or Spent()
        self.model, self.every, self.rows = model, every, rows
        self.between = tuple(between)
        shape = rows.own.size, atmosphere_grid.lon.size
        self._sent = {name: a.reshape(shape) for name, a in sent.items()}
        self._wanted = {name: a.reshape(shape) for name, a in wanted.items()}
        self._to = Regridder(atmosphere_grid, model.grid, "conservative")
        self.back = Regridder(model.grid, atmosphere_grid, "conservative")
        self.sums = Accumulator(dict.fromkeys(self._sent, shape))
        self.sums.follow(self._sent)
        self._mean = {name: np.zeros(shape) for name in self._sent}
        self.received = Arrays(
            **{name: np.zeros(model.grid.shape) for name in self._sent},
            **{link.name: link.received for link in self.between},
        )
        self.send_back()

    def collect(self, dt: float) -> None:
        """Adds what the atmosphere gave in a step of `dt` [s]."""
        self.sums.add_live(dt)

    def due(self, now: Now) -> bool:
        """Whether the atmosphere has completed an interval of the model."""
        return now.step % self.every == 0

    def receive(self) -> None:
        """Brings what was collected to the model, as means over its step, and begins anew."""
        self.sums.mean(self._mean)
        for name, mean in self._mean.items():
            self._to.apply(self.rows.globe(mean), getattr(self.received, name))
        self.sums.reset()
        for link in self.between:
            link.deliver(self.model.dt)

    def step(self, now: Now) -> None:
        """Steps the model with what it received, and shows the atmosphere what it provides."""
        # A model elsewhere may be late for one rank only.
        before = self._spent.to(self._account)
        together(self.rows.parallel, lambda: self.model.step(self.received, now))
        self._spent.to(before)
        self.send_back()

    def send_back(self) -> None:
        """Remaps what the model provides to the atmosphere's grid."""
        provided = self.model.fields()
        fractions: dict[str, Array] = {}
        for name, target in self._wanted.items():
            part = FIELDS[name].part if name in FIELDS else None
            if part is not None and part in provided:
                if part not in fractions:
                    fractions[part] = self.back.apply(provided[part].astype(np.float64))
                self._of_part(provided[name], provided[part], fractions[part], target)
            elif self.rows.parallel.size == 1:
                self.back.apply(provided[name], target)
            else:
                whole = self.back.apply(provided[name]).astype(target.dtype, copy=False)
                target[...] = whole[self.rows.own]

    def _of_part(self, field: Array, part: Array, fraction: Array, target: Array) -> None:
        """Mean over a part of the cells. Where there is none, values mean nothing; they are those
        of whole cells at the start, so that they are sane."""
        there = fraction > EMPTY
        if not target.any():
            target[...] = self.back.apply(field.astype(np.float64))[self.rows.own]
        weighted = self.back.apply(field.astype(np.float64) * part)
        weighted /= np.where(there, fraction, 1.0)
        np.copyto(target, weighted[self.rows.own], where=there[self.rows.own], casting="same_kind")

    @property
    def collected(self) -> float:
        """Time of which something is in the sums for the next step [s]."""
        return max((self.sums.weight(n) for n in self._sent), default=0.0)

    def memory(self) -> dict[str, Array]:
        """What a restart needs: the running sums, and what was received last."""
        own = {f"sum.{k}": v for k, v in self.sums.memory().items()}
        links = {f"link.{n}.{k}": v for n, k, v in self._of_links()}
        return {**own, **{f"received.{k}": v for k, v in self.received.items()}, **links}

    def _of_links(self) -> list[tuple[str, str, Array]]:
        return [(link.name, k, v) for link in self.between for k, v in link.memory().items()]

    def spread(self) -> dict[str, Spread]:
        """How the running sums lie on the ranks."""
        rows = Along(self.rows, -2)
        return {f"sum.{k}": rows for k, v in self.sums.memory().items() if v.ndim}

    def restore(self, memory: Mapping[str, Array]) -> None:
        lead = "sum."
        self.sums.restore(
            {k.removeprefix(lead): v for k, v in memory.items() if k.startswith(lead)}
        )
        for name, array in self.received.items():
            array[...] = memory[f"received.{name}"]
        for name, key, array in self._of_links():
            array[...] = memory[f"link.{name}.{key}"]
        self.send_back()
