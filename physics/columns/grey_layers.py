r"""What grey radiation schemes share: beams through isothermal layers, parameters, memory.

.. math::
   \frac{dU}{d\tau} &= U - \sigma T^4, \qquad \frac{dD}{d\tau} = \sigma T^4 - D,
   \qquad U_s = \sigma T_s^4, \quad D_{top} = 0

U, D up- and downward fluxes [W m-2], T [K], tau [1] the optical depth; no diffusivity factor, it is
in tau. Layers are isothermal, so that each one is integrated exactly: it passes exp(-dtau) of what
enters it and emits (1 - exp(-dtau)) sigma T^4 to either side.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from coupler.interface.component import Array, Arrays, Host, Now, Tendency, flux_of, gives
from coupler.interface.constants import STEFAN_BOLTZMANN
from coupler.interface.units import Unit
from physics.columns.jit import njit
from physics.columns.lanes import LANES, load_flat, store, store_flat, upward
from physics.columns.sun import Sun, SunParams


@njit()
def beams(
    start: int,
    emissivity: Array,
    emitted: Array,
    entering: Array,
    beam: Array,
    up: Array,
    ts: Array,
    rnl: Array,
    rlut: Array,
    rlds: Array,
    rlus: Array,
) -> None:
    """Longwave fluxes of a block of columns from `start` on.

    Args:
        start: the first column.
        emissivity: of the layers [1], [level, lane]; overwritten.
        emitted: their temperature [K], [level, lane]; overwritten.
        entering: scratch, [interface, lane].
        beam: scratch, [lane].
        up: levels from the lowest to the highest.
        ts: surface temperature [K], [column].
        rnl: net upward flux [W m-2], [interface, column], filled.
        rlut: its upward part at the top, filled, as are the parts at the surface.
        rlds: downward.
        rlus: upward.
    """
    nlev, lanes = emitted.shape
    for j in range(lanes):
        entering[0, j], beam[j] = 0.0, 0.0
    for k in range(nlev):
        for j in range(lanes):
            t2 = emitted[k, j] * emitted[k, j]
            emitted[k, j] = emissivity[k, j] * STEFAN_BOLTZMANN * t2 * t2
            emissivity[k, j] = 1.0 - emissivity[k, j]
            beam[j] = beam[j] * emissivity[k, j] + emitted[k, j]
            entering[k + 1, j] = beam[j]
    store_flat(beam, start, rlds)
    load_flat(ts, start, beam)
    for j in range(lanes):
        ts2 = beam[j] * beam[j]
        beam[j] = STEFAN_BOLTZMANN * ts2 * ts2
        entering[nlev, j] = beam[j] - entering[nlev, j]
    store_flat(beam, start, rlus)
    for k in up:
        for j in range(lanes):
            beam[j] = beam[j] * emissivity[k, j] + emitted[k, j]
            entering[k, j] = beam[j] - entering[k, j]
    store_flat(beam, start, rlut)
    store(entering, start, rnl)


class GreyParameters(SunParams):
    """What sunlight meets in the air."""

    tau_sw: Annotated[float, Unit("1"), Field(ge=0)] = 0.0
    """Optical depth of the air for sunlight [1]."""
    ozone: Annotated[float, Unit("cm"), Field(ge=0, le=2)] = 0.0
    """Ozone of a column as a layer at standard conditions; 0.3 cm are 300 Dobson units, 0 is
    none [cm]."""


class GreyLayers(Tendency):
    """Longwave of isothermal layers, and sunlight."""

    Parameters = GreyParameters
    fluxes = (flux_of("ta", "rnl"), flux_of("ta", "rns"))
    fills = True
    diagnostics = gives("rsdt rsut rlut rsds rsus rlds rlus")

    def setup(self, host: Host) -> None:
        self._sun = Sun(self.p, host.ncol)
        self._work = np.zeros((2, host.nlev, LANES))
        self._half = np.zeros((2, host.nlev + 1, LANES))
        self._lane = np.zeros((4, LANES))
        self._up = upward(host.nlev)

    def sunlight(self, x: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """Fills the shortwave flux and its ends."""
        self._sun.absorb(x, now, self.p.tau_sw, self.p.ozone, flux, diag)
