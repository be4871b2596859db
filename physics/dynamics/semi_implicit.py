r"""The linear gravity-wave terms, treated implicitly about an isothermal reference state.

    L: dD/dt = b (gamma T + R T_r P),  dT/dt = -tau D,  dP/dt = -nu . D,   b = n(n+1)/a^2

A step from X^- of length 2 dt, with N + L the full right-hand side F at the centre X^0 and
eta = dt (1 + e), is written for the increment d = X^+ - X^-:

    (1 - eta L) d = 2 dt [F(X^0) + L (X^- - X^0)]

Eliminating T and P leaves (1 + eta^2 b M) dD = r with M = gamma tau + R T_r (1 x nu). The
Simmons-Burridge operators are adjoint, tau = (kappa T_r / R) dp^-1 gamma^T dp, so

    M = Q dp,  Q = (kappa T_r / R) gamma dp^-1 gamma^T + (R T_r / p_r) 1 1^T

with Q symmetric and positive, so that sqrt(dp) M sqrt(dp)^-1 is symmetric: M = V diag(c^2) V^-1
with V = sqrt(dp)^-1 U, U orthogonal, c the gravity-wave speeds. The solve for every n is then one
division between two K x K products, well conditioned in float32, with one small table for any time
step.

Sources: Robert, Henderson, Turnbull (1972), Mon. Wea. Rev. 100, 329-335; Simmons, Hoskins,
Burridge (1978), Mon. Wea. Rev. 106, 405-412, doi:10.1175/1520-0493(1978)106<0405:SOTSIS>2.0.CO;2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from physics.dynamics.primitive import PrimitiveEquations
from physics.dynamics.vertical import reference_matrices

Tensor = torch.Tensor
Float64 = npt.NDArray[np.float64]


class SemiImplicit:
    """Implicit solver of the linear terms of the given equations.

    Args:
        equations: gives levels, T_r, planet and transform.
        ps_ref: reference surface pressure [Pa].
        off_centring: e [1]; 0 is centred.
    """

    def __init__(
        self,
        *,
        equations: PrimitiveEquations,
        ps_ref: float = 1.0e5,
        off_centring: float = 0.0,
    ) -> None:
        self.equations, self.off_centring = equations, off_centring
        planet, vert, tr = equations.planet, equations.vertical, equations.transform
        gamma, tau, nu, dp = reference_matrices(
            a=vert.a,
            b=vert.b,
            t_ref=equations.t_ref,
            ps_ref=ps_ref,
            gas_constant=planet.gas_constant_dry,
            kappa=planet.kappa,
        )
        self.surface_factor = planet.gas_constant_dry * equations.t_ref
        root = np.sqrt(dp)
        matrix = gamma @ tau + self.surface_factor * np.outer(np.ones(dp.size), nu)
        symmetric = root[:, None] * matrix / root[None, :]
        squares, vectors = np.linalg.eigh(0.5 * (symmetric + symmetric.T))
        self.wave_speeds = np.sqrt(np.maximum(squares, 0.0))[::-1]

        def tensor(array: Float64) -> Tensor:
            return torch.tensor(np.ascontiguousarray(array), dtype=tr.dtype, device=tr.device)

        self._gamma, self._tau, self._nu = tensor(gamma), tensor(tau), tensor(nu[None, :])
        self._to_modes = tensor(vectors.T * root[None, :])
        self._from_modes = tensor(vectors / root[:, None])
        self._squares = squares
        self._tables: dict[float, Tensor] = {}

    def _table(self, eta: float) -> Tensor:
        if eta not in self._tables:
            tr = self.equations.transform
            wavenumber = -tr.eigenvalue.double()
            squares = torch.tensor(self._squares, device=tr.device)[None, None, :, None]
            self._tables[eta] = (1.0 / (1.0 + eta**2 * wavenumber * squares)).to(tr.dtype)
        return self._tables[eta]

    def solve(
        self, before: Tensor, now: Tensor, tendency: Tensor, dt: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Increments X^+ - X^- of divergence, temperature and ln ps in a step of length 2 dt.

        Args:
            before: X^-. now: X^0. tendency: F(X^0). All [T+1, 2, (3+n) K + 1, T+2].
            dt: half the length of the step [s].

        Returns:
            shapes [T+1, 2, K, T+2], the same, and [T+1, 2, 1, T+2].
        """
        eq, tr = self.equations, self.equations.transform
        div, temp = eq.divergence_slice, eq.temperature_slice
        eta, span = dt * (1.0 + self.off_centring), 2.0 * dt
        lag_d = before[:, :, div] - now[:, :, div]
        lag_t = before[:, :, temp] - now[:, :, temp]
        lag_p = before[:, :, -1:] - now[:, :, -1:]
        rhs_t = span * (tendency[:, :, temp] - torch.matmul(self._tau, lag_d))
        rhs_p = span * (tendency[:, :, -1:] - torch.matmul(self._nu, lag_d))
        # b (gamma (span lag_t + eta rhs_t) + R T_r (span lag_p + eta rhs_p)) with b = -eigenvalue
        warm = torch.matmul(self._gamma, span * lag_t + eta * rhs_t)
        warm = warm + self.surface_factor * (span * lag_p + eta * rhs_p)
        rhs_d = span * tendency[:, :, div] - tr.eigenvalue * warm
        modes = torch.matmul(self._to_modes, rhs_d) * self._table(eta)
        change_d = torch.matmul(self._from_modes, modes)
        change_t = rhs_t - eta * torch.matmul(self._tau, change_d)
        change_p = rhs_p - eta * torch.matmul(self._nu, change_d)
        return change_d, change_t, change_p

    def step(self, before: Tensor, now: Tensor, tendency: Tensor, dt: float) -> Tensor:
        """The increment X^+ - X^- of the whole state; arguments as for :meth:`solve`."""
        eq = self.equations
        change_d, change_t, change_p = self.solve(before, now, tendency, dt)
        parts = [2.0 * dt * tendency[:, :, eq.vorticity_slice], change_d, change_t]
        if eq.tracers:
            parts.append(2.0 * dt * tendency[:, :, eq.tracer_slice])
        return torch.cat([*parts, change_p], dim=2)
