"""Compiled passes over coefficients, for the CPU without gradients.

:func:`synthesis_batch` fills what ``PrimitiveEquations.to_grid`` transforms, with the formulas of
``SpectralTransform.wind`` and ``gradient``; :func:`assemble_tendency` is
``PrimitiveEquations._assemble``; :func:`damped_wind` is the wind of what diffusion
took. Each reads and writes every coefficient once, where the torch version takes twenty passes. A
test holds each to its reference to rounding. :func:`transpose` is the transposition around the FFT,
for a latitude at a time; :func:`rows_of_fields` lays rows side by side.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from coupler.interface.jit import njit

Array = NDArray[Any]


@njit(fastmath=True)
def synthesis_batch(
    spec: Array,
    east_factor: Array,
    up: Array,
    down: Array,
    inverse: Array,
    lengths: Array,
    levels: int,
    out: Array,
) -> None:
    """Coefficients of u cos, v cos, cos times both derivatives of the scalars, and the state.

    Args:
        spec: state, [T+1, 2, (3+n) K + 1, T+2].
        east_factor: m / a, 0 for n > T [m-1], [T+1, T+2].
        up, down: scatter factors of (1 - mu^2) d/dmu [m-1], [T+1, T+2].
        inverse: inverse Laplacian [m2], [T+1, T+2].
        lengths: T + 1 - m, how many degrees each wavenumber has, [T+1].
        levels: K.
        out: [T+1, 2, 2 K + 2 ((1+n) K + 1) + (3+n) K + 1, T+2]; zero beyond n = T + 1, as before.
    """
    size_m, _, fields, _ = spec.shape
    scalars = fields - 2 * levels
    first = 2 * levels + 2 * scalars
    zero = spec.dtype.type(0.0)
    for m in range(size_m):
        factor, m_up, m_down, inv = east_factor[m], up[m], down[m], inverse[m]
        size = lengths[m]
        for part in range(2):
            sign = spec.dtype.type(2 * part - 1)
            for k in range(levels):
                vor, div = spec[m, part, k], spec[m, part, levels + k]
                vor_other, div_other = spec[m, 1 - part, k], spec[m, 1 - part, levels + k]
                u, v = out[m, part, k], out[m, part, levels + k]
                u[size] = v[size] = zero
                for i in range(size):
                    turn = sign * factor[i] * inv[i]
                    u[i] = turn * div_other[i]
                    v[i] = turn * vor_other[i]
                for i in range(size):
                    u[i + 1] -= m_up[i] * inv[i] * vor[i]
                    v[i + 1] += m_up[i] * inv[i] * div[i]
                for i in range(size - 1):
                    u[i] -= m_down[i + 1] * inv[i + 1] * vor[i + 1]
                    v[i] += m_down[i + 1] * inv[i + 1] * div[i + 1]
            for s in range(scalars):
                x, other = spec[m, part, 2 * levels + s], spec[m, 1 - part, 2 * levels + s]
                east = out[m, part, 2 * levels + s]
                north = out[m, part, 2 * levels + scalars + s]
                north[0] = zero
                for i in range(size):
                    east[i] = sign * factor[i] * other[i]
                for i in range(size):
                    north[i + 1] = m_up[i] * x[i]
                for i in range(size - 1):
                    north[i] += m_down[i + 1] * x[i + 1]
            for f in range(fields):
                source, target = spec[m, part, f], out[m, part, first + f]
                for i in range(size):
                    target[i] = source[i]


@njit(fastmath=True)
def damped_wind(
    spec: Array,
    rate: Array,
    east_factor: Array,
    up: Array,
    down: Array,
    inverse: Array,
    lengths: Array,
    levels: int,
    out: Array,
) -> None:
    """Coefficients of u cos and v cos of vorticity and divergence times a rate.

    Args:
        rate: of vorticity, then of divergence [s-1], [T+1, 2K, T+2].
        spec, east_factor, up, down, inverse, lengths, levels: as for :func:`synthesis_batch`.
        out: [T+1, 2, 2K, T+2]; zero beyond n = T + 1, as before.
    """
    zero = spec.dtype.type(0.0)
    for m in range(spec.shape[0]):
        factor, m_up, m_down, inv = east_factor[m], up[m], down[m], inverse[m]
        size = lengths[m]
        for part in range(2):
            sign = spec.dtype.type(2 * part - 1)
            for k in range(levels):
                vor, div = spec[m, part, k], spec[m, part, levels + k]
                vor_other, div_other = spec[m, 1 - part, k], spec[m, 1 - part, levels + k]
                of_vor, of_div = rate[m, k], rate[m, levels + k]
                u, v = out[m, part, k], out[m, part, levels + k]
                u[size] = v[size] = zero
                for i in range(size):
                    turn = sign * factor[i] * inv[i]
                    u[i] = turn * of_div[i] * div_other[i]
                    v[i] = turn * of_vor[i] * vor_other[i]
                for i in range(size):
                    u[i + 1] -= m_up[i] * inv[i] * of_vor[i] * vor[i]
                    v[i + 1] += m_up[i] * inv[i] * of_div[i] * div[i]
                for i in range(size - 1):
                    scale = m_down[i + 1] * inv[i + 1]
                    u[i] -= scale * of_vor[i + 1] * vor[i + 1]
                    v[i] += scale * of_div[i + 1] * div[i + 1]


@njit(fastmath=True)
def assemble_tendency(
    batch: Array,
    spec: Array,
    surface: Array,
    surface_factor: float,
    east_factor: Array,
    up: Array,
    down: Array,
    eigenvalue: Array,
    lengths: Array,
    levels: int,
    out: Array,
) -> None:
    """d(state)/dt from the analysed grid tendencies.

    Args:
        batch: A/cos, B/cos, energy, scalars, ln ps, [T+1, 2, (4+n) K + 1, T+2].
        spec: state, for ln ps.
        surface: Phi_s [m2 s-2], [T+1, 2, 1, T+2]; as many rows as there are members.
        surface_factor: R T_r [J kg-1].
        east_factor, up, down: as for :func:`synthesis_batch`.
        eigenvalue: of the Laplacian [m-2], [T+1, T+2].
        lengths: T + 1 - m, how many degrees each wavenumber has, [T+1].
        levels: K, times the members; rows of a field lie as [level, member].
        out: [T+1, 2, (3+n) K + 1, T+2]; zero beyond n = T, as before.
    """
    size_m, _, fields, _ = out.shape
    members = surface.shape[2]
    for m in range(size_m):
        factor, m_up, m_down = east_factor[m], up[m], down[m]
        square, size = eigenvalue[m], lengths[m]
        for part in range(2):
            sign = out.dtype.type(2 * part - 1)
            for k in range(levels):
                a, b = batch[m, part, k], batch[m, part, levels + k]
                a_other, b_other = batch[m, 1 - part, k], batch[m, 1 - part, levels + k]
                energy = batch[m, part, 2 * levels + k]
                member = k % members
                bottom, ln_ps = surface[m, part, member], spec[m, part, fields - members + member]
                curl, div = out[m, part, k], out[m, part, levels + k]
                for i in range(size):
                    height = energy[i] + (bottom[i] + surface_factor * ln_ps[i])
                    curl[i] = sign * factor[i] * b_other[i]
                    div[i] = sign * factor[i] * a_other[i] - square[i] * height
                for i in range(1, size):
                    curl[i] += m_down[i] * a[i - 1]
                    div[i] -= m_down[i] * b[i - 1]
                for i in range(size):
                    curl[i] += m_up[i] * a[i + 1]
                    div[i] -= m_up[i] * b[i + 1]
            for f in range(2 * levels, fields):
                source, target = batch[m, part, levels + f], out[m, part, f]
                for i in range(size):
                    target[i] = source[i]


@njit(fastmath=True)
def transpose(source: Array, out: Array) -> None:
    """`source` [a, b] into `out` [b, a]: a latitude's coefficients before or after the FFT.

    Both stay in the cache; the writes are the contiguous ones.
    """
    for i in range(out.shape[0]):
        row = out[i]
        for j in range(row.size):
            row[j] = source[j, i]


@njit()
def rows_of_fields(grid: Array, first: int, out: Array) -> None:
    """Rows of `grid` [field, lat, lon] from the `first` on, as `out` [some lat, field, lon]."""
    for f in range(grid.shape[0]):
        for j in range(out.shape[0]):
            source, target = grid[f, first + j], out[j, f]
            for i in range(source.size):
                target[i] = source[i]
