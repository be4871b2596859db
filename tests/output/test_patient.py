"""Records may wait for a write, but not longer than is promised."""

import errno
import os
import time

import cftime
import netCDF4
import numpy as np
import pytest

from coupler.interface.component import Array
from coupler.interface.constants import SECONDS_PER_DAY as DAY
from coupler.interface.fields import FIELDS
from coupler.interface.grid import Grid
from coupler.output import patient
from coupler.output.netcdf import OutputFile
from coupler.output.series import SeriesFile

GRID = Grid.regular(3, 5)


def output(path, patience):
    start = cftime.DatetimeNoLeap(2000, 1, 1)
    return OutputFile(path, GRID, None, [FIELDS["ps"]], start, patience=patience)


def add(file, day):
    file.append({"ps": np.full((3, 5), 1e5 + day)}, day * DAY, (day + 1) * DAY)


def on_disk(path, name="ps") -> Array:
    with netCDF4.Dataset(path) as nc:
        return np.ma.getdata(nc[name][:]).reshape(nc.dimensions["time"].size, -1)[:, 0]


def test_without_patience_every_record_is_on_disk_at_once(tmp_path):
    file = output(tmp_path / "a.nc", 0.0)
    for day in range(3):
        add(file, day)
        assert on_disk(tmp_path / "a.nc").size == day + 1


def test_records_wait_until_they_are_asked_for_and_lie_in_order(tmp_path):
    file = output(tmp_path / "a.nc", 1e9)
    for day in range(5):  # the first finds no earlier write to wait for
        add(file, day)
        file.flush_if_due()
    assert on_disk(tmp_path / "a.nc").size == 1 and file.records == 5
    file.flush()
    add(file, 5)
    file.flush()
    np.testing.assert_array_equal(on_disk(tmp_path / "a.nc"), np.float32(1e5) + np.arange(6))
    np.testing.assert_array_equal(on_disk(tmp_path / "a.nc", "time"), 0.5 + np.arange(6))


def test_what_waits_is_a_copy(tmp_path):
    file = output(tmp_path / "a.nc", 1e9)
    add(file, 0)
    field = np.full((3, 5), 7e4)
    file.append({"ps": field}, DAY, 2 * DAY)
    field.fill(np.nan)
    file.flush()
    assert on_disk(tmp_path / "a.nc")[-1] == 7e4


def test_a_record_that_is_late_is_written_without_another_one(tmp_path):
    file = output(tmp_path / "a.nc", 0.05)
    add(file, 0)
    add(file, 1)
    assert on_disk(tmp_path / "a.nc").size == 1
    time.sleep(0.06)
    file.flush_if_due()
    assert on_disk(tmp_path / "a.nc").size == 2


def test_what_waits_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(patient, "_LIMIT", 100)  # bytes; a record has 60
    file = output(tmp_path / "a.nc", 1e9)
    for day in range(3):
        add(file, day)
    assert on_disk(tmp_path / "a.nc").size == 3


def test_a_write_that_failed_is_made_again(tmp_path, monkeypatch):
    file = output(tmp_path / "a.nc", 1e9)
    add(file, 0)
    add(file, 1)
    with monkeypatch.context() as broken:
        broken.setattr(
            file, "_write_waiting", lambda _: (_ for _ in ()).throw(OSError("disk full"))
        )
        with pytest.raises(OSError, match="disk full"):
            file.flush()
    file.flush()
    assert on_disk(tmp_path / "a.nc").size == 2


def test_a_series_of_numbers_waits_too_and_fills_names_that_come_later(tmp_path):
    file = SeriesFile(tmp_path / "s.nc", "2000-01-01 00:00:00", "noleap", {}, patience=1e9)
    for day in range(4):
        values = {"a": (float(day), "1", "A")} | ({"b": (9.0, "1", "B")} if day == 2 else {})
        file.append(day, values)
    assert on_disk(tmp_path / "s.nc", "a").size == 1
    file.flush()
    np.testing.assert_array_equal(on_disk(tmp_path / "s.nc", "a"), np.arange(4.0))
    with netCDF4.Dataset(tmp_path / "s.nc") as nc:
        np.testing.assert_array_equal(nc["b"][:].mask, [True, True, False, True])


def test_a_full_disk_is_seen_before_a_file_is_touched(tmp_path, monkeypatch):
    path = tmp_path / "a.nc"
    file = output(path, 0.0)
    add(file, 0)
    before = path.read_bytes()

    def full(fd, at, size):
        os.ftruncate(fd, at + 100)  # some of it was there
        raise OSError(errno.ENOSPC, "")

    with monkeypatch.context() as m:
        m.setattr(patient.os, "posix_fallocate", full)
        with pytest.raises(OSError, match=r"No space left on device: .*a\.nc"):
            add(file, 1)
    assert path.read_bytes() == before
    file.flush()  # there is room again, and the record still waits
    assert on_disk(path).tolist() == [np.float32(1e5), np.float32(1e5 + 1)]


def test_what_the_library_cannot_write_is_an_error_of_that_file(tmp_path, monkeypatch):
    file = output(tmp_path / "a.nc", 0.0)

    def broken(self, count):
        raise RuntimeError("NetCDF: HDF error")

    monkeypatch.setattr(OutputFile, "_write_waiting", broken)
    with pytest.raises(OSError, match=r"NetCDF: HDF error: .*a\.nc"):
        add(file, 0)
