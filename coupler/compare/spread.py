"""Whether an ensemble holds the reference: its members as a forecast of each of the reference's.

Each member of the reference in turn is the truth y; the members x of the candidate from the other
starts are held against it, and so are the reference's own from the other starts, as many of them.
Over the values of all maps and zonal means, with the weights of their cells:

    CRPS        fair (`coupler.compare.statistics.ensembles`), over that of the reference's own
    spread      sqrt(1 + 1/n) x spread over error: below 1 the members are too sure of themselves
    coverage    share of y between two members, beside what members like the truth hold
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coupler.compare.metrics import Vector
from coupler.compare.statistics.ensembles import coverage, fair_crps, spread_skill

F64 = NDArray[np.float64]
GROUPS = ("map", "zonal mean")
"""Of metrics that are fields."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Means over the fields of one candidate."""

    members: int
    """That were held against each truth."""
    crps: float
    """Over the reference's own, geometric mean: 1 is the goal, and no noise moves it."""
    ratio: float
    """Spread over error, geometric mean; NaN where members are alike."""
    share: float
    """Of the truth that is covered."""
    expected: float
    """Of members like the truth."""


def spread(
    candidate: Mapping[int, Mapping[str, Vector]],
    reference: Mapping[int, Mapping[str, Vector]],
    like: Mapping[str, Vector],
) -> Spread | None:
    """Scores of all fields; None with fewer than three members of the reference, or two to hold.

    Args:
        candidate: vectors by metric of each member.
        reference: the same.
        like: weights by metric, of cells that every member knows.
    """
    others = [[k for k in sorted(of) if k != m] for of in (candidate, reference) for m in reference]
    n = min((len(o) for o in others), default=0)
    fields = [m for m, v in like.items() if v.group in GROUPS]
    if n < 2 or len(reference) < 3 or not fields:
        return None
    crps, ratios, shares, expected = [], [], [], 0.0
    for metric in fields:
        weight = np.tile(like[metric].weight, len(reference))
        own, truth = _cases(reference, reference, metric, n)
        held, _ = _cases(candidate, reference, metric, n)
        mean = [float(np.average(fair_crps(x, truth), weights=weight)) for x in (held, own)]
        if min(mean) > 0.0:
            crps.append(mean[0] / mean[1])
        ratios.append(spread_skill(held, truth, weight).ratio)
        covered = coverage(held, truth, weight)
        shares.append(covered.share)
        expected = covered.expected
    return Spread(
        members=n,
        crps=_geometric(crps),
        ratio=_geometric(ratios),
        share=float(np.mean(shares)),
        expected=expected,
    )


def _cases(
    members: Mapping[int, Mapping[str, Vector]],
    reference: Mapping[int, Mapping[str, Vector]],
    metric: str,
    n: int,
) -> tuple[F64, F64]:
    """Members, shape [n, truth x value], and truths, shape [truth x value], one after another."""
    held = [
        np.stack([members[k][metric].values for k in [k for k in sorted(members) if k != m][:n]])
        for m in sorted(reference)
    ]
    truths = [reference[m][metric].values for m in sorted(reference)]
    return np.concatenate(held, axis=1), np.concatenate(truths)


def _geometric(values: list[float]) -> float:
    known = np.array([v for v in values if v > 0.0])
    return float(np.exp(np.log(known).mean())) if known.size else float("nan")
