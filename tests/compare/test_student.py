"""Intervals of means against scipy's tests, and where there is none."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind

from coupler.compare.statistics.student import difference_interval, mean_interval

X, Y = np.array([0.3, -0.1, 0.5, 0.2, 0.4]), np.array([1.3, 0.7, -0.2])


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_the_interval_of_a_mean_is_students(level: float) -> None:
    mean, *ends = mean_interval(X, level)
    assert mean == pytest.approx(X.mean())
    assert ends == pytest.approx(tuple(ttest_1samp(X, 0.0).confidence_interval(level)))
    assert mean_interval([[0.3, -0.1], [0.5, 0.2]]) == mean_interval(X[:4])


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_the_interval_of_a_difference_is_welchs(level: float) -> None:
    value, *ends = difference_interval(X, Y, level)
    assert value == pytest.approx(X.mean() - Y.mean())
    theirs = ttest_ind(X, Y, equal_var=False).confidence_interval(level)
    assert ends == pytest.approx(tuple(theirs))


def test_values_without_spread_are_certain_and_one_alone_tells_nothing() -> None:
    assert mean_interval([2.0, 2.0, 2.0]) == (2.0, 2.0, 2.0)
    assert difference_interval([2.0, 2.0], [0.5, 0.5, 0.5]) == (1.5, 1.5, 1.5)
    assert mean_interval([2.0]) == (2.0, -math.inf, math.inf)
    assert difference_interval([2.0], Y) == (2.0 - Y.mean(), -math.inf, math.inf)
    for value, *ends in (mean_interval([]), difference_interval([], Y)):
        assert math.isnan(value) and ends == [-math.inf, math.inf]
