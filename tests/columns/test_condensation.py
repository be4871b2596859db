"""Large-scale condensation: saturation, budgets, rain, re-evaporation, filling of negatives."""

import numpy as np
import pytest
from column_harness import NCOL, PLANET, Bound, column, moist_enthalpy, now, run, state
from pydantic import ValidationError

from coupler.interface.grid import HybridLevels
from physics.columns.condensation import LargeScaleCondensation, fill_negative
from physics.columns.thermo import saturation

LEVELS = HybridLevels.stretched(21)
L, CP = PLANET.latent_heat_vaporization, PLANET.cp_dry
DT = 1200.0


def saturated(x: dict[str, np.ndarray], ta: np.ndarray) -> np.ndarray:
    args = (L, PLANET.gas_constant_dry, PLANET.gas_constant_vapour)
    flat = [saturation(t, p, *args)[0] for t, p in zip(ta.ravel(), x["pfull"].ravel(), strict=True)]
    return np.array(flat).reshape(ta.shape)


def wet() -> dict[str, np.ndarray]:
    x = state(LEVELS)
    rng = np.random.default_rng(8)
    x["hus"] = np.minimum(saturated(x, x["ta"]), 0.03) * rng.uniform(0.4, 1.5, x["ta"].shape)
    return x


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_energy_and_water_close_with_the_rain(share: float) -> None:
    x = wet()
    scheme = LargeScaleCondensation(LargeScaleCondensation.Parameters(reevaporation=share))
    rates, d = run(scheme, x, LEVELS, dt=DT)
    energy, water = moist_enthalpy(rates), rates["hus"]
    size = column(np.abs(water), x)
    assert np.all(np.abs(column(energy, x)) < 1e-12 * L * size)
    assert np.all(np.abs(column(water, x) + d["prl"]) < 1e-12 * size)
    # control: without the rain nothing would close (full re-evaporation leaves some columns dry)
    assert np.any(np.abs(column(water, x)) > 1e-3 * size)
    assert (d["prl"] >= 0).all()


def test_what_was_supersaturated_is_saturated_and_the_rest_is_untouched() -> None:
    x = wet()
    over = x["hus"] > saturated(x, x["ta"])
    assert over.any()
    rates, _ = run(LargeScaleCondensation(), x, LEVELS, dt=DT)
    ta, hus = x["ta"] + DT * rates["ta"], x["hus"] + DT * rates["hus"]
    # three Newton steps from up to 50 % too much water
    np.testing.assert_allclose(hus[over], saturated(x, ta)[over], rtol=1e-7)
    assert not rates["ta"][~over].any()


def test_newton_steps_converge_quadratically_from_the_one_step_form() -> None:
    x = wet()
    over = x["hus"] > saturated(x, x["ta"])
    error = []
    for n in (1, 2, 3):
        p = LargeScaleCondensation.Parameters(iterations=n)
        rates, _ = run(LargeScaleCondensation(p), x, LEVELS, dt=DT)
        ta, hus = x["ta"] + DT * rates["ta"], x["hus"] + DT * rates["hus"]
        error.append(np.max(np.abs(hus / saturated(x, ta) - 1.0)[over]))
    assert error[0] > 10 * error[1] > 100 * error[2]
    assert error[2] < error[1] ** 1.5


def test_full_reevaporation_lets_rain_reach_the_ground_only_through_saturated_layers() -> None:
    x = wet()
    x["hus"][-6:] = 0.3 * np.minimum(saturated(x, x["ta"]), 0.03)[-6:]
    p = LargeScaleCondensation.Parameters(reevaporation=1.0)
    rates, d = run(LargeScaleCondensation(p), x, LEVELS, dt=DT)
    hus, ta = x["hus"] + DT * rates["hus"], x["ta"] + DT * rates["ta"]
    rh = hus / saturated(x, ta)
    raining = d["prl"] > 0
    assert np.all(rh[-1, raining] > 0.95)  # the linear step overshoots by less than 5 %
    none = run(LargeScaleCondensation(), x, LEVELS, dt=DT)[1]
    assert np.all(d["prl"] <= none["prl"])
    assert d["prl"].sum() < 0.9 * none["prl"].sum()


def test_negative_humidity_is_filled_and_water_kept() -> None:
    x = wet()
    x["hus"] *= 0.3
    rng = np.random.default_rng(1)
    holes = rng.uniform(size=x["hus"].shape) < 0.2
    x["hus"][holes] = -2e-5
    rates, d = run(LargeScaleCondensation(), x, LEVELS, dt=DT)
    hus = x["hus"] + DT * rates["hus"]
    # round-off of q - (q - 0) times dt over dt
    assert hus.min() > -1e-19
    mass = np.diff(x["phalf"], axis=0) / PLANET.gravity
    missing = (np.maximum(-x["hus"], 0) * mass).sum(axis=0) / DT
    np.testing.assert_allclose(d["husfill"], missing, rtol=1e-12)
    water = rates["hus"]
    assert np.all(np.abs(column(water, x) + d["prl"]) < 1e-12 * column(np.abs(water), x))
    # control: clipping, the usual shortcut, makes water
    clipped = np.maximum(x["hus"], 0) - x["hus"]
    assert np.all(column(clipped, x) > 0)


def test_filling_borrows_from_the_nearest_below_then_from_the_nearest_above() -> None:
    dp = np.array([1.0, 2.0, 4.0, 1.0])
    q = np.array([0.0, -1.0, 3.0, 5.0])
    assert fill_negative(q, dp) == 2.0
    np.testing.assert_allclose(q, [0.0, 0.0, 2.5, 5.0])
    q = np.array([0.0, -4.0, 1.0, 5.0])
    assert fill_negative(q, dp) == 8.0
    np.testing.assert_allclose(q, [0.0, 0.0, 0.0, 1.0])
    q = np.array([7.0, 2.0, 0.5, -3.0])
    assert fill_negative(q, dp) == 3.0
    np.testing.assert_allclose(q, [7.0, 1.5, 0.0, 0.0])


def test_a_column_with_less_than_no_water_keeps_its_deficit_at_the_ground() -> None:
    dp = np.array([1.0, 2.0, 4.0])
    q = np.array([1.0, -3.0, 0.5])
    total = (q * dp).sum()
    fill_negative(q, dp)
    np.testing.assert_allclose(q, [0.0, 0.0, total / 4.0])


def test_rain_and_filling_of_the_call_before_are_forgotten() -> None:
    x = wet()
    x["hus"][3] = -1e-6
    b = Bound(LargeScaleCondensation(), x, LEVELS)
    b(now())
    assert b.diag["prl"].any()
    assert b.diag["husfill"].any()
    x["hus"][:] = 0.0
    b(now())
    assert not b.diag["prl"].any()
    assert not b.diag["husfill"].any()


def test_hot_thin_air_never_condenses() -> None:
    x = state(HybridLevels.stretched(21, scale_heights=12.0))
    x["ta"][:5] = 320.0
    x["hus"][:5] = 0.2
    rates, _ = run(LargeScaleCondensation(), x, HybridLevels.stretched(21, scale_heights=12.0))
    thin = x["pfull"] < 1e4
    assert thin[:5].all()
    assert not rates["hus"][:5].any()
    assert rates["hus"].shape == (21, NCOL)


def test_more_than_the_whole_deficit_cannot_be_reevaporated() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        LargeScaleCondensation.Parameters(reevaporation=1.2)
