"""Twins, early warning, novelty, ablation and the scores of alarms, against what is known."""

from collections.abc import Mapping

import numpy as np
import pytest
from scipy.spatial.distance import cdist, mahalanobis
from scipy.stats import kendalltau, mannwhitneyu, ttest_1samp, ttest_ind
from statsmodels.tsa.stattools import acf

from coupler.compare.ablation import ablate, spurious
from coupler.compare.statistics import alarms, early_warning, novelty, twins
from coupler.compare.statistics.early_warning import ar1_surrogates, phase_surrogates, warning
from coupler.interface.errors import DataError

# -- twins -----------------------------------------------------------------------------------------


def logistic_twins(pairs: int, steps: int, seed: int) -> np.ndarray:
    """Separation of x <- 4 x (1 - x): errors double at each step on average (rate ln 2)."""
    x = np.random.default_rng(seed).uniform(0.1, 0.9, pairs)
    for _ in range(50):
        x = 4.0 * x * (1.0 - x)
    y, apart = x + 1e-13, []
    for _ in range(steps):
        apart.append(np.abs(x - y))
        x, y = 4.0 * x * (1.0 - x), 4.0 * y * (1.0 - y)
    return np.array(apart).T


def test_twins_of_the_logistic_map_part_at_the_rate_ln_2() -> None:
    # Two independent numbers of its distribution differ by about 0.5.
    found = twins.growth(np.arange(60), logistic_twins(400, 60, 1), saturation=0.5)
    assert found.rates.size == 400
    # A pair ends where it is large by chance, which takes half a percent off the slope.
    assert found.rate == pytest.approx(np.log(2.0), rel=0.01)
    assert found.high - found.low < 0.02
    assert found.doubling == pytest.approx(1.0, rel=0.01)
    interval = ttest_1samp(found.rates, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_an_exact_exponential_is_found_also_when_it_decays_or_saturates() -> None:
    t = np.linspace(0.0, 30.0, 61)
    saturating = 1.0 / (1.0 + 1e6 * np.exp(-0.8 * t))  # Lorenz 1982: dE/dt = r E (1 - E)
    assert twins.growth(t, saturating, saturation=1.0, share=0.01).rate == pytest.approx(
        0.8, rel=3e-3
    )
    assert twins.growth(t, 1e-3 * np.exp(-0.3 * t), saturation=1.0).rate == pytest.approx(-0.3)
    same = twins.growth(t, np.zeros((2, 61)), saturation=1.0)
    assert same.rates.size == 0 and np.isnan(same.rate)
    # What follows the saturation does not count, and neither does what is no number.
    broken = np.where(t < 10.0, 1e-6 * np.exp(0.5 * t), np.nan)
    assert twins.growth(t, broken, saturation=1.0).rate == pytest.approx(0.5)
    assert np.isinf(twins.growth(t, broken, saturation=1.0).high)


def test_the_difference_of_two_rates_has_the_interval_of_welch() -> None:
    t = np.arange(60)
    slow = twins.growth(t, logistic_twins(40, 60, 2), saturation=0.5)
    fast = twins.growth(t / 2.0, logistic_twins(30, 60, 3), saturation=0.5)
    found = twins.difference(fast, slow)
    theirs = ttest_ind(fast.rates, slow.rates, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert found.certain and found.low < np.log(2.0) < found.high
    assert not twins.difference(slow, twins.growth(
        t, logistic_twins(40, 60, 4), saturation=0.5)).certain  # fmt: skip


@pytest.mark.parametrize(("shape", "saturation"), [((2, 5), 1.0), ((2, 6), 0.0)])
def test_twins_that_do_not_fit_are_refused(shape: tuple[int, int], saturation: float) -> None:
    with pytest.raises(DataError, match="6 values of each pair"):
        twins.growth(np.arange(6), np.ones(shape), saturation=saturation)


# -- early warning ---------------------------------------------------------------------------------


def ar1(phi: np.ndarray, seed: int) -> np.ndarray:
    z = np.random.default_rng(seed).standard_normal(phi.size)
    x = np.zeros(phi.size)
    for i in range(1, phi.size):
        x[i] = phi[i] * x[i - 1] + z[i]
    return x


def test_moving_windows_and_trends_are_those_of_numpy_scipy_and_statsmodels() -> None:
    x = 300.0 + ar1(np.full(101, 0.7), 5)
    variance, memory = early_warning.rolling(x, 31, positions=1000)
    windows = np.lib.stride_tricks.sliding_window_view(x, 31)
    np.testing.assert_allclose(variance, windows.var(axis=1, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(memory, [acf(w, nlags=1)[1] for w in windows], rtol=1e-9)
    for series in (variance, memory):
        theirs = kendalltau(np.arange(series.size), series).statistic
        assert early_warning.trend(series) == pytest.approx(theirs, abs=1e-12)


def test_surrogates_keep_what_they_shall_keep() -> None:
    x = ar1(np.full(401, 0.8), 6)
    turned = phase_surrogates(x, 7, seed=1)
    power = np.abs(np.fft.rfft(x - x.mean()))
    np.testing.assert_allclose(np.abs(np.fft.rfft(turned))[:, 1:], np.tile(power[1:], (7, 1)))
    assert np.abs(np.corrcoef(turned)[0, 1:]).max() < 0.4  # 40 independent values
    like = ar1_surrogates(x, 300, seed=2)
    memory = np.mean([acf(row, nlags=1)[1] for row in like])
    assert memory == pytest.approx(acf(x, nlags=1)[1], abs=0.02)
    assert like.std() == pytest.approx(x.std(), rel=0.05)


@pytest.mark.parametrize("kind", ["ar1", "phase"])
def test_false_alarms_stay_below_their_level(kind: early_warning.Kind) -> None:
    tries = 150
    alarms = sum(
        warning(ar1(np.full(150, 0.6), 100 + i), kind=kind, surrogates=99, seed=i).probability
        <= 0.1
        for i in range(tries)
    )
    # Binomial, 10 % of 150: 15 and four deviations of 3.7; not far below, or it would never warn.
    assert 2 <= alarms <= 30


def test_a_loss_of_memory_in_the_windows_alone_would_raise_false_alarms() -> None:
    """The control: taking windows for independent values, as a plain test of tau does."""
    alarms = 0
    for i in range(60):
        x = early_warning.without_slow_part(ar1(np.full(150, 0.6), 100 + i), 15.0)
        variance, memory = early_warning.rolling(x, 75)
        p = [kendalltau(np.arange(r.size), r, alternative="greater").pvalue
             for r in (variance, memory)]  # fmt: skip
        alarms += 2.0 * min(p) <= 0.1
    assert alarms > 20


def test_a_lost_restoring_force_is_seen() -> None:
    rising = np.linspace(0.1, 0.98, 400)
    seen = [warning(ar1(rising, 50 + i), surrogates=99, seed=i).probability for i in range(20)]
    assert sum(p <= 0.1 for p in seen) >= 16


@pytest.mark.parametrize("series", [np.ones(100), np.arange(10.0), np.full(100, np.nan)])
def test_a_series_that_cannot_warn_is_refused(series: np.ndarray) -> None:
    with pytest.raises(DataError, match="at least 40 finite values"):
        warning(series)


# -- novelty ---------------------------------------------------------------------------------------


def test_distances_are_those_of_scipy_and_their_unit_is_a_training_sample_in_a_thousand() -> None:
    draw = np.random.default_rng(8)
    mixing = np.array([[2.0, 0.3, 0.0], [0.0, 0.05, 0.0], [1.0, 0.0, 30.0]])
    training = draw.standard_normal((5001, 3)) @ mixing + np.array([5.0, -1.0, 100.0])
    seen = novelty.Seen(training, neighbours=3)
    x = draw.standard_normal((40, 3)) @ mixing * 2.0 + np.array([5.0, -1.0, 100.0])
    inverse = np.linalg.inv(np.cov(training, rowvar=False))
    theirs = [mahalanobis(row, training.mean(axis=0), inverse) for row in x]
    np.testing.assert_allclose(seen.far * seen.mahalanobis(x), theirs, rtol=1e-6)
    scaled = [(s - training.mean(axis=0)) / training.std(axis=0) for s in (x, training)]
    third = np.sort(cdist(*scaled), axis=1)[:, 2]
    np.testing.assert_allclose(seen.lonely * seen.nearest(x), third, rtol=1e-9)
    assert (seen.mahalanobis(training) > 1.0).mean() == pytest.approx(1e-3, abs=3e-4)
    for odd in (np.nan, np.inf):
        z = np.array([[odd, 0.0, 0.0], x[0]])
        for measure in (seen.nearest, seen.mahalanobis):  # nothing is as new as what is no number
            assert np.isinf(measure(z)).tolist() == [True, False]


def test_an_unseen_combination_of_seen_values_is_new() -> None:
    draw = np.random.default_rng(9)
    one = draw.standard_normal(4000)
    training = np.stack([one, one + 0.05 * draw.standard_normal(4000)], axis=1)
    seen = novelty.Seen(training)
    x = np.array([[1.0, 1.0], [1.0, -1.0], [9.0, 9.0]])
    assert seen.outside(x).tolist() == [False, False, True]
    assert (seen.mahalanobis(x) > 1.0).tolist() == [False, True, True]
    assert (seen.nearest(x) > 1.0).tolist() == [False, True, True]


def test_the_share_of_new_samples_is_set_against_that_offline() -> None:
    draw = np.random.default_rng(10)
    offline = draw.random(20000) < 0.02
    same = novelty.compare(offline, draw.random((20, 1000)) < 0.02)
    more = novelty.compare(offline, draw.random((20, 1000)) < 0.06)
    assert same.low < 0.0 < same.high
    assert more.low > 0.0 and more.difference == pytest.approx(0.04, abs=0.01)
    assert np.isinf(novelty.compare(offline, [[True, False]]).high)
    with pytest.raises(DataError, match="more than 5 samples"):
        novelty.Seen(np.ones((5, 2)))


# -- ablation --------------------------------------------------------------------------------------


def linear(x: Mapping[str, np.ndarray]) -> np.ndarray:
    return 3.0 * x["wind"] + 1.0 * x["heat"] + 0.0 * x["idle"]


def test_effects_of_a_linear_scheme_are_its_shares_of_variance() -> None:
    draw = np.random.default_rng(11)
    inputs = {n: draw.standard_normal((1, 40000)) for n in ("idle", "heat", "wind")}
    for how in ("permute", "hold"):
        found = ablate(linear, inputs, truth=linear(inputs), how=how)  # type: ignore[arg-type]
        assert [e.name for e in found] == ["wind", "heat", "idle"]
        # Variances 9 and 1 of 10; sampling moves them by a hundredth.
        assert [e.effect for e in found] == pytest.approx([0.9, 0.1, 0.0], abs=0.015)
        doubled = 2.0 if how == "permute" else 1.0
        assert [e.lost for e in found] == pytest.approx([0.9 * doubled, 0.1 * doubled, 0.0],
                                                        abs=0.03)  # fmt: skip


def test_an_input_that_only_the_network_leans_on_is_spurious() -> None:
    draw = np.random.default_rng(12)
    cause = draw.standard_normal((2, 4000))
    inputs = {"cause": cause, "consequence": 2.0 * cause + 0.1 * draw.standard_normal((2, 4000))}
    truth = inputs["cause"] ** 2
    network = ablate(lambda x: 0.25 * x["consequence"] ** 2, inputs, truth=truth)
    reference = {e.name: e.effect for e in ablate(lambda x: x["cause"] ** 2, inputs)}
    assert spurious(network, reference).keys() == {"consequence"}
    honest = ablate(lambda x: 1.1 * x["cause"] ** 2, inputs, truth=truth)
    assert not spurious(honest, reference)
    # Offline both are good: that is why it takes an ablation.
    assert network[0].r2 + network[0].lost > 0.95


def test_inputs_without_samples_are_refused() -> None:
    with pytest.raises(DataError, match="at least two samples"):
        ablate(linear, {"wind": np.ones((1, 3)), "heat": np.ones((1, 4))})


# -- alarms -----------------------------------------------------------------------------------


def test_the_area_is_mann_and_whitneys_also_with_equal_scores() -> None:
    draw = np.random.default_rng(13)
    event = draw.random(80) < 0.4
    score = np.round(draw.standard_normal(80) + event, 1)
    found, low, high = alarms.auc(score, event)
    u = mannwhitneyu(score[event], score[~event]).statistic
    assert found == pytest.approx(u / (event.sum() * (~event).sum()))
    assert low < found < high
    assert alarms.auc(-score, event)[0] == pytest.approx(1.0 - found)
    assert np.isnan(alarms.auc(score, np.ones(80, bool))[0])


def test_the_deviation_of_the_area_is_the_published_one() -> None:
    # Hanley and McNeil (1982), table II: 58 normal and 51 abnormal images, area 0.893, deviation
    # 0.032. Scores that have this area: all pairs but a share of 0.107.
    normal = np.arange(58.0)
    abnormal = np.full(51, round(0.893 * 58) - 0.5)
    score = np.concatenate([normal, abnormal])
    area, low, high = alarms.auc(score, np.arange(109) >= 58)
    assert area == pytest.approx(0.893, abs=0.005)
    assert (high - low) / (2 * 1.96) == pytest.approx(0.032, abs=0.001)


def test_repeats_of_one_case_do_not_narrow_the_interval() -> None:
    draw = np.random.default_rng(15)
    event = np.arange(20) % 2 == 0
    score = draw.standard_normal(20) + event
    once = alarms.auc(score, event, group=np.arange(20))
    thrice = alarms.auc(np.tile(score, 3), np.tile(event, 3), group=np.tile(np.arange(20), 3))
    assert thrice == pytest.approx(once)
    alone = alarms.auc(np.tile(score, 3), np.tile(event, 3))
    # The control: three times as many cases that are not independent.
    assert alone[2] - alone[1] < 0.75 * (thrice[2] - thrice[1])


def test_a_table_counts_all_four_and_its_intervals_are_wilsons() -> None:
    found = alarms.contingency([1, 1, 0, 0, 1], [1, 0, 1, 0, 1])
    assert (found.hits, found.misses, found.false_alarms, found.rejections) == (2, 1, 1, 1)
    assert found.hit_rate == pytest.approx(2 / 3) and found.false_alarm_rate == 0.5
    assert found.hit_interval == pytest.approx((0.2077, 0.9385), abs=1e-4)  # statsmodels, 2 of 3
    assert found.skill == pytest.approx(1 / 6)


def test_a_threshold_lies_between_what_happened_and_what_did_not() -> None:
    assert alarms.threshold([1.0, 2.0, 5.0, 6.0], [0, 0, 1, 1]) == 3.5
    assert alarms.threshold([1.0, 2.0, 3.0], [1, 1, 0]) == np.inf  # no alarm is best
    assert alarms.threshold([np.nan, 1.0, 2.0], [0, 0, 1]) == 1.5
    assert alarms.threshold([1.0, 1.0, 1.0], [0, 1, 1]) == np.inf
    # What has ended already is alarmed, and nothing else where that is best.
    assert alarms.threshold([np.inf, np.inf, 1.0, 0.5], [1, 1, 0, 0]) == np.inf
    ended = alarms.learned_elsewhere([np.inf, 1.0, 2.0, 0.0], [1, 0, 0, 0], [0, 0, 1, 1])
    assert ended.tolist() == [True, False, False, False]


def test_a_score_without_meaning_has_no_skill_where_thresholds_are_not_scored_on_their_own() -> (
    None
):
    draw = np.random.default_rng(14)
    own, honest = [], []
    for _ in range(150):
        event, score = draw.random(36) < 0.4, draw.standard_normal(36)
        group = np.arange(36) // 3
        chosen = score >= alarms.threshold(score, event)
        own.append(alarms.contingency(chosen, event).skill)
        honest.append(alarms.contingency(
            alarms.learned_elsewhere(score, event, group), event).skill)  # fmt: skip
    # The control first: chosen and scored on the same cases, noise seems to foretell.
    assert np.nanmean(own) > 0.15
    assert np.nanmean(honest) < 0.03
    perfect = alarms.learned_elsewhere(event + 0.1 * score, event, group)
    assert alarms.contingency(perfect, event).skill > 0.9
    with pytest.raises(DataError, match="two groups"):
        alarms.learned_elsewhere(score, event, np.zeros(36))


def test_a_sign_that_only_tells_one_kind_from_the_others_is_no_foreknowledge() -> None:
    """A score that is the kind's: sister recipes teach it, another kind does not."""
    kind = np.repeat(["memory", "now", "noise"], 12)
    family = np.char.add(kind, np.tile(np.repeat(["a", "b", "c"], 4), 3))
    score = (kind == "memory").astype(float)
    event = kind == "memory"
    sisters = alarms.contingency(alarms.learned_elsewhere(score, event, family), event)
    others = alarms.contingency(alarms.learned_elsewhere(score, event, kind), event)
    assert (sisters.hits, sisters.false_alarms) == (12, 0)
    assert (others.hits, others.false_alarms) == (0, 0)
