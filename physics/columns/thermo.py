r"""Saturation of water vapour, shared by the moist schemes.

.. math:: e_s(T) = e_0 \exp\left[-\frac{L}{R_v}\left(\frac1T - \frac1{T_0}\right)\right],
          \qquad q_s = \frac{\varepsilon e_s}{p - (1-\varepsilon) e_s}

e_s [Pa], T [K], L [J kg-1] latent heat of vaporization (constant: this is the integral of
Clausius-Clapeyron that is consistent with the constant L of the energy budget), R_v [J kg-1 K-1],
epsilon = R_d/R_v, q_s [1]; e_0 = 610.78 Pa at T_0 = 273.16 K. No ice. Where e_s would exceed p
(thin warm air) q_s is 1: nothing condenses there.

Source: Frierson, Held and Zurita-Gotor (2006), doi:10.1175/JAS3753.1, equation (17) for e_s.
"""

from __future__ import annotations

from physics.columns.jit import njit
from physics.elementary import exp

E_0 = 610.78
"""Saturation vapour pressure at `T_0` [Pa]."""
T_0 = 273.16
"""Temperature of the reference point [K]."""


@njit(inline=True)
def saturation_pressure(t: float, latent: float, rv: float) -> float:
    """e_s [Pa] at temperature `t` [K], given L `latent` [J kg-1] and R_v `rv` [J kg-1 K-1]."""
    return 610.78 * exp(-latent / rv * (1.0 / t - 1.0 / 273.16))


@njit(inline=True)
def saturation(t: float, p: float, latent: float, rd: float, rv: float) -> tuple[float, float]:
    """Saturation specific humidity and its slope.

    Args:
        t: Temperature [K].
        p: Pressure [Pa].
        latent: Latent heat of vaporization [J kg-1].
        rd: Gas constant of dry air [J kg-1 K-1].
        rv: Gas constant of water vapour [J kg-1 K-1].

    Returns:
        q_s [1] and dq_s/dT at constant pressure [K-1].
    """
    eps = rd / rv
    e = saturation_pressure(t, latent, rv)
    inverse = 1.0 / t
    dry = 1.0 / (p - (1.0 - eps) * min(e, p))  # no branch, so that loops become vectors
    qs = eps * e * dry
    slope = qs * p * dry * latent / rv * inverse * inverse
    return (1.0, 0.0) if e >= p else (qs, slope)
