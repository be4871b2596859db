r"""Hydrostatic primitive equations in vorticity-divergence form: the right-hand side.

Spectral unknowns zeta, D, T' = T - T_r, tracers (specific humidity first), P = ln(ps / p0), with a
constant reference temperature T_r. On the grid, with G, m, omega of ``vertical`` and
T'_v = T (1 + (Rv/Rd - 1) q) - T_r:

    A = (zeta + f) v - W(u) - R T'_v G dP/dx + F_u,   B = -(zeta + f) u - W(v) - R T'_v G dP/dy + F_v
    dzeta/dt = curl(A, B),    dD/dt = div(A, B) - lap(KE + Phi(T'_v) + Phi_s + R T_r P)
    dT/dt    = -V . grad T - W(T) + kappa T_v omega / p + F_T
    dq/dt    = -V . grad q - W(q) + F_q
    dP/dt    = -(1/ps) sum_k div(V_k dp_k)

On a quadratic grid (nlon >= 3T+1, nlat >= nlon/2) the quadratic products are free of aliasing.
Sources: Bourke (1974), Mon. Wea. Rev. 102, 687-701; Hoskins, B. J. and A. J. Simmons (1975),
Q. J. R. Meteorol. Soc. 101, 637-655, doi:10.1002/qj.49710142918; Simmons and Burridge (1981).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from coupler.interface.constants import Planet
from physics.dynamics.transform import SpectralTransform
from physics.dynamics.vertical import Layers, VerticalGrid

Tensor = torch.Tensor


@dataclass(frozen=True, kw_only=True)
class GridFields:
    """The state and what the tendencies need of it, on the grid.

    Attributes:
        ua, va: wind [m s-1], [K, lat, lon].
        vorticity, divergence: [s-1], [K, lat, lon].
        t_prime: T - T_r [K], [K, lat, lon].
        tracers: [1], [n, K, lat, lon].
        ln_ps: ln(ps / p0) [1], [lat, lon].
        east, north: derivatives of T', tracers and ln ps [unit m-1], [(1+n) K + 1, lat, lon].
    """

    ua: Tensor
    va: Tensor
    vorticity: Tensor
    divergence: Tensor
    t_prime: Tensor
    tracers: Tensor
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
    """

    def __init__(
        self,
        *,
        transform: SpectralTransform,
        vertical: VerticalGrid,
        planet: Planet,
        tracers: int = 1,
        t_ref: float = 300.0,
    ) -> None:
        self.transform, self.vertical, self.planet = transform, vertical, planet
        self.tracers, self.t_ref = tracers, t_ref
        k = vertical.levels
        self.levels = k
        self.fields = (3 + tracers) * k + 1
        self.vorticity_slice, self.divergence_slice = slice(0, k), slice(k, 2 * k)
        self.temperature_slice = slice(2 * k, 3 * k)
        self.tracer_slice = slice(3 * k, (3 + tracers) * k)
        coriolis = 2.0 * planet.rotation_rate * transform.sin_lat
        self._coriolis = torch.tensor(coriolis, dtype=transform.dtype, device=transform.device)[
            :, None
        ]
        self._secant = torch.tensor(
            1.0 / transform.cos_lat, dtype=transform.dtype, device=transform.device
        )[:, None]
        half = vertical.a + vertical.b * planet.reference_pressure
        self._scalars = (1 + tracers) * k + 1
        self._batch = 2 * k + 2 * self._scalars + self.fields
        self._spec_batch: Tensor | None = None
        self.reference_half_pressure = np.asarray(half)

    # -- to the grid --------------------------------------------------------------------------

    def to_grid(self, spec: Tensor, out: Tensor | None = None) -> GridFields:
        """State coefficients to everything needed on the grid, in one batch.

        Args:
            spec: state, shape [T+1, 2, (3+n) K + 1, T+2].
            out: optional storage, shape ``batch_shape``.
        """
        tr, k, s = self.transform, self.levels, self._scalars
        if torch.is_grad_enabled() or self._spec_batch is None:
            batch = tr.zeros(self._batch)
            self._spec_batch = None if torch.is_grad_enabled() else batch
        else:
            batch = self._spec_batch
        vectors = 2 * k + 2 * s
        tr.wind(
            spec[:, :, self.vorticity_slice], spec[:, :, self.divergence_slice],
            out=batch[:, :, : 2 * k],
        )
        tr.gradient(spec[:, :, 2 * k :], out=batch[:, :, 2 * k : vectors])
        batch[:, :, vectors:] = spec
        grid = tr.synthesis(batch, out)
        if torch.is_grad_enabled():
            grid = torch.cat([grid[:vectors] * self._secant, grid[vectors:]])
        else:
            grid[:vectors] *= self._secant
        return self.views(grid)

    @property
    def batch_shape(self) -> tuple[int, int, int]:
        """Shape of the grid storage of :meth:`to_grid`."""
        return (self._batch, self.transform.nlat, self.transform.nlon)

    def views(self, grid: Tensor) -> GridFields:
        """Names for the parts of the grid storage."""
        k, s, n = self.levels, self._scalars, self.tracers
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
            tracers=state[3 * k : -1].view(n, k, *grid.shape[1:]),
            ln_ps=state[-1],
        )

    def surface_pressure(self, ln_ps: Tensor) -> Tensor:
        """ps [Pa] from ln(ps / p0)."""
        return torch.exp(ln_ps) * self.planet.reference_pressure

    # -- right-hand side ----------------------------------------------------------------------

    def virtual_excess(self, g: GridFields) -> Tensor:
        """T_v - T_r [K], shape [K, lat, lon]."""
        if not self.tracers:
            return g.t_prime
        factor = self.planet.virtual_factor
        return torch.addcmul(g.t_prime, g.t_prime + self.t_ref, g.tracers[0], value=factor)

    def tendency(
        self,
        spec: Tensor,
        g: GridFields,
        surface_geopotential: Tensor,
        forcing: Mapping[str, Tensor] | None = None,
        layers: Layers | None = None,
    ) -> Tensor:
        """d(state)/dt.

        Args:
            spec: state coefficients.
            g: the same state on the grid.
            surface_geopotential: Phi_s coefficients [m2 s-2], shape [T+1, 2, 1, T+2].
            forcing: physics tendencies ``ua va`` [m s-2], ``ta`` [K s-1], ``hus`` [s-1], each
                [K, lat, lon]; any may be missing.
            layers: of ps, when already computed.

        Returns:
            shape of `spec`.
        """
        tr, vert, k, n = self.transform, self.vertical, self.levels, self.tracers
        gas = self.planet.gas_constant_dry
        ps = self.surface_pressure(g.ln_ps)
        if layers is None:
            layers = vert.layers(ps)
        dp = layers.thickness
        inverse_dp = 1.0 / dp

        pressure_wind = g.ua * g.east[-1] + g.va * g.north[-1]
        # div(V dp) = dp D + dB ps V . grad ln ps
        flux_div = torch.addcmul(dp * g.divergence, pressure_wind, vert._delta_b * ps)
        partial = vert.sum_down(flux_div)
        flux = vert.interface_flux(partial)
        half_inverse = 0.5 * inverse_dp

        excess = self.virtual_excess(g)
        heavy = excess * gas
        push = heavy * layers.gradient_weight
        momentum = g.vorticity + self._coriolis
        vertical_uv = vert.advection(flux, half_inverse, torch.stack([g.ua, g.va]))
        east = torch.addcmul(momentum * g.va, push, g.east[-1], value=-1.0) - vertical_uv[0]
        north = -torch.addcmul(momentum * g.ua, push, g.north[-1]) - vertical_uv[1]

        weighted = heavy * layers.log_ratio
        energy = vert.sum_below(weighted)
        energy = energy + heavy * layers.alpha
        energy = energy + 0.5 * (g.ua * g.ua + g.va * g.va)

        above = torch.cat([torch.zeros_like(partial[:1]), partial[:-1]])
        conversion = layers.log_ratio * above + layers.alpha * flux_div
        omega_p = layers.gradient_weight * pressure_wind - conversion * inverse_dp
        scalars = torch.cat([g.t_prime[None], g.tracers])
        slopes = (1 + n, k, tr.nlat, tr.nlon)
        change = -(
            g.ua * g.east[:-1].view(slopes)
            + g.va * g.north[:-1].view(slopes)
            + vert.advection(flux, half_inverse, scalars)
        )
        change[0] += self.planet.kappa * (excess + self.t_ref) * omega_p

        if forcing:
            east = east + forcing["ua"] if "ua" in forcing else east
            north = north + forcing["va"] if "va" in forcing else north
            if "ta" in forcing:
                change[0] += forcing["ta"]
            if n and "hus" in forcing:
                change[1] += forcing["hus"]
        ln_ps_change = -partial[-1:] / ps
        batch = torch.cat(
            [
                east * self._secant,
                north * self._secant,
                energy,
                change.view((1 + n) * k, tr.nlat, tr.nlon),
                ln_ps_change,
            ]
        )
        out = tr.analysis(batch, extended=True)
        return self._assemble(spec, out, surface_geopotential)

    def _assemble(self, spec: Tensor, batch: Tensor, surface_geopotential: Tensor) -> Tensor:
        tr, k = self.transform, self.levels
        curl, div = tr.vorticity_divergence(batch[:, :, :k], batch[:, :, k : 2 * k])
        bottom = surface_geopotential + (
            self.planet.gas_constant_dry * self.t_ref
        ) * spec[:, :, -1:]
        div = div - tr.eigenvalue * (batch[:, :, 2 * k : 3 * k] + bottom)
        return torch.cat([curl, div, batch[:, :, 3 * k :] * tr.inside], dim=2)
