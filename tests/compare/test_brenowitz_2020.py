"""Schemes coupled to linear gravity waves (Brenowitz et al. 2020, doi:10.1175/JAS-D-20-0082.1)."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from coupler.compare.stability.waves import Base, Coupling, Diagram, diagram, uniform

LID, HEIGHT, N2 = 16e3, 8e3, 1.2e-4
NAMES = ("uu", "ut", "uq", "tu", "tt", "tq", "qu", "qt", "qq")


def speeds(points: int) -> np.ndarray:
    """Phase speeds of the vertical modes, fastest first; every one goes both ways."""
    base = uniform(buoyancy=N2, lid=LID, scale_height=HEIGHT, points=points)
    found = diagram(base, None, np.array([1000e3]), damping=0.0)
    assert np.abs(found.growth).max() < 1e-9
    return np.sort(found.speed[0])[::-2]


def analytic(n: np.ndarray) -> np.ndarray:
    return np.sqrt(N2) / np.sqrt((n * np.pi / LID) ** 2 + 1.0 / (4.0 * HEIGHT**2))


def coupling(base: Base, **blocks: np.ndarray) -> Coupling:
    """The given blocks, zero elsewhere."""
    n = base.lift.size
    of = {"u": n + 1, "t": n, "q": n}
    empty = {p: np.zeros((of[p[0]], of[p[1]])) for p in NAMES}
    return Coupling(**{**empty, **blocks})


def test_forty_levels_give_the_phase_speeds_of_the_vertical_modes() -> None:
    # 40 layers under a lid at 16 km, N^2 = 1.2e-4 s-2, density exp(-z/8 km).
    assert [round(float(c), 1) for c in speeds(39)[:4]] == [53.2, 27.6, 18.5, 14.0]


def test_phase_speeds_go_to_the_analytic_ones_with_the_square_of_the_layers() -> None:
    theory = analytic(np.arange(1, 5))
    assert theory == pytest.approx([53.16, 27.55, 18.49, 13.90], abs=0.01)
    error = [np.abs(speeds(points)[:4] - theory).max() for points in (19, 39, 79)]
    for coarse, fine in pairwise(error):
        assert coarse / fine == pytest.approx(4.0, rel=0.05)  # second order


def test_waves_have_no_dispersion_and_damping_takes_half_of_itself() -> None:
    base = uniform(buoyancy=N2, lid=LID, scale_height=HEIGHT, points=17)
    free = diagram(base, None, np.array([300e3, 3000e3]), damping=0.0)
    assert np.sort(free.speed[0]) == pytest.approx(np.sort(free.speed[1]))
    d = 1e-6  # far below all frequencies: w is damped, T is not
    damped = diagram(base, None, np.array([300e3]), damping=d)
    assert damped.growth == pytest.approx(-0.5 * d * 86400.0, rel=1e-3)


def test_drag_on_the_wind_damps_waves_as_damping_of_w_does() -> None:
    base = uniform(buoyancy=N2, lid=LID, scale_height=HEIGHT, points=13)
    d, at = 2e-6, np.array([500e3, 5000e3])
    drag = diagram(base, coupling(base, uu=-d * np.eye(14)), at, damping=0.0)
    same = diagram(base, None, at, damping=d)
    assert np.sort(drag.growth) == pytest.approx(np.sort(same.growth), abs=1e-9)
    assert np.sort(drag.speed) == pytest.approx(np.sort(same.speed), rel=1e-6)


def test_a_wind_that_pushes_itself_makes_waves_grow_and_is_flagged() -> None:
    base = uniform(buoyancy=N2, lid=LID, scale_height=HEIGHT, points=13)
    rate = 1.0 / 86400.0
    found = diagram(base, coupling(base, uu=rate * np.eye(14)), np.array([500e3]), damping=0.0)
    growth, length, speed = found.worst()
    assert growth == pytest.approx(0.5, rel=1e-3)  # the wind is half of a wave's energy
    assert (length, speed > 5.0) == (500e3, True)


def test_a_standing_mode_is_not_taken_for_a_fast_one() -> None:
    found = Diagram(
        wavelengths=np.array([1e5, 1e6]),
        growth=np.array([[3.0, -1.0], [2.0, 0.5]]),
        speed=np.array([[0.0, 20.0], [4.9, 12.0]]),
    )
    assert found.worst() == (0.5, 1e6, 12.0)
    assert found.worst(faster=-1.0) == (3.0, 1e5, 0.0)


def test_moisture_that_heats_where_air_rises_slows_waves() -> None:
    """Condensation of a share of what a rising parcel brings makes N^2 that much smaller."""
    n, share, fast = 13, 0.75, 1.0 / 600.0
    base = uniform(buoyancy=N2, lid=LID, scale_height=HEIGHT, points=n)
    base = replace(base, moistening=np.full(n, -1e-6))
    per = -share * base.heating / base.moistening * fast  # K per unit of humidity that condenses
    wet = coupling(base, qq=-fast * np.eye(n), tq=np.diag(per))
    slow = diagram(base, wet, np.array([20000e3]), damping=0.0)
    dry = diagram(base, None, np.array([20000e3]), damping=0.0)
    # Fast condensation: q follows w, and only (1 - share) of the lifting cools.
    ratio = np.sort(slow.speed[0])[::-2][0] / np.sort(dry.speed[0])[::-2][0]
    assert ratio == pytest.approx(np.sqrt(1.0 - share), rel=0.02)
    assert slow.growth.max() < 0.1


def test_moisture_that_only_the_wind_looks_at_acts_on_waves() -> None:
    base = uniform(buoyancy=N2, lid=LID, scale_height=HEIGHT, points=13)
    twin = replace(base, moistening=base.heating)  # then q is T, whatever the air does
    push = 2e-5 * np.eye(14, 13) + 1e-5 * np.eye(14, 13, k=-1)
    at = np.array([500e3])
    by_t = diagram(twin, coupling(base, ut=push), at, damping=0.0).growth.max()
    by_q = diagram(twin, coupling(base, uq=push), at, damping=0.0).growth.max()
    assert by_t > 0.01
    assert by_q == pytest.approx(by_t, rel=1e-6)
