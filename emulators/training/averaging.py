"""Averages of checkpoints: an exponential mean, and a linear combination found by search.

Search (LCSC: Liu et al. 2024, arXiv:2404.02241): of checkpoints theta_i of one fit, the weights
become ``sum c_i theta_i`` with ``sum c_i = 1``, negative coefficients allowed, and c is found by
evolution on a held-out score. That score needs no gradient, so it may be the error of a short
coupled run as well as a validation loss. Every generation keeps the best half of what was seen and
makes each newcomer from two of them,

    c' = (c_a + c_b)/2 + s g (c_a - c_b) + s e,  g ~ N(0, 1), e ~ N(0, 1/K)^K without its mean,

with a step s that falls. It begins with every single checkpoint and their mean, so that the result
is never worse than the best checkpoint on the score that it was searched with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

Weights = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search found."""

    coefficients: list[float]
    score: float
    best_single: float
    """Score of the best checkpoint alone."""
    mean: float
    """Score of the plain mean of all."""


def combined(states: Sequence[Weights], coefficients: Sequence[float]) -> dict[str, Tensor]:
    """``sum c_i theta_i`` by tensor, summed in float64."""
    return {
        name: sum(
            (c * s[name].double() for c, s in zip(coefficients, states, strict=True)),
            start=0.0 * states[0][name].double(),
        ).to(states[0][name].dtype)
        for name in states[0]
    }


def search(
    states: Sequence[Weights],
    score: Callable[[Weights], float],
    *,
    evaluations: int = 100,
    population: int = 20,
    step: float = 0.3,
    seed: int = 0,
) -> Found:
    """Coefficients with a low `score`.

    Args:
        states: checkpoints.
        score: of weights; lower is better, not finite is worst.
        evaluations: how often it may be asked, besides the checkpoints and their mean.
        population: how many are kept to make others from.
        step: size of the first changes.
        seed: of the search.

    Raises:
        ValueError: for no checkpoint.
    """
    if not states:
        raise ValueError("search: no checkpoint to combine")
    rng = np.random.default_rng(seed)
    k = len(states)

    def judged(c: np.ndarray) -> float:
        value = score(combined(states, c.tolist()))
        return value if np.isfinite(value) else float("inf")

    seen = [(judged(c), tuple(c)) for c in np.eye(k)]
    best_single = min(seen)[0]
    middle = np.full(k, 1.0 / k)
    mean = judged(middle)
    seen.append((mean, tuple(middle)))
    for n in range(evaluations if k > 1 else 0):
        seen = sorted(seen)[:population]
        a, b = (
            np.array(seen[i][1]) for i in rng.integers(0, max(2, len(seen) // 2), 2) % len(seen)
        )
        size = step * (1.0 - n / evaluations) + 0.02
        noise = rng.normal(size=k) / np.sqrt(k)
        new = 0.5 * (a + b) + size * rng.normal() * (a - b) + size * (noise - noise.mean())
        new += (1.0 - new.sum()) / k
        seen.append((judged(new), tuple(new)))
    value, c = min(seen)
    return Found(coefficients=list(c), score=value, best_single=best_single, mean=mean)


def update_mean(mean: dict[str, Tensor], now: Weights, keep: float) -> None:
    """Exponential mean of weights, in place: ``mean <- keep mean + (1 - keep) now``."""
    for name, value in mean.items():
        if value.is_floating_point():
            value.lerp_(now[name].to(value.dtype), 1.0 - keep)
        else:
            value.copy_(now[name])
