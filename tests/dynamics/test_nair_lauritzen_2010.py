"""Deformational flow of Nair and Lauritzen (2010) that returns; solid rotation of a bell.

Numbers of a cubic semi-Lagrangian scheme, from the tests of a published core: two Gaussian hills in
256 steps, l2 = 0.24 at T42; the bell over the poles at T42, l2 = 0.16 in 250 steps.
"""

import numpy as np
import pytest

from coupler.interface.errors import UnstableError
from physics.dynamics import transport_kernels as kernels
from physics.dynamics.prescribed import (
    DAY,
    Flow,
    bell,
    deformation,
    hills,
    nair_lauritzen,
    rotation,
)
from physics.dynamics.transport import GridTransport


def returned(nlat, steps, dtype=np.float64):
    """Flow, start, end (hills and a constant), and the extremes and mass after every step."""
    flow = Flow(nlat, radius=1.0, dtype=dtype)
    start = hills(flow)
    q = np.stack([start, np.ones_like(start)]).astype(dtype)
    seen = []

    def watch(q):
        seen.append((q[0].min(), q[0].max(), flow.mass(q[0])))

    return flow, start, flow.run(q, deformation(flow), 5.0, steps, watch), np.array(seen)


def test_hills_return_closer_than_with_the_published_semi_lagrangian_scheme():
    flow, start, end, seen = returned(64, 256)
    l1, l2, linf = flow.norms(end[0], start)
    numbers = nair_lauritzen(64, 256)
    assert (l1, l2, linf) == (numbers["hills"].l1, numbers["hills"].l2, numbers["hills"].linf)
    cylinders = numbers["cylinders"]
    assert cylinders.l2 < 0.44 and 0.1 - 1e-12 < cylinders.low < cylinders.high < 1.0 + 1e-12
    assert abs(cylinders.drift) < 1e-12
    assert l1 < 0.20 and l2 < 0.215 and linf < 0.33  # seen: 0.195, 0.210, 0.318
    assert seen[:, 0].min() >= start.min() and seen[:, 1].max() <= start.max()
    # per step: rounding of a sum over 8192 cells
    assert np.abs(np.diff(seen[:, 2])).max() < 1e-12 * flow.mass(start)
    assert abs(flow.mass(end[0]) / flow.mass(start) - 1.0) < 1e-12
    assert np.abs(end[1] - 1.0).max() < 1e-12


def test_the_error_falls_by_more_than_half_from_t21_to_t42():
    errors = [
        flow.norms(end[0], start)[1]
        for flow, start, end, _ in (returned(32, 128), returned(64, 256))
    ]
    assert errors[1] < 0.5 * errors[0]  # the limiter flattens peaks: between first and second order


def test_float32_keeps_bounds_and_mass_to_its_rounding():
    flow, start, end, seen = returned(32, 128, np.float32)
    assert seen[:, 0].min() >= 0.0
    assert abs(seen[-1, 2] / flow.mass(start) - 1.0) < 1e-6
    assert np.abs(end[1] - 1.0).max() < 1e-4


@pytest.mark.parametrize("angle", [0.0, 0.05, 0.5 * np.pi - 0.05, 0.5 * np.pi])
def test_the_bell_comes_round_the_globe_along_the_equator_and_over_the_poles(angle):
    flow = Flow(64)
    start = bell(flow)
    q = flow.run(np.stack([start, 0.3 + 0.0 * start]), rotation(flow, angle), 12.0 * DAY, 250)
    assert flow.norms(q[0], start)[1] < 0.14  # seen: 0.097, 0.099, 0.112, 0.133
    assert q[0].min() >= 0.0 and q[0].max() <= 1.0
    assert abs(flow.mass(q[0]) / flow.mass(start) - 1.0) < 1e-12
    assert np.abs(q[1] - 0.3).max() < 1e-12


def test_spectral_transport_of_the_same_flow_is_closer_and_leaves_the_bounds():
    """The control of the bounds; smooth hills are what spectral transport is good at."""
    grid, spectral = nair_lauritzen(32, 128), nair_lauritzen(32, 128, scheme="spectral")
    assert spectral["hills"].l2 < 0.5 * grid["hills"].l2
    assert spectral["hills"].low < -0.1
    assert spectral["cylinders"].low < -0.3 and spectral["cylinders"].high > 1.2


def test_without_closing_the_columns_a_constant_does_not_stay_constant(monkeypatch):
    """The control of the constant."""
    flow = Flow(32)
    monkeypatch.setattr(
        GridTransport, "_closing_flux", lambda self: (np.zeros((32, 64)), np.zeros((33, 64)))
    )
    q = flow.run(np.ones((1, 1, 32, 64)), rotation(flow, 0.7), 0.5 * DAY, 10)
    assert np.abs(q - 1.0).max() > 1e-6


def test_the_advective_form_loses_mass():
    """The control of the mass: one upstream step of q -= dt V . grad q."""
    flow = Flow(32, radius=1.0)
    q, (u, v) = np.exp(-5.0 * flow.arc(1.0, 0.4) ** 2)[None], deformation(flow)(0.3)
    east = (np.roll(q, -1, 2) - np.roll(q, 1, 2)) / (2.0 * (flow.lon[0, 1]) * np.cos(flow.lat))
    north = np.gradient(q, flow.lat[:, 0], axis=1)
    assert abs(flow.mass(q - 5.0 / 128 * (u * east + v * north)) / flow.mass(q) - 1.0) > 1e-9


def test_a_step_that_empties_a_cell_is_refused_and_says_what_to_do():
    flow = Flow(32)
    with pytest.raises(UnstableError, match=r"found \d+ without air; shorten dt"):
        flow.run(np.ones((1, 1, 32, 64)), rotation(flow, 0.5 * np.pi), 12.0 * DAY, 10)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("spoiled", ["nothing", "emptied", "flux", "mass"])
@pytest.mark.parametrize("sweep", ["east", "north", "down"])
def test_every_sweep_counts_cells_without_air(sweep, spoiled, kind):
    levels, nlat, nlon = 4, 8, 16
    q, mass = np.ones((1, levels, nlat, nlon), kind), np.ones((levels, nlat, nlon), kind)
    shape = {"east": (4, 8, 16), "north": (4, 9, 16), "down": (5, 8, 16)}[sweep]
    flux = np.zeros(shape, kind)
    if spoiled == "emptied":
        flux[2, 3, 5] = 1.0  # all that the cell has, into one neighbour
    elif spoiled == "flux":
        flux[2, 3, 5] = np.nan
    elif spoiled == "mass":
        mass[2, 3, 5] = np.nan
    scratch = np.zeros((7, nlon + 6) if sweep == "east" else (8, nlat + 4, nlon), kind)
    count = getattr(kernels, f"sweep_{sweep}")(q, mass, flux, scratch)
    if spoiled == "nothing":
        assert count == 0.0 and (q == 1.0).all()
    elif spoiled == "emptied":
        assert count == 1.0
    else:
        assert count >= 1.0


def test_an_odd_number_of_longitudes_is_refused():
    mu, weights = np.polynomial.legendre.leggauss(8)
    with pytest.raises(ValueError, match="even number of longitudes, got 15"):
        GridTransport(
            sin_lat=mu,
            weights=weights,
            nlon=15,
            a=[0.0, 0.0],
            b=[0.0, 1.0],
            radius=1.0,
            dtype=float,
        )
