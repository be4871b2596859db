"""Boundary fields on a model's grid."""

import re

import cftime
import netCDF4
import numpy as np
import pytest

from coupler.input.boundary import read_boundary
from coupler.interface.errors import DataError
from coupler.interface.fields import FIELDS
from coupler.interface.grid import Grid

SOURCE = Grid.regular(18, 30)
TARGET = Grid.gaussian(8, 14)


def write_field(path, values, times=None, **attributes):
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("lat", 18)
        nc.createDimension("lon", 30)
        nc.createVariable("lat", "f8", ("lat",))[:] = SOURCE.lat
        nc.createVariable("lon", "f8", ("lon",))[:] = SOURCE.lon
        dims = ("lat", "lon")
        if values.ndim == 3:
            nc.createDimension("time", values.shape[0])
            dims = ("time", *dims)
            if times is not None:
                nc.createVariable("time", "f8", ("time",))[:] = times["values"]
                nc["time"].setncatts({k: v for k, v in times.items() if k != "values"})
        nc.createVariable("v", "f8", dims)[...] = values
        nc["v"].setncatts(attributes)
    return path


@pytest.fixture
def celsius():
    return np.random.default_rng(4).uniform(0.0, 30.0, (12, 18, 30))


def test_a_climatology_keeps_its_global_mean_every_month_in_our_unit(tmp_path, celsius):
    path = write_field(tmp_path / "sst.nc", celsius, units="degC")
    out = read_boundary(path, "v", TARGET, FIELDS["tos"])
    assert out.shape == (12, 8, 14)
    for month in range(12):
        expected = SOURCE.mean(celsius[month]) + 273.15
        assert TARGET.mean(out[month]) == pytest.approx(expected, rel=1e-14)
    in_celsius = read_boundary(path, "v", TARGET, FIELDS["tos"], units="degC")
    np.testing.assert_allclose(in_celsius, out - 273.15, atol=1e-12)


def months(calendar="noleap", first=1, units="days since 2001-01-01"):
    """Mid-months of a year that begins in the month `first`."""
    dates = [
        cftime.datetime(2001 + (first + m - 1) // 12, (first + m - 1) % 12 + 1, 15)
        for m in range(12)
    ]
    dates = [cftime.datetime(d.year, d.month, 15, calendar=calendar) for d in dates]
    return {
        "values": cftime.date2num(dates, units, calendar),
        "units": units,
        "calendar": calendar,
    }


def ends(**attributes):
    """The ends of the months of a year: the beginnings of the next ones."""
    days = np.cumsum([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    return {"values": days, "units": "days since 2001-01-01", "calendar": "noleap", **attributes}


@pytest.mark.parametrize(
    "times",
    [
        months("standard"),
        {"values": np.arange(1, 13), "units": "month"},
        {"values": np.arange(12) + 0.5, "units": "months since 2001-01-01"},
    ],
)
def test_months_that_are_in_order_are_taken_as_they_are(tmp_path, celsius, times):
    path = write_field(tmp_path / "sst.nc", celsius, times, units="degC")
    plain = write_field(tmp_path / "plain.nc", celsius, units="degC")
    said = []
    how = {"calendar": "noleap", "say": said}
    out = read_boundary(path, "v", TARGET, FIELDS["tos"], **how)
    np.testing.assert_array_equal(out, read_boundary(plain, "v", TARGET, FIELDS["tos"], **how))
    assert said == []


@pytest.mark.parametrize(
    "times",
    [months(first=7), {"values": np.arange(12), "units": "months since 1999-07-01"}],
)
def test_a_year_that_begins_in_july_is_put_in_order(tmp_path, celsius, times):
    path = write_field(tmp_path / "sst.nc", celsius, times, units="degC")
    plain = write_field(tmp_path / "plain.nc", np.roll(celsius, 6, axis=0), units="degC")
    np.testing.assert_array_equal(
        read_boundary(path, "v", TARGET, FIELDS["tos"]),
        read_boundary(plain, "v", TARGET, FIELDS["tos"]),
    )


def test_means_stamped_with_the_ends_of_their_months_are_told_by_the_bounds(tmp_path, celsius):
    path = write_field(tmp_path / "sst.nc", celsius, ends(bounds="time_bnds"), units="degC")
    with netCDF4.Dataset(path, "a") as nc:
        nc.createDimension("two", 2)
        last = nc["time"][:]
        nc.createVariable("time_bnds", "f8", ("time", "two"))[:] = np.stack(
            [np.append(0.0, last[:-1]), last], axis=1
        )
    plain = write_field(tmp_path / "plain.nc", celsius, units="degC")
    np.testing.assert_array_equal(
        read_boundary(path, "v", TARGET, FIELDS["tos"]),
        read_boundary(plain, "v", TARGET, FIELDS["tos"]),
    )


@pytest.mark.parametrize("file, run", [("360_day", "noleap"), ("standard", "360_day")])
def test_a_calendar_with_other_months_is_said(tmp_path, celsius, file, run):
    path = write_field(tmp_path / "sst.nc", celsius, months(file), units="degC")
    said = []
    read_boundary(path, "v", TARGET, FIELDS["tos"], calendar=run, say=said)
    (problem,) = map(str, said)
    assert re.match(
        "climatology on a calendar with other months than the run's; the mean of each month is "
        f"taken for the month of that number: boundary.tos; expected the calendar {run!r}; "
        f"found {file!r} in v in .*sst.nc",
        problem,
    )


@pytest.mark.parametrize(
    ("times", "match"),
    [
        (
            {"values": np.arange(12) * 365.0, "units": "days since 2001-01-01"},
            r"twelve times that are not the months of a year: v in .*; found 1, 1, 1, 1, 12",
        ),
        (
            months() | {"calendar": "lunar"},
            r"no dates: time of v in .*units and calendar of CF; found .*'lunar'",
        ),
        (
            {"values": np.arange(12) * 30.0 + 15.0, "units": "days"},
            r"no dates: time of v in .*the numbers of the months; found 15 to 345 days",
        ),
        (
            months() | {"values": np.where(np.arange(12) == 3, np.nan, months()["values"])},
            r"no dates: time of v in .*expected twelve times; found a missing one",
        ),
        (
            ends(),
            r"times that are the ends of months or the beginnings of others: time of v in .*; "
            r"found 02-01, 03-01, 04-01, \.\.\.; .*bounds",
        ),
    ],
)
def test_twelve_times_that_are_no_months_are_refused(tmp_path, celsius, times, match):
    path = write_field(tmp_path / "sst.nc", celsius, times, units="degC")
    with pytest.raises(DataError, match=match):
        read_boundary(path, "v", TARGET, FIELDS["tos"])


def test_a_constant_field_has_no_time(tmp_path, celsius):
    path = write_field(tmp_path / "land.nc", celsius[0] / 30.0)
    out = read_boundary(path, "v", TARGET, FIELDS["sftlf"])
    assert out.shape == TARGET.shape
    single = write_field(tmp_path / "one.nc", celsius[:1] / 30.0)
    np.testing.assert_array_equal(read_boundary(single, "v", TARGET, FIELDS["sftlf"]), out)


def test_values_without_unit_that_cannot_be_right_are_refused(tmp_path, celsius):
    path = write_field(tmp_path / "sst.nc", celsius)
    with pytest.raises(
        DataError, match=r"values out of range: v in .*tos from 150 to 380 K; found .*`units:`"
    ):
        read_boundary(path, "v", TARGET, FIELDS["tos"])
    out = read_boundary(path, "v", TARGET, FIELDS["tos"], file_units="degC")
    assert out.min() > 273.0


def test_other_numbers_of_times_are_refused(tmp_path, celsius):
    path = write_field(tmp_path / "sst.nc", celsius[:7] + 273.15)
    with pytest.raises(DataError, match=r"not a climatology: v in .*twelve months; found 7 times"):
        read_boundary(path, "v", TARGET, FIELDS["tos"])


def test_holes_are_refused_or_filled_from_valid_neighbours(tmp_path, celsius):
    celsius[3, 5, 7] = np.nan
    celsius[:, 8:12, 10:20] = np.nan
    path = write_field(tmp_path / "sst.nc", celsius, units="degC")
    with pytest.raises(DataError, match=r"missing values.*first at time 0, lat -5, lon 126"):
        read_boundary(path, "v", TARGET, FIELDS["tos"])
    out = read_boundary(path, "v", TARGET, FIELDS["tos"], allow_missing=True)
    assert out.min() > 273.15
    assert out.max() < 303.15
    celsius[6] = np.nan
    path = write_field(tmp_path / "sst.nc", celsius, units="degC")
    with pytest.raises(DataError, match="no value at all"):
        read_boundary(path, "v", TARGET, FIELDS["tos"], allow_missing=True)


def test_a_missing_variable_is_named(tmp_path, celsius):
    path = write_field(tmp_path / "sst.nc", celsius)
    with pytest.raises(DataError, match="no such variable: w in"):
        read_boundary(path, "w", TARGET, FIELDS["tos"])


def test_the_orography_and_land_of_the_earth_case_keep_their_means(data):
    path = data / "isca" / "era-spectral_T42_64x128.nc"
    grid = Grid.gaussian(48, 96)
    orog = read_boundary(path, "zsurf", grid, FIELDS["orog"])
    land = read_boundary(path, "land_mask", grid, FIELDS["sftlf"])
    with netCDF4.Dataset(path) as nc:
        fine = Grid.gaussian(64, 128)
        for name, out in (("zsurf", orog), ("land_mask", land)):
            mean = fine.mean(np.asarray(nc[name][:], np.float64))
            assert grid.mean(out) == pytest.approx(mean, rel=1e-13)
    assert grid.mean(orog) == pytest.approx(232.85, abs=0.2)  # the data's own description
    assert 4000.0 < orog.max() < 4600.0
    tibet = orog[np.argmin(abs(grid.lat - 33)), np.argmin(abs(grid.lon - 88))]
    assert tibet > 4000.0
    assert land[np.argmin(abs(grid.lat - 22)), np.argmin(abs(grid.lon - 10))] == 1.0  # Sahara
    assert land[np.argmin(abs(grid.lat - 0)), np.argmin(abs(grid.lon - 200))] == 0.0  # Pacific


def test_the_sea_surface_temperature_of_the_earth_case_has_its_seasons(data):
    path = data / "climt" / "earth_sst_climatology_1deg.nc"
    grid = Grid.regular(45, 90)
    tos = read_boundary(path, "tos", grid, FIELDS["tos"])
    assert tos.shape == (12, 45, 90)
    north = np.argmin(abs(grid.lat - 40)), np.argmin(abs(grid.lon - 180))
    south = np.argmin(abs(grid.lat + 40)), np.argmin(abs(grid.lon - 100))
    assert tos[7][north] - tos[1][north] > 8.0  # August warmer than February at 40 N
    assert tos[1][south] - tos[7][south] > 2.0
    warm_pool = tos[:, np.argmin(abs(grid.lat - 2)), np.argmin(abs(grid.lon - 155))]
    assert 301.0 < warm_pool.mean() < 304.0


def test_a_file_with_north_first_is_the_same_as_one_with_south_first(tmp_path, celsius):
    path = write_field(tmp_path / "a.nc", celsius[0] + 273.15)
    south_first = read_boundary(path, "v", TARGET, FIELDS["tos"])
    with netCDF4.Dataset(path, "a") as nc:
        nc["lat"][:] = SOURCE.lat[::-1]
        nc["v"][:] = celsius[0][::-1] + 273.15
    np.testing.assert_array_equal(read_boundary(path, "v", TARGET, FIELDS["tos"]), south_first)
