"""The similarity score, its symmetric form and what sums them up."""

import numpy as np
import pytest

from coupler.compare.statistics.similarity import octaves, similarity, summary

# Per-metric scores of the FCNN in the eddy regime as published with the benchmark of Ross et al.
# (2023); the specification quotes them with their means over 10 and 8 metrics.
DISTRIBUTIONS = [0.86, 0.80, 0.61, 0.84, 0.44, 0.77, 0.69, 0.83, 0.52, 0.70]
SPECTRA = [0.66, 0.84, 0.59, 0.74, 0.81, 0.78, 0.76, 0.84]


def test_a_perfect_candidate_scores_one_and_the_baseline_zero() -> None:
    np.testing.assert_array_equal(similarity([0.0, 2.0, 4.0], [2.0, 2.0, 2.0]), [1.0, 0.0, -1.0])
    assert np.isnan(similarity(0.0, 0.0))
    assert similarity(1.0, 0.0) == -np.inf  # worse than a baseline that is perfect


def test_octaves_are_antisymmetric_and_bounded() -> None:
    assert octaves(1.0, 4.0) == 2.0
    assert octaves(4.0, 1.0) == -2.0
    assert octaves(0.0, 1.0) == 4.0
    assert octaves(1.0, 0.0) == -4.0
    assert np.isnan(octaves(0.0, 0.0))


def test_published_scores_have_their_published_means() -> None:
    published = DISTRIBUTIONS + SPECTRA
    candidate = {str(i): 1.0 - s for i, s in enumerate(published)}
    found = summary(candidate, dict.fromkeys(candidate, 1.0))
    assert found.median == pytest.approx(0.76, abs=0.01)  # quoted to two digits
    assert found.least == pytest.approx(0.44)
    assert (found.worst, found.share_positive, found.count) == ("4", 1.0, 18)
    first = {name: candidate[name] for name in list(candidate)[: len(DISTRIBUTIONS)]}
    assert summary(first, dict.fromkeys(first, 1.0)).mean == pytest.approx(0.71, abs=0.005)


def test_one_bad_metric_rules_a_mean_and_not_the_octaves() -> None:
    baseline = {"a": 1.0, "b": 1.0, "c": 1.0}
    found = summary({"a": 0.5, "b": 0.5, "c": 35.4}, baseline)
    assert found.mean < -11.0
    assert found.octaves == pytest.approx((1.0 + 1.0 - 4.0) / 3.0)
    assert (found.worst, found.median) == ("c", 0.5)


def test_metrics_that_one_side_lacks_are_counted() -> None:
    found = summary({"a": 1.0, "b": 0.0}, {"a": 2.0, "b": 0.0, "c": 1.0})
    assert (found.count, found.missing) == (1, 2)  # b is 0/0, c is not there
    assert summary({}, {}).count == 0
