"""Residuals of the budgets: zero when everything is counted, and seen when something is not."""

from __future__ import annotations

import pytest

from coupler.diagnostics.budgets import Residuals

LATENT = 2.5e6
DAY = 86400.0


def numbers(**values: float) -> dict[str, tuple[float, str, str]]:
    return {name: (value, "", "") for name, value in values.items()}


def fluxes(leak: float = 0.0) -> dict[str, tuple[float, str, str]]:
    return numbers(
        pr=4e-5, evspsbl=5e-5, rsdt=340.0, rsut=100.0, rlut=231.0 + leak,
        rsds=300.0, rsus=60.0, rlds=330.0, rlus=390.0, hfss=30.0, hfls=125.0,
    )  # fmt: skip


SOURCE = (340.0 - 100.0 - 231.0) - (300.0 - 60.0 + 330.0 - 390.0 - 30.0 - 125.0)


def test_a_closed_budget_has_no_residual_and_a_leak_is_its_own_size() -> None:
    residuals = Residuals(LATENT)
    residuals.start(numbers(water_vapour=20.0, total_energy=2.5e9))
    water = 20.0 + 1e-5 * DAY
    energy = 2.5e9 + SOURCE * DAY - LATENT * (water - 20.0)
    found = residuals.close(numbers(water_vapour=water, total_energy=energy), fluxes(), DAY)
    # 2.5e9 J m-2 in float64 over a day resolves 1e-11 W m-2 and 2e-20 kg m-2 s-1.
    assert found["water_residual"] == pytest.approx(0.0, abs=1e-18)
    assert found["energy_residual"] == pytest.approx(0.0, abs=1e-9)
    found = residuals.close(numbers(water_vapour=water, total_energy=energy), fluxes(2.0), DAY)
    assert found["energy_residual"] == pytest.approx(-SOURCE + 2.0)
    assert found["water_residual"] == pytest.approx(-1e-5)
    assert residuals.mean()["energy_residual"] == pytest.approx((2.0 - SOURCE) / 2)


def test_angular_momentum_has_the_torque_that_nobody_gave() -> None:
    residuals = Residuals(LATENT)

    def state(total: float, physics: float, mountains: float) -> dict[str, tuple[float, str, str]]:
        return numbers(
            angular_momentum=total,
            angular_momentum_from_physics=physics,
            angular_momentum_from_mountains=mountains,
        )

    residuals.start(state(1e10, 0.0, 0.0))
    found = residuals.close(state(1e10 - 3e8, -2.5e8, -0.5e8), {}, DAY)
    assert found == {"angular_momentum_residual": 0.0}
    found = residuals.close(state(1e10 - 3e8 + 8.64e5, -2.5e8, -0.5e8), {}, DAY)
    assert found["angular_momentum_residual"] == pytest.approx(10.0)


def test_without_its_terms_a_residual_is_not_given() -> None:
    residuals = Residuals(LATENT)
    residuals.start(numbers(total_energy=1.0))
    assert residuals.close(numbers(total_energy=1.0), fluxes(), DAY) == {}
    assert residuals.mean() == {}


def test_an_interrupted_interval_goes_on_from_its_memory() -> None:
    one, other = Residuals(LATENT), Residuals(LATENT)
    begin, end = (numbers(water_vapour=w, total_energy=w * 1e8) for w in (20.0, 21.0))
    one.start(begin)
    other.restore({name: a.copy() for name, a in one.memory().items()})
    assert one.close(end, fluxes(), DAY) == other.close(end, fluxes(), DAY) != {}
