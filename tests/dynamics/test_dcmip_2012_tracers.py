"""DCMIP 2012 test 1-1: two blobs in a three-dimensional flow that returns after 12 days.

Kent, J., P. A. Ullrich, C. Jablonowski (2014), Q. J. R. Meteorol. Soc. 140, 1279-1293,
doi:10.1002/qj.2208. Vertical motion is not prescribed here: it follows from the horizontal winds
by the transport's own continuity and is compared with the published omega.
"""

import numpy as np
from prescribed import DAY, EARTH, Flow

TAU, TOP, SURFACE = 12.0 * DAY, 25494.4, 1.0e5
LIFT, SCALE = 23000.0 * np.pi / TAU, 0.2 * TOP


def flow_and_pressure(nlat, levels):
    b = np.linspace(0.0, 1.0, levels + 1)
    flow = Flow(nlat, a=TOP * (1.0 - b), b=b)
    half = flow.a + flow.b * SURFACE
    return flow, half[:, None, None], 0.5 * (half[1:] + half[:-1])[:, None, None]


def wind(flow, p):
    strength = 10.0 * EARTH / TAU

    def at(t):
        lon, swing = flow.lon - 2.0 * np.pi * t / TAU, np.cos(np.pi * t / TAU)
        cos = np.cos(flow.lat)
        column = np.exp((TOP - p) / SCALE) - np.exp((p - SURFACE) / SCALE)
        u = strength * np.sin(lon) ** 2 * np.sin(2.0 * flow.lat) * swing
        u = u + 2.0 * np.pi * EARTH / TAU * cos
        turn = np.cos(2.0 * np.pi * t / TAU)
        u = u + LIFT * EARTH / SCALE * np.cos(lon) * cos**2 * turn * column
        return u, strength * np.sin(2.0 * lon) * cos * swing

    return at


def omega(flow, half, t):
    """Published vertical motion at half levels [Pa s-1]."""
    lon = flow.lon - 2.0 * np.pi * t / TAU
    shape = 1.0 + np.exp((TOP - SURFACE) / SCALE)
    shape = shape - np.exp((half - SURFACE) / SCALE) - np.exp((TOP - half) / SCALE)
    return LIFT * np.sin(lon) * np.cos(flow.lat) * np.cos(2.0 * np.pi * t / TAU) * shape


def blobs(flow, p):
    z = 287.0 * 300.0 / 9.80616 * np.log(SURFACE / p)

    def blob(lon):
        d = (2.0 * flow.arc(lon, 0.0)) ** 2 + ((z - 5000.0) / 1000.0) ** 2
        return 0.5 * (1.0 + np.cos(np.pi * np.minimum(1.0, d)))

    return blob(5.0 * np.pi / 6.0) + blob(7.0 * np.pi / 6.0)


def test_vertical_motion_from_continuity_is_the_published_one():
    flow, half, p = flow_and_pressure(48, 30)
    q = np.ones((1, 30, 48, 96))
    flow.run(q, wind(flow, p), 600.0, 1)
    down = flow.transport._fz / flow.weights[:, None] / 600.0
    expected = omega(flow, half, 300.0)
    # Second order in the layer thickness, fourth in the mesh.
    assert np.abs(down - expected).max() < 0.02 * np.abs(expected).max()


def test_blobs_return_within_their_bounds_with_their_mass_and_their_correlation():
    flow, _, p = flow_and_pressure(32, 20)
    first = blobs(flow, p)
    second = 0.9 - 0.8 * first**2
    q = np.stack([first, second, np.ones_like(first)])
    lows, highs = q.min((1, 2, 3)), q.max((1, 2, 3))
    masses = [flow.mass(x) for x in q]
    flow.run(q, wind(flow, p), TAU, 288)
    assert np.all(q.min((1, 2, 3)) >= lows - 1e-12) and np.all(q.max((1, 2, 3)) <= highs + 1e-12)
    for before, after in zip(masses, q, strict=True):
        assert abs(flow.mass(after) / before - 1.0) < 1e-12
    assert np.abs(q[2] - 1.0).max() < 1e-12
    # Mixing of two correlated tracers may leave the curve towards its inside only: between the
    # curve and the chord. The two are limited each for itself, hence the allowance.
    curve, chord = 0.9 - 0.8 * q[0] ** 2, 0.9 - 0.8 * q[0] * first.max()
    assert np.all(q[1] < curve + 0.02) and np.all(q[1] > chord - 0.02)
    # The blobs are two layers thick and five cells wide here: what must hold is that some is left.
    assert flow.norms(q[0], first)[1] < 0.85


def test_the_error_falls_with_thinner_layers_and_a_finer_mesh():
    errors = []
    for nlat, levels, steps in ((24, 15, 144), (48, 30, 288)):
        flow, _, p = flow_and_pressure(nlat, levels)
        first = blobs(flow, p)
        q = flow.run(first[None].copy(), wind(flow, p), TAU, steps)
        errors.append(flow.norms(q[0], first)[1])
    assert errors[1] < 0.85 * errors[0]
