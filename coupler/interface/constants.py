"""Planet and substance constants as a per-run object, never as module globals.

Test cases of the literature use slightly different planets; a run carries the one it was given.
"""

from __future__ import annotations

from dataclasses import dataclass

STEFAN_BOLTZMANN = 5.670374419e-8
"""Stefan-Boltzmann constant [W m-2 K-4], exact in SI since 2019 (CODATA 2018)."""
SECONDS_PER_DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class Planet:
    """Constants of the planet and its air, SI units."""

    radius: float = 6.371e6
    """Mean radius [m]."""
    rotation_rate: float = 7.292e-5
    """Angular speed of rotation [rad s-1]."""
    gravity: float = 9.80665
    """Acceleration of gravity [m s-2]."""
    gas_constant_dry: float = 287.04
    """Gas constant of dry air [J kg-1 K-1]."""
    cp_dry: float = 1004.64
    """Specific heat of dry air at constant pressure [J kg-1 K-1]; R/c_p is then 2/7."""
    gas_constant_vapour: float = 461.5
    """Gas constant of water vapour [J kg-1 K-1]."""
    latent_heat_vaporization: float = 2.5e6
    """Latent heat of vaporization [J kg-1]."""
    reference_pressure: float = 1.0e5
    """Reference pressure p0 [Pa]."""

    @property
    def kappa(self) -> float:
        """R/c_p [1]."""
        return self.gas_constant_dry / self.cp_dry

    @property
    def virtual_factor(self) -> float:
        """R_v/R_d - 1 [1], so that T_v = T (1 + virtual_factor q)."""
        return self.gas_constant_vapour / self.gas_constant_dry - 1.0
