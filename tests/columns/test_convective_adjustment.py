"""Dry adjustment: the answer is the one stable profile with the same enthalpy."""

import numpy as np
import pytest
from column_harness import NCOL, PLANET, column, run, state

from coupler.interface.grid import HybridLevels
from physics.columns.dry_adjustment import DryAdjustment

LEVELS = HybridLevels.stretched(17)
DT = 1200.0


def exner(x: dict[str, np.ndarray]) -> np.ndarray:
    return (x["pfull"] / PLANET.reference_pressure) ** PLANET.kappa


def unstable(seed: int = 3) -> dict[str, np.ndarray]:
    x = state(LEVELS, seed=seed)
    x["ta"] += 15.0 * np.random.default_rng(seed).standard_normal(x["ta"].shape)
    return x


def by_minimax(theta: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Isotonic regression by its minimax formula, an independent way to the same answer.

    theta of layer k is the min over tops i <= k of the max over bottoms j >= k of the weighted
    mean from i to j, for theta that may only fall downward.
    """
    n = theta.size
    out = np.empty(n)
    for k in range(n):
        out[k] = min(
            max(np.average(theta[i : j + 1], weights=weight[i : j + 1]) for j in range(k, n))
            for i in range(k + 1)
        )
    return out


def test_result_is_the_isotonic_regression_of_potential_temperature() -> None:
    x = unstable()
    rates, _ = run(DryAdjustment(), x, LEVELS, dt=DT)
    pi = exner(x)
    after = (x["ta"] + DT * rates["ta"]) / pi
    weight = pi * np.diff(x["phalf"], axis=0)
    for c in range(0, NCOL, 3):
        expected = by_minimax(x["ta"][:, c] / pi[:, c], weight[:, c])
        np.testing.assert_allclose(after[:, c], expected, rtol=1e-12)


def test_one_call_makes_every_column_stable_and_the_next_one_has_nothing_to_do() -> None:
    x = unstable()
    theta = x["ta"] / exner(x)
    assert (np.diff(theta, axis=0) > 0).any(axis=0).all()
    rates, _ = run(DryAdjustment(), x, LEVELS, dt=DT)
    x["ta"] = x["ta"] + DT * rates["ta"]
    x["hus"] = x["hus"] + DT * rates["hus"]
    theta = x["ta"] / exner(x)
    assert (np.diff(theta, axis=0) < 1e-12 * 300).all()
    again, _ = run(DryAdjustment(), x, LEVELS, dt=DT)
    assert np.abs(DT * again["ta"]).max() < 1e-12 * 300


def test_enthalpy_and_water_are_kept_and_mixing_temperature_itself_would_not_do() -> None:
    x = unstable()
    rates, _ = run(DryAdjustment(), x, LEVELS, dt=DT)
    for name in ("ta", "hus"):
        total = column(rates[name], x)
        size = column(np.abs(rates[name]), x)
        assert np.all(size > 0)
        assert np.all(np.abs(total) < 1e-12 * size)
    # control: theta averaged by mass alone, the tempting mistake, loses heat in a tall block
    mass = np.diff(x["phalf"], axis=0)
    pi = exner(x)
    wrong = (x["ta"] / pi * mass).sum(axis=0) / mass.sum(axis=0) * pi - x["ta"]
    assert np.all(np.abs(column(wrong, x)) > 1e-3 * column(np.abs(wrong), x))


def test_a_column_heated_only_at_the_ground_mixes_up_to_the_level_of_equal_enthalpy() -> None:
    x = state(LEVELS)
    pi = exner(x)
    theta = 290.0 + 2.0 * np.arange(LEVELS.nlev)[::-1, None] * np.ones(NCOL)
    x["ta"] = theta * pi
    x["ta"][-1] += 6.0
    rates, _ = run(DryAdjustment(), x, LEVELS, dt=DT)
    moved = rates["ta"] != 0.0
    assert (moved[-2:]).all()
    assert not moved[:-6].any()
    after = (x["ta"] + DT * rates["ta"]) / pi
    for c in range(NCOL):
        np.testing.assert_allclose(after[moved[:, c], c], after[-1, c], rtol=1e-13)


def test_stable_columns_are_not_touched() -> None:
    x = state(LEVELS)
    x["ta"] = np.broadcast_to(np.linspace(420.0, 300.0, 17)[:, None], x["ta"].shape) * exner(x)
    rates, _ = run(DryAdjustment(), x, LEVELS)
    assert not rates["ta"].any()
    assert not rates["hus"].any()


def test_humidity_is_mixed_only_on_request() -> None:
    x = unstable()
    dry = DryAdjustment(DryAdjustment.Parameters(mix_humidity=False))
    rates, _ = run(dry, x, LEVELS)
    assert not rates["hus"].any()
    mixed, _ = run(DryAdjustment(), x, LEVELS)
    np.testing.assert_array_equal(rates["ta"], mixed["ta"])
    assert (x["hus"] + 1200.0 * mixed["hus"]).min() >= x["hus"].min() - 1e-18


@pytest.mark.parametrize("nlev", [2, 3, 61])
def test_a_column_upside_down_is_one_block(nlev: int) -> None:
    levels = HybridLevels.stretched(nlev)
    x = state(levels)
    x["ta"] = np.linspace(280.0, 330.0, nlev)[:, None] * exner(x)
    rates, _ = run(DryAdjustment(), x, levels, dt=DT)
    theta = (x["ta"] + DT * rates["ta"]) / exner(x)
    np.testing.assert_allclose(theta, np.broadcast_to(theta[0], theta.shape), rtol=1e-13)
