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
            c_0, x_0 = row[j], source[j]
            for i in range(lanes):
                target[i] += c_0 * x_0[i]
            j += 1


@njit(fastmath=True, inline=True)
def _finish(
    old: Array,
    centre: Array,
    damp: Array,
    change: Array,
    scale: float,
    half_strength: float,
    alpha: float,
    n: int,
) -> None:
    """One row: new = (old + scale change) damp, then the filter of ``leapfrog``."""
    two, one = old.dtype.type(2.0), old.dtype.type(1.0)
    for i in range(n):
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
    rows: Array,
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
        panel: scratch [4, K, lane], for at least 2 members (T+1) lanes.
        rows: scratch [4, lane].
    """
    levels, width = gamma.shape[0], panel.shape[2]
    first_t, last = 2 * levels * members, before.shape[2] - members
    one = before.dtype.type(1.0)
    a, b, c, d = panel[0], panel[1], panel[2], panel[3]
    change_p, lag_p, square, spare = rows[0], rows[1], rows[2], rows[3]
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
                    old, new, rate = before[m, part], now[m, part], tendency[m, part]
                    for k in range(levels):
                        row = (levels + k) * members + e
                        x, y, target = old[row], new[row], a[k, at : at + n]
                        for i in range(n):
                            target[i] = x[i] - y[i]
                        row = first_t + k * members + e
                        x, y, target = old[row], new[row], c[k, at : at + n]
                        for i in range(n):
                            target[i] = span * (x[i] - y[i])
                        x, target = rate[row], b[k, at : at + n]
                        for i in range(n):
                            target[i] = x[i]
                    x, y, z, w = old[last + e], new[last + e], rate[last + e], eigenvalue[m]
                    for i in range(n):
                        lag_p[at + i] = span * (x[i] - y[i])
                    for i in range(n):
                        change_p[at + i] = z[i]
                    for i in range(n):
                        square[at + i] = -w[i]
                    at += n
        _product(tau, -1, a, lanes, d)
        spare[:lanes] = 0.0
        for k in range(levels):
            lag, weight = a[k], nu[k]
            for i in range(lanes):
                spare[i] += weight * lag[i]
            rhs, image, lag_t = b[k], d[k], c[k]
            for i in range(lanes):
                rhs[i] = span * (rhs[i] - image[i])
            for i in range(lanes):
                lag_t[i] += eta * rhs[i]
        for i in range(lanes):
            change_p[i] = span * (change_p[i] - spare[i])
        for i in range(lanes):
            lag_p[i] = surface_factor * (lag_p[i] + eta * change_p[i])
        _product(gamma, 1, c, lanes, d)
        at = 0
        for m in range(begin, stop):
            n = lengths[m]
            for part in range(2):
                for e in range(members):
                    for k in range(levels):
                        x, target = tendency[m, part, (levels + k) * members + e], c[k, at : at + n]
                        for i in range(n):
                            target[i] = span * x[i]
                    at += n
        for k in range(levels):
            rhs, warm = c[k], d[k]
            for i in range(lanes):
                rhs[i] += square[i] * (warm[i] + lag_p[i])
        _product(to_modes, 0, c, lanes, a)
        at = 0
        for m in range(begin, stop):
            n = lengths[m]
            for part in range(2):
                for e in range(members):
                    for k in range(levels):
                        x, target = table[m, 0, k], a[k, at : at + n]
                        for i in range(n):
                            target[i] *= x[i]
                    at += n
        _product(from_modes, 0, a, lanes, c)
        _product(tau, -1, c, lanes, d)
        spare[:lanes] = 0.0
        for k in range(levels):
            change, weight = c[k], nu[k]
            for i in range(lanes):
                spare[i] += weight * change[i]
            rhs, image = b[k], d[k]
            for i in range(lanes):
                rhs[i] -= eta * image[i]
        for i in range(lanes):
            change_p[i] -= eta * spare[i]
        # c: increment of D; b: increment of T
        at = 0
        for m in range(begin, stop):
            n = lengths[m]
            for part in range(2):
                for f in range(before.shape[2]):
                    old, centre, damp = before[m, part, f], now[m, part, f], damping[m, 0, f]
                    kind, e, k = f // (levels * members), f % members, f // members % levels
                    lane = at + e * n
                    scale = one
                    change = tendency[m, part, f, :n]
                    if f >= last:
                        change = change_p[lane : lane + n]
                    elif kind == 1:
                        change = c[k, lane : lane + n]
                    elif kind == 2:
                        change = b[k, lane : lane + n]
                    else:
                        scale = span
                    _finish(old, centre, damp, change, scale, half_strength, alpha, n)
                at += n * members
        begin = stop
