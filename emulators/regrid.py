"""Between a host's levels and the levels of a bundle, column by column.

State goes to the bundle's levels linearly in ln p, constant beyond the host's ends. Fluxes come
back linearly in p between the bundle's interfaces: the drag of a bundle's layer is one
acceleration throughout it, no new extremes arise, and the ends of the flux, so the
column's momentum, are kept. Beyond the bundle's top the flux is constant: nothing is accelerated
where nothing is known. Never are tendencies interpolated.
"""

from __future__ import annotations

import numba
import numpy as np

from coupler.interface.component import Array
from coupler.interface.jit import njit


@njit(parallel=True)
def to_levels(
    a: Array,
    b: Array,
    pfull: Array,
    ps: Array,
    fields: tuple[Array, ...],
    out: tuple[Array, ...],
    pressure: Array,
) -> None:
    """Interpolates `fields` to the middle of the layers that `a` and `b` define.

    Args:
        a: [Pa], shape [interface of the bundle].
        b: [1], shape [interface of the bundle].
        pfull: pressure of the host's levels [Pa], shape [level, column].
        ps: surface pressure [Pa], shape [column].
        fields: on the host's levels, shape [level, column].
        out: on the bundle's, filled, shape [level of the bundle, column].
        pressure: of the bundle's levels [Pa], filled, shape [level of the bundle, column].
    """
    nhost, ncol = pfull.shape
    for i in numba.prange(ncol):
        j = 0
        for k in range(a.size - 1):
            p = 0.5 * (a[k] + a[k + 1] + (b[k] + b[k + 1]) * ps[i])
            pressure[k, i] = p
            while j < nhost and pfull[j, i] < p:
                j += 1
            lo, hi, w = max(j - 1, 0), min(j, nhost - 1), 0.0
            if lo < hi:
                w = np.log(p / pfull[lo, i]) / np.log(pfull[hi, i] / pfull[lo, i])
            for n in range(len(fields)):
                out[n][k, i] = (1.0 - w) * fields[n][lo, i] + w * fields[n][hi, i]


@njit(parallel=True)
def to_interfaces(a: Array, b: Array, flux: Array, phalf: Array, out: Array) -> None:
    """Brings a flux from the bundle's interfaces to the host's.

    Args:
        a: [Pa], shape [interface of the bundle].
        b: [1], shape [interface of the bundle].
        flux: shape [interface of the bundle, column].
        phalf: pressure of the host's interfaces [Pa], shape [interface, column].
        out: filled, shape [interface, column].
    """
    nhost, ncol = phalf.shape
    last = a.size - 1
    for i in numba.prange(ncol):
        ps = np.float64(phalf[nhost - 1, i])
        j = 0
        for k in range(nhost):
            p = np.float64(phalf[k, i])
            while j < last and a[j] + b[j] * ps < p:
                j += 1
            upper = a[j - 1] + b[j - 1] * ps if j > 0 else 0.0
            lower = a[j] + b[j] * ps
            if j == 0 or p >= lower:
                out[k, i] = flux[j, i]
            else:
                w = (p - upper) / (lower - upper)
                out[k, i] = (1.0 - w) * flux[j - 1, i] + w * flux[j, i]
