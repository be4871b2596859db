"""Start of Ullrich et al. (2014) and DCMIP-2016 test 1-1 against its formulas."""

import numpy as np
import pytest
from frames import frame
from scipy.optimize import brentq

from physics.dynamics.initial_states import INITIAL_STATES
from physics.dynamics.initial_ullrich import baroclinic_wave, push


def published(lon, lat, z):
    """u' [m/s] at one point, with the distance from the chord of unit vectors."""

    def point(x, y):
        return np.array([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)])

    chord = np.linalg.norm(point(lon, lat) - point(np.pi / 9, 2 * np.pi / 9))
    r = 2.0 * np.arcsin(0.5 * chord) / 0.1
    if r >= 1.0 or z >= 15e3:
        return 0.0
    return (1 - 3 * (z / 15e3) ** 2 + 2 * (z / 15e3) ** 3) * np.exp(-(r**2))


def test_the_push_of_the_wind_is_the_published_one_and_ends_at_a_tenth_of_the_radius():
    x = frame(96, 7)
    z = np.broadcast_to(np.array([0.0, 4e3, 14e3, 15e3, 30e3])[:, None, None], (5, 96, 192))
    found = push(x, z)
    lat, lon = x.latitude[:, 0], x.longitude[0]
    exact = np.array([
        [[published(o, a, height) for o in lon[:32]] for a in lat[48:84]]
        for height in (0.0, 4e3, 14e3, 15e3, 30e3)
    ])  # fmt: skip
    np.testing.assert_allclose(found[:, 48:84, :32], exact, atol=1e-12)
    assert np.count_nonzero(found[0]) == np.count_nonzero(exact[0]) > 20
    assert found[0][found[0] > 0.0].min() > np.exp(-1.0)  # a Gaussian that goes on has less
    # Area of the bump: pi r_p^2 (1 - 1/e) in the plane; without the cut 1.58 times that.
    weights = np.polynomial.legendre.leggauss(96)[1][:, None] * (2.0 * np.pi / 192)
    area = np.pi * 0.1**2 * (1.0 - np.exp(-1.0))
    assert (weights * found[0]).sum() == pytest.approx(area, rel=0.05)


def test_the_wave_is_the_zonal_flow_and_the_push():
    x = frame(48, 7)
    wave, flow = baroclinic_wave(x), baroclinic_wave(x, perturbed=False)
    pushed = wave.ua - flow.ua
    assert 0.8 < pushed.max() <= 1.0 and pushed.min() == 0.0
    assert np.ptp(flow.ua, axis=2).max() < 1e-12
    for name in ("va", "ta", "hus", "ps"):
        np.testing.assert_array_equal(getattr(wave, name), getattr(flow, name))
    assert INITIAL_STATES["baroclinic_wave"] is baroclinic_wave


def test_height_and_temperature_of_the_flow_solve_the_published_equations():
    x = frame(12, 7)
    flow, pressure = baroclinic_wave(x, perturbed=False), x.full_pressure(np.full((12, 24), 1e5))
    a_, b_ = 1.0 / 0.005, (275.0 - 240.0) / (275.0 * 240.0)
    c_, h = 2.5 * 70.0 / (310.0 * 240.0), 2.0 * 287.0 * 275.0 / 9.80616
    for k, j in ((0, 2), (3, 7), (6, 10)):
        cos = np.cos(x.latitude[j, 0])
        f = cos**3 - 0.6 * cos**5

        def p(z, f=f):
            s = np.exp(-((z / h) ** 2)) * z
            return 1e5 * np.exp(
                -9.80616 / 287.0
                * (a_ * (np.exp(0.005 * z / 275.0) - 1.0) + b_ * s - c_ * s * f)
            )  # fmt: skip

        z = brentq(lambda z: p(z) - pressure[k, j, 0], -100.0, 60e3, xtol=1e-9)  # noqa: B023
        # T from the hypsometric equation, T = -(g/R) (d ln p / dz)^-1.
        slope = (np.log(p(z + 1.0)) - np.log(p(z - 1.0))) / 2.0
        ta = -9.80616 / (287.0 * slope)
        assert flow.ta[k, j, 0] == pytest.approx(ta, rel=1e-7)
        i2 = c_ * z * np.exp(-((z / h) ** 2))
        u = 9.80616 / 6.37122e6 * 3.0 * i2 * (cos**2 - cos**4) * ta
        turning = 7.292e-5 * 6.37122e6 * cos
        wind = -turning + np.sqrt(turning**2 + 6.37122e6 * cos * u)
        assert flow.ua[k, j, 0] == pytest.approx(wind, abs=1e-6)
