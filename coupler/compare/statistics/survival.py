"""Who is still alive: shares of an ensemble with Wilson's interval, and the time to failure.

Wilson (1927, doi:10.1080/01621459.1927.10502953): for k of n and the normal quantile z,

    (k + z^2/2 +- z sqrt(k (n - k) / n + z^2 / 4)) / (n + z^2)

which, unlike k/n +- z sd, does not collapse when all or none survive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

F64 = NDArray[np.float64]


def wilson(successes: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share; (0, 1) when nobody was asked."""
    if of == 0:
        return 0.0, 1.0
    z = float(norm.ppf(0.5 + 0.5 * level))
    centre = successes + 0.5 * z * z
    half = z * np.sqrt(successes * (of - successes) / of + 0.25 * z * z)
    return max(0.0, (centre - half) / (of + z * z)), min(1.0, (centre + half) / (of + z * z))


@dataclass(frozen=True, kw_only=True, eq=False)
class Survival:
    """Share of members alive against time, all of which were to run equally long."""

    days: F64
    """[day], shape [time]"""
    share: F64
    low: F64
    high: F64
    mean_time_to_failure: float
    """Member days per failure (that of an exponential law, members that did not fail counted up to
    the end); infinite without a failure [day]."""


def survival(failed_at: Sequence[float | None], end: float, at: ArrayLike) -> Survival:
    """From the day of each member's failure.

    Args:
        failed_at: by member; None for one that reached the end [day].
        end: how long members were to run [day].
        at: times of the curve [day].
    """
    times = np.array([np.inf if d is None else d for d in failed_at], np.float64)
    days = np.asarray(at, np.float64)
    alive = (times[None, :] > days[:, None]).sum(axis=1)
    bounds = np.array([wilson(int(k), times.size) for k in alive]).reshape(-1, 2)
    failures = int(np.isfinite(times).sum())
    lived = float(np.minimum(times, end).sum())
    return Survival(
        days=days,
        share=alive / max(times.size, 1),
        low=bounds[:, 0],
        high=bounds[:, 1],
        mean_time_to_failure=lived / failures if failures else float("inf"),
    )
