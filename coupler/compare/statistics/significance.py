"""Is a difference one of the runs, or of the weather? Intervals, tests and sample sizes.

*Members.* Two ensembles of equally likely members differ by D(mean_a, mean_b). Were there no
difference, every way of dealing the same members into two ensembles would be equally likely, so
that the share of dealings with a distance at least as large is an exact probability (Fisher; Ernst
2004, doi:10.1214/088342304000000396). n members each have C(2n, n)/2 dealings: with fewer than six
there is no probability small enough to survive a correction for some tens of metrics, whatever the
difference. `least_probability` says so beforehand.

*Series.* Blocks of a series are drawn instead of its values, as long as it remembers itself
(Kuensch 1989, doi:10.1214/aos/1176347265).

*Many metrics.* Holm's correction (1979, jstor.org/stable/4615733) keeps the chance of one false
alarm among all of them below the level.

*Members needed.* For a power of 80 % at 5 % in each of two ensembles, n = 2 (1.96 + 0.84)^2
(sd / effect)^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, spearmanr
from scipy.stats import t as student

from coupler.compare.statistics.student import mean_interval

F64 = NDArray[np.float64]
Statistic = Callable[[NDArray[np.intp]], float]
"""A number from the indices of the starts that were drawn."""


# -- dealing members into two ensembles ------------------------------------------------------------


def deals(a: int, b: int, most: int = 10_000, seed: int = 0) -> F64:
    """Ways of dealing a + b members into ensembles of `a` and `b`.

    Args:
        a: members of the first ensemble.
        b: of the second.
        most: number of ways; if there are more, so many are drawn.
        seed: of the drawing.

    Returns:
        Weights that make mean_a - mean_b of the members, shape [way, member]; the first way is the
        one that was found.
    """
    total = a + b
    if math.comb(total, a) <= most:
        chosen = np.array(list(combinations(range(total), a)))  # the first is 0 ... a-1
    else:
        generator = np.random.default_rng(seed)
        drawn = np.argsort(generator.random((most - 1, total)), axis=1)[:, :a]
        chosen = np.concatenate([np.arange(a)[None], drawn])
    weights = np.full((chosen.shape[0], total), -1.0 / b)
    np.put_along_axis(weights, chosen, 1.0 / a, axis=1)
    return weights


def distances_of_deals(members: F64, weights: F64, metric: F64, order: int) -> F64:
    """Distance between the two ensemble means of every way of dealing, shape [way].

    Args:
        members: shape [member, value].
        weights: of `deals`, shape [way, member].
        metric: weight of each value, shape [value].
        order: 2 for the root of the weighted square, 1 for the weighted absolute difference.
    """
    if order == 2:
        scaled = (members - members.mean(axis=0)) * np.sqrt(metric)
        gram = scaled @ scaled.T
        square = np.einsum("wi,ij,wj->w", weights, gram, weights, optimize=True)
        return np.asarray(np.sqrt(np.maximum(square, 0.0)))
    found = np.empty(weights.shape[0])
    step = max(1, 2_000_000 // max(members.shape[1], 1))
    for start in range(0, found.size, step):
        part = weights[start : start + step] @ members
        found[start : start + step] = np.abs(part) @ metric
    return found


def probability(distances: F64) -> float:
    """Share of the ways of dealing that are at least as far apart as the first."""
    return float(np.mean(distances >= distances[0] * (1.0 - 1e-9)))


def least_probability(a: int, b: int, most: int = 10_000) -> float:
    """The smallest probability that so many members could give; 1 without two in each."""
    if min(a, b) < 2:
        return 1.0
    ways = math.comb(a + b, a)
    # With ensembles of the same size each way comes twice, mirrored.
    return (2.0 if a == b else 1.0) / ways if ways <= most else 1.0 / most


def members_for_a_claim(metrics: int, level: float = 0.05, most: int = 10_000) -> int:
    """Fewest members of two equal ensembles that could show a difference in one of so many metrics.

    Args:
        metrics: how many are tested together.
        level: of the test of all of them.
        most: ways of dealing that are looked at.
    """
    n = 2
    while least_probability(n, n, most) * metrics > level and n < 100:
        n += 1
    return n


# -- many metrics, intervals, members needed -------------------------------------------------------


def holm(probabilities: ArrayLike) -> F64:
    """Probabilities after Holm's correction; NaN is left out of the count and stays NaN."""
    p = np.asarray(probabilities, np.float64)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (order.size - rank) * float(p[index])))
        adjusted[index] = running
    return adjusted


def blocks(n: int, block: int, count: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Indices of samples of n starts, see `bootstrap`."""
    generator = np.random.default_rng(seed)
    block = max(1, min(block, n))
    starts = n - block + 1
    for _ in range(count):
        first = generator.integers(0, starts, math.ceil(n / block))
        yield (first[:, None] + np.arange(block)).ravel()[:n]


def bootstrap(
    statistic: Statistic, n: int, *, block: int = 1, count: int = 1000, seed: int = 0
) -> F64:
    """The statistic of samples of n starts, drawn in overlapping blocks with replacement.

    Args:
        statistic: of the indices drawn; the same indices for all candidates pair them.
        n: how many starts there are.
        block: length of a block: the decorrelation time of a series, 1 for independent members.
        count: number of samples.
        seed: of the drawing.
    """
    return np.array([statistic(index) for index in blocks(n, block, count, seed)])


def pivotal(estimate: float, samples: F64, level: float = 0.95) -> tuple[float, float]:
    """Interval 2 theta - q from bootstrap samples, which takes their bias off.

    A distance between two noisy means is too large, one between resampled ones more so by as much
    again: quantiles themselves would lie beside the estimate.
    """
    known = samples[np.isfinite(samples)]
    if known.size < 2 or not np.isfinite(estimate):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
    return float(2.0 * estimate - high), float(2.0 * estimate - low)


def paired(differences: ArrayLike, level: float = 0.95) -> tuple[float, float, float, float]:
    """Mean of independent paired differences, its interval by Student's t, and the probability.

    The interval is infinitely wide, the probability NaN, for fewer than two.
    """
    d = np.asarray(differences, np.float64).ravel()
    mean, low, high = mean_interval(d, level)
    if d.size < 2:
        return mean, low, high, float("nan")
    error = float(d.std(ddof=1)) / math.sqrt(d.size)
    if error == 0.0:
        return mean, low, high, 1.0 if mean == 0.0 else 0.0
    return mean, low, high, float(2.0 * student.sf(abs(mean) / error, d.size - 1))


def decorrelation_time(series: ArrayLike) -> int:
    """Steps until the autocorrelation of a series falls below 1/e, at least 1."""
    x = np.asarray(series, np.float64).ravel()
    x = x - x.mean()
    power = float((x * x).sum())
    if power == 0.0:
        return 1
    for lag in range(1, x.size):
        if float((x[lag:] * x[:-lag]).sum()) / power < 1.0 / math.e:
            return lag
    return max(1, int(x.size))


def members_needed(effect: float, sd: float, *, level: float = 0.05, power: float = 0.8) -> float:
    """Members of each ensemble with which the effect would be seen; infinite for no effect.

    Args:
        effect: difference of the means.
        sd: standard deviation of a member.
        level: of the two-sided test.
        power: chance of seeing it.
    """
    if not effect > 0.0:
        return float("inf")
    z = float(norm.ppf(1.0 - 0.5 * level) + norm.ppf(power))
    return float(math.ceil(2.0 * z * z * (sd / effect) ** 2 - 1e-9))


def rank_correlation(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """Spearman's rho and its interval; NaN for fewer than three, (-1, 1) below four.

    The interval is that of Fisher's z with the variance (1 + rho^2/2)/(n - 3) of Bonett and Wright
    (2000, doi:10.1007/BF02294183).
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    n = int(known.sum())
    if n < 3 or np.ptp(x[known]) == 0.0 or np.ptp(y[known]) == 0.0:
        return float("nan"), float("nan"), float("nan")
    rho = float(spearmanr(x[known], y[known])[0])
    if n < 4:
        return rho, -1.0, 1.0
    inside = max(-1.0 + 1e-12, min(1.0 - 1e-12, rho))
    half = float(norm.ppf(0.5 + 0.5 * level)) * math.sqrt((1.0 + 0.5 * rho**2) / (n - 3))
    z = math.atanh(inside)
    return rho, math.tanh(z - half), math.tanh(z + half)
