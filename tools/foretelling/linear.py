r"""Linear analyses of a closure on states of the truth: what it feeds back, without a run of it.

The coupled step takes the slow scale X and the push u of the step before, which is what a network
with memory sees and what a network without it ignores:

    u' = N(X, u),   X' = R(X, u')          R: a step of Runge and Kutta with the push held
    J  = d(X', u') / d(X, u),   M = du'/dX
    response: largest Re of an eigenvalue of M     growth of a step: ln|mu| / dt, mu leading in J
    growth along the truth: mean of ln(|J v| / |v|) / dt, v' = J v / |J v|, J at one state after
    another of the truth; after the first steps v is the direction that grows

with derivatives by reverse mode through step and network. The last is the leading exponent of
Lyapunov of the closed equations, but along the states that the network was made for. A step's
leading mode can grow and be another one in the next step: it is the larger number of the two.
Benettin, G., L. Galgani, A. Giorgilli, J.-M. Strelcyn (1980), Meccanica 15, doi:10.1007/BF02128236.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from foretelling.networks import EVERY, HOME, TEST, home
from foretelling.truth import DT, Truth
from numpy.typing import NDArray
from torch import Tensor

from emulators.bundle import load_bundle
from physics.dynamics.lorenz96 import TIME_UNIT
from physics.dynamics.lorenz96_closures import PolynomialParameters

F64 = NDArray[np.float64]
Push = Callable[[Tensor, Tensor], Tensor]
"""Of X and of the last push, both [ring, place], the next one; in units of the equations."""
_RINGS = 400
"""States of the truth at which single steps are looked at."""
ALIGN, STEPS = 200, 1000
"""Along the truth: steps in which a direction turns to where it grows, and those that count."""
_DAYS = 5.0
"""Of a unit of time."""


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Of one closure, means over states of the truth [day-1]."""

    response: float
    step: float
    along: float


def of_bundle(folder: Path, memory: bool) -> Push:
    """The push that a bundle gives, without the guard of a run."""
    network = load_bundle(folder).network

    def push(x: Tensor, last: Tensor) -> Tensor:
        inputs = {"x_slow": x.reshape(1, -1)}
        if memory:
            inputs["x_push"] = (last / TIME_UNIT).reshape(1, -1)
        found = network(inputs)["tn_x_slow"].to(x.dtype)
        return TIME_UNIT * found.reshape(x.shape)

    return push


def polynomial(x: Tensor, last: Tensor) -> Tensor:
    """The case's own closure."""
    found = torch.zeros_like(x)
    for c in reversed(PolynomialParameters().coefficients):
        found = found * x + c
    return found


def slow_step(x: Tensor, push: Tensor, forcing: float = HOME, dt: float = DT) -> Tensor:
    """`physics.dynamics.lorenz96.step_slow` for torch to differentiate."""

    def rate(s: Tensor) -> Tensor:
        def at(shift: int) -> Tensor:
            return s.roll(-shift, dims=1)

        return -at(-1) * (at(-2) - at(1)) - s + forcing + push

    first = rate(x)
    second = rate(x + 0.5 * dt * first)
    third = rate(x + 0.5 * dt * second)
    fourth = rate(x + dt * third)
    return x + (dt / 6.0) * (first + 2.0 * second + 2.0 * third + fourth)


def coupled(push: Push) -> Callable[[Tensor], Tensor]:
    """A step of (X, last push), [ring, 2 x place]."""

    def step(state: Tensor) -> Tensor:
        x, last = state.chunk(2, dim=1)
        now = push(x, last)
        return torch.cat([slow_step(x, now), now], dim=1)

    return step


def jacobians(function: Callable[[Tensor], Tensor], at: F64) -> F64:
    """Of a function of rings that do not see each other, [ring, out, in]."""
    state = torch.from_numpy(np.ascontiguousarray(at)).requires_grad_(True)
    out = function(state)
    rows = [
        torch.autograd.grad(out[:, i].sum(), state, retain_graph=True)[0]
        for i in range(out.shape[1])
    ]
    return np.asarray(torch.stack(rows, dim=1).numpy(), np.float64)


def leading_growth(jacobian: F64, dt: float = DT) -> F64:
    """ln|mu| / dt of the leading mode of each [..., n, n]."""
    size = np.abs(np.linalg.eigvals(jacobian)).max(axis=-1)
    return np.asarray(np.log(np.maximum(size, 1e-300)) / dt)


def growth_along(jacobian: F64, align: int, dt: float = DT) -> F64:
    """Mean growth along a course of each member.

    Args:
        jacobian: of one step after another, [step, member, n, n].
        align: steps that do not count.
        dt: of a step.

    Returns:
        [member], per unit of dt.
    """
    v = np.random.default_rng(3).standard_normal(jacobian.shape[1:3])
    total = np.zeros(len(v))
    for i, j in enumerate(jacobian):
        v /= np.linalg.norm(v, axis=1, keepdims=True)
        v = np.einsum("mij,mj->mi", j, v)
        if i >= align:
            total += np.log(np.linalg.norm(v, axis=1))
    return np.asarray(total / (dt * (len(jacobian) - align)))


def _states(of: Truth, steps: NDArray[np.int64]) -> F64:
    """(X, push of the step before) of held-out members, [step, member, 2 x place]."""
    both = [of.x[steps][:, TEST], of.push[steps - 1][:, TEST]]
    return np.concatenate(both, axis=-1).astype(np.float64)


def linear(push: Push, of: Truth) -> Linear:
    """All three numbers of a closure."""
    step, places = coupled(push), of.x.shape[-1]
    some = _states(of, np.arange(1, len(of.x), EVERY)).reshape(-1, 2 * places)
    chosen = np.random.default_rng(0).permutation(len(some))[:_RINGS]
    single = jacobians(step, some[chosen])
    response = np.linalg.eigvals(single[:, places:, :places]).real.max(axis=-1)
    course = _states(of, 1 + np.arange(min(ALIGN + STEPS, len(of.x) - 1)))
    flat = jacobians(step, course.reshape(-1, 2 * places))
    along = growth_along(flat.reshape(*course.shape, 2 * places), ALIGN)
    found = (response, leading_growth(single), along)
    means = [float(np.mean(f)) / _DAYS for f in found]
    return Linear(response=means[0], step=means[1], along=means[2])


@lru_cache(maxsize=1)
def usual(work: Path, units: float) -> Linear:
    """Those of the polynomial."""
    return linear(polynomial, home(work, units))


def signs(folder: Path, memory: bool, work: Path, units: float) -> dict[str, Any]:
    """Scores of a network, by what it adds to the polynomial's, and where they come from."""
    own, reference = linear(of_bundle(folder, memory), home(work, units)), usual(work, units)
    return {
        "scores": {
            "linear response": own.response - reference.response,
            "growth of a step": own.step - reference.step,
            "growth along the truth": own.along - reference.along,
        },
        "own": asdict(own),
        "usual": asdict(reference),
    }
