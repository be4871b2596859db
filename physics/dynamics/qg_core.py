r"""Two layers of quasi-geostrophic turbulence on a doubly periodic plane, pseudo-spectral.

    d q_i/dt = -div(u_i q_i) - Q_i d psi_i/dx - delta_i2 r lap psi_2 + F_i
    u_i = (U_i - d psi_i/dy, d psi_i/dx)
    q_1 = lap psi_1 + F_1 (psi_2 - psi_1),     q_2 = lap psi_2 + F_2 (psi_1 - psi_2)
    F_1 = 1/(r_d^2 (1 + delta)),   F_2 = delta F_1,   delta = H_1/H_2
    Q_1 = beta + F_1 (U_1 - U_2),  Q_2 = beta - F_2 (U_1 - U_2)

q is the potential vorticity less that of the mean state [s-1], psi the streamfunction [m2 s-1], r
the bottom drag [s-1], F what schemes push with [s-2]. Products are formed on the grid. The step is
that of Adams and Bashforth, third order (first order in the first step, second in the second),
followed by a filter that leaves waves below the cutoff alone:

    exp(-23.6 (kappa - 0.65 pi)^4)  for  kappa = |(k dx, l dy)| > 0.65 pi

Where that is below 1e-20 it is 0: products with less leave the normal numbers of float32, with
which processors are slow (half the time of a step), and change nothing else.

Energy per unit mass is ``E = -1/2 sum_i h_i <psi_i q_i>`` with the layers' shares h_i of the depth.
Advection by the anomalous flow conserves it to round-off whatever is aliased, because the velocity
is at right angles to grad psi at every point of the grid.

Sources: Phillips (1951), doi:10.1175/1520-0469(1951)008<0381:ASTDMF>2.0.CO;2; Vallis (2017),
doi:10.1017/9781107588417, ch. 5 and 9; the filter: LaCasce (1996), doi:10.1575/1912/5658; the
configurations: Ross et al. (2023), doi:10.1029/2022MS003258.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from coupler.interface.errors import ConfigError

Tensor = torch.Tensor
CUTOFF = 0.65 * math.pi
"""kappa below which the filter does nothing [1]."""
STEEPNESS = 23.6
_BASHFORTH = ((1.0,), (1.5, -0.5), (23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0))


@dataclass(frozen=True, kw_only=True)
class QGConfig:
    """The plane and the mean state; defaults are the eddy regime of Ross et al. (2023)."""

    nx: int = 64
    """Points in each direction."""
    length: float = 1.0e6
    """Of the side of the square [m]."""
    dt: float = 3600.0
    """Time step [s]."""
    beta: float = 1.5e-11
    """Gradient of the planetary vorticity [m-1 s-1]."""
    rd: float = 15.0e3
    """Radius of deformation [m]."""
    delta: float = 0.25
    """H_1/H_2 [1]."""
    u1: float = 0.025
    u2: float = 0.0
    """Mean flow of the layers [m s-1]."""
    rek: float = 5.787e-7
    """Drag on the lower layer [s-1]."""
    depth1: float = 500.0
    """H_1 [m]: no number but the layers' thickness depends on it."""
    filtered: bool = True
    """Whether the filter follows each step."""

    def __post_init__(self) -> None:
        if self.nx < 8 or self.nx % 2:
            raise ConfigError.of(
                "impossible grid", "nx", expected="an even number >= 8", found=str(self.nx)
            )
        for name in ("length", "dt", "rd", "delta", "depth1"):
            if not getattr(self, name) > 0.0:
                raise ConfigError.of(
                    "bad value",
                    name,
                    expected="greater than 0",
                    found=f"{getattr(self, name):g}",
                )

    @property
    def dx(self) -> float:
        """Distance of grid points [m]."""
        return self.length / self.nx

    @property
    def stretching(self) -> tuple[float, float]:
        """F_1 and F_2 [m-2]."""
        first = 1.0 / (self.rd**2 * (1.0 + self.delta))
        return first, self.delta * first

    @property
    def shares(self) -> tuple[float, float]:
        """h_1 and h_2, thickness of the layers over the depth [1]."""
        return self.delta / (1.0 + self.delta), 1.0 / (1.0 + self.delta)

    @property
    def pv_gradients(self) -> tuple[float, float]:
        """Q_1 and Q_2, meridional gradients of the mean potential vorticity [m-1 s-1]."""
        (f1, f2), shear = self.stretching, self.u1 - self.u2
        return self.beta + f1 * shear, self.beta - f2 * shear

    def at(self, nx: int) -> QGConfig:
        """The same flow with another resolution."""
        return replace(self, nx=nx)


EDDY = QGConfig()
JET = QGConfig(rek=7.0e-8, delta=0.1, beta=1.0e-11)
REGIMES = {"eddy": EDDY, "jet": JET}
"""The training regime and the one that closures are moved to, by name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QGState:
    """Coefficients of q [2, member, nx, nx/2 + 1] and earlier tendencies, newest first."""

    qh: Tensor
    before: tuple[Tensor, ...] = ()


class QGCore:
    """Operators and step; no state of its own. Differentiable: nothing is done in place."""

    def __init__(
        self,
        config: QGConfig,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.dtype, self.device = config, dtype, torch.device(device)
        n, unit = config.nx, 2.0 * math.pi / config.length
        k = unit * np.arange(n // 2 + 1)
        el = unit * np.fft.fftfreq(n, 1.0 / n)
        f1, f2 = config.stretching
        k2 = k[None, :] ** 2 + el[:, None] ** 2
        self.wavenumber = self._real(np.sqrt(k2))
        """K [m-1], [nx, nx/2 + 1]."""
        self.k2 = self._real(k2)
        det = k2 * (k2 + f1 + f2)
        det[0, 0] = 1.0  # no mean streamfunction
        inverse = -np.stack([[k2 + f2, np.full_like(k2, f1)], [np.full_like(k2, f2), k2 + f1]])
        inverse /= det
        inverse[:, :, 0, 0] = 0.0
        self._inverse = self._real(inverse)
        # The highest wave of an even grid has no sine: its derivative is zero on the grid.
        odd_k, odd_l = k.copy(), el.copy()
        odd_k[-1] = odd_l[n // 2] = 0.0
        self.ik = 1j * self._real(odd_k)[None, :]
        self.il = 1j * self._real(odd_l)[:, None]
        kappa = np.sqrt(k2) * config.dx
        damping = np.exp(-STEEPNESS * np.maximum(kappa - CUTOFF, 0.0) ** 4)
        damping[damping < 1e-20] = 0.0
        self.filter = self._real(damping)
        """What the filter leaves of each wave in a step [1]."""
        self.mean_flow = self._real(np.array([config.u1, config.u2])).view(2, 1, 1, 1)
        gradients = self._real(np.array(config.pv_gradients)).view(2, 1, 1, 1)
        drag = torch.zeros_like(self._inverse[0])
        drag[1] = config.rek * self.k2
        self._linear = -self.ik * gradients + drag[:, None]
        """What multiplies psi in the tendency of q [m-2 s-1], [2, 1, nx, nx/2 + 1]."""
        self._derivatives = torch.stack(
            [-self.il.expand_as(self.ik * self.il), self.ik.expand(n, -1)]
        )
        twice = np.full(n // 2 + 1, 2.0)
        twice[0] = twice[-1] = 1.0  # these columns have no mirror image
        self.weights = self._real(np.broadcast_to(twice / n**4, (n, n // 2 + 1)).copy())
        """Of the squares of coefficients in a mean over the plane [1]."""
        self.shares = self._real(np.array(config.shares))

    def _real(self, array: np.ndarray) -> Tensor:
        return torch.tensor(array, dtype=self.dtype, device=self.device)

    # -- between grid and waves ---------------------------------------------------------------

    def to_waves(self, field: Tensor) -> Tensor:
        """Coefficients [..., nx, nx/2 + 1] of a field [..., nx, nx]."""
        waves: Tensor = torch.fft.rfft2(field)
        return waves

    def to_grid(self, waves: Tensor) -> Tensor:
        """A field [..., nx, nx] from its coefficients."""
        n = self.config.nx
        field: Tensor = torch.fft.irfft2(waves, s=(n, n))
        return field

    def streamfunction(self, qh: Tensor) -> Tensor:
        """psi from q, both as coefficients [2, ..., nx, nx/2 + 1]."""
        shape = (2, *([1] * (qh.ndim - 3)), *self.k2.shape)
        a = self._inverse
        return a[:, 0].view(shape) * qh[0] + a[:, 1].view(shape) * qh[1]

    def vorticity(self, ph: Tensor) -> Tensor:
        """q from psi, both as coefficients [2, ..., nx, nx/2 + 1]."""
        f1, f2 = self.config.stretching
        difference = ph[1] - ph[0]
        return -self.k2 * ph + torch.stack([f1 * difference, -f2 * difference])

    def flow(self, ph: Tensor, qh: Tensor) -> Tensor:
        """Anomalous u, v [m s-1] and q [s-1] on the grid, [3, 2, member, nx, nx]."""
        winds = self._derivatives.view(2, 1, 1, *self.k2.shape) * ph
        return self.to_grid(torch.cat([winds, qh[None]]))

    # -- tendency -----------------------------------------------------------------------------

    def advection(self, grid: Tensor, *, mean: bool = True) -> Tensor:
        """``-div(u q)`` as coefficients, of what `flow` gave; with the mean flow or without."""
        return self.carry(grid[0] + self.mean_flow if mean else grid[0], grid[1], grid[2])

    def carry(self, u: Tensor, v: Tensor, q: Tensor) -> Tensor:
        """``-div(u q)`` as coefficients, of fields on the grid [2, member, nx, nx]."""
        fluxes = self.to_waves(torch.stack([u * q, v * q]))
        return -(self.ik * fluxes[0] + self.il * fluxes[1])

    def tendency(self, qh: Tensor, forcing: Tensor | None = None) -> Tensor:
        """Rate of change of q [s-2] as coefficients.

        Args:
            qh: coefficients of q, [2, member, nx, nx/2 + 1].
            forcing: coefficients of F.
        """
        ph = self.streamfunction(qh)
        rate = self.advection(self.flow(ph, qh)) + self.linear(ph)
        return rate if forcing is None else rate + forcing

    def linear(self, ph: Tensor) -> Tensor:
        """What the gradient of the mean vorticity and the drag do to q [s-2], coefficients."""
        return self._linear * ph

    def curl(self, du: Tensor, dv: Tensor) -> Tensor:
        """Coefficients of the push on q [s-2] of pushes on the wind [m s-2], [..., nx, nx]."""
        pushes = self.to_waves(torch.stack([du, dv]))
        return self.ik * pushes[1] - self.il * pushes[0]

    # -- step ---------------------------------------------------------------------------------

    def begin(self, q: Tensor) -> QGState:
        """A state from q on the grid [2, member, nx, nx]."""
        return QGState(qh=self.to_waves(q.to(self.dtype)))

    def step(self, state: QGState, forcing: Tensor | None = None) -> QGState:
        """One step of dt."""
        return self.apply(state, self.tendency(state.qh, forcing))

    def apply(self, state: QGState, rate: Tensor) -> QGState:
        """One step of dt, the newest tendency being known."""
        rates = (rate, *state.before)[:3]
        weights = _BASHFORTH[len(rates) - 1]
        new = torch.add(state.qh, rate, alpha=self.config.dt * weights[0])
        for weight, old in zip(weights[1:], rates[1:], strict=True):
            new = torch.add(new, old, alpha=self.config.dt * weight)
        if self.config.filtered:
            new = new * self.filter
        return QGState(qh=new, before=rates[:2])

    # -- integrals ----------------------------------------------------------------------------

    def product_mean(self, a: Tensor, b: Tensor) -> Tensor:
        """Mean over the plane of the product of two fields given by coefficients, [...]."""
        dense = (a.real * b.real + a.imag * b.imag) * self.weights
        return dense.double().sum(dim=(-2, -1))

    def energy(self, qh: Tensor) -> Tensor:
        """Kinetic and available potential energy [m2 s-2], [member]."""
        return 0.5 * self.work(self.streamfunction(qh), qh)

    def kinetic_energy(self, ph: Tensor) -> Tensor:
        """``<|grad psi|^2>/2`` [m2 s-2], [2, member]."""
        return 0.5 * self.product_mean(ph, self.k2 * ph)

    def enstrophy(self, qh: Tensor) -> Tensor:
        """``<q^2>/2`` [s-2], [2, member]."""
        return 0.5 * self.product_mean(qh, qh)

    def work(self, ph: Tensor, rate: Tensor) -> Tensor:
        """Energy that a tendency of q [s-2] gives the flow [m2 s-3], [member]."""
        means = self.product_mean(ph, rate)
        return -(self.shares.double().view(2, *[1] * (means.ndim - 1)) * means).sum(dim=0)


def noise(config: QGConfig, members: int, seed: int, *, shortest: int = 12) -> np.ndarray:
    """Random q of the upper layer in its longest waves, the same on any grid that holds them.

    Args:
        config: the plane.
        members: how many; each has random numbers of its own.
        seed: of the run.
        shortest: largest wavenumber, in waves per side.

    Returns:
        q [s-1], [2, member, nx, nx]; root mean square 1e-6 s-1 above, 0 below.
    """
    n, side = config.nx, np.arange(-shortest, shortest + 1)
    if n <= 2 * shortest:
        shortest = n // 2 - 1
        side = np.arange(-shortest, shortest + 1)
    q = np.zeros((2, members, n, n))
    for m in range(members):
        draw = np.random.default_rng([seed, m]).standard_normal((2, 25, 25))
        keep = slice(12 - shortest, 13 + shortest)
        amplitude = (draw[0] + 1j * draw[1])[keep, keep]
        amplitude *= np.hypot(side[:, None], side[None, :]) <= shortest
        waves = np.zeros((n, n), complex)
        waves[np.ix_(side % n, side % n)] = amplitude
        field = np.fft.ifft2(waves).real
        field -= field.mean()
        q[0, m] = 1e-6 * field / np.sqrt((field**2).mean())
    return q
