"""Compiled passes of the grid-space transport over tracers; the method is in ``transport``.

Everything is in units of M = dp w [Pa], see ``transport_air``. A sweep along one axis moves tracer
and air together:

    M+ = M - (F_out - F_in),   q+ = q + [q (F_out - F_in) - (F_out q_out - F_in q_in)] / M+

(the form whose rounding is smallest, and not biased in float32), with q_out the mean of the limited
profile over the air that leaves. Air of a face with a Courant number above 1 comes from several
cells: whole ones first, then a part of the last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coupler.interface.jit import njit

Array = NDArray[Any]


@njit(inline=True)
def copy(row: Array, into: Array) -> None:
    """Copies a row [any]."""
    for i in range(row.size):
        into[i] = row[i]


@njit(fastmath=True, inline=True)
def limited(low: float, mid: float, high: float, centred: float) -> float:
    """Van Leer's monotonized difference across a cell, given the unlimited one."""
    down, up = mid - low, high - mid
    size = min(abs(centred), min(abs(down + down), abs(up + up)))
    zero = mid - mid
    if down * up <= zero:
        return zero
    return size if up > zero else -size


@njit(fastmath=True, inline=True)
def end_value(mid: Array, high: Array, s_mid: Array, s_high: Array, out: Array) -> None:
    """Value at the face between two rows of cells minus the mean of the first, [any]."""
    half, sixth = mid.dtype.type(0.5), mid.dtype.type(1.0 / 6.0)
    for i in range(mid.size):
        out[i] = half * (high[i] - mid[i]) - sixth * (s_high[i] - s_mid[i])


@njit(fastmath=True, inline=True)
def limit_parabola(left: Array, right: Array) -> None:
    """Makes parabolas monotone (Colella and Woodward 1984), given end values minus the mean."""
    zero = left.dtype.type(0.0)
    for i in range(left.size):
        begin, end = left[i], right[i]
        size_begin, size_end = abs(begin), abs(end)
        begin_new = min(size_begin, size_end + size_end)
        end_new = min(size_end, size_begin + size_begin)
        keep = begin * end < zero
        begin_new = begin_new if begin > zero else -begin_new
        end_new = end_new if end > zero else -end_new
        left[i] = begin_new if keep else zero
        right[i] = end_new if keep else zero


@njit(fastmath=True, inline=True)
def outflow(mean: float, near: float, far: float, part: float, half: float, three: float) -> float:
    """Mean of the parabola over the `part` of a cell next to the face it leaves through."""
    bend = (three - (part + part)) * (near + far)
    return mean + near - half * part * (near - far + bend)


@njit(fastmath=True)
def sweep_east(q: Array, mass: Array, fx: Array, rows: Array) -> float:
    """Zonal sweep in place. `rows`: scratch [7, lon+6]. Returns how many cells have no air left."""
    tracers, levels, nlat, nlon = q.shape
    real = q.dtype.type
    half, one, zero, three = real(0.5), real(1.0), real(0.0), real(3.0)
    air, x, flux, f = rows[0], rows[1], rows[2], rows[3]
    left, right, tilt = rows[4], rows[5], rows[6]
    emptied = zero
    for k in range(levels):
        for j in range(nlat):
            cell, given = mass[k, j], fx[k, j]
            for i in range(nlon):
                air[i + 3] = cell[i]
                f[i + 1] = given[i]
            f[0] = f[nlon]
            for i in range(3):
                air[i], air[nlon + 3 + i] = air[nlon + i], air[3 + i]
            far = zero  # how many faces take from more than one cell
            for i in range(nlon):
                far += one if f[i + 1] > air[i + 3] else zero
                far += one if -f[i + 1] > air[i + 4] else zero
                rest = air[i + 3] - (f[i + 1] - f[i])
                emptied += zero if rest > zero else one
                cell[i] = rest
            for s in range(tracers):
                target = q[s, k, j]
                for i in range(nlon):
                    x[i + 3] = target[i]
                for i in range(3):
                    x[i], x[nlon + 3 + i] = x[nlon + i], x[3 + i]
                for i in range(1, nlon + 5):
                    tilt[i] = limited(x[i - 1], x[i], x[i + 1], half * (x[i + 1] - x[i - 1]))
                mid, s_mid, a, b = x[2:-2], tilt[2:-2], left[2:-2], right[2:-2]
                end_value(mid, x[3:-1], s_mid, tilt[3:-1], b)
                end_value(mid, x[1:-3], tilt[1:-3], s_mid, a)
                limit_parabola(a, b)
                if far == zero:
                    for i in range(nlon):
                        c, w, e = f[i + 1], i + 3, i + 4
                        to_east = outflow(x[w], right[w], left[w], abs(c) / air[w], half, three)
                        to_west = outflow(x[e], left[e], right[e], abs(c) / air[e], half, three)
                        flux[i + 1] = c * (to_east if c > zero else to_west)
                else:
                    for i in range(nlon):
                        c = f[i + 1]
                        sign = one if c > zero else -one
                        step = -1 if c > zero else 1
                        rest, carried = abs(c), zero
                        at = i + 3 if c > zero else i + 4
                        for _ in range(nlon):
                            at = at + nlon if at < 3 else (at - nlon if at >= nlon + 3 else at)
                            if rest <= air[at]:
                                break
                            carried += air[at] * x[at]
                            rest -= air[at]
                            at += step
                        at = at + nlon if at < 3 else (at - nlon if at >= nlon + 3 else at)
                        near = right[at] if c > zero else left[at]
                        away = left[at] if c > zero else right[at]
                        mean = outflow(x[at], near, away, rest / air[at], half, three)
                        flux[i + 1] = sign * (carried + rest * mean)
                flux[0] = flux[nlon]
                for i in range(nlon):
                    excess = x[i + 3] * (f[i + 1] - f[i]) - (flux[i + 1] - flux[i])
                    target[i] = x[i + 3] + excess / cell[i]
    return float(emptied)


@njit(fastmath=True)
def walk(
    cells: int, x: Array, air: Array, left: Array, right: Array, edge: int, i: int, flux: float
) -> float:
    """Tracer through face `edge` of column i when the air comes from more than one cell."""
    half, one, three = x.dtype.type(0.5), x.dtype.type(1.0), x.dtype.type(3.0)
    zero = x.dtype.type(0.0)
    ahead = flux > zero
    sign = one if ahead else -one
    step = -1 if ahead else 1
    at = edge - 1 if ahead else edge
    rest, carried = abs(flux), zero
    while rest > air[at, i] and 0 <= at + step < cells:
        carried += air[at, i] * x[at, i]
        rest -= air[at, i]
        at += step
    near = right[at, i] if ahead else left[at, i]
    far = left[at, i] if ahead else right[at, i]
    total: float = sign * (
        carried + rest * outflow(x[at, i], near, far, rest / air[at, i], half, three)
    )
    return total


@njit(fastmath=True)
def face_fluxes(
    cells: int, x: Array, air: Array, f: Array, left: Array, right: Array, flux: Array
) -> None:
    """Tracer through the inner faces along the first axis; `flux` [n+1, lon], its ends stay 0."""
    nlon = x.shape[1]
    real = x.dtype.type
    half, one, zero, three = real(0.5), real(1.0), real(0.0), real(3.0)
    for e in range(1, cells):
        c, out = f[e], flux[e]
        x_low, x_high, air_low, air_high = x[e - 1], x[e], air[e - 1], air[e]
        near_low, far_low, near_high, far_high = right[e - 1], left[e - 1], left[e], right[e]
        far = zero
        for i in range(nlon):
            up, down = abs(c[i]) / air_low[i], abs(c[i]) / air_high[i]
            ahead = c[i] > zero
            far += one if (up if ahead else down) > one else zero
            forth = outflow(x_low[i], near_low[i], far_low[i], up, half, three)
            back = outflow(x_high[i], near_high[i], far_high[i], down, half, three)
            out[i] = c[i] * (forth if ahead else back)
        if far > zero:
            for i in range(nlon):
                source = air_low[i] if c[i] > zero else air_high[i]
                if abs(c[i]) > source:
                    out[i] = walk(cells, x, air, left, right, e, i, c[i])


@njit(fastmath=True)
def update(cells: int, x: Array, air: Array, f: Array, flux: Array) -> None:
    """New mixing ratios along the first axis from the fluxes of air and tracer."""
    nlon = x.shape[1]
    for k in range(cells):
        target, cell, low, high = x[k], air[k], flux[k], flux[k + 1]
        f_low, f_high = f[k], f[k + 1]
        for i in range(nlon):
            gone = f_high[i] - f_low[i]
            excess = target[i] * gone - (high[i] - low[i])
            target[i] += excess / (cell[i] - gone)


@njit(fastmath=True)
def carry_air(cells: int, air: Array, f: Array) -> float:
    """New air along the first axis; returns how many cells have none left."""
    nlon = air.shape[1]
    one, zero = air.dtype.type(1.0), air.dtype.type(0.0)
    emptied = zero
    for k in range(cells):
        cell, f_low, f_high = air[k], f[k], f[k + 1]
        for i in range(nlon):
            rest = cell[i] - (f_high[i] - f_low[i])
            emptied += zero if rest > zero else one
            cell[i] = rest
    return float(emptied)


@njit(fastmath=True)
def sweep_north(q: Array, mass: Array, fy: Array, planes: Array) -> float:
    """Meridional sweep in place. Scratch `planes` [8, >= lat+4, lon]; returns cells without air."""
    tracers, levels, nlat, nlon = q.shape
    real = q.dtype.type
    half, turn, emptied = real(0.5), nlon // 2, 0.0
    wide, slopes, flux, left, right = planes[0], planes[1], planes[2], planes[3], planes[4]
    flux[0] = real(0.0)
    flux[nlat] = real(0.0)
    for k in range(levels):
        air, f = mass[k], fy[k]
        for s in range(tracers):
            x = q[s, k]
            for j in range(nlat):
                copy(x[j], wide[j + 2])
            for i in range(nlon):  # beyond the pole: the other side of it
                other = i + turn if i + turn < nlon else i + turn - nlon
                wide[1, i], wide[0, i] = x[0, other], x[1, other]
                wide[nlat + 2, i], wide[nlat + 3, i] = x[nlat - 1, other], x[nlat - 2, other]
            for j in range(1, nlat + 3):
                low, mid, high, out = wide[j - 1], wide[j], wide[j + 1], slopes[j]
                for i in range(nlon):
                    out[i] = limited(low[i], mid[i], high[i], half * (high[i] - low[i]))
            for j in range(nlat):
                mid, s_mid = wide[j + 2], slopes[j + 2]
                end_value(mid, wide[j + 3], s_mid, slopes[j + 3], right[j])
                end_value(mid, wide[j + 1], slopes[j + 1], s_mid, left[j])
                limit_parabola(left[j], right[j])
            face_fluxes(nlat, x, air, f, left, right, flux)
            update(nlat, x, air, f, flux)
        emptied += carry_air(nlat, air, f)
    return emptied


@njit(fastmath=True)
def sweep_down(q: Array, mass: Array, fz: Array, planes: Array) -> float:
    """Vertical sweep in place. Scratch `planes` [8, >= K+1, lon]; returns cells without air."""
    tracers, levels, nlat, nlon = q.shape
    real = q.dtype.type
    half, emptied = real(0.5), 0.0
    # Copies of a latitude's slab: rows of a strided view would not be vectorized.
    flux, left, right = planes[2], planes[3], planes[4]
    x, air, f = planes[5], planes[6], planes[7]
    left[0], left[levels - 1] = real(0.0), real(0.0)
    right[0], right[levels - 1] = real(0.0), real(0.0)
    flux[0], flux[levels] = real(0.0), real(0.0)
    for j in range(nlat):
        for k in range(levels):
            copy(mass[k, j], air[k])
            copy(fz[k, j], f[k])
        copy(fz[levels, j], f[levels])
        for s in range(tracers):
            for k in range(levels):
                copy(q[s, k, j], x[k])
            for k in range(1, levels - 1):
                low, mid, high, begin, end = x[k - 1], x[k], x[k + 1], left[k], right[k]
                a_low, a_mid, a_high = air[k - 1], air[k], air[k + 1]
                for i in range(nlon):
                    spread = a_mid[i] / (a_mid[i] + half * (a_low[i] + a_high[i]))
                    centred = spread * (high[i] - low[i])
                    tilt = half * limited(low[i], mid[i], high[i], centred)
                    begin[i], end[i] = -tilt, tilt
            face_fluxes(levels, x, air, f, left, right, flux)
            update(levels, x, air, f, flux)
            for k in range(levels):
                copy(x[k], q[s, k, j])
        emptied += carry_air(levels, air, f)
        for k in range(levels):
            copy(air[k], mass[k, j])
    return emptied


@njit(fastmath=True)
def settle(q: Array, mass: Array, ps: Array, a: Array, b: Array, weight: Array) -> None:
    """Mixing ratios with respect to the air that the model has; what rounding left below 0 is 0."""
    tracers, levels, nlat, nlon = q.shape
    zero = q.dtype.type(0.0)
    for s in range(tracers):
        for k in range(levels):
            da, db = a[k + 1] - a[k], b[k + 1] - b[k]
            for j in range(nlat):
                target, cell, p, w = q[s, k, j], mass[k, j], ps[j], weight[j]
                for i in range(nlon):
                    air = w * (da + db * p[i])
                    target[i] = max(target[i] + target[i] * ((cell[i] - air) / air), zero)


@njit(fastmath=True)
def add_source(
    q: Array, rate: Array, ps: Array, a: Array, b: Array, dt: float, sums: Array
) -> None:
    """q += dt rate for one tracer; a negative value borrows from the layers below, then above.

    Args:
        q: [1], [K, lat, lon]. rate: [s-1], [K, lat, lon], or of length 0.
        ps: [Pa]. a, b: half-level coefficients.
        dt: [s].
        sums: over each row, times g [Pa], of the tracer's mass, of what was moved to fill, and of
            what was made where a whole column was negative, [3, lat].
    """
    levels, nlat, nlon = q.shape
    for j in range(nlat):
        total, moved, made = 0.0, 0.0, 0.0
        p = ps[j]
        lowest = q[0, j, 0]
        for k in range(levels):
            target = q[k, j]
            if rate.shape[0] > 0:
                change = rate[k, j]
                for i in range(nlon):
                    target[i] += dt * change[i]
            for i in range(nlon):
                lowest = min(lowest, target[i])
        if lowest < 0.0:
            for i in range(nlon):
                owed = 0.0
                for k in range(levels):
                    thick = np.float64(a[k + 1] - a[k] + (b[k + 1] - b[k]) * p[i])
                    moved += max(0.0, -q[k, j, i] * thick)
                    content = q[k, j, i] * thick - owed
                    if content < 0.0:
                        owed = -content
                        q[k, j, i] = 0.0
                    elif owed > 0.0:
                        owed = 0.0
                        q[k, j, i] = content / thick
                for k in range(levels - 2, -1, -1):
                    if owed > 0.0:
                        thick = np.float64(a[k + 1] - a[k] + (b[k + 1] - b[k]) * p[i])
                        taken = min(owed, q[k, j, i] * thick)
                        q[k, j, i] = max(0.0, q[k, j, i] - taken / thick)
                        owed -= taken
                made += owed
        for k in range(levels):
            target = q[k, j]
            da, db = np.float64(a[k + 1] - a[k]), np.float64(b[k + 1] - b[k])
            for i in range(nlon):
                total += target[i] * (da + db * p[i])
        sums[0, j], sums[1, j], sums[2, j] = total, moved, made
