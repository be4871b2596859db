"""How much of a tendency a scheme gives at each scale: power by zonal wavenumber.

Along every circle of latitude the mean square of a field is the sum of its power over wavenumbers
k = 0 ... n/2 (`zonal_power`). It is averaged over times, over latitudes by area and over the levels
of a layer by mass, for the truth and for the prediction:

    ratio(k) = P_prediction(k) / P_truth(k)

1 at all k is the goal; a network that is too smooth falls off at high k, noise rises there. The
ratio says nothing of where the waves are, which r does. It takes whole circles of latitude, which
recordings do not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coupler.compare.statistics.distances import zonal_power
from coupler.interface.constants import SECONDS_PER_DAY

F64 = NDArray[np.float64]
LAYERS = (
    ("above 100 hPa", 0.0, 100e2),
    ("100 to 700 hPa", 100e2, 700e2),
    ("below 700 hPa", 700e2, np.inf),
)
"""Name and pressures of each: stratosphere, free troposphere, lower troposphere."""
BANDS = (("k = 0", 0, 0), ("k = 1-3", 1, 3), ("k = 4-10", 4, 10), ("k > 10", 11, None))
"""Zonal mean, planetary and synoptic waves, and what is smaller."""
NO_CIRCLES = "a recording holds columns and no circles of latitude: spectra are those of a run"


@dataclass(frozen=True, kw_only=True, eq=False)
class ScaleSkill:
    """Of the tendency of one state variable in one layer."""

    of: str
    units: str
    """Of the power."""
    layer: str
    share: float
    """Of this layer in the mass times power of the truth in the whole column."""
    truth: F64
    """Power by wavenumber 0 ... two thirds of n/2, beyond which there are no dynamics."""
    prediction: F64
    bands: tuple[float, ...]
    """Ratio of the power in each of `BANDS`; NaN where there is none of the truth."""


def skill_by_scale(
    truth: Mapping[str, F64],
    prediction: Mapping[str, F64],
    thickness: ArrayLike,
    area: ArrayLike,
    pressure: ArrayLike,
    nlon: int,
    units: Mapping[str, str],
) -> tuple[ScaleSkill, ...]:
    """Of every variable that the truth changes, in every layer in which it does.

    Args:
        truth: rates by state variable [SI s-1], shape [time, level, column], longitude last.
        prediction: the same; what is not there is zero.
        thickness: of the layers [Pa], broadcast to that shape.
        area: of the latitudes, shape [lat].
        pressure: of the layers [Pa], shape [level].
        nlon: longitudes of a circle.
        units: of a rate per day, by variable.
    """
    p, upto = np.asarray(pressure, np.float64), int(2.0 / 3.0 * (nlon // 2)) + 1
    a = np.asarray(area, np.float64) / np.sum(area)
    found = []
    for of, t in truth.items():
        if not np.any(t):
            continue
        dp = np.broadcast_to(np.asarray(thickness, np.float64), t.shape).mean(axis=(0, 2))
        other = np.broadcast_to(np.asarray(prediction.get(of, 0.0), np.float64), t.shape)
        power = [_power(x, a, nlon)[:, :upto] * SECONDS_PER_DAY**2 for x in (t, other)]
        whole = float((dp @ power[0]).sum())
        for layer, low, high in LAYERS:
            inside = (p > low) & (p <= high)
            if not power[0][inside].any():
                continue
            mass = dp[inside]
            own, its = (mass @ x[inside] / mass.sum() for x in power)
            found.append(
                ScaleSkill(
                    of=of,
                    units=f"({units.get(of, 'day-1')})2",
                    layer=layer,
                    share=float((mass @ power[0][inside]).sum()) / whole,
                    truth=own,
                    prediction=its,
                    bands=tuple(_ratio(own, its, first, last) for _, first, last in BANDS),
                )
            )
    return tuple(found)


def _power(x: F64, area: F64, nlon: int) -> F64:
    """Mean over times and circles, shape [level, wavenumber]."""
    by_level = []
    for k in range(x.shape[1]):  # level by level, for the memory
        circles = np.asarray(x[:, k]).reshape(x.shape[0], -1, nlon)
        by_level.append(area @ zonal_power(circles).mean(axis=0))
    return np.stack(by_level)


def _ratio(truth: F64, prediction: F64, first: int, last: int | None) -> float:
    band = slice(first, None if last is None else last + 1)
    own = float(truth[band].sum())
    return float(prediction[band].sum()) / own if own > 0.0 else float("nan")
