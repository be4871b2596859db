"""tools/qflux.py: monthly means of what currents brought, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from coupler.input.boundary import read_boundary
from coupler.interface.errors import DataError
from coupler.interface.fields import FIELDS
from coupler.interface.grid import Grid

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import qflux


def ocean_file(path: Path, days: int) -> Path:
    grid = Grid.regular(5, 8)
    with netCDF4.Dataset(path, "w") as file:
        for name, values in (("lat", grid.lat), ("lon", grid.lon)):
            file.createDimension(name, values.size)
            file.createVariable(name, "f8", (name,))[:] = values
        file.createDimension("time", None)
        file.createDimension("bnds", 2)
        time = file.createVariable("time", "f8", ("time",))
        time.setncatts(
            {"units": "days since 2000-01-01", "calendar": "noleap", "bounds": "time_bnds"}
        )
        ends = np.arange(0.0, days, 5.0)
        time[:] = ends + 2.5
        file.createVariable("time_bnds", "f8", ("time", "bnds"))[:] = np.stack(
            (ends, ends + 5.0), 1
        )
        month = np.clip(((ends + 2.5) % 365.0) / 30.42, 0, 11.9).astype(int)
        field = month[:, None, None] + np.zeros((ends.size, 5, 8))
        file.createVariable("hfcorr", "f4", ("time", "lat", "lon"))[:] = field
    return path


def test_each_month_is_its_mean_and_the_model_reads_it(tmp_path: Path) -> None:
    q, where, calendar = qflux.monthly(ocean_file(tmp_path / "ocean.nc", 730))
    np.testing.assert_allclose(q[:, 2, 3], np.arange(12), atol=0.35)
    qflux.write(tmp_path / "q.nc", q, where, calendar)
    read = read_boundary(tmp_path / "q.nc", "qflux", Grid.regular(5, 8), FIELDS["qflux"])
    np.testing.assert_allclose(read, q, rtol=1e-6, atol=1e-6)


def test_the_mean_that_is_said_is_per_area_of_sea(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ocean_file(tmp_path / "ocean.nc", 365)
    with netCDF4.Dataset(path, "a") as file:
        area = np.arange(1.0, 41.0).reshape(5, 8)
        file.createVariable("areacello", "f8", ("lat", "lon"))[:] = area
        share = np.zeros((file["time"].size, 5, 8))
        share[:, 1, 2], share[:, 3, 4] = 0.25, 1.0
        file.createVariable("sftof", "f4", ("time", "lat", "lon"))[:] = share
        file["hfcorr"][:] = 0.0
        file["hfcorr"][:, 1, 2], file["hfcorr"][:, 3, 4] = 40.0, -10.0
    monkeypatch.setattr("sys.argv", ["qflux.py", str(tmp_path), str(tmp_path / "q.nc")])
    qflux.main()
    mean = (40.0 * 0.25 * area[1, 2] - 10.0 * area[3, 4]) / (0.25 * area[1, 2] + area[3, 4])
    assert f"mean over the sea {mean:.2f} W m-2, from -10 to 40" in capsys.readouterr().out


def test_a_run_that_does_not_cover_the_year_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a month without a record.*none in month 5"):
        qflux.monthly(ocean_file(tmp_path / "ocean.nc", 100))
