r"""A beam of sunlight through air that absorbs, and back from the ground through air that does not.

.. math:: S_{down} = Q \exp\left[-\tau_{sw} (p/p_s)^2\right], \qquad
          S_{up} = \alpha S_{down}(p_s)

Q insolation [W m-2], tau_sw [1] optical depth of the whole air, alpha [1] albedo of the surface.
The reflected beam leaves without further absorption.

Source: O'Gorman and Schneider (2008), J. Climate 21, 3815-3832, doi:10.1175/2007JCLI2065.1, with
tau_sw = 0.22.
"""

from __future__ import annotations

import math

import numpy as np

from coupler.interface.component import Array
from physics.columns.jit import njit
from physics.elementary import exp


@njit()
def sunlight(
    phalf: Array,
    ps: Array,
    albs: Array,
    insolation: Array,
    tau_sw: float,
    rns: Array,
    rsdt: Array,
    rsut: Array,
    rsds: Array,
    rsus: Array,
) -> None:
    """Fills the net upward shortwave flux `rns` [W m-2], shape [interface, column], and its ends.

    Args:
        phalf: Interface pressure [Pa], shape [interface, column].
        ps: Surface pressure [Pa], shape [column].
        albs: Surface albedo [1], shape [column].
        insolation: Downward flux at the top [W m-2], shape [column].
        tau_sw: Optical depth of the whole air for sunlight [1].
        rns: Filled.
        rsdt: Filled: downward at the top.
        rsut: Filled: upward at the top.
        rsds: Filled: downward at the surface.
        rsus: Filled: upward at the surface.
    """
    nhalf, ncol = phalf.shape
    ground = math.exp(-tau_sw)
    for c in range(ncol):
        rsdt[c] = insolation[c]
        rsds[c] = insolation[c] * ground
        rsus[c] = albs[c] * (insolation[c] * ground)
        rsut[c] = albs[c] * (insolation[c] * ground)
    for k in range(nhalf):
        for c in range(ncol):
            sigma = np.float64(phalf[k, c]) / ps[c]
            passed = exp(-tau_sw * sigma * sigma) if k > 0 else 1.0
            rns[k, c] = albs[c] * (insolation[c] * ground) - insolation[c] * passed
