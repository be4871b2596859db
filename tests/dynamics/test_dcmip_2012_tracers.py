"""DCMIP 2012 test 1-1: two blobs in a three-dimensional flow that returns after 12 days.

Kent, J., P. A. Ullrich, C. Jablonowski (2014), Q. J. R. Meteorol. Soc. 140, 1279-1293,
doi:10.1002/qj.2208. Vertical motion is not prescribed here: it follows from the horizontal winds
by the transport's own continuity and is compared with the published omega.
"""

import numpy as np

from physics.dynamics.prescribed import (
    LIFT,
    SCALE,
    SURFACE,
    TAU,
    TOP,
    blobs,
    dcmip_11,
    dcmip_grid,
    deformation_3d,
)  # fmt: skip


def omega(flow, half, t):
    """Published vertical motion at half levels [Pa s-1]."""
    lon = flow.lon - 2.0 * np.pi * t / TAU
    shape = 1.0 + np.exp((TOP - SURFACE) / SCALE)
    shape = shape - np.exp((half - SURFACE) / SCALE) - np.exp((TOP - half) / SCALE)
    return LIFT * np.sin(lon) * np.cos(flow.lat) * np.cos(2.0 * np.pi * t / TAU) * shape


def test_vertical_motion_from_continuity_is_the_published_one():
    flow, half, p = dcmip_grid(48, 30)
    q = np.ones((1, 30, 48, 96))
    flow.run(q, deformation_3d(flow, p), 600.0, 1)
    down = flow.transport._fz / flow.weights[:, None] / 600.0
    expected = omega(flow, half, 300.0)
    # Second order in the layer thickness, fourth in the mesh.
    assert np.abs(down - expected).max() < 0.02 * np.abs(expected).max()


def test_blobs_return_within_their_bounds_with_their_mass_and_their_correlation():
    found = dcmip_11(32, 20, 288)
    for numbers, (low, high) in (
        (found.q1, (0.0, 1.0)), (found.q2, (0.1, 0.9)), (found.constant, (1.0, 1.0)),
    ):  # fmt: skip
        assert numbers.low >= low - 1e-12 and numbers.high <= high + 1e-12
        assert abs(numbers.drift) < 1e-12
    assert found.constant.linf < 1e-12
    # Mixing of two correlated tracers may leave the curve towards its inside only: between the
    # curve and the chord. The two are limited each for itself, hence the allowance.
    assert found.above < 0.02 and found.below < 0.02
    # The blobs are two layers thick and five cells wide here: what must hold is that some is left.
    assert found.q1.l2 < 0.85


def test_the_error_falls_with_thinner_layers_and_a_finer_mesh():
    errors = []
    for nlat, levels, steps in ((24, 15, 144), (48, 30, 288)):
        flow, _, p = dcmip_grid(nlat, levels)
        first = blobs(flow, p)
        q = flow.run(first[None].copy(), deformation_3d(flow, p), TAU, steps)
        errors.append(flow.norms(q[0], first)[1])
    assert errors[1] < 0.85 * errors[0]
