"""Held and Suarez (1994): the formulas of the paper, and the backward step."""

import numpy as np
import pytest
from column_harness import PLANET, column, run, state
from pydantic import ValidationError

from coupler.interface.grid import HybridLevels
from physics.columns.held_suarez import HeldSuarezFriction, HeldSuarezRelaxation

DAY = 86400.0
LEVELS = HybridLevels.sigma(20)
SHORT = 1e-6  # [s], so short that the backward step is the rate itself to 1e-11


def column_state(lat: float) -> dict[str, np.ndarray]:
    x = state(LEVELS)
    x["lat"][:] = lat
    x["ps"][:] = 1e5
    x["phalf"] = LEVELS.half_pressure(x["ps"])
    x["pfull"] = 0.5 * (x["phalf"][1:] + x["phalf"][:-1])
    return x


def equilibrium(lat: float, p: np.ndarray) -> np.ndarray:
    phi, r = np.radians(lat), p / 1e5
    t = 315 - 60 * np.sin(phi) ** 2 - 10 * np.log(r) * np.cos(phi) ** 2
    return np.maximum(200.0, t * r ** (2 / 7))


@pytest.mark.parametrize("lat", [-90.0, -37.0, 0.0, 45.0])
def test_equilibrium_temperature_of_the_paper_has_no_tendency(lat: float) -> None:
    x = column_state(lat)
    x["ta"] = equilibrium(lat, x["pfull"])
    rates, _ = run(HeldSuarezRelaxation(), x, LEVELS)
    assert np.abs(rates["ta"]).max() < 1e-13 * 300 / (4 * DAY) * 1e3  # round-off of T over 4 days


def test_relaxation_time_is_4_days_at_the_equatorial_ground_and_40_days_aloft_and_at_the_pole() -> (
    None
):
    for lat, k, days in ((0.0, 0, 40.0), (90.0, 19, 40.0)):
        x = column_state(lat)
        x["ta"] = equilibrium(lat, x["pfull"]) + 1.0
        rates, _ = run(HeldSuarezRelaxation(), x, LEVELS, dt=SHORT)
        assert rates["ta"][k] == pytest.approx(-1 / (days * DAY), rel=1e-9)
    x = column_state(0.0)
    x["ta"] = equilibrium(0.0, x["pfull"]) + 1.0
    rates, _ = run(HeldSuarezRelaxation(), x, LEVELS, dt=SHORT)
    share = (0.975 - 0.7) / 0.3
    expected = 1 / 40 + (1 / 4 - 1 / 40) * share
    assert rates["ta"][19] == pytest.approx(-expected / DAY, rel=1e-9)


def test_friction_is_one_day_at_the_ground_and_nothing_above_sigma_0_7() -> None:
    x = column_state(20.0)
    rates, _ = run(HeldSuarezFriction(), x, LEVELS, dt=SHORT)
    share = (0.975 - 0.7) / 0.3
    np.testing.assert_allclose(rates["ua"][19], -x["ua"][19] * share / DAY, rtol=1e-9)
    np.testing.assert_allclose(rates["va"][19], -x["va"][19] * share / DAY, rtol=1e-9)
    assert not rates["ua"][:14].any()
    assert rates["ua"][14:].all()
    assert not rates["ta"].any()  # the original drops the heat


def test_heat_of_friction_is_exactly_the_kinetic_energy_lost_and_without_it_energy_leaks() -> None:
    x = state(LEVELS)
    dt = 7200.0

    def residual(heat: bool) -> np.ndarray:
        scheme = HeldSuarezFriction(HeldSuarezFriction.Parameters(heat=heat))
        rates, _ = run(scheme, x, LEVELS, dt=dt)
        u, v = x["ua"] + dt * rates["ua"], x["va"] + dt * rates["va"]
        kinetic = 0.5 * (u**2 + v**2 - x["ua"] ** 2 - x["va"] ** 2)
        return column(PLANET.cp_dry * dt * rates["ta"] + kinetic, x) / column(np.abs(kinetic), x)

    # 100 m2/s2 of kinetic energy differenced: round-off 1e-14 over a loss of some percent
    assert np.abs(residual(True)).max() < 1e-12
    assert np.abs(residual(False)).min() > 0.9


@pytest.mark.parametrize("dt", [1200.0, 1e9])
def test_no_step_is_too_long(dt: float) -> None:
    x = state(LEVELS)
    rates, _ = run(HeldSuarezFriction(), x, LEVELS, dt=dt)
    after = x["ua"] + dt * rates["ua"]
    # round-off of u - r/(1 + r dt) u dt: at 1e9 s the wind is gone but for 1e-15 of itself
    assert (np.abs(after) <= np.abs(x["ua"])).all()
    rates, _ = run(HeldSuarezRelaxation(), x, LEVELS, dt=dt)
    after = x["ta"] + dt * rates["ta"]
    teq = np.stack([equilibrium(lat, x["pfull"][:, c]) for c, lat in enumerate(x["lat"])], axis=1)
    assert (np.abs(after - teq) <= np.abs(x["ta"] - teq) * (1 + 1e-12)).all()


def test_north_and_south_get_the_same() -> None:
    x, y = state(LEVELS), state(LEVELS)
    y["lat"] = -y["lat"]
    a, _ = run(HeldSuarezRelaxation(), x, LEVELS)
    b, _ = run(HeldSuarezRelaxation(), y, LEVELS)
    np.testing.assert_array_equal(a["ta"], b["ta"])


def test_rates_may_be_given_with_units_and_wrong_ones_are_refused() -> None:
    p = HeldSuarezFriction.Parameters(k_f="2 day-1")  # type: ignore[arg-type]
    assert p.k_f == pytest.approx(2 / DAY)
    with pytest.raises(ValidationError, match=r"wrong unit.*'2 Pa'"):
        HeldSuarezFriction.Parameters(k_f="2 Pa")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="less than 1"):
        HeldSuarezRelaxation.Parameters(sigma_b=1.0)
