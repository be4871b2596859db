"""Sub-grid orography: what a coarse grid does not resolve, and what it does."""

import netCDF4
import numpy as np
import pytest

from coupler.input.orography import deviation, read_deviation
from coupler.interface.errors import DataError
from coupler.interface.fields import FIELDS
from coupler.interface.grid import Grid

FINE, COARSE = Grid.regular(90, 156), Grid.gaussian(10, 22)


def mountains(seed=4):
    return 300.0 * np.random.default_rng(seed).standard_normal(FINE.shape)


def write(path, values=None, units="m", grid=FINE):
    with netCDF4.Dataset(path, "w") as nc:
        for name, axis in (("lat", grid.lat), ("lon", grid.lon)):
            nc.createDimension(name, axis.size)
            nc.createVariable(name, "f8", (name,))[:] = axis
        variable = nc.createVariable("orog", "f4", ("lat", "lon"))
        variable.units = units
        variable[:] = mountains() if values is None else values
    return path


def test_roughness_within_a_cell_is_found_in_full():
    rough = 400.0 * (-1.0) ** np.add.outer(np.arange(90), np.arange(156))
    found = deviation(rough, FINE, COARSE)
    # seven by nine fine cells in a coarse one, some cut: their mean is not quite zero
    assert found == pytest.approx(np.full(COARSE.shape, 400.0), rel=0.03)


def test_a_rise_that_the_grid_resolves_is_not_roughness():
    lat = np.radians(FINE.lat)[:, None]
    smooth = 2000.0 * np.cos(lat) ** 2 * (1.0 + 0.5 * np.cos(np.radians(FINE.lon)))
    found = deviation(smooth, FINE, COARSE)
    # the control: within a cell it varies much more than about the resolved rise
    cell_mean = np.repeat(np.repeat(smooth.reshape(10, 9, 156).mean(1), 9, 0), 1, 1)
    assert np.sqrt(FINE.mean((smooth - cell_mean) ** 2)) > 80.0
    assert np.sqrt(COARSE.mean(found**2)) < 40.0


def test_the_unresolved_variance_is_kept_in_the_global_mean():
    h = mountains()
    variance = COARSE.mean(deviation(h, FINE, COARSE) ** 2)
    # white noise: cell means carry 1/63 of the variance, interpolated a little less
    assert variance == pytest.approx(FINE.mean(h**2), rel=0.03)
    shifted = deviation(h + 1234.5, FINE, COARSE)
    np.testing.assert_allclose(shifted, deviation(h, FINE, COARSE), rtol=1e-9)


def test_a_file_in_another_unit_is_converted(tmp_path):
    metres = read_deviation(write(tmp_path / "m.nc"), "orog", COARSE, FIELDS["sgh"])
    kilo = write(tmp_path / "km.nc", mountains() / 1e3, units="km")
    np.testing.assert_allclose(
        read_deviation(kilo, "orog", COARSE, FIELDS["sgh"]), metres, rtol=1e-5
    )
    stated = write(tmp_path / "none.nc", mountains() / 1e3, units="m")
    again = read_deviation(stated, "orog", COARSE, FIELDS["sgh"], file_units="km")
    np.testing.assert_allclose(again, metres, rtol=1e-5)


@pytest.mark.parametrize(
    ("grid", "values", "sentence"),
    [
        (Grid.regular(15, 40), np.zeros((15, 40)), "too coarse for sub-grid statistics"),
        (FINE, 100.0 * mountains(), "values out of range"),
        (FINE, np.full(FINE.shape, np.nan), "missing values"),
    ],
)
def test_an_unfit_orography_is_refused(tmp_path, grid, values, sentence):
    path = write(tmp_path / "bad.nc", values, grid=grid)
    with pytest.raises(DataError, match=sentence):
        read_deviation(path, "orog", COARSE, FIELDS["sgh"])
