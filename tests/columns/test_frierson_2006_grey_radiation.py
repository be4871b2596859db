"""Grey radiation of Frierson, Held and Zurita-Gotor (2006) against solutions on paper."""

import math

import cftime
import numpy as np
import pytest
from column_harness import Bound, now, run, state

from coupler.interface.constants import STEFAN_BOLTZMANN
from coupler.interface.grid import Grid, HybridLevels
from physics.columns.grey_radiation import GreyRadiation
from physics.columns.insolation import annual_mean, daily_mean, orbit, year_fraction

LEVELS = HybridLevels.stretched(25, scale_heights=5.0)


def optical_depth(x: dict[str, np.ndarray], half: np.ndarray) -> np.ndarray:
    """tau of the paper on interfaces, shape [interface, column]."""
    sigma = half / x["ps"]
    tau0 = 6.0 + (1.5 - 6.0) * np.sin(np.radians(x["lat"])) ** 2
    return tau0 * (0.1 * sigma + 0.9 * sigma**4)


def test_an_isothermal_column_over_a_surface_as_warm_emits_as_a_black_body() -> None:
    x = state(LEVELS)
    x["ta"][:], x["ts"][:] = 271.0, 271.0
    b = Bound(GreyRadiation(), x, LEVELS)
    b(now())
    black = STEFAN_BOLTZMANN * 271.0**4
    np.testing.assert_allclose(b.diag["rlut"], black, rtol=1e-14)
    np.testing.assert_allclose(b.diag["rlus"], black, rtol=1e-14)
    tau = optical_depth(x, x["phalf"])
    np.testing.assert_allclose(b.diag["rlds"], black * -np.expm1(-tau[-1]), rtol=1e-13)
    # U is everywhere sigma T^4, D grows as 1 - exp(-tau)
    np.testing.assert_allclose(b.flux["rnl"], black * np.exp(-tau), rtol=1e-12)


def test_one_layer_is_integrated_exactly() -> None:
    levels = HybridLevels.sigma(2)
    x = state(levels)
    b = Bound(GreyRadiation(), x, levels)
    b(now())
    tau = optical_depth(x, x["phalf"])
    e = -np.expm1(-np.diff(tau, axis=0))
    source = STEFAN_BOLTZMANN * x["ta"] ** 4
    ground = STEFAN_BOLTZMANN * x["ts"] ** 4
    up1 = ground * (1 - e[1]) + source[1] * e[1]
    np.testing.assert_allclose(b.diag["rlut"], up1 * (1 - e[0]) + source[0] * e[0], rtol=1e-14)
    down = source[0] * e[0] * (1 - e[1]) + source[1] * e[1]
    np.testing.assert_allclose(b.diag["rlds"], down, rtol=1e-14)


def equilibrium(x: dict[str, np.ndarray], net: float) -> None:
    """Temperatures at which every layer's longwave heating is zero for these very layers.

    With constant net flux F the layers' recurrence is U_{k+1} = U_k + F e/(2 - e) and
    B_k = (U_{k+1} + D_k)/2; e/(2 - e) = tanh(dtau/2) tends to dtau/2, the continuous solution
    sigma T^4 = F (1 + tau)/2, sigma T_s^4 = F (1 + tau_s/2).
    """
    dtau = np.diff(optical_depth(x, x["phalf"]), axis=0)
    up = np.vstack([np.zeros_like(x["ps"]), np.cumsum(np.tanh(0.5 * dtau), axis=0)])
    up = net * (1.0 + up)
    x["ta"] = (0.5 * (up[1:] + up[:-1] - net) / STEFAN_BOLTZMANN) ** 0.25
    x["ts"] = (up[-1] / STEFAN_BOLTZMANN) ** 0.25


def test_radiative_equilibrium_has_no_heating_and_emits_what_enters() -> None:
    x, net = state(LEVELS), 241.3
    equilibrium(x, net)
    rates, diag = run(GreyRadiation(GreyRadiation.Parameters(solar_constant=0.0)), x, LEVELS)
    np.testing.assert_allclose(diag["rlut"], net, rtol=1e-13)
    np.testing.assert_allclose(diag["rlus"] - diag["rlds"], net, rtol=1e-12)
    # 1e-12 of the flux over the thinnest layer's heat capacity
    thin = np.diff(x["phalf"], axis=0).min()
    assert np.abs(rates["ta"]).max() < 1e-12 * net * 9.81 / (1004.0 * thin)


def test_the_continuous_equilibrium_is_approached_with_the_square_of_layer_thickness() -> None:
    net, error = 234.6, []
    for k in (20, 40, 80):
        levels = HybridLevels.sigma(k)
        x = state(levels)
        equilibrium(x, net)
        ts = (net * (1 + 0.5 * optical_depth(x, x["phalf"])[-1]) / STEFAN_BOLTZMANN) ** 0.25
        error.append(np.abs(x["ts"] - ts).max())
        tau_mid = 0.5 * optical_depth(x, x["phalf"])[1:] + 0.5 * optical_depth(x, x["phalf"])[:-1]
        x["ta"] = (net * (1 + tau_mid) / 2 / STEFAN_BOLTZMANN) ** 0.25
        x["ts"] = ts
        _, diag = run(GreyRadiation(), x, levels)
        assert np.abs(diag["rlut"] - net).max() < 15.0 * (20 / k) ** 2  # [W m-2]
    orders = np.log2(np.array(error[:-1]) / np.array(error[1:]))
    assert (orders > 1.9).all(), error


def test_global_mean_net_insolation_is_that_of_the_paper() -> None:
    grid = Grid.gaussian(32, 64)
    q = np.zeros(32)
    annual_mean(grid.lat, 1360.0, 1.4, q)
    net = (1 - 0.31) * q
    # the P2 profile integrates to zero on the Gaussian grid
    assert net @ grid.weights == pytest.approx(938.4 / 4, abs=1e-9)
    equator = np.zeros(1)
    annual_mean(np.zeros(1), 1360.0, 1.4, equator)
    assert 0.69 * equator[0] == pytest.approx(234.6 * (1 + 1.4 / 4), rel=1e-12)


def test_without_absorption_all_sunlight_is_the_surfaces() -> None:
    x = state(LEVELS)
    b = Bound(GreyRadiation(), x, LEVELS)
    b(now())
    np.testing.assert_array_equal(b.diag["rsds"], b.diag["rsdt"])
    np.testing.assert_allclose(b.diag["rsus"], x["albs"] * b.diag["rsds"], rtol=1e-15)
    np.testing.assert_array_equal(np.ptp(b.flux["rns"], axis=0), 0.0)


def test_absorbed_sunlight_is_what_the_ends_differ_by() -> None:
    x = state(LEVELS)
    b = Bound(GreyRadiation(GreyRadiation.Parameters(tau_sw=0.22)), x, LEVELS)
    rates = b(now())
    d = b.diag
    np.testing.assert_allclose(d["rsds"], d["rsdt"] * math.exp(-0.22), rtol=1e-14)
    absorbed = d["rsdt"] - d["rsut"] - (d["rsds"] - d["rsus"])
    np.testing.assert_allclose(absorbed, d["rsdt"] * -math.expm1(-0.22), rtol=1e-12)
    heat = (rates["ta"] * np.diff(x["phalf"], axis=0)).sum(axis=0) * 1004.64 / 9.80665
    longwave = d["rlus"] - d["rlds"] - d["rlut"]
    np.testing.assert_allclose(heat, absorbed + longwave, rtol=1e-10)


def test_ends_of_the_interface_fluxes_are_the_diagnostics() -> None:
    x = state(LEVELS)
    b = Bound(GreyRadiation(GreyRadiation.Parameters(tau_sw=0.1)), x, LEVELS)
    b(now())
    d = b.diag
    np.testing.assert_allclose(b.flux["rnl"][0], d["rlut"], rtol=1e-14)
    np.testing.assert_allclose(b.flux["rnl"][-1], d["rlus"] - d["rlds"], rtol=1e-14)
    np.testing.assert_allclose(b.flux["rns"][0], d["rsut"] - d["rsdt"], rtol=1e-14)
    np.testing.assert_allclose(b.flux["rns"][-1], d["rsus"] - d["rsds"], rtol=1e-14)


@pytest.mark.parametrize("fraction", [0.0, 0.21, 0.47, 0.8])
def test_daily_insolation_has_the_mean_of_the_sphere(fraction: float) -> None:
    declination, distance = orbit(fraction, math.radians(23.44), 0.0167, math.radians(282.9))
    grid = Grid.gaussian(400, 4)
    q = np.zeros(400)
    daily_mean(grid.lat, 1361.0, declination, distance, q)
    # Q has a kink where the sun stops rising; 400 Gaussian latitudes see the mean to 1e-5
    assert q @ grid.weights == pytest.approx(1361.0 / 4 * distance, rel=1e-5)
    assert (q >= 0).all()


def test_orbit_has_the_solstices_perihelion_and_daylight_of_the_almanac() -> None:
    def at(month: int, day: int) -> tuple[float, float]:
        date = cftime.datetime(2001, month, day, calendar="standard")
        d, r = orbit(year_fraction(date), math.radians(23.44), 0.0167, math.radians(282.9))
        return math.degrees(d), r

    assert at(3, 21)[0] == pytest.approx(0.0, abs=0.4)  # a day is 0.4 degrees at the equinox
    assert at(6, 21)[0] == pytest.approx(23.44, abs=0.05)
    assert at(9, 23)[0] == pytest.approx(0.0, abs=0.4)
    assert at(12, 21)[0] == pytest.approx(-23.44, abs=0.05)
    assert at(1, 3)[1] == pytest.approx((1 / (1 - 0.0167)) ** 2, rel=1e-4)
    assert at(7, 4)[1] == pytest.approx((1 / (1 + 0.0167)) ** 2, rel=1e-4)
    q = np.zeros(3)
    daily_mean(np.array([90.0, 0.0, -90.0]), 1361.0, math.radians(23.44), 1.0, q)
    # at the pole the sun stands all day at the declination: S sin(delta)
    assert q[0] == pytest.approx(1361.0 * math.sin(math.radians(23.44)), rel=1e-12)
    assert q[1] == pytest.approx(1361.0 / math.pi * math.cos(math.radians(23.44)), rel=1e-12)
    assert q[2] == 0.0


def test_at_zero_tilt_the_poles_are_dark_and_the_rest_sees_the_cosine() -> None:
    lat = np.array([-90.0, -60.0, 0.0, 60.0, 90.0])
    q = np.zeros(5)
    daily_mean(lat, 1000.0, 0.0, 1.0, q)
    expected = 1000.0 / math.pi * np.cos(np.radians(lat))
    np.testing.assert_allclose(q, expected, atol=1e-12)


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day", "all_leap", "julian"])
def test_every_calendar_has_a_year_from_0_to_1(calendar: str) -> None:
    first = cftime.datetime(2004, 1, 1, calendar=calendar)
    last = cftime.datetime(2004, 12, 30, 23, 59, 59, calendar=calendar)
    assert year_fraction(first) == 0.0
    assert 0.994 < year_fraction(last) < 1.0
    assert year_fraction(cftime.datetime(2004, 7, 2, calendar=calendar)) == pytest.approx(
        0.5, abs=0.004
    )


def test_seasonal_sun_is_switched_by_one_parameter_and_swaps_hemispheres() -> None:
    x = state(LEVELS)
    p = GreyRadiation.Parameters(seasonal=True, eccentricity=0.0)
    half_year = cftime.datetime(2001, 6, 21), cftime.datetime(2001, 12, 20, 12)
    june, december = (run(GreyRadiation(p), x, LEVELS, date=d)[1]["rsdt"] for d in half_year)
    north = x["lat"] > 50
    assert june[north].min() > 400
    assert december[north].max() < 100
    np.testing.assert_allclose(june.reshape(5, 7)[::-1], december.reshape(5, 7), atol=1.0)
