"""How an emulator answers to changed columns: rolled in longitude, and grafted.

Roll: the inputs are turned by half the circle of longitudes, the output back. A scheme that knows
no longitude gives the same; a map network with padding at a seam does not. Recordings that hold a
sample are rolled within each call, which shows whether a column's flux depends on its neighbours
in the batch.

Graft: columns are given a feature that the recording need not have, and the *change* of the flux
is held against the change that the recorded scheme computes on the same columns. An emulator that
learned what usually goes together, instead of what causes what, answers wrongly here, whatever its
R2 (for a source that fits offline and fails online see Pahlavan et al. 2024,
doi:10.1029/2023GL106324).

- ``rotate``: the wind turned by 90 degrees, or round where there is one component;
- ``half``, ``more``: the wind times 0.5 and 1.25;
- ``critical level east/west``: a jet ``+-U exp(-(ln p/p_c)^2 / 2 s^2)`` laid over the zonal wind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from emulators.evaluation.metrics import F64, Array, moments, ratio

Fields = Mapping[str, Array]
Estimate = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Jet:
    """The jet that is grafted."""

    speed: float = 30.0
    """U [m s-1]."""
    pressure: float = 3000.0
    """p_c [Pa]."""
    width: float = 0.7
    """s, in ln p: about 5 km."""

    def profile(self, pressure: Array) -> F64:
        """Wind [m s-1] at `pressure` [Pa]."""
        distance = np.log(np.asarray(pressure, np.float64) / self.pressure) / self.width
        return np.asarray(self.speed * np.exp(-0.5 * distance**2), np.float64)


@dataclass(frozen=True, kw_only=True)
class Response:
    """The change of the flux that a graft makes, estimated against computed."""

    graft: str
    r2: float
    """Of the change, all outputs and interfaces, [Pa]: 1 is perfect, 0 for no change at all."""
    amplitude: float
    """Root mean square of the estimated change over that of the computed one."""
    correlation: float
    """Between the changes, around 0."""


def grafts(winds: list[str], pressure: Array, jet: Jet) -> dict[str, Callable[[Fields], Fields]]:
    """Names of the grafts and the functions that change the winds.

    Args:
        winds: components among the inputs, the zonal one first.
        pressure: at levels [Pa], shape [level, n] or [level, 1].
        jet: of the critical level.
    """
    bump = jet.profile(pressure)
    names = (*winds, *winds)

    def rotated(x: Fields) -> Fields:
        if len(winds) == 1:
            return {winds[0]: -x[winds[0]]}
        first, second = names[:2]
        return {first: -x[second], second: x[first]}

    def times(factor: float) -> Callable[[Fields], Fields]:
        return lambda x: {n: factor * x[n] for n in winds}

    def jetted(sign: float) -> Callable[[Fields], Fields]:
        return lambda x: {winds[0]: (x[winds[0]] + sign * bump).astype(x[winds[0]].dtype)}

    return {
        "rotate": rotated,
        "half": times(0.5),
        "more": times(1.25),
        "critical level east": jetted(1.0),
        "critical level west": jetted(-1.0),
    }


def response(
    graft: str, change: Mapping[str, Array], estimate: Mapping[str, Array], weights: Array
) -> Response:
    """Scores of an estimated change of the fluxes; arrays by output name, [interface, n]."""
    w = np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64)
    sums = np.zeros(4)
    for name, want in change.items():
        t, e = np.asarray(want, np.float64), np.asarray(estimate[name], np.float64)
        sums += [((x * y) @ w).sum() for x, y in ((t, t), (e, e), (t, e), (e - t, e - t))]
    true, made, both, error = sums
    return Response(
        graft=graft,
        r2=float(1.0 - ratio(error, true)),
        amplitude=float(np.sqrt(ratio(made, true))),
        correlation=float(ratio(both, np.sqrt(true * made))),
    )


def shift_of_roll(index: Array | None, per_call: int, longitudes: int | None) -> int | None:
    """Columns by which a map is rolled to turn it half round; None where it is only a sample."""
    if index is None or longitudes is None or longitudes < 2 or per_call % longitudes:
        return None
    complete = np.array_equal(index, np.broadcast_to(np.arange(per_call), index.shape))
    return longitudes // 2 if complete else None


def rolled(values: Tensor, times: int, longitudes: int, shift: int) -> Tensor:
    """Columns turned within each circle of `longitudes` columns by `shift`, [.., time x column]."""
    circles = values.reshape(*values.shape[:-1], times, -1, longitudes)
    return circles.roll(shift, dims=-1).reshape(values.shape).contiguous()


def roll_test(
    estimate: Estimate, inputs: Mapping[str, Tensor], times: int, longitudes: int, shift: int
) -> dict[str, Tensor]:
    """What the emulator gives on turned inputs, turned back."""
    turned = {k: rolled(v, times, longitudes, shift) for k, v in inputs.items()}
    return {k: rolled(v, times, longitudes, -shift) for k, v in estimate(turned).items()}


def relative_change(one: Mapping[str, Array], other: Mapping[str, Array], weights: Array) -> float:
    """Root mean square of the difference over that of `one`, all outputs and interfaces."""
    sums = np.zeros(2)
    zero = np.zeros(1)
    for name, values in one.items():
        a, b = np.asarray(values, np.float64), np.asarray(other[name], np.float64)
        sums += [moments(a, b, weights).mse.sum(), moments(a, zero + 0.0 * a, weights).mse.sum()]
    return float(np.sqrt(ratio(sums[0], sums[1])))
