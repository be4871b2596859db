r"""Pressure reduced to sea level [Pa], from a column of constant lapse rate below the ground.

.. math::
   T_0 = T_K \left(\frac{p_s}{p_K}\right)^{\Gamma R/g}, \qquad
   p_{sl} = p_s \left(1 + \frac{\Gamma z_s}{T_0}\right)^{g/(\Gamma R)}

with T_K, p_K of the lowest layer, z_s the height of the ground, Gamma = 6.5 K km-1 the lapse rate
of the International Standard Atmosphere (ISO 2533:1975). Over warm high ground it overestimates,
as all such reductions do.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from coupler.interface.component import Arrays, Diagnostic, Host, Now, Params, gives, reads
from coupler.interface.registry import scheme
from coupler.interface.units import Unit


@scheme("sea_level_pressure", "standard_lapse")
class SeaLevelPressure(Diagnostic):
    """Surface pressure reduced to sea level with a constant lapse rate."""

    class Parameters(Params):
        """The lapse rate of the column below the ground."""

        lapse_rate: Annotated[float, Unit("K m-1"), Field(gt=0)] = 0.0065
        """Gamma [K m-1]."""

    inputs = reads("ta pfull ps orog")
    fills = True
    lowest = 1
    diagnostics = gives("psl")

    def setup(self, host: Host) -> None:
        self._exponent = self.p.lapse_rate * host.planet.gas_constant_dry / host.planet.gravity
        self._t0 = host.empty("column")

    def compute(self, x: Arrays, diag: Arrays, now: Now) -> None:
        """Fills ``psl``, shape [column]."""
        t0, psl = self._t0, diag.psl
        np.divide(x.ps, x.pfull[-1], out=t0)
        np.power(t0, self._exponent, out=t0)
        t0 *= x.ta[-1]
        np.divide(x.orog, t0, out=psl)
        psl *= self.p.lapse_rate
        psl += 1.0
        np.power(psl, 1.0 / self._exponent, out=psl)
        psl *= x.ps
