"""Every metric against an independent library or a value that is known."""

import math

import numpy as np
import pytest
import scores.continuous
import scores.probability
import xarray as xr
import xskillscore
from scipy.stats import ttest_1samp, wasserstein_distance
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import tt_ind_solve_power
from statsmodels.stats.proportion import proportion_confint

from coupler.compare.statistics import distances, ensembles, growth, offline, significance
from coupler.compare.statistics.survival import survival, wilson

RNG = np.random.default_rng(7)
SAME = 1e-12
"""Round-off of sums over some thousand numbers in double precision."""


# -- weights and distances -------------------------------------------------------------------------


def test_area_weights_are_the_exact_areas_of_belts() -> None:
    lat = np.arange(-85.0, 90.0, 10.0)
    exact = np.sin(np.radians(lat + 5.0)) - np.sin(np.radians(lat - 5.0))
    np.testing.assert_allclose(distances.area_weights(lat), exact / 2.0, rtol=SAME)
    np.testing.assert_allclose(distances.area_weights(lat[::-1]), exact[::-1] / 2.0, rtol=SAME)
    bounds = np.stack([lat - 5.0, lat + 5.0], axis=1)
    np.testing.assert_allclose(distances.area_weights(lat, bounds), exact / 2.0, rtol=SAME)


def test_a_kelvin_per_day_through_the_atmosphere_takes_118_watts() -> None:
    # c_p ps / g / 86400 = 1004 * 101325 / 9.80616 / 86400
    mass = np.diff([0.0, 3e4, 7e4, 101325.0]) / 9.80616
    watts = distances.heating_in_watts(np.full(3, 1.0 / 86400.0), mass, 1004.0)
    assert watts.sum() == pytest.approx(120.069, abs=0.01)
    rain = distances.heating_in_watts(1.0 / 86400.0, 1.0, 2.5e6)
    assert rain == pytest.approx(28.935, abs=1e-3)  # 1 mm of rain a day


def test_wasserstein_is_that_of_scipy_with_and_without_weights() -> None:
    x, y, p, q = RNG.normal(size=31), RNG.gamma(2.0, size=47), RNG.random(31), RNG.random(47)
    assert distances.wasserstein(x, y) == pytest.approx(wasserstein_distance(x, y), rel=SAME)
    weighted = wasserstein_distance(x, y, p, q)
    assert distances.wasserstein(x, y, p, q) == pytest.approx(weighted, rel=1e-10)


def test_wasserstein_of_a_shift_is_the_shift_also_from_quantiles() -> None:
    x = RNG.normal(size=50_001)
    assert distances.wasserstein(x, x + 0.3) == pytest.approx(0.3, rel=1e-10)
    width = distances.quantile_weights()
    one = distances.quantiles(x, np.ones(x.size))
    assert width.sum() == pytest.approx(1.0)
    assert width @ np.abs(distances.quantiles(x + 0.3, np.ones(x.size)) - one) == pytest.approx(0.3)
    # Twice the spread of a normal distribution: W1 = sqrt(2/pi); the tails beyond 0.05 % are cut.
    wide = distances.quantiles(2.0 * x, np.ones(x.size))
    assert width @ np.abs(wide - one) == pytest.approx(math.sqrt(2.0 / math.pi), rel=0.01)


def test_quantiles_follow_the_weights() -> None:
    x = np.array([5.0, 1.0, 3.0])
    # A third as often as once thrice: the same as the sample with copies.
    copies = distances.quantiles([1.0, 3.0, 3.0, 3.0, 3.0, 5.0], np.ones(6), [0.5])
    assert distances.quantiles(x, [1.0, 1.0, 4.0], [0.5]) == pytest.approx(copies)


def test_spectra_hold_the_variance_and_find_a_wave() -> None:
    x = RNG.normal(size=(3, 17, 24))
    np.testing.assert_allclose(distances.zonal_power(x).sum(-1), (x**2).mean(-1), rtol=SAME)
    odd = RNG.normal(size=(5, 15))
    np.testing.assert_allclose(distances.zonal_power(odd).sum(-1), (odd**2).mean(-1), rtol=SAME)
    n, length = 32, 1.0e6
    grid = np.arange(n) / n
    wave = np.sin(2 * np.pi * (3 * grid[:, None] + 4 * grid[None, :]))
    k, power = distances.isotropic_power(wave, length)
    assert np.argmax(power) == 5  # |(3, 4)|
    assert power.sum() == pytest.approx(0.5)
    assert k[5] == pytest.approx(2 * np.pi * 5 / length)


def test_spectra_are_compared_below_two_thirds_of_nyquist() -> None:
    k = np.arange(13.0)
    a = np.zeros(13)
    b = np.where(k < 8.0, 2.0, 100.0)  # 2/3 of 12 is 8
    assert distances.spectral_rmse(k, a, b) == pytest.approx(2.0)
    assert distances.spectral_rmse(k, a, b, nyquist=13.0) > 30.0


def test_rmse_and_bias_are_those_of_scores() -> None:
    lat = np.linspace(-80.0, 80.0, 9)
    a, b = RNG.normal(size=(9, 14)), RNG.normal(size=(9, 14))
    w = np.cos(np.radians(lat))
    x, y = (xr.DataArray(z, dims=("lat", "lon"), coords={"lat": lat}) for z in (a, b))
    want = scores.continuous.rmse(x, y, weights=xr.DataArray(w, dims="lat"))
    assert distances.rmse(a, b, w[:, None]) == pytest.approx(float(want), rel=SAME)
    gap = a.copy()
    gap[2] = np.nan
    assert np.isfinite(distances.rmse(gap, b, w[:, None]))
    assert np.isnan(distances.weighted_mean([np.nan], [1.0]))


# -- offline skill ---------------------------------------------------------------------------------


def test_r2_r_and_mse_are_those_of_xskillscore_and_scores() -> None:
    t = RNG.normal(size=(23, 4, 11))
    p = 0.7 * t + 0.4 * RNG.normal(size=t.shape)
    x, y = (xr.DataArray(z, dims=("time", "level", "column")) for z in (t, p))
    for axis, dims in (((0, 2), ["time", "column"]), (0, "time")):
        found = offline.skill(t, p, axis=axis)
        np.testing.assert_allclose(found.r2, xskillscore.r2(x, y, dim=dims), rtol=1e-10)
        np.testing.assert_allclose(found.r, xskillscore.pearson_r(x, y, dim=dims), rtol=1e-10)
        np.testing.assert_allclose(found.mse, xskillscore.mse(y, x, dim=dims), rtol=1e-10)
    weights = np.linspace(1.0, 2.0, 11)
    wx = xr.DataArray(np.broadcast_to(weights, (23, 11)), dims=("time", "column"))
    want = xskillscore.pearson_r(x, y, dim=["time", "column"], weights=wx)
    np.testing.assert_allclose(offline.skill(t, p, weights, (0, 2)).r, want, rtol=1e-10)
    bias = scores.continuous.additive_bias(y, x)
    assert offline.skill(t, p).bias == pytest.approx(float(bias), rel=1e-10)


def test_the_right_pattern_five_times_too_strong_has_r_one_and_a_negative_r2() -> None:
    t = RNG.normal(size=5001)
    found = offline.skill(t, 5.0 * t)
    assert found.r == pytest.approx(1.0)
    assert found.amplitude == pytest.approx(5.0)
    assert found.r2 == pytest.approx(1.0 - 16.0 * (t**2).mean() / t.var())
    assert np.isnan(offline.skill(np.ones(4), np.zeros(4)).r2)


def test_averaging_over_columns_last_is_ruled_by_a_dry_column() -> None:
    t = RNG.normal(size=(400, 8))
    t[:, 3] *= 1e-3  # hardly any rain
    p = t + 0.05 * RNG.normal(size=t.shape)
    w = np.ones(8)
    assert offline.skill(t, p).r2 > 0.99
    assert offline.columns_last(t, p, w) < -100.0
    assert np.isnan(offline.columns_last(np.zeros((4, 2)), np.zeros((4, 2)), np.ones(2)))


def test_extremes_wet_share_and_sign_of_the_work() -> None:
    t = RNG.normal(size=4000)
    assert offline.extremes(t, 2.0 * t) == pytest.approx((2.0, 2.0))
    assert np.isnan(offline.extremes(np.zeros(5), t[:5])).all()
    assert np.isnan(offline.extremes(t[:5], [np.nan, 1.0, 1.0, 1.0, 1.0])).all()
    # By mass: what half a percent of it holds is beyond the 99 percentile, however many layers.
    truth, large, w = np.ones((100, 2)), np.ones((100, 2)), np.array([0.995, 0.005])
    large[:, 1] = 7.0
    assert offline.extremes(truth, large)[0] == pytest.approx(7.0)
    assert offline.extremes(truth, large, w) == pytest.approx((1.0, 7.0))
    assert offline.share_above([0.0, 1.0, 2.0], 0.5, [2.0, 1.0, 1.0]) == pytest.approx(0.5)
    assert offline.right_sign([1.0, -1.0, 2.0], [3.0, 1.0, 0.1], np.ones(3)) == pytest.approx(0.75)


# -- ensembles -------------------------------------------------------------------------------------


def test_fair_crps_of_drawn_members_is_that_of_their_distribution() -> None:
    # A truth and 32 members from N(0, 1): CRPS = 1/sqrt(pi) = 0.5642 (Gneiting et al. 2005, with
    # sigma = 1); the members taken as the distribution give 0.5642 (1 + 1/32) = 0.582.
    rng = np.random.default_rng(1)
    members, truth = rng.normal(size=(32, 100_000)), rng.normal(size=100_000)
    # Of 1e5 cases the mean has a standard error of 0.0015.
    assert ensembles.fair_crps(members, truth).mean() == pytest.approx(0.5642, abs=0.005)
    assert ensembles.plain_crps(members, truth).mean() == pytest.approx(0.5818, abs=0.005)


def test_both_crps_are_those_of_scores_and_xskillscore() -> None:
    members, truth = RNG.normal(size=(5, 13)), RNG.normal(size=13)
    x = xr.DataArray(members, dims=("member", "case"))
    y = xr.DataArray(truth, dims="case")
    for own, method in ((ensembles.fair_crps, "fair"), (ensembles.plain_crps, "ecdf")):
        want = scores.probability.crps_for_ensemble(
            x, y, "member", method=method, preserve_dims="case"
        )
        np.testing.assert_allclose(own(members, truth), want, rtol=1e-10)
    other = xskillscore.crps_ensemble(y, x, member_dim="member", dim=[])
    np.testing.assert_allclose(ensembles.plain_crps(members, truth), other, rtol=1e-10)


def test_spread_skill_coverage_and_ranks_of_members_like_the_truth() -> None:
    members, truth = RNG.normal(size=(9, 20_000)), RNG.normal(size=20_000)
    found = ensembles.spread_skill(members, truth, np.ones(20_000))
    assert found.ratio == pytest.approx(1.0, abs=0.03)  # standard error 0.01
    assert found.error == pytest.approx(1.0, abs=0.03)
    narrow = ensembles.spread_skill(0.5 * members, truth, np.ones(20_000))
    assert narrow.ratio < 0.6
    rng = np.random.default_rng(12)
    for n, expected in ((2, 1 / 3), (3, 1 / 2), (8, 7 / 9), (39, 0.9), (399, 0.9)):
        some = rng.normal(size=(n, 4000))
        told = ensembles.coverage(some, truth[:4000])
        assert told.expected == pytest.approx(expected)
        assert told.share == pytest.approx(expected, abs=0.03)  # standard error 0.008 at most
        assert ensembles.coverage(0.3 * some, truth[:4000]).share < 0.75 * expected  # too narrow
    half = np.arange(4000) % 2 == 0  # far away where there is no weight
    away = np.where(half, truth[:4000], 9.0)
    assert ensembles.coverage(some, away, half).share == pytest.approx(0.9, abs=0.03)
    assert ensembles.coverage(some, away).share < 0.5
    ranks = ensembles.rank_histogram(members, truth)
    want = xskillscore.rank_histogram(
        xr.DataArray(truth, dims="case"), xr.DataArray(members, dims=("member", "case"))
    )
    np.testing.assert_array_equal(ranks, want)


# -- growth ----------------------------------------------------------------------------------------


def test_error_growth_weighs_by_mass() -> None:
    a = np.zeros((2, 2, 3, 4))
    b = a.copy()
    b[1, 0] = 2.0  # only the upper layer, which has a quarter of the mass
    weight = np.array([1.0, 3.0])[:, None, None] * np.ones((2, 3, 1))
    np.testing.assert_allclose(growth.mass_rmse(a, b, weight), [0.0, 1.0])


def test_numbers_of_an_error_curve() -> None:
    days = np.arange(0.5, 60.0)
    found = growth.growth(days, 2.0 * days)
    assert (found.day_3, found.day_5, found.days_3_to_7) == (6.0, 10.0, 10.0)
    assert found.months == (30.0, 90.0)
    assert growth.drift(np.arange(5.0), 1.0 + 0.25 * np.arange(5.0)) == pytest.approx(0.25)
    means = np.arange(0.5, 6.0)  # of daily records: the first is half a day after the start
    assert growth.drift(means, 1.0 + 0.25 * means) == pytest.approx(0.25)
    assert math.isnan(growth.drift([3.5, 4.5], [0.0, 1.0]))
    assert math.isnan(growth.growth([0.5, 1.5], [1.0, 1.0]).day_3)
    assert math.isnan(growth.drift([0.0, 1.0], [0.0, 1.0]))


def test_anomaly_correlation_is_that_of_scores() -> None:
    lat = np.linspace(-70.0, 70.0, 8)
    a, b = RNG.normal(size=(3, 8, 11)), RNG.normal(size=(3, 8, 11))
    climate = 0.3 * RNG.normal(size=(8, 11))
    w = np.cos(np.radians(lat))[:, None] * np.ones((8, 11))
    x, y = (xr.DataArray(z - climate, dims=("time", "lat", "lon")) for z in (a, b))
    weights = xr.DataArray(w, dims=("lat", "lon"))
    top, one, two = ((z * weights).sum(["lat", "lon"]) for z in (x * y, x * x, y * y))
    want = top / np.sqrt(one * two)
    got = growth.anomaly_correlation(a, b, climate, w)
    np.testing.assert_allclose(got, want, rtol=1e-10)
    np.testing.assert_allclose(growth.anomaly_correlation(a, a, climate, w), 1.0)
    even = growth.anomaly_correlation(
        *(z - z.mean((1, 2), keepdims=True) for z in (a, b)), np.zeros((8, 11)), np.ones((8, 11))
    )
    raw = (xr.DataArray(z, dims=("t", "y", "x")) for z in (a, b))
    np.testing.assert_allclose(even, xskillscore.pearson_r(*raw, dim=["y", "x"]), rtol=1e-10)
    once = growth.activity(a, climate, 1.0)
    assert growth.activity(2.0 * a, 2.0 * climate, 1.0) == pytest.approx(2.0 * once)


def test_times_of_crossing() -> None:
    days, series = np.arange(5.0), np.array([1.0, 0.9, 0.7, 0.9, np.nan])
    assert growth.first_below(days, series, 0.8) == 2.0
    assert growth.first_exit(days, series, 0.5, 2.0) == 4.0  # what is not finite has left
    assert math.isinf(growth.first_exit(days[:4], series[:4], 0.5, 2.0))


# -- survival --------------------------------------------------------------------------------------


def test_wilson_is_that_of_statsmodels_and_keeps_its_width_at_the_ends() -> None:
    for k, n in ((0, 8), (3, 8), (8, 8), (19, 20)):
        assert wilson(k, n) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-12)
    assert wilson(8, 8)[0] == pytest.approx(0.6756, abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_curve_of_survival_and_the_mean_time_to_failure() -> None:
    found = survival([None, 10.0, 30.0, None], 60.0, [0.0, 20.0, 59.0])
    np.testing.assert_allclose(found.share, [1.0, 0.75, 0.5])
    assert found.mean_time_to_failure == pytest.approx((60 + 10 + 30 + 60) / 2)
    assert math.isinf(survival([None], 5.0, [1.0]).mean_time_to_failure)


# -- significance ----------------------------------------------------------------------------------


def test_exact_dealing_finds_the_probability_of_a_rank_sum() -> None:
    # Members fully apart: 2 of the C(8, 4) = 70 ways are as far.
    members = np.concatenate([np.arange(4.0), 100.0 + np.arange(4.0)])[:, None]
    ways = significance.deals(4, 4)
    assert ways.shape == (70, 8)
    np.testing.assert_allclose(ways.sum(axis=1), 0.0, atol=1e-12)
    for order in (1, 2):
        d = significance.distances_of_deals(members, ways, np.ones(1), order)
        assert d[0] == pytest.approx(100.0)
        assert significance.probability(d) == pytest.approx(2 / 70)
    assert significance.least_probability(4, 4) == pytest.approx(2 / 70)
    assert significance.least_probability(3, 4) == pytest.approx(1 / 35)
    assert significance.least_probability(1, 9) == 1.0


def test_without_a_difference_five_percent_are_found_at_five_percent() -> None:
    rng = np.random.default_rng(3)
    metric = rng.random(6)
    ways = significance.deals(5, 5)
    hits = 0
    for _ in range(400):
        members = rng.normal(size=(10, 6))
        d = significance.distances_of_deals(members, ways, metric, 2)
        hits += significance.probability(d) <= 0.05
    assert hits / 400 == pytest.approx(0.05, abs=0.03)  # three standard errors


def test_drawn_dealings_stand_in_where_there_are_too_many() -> None:
    members = np.concatenate([RNG.normal(size=9), 1.1 + RNG.normal(size=9)])[:, None]
    drawn = significance.distances_of_deals(members, significance.deals(9, 9, 4000), np.ones(1), 2)
    whole = significance.distances_of_deals(members, significance.deals(9, 9, 10**5), np.ones(1), 1)
    assert whole.size == math.comb(18, 9)
    p, exact = significance.probability(drawn), significance.probability(whole)
    assert p == pytest.approx(exact, abs=4.0 * math.sqrt(exact / 4000) + 1e-3)


def test_too_few_members_for_any_claim() -> None:
    assert significance.members_for_a_claim(1) == 4  # 2/70
    assert significance.members_for_a_claim(40) == 7  # 40 * 2/3432 < 0.05 < 40 * 2/924


def test_holm_is_that_of_statsmodels() -> None:
    p = RNG.random(15) ** 3
    want = multipletests(p, method="holm")[1]
    np.testing.assert_allclose(significance.holm(p), want, rtol=SAME)
    with_gap = significance.holm([*p, np.nan])
    np.testing.assert_allclose(with_gap[:-1], want, rtol=SAME)
    assert np.isnan(with_gap[-1])


def test_members_needed_are_those_of_the_power_of_a_t_test() -> None:
    # The formula has the normal distribution where the solver has Student's: one member fewer.
    for effect in (0.2, 0.5):
        exact = tt_ind_solve_power(effect_size=effect, alpha=0.05, power=0.8)
        assert significance.members_needed(effect, 1.0) == pytest.approx(exact, abs=1.5)
    assert significance.members_needed(0.2, 1.0) == math.ceil(2 * (1.96 + 0.8416) ** 2 * 25)
    assert math.isinf(significance.members_needed(0.0, 1.0))


def test_the_interval_of_a_mean_covers_it_also_for_a_series_with_memory() -> None:
    rng = np.random.default_rng(5)
    inside = {1: 0, 20: 0}
    for trial in range(150):
        noise = rng.normal(size=300)
        x = np.empty(300)
        x[0] = noise[0]
        for i in range(1, 300):
            x[i] = 0.8 * x[i - 1] + 0.6 * noise[i]
        for block in inside:
            draws = significance.bootstrap(
                lambda i, x=x: float(x[i].mean()), 300, block=block, count=200, seed=trial
            )
            low, high = significance.pivotal(float(x.mean()), draws)
            inside[block] += low <= 0.0 <= high
    assert inside[20] / 150 > 0.85  # blocks of four decorrelation times lose some of the variance
    assert inside[1] / 150 < 0.65  # the control: single values are too sure
    assert significance.decorrelation_time(x) in range(2, 12)  # 1/ln(1/0.8) = 4.5


def test_a_noisy_distance_has_an_interval_without_its_bias() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(8, 50)), 0.4 + rng.normal(size=(8, 50))

    def distance(i: np.ndarray) -> float:
        return float(np.sqrt(((a[i].mean(0) - b[i].mean(0)) ** 2).mean()))

    found = distance(np.arange(8))
    draws = significance.bootstrap(distance, 8, count=400)
    low, high = significance.pivotal(found, draws)
    assert np.median(draws) > found  # resampling adds noise once more
    assert low < 0.5 * (low + high) < found
    assert all(map(math.isnan, significance.pivotal(float("nan"), draws)))


def test_paired_differences_are_those_of_students_test() -> None:
    d = np.array([0.3, -0.1, 0.5, 0.2, 0.4])
    mean, low, high, p = significance.paired(d)
    want = ttest_1samp(d, 0.0)
    assert (mean, p) == (pytest.approx(0.26), pytest.approx(want.pvalue))
    assert (low, high) == pytest.approx(tuple(want.confidence_interval()))
    assert significance.paired([0.0, 0.0])[3] == 1.0
    mean, low, high, p = significance.paired([1.0])
    assert (mean, low, high) == (1.0, -math.inf, math.inf) and math.isnan(p)


def test_rank_correlation_says_how_little_few_candidates_tell() -> None:
    rho, low, high = significance.rank_correlation([1, 2, 3], [1, 3, 2])
    assert (rho, low, high) == (pytest.approx(0.5), -1.0, 1.0)
    a, b = RNG.normal(size=12), RNG.normal(size=12)
    rho, low, high = significance.rank_correlation(a, a + b)
    want = xskillscore.spearman_r(*(xr.DataArray(z, dims="x") for z in (a, a + b)), dim="x")
    assert rho == pytest.approx(float(want))
    assert low < rho < high
    assert math.isnan(significance.rank_correlation([1, 2], [1, 2])[0])
    assert math.isnan(significance.rank_correlation([1, 1, 1, 1], [1, 2, 3, 4])[0])
