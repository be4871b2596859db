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

import numpy as np

from coupler.interface.component import Array
from coupler.interface.errors import ContractError, nearest
from coupler.interface.jit import njit

Top = Literal["escape", "dump", "zero"]
_CODE: dict[Top, int] = {"escape": 0, "dump": 1, "zero": 2}
_DUMP, _ZERO = _CODE["dump"], _CODE["zero"]
NO_SUMS = np.empty((2, 0))


def flux_tendency(
    flux: Array,
    phalf: Array,
    *,
    scale: float,
    top: Top,
    dump_above: float,
    out: Array,
    escaped: Array,
    push: Array | None = None,
    sums: Array = NO_SUMS,
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
        push: Scratch, float64 [column]; None: made here.
        sums: Overwritten with the sums over levels of ``out dp`` and of its absolute value, of the
            numbers as they are stored, float64 [2, column]; without columns they are not made.

    Raises:
        ContractError: for a policy that does not exist.
    """
    if push is None:
        push = np.empty(out.shape[1])
    _flux_tendency(flux, phalf, scale, _code(top), dump_above, out, escaped, push, sums)


def _code(top: Top) -> int:
    if top not in _CODE:
        raise ContractError.of(
            "unknown policy at the top", str(top), remedy=nearest(str(top), _CODE)
        )
    return _CODE[top]


def flux_pair_tendency(
    flux: Array,
    other: Array,
    phalf: Array,
    *,
    scale: float,
    out: Array,
    escaped: tuple[Array, Array],
) -> None:
    """The tendency of two fluxes of one variable together, which leave the column at the top.

    Args:
        flux, other: Interface fluxes as in `flux_tendency`.
        phalf, scale, out: as there.
        escaped: of either flux.
    """
    _flux_pair_tendency(flux, other, phalf, scale, out)
    for gone, whole in zip(escaped, (flux, other), strict=True):
        gone[:] = whole[0]


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


def drag_and_heat(
    fluxes: tuple[Array, Array],
    phalf: Array,
    *,
    gravity: float,
    cp: float,
    tops: tuple[tuple[Top, float], tuple[Top, float]],
    winds: tuple[Array, Array],
    dt: float,
    out: tuple[Array, Array, Array],
    escaped: tuple[Array, Array],
    push: tuple[Array, Array],
    sums: tuple[Array, Array] = (NO_SUMS, NO_SUMS),
) -> None:
    """`flux_tendency` of both winds and `dissipative_heating` in one pass, with the same bits.

    Args:
        fluxes: of eastward and northward momentum [Pa], shape [interface, column].
        phalf: as in `flux_tendency`.
        gravity: g [m s-2].
        cp: specific heat at constant pressure [J kg-1 K-1].
        tops: policy at the top and the pressure above which it dumps [Pa], of either flux.
        winds: before the step [m s-1], shape [level, column].
        dt: time over which the drag is applied [s].
        out: overwritten with the tendencies of both winds [m s-2] and of temperature [K s-1].
        escaped, push, sums: of either flux, as in `flux_tendency`; no scratch is used twice.
    """
    (one, over), (two, above) = tops
    _drag(
        fluxes,
        phalf,
        gravity,
        (_code(one), _code(two)),
        (over, above),
        winds,
        0.5 * dt,
        -1.0 / cp,
        out,
        escaped,
        push,
        sums,
    )


def add_scaled(target: Array, increment: Array, factor: float) -> None:
    """Adds ``factor increment`` to `target`, shape [level, column], rounded once."""
    _add_scaled(target, increment, factor)


def move(source: Array, rate: Array, dt: float, target: Array) -> None:
    """Makes `target` what `source` [level, column] becomes with a rate over `dt` [s]."""
    _move(source, rate, dt, target)


def add_up(rates: tuple[Array, ...], reach: Array, limit: float, out: Array) -> int:
    """Overwrites `out` with the sum of rates, in their order.

    Args:
        rates: shape [level, column].
        reach: how many of the uppermost levels each of them may have changed.
        limit: what a sum should stay within [SI per s].
        out: the sum, shape [level, column].

    Returns:
        How many numbers do not; NaN is one of them.
    """
    return int(_add_up(rates, reach, limit, out))


@njit(inline=True)
def _begin(
    flux: Array,
    phalf: Array,
    scale: float,
    policy: int,
    dump_above: float,
    escaped: Array,
    push: Array,
) -> bool:
    """What becomes of the flux at the top; whether layers absorb some of it."""
    dumps, nlev = False, phalf.shape[0] - 1
    for i in range(escaped.size):
        escaped[i] = 0.0 if policy in (_DUMP, _ZERO) else flux[0, i]
    if policy == _DUMP:
        for i in range(escaped.size):
            push[i] = 0.0
            reached = np.float64(flux[0, i])
            if reached != 0.0:
                n, dumps = 1, True
                while n < nlev and 0.5 * (phalf[n, i] + phalf[n + 1, i]) < dump_above:
                    n += 1
                push[i] = scale * reached / (np.float64(phalf[n, i]) - np.float64(phalf[0, i]))
    return dumps


@njit(inline=True)
def _divide(
    flux: Array,
    phalf: Array,
    k: int,
    scale: float,
    policy: int,
    dump_above: float,
    dumps: bool,
    push: Array,
    row: Array,
) -> bool:
    """The tendency of one layer; whether the one below absorbs what reached the top, too."""
    above, below, p_above, p_below = flux[k], flux[k + 1], phalf[k], phalf[k + 1]
    if k == 0 and policy == _ZERO:
        for i in range(row.size):
            dp = np.float64(p_below[i]) - np.float64(p_above[i])
            row[i] = scale * np.float64(below[i]) / dp
    elif dumps:  # at once, not added to what is stored: a sum in float32 would round twice
        beyond = 0
        for i in range(row.size):
            dp = np.float64(p_below[i]) - np.float64(p_above[i])
            df = np.float64(below[i]) - np.float64(above[i])
            absorbs = k == 0 or 0.5 * (p_above[i] + p_below[i]) < dump_above
            row[i] = scale * df / dp + (push[i] if absorbs else 0.0)
            beyond += 0 if absorbs else 1
        return beyond < row.size
    else:
        for i in range(row.size):
            dp = np.float64(p_below[i]) - np.float64(p_above[i])
            row[i] = scale * (np.float64(below[i]) - np.float64(above[i])) / dp
    return dumps


@njit(inline=True)
def _sum(row: Array, p_above: Array, p_below: Array, net: Array, gross: Array) -> None:
    """Adds one layer to the column sums."""
    for i in range(row.size):
        force = (np.float64(p_below[i]) - np.float64(p_above[i])) * np.float64(row[i])
        net[i] += force
        gross[i] += abs(force)


@njit(inline=True)
def _heat(
    u: Array, v: Array, x: Array, y: Array, half_dt: float, factor: float, row: Array
) -> None:
    """The heat of one layer's drag."""
    for i in range(row.size):
        du, dv = np.float64(x[i]), np.float64(y[i])
        row[i] = factor * (
            (np.float64(u[i]) + half_dt * du) * du + (np.float64(v[i]) + half_dt * dv) * dv
        )


@njit()
def _flux_tendency(
    flux: Array,
    phalf: Array,
    scale: float,
    policy: int,
    dump_above: float,
    out: Array,
    escaped: Array,
    push: Array,
    sums: Array,
) -> None:
    """The tendency, row by row; `push` [column] is scratch, `sums` may have no columns."""
    summed = sums.shape[1] > 0
    if summed:
        sums[:] = 0.0
    dumps = _begin(flux, phalf, scale, policy, dump_above, escaped, push)
    for k in range(out.shape[0]):
        dumps = _divide(flux, phalf, k, scale, policy, dump_above, dumps, push, out[k])
        if summed:
            _sum(out[k], phalf[k], phalf[k + 1], sums[0], sums[1])


@njit()
def _drag(
    fluxes: tuple[Array, Array],
    phalf: Array,
    scale: float,
    policies: tuple[int, int],
    dump_above: tuple[float, float],
    winds: tuple[Array, Array],
    half_dt: float,
    factor: float,
    out: tuple[Array, Array, Array],
    escaped: tuple[Array, Array],
    push: tuple[Array, Array],
    sums: tuple[Array, Array],
) -> None:
    """Both components and their heat, layer by layer, while a layer is in the cache."""
    first, second, (one, two), (over, above) = fluxes[0], fluxes[1], policies, dump_above
    du, dv, heat = out
    x_summed, y_summed = sums[0].shape[1] > 0, sums[1].shape[1] > 0
    if x_summed:
        sums[0][:] = 0.0
    if y_summed:
        sums[1][:] = 0.0
    x_dumps = _begin(first, phalf, scale, one, over, escaped[0], push[0])
    y_dumps = _begin(second, phalf, scale, two, above, escaped[1], push[1])
    for k in range(heat.shape[0]):
        x_dumps = _divide(first, phalf, k, scale, one, over, x_dumps, push[0], du[k])
        if x_summed:
            _sum(du[k], phalf[k], phalf[k + 1], sums[0][0], sums[0][1])
        y_dumps = _divide(second, phalf, k, scale, two, above, y_dumps, push[1], dv[k])
        if y_summed:
            _sum(dv[k], phalf[k], phalf[k + 1], sums[1][0], sums[1][1])
        _heat(winds[0][k], winds[1][k], du[k], dv[k], half_dt, factor, heat[k])


@njit()
def _flux_pair_tendency(flux: Array, other: Array, phalf: Array, scale: float, out: Array) -> None:
    for k in range(out.shape[0]):
        above, below, row = flux[k], flux[k + 1], out[k]
        other_above, other_below = other[k], other[k + 1]
        p_above, p_below = phalf[k], phalf[k + 1]
        for i in range(row.size):
            dp = np.float64(p_below[i]) - np.float64(p_above[i])
            df = np.float64(below[i]) - np.float64(above[i])
            row[i] = scale * (df + (np.float64(other_below[i]) - np.float64(other_above[i]))) / dp


@njit()
def _dissipative_heating(
    ua: Array, va: Array, dua: Array, dva: Array, half_dt: float, factor: float, out: Array
) -> None:
    for k in range(out.shape[0]):
        _heat(ua[k], va[k], dua[k], dva[k], half_dt, factor, out[k])


@njit()
def _add_scaled(target: Array, increment: Array, factor: float) -> None:
    for k in range(target.shape[0]):
        row, more = target[k], increment[k]
        for i in range(row.size):
            row[i] = np.float64(row[i]) + factor * np.float64(more[i])


@njit()
def _move(source: Array, rate: Array, dt: float, target: Array) -> None:
    step = target.dtype.type(dt)
    for k in range(target.shape[0]):
        before, change, after = source[k], rate[k], target[k]
        for i in range(after.size):
            after[i] = before[i] + step * change[i]


@njit()
def _add_up(rates: tuple[Array, ...], reach: Array, limit: float, out: Array) -> int:
    beyond, most = 0, out.dtype.type(limit)
    for k in range(out.shape[0]):
        total, empty, alone = out[k], True, -1
        for n in range(len(rates)):
            if k >= reach[n]:
                continue
            if alone < 0:  # two at a time: a row is read and written half as often
                alone = n
                continue
            one, two = rates[alone][k], rates[n][k]
            if empty:
                for i in range(total.size):
                    total[i] = one[i] + two[i]
            else:
                for i in range(total.size):
                    total[i] = (total[i] + one[i]) + two[i]
            empty, alone = False, -1
        if alone >= 0:
            one = rates[alone][k]
            if empty:
                for i in range(total.size):
                    total[i] = one[i]
            else:
                for i in range(total.size):
                    total[i] += one[i]
        elif empty:
            total[:] = 0.0
        for i in range(total.size):
            beyond += 0 if abs(total[i]) <= most else 1
    return beyond
