r"""How much consecutive pieces of one record know of each other, and which count as independent.

A series that forgets by phi from one record to the next (e-folding after tau records: phi =
exp(-1/tau)) is cut into pieces of L records. The means of two pieces, m apart, have the correlation

    rho_m = phi^(L (m-1) + 1) (1 - phi^L)^2 / (L (1 - phi^2) - 2 phi (1 - phi^L))

(variance and covariance of sums of an autoregressive series of first order). The *block* is the
smallest m with rho_m below `ENOUGH`: pieces so far apart are dealt among the members of a candidate
as if they were independent, what is between them is not; intervals come from blocks of so many
pieces in a row (`coupler.compare.statistics.significance`). tau is the longest of the global means
of wind, temperature, humidity and rain. A season or a trend counts as memory, too, which makes the
test careful.
"""

from __future__ import annotations

import math

import numpy as np

from coupler.compare.forecasts import global_means
from coupler.compare.sample import Sample
from coupler.compare.statistics.significance import decorrelation_time

ENOUGH = 0.1
"""Correlation of pieces that count as independent: it widens the variance of a mean by a fifth at
the most, a standard error by a tenth."""


def memory(sample: Sample) -> int:
    """Longest time after which a global mean has forgotten itself, in records."""
    series = list(global_means(sample).values())
    if "pr" in sample.flat:
        rain = np.asarray(sample.flat["pr"].mean(axis=2, dtype=np.float64))
        known = np.isfinite(rain).all(axis=0)
        if known.any():
            series.append(rain[:, known] @ sample.area[known])
    return max((decorrelation_time(x) for x in series), default=1)


def piece_correlation(tau: float, length: int, apart: int = 1) -> float:
    """Of the means of two pieces.

    Args:
        tau: e-folding time [records].
        length: of a piece [records].
        apart: 1 for one piece and the next.
    """
    phi = math.exp(-1.0 / tau)
    rest = 1.0 - phi**length
    below = length * (1.0 - phi * phi) - 2.0 * phi * rest
    return phi ** (length * (apart - 1) + 1) * rest * rest / below


def block_of(tau: int, length: int) -> int:
    """Pieces from one that counts as independent to the next, 1 where all do.

    Args:
        tau: time of decorrelation [records]; 1, the shortest that is told, is no memory.
        length: of a piece [records].
    """
    if tau <= 1:
        return 1
    apart = 1
    while piece_correlation(tau, length, apart) > ENOUGH:
        apart += 1
    return apart
