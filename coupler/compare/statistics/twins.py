"""Twins: runs whose starts differ by almost nothing, and how fast they part.

    d(t) = d(0) exp(r t)    until d is no longer small against what any two states differ

as Lorenz (1982, doi:10.1111/j.2153-3490.1982.tb01839.x) looked at errors of forecasts. Each pair
gives one rate r [day-1], the slope of ln d by least squares, from when the perturbation has turned
into the direction that grows until d is a tenth of its saturation; the interval is Student's over
pairs. A candidate whose twins part faster than those of the reference amplifies small errors by
itself, one whose twins part slower damps what the flow would make of them. Pairs that never differ
have no rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coupler.compare.statistics.student import difference_interval, mean_interval
from coupler.interface.errors import DataError

F64 = NDArray[np.float64]
LEAST_POINTS = 3
"""Of a pair, between the first days and saturation."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Growth:
    """Of all pairs of one candidate."""

    rates: F64
    """Of each pair that has one [day-1]."""
    rate: float
    """Their mean; NaN without a pair."""
    low: float
    high: float
    """The interval of the mean; infinitely wide with fewer than two pairs."""

    @property
    def doubling(self) -> float:
        """Days in which errors double; infinite where they do not grow."""
        return float(np.log(2.0) / self.rate) if self.rate > 0.0 else float("inf")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of two mean rates [day-1]."""

    value: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval leaves zero out."""
        return bool(self.low > 0.0 or self.high < 0.0)


def growth(
    days: ArrayLike,
    separation: ArrayLike,
    *,
    saturation: float,
    skip: float = 0.0,
    share: float = 0.1,
    level: float = 0.95,
) -> Growth:
    """Growth rate of the difference of twins.

    Args:
        days: since the start [day], shape [time].
        separation: root mean square difference of each pair, shape [pair, time].
        saturation: the same between states that have nothing to do with each other.
        skip: days at the start that are left out.
        share: of the saturation, at which a pair is no longer looked at.
        level: of the interval.

    Raises:
        DataError: for curves that do not fit the times, or a saturation that is none.
    """
    t, d = np.asarray(days, np.float64), np.atleast_2d(np.asarray(separation, np.float64))
    if d.shape[1] != t.size or not saturation > 0.0:
        raise DataError.of(
            "differences of twins that cannot be used",
            "twins",
            expected=f"{t.size} values of each pair, and a saturation above 0",
            found=f"{d.shape[1]} values, {saturation:g}",
        )
    rates = [r for row in d if np.isfinite(r := _slope(t, row, share * saturation, skip))]
    rate, low, high = mean_interval(rates, level)
    return Growth(rates=np.array(rates), rate=rate, low=low, high=high)


def _slope(t: F64, d: F64, most: float, skip: float) -> float:
    late = np.flatnonzero(~(d < most))  # NaN ends it, too
    end = int(late[0]) if late.size else t.size
    inside = np.flatnonzero((t >= skip - 1e-9) & (d > 0.0) & (np.arange(t.size) < end))
    if inside.size < LEAST_POINTS:
        return float("nan")
    x = t[inside] - t[inside].mean()
    return float(x @ np.log(d[inside]) / (x @ x))


def difference(candidate: Growth, reference: Growth, level: float = 0.95) -> Difference:
    """Rate of the candidate less that of the reference, with Welch's interval."""
    value, low, high = difference_interval(candidate.rates, reference.rates, level)
    return Difference(value=value, low=low, high=high)
