"""In which order candidates come out of the runs, and whether offline skill foretold it.

A run that ends early is worse than any climate: candidates stand by the share of members that they
lost, and only among equals by how far their climate is from the reference's. Spearman's rho takes
ranks, so that an R2 of -infinity is simply the lowest. The reference's own scheme from other starts
is perfect offline by its making and says nothing about foretelling: it has no place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from scipy.stats import rankdata

from coupler.compare.statistics.significance import rank_correlation


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What one candidate is ranked by."""

    name: str
    r2: float
    """Offline, mean over outputs; NaN where it was not asked, or gave no answer."""
    lost: float
    """Share of the members that ended which did not reach the end; NaN where none ended."""
    over_noise: float
    """Geometric mean over metrics; NaN where too few members tell what weather does."""
    relative: float
    """Distance over the size of the reference, mean over metrics."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """Candidates in both orders, the best first."""

    online: tuple[str, ...] = ()
    by: str = ""
    """What living candidates were ranked by."""
    offline: tuple[tuple[str, float], ...] = ()
    """Name and R2."""
    rho: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    """Spearman's, with its interval; NaN for fewer than three that have both places."""
    both: int = 0
    """How many these are."""
    standings: tuple[Standing, ...] = field(default=())


def order(standings: Sequence[Standing]) -> Order:
    """Both orders; whoever has nothing to be ranked by is in neither."""
    ran = [s for s in standings if math.isfinite(s.lost)]
    alive = [s for s in ran if s.lost < 1.0 and not math.isnan(s.relative)]
    noisy = all(math.isfinite(s.over_noise) for s in alive)
    far = {s.name: s.over_noise if noisy else s.relative for s in alive}
    keys = {
        s.name: (s.lost, far.get(s.name, 0.0))  # the dead are all as far away as can be
        for s in ran
        if s.name in far or s.lost == 1.0
    }
    places = sorted(set(keys.values()))
    answered = [s for s in standings if not math.isnan(s.r2)]
    both = [s for s in answered if s.name in keys]
    return Order(
        online=tuple(sorted(keys, key=lambda name: keys[name])),
        by="distance over that of weather" if noisy else "distance over the reference's size",
        offline=tuple((s.name, s.r2) for s in sorted(answered, key=lambda s: -s.r2)),
        rho=rank_correlation(
            rankdata([s.r2 for s in both]), [-places.index(keys[s.name]) for s in both]
        ),
        both=len(both),
        standings=tuple(standings),
    )
