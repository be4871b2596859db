"""Time series of global numbers in a netCDF file: budgets, means, counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import netCDF4
import numpy as np

from coupler.output.netcdf import global_attributes, keep_records

TIME_UNITS = "days since {start}"


class SeriesFile:
    """Scalars against time. The file is open only while a record is written."""

    def __init__(self, path: Path, start: str, calendar: str, attrs: Mapping[str, str]) -> None:
        """Creates the file.

        Args:
            path: where.
            start: ISO date that times count from.
            calendar: CF calendar name.
            attrs: global attributes.
        """
        self._path, self._next = path, 0
        with netCDF4.Dataset(path, "w") as file:
            file.setncatts(global_attributes(attrs))
            file.createDimension("time", None)
            time = file.createVariable("time", "f8", ("time",))
            time.setncatts(
                {
                    "standard_name": "time",
                    "long_name": "end of the interval",
                    "units": TIME_UNITS.format(start=start),
                    "calendar": calendar,
                    "axis": "T",
                }
            )

    @classmethod
    def reopen(cls, path: Path, upto: float) -> SeriesFile:
        """Goes on with a file after `upto` [days]; later records are dropped."""
        self = cls.__new__(cls)
        with netCDF4.Dataset(path) as file:
            times = np.asarray(file["time"][:])
        keep = int(np.count_nonzero(times <= upto + 1e-9))
        if keep < times.size:
            keep_records(path, keep)
        self._path, self._next = path, keep
        return self

    def append(self, days: float, values: Mapping[str, tuple[float, str, str]]) -> None:
        """Adds one record.

        Args:
            days: end of the interval [days since the start].
            values: number, units and long name by variable name.
        """
        n = self._next
        with netCDF4.Dataset(self._path, "a") as file:
            for name, (value, units, long_name) in values.items():
                if name not in file.variables:
                    variable = file.createVariable(name, "f8", ("time",), fill_value=np.nan)
                    variable.setncatts({"units": units, "long_name": long_name})
                file[name][n] = value
            file["time"][n] = days
        self._next += 1
