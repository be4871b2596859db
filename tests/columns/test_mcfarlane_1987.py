"""McFarlane (1987): tabulated drag over mountains, critical level, limits that lose no momentum."""

from functools import partial

import numpy as np
import pytest
from isothermal import DAY, KM, NCOL, NOW, P_HALF, PLANET, Z_HALF, host_of
from isothermal import Result as Call
from mountain_columns import WIND, mountains, rough_weather
from pydantic import ValidationError

from coupler.interface.component import Arrays
from coupler.interface.errors import UnstableError
from physics.columns.orographic_drag_mcfarlane import McFarlane1987, McFarlaneParameters

HEIGHTS = (18.5, 20.5, 22.5, 25.5, 60.5, 70.5, 79.5)
# sgh [m]: launched stress [Pa], column integral [Pa], drag [m s-1 day-1] at HEIGHTS
TABLE = {
    100.0: (0.03630, -0.03626, (0.0, -13.14, -4.78, -1.289, -277.9, -256.1, -55.19)),
    300.0: (0.16709, -0.16705, (-37.66, -13.14, -4.78, -1.289, -277.9, -256.1, -55.19)),
    600.0: (0.16917, -0.16913, (-37.66, -13.14, -4.78, -1.289, -277.9, -256.1, -55.19)),
}

Result = partial(Call, cls=McFarlane1987, top="escape")


@pytest.mark.parametrize("sgh", TABLE)
def test_the_tabulated_stress_and_drag_are_reproduced(sgh):
    launched, integral, drag = TABLE[sgh]
    result = Result(mountains(sgh))
    # four printed digits
    assert -result.flux.xogwd[-1, 0] == pytest.approx(launched, rel=3e-4)
    assert result.column["ua"][0] == pytest.approx(integral, rel=3e-4)
    for km, expected in zip(HEIGHTS, drag, strict=True):
        assert result.at(km) == pytest.approx(expected, rel=1e-3), f"{km} km"
    # what is launched and not deposited leaves through the top
    assert result.escaped["ua"][0] == pytest.approx(-4.2e-5, rel=2e-2)


def test_the_force_points_against_the_wind_whatever_its_direction():
    east, north = Result(mountains(300.0)), Result(mountains(300.0, north=True))
    np.testing.assert_array_equal(north.tend.va, east.tend.ua)
    assert not north.tend.ua.any()
    west = Result(mountains(300.0, wind=-WIND))
    np.testing.assert_array_equal(west.tend.ua, -east.tend.ua)


@pytest.mark.parametrize("of", ["ua", "va"])
def test_the_column_gains_what_the_ground_gives_and_loses_what_escapes(of):
    x, host = rough_weather()
    result = Result(x, host=host)
    flux = {"ua": result.flux.xogwd, "va": result.flux.yogwd}[of]
    residual = result.column[of] - (flux[-1] - result.escaped[of])
    assert result.absolute[of].min() > 1e-4
    # the contract: 1e-12 of the absolute column sum, in float64
    assert np.all(np.abs(residual) <= 1e-12 * result.absolute[of])
    # control: the force of the mountains is part of the balance
    assert np.abs(result.column[of]).min() > 1e-4


def test_nothing_passes_a_critical_level():
    wind = np.where(KM < 20.0, 15.0, -15.0)
    result = Result(mountains(300.0, wind=wind))
    assert not result.flux.xogwd[Z_HALF >= 20e3].any()
    assert result.flux.xogwd[Z_HALF <= 19e3].all()
    assert not result.tend.ua[KM > 20.0].any()
    assert np.all(result.tend.ua[KM < 20.0] <= 0.0)


def test_limited_drag_moves_down_and_loses_no_momentum():
    x = mountains(300.0)
    free = Result(x, largest_drag=1.0)
    tight = Result(x, largest_drag=2.0 / DAY)
    assert free.column["ua"][0] == pytest.approx(tight.column["ua"][0], rel=1e-9)
    assert np.abs(tight.tend.ua).max() <= 2.0 / DAY * (1 + 1e-12)
    assert np.abs(free.tend.ua).max() > 100.0 / DAY
    # the control: clipping the tendency would have lost most of it
    mass = np.diff(P_HALF) / PLANET.gravity
    clipped = (np.clip(free.tend.ua[:, 0], -2.0 / DAY, 2.0 / DAY) * mass).sum()
    assert abs(clipped) < 0.9 * abs(free.column["ua"][0])
    assert tight.diag.ogwdlimit[0] > 0.1 * abs(free.column["ua"][0])
    assert not free.diag.ogwdlimit.any()
    # and it was moved down, not up
    centre = [(np.abs(r.tend.ua[:, 0]) * mass * KM).sum() for r in (tight, free)]
    assert centre[0] < centre[1]


def test_a_layer_loses_at_most_half_of_its_wind_in_a_step():
    x, host = rough_weather()
    result = Result(x, host=host, largest_drag=1.0, efficiency=1.0)
    speed = np.hypot(x.ua, x.va)
    lost = NOW.dt * np.hypot(result.tend.ua, result.tend.va)
    assert np.all(lost <= 0.5 * speed * (1 + 1e-9))
    assert np.any(lost > 0.2 * speed)  # the limit was at work


@pytest.mark.parametrize(("sgh", "speed"), [(4.9, 20.0), (300.0, 1.9), (0.0, 20.0)])
def test_low_mountains_and_weak_wind_launch_nothing(sgh, speed):
    result = Result(mountains(sgh, wind=np.full(80, speed)))
    assert not result.flux.xogwd.any()
    assert Result(mountains(5.1, wind=np.full(80, 2.1))).flux.xogwd.any()


def test_the_source_lies_above_the_ground_and_not_above_the_sea():
    x = mountains(900.0)  # h = 1800 m: the source has two layers
    raised = mountains(900.0)
    for name in ("zg", "zghalf"):
        getattr(raised, name)[...] += 3000.0
    np.testing.assert_allclose(Result(raised).flux.xogwd, Result(x).flux.xogwd, rtol=1e-12)


def test_a_model_top_at_zero_pressure_lets_nothing_escape():
    x = mountains(300.0)
    x.phalf[0] = 0.0
    result = Result(x)
    assert not result.escaped["ua"].any()
    assert result.column["ua"][0] == pytest.approx(result.flux.xogwd[-1, 0], rel=1e-12)


def test_single_precision_input_gives_the_double_precision_drag():
    single, double = Result(mountains(300.0, dtype=np.float32)), Result(mountains(300.0))
    assert single.tend.ua.dtype == np.float32
    # u^3 and one rounding of the fluxes, whose difference over a thin layer loses two digits
    peak = np.abs(double.tend.ua).max()
    np.testing.assert_allclose(single.tend.ua, double.tend.ua, rtol=1e-3, atol=1e-5 * peak)


def test_the_order_of_columns_changes_no_bit():
    x, host = rough_weather()
    order = np.random.default_rng(4).permutation(NCOL)
    shuffled = Arrays(**{n: np.ascontiguousarray(a[..., order]) for n, a in x.items()})
    there, here = Result(x, host=host), Result(shuffled, host=host)
    np.testing.assert_array_equal(here.flux.xogwd, there.flux.xogwd[:, order])


def test_a_state_without_meaning_is_refused_with_its_place():
    x = mountains(300.0)
    x.ta[11, 3] = np.nan
    with pytest.raises(UnstableError, match=r"orographic_drag\.mcfarlane1987.*level 11, column 3"):
        Result(x, host=host_of())


def test_impossible_parameters_are_refused():
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        McFarlaneParameters(efficiency=1.5)
    with pytest.raises(ValidationError, match="wrong unit"):
        McFarlaneParameters(wavelength="100 s")
    assert McFarlaneParameters(wavelength="100 km", largest_drag="400 m s-1 day-1").wavelength > 0
