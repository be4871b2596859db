r"""Hydrostatic primitive equations in vorticity-divergence form: the right-hand side.

Spectral unknowns zeta, D, T' = T - T_r, tracers (specific humidity first), P = ln(ps / p0), with a
constant reference temperature T_r. On the grid, with G, m, omega of ``vertical`` and
T'_v = T (1 + (Rv/Rd - 1) q) - T_r:

    A =  (zeta + f) v - W(u) - R T'_v G dP/dx + F_u
    B = -(zeta + f) u - W(v) - R T'_v G dP/dy + F_v
    dzeta/dt = curl(A, B),    dD/dt = div(A, B) - lap(KE + Phi(T'_v) + Phi_s + R T_r P)
    dT/dt    = -V . grad T - W(T) + kappa T_v omega / p + F_T
    dq/dt    = -V . grad q - W(q) + F_q
    dP/dt    = -(1/ps) sum_k div(V_k dp_k)

The transform of KE + Phi errs by its rounding, and Phi(T'_v) is as large as R T' times the heights
of the air in scale heights, all over the globe. What is the same everywhere pushes nothing, so each
level's mean at the start (``level_energy``) is taken off before: in float32 an atmosphere at rest
at 250 K would otherwise begin to move.

On a quadratic grid (nlon >= 3T+1, nlat >= nlon/2) the quadratic products are free of aliasing.
Sources: Bourke (1974), Mon. Wea. Rev. 102, 687-701; Hoskins, B. J. and A. J. Simmons (1975),
Q. J. R. Meteorol. Soc. 101, 637-655, doi:10.1002/qj.49710142918; Simmons and Burridge (1981).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from coupler.interface.constants import Planet
from physics.dynamics import fused, fused_spectral
from physics.dynamics.transform import SpectralTransform
from physics.dynamics.vertical import TOP_ALPHA, VerticalGrid

Tensor = torch.Tensor


@dataclass(frozen=True, kw_only=True)
class GridFields:
    """The state and what the tendencies need of it, on the grid.

    Attributes:
        ua, va: wind [m s-1], [K, lat, lon].
        vorticity, divergence: [s-1], [K, lat, lon].
        t_prime: T - T_r [K], [K, lat, lon].
        scalars: T' and the tracers [1], [1+n, K, lat, lon].
        ln_ps: ln(ps / p0) [1], [lat, lon].
        east, north: derivatives of T', tracers and ln ps [unit m-1], [(1+n) K + 1, lat, lon].
    """

    ua: Tensor
    va: Tensor
    vorticity: Tensor
    divergence: Tensor
    t_prime: Tensor
    scalars: Tensor
    ln_ps: Tensor
    east: Tensor
    north: Tensor


class PrimitiveEquations:
    """Right-hand side of the equations on one grid.

    Args:
        transform: with the planet's radius.
        vertical: hybrid levels.
        planet: constants.
        tracers: number of advected tracers; the first, if any, is specific humidity.
        t_ref: T_r [K].
        members: flows stepped in one batch. Rows of coefficients lie as [field, level, member], so
            that the transform sees more fields; grid arrays are [K, member x lat, lon], so that
            everything of a column sees more columns.
    """

    def __init__(
        self,
        *,
        transform: SpectralTransform,
        vertical: VerticalGrid,
        planet: Planet,
        tracers: int = 1,
        t_ref: float = 300.0,
        members: int = 1,
    ) -> None:
        self.transform, self.vertical, self.planet = transform, vertical, planet
        self.tracers, self.t_ref, self.members = tracers, t_ref, members
        k = vertical.levels
        self.levels = k
        rows = k * members
        self.fields = (3 + tracers) * rows + members
        self.vorticity_slice, self.divergence_slice = slice(0, rows), slice(rows, 2 * rows)
        self.temperature_slice = slice(2 * rows, 3 * rows)
        self.tracer_slice = slice(3 * rows, (3 + tracers) * rows)
        self._plane_of_one = (transform.nlat, transform.nlon)
        self._plane = (members * transform.nlat, transform.nlon)
        self._secant = transform.secant.repeat(members, 1)
        coriolis = np.tile(2.0 * planet.rotation_rate * transform.sin_lat, members)
        self._coriolis = torch.tensor(coriolis, dtype=transform.dtype, device=transform.device)[
            :, None
        ]
        self._scalars = (1 + tracers) * k + 1
        self._batch = 2 * rows + 2 * self._scalars * members + self.fields
        self._spec_batch: Tensor | None = None
        self._analysed: Tensor | None = None
        self.fused = transform.device.type == "cpu"
        """Use the compiled pass when gradients are disabled."""
        self._tables = transform.plain_tables() if self.fused else {}
        self._pass: tuple[tuple[Any, ...], tuple[Any, ...]] | None = None
        self._known: GridFields | None = None
        self._arrays: tuple[Any, ...] = ()
        self.humidity: Tensor | None = None
        """Specific humidity [1], [K, lat, lon], where it is not one of the spectral tracers."""
        self._no_energy = torch.zeros((k, members), dtype=transform.dtype, device=transform.device)
        self.omega_p = torch.zeros(
            (k, *self._plane), dtype=transform.dtype, device=transform.device
        )
        """omega / p [s-1] of the last tendency computed, [K, lat, lon]."""

    # -- to the grid --------------------------------------------------------------------------

    def to_grid(self, spec: Tensor, out: Tensor | None = None) -> GridFields:
        """State coefficients to everything needed on the grid, in one batch.

        Args:
            spec: state, shape [T+1, 2, (3+n) K + 1, T+2].
            out: optional storage, shape ``batch_shape``.
        """
        tr = self.transform
        vectors = 2 * (self.levels + self._scalars) * self.members
        grid = tr.synthesis(self._filled_batch(spec), out)
        if torch.is_grad_enabled():
            grid = torch.cat([grid[:vectors] * tr.secant, grid[vectors:]])
        else:
            grid[:vectors] *= tr.secant
        return self.views(grid)

    def expose(self, spec: Tensor, grid: Tensor, ta: Tensor, ps: Tensor) -> None:
        """As :meth:`to_grid` into `grid`, and T [K] and ps [Pa] with it; for ``fused``, no members.

        Args:
            spec: state, shape [T+1, 2, (3+n) K + 1, T+2].
            grid: shape ``batch_shape``.
            ta: [K], shape [K, lat, lon]. ps: [Pa], shape [lat, lon].
        """
        self.transform.synthesis(self._filled_batch(spec), grid)
        fused.expose(
            grid.numpy(),
            self._tables["secant"],
            2 * (self.levels + self._scalars),
            self.levels,
            self.t_ref,
            self.planet.reference_pressure,
            ta.numpy(),
            ps.numpy(),
        )

    def _filled_batch(self, spec: Tensor) -> Tensor:
        """What is transformed to the grid; the same memory at every call without gradients."""
        tr, k = self.transform, self.levels * self.members
        if torch.is_grad_enabled() or self._spec_batch is None:
            batch = tr.zeros(self._batch)
            self._spec_batch = None if torch.is_grad_enabled() else batch
        else:
            batch = self._spec_batch
        if not self.fused or torch.is_grad_enabled():
            self._fill_batch(spec, batch)
            return batch
        x = self._tables
        fused_spectral.synthesis_batch(
            spec.numpy(),
            x["east"],
            x["up"],
            x["down"],
            x["inverse"],
            tr.degrees,
            k,
            batch.numpy(),
        )
        return batch

    def _fill_batch(self, spec: Tensor, batch: Tensor) -> None:
        """Wind, derivatives of the scalars, and the state itself, as coefficients."""
        tr, k = self.transform, self.levels * self.members
        vectors = 2 * k + 2 * self._scalars * self.members
        tr.wind(
            spec[:, :, self.vorticity_slice],
            spec[:, :, self.divergence_slice],
            out=batch[:, :, : 2 * k],
        )
        tr.gradient(spec[:, :, 2 * k :], out=batch[:, :, 2 * k : vectors])
        batch[:, :, vectors:] = spec

    @property
    def batch_shape(self) -> tuple[int, int, int]:
        """Shape of the grid storage of :meth:`to_grid`."""
        return (self._batch, self.transform.nlat, self.transform.nlon)

    def views(self, grid: Tensor) -> GridFields:
        """Names for the parts of the grid storage."""
        k, s, n = self.levels, self._scalars, self.tracers
        grid = grid.view(-1, *self._plane)
        first = 2 * k + 2 * s
        state = grid[first:]
        return GridFields(
            ua=grid[:k],
            va=grid[k : 2 * k],
            east=grid[2 * k : 2 * k + s],
            north=grid[2 * k + s : first],
            vorticity=state[:k],
            divergence=state[k : 2 * k],
            t_prime=state[2 * k : 3 * k],
            scalars=state[2 * k : -1].view(1 + n, k, *grid.shape[1:]),
            ln_ps=state[-1],
        )

    def surface_pressure(self, ln_ps: Tensor) -> Tensor:
        """ps [Pa] from ln(ps / p0)."""
        if not self.fused or torch.is_grad_enabled():
            return torch.exp(ln_ps) * self.planet.reference_pressure
        ps = torch.empty(ln_ps.shape, dtype=ln_ps.dtype)
        rows = (-1, ln_ps.shape[-1])
        fused.surface_pressure(
            ln_ps.reshape(rows).numpy(), self.planet.reference_pressure, ps.view(rows).numpy()
        )
        return ps

    # -- right-hand side ----------------------------------------------------------------------

    def virtual_excess(self, g: GridFields) -> Tensor:
        """T_v - T_r [K], shape [K, lat, lon]."""
        humidity = g.scalars[1] if self.tracers else self.humidity
        if humidity is None:
            return g.t_prime
        factor = self.planet.virtual_factor
        return torch.addcmul(g.t_prime, g.t_prime + self.t_ref, humidity, value=factor)

    def tendency(
        self,
        spec: Tensor,
        g: GridFields,
        surface_geopotential: Tensor,
        forcing: Mapping[str, Tensor] | None = None,
        out: Tensor | None = None,
        level_energy: Tensor | None = None,
    ) -> Tensor:
        """d(state)/dt.

        Args:
            spec: state coefficients.
            g: the same state on the grid.
            surface_geopotential: Phi_s coefficients [m2 s-2], shape [T+1, 2, 1, T+2].
            forcing: physics tendencies ``ua va`` [m s-2], ``ta`` [K s-1], ``hus`` [s-1], each
                [K, lat, lon]; any may be missing.
            out: optional storage of the compiled pass, shape of `spec`.
            level_energy: about the mean of KE + Phi(T'_v) on each level [m2 s-2], [K, member], for
                the sake of rounding; any other constant gives the same but for that.

        Returns:
            shape of `spec`.
        """
        if not self.fused or torch.is_grad_enabled():
            rates = self.grid_tendency(g, forcing or {}, level_energy).view(-1, *self._plane_of_one)
            batch = self.transform.analysis(rates, extended=True)
            return self._assemble(spec, batch, surface_geopotential)
        rates = self._fused_tendency(g, forcing or {}, level_energy).view(-1, *self._plane_of_one)
        if self._analysed is None:
            self._analysed = self.transform.zeros(rates.shape[0])
        batch = self.transform.analysis(rates, self._analysed, extended=True)
        return self._fused_assemble(spec, batch, surface_geopotential, out)

    def vertical_motion(self, g: GridFields) -> None:
        """Brings `omega_p` to the state `g`, which costs a grid-point part of :meth:`tendency`."""
        part = self._fused_tendency if self.fused else self.grid_tendency
        part(g, {})

    def energy(self, g: GridFields) -> Tensor:
        """KE + Phi(T'_v) [m2 s-2], [K, member, lat, lon], in storage that is used again."""
        part = self._fused_tendency if self.fused else self.grid_tendency
        found = part(g, {})[2 * self.levels : 3 * self.levels]
        return found.view(self.levels, self.members, *self._plane_of_one)

    def grid_tendency(
        self, g: GridFields, forcing: Mapping[str, Tensor], level_energy: Tensor | None = None
    ) -> Tensor:
        """The grid-point part: what :meth:`tendency` analyses.

        Returns:
            A/cos(lat), B/cos(lat), KE + Phi(T'_v) less `level_energy`, tendencies of T', tracers
            and ln ps, shape [(4+n) K + 1, lat, lon].
        """
        vert, k, n = self.vertical, self.levels, self.tracers
        ps = self.surface_pressure(g.ln_ps)
        layers = vert.layers(ps)
        inverse_dp = 1.0 / layers.thickness

        pressure_wind = g.ua * g.east[-1] + g.va * g.north[-1]
        # div(V dp) = dp D + dB ps V . grad ln ps
        flux_div = torch.addcmul(layers.thickness * g.divergence, pressure_wind, vert.delta_b * ps)
        partial = vert.sum_down(flux_div)
        flux = vert.interface_flux(partial)
        half_inverse = 0.5 * inverse_dp

        excess = self.virtual_excess(g)
        heavy = excess * self.planet.gas_constant_dry
        push = heavy * layers.gradient_weight
        spin = g.vorticity + self._coriolis
        vertical_uv = vert.advection(flux, half_inverse, torch.stack([g.ua, g.va]))
        east = spin * g.va - push * g.east[-1] - vertical_uv[0]
        north = -spin * g.ua - push * g.north[-1] - vertical_uv[1]

        energy = vert.sum_below(heavy * layers.log_ratio) + heavy * layers.alpha
        shape = (k, self.members, *self._plane_of_one)
        usual = self._no_energy if level_energy is None else level_energy
        energy = (energy.view(shape) - usual[..., None, None]).view(k, *self._plane)
        energy = energy + 0.5 * (g.ua * g.ua + g.va * g.va)

        above = torch.cat([torch.zeros_like(partial[:1]), partial[:-1]])
        conversion = layers.log_ratio * above + layers.alpha * flux_div
        omega_p = layers.gradient_weight * pressure_wind - conversion * inverse_dp
        self.omega_p.copy_(omega_p.detach())
        slopes = (1 + n, k, *self._plane)
        change = -(
            g.ua * g.east[:-1].view(slopes)
            + g.va * g.north[:-1].view(slopes)
            + vert.advection(flux, half_inverse, g.scalars)
        )
        heating = self.planet.kappa * (excess + self.t_ref) * omega_p
        east = east + forcing["ua"] if "ua" in forcing else east
        north = north + forcing["va"] if "va" in forcing else north
        heating = heating + forcing["ta"] if "ta" in forcing else heating
        sources = [heating]
        if n:
            sources.append(forcing["hus"] if "hus" in forcing else torch.zeros_like(heating))
            sources += [torch.zeros_like(heating)] * (n - 1)
        change = change + torch.stack(sources)
        return torch.cat(
            [
                east * self._secant,
                north * self._secant,
                energy,
                change.view((1 + n) * k, *self._plane),
                -partial[-1:] / ps,
            ]
        )

    def _fused_tendency(
        self, g: GridFields, forcing: Mapping[str, Tensor], level_energy: Tensor | None = None
    ) -> Tensor:
        """:meth:`grid_tendency` in one compiled pass, into storage that is used again."""
        if self._pass is None:
            self._pass = self._constants_of_pass()
        if self._known is not g:
            self._known, self._arrays = g, self._arrays_of_pass(g)
        none = self._no_forcing
        forces = [
            forcing[name].numpy() if name in forcing else none for name in ("ua", "va", "ta", "hus")
        ]
        if not self.tracers:
            forces[3] = none
        forces.append((self._no_energy if level_energy is None else level_energy).numpy())
        fused.grid_tendency(*self._arrays, *self._pass[0], *forces, *self._pass[1])
        return self._batch_out

    def _constants_of_pass(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Arguments of the compiled pass that are the same at every step: constants and storage."""
        tr, vert, k, planet = self.transform, self.vertical, self.levels, self.planet
        dtype = self.omega_p.numpy().dtype
        real = dtype.type
        self._batch_out = torch.zeros(((4 + self.tracers) * k + 1, *self._plane), dtype=tr.dtype)
        self._no_forcing = np.zeros((0, 0, 0), dtype)
        constants = (
            fused.fixed_log_ratio(vert.a, vert.b).astype(dtype),
            vert.a.astype(dtype),
            vert.b.astype(dtype),
            vert.cross.numpy()[:, 0, 0].copy(),
            self._coriolis.numpy()[:, 0].copy(),
            self._secant.numpy()[:, 0].copy(),
            real(planet.gas_constant_dry),
            real(planet.kappa),
            real(planet.virtual_factor),
            real(self.t_ref),
            real(planet.reference_pressure),
            real(TOP_ALPHA if vert.open_top else -1.0),
        )
        storage = (
            np.arange(k)[::-1].copy(),
            np.zeros((2, max(k + 1, 11), tr.nlon), dtype),
            self.omega_p.numpy(),
            self._batch_out.numpy(),
        )
        return constants, storage

    def _arrays_of_pass(self, g: GridFields) -> tuple[Any, ...]:
        """Arguments of the compiled pass that are the state."""
        humidity = g.scalars[1] if self.tracers else self.humidity
        fields = (g.ua, g.va, g.vorticity, g.divergence, g.scalars)
        return (
            *(x.numpy() for x in fields),
            self._no_forcing if humidity is None else humidity.numpy(),
            *(x.numpy() for x in (g.ln_ps, g.east, g.north)),
        )

    def _fused_assemble(
        self,
        spec: Tensor,
        batch: Tensor,
        surface_geopotential: Tensor,
        out: Tensor | None = None,
    ) -> Tensor:
        """:meth:`_assemble` in one compiled pass."""
        out, x = torch.zeros_like(spec) if out is None else out, self._tables
        fused_spectral.assemble_tendency(
            batch.numpy(),
            spec.numpy(),
            surface_geopotential.numpy(),
            self.omega_p.numpy().dtype.type(self.planet.gas_constant_dry * self.t_ref),
            x["east"],
            x["up"],
            x["down"],
            x["eigenvalue"],
            self.transform.degrees,
            self.levels * self.members,
            out.numpy(),
        )
        return out

    def _assemble(self, spec: Tensor, batch: Tensor, surface_geopotential: Tensor) -> Tensor:
        tr, k = self.transform, self.levels * self.members
        curl, div = tr.vorticity_divergence(batch[:, :, :k], batch[:, :, k : 2 * k])
        pressure = (self.planet.gas_constant_dry * self.t_ref) * spec[:, :, -self.members :]
        bottom = (surface_geopotential + pressure)[:, :, None]
        energy = batch[:, :, 2 * k : 3 * k]
        energy = energy.view(*energy.shape[:2], self.levels, self.members, energy.shape[3])
        div = div - tr.eigenvalue * (energy + bottom).flatten(2, 3)
        return torch.cat([curl, div, batch[:, :, 3 * k :] * tr.inside], dim=2)
