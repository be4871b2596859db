"""Pressure and height of every column as one compiled pass, for the CPU without gradients.

The formulas are those of `vertical`; the reference in torch is
``DynamicalCore.pressure_and_height``, and a test holds this to it. A latitude row is one block of
columns side by side, as in ``physics.columns.lanes``, whose rules the inner loops follow.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from coupler.interface.jit import njit
from physics.elementary import exp, log

Array = NDArray[Any]


@njit()
def pressure_and_height(
    ps: Array,
    ta: Array,
    hus: Array,
    surface: Array,
    a: Array,
    b: Array,
    gas: float,
    virtual: float,
    gravity: float,
    top_alpha: float,
    up: Array,
    scratch: Array,
    pfull: Array,
    phalf: Array,
    zg: Array,
    zghalf: Array,
) -> None:
    """Fills `pfull` `phalf` [Pa], `zg` `zghalf` [m].

    Args:
        ps: [Pa], [lat, lon].
        ta: [K], [K, lat, lon].
        hus: specific humidity [1], [K, lat, lon]; a first axis of length 0 means dry.
        surface: surface geopotential [m2 s-2], [lat, lon].
        a, b: half-level coefficients [Pa], [1], [K+1], float64.
        gas, virtual, gravity: constants.
        top_alpha: alpha of the top layer when its top is at p = 0, else a negative number.
        up: levels from the lowest to the highest, [K]. (Counting down would keep the inner loop
            scalar, see ``physics.columns.lanes``.)
        scratch: [3, lon], float64.
        pfull, zg: [K, lat, lon]. phalf, zghalf: [K+1, lat, lon].
    """
    levels, nlat, nlon = ta.shape
    below, geopotential, excess = scratch[0], scratch[1], scratch[2]
    inverse = 1.0 / gravity
    for j in range(nlat):
        for i in range(nlon):
            below[i] = a[levels] + b[levels] * ps[j, i]
            geopotential[i] = surface[j, i]
            excess[i] = 0.0
        for k in up:
            a_top, b_top, p_s, t = a[k], b[k], ps[j], ta[k, j]
            p, p_below, z, z_below = pfull[k, j], phalf[k + 1, j], zg[k, j], zghalf[k + 1, j]
            open_top = k == 0 and top_alpha >= 0.0
            if hus.shape[0] > 0:
                q = hus[k, j]
                for i in range(nlon):
                    excess[i] = virtual * q[i]
            for i in range(nlon):
                bottom, low = below[i], geopotential[i]
                top = a_top + b_top * p_s[i]
                ratio = log(bottom / (bottom if open_top else top))
                alpha = top_alpha if open_top else 1.0 - top / (bottom - top) * ratio
                heavy = gas * t[i] * (1.0 + excess[i])
                p[i] = bottom * exp(-alpha)
                p_below[i] = bottom
                z[i] = (low + heavy * alpha) * inverse
                z_below[i] = low * inverse
                below[i] = top
                geopotential[i] = low + heavy * (2.0 * alpha if open_top else ratio)
        for i in range(nlon):
            phalf[0, j, i] = below[i]
            zghalf[0, j, i] = geopotential[i] * inverse
