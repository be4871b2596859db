r"""Linear drag on the wind, backward in time, with the lost kinetic energy returned on request.

.. math:: u^{+} = \frac{u}{1 + r\,\Delta t}, \qquad
          c_p \frac{\partial T}{\partial t} = -\frac{|u^{+}|^2 - |u|^2}{2\,\Delta t}

with the rate r [s-1] and the wind u [m s-1]. Backward Euler never reverses the wind, whatever
r dt is, and the heat is the exact loss of kinetic energy of the step, so that c_p T + |u|^2/2
of a layer stays as it was.
"""

from __future__ import annotations

import numpy as np

from coupler.interface.component import Array
from physics.columns.jit import njit


@njit()
def damp(
    ua: Array,
    va: Array,
    rate: Array,
    dt: float,
    heat_per_energy: float,
    dua: Array,
    dva: Array,
    dta: Array,
) -> None:
    """Fills the tendencies of a linear drag.

    Args:
        ua: Eastward wind [m s-1], shape [level, column].
        va: Northward wind [m s-1], shape [level, column].
        rate: Drag coefficient r [s-1], shape [level, column].
        dt: Time over which the tendencies will be applied [s].
        heat_per_energy: 1/c_p [K kg J-1] to return the heat, 0 to drop it.
        dua: Tendency of `ua` [m s-2], shape [level, column].
        dva: Tendency of `va` [m s-2], shape [level, column].
        dta: Tendency of temperature [K s-1], shape [level, column].
    """
    nlev, ncol = ua.shape
    for k in range(nlev):
        for c in range(ncol):
            r = rate[k, c] / (1.0 + rate[k, c] * dt)
            kept = 2.0 - r * dt  # u+ + u over u, so that (u+^2 - u^2)/2 needs no difference
            u, v = np.float64(ua[k, c]), np.float64(va[k, c])
            dua[k, c] = -r * u
            dva[k, c] = -r * v
            dta[k, c] = 0.5 * heat_per_energy * r * kept * (u * u + v * v)
