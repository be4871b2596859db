"""Polvani and Kushner (2002): the standard atmosphere, the cold cap over the winter pole."""

import numpy as np
import pytest
from column_harness import NCOL, NLAT, NLON, PLANET, run
from pydantic import ValidationError

from coupler.interface.errors import ConfigError
from coupler.interface.grid import HybridLevels
from physics.columns.held_suarez import HeldSuarezRelaxation
from physics.columns.polvani_kushner import STANDARD, PolvaniKushner, standard_temperature

LEVELS = HybridLevels.named("stratosphere40")
LAT = np.repeat(np.array([-88.0, -45.0, 3.0, 50.0, 88.0]), NLON)


def column(lat=LAT, ps=1.0e5):
    half = LEVELS.half_pressure(np.full(NCOL, ps))
    x = {
        "lat": lat,
        "ps": np.full(NCOL, ps),
        "phalf": half,
        "pfull": 0.5 * (half[1:] + half[:-1]),
    }
    return x | {"ta": np.full(x["pfull"].shape, 240.0)}


def equilibrium(x, **options):
    """T_eq from the rate of a step so long that it ends there."""
    scheme = PolvaniKushner(PolvaniKushner.Parameters(**options))
    rates, _ = run(scheme, x, LEVELS, dt=1e15)
    return x["ta"] + rates["ta"] * 1e15


@pytest.mark.parametrize(
    ("pressure", "temperature"),
    [
        # heights 5, 15, 30, 40, 49, 60 and 75 km of the published tables
        (54048.0, 255.68),
        (12111.0, 216.65),
        (1197.0, 226.51),
        (287.14, 250.35),
        (90.34, 270.65),
        (21.96, 247.02),
        (2.388, 208.40),
    ],
)
def test_the_standard_atmosphere_is_that_of_the_tables(pressure, temperature):
    # tables are by geometric height to five digits: a few hundredths of a kelvin in 80 km
    assert standard_temperature(pressure, STANDARD) == pytest.approx(temperature, abs=0.06)


def test_the_layers_of_the_standard_atmosphere_meet():
    for p, t, _ in STANDARD[1:]:
        assert standard_temperature(p * 1.0000001, STANDARD) == pytest.approx(t, abs=1e-3)


def test_the_winter_pole_is_cold_and_the_rest_is_the_standard_atmosphere():
    x = column()
    teq = equilibrium(x)
    p = x["pfull"][:, 0]
    level = int(np.argmin(np.abs(p - 1000.0)))
    expected = 216.65 * (p[level] / 1e4) ** (PLANET.gas_constant_dry * 4e-3 / PLANET.gravity)
    at = teq[level].reshape(NLAT, NLON)[:, 0]
    # tanh(3.8) leaves 5e-4 of 60 K
    assert at[4] == pytest.approx(expected, abs=0.05)
    for summer in (0, 1, 2):
        assert at[summer] == pytest.approx(standard_temperature(p[level], STANDARD), abs=0.01)
    between = 0.5 * (expected + standard_temperature(p[level], STANDARD))
    assert at[3] == pytest.approx(between, abs=1e-6)  # the edge, at 50 degrees
    weak = equilibrium(x, vortex_lapse_rate="2 K km-1")
    assert np.all(weak[p < 5e3][:, -1] > teq[p < 5e3][:, -1] + 5.0)


def test_a_southern_winter_mirrors_a_northern_one():
    north, south = column(), column(lat=-LAT)
    np.testing.assert_allclose(
        equilibrium(south, winter="south"), equilibrium(north), rtol=0, atol=1e-10
    )
    assert np.abs(equilibrium(north, winter="south") - equilibrium(north)).max() > 50.0


def test_the_equilibrium_is_continuous_at_the_tropopause():
    above, below = column(), column()
    above["pfull"] = np.full_like(above["pfull"], 1e4 * (1 - 1e-9))
    below["pfull"] = np.full_like(below["pfull"], 1e4 * (1 + 1e-9))
    # except where air below p_T is warmer than T_T, over the equator: not here
    np.testing.assert_allclose(equilibrium(above), equilibrium(below), atol=1e-4)


def test_without_a_season_the_troposphere_is_that_of_held_and_suarez():
    x = column()
    scheme = PolvaniKushner(PolvaniKushner.Parameters(seasonal=0.0))
    own, _ = run(scheme, x, LEVELS, dt=1200.0)
    held = HeldSuarezRelaxation(HeldSuarezRelaxation.Parameters(t_min=216.65))
    theirs, _ = run(held, x, LEVELS, dt=1200.0)
    below = x["pfull"] >= 1e4
    np.testing.assert_allclose(own["ta"][below], theirs["ta"][below], rtol=1e-12)
    assert np.abs(own["ta"][~below] - theirs["ta"][~below]).max() > 1e-6


def test_a_step_ends_where_backward_euler_does():
    x = column()
    teq = equilibrium(x)
    rates, _ = run(PolvaniKushner(), x, LEVELS, dt=86400.0)
    aloft = x["pfull"] < 0.7 * x["ps"]
    expected = (teq - x["ta"]) / 41.0 / 86400.0
    np.testing.assert_allclose(rates["ta"][aloft], expected[aloft], rtol=1e-7, atol=1e-12)


def test_impossible_parameters_are_refused():
    with pytest.raises(ValidationError, match="'north' or 'south'"):
        PolvaniKushner.Parameters(winter="west")
    with pytest.raises(ValidationError, match=r"less than or equal to 0\.01"):
        PolvaniKushner.Parameters(vortex_lapse_rate=4.0)


def test_the_levels_reach_a_fifth_of_a_hectopascal():
    half = LEVELS.half_pressure(np.array(1.0e5))
    assert half[1] == pytest.approx(48.4, abs=0.1)
    assert LEVELS.nlev == 40 and LEVELS.name == "stratosphere40"
    assert not LEVELS.b[half <= 1.0e4].any()
    with pytest.raises(ConfigError, match="stratosphereK"):
        HybridLevels.named("stratosphere1")
