"""River routing: directions, order, linear reservoirs, and that nothing is lost."""

from __future__ import annotations

from typing import Any

import cftime
import numpy as np
import pytest

from coupler.interface.component import Arrays, Now, Site
from coupler.interface.constants import Planet
from coupler.interface.errors import DataError
from coupler.interface.grid import Grid
from physics.surface.rivers import Rivers
from physics.surface.routing import SEA, downstream_order, flow, flow_directions

Array = np.ndarray[Any, Any]


def now() -> Now:
    return Now(date=cftime.datetime(2001, 1, 1, calendar="noleap"), step=0, seconds=0.0, dt=3600.0)


def world(nlat: int = 24, nlon: int = 31, seed: int = 1) -> tuple[Array, Array]:
    """Rough hills with hollows on a few continents: height [m] and which cells are land."""
    rng = np.random.default_rng(seed)
    rough = rng.standard_normal((nlat, nlon))
    for _ in range(3):
        rough = rough + np.roll(rough, 1, 1) + np.roll(rough, 1, 0)
    land = rough > np.quantile(rough, 0.55)
    return 100.0 + 500.0 * rng.random((nlat, nlon)), land


def made(nlat: int, nlon: int, orog: Array, land: Array, **parameters: Any) -> Rivers:
    rivers = Rivers(Rivers.Parameters(nlat=nlat, nlon=nlon, **parameters))
    boundary = {"sftlf": land.astype(float), "orog": orog}
    rivers.setup(Site(planet=Planet(), dtype=np.dtype(np.float64), seed=0, boundary=boundary))
    return rivers


def test_every_hollow_drains_and_no_water_runs_up_more_than_it_must() -> None:
    orog, land = world()
    receiver = flow_directions(orog, land)
    order = downstream_order(receiver, land, Grid.regular(*land.shape))
    assert sorted(order) == list(np.flatnonzero(land))
    filled = np.full(orog.size, -np.inf)
    for cell in order[::-1]:  # from the sea upward: a cell stands as high as what it drains over
        below = int(receiver.reshape(-1)[cell])
        filled[cell] = max(orog.reshape(-1)[cell], filled[below])
        position = np.array(divmod(cell, land.shape[1])) - np.array(divmod(below, land.shape[1]))
        assert abs(position[0]) <= 1
        assert position[1] % land.shape[1] in (0, 1, land.shape[1] - 1)
    # the flood finds the lowest pass of all ways to the sea: compare with a slow relaxation
    level = np.where(land, np.inf, -np.inf)
    for _ in range(land.size):
        around = np.full(land.shape, np.inf)
        padded = np.pad(level, ((1, 1), (0, 0)), constant_values=np.inf)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                shifted = np.roll(padded, dx, axis=1)[1 + dy : 1 + dy + land.shape[0]]
                around = np.minimum(around, shifted)
        new = np.where(land, np.maximum(orog, around), -np.inf)
        if np.array_equal(new, level):
            break
        level = new
    np.testing.assert_array_equal(filled.reshape(land.shape)[land], level[land])


def test_a_valley_drains_along_its_bottom() -> None:
    orog = np.full((9, 7), 1000.0)
    orog[:, 3] = np.arange(9) * 10.0  # a valley that falls to the south
    land = np.ones((9, 7), bool)
    land[0] = False
    receiver = flow_directions(orog, land)
    for row in range(2, 9):
        assert divmod(int(receiver[row, 3]), 7) == (row - 1, 3)
    assert divmod(int(receiver[1, 3]), 7)[0] == 0
    assert (receiver[0] == SEA).all()


@pytest.mark.parametrize("steps", [1, 8, 64])
def test_a_reservoir_decays_as_the_analytic_one(steps: int) -> None:
    """V = V_0 (1 + k dt)^-n exactly, and exp(-k t) to first order in dt."""
    rate, time = 2e-6, 4e5
    volume, dt = np.array([3.0, 0.0]), time / steps
    delivered = 0.0
    for _ in range(steps):
        inflow = np.zeros(2)
        flow(np.array([0]), np.array([1, SEA]), np.array([rate, 0.0]), volume, inflow, dt)
        delivered += dt * inflow[1]
    assert volume[0] == pytest.approx(3.0 * (1.0 + rate * dt) ** -steps, rel=1e-12)
    error = volume[0] / (3.0 * np.exp(-rate * time)) - 1.0
    assert error == pytest.approx(0.5 * rate**2 * time * dt, rel=0.35)
    assert delivered + volume[0] == pytest.approx(3.0, rel=1e-14)


def test_rivers_deliver_what_ran_off_within_1e_12() -> None:
    orog, land = world()
    rivers = made(24, 31, orog, land)
    rng = np.random.default_rng(4)
    ran_off = delivered = 0.0
    for n in range(400):
        runoff = np.where(land, rng.random(land.shape) * 1e-5, 0.0) if n < 60 else 0.0 * orog
        runoff[5, 6] = 1e-6  # also of the land in a cell that is mostly sea
        rivers.step(Arrays(mrro=runoff), now())
        ran_off += rivers.dt * rivers.grid.mean(runoff)
        delivered += rivers.dt * rivers.grid.mean(rivers.fields()["friver"])
        assert (rivers.fields()["friver"][land] == 0.0).all()
    stored = rivers.grid.mean(rivers.stores()["water"])
    assert abs(delivered + stored - ran_off) < 1e-12 * ran_off
    assert 0.5 * ran_off < delivered, "most of it must have arrived"
    assert stored > 0.0


def test_a_river_in_balance_gives_what_it_gets() -> None:
    orog, land = world()
    rivers = made(24, 31, orog, land, speed=2.0)
    runoff = np.where(land, 2e-5, 0.0)
    for _ in range(6000):
        rivers.step(Arrays(mrro=runoff), now())
    given = rivers.grid.mean(rivers.fields()["friver"])
    assert given == pytest.approx(rivers.grid.mean(runoff), rel=1e-9)


def test_land_without_an_outlet_is_refused() -> None:
    orog, land = world()
    with pytest.raises(DataError, match="land cell without an outlet"):
        made(24, 31, orog, np.ones_like(land))
    receiver = flow_directions(orog, land)
    first, second = (int(c) for c in np.flatnonzero(land)[:2])
    receiver.reshape(-1)[[first, second]] = second, first
    with pytest.raises(DataError, match="land cells whose water never arrives"):
        downstream_order(receiver, land, Grid.regular(*land.shape))
