"""Runs from the same start as forecasts: numbers of their error curves, and their drift.

The error is the root mean square difference from the reference's run of the same start, by mass;
for the reference it is that of one member from the next, its perturbed repeats, which no candidate
can be expected to beat. The drift is that of the global mean by mass, (day 3 - day 0)/3; where the
first record is later, over the days between. All are means over the starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coupler.compare.sample import Sample
from coupler.compare.starts import FIELDS, Parting
from coupler.compare.statistics.growth import drift, growth

F64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """One field of one ensemble; NaN for what the runs are too short for."""

    field: str
    units: str
    starts: int
    day_3: float
    day_5: float
    days_3_to_7: float
    months: tuple[float, ...]
    """Mean error of each 30 days that all starts have."""
    drift: float
    """[units day-1]."""


def global_means(sample: Sample) -> dict[str, F64]:
    """Mean by mass of what is above the ground at all times, in the units of `FIELDS`."""
    cells = sample.mass[:, None, None] * (sample.area[:, None] / sample.lon.size)
    cells = np.broadcast_to(cells, (sample.levels.size, sample.lat.size, sample.lon.size))
    found = {}
    for of, (_, _, scale) in FIELDS.items():
        if of not in sample.deep:
            continue
        x = sample.deep[of]
        weight = np.where(np.isfinite(x).all(axis=0), cells, 0.0)
        mean = (np.nan_to_num(x) * (weight / weight.sum())).reshape(x.shape[0], -1).sum(axis=1)
        found[of] = scale * np.asarray(mean, np.float64)
    return found


def forecasts(
    partings: Mapping[int, Parting], means: Mapping[int, tuple[F64, Mapping[str, F64]]]
) -> tuple[Forecast, ...]:
    """Of one ensemble.

    Args:
        partings: by start; none: only drifts are known.
        means: days and global means by member.
    """
    found = []
    for of, (name, units, _) in FIELDS.items():
        curves = [growth(p.days, p.globe[of]) for p in partings.values() if of in p.globe]
        drifts = [drift(days, mean[of]) for days, mean in means.values() if of in mean]
        if not curves and not drifts:
            continue
        found.append(
            Forecast(
                field=name,
                units=units,
                starts=max(len(curves), len(drifts)),
                day_3=_mean([c.day_3 for c in curves]),
                day_5=_mean([c.day_5 for c in curves]),
                days_3_to_7=_mean([c.days_3_to_7 for c in curves]),
                months=_months([c.months for c in curves]),
                drift=_mean(drifts),
            )
        )
    return tuple(found)


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def _months(values: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    n = min((len(v) for v in values), default=0)
    return tuple(float(np.mean([v[i] for v in values])) for i in range(n))
