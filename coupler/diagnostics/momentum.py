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

import numpy as np

from coupler.interface.component import Array
from coupler.interface.jit import njit

_AXIS = {"ua": "x", "va": "y"}
_KINDS = (
    ("drag", "absolute column drag of {}, global mean"),
    ("residual", "column drag of {} less flux at the ground plus what escaped, global mean"),
    ("residual_abs", "absolute value of the momentum residual of {} in a column, global mean"),
)


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
        self.columns = np.zeros((2, rate.shape[1]))
        """Column sums of the rate times layer thickness, and of its absolute value."""
        self.given = False
        """Whether `columns` are filled by who makes the rate, before `add`."""
        self._steps = np.zeros((), np.int64)

    def add(self, ends: Sequence[tuple[float, Array, Array]]) -> None:
        """Adds one step.

        Args:
            ends: of every flux of this wind that acts: its weight [1], its values [Pa],
                ``[interface, column]``, and what escaped [Pa], ``[column]``.
        """
        if not self.given:
            _integrate(self._rate, self._phalf, self.columns)
        self.columns *= 1.0 / self._gravity
        for weight, flux, escaped in ends:
            _enter(flux[-1], escaped, weight, self.columns[0])
        _add(self.columns, self._sums)
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
def _enter(ground: Array, escaped: Array, weight: float, net: Array) -> None:
    """Takes from `net` what a flux brings into the columns."""
    for i in range(net.size):
        net[i] -= weight * (np.float64(ground[i]) - escaped[i])


@njit()
def _integrate(rate: Array, phalf: Array, columns: Array) -> None:
    columns[:] = 0.0
    net, gross = columns[0], columns[1]
    for k in range(rate.shape[0]):
        row, above, below = rate[k], phalf[k], phalf[k + 1]
        for i in range(row.size):
            force = (np.float64(below[i]) - np.float64(above[i])) * np.float64(row[i])
            net[i] += force
            gross[i] += abs(force)


@njit()
def _add(columns: Array, sums: Array) -> None:
    for i in range(columns.shape[1]):
        sums[0, i] += columns[1, i]
        sums[1, i] += columns[0, i]
        sums[2, i] += abs(columns[0, i])
