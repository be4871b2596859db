"""Sums of rows: right, and the same wherever a row stands."""

import math

import numpy as np
import pytest

from physics.dynamics.means import row_mean, row_sums


@pytest.mark.parametrize("nlon", [3, 4, 35, 96])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_row_sums_are_those_of_exact_arithmetic_to_rounding(nlon, dtype):
    field = np.random.default_rng(2).normal(1e5, 1e3, (7, nlon)).astype(dtype)
    found = np.empty(7)
    row_sums(field, found)
    exact = [math.fsum(row.astype(float)) for row in field]
    # Some fifty additions in each partial sum: as many roundings of float64.
    np.testing.assert_allclose(found, exact, rtol=1e-14)


def test_a_row_has_the_same_sum_alone_and_between_others():
    field = np.random.default_rng(3).normal(size=(9, 33))
    whole, part = np.empty(9), np.empty(2)
    row_sums(field, whole)
    row_sums(field[4:6], part)
    assert np.array_equal(whole[4:6], part)
    row_sums(np.ascontiguousarray(field[4:6, ::-1]), part)  # control: another order, other bits
    assert not np.array_equal(whole[4:6], part)


def test_the_mean_of_a_constant_is_the_constant():
    weights = np.array([0.3, 0.7, 0.7, 0.3])
    assert row_mean(np.full(4, 5 * 7.0), weights, 5) == pytest.approx(7.0, rel=1e-15)
