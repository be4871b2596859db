"""Compiled passes for the CPU without gradients; the reference for each is written in torch.

:func:`grid_tendency` is ``PrimitiveEquations.grid_tendency`` as one pass over each latitude row:
what the torch version writes to some forty temporary arrays stays in a few rows of scratch.
:func:`finish_step` is what follows the implicit solve in ``Leapfrog``, in place. A test holds each
to its reference to rounding.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from coupler.interface.jit import njit

Array = NDArray[Any]


@njit(fastmath=True)
def grid_tendency(
    ua: Array,
    va: Array,
    vorticity: Array,
    divergence: Array,
    scalars: Array,
    humidity: Array,
    ps: Array,
    east: Array,
    north: Array,
    log_ratio: Array,
    a: Array,
    b: Array,
    c: Array,
    coriolis: Array,
    secant: Array,
    gas: float,
    kappa: float,
    virtual: float,
    t_ref: float,
    top_alpha: float,
    force_u: Array,
    force_v: Array,
    force_s: Array,
    upward: Array,
    scratch: Array,
    omega_p: Array,
    out: Array,
) -> None:
    """Fills `out` and `omega_p`.

    Args:
        ua, va: wind [m s-1], [K, lat, lon].
        vorticity, divergence: [s-1], [K, lat, lon].
        scalars: T' [K], then tracers [1], [1+n, K, lat, lon].
        humidity: specific humidity [1], [K, lat, lon]; a first axis of length 0 means dry.
        ps: [Pa], [lat, lon].
        east, north: derivatives of scalars and ln ps [unit m-1], [(1+n) K + 1, lat, lon].
        log_ratio: L [1], [K, lat, lon].
        a, b: half-level coefficients [Pa], [1], [K+1]; c: C_k of ``vertical`` [Pa], [K].
        coriolis, secant: f [s-1] and 1/cos(lat) [1], [lat].
        gas, kappa, virtual, t_ref: constants.
        top_alpha: alpha of the top layer when its top is at p = 0, else a negative number.
        force_u, force_v: [m s-2], [K, lat, lon]; force_s: [unit s-1], [1+n, K, lat, lon]; a first
            axis of length 0 means none, as does a shorter force_s.
        upward: levels from the lowest to the highest, [K]. (Counting down would keep the inner
            loops scalar, see ``physics.columns.lanes``.)
        scratch: [2, max(K+1, 9), lon].
        omega_p: omega / p [s-1], [K, lat, lon].
        out: A/cos, B/cos, energy, scalar tendencies, d ln ps/dt, [(4+n) K + 1, lat, lon].
    """
    levels, nlat, nlon = ua.shape
    variables = scalars.shape[0]
    half, one = ua.dtype.type(0.5), ua.dtype.type(1.0)
    zero = ua.dtype.type(0.0)
    partial = scratch[0]
    phi, heat, up, down = scratch[1, 0], scratch[1, 1], scratch[1, 2], scratch[1, 3]
    inverse, alpha, push, wind = scratch[1, 4], scratch[1, 5], scratch[1, 6], scratch[1, 7]
    running = scratch[1, 8]
    for j in range(nlat):
        f, sec = coriolis[j], secant[j]
        p_x, p_y, pressure = east[variables * levels, j], north[variables * levels, j], ps[j]
        partial[0, :] = zero
        running[:] = zero
        phi[:] = zero
        for k in range(levels):
            u, v, div = ua[k, j], va[k, j], divergence[k, j]
            da, db = a[k + 1] - a[k], b[k + 1] - b[k]
            below = partial[k + 1]
            for i in range(nlon):
                slope = db * pressure[i]
                flow = (da + slope) * div[i] + slope * (u[i] * p_x[i] + v[i] * p_y[i])
                running[i] += flow
                below[i] = running[i]
        total = partial[levels]
        target = out[(3 + variables) * levels, j]
        for i in range(nlon):
            target[i] = -total[i] / pressure[i]
        for k in upward:
            lower, upper = min(k + 1, levels - 1), max(k - 1, 0)
            u, v = ua[k, j], va[k, j]
            above, below, ratio = partial[k], partial[k + 1], log_ratio[k, j]
            da, db, a_top, b_top, b_low, c_k = (
                a[k + 1] - a[k],
                b[k + 1] - b[k],
                a[k],
                b[k],
                b[k + 1],
                c[k],
            )
            for i in range(nlon):
                inv = one / (da + db * pressure[i])
                inverse[i] = inv
                up[i] = half * inv * (b_top * total[i] - above[i])
                down[i] = half * inv * (b_low * total[i] - below[i])
                alpha[i] = one - (a_top + b_top * pressure[i]) * inv * ratio[i]
            if k == 0 and top_alpha >= zero:
                alpha[:] = top_alpha
            t = scalars[0, k, j]
            if humidity.shape[0] > 0:
                q = humidity[k, j]
                for i in range(nlon):
                    heat[i] = t[i] + virtual * (t[i] + t_ref) * q[i]
            else:
                heat[:] = t
            speed, energy = omega_p[k, j], out[2 * levels + k, j]
            for i in range(nlon):
                inv = inverse[i]
                weight = (db + c_k * ratio[i] * inv) * (inv * pressure[i])
                push[i] = gas * heat[i] * weight
                wind[i] = weight * (u[i] * p_x[i] + v[i] * p_y[i])
            for i in range(nlon):
                heavy = gas * heat[i]
                energy[i] = phi[i] + heavy * alpha[i] + half * (u[i] * u[i] + v[i] * v[i])
                phi[i] += heavy * ratio[i]
            for i in range(nlon):
                released = (ratio[i] * above[i] + alpha[i] * (below[i] - above[i])) * inverse[i]
                speed[i] = wind[i] - released
                heat[i] = kappa * (heat[i] + t_ref) * speed[i]
            vor, target = vorticity[k, j], out[k, j]
            x_up, x_down = ua[upper, j], ua[lower, j]
            for i in range(nlon):
                advected = down[i] * (x_down[i] - u[i]) + up[i] * (u[i] - x_up[i])
                target[i] = sec * ((vor[i] + f) * v[i] - push[i] * p_x[i] - advected)
            target = out[levels + k, j]
            x_up, x_down = va[upper, j], va[lower, j]
            for i in range(nlon):
                advected = down[i] * (x_down[i] - v[i]) + up[i] * (v[i] - x_up[i])
                target[i] = sec * (-(vor[i] + f) * u[i] - push[i] * p_y[i] - advected)
            for s in range(variables):
                row = s * levels + k
                x, x_up, x_down = scalars[s, k, j], scalars[s, upper, j], scalars[s, lower, j]
                x_east, x_north, target = east[row, j], north[row, j], out[3 * levels + row, j]
                for i in range(nlon):
                    change = u[i] * x_east[i] + v[i] * x_north[i]
                    advected = down[i] * (x_down[i] - x[i]) + up[i] * (x[i] - x_up[i])
                    target[i] = heat[i] - change - advected
                heat[:] = zero
                if s < force_s.shape[0]:
                    force = force_s[s, k, j]
                    for i in range(nlon):
                        target[i] += force[i]
        if force_u.shape[0] > 0:
            for k in range(levels):
                target, force = out[k, j], force_u[k, j]
                for i in range(nlon):
                    target[i] += sec * force[i]
                target, force = out[levels + k, j], force_v[k, j]
                for i in range(nlon):
                    target[i] += sec * force[i]


@njit(fastmath=True)
def finish_step(
    before: Array,
    now: Array,
    tendency: Array,
    change_d: Array,
    change_t: Array,
    change_p: Array,
    factor: Array,
    span: float,
    half_strength: float,
    alpha: float,
) -> None:
    """Increment, damping, time filter and exchange of the time levels, in place.

    Args:
        before: X^- in, filtered X^0 out, [T+1, 2, (3+n) K + 1, T+2].
        now: X^0 in, X^+ out.
        tendency: F(X^0).
        change_d, change_t, change_p: increments of divergence, temperature [T+1, 2, K, T+2] and
            ln ps [T+1, 2, 1, T+2]; with members, so many times as many rows of everything.
        factor: damping factor [T+1, 1, (3+n) K + 1, T+2].
        span: length of the step [s].
        half_strength: half the filter's strength [1]. alpha: its alpha [1].
    """
    size_m, _, fields, size_l = before.shape
    levels, last = change_d.shape[2], fields - change_p.shape[2]
    one = before.dtype.type(1.0)
    two = before.dtype.type(2.0)
    for m in range(size_m):
        for part in range(2):
            for f in range(fields):
                old, centre, damp = before[m, part, f], now[m, part, f], factor[m, 0, f]
                scale = one
                if f >= last:
                    change = change_p[m, part, f - last]
                elif levels <= f < 2 * levels:
                    change = change_d[m, part, f - levels]
                elif 2 * levels <= f < 3 * levels:
                    change = change_t[m, part, f - 2 * levels]
                else:
                    change = tendency[m, part, f]
                    scale = span
                for i in range(size_l):
                    new = (old[i] + scale * change[i]) * damp[i]
                    shift = half_strength * (old[i] - two * centre[i] + new)
                    old[i] = centre[i] + alpha * shift
                    centre[i] = new + (alpha - one) * shift
