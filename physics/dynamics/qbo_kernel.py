r"""Advection and diffusion of the wind of one column, on nodes of any spacing.

.. math:: \partial_t u = -w\,\partial_z u + K\,\partial_{zz} u + s \equiv -A u + s

u [m s-1], height z [m], upwelling w [m s-1], diffusivity K [m2 s-1], source s [m s-2]. A is
centred; its rows outside of the open interval (bottom, top) are zero, and so is s there, which
holds those winds: on even nodes these are the difference matrices of the one-dimensional model of
Plumb (1977), doi:10.1175/1520-0469(1977)034<1847:TIOTLA>2.0.CO;2. All steps have the form

.. math:: (I + \Delta_i A)\, u^{+} = (I - \Delta_e A)\, u + \Delta_s s
"""

from __future__ import annotations

import numpy as np

from coupler.interface.component import Array
from physics.columns.jit import njit


def difference_weights(z: Array, bottom: float, top: float) -> tuple[Array, Array, Array]:
    """Centred differences between neighbouring nodes, of second order at even spacing and beyond.

    Args:
        z: Height of the nodes [m], shape [level], falling.
        bottom: Winds at and below this height are held [m].
        top: Winds at and above this height are held [m].

    Returns:
        Weights of the node above, the node itself and the node below, shape [3, level], of the
        first [m-1] and the second derivative [m-2], and 1 where the wind is free, else 0.
    """
    first, second = np.zeros((3, z.size)), np.zeros((3, z.size))
    tolerance = 1e-6 * (top - bottom)
    free = (z > bottom + tolerance) & (z < top - tolerance)
    free[[0, -1]] = False
    j = np.flatnonzero(free)
    up, down = z[j - 1] - z[j], z[j] - z[j + 1]
    both = up + down
    first[:, j] = down / (up * both), (up - down) / (up * down), -up / (down * both)
    second[:, j] = 2.0 / (up * both), -2.0 / (up * down), 2.0 / (down * both)
    return first, second, free.astype(np.float64)


@njit()
def step(
    u: Array,
    source: Array,
    w: Array,
    diffusivity: float,
    first: Array,
    second: Array,
    free: Array,
    times: tuple[float, float, float],
    work: Array,
    out: Array,
) -> None:
    """One step of every column.

    Args:
        u: Wind that the step starts from [m s-1], shape [level, column].
        source: s [m s-2], shape [level, column].
        w: Upwelling [m s-1], shape [level].
        diffusivity: K [m2 s-1].
        first: Weights of the first derivative [m-1], shape [3, level].
        second: Weights of the second derivative [m-2], shape [3, level].
        free: 1 where the wind may change, shape [level].
        times: Delta_e, Delta_s and Delta_i [s].
        work: Scratch, shape [2, level].
        out: New wind [m s-1], shape [level, column]; not `u`.
    """
    explicit, applied, implicit = times
    nlev, ncol = u.shape
    ratio, pivot = work[0], work[1]
    for k in range(nlev):  # elimination; the end rows are those of the identity
        above = implicit * (w[k] * first[0, k] - diffusivity * second[0, k])
        own = 1.0 + implicit * (w[k] * first[1, k] - diffusivity * second[1, k])
        below = implicit * (w[k] * first[2, k] - diffusivity * second[2, k])
        if k > 0:
            own -= above * ratio[k - 1]
        pivot[k] = own
        ratio[k] = below / own
    for c in range(ncol):
        for k in range(nlev):
            value = u[k, c]
            if free[k] != 0.0:
                slope = first[0, k] * u[k - 1, c] + first[1, k] * value + first[2, k] * u[k + 1, c]
                curve = (
                    second[0, k] * u[k - 1, c] + second[1, k] * value + second[2, k] * u[k + 1, c]
                )
                value -= explicit * (w[k] * slope - diffusivity * curve)
                value += applied * source[k, c]
                above = implicit * (w[k] * first[0, k] - diffusivity * second[0, k])
                value -= above * out[k - 1, c]
            out[k, c] = value / pivot[k]
        for k in range(nlev - 2, -1, -1):
            out[k, c] -= ratio[k] * out[k + 1, c]
