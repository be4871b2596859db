"""What tendencies do to a column as a whole, beside what the true ones do to it.

    momentum  int du/dt dp/g, int dv/dt dp/g          [N m-2]
    water     int dq/dt dp/g                          [mm day-1]
    energy    int (cp dT/dt + Lv dq/dt + u du/dt + v dv/dt) dp/g     [W m-2]

A tendency alone does not tell whether a budget closes: what leaves through the ground and the top
(rain, radiation, stress) is not in it. The true column integral is what these fluxes are, so that
the residual here is the predicted integral less the true one, column by column: 0 for a scheme that
moves and exchanges as much as the truth does. Kinetic energy is that of the first order in the time
step, and is left out where the wind is not known, which the row says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coupler.interface.constants import SECONDS_PER_DAY, Planet

F64 = NDArray[np.float64]
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class ColumnBudget:
    """Of one quantity, means over columns by area and over times."""

    quantity: str
    units: str
    truth_mean: float
    truth_rms: float
    mean: float
    """Of the prediction."""
    rms: float
    residual_mean: float
    """Prediction less truth."""
    residual_rms: float

    @property
    def short(self) -> str:
        """Without the parts that are in it."""
        return self.quantity.partition(" (")[0]


def column_budgets(
    truth: Mapping[str, Array],
    prediction: Mapping[str, Array],
    thickness: ArrayLike,
    area: ArrayLike,
    wind: Mapping[str, Array] | None = None,
    planet: Planet | None = None,
) -> tuple[ColumnBudget, ...]:
    """Of all quantities that either of both changes.

    Args:
        truth: rates by state variable [SI s-1], shape [time, level, column].
        prediction: the same.
        thickness: of the layers [Pa], broadcast to that shape.
        area: of the columns, shape [column] or [time, 1, column].
        wind: ``ua`` and ``va`` of the states; None or lacking: kinetic energy is left out.
        planet: for heat capacities and gravity.
    """
    planet, wind = planet or Planet(), wind or {}
    like = next(iter(truth.values()), None)
    like = next(iter(prediction.values())) if like is None else like
    mass = np.broadcast_to(np.asarray(thickness, np.float64), like.shape) / planet.gravity
    weight = np.broadcast_to(np.asarray(area, np.float64), (like.shape[0], 1, like.shape[2]))[:, 0]
    changed = {of for x in (truth, prediction) for of, rate in x.items() if np.any(rate)}
    cp, lv = planet.cp_dry, planet.latent_heat_vaporization
    moved = [of for of in ("ua", "va") if of in changed]
    factors: dict[str, Array | float] = {"ta": cp, "hus": lv}
    factors |= {of: wind[of] for of in moved if of in wind}
    parts = {of: f for of, f in factors.items() if of in changed}
    names = [("thermal", "ta"), ("latent", "hus"), ("kinetic", "ua"), ("kinetic", "va")]
    told = dict.fromkeys(name for name, of in names if of in parts)
    if set(moved) - parts.keys():
        told.pop("kinetic", None)
        parts = {of: f for of, f in parts.items() if of not in moved}
    wanted: list[tuple[str, str, float, Mapping[str, Array | float]]] = [
        ("eastward momentum", "N m-2", 1.0, {"ua": 1.0}),
        ("northward momentum", "N m-2", 1.0, {"va": 1.0}),
        ("water", "mm day-1", SECONDS_PER_DAY, {"hus": 1.0}),
        (f"energy ({', '.join(told)})", "W m-2", 1.0, parts),
    ]
    found = []
    for quantity, units, scale, of_it in wanted:
        if not of_it.keys() & changed:
            continue
        t, p = (scale * _integral(x, of_it, mass) for x in (truth, prediction))

        def mean(x: F64) -> float:
            return float(np.average(x, weights=weight))

        def rms(x: F64) -> float:
            return float(np.sqrt(np.average(x * x, weights=weight)))

        found.append(
            ColumnBudget(
                quantity=quantity,
                units=units,
                truth_mean=mean(t),
                truth_rms=rms(t),
                mean=mean(p),
                rms=rms(p),
                residual_mean=mean(p - t),
                residual_rms=rms(p - t),
            )
        )
    return tuple(found)


def _integral(rates: Mapping[str, Array], factors: Mapping[str, Array | float], mass: F64) -> F64:
    """Sum of rate times factor times mass of the layers, shape [time, column]."""
    total = np.zeros((mass.shape[0], mass.shape[2]))
    for of, factor in factors.items():
        if of in rates:
            total += (np.asarray(rates[of], np.float64) * factor * mass).sum(axis=1)
    return total
