"""How two runs from the same start part ways.

    rmse(t) = sqrt(sum e^2 dp A / sum dp A)       weighted by mass and area, in the field's unit

as ClimSim-Online prints it by month, together with the numbers of short forecasts: at days 3 and 5,
the mean of days 3 to 7, and the drift (mean at day 3 - mean at day 0) / 3. Where the first record
is later, as the mean of the first day is, the drift is over the days that are between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]


def mass_rmse(a: ArrayLike, b: ArrayLike, weight: ArrayLike) -> F64:
    """Root mean square difference at each time.

    Args:
        a: shape [time, ...].
        b: the same.
        weight: dp A of the cells, shape [...], or [..., 1] for one that is the same for longitudes.
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    w = np.broadcast_to(np.asarray(weight, np.float64), x.shape[1:])
    square = ((x - y) ** 2 * (w / w.sum())).reshape(x.shape[0], -1)
    return np.asarray(np.sqrt(square.sum(axis=1)))


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Numbers of an error curve; NaN where it is too short."""

    day_3: float
    day_5: float
    days_3_to_7: float
    months: tuple[float, ...]
    """Mean of each 30 days."""


def growth(days: ArrayLike, error: ArrayLike) -> Growth:
    """Of the error at times since the start [day]."""
    t, e = np.asarray(days, np.float64), np.asarray(error, np.float64)

    def at(day: float) -> float:
        return float(np.interp(day, t, e)) if t[0] <= day <= t[-1] else float("nan")

    week = (t >= 3.0) & (t <= 7.0)
    months = [e[(t > 30.0 * m) & (t <= 30.0 * (m + 1))] for m in range(int(t[-1] // 30.0) + 1)]
    return Growth(
        day_3=at(3.0),
        day_5=at(5.0),
        days_3_to_7=float(e[week].mean()) if week.any() and t[-1] >= 6.5 else float("nan"),
        months=tuple(float(m.mean()) for m in months if m.size),
    )


def drift(days: ArrayLike, mean: ArrayLike) -> float:
    """Change per day of a global mean from the start to day 3 [unit day-1].

    Args:
        days: since the start; NaN where none is before day 3 or none after.
        mean: at these times.
    """
    t, x = np.asarray(days, np.float64), np.asarray(mean, np.float64)
    first = max(0.0, float(t[0]))
    if t[-1] < 3.0 or first >= 3.0:
        return float("nan")
    return float((np.interp(3.0, t, x) - np.interp(first, t, x)) / (3.0 - first))


def anomaly_correlation(a: ArrayLike, b: ArrayLike, climate: ArrayLike, weight: ArrayLike) -> F64:
    """sum w a'b' / sqrt(sum w a'^2 sum w b'^2) at each time, anomalies from a climate, not centred.

    Args:
        a: shape [time, ...].
        b: the same.
        climate: shape [...].
        weight: of the cells, shape [...].
    """
    x, y = (np.asarray(z, np.float64) - np.asarray(climate, np.float64) for z in (a, b))
    w = np.broadcast_to(np.asarray(weight, np.float64), x.shape[1:])

    def total(z: F64) -> F64:
        return np.asarray((z * w).reshape(z.shape[0], -1).sum(axis=1))

    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total(x * y) / np.sqrt(total(x * x) * total(y * y)))


def activity(a: ArrayLike, climate: ArrayLike, weight: ArrayLike) -> float:
    """Standard deviation of the anomalies from a climate: too smooth a model has too little."""
    x = np.asarray(a, np.float64) - np.asarray(climate, np.float64)
    w = np.broadcast_to(np.asarray(weight, np.float64), x.shape)
    mean = float(np.average(x, weights=w))
    return float(np.sqrt(np.average((x - mean) ** 2, weights=w)))


def first_below(days: ArrayLike, series: ArrayLike, bound: float) -> float:
    """First time at which a series is below a bound; infinite when it never is [day]."""
    t, x = np.asarray(days, np.float64), np.asarray(series, np.float64)
    below = np.flatnonzero(x < bound)
    return float(t[below[0]]) if below.size else float("inf")


def first_exit(days: ArrayLike, series: ArrayLike, low: float, high: float) -> float:
    """First time at which a series leaves a band or is not finite; infinite when never [day]."""
    t, x = np.asarray(days, np.float64), np.asarray(series, np.float64)
    out = np.flatnonzero(~((x >= low) & (x <= high)))
    return float(t[out[0]]) if out.size else float("inf")
