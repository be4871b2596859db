"""Couplings between models: time means, remapped conservatively to the receiver's grid.

A receiver gets the mean over its own time step of what it asked for; the sums and weights are
float64 and part of the restart. What it provides goes back after each of its steps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from coupler.driver.spent import Spent
from coupler.exchange.accumulate import Accumulator
from coupler.exchange.regrid import Regridder
from coupler.interface.component import Array, Arrays, Model, Now
from coupler.interface.grid import Grid
from coupler.interface.parallel import Along, Rows, Spread
from coupler.parallel.agreement import together


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
            account: what the model's own steps are counted under, in `spent`.
        """
        self._account, self._spent = account, spent or Spent()
        self.model, self.every, self._rows = model, every, rows
        shape = rows.own.size, atmosphere_grid.lon.size
        self._sent = {name: a.reshape(shape) for name, a in sent.items()}
        self._wanted = {name: a.reshape(shape) for name, a in wanted.items()}
        self._to = Regridder(atmosphere_grid, model.grid, "conservative")
        self._back = Regridder(model.grid, atmosphere_grid, "conservative")
        self._sums = Accumulator(dict.fromkeys(self._sent, shape))
        self._sums.follow(self._sent)
        self._mean = {name: np.zeros(shape) for name in self._sent}
        self.received = Arrays(**{name: np.zeros(model.grid.shape) for name in self._sent})
        self.send_back()

    def collect(self, dt: float) -> None:
        """Adds what the atmosphere gave in a step of `dt` [s]."""
        self._sums.add_live(dt)

    def step_if_due(self, now: Now) -> None:
        """Steps the model once the atmosphere has completed its interval."""
        if now.step % self.every:
            return
        self._sums.mean(self._mean)
        for name, target in self.received.items():
            self._to.apply(self._rows.globe(self._mean[name]), target)
        self._sums.reset()
        # A model elsewhere may be late for one rank only.
        before = self._spent.to(self._account)
        together(self._rows.parallel, lambda: self.model.step(self.received, now))
        self._spent.to(before)
        self.send_back()

    def send_back(self) -> None:
        """Remaps what the model provides to the atmosphere's grid."""
        provided = self.model.fields()
        for name, target in self._wanted.items():
            if self._rows.parallel.size == 1:
                self._back.apply(provided[name], target)
            else:
                whole = self._back.apply(provided[name]).astype(target.dtype, copy=False)
                target[...] = whole[self._rows.own]

    def memory(self) -> dict[str, Array]:
        """What a restart needs: the running sums, and what was received last."""
        own = {f"sum.{k}": v for k, v in self._sums.memory().items()}
        return {**own, **{f"received.{k}": v for k, v in self.received.items()}}

    def spread(self) -> dict[str, Spread]:
        """How the running sums lie on the ranks."""
        rows = Along(self._rows, -2)
        return {f"sum.{k}": rows for k, v in self._sums.memory().items() if v.ndim}

    def restore(self, memory: Mapping[str, Array]) -> None:
        lead = "sum."
        self._sums.restore(
            {k.removeprefix(lead): v for k, v in memory.items() if k.startswith(lead)}
        )
        for name, array in self.received.items():
            array[...] = memory[f"received.{name}"]
        self.send_back()
