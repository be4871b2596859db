"""What schemes share that return momentum fluxes of columns dealt out in blocks (see `blocks`)."""

from __future__ import annotations

import numpy as np

from coupler.interface.component import Array, Arrays, Host, Tendency, reads
from physics.columns import blocks


class MomentumFlux(Tendency):
    """A scheme whose kernel takes ua va ta pfull zg by blocks and flags senseless columns."""

    inputs = reads("ua va ta pfull phalf zg")

    def prepare(self, host: Host, rows: int) -> None:
        """Latitudes, constants and scratch.

        Args:
            host: the column model.
            rows: profiles of scratch that the kernel needs for each column of a block.

        Raises:
            ContractError: when the host gives no latitudes.
        """
        self._name = f"{self.process}.{self.scheme}"
        self._lat = blocks.latitudes(host, self._name)
        planet = host.planet
        self._planet = (planet.gravity, planet.gas_constant_dry, planet.cp_dry)
        ncol = self._lat.size
        self._work = np.zeros((blocks.workers(ncol), rows, blocks.BLOCK, host.nlev))
        self._bad = np.zeros(ncol, np.int64)

    def state(self, x: Arrays) -> tuple[Array, Array, Array, Array, Array]:
        """What `blocks.gather` takes."""
        return x.ua, x.va, x.ta, x.pfull, x.zg

    def complain(self, x: Arrays) -> None:
        """Raises for the first column that the kernel flagged.

        Raises:
            UnstableError: for a state without meaning.
            ContractError: for layers out of order.
        """
        if self._bad.any():
            raise blocks.complaint(self._name, self._bad, x, self._lat)
