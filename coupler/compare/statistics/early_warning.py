"""Early warning: does a series lose its restoring force?

Near a state that is about to be left, disturbances decay ever more slowly: the variance and the
correlation from one value to the next rise (Scheffer et al. 2009, doi:10.1038/nature08227). After
the slow part is taken off with a Gaussian kernel, both are measured in a window that moves along,
and their trend is Kendall's tau against time (Dakos et al. 2008, doi:10.1073/pnas.0802430105).

Neighbouring windows share most of their values, so that tau is large by chance. Its probability is
that among surrogates which went through all the same steps: a stationary first-order autoregression
with the series' own correlation and variance, or the series with the phases of its spectrum drawn
anew (Theiler et al. 1992, doi:10.1016/0167-2789(92)90102-S). Of two indicators the smaller
probability counts twice (Bonferroni), so that alarms without cause stay below the level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from coupler.interface.errors import DataError

F64 = NDArray[np.float64]
Kind = Literal["ar1", "phase"]
LEAST_VALUES = 40
_POSITIONS = 80
"""Positions of the window at most."""


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """What a series says about its end."""

    variance_trend: float
    """Kendall's tau of the variance in the window."""
    memory_trend: float
    """The same of the correlation from one value to the next."""
    variance_probability: float
    memory_probability: float

    @property
    def probability(self) -> float:
        """Of a trend like the stronger one in a series that goes nowhere."""
        return min(1.0, 2.0 * min(self.variance_probability, self.memory_probability))


def rolling(series: ArrayLike, window: int, positions: int = _POSITIONS) -> tuple[F64, F64]:
    """Variance, and correlation from one value to the next, in a moving window.

    Args:
        series: shape [..., time].
        window: values in it.
        positions: at most so many windows, evenly spread.

    Returns:
        Both with shape [..., position].
    """
    x = np.asarray(series, np.float64)
    last = x.shape[-1] - window
    at = np.unique(np.linspace(0, last, min(positions, last + 1)).round().astype(int))

    def total(z: F64, length: int) -> F64:
        sums = np.concatenate([np.zeros((*z.shape[:-1], 1)), z.cumsum(axis=-1)], axis=-1)
        return np.asarray(sums[..., at + length] - sums[..., at])

    x = x - x.mean(axis=-1, keepdims=True)  # sums of squares lose no digits
    mean = total(x, window) / window
    variance = np.maximum(total(x * x, window) / window - mean**2, 0.0)
    products = total(x[..., :-1] * x[..., 1:], window - 1)
    ends = total(x, window - 1) + total(x[..., 1:], window - 1)
    covariance = (products - mean * ends + (window - 1) * mean**2) / window
    with np.errstate(invalid="ignore", divide="ignore"):
        memory = np.where(variance > 0.0, covariance / variance, 0.0)
    return np.asarray(variance * window / (window - 1)), np.asarray(memory)


def trend(series: ArrayLike) -> F64:
    """Kendall's tau of values against their order, shape [...], of [..., position]."""
    x = np.asarray(series, np.float64)
    n = x.shape[-1]
    score = sum(np.sign(x[..., k:] - x[..., :-k]).sum(axis=-1) for k in range(1, n))
    return np.asarray(score / (0.5 * n * (n - 1)))


def without_slow_part(series: ArrayLike, bandwidth: float) -> F64:
    """What a Gaussian kernel leaves; `bandwidth` is its deviation in steps."""
    x = np.asarray(series, np.float64)
    return np.asarray(x - gaussian_filter1d(x, bandwidth, axis=-1, mode="nearest"))


def ar1_surrogates(series: ArrayLike, count: int, seed: int = 0) -> F64:
    """Stationary first-order autoregressions like the series, shape [count, time]."""
    x = np.asarray(series, np.float64)
    x = x - x.mean()
    n = x.size
    phi = float((x[1:] @ x[:-1]) / (x @ x)) if x.any() else 0.0
    # The estimate is low by (1 + 3 phi)/n (Kendall 1954, doi:10.1093/biomet/41.3-4.403).
    phi = min(max(phi + (1.0 + 3.0 * phi) / n, -0.999), 0.999)
    z = np.random.default_rng(seed).standard_normal((count, n))
    found = np.empty_like(z)
    found[:, 0] = z[:, 0]
    kick = np.sqrt(1.0 - phi * phi)
    for i in range(1, n):
        found[:, i] = phi * found[:, i - 1] + kick * z[:, i]
    return np.asarray(found * x.std())


def phase_surrogates(series: ArrayLike, count: int, seed: int = 0) -> F64:
    """The series' spectrum with phases drawn anew, shape [count, time]."""
    x = np.asarray(series, np.float64)
    waves = np.fft.rfft(x - x.mean())
    turned = np.random.default_rng(seed).uniform(0.0, 2.0 * np.pi, (count, waves.size))
    turned[:, 0] = 0.0
    if x.size % 2 == 0:
        turned[:, -1] = 0.0  # the shortest wave has no phase
    return np.asarray(np.fft.irfft(waves * np.exp(1j * turned), n=x.size))


def warning(
    series: ArrayLike,
    *,
    window: float = 0.5,
    bandwidth: float = 0.1,
    kind: Kind = "ar1",
    surrogates: int = 400,
    seed: int = 0,
) -> Alarm:
    """Trends of variance and memory, and how likely they are without cause.

    Args:
        series: evenly spaced in time, shape [time].
        window: share of the series.
        bandwidth: of the kernel that takes off the slow part, share of the series.
        kind: of the surrogates.
        surrogates: how many; probabilities are not below one over so many.
        seed: of their random numbers.

    Raises:
        DataError: for a series that is too short, not finite, or constant.
    """
    x = np.asarray(series, np.float64)
    if x.size < LEAST_VALUES or not np.isfinite(x).all() or not np.ptp(x) > 0.0:
        raise DataError.of(
            "a series that cannot warn",
            "early warning",
            expected=f"at least {LEAST_VALUES} finite values that are not all equal",
            found=f"{x.size} values, {np.isfinite(x).sum()} of them finite",
            remedy="write output more often, or leave out what came after the failure",
        )
    width = max(8, round(window * x.size))
    rest = without_slow_part(x, bandwidth * x.size)
    made = (ar1_surrogates if kind == "ar1" else phase_surrogates)(rest, surrogates, seed)
    # Surrogates lose their slow part, too, as the series has: their windows are as dependent.
    everything = np.concatenate([rest[None], without_slow_part(made, bandwidth * x.size)])
    variance, memory = (trend(r) for r in rolling(everything, width))

    def probability(tau: F64) -> float:
        return float(np.sum(tau >= tau[0] - 1e-12)) / tau.size  # itself among them

    return Alarm(
        variance_trend=float(variance[0]),
        memory_trend=float(memory[0]),
        variance_probability=probability(variance),
        memory_probability=probability(memory),
    )
