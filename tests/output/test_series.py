"""Time series of numbers, continued."""

import numpy as np
import xarray

from coupler.output.series import SeriesFile


def test_a_resumed_series_drops_what_came_after_the_restart(tmp_path):
    path = tmp_path / "budgets.nc"
    file = SeriesFile(path, "1959-01-02", "noleap", {"title": "test"})
    for day in (1.0, 2.0, 3.0):
        file.append(day, {"energy": (day / 3, "J m-2", "Energy")})
    file = SeriesFile.reopen(path, 2.0)
    file.append(2.5, {"energy": (7.0, "J m-2", "Energy")})
    with xarray.open_dataset(path, decode_times=False) as ds:
        np.testing.assert_array_equal(ds.time, [1.0, 2.0, 2.5])
        np.testing.assert_array_equal(ds.energy, [1 / 3, 2 / 3, 7.0])
        assert ds.energy.attrs["units"] == "J m-2"
