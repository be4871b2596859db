r"""Momentum budget of parameterized fluxes: what the winds received against what came in.

.. math::
   r = \sum_k \frac{\Delta p_k}{g} \dot u_k - (F_K - F_{esc}), \qquad
   d = \sum_k \frac{\Delta p_k}{g} |\dot u_k|

for each column, with the tendency [m s-2] that was applied and the flux at the ground and what
escaped at the top [Pa], positive upward. Means over all steps of an output interval of r, abs(r)
and d; a budget that closes to round-off has abs(r) some 1e-8 of d in single precision. Sums are
float64, by column, and part of a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numba
import numpy as np

from coupler.interface.component import Array
from coupler.interface.jit import njit

_AXIS = {"ua": "x", "va": "y"}
_KINDS = (
    ("drag", "absolute column drag of {}, global mean"),
    ("residual", "column drag of {} less flux at the ground plus what escaped, global mean"),
    ("residual_abs", "absolute value of the momentum residual of {} in a column, global mean"),
)
_CHUNK = 64


class MomentumBudget:
    """Budget of one wind component of one process."""

    def __init__(self, process: str, of: str, rate: Array, phalf: Array, gravity: float) -> None:
        """Binds the arrays.

        Args:
            process: name of the process.
            of: ``ua`` or ``va``.
            rate: tendency that is applied [m s-2], shape [level, column].
            phalf: pressure at the interfaces [Pa], shape [interface, column].
            gravity: g [m s-2].
        """
        self.key = f"{process}.{of}"
        self._name = f"momentum_{_AXIS[of]}_{process}"
        self._process, self._rate, self._phalf, self._gravity = process, rate, phalf, gravity
        self._sums = np.zeros((len(_KINDS), rate.shape[1]))
        self._work = np.zeros((2, rate.shape[1]))
        self._steps = np.zeros((), np.int64)

    def add(self, ends: Sequence[tuple[float, Array, Array]]) -> None:
        """Adds one step.

        Args:
            ends: of every flux of this wind that acts: its weight [1], its values [Pa],
                ``[interface, column]``, and what escaped [Pa], ``[column]``.
        """
        self._work.fill(0.0)
        for weight, flux, escaped in ends:
            _enter(flux, escaped, weight, self._work[0])
        _add(self._rate, self._phalf, 1.0 / self._gravity, self._work, self._sums)
        self._steps += 1

    def take(self, mean: Callable[[Array], float]) -> dict[str, tuple[float, str, str]]:
        """Means since the last time: value, units and long name; begins a new interval.

        Args:
            mean: global mean of a field [column].
        """
        if not self._steps:
            return {}
        found = {
            f"{self._name}_{kind}": (
                mean(sums) / int(self._steps),
                "Pa",
                text.format(self._process),
            )
            for (kind, text), sums in zip(_KINDS, self._sums, strict=True)
        }
        self._sums.fill(0.0)
        self._steps[...] = 0
        return found

    def memory(self) -> dict[str, Array]:
        """What a restart in the middle of an interval needs."""
        return {"sums": self._sums, "steps": self._steps}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave."""
        for name, array in self.memory().items():
            array[...] = memory[name]


@njit()
def _enter(flux: Array, escaped: Array, weight: float, net: Array) -> None:
    """Takes from `net` what a flux brings into the columns."""
    last = flux.shape[0] - 1
    for i in range(net.size):
        net[i] -= weight * (np.float64(flux[last, i]) - escaped[i])


@njit(parallel=True)
def _add(rate: Array, phalf: Array, scale: float, work: Array, sums: Array) -> None:
    nlev, ncol = rate.shape
    net, gross = work[0], work[1]
    for chunk in numba.prange((ncol + _CHUNK - 1) // _CHUNK):
        start, stop = chunk * _CHUNK, min((chunk + 1) * _CHUNK, ncol)
        for k in range(nlev):
            for i in range(start, stop):
                dp = np.float64(phalf[k + 1, i]) - np.float64(phalf[k, i])
                push = scale * dp * np.float64(rate[k, i])
                net[i] += push
                gross[i] += abs(push)
        for i in range(start, stop):
            sums[0, i] += gross[i]
            sums[1, i] += net[i]
            sums[2, i] += abs(net[i])
