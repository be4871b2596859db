"""Layers whose extent in ln p no surface pressure changes, and those where it does."""

import numpy as np
import torch

from physics.dynamics.fused import fixed_log_ratio
from physics.dynamics.vertical import VerticalGrid

A = np.array([0.0, 500.0, 2000.0, 4000.0, 3000.0, 0.0, 0.0])
B = np.array([0.0, 0.0, 0.0, 0.1, 0.3, 0.7, 1.0])


def test_pressure_and_sigma_layers_have_a_fixed_ratio_and_hybrid_layers_none():
    fixed = fixed_log_ratio(A, B)
    np.testing.assert_array_equal(fixed < 0.0, [False, False, True, True, True, False])
    assert fixed[0] == 0.0  # the top reaches p = 0, where the ratio counts as 0


def test_the_fixed_ratio_is_that_of_any_surface_pressure():
    vertical, fixed = VerticalGrid(a=A, b=B, dtype=torch.float64), fixed_log_ratio(A, B)
    for ps in (6.1e4, 1.03e5):
        half = vertical.half_pressure(torch.full((1, 1), ps, dtype=torch.float64))
        ratio = vertical.log_ratio(half)[:, 0, 0].numpy()
        known = fixed >= 0.0
        np.testing.assert_allclose(ratio[known], fixed[known], rtol=1e-15)
        assert (ratio[~known] > 0.0).all()


def test_a_closed_top_in_pressure_has_its_own_ratio():
    fixed = fixed_log_ratio(np.array([100.0, 300.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(fixed, [np.log(3.0), -1.0])
