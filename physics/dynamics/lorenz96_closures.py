"""What stands for the fast scale of Lorenz (1996): a polynomial, with or without noise.

    U_k = b_0 + b_1 X_k + b_2 X_k^2 + b_3 X_k^3 + e_k
    e_k(t + dt) = phi e_k(t) + sigma sqrt(1 - phi^2) z,    z of the standard normal distribution

`fit` finds the coefficients in pairs of X and U, and phi and sigma in what is left. The published
numbers are fitted to what a step forward in time misses (`missed`), not to U itself: over 0.005
units of time the second derivative of X adds about 0.2 to the slope. Their sign of U is the other
one. Random numbers belong to a draw, so that a restart draws on.

Sources: Wilks (2005), doi:10.1256/qj.04.03; Arnold, Moroz and Palmer (2013),
doi:10.1098/rsta.2011.0479, whose numbers for c = 10 are the defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field as Limit

from coupler.interface.component import (
    Array,
    Arrays,
    Host,
    Now,
    Params,
    Tendency,
    reads,
    tendencies_of,
)
from coupler.interface.registry import scheme
from physics.dynamics.lorenz96 import TIME_UNIT

F64 = NDArray[np.float64]


class PolynomialParameters(Params):
    """Coefficients in units of the equations."""

    coefficients: tuple[float, ...] = (-0.341, -1.30, 0.0136, 0.00235)
    """b_0, b_1 ... of any number."""


class AutoregressiveParameters(PolynomialParameters):
    """And the noise."""

    phi: Annotated[float, Limit(ge=0.0, lt=1.0)] = 0.986
    """Correlation over one call."""
    sigma: Annotated[float, Limit(ge=0.0)] = 1.99
    """Deviation."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What `fit` found."""

    coefficients: tuple[float, ...]
    phi: float
    sigma: float
    skill: float
    """R2 of the polynomial."""


def missed(x: ArrayLike, forcing: float, dt: float) -> F64:
    """U as a step forward in time misses it: ``(X(t + dt) - X(t))/dt`` less the rest of dX/dt.

    Args:
        x: slow variables, [time, K], dt apart.
        forcing: F.
        dt: [time unit].

    Returns:
        [time - 1, K].
    """
    slow = np.asarray(x, np.float64)
    now = slow[:-1]

    def at(shift: int) -> F64:
        return np.roll(now, -shift, axis=1)

    resolved = -at(-1) * (at(-2) - at(1)) - now + forcing
    return np.asarray((slow[1:] - now) / dt - resolved)


def fit(x: ArrayLike, push: ArrayLike, degree: int = 3) -> Fit:
    """Least squares, and the first-order autoregression of what is left.

    Args:
        x: slow variables, [time, ...], at the interval of the calls.
        push: U, the same shape.
        degree: of the polynomial.
    """
    slow, u = np.asarray(x, np.float64), np.asarray(push, np.float64)
    polynomial = np.polynomial.Polynomial.fit(slow.ravel(), u.ravel(), degree)
    left = u - polynomial(slow)
    variance = float((left**2).mean())
    phi = float((left[1:] * left[:-1]).mean() / variance)
    return Fit(
        coefficients=tuple(polynomial.convert().coef.tolist()),
        phi=phi,
        sigma=variance**0.5,
        skill=1.0 - variance / float(u.var()),
    )


@scheme("subgrid", "polynomial")
class Polynomial(Tendency):
    """U as a polynomial of X."""

    Parameters = PolynomialParameters
    inputs = reads("x_slow")
    tendencies = tendencies_of("x_slow")
    fills: ClassVar[bool] = True

    def setup(self, host: Host) -> None:
        """Nothing to prepare."""

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """The tendency of X [s-1]."""
        found = np.polynomial.polynomial.polyval(x.x_slow, self.p.coefficients)
        tend.x_slow[:] = found / TIME_UNIT


@scheme("subgrid", "polynomial_ar1")
class PolynomialAutoregressive(Polynomial):
    """The same with noise that remembers."""

    Parameters = AutoregressiveParameters

    def setup(self, host: Host) -> None:
        """Noise begins in its own distribution."""
        self._seed, self._draw = host.seed, np.zeros(1, np.int64)
        self._noise = self.p.sigma * self._normal(host.ncol)

    def _normal(self, count: int) -> F64:
        draw = np.random.default_rng([self._seed, 96, int(self._draw[0])])
        self._draw += 1
        return draw.standard_normal(count)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """The tendency of X [s-1]."""
        super().compute(x, tend, flux, diag, now)
        tend.x_slow[0] += (self._noise / TIME_UNIT).astype(tend.x_slow.dtype)
        fresh = self.p.sigma * (1.0 - self.p.phi**2) ** 0.5
        self._noise *= self.p.phi
        self._noise += fresh * self._normal(self._noise.size)

    def memory(self) -> dict[str, Array]:
        """The noise and the number of the draw."""
        return {"noise": self._noise, "draw": self._draw}
