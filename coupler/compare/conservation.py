"""What runs kept, lost and mended: series of ``budgets.nc``, efforts of correctors, schemes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coupler.compare.efforts import efforts
from coupler.compare.jobs import Run
from coupler.compare.metrics import Vector
from coupler.compare.reading import budgets_of
from coupler.driver.process_budgets import QUANTITIES, UNITS

_CONTENTS = {"dry_air_mass": "dry air", "total_energy": "total energy"}
_RATES = {
    "water_residual": "water residual", "energy_residual": "energy residual",
    "angular_momentum_residual": "angular momentum residual",
}  # fmt: skip
_FIXED = {"mass_fix": "mass restored", "water_filled": "water filled"}


@dataclass(frozen=True, kw_only=True)
class Residual:
    """What a scheme made of nothing in the output interval in which it made most."""

    scheme: str
    """``process=scheme``."""
    value: float
    units: str


def conserved(
    runs: Sequence[Run], vectors: Mapping[int, Mapping[str, Vector]], days: float
) -> dict[str, tuple[float, str]]:
    """Value and unit by quantity, means over runs.

    Args:
        runs: of one ensemble, that reached the end.
        vectors: metrics by member.
        days: length of the runs.
    """
    values: dict[str, list[float]] = {}
    units: dict[str, str] = {}
    for run in runs:
        for key, (start, end, unit) in budgets_of(run.folder / "budgets.nc").items():
            if key in _CONTENTS and start:
                label, unit = f"{_CONTENTS[key]}, relative drift", "per year"
                value = (end / start - 1.0) * 365.0 / days
            elif key in _RATES or key in _FIXED:
                label = {**_RATES, **_FIXED}[key]
                value = float(run.record.get("budgets", {}).get(key, end))
            elif key.startswith("momentum_") and key.endswith("residual_abs"):
                label, value = key.removesuffix("_abs").replace("_", " "), end
            else:
                continue
            values.setdefault(label, []).append(value)
            units[label] = unit
        own = vectors.get(run.job.member, {})
        for label, (value, unit) in efforts(run.folder, run.record, own).items():
            values.setdefault(label, []).append(value)
            units[label] = unit
    return {label: (float(np.mean(v)), units[label]) for label, v in values.items()}


def residuals_of_schemes(runs: Sequence[Run]) -> dict[str, Residual]:
    """The largest of any scheme in any run, by quantity; empty for runs that did not look."""
    found: dict[str, Residual] = {}
    for q in QUANTITIES:
        records = [(r.record.get("residuals_of_schemes") or {}).get(q, {}) for r in runs]
        values = [(float(v), name) for of in records for name, v in of.items()]
        if values:
            value, name = max(values, key=lambda v: (math.isnan(v[0]), v[0]))
            found[q] = Residual(scheme=name, value=value, units=UNITS[q])
    return found
