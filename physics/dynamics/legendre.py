r"""Gaussian nodes and associated Legendre functions, in float64.

Normalisation: ``(1/2) int_{-1}^{1} P_n^m(mu)^2 dmu = 1``, so ``P_0^0 = 1`` and the coefficient
(0, 0) of a field is its global mean. No Condon-Shortley phase.

    P_m^m     = sqrt((2m+1)/(2m)) cos(phi) P_{m-1}^{m-1}
    mu P_n^m  = eps_{n+1}^m P_{n+1}^m + eps_n^m P_{n-1}^m,  eps_n^m = sqrt((n^2-m^2)/(4n^2-1))

The three-term recurrence in n at fixed m is stable upwards. Source: Belousov, S. L. (1962), Tables
of normalized associated Legendre polynomials, Pergamon; Swarztrauber, P. N. (2003), SIAM J. Sci.
Comput. 24, 945-949, doi:10.1137/S1064827500379690 (nodes by Newton's method).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


def gaussian_nodes(nlat: int) -> tuple[Float64, Float64]:
    """Gauss-Legendre nodes and weights.

    Args:
        nlat: number of latitudes.

    Returns:
        sin(latitude) from south to north [1], shape [nlat], and weights [1], shape [nlat], that
        sum to 2. Both are exactly symmetric about the equator.
    """
    half = (nlat + 1) // 2
    x = np.cos(np.pi * (np.arange(1, half + 1) - 0.25) / (nlat + 0.5))
    slope = np.ones_like(x)
    for _ in range(10):
        below, value = np.ones_like(x), x.copy()
        for n in range(2, nlat + 1):
            below, value = value, ((2 * n - 1) * x * value - (n - 1) * below) / n
        slope = nlat * (below - x * value) / (1.0 - x * x)
        step = value / slope
        x = x - step
        if float(np.max(np.abs(step))) < 1e-15:
            break
    if nlat % 2:
        x[-1] = 0.0
    weight = 2.0 / ((1.0 - x * x) * slope * slope)
    north, north_weight = x[: nlat // 2], weight[: nlat // 2]
    mu = np.concatenate([-x, north[::-1]])
    weights = np.concatenate([weight, north_weight[::-1]])
    return mu, weights * (2.0 / weights.sum())


def epsilon(truncation: int) -> Float64:
    """Recurrence factor eps_n^m for n = m + l, l = 0..T+2.

    Returns:
        shape [T+1, T+3]: eps[m, l] [1]; the entry l = 0 is 0.
    """
    m = np.arange(truncation + 1, dtype=np.float64)[:, None]
    n = m + np.arange(truncation + 3, dtype=np.float64)[None, :]
    return np.sqrt((n * n - m * m) / np.maximum(4.0 * n * n - 1.0, 1.0))


def legendre_functions(truncation: int, mu: Float64) -> Float64:
    """Normalised associated Legendre functions at the given nodes.

    Args:
        truncation: triangular truncation T.
        mu: sin(latitude) [1], shape [nlat].

    Returns:
        shape [T+1 (m), T+2 (l = n - m), nlat]. Entries with n > T + 1 are 0: a scalar uses
        n <= T, the components of a vector times cos(latitude) reach n = T + 1.
    """
    cos_lat = np.sqrt(1.0 - mu * mu)
    eps = epsilon(truncation)
    size = truncation + 2
    table = np.zeros((truncation + 1, size, mu.size))
    sectoral = np.ones_like(mu)
    for m in range(truncation + 1):
        if m:
            sectoral = np.sqrt((2.0 * m + 1.0) / (2.0 * m)) * cos_lat * sectoral
        table[m, 0] = sectoral
        table[m, 1] = mu * sectoral / eps[m, 1]
        for el in range(2, truncation + 2 - m):
            table[m, el] = (mu * table[m, el - 1] - eps[m, el - 1] * table[m, el - 2]) / eps[m, el]
    return table
