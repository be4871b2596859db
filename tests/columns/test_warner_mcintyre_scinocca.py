"""The spectral scheme of Warner, McIntyre and Scinocca: tabulated drag, conservation, refusals."""

from functools import partial

import numpy as np
import pytest
from isothermal import (
    DAY,
    KM,
    NCOL,
    NOW,
    PLANET,
    WIND,
    Z_HALF,
    host_of,
    one_of_each,
    state,
    weather,
)
from isothermal import Result as Call
from pydantic import ValidationError

from coupler.interface.component import Arrays
from coupler.interface.errors import ConfigError, UnstableError
from physics.columns.gravity_wave_wms import WarnerMcIntyreScinocca, WMSParameters, _azimuth

Result = partial(Call, cls=WarnerMcIntyreScinocca, top="zero")

# m s-1 day-1 at height km, columns A and B
TABLE = {
    "A": {18.5: -0.3983, 20.5: -0.1349, 25.5: -0.1014, 30.5: 0.1574, 40.5: 0.3372,
          60.5: -13.334, 70.5: -36.322},
    "B": {18.5: 0.6477, 20.5: 0.0515, 25.5: -1.7983, 30.5: 0.0, 40.5: 0.0, 50.5: -0.4858,
          60.5: 0.0, 70.5: 0.0},
}  # fmt: skip


@pytest.mark.parametrize("name", ["A", "B"])
def test_the_tabulated_drag_is_reproduced(name):
    result = Result(one_of_each(name), tropical_reduction=0.0, limited=False)
    for km, drag in TABLE[name].items():
        # four printed digits; a part of them is lost where opposite azimuths nearly cancel
        assert result.at(km) == pytest.approx(drag, rel=1e-3, abs=6e-5), f"{km} km"


def test_what_reaches_the_top_is_absorbed_by_the_top_layer():
    result = Result(one_of_each("A"), tropical_reduction=0.0, limited=False)
    assert result.at(79.5) == pytest.approx(-122.0, abs=0.5)  # three printed digits


def test_the_limiter_leaves_the_tabulated_columns_alone_at_the_usual_step():
    x = one_of_each("A", "B")
    free, limited = Result(x, limited=False), Result(x)
    np.testing.assert_array_equal(limited.flux.xgwdparam, free.flux.xgwdparam)
    assert not limited.diag.nogwdlimit.any()


def handed_up(wind, middle, room, launched, c, dc, f, cap, ratio):
    """The definition of the limiter for one azimuth: flux left at each interface, top first."""
    flux, excess, speed, highest = np.zeros(wind.size), 0.0, 0.0, 0.0
    flux[-1] = launched
    active = np.ones(c.size, bool)
    for i in range(wind.size - 2, 0, -1):
        highest = max(highest, wind[i])
        after = np.where(active & (c >= highest), f, 0.0)
        after = np.minimum(after, cap * ratio[i] * (c - wind[i]) ** 2 / c)
        active, taken, f = after > 0.0, (f - after) * dc, after
        lost = taken.sum() + excess
        if lost > 0.0:
            speed = ((taken * c).sum() + excess * speed) / lost
            below = min(wind[i + 1], middle[i])
            excess = lost - min(lost, max(speed - below, 0.0) * room[i])
        flux[i] = (f * dc).sum() + excess
    return flux


@pytest.mark.parametrize("tightness", [1e-3, 3e-2, 1.0, np.inf])
def test_the_limiter_is_the_one_that_is_defined(tightness):
    rng = np.random.default_rng(8)
    c, dc = WMSParameters().grid()
    n = 37
    middle = np.cumsum(4.0 * rng.standard_normal(n))[::-1].copy()
    wind = np.empty(n)
    wind[1:] = 0.5 * (middle[1:] + middle[:-1])
    wind[0] = middle[0]
    wind, middle = wind - wind[-1], middle - wind[-1]
    ratio = np.exp(-np.arange(n - 1.0, -1.0, -1.0) / 7.0)
    room = tightness * 1e-3 * ratio
    launched = 1e-3 * (c * dc).sum()
    flux, other = np.zeros((2, n))
    moved = _azimuth(
        1.0, 0.0, wind, middle, room, ratio, n - 1, 1e-3, 1e-3, c, dc, c.copy(),
        np.zeros(c.size), flux, other,
    )  # fmt: skip
    expected = handed_up(wind, middle, room, launched, c, dc, 1e-3 * c, 1e-3, ratio)
    np.testing.assert_allclose(flux[1:], expected[1:], rtol=1e-12, atol=1e-18)
    assert (moved > 0.0) is (tightness < np.inf)
    if tightness < np.inf:  # no layer is pushed past what its waves can reach
        pushed = np.diff(flux[1:]) / room[1:-1]
        assert pushed.max() <= c[0] - np.minimum(wind[2:], middle[1:-1]).min()


@pytest.mark.parametrize("of", ["ua", "va"])
def test_a_limited_column_closes_and_a_clipped_one_would_not(of, monkeypatch):
    x, host = weather()
    monkeypatch.setattr(NOW, "dt", 20 * DAY)
    free, limited = Result(x, host=host, limited=False), Result(x, host=host)
    assert limited.diag.nogwdlimit.max() > 1e-5
    assert np.all(np.abs(limited.column[of]) <= 1e-12 * limited.absolute[of])
    flux = {"ua": "xgwdparam", "va": "ygwdparam"}[of]
    # nothing is launched anew, and momentum only ever moves up
    np.testing.assert_array_equal(getattr(limited.flux, flux)[-1], getattr(free.flux, flux)[-1])
    # the control: clipping each layer's drag to what it may take would lose the rest
    drag, most = getattr(free.tend, of), np.abs(getattr(limited.tend, of))
    mass = np.diff(x.phalf, axis=0) / PLANET.gravity
    clipped = (np.clip(drag, -most, most) * mass)[1:].sum(0)
    kept = (drag * mass)[1:].sum(0)
    assert np.abs((clipped - kept) / free.absolute[of]).max() > 1e-3


def test_a_longer_step_moves_more_momentum_up(monkeypatch):
    moved = []
    for days in (0.02, 5.0, 50.0):
        monkeypatch.setattr(NOW, "dt", days * DAY)
        moved.append(Result(one_of_each("A")).diag.nogwdlimit[0])
    assert moved[0] == 0.0 and moved[0] < moved[1] < moved[2]


def test_drag_below_the_launch_interface_is_zero():
    x = one_of_each("A", "B")
    result = Result(x)
    assert not result.tend.ua[KM < 6.0].any()
    assert result.tend.ua[KM > 6.0, :2].any()
    assert not result.flux.xgwdparam[Z_HALF <= 6e3].any()


@pytest.mark.parametrize("options", [{}, {"azimuths": 6}, {"azimuths": 8, "bins": 31}], ids=str)
@pytest.mark.parametrize("of", ["ua", "va"])
def test_every_column_closes_to_round_off_and_would_not_without_its_top(options, of):
    x, host = weather()
    result = Result(x, host=host, **options)
    # the contract: 1e-12 of the absolute column sum, in float64
    assert np.all(np.abs(result.column[of]) <= 1e-12 * result.absolute[of])
    # control: without the policy at the top some columns lose what escapes
    open_top = Call(x, WarnerMcIntyreScinocca, host=host, top="escape", **options)
    assert np.abs(open_top.column[of] / open_top.absolute[of]).max() > 1e-4


@pytest.mark.parametrize("wind", ["calm", "uniform"])
def test_no_shear_gives_no_drag(wind):
    result = Result(one_of_each(*[wind] * NCOL))
    assert not result.tend.ua.any()


def test_reversed_wind_gives_exactly_the_reversed_drag():
    x, host = weather()
    back = Arrays(**dict(x.items()) | {"ua": -x.ua, "va": -x.va})
    there, again = Result(x, host=host), Result(back, host=host)
    np.testing.assert_array_equal(again.tend.ua, -there.tend.ua)
    np.testing.assert_array_equal(again.tend.va, -there.tend.va)


def test_wind_turned_by_a_right_angle_turns_the_drag():
    x, host = weather()
    turned = Arrays(**dict(x.items()) | {"ua": -x.va, "va": x.ua})
    there, here = Result(x, host=host), Result(turned, host=host)
    np.testing.assert_array_equal(here.tend.ua, -there.tend.va)
    np.testing.assert_array_equal(here.tend.va, there.tend.ua)


def test_eight_azimuths_see_shear_that_crosses_the_four_main_ones():
    wind = np.repeat(WIND["A"][:, None], NCOL, axis=1)
    along, across = Result(state(ua=wind)), Result(state(va=wind))
    np.testing.assert_allclose(across.tend.va, along.tend.ua, rtol=1e-12)
    assert not along.tend.va.any()
    eight = Result(state(ua=wind), azimuths=8)
    assert np.abs(eight.tend.va).max() < 1e-12 * np.abs(eight.tend.ua).max()


def test_the_flux_of_one_azimuth_only_falls_on_its_way_up_and_ends_at_its_critical_level():
    c, dc = WMSParameters().grid()
    height = np.arange(40.0, -1.0, -1.0)
    ratio = np.exp(-height / 7.0)
    wind = 40.0 * np.sin(height / 12.0)
    for strength, reaches_top in ((1.0, True), (3.0, False)):
        flux, other = np.zeros((2, 41))
        _azimuth(
            1.0, 0.0, strength * wind, strength * wind, np.full(41, np.inf), ratio, 40, 1e-3, 1e-3,
            c, dc, c.copy(), np.zeros(20), flux, other,
        )  # fmt: skip
        assert np.all(np.diff(flux[1:]) >= 0.0) and not other.any()
        assert bool(flux[1] > 0.0) is reaches_top  # the fastest wave goes at 100 m/s
        assert flux[40] == pytest.approx(1e-3 * (c * dc).sum())


def test_the_launched_flux_is_reduced_in_the_tropics():
    x = one_of_each(*["B"] * NCOL)
    full, reduced = Result(x, tropical_reduction=0.0), Result(x)
    ratio = np.abs(reduced.tend.ua).sum(0) / np.abs(full.tend.ua).sum(0)
    lat = host_of().static["lat"]
    np.testing.assert_allclose(ratio, 1.0 - 0.25 * np.exp(-(lat**2) / 800.0), rtol=1e-12)
    assert ratio.min() == pytest.approx(0.75)


def test_bins_span_the_phase_speeds_and_their_widths_fill_the_range():
    speeds, widths = WMSParameters(bins=2001).grid()
    assert (speeds[0], speeds[-1]) == pytest.approx((100.0, 0.5), rel=1e-12)
    assert np.all(np.diff(speeds) < 0.0)
    inner = widths.sum() - 0.5 * (widths[0] + widths[-1])  # trapezoid rule of the smooth map
    assert inner == pytest.approx(99.5, rel=1e-3)


def test_single_precision_input_gives_nearly_the_double_precision_drag():
    single = Result(one_of_each("A", "E", "B", dtype=np.float32))
    double = Result(one_of_each("A", "E", "B"))
    assert single.tend.ua.dtype == np.float32
    # saturation is continuous in the wind; a bin that meets its critical level switches a layer
    tolerance = 0.02 * np.abs(double.tend.ua).max(0) + 1e-12
    assert np.all(np.abs(single.tend.ua - double.tend.ua) <= tolerance)


def test_the_order_of_columns_changes_no_bit():
    x, host = weather()
    host.static["lat"][:] = 10.0  # the source follows latitude; here only the order is tested
    order = np.random.default_rng(4).permutation(NCOL)
    shuffled = Arrays(**{n: np.ascontiguousarray(a[:, order]) for n, a in x.items()})
    there, here = Result(x, host=host), Result(shuffled, host=host)
    np.testing.assert_array_equal(here.flux.xgwdparam, there.flux.xgwdparam[:, order])


def test_a_state_without_meaning_is_refused_with_its_place():
    x = one_of_each("A")
    x.va[23, 7] = np.nan
    with pytest.raises(UnstableError, match=r"gravity_wave\.wms.*va = nan.*level 23, column 7"):
        Result(x)


def test_a_launch_outside_of_the_column_is_refused_at_setup():
    component = WarnerMcIntyreScinocca(WMSParameters(launch_pressure=1.2e5))
    with pytest.raises(ConfigError, match=r"gravity_wave\.wms\.launch_pressure"):
        component.setup(host_of())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"azimuths": 5}, "azimuths must be even"),
        ({"phase_speed_min": 200.0}, "must be smaller than phase_speed_max"),
        ({"launch_pressure": "450 K"}, "wrong unit"),
    ],
)
def test_impossible_parameters_are_refused(options, text):
    with pytest.raises(ValidationError, match=text):
        WMSParameters(**options)


def test_parameters_may_carry_units():
    assert WMSParameters(launch_pressure="450 hPa", launch_flux="3.75 mPa") == WMSParameters()


def test_drag_scales_with_the_launched_flux_without_moving():
    once, twice = Result(one_of_each("A")), Result(one_of_each("A"), launch_flux=7.5e-3)
    np.testing.assert_allclose(DAY * twice.tend.ua, 2.0 * DAY * once.tend.ua, rtol=1e-12)
