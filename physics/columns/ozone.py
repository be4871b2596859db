r"""Sunlight absorbed by a layer of ozone that is fixed in space.

.. math::
   A(x) &= \frac{0.02118\,x}{1 + 0.042\,x + 0.000323\,x^2}
        + \frac{1.082\,x}{(1 + 138.6\,x)^{0.805}} + \frac{0.0658\,x}{1 + (103.6\,x)^3} \\
   x_\downarrow &= M u, \qquad x_\uparrow = M u_t + \overline{M} (u_t - u), \qquad
   M = \frac{35}{\sqrt{1224 \mu^2 + 1}}, \quad \overline{M} = 1.9

A [1] is the share of the sun's light that ozone takes, in the visible and the ultraviolet; x and u
[cm at standard conditions] ozone on the path and above a level, u_t that of the whole column, mu
the cosine of the sun's zenith angle. The column above a level is the analytic one of the source,

.. math:: u(h) = u_t \frac{1 + e^{-b/c}}{1 + e^{(h - b)/c}}, \qquad b = 20\,km, \quad c = 5\,km,

with the log-pressure height h = -H ln(p/p_0), H = 7 km, p_0 = 1013.25 hPa, so that
e^{h/c} = (p_0/p)^{H/c}: it has its maximum near 60 hPa, and heats most near 1 hPa.

The layer is above what else absorbs (water vapour), so that shares passed are multiplied: a beam
that would carry F without ozone carries F (1 - A).

Source: Lacis and Hansen (1974), J. Atmos. Sci. 31, 118-133,
doi:10.1175/1520-0469(1974)031<0118:APFTAO>2.0.CO;2, equations 3, 8, 9, 10 and 17 (the last after
Green 1964).
"""

from __future__ import annotations

import math

import numpy as np

from coupler.interface.component import Array
from physics.columns.jit import njit
from physics.elementary import exp, log

DIFFUSE = 1.9
"""Path of diffuse light relative to the vertical [1]."""


@njit(inline=True)
def absorbed(x: float) -> float:
    """A [1] of the ozone `x` on the path [cm]."""
    visible = 0.02118 * x / (1.0 + (0.042 + 0.000323 * x) * x)
    cube = 103.6 * x
    ultraviolet = 1.082 * x * exp(-0.805 * log(1.0 + 138.6 * x))
    return visible + ultraviolet + 0.0658 * x / (1.0 + cube * cube * cube)


@njit(inline=True)
def above(p: float, total: float) -> float:
    """u [cm] above the pressure `p` [Pa] in a column that has `total` [cm]."""
    steep = exp(1.4 * log(max(p, 1.0e-10) / 101325.0))  # (p/p0)^(H/c)
    edge = 0.01831563888873418  # exp(-b/c)
    return total * (1.0 + edge) * steep / (steep + edge)


@njit()
def sunlight_through_ozone(
    phalf: Array,
    ps: Array,
    albs: Array,
    insolation: Array,
    cosine: Array,
    tau_sw: float,
    total: float,
    slant: Array,
    rns: Array,
    rsdt: Array,
    rsut: Array,
    rsds: Array,
    rsus: Array,
) -> None:
    """Fills the net upward shortwave flux `rns` [W m-2], shape [interface, column], and its ends.

    What lies above the uppermost interface is taken in the uppermost layer.

    Args:
        phalf: Interface pressure [Pa], shape [interface, column].
        ps: Surface pressure [Pa], shape [column].
        albs: Surface albedo [1], shape [column].
        insolation: Downward flux at the top [W m-2], shape [column].
        cosine: Of the sun's zenith angle by day [1], shape [column].
        tau_sw: Optical depth of the whole air for sunlight besides ozone [1].
        total: Ozone of a column [cm].
        slant: Scratch, shape [column].
        rns: Filled.
        rsdt: Filled: downward at the top.
        rsut: Filled: upward at the top.
        rsds: Filled: downward at the surface.
        rsus: Filled: upward at the surface.
    """
    last, ncol = phalf.shape[0] - 1, phalf.shape[1]
    ground = math.exp(-tau_sw)
    for c in range(ncol):
        slant[c] = 35.0 / math.sqrt(1224.0 * cosine[c] * cosine[c] + 1.0)
        whole = slant[c] * above(np.float64(phalf[last, c]), total)
        twice = whole + DIFFUSE * above(np.float64(phalf[last, c]), total)
        rsdt[c] = insolation[c]
        rsds[c] = insolation[c] * (ground * (1.0 - absorbed(whole)))
        rsus[c] = albs[c] * (insolation[c] * (ground * (1.0 - absorbed(whole))))
        rsut[c] = albs[c] * (insolation[c] * (ground * (1.0 - absorbed(twice))))
    for k in range(last + 1):
        for c in range(ncol):
            p = np.float64(phalf[k, c])
            whole = above(np.float64(phalf[last, c]), total)
            here = above(p, total) if k > 0 else 0.0
            down = absorbed(slant[c] * here)
            up = absorbed(slant[c] * whole + DIFFUSE * (whole - here))
            sigma = p / ps[c]
            passed = exp(-tau_sw * sigma * sigma) if k > 0 else 1.0
            rising = albs[c] * (insolation[c] * (ground * (1.0 - up)))
            rns[k, c] = rising - insolation[c] * (passed * (1.0 - down))
