"""Arnoldi in all groups at once, against dense eigenvalues."""

import numpy as np
import pytest

from coupler.compare.stability.arnoldi import leading


def groups(seed: int, number: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(number, n, n)) + 1j * rng.normal(size=(number, n, n))


def dense(matrices: np.ndarray) -> np.ndarray:
    values = np.linalg.eigvals(matrices)
    return np.take_along_axis(values, np.abs(values).argmax(1)[:, None], axis=1)[:, 0]


@pytest.mark.parametrize(("power", "vectors"), [(1, 11), (3, 6)])
def test_the_leading_eigenvalue_of_each_group_is_the_dense_one(power: int, vectors: int) -> None:
    a = groups(1, 3, 11)
    found = leading(
        lambda x: np.einsum("gij,gj->gi", a, x),
        groups(2, 3, 11)[:, 0],
        power=power,
        vectors=vectors,
        restarts=30,
        tolerance=1e-9,
    )
    assert found.values == pytest.approx(dense(a), rel=1e-7)
    assert found.residuals.max() < 1e-8
    turned = np.einsum("gij,gj->gi", a, found.vectors)
    assert turned == pytest.approx(found.values[:, None] * found.vectors, abs=1e-7)


def test_a_power_does_not_wind_up_the_angle() -> None:
    angles = np.array([0.3, 2.9, -2.0])
    a = np.stack([np.diag([1.1 * np.exp(1j * t), 0.9, 0.5j, 0.2]) for t in angles])
    found = leading(
        lambda x: np.einsum("gij,gj->gi", a, x), np.ones((3, 4), complex), power=7, vectors=4
    )
    assert np.angle(found.values) == pytest.approx(angles)
    assert np.abs(found.values) == pytest.approx(1.1)


def test_few_vectors_leave_a_residual_that_says_so() -> None:
    a = groups(4, 2, 23)
    found = leading(
        lambda x: np.einsum("gij,gj->gi", a, x), groups(5, 2, 23)[:, 0], vectors=3, restarts=0
    )
    assert found.residuals.min() > 0.1
    assert found.applications == 4
