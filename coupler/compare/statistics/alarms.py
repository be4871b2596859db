"""Whether an indicator foretold what happened: hits, false alarms, and the area under its curve.

    hit rate = hits/(hits + misses)      false-alarm rate = false alarms/(false alarms + rejections)
    AUC      = P(score of a case with the event > score of one without) + P(equal)/2

AUC is Mann and Whitney's U over the number of pairs; its deviation is that of Hanley and McNeil
(1982, doi:10.1148/radiology.143.1.7063747). A threshold is the one with the largest difference of
the two rates (Youden 1950). One that is chosen on the cases that it is scored on looks better than
it is: `learned_elsewhere` chooses it without the group that is scored. Repeats of one recipe are
one group, and so are recipes that differ little: none must be judged by what was learned from its
sisters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from coupler.compare.statistics.survival import wilson
from coupler.interface.errors import DataError

F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Contingency:
    """Alarms against events."""

    hits: int
    misses: int
    false_alarms: int
    rejections: int
    """Neither alarm nor event."""

    @property
    def hit_rate(self) -> float:
        n = self.hits + self.misses
        return self.hits / n if n else float("nan")

    @property
    def false_alarm_rate(self) -> float:
        n = self.false_alarms + self.rejections
        return self.false_alarms / n if n else float("nan")

    @property
    def hit_interval(self) -> tuple[float, float]:
        """Wilson's, 95 %."""
        return wilson(self.hits, self.hits + self.misses)

    @property
    def false_alarm_interval(self) -> tuple[float, float]:
        """Wilson's, 95 %."""
        return wilson(self.false_alarms, self.false_alarms + self.rejections)

    @property
    def skill(self) -> float:
        """Hit rate less false-alarm rate: 1 perfect, 0 of no use."""
        return self.hit_rate - self.false_alarm_rate


def contingency(alarm: ArrayLike, event: ArrayLike) -> Contingency:
    """Counts the four cases."""
    a, e = np.asarray(alarm, bool), np.asarray(event, bool)
    return Contingency(
        hits=int((a & e).sum()),
        misses=int((~a & e).sum()),
        false_alarms=int((a & ~e).sum()),
        rejections=int((~a & ~e).sum()),
    )


def auc(
    score: ArrayLike, event: ArrayLike, group: ArrayLike | None = None, level: float = 0.95
) -> tuple[float, float, float]:
    """Area under the curve of hit rate against false-alarm rate, with its interval.

    Args:
        score: greater is more alarming; NaN counts as no alarm at all.
        event: whether it happened.
        group: which cases belong together. With it the interval is that of whole groups drawn with
            replacement: repeats of one recipe are not independent.
        level: of the interval.

    Returns:
        (area, low, high); NaN where everything or nothing happened.
    """
    s, e = _clean(score), np.asarray(event, bool)
    a, n, m = _area(s, e), int(e.sum()), int((~e).sum())
    if not np.isfinite(a):
        return a, a, a
    if group is not None:
        drawn = _areas_of_groups(s, e, np.asarray(group))
        tail = 0.5 - 0.5 * level
        low, high = np.quantile(drawn, [tail, 1.0 - tail]) if drawn.size else (0.0, 1.0)
        return a, float(low), float(high)
    q1, q2 = a / (2.0 - a), 2.0 * a * a / (1.0 + a)
    variance = (a * (1.0 - a) + (n - 1) * (q1 - a * a) + (m - 1) * (q2 - a * a)) / (n * m)
    half = float(norm.ppf(0.5 + 0.5 * level)) * float(np.sqrt(max(variance, 0.0)))
    return a, max(0.0, a - half), min(1.0, a + half)


def _area(s: F64, e: Flags) -> float:
    n, m = int(e.sum()), int((~e).sum())
    if not n or not m:
        return float("nan")
    return float((rankdata(s)[e].sum() - 0.5 * n * (n + 1)) / (n * m))


def _areas_of_groups(s: F64, e: Flags, group: NDArray[np.generic], draws: int = 1000) -> F64:
    members = [np.flatnonzero(group == g) for g in np.unique(group)]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        chosen = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        found.append(_area(s[chosen], e[chosen]))
    areas = np.array(found)
    return np.asarray(areas[np.isfinite(areas)])


def _clean(score: ArrayLike) -> F64:
    s = np.asarray(score, np.float64)
    return np.where(np.isnan(s), -np.inf, s)


def threshold(score: ArrayLike, event: ArrayLike) -> float:
    """At and above which to be alarmed: the largest hit rate less false-alarm rate.

    Half-way between two scores; infinite where no alarm is best, of several equally good ones the
    highest: it gives the fewest alarms. An infinite score reaches every threshold.
    """
    s, e = _clean(score), np.asarray(event, bool)
    if e.all() or not e.any():
        return float("inf") if not e.any() else -float("inf")
    order = np.argsort(-s, kind="stable")
    ranked, hit = s[order], e[order]
    gain = np.cumsum(hit) / e.sum() - np.cumsum(~hit) / (~e).sum()
    last = np.append(ranked[1:] < ranked[:-1], True)  # of equal scores all are in or out
    gain = np.where(last & (ranked > -np.inf), gain, -np.inf)
    best = int(np.argmax(gain))
    if not gain[best] > 0.0:
        return float("inf")
    below = ranked[best + 1] if best + 1 < s.size else ranked[best]
    return float(0.5 * (ranked[best] + below)) if np.isfinite(below) else float(ranked[best])


def learned_elsewhere(score: ArrayLike, event: ArrayLike, group: ArrayLike) -> Flags:
    """Alarms with thresholds of the other groups.

    Args:
        score: greater is more alarming, shape [case].
        event: whether it happened.
        group: which cases belong together; they are scored with what the others teach.

    Raises:
        DataError: for fewer than two groups.
    """
    s, e, g = _clean(score), np.asarray(event, bool), np.asarray(group)
    if np.unique(g).size < 2:
        raise DataError.of(
            "a threshold that would be scored on what it was chosen on",
            "alarms",
            expected="at least two groups of cases",
            found=f"{np.unique(g).size}",
        )
    alarm = np.zeros(s.size, bool)
    for own in np.unique(g):
        here = g == own
        alarm[here] = s[here] >= threshold(s[~here], e[~here])
    return alarm
