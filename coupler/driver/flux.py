"""The coupler's side of the flux contract: from fluxes on interfaces to tendencies of layers.

A scheme returns fluxes F, positive upward, on interfaces k = 0 (top) .. K (surface); the layer
between interfaces k and k + 1 of the host then changes by

    dX_k/dt = s (F_{k+1} - F_k) / (p_{k+1} - p_k)

(s = g for momentum and humidity, g/c_p for temperature), so that the mass-weighted column sum is
F_K - F_0 whatever the scheme did in between. F_0, the flux that reaches the model top, follows a
declared policy:

    escape  it leaves the column and is reported
    dump    layers with mean pressure above `dump_above`, and always the top one, absorb it with one
            acceleration, s F_0 / sum(dp): momentum is shared by mass
    zero    the top layer takes all of it

Sharing an acceleration instead of momentum among layers of unequal mass, as some published codes
do, multiplies the absorbed momentum; this is why the policy stands here and not in schemes.

Kinetic energy that a momentum tendency removes over a step dt becomes heat,

    dT/dt = -[(u + dt du/2) du + (v + dt dv/2) dv] / c_p,

which is the exact change of (u^2 + v^2)/2 over an Euler step.

Arithmetic is float64 also for float32 arrays, rounded once when stored.
"""

from __future__ import annotations

from typing import Literal

import numba
import numpy as np

from coupler.interface.component import Array
from coupler.interface.errors import ContractError, nearest
from coupler.interface.jit import njit

Top = Literal["escape", "dump", "zero"]
_CODE: dict[Top, int] = {"escape": 0, "dump": 1, "zero": 2}
_CHUNK = 256  # columns; each level of a chunk is some whole cache lines
_DUMP, _ZERO = _CODE["dump"], _CODE["zero"]


def flux_tendency(
    flux: Array,
    phalf: Array,
    *,
    scale: float,
    top: Top,
    dump_above: float,
    out: Array,
    escaped: Array,
) -> None:
    """Overwrites `out` with the tendency of a flux, and `escaped` with what left at the top.

    The column sum of ``out dp / scale`` is ``flux[K] - escaped``.

    Args:
        flux: Interface flux, positive upward [unit of flux], shape [interface, column].
        phalf: Interface pressure of the host [Pa], shape [interface, column].
        scale: g [m s-2] for momentum and humidity, g/c_p [K s-2 m2 J-1 kg] for temperature.
        top: What becomes of the flux at interface 0.
        dump_above: Pressure above which ``dump`` absorbs [Pa].
        out: Tendency, shape [level, column].
        escaped: Flux that left the column [unit of flux], shape [column]; 0 unless ``escape``.

    Raises:
        ContractError: for a policy that does not exist.
    """
    if top not in _CODE:
        raise ContractError.of(
            "unknown policy at the top", str(top), remedy=nearest(str(top), _CODE)
        )
    _flux_tendency(flux, phalf, scale, _CODE[top], dump_above, out, escaped)


def dissipative_heating(
    ua: Array, va: Array, dua: Array, dva: Array, *, dt: float, cp: float, out: Array
) -> None:
    """Overwrites `out` with the heating that returns the kinetic energy which a drag removes.

    Args:
        ua: Eastward wind before the step [m s-1], shape [level, column].
        va: Northward wind before the step [m s-1], shape [level, column].
        dua: Tendency of the eastward wind [m s-2], shape [level, column].
        dva: Tendency of the northward wind [m s-2], shape [level, column].
        dt: Time over which the tendencies are applied [s].
        cp: Specific heat at constant pressure [J kg-1 K-1].
        out: Temperature tendency [K s-1], shape [level, column].
    """
    _dissipative_heating(ua, va, dua, dva, 0.5 * dt, -1.0 / cp, out)


def add_scaled(target: Array, increment: Array, factor: float) -> None:
    """Adds ``factor increment`` to `target`, shape [level, column], rounded once."""
    _add_scaled(target, increment, factor)


def apply_rate(state: Array, total: Array, rate: Array, dt: float, *, first: bool) -> None:
    """Adds ``dt rate`` to `state` and `rate` to `total`, shape [level, column], rounded once each.

    `first` overwrites `total`: whatever it holds is not of this step.
    """
    (_apply_first if first else _apply_next)(state, total, rate, dt)


@njit(parallel=True)
def _flux_tendency(
    flux: Array,
    phalf: Array,
    scale: float,
    policy: int,
    dump_above: float,
    out: Array,
    escaped: Array,
) -> None:
    nlev, ncol = out.shape
    for chunk in numba.prange((ncol + _CHUNK - 1) // _CHUNK):
        start, stop = chunk * _CHUNK, min((chunk + 1) * _CHUNK, ncol)
        for k in range(nlev):
            for i in range(start, stop):
                dp = np.float64(phalf[k + 1, i]) - np.float64(phalf[k, i])
                df = np.float64(flux[k + 1, i]) - np.float64(flux[k, i])
                out[k, i] = scale * df / dp
        for i in range(start, stop):
            reached = np.float64(flux[0, i])
            escaped[i] = 0.0
            if policy == _ZERO:
                dp = np.float64(phalf[1, i]) - np.float64(phalf[0, i])
                out[0, i] = scale * np.float64(flux[1, i]) / dp
            elif policy == _DUMP:
                n = 1
                while n < nlev and 0.5 * (phalf[n, i] + phalf[n + 1, i]) < dump_above:
                    n += 1
                push = scale * reached / (np.float64(phalf[n, i]) - np.float64(phalf[0, i]))
                for k in range(n):  # anew, not added: a sum in float32 would round twice
                    dp = np.float64(phalf[k + 1, i]) - np.float64(phalf[k, i])
                    df = np.float64(flux[k + 1, i]) - np.float64(flux[k, i])
                    out[k, i] = scale * df / dp + push
            else:
                escaped[i] = reached


@njit(parallel=True)
def _dissipative_heating(
    ua: Array, va: Array, dua: Array, dva: Array, half_dt: float, factor: float, out: Array
) -> None:
    nlev, ncol = out.shape
    for k in numba.prange(nlev):
        for i in range(ncol):
            du, dv = np.float64(dua[k, i]), np.float64(dva[k, i])
            out[k, i] = factor * (
                (np.float64(ua[k, i]) + half_dt * du) * du
                + (np.float64(va[k, i]) + half_dt * dv) * dv
            )


@njit(parallel=True)
def _add_scaled(target: Array, increment: Array, factor: float) -> None:
    nlev, ncol = target.shape
    for k in numba.prange(nlev):
        for i in range(ncol):
            target[k, i] = np.float64(target[k, i]) + factor * np.float64(increment[k, i])


@njit(parallel=True)
def _apply_first(state: Array, total: Array, rate: Array, dt: float) -> None:
    nlev, ncol = state.shape
    for k in numba.prange(nlev):
        for i in range(ncol):
            total[k, i] = rate[k, i]
            state[k, i] = np.float64(state[k, i]) + dt * np.float64(rate[k, i])


@njit(parallel=True)
def _apply_next(state: Array, total: Array, rate: Array, dt: float) -> None:
    nlev, ncol = state.shape
    for k in numba.prange(nlev):
        for i in range(ncol):
            total[k, i] += rate[k, i]
            state[k, i] = np.float64(state[k, i]) + dt * np.float64(rate[k, i])
