"""Several flows of one core in one batch, with the member as the leading axis.

What a user gives and gets is ``[member, ...]``. Inside, rows of coefficients lie as
``[m, 2, (field, level, member), l]`` and grid arrays as ``[level, (member, lat), lon]``: the
transform then has more fields, the vertical sums and the pointwise passes more columns, and none of
them needs to know. A member's numbers do not depend on the others: on a CPU each has, bit for bit,
those that the core gives it alone: there the transforms sum in an order that does not depend on the
number of fields (a test holds the libraries to it), and the vertical products of the implicit
solver, where BLAS does not, are made member by member.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from coupler.interface.errors import UnstableError
from physics.dynamics.core import DynamicalCore
from physics.dynamics.leapfrog import Leapfrog
from physics.dynamics.primitive import GridFields, PrimitiveEquations
from physics.dynamics.semi_implicit import SemiImplicit
from physics.dynamics.sil3 import Sil3

Tensor = torch.Tensor


class Batch:
    """Equations and time schemes of a core for so many members, and the layout of their arrays.

    Args:
        core: gives levels, time step, diffusion, filter. Its own state is neither used nor changed.
        members: number of members.

    Raises:
        ValueError: for moisture on the grid, returned heat, a part of the globe, or fewer than one
            member.
    """

    def __init__(self, core: DynamicalCore, members: int) -> None:
        if core.carried is not None:
            raise ValueError(
                "batch of steps: expected spectral moisture and no other tracers, got "
                f"{', '.join(core.carried.names)} on the grid, where limiters have no useful "
                "gradient; build the core with moisture='spectral'"
            )
        if core.dissipation is not None:
            raise ValueError(
                "batch of steps: expected a core without return_heat, whose heat is not computed "
                "for members; build it with return_heat=False"
            )
        if core.rows.parallel.size > 1:
            raise ValueError(
                f"batch of steps: expected the whole globe, got one of {core.rows.parallel.size} "
                "ranks; run members on a rank each"
            )
        if members < 1:
            raise ValueError(f"batch of steps: expected at least one member, got {members}")
        self.core, self.members = core, members
        self.equations, self.leapfrog, self.sil3 = core.equations, core.leapfrog, core.sil3
        tr, planet = core.transform, core.planet
        if members > 1:
            self._for_members(core)
        self.reference_pressure = planet.reference_pressure
        self.weights = torch.tensor(0.5 * tr.gauss_weights / tr.nlon, device=tr.device)[:, None]
        self._delta_a = torch.tensor(np.diff(core.vertical.a), device=tr.device)
        self._delta_b = torch.tensor(np.diff(core.vertical.b), device=tr.device)

    def _for_members(self, core: DynamicalCore) -> None:
        old, implicit = core.equations, core.leapfrog.implicit
        self.equations = eq = PrimitiveEquations(
            transform=core.transform,
            vertical=core.vertical,
            planet=core.planet,
            tracers=old.tracers,
            t_ref=old.t_ref,
            members=self.members,
        )
        solver = SemiImplicit(
            equations=eq, ps_ref=implicit.ps_ref, off_centring=implicit.off_centring
        )
        diffusion = core.leapfrog.diffusion
        self.leapfrog = Leapfrog(
            equations=eq,
            implicit=solver,
            diffusion=diffusion,
            time_filter=core.leapfrog.time_filter,
        )
        if core.sil3 is not None:
            self.sil3 = Sil3(equations=eq, implicit=solver, diffusion=diffusion)

    # -- layout -------------------------------------------------------------------------------

    def inward(self, spec: Tensor) -> Tensor:
        """[member, T+1, 2, (3+n) K + 1, T+2] to [T+1, 2, rows, T+2]."""
        return spec.permute(1, 2, 3, 0, 4).flatten(2, 3)

    def outward(self, spec: Tensor) -> Tensor:
        """Inverse of :meth:`inward`."""
        m, two, rows, size = spec.shape
        split = spec.reshape(m, two, rows // self.members, self.members, size)
        return split.permute(3, 0, 1, 2, 4)

    def _leading(self, grid: Tensor) -> Tensor:
        """[..., member x lat, lon] to [member, ..., lat, lon], a view."""
        tr = self.core.transform
        split = grid.view(*grid.shape[:-2], self.members, tr.nlat, tr.nlon)
        return split.movedim(-3, 0)

    def fields_of_members(self, g: GridFields) -> GridFields:
        """The grid fields with the member as the leading axis (views)."""
        return GridFields(**{name: self._leading(x) for name, x in vars(g).items()})

    def rates_inward(self, rates: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tendencies [member, K, lat, lon] to [K, member x lat, lon]."""
        return {name: rate.transpose(0, 1).flatten(1, 2) for name, rate in rates.items()}

    def surface(self) -> Tensor:
        """Coefficients of the surface geopotential, the same for all members."""
        return self.core.surface_geopotential.repeat(1, 1, self.members, 1)

    # -- mass ---------------------------------------------------------------------------------

    def dry_mass_terms(self, g: GridFields) -> tuple[Tensor, Tensor]:
        """As ``DynamicalCore._dry_mass_terms`` [Pa], float64, each [member]."""
        eq = self.equations
        ps = self._leading(eq.surface_pressure(g.ln_ps)).double()
        if not eq.tracers:
            return (ps * self.weights).sum((-2, -1)), ps.new_zeros(self.members)
        q = self._leading(g.scalars[1]).double()
        scaled = ps * (1.0 - torch.einsum("mkji,k->mji", q, self._delta_b))
        fixed = torch.einsum("mkji,k->mji", q, self._delta_a)
        return (scaled * self.weights).sum((-2, -1)), (fixed * self.weights).sum((-2, -1))

    def level_energy(self, g: GridFields) -> Tensor:
        """Mean energy of each level [m2 s-2], [K, member]."""
        energy = self.equations.energy(g)
        return (energy.double() * self.weights).sum((-2, -1)).to(energy.dtype)

    def dry_mass(self, spec: Tensor) -> Tensor:
        """Global mean pressure of dry air [Pa], [member]."""
        scaled, fixed = self.dry_mass_terms(self.equations.to_grid(spec))
        return scaled - fixed

    def centred(self, spec: Tensor, target: Tensor) -> tuple[Tensor, GridFields]:
        """Coefficients and grid fields with the mass of dry air that `target` says [Pa]."""
        g = self.equations.to_grid(spec)
        if not self.core.fix_mass:
            return spec, g
        scaled, fixed = self.dry_mass_terms(g)
        shift = torch.log((target + fixed) / scaled).to(spec.dtype)
        mean = torch.zeros_like(spec)
        mean[0, 0, -self.members :, 0] = shift
        rows = shift.repeat_interleave(self.core.transform.nlat)[:, None]
        return spec + mean, replace(g, ln_ps=g.ln_ps + rows)


def batch_of(core: DynamicalCore, members: int) -> Batch:
    """The batch of a core for so many members, made once."""
    known: dict[int, Batch] = core.batches
    if members not in known:
        known[members] = Batch(core, members)
    return known[members]


class Ensemble:
    """Steps members of one core in one batch, without gradients (with them: ``unroll``).

    Args:
        core: as for :class:`Batch`.
        members: number of members.
    """

    def __init__(self, core: DynamicalCore, members: int) -> None:
        self.core, self.members = core, members
        self._batch = batch = Batch(core, members)
        eq, tr = batch.equations, core.transform
        self._before, self._now = tr.zeros(eq.fields), tr.zeros(eq.fields)
        self._grid = torch.zeros(eq.batch_shape, dtype=tr.dtype, device=tr.device)
        self._fields = eq.views(self._grid)
        self._surface = batch.surface()
        self._level_energy = torch.zeros((eq.levels, members), dtype=tr.dtype, device=tr.device)
        self.steps = 0
        self.dry_mass: list[float] = [0.0] * members
        """Global mean pressure of dry air that the fixer keeps, by member [Pa]."""
        self.mass_fix: list[float] = [0.0] * members
        """Relative change of surface pressure that the fixer made in the last step [1]."""

    def start(self, spec: Tensor) -> None:
        """Begins a run from coefficients [member, T+1, 2, (3+n) K + 1, T+2]."""
        if spec.shape[0] != self.members:
            raise ValueError(
                f"start of an ensemble: expected {self.members} members, got {spec.shape[0]}"
            )
        with torch.no_grad():
            self._now.copy_(self._batch.inward(spec))
            self._before.copy_(self._now)
            self._surface = self._batch.surface()
            self._batch.equations.to_grid(self._now, self._grid)
            self.steps = 0
            self.dry_mass = [a - b for a, b in self._dry_mass_terms()]
            energy = self._batch.equations.energy(self._fields)
            means = [self.core.mean(*energy[:, member]) for member in range(self.members)]
            self._level_energy.copy_(torch.tensor(means, dtype=torch.float64).T)

    def coefficients(self) -> Tensor:
        """Newest coefficients, a copy, [member, T+1, 2, (3+n) K + 1, T+2]."""
        return self._batch.outward(self._now).clone()

    def grid_state(self) -> dict[str, Tensor]:
        """``ua va ta hus ps`` physics starts from, [member, K, lat, lon], ps without K.

        The older time level of leapfrog, the only one of SIL3. Winds and humidity are views.
        """
        f, eq = self._batch.fields_of_members(self._fields), self._batch.equations
        state = {
            "ua": f.ua,
            "va": f.va,
            "ta": f.t_prime + eq.t_ref,
            "ps": eq.surface_pressure(f.ln_ps),
        }
        return state | ({"hus": f.scalars[:, 1]} if eq.tracers else {})

    def physics_dt(self) -> float:
        """Time over which the next step applies physics tendencies [s]."""
        dt = self.core.dt
        return dt if self.core.sil3 or self.steps == 0 else 2.0 * dt

    def step(self, tendencies: Mapping[str, Tensor] | None = None) -> None:
        """Advances all members by dt with tendencies of ``ua va ta hus``, [member, K, lat, lon].

        Raises:
            UnstableError: when the surface pressure of a member is no longer finite.
        """
        batch, dt, now = self._batch, self.core.dt, self._now
        with torch.no_grad():
            forcing = batch.rates_inward(tendencies or {})
            if batch.sil3 is not None:
                rate = self._tendency(now, forcing)
                now.copy_(batch.sil3.advance(now, rate, lambda x: self._rate(x, forcing), dt))
                self._center()
            elif self.steps == 0:
                self._first_step(batch.leapfrog, forcing)
            else:
                self._center()
                rate = self._tendency(now, forcing)
                batch.leapfrog.step(self._before, now, rate, 2.0 * dt)
        self.steps += 1

    def _first_step(self, leapfrog: Leapfrog, forcing: Mapping[str, Tensor]) -> None:
        self._center()
        start, dt, exposed = self._now, self.core.dt, self._grid.clone()
        half = leapfrog.advance(start, start, self._tendency(start, forcing), 0.5 * dt)
        after = leapfrog.advance(start, half, self._rate(half, forcing), dt)
        self._before.copy_(start)
        self._now.copy_(after)
        self._grid.copy_(exposed)

    def _rate(self, spec: Tensor, forcing: Mapping[str, Tensor]) -> Tensor:
        self._batch.equations.to_grid(spec, self._grid)
        return self._tendency(spec, forcing)

    def _tendency(self, spec: Tensor, forcing: Mapping[str, Tensor]) -> Tensor:
        fields, usual = self._fields, self._level_energy
        return self._batch.equations.tendency(
            spec, fields, self._surface, forcing, level_energy=usual
        )

    def _center(self) -> None:
        """Newest state to the grid, with the mass of dry air that each member began with."""
        self._batch.equations.to_grid(self._now, self._grid)
        nlat = self.core.transform.nlat
        for member, (scaled, fixed) in enumerate(self._dry_mass_terms()):
            if not np.isfinite(scaled) or not np.isfinite(fixed):
                raise UnstableError.of(
                    "the state is no longer finite",
                    "ps",
                    found=f"member {member}, step {self.steps}",
                    remedy="shorten dt or strengthen the diffusion",
                )
            if not self.core.fix_mass:
                continue
            factor = (self.dry_mass[member] + fixed) / scaled
            self.mass_fix[member] = factor - 1.0
            shift = float(np.log(factor))
            self._now[0, 0, member - self.members, 0] += shift
            self._fields.ln_ps[member * nlat : (member + 1) * nlat].add_(shift)

    def _dry_mass_terms(self) -> list[tuple[float, float]]:
        """As in the core, in its order of summation, by member."""
        core, eq = self.core, self._batch.equations
        lat, lon = core.transform.nlat, core.transform.nlon
        pressure = eq.surface_pressure(self._fields.ln_ps).view(self.members, lat, lon)
        found = []
        for member in range(self.members):
            ps = pressure[member].double()
            if not eq.tracers:
                found.append((core.mean(ps)[0], 0.0))
                continue
            humidity = self._fields.scalars[1].view(-1, self.members, lat, lon)[:, member]
            on_ps, fixed = core.water_weights(humidity.double())
            scaled, above = core.mean(ps * (1.0 - on_ps), fixed)
            found.append((scaled, above))
        return found
