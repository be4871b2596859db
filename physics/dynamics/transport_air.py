"""Compiled passes of the grid-space transport over air; the method is in ``transport``.

Everything is in units of M = dp w [Pa]: the air over a cell of Gaussian weight w. ``fx[k, j, i]``
is what leaves cell i through its east face in a step, ``fy[k, e, i]`` what goes north over edge e
(edge 0 is the south pole), ``fz[k, j, i]`` what goes down through half level k.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from coupler.interface.jit import njit

Array = NDArray[Any]


@njit(fastmath=True)
def add_air_flux(
    ua: Array,
    va: Array,
    ps: Array,
    a: Array,
    b: Array,
    east_factor: Array,
    cos_lat: Array,
    cos_edge: Array,
    north_factor: float,
    halo: Array,
    plane: Array,
    fx: Array,
    fy: Array,
) -> None:
    """Adds the air that a wind carries through the faces; fourth order in the mesh inside.

    Args:
        ua, va: wind [m s-1], [K, lat, lon].
        ps: [Pa], [lat, lon].
        a, b: half-level coefficients [Pa], [1], [K+1].
        east_factor: dt w / (a cos(lat) dlon) [s m-1], [lat].
        cos_lat, cos_edge: [lat], [lat+1].
        north_factor: dt / a [s m-1].
        halo: scratch [1, lon+4]. plane: scratch [lat, lon].
        fx, fy: [K, lat, lon], [K, lat+1, lon].
    """
    levels, nlat, nlon = ua.shape
    real = ua.dtype.type
    seven, twelfth, half = real(7.0), real(1.0 / 12.0), real(0.5)
    row = halo[0]
    for k in range(levels):
        da, db = a[k + 1] - a[k], b[k + 1] - b[k]
        for j in range(nlat):
            factor, cosine = east_factor[j] * twelfth, cos_lat[j]
            u, v, p, out, north = ua[k, j], va[k, j], ps[j], fx[k, j], plane[j]
            for i in range(nlon):
                thick = da + db * p[i]
                row[i + 2] = u[i] * thick
                north[i] = v[i] * thick * cosine
            row[0], row[1] = row[nlon], row[nlon + 1]
            row[nlon + 2], row[nlon + 3] = row[2], row[3]
            for i in range(nlon):
                out[i] += factor * (seven * (row[i + 2] + row[i + 3]) - (row[i + 1] + row[i + 4]))
        for e in range(1, nlat):
            out, south, north = fy[k, e], plane[e - 1], plane[e]
            if e == 1 or e == nlat - 1:
                low = north_factor * half * cos_edge[e] / cos_lat[e - 1]
                high = north_factor * half * cos_edge[e] / cos_lat[e]
                for i in range(nlon):
                    out[i] += low * south[i] + high * north[i]
            else:
                far_south, far_north, factor = plane[e - 2], plane[e + 1], north_factor * twelfth
                for i in range(nlon):
                    out[i] += factor * (
                        seven * (south[i] + north[i]) - (far_south[i] + far_north[i])
                    )


@njit()
def column_residual(
    fx: Array, fy: Array, before: Array, after: Array, weight: Array, factor: float, out: Array
) -> None:
    """What the columns still have to lose: M before - M after - divergence, in float64, [lat, lon].

    Args:
        fx, fy: air fluxes.
        before, after: ps [Pa], [lat, lon]. factor: scales `after`.
        weight: Gaussian weights [lat].
        out: [Pa], [lat, lon].
    """
    levels, nlat, nlon = fx.shape
    for j in range(nlat):
        for i in range(nlon):
            out[j, i] = weight[j] * (before[j, i] - factor * after[j, i])
    for k in range(levels):
        for j in range(nlat):
            row, north, south, target = fx[k, j], fy[k, j + 1], fy[k, j], out[j]
            for i in range(nlon):
                target[i] -= row[i] + north[i] - south[i]
            for i in range(1, nlon):
                target[i] += row[i - 1]
            target[0] += row[nlon - 1]


@njit()
def solve_columns(upper: Array, pivot: Array, lower: Array, real: Array, imaginary: Array) -> None:
    """Tridiagonal systems along latitude for every zonal wavenumber, in place.

    Args:
        upper: eliminated upper diagonal [lat, m]. pivot: inverse pivots [lat, m].
        lower: lower diagonal [lat].
        real, imaginary: right-hand side in, solution out, [lat, m].
    """
    nlat, modes = real.shape
    for j in range(nlat):
        for m in range(modes):
            if j > 0:
                real[j, m] -= lower[j] * real[j - 1, m]
                imaginary[j, m] -= lower[j] * imaginary[j - 1, m]
            real[j, m] *= pivot[j, m]
            imaginary[j, m] *= pivot[j, m]
    for j in range(nlat - 2, -1, -1):
        for m in range(modes):
            real[j, m] -= upper[j, m] * real[j + 1, m]
            imaginary[j, m] -= upper[j, m] * imaginary[j + 1, m]


@njit(fastmath=True)
def close_columns(
    east: Array,
    north: Array,
    share: Array,
    before: Array,
    after: Array,
    factor: float,
    a: Array,
    b: Array,
    weight: Array,
    fx: Array,
    fy: Array,
    fz: Array,
    mass: Array,
) -> None:
    """Adds the closing flux to the others; fills `fz` and the air `mass` before the step.

    Args:
        east, north: closing flux of the whole column [Pa], [lat, lon], [lat+1, lon].
        share: of each level in it [1], [K].
        before, after: ps [Pa], [lat, lon]. factor: scales `after`.
        a, b: half-level coefficients. weight: Gaussian weights [lat].
        fx, fy, fz: fluxes; fz [K+1, lat, lon].
        mass: [K, lat, lon].
    """
    levels, nlat, nlon = fx.shape
    zero = fz.dtype.type(0.0)
    for j in range(nlat):
        fz[0, j, :] = zero
    for k in range(levels):
        da, db, part = a[k + 1] - a[k], b[k + 1] - b[k], share[k]
        for j in range(nlat + 1):
            row, push = fy[k, j], north[j]
            for i in range(nlon):
                row[i] += part * push[i]
        for j in range(nlat):
            w, row, high, low, push = weight[j], fx[k, j], fy[k, j + 1], fy[k, j], east[j]
            upper, lower, target, p, p_new = fz[k, j], fz[k + 1, j], mass[k, j], before[j], after[j]
            for i in range(nlon):
                row[i] += part * push[i]
            scale = w * db
            for i in range(nlon):
                target[i] = w * (da + db * p[i])
                change = scale * (p[i] - factor * p_new[i])
                lower[i] = upper[i] + change - (row[i] + high[i] - low[i])
            for i in range(1, nlon):
                lower[i] += row[i - 1]
            lower[0] += row[nlon - 1]
    for j in range(nlat):
        fz[levels, j, :] = zero
