"""Compiled passes of the grid-space transport over air; the method is in ``transport``.

Everything is in units of M = dp w [Pa]: the air over a cell of Gaussian weight w. ``fx[k, j, i]``
is what leaves cell i through its east face in a step, ``fy[k, e, i]`` what goes north over edge e
(edge 0 is the south pole), ``fz[k, j, i]`` what goes down through half level k.

Rows may be a part of the globe: ``south[j]`` is the position in ``fy`` of the edge south of row j,
the next one is the edge north of it, and ``edge`` holds the numbers of these edges on the globe.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from coupler.interface.jit import njit

Array = NDArray[Any]


@njit(fastmath=True)
def add_east_flux(
    ua: Array,
    va: Array,
    ps: Array,
    a: Array,
    b: Array,
    east_factor: Array,
    cos_lat: Array,
    halo: Array,
    fx: Array,
    north: Array,
) -> None:
    """Adds the air that a wind carries through east faces, and prepares `add_north_flux`.

    Args:
        ua, va: wind [m s-1], [K, lat, lon].
        ps: [Pa], [lat, lon].
        a, b: half-level coefficients [Pa], [1], [K+1].
        east_factor: dt w / (a cos(lat) dlon) [s m-1], [lat].
        cos_lat: [lat].
        halo: scratch [1, lon+4].
        fx: [K, lat, lon].
        north: v dp cos(lat) [m s-1 Pa], [K, at least lat, lon].
    """
    levels, nlat, nlon = ua.shape
    real = ua.dtype.type
    seven, twelfth = real(7.0), real(1.0 / 12.0)
    row = halo[0]
    for k in range(levels):
        da, db = a[k + 1] - a[k], b[k + 1] - b[k]
        for j in range(nlat):
            factor, cosine = east_factor[j] * twelfth, cos_lat[j]
            u, v, p, out, carried = ua[k, j], va[k, j], ps[j], fx[k, j], north[k, j]
            for i in range(nlon):
                thick = da + db * p[i]
                row[i + 2] = u[i] * thick
                carried[i] = v[i] * thick * cosine
            row[0], row[1] = row[nlon], row[nlon + 1]
            row[nlon + 2], row[nlon + 3] = row[2], row[3]
            for i in range(nlon):
                out[i] += factor * (seven * (row[i + 2] + row[i + 3]) - (row[i + 1] + row[i + 4]))


@njit(fastmath=True)
def add_north_flux(
    north: Array,
    place: Array,
    edge: Array,
    cos_lat: Array,
    cos_edge: Array,
    north_factor: float,
    fy: Array,
) -> None:
    """Adds the air that a wind carries over edges; fourth order in the mesh but at the poles.

    Args:
        north: v dp cos(lat) [m s-1 Pa], [K, rows, lon].
        place: where a row of the globe lies in `north`, [lat].
        edge: number of each edge, [edge].
        cos_lat, cos_edge: of the globe, [lat], [lat+1].
        north_factor: dt / a [s m-1].
        fy: [K, edge, lon].
    """
    levels, edges, nlon = fy.shape
    nlat = place.size
    real = north.dtype.type
    seven, twelfth, half = real(7.0), real(1.0 / 12.0), real(0.5)
    for k in range(levels):
        for n in range(edges):
            e = edge[n]
            if e == 0 or e == nlat:
                continue
            out, low, high = fy[k, n], north[k, place[e - 1]], north[k, place[e]]
            if e == 1 or e == nlat - 1:
                from_low = north_factor * half * cos_edge[e] / cos_lat[e - 1]
                from_high = north_factor * half * cos_edge[e] / cos_lat[e]
                for i in range(nlon):
                    out[i] += from_low * low[i] + from_high * high[i]
            else:
                far_low, far_high = north[k, place[e - 2]], north[k, place[e + 1]]
                factor = north_factor * twelfth
                for i in range(nlon):
                    out[i] += factor * (seven * (low[i] + high[i]) - (far_low[i] + far_high[i]))


@njit()
def column_residual(
    fx: Array,
    fy: Array,
    south: Array,
    before: Array,
    after: Array,
    weight: Array,
    factor: float,
    out: Array,
) -> None:
    """What the columns still have to lose: M before - M after - divergence, in float64, [lat, lon].

    Args:
        fx, fy: air fluxes. south: see above, [lat].
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
            row, target, low, high = fx[k, j], out[j], fy[k, south[j]], fy[k, south[j] + 1]
            for i in range(nlon):
                target[i] -= row[i] + high[i] - low[i]
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
    south: Array,
    fx: Array,
    fy: Array,
    fz: Array,
    mass: Array,
) -> None:
    """Adds the closing flux to the others; fills `fz` and the air `mass` before the step.

    Args:
        east, north: closing flux of the whole column [Pa], [lat, lon], [edge, lon].
        share: of each level in it [1], [K].
        before, after: ps [Pa], [lat, lon]. factor: scales `after`.
        a, b: half-level coefficients. weight: Gaussian weights [lat]. south: see above, [lat].
        fx, fy, fz: fluxes; fz [K+1, lat, lon].
        mass: [K, lat, lon].
    """
    levels, nlat, nlon = fx.shape
    zero = fz.dtype.type(0.0)
    for j in range(nlat):
        fz[0, j, :] = zero
    for k in range(levels):
        da, db, part = a[k + 1] - a[k], b[k + 1] - b[k], share[k]
        for e in range(north.shape[0]):
            row, push = fy[k, e], north[e]
            for i in range(nlon):
                row[i] += part * push[i]
        for j in range(nlat):
            w, row, push = weight[j], fx[k, j], east[j]
            low, high = fy[k, south[j]], fy[k, south[j] + 1]
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
