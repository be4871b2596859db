"""Which sun shines on the columns: the year's mean, the date's daily mean, or that of the hour.

What radiation schemes share: the parameters of star and orbit, and insolation with the cosine at
which light comes in. That cosine is the mean over the time in which the sun is up: of a day,
mu = Q pi/(S (a/r)^2 H_0) with the half-day H_0 [rad]; of the annual-mean profile, whose places all
have light half of the time, mu = 2 Q/S. Formulas and sources: `insolation`.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from coupler.interface.component import Array, Arrays, Now, Params
from coupler.interface.constants import SECONDS_PER_DAY
from coupler.interface.errors import ContractError
from coupler.interface.units import Unit
from physics.columns.insolation import annual_mean, daily_mean, orbit, part_of_day, year_fraction
from physics.columns.ozone import sunlight_through_ozone
from physics.columns.sunlight import sunlight


class SunParams(Params):
    """Star and orbit; defaults are those of Frierson et al. (2006) and of the present Earth."""

    solar_constant: Annotated[float, Unit("W m-2"), Field(ge=0)] = 1360.0
    """S; with an albedo of 0.31 the net is 938.4 W m-2 [W m-2]."""
    delta_sol: Annotated[float, Unit("1"), Field(ge=-2, le=2)] = 1.4
    """Delta_s, contrast of the annual-mean profile [1]."""
    seasonal: bool = False
    """Daily-mean insolation of the date instead of the annual-mean profile."""
    diurnal: bool = False
    """Sun of the hour and the date, averaged over the time between calls."""
    obliquity: Annotated[float, Unit("degrees"), Field(ge=0, lt=90)] = 23.44
    """Tilt of the axis, used with `seasonal` or `diurnal` [degrees]."""
    eccentricity: Annotated[float, Unit("1"), Field(ge=0, le=0.2)] = 0.0167
    """Of the orbit, used with `seasonal` or `diurnal` [1]."""
    perihelion: Annotated[float, Unit("degrees")] = 282.9
    """The sun's longitude when nearest, from the March equinox, with `seasonal` or `diurnal`
    [degrees]."""


class Sun:
    """Insolation `q` [W m-2] and the cosine of the zenith angle by day [1], shape [column]."""

    def __init__(self, parameters: SunParams, ncol: int) -> None:
        self.p = parameters
        self.q = np.zeros(ncol)
        self.cosine = np.zeros(ncol)
        self._spare = np.zeros(ncol)
        self._slant = np.zeros(ncol)

    def shine(self, x: Arrays, now: Now) -> Array:
        """Brings both up to date for columns at ``x.lat`` (and ``x.lon``); returns `q`.

        Raises:
            ContractError: when the sun of the hour is wanted and no longitudes are given.
        """
        p = self.p
        if not (p.seasonal or p.diurnal):
            annual_mean(x.lat, p.solar_constant, p.delta_sol, self.q)
            np.multiply(self.q, 2.0 / max(p.solar_constant, 1e-30), out=self.cosine)
            np.clip(self.cosine, 0.0, 1.0, out=self.cosine)
            return self.q
        declination, distance = orbit(
            year_fraction(now.date),
            math.radians(p.obliquity),
            p.eccentricity,
            math.radians(p.perihelion),
        )
        if not p.diurnal:
            daily_mean(x.lat, p.solar_constant, declination, distance, self.q)
            # the same sun over one whole day, for its mean height
            part_of_day(
                x.lat, x.lat, 0.0, declination, distance, 0.0, 1.0, self._spare, self.cosine
            )
            return self.q
        if "lon" not in x:
            raise ContractError.of(
                "the sun of the hour needs longitudes",
                "lon",
                expected="a field of longitudes [degrees_east]",
                remedy="set diurnal to false, or run on a host that has longitudes",
            )
        date = now.date
        clock = date.hour * 3600.0 + date.minute * 60.0 + date.second + date.microsecond * 1e-6
        part_of_day(
            x.lat,
            x.lon,
            p.solar_constant,
            declination,
            distance,
            clock / SECONDS_PER_DAY,
            now.dt / SECONDS_PER_DAY,
            self.q,
            self.cosine,
        )
        return self.q

    def absorb(
        self, x: Arrays, now: Now, tau_sw: float, ozone: float, flux: Arrays, diag: Arrays
    ) -> None:
        """Fills ``flux.rns`` [W m-2] and its ends in `diag`, for the sun of `now`.

        Args:
            x: ``phalf ps albs lat``, and ``lon`` for the sun of the hour.
            now: When.
            tau_sw: Optical depth of the air for sunlight [1].
            ozone: Of a column [cm]; 0 for none.
            flux: ``rns``, shape [interface, column].
            diag: ``rsdt rsut rsds rsus``, shape [column].
        """
        q = self.shine(x, now)
        ends = (diag.rsdt, diag.rsut, diag.rsds, diag.rsus)
        if ozone > 0.0:
            paths = (self.cosine, tau_sw, ozone, self._slant)
            sunlight_through_ozone(x.phalf, x.ps, x.albs, q, *paths, flux.rns, *ends)
        else:
            sunlight(x.phalf, x.ps, x.albs, q, tau_sw, flux.rns, *ends)
