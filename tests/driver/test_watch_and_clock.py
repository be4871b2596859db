"""The blow-up detector names what happened where; intervals are whole steps."""

from __future__ import annotations

import numpy as np
import pytest

from coupler.driver.clock import Clock, parse_date, steps_of
from coupler.driver.watch import check_state, culprit
from coupler.interface.errors import UnstableError
from coupler.interface.grid import Grid

GRID = Grid.gaussian(6, 10)


def state(**change: tuple[tuple[int, ...], float]) -> dict[str, np.ndarray]:
    fields = {
        "ua": np.zeros((3, 6, 10), np.float32),
        "ta": np.full((3, 6, 10), 250.0, np.float32),
        "ps": np.full((6, 10), 1.0e5, np.float32),
    }
    for name, (index, value) in change.items():
        fields[name][index] = value
    return fields


def test_a_plausible_state_passes() -> None:
    check_state(state(), str, GRID, 1, "2000-01-01")


@pytest.mark.parametrize("value", [np.nan, np.inf, -400.0, 1e30])
def test_a_bad_wind_is_named_with_level_point_and_step(value: float) -> None:
    bad = state(ua=((2, 4, 7), value))
    message = r"ua; .*level 2, lat 41\.4, lon 252\.0, step 17, date 2000-01-02"
    with pytest.raises(UnstableError, match=message):
        check_state(bad, str, GRID, 17, "2000-01-02")


def test_a_bad_surface_pressure_has_no_level() -> None:
    with pytest.raises(UnstableError, match=r"ps; expected 30000 to 120000 Pa; found 2 at lat"):
        check_state(state(ps=((0, 3), 2.0)), str, GRID, 1, "x")


def test_the_component_with_the_absurd_tendency_is_named() -> None:
    calm = {"ta": np.full((3, 60), 1e-5)}
    absurd = {"ta": np.full((3, 60), 5.0)}
    broken = {"ua": np.full((3, 60), np.nan)}
    assert culprit({"radiation=grey": calm}) == "atmosphere (dynamics)"
    assert culprit({"radiation=grey": calm, "convection=x": absurd}) == "convection=x"
    assert culprit({"convection=x": absurd, "gravity_wave=net": broken}) == "gravity_wave=net"


def test_the_date_follows_from_the_number_of_steps() -> None:
    clock = Clock(parse_date("1959-02-27 18:00", "noleap"), 1200.0)
    for _ in range(18 + 72):
        clock.tick()
    assert clock.now.date.isoformat() == "1959-03-01T00:00:00"
    assert clock.days == 1.25


@pytest.mark.parametrize("text", ["2000-02-30", "2001-13-01"])
def test_a_date_outside_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_date(text, "standard")
    assert parse_date("2000-02-30", "360_day").day == 30


def test_an_interval_between_two_steps_is_refused_with_the_neighbours() -> None:
    assert steps_of(10800.0, 1200.0, "x") == (9, [])
    _, (problem,) = steps_of(10800.0, 1500.0, "gravity_wave.interval")
    assert "gravity_wave.interval; expected a multiple of the atmosphere's step of 1500 s" in str(
        problem
    )
    assert "use 10500 s or 12000 s" in str(problem)
    _, (problem,) = steps_of(60.0, 1500.0, "x")
    assert "use 1500 s" in str(problem)
