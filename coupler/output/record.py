"""Recordings: what a scheme really saw and gave, to train an emulator of it.

One netCDF file per process with dimensions time, lev, ilev and column. The columns are a sample
drawn anew at every call from the run's seed; inputs are as the scheme received them, in its units
and in the precision of the run, and so are the fluxes, tendencies and diagnostics that it gave, so
that the same scheme gives the same bits offline (`coupler.driver.replay`).
The file is open only while calls are written: it can be read at any time. A resumed run goes on
with the file, and what it draws does not depend on where it was interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from coupler.interface.component import Array
from coupler.interface.errors import DataError
from coupler.interface.fields import Field
from coupler.interface.grid import HybridLevels
from coupler.output.background import Background
from coupler.output.library import opened
from coupler.output.netcdf import fsync, keep_records
from coupler.output.patient import PatientFile

_DIM = {"level": "lev", "interface": "ilev", "column": "column"}


class RecordFile(PatientFile):
    """Appends the sampled columns of one call after another."""

    def __init__(
        self,
        path: Path,
        fields: Sequence[Field],
        levels: HybridLevels,
        ncol: int,
        *,
        columns: int,
        seed: int,
        time_units: str,
        calendar: str,
        attrs: Mapping[str, str],
        dtype: str = "f4",
        resume_at: float | None = None,
        patience: float = 0.0,
        background: Background | None = None,
    ) -> None:
        """Creates the file, or goes on with it.

        Args:
            path: where.
            fields: what is stored: the scheme's inputs and outputs, in its units.
            levels: levels of the host; a and b are stored.
            ncol: columns of the host.
            columns: how many of them are stored at each call.
            seed: seed of the sampling.
            time_units: CF units of time.
            calendar: CF calendar.
            attrs: global attributes.
            dtype: of the stored values, ``f4`` or ``f8``.
            resume_at: time up to which calls in an existing file are kept, in its units; None makes
                a new file. A call at that time belongs to the step that is still to come.
            patience, background: see `PatientFile`.

        Raises:
            DataError: for an existing file with other fields or another number of columns.
        """
        super().__init__(path, patience, background)
        self._records: list[tuple[float, float, Array, dict[str, Array]]] = []
        self._ncol, self._n = ncol, min(columns, ncol)
        self._seed = seed
        self._calls = self._stored = 0
        self._fields = tuple(fields)
        if resume_at is not None and path.is_file():
            self._reopen(resume_at)
            return
        with opened(path, "w") as f:
            f.setncatts({"title": "Recording of a scheme's inputs and outputs", **attrs})
            f.createDimension("time", None)
            f.createDimension("lev", levels.nlev)
            f.createDimension("ilev", levels.nlev + 1)
            f.createDimension("column", self._n)
            time = f.createVariable("time", "f8", ("time",))
            time.setncatts({"standard_name": "time", "units": time_units, "calendar": calendar})
            length = f.createVariable("dt", "f8", ("time",))
            length.setncatts({"long_name": "time over which the result is applied", "units": "s"})
            for name, values, units in (("ap", levels.a, "Pa"), ("b", levels.b, "1")):
                v = f.createVariable(name, "f8", ("ilev",))
                v.units = units
                v[:] = values
            index = f.createVariable("index", "i4", ("time", "column"))
            index.long_name = "position of the column in the host's grid, latitude first"
            for field in self._fields:
                dims = ("time", *(_DIM[d] for d in field.dims))
                v = f.createVariable(field.name, dtype, dims, zlib=True, complevel=1, shuffle=True)
                v.setncatts({"long_name": field.long_name, "units": field.units})

    def _reopen(self, upto: float) -> None:
        with opened(self.path) as f:
            times = np.asarray(f["time"][:])
            names = {f.name for f in self._fields} | {"time", "dt", "ap", "b", "index"}
            if set(f.variables) != names or f.dimensions["column"].size != self._n:
                raise DataError.of(
                    "recording holds something else",
                    str(self.path),
                    expected=f"{self._n} columns of " + ", ".join(sorted(names)),
                    found=f"{f.dimensions['column'].size} columns of "
                    + ", ".join(sorted(f.variables)),
                    remedy="move it away, or resume with the recording options of the first run",
                )
        self._calls = int(np.count_nonzero(times < upto - 1e-9))
        self._stored = self._calls
        if self._calls < times.size:
            keep_records(self.path, self._calls)

    def append(self, days: float, dt: float, arrays: Mapping[str, Array]) -> None:
        """Stores one call.

        Args:
            days: time of the call, in the file's units.
            dt: time over which its result is applied [s].
            arrays: every field, ``[..., column]`` over all columns of the host.
        """
        generator = np.random.default_rng((self._seed, self._calls))
        chosen = np.sort(generator.choice(self._ncol, self._n, replace=False))
        sample = {f.name: arrays[f.name][..., chosen] for f in self._fields}
        self._records.append((days, dt, chosen, sample))
        self._calls += 1
        self._wait(sum(a.nbytes for a in sample.values()))

    def _write_waiting(self, count: int) -> None:
        records = self._records[:count]
        new = slice(self._stored, self._stored + count)
        with opened(self.path, "a") as f:
            f["time"][new] = [days for days, _, _, _ in records]
            f["dt"][new] = [dt for _, dt, _, _ in records]
            f["index"][new] = np.stack([chosen for _, _, chosen, _ in records])
            for field in self._fields:
                f[field.name][new] = np.stack([a[field.name] for _, _, _, a in records])
        fsync(self.path)
        del self._records[:count]
        self._stored += count
