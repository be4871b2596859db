"""Scores of an ensemble of n members x_i against a truth y.

    fair CRPS    1/n sum |x_i - y| - 1/(2 n (n-1)) sum_ij |x_i - x_j|
    plain CRPS   1/n sum |x_i - y| - 1/(2 n^2)     sum_ij |x_i - x_j|

The fair one scores the distribution that the members are drawn from, whatever their number (Ferro
2014, doi:10.1002/qj.2270); the plain one scores the members themselves as the whole distribution.
The mean square error of the ensemble mean is lessened by var/n for the same reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]


def _parts(members: ArrayLike, truth: ArrayLike) -> tuple[int, F64, F64]:
    """Number of members, mean |x_i - y|, and sum over i < j of |x_i - x_j|."""
    x, y = np.asarray(members, np.float64), np.asarray(truth, np.float64)
    n = x.shape[0]
    ordered = np.sort(x, axis=0)
    # Of ordered values, |x_i - x_j| summed over pairs is a sum of each with a whole factor.
    factor = (2.0 * np.arange(n) - n + 1.0).reshape(-1, *[1] * (x.ndim - 1))
    return n, np.abs(x - y).mean(axis=0), (factor * ordered).sum(axis=0)


def fair_crps(members: ArrayLike, truth: ArrayLike) -> F64:
    """CRPS of the distribution behind the members, in their unit.

    Args:
        members: shape [member, ...], at least two.
        truth: shape [...].
    """
    n, skill, pairs = _parts(members, truth)
    return np.asarray(skill - pairs / (n * (n - 1)))


def plain_crps(members: ArrayLike, truth: ArrayLike) -> F64:
    """CRPS of the members as they are, in their unit."""
    n, skill, pairs = _parts(members, truth)
    return np.asarray(skill - pairs / n**2)


@dataclass(frozen=True, kw_only=True)
class SpreadSkill:
    """Whether an ensemble is as wide as it is wrong."""

    spread: float
    """Root of the mean unbiased variance of the members."""
    error: float
    """Root mean square error of the ensemble mean, its sampling noise var/n taken off."""
    ratio: float
    """sqrt(1 + 1/n) x spread over the plain error: 1 for members like the truth."""


def spread_skill(members: ArrayLike, truth: ArrayLike, weight: ArrayLike) -> SpreadSkill:
    """Of members, shape [member, ...], against a truth, shape [...], with weights of its cells."""
    x, y = np.asarray(members, np.float64), np.asarray(truth, np.float64)
    w = np.broadcast_to(np.asarray(weight, np.float64), y.shape)
    n = x.shape[0]
    variance = float(np.average(x.var(axis=0, ddof=1), weights=w))
    square = float(np.average((x.mean(axis=0) - y) ** 2, weights=w))
    return SpreadSkill(
        spread=float(np.sqrt(variance)),
        error=float(np.sqrt(max(0.0, square - variance / n))),
        ratio=float(np.sqrt((1.0 + 1.0 / n) * variance / square)) if square > 0.0 else float("nan"),
    )


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of the truth lies between two members."""

    share: float
    expected: float
    """Of members like the truth: 1 - 2 k/(n + 1) between the k-th smallest and the k-th largest."""


def coverage(
    members: ArrayLike, truth: ArrayLike, weight: ArrayLike = 1.0, level: float = 0.9
) -> Coverage:
    """Share of the truth between the two members that are nearest to holding `level` of it.

    A truth like the n members has each of n + 1 ranks among them as often: whole ranks have a known
    chance whatever the distribution, quantiles of few members lie too far inside. Eight members
    hold 7/9 between the smallest and the largest and cannot hold more.

    Args:
        members: shape [member, ...], at least two.
        truth: shape [...].
        weight: of its cells, broadcast against it.
        level: that is wanted.
    """
    x, y = np.sort(np.asarray(members, np.float64), axis=0), np.asarray(truth, np.float64)
    n = x.shape[0]
    k = min(max(1, round(0.5 * (1.0 - level) * (n + 1))), n // 2)
    inside = (y >= x[k - 1]) & (y <= x[n - k])
    w = np.broadcast_to(np.asarray(weight, np.float64), y.shape)
    return Coverage(share=float(np.average(inside, weights=w)), expected=1.0 - 2.0 * k / (n + 1.0))


def rank_histogram(members: ArrayLike, truth: ArrayLike) -> NDArray[np.int64]:
    """How often the truth has each rank among the members, shape [member + 1]."""
    x, y = np.asarray(members, np.float64), np.asarray(truth, np.float64)
    ranks = (x < y).sum(axis=0).ravel()
    return np.bincount(ranks, minlength=x.shape[0] + 1).astype(np.int64)
