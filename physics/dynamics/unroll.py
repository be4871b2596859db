"""Steps of the core as one differentiable function of the state it starts from.

The same scheme as ``DynamicalCore.step``, mass fixer included, written without memory: a gradient
of any scalar of the result with respect to the initial coefficients, or to parameters of
`forcing`, goes through all steps. With `checkpoint`, a step keeps its three states only and is computed
again on the way back: memory grows by three states a step instead of all its fields, for about one
more forward pass of time (Chen, T., B. Xu, C. Zhang, C. Guestrin (2016), arXiv:1604.06174).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint as recompute

from physics.dynamics.core import DynamicalCore
from physics.dynamics.primitive import GridFields

Tensor = torch.Tensor
Forcing = Callable[[GridFields], Mapping[str, Tensor]]


def unroll(
    core: DynamicalCore,
    spec: Tensor,
    steps: int,
    forcing: Forcing | None = None,
    checkpoint: bool = False,
) -> Tensor:
    """Coefficients of the newest time level after `steps` steps from `spec`.

    Args:
        core: gives equations, time step, orography, filter; its own state is neither used nor
            changed. Moisture must be spectral.
        spec: initial coefficients, [T+1, 2, (3+n) K + 1, T+2].
        steps: number of steps; the first one is Euler's.
        forcing: tendencies ``ua va ta hus`` [SI s-1], [K, lat, lon], of the state that physics
            sees, the older time level.
        checkpoint: compute steps again instead of keeping their fields.

    Returns:
        shape of `spec`.
    """
    if core.moisture is not None:
        raise ValueError(
            "unroll: expected spectral moisture, got moisture on the grid, whose limiters have no "
            "useful gradient; build the core with moisture='spectral'"
        )
    march = _March(core, forcing)
    before = now = seen = spec
    target = march.dry_mass(core.equations.to_grid(spec)) if core.fix_mass else spec.new_zeros(())
    for step in range(steps):
        advance = march.first if step == 0 else march.step
        if checkpoint:
            before, now, seen = recompute(advance, before, now, seen, target, use_reentrant=False)
        else:
            before, now, seen = advance(before, now, seen, target)
    return now


class _March:
    """One step as a function of both time levels and the state that physics sees."""

    def __init__(self, core: DynamicalCore, forcing: Forcing | None) -> None:
        self.core, self.forcing = core, forcing
        tr, device = core.transform, core.transform.device
        self.weights = torch.tensor(0.5 * tr.gauss_weights / tr.nlon, device=device)[:, None]
        self.delta_a = torch.tensor(np.diff(core.vertical.a), device=device)[:, None, None]
        self.delta_b = torch.tensor(np.diff(core.vertical.b), device=device)[:, None, None]

    def mean_terms(self, g: GridFields) -> tuple[Tensor, Tensor]:
        """As ``DynamicalCore._dry_mass_terms`` [Pa], float64."""
        eq = self.core.equations
        ps = eq.surface_pressure(g.ln_ps).double()
        if not eq.tracers:
            return (ps * self.weights).sum(), ps.new_zeros(())
        q = g.scalars[1].double()
        scaled = ps * (1.0 - (q * self.delta_b).sum(0))
        return (scaled * self.weights).sum(), ((q * self.delta_a).sum(0) * self.weights).sum()

    def dry_mass(self, g: GridFields) -> Tensor:
        """Global mean pressure of dry air [Pa]."""
        scaled, fixed = self.mean_terms(g)
        return scaled - fixed

    def centred(self, spec: Tensor, target: Tensor) -> tuple[Tensor, GridFields]:
        """Coefficients and grid fields with the mass of dry air that `target` says [Pa]."""
        g = self.core.equations.to_grid(spec)
        if not self.core.fix_mass:
            return spec, g
        scaled, fixed = self.mean_terms(g)
        shift = torch.log((target + fixed) / scaled).to(spec.dtype)
        mean = torch.zeros_like(spec)
        mean[0, 0, -1, 0] = 1.0
        return spec + shift * mean, replace(g, ln_ps=g.ln_ps + shift)

    def force(self, seen: Tensor) -> Mapping[str, Tensor]:
        return {} if self.forcing is None else self.forcing(self.core.equations.to_grid(seen))

    def tendency(self, spec: Tensor, g: GridFields, force: Mapping[str, Tensor]) -> Tensor:
        return self.core.equations.tendency(spec, g, self.core.surface_geopotential, force)

    def first(
        self, before: Tensor, now: Tensor, seen: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Euler to the middle, then across; `before` and `seen` are the same state."""
        leapfrog, dt = self.core.leapfrog, self.core.dt
        start, g = self.centred(now, target)
        force = self.force(start)
        half = leapfrog.advance(start, start, self.tendency(start, g, force), 0.5 * dt)
        middle = self.core.equations.to_grid(half)
        after = leapfrog.advance(start, half, self.tendency(half, middle, force), dt)
        return start, after, start

    def step(
        self, before: Tensor, now: Tensor, seen: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Leapfrog and filter."""
        leapfrog = self.core.leapfrog
        centre, g = self.centred(now, target)
        tendency = self.tendency(centre, g, self.force(seen))
        after = leapfrog.advance(before, centre, tendency, 2.0 * self.core.dt)
        old, new = leapfrog.filtered(before, centre, after)
        return old, new, centre
