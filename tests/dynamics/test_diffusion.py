"""Horizontal diffusion: which waves it damps, and how fast."""

from __future__ import annotations

import numpy as np
import pytest

from physics.dynamics.leapfrog import Diffusion

TRUNCATION = 42
DEGREE = np.arange(TRUNCATION + 1.0)[None, :]


def rate(**choices: float) -> np.ndarray:
    return Diffusion(**choices).rate(DEGREE, TRUNCATION, 1)[0, 0]


def test_the_shortest_wave_fades_with_the_time_scale_whatever_the_shape() -> None:
    for choices in ({"power": 4}, {"power": 1.5, "start": 0.8}, {"power": 18}):
        assert rate(timescale=600.0, **choices)[-1] == pytest.approx(1.0 / 600.0, rel=1e-14)


def test_del_8_damps_the_wave_of_half_the_degree_256_times_less() -> None:
    whole, half = rate(power=4)[42], rate(power=4)[21]
    assert whole / half == pytest.approx((42 * 43 / (21 * 22)) ** 4, rel=1e-14)


def test_a_vanishing_viscosity_leaves_the_longer_waves_alone() -> None:
    # As the exponential filter of order 3 from 0.8 of the limit: ((n/T - 0.8) / 0.2)^3.
    found = rate(power=1.5, start=0.8, timescale=60.0)
    n = np.arange(43)
    expected = np.clip((n / 42 - 0.8) / 0.2, 0.0, None) ** 3 / 60.0
    assert np.allclose(found, expected, rtol=1e-13, atol=0.0)
    assert not found[:34].any()
    assert found[34:].all()


@pytest.mark.parametrize("choices", [{"power": 0.5}, {"start": 1.0}, {"timescale": 0.0}])
def test_what_cannot_be_is_refused(choices: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected power >= 1, start from 0 to 1"):
        Diffusion(**choices)
