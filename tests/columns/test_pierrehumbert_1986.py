"""Pierrehumbert (1986): tabulated stress and drag over mountains, limits, what launches nothing."""

from functools import partial

import numpy as np
import pytest
from isothermal import DAY, KM, NCOL, NOW, P_HALF, PLANET, host_of
from isothermal import Result as Call
from mountain_columns import WIND, mountains, rough_weather
from pydantic import ValidationError

from coupler.interface.component import Arrays
from coupler.interface.errors import UnstableError
from physics.columns.orographic_drag_pierrehumbert import Pierrehumbert1986, PierrehumbertParameters

# standard deviation of the orography [m]: launched stress [Pa], drag at 20.5 and 25.5 km [m/s/day]
TABLE = {
    100.0: (0.03770, 0.0, 0.0),
    300.0: (0.24352, -67.65, -6.612),
    600.0: (0.49883, -67.65, -6.612),
}
UNLIMITED = {"wind_share": 1.0, "largest_drag": 1.0}

Result = partial(Call, cls=Pierrehumbert1986, top="escape")


@pytest.mark.parametrize("sgh", TABLE)
def test_the_tabulated_stress_and_drag_are_reproduced(sgh):
    launched, lower, upper = TABLE[sgh]
    result = Result(mountains(sgh))
    # four printed digits
    assert -result.flux.xogwd[-1, 0] == pytest.approx(launched, rel=3e-4)
    assert result.at(20.5) == pytest.approx(lower, rel=1e-3)
    assert result.at(25.5) == pytest.approx(upper, rel=1e-3)


def test_without_limits_the_drag_aloft_is_that_of_the_original():
    assert Result(mountains(300.0), **UNLIMITED).at(60.5) == pytest.approx(-1397.0, rel=1e-3)


@pytest.mark.parametrize("of", ["ua", "va"])
def test_the_column_gains_what_the_ground_gives_and_loses_what_escapes(of):
    x, host = rough_weather()
    result = Result(x, host=host)
    flux = {"ua": result.flux.xogwd, "va": result.flux.yogwd}[of]
    residual = result.column[of] - (flux[-1] - result.escaped[of])
    launched = np.abs(flux[-1]) > 0.0
    assert np.count_nonzero(launched) > NCOL // 2
    # the contract: 1e-12 of the absolute column sum, in float64
    assert np.all(np.abs(residual) <= 1e-12 * np.maximum(result.absolute[of], 1e-12))
    # control: the force of the mountains is part of the balance
    assert np.abs(result.column[of][launched]).max() > 1e-4


def test_limits_move_drag_down_and_report_how_much():
    free, tight = Result(mountains(300.0), **UNLIMITED), Result(mountains(300.0))
    assert free.column["ua"][0] == pytest.approx(tight.column["ua"][0], rel=1e-9)
    assert np.abs(free.tend.ua).max() > 1000.0 / DAY
    assert np.abs(tight.tend.ua).max() <= 400.0 / DAY * (1 + 1e-12)
    moved = np.maximum(0.0, np.cumsum((free.tend.ua - tight.tend.ua)[:, 0] * -np.diff(P_HALF)))
    assert tight.diag.ogwdlimit[0] == pytest.approx(moved.max() / PLANET.gravity, rel=1e-9)
    assert tight.diag.ogwdlimit[0] > 0.01
    assert not free.diag.ogwdlimit.any()


def test_a_layer_loses_at_most_half_of_its_wind_in_a_step():
    x, host = rough_weather()
    result = Result(x, host=host, largest_drag=1.0)
    speed = np.hypot(x.ua, x.va)
    lost = NOW.dt * np.hypot(result.tend.ua, result.tend.va)
    assert np.all(lost <= 0.5 * speed * (1 + 1e-9))
    assert np.any(lost > 0.2 * speed)  # the limit was at work


def test_the_force_points_against_the_wind_whatever_its_direction():
    east, north = Result(mountains(300.0)), Result(mountains(300.0, north=True))
    np.testing.assert_array_equal(north.tend.va, east.tend.ua)
    assert not north.tend.ua.any()
    west = Result(mountains(300.0, wind=-WIND))
    np.testing.assert_array_equal(west.tend.ua, -east.tend.ua)


def test_a_wind_that_turns_round_is_never_pushed_on():
    wind = np.where(KM < 20.0, 15.0, -15.0)
    result = Result(mountains(300.0, wind=wind))
    assert not result.tend.ua[KM > 20.0].any()
    assert result.tend.ua[KM < 20.0, 0].min() < 0.0


@pytest.mark.parametrize("case", ["flat", "calm", "unstable"])
def test_without_mountains_wind_or_stability_nothing_is_launched(case):
    x = mountains(0.0 if case == "flat" else 300.0, wind=np.zeros(80) if case == "calm" else WIND)
    if case == "unstable":
        x.ta[-2] -= 15.0  # steeper than the adiabat between the two lowest layers
    result = Result(x)
    assert not result.flux.xogwd.any() and not result.tend.ua.any()


def test_the_low_level_layer_has_at_least_two_layers():
    thin = Result(mountains(300.0), low_level=0.01)
    two = Result(mountains(300.0), low_level=0.2)  # the two lowest of this column
    np.testing.assert_array_equal(thin.flux.xogwd, two.flux.xogwd)
    deep = Result(mountains(300.0), low_level=0.5)
    assert abs(deep.flux.xogwd[-1, 0]) > abs(two.flux.xogwd[-1, 0])  # stronger wind aloft


def test_single_precision_input_gives_the_double_precision_drag():
    single, double = Result(mountains(300.0, dtype=np.float32)), Result(mountains(300.0))
    assert single.tend.ua.dtype == np.float32
    # second differences of the wind in single precision, and one rounding of the fluxes
    peak = np.abs(double.tend.ua).max()
    np.testing.assert_allclose(single.tend.ua, double.tend.ua, rtol=3e-3, atol=1e-4 * peak)


def test_the_order_of_columns_changes_no_bit():
    x, host = rough_weather()
    order = np.random.default_rng(4).permutation(NCOL)
    shuffled = Arrays(**{n: np.ascontiguousarray(a[..., order]) for n, a in x.items()})
    there, here = Result(x, host=host), Result(shuffled, host=host)
    np.testing.assert_array_equal(here.flux.xogwd, there.flux.xogwd[:, order])


def test_a_state_without_meaning_is_refused_with_its_place():
    x = mountains(300.0)
    x.ta[11, 3] = np.nan
    with pytest.raises(UnstableError, match=r"pierrehumbert1986.*level 11, column 3"):
        Result(x, host=host_of())


def test_impossible_parameters_are_refused():
    with pytest.raises(ValidationError, match="less than 1"):
        PierrehumbertParameters(low_level=1.0)
    with pytest.raises(ValidationError, match="greater than 0"):
        PierrehumbertParameters(wavelength=-1.0)
