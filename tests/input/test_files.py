"""Reading netCDF files: everything that can be wrong gets one clear sentence."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from coupler.input.classic import missing_bytes
from coupler.input.files import grid_of, open_file, read_field
from coupler.interface.errors import DataError
from coupler.interface.grid import Grid

LAT = np.array([-60.0, -20.0, 20.0, 60.0, 80.0])
LON = np.array([0.0, 60.0, 120.0, 180.0, 240.0, 300.0])


def field() -> np.ndarray:
    return np.arange(30.0).reshape(5, 6)


def a_file(
    path: Path,
    values: np.ndarray,
    dims: tuple[str, ...],
    coordinates: dict[str, np.ndarray],
    *,
    format: str = "NETCDF4",
    name: str = "tos",
    **attributes: str,
) -> Path:
    with netCDF4.Dataset(path, "w", format=format) as nc:
        for dim, size in zip(dims, values.shape, strict=True):
            nc.createDimension(dim, size)
        for dim, given in coordinates.items():
            nc.createVariable(dim, "f8", (dim,))[:] = given
        nc.createVariable(name, values.dtype, dims)[...] = values
        nc[name].setncatts(attributes)
    return path


def latlon(path: Path, values: np.ndarray | None = None, **options) -> Path:
    values = field() if values is None else values
    return a_file(path, values, ("lat", "lon"), {"lat": LAT, "lon": LON}, **options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sea.nc"


def test_a_field_is_read_in_float64_with_its_coordinates(path):
    read = read_field(latlon(path, field().astype(np.float32)), "tos", ("lat", "lon"))
    assert read.values.dtype == np.float64
    np.testing.assert_array_equal(read.values, field())
    np.testing.assert_array_equal(read.coordinates["lat"], LAT)
    np.testing.assert_array_equal(read.coordinates["lon"], LON)
    assert read.missing is None


def test_dimensions_are_taken_by_name_in_any_order(path):
    values = np.arange(60.0).reshape(2, 5, 6)
    a_file(
        path,
        values.transpose(2, 0, 1),
        ("longitude", "plev", "latitude"),
        {"longitude": LON, "plev": np.array([500.0, 850.0]), "latitude": LAT},
    )
    read = read_field(path, "tos", ("level", "lat", "lon"))
    np.testing.assert_array_equal(read.values, values)
    assert read.values.flags.c_contiguous
    np.testing.assert_array_equal(read.coordinates["level"], [500.0, 850.0])


def test_dimensions_are_recognised_by_the_attributes_of_their_coordinates(path):
    a_file(path, field(), ("rows", "cols"), {"rows": LAT, "cols": LON})
    with netCDF4.Dataset(path, "a") as nc:
        nc["rows"].units = "degrees_north"
        nc["cols"].standard_name = "longitude"
    np.testing.assert_array_equal(read_field(path, "tos", ("lat", "lon")).values, field())


def test_descending_latitudes_are_turned(path):
    a_file(path, field()[::-1], ("lat", "lon"), {"lat": LAT[::-1], "lon": LON})
    read = read_field(path, "tos", ("lat", "lon"))
    np.testing.assert_array_equal(read.values, field())
    np.testing.assert_array_equal(read.coordinates["lat"], LAT)


@pytest.mark.parametrize("shift", [3, 2, 5])
def test_longitudes_west_of_zero_are_rolled(path, shift):
    west = np.where(LON[shift] <= LON, LON - 360.0, LON)
    order = np.argsort(west)
    a_file(path, field()[:, order], ("lat", "lon"), {"lat": LAT, "lon": west[order]})
    read = read_field(path, "tos", ("lat", "lon"))
    np.testing.assert_array_equal(read.values, field())
    np.testing.assert_array_equal(read.coordinates["lon"], LON)


def test_a_meridian_given_twice_is_dropped(path):
    a_file(
        path,
        np.concatenate([field(), field()[:, :1]], axis=1),
        ("lat", "lon"),
        {"lat": LAT, "lon": np.append(LON, 360.0)},
    )
    np.testing.assert_array_equal(read_field(path, "tos", ("lat", "lon")).values, field())


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        ("degC", "K", 20.0 + 273.15),
        ("K", "degC", 20.0 - 273.15),
        ("hPa", "Pa", 2000.0),
        ("millibars", "Pa", 2000.0),
        ("m2 s-2", "m", 20.0 / 9.80665),
        ("m**2 s**-2", "m", 20.0 / 9.80665),
        ("m", "m2 s-2", 20.0 * 9.80665),
        ("km", "m2 s-2", 20.0e3 * 9.80665),
        ("%", "1", 0.2),
        ("(0 - 1)", "1", 20.0),
        ("kg kg**-1", "1", 20.0),
        ("g/kg", "1", 0.02),
    ],
)
def test_units_are_converted(path, found, wanted, expected):
    latlon(path, np.full((5, 6), 20.0), units=found)
    read = read_field(path, "tos", ("lat", "lon"), units=wanted)
    assert read.values[2, 3] == pytest.approx(expected, rel=1e-13)


def test_a_missing_or_wrong_unit_can_be_corrected(path):
    latlon(path, units="m2 s-2")
    as_is = read_field(path, "tos", ("lat", "lon"), units="m", file_units="m").values
    np.testing.assert_array_equal(as_is, field())
    latlon(path)
    np.testing.assert_array_equal(
        read_field(path, "tos", ("lat", "lon"), units="K").values, field()
    )
    warm = read_field(path, "tos", ("lat", "lon"), units="K", file_units="degC").values
    np.testing.assert_allclose(warm, field() + 273.15, rtol=1e-15)


def test_one_time_of_several_can_be_taken(path):
    values = np.arange(90.0).reshape(3, 5, 6)
    axes = {"time": np.arange(3.0), "lat": LAT, "lon": LON}
    a_file(path, values, ("time", "lat", "lon"), axes)
    np.testing.assert_array_equal(read_field(path, "tos", ("lat", "lon"), time=2).values, values[2])
    with pytest.raises(DataError, match=r"no such time: tos in .*; expected 0 to 2; found 3"):
        read_field(path, "tos", ("lat", "lon"), time=3)
    with pytest.raises(DataError, match=r"wrong dimensions.*found time, lat, lon"):
        read_field(path, "tos", ("lat", "lon"))


def test_a_dimension_of_length_one_is_dropped(path):
    a_file(path, field()[None, :, :], ("experiment", "lat", "lon"), {"lat": LAT, "lon": LON})
    np.testing.assert_array_equal(read_field(path, "tos", ("lat", "lon")).values, field())


def test_an_unknown_dimension_is_refused(path):
    a_file(path, field(), ("lat", "cell"), {"lat": LAT})
    with pytest.raises(
        DataError,
        match=r"wrong dimensions: tos in .*expected lat, lon in any order; found lat, cell",
    ):
        read_field(path, "tos", ("lat", "lon"))


def test_a_missing_file_is_named_with_its_neighbours(path):
    latlon(path)
    with pytest.raises(DataError, match=r"no such file: .*see\.nc; did you mean 'sea\.nc'\?"):
        read_field(path.with_name("see.nc"), "tos", ("lat", "lon"))
    with pytest.raises(DataError, match=r"no such file: .*isthmus data fetch"):
        read_field(path.parent / "nowhere" / "sea.nc", "tos", ("lat", "lon"))


FORMATS = ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4"]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
def test_a_truncated_file_is_refused_in_every_format(path, format, share):
    big = np.random.default_rng(0).normal(size=(50, 60))
    axes = {"lat": np.linspace(-89, 89, 50), "lon": np.arange(60) * 6.0}
    a_file(path, big, ("lat", "lon"), axes, format=format)
    np.testing.assert_array_equal(read_field(path, "tos", ("lat", "lon")).values, big)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(DataError, match=r"truncated or damaged netCDF file: .*remove it and fetch"):
        read_field(path, "tos", ("lat", "lon"))


@pytest.mark.parametrize("format", FORMATS[:3])
@pytest.mark.parametrize("alone", [True, False])
def test_the_size_of_classic_files_with_records_is_known_to_the_byte(path, format, alone):
    with netCDF4.Dataset(path, "w", format=format) as nc:
        nc.createDimension("time", None)
        nc.createDimension("x", 3)
        nc.title = "odd"
        nc.createVariable("flag", "i1", ("time", "x"))[:] = np.ones((7, 3))
        if not alone:
            nc.createVariable("value", "f4", ("time", "x"))[:] = np.ones((7, 3))
            nc.createVariable("short", "i2", ("x",))[:] = np.ones(3)
    assert missing_bytes(path) == 0
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size - 5])
    # The library may end the file with up to three bytes of padding that nobody needs.
    assert 2 <= missing_bytes(path) <= 5


def test_other_files_are_refused(path):
    path.write_text("lat,lon,tos\n")
    with pytest.raises(DataError, match=r"not a netCDF file: .*begins with b'lat,lon,tos"):
        read_field(path, "tos", ("lat", "lon"))
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"not a netCDF file: .*an empty file"):
        read_field(path, "tos", ("lat", "lon"))


def test_a_missing_variable_is_named_with_the_nearest(path):
    latlon(path)
    with pytest.raises(DataError, match=r"no such variable: toss in .*did you mean 'tos'\?"):
        read_field(path, "toss", ("lat", "lon"))


@pytest.mark.parametrize("hole", [np.nan, np.inf, netCDF4.default_fillvals["f8"]])
def test_values_that_are_missing_are_counted_and_located(path, hole):
    values = field()
    values[1, 4] = values[3, 0] = hole
    latlon(path, values)
    with pytest.raises(
        DataError,
        match=r"missing values \(NaN\): tos in .*found 2 missing of 30, the first at lat -20, "
        r"lon 240",
    ):
        read_field(path, "tos", ("lat", "lon"))
    read = read_field(path, "tos", ("lat", "lon"), allow_missing=True)
    assert read.missing is not None
    assert np.argwhere(read.missing).tolist() == [[1, 4], [3, 0]]


def test_a_wrong_unit_is_refused(path):
    latlon(path, units="kg m-2")
    with pytest.raises(
        DataError, match=r"wrong unit: tos .*convertible to 'K'; found 'kg m-2'; state the true"
    ):
        read_field(path, "tos", ("lat", "lon"), units="K")


def test_bad_coordinates_are_refused(path):
    a_file(path, field(), ("lat", "lon"), {"lat": LAT})
    with pytest.raises(DataError, match="dimension without coordinate variable: lon of tos"):
        read_field(path, "tos", ("lat", "lon"))
    a_file(path, field(), ("lat", "lon"), {"lat": np.array([0, 1, 1, 2, 3.0]), "lon": LON})
    with pytest.raises(DataError, match="coordinate is not monotonic: lat of tos"):
        read_field(path, "tos", ("lat", "lon"))
    a_file(path, field(), ("lat", "lon"), {"lat": LAT * 2, "lon": LON})
    with pytest.raises(DataError, match=r"latitude beyond the poles.*-120 to 160"):
        read_field(path, "tos", ("lat", "lon"))


@pytest.mark.parametrize("grid", [Grid.gaussian(16, 34), Grid.regular(9, 21)])
def test_gaussian_and_regular_grids_are_recognised_from_float32_coordinates(grid):
    coordinates = {
        "lat": grid.lat.astype(np.float32).astype(np.float64),
        "lon": grid.lon.astype(np.float32).astype(np.float64),
    }
    found = grid_of(coordinates, "test")
    assert found.kind == grid.kind
    np.testing.assert_allclose(found.lat_bounds, grid.lat_bounds, atol=1e-5)
    np.testing.assert_allclose(found.lon_bounds, grid.lon_bounds, atol=1e-5)
    np.testing.assert_allclose(found.weights, grid.weights, atol=1e-6)


def test_a_grid_with_points_on_the_poles_has_half_cells_there():
    found = grid_of({"lat": np.linspace(-90, 90, 37), "lon": np.arange(0, 360, 5.0)}, "test")
    np.testing.assert_allclose(found.lat_bounds[:3], [-90, -87.5, -82.5])
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-14)


def test_parts_of_the_globe_are_refused():
    with pytest.raises(
        DataError, match=r"longitudes are not a whole circle: map; .*4 from 0 to 60"
    ):
        grid_of({"lat": LAT, "lon": np.arange(4) * 20.0}, "map")
    with pytest.raises(DataError, match=r"latitudes do not reach the poles: map; .*-20 to 20"):
        grid_of({"lat": np.array([-20.0, 0.0, 20.0]), "lon": LON}, "map")


def test_damage_found_while_reading_is_reported_like_damage_found_while_opening(path):
    latlon(path)
    with (
        pytest.raises(DataError, match="truncated or damaged netCDF file"),
        open_file(path),
    ):
        raise RuntimeError("NetCDF: HDF error")
