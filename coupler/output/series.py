"""Time series of global numbers in a netCDF file: budgets, means, counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from coupler.output.background import Background
from coupler.output.library import opened
from coupler.output.netcdf import fsync, global_attributes, keep_records
from coupler.output.patient import PatientFile

TIME_UNITS = "days since {start}"


Numbers = Mapping[str, tuple[float, str, str]]


class SeriesFile(PatientFile):
    """Scalars against time. The file is open only while records are written."""

    def __init__(
        self,
        path: Path,
        start: str,
        calendar: str,
        attrs: Mapping[str, str],
        *,
        patience: float = 0.0,
        background: Background | None = None,
    ) -> None:
        """Creates the file.

        Args:
            path: where.
            start: ISO date that times count from.
            calendar: CF calendar name.
            attrs: global attributes.
            patience, background: see `PatientFile`.
        """
        super().__init__(path, patience, background)
        self._next = 0
        self._records: list[tuple[float, Numbers]] = []
        with opened(path, "w") as file:
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
    def reopen(
        cls,
        path: Path,
        upto: float,
        *,
        patience: float = 0.0,
        background: Background | None = None,
    ) -> SeriesFile:
        """Goes on with a file after `upto` [days]; later records are dropped."""
        self = cls.__new__(cls)
        PatientFile.__init__(self, path, patience, background)
        self._records = []
        with opened(path) as file:
            times = np.asarray(file["time"][:])
        keep = int(np.count_nonzero(times <= upto + 1e-9))
        if keep < times.size:
            keep_records(path, keep)
        self._next = keep
        return self

    def append(self, days: float, values: Numbers) -> None:
        """Adds one record; it is on disk when this returns, or see `patient`.

        Args:
            days: end of the interval [days since the start].
            values: number, units and long name by variable name.
        """
        self._records.append((days, dict(values)))
        self._wait(8 * (len(values) + 1))

    def _write_waiting(self, count: int) -> None:
        records = self._records[:count]
        new = slice(self._next, self._next + count)
        about = {n: v for _, values in records for n, v in values.items()}
        with opened(self.path, "a") as file:
            for name, (_, units, long_name) in about.items():
                if name not in file.variables:
                    variable = file.createVariable(name, "f8", ("time",), fill_value=np.nan)
                    variable.setncatts({"units": units, "long_name": long_name})
                file[name][new] = [v[name][0] if name in v else np.nan for _, v in records]
            file["time"][new] = [days for days, _ in records]
        fsync(self.path)
        self._next = new.stop
        del self._records[:count]
