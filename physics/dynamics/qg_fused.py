"""A step of two-layer turbulence in passes that are compiled, for the CPU without gradients.

`Stepper` has the formulas of `qg_core` and gives its numbers but for round-off; a test holds it to
them. Every coefficient is read and written once before and once after the products on the grid,
into memory that is kept, where the differentiable version takes some thirty passes into new memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coupler.interface.jit import njit
from physics.dynamics.qg_core import _BASHFORTH, QGCore, QGState

Tensor = torch.Tensor
Array = NDArray[Any]


@njit(fastmath=True, nogil=True)
def spread(
    qh: Array, inverse: Array, k: Array, el: Array, factor: Array, drag: Array, waves: Array
) -> None:
    """Coefficients of u, v, q and psi from those of q.

    Args:
        qh: [2, member, n, n/2 + 1, 2], real and imaginary parts last.
        inverse: psi of q [m2], [2, 2, n, n/2 + 1].
        k, el: wavenumbers [m-1] without the highest, [n/2 + 1] and [n].
        factor: minus the gradients of the mean vorticity [m-1 s-1], [2].
        drag: r K^2 of each layer [m-2 s-1], [2, n, n/2 + 1].
        waves: u, v, q, psi, and the tendency by mean state and drag, [5, 2, member, n, n/2 + 1, 2].
    """
    _, members, rows, columns, _ = qh.shape
    for m in range(members):
        for j in range(rows):
            for layer in range(2):
                own, other = inverse[layer, 0, j], inverse[layer, 1, j]
                upper, lower = qh[0, m, j], qh[1, m, j]
                u, v = waves[0, layer, m, j], waves[1, layer, m, j]
                q, psi = waves[2, layer, m, j], waves[3, layer, m, j]
                linear, friction = waves[4, layer, m, j], drag[layer, j]
                gradient, north = factor[layer], el[j]
                for i in range(columns):
                    re = own[i] * upper[i, 0] + other[i] * lower[i, 0]
                    im = own[i] * upper[i, 1] + other[i] * lower[i, 1]
                    psi[i, 0] = re
                    psi[i, 1] = im
                    u[i, 0] = north * im
                    u[i, 1] = -north * re
                    v[i, 0] = -k[i] * im
                    v[i, 1] = k[i] * re
                    linear[i, 0] = friction[i] * re - gradient * k[i] * im
                    linear[i, 1] = friction[i] * im + gradient * k[i] * re
                vorticity = qh[layer, m, j]
                for i in range(columns):
                    q[i, 0] = vorticity[i, 0]
                    q[i, 1] = vorticity[i, 1]


@njit(fastmath=True, nogil=True)
def products(grid: Array, mean: Array, out: Array) -> None:
    """(u + U) q and v q on the grid.

    Args:
        grid: u, v, q in its first three, [3 or more, 2, points].
        mean: U [m s-1], [2].
        out: [2, 2, points].
    """
    for layer in range(2):
        u, v, q = grid[0, layer], grid[1, layer], grid[2, layer]
        east, north, flow = out[0, layer], out[1, layer], mean[layer]
        for i in range(u.size):
            east[i] = (u[i] + flow) * q[i]
            north[i] = v[i] * q[i]


@njit(fastmath=True, nogil=True)
def forward(
    qh: Array,
    fluxes: Array,
    linear: Array,
    pushed: Array,
    k: Array,
    el: Array,
    rate: Array,
    last: Array,
    before: Array,
    weights: Array,
    filtered: Array,
) -> None:
    """The newest tendency, and the step in place.

    Real and imaginary parts lie last; all but `pushed` have the shape of `qh`.

    Args:
        qh: [2, member, n, n/2 + 1, 2].
        fluxes: coefficients of u q and v q, [2, 2, member, n, n/2 + 1, 2].
        linear: by mean state and drag.
        pushed: by schemes, or of no members.
        k, el: wavenumbers [m-1] without the highest.
        rate: is filled.
        last, before: the earlier tendencies, newest first.
        weights: of the three, times dt [s].
        filtered: what the filter leaves, [n, n/2 + 1].
    """
    _, members, rows, columns, _ = qh.shape
    w0, w1, w2 = weights[0], weights[1], weights[2]
    push = pushed.shape[1] > 0
    for layer in range(2):
        for m in range(members):
            for j in range(rows):
                x, y = fluxes[0, layer, m, j], fluxes[1, layer, m, j]
                new, kept = rate[layer, m, j], linear[layer, m, j]
                north = el[j]
                for i in range(columns):
                    new[i, 0] = k[i] * x[i, 1] + north * y[i, 1] + kept[i, 0]
                    new[i, 1] = kept[i, 1] - k[i] * x[i, 0] - north * y[i, 0]
                if push:
                    extra = pushed[layer, m, j]
                    for i in range(columns):
                        new[i, 0] += extra[i, 0]
                        new[i, 1] += extra[i, 1]
                old, older, state = last[layer, m, j], before[layer, m, j], qh[layer, m, j]
                leaves = filtered[j]
                for i in range(columns):
                    re = w0 * new[i, 0] + w1 * old[i, 0] + w2 * older[i, 0]
                    im = w0 * new[i, 1] + w1 * old[i, 1] + w2 * older[i, 1]
                    state[i, 0] = leaves[i] * (state[i, 0] + re)
                    state[i, 1] = leaves[i] * (state[i, 1] + im)


def _pairs(waves: Tensor) -> Array:
    """Real and imaginary parts on the same memory, [..., 2]."""
    return np.asarray(torch.view_as_real(waves).numpy())


class Stepper:
    """Steps states of one core, members side by side, in memory of its own."""

    def __init__(self, core: QGCore, members: int) -> None:
        """Allocates.

        Args:
            core: on a CPU.
            members: how many.
        """
        self.core = core
        n = core.config.nx
        kind = np.float64 if core.dtype == torch.float64 else np.float32
        self._k = core.ik.imag[0].numpy()
        self._l = core.il.imag[:, 0].numpy()
        self._inverse = core._inverse.numpy()
        self._factor = np.array([-g for g in core.config.pv_gradients], kind)
        drag = core.config.rek * core.k2
        self._drag = torch.stack([torch.zeros_like(drag), drag]).numpy()
        self._mean = np.array([core.config.u1, core.config.u2], kind)
        full = core.filter if core.config.filtered else torch.ones_like(core.filter)
        self._filter = full.numpy()
        waves = torch.complex128 if core.dtype == torch.float64 else torch.complex64
        size = (2, members, n, n // 2 + 1)
        self.waves = torch.zeros((5, *size), dtype=waves)
        """Coefficients of u, v, q, psi and the linear tendency."""
        self.grid = torch.zeros((4, 2, members, n, n), dtype=core.dtype)
        """u without the mean flow, v, q and, where asked for, psi."""
        self._products = torch.zeros((2, 2, members, n, n), dtype=core.dtype)
        self._fluxes = torch.zeros((2, *size), dtype=waves)
        self._rates = [torch.zeros(size, dtype=waves) for _ in range(3)]
        self._none = torch.zeros((2, 0, *size[2:]), dtype=waves)
        self._newest, self._count = 0, 0
        self.qh = torch.zeros(size, dtype=waves)

    def begin(self, state: QGState) -> None:
        """Takes a state with its earlier tendencies."""
        self.qh.copy_(state.qh)
        self._newest, self._count = 0, len(state.before)
        for i, rate in enumerate(state.before):
            self._rates[-i % 3].copy_(rate)

    @property
    def state(self) -> QGState:
        """A copy of where it is."""
        rates = (self._rates[(self._newest - i) % 3] for i in range(self._count))
        return QGState(qh=self.qh.clone(), before=tuple(r.clone() for r in rates))

    def flow(self, fields: int = 3) -> Tensor:
        """u, v, q and (of 4) psi on the grid, [4, 2, member, n, n]; kept for `advance`."""
        n = self.core.config.nx
        spread(
            _pairs(self.qh),
            self._inverse,
            self._k,
            self._l,
            self._factor,
            self._drag,
            _pairs(self.waves),
        )
        torch.fft.irfft2(self.waves[:fields], s=(n, n), out=self.grid[:fields])
        return self.grid

    def advance(self, pushed: Tensor | None = None) -> None:
        """One step of dt from where `flow` was last called.

        Args:
            pushed: coefficients of what schemes push with [s-2], like `qh`.
        """
        grid, out = self.grid.numpy(), self._products.numpy()
        products(grid.reshape(4, 2, -1), self._mean, out.reshape(2, 2, -1))
        torch.fft.rfft2(self._products, out=self._fluxes)
        self._newest = (self._newest + 1) % 3
        weights = np.zeros(3, self._mean.dtype)
        known = _BASHFORTH[self._count]
        weights[: len(known)] = self.core.config.dt * np.array(known)
        rate, last, before = (_pairs(self._rates[(self._newest - i) % 3]) for i in range(3))
        forward(
            _pairs(self.qh),
            _pairs(self._fluxes),
            _pairs(self.waves[4]),
            _pairs(self._none if pushed is None else pushed),
            self._k,
            self._l,
            rate,
            last,
            before,
            weights,
            self._filter,
        )
        self._count = min(self._count + 1, 2)

    def step(self, pushed: Tensor | None = None) -> None:
        """One step of dt."""
        self.flow()
        self.advance(pushed)


class Batch:
    """Steps any number of members, few at a time: what a step touches stays near the processor."""

    def __init__(self, core: QGCore, members: int) -> None:
        """Allocates."""
        self.core, self.members = core, members
        n = core.config.nx
        together = max(1, 4 * 64 * 64 // (n * n))
        self.parts = [
            (slice(i, min(i + together, members)), Stepper(core, min(together, members - i)))
            for i in range(0, members, together)
        ]

    def begin(self, state: QGState) -> None:
        """Takes a state with its earlier tendencies."""
        for own, stepper in self.parts:
            before = tuple(b[:, own] for b in state.before)
            stepper.begin(QGState(qh=state.qh[:, own], before=before))

    @property
    def state(self) -> QGState:
        """A copy of where it is."""
        states = [stepper.state for _, stepper in self.parts]
        before = zip(*(s.before for s in states), strict=True)
        return QGState(
            qh=torch.cat([s.qh for s in states], dim=1),
            before=tuple(torch.cat(b, dim=1) for b in before),
        )

    def flow(self, out: Tensor) -> None:
        """u, v, q, psi on the grid, [4, 2, member, n, n]; u with the mean flow."""
        for own, stepper in self.parts:
            out[:, :, own] = stepper.flow(4)
        out[0] += self.core.mean_flow

    def advance(self, pushed: Tensor | None = None) -> None:
        """One step from where `flow` was last called; `pushed` [s-2] on waves."""
        for own, stepper in self.parts:
            stepper.advance(None if pushed is None else pushed[:, own].contiguous())

    def step(self) -> None:
        """One step of dt."""
        for _, stepper in self.parts:
            stepper.step()

    def finite(self) -> bool:
        """Whether every coefficient is a number."""
        return all(bool(torch.isfinite(s.qh.real.sum())) for _, s in self.parts)
