"""Intervals of means of few independent normal values: Student's and Welch's.

    mean(x) +- t sd(x) / sqrt(n),                       n - 1 degrees of freedom
    mean(x) - mean(y) +- t sqrt(vx + vy),               vx = sd(x)^2 / n, vy = sd(y)^2 / m,
                                   (vx + vy)^2 / (vx^2 / (n - 1) + vy^2 / (m - 1)) of them

with t the quantile of Student's distribution (Student 1908, doi:10.1093/biomet/6.1.1; Welch 1947,
doi:10.1093/biomet/34.1-2.28). One value tells nothing of its spread: its interval has no end.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

Interval = tuple[float, float, float]
"""An estimate and the ends of its interval, in the unit of the values."""


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of independent values and its interval.

    Args:
        values: any unit, any shape.
        level: of the interval.

    Returns:
        Mean, low, high: (-inf, inf) for fewer than two values, whose mean is NaN for none.
    """
    x = np.asarray(values, np.float64).ravel()
    mean = float(x.mean()) if x.size else math.nan
    if x.size < 2:
        return mean, -math.inf, math.inf
    half = _quantile(level, x.size - 1) * float(x.std(ddof=1)) / math.sqrt(x.size)
    return mean, mean - half, mean + half


def difference_interval(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of `a` less that of `b`, independent values of unequal spread, and its interval.

    Args:
        a: any unit, any shape.
        b: in the same unit.
        level: of the interval.

    Returns:
        Difference, low, high: (-inf, inf) where there are fewer than two of either.
    """
    x, y = (np.asarray(z, np.float64).ravel() for z in (a, b))
    value = float(x.mean() - y.mean()) if min(x.size, y.size) else math.nan
    if min(x.size, y.size) < 2:
        return value, -math.inf, math.inf
    vx, vy = float(x.var(ddof=1)) / x.size, float(y.var(ddof=1)) / y.size
    if vx + vy == 0.0:
        return value, value, value
    freedom = (vx + vy) ** 2 / (vx**2 / (x.size - 1) + vy**2 / (y.size - 1))
    half = _quantile(level, freedom) * math.sqrt(vx + vy)
    return value, value - half, value + half


def _quantile(level: float, freedom: float) -> float:
    return float(student.ppf(0.5 + 0.5 * level, freedom))
