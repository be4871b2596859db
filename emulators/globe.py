"""The whole globe for a network that sees neighbouring columns, on any number of ranks.

Every rank gathers the network's inputs from all ranks, runs the network on the whole map, and keeps
its own columns. All ranks compute the same numbers, which costs their time and no second message,
and the result cannot depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from coupler.interface.component import Host
from coupler.interface.parallel import Rows
from emulators.schema import BundleSpec


class Globe:
    """Gathers inputs and hands out fluxes."""

    def __init__(self, spec: BundleSpec, host: Host) -> None:
        self.alone = host.parallel.size == 1
        whole = host.globe if host.globe is not None else host.grid
        rows = host.rows or Rows(parallel=host.parallel, nlat=whole.lat.size)
        self._dealt = rows.columns(whole.lon.size)
        self._own = torch.from_numpy(self._dealt.own)
        shape = (spec.levels.nlev + 1, whole.ncol)
        self.fluxes = {} if self.alone else {o.name: torch.zeros(shape) for o in spec.outputs}
        """Of the whole globe, shape [interface, column]."""

    def inputs(self, own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The inputs of the whole globe; called by all ranks."""
        if self.alone:
            return own
        return {n: torch.from_numpy(self._dealt.whole(np.asarray(t), -1)) for n, t in own.items()}

    def back(self, fluxes: Mapping[str, Tensor]) -> None:
        """Fills own columns from `self.fluxes`."""
        for name, flux in self.fluxes.items():
            fluxes[name].copy_(flux[:, self._own])
