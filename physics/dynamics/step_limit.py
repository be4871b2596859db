r"""How long a step may be: the shortest wave must not be carried too far.

.. math:: C = \frac{T \, |V|}{a} \, \Delta t

with the truncation T, the wind V and the radius a: the frequency of advection of the shortest wave
times the step. Leapfrog is stable up to C = 1, SIL3 up to :data:`sil3.STABLE`. Gravity waves, being
implicit, set no limit. Estimates before a run take the wind that the height of the top calls for.

Source: Durran, D. R. (2010), Numerical Methods for Fluid Dynamics, 2nd ed., Springer, sections 2.4
and 4.6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def advective_limit(truncation: int, top: float, radius: float) -> tuple[float, float]:
    """Wind that the step must resolve [m s-1], and the longest step for it [s].

    ``dt < a / (T u)`` (leapfrog, advection of the shortest wave). The wind grows from that of
    tropospheric jets, for a top level at 10 hPa or below, to the polar night jet's at 0.2 hPa.

    Args:
        truncation: T.
        top: pressure of the top level [Pa].
        radius: of the planet [m].
    """
    jet, night = (1.0e3, 85.0), (20.0, 150.0)
    height = np.log([night[0], jet[0]])
    wind = float(np.interp(np.log(top), height, [night[1], jet[1]]))
    return wind, radius / (truncation * wind)


def courant_numbers(
    ua: Array, va: Array, dt: float, truncation: int, radius: float
) -> NDArray[np.float64]:
    """Largest C of each level [1], [K], of a wind [m s-1], [K, lat, lon]."""
    speed = np.hypot(ua, va).reshape(ua.shape[0], -1).max(axis=1).astype(np.float64)
    return np.asarray(dt * truncation * speed / radius)
