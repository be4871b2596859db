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
        self.equations, self.off_centring, self.ps_ref = equations, off_centring, ps_ref
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

        self.members = equations.members
        self._gamma, self._tau, self._nu = tensor(gamma), tensor(tau), tensor(nu[None, :])
        self._one_by_one = self.members > 1 and tr.device.type == "cpu"
        self._eigenvalue = tr.eigenvalue.repeat(1, 1, 1, self.members)
        self._to_modes = tensor(vectors.T * root[None, :])
        self._from_modes = tensor(vectors / root[:, None])
        self._squares = squares
        self._tables: dict[float, Tensor] = {}

    def matrices(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """gamma, tau [K, K], nu [K], and the matrices to and from the modes [K, K]."""
        return self._gamma, self._tau, self._nu[0], self._to_modes, self._from_modes

    def table(self, eta: float) -> Tensor:
        """1 / (1 + eta^2 b c^2) [1], [T+1, 1, K, member x (T+2)]."""
        if eta not in self._tables:
            tr = self.equations.transform
            wavenumber = -self._eigenvalue.double()
            squares = torch.tensor(self._squares, device=tr.device)[None, None, :, None]
            self._tables[eta] = (1.0 / (1.0 + eta**2 * wavenumber * squares)).to(tr.dtype)
        return self._tables[eta]

    def _product(self, matrix: Tensor, columns: Tensor) -> Tensor:
        """`matrix` [any, K] times [T+1, 2, K, member x (T+2)].

        On a CPU member by member: the order in which BLAS sums depends on the size here, and a
        member shall not depend on how many others there are.
        """
        if not self._one_by_one:
            return torch.matmul(matrix, columns)
        members = columns.chunk(self.members, dim=3)
        return torch.cat([torch.matmul(matrix, member) for member in members], dim=3)

    def _columns(self, part: Tensor) -> Tensor:
        """[T+1, 2, K x member, T+2] as [T+1, 2, K, member x (T+2)]: a matrix per m, no copy."""
        m, two, rows, size = part.shape
        return part.view(m, two, rows // self.members, self.members, size).flatten(3)

    def rows(self, part: Tensor) -> Tensor:
        """Inverse of :meth:`_columns`."""
        m, two, levels, size = part.shape
        return part.reshape(m, two, levels * self.members, size // self.members)

    def parts(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Divergence, temperature and ln ps of a state, [T+1, 2, K or 1, member x (T+2)]."""
        eq = self.equations
        return (
            self._columns(state[:, :, eq.divergence_slice]),
            self._columns(state[:, :, eq.temperature_slice]),
            self._columns(state[:, :, -self.members :]),
        )

    def linear(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L of a state [unit s-1]: its parts as :meth:`parts` has them."""
        div, temp, pressure = self.parts(state)
        warm = self._product(self._gamma, temp) + self.surface_factor * pressure
        return (
            -self._eigenvalue * warm,
            -self._product(self._tau, div),
            -self._product(self._nu, div),
        )

    def invert(
        self, rhs_d: Tensor, rhs_t: Tensor, rhs_p: Tensor, eta: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """d of (1 - eta L) d = r, all as :meth:`parts` has them; eta [s]."""
        warm = self._product(self._gamma, rhs_t) + self.surface_factor * rhs_p
        modes = self._product(self._to_modes, rhs_d - self._eigenvalue * (eta * warm))
        change_d = self._product(self._from_modes, modes * self.table(eta))
        change_t = rhs_t - eta * self._product(self._tau, change_d)
        change_p = rhs_p - eta * self._product(self._nu, change_d)
        return change_d, change_t, change_p

    def solve(
        self, before: Tensor, now: Tensor, tendency: Tensor, dt: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Increments X^+ - X^- of divergence, temperature and ln ps in a step of length 2 dt.

        Args:
            before: X^-. now: X^0. tendency: F(X^0). All [T+1, 2, (3+n) K + 1, T+2].
            dt: half the length of the step [s].

        Returns:
            shapes [T+1, 2, K, T+2], the same, and [T+1, 2, 1, T+2] (times the members).
        """
        eta, span = dt * (1.0 + self.off_centring), 2.0 * dt
        old, centre, rate = self.parts(before), self.parts(now), self.parts(tendency)
        lag_d, lag_t, lag_p = (x - y for x, y in zip(old, centre, strict=True))
        rhs_t = span * (rate[1] - self._product(self._tau, lag_d))
        rhs_p = span * (rate[2] - self._product(self._nu, lag_d))
        # b (gamma (span lag_t + eta rhs_t) + R T_r (span lag_p + eta rhs_p)) with b = -eigenvalue
        warm = self._product(self._gamma, span * lag_t + eta * rhs_t)
        warm = warm + self.surface_factor * (span * lag_p + eta * rhs_p)
        modes = self._product(self._to_modes, span * rate[0] - self._eigenvalue * warm)
        change_d = self._product(self._from_modes, modes * self.table(eta))
        change_t = rhs_t - eta * self._product(self._tau, change_d)
        change_p = rhs_p - eta * self._product(self._nu, change_d)
        return self.rows(change_d), self.rows(change_t), self.rows(change_p)

    def step(self, before: Tensor, now: Tensor, tendency: Tensor, dt: float) -> Tensor:
        """The increment X^+ - X^- of the whole state; arguments as for :meth:`solve`."""
        return self.joined(2.0 * dt * tendency, *self.solve(before, now, tendency, dt))

    def joined(self, other: Tensor, div: Tensor, temp: Tensor, pressure: Tensor) -> Tensor:
        """A state: vorticity and tracers of `other`, the rest as :meth:`solve` returns it."""
        eq = self.equations
        parts = [other[:, :, eq.vorticity_slice], div, temp]
        if eq.tracers:
            parts.append(other[:, :, eq.tracer_slice])
        return torch.cat([*parts, pressure], dim=2)
