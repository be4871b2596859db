"""Scores of an estimate e against a truth t; w are area weights, <x> = sum(w x) / sum(w).

    R2 = 1 - <(e - t)^2> / <(t - <t>)^2>,  MSE = <(e - t)^2>,  variance ratio = var(e) / var(t)
    r  = cov(e, t) / sqrt(var(e) var(t))
    H2 = 1 - sum_i sqrt(p_i q_i),  H = sqrt(H2)          p, q: shares of the bins
    quantile ratio at P: Q_P(|e|) / Q_P(|t|)

H2 is what the papers on gravity-wave emulators call the Hellinger distance; it is its square
(Hellinger 1909, doi:10.1515/crll.1909.136.210). Both depend on the bins, which are stored with
them. Neither sees positions: shuffling the columns of an estimate leaves them as they are. The
ladder of quantiles shows what a mean square hides, that a net underestimates the rare large flux.

Arrays are ``[level, n]``, weights ``[n]``; results have one value per level, float64, NaN where
the truth does not vary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
F64 = NDArray[np.float64]

PERCENTILES = (90.0, 99.0, 99.9)


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Equal bins of normalized values; what lies beyond falls into the outermost ones."""

    number: int = 400
    reach: float = 4.0
    """They cover -reach to +reach, in standard deviations of the truth."""

    def shares(self, values: F64, weights: F64) -> F64:
        """Share of the weight in each bin, shape [number]; the sum is 1."""
        step = 2.0 * self.reach / self.number
        place = np.floor((values + self.reach) / step)
        index = np.clip(place, 0, self.number - 1).astype(np.intp)
        counts = np.bincount(index, weights=weights, minlength=self.number)
        return np.asarray(counts / weights.sum(), np.float64)


BINS = Bins()


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Weighted first and second moments of truth and estimate, by level."""

    mse: F64
    truth: F64
    """Variance of the truth."""
    estimate: F64
    """Variance of the estimate."""
    covariance: F64

    @property
    def r2(self) -> F64:
        """1 for a perfect estimate, 0 for the truth's mean, negative for worse."""
        return 1.0 - ratio(self.mse, self.truth)

    @property
    def correlation(self) -> F64:
        """Pearson's r; NaN where either does not vary."""
        return ratio(self.covariance, np.sqrt(self.truth * self.estimate))

    @property
    def variance_ratio(self) -> F64:
        """Below 1 where the estimate is too smooth."""
        return ratio(self.estimate, self.truth)


def moments(truth: Array, estimate: Array, weights: Array) -> Moments:
    """Moments by level.

    Args:
        truth: shape [level, n].
        estimate: shape [level, n].
        weights: of the columns, shape [n].
    """
    t, e = np.asarray(truth, np.float64), np.asarray(estimate, np.float64)
    w = np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64)
    dt, de = t - (t @ w)[:, None], e - (e @ w)[:, None]
    return Moments(
        mse=(e - t) ** 2 @ w,
        truth=_without_round_off(dt**2 @ w, t),
        estimate=_without_round_off(de**2 @ w, e),
        covariance=(dt * de) @ w,
    )


def _without_round_off(variance: F64, values: F64) -> F64:
    """A constant level keeps the round-off of its mean: that is no variance."""
    noise = (1e-14 * np.abs(values).max(axis=1, initial=0.0)) ** 2
    return np.where(variance > noise, variance, 0.0)


def ratio(over: Array | float, under: Array | float) -> F64:
    """`over` / `under`, NaN where `under` is 0."""
    over, under = np.broadcast_arrays(np.asarray(over, np.float64), np.asarray(under, np.float64))
    out = np.full(under.shape, np.nan)
    return np.asarray(np.divide(over, under, out=out, where=under != 0.0), np.float64)


def pooled_r2(truth: Array, estimate: Array, weights: Array, scale: Array | None = None) -> float:
    """R2 of all levels in one sum, around each level's mean, after division by `scale` [level].

    Levels with a scale of 0 are left out. Without a scale what varies most counts most.
    """
    found = moments(truth, estimate, weights)
    square = np.ones_like(found.mse) if scale is None else ratio(1.0, np.square(scale))
    used = np.isfinite(square)
    total = float((found.truth * square)[used].sum())
    return 1.0 - float((found.mse * square)[used].sum()) / total if total > 0.0 else float("nan")


def hellinger_squared(truth: Array, estimate: Array, weights: Array, bins: Bins = BINS) -> F64:
    """1 - sum sqrt(p q) by level; both are normalized by mean and deviation of the truth."""
    t, e = np.asarray(truth, np.float64), np.asarray(estimate, np.float64)
    w = np.asarray(weights, np.float64)
    variance = moments(t, t, w).truth
    found = np.full(t.shape[0], np.nan)
    for k in np.flatnonzero(variance):
        mean, deviation = float(t[k] @ w / w.sum()), float(np.sqrt(variance[k]))
        p, q = (bins.shares((x[k] - mean) / deviation, w) for x in (t, e))
        found[k] = max(0.0, 1.0 - float(np.sqrt(p * q).sum()))
    return found


def quantile_ratios(
    truth: Array, estimate: Array, weights: Array, percentiles: tuple[float, ...] = PERCENTILES
) -> F64:
    """Quantiles of |estimate| over those of |truth|, shape [percentile, level]."""
    t, e = np.abs(np.asarray(truth, np.float64)), np.abs(np.asarray(estimate, np.float64))
    w = np.asarray(weights, np.float64)

    def quantiles(x: F64) -> F64:
        share = np.asarray(percentiles) / 100.0
        by_level = [np.quantile(row, share, weights=w, method="inverted_cdf") for row in x]
        return np.stack(by_level, axis=1)

    return ratio(quantiles(e), quantiles(t))


def by_band(
    truth: Array, estimate: Array, weights: Array, lat: Array, edges: Array
) -> tuple[F64, F64]:
    """R2 and MSE by level in bands of latitude, shape [level, band]; NaN without columns.

    Args:
        truth: shape [level, n].
        estimate: shape [level, n].
        weights: shape [n].
        lat: [degrees_north], shape [n].
        edges: of the bands [degrees_north], shape [band + 1], ascending.
    """
    r2, mse = np.full((2, truth.shape[0], edges.size - 1), np.nan)
    band = np.clip(np.searchsorted(edges, lat, side="right") - 1, 0, edges.size - 2)
    for b in range(edges.size - 1):
        inside = band == b
        if inside.any():
            found = moments(truth[:, inside], estimate[:, inside], weights[inside])
            r2[:, b], mse[:, b] = found.r2, found.mse
    return r2, mse


def mean_by_variance(values: Array, deviation: Array) -> float:
    """Mean over levels, weighted with the truth's variance; what is NaN is left out.

    Of R2 and of the variance ratio it is what all levels give in one sum.
    """
    v, w = np.asarray(values, np.float64), np.asarray(deviation, np.float64) ** 2
    some = np.isfinite(v) & (w > 0.0)
    return float(ratio(v[some] @ w[some], w[some].sum()))


def normalized(flux: Array, scale: Array, mean: Array | None = None, *, cubic: bool = False) -> F64:
    """A flux as a network gives it: ``F / scale``, or the real cube root of ``(F - mean) / scale``
    where `cubic`.

    Args:
        flux: shape [level, n].
        scale: shape [level]; NaN results where it is 0.
        mean: shape [level], of a cubic one.
        cubic: the bundle's ``transform: cbrt``.
    """
    f = np.asarray(flux, np.float64)
    if cubic and mean is not None:
        f = f - np.asarray(mean, np.float64)[:, None]
    y = ratio(f, np.asarray(scale, np.float64)[:, None])
    return np.cbrt(y) if cubic else y


def correlation_in_time(truth: Array, estimate: Array, times: int) -> F64:
    """Pearson's r over time of each column, shape [level, column]; NaN where one does not vary.

    Args:
        truth: shape [level, time x column], the same columns at all times.
        estimate: shape [level, time x column].
        times: number of times.
    """
    rows, n = truth.shape
    order = (rows, times, n // times)
    t, e = (
        np.moveaxis(np.asarray(x, np.float64).reshape(order), 1, 2).reshape(-1, times)
        for x in (truth, estimate)
    )
    found = moments(t, e, np.ones(times))
    return found.correlation.reshape(rows, n // times)
