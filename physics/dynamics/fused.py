"""The compiled pass over the grid for the CPU without gradients; its reference is in torch.

:func:`grid_tendency` is ``PrimitiveEquations.grid_tendency`` as one pass over each latitude row:
what the torch version writes to some forty temporary arrays stays in a few rows of scratch. A test
holds it to its reference to rounding.

Of a layer whose two interfaces are both in sigma, or both at a pressure, ln(p_below / p_above) does
not depend on ps; :func:`fixed_log_ratio` has it, and the pass takes a logarithm of the others only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coupler.interface.jit import njit
from physics.elementary import exp, log

Array = NDArray[Any]


@njit(fastmath=True)
def grid_tendency(
    ua: Array,
    va: Array,
    vorticity: Array,
    divergence: Array,
    scalars: Array,
    humidity: Array,
    ln_ps: Array,
    east: Array,
    north: Array,
    fixed: Array,
    a: Array,
    b: Array,
    c: Array,
    coriolis: Array,
    secant: Array,
    gas: float,
    kappa: float,
    virtual: float,
    t_ref: float,
    p_ref: float,
    top_alpha: float,
    force_u: Array,
    force_v: Array,
    force_t: Array,
    force_q: Array,
    level_energy: Array,
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
        ln_ps: ln(ps / p_ref) [1], [lat, lon].
        east, north: derivatives of scalars and ln ps [unit m-1], [(1+n) K + 1, lat, lon].
        fixed: of :func:`fixed_log_ratio` [1], [K].
        a, b: half-level coefficients [Pa], [1], [K+1]; c: C_k of ``vertical`` [Pa], [K].
        coriolis, secant: f [s-1] and 1/cos(lat) [1], [lat].
        gas, kappa, virtual, t_ref, p_ref: constants.
        top_alpha: alpha of the top layer when its top is at p = 0, else a negative number.
        force_u, force_v: [m s-2], force_t [K s-1], force_q, of the first tracer [s-1], each
            [K, lat, lon]; a first axis of length 0 means none.
        level_energy: taken off the energy [m2 s-2], [K, member].
        upward: levels from the lowest to the highest, [K]. (Counting down would keep the inner
            loops scalar, see ``physics.columns.lanes``.)
        scratch: [2, max(K+1, 11), lon].
        omega_p: omega / p [s-1], [K, lat, lon].
        out: A/cos, B/cos, energy less that of the level, scalar tendencies, d ln ps/dt,
            [(4+n) K + 1, lat, lon].
    """
    levels, nlat, nlon = ua.shape
    variables = scalars.shape[0]
    half, one = ua.dtype.type(0.5), ua.dtype.type(1.0)
    zero = ua.dtype.type(0.0)
    partial = scratch[0]
    phi, heat, up, down = scratch[1, 0], scratch[1, 1], scratch[1, 2], scratch[1, 3]
    inverse, alpha, push, wind = scratch[1, 4], scratch[1, 5], scratch[1, 6], scratch[1, 7]
    running, pressure, ratio = scratch[1, 8], scratch[1, 9], scratch[1, 10]
    for j in range(nlat):
        f, sec = coriolis[j], secant[j]
        p_x, p_y = east[variables * levels, j], north[variables * levels, j]
        logarithm = ln_ps[j]
        for i in range(nlon):
            pressure[i] = p_ref * exp(np.float64(logarithm[i]))
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
            above, below = partial[k], partial[k + 1]
            da, db, a_top, b_top, a_low, b_low, c_k = (
                a[k + 1] - a[k],
                b[k + 1] - b[k],
                a[k],
                b[k],
                a[k + 1],
                b[k + 1],
                c[k],
            )
            if fixed[k] >= zero:
                ratio[:] = fixed[k]
            else:
                for i in range(nlon):
                    p = np.float64(pressure[i])
                    ratio[i] = log((a_low + b_low * p) / (a_top + b_top * p))
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
                for i in range(nlon):
                    heat[i] = t[i]
            speed, energy = omega_p[k, j], out[2 * levels + k, j]
            usual = level_energy[k, j * level_energy.shape[1] // nlat]
            for i in range(nlon):
                inv = inverse[i]
                weight = (db + c_k * ratio[i] * inv) * (inv * pressure[i])
                push[i] = gas * heat[i] * weight
                wind[i] = weight * (u[i] * p_x[i] + v[i] * p_y[i])
            for i in range(nlon):
                heavy = gas * heat[i]
                kinetic = half * (u[i] * u[i] + v[i] * v[i])
                energy[i] = (phi[i] + heavy * alpha[i] - usual) + kinetic
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
            if force_u.shape[0] > 0:
                target, force = out[k, j], force_u[k, j]
                for i in range(nlon):
                    target[i] += sec * force[i]
            if force_v.shape[0] > 0:
                target, force = out[levels + k, j], force_v[k, j]
                for i in range(nlon):
                    target[i] += sec * force[i]
            if force_t.shape[0] > 0:
                target, force = out[3 * levels + k, j], force_t[k, j]
                for i in range(nlon):
                    target[i] += force[i]
            if force_q.shape[0] > 0:
                target, force = out[4 * levels + k, j], force_q[k, j]
                for i in range(nlon):
                    target[i] += force[i]


@njit()
def surface_pressure(ln_ps: Array, p_ref: float, ps: Array) -> None:
    """Fills `ps` [Pa] from ln(ps / p_ref), both [lat, lon]."""
    for j in range(ps.shape[0]):
        for i in range(ps.shape[1]):
            ps[j, i] = p_ref * exp(np.float64(ln_ps[j, i]))


@njit()
def expose(
    grid: Array,
    secant: Array,
    vectors: int,
    levels: int,
    t_ref: float,
    p_ref: float,
    ta: Array,
    ps: Array,
) -> None:
    """What is left of ``PrimitiveEquations.to_grid`` after the transform; temperature, pressure.

    Args:
        grid: of :func:`grid_tendency`: wind and derivatives times cos(lat) in, without it out, then
            the state; [fields, lat, lon].
        secant: 1/cos(lat) [1], [lat].
        vectors: how many fields have the factor.
        levels: K.
        t_ref: [K]. p_ref: [Pa].
        ta: T [K], [K, lat, lon]. ps: [Pa], [lat, lon].
    """
    for f in range(vectors):
        for j in range(secant.size):
            row, factor = grid[f, j], secant[j]
            for i in range(row.size):
                row[i] *= factor
    reference = grid.dtype.type(t_ref)
    for k in range(levels):
        for j in range(secant.size):
            row, warm = grid[vectors + 2 * levels + k, j], ta[k, j]
            for i in range(row.size):
                warm[i] = row[i] + reference
    surface_pressure(grid[-1], p_ref, ps)


def fixed_log_ratio(a: Array, b: Array) -> Array:
    """ln(p_{k+1/2} / p_{k-1/2}) of the layers where it is the same for any ps; -1 of the others.

    Args:
        a, b: half-level coefficients [Pa], [1], [K+1], in float64.

    Returns:
        [1], [K], in float64; 0 of a top layer that reaches p = 0, as in ``vertical``.
    """
    fixed = np.full(a.size - 1, -1.0)
    for k in range(a.size - 1):
        if a[k] == 0.0 and b[k] == 0.0:
            fixed[k] = 0.0
        elif a[k] == 0.0 and a[k + 1] == 0.0:
            fixed[k] = np.log(b[k + 1] / b[k])
        elif b[k] == 0.0 and b[k + 1] == 0.0:
            fixed[k] = np.log(a[k + 1] / a[k])
    return fixed
