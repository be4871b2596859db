"""The spectral half of a leapfrog step in one compiled pass, for the CPU without gradients.

:func:`leapfrog_step` is ``SemiImplicit.solve`` followed by the end of ``Leapfrog.step``, in place;
the torch expressions there are its reference, and a test holds it to them. The products with the
K x K matrices of the vertical structure are sums of rows, so that no coefficient's rounding depends
on how many stand beside it: a rank, or a member of a batch, finds the bits that it finds alone.

Coefficients of some wavenumbers at a time are laid side by side in a panel [K, lane] that stays in
the cache. Only degrees n <= T are touched: beyond, a state is zero.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from coupler.interface.jit import njit

Array = NDArray[Any]

WIDTH = 384
"""Lanes of a panel, if a wavenumber has not more: as float32, 8 to 30 levels of it fit the cache
of a core."""


@njit(fastmath=True)
def _product(matrix: Array, part: int, source: Array, lanes: int, out: Array) -> None:
    """`out` = `matrix` times `source`, both [K, lane].

    Args:
        matrix: [K, K].
        part: -1 for a lower triangular matrix, 1 for an upper one, 0 for a full one.
    """
    levels = matrix.shape[0]
    for k in range(levels):
        target, row = out[k], matrix[k]
        j = k if part > 0 else 0
        end = k + 1 if part < 0 else levels
        for i in range(lanes):
            target[i] = row[j] * source[j, i]
        j += 1
        while j + 3 < end:
            c_0, c_1, c_2, c_3 = row[j], row[j + 1], row[j + 2], row[j + 3]
            x_0, x_1, x_2, x_3 = source[j], source[j + 1], source[j + 2], source[j + 3]
            for i in range(lanes):
                target[i] += (c_0 * x_0[i] + c_1 * x_1[i]) + (c_2 * x_2[i] + c_3 * x_3[i])
            j += 4
        while j < end:
            for i in range(lanes):
                target[i] += row[j] * source[j, i]
            j += 1


@njit(fastmath=True, inline=True)
def _difference(x: Array, y: Array, factor: float, out: Array) -> None:
    for i in range(out.size):
        out[i] = factor * (x[i] - y[i])


@njit(fastmath=True, inline=True)
def _scaled(x: Array, factor: float, out: Array) -> None:
    for i in range(out.size):
        out[i] = factor * x[i]


@njit(fastmath=True, inline=True)
def _multiply(x: Array, out: Array) -> None:
    for i in range(out.size):
        out[i] *= x[i]


@njit(fastmath=True, inline=True)
def _finish(
    old: Array,
    centre: Array,
    damp: Array,
    change: Array,
    scale: float,
    half_strength: float,
    alpha: float,
) -> None:
    """One row: new = (old + scale change) damp, then the filter of ``leapfrog``."""
    two, one = old.dtype.type(2.0), old.dtype.type(1.0)
    for i in range(change.size):
        new = (old[i] + scale * change[i]) * damp[i]
        shift = half_strength * (old[i] - two * centre[i] + new)
        old[i] = centre[i] + alpha * shift
        centre[i] = new + (alpha - one) * shift


@njit(fastmath=True)
def leapfrog_step(
    before: Array,
    now: Array,
    tendency: Array,
    damping: Array,
    eigenvalue: Array,
    lengths: Array,
    members: int,
    gamma: Array,
    tau: Array,
    nu: Array,
    to_modes: Array,
    from_modes: Array,
    table: Array,
    span: float,
    eta: float,
    surface_factor: float,
    half_strength: float,
    alpha: float,
    panel: Array,
) -> None:
    """Implicit solve, increment, damping, time filter and exchange of the time levels, in place.

    Args:
        before: X^- in, filtered X^0 out, [m, 2, (3+n) K + 1, T+2], with members as many times as
            many rows, [field, level, member].
        now: X^0 in, X^+ out.
        tendency: F(X^0).
        damping: factor [m, 1, (3+n) K + 1, T+2].
        eigenvalue: of the Laplacian [m-2], [m, T+2].
        lengths: T + 1 - m, how many degrees each wavenumber has, [m].
        members: how many there are.
        gamma, tau, to_modes, from_modes: see ``semi_implicit``, [K, K]; nu: [K].
        table: 1 / (1 + eta^2 b c^2) [1], [m, 1, K, T+2 or more]. (No division here: in float32 the
            compiler's is another one inside of vectors than at their ends.)
        span: length of the step [s]. eta: half of it, times off-centring [s].
        surface_factor: R T_r [J kg-1].
        half_strength: half the filter's strength [1]. alpha: its alpha [1].
        panel: scratch [5, max(K, 4), lane], for at least 2 members (T+1) lanes.
    """
    levels, width = gamma.shape[0], panel.shape[2]
    first_t, last = 2 * levels * members, before.shape[2] - members
    one = before.dtype.type(1.0)
    a, b, c, d = panel[0], panel[1], panel[2], panel[3]
    change_p, lag_p, square, spare = panel[4, 0], panel[4, 1], panel[4, 2], panel[4, 3]
    begin = 0
    while begin < lengths.size:
        stop, lanes = begin, 0
        while stop < lengths.size and lanes + 2 * members * lengths[stop] <= width:
            lanes += 2 * members * lengths[stop]
            stop += 1
        # a: lag of D; b: F_T; c: span times lag of T
        at = 0
        for m in range(begin, stop):
            n = lengths[m]
            for part in range(2):
                for e in range(members):
                    to = at + n
                    for k in range(levels):
                        i_d, i_t = (levels + k) * members + e, first_t + k * members + e
                        _difference(before[m, part, i_d], now[m, part, i_d], one, a[k, at:to])
                        _difference(before[m, part, i_t], now[m, part, i_t], span, c[k, at:to])
                        _scaled(tendency[m, part, i_t], one, b[k, at:to])
                    i_p = last + e
                    _difference(before[m, part, i_p], now[m, part, i_p], span, lag_p[at:to])
                    _scaled(tendency[m, part, i_p], one, change_p[at:to])
                    _scaled(eigenvalue[m], -one, square[at:to])
                    at = to
        _product(tau, -1, a, lanes, d)
        spare[:lanes] = 0.0
        for k in range(levels):
            for i in range(lanes):
                spare[i] += nu[k] * a[k, i]
            for i in range(lanes):
                b[k, i] = span * (b[k, i] - d[k, i])
            for i in range(lanes):
                c[k, i] += eta * b[k, i]
        for i in range(lanes):
            change_p[i] = span * (change_p[i] - spare[i])
        for i in range(lanes):
            lag_p[i] = surface_factor * (lag_p[i] + eta * change_p[i])
        _product(gamma, 1, c, lanes, d)
        at = 0
        for m in range(begin, stop):
            for part in range(2):
                for e in range(members):
                    to = at + lengths[m]
                    for k in range(levels):
                        _scaled(tendency[m, part, (levels + k) * members + e], span, c[k, at:to])
                    at = to
        for k in range(levels):
            for i in range(lanes):
                c[k, i] += square[i] * (d[k, i] + lag_p[i])
        _product(to_modes, 0, c, lanes, a)
        at = 0
        for m in range(begin, stop):
            for _ in range(2 * members):
                to = at + lengths[m]
                for k in range(levels):
                    _multiply(table[m, 0, k], a[k, at:to])
                at = to
        _product(from_modes, 0, a, lanes, c)
        _product(tau, -1, c, lanes, d)
        spare[:lanes] = 0.0
        for k in range(levels):
            for i in range(lanes):
                spare[i] += nu[k] * c[k, i]
            for i in range(lanes):
                b[k, i] -= eta * d[k, i]
        for i in range(lanes):
            change_p[i] -= eta * spare[i]
        # c: increment of D; b: increment of T
        at = 0
        for m in range(begin, stop):
            n = lengths[m]
            for part in range(2):
                for f in range(before.shape[2]):
                    kind, e, k = f // (levels * members), f % members, f // members % levels
                    lane, to = at + e * n, at + e * n + n
                    x, y, z = before[m, part, f], now[m, part, f], damping[m, 0, f]
                    if f >= last:
                        _finish(x, y, z, change_p[lane:to], one, half_strength, alpha)
                    elif kind == 1:
                        _finish(x, y, z, c[k, lane:to], one, half_strength, alpha)
                    elif kind == 2:
                        _finish(x, y, z, b[k, lane:to], one, half_strength, alpha)
                    else:
                        _finish(x, y, z, tendency[m, part, f, :n], span, half_strength, alpha)
                at += n * members
        begin = stop
