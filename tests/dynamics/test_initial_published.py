"""Published initial states: balance, speed of the wave, rest over mountains.

ASP 2008 tests 4-0-0 and 5-0-0, DCMIP 2012 test 2-0-0; see ``physics/dynamics/initial_published``.
"""

import numpy as np
import pytest
import torch

from cases import begin
from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import filtered_orography
from physics.dynamics.initial_states import GROUNDS, INITIAL_STATES
from physics.dynamics.leapfrog import Diffusion

PLANET = Planet(
    radius=6.37122e6, rotation_rate=7.292e-5, gravity=9.80616, gas_constant_dry=287.0,
    cp_dry=1004.5,
)  # fmt: skip
RESTING = Planet(rotation_rate=0.0, gravity=9.80616, gas_constant_dry=287.0)


def started(
    name, *, truncation=21, levels="sigma9", dt=1800.0, planet=PLANET, taper=True, **options
):
    core = DynamicalCore(
        truncation=truncation, levels=HybridLevels.named(levels), planet=planet, dt=dt,
        dtype=torch.float64, tracers=0, **options,
    )  # fmt: skip
    if name in GROUNDS:
        ground = GROUNDS[name]
        surface = ground.geopotential(core.frame)
        taper = taper and not ground.smooth
        core.set_surface(filtered_orography(core.transform, surface, taper=taper))
    return begin(core, INITIAL_STATES[name](core.frame))


def change_of_wind(core, steps):
    before = core.newest()["ua"]
    for _ in range(steps):
        core.step()
    return np.abs(core.newest()["ua"] - before).max()


def test_solid_rotation_is_steady_and_the_mountain_disturbs_it():
    still = started("solid_rotation", diffusion=Diffusion(timescale=1e12))
    # The analytic ps is exp of a polynomial of sin(lat): truncated at T21 to 1e-9 of itself.
    assert change_of_wind(still, 48) < 1e-7
    disturbed = started("mountain_rossby_wave", diffusion=Diffusion(timescale=1e12))
    assert change_of_wind(disturbed, 48) > 1.0  # the control


def test_surface_pressure_is_that_of_the_paper_at_the_pole_and_lower_on_the_mountain():
    core = started("mountain_rossby_wave", truncation=31)
    x, surface = core.newest(), core.surface_grid() / PLANET.gravity
    assert x["ps"][-1].mean() == pytest.approx(9.3e4, rel=2e-3)  # the outermost row is at 87 N
    j, i = np.unravel_index(surface.argmax(), surface.shape)
    assert surface[j, i] == pytest.approx(2000.0, rel=0.03)
    # exp(-g 2000 m / (R T)) below what the other side of the globe has at that latitude
    factor = np.exp(-PLANET.gravity * surface[j, i] / (287.0 * 288.0))
    other = x["ps"][j, (i + x["ps"].shape[1] // 2) % x["ps"].shape[1]]
    assert x["ps"][j, i] / other == pytest.approx(factor, rel=1e-3)


def test_the_wave_moves_west_with_the_speed_of_the_non_divergent_one_and_keeps_its_shape():
    core = started("rossby_haurwitz", truncation=21, levels="sigma7", dt=1200.0)
    ps = core.newest()["ps"]
    # 955 hPa at its lowest mean height; the zonal flow raises the tropics.
    assert 9.4e4 < ps.min() < ps.max() < 1.05e5
    middle = 3

    def wave():
        spec = torch.from_numpy(core.memory()["spectral_now"])
        return core.transform.to_complex(spec)[middle, 4, 5]

    first = complex(wave())
    for _ in range(2 * 72):
        core.step()
    now = complex(wave())
    turned = np.degrees(-np.angle(now / first)) / 4.0 / 2.0
    # -15.0 degrees/day on a sphere of fluid without divergence; compression slows the wave.
    assert turned == pytest.approx(-15.0, abs=1.5)
    assert abs(now / first) == pytest.approx(1.0, abs=0.02)
    u = core.newest()["ua"]
    quarter = u.shape[-1] // 4
    np.testing.assert_allclose(u, np.roll(u, quarter, axis=-1), atol=1e-9)


def test_rest_over_narrow_mountains_makes_little_wind_and_a_tapered_ground_less():
    # The exact answer is none. What is left does not fall with more levels: temperature and ln ps
    # over mountains as narrow as the grid are truncated each for itself.
    tapered = change_of_wind(started("mountain_rest", levels="sigma10", planet=RESTING), 48)
    bare = started("mountain_rest", levels="sigma10", planet=RESTING, taper=False)
    assert 0.01 < tapered < 1.0
    assert change_of_wind(bare, 48) > 1.3 * tapered


def test_the_steady_flow_of_2006_has_the_ground_of_the_wave_and_no_perturbation():
    wave, steady = (
        started(name).newest()
        for name in ("jablonowski_williamson", "jablonowski_williamson_steady")
    )
    # 1 m/s before it is truncated at T21
    assert 0.5 < np.abs(wave["ua"] - steady["ua"]).max() < 1.0
    assert steady["ua"].std(axis=-1).max() < 1e-12
