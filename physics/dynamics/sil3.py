r"""Time step: SIL3, an implicit-explicit Runge-Kutta scheme of three stages and one time level.

dX/dt = N(X) + L X, with L the gravity waves of ``semi_implicit``. A Lorenz 3-cycle for N and
trapezoidal averages for L; with h = dt/3 and w = 1, 3/2, 3,

    G_j = w_j N(X_j) + (1 - w_j) G_{j-1},   E_j = E_{j-1} + h G_j
    X_1 = X + E_1 + dt (1/6 L X + 1/6 L X_1)
    X_2 = X + E_2 + dt (1/3 L X + 1/3 L X_2)
    X^+ = X + E_3 + dt (3/8 L X + 3/8 L X_2 + 1/4 L X^+)

The scheme is of second order, and of third order where N is linear and L is 0; it has no
computational mode and needs no filter. On the imaginary axis N alone is stable up to
dt |omega| = sqrt(3). Physics enters N as a constant of the step, so a step adds dt times its
tendency. Diffusion acts once, at the end, exactly: X^+ exp(-nu_n dt).

Source: Whitaker, J. S. and S. K. Kar (2013), Mon. Wea. Rev. 141, 3426-3434,
doi:10.1175/MWR-D-13-00132.1 (SIL3); Lorenz, E. N. (1971), Mon. Wea. Rev. 99, 644-648,
doi:10.1175/1520-0493(1971)099<0644:ANTDSF>2.3.CO;2 (the cycle).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from physics.dynamics.leapfrog import Diffusion
from physics.dynamics.primitive import PrimitiveEquations
from physics.dynamics.semi_implicit import SemiImplicit

Tensor = torch.Tensor
Parts = tuple[Tensor, Tensor, Tensor]

_CYCLE = (1.0, 1.5, 3.0)
"""w_j."""
_START, _SECOND, _OWN = (1 / 6, 1 / 3, 3 / 8), (0.0, 0.0, 3 / 8), (1 / 6, 1 / 3, 1 / 4)
"""Weights of L X, L X_2 and the L of the stage itself."""
STABLE = 3.0**0.5
"""Largest dt |omega| of an oscillation in N that does not grow."""


class Sil3:
    """Advances one time level of coefficients.

    Args:
        equations: right-hand side.
        implicit: of the linear terms; its off-centring is not used.
        diffusion: damping.
    """

    def __init__(
        self, *, equations: PrimitiveEquations, implicit: SemiImplicit, diffusion: Diffusion
    ) -> None:
        self.equations, self.implicit, self.diffusion = equations, implicit, diffusion
        self._factors: dict[float, Tensor] = {}

    def damping_factor(self, span: float) -> Tensor:
        """exp(-span nu), shape [T+1, 1, (3+n) K + 1, T+2], for a step of `span` seconds."""
        if span not in self._factors:
            tr = self.equations.transform
            factor = np.exp(-span * self.diffusion.state_rate(self.equations))
            self._factors[span] = torch.tensor(factor, dtype=tr.dtype, device=tr.device)
        return self._factors[span]

    def advance(
        self, start: Tensor, rate: Tensor, tendency: Callable[[Tensor], Tensor], dt: float
    ) -> Tensor:
        """X^+ from X.

        Args:
            start: X, [T+1, 2, (3+n) K + 1, T+2].
            rate: N + L of X.
            tendency: N + L of a state. What it returned before may be overwritten.
            dt: [s].

        Returns:
            shape of `start`, a new tensor.
        """
        implicit, h = self.implicit, dt / 3.0
        first = implicit.linear(start)
        second: Parts | None = None
        linear, state = first, start
        cycle = explicit = rate
        for j in range(3):
            if j:
                rate, linear = tendency(state), implicit.linear(state)
            rate = self._less(rate, linear)
            if j == 2:
                second = linear
            cycle = rate if j == 0 else torch.lerp(cycle, rate, _CYCLE[j])
            explicit = h * cycle if j == 0 else torch.add(explicit, cycle, alpha=h)
            rhs = [
                torch.add(e, a, alpha=dt * (_START[j] + _OWN[j]))
                for e, a in zip(implicit.parts(explicit), first, strict=True)
            ]
            if second is not None:
                rhs = [
                    torch.add(r, b, alpha=dt * _SECOND[j]) for r, b in zip(rhs, second, strict=True)
                ]
            change = implicit.invert(rhs[0], rhs[1], rhs[2], dt * _OWN[j])
            state = start + implicit.joined(explicit, *(implicit.rows(c) for c in change))
        return state * self.damping_factor(dt)

    def _less(self, rate: Tensor, linear: Parts) -> Tensor:
        """N = rate - L X."""
        rows = (self.implicit.rows(part) for part in linear)
        eq = self.equations
        places = (eq.divergence_slice, eq.temperature_slice, slice(-eq.members, None))
        if torch.is_grad_enabled():
            div, temp, pressure = (
                rate[:, :, place] - part for place, part in zip(places, rows, strict=True)
            )
            return self.implicit.joined(rate, div, temp, pressure)
        own = rate.clone()
        for place, part in zip(places, rows, strict=True):
            own[:, :, place] -= part
        return own
