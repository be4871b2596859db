"""What becomes of a network: its long run, and what sampling alone gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from foretelling.networks import home
from foretelling.runs import course
from foretelling.truth import DT

from coupler.compare.statistics.distances import wasserstein

UNITS = 50.0
"""Units of time of truth and long runs: 250 days."""
_SPIN_UP, _EVERY = 5.0, 10
"""Of a long run, that is no climate, and steps between what is kept."""


def after(scheme: str, work: Path, *, seed: int = 0) -> dict[str, Any]:
    """A long run from the case's own starts: distance of its climate from the truth's."""
    truth = home(work, UNITS).x
    run = course(scheme, round(UNITS / DT), _EVERY, members=truth.shape[1], seed=seed)
    first = round(_SPIN_UP / DT / _EVERY)
    climate, own = truth[round(_SPIN_UP / DT) :: _EVERY], run.x[first:]
    return {
        "distance": float("inf") if run.failed else wasserstein(own[::3], climate[::3]),
        "energy": float("nan") if run.failed else float((own**2).mean() / (climate**2).mean()),
        "largest": float(np.abs(run.x).max()),
        "failed": run.failed,
    }


def noise(work: Path) -> dict[str, float]:
    """Distance of two halves of the truth: what sampling alone gives."""
    climate = home(work, UNITS).x[round(_SPIN_UP / DT) :: _EVERY]
    half = climate.shape[1] // 2
    return {"distance": wasserstein(climate[::3, :half], climate[::3, half:])}
