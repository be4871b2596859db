"""Distances between climates: distributions by Wasserstein, maps and spectra by root mean square.

The distance of Wasserstein of order one between two distributions on a line,

    W1 = integral |F_a(x) - F_b(x)| dx = integral_0^1 |Q_a(p) - Q_b(p)| dp,

is the mean distance by which mass has to be moved, in the unit of x (F: cumulative distribution,
Q: its inverse). Weights are those of cells: area for maps, mass for layers.
Spectra are compared below two thirds of the smaller Nyquist wavenumber, after the mean over the run
(Ross et al. 2023, doi:10.1029/2022MS003258).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]
LEVELS = np.concatenate(
    [[0.0005, 0.001, 0.0025, 0.005], np.arange(0.01, 0.995, 0.01), [0.995, 0.9975, 0.999, 0.9995]]
)
"""Probabilities at which `quantiles` looks, closer together in the tails."""


def wasserstein(
    a: ArrayLike,
    b: ArrayLike,
    weight_a: ArrayLike | None = None,
    weight_b: ArrayLike | None = None,
) -> float:
    """W1 between two weighted samples, exactly, in their unit.

    Args:
        a: values; any shape.
        b: values; any shape and number.
        weight_a: weight of each value of `a` (default: alike).
        weight_b: weight of each value of `b`.
    """
    (x, p), (y, q) = _sorted(a, weight_a), _sorted(b, weight_b)
    steps = np.sort(np.concatenate([x, y]))
    below_a = np.concatenate([[0.0], np.cumsum(p)])[np.searchsorted(x, steps[:-1], side="right")]
    below_b = np.concatenate([[0.0], np.cumsum(q)])[np.searchsorted(y, steps[:-1], side="right")]
    return float(np.sum(np.abs(below_a - below_b) * np.diff(steps)))


def _sorted(values: ArrayLike, weight: ArrayLike | None) -> tuple[F64, F64]:
    x = np.asarray(values, np.float64).ravel()
    w = np.ones(x.size) if weight is None else np.asarray(weight, np.float64).ravel()
    order = np.argsort(x, kind="stable")
    return x[order], w[order] / w.sum()


def quantiles(values: ArrayLike, weight: ArrayLike, at: ArrayLike = LEVELS) -> F64:
    """Quantiles of a weighted sample, linear between the middles of its steps.

    Args:
        values: any shape.
        weight: of each value; the same shape.
        at: probabilities.
    """
    x, w = _sorted(values, weight)
    return np.asarray(np.interp(np.asarray(at, np.float64), np.cumsum(w) - 0.5 * w, x))


def quantile_weights(at: ArrayLike = LEVELS) -> F64:
    """Width in probability that each of the quantiles stands for; sums to 1.

    ``sum(width * |Q_a - Q_b|)`` is W1 by the rule of the midpoint.
    """
    p = np.asarray(at, np.float64)
    edges = np.concatenate([[0.0], 0.5 * (p[1:] + p[:-1]), [1.0]])
    return np.asarray(np.diff(edges))


def area_weights(lat: ArrayLike, bounds: ArrayLike | None = None) -> F64:
    """Share of the globe's area of each latitude; sums to 1.

    Args:
        lat: [degrees_north], shape [lat], ascending or descending.
        bounds: edges of the cells [degrees_north], shape [lat, 2]; by default half-way between
            latitudes, and the poles.
    """
    middle = np.asarray(lat, np.float64)
    if bounds is None:
        inner = 0.5 * (middle[1:] + middle[:-1])
        ends = (-90.0, 90.0) if middle.size < 2 or middle[1] > middle[0] else (90.0, -90.0)
        edges = np.concatenate([[ends[0]], inner, [ends[1]]])
        pairs = np.stack([edges[:-1], edges[1:]], axis=1)
    else:
        pairs = np.asarray(bounds, np.float64)
    area = np.abs(np.diff(np.sin(np.radians(pairs)), axis=1))[:, 0]
    return np.asarray(area / area.sum())


def heating_in_watts(rate: ArrayLike, mass: ArrayLike, capacity: float) -> F64:
    """Tendency of temperature [K s-1] as the energy that it takes [W m-2].

    Args:
        rate: dT/dt, or dq/dt with the latent heat as `capacity` [J kg-1].
        mass: of the layer [kg m-2].
        capacity: specific heat [J kg-1 K-1] or latent heat [J kg-1].
    """
    return np.asarray(np.asarray(rate, np.float64) * np.asarray(mass, np.float64) * capacity)


def weighted_mean(x: ArrayLike, weight: ArrayLike) -> float:
    """Mean over what is finite, its weights normalized."""
    values, w = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(weight, np.float64))
    w = np.where(np.isfinite(values), w, 0.0)
    total = w.sum()
    return float((w * np.nan_to_num(values)).sum() / total) if total > 0.0 else float("nan")


def rmse(a: ArrayLike, b: ArrayLike, weight: ArrayLike) -> float:
    """Root of the weighted mean square difference, root last."""
    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    return float(np.sqrt(weighted_mean(difference**2, weight)))


def zonal_power(field: ArrayLike) -> F64:
    """Variance by zonal wavenumber 0 ... n/2 along the last axis; its sum is the mean square.

    Args:
        field: [any unit], shape [..., lon].
    """
    x = np.asarray(field, np.float64)
    n = x.shape[-1]
    power = np.abs(np.fft.rfft(x, axis=-1) / n) ** 2
    twice = np.full(power.shape[-1], 2.0)
    twice[0] = 1.0
    if n % 2 == 0:
        twice[-1] = 1.0
    return np.asarray(power * twice)


def isotropic_power(field: ArrayLike, length: float) -> tuple[F64, F64]:
    """Variance density by wavenumber of a doubly periodic square.

    Args:
        field: shape [..., y, x], as many points in y as in x.
        length: side of the square [m].

    Returns:
        Wavenumbers [rad m-1], shape [k], and variance in each ring, shape [..., k]. The rings are
        as wide as the smallest wavenumber and end at the Nyquist wavenumber; corners are left out.
    """
    x = np.asarray(field, np.float64)
    n = x.shape[-1]
    power = np.abs(np.fft.fft2(x) / n**2) ** 2
    k = np.fft.fftfreq(n, 1.0 / n)
    ring = np.rint(np.hypot(k[:, None], k[None, :])).astype(int)
    inside = ring <= n // 2
    summed = np.zeros((*x.shape[:-2], n // 2 + 1))
    for r in range(n // 2 + 1):
        summed[..., r] = power[..., (ring == r) & inside].sum(axis=-1)
    return 2.0 * np.pi / length * np.arange(n // 2 + 1), summed


def spectral_rmse(k: ArrayLike, a: ArrayLike, b: ArrayLike, nyquist: float | None = None) -> float:
    """Root mean square difference of two spectra below two thirds of the Nyquist wavenumber.

    Args:
        k: wavenumbers, ascending, shape [k].
        a: mean spectrum of one run, shape [k].
        b: of the other.
        nyquist: the smaller one of both runs; default: the largest of `k`.
    """
    wavenumber = np.asarray(k, np.float64)
    below = wavenumber < 2.0 / 3.0 * (wavenumber[-1] if nyquist is None else nyquist)
    difference = (np.asarray(a, np.float64) - np.asarray(b, np.float64))[below]
    return float(np.sqrt(np.mean(difference**2)))
