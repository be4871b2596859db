"""Steps of the core as one differentiable function of the state it starts from.

The same schemes as ``DynamicalCore.step``, leapfrog or SIL3, mass fixer included, written without
memory: a gradient of any scalar of the result with respect to the initial coefficients, or to
parameters of `forcing`, goes through all steps. With `checkpoint`, a step keeps its states only
(three of leapfrog, one of SIL3) and is computed again on the way back: memory grows by these states
a step instead of all its fields, for about one more forward pass of time (Chen, T., B. Xu,
C. Zhang, C. Guestrin (2016), arXiv:1604.06174). A leading axis of `spec` is the member of an
ensemble, stepped in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.utils.checkpoint import checkpoint as recompute

from physics.dynamics.core import DynamicalCore
from physics.dynamics.ensemble import Batch, batch_of
from physics.dynamics.primitive import GridFields
from physics.dynamics.sil3 import Sil3

Tensor = torch.Tensor
Forcing = Callable[[GridFields], Mapping[str, Tensor]]
States = tuple[Tensor, ...]


def unroll(
    core: DynamicalCore,
    spec: Tensor,
    steps: int,
    forcing: Forcing | None = None,
    checkpoint: bool = False,
) -> Tensor:
    """Coefficients of the newest time level after `steps` steps from `spec`.

    Args:
        core: gives equations, time step, time scheme, orography, filter; its own state is neither
            used nor changed. Moisture must be spectral.
        spec: initial coefficients, [T+1, 2, (3+n) K + 1, T+2], or [member, ...] for an ensemble.
        steps: number of steps; the first one of leapfrog is Euler's.
        forcing: tendencies ``ua va ta hus`` [SI s-1], [K, lat, lon], of the state that physics
            sees: the older time level of leapfrog, the only one of SIL3. In an ensemble, what it
            gets and gives is [member, ...].
        checkpoint: compute steps again instead of keeping their fields.

    Returns:
        shape of `spec`.

    Raises:
        ValueError: for moisture on the grid, or coefficients of another shape.
    """
    single = tuple(core.transform.spectral_shape(core.equations.fields))
    leading = spec.ndim == len(single) + 1
    if tuple(spec.shape[-4:]) != single or not (leading or spec.ndim == len(single)):
        raise ValueError(
            f"unroll: expected coefficients of shape {single} or (member, *that), got "
            f"{tuple(spec.shape)}"
        )
    batch = batch_of(core, spec.shape[0] if leading else 1)
    now = batch.inward(spec) if leading else spec
    march = _March(batch, now, forcing, leading=leading)
    target = batch.dry_mass(now) if core.fix_mass else spec.new_zeros(())
    states: States = (now,) if batch.sil3 else (now, now, now)
    for step in range(steps):
        advance: Callable[..., States] = march.first if step == 0 else march.step
        if batch.sil3:
            advance = march.runge_kutta
        if checkpoint:
            states = recompute(advance, target, *states, use_reentrant=False)
        else:
            states = advance(target, *states)
    now = states[0] if batch.sil3 else states[1]
    if (
        batch.sil3 and steps
    ):  # as in the core, where the fixer ends a step; in leapfrog it begins one
        now, _ = batch.centred(now, target)
    return batch.outward(now) if leading else now


class _March:
    """One step as a function of its states."""

    def __init__(
        self, batch: Batch, start: Tensor, forcing: Forcing | None, *, leading: bool
    ) -> None:
        self.batch, self.forcing, self.leading = batch, forcing, leading
        self.dt, self.surface = batch.core.dt, batch.surface()
        with torch.no_grad():
            self.level_energy = batch.level_energy(batch.equations.to_grid(start))

    def force(self, g: GridFields) -> Mapping[str, Tensor]:
        if self.forcing is None:
            return {}
        if not self.leading:
            return self.forcing(g)
        return self.batch.rates_inward(self.forcing(self.batch.fields_of_members(g)))

    def tendency(self, spec: Tensor, g: GridFields, force: Mapping[str, Tensor]) -> Tensor:
        return self.batch.equations.tendency(
            spec, g, self.surface, force, level_energy=self.level_energy
        )

    def first(self, target: Tensor, before: Tensor, now: Tensor, seen: Tensor) -> States:
        """Euler to the middle, then across; `before` and `seen` are the same state."""
        leapfrog, dt = self.batch.leapfrog, self.dt
        start, g = self.batch.centred(now, target)
        force = self.force(g)
        half = leapfrog.advance(start, start, self.tendency(start, g, force), 0.5 * dt)
        middle = self.batch.equations.to_grid(half)
        after = leapfrog.advance(start, half, self.tendency(half, middle, force), dt)
        return start, after, start

    def step(self, target: Tensor, before: Tensor, now: Tensor, seen: Tensor) -> States:
        """Leapfrog and filter; `seen` is what physics acts on."""
        leapfrog = self.batch.leapfrog
        force = {} if self.forcing is None else self.force(self.batch.equations.to_grid(seen))
        centre, g = self.batch.centred(now, target)
        tendency = self.tendency(centre, g, force)
        after = leapfrog.advance(before, centre, tendency, 2.0 * self.dt)
        old, new = leapfrog.filtered(before, centre, after)
        return old, new, centre

    def runge_kutta(self, target: Tensor, now: Tensor) -> States:
        """SIL3 from a state that still has to be centred."""
        sil3, batch = self.batch.sil3, self.batch
        assert isinstance(sil3, Sil3)
        start, g = batch.centred(now, target)
        force = self.force(g)

        def rate(spec: Tensor) -> Tensor:
            return self.tendency(spec, batch.equations.to_grid(spec), force)

        return (sil3.advance(start, self.tendency(start, g, force), rate, self.dt),)
