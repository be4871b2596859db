"""Exponential and logarithm by polynomials, against those of numpy in extended precision."""

import numpy as np
import pytest

from coupler.interface.jit import njit
from physics import elementary


@njit()
def apply_exp(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        out[i] = elementary.exp(x[i])


@njit()
def apply_expm1(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        out[i] = elementary.expm1(x[i])


@njit()
def apply_log(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        out[i] = elementary.log(x[i])


def units_in_the_last_place(out: np.ndarray, exact: np.ndarray) -> float:
    return float(np.max(np.abs(out - exact) / np.spacing(np.abs(exact.astype(float)))))


def test_exponential_is_exact_to_a_unit_in_the_last_place() -> None:
    x = np.random.default_rng(1).uniform(-700.0, 700.0, 20011)
    x[:3] = 0.0, 1e-300, -1e-20
    out = np.empty_like(x)
    apply_exp(x, out)
    assert units_in_the_last_place(out, np.exp(x.astype(np.longdouble))) <= 1.0
    np.testing.assert_array_equal(out[:3], 1.0)


def test_exponential_ends_at_its_bounds_instead_of_wrapping_around() -> None:
    x = np.array([-1e6, -708.0, 709.0, 1e6])
    out = np.empty_like(x)
    apply_exp(x, out)
    assert out[0] == out[1] == pytest.approx(np.exp(-708.0), rel=1e-15)
    assert out[3] == out[2] == pytest.approx(np.exp(709.0), rel=1e-15)


def test_exponential_minus_one_keeps_small_numbers() -> None:
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.uniform(-30.0, 5.0, 10007), 10.0 ** rng.uniform(-18, -1, 10007)])
    out = np.empty_like(x)
    apply_expm1(x, out)
    # four roundings instead of one where e^r - 1 and 2^n - 1 have opposite signs
    assert units_in_the_last_place(out, np.expm1(x.astype(np.longdouble))) <= 4.0
    careless = np.exp(x) - 1.0  # control
    assert units_in_the_last_place(careless, np.expm1(x.astype(np.longdouble))) > 1e6


def test_logarithm_is_exact_to_two_units_in_the_last_place_also_near_one() -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([10.0 ** rng.uniform(-300, 300, 10007), rng.uniform(0.5, 2.0, 10007)])
    out = np.empty_like(x)
    apply_log(x, out)
    assert units_in_the_last_place(out, np.log(x.astype(np.longdouble))) <= 2.0
    one = np.empty(1)
    apply_log(np.ones(1), one)
    assert one[0] == 0.0
