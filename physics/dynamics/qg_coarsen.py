r"""From fine to coarse: three filter-coarsen operators, and what the coarse flow is missing.

    spectral   waves that the coarse grid has, times the core's own filter
    gaussian   waves that the coarse grid has, times exp(-K^2 (2 dx)^2/24), dx of the coarse grid
    block      a Gaussian of the width of a coarse cell on the fine grid, then means of blocks

With bar() one of them, F the rate of change that a core of its grid gives, and u the whole wind:

    q_subgrid_forcing   S_q = bar(div(u q)) - div(ubar qbar)      [s-2], likewise S_u, S_v [m s-2]
    uq_subgrid_flux     phi = bar(u q) - ubar qbar                [m s-2]; div phi = S_q where bar
                        and the derivative commute: spectral and gaussian
    q_forcing_total     S_tot = bar(F(q)) - F(qbar): what a closure has to add [s-2]
    q_forcing_step      the same of whole steps, ``(filter(q + dt F) - q)/dt``: with what the coarse
                        core's filter takes

ubar is the wind of the coarse core with qbar. A closure adds about -S_q.

Source: Ross et al. (2023), doi:10.1029/2022MS003258.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch

from coupler.interface.errors import ConfigError
from physics.dynamics.qg_core import QGCore

Tensor = torch.Tensor
Operator = Literal["spectral", "gaussian", "block"]
OPERATORS: tuple[Operator, ...] = get_args(Operator)


class Coarsener:
    """One operator from the grid of one core to that of another."""

    def __init__(self, fine: QGCore, coarse: QGCore, operator: Operator = "spectral") -> None:
        """Prepares it.

        Raises:
            ConfigError: for planes of different length, a grid that is not finer, or a ratio that
                makes no blocks.
        """
        n, m = fine.config.nx, coarse.config.nx
        if fine.config.at(m) != coarse.config:
            raise ConfigError.of(
                "two flows that are not the same", "coarse", expected="another nx and nothing else"
            )
        if m >= n or (operator == "block" and n % m):
            raise ConfigError.of(
                "cannot coarsen",
                f"nx {n} to {m} by {operator}",
                expected="fewer points" + ", a divisor" * (operator == "block"),
            )
        self.fine, self.coarse, self.operator = fine, coarse, operator
        self._ratio = n // m
        if operator == "block":
            self._matrix = fine.wavenumber.new_tensor(_block_matrix(n, m))
        else:
            k2, dx = coarse.k2, coarse.config.dx
            smooth = torch.exp(-k2 * ((2.0 * dx) ** 2 / 24.0))
            factor = coarse.filter if operator == "spectral" else smooth
            self._factor = factor * (m / n) ** 2
            self._rows = torch.tensor(np.r_[0 : m // 2, n - m // 2 : n])

    def field(self, field: Tensor) -> Tensor:
        """A field [..., n, n] on the coarse grid [..., m, m]."""
        if self.operator == "block":
            return self._matrix @ field @ self._matrix.T
        return self.coarse.to_grid(self.waves(self.fine.to_waves(field)))

    def waves(self, waves: Tensor) -> Tensor:
        """The same on coefficients."""
        if self.operator == "block":
            return self.coarse.to_waves(self.field(self.fine.to_grid(waves)))
        kept = waves[..., self._rows, :][..., : self.coarse.config.nx // 2 + 1]
        return kept * self._factor


def _block_matrix(n: int, m: int) -> np.ndarray:
    """Gaussian with the transform exp(-k^2 w^2/24), w = n/m points, then means: [m, n]."""
    ratio = n // m
    distance = np.arange(n)[:, None] - np.arange(n)[None, :]
    distance = np.minimum(np.abs(distance), n - np.abs(distance))
    smooth = np.exp(-6.0 * (distance / ratio) ** 2)
    smooth /= smooth.sum(axis=1, keepdims=True)
    return np.asarray(smooth.reshape(m, ratio, n).mean(axis=1))


def forcing(operator: Coarsener, qh: Tensor) -> dict[str, Tensor]:
    """Coarse state and subgrid forcing of a fine state.

    Args:
        operator: from the fine to the coarse core.
        qh: coefficients of q on the fine grid, [2, member, n, n/2 + 1].

    Returns:
        Fields on the coarse grid [2, member, m, m] by the names at the top of this module, and
        ``q u v psi``; u with the mean flow.
    """
    fine, coarse, bar = operator.fine, operator.coarse, operator.field
    ph = fine.streamfunction(qh)
    above = fine.flow(ph, qh)
    qbar = operator.waves(qh)
    pbar = coarse.streamfunction(qbar)
    below = coarse.flow(pbar, qbar)
    u, v, q = above[0] + fine.mean_flow, above[1], above[2]
    ub, vb, qb = below[0] + coarse.mean_flow, below[1], below[2]
    found = {"q": qb, "u": ub, "v": vb, "psi": coarse.to_grid(pbar)}
    for name, a, b in (("q", q, qb), ("u", u, ub), ("v", v, vb)):
        apart = bar(fine.to_grid(-fine.carry(u, v, a))) - coarse.to_grid(-coarse.carry(ub, vb, b))
        found[f"{name}_subgrid_forcing"] = apart
    for wind, w, wb in (("u", u, ub), ("v", v, vb)):
        found[f"{wind}q_subgrid_flux"] = bar(w * q) - wb * qb
    found["uu_subgrid_flux"] = bar(u * u) - ub * ub
    found["uv_subgrid_flux"] = bar(u * v) - ub * vb
    found["vv_subgrid_flux"] = bar(v * v) - vb * vb
    rates = fine.carry(u, v, q) + fine.linear(ph), coarse.carry(ub, vb, qb) + coarse.linear(pbar)
    found["q_forcing_total"] = coarse.to_grid(operator.waves(rates[0]) - rates[1])
    steps = []
    for core, rate, state in ((fine, rates[0], qh), (coarse, rates[1], qbar)):
        dt = core.config.dt
        steps.append((core.filter * (state + dt * rate) - state) / dt)
    found["q_forcing_step"] = coarse.to_grid(operator.waves(steps[0]) - steps[1])
    return found
