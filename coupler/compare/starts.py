"""Runs from the same start: how fast they part, and a scorecard by variable, level, region, lead.

A candidate's run and the reference's run of the same start are compared record by record. What the
reference does itself when its start is perturbed (one member against the next) is the control: a
candidate that parts faster has an error of its own beside what the flow makes of any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coupler.compare.sample import Sample
from coupler.compare.statistics.growth import mass_rmse
from coupler.compare.statistics.significance import holm, paired

F64 = NDArray[np.float64]
FIELDS = {"ua": ("zonal wind", "m s-1", 1.0), "ta": ("temperature", "K", 1.0),
          "hus": ("specific humidity", "g kg-1", 1000.0)}  # fmt: skip
REGIONS = {
    "N extratropics": (20.0, 90.0),
    "tropics": (-20.0, 20.0),
    "S extratropics": (-90.0, -20.0),
}
LEADS = (1.0, 3.0, 5.0, 10.0, 20.0)
CARD_LEVELS = (850e2, 500e2, 250e2, 50e2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Parting:
    """Of one pair of runs."""

    days: F64
    globe: dict[str, F64]
    """Root mean square difference by field, weighted by mass, shape [time]."""
    cells: dict[tuple[str, float, str], F64]
    """By field, level and region, shape [time]."""


def parting(a: Sample, b: Sample) -> Parting:
    """How far two runs are apart at each time that both have."""
    n = min(a.days.size, b.days.size)
    area = (a.area[:, None] / a.lon.size) * np.ones((1, a.lon.size))
    globe: dict[str, F64] = {}
    cells: dict[tuple[str, float, str], F64] = {}
    for of, (_, _, scale) in FIELDS.items():
        if of not in a.deep or of not in b.deep:
            continue
        x, y = a.deep[of][:n], b.deep[of][:n]
        known = np.isfinite(x) & np.isfinite(y)
        weight = np.where(known.all(axis=0), a.mass[:, None, None] * area, 0.0)
        x, y = np.where(known, x, 0.0), np.where(known, y, 0.0)
        globe[of] = scale * mass_rmse(x, y, weight)
        for p in CARD_LEVELS:
            for k in np.flatnonzero(np.abs(a.levels - p) < 1.0):
                for region, (low, high) in REGIONS.items():
                    belt = (a.lat >= low) & (a.lat <= high)
                    own = weight[k, belt]
                    if own.any() and not (of == "hus" and p < 200e2):
                        apart = mass_rmse(x[:, k, belt], y[:, k, belt], own)
                        cells[of, p, region] = scale * apart
    return Parting(days=a.days[:n], globe=globe, cells=cells)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a scorecard."""

    change: float
    """100 (control - candidate)/control: above 0, closer to the reference than its own repeats."""
    significant: bool


def scorecard(
    candidate: Mapping[int, Parting], control: Mapping[int, Parting]
) -> dict[tuple[str, float, str], dict[float, Cell]]:
    """By field, level and region, then by lead [day]; pairs of the same start are compared.

    What is significant holds for all cells of the card together (Holm's correction, at 5 %).
    """
    starts = sorted(set(candidate) & set(control))
    if not starts:
        return {}
    first = candidate[starts[0]]
    changes: dict[tuple[tuple[str, float, str], float], float] = {}
    chances = []
    for key in first.cells:
        for lead in LEADS:
            if lead > first.days[-1] + 0.51:
                continue
            own = [_at(candidate[s], key, lead) for s in starts if key in candidate[s].cells]
            other = [_at(control[s], key, lead) for s in starts if key in control[s].cells]
            if len(own) != len(other) or not other or not np.mean(other) > 0.0:
                continue
            apart = np.array(other) - np.array(own)
            changes[key, lead] = 100.0 * float(apart.mean()) / float(np.mean(other))
            chances.append(paired(apart)[3] if len(own) > 2 else float("nan"))
    found: dict[tuple[str, float, str], dict[float, Cell]] = {}
    for ((key, lead), change), p in zip(changes.items(), holm(chances), strict=True):
        found.setdefault(key, {})[lead] = Cell(change=change, significant=bool(p <= 0.05))
    return found


def _at(of: Parting, key: tuple[str, float, str], lead: float) -> float:
    return float(np.interp(lead, of.days, of.cells[key]))


def mean_curve(pairs: Sequence[Parting], of: str) -> tuple[F64, F64, F64, F64]:
    """Days, mean, least and largest over pairs, as long as all of them last."""
    have = [p for p in pairs if of in p.globe]
    n = min(p.days.size for p in have)
    stack = np.stack([p.globe[of][:n] for p in have])
    return have[0].days[:n], stack.mean(0), stack.min(0), stack.max(0)
