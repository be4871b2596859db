"""Monin-Obukhov exchange: its functions, its solution, the sea of COARE, and calm hot air."""

import itertools
import math

import numpy as np
import pytest
from column_harness import run, state
from pydantic import ValidationError
from scipy.optimize import brentq

from coupler.interface.grid import HybridLevels
from physics.columns.boundary_layer import BulkDiffusion
from physics.columns.monin_obukhov import VISCOSITY, phi, profiles, psi, similarity, stability

LEVELS = HybridLevels.stretched(19)
G = 9.80665
SEA, LAND = 0.0, 1.0
# over land 0.1 m and 0.01 m; the sea of the waves; beta 1.2, z_i 1000 m
SETTINGS = (math.log(0.1), math.log(0.01), math.log(3e-5), 1.0, 1.2, 1000.0)


@pytest.mark.parametrize("zeta", [-300.0, -7.0, -0.4, -1e-3, 1e-3, 0.3, 2.0, 9.0, 70.0])
def test_profiles_are_the_integrals_of_their_gradients(zeta: float) -> None:
    step = 1e-6 * abs(zeta)
    above, below = psi(zeta + step), psi(zeta - step)
    for i in (0, 1):
        slope = (above[i] - below[i]) / (2.0 * step)
        assert 1.0 - zeta * slope == pytest.approx(phi(zeta)[i], rel=1e-6)


def test_both_sides_meet_at_neutral_air_without_stability() -> None:
    assert psi(0.0) == pytest.approx((0.0, 0.0), abs=1e-14)
    for sign in (-1.0, 1.0):
        # -psi = 5 zeta for small zeta when stable: 1 + 0.667 (1 + 5) = 5.0; 4 and 8 unstable
        expected = (5.0, 5.0) if sign > 0 else (4.0, 8.0)
        found = [-v / (sign * 1e-6) for v in psi(sign * 1e-6)]
        assert found == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("logs", [(3.2, 5.6), (8.0, 8.0), (11.1, 12.9), (4.5, 4.0)])
def test_the_stability_is_the_root_that_another_solver_finds(logs: tuple[float, float]) -> None:
    def miss(zeta: float, ri: float) -> float:
        f_m, f_h, _ = profiles(zeta, *logs)
        return zeta * f_h / f_m**2 - ri

    for ri in (-40.0, -3.0, -0.2, -1e-4, 1e-5, 0.01, 0.15, 0.24, 0.4, 1.3, 5.0):
        ends = (1e-12, 1e5) if ri > 0 else (-1e5, -1e-12)
        root = brentq(miss, *ends, args=(ri,), xtol=1e-13, rtol=1e-13)
        for first in (0.0, root, 3.0 * root, -root):
            assert stability(ri, *logs, first) == pytest.approx(root, rel=1e-7), ri


def test_neutral_air_over_land_has_the_logarithmic_profile() -> None:
    c_d, c_h, gust2 = similarity(30.0, 64.0, 0.0, LAND, G, 1.0, SETTINGS)
    z = 30.1
    assert c_d == pytest.approx((0.4 / math.log(z / 0.1)) ** 2, rel=1e-12)
    assert c_h == pytest.approx(0.16 / math.log(z / 0.1) / math.log(z / 0.01), rel=1e-12)
    assert gust2 == 1.0


@pytest.mark.parametrize("wind", [8.0, 12.0, 20.0])
def test_the_neutral_sea_drags_as_measured(wind: float) -> None:
    c_d, c_h, _ = similarity(10.0, wind**2, 0.0, SEA, G, 1e-3, SETTINGS)
    # Smith (1980): 10^3 C_D = 0.61 + 0.063 U from 6 to 22 m/s; he has a standard error of 0.26
    assert 1e3 * c_d == pytest.approx(0.61 + 0.063 * wind, abs=0.26)
    # COARE 3.0: 10^3 C_H stays between 1.1 and 1.2
    assert 1.05e-3 < c_h < 1.25e-3
    # and is a solution of its own equations
    u_star = math.sqrt(c_d) * wind
    at_ten = u_star / 0.4 * math.log(1.0 + 10.0 / (10.0 * math.exp(-0.4 / math.sqrt(c_d))))
    alpha = 0.011 + 0.007 * min(max((at_ten - 10.0) / 8.0, 0.0), 1.0)
    z0 = alpha * u_star**2 / G + 0.11 * VISCOSITY / u_star
    assert 0.4 / math.log((10.0 + z0) / z0) == pytest.approx(math.sqrt(c_d), rel=1e-5)


def test_a_calm_over_warm_ground_makes_its_own_wind() -> None:
    lighter = -G * 5.0 / 300.0
    for land in (SEA, LAND, 0.3):
        _, c_h, gust2 = similarity(40.0, 0.0, lighter, land, G, 0.1, SETTINGS)
        wind = math.sqrt(gust2)
        w_star = (c_h * wind * -lighter * 1000.0) ** (1.0 / 3.0)
        assert wind == pytest.approx(1.2 * w_star, rel=1e-6)
        assert 0.5 < wind < 4.0
    # without the factor only the least gusts are left
    off = (*SETTINGS[:4], 0.0, 1000.0)
    assert similarity(40.0, 0.0, lighter, LAND, G, 0.1, off)[2] == pytest.approx(0.01)


def test_exchange_falls_from_unstable_to_stable_air_without_a_step() -> None:
    lifts = np.concatenate([-np.geomspace(1.0, 1e-9, 40), [0.0], np.geomspace(1e-9, 1.0, 40)])
    for land in (SEA, LAND, 0.5):
        for i in (0, 1):
            c = [similarity(30.0, 25.0, b, land, G, 1.0, SETTINGS)[i] for b in lifts]
            # over the sea drag makes its own roughness; the gusts in U keep it from rising
            assert all(a >= b * (1.0 - 1e-6) for a, b in itertools.pairwise(c))
            assert c[39] == pytest.approx(c[41], rel=1e-6)
            assert c[0] > 1.3 * c[40] > 4.0 * c[-1] > 0.0


def test_rougher_ground_takes_more_and_a_mixed_cell_lies_between() -> None:
    x = state(LEVELS)
    stress = []
    for share in (0.0, 0.4, 1.0):
        x["sftlf"][:] = share
        p = BulkDiffusion.Parameters(exchange="monin_obukhov", roughness_land=0.5)
        d = run(BulkDiffusion(p), x, LEVELS)[1]
        stress.append(np.hypot(d["tauu"], d["tauv"]))
    assert np.all(stress[0] < stress[1])
    assert np.all(stress[1] < stress[2])


def test_the_sea_without_waves_has_the_given_roughness() -> None:
    x = state(LEVELS)
    x["sftlf"][:] = 0.0

    def stress(**choice: object) -> np.ndarray:
        p = BulkDiffusion.Parameters.model_validate({"exchange": "monin_obukhov", **choice})
        return np.asarray(run(BulkDiffusion(p), x, LEVELS)[1]["tauu"])

    rough = stress(waves=False, roughness_sea=0.01)
    smooth = stress(waves=False, roughness_sea=1e-5)
    assert np.all(np.abs(rough) > np.abs(smooth))
    np.testing.assert_array_equal(stress(roughness_sea=0.01), stress(roughness_sea=1e-5))


def test_heat_is_not_given_a_rougher_ground_than_momentum() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        BulkDiffusion.Parameters(roughness_ratio=0.5)
