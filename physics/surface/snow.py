"""Rain or snow: which of the two falls at an air temperature."""

from __future__ import annotations

from coupler.interface.jit import njit


@njit()
def snow_share(air: float) -> float:
    """Share of precipitation that falls as snow [1]: all below -1, none above 3 degC.

    A straight line in the temperature `air` [K] of the lowest layer of air; in observations half of
    it is snow between 1 and 1.5 degC near the ground (Dai 2008, doi:10.1029/2008GL033295).
    """
    return min(max((276.15 - air) / 4.0, 0.0), 1.0)
