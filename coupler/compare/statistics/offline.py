"""Skill of a prediction on given inputs, with the order of averaging said.

With e = prediction - truth and a weighted mean over a set D,

    MSE = mean_D e^2,   R2 = 1 - MSE / mean_D (truth - mean_D truth)^2,   r: Pearson's correlation.

Each is given for D = everything (pooled), by level (D = all samples of it), as a map (D = time at
each point) and as a series (D = space at each time). ClimSim averages R2 over time first and over
columns last; a few columns in which nothing happens then make it anything (Yu et al. 2023,
arXiv:2306.08754). r does not see a wrong amplitude, R2 does: both stand side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coupler.compare.statistics.distances import quantiles

F64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Skill:
    """Scores over the axes that were averaged; one number each, or arrays over the rest."""

    mse: F64
    r2: F64
    r: F64
    amplitude: F64
    """Standard deviation of the prediction over that of the truth."""
    bias: F64

    @property
    def rmse(self) -> F64:
        return np.asarray(np.sqrt(self.mse))


def skill(
    truth: ArrayLike,
    prediction: ArrayLike,
    weight: ArrayLike = 1.0,
    axis: int | tuple[int, ...] | None = None,
) -> Skill:
    """Scores over some axes.

    Args:
        truth: any shape.
        prediction: the same.
        weight: broadcast against them.
        axis: averaged over; default all. R2 and r are NaN where the truth does not vary.
    """
    t, p = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
    w = np.broadcast_to(np.asarray(weight, np.float64), t.shape)
    total = w.sum(axis=axis)

    def mean(x: F64) -> F64:
        return np.asarray((w * x).sum(axis=axis) / total)

    def spread(x: F64) -> F64:
        own = mean(x)
        return x - (own if axis is None else np.expand_dims(own, axis))

    dt, dp = spread(t), spread(p)
    power, other = mean(dt * dt), mean(dp * dp)
    mse = mean((p - t) ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        varies = power > 0.0
        return Skill(
            mse=mse,
            r2=np.where(varies, 1.0 - mse / power, np.nan),
            r=np.where(varies, mean(dt * dp) / np.sqrt(power * other), np.nan),
            amplitude=np.where(varies, np.sqrt(other / power), np.nan),
            bias=mean(p - t),
        )


def columns_last(truth: ArrayLike, prediction: ArrayLike, weight: ArrayLike) -> float:
    """R2 of every column in time, then the weighted mean over columns where the truth varies.

    Args:
        truth: shape [time, ..., column].
        prediction: the same.
        weight: of the columns, shape [column].
    """
    r2 = skill(truth, prediction, axis=0).r2
    w = np.broadcast_to(np.asarray(weight, np.float64), r2.shape)
    known = np.isfinite(r2)
    return float(np.average(r2[known], weights=w[known])) if known.any() else float("nan")


def extremes(
    truth: ArrayLike,
    prediction: ArrayLike,
    weight: ArrayLike = 1.0,
    percentiles: tuple[float, ...] = (99.0, 99.9),
) -> tuple[float, ...]:
    """Percentile of |prediction| over that of |truth|; NaN where that is 0.

    Args:
        truth: any shape.
        prediction: the same; NaN for all of it where any value is.
        weight: broadcast against them.
        percentiles: of the weight.
    """
    t, p = np.abs(np.asarray(truth, np.float64)), np.abs(np.asarray(prediction, np.float64))
    w, at = np.broadcast_to(np.asarray(weight, np.float64), t.shape), np.divide(percentiles, 100.0)
    top = quantiles(p, w, at) if np.isfinite(p).all() else np.full(at.shape, np.nan)
    bottom = quantiles(t, w, at)
    known = np.divide(top, bottom, out=np.full(at.shape, np.nan), where=bottom > 0.0)
    return tuple(float(x) for x in known)


def share_above(values: ArrayLike, bound: float, weight: ArrayLike) -> float:
    """Weighted share above a bound, such as the wet part of the globe."""
    x = np.asarray(values, np.float64)
    w = np.broadcast_to(np.asarray(weight, np.float64), x.shape)
    return float(np.average(x > bound, weights=w))


def right_sign(truth_work: ArrayLike, work: ArrayLike, weight: ArrayLike) -> float:
    """Share of the true energy transfer [W kg-1] where the predicted one has its sign."""
    t, p = np.asarray(truth_work, np.float64), np.asarray(work, np.float64)
    w = np.abs(t) * np.broadcast_to(np.asarray(weight, np.float64), t.shape)
    total = float(w.sum())
    return float((w * (np.sign(t) == np.sign(p))).sum() / total) if total > 0.0 else float("nan")
