"""Radiation of Byrne and O'Gorman (2013) on the tropical atmosphere of AFGL, and ozone in it."""

import math

import cftime
import numpy as np
import pytest
from afgl_tropical import profile
from column_harness import PLANET, Bound, column, now, run, state
from pydantic import ValidationError
from scipy.integrate import quad

from coupler.interface.component import Now
from coupler.interface.constants import STEFAN_BOLTZMANN
from coupler.interface.errors import UnstableError
from coupler.interface.grid import HybridLevels
from physics.columns.byrne_ogorman import YEAR, ByrneOGorman
from physics.columns.grey_radiation import GreyRadiation
from physics.columns.ozone import above, absorbed

LEVELS = HybridLevels.stretched(60, scale_heights=11.0)
SURFACE = 101300.0


def tropics(levels: HybridLevels = LEVELS) -> dict[str, np.ndarray]:
    x = state(levels)
    x["ps"][:] = SURFACE
    x["phalf"] = levels.half_pressure(x["ps"])
    x["pfull"] = 0.5 * (x["phalf"][1:] + x["phalf"][:-1])
    x["ta"], x["hus"] = profile(x["pfull"])
    x["ts"][:], x["lat"][:], x["albs"][:] = 299.7, 0.0, 0.1
    return x


def scheme(**choice: object) -> ByrneOGorman:
    return ByrneOGorman(ByrneOGorman.Parameters.model_validate(choice))


def test_an_isothermal_column_shows_the_optical_depth_of_the_formula() -> None:
    x = state(LEVELS)
    x["ta"][:], x["ts"][:] = 271.0, 271.0
    x["hus"][4] = -1e-3  # as spectral transport leaves it: it absorbs nothing
    b = Bound(scheme(co2=911.0, mu=1.3), x, LEVELS)
    b(now())
    thick = np.diff(x["phalf"], axis=0) / x["ps"]
    water = (np.maximum(x["hus"], 0.0) * thick).sum(axis=0)
    dry = (0.8678 * 1.3 + 0.17 * math.log(911.0 / 360.0)) * thick.sum(axis=0)
    black = STEFAN_BOLTZMANN * 271.0**4
    expected = black * -np.expm1(-(dry + 1997.9 * water))
    np.testing.assert_allclose(b.diag["rlds"], expected, rtol=1e-13)
    np.testing.assert_allclose(b.diag["rlut"], black, rtol=1e-13)
    np.testing.assert_allclose(b.diag["rlus"], black, rtol=1e-13)
    np.testing.assert_allclose(b.flux["rnl"][0], b.diag["rlut"], rtol=1e-13)
    np.testing.assert_allclose(b.flux["rnl"][-1], b.diag["rlus"] - b.diag["rlds"], rtol=1e-12)


def test_layers_tend_to_the_integral_over_the_continuous_atmosphere() -> None:
    def depth(sigma: float) -> float:  # from the top, by a fine sum of the same profile
        return float(np.interp(sigma, fine, tau))

    fine = np.linspace(0.0, 1.0, 200_001)
    _, q = profile(np.maximum(fine, 1e-9) * SURFACE)
    rate = 0.8678 + 1997.9 * q
    tau = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(fine))])

    def emitted(sigma: float, down: bool) -> float:
        ta, hus = profile(np.array([sigma * SURFACE]))
        way = depth(1.0) - depth(sigma) if down else depth(sigma)
        source = STEFAN_BOLTZMANN * ta[0] ** 4 * (0.8678 + 1997.9 * hus[0])
        return float(source * math.exp(-way))

    knots = [0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9]
    up, down = (
        quad(emitted, 1e-6, 1.0, args=(d,), points=knots, limit=300, epsrel=1e-5)[0]
        for d in (False, True)
    )
    up += STEFAN_BOLTZMANN * 299.7**4 * math.exp(-depth(1.0))
    error = []
    for k in (45, 90, 180):
        levels = HybridLevels.stretched(k, scale_heights=11.0)
        _, d = run(scheme(), tropics(levels), levels)
        error.append(abs(d["rlut"][0] - up) + abs(d["rlds"][0] - down))
    assert error[0] < 6.0  # [W m-2], of 262 and 447
    assert error[2] < 0.3 * error[1] < 0.1 * error[0]  # second order in the layers' thickness


def test_carbon_dioxide_forces_by_its_logarithm_and_warms_below_cools_above() -> None:
    x = tropics()
    out = {c: run(scheme(co2=c), x, LEVELS) for c in (360.0, 720.0, 1440.0)}
    olr = [d["rlut"][0] for _, d in out.values()]
    # 0.118 of optical depth a doubling; 6.2 W m-2 in this column, instantaneous at the top
    assert olr[0] - olr[1] == pytest.approx(6.2, abs=0.3)
    assert (olr[1] - olr[2]) / (olr[0] - olr[1]) == pytest.approx(1.0, abs=0.07)
    change = (out[720.0][0]["ta"] - out[360.0][0]["ta"])[:, 0]
    assert (change[x["pfull"][:, 0] < 5e3] < 0.0).all()  # the stratosphere cools
    assert out[720.0][1]["rlds"][0] > out[360.0][1]["rlds"][0]


def test_moister_air_keeps_heat() -> None:
    x = tropics()
    _, before = run(scheme(), x, LEVELS)
    x["hus"] *= 1.2
    _, after = run(scheme(), x, LEVELS)
    assert np.all(after["rlut"] < before["rlut"] - 3.0)
    _, grey = run(GreyRadiation(), x, LEVELS)  # control: without a feedback nothing changes
    x["hus"] *= 0.5
    np.testing.assert_array_equal(run(GreyRadiation(), x, LEVELS)[1]["rlut"], grey["rlut"])


def test_one_percent_a_year_doubles_in_seventy_years() -> None:
    x = tropics()
    years = math.log(2.0) / math.log(1.01)
    assert years == pytest.approx(69.66, abs=0.01)
    ramp = Bound(scheme(co2_growth="1 %"), x, LEVELS)
    ramp(Now(date=cftime.datetime(2070, 1, 1), step=9, seconds=years * YEAR, dt=600.0))
    _, doubled = run(scheme(co2="720 ppm"), x, LEVELS)
    np.testing.assert_allclose(ramp.diag["rlut"], doubled["rlut"], rtol=1e-12)


def test_less_carbon_dioxide_than_the_formula_holds_for_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"co2 of at least 2\.18 ppm"):
        scheme(co2=2.0)
    falling = Bound(scheme(co2_growth=-50.0), tropics(), LEVELS)
    later = Now(date=cftime.datetime(2008, 1, 1), step=9, seconds=8.0 * YEAR, dt=600.0)
    with pytest.raises(UnstableError, match=r"after 8\.0 years"):
        falling(later)


# -- ozone ------------------------------------------------------------------------------------


def test_absorption_is_that_of_lacis_and_hansen() -> None:
    # their figure 4 and text: about 3 % of the sun's light at the usual path of 0.6 cm, of which
    # the ultraviolet is saturated early and the visible goes on
    assert absorbed(0.0) == 0.0
    assert absorbed(0.6) == pytest.approx(0.031, abs=0.001)
    visible = 0.02118 * 5.0 / (1.0 + 0.042 * 5.0 + 0.000323 * 25.0)
    assert absorbed(5.0) - visible == pytest.approx(1.082 * 5 / (1 + 138.6 * 5) ** 0.805, rel=1e-4)
    x = np.linspace(0.0, 10.0, 1001)
    assert np.all(np.diff([absorbed(v) for v in x]) > 0.0)


def test_the_layer_of_ozone_is_that_of_a_winter_in_middle_latitudes() -> None:
    # AFGL model 3 (mid-latitude winter, 0.377 cm): shares of the column above these pressures;
    # the source's profile is a fit to such a winter and lies somewhat lower
    for hectopascal, share in ((10, 0.130), (30, 0.355), (50, 0.517), (100, 0.714), (300, 0.928)):
        assert above(100.0 * hectopascal, 1.0) == pytest.approx(share, abs=0.07)
    assert above(101325.0, 0.377) == pytest.approx(0.377, rel=1e-14)
    assert above(0.0, 1.0) < 1e-15


@pytest.mark.parametrize("kind", [GreyRadiation, ByrneOGorman])
def test_what_ozone_takes_from_the_light_warms_the_air(
    kind: type[GreyRadiation] | type[ByrneOGorman],
) -> None:
    x = state(LEVELS)
    p = {"tau_sw": 0.1, "seasonal": True}
    with_it = Bound(kind(kind.Parameters(ozone=0.3, **p)), x, LEVELS)
    rates, without = with_it(now()), run(kind(kind.Parameters(**p)), x, LEVELS)
    d, bare = with_it.diag, without[1]
    heat = PLANET.cp_dry * column(rates["ta"] - without[0]["ta"], x)
    taken = bare["rsut"] - d["rsut"] + (bare["rsds"] - bare["rsus"]) - (d["rsds"] - d["rsus"])
    # what leaves less at the top and reaches less the ground has stayed in between
    np.testing.assert_allclose(heat, taken, atol=1e-9)
    sunny = d["rsdt"] > 50.0
    assert np.all(heat[sunny] > 0.02 * d["rsdt"][sunny])
    # control: without the light reflected through the ozone again, it would not close
    once = (bare["rsds"] - bare["rsus"]) - (d["rsds"] - d["rsus"])
    assert np.all(np.abs(heat - once)[sunny] > 0.01)
    for name, end in (("rsut", 0), ("rsus", -1)):
        down = d["rsdt"] if end == 0 else d["rsds"]
        np.testing.assert_allclose(with_it.flux["rns"][end], d[name] - down, rtol=1e-12)


def test_ozone_heats_most_near_the_stratopause() -> None:
    x = tropics()
    plain, _ = run(scheme(), x, LEVELS)
    heated, _ = run(scheme(ozone="0.3 cm"), x, LEVELS)
    rate = (heated["ta"] - plain["ta"])[:, 0] * 86400.0
    at = rate.argmax()
    assert 70.0 < x["pfull"][at, 0] < 250.0  # about 45 to 50 km
    # 7 K a day of the mean tropical sun (459 W m-2); a June pole has about twice that
    assert 5.0 < rate[at] < 10.0
    assert np.abs(rate[x["pfull"][:, 0] > 3e4]).max() < 0.1
