"""Implicit diffusion of a column: exact balance, an analytic solution, orders of convergence."""

import numpy as np
import pytest

from physics.columns.lanes import upward
from physics.columns.tridiagonal import factor, solve

LANES = 3
"""Copies of the column side by side: each must come out the same."""


def step(
    x: np.ndarray,
    mass: np.ndarray,
    conduct: np.ndarray,
    dt: float,
    surface: tuple[float, float] = (0.0, 0.0),
) -> tuple[np.ndarray, float]:
    def lanes(a: np.ndarray | float) -> np.ndarray:
        return np.repeat(np.asarray(a, float)[..., None], LANES, axis=-1)

    beta, pivot, increment = (lanes(np.zeros(x.size)) for _ in range(3))
    factor(lanes(mass / dt), lanes(conduct), beta, pivot, lanes(0.0))
    flux, (g, value) = lanes(0.0), surface
    solve(
        lanes(x), lanes(conduct), beta, pivot, lanes(g), lanes(value), upward(x.size),
        np.zeros((2, LANES)), increment, flux,
    )  # fmt: skip
    assert np.ptp(increment, axis=1).max() == 0.0
    return increment[:, 0], float(flux[0])


def test_solution_is_that_of_the_dense_matrix() -> None:
    rng = np.random.default_rng(5)
    n, dt, gs, xs = 13, 900.0, 0.3, 4.0
    mass, x = rng.uniform(1, 50, n), rng.standard_normal(n)
    g = np.zeros(n + 1)
    g[1:-1] = 10 ** rng.uniform(-3, 1, n - 1)
    increment, flux = step(x, mass, g, dt, (gs, xs))
    a = np.diag(mass / dt + g[:-1] + g[1:])
    a -= np.diag(g[1:-1], 1) + np.diag(g[1:-1], -1)
    a[-1, -1] += gs
    b = mass / dt * x
    b[-1] += gs * xs
    np.testing.assert_allclose(x + increment, np.linalg.solve(a, b), rtol=1e-11, atol=1e-13)
    assert flux == pytest.approx(gs * (xs - x[-1] - increment[-1]), rel=1e-14)


@pytest.mark.parametrize("strength", [1e-6, 1.0, 1e3])
def test_column_sum_changes_by_the_reported_flux_however_stiff(strength: float) -> None:
    rng = np.random.default_rng(7)
    n, dt = 31, 1800.0
    mass, x = rng.uniform(0.1, 500, n), 300 + rng.standard_normal(n)
    g = np.zeros(n + 1)
    g[1:-1] = strength * 10 ** rng.uniform(-3, 1, n - 1)
    increment, flux = step(x, mass, g, dt, (0.02, 290.0))
    gain = (mass * increment).sum()
    size = np.abs(mass * increment).sum() + abs(flux * dt)
    assert abs(gain - flux * dt) < 1e-12 * size
    # the same sums do not close when the flux of the old state is reported
    old = 0.02 * (290.0 - x[-1]) * dt
    assert abs(gain - old) > 1e-6 * size


def test_a_uniform_column_without_surface_exchange_stays_bit_for_bit() -> None:
    n = 9
    g = np.full(n + 1, 0.7)
    increment, flux = step(np.full(n, 287.3), np.linspace(1, 20, n), g, 1800.0)
    assert not increment.any()
    assert flux == 0.0


def cosine_error(n: int, steps: int) -> float:
    """Error after one e-folding of cos(pi z/H), the slowest mode of a closed layer."""
    height, diffusivity = 1000.0, 10.0
    dz = height / n
    z = (np.arange(n) + 0.5) * dz
    decay = diffusivity * (np.pi / height) ** 2
    x = np.cos(np.pi * z / height)
    start = x.copy()
    g = np.full(n + 1, diffusivity / dz)
    dt = 1.0 / decay / steps
    mass = np.full(n, dz)
    for _ in range(steps):
        x = x + step(x, mass, g, dt)[0]
    return float(np.abs(x - np.exp(-1.0) * start).max())


def test_diffusion_of_a_cosine_converges_at_first_order_in_time() -> None:
    errors = [cosine_error(801, steps) for steps in (5, 10, 20)]
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert (np.abs(orders - 1.0) < 0.1).all(), errors


def test_diffusion_of_a_cosine_converges_at_second_order_in_space() -> None:
    height, diffusivity = 1000.0, 10.0
    errors = []
    for n in (9, 18, 36):
        dz = height / n
        z = (np.arange(n) + 0.5) * dz
        x = np.cos(np.pi * z / height)
        dt = 1e-3  # so short that the increment is the discrete operator itself
        increment, _ = step(x, np.full(n, dz), np.full(n + 1, diffusivity / dz), dt)
        exact = -diffusivity * (np.pi / height) ** 2 * x
        errors.append(np.abs(increment / dt - exact).max())
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert (orders > 1.9).all(), errors


def test_no_step_makes_new_extremes() -> None:
    rng = np.random.default_rng(11)
    n = 21
    x = rng.uniform(0, 1, n)
    g = np.zeros(n + 1)
    g[1:-1] = 10 ** rng.uniform(-4, 4, n - 1)
    increment, _ = step(x, rng.uniform(0.1, 10, n), g, 1e5, (2.0, 0.5))
    after = x + increment
    assert after.min() > x.min() - 1e-12
    assert after.max() < x.max() + 1e-12
