"""Similarity of a candidate's climate to a truth, relative to a baseline.

With D a distance between two climates,

    s = 1 - D(candidate, truth) / D(baseline, truth)      1: perfect, 0: as the baseline, < 0: worse
    L = log2(D(baseline, truth) / D(candidate, truth))    clipped to [-4, 4]; antisymmetric in the
                                                          exchange of candidate and baseline
    noise = D(candidate, truth) / D(control, truth)       1: within the truth's own variability
    relative = D(candidate, truth) / rms(truth)           needs no baseline

s is the measure of Ross et al. (2023, doi:10.1029/2022MS003258). It has no lower bound, so that one
metric may dominate a mean of it; a summary therefore has the median, the least, the share above
zero, and L.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]
LIMIT = 4.0
"""Largest L [octaves]: sixteen times closer or farther."""


def similarity(candidate: ArrayLike, baseline: ArrayLike) -> F64:
    """s from the distances of candidate and baseline to the truth; NaN where both are 0.

    Args:
        candidate: D(candidate, truth) >= 0, any shape.
        baseline: D(baseline, truth) >= 0, the same shape.
    """
    c, b = np.asarray(candidate, np.float64), np.asarray(baseline, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1.0 - c / b)


def octaves(candidate: ArrayLike, baseline: ArrayLike, limit: float = LIMIT) -> F64:
    """L from the distances of candidate and baseline to the truth; NaN where both are 0."""
    c, b = np.asarray(candidate, np.float64), np.asarray(baseline, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.clip(np.log2(b) - np.log2(c), -limit, limit))


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Similarity over several metrics; metrics without a score are left out and counted."""

    count: int
    missing: int
    mean: float
    median: float
    least: float
    worst: str
    """Metric of the least s."""
    share_positive: float
    octaves: float
    """Mean L."""


def summary(candidate: Mapping[str, float], baseline: Mapping[str, float]) -> Summary:
    """Of the distances of candidate and baseline to the truth, by metric.

    Args:
        candidate: D(candidate, truth) by metric.
        baseline: D(baseline, truth) by metric; metrics that one of both lacks count as missing.
    """
    names = [n for n in candidate if n in baseline]
    scores = {n: float(similarity(candidate[n], baseline[n])) for n in names}
    known = {n: s for n, s in scores.items() if not np.isnan(s)}
    total = len(dict.fromkeys([*candidate, *baseline]))
    if not known:
        nan = float("nan")
        return Summary(
            count=0,
            missing=total,
            mean=nan,
            median=nan,
            least=nan,
            worst="",
            share_positive=nan,
            octaves=nan,
        )
    values = np.array(list(known.values()))
    worst = min(known, key=known.__getitem__)
    both = octaves([candidate[n] for n in known], [baseline[n] for n in known])
    return Summary(
        count=len(known),
        missing=total - len(known),
        mean=float(values.mean()),
        median=float(np.median(values)),
        least=known[worst],
        worst=worst,
        share_positive=float(np.mean(values > 0.0)),
        octaves=float(both.mean()),
    )
