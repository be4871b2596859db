"""Remapping between grids, against brute force, analytic integrals and conservation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coupler.exchange.regrid import (
    Regridder,
    latitude_overlap,
    longitude_overlap,
    sine_edges,
)
from coupler.interface.errors import ExchangeError
from coupler.interface.grid import Grid

ROUND_OFF = 1e-14
"""Relative; sums of at most a few thousand float64 terms that are themselves of order one."""


def rough_field(grid: Grid, seed: int = 3) -> np.ndarray:
    """Positive values without any smoothness."""
    return np.random.default_rng(seed).uniform(1.0, 2.0, grid.shape)


def shifted(grid: Grid, degrees: float) -> Grid:
    """The grid turned eastward."""
    return Grid(
        kind=grid.kind,
        lat=grid.lat,
        lon=grid.lon + degrees,
        lat_bounds=grid.lat_bounds,
        lon_bounds=grid.lon_bounds + degrees,
        weights=grid.weights,
    )


grids = st.one_of(
    st.builds(
        lambda n, m, d: shifted(Grid.gaussian(2 * n, 2 * m), d),
        st.integers(1, 20),
        st.integers(2, 30),
        st.floats(0, 700),
    ),
    st.builds(
        lambda n, m, d: shifted(Grid.regular(n, m), d),
        st.integers(2, 37),
        st.integers(4, 53),
        st.floats(-400, 0),
    ),
)


def brute_force(source: Grid, target: Grid, field: np.ndarray, fine: int = 480) -> np.ndarray:
    """Means over target cells of the piecewise constant source, sampled on equal-area points."""
    sine = (np.arange(fine) + 0.5) / fine * 2 - 1
    lon = (np.arange(2 * fine) + 0.5) / (2 * fine) * 360

    def cell(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        edges = np.sin(np.radians(grid.lat_bounds))
        rows = np.clip(np.searchsorted(edges, sine) - 1, 0, grid.shape[0] - 1)
        east = np.mod(lon - grid.lon_bounds[0], 360.0)
        width = 360.0 / grid.shape[1]
        return rows, np.minimum((east / width).astype(int), grid.shape[1] - 1)

    (sj, sl), (ti, tk) = cell(source), cell(target)
    values = field[np.ix_(sj, sl)]
    flat = (ti[:, None] * target.shape[1] + tk[None, :]).ravel()
    total = np.bincount(flat, values.ravel(), target.ncol)
    return (total / np.bincount(flat, minlength=target.ncol)).reshape(target.shape)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (Grid.gaussian(14, 22), Grid.regular(9, 13)),
        (Grid.regular(17, 25), Grid.gaussian(8, 12)),
        (shifted(Grid.regular(11, 7), -180.0), Grid.gaussian(10, 18)),
    ],
)
def test_conservative_values_are_means_over_finely_sampled_cells(source, target):
    field = rough_field(source)
    got = Regridder(source, target).apply(field)
    expected = brute_force(source, target, field)
    # A target cell is sampled by about 2e3 points, wrong only along edges: about 1 % of a jump.
    assert np.abs(got - expected).max() < 0.03
    assert np.sqrt(np.mean((got - expected) ** 2)) < 0.006


@settings(deadline=None, max_examples=60)
@given(source=grids, target=grids, seed=st.integers(0, 99))
def test_conservative_remapping_keeps_constants_bounds_and_the_integral(source, target, seed):
    field = rough_field(source, seed)
    regrid = Regridder(source, target)
    out = regrid.apply(field)
    assert abs(target.mean(out) / source.mean(field) - 1.0) < ROUND_OFF
    # The sum and the divisor of one cell each carry a few units of round-off.
    assert np.abs(regrid.apply(np.full(source.shape, 7.25)) / 7.25 - 1.0).max() < ROUND_OFF
    assert out.min() >= field.min() * (1 - ROUND_OFF)
    assert out.max() <= field.max() * (1 + ROUND_OFF)


def test_bilinear_remapping_does_not_conserve_which_shows_that_the_test_above_can_fail():
    source, target = Grid.gaussian(14, 22), Grid.regular(9, 13)
    field = rough_field(source)
    out = Regridder(source, target, "bilinear").apply(field)
    assert abs(target.mean(out) / source.mean(field) - 1.0) > 1e-4


def test_overlaps_add_up_to_the_cells_of_either_grid():
    source, target = Grid.gaussian(10, 14), shifted(Grid.regular(7, 9), 123.0)
    lat, lon = latitude_overlap(source, target), longitude_overlap(source, target)
    np.testing.assert_allclose(lat.sum(axis=1), target.weights, atol=1e-15)
    np.testing.assert_allclose(lat.sum(axis=0), source.weights, atol=1e-15)
    np.testing.assert_allclose(lon.sum(axis=1), np.diff(target.lon_bounds) / 360, atol=1e-15)
    np.testing.assert_allclose(lon.sum(axis=0), np.diff(source.lon_bounds) / 360, atol=1e-15)


def test_a_grid_remapped_to_itself_stays_as_it_is():
    grid = Grid.gaussian(12, 18)
    field = rough_field(grid)
    for method in ("conservative", "bilinear", "nearest"):
        out = Regridder(grid, grid, method).apply(field)
        np.testing.assert_allclose(out, field, rtol=1e-13)  # 1e-13: edges that all but coincide


def test_conservative_remapping_of_cell_means_of_sine_latitude_is_exact_where_cells_nest():
    source, target = Grid.regular(36, 12), Grid.regular(9, 4)
    edges, coarse = sine_edges(source), sine_edges(target)
    field = np.repeat(0.5 * (edges[1:] + edges[:-1])[:, None], 12, axis=1)
    expected = np.repeat(0.5 * (coarse[1:] + coarse[:-1])[:, None], 4, axis=1)
    np.testing.assert_allclose(Regridder(source, target).apply(field), expected, atol=1e-15)


def test_bilinear_remapping_is_exact_for_linear_fields_and_second_order_for_waves():
    source, target = Grid.regular(19, 30), Grid.gaussian(16, 26)
    linear = np.repeat(source.lat[:, None], 30, axis=1)
    inside = np.abs(target.lat) <= source.lat[-1]
    out = Regridder(source, target, "bilinear").apply(linear)
    np.testing.assert_allclose(out[inside], np.repeat(target.lat[inside, None], 26, 1), atol=1e-12)

    def error(nlon: int) -> float:
        grid = Grid.regular(19, nlon)
        wave = np.repeat(np.cos(np.radians(2 * grid.lon))[None, :], 19, axis=0)
        exact = np.cos(np.radians(2 * target.lon))
        return float(np.abs(Regridder(grid, target, "bilinear").apply(wave) - exact).max())

    assert error(30) < 0.5 * np.radians(12.0) ** 2  # h^2 |f''| / 8 with f'' = -4 f
    assert 3.0 < error(40) / error(80) < 5.0


def test_nearest_takes_the_closest_centre_on_the_sphere():
    source, target = Grid.gaussian(10, 14), Grid.regular(7, 9)
    field = np.arange(source.ncol, dtype=np.float64).reshape(source.shape)
    out = Regridder(source, target, "nearest").apply(field)
    lat, lon = np.meshgrid(np.radians(source.lat), np.radians(source.lon), indexing="ij")
    for i, k in ((0, 0), (3, 8), (6, 5), (2, 1)):
        a, b = np.radians(target.lat[i]), np.radians(target.lon[k])
        cosine = np.sin(a) * np.sin(lat) + np.cos(a) * np.cos(lat) * np.cos(b - lon)
        assert cosine.flat[int(out[i, k])] == pytest.approx(cosine.max(), abs=1e-14)


def test_float32_fields_are_remapped_in_float64_and_stay_float32():
    source, target = Grid.gaussian(14, 22), Grid.regular(9, 13)
    field = rough_field(source).astype(np.float32)
    regrid = Regridder(source, target)
    out = regrid.apply(field)
    assert out.dtype == np.float32
    exact = regrid.apply(field.astype(np.float64))
    assert np.array_equal(out, exact.astype(np.float32))
    single = np.empty(target.shape)
    assert regrid.apply(field, single) is single
    assert np.array_equal(single, exact)


def test_leading_dimensions_are_remapped_one_by_one_into_the_given_array():
    source, target = Grid.gaussian(8, 14), Grid.regular(5, 9)
    field = np.random.default_rng(0).normal(size=(3, 2, *source.shape))
    regrid = Regridder(source, target)
    out = np.empty((3, 2, *target.shape))
    assert regrid.apply(field, out) is out
    for i in range(3):
        for k in range(2):
            np.testing.assert_allclose(out[i, k], regrid.apply(field[i, k]), rtol=1e-12)


@pytest.fixture
def half_land():
    """Grids and a sea fraction with whole, partial and missing cells."""
    source, target = Grid.regular(13, 21), Grid.gaussian(8, 12)
    fraction = np.random.default_rng(5).uniform(0, 1, source.shape)
    fraction[fraction < 0.3] = 0.0
    fraction[:, :7] = 0.0  # a continent wider than a target cell
    return source, target, fraction


def test_normalised_by_fraction_constants_stay_and_the_covered_integral_is_conserved(half_land):
    source, target, fraction = half_land
    regrid = Regridder(source, target, source_fraction=fraction)
    field = np.where(fraction > 0, rough_field(source), np.nan)  # land values must not matter
    out = regrid.apply(field)
    sea = regrid.coverage > 0
    assert 0 < np.count_nonzero(~sea) < target.ncol
    assert np.isnan(out[~sea]).all()
    assert np.isfinite(out[sea]).all()
    kept = target.mean(np.where(sea, out, 0.0) * regrid.coverage)
    given_in = source.mean(np.where(fraction > 0, field, 0.0) * fraction)
    assert abs(kept / given_in - 1) < ROUND_OFF
    constant = regrid.apply(np.full(source.shape, 3.0))
    assert np.abs(constant[sea] - 3.0).max() < 1e-13
    # The control: whole cells as divisor of the integral would not conserve.
    assert abs(target.mean(np.where(sea, out, 0.0)) / given_in - 1) > 1e-2


def test_normalised_by_destination_the_integral_over_whole_cells_is_conserved(half_land):
    source, target, fraction = half_land
    regrid = Regridder(source, target, source_fraction=fraction, normalise="destination", fill=0.0)
    field = rough_field(source)
    out = regrid.apply(field)
    assert abs(target.mean(out) / source.mean(field * fraction) - 1) < ROUND_OFF
    diluted = regrid.apply(np.full(source.shape, 3.0))
    assert diluted.max() <= 3.0 + 1e-13
    assert diluted.min() == 0.0
    np.testing.assert_allclose(diluted, 3.0 * regrid.coverage, atol=1e-13)


def test_coverage_is_the_remapped_fraction(half_land):
    source, target, fraction = half_land
    masked = Regridder(source, target, source_fraction=fraction)
    np.testing.assert_allclose(
        masked.coverage, Regridder(source, target).apply(fraction), atol=1e-14
    )


def test_cells_without_data_can_be_filled_from_the_nearest_valid_cell(half_land):
    source, target, fraction = half_land
    field = np.where(fraction > 0, rough_field(source), np.nan)
    for method in ("conservative", "bilinear", "nearest"):
        out = Regridder(source, target, method, source_fraction=fraction, fill="nearest").apply(
            field
        )
        assert np.isfinite(out).all()
        assert 1.0 <= out.min() <= out.max() <= 2.0


def test_unusable_requests_are_refused_in_one_sentence():
    source, target = Grid.gaussian(8, 14), Grid.regular(5, 9)
    with pytest.raises(ExchangeError, match="unknown method of remapping: conservativ; did you"):
        Regridder(source, target, "conservativ")
    with pytest.raises(ExchangeError, match="unknown normalise of remapping"):
        Regridder(source, target, normalise="area")
    with pytest.raises(ExchangeError, match=r"bad source fraction: shape \(5, 9\)"):
        Regridder(source, target, source_fraction=np.ones(target.shape))
    with pytest.raises(ExchangeError, match="values from 0 to 1"):
        Regridder(source, target, source_fraction=np.full(source.shape, 1.5))
    with pytest.raises(ExchangeError, match="values from 0 to 1"):
        Regridder(source, target, source_fraction=np.full(source.shape, np.nan))
    with pytest.raises(ExchangeError, match="no valid source cell"):
        Regridder(source, target, source_fraction=np.zeros(source.shape))
    regrid = Regridder(source, target)
    with pytest.raises(ExchangeError, match="field is not on the source grid"):
        regrid.apply(np.zeros(target.shape))
    with pytest.raises(ExchangeError, match="output is not on the target grid"):
        regrid.apply(np.zeros(source.shape), np.zeros(source.shape))
    patch = Grid(
        kind="regular",
        lat=np.array([10.0, 20.0]),
        lon=np.array([0.0, 90.0]),
        lat_bounds=np.array([5.0, 15.0, 25.0]),
        lon_bounds=np.array([-45.0, 45.0, 135.0]),
        weights=np.array([0.5, 0.5]),
    )
    with pytest.raises(ExchangeError, match=r"grid cannot be remapped.*cells that fill the sphere"):
        Regridder(patch, target)
