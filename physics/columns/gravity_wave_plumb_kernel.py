r"""Momentum flux of waves that are damped while they rise, without breaking.

.. math:: F(z) = \sum_i A_i \exp\left(-\int_{z_1}^{z} \frac{\alpha(z') N}{k (u - c_i)^2}
          \,dz'\right)

F [Pa], amplitude at the source A [Pa], Newtonian cooling alpha [s-1], buoyancy frequency N [s-1],
horizontal wavenumber k [m-1], phase speed c [m s-1]; z_1 is the height of the source. The integral
is a trapezoid over the nodes. Where u meets c it diverges and the wave ends.
"""

from __future__ import annotations

import math

import numpy as np

from coupler.interface.component import Array
from physics.columns.jit import njit


@njit()
def damping(z: float, z_low: float, z_high: float, low: float, high: float) -> float:
    """alpha [s-1]: `low` up to `z_low` [m], `high` from `z_high` [m] on, linear between."""
    share = min(1.0, max(0.0, (z - z_low) / (z_high - z_low)))
    return low + share * (high - low)


@njit()
def wave_flux(
    ua: Array,
    zg: Array,
    speed: Array,
    amplitude: Array,
    n_over_k: float,
    source: float,
    cooling: tuple[float, float, float, float],
    work: Array,
    out: Array,
) -> None:
    """Momentum flux on interfaces, the mean of the neighbouring nodes.

    The divergence over a layer then is the centred difference between the nodes around it. Below
    the source the flux is that of the source; above the highest node it stays what it is there.

    Args:
        ua: Wind [m s-1], shape [level, column].
        zg: Height of the nodes [m], shape [level, column].
        speed: Phase speeds [m s-1], shape [wave].
        amplitude: Momentum flux of each wave at the source [Pa], shape [wave, column].
        n_over_k: N/k [m s-1].
        source: Height of the source [m]; waves start at the lowest node not below it.
        cooling: z_low, z_high [m], low and high alpha [s-1], see `damping`.
        work: Scratch, shape [2, level].
        out: Flux, positive upward [Pa], shape [interface, column].
    """
    nlev, ncol = ua.shape
    z_low, z_high, low, high = cooling
    factor, flux = work[0], work[1]
    for c in range(ncol):
        start = nlev - 1
        while start > 0 and zg[start, c] < source - 1.0:  # a metre: heights may be float32
            start -= 1
        net = 0.0
        for i in range(speed.size):
            net += amplitude[i, c]
        for k in range(nlev):
            flux[k] = net if k >= start else 0.0
            factor[k] = n_over_k * damping(zg[k, c], z_low, z_high, low, high)
        for i in range(speed.size):
            depth = 0.0
            ci = np.float64(ua[start, c]) - speed[i]
            before = factor[start] / (ci * ci)
            for k in range(start - 1, -1, -1):
                ci = np.float64(ua[k, c]) - speed[i]
                here = factor[k] / (ci * ci)
                depth += 0.5 * (before + here) * (zg[k, c] - zg[k + 1, c])
                before = here
                flux[k] += amplitude[i, c] * math.exp(-depth)
        out[0, c] = flux[0]
        for k in range(1, nlev):
            out[k, c] = 0.5 * (flux[k - 1] + flux[k])
        out[nlev, c] = flux[nlev - 1]
