r"""Time step: semi-implicit leapfrog, RAW filter, implicit diffusion and sponge.

    X^+ = (X^- + d) / (1 + 2 dt nu_n),        d from ``semi_implicit``
    nu_n = (1/tau) (n(n+1) / (T(T+1)))^p  +  (1/tau_k) n(n+1) / (T(T+1))  in the top levels
    e = (nu_f / 2) (X^- - 2 X^0 + X^+);  X^0 <- X^0 + alpha e,  X^+ <- X^+ + (alpha - 1) e

Diffusion acts on vorticity, divergence, temperature and tracers, and leaves angular momentum as it
is. All of it is implicit: damping evaluated at the centre of a leapfrog step is unstable. With a
``start`` s > 0 the first term is (1/tau) max(0, (n/T - s) / (1 - s))^2p, a spectral vanishing
viscosity: all waves longer than T s remain untouched.

Sources: Williams, P. D. (2009), Mon. Wea. Rev. 137, 2538-2546, doi:10.1175/2009MWR2724.1, and
(2011), 139, 1996-2007, doi:10.1175/2010MWR3601.1 (filter); Gelb, A. and J. P. Gleeson (2001), Mon.
Wea. Rev. 129, 2346-2360 (vanishing viscosity on the sphere).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from physics.dynamics.fused_step import WIDTH, leapfrog_step
from physics.dynamics.primitive import PrimitiveEquations
from physics.dynamics.semi_implicit import SemiImplicit

Tensor = torch.Tensor
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Diffusion:
    """Scale-selective damping, implicit in time.

    Attributes:
        power: p, half the order: 4 is del^8 [1].
        start: n / T up to which nothing is damped [1]. Above it the rate grows as
            ((n/T - start) / (1 - start))^2p; from 0 as (n (n+1) / T (T+1))^p.
        timescale: tau, e-folding time at n = T [s].
        sponge_levels: number of top levels with additional del^2 damping; it halves from each
            level to the next one down.
        sponge_timescale: tau_k at n = T in the top level [s].
    """

    power: float = 4
    start: float = 0.0
    timescale: float = 8640.0
    sponge_levels: int = 0
    sponge_timescale: float = 8640.0

    def __post_init__(self) -> None:
        if (
            self.power < 1
            or not 0.0 <= self.start < 1.0
            or self.timescale <= 0.0
            or self.sponge_timescale <= 0.0
        ):
            raise ValueError(
                "diffusion: expected power >= 1, start from 0 to 1 and positive time scales, got "
                f"power = {self.power}, start = {self.start}, timescale = {self.timescale}, "
                f"sponge_timescale = {self.sponge_timescale}"
            )

    def rate(self, degree: Float64, truncation: int, levels: int) -> Float64:
        """Damping rate [s-1] in float64, shape [T+1, levels, T+2], for degrees [T+1, T+2]."""
        relative = degree * (degree + 1.0) / (truncation * (truncation + 1.0))
        if self.start:
            beyond = np.maximum(degree / truncation - self.start, 0.0) / (1.0 - self.start)
            scale = beyond ** (2.0 * self.power) / self.timescale
        else:
            scale = relative**self.power / self.timescale
        rate = np.repeat(scale[:, None, :], levels, axis=1)
        for k in range(min(self.sponge_levels, levels)):
            rate[:, k] += relative / (self.sponge_timescale * 2.0**k)
        return rate

    def state_rate(self, equations: PrimitiveEquations) -> Float64:
        """Damping rate of every coefficient of the state [s-1], [T+1, 1, (3+n) K + 1, T+2].

        Global means and ln ps have none, and vorticity of degree 1, which is the air's angular
        momentum (a viscous stress on a sphere leaves solid rotation alone too); with members, each
        has the same.
        """
        tr = equations.transform
        rate = self.rate(tr.degree, tr.truncation, equations.levels)
        rate[tr.wavenumbers == 0, :, 0] = 0.0
        turning = rate * (tr.degree != 1.0)[:, None]
        variables = np.concatenate([turning, *[rate] * (2 + equations.tracers)], axis=1)
        state = np.concatenate([variables, np.zeros_like(variables[:, :1])], axis=1)
        return np.repeat(state, equations.members, axis=1)[:, None]


@dataclass(frozen=True, kw_only=True)
class TimeFilter:
    """Robert-Asselin-Williams filter.

    Attributes:
        strength: nu_f [1].
        alpha: 1 is the classical Robert-Asselin filter [1].
    """

    strength: float = 0.1
    alpha: float = 0.53


class Leapfrog:
    """Advances two time levels of coefficients.

    Args:
        equations: right-hand side.
        implicit: solver of the linear terms.
        diffusion: damping.
        time_filter: filter.
    """

    def __init__(
        self,
        *,
        equations: PrimitiveEquations,
        implicit: SemiImplicit,
        diffusion: Diffusion,
        time_filter: TimeFilter,
    ) -> None:
        self.equations, self.implicit = equations, implicit
        self.diffusion, self.time_filter = diffusion, time_filter
        self._factors: dict[float, Tensor] = {}
        self._compiled: dict[float, tuple[Any, ...]] = {}

    def damping_factor(self, span: float) -> Tensor:
        """1 / (1 + span nu), shape [T+1, 1, (3+n) K + 1, T+2], for a step of `span` seconds."""
        if span not in self._factors:
            tr = self.equations.transform
            factor = 1.0 / (1.0 + span * self.diffusion.state_rate(self.equations))
            self._factors[span] = torch.tensor(factor, dtype=tr.dtype, device=tr.device)
        return self._factors[span]

    def advance(self, before: Tensor, now: Tensor, tendency: Tensor, span: float) -> Tensor:
        """X^+ = X(before + span) from the tendency at the centre, not yet filtered."""
        change = self.implicit.step(before, now, tendency, 0.5 * span)
        return (before + change) * self.damping_factor(span)

    def filtered(self, before: Tensor, now: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """The time filter: new X^0 and X^+."""
        shift = before + after
        shift = torch.add(shift, now, alpha=-2.0) * (0.5 * self.time_filter.strength)
        alpha = self.time_filter.alpha
        return torch.add(now, shift, alpha=alpha), torch.add(after, shift, alpha=alpha - 1.0)

    def step(self, before: Tensor, now: Tensor, tendency: Tensor, span: float) -> None:
        """:meth:`advance` and :meth:`filtered` in place: filtered X^0 in `before`, X^+ in `now`."""
        if not self.equations.fused:
            after = self.advance(before, now, tendency, span)
            for target, value in zip((before, now), self.filtered(before, now, after), strict=True):
                target.copy_(value)
            return
        if span not in self._compiled:
            self._compiled[span] = self._arguments(span)
        leapfrog_step(before.numpy(), now.numpy(), tendency.numpy(), *self._compiled[span])

    def _arguments(self, span: float) -> tuple[Any, ...]:
        """What the compiled pass takes besides the state, for a step of `span` seconds."""
        eq, tr = self.equations, self.equations.transform
        implicit, damping = self.implicit, self.damping_factor(span).numpy()
        dtype = damping.dtype
        real = dtype.type
        lanes = 2 * eq.members * tr.size_l
        eta = 0.5 * span * (1.0 + implicit.off_centring)
        width = max(WIDTH, lanes)
        return (
            damping,
            tr.plain_tables()["eigenvalue"],
            tr.degrees,
            eq.members,
            *(matrix.numpy() for matrix in implicit.matrices()),
            implicit.table(eta).numpy(),
            real(span),
            real(eta),
            real(implicit.surface_factor),
            real(0.5 * self.time_filter.strength),
            real(self.time_filter.alpha),
            np.zeros((5, max(eq.levels, 4), width), dtype),
        )
