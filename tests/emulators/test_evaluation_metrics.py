"""Every score against an analytic value or scipy's, and what it cannot see."""

import numpy as np
import pytest
import torch
from scipy import spatial, special, stats

from emulators.evaluation.metrics import (
    Bins,
    by_band,
    correlation_in_time,
    hellinger_squared,
    mean_by_variance,
    moments,
    normalized,
    pooled_r2,
    quantile_ratios,
)
from emulators.evaluation.physics import GRAVITY, drag, momentum_residual, net_momentum
from emulators.evaluation.responses import (
    Jet,
    grafts,
    relative_change,
    response,
    rolled,
    shift_of_roll,
)

N = 4001


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    truth = rng.normal(0.3, 2.0, (3, 701))
    truth[2] = 0.7
    return truth, 0.8 * truth + rng.normal(0.1, 0.6, truth.shape), rng.uniform(0.2, 1.0, 701)


def normal(mean: float, deviation: float) -> np.ndarray:
    """N quantiles of a normal distribution: a sample without sampling noise."""
    return mean + deviation * special.ndtri((np.arange(N) + 0.5) / N)[None]


def test_equal_weights_give_the_numbers_of_scipy(pair) -> None:
    truth, estimate, _ = pair
    found = moments(truth, estimate, np.ones(701))
    for k in (0, 1):
        assert found.correlation[k] == pytest.approx(stats.pearsonr(truth[k], estimate[k])[0])
        assert found.variance_ratio[k] == pytest.approx(np.var(estimate[k]) / np.var(truth[k]))
        line = stats.linregress(estimate[k], truth[k])
        best = line.intercept + line.slope * estimate[k : k + 1]
        r2 = moments(truth[k : k + 1], best, np.ones(701)).r2[0]
        assert r2 == pytest.approx(line.rvalue**2, rel=1e-12)
    assert np.isnan(found.r2[2]) and np.isnan(found.variance_ratio[2])


def test_a_weight_of_three_is_a_column_three_times(pair) -> None:
    truth, estimate, _ = pair
    times = 1 + np.arange(701) % 3
    many = [np.repeat(x, times, axis=1) for x in (truth, estimate)]
    one, other = moments(truth, estimate, times), moments(*many, np.ones(times.sum()))
    for name in ("mse", "r2", "correlation", "variance_ratio"):
        np.testing.assert_allclose(getattr(one, name)[:2], getattr(other, name)[:2], rtol=1e-12)
    np.testing.assert_allclose(
        quantile_ratios(truth, estimate, times), quantile_ratios(*many, np.ones(times.sum()))
    )
    np.testing.assert_allclose(
        hellinger_squared(truth, estimate, times),
        hellinger_squared(*many, np.ones(times.sum())),
        atol=1e-12,
    )


def test_r2_of_a_perfect_estimate_is_one_and_of_the_mean_nothing(pair) -> None:
    truth, _, w = pair
    assert moments(truth, truth, w).r2[:2].tolist() == [1.0, 1.0]
    mean = np.repeat((truth @ w / w.sum())[:, None], 701, axis=1)
    np.testing.assert_allclose(moments(truth, mean, w).r2[:2], 0.0, atol=1e-12)


def test_pooled_r2_counts_what_varies_most_or_every_level_alike(pair) -> None:
    truth, estimate, w = pair
    truth, estimate = truth[:2].copy(), estimate[:2].copy()
    truth[1] *= 1e-3  # a level that hardly varies, and is estimated badly
    estimate[1] = 0.0
    single = moments(truth, estimate, w).r2
    assert pooled_r2(truth, estimate, w) == pytest.approx(single[0], abs=1e-4)
    scale = np.sqrt(moments(truth, truth, w).truth)
    assert pooled_r2(truth, estimate, w, scale) == pytest.approx(single.mean(), rel=1e-12)
    assert pooled_r2(truth, estimate, w, scale * [1.0, 0.0]) == pytest.approx(single[0])


@pytest.mark.parametrize(("mean", "deviation"), [(0.5, 1.0), (0.0, 0.6), (-0.4, 1.3)])
def test_hellinger_of_two_normal_distributions_is_the_analytic_one(mean, deviation) -> None:
    square = 1.0 - np.sqrt(2.0 * deviation / (1.0 + deviation**2)) * np.exp(
        -0.25 * mean**2 / (1.0 + deviation**2)
    )
    found = hellinger_squared(
        normal(0.0, 1.0), normal(mean, deviation), np.ones(N), Bins(number=80)
    )
    # 50 quantiles to a bin and what lies beyond 4 deviations: 1e-3
    assert found[0] == pytest.approx(square, abs=2e-3)


def test_hellinger_is_the_distance_of_scipy_on_the_same_bins(pair) -> None:
    truth, estimate, w = pair
    bins = Bins(number=37, reach=3.0)
    mean, deviation = truth[0] @ w / w.sum(), np.sqrt(moments(truth, truth, w).truth[0])
    p, q = (bins.shares((x[0] - mean) / deviation, w) for x in (truth, estimate))
    assert p.sum() == pytest.approx(1.0) and p[0] > 0.0  # what lies beyond is in the outermost
    distance = spatial.distance.euclidean(np.sqrt(p), np.sqrt(q)) / np.sqrt(2.0)
    found = hellinger_squared(truth, estimate, w, bins)
    assert np.sqrt(found[0]) == pytest.approx(distance, rel=1e-9)
    assert np.isnan(found[2])


def test_hellinger_does_not_see_shuffled_columns_but_r2_does(pair) -> None:
    truth, _, _ = pair
    other = truth[:, np.random.default_rng(3).permutation(701)]
    ones = np.ones(701)
    np.testing.assert_allclose(hellinger_squared(truth, other, ones)[:2], 0.0, atol=1e-12)
    assert (moments(truth, other, ones).r2[:2] < -0.5).all()


def test_the_ladder_of_a_damped_estimate_is_its_factor_and_of_missing_extremes_falls() -> None:
    truth = normal(0.0, 3.0)
    np.testing.assert_allclose(quantile_ratios(truth, -0.4 * truth, np.ones(N)), 0.4, rtol=1e-12)
    cut = np.clip(truth, -3.0, 3.0)
    ladder = quantile_ratios(truth, cut, np.ones(N))[:, 0]
    want = [1.0 / q for q in special.ndtri(0.5 + np.array([0.9, 0.99, 0.999]) / 2.0)]
    np.testing.assert_allclose(ladder[:2], want[:2], rtol=5e-3)
    assert ladder[2] == pytest.approx(want[2], rel=0.03)  # four columns of 4001 lie beyond


def test_bands_are_scored_apart() -> None:
    rng = np.random.default_rng(5)
    lat, truth = rng.uniform(-90.0, 90.0, 501), rng.normal(size=(2, 501))
    estimate = np.where(lat < 0.0, truth, 0.0)
    edges = np.array([-90.0, -30.0, 0.0, 90.0])
    found, mse = by_band(truth, estimate, np.ones(501), lat, edges)
    np.testing.assert_allclose(found[:, :2], 1.0)
    assert (found[:, 2] < 0.02).all()
    north = lat > 0.0
    last = lat >= edges[2]
    np.testing.assert_allclose(mse[:, 2], ((estimate - truth)[:, last] ** 2).mean(axis=1))
    assert (mse[:, :2] == 0.0).all() and (mse[:, 2] > 0.0).all()
    empty, none = by_band(truth[:, north], truth[:, north], np.ones(north.sum()), lat[north], edges)
    assert np.isnan(none[:, :2]).all()
    assert np.isnan(empty[:, :2]).all() and (empty[:, 2] == 1.0).all()


def test_a_mean_by_variance_is_what_all_levels_give_in_one_sum() -> None:
    rng = np.random.default_rng(9)
    truth = rng.normal(size=(4, 301)) * np.array([[1.0], [5.0], [0.2], [0.0]])
    estimate, w = truth + rng.normal(size=truth.shape), rng.uniform(0.5, 1.0, 301)
    found = moments(truth, estimate, w)
    deviation = np.sqrt(found.truth)
    want = 1.0 - found.mse[:3].sum() / found.truth.sum()
    assert mean_by_variance(found.r2, deviation) == pytest.approx(want)
    want = found.estimate[:3].sum() / found.truth.sum()
    assert mean_by_variance(found.variance_ratio, deviation) == pytest.approx(want)
    assert np.isnan(mean_by_variance(np.full(4, np.nan), deviation))


def test_a_flux_is_normalized_as_the_network_gives_it() -> None:
    y = np.random.default_rng(10).normal(size=(3, 41))
    scale, mean = np.array([0.2, 3.0, 0.0]), np.array([0.1, -2.0, 0.5])
    got = normalized(scale[:, None] * y**3 + mean[:, None], scale, mean, cubic=True)
    np.testing.assert_allclose(got[:2], y[:2], atol=1e-5)  # a cube root near 0 loses digits
    assert np.isnan(got[2]).all()
    np.testing.assert_allclose(normalized(scale[:, None] * y, scale)[:2], y[:2])


def test_correlation_in_time_is_that_of_each_column() -> None:
    rng = np.random.default_rng(6)
    truth, estimate = rng.normal(size=(2, 5, 7)), rng.normal(size=(2, 5, 7))
    found = correlation_in_time(truth.reshape(2, 35), estimate.reshape(2, 35), 5)
    want = stats.pearsonr(truth[1, :, 3], estimate[1, :, 3])[0]
    assert found.shape == (2, 7) and found[1, 3] == pytest.approx(want)


def test_the_drag_of_a_flux_linear_in_pressure_is_the_same_in_every_layer() -> None:
    p = np.array([0.0, 300.0, 2000.0, 41000.0, 1e5])[:, None]
    np.testing.assert_allclose(drag(3e-8 * p, p), GRAVITY * 3e-8)


def test_momentum_closes_to_the_round_off_of_the_rate_and_wrong_layers_do_not() -> None:
    rng = np.random.default_rng(7)
    flux = np.cumsum(rng.normal(size=(14, 23)), axis=0)
    p = np.cumsum(rng.uniform(100.0, 9000.0, (14, 23)), axis=0)
    assert momentum_residual(flux, p, "float64") < 1e-14
    assert momentum_residual(flux, p, "float32") < 1e-6
    # The control: rates of other layers than those that they are applied to.
    rate, dp = drag(flux, p), np.diff(p[::-1], axis=0)
    wrong = np.abs((rate * dp).sum(axis=0) / GRAVITY - (flux[-1] - flux[0]))
    assert np.median(wrong / np.abs(np.diff(flux, axis=0)).sum(axis=0)) > 1e-2


def test_net_momentum_is_one_for_a_drag_of_one_sign_and_nothing_for_an_exchange() -> None:
    one = np.linspace(1.0, 0.0, 6)[:, None] * np.ones(4)
    assert net_momentum(one, np.ones(4)) == pytest.approx(1.0)
    exchange = np.array([0.0, 0.3, 0.7, 0.2, 0.0])[:, None] * np.ones(4)
    assert net_momentum(exchange, np.ones(4)) == 0.0


def test_grafts_turn_scale_and_add_a_jet_where_it_is_said() -> None:
    p = np.array([1000.0, 3000.0, 50000.0])[:, None]
    x = {"ua": np.arange(6.0).reshape(3, 2), "va": np.ones((3, 2))}
    made = grafts(["ua", "va"], p, Jet(speed=30.0, pressure=3000.0, width=0.7))
    turned = made["rotate"](x)
    speed = np.hypot(x["ua"], x["va"])
    np.testing.assert_array_equal(np.hypot(turned["ua"], turned["va"]), speed)
    np.testing.assert_array_equal(x["ua"] * turned["ua"] + x["va"] * turned["va"], 0.0)
    np.testing.assert_array_equal(made["half"](x)["va"], 0.5)
    east, west = (made[f"critical level {d}"](x) for d in ("east", "west"))
    assert set(east) == {"ua"}
    np.testing.assert_allclose(east["ua"][1] - x["ua"][1], 30.0)
    np.testing.assert_allclose(east["ua"] + west["ua"], 2.0 * x["ua"])
    assert east["ua"][2, 0] - x["ua"][2, 0] < 0.1
    assert (grafts(["ua"], p, Jet())["rotate"](x)["ua"] == -x["ua"]).all()


def test_a_response_of_half_the_size_scores_three_quarters() -> None:
    change = {"a": np.random.default_rng(8).normal(size=(3, 50))}
    found = response("g", change, {"a": 0.5 * change["a"]}, np.ones(50))
    assert (found.r2, found.amplitude) == (pytest.approx(0.75), pytest.approx(0.5))
    assert found.correlation == pytest.approx(1.0)
    opposite = response("g", change, {"a": -change["a"]}, np.ones(50))
    assert (opposite.r2, opposite.correlation) == (pytest.approx(-3.0), pytest.approx(-1.0))


def test_a_roll_turns_each_circle_and_back() -> None:
    values = torch.arange(2 * 3 * 4.0)[None]  # 2 times, 3 latitudes, 4 longitudes
    turned = rolled(values, 2, 4, 2)
    assert turned[0, :4].tolist() == [2.0, 3.0, 0.0, 1.0]
    assert torch.equal(rolled(turned, 2, 4, -2), values)
    whole = np.broadcast_to(np.arange(12), (2, 12))
    assert shift_of_roll(whole, 12, 4) == 2
    assert shift_of_roll(whole + 1, 12, 4) is None
    assert shift_of_roll(None, 12, 4) is None
    assert shift_of_roll(whole, 12, None) is None


def test_the_relative_change_of_a_tenth_is_a_tenth() -> None:
    x = {"a": np.random.default_rng(9).normal(size=(3, 50))}
    assert relative_change(x, {"a": 1.1 * x["a"]}, np.ones(50)) == pytest.approx(0.1)
    assert relative_change(x, x, np.ones(50)) == 0.0
