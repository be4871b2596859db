"""Ensembles against each other: distance, noise, similarity, intervals, significance.

For every metric (`coupler.compare.metrics`) with the ensemble means c, r, b of candidate, reference
and baseline,

    D = distance(c, r)        noise = root mean square distance of the means of two halves of the
                              reference, brought to the candidate's number of members
    s, L, D/noise, D/size     `coupler.compare.statistics.similarity`

The probability of D is exact under dealing members anew; Holm's correction spans all metrics of one
candidate. Intervals are those of resampled starts, the same starts for all ensembles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from coupler.compare.metrics import Vector, distance, size
from coupler.compare.spread import Spread, spread
from coupler.compare.statistics import significance
from coupler.compare.statistics.similarity import octaves, similarity

F64 = NDArray[np.float64]
Members = Mapping[int, Mapping[str, Vector]]
"""Vectors by metric of each member that reached its end."""
LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class Score:
    """One metric of one candidate."""

    metric: str
    group: str
    units: str
    distance: float
    noise: float
    """Distance that weather alone gives with as many members; NaN below four members."""
    relative: float
    """D over the size of the reference."""
    bias: float
    """Mean difference, for metrics that are one number; else NaN."""
    probability: float
    """Without correction; NaN where there are fewer than two members on a side."""
    corrected: float = float("nan")
    similarity: float = float("nan")
    similarity_interval: tuple[float, float] = (float("nan"), float("nan"))
    octaves: float = float("nan")
    octaves_interval: tuple[float, float] = (float("nan"), float("nan"))
    interval: tuple[float, float] = (float("nan"), float("nan"))
    """Of D."""
    needed: float = float("nan")
    """Members of each ensemble with which a difference of this size would get a star in four of
    five cases, with 5 % shared among all metrics; no fewer than can get one at all."""

    @property
    def significant(self) -> bool:
        return bool(self.corrected <= LEVEL)

    @property
    def over_noise(self) -> float:
        return self.distance / self.noise if self.noise > 0.0 else float("nan")


@dataclass(frozen=True, kw_only=True)
class Online:
    """All metrics of one candidate."""

    name: str
    members: int
    reference_members: int
    independent: int
    """Of these, for claims: pieces of one record that follow each other are fewer."""
    scores: tuple[Score, ...] = field(default=())
    spread: Spread | None = None
    """Its fields as a forecast of the reference's members; None for too few of them."""

    @property
    def possible(self) -> bool:
        """Whether so many members could show any difference among so many metrics."""
        least = significance.least_probability(self.members, self.independent)
        return bool(self.scores) and least * len(self.scores) <= LEVEL

    @property
    def needed(self) -> int:
        """Fewest members with which a claim is possible."""
        return significance.members_for_a_claim(max(1, len(self.scores)))

    @property
    def different(self) -> int:
        return sum(s.significant for s in self.scores)

    def mean(self, of: str) -> float:
        """Mean of one number over all metrics that have it; geometric for ``over_noise``."""
        values = np.array([getattr(s, of) for s in self.scores], np.float64)
        values = values[np.isfinite(values)]
        if not values.size:
            return float("nan")
        if of == "over_noise":
            return float(np.exp(np.mean(np.log(np.maximum(values, 1e-12)))))
        return float(values.mean())


def _stack(members: Members, metric: str, which: Sequence[int]) -> F64:
    return np.stack([members[m][metric].values for m in which])


def noise_floor(values: F64, like: Vector, members: int, seed: int = 0) -> F64:
    """Distances that weather alone gives between two ensembles of so many members.

    The reference is split in two again and again; means of h members differ by sqrt(1/h + 1/h') of
    what one member varies, those of n and n by sqrt(2/n).

    Args:
        values: of the reference, shape [member, value].
        like: a vector of the metric.
        members: n.
        seed: of the splits.
    """
    n = values.shape[0]
    if n < 4:
        return np.full(1, np.nan)
    half = n // 2
    ways = significance.deals(half, n - half, most=500, seed=seed)
    found = significance.distances_of_deals(values, ways, like.weight, like.order)
    own = 1.0 / half + 1.0 / (n - half)
    return np.asarray(found * np.sqrt((1.0 / members + 1.0 / n) / own))


def score(
    name: str,
    candidate: Members,
    reference: Members,
    baseline: Members | None = None,
    *,
    draws: int = 400,
    block: int = 0,
) -> Online:
    """Every metric that all members of both have.

    Args:
        name: of the candidate.
        candidate: its members that reached the end.
        reference: those of the reference.
        baseline: those that similarity is measured from; None for none.
        draws: samples of the bootstrap.
        block: 0 for members of the reference with the same starts as the candidate's; else they
            are pieces of one record, of which each so many-th counts as independent
            (`coupler.compare.pieces`).
    """
    mine, theirs = sorted(candidate), sorted(reference)
    apart = theirs[:: max(1, block)]
    found = Online(
        name=name, members=len(mine), reference_members=len(theirs), independent=len(apart)
    )
    if not mine or not theirs:
        return found
    sets = [set(candidate[m]) for m in mine] + [set(reference[m]) for m in theirs]
    if baseline:
        sets += [set(baseline[m]) for m in baseline]
    shared = set.intersection(*sets)
    ways = significance.deals(len(mine), len(apart)) if min(len(mine), len(apart)) > 1 else None
    ensembles = [candidate, reference, baseline or {}]
    known = {m: v for m in candidate[mine[0]] if m in shared and (v := _shared(m, ensembles))}
    level = LEVEL / max(1, len(known))
    least = significance.members_for_a_claim(max(1, len(known)), LEVEL)
    own = [
        replace(s, needed=max(s.needed, float(least)))
        for metric, like in known.items()
        for s in [_one(metric, like, candidate, reference, baseline, ways, draws, level, block)]
    ]
    corrected = significance.holm([s.probability for s in own])
    scores = tuple(
        Score(**{**vars(s), "corrected": float(p)}) for s, p in zip(own, corrected, strict=True)
    )
    held = spread(candidate, {m: reference[m] for m in apart}, known)
    return replace(found, scores=scores, spread=held)


def _shared(metric: str, ensembles: Sequence[Members]) -> Vector | None:
    """The metric where every member knows it (a mountain under more pressure hides more cells).

    None where no value is known to all.
    """
    vectors = [v[metric] for members in ensembles for v in members.values()]
    known = np.all([v.weight > 0.0 for v in vectors], axis=0)
    weight = np.where(known, vectors[0].weight, 0.0)
    return replace(vectors[0], weight=weight / weight.sum()) if known.any() else None


def _one(
    metric: str,
    like: Vector,
    candidate: Members,
    reference: Members,
    baseline: Members | None,
    ways: F64 | None,
    draws: int,
    level: float,
    block: int,
) -> Score:
    mine, theirs = sorted(candidate), sorted(reference)
    c, r = _stack(candidate, metric, mine), _stack(reference, metric, theirs)
    apart = r[:: max(1, block)]
    d = distance(c.mean(0), r.mean(0), like)
    floor = noise_floor(apart, like, len(mine))
    noise = float(np.sqrt(np.mean(floor**2)))
    p = float("nan")
    if ways is not None:
        dealt = significance.distances_of_deals(
            np.concatenate([c, apart]), ways, like.weight, like.order
        )
        p = significance.probability(dealt)
    # Pieces of a record have no starts in common with runs.
    common = sorted(set(mine) & set(mine if block else theirs) & set(baseline or mine))
    more: dict[str, object] = {}
    drawn: dict[str, F64] = {}
    if len(common) > 1 and (not block or len(apart) > 1):
        drawn = _resampled(metric, candidate, reference, baseline, common, like, draws, block)
        more["interval"] = _at_least_zero(significance.pivotal(d, drawn["d"]))
    if baseline:
        b = _stack(baseline, metric, sorted(baseline))
        base = distance(b.mean(0), r.mean(0), like)
        s, o = float(similarity(d, base)), float(octaves(d, base))
        more |= {"similarity": s, "octaves": o}
        if drawn:
            own, other = drawn["d"], drawn["b"]
            more["similarity_interval"] = significance.pivotal(s, similarity(own, other))
            more["octaves_interval"] = significance.pivotal(o, octaves(own, other))
    effect = float(np.sqrt(max(0.0, d * d - noise * noise)) if np.isfinite(noise) else np.nan)
    spread = noise / np.sqrt(1.0 / len(mine) + 1.0 / len(apart))
    needed = float("nan")
    if np.isfinite(effect):
        needed = significance.members_needed(effect, spread, level=level)
    scale = size(r.mean(0), like)
    return Score(
        metric=metric,
        group=like.group,
        units=like.units,
        distance=d,
        noise=noise,
        relative=d / scale if scale > 0.0 else float("nan"),
        bias=float(c.mean() - r.mean()) if like.values.size == 1 else float("nan"),
        probability=p,
        needed=needed,
        **more,  # type: ignore[arg-type]
    )


def _at_least_zero(interval: tuple[float, float]) -> tuple[float, float]:
    return max(0.0, interval[0]), max(0.0, interval[1])


def _resampled(
    metric: str,
    candidate: Members,
    reference: Members,
    baseline: Members | None,
    common: Sequence[int],
    like: Vector,
    draws: int,
    block: int,
) -> dict[str, F64]:
    """Distances of candidate and baseline to the reference with starts drawn with replacement.

    The same starts for all; pieces of a record have none, and are drawn by themselves in blocks.
    """
    counts = _drawn(len(common), 1, draws, seed=0)
    if block:
        pieces = sorted(reference)
        own = _drawn(len(pieces), block, draws, seed=1)
        r = own @ _stack(reference, metric, pieces)
    else:
        r = counts @ _stack(reference, metric, common)

    def far(members: Members) -> F64:
        apart = counts @ _stack(members, metric, common) - r
        if like.order == 1:
            return np.asarray(np.abs(apart) @ like.weight)
        return np.asarray(np.sqrt(apart**2 @ like.weight))

    found = {"d": far(candidate)}
    if baseline:
        found["b"] = far(baseline)
    return found


@lru_cache(maxsize=8)  # the same for all metrics of all candidates
def _drawn(n: int, block: int, draws: int, seed: int) -> F64:
    """Share of each of n members in the means of samples in blocks, shape [draw, member]."""
    shares = np.zeros((draws, n))
    for row, index in zip(shares, significance.blocks(n, block, draws, seed), strict=True):
        np.add.at(row, index, 1.0 / n)
    shares.setflags(write=False)
    return shares
