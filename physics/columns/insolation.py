r"""Insolation at the top of the atmosphere: an annual-mean profile, daily means, or the hour's sun.

Annual mean (Frierson, Held and Zurita-Gotor 2006, doi:10.1175/JAS3753.1):

.. math:: Q = \frac{S}{4}\left[1 + \Delta_s P\right], \qquad P = \frac{1 - 3\sin^2\phi}{4}

Daily mean (Berger 1978, doi:10.1175/1520-0469(1978)035<2362:LTVODI>2.0.CO;2):

.. math:: Q = \frac{S}{\pi} \left(\frac{a}{r}\right)^2
          (H_0 \sin\phi\sin\delta + \cos\phi\cos\delta\sin H_0), \quad
          \cos H_0 = -\tan\phi\tan\delta, \quad \sin\delta = \sin\epsilon \sin\lambda

with the sun's true longitude lambda (0 at the March equinox) from its mean longitude by Berger's
series in the eccentricity e, and a/r = (1 + e cos(lambda - varpi))/(1 - e^2). Q and S [W m-2],
angles [rad]. The year is that of the run's calendar: the March equinox falls at the fraction
79.5/365 of it, noon of March 21st in a year of 365 days.

Mean over a part of a day, from the hour angle h_1 to h_2 (0 at noon; mean solar time, without the
equation of time, which is at most a quarter of an hour):

.. math:: Q = S \left(\frac{a}{r}\right)^2 \frac{1}{h_2 - h_1} \int_{h_1}^{h_2}
          \max(0, \sin\phi\sin\delta + \cos\phi\cos\delta\cos h)\, dh,

exact for any length, so that the means of consecutive parts add up to that of the day.
"""

from __future__ import annotations

import math
from typing import Any

from coupler.interface.component import Array
from physics.columns.jit import njit

EQUINOX = 79.5 / 365.0
"""March equinox as a fraction of the year [1]."""


@njit()
def annual_mean(lat: Array, solar_constant: float, delta: float, insolation: Array) -> None:
    """Fills the annual-mean profile [W m-2], shape [column], at `lat` [degrees_north]."""
    for c in range(lat.size):
        s = math.sin(math.radians(lat[c]))
        insolation[c] = 0.25 * solar_constant * (1.0 + delta * 0.25 * (1.0 - 3.0 * s * s))


@njit()
def daily_mean(
    lat: Array, solar_constant: float, declination: float, distance: float, insolation: Array
) -> None:
    """Fills the daily mean [W m-2], shape [column].

    Args:
        lat: Latitude [degrees_north], shape [column].
        solar_constant: S at the mean distance [W m-2].
        declination: delta [rad].
        distance: (a/r)^2 [1].
        insolation: Filled [W m-2], shape [column].
    """
    for c in range(lat.size):
        phi = math.radians(lat[c])
        sin_sin = math.sin(phi) * math.sin(declination)
        cos_cos = math.cos(phi) * math.cos(declination)
        cos_h = -sin_sin / cos_cos if abs(sin_sin) < cos_cos else math.copysign(1.0, -sin_sin)
        h = math.acos(cos_h)
        day = h * sin_sin + cos_cos * math.sin(h)
        insolation[c] = max(0.0, solar_constant / math.pi * distance * day)


@njit(inline=True)
def half_day(sin_sin: float, cos_cos: float) -> float:
    """H_0 [rad] from sin(phi) sin(delta) and cos(phi) cos(delta)."""
    cos_h = -sin_sin / cos_cos if abs(sin_sin) < cos_cos else math.copysign(1.0, -sin_sin)
    return math.acos(cos_h)


@njit()
def daylight(hour: float, sin_sin: float, cos_cos: float) -> tuple[float, float]:
    """Integrals from noon to the hour angle `hour` [rad] of any day: of cosine and of daylight."""
    h = half_day(sin_sin, cos_cos)
    days = math.floor(hour / (2.0 * math.pi) + 0.5)
    lit = min(max(hour - 2.0 * math.pi * days, -h), h)
    cosine = sin_sin * (2.0 * days * h + lit) + cos_cos * (2.0 * days * math.sin(h) + math.sin(lit))
    return cosine, 2.0 * days * h + lit


@njit()
def part_of_day(
    lat: Array,
    lon: Array,
    solar_constant: float,
    declination: float,
    distance: float,
    start: float,
    length: float,
    insolation: Array,
    cosine: Array,
) -> None:
    """Fills the mean over a part of a day [W m-2] and the mean cosine of the sun in daylight.

    Args:
        lat: Latitude [degrees_north], shape [column].
        lon: Longitude [degrees_east], shape [column].
        solar_constant: S at the mean distance [W m-2].
        declination: delta [rad].
        distance: (a/r)^2 [1].
        start: Time of day at longitude 0 when the part begins [1 day].
        length: How long it is [1 day].
        insolation: Filled [W m-2], shape [column].
        cosine: Filled: of the zenith angle while the sun is up [1], 0 in the night, shape [column].
    """
    width = 2.0 * math.pi * length
    for c in range(lat.size):
        phi = math.radians(lat[c])
        sin_sin = math.sin(phi) * math.sin(declination)
        cos_cos = math.cos(phi) * math.cos(declination)
        first = 2.0 * math.pi * (start - 0.5) + math.radians(lon[c])
        light_1, lit_1 = daylight(first, sin_sin, cos_cos)
        light_2, lit_2 = daylight(first + width, sin_sin, cos_cos)
        light, lit = max(light_2 - light_1, 0.0), lit_2 - lit_1
        insolation[c] = solar_constant * distance * light / width
        cosine[c] = min(light / lit, 1.0) if lit > 1.0e-9 else 0.0


def year_fraction(date: Any) -> float:
    """Elapsed share of the year [1] at a cftime date, in that date's own calendar."""
    start = date.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    december = date.replace(month=12, day=1)
    length = december.dayofyr - 1 + december.daysinmonth
    return float((date - start).total_seconds() / (86400.0 * length))


def orbit(
    fraction: float, obliquity: float, eccentricity: float, perihelion: float
) -> tuple[float, float]:
    """Declination [rad] and (a/r)^2 [1] at a fraction of the year.

    Args:
        fraction: Elapsed share of the year [1].
        obliquity: epsilon [rad].
        eccentricity: e [1].
        perihelion: varpi, the sun's longitude when the planet is nearest [rad].
    """
    e = eccentricity
    b = math.sqrt(1.0 - e * e)
    at_equinox = -2.0 * (
        (e / 2 + e**3 / 8) * (1 + b) * math.sin(-perihelion)
        - e**2 / 4 * (0.5 + b) * math.sin(-2 * perihelion)
        + e**3 / 8 * (1 / 3 + b) * math.sin(-3 * perihelion)
    )
    mean = at_equinox + 2.0 * math.pi * (fraction - EQUINOX)
    anomaly = mean - perihelion
    longitude: float = (
        mean
        + (2 * e - e**3 / 4) * math.sin(anomaly)
        + 5 / 4 * e**2 * math.sin(2 * anomaly)
        + 13 / 12 * e**3 * math.sin(3 * anomaly)
    )
    distance = ((1.0 + e * math.cos(longitude - perihelion)) / (1.0 - e * e)) ** 2
    return math.asin(math.sin(obliquity) * math.sin(longitude)), distance
