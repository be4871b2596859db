"""The sun of the hour: exact means over parts of a day, the night, and what it needs."""

import math

import cftime
import numpy as np
import pytest
from column_harness import Bound, now, run, state

from coupler.interface.errors import ContractError
from coupler.interface.grid import HybridLevels
from physics.columns.byrne_ogorman import ByrneOGorman
from physics.columns.grey_radiation import GreyRadiation
from physics.columns.insolation import daily_mean, part_of_day
from physics.columns.sun import Sun, SunParams

LEVELS = HybridLevels.stretched(9)
LAT = np.array([-90.0, -71.0, -33.0, 0.0, 12.0, 48.0, 66.0, 80.0, 90.0])
LON = np.array([0.0, 350.0, 12.0, 181.0, 77.0, -60.0, 300.0, 2.0, 400.0])
TILTS = [math.radians(d) for d in (-23.44, -7.0, 0.0, 15.0, 23.44)]


def hour(
    tilt: float, start: float, length: float, lon: np.ndarray = LON
) -> tuple[np.ndarray, np.ndarray]:
    q, cosine = np.zeros(LAT.size), np.zeros(LAT.size)
    part_of_day(LAT, lon, 1361.0, tilt, 1.02, start, length, q, cosine)
    return q, cosine


@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize("parts", [1, 7, 72])
def test_parts_of_a_day_add_up_to_its_mean_wherever_they_begin(tilt: float, parts: int) -> None:
    daily = np.zeros(LAT.size)
    daily_mean(LAT, 1361.0, tilt, 1.02, daily)
    total = sum(hour(tilt, 0.3 + i / parts, 1 / parts)[0] for i in range(parts)) / parts
    np.testing.assert_allclose(total, daily, atol=1e-9)


@pytest.mark.parametrize("tilt", TILTS)
def test_the_mean_over_three_hours_is_that_of_many_moments(tilt: float) -> None:
    start, length, n = 0.61, 0.125, 40000
    moments = start + (np.arange(n) + 0.5) / n * length
    angle = 2.0 * np.pi * (moments[:, None] - 0.5) + np.radians(LON)
    phi = np.radians(LAT)
    height = np.sin(phi) * np.sin(tilt) + np.cos(phi) * np.cos(tilt) * np.cos(angle)
    q, cosine = hour(tilt, start, length)
    lit = np.maximum(height, 0.0)
    # the midpoint rule misses the moment of sunrise by half of a step of 0.27 s
    np.testing.assert_allclose(q, 1361.0 * 1.02 * lit.mean(axis=0), atol=1e-4)
    up = (height > 0).mean(axis=0)
    expected = np.where(up > 1e-3, lit.mean(axis=0) / np.maximum(up, 1e-3), 0.0)
    np.testing.assert_allclose(cosine[up > 1e-3], expected[up > 1e-3], atol=1e-4)
    assert not cosine[up == 0.0].any()


def test_noon_moves_west_by_fifteen_degrees_an_hour() -> None:
    east = hour(0.2, 0.25, 1 / 24, np.full(LAT.size, 90.0))[0]
    later = hour(0.2, 0.50, 1 / 24, np.zeros(LAT.size))[0]
    np.testing.assert_allclose(east, later, rtol=1e-12, atol=1e-9)


def test_the_sun_stands_overhead_once_and_the_other_side_is_dark() -> None:
    lat, q, cosine = np.full(2, 20.0), np.zeros(2), np.zeros(2)
    second = 1.0 / 86400.0
    args = (math.radians(20.0), 1.0, 0.5 - second / 2, second)
    part_of_day(lat, np.array([0.0, 180.0]), 1000.0, *args, q, cosine)
    np.testing.assert_allclose(q, [1000.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(cosine, [1.0, 0.0], atol=1e-9)


@pytest.mark.parametrize("scheme", [GreyRadiation, ByrneOGorman])
def test_a_scheme_averages_over_the_time_for_which_it_will_be_applied(
    scheme: type[GreyRadiation] | type[ByrneOGorman],
) -> None:
    x = state(LEVELS)
    p = {"obliquity": 0.0, "eccentricity": 0.0}  # the same sun all day
    hourly = Bound(scheme(scheme.Parameters(diurnal=True, **p)), x, LEVELS)
    total = np.zeros(x["ps"].size)
    for h in range(0, 24, 3):
        hourly(now(10800.0, cftime.datetime(2001, 3, 2, h)))
        total += hourly.diag["rsdt"] / 8
    _, daily = run(scheme(scheme.Parameters(seasonal=True, **p)), x, LEVELS)
    np.testing.assert_allclose(total, daily["rsdt"], atol=1e-9)
    assert np.ptp(hourly.diag["rsdt"]) > 300.0  # control: at one time it is day and night


def test_without_longitudes_the_sun_of_the_hour_is_refused() -> None:
    x = state(LEVELS)
    del x["lon"]
    with pytest.raises(ContractError, match="the sun of the hour needs longitudes") as error:
        run(GreyRadiation(GreyRadiation.Parameters(diurnal=True)), x, LEVELS)
    assert "set diurnal to false" in str(error.value)


def test_the_mean_height_of_the_sun_is_known_for_all_three_suns() -> None:
    x = Bound(GreyRadiation(), state(LEVELS), LEVELS).bound[0]
    x.lat[:] = 0.0
    flat = {"obliquity": 0.0, "eccentricity": 0.0}
    for choice, expected in (
        ({"delta_sol": 0.0}, 0.5),  # the mean over a lit hemisphere
        ({"seasonal": True, **flat}, 2.0 / math.pi),  # equinox at the equator
    ):
        sun = Sun(SunParams.model_validate(choice), x.lat.size)
        sun.shine(x, now())
        np.testing.assert_allclose(sun.cosine, expected, rtol=1e-12)
