"""The climate of a run: zonal means of every output interval, and what follows from them.

Zonal means are small enough to keep, and time means, halves of the run and global means all follow
from them. `coupler.compare.reading` makes them from the files of a run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Part = Literal["all", "first", "second"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Band:
    """Zonal means of a field without levels, on the latitudes of its own grid."""

    values: F64
    """Shape [time, lat]; NaN where a latitude has no value (land, for an ocean's field)."""
    lat: F64
    """[degrees_north], ascending."""
    area: F64
    """Area fraction of each latitude [1]; sums to 1."""

    def global_mean(self) -> F64:
        """Area mean over the latitudes that have a value, shape [time]."""
        weight = np.where(np.isfinite(self.values), self.area, 0.0)
        total = (weight * np.nan_to_num(self.values)).sum(axis=-1)
        return np.asarray(total / weight.sum(axis=-1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Climate:
    """Zonal means of a run."""

    title: str
    folder: Path
    start: str
    end: str
    days: F64
    """Middle of each output interval since the start of the run [day], shape [time]."""
    length: F64
    """Length of each output interval [day], shape [time]."""
    lat: F64
    """Latitudes of the atmosphere [degrees_north], ascending, shape [lat]."""
    area: F64
    """Area fraction of each latitude [1], shape [lat]; sums to 1."""
    p: F64
    """Time-mean pressure of the layers [Pa], shape [lev, lat], top first."""
    dp: F64
    """Their pressure thickness [Pa], shape [lev, lat]."""
    sections: dict[str, F64]
    """Zonal means, shape [time, lev, lat]."""
    bands: dict[str, Band]
    air: dict[str, F64]
    """Global means of column integrals, shape [time]: ``thermal`` and ``kinetic`` energy [J m-2],
    ``water`` vapour [kg m-2]."""
    calendar: str = ""
    units: dict[str, str] = field(default_factory=dict)
    """Of the fields, as the file says."""
    budgets: dict[str, tuple[float, float, str]] = field(default_factory=dict)
    """Of ``budgets.nc``: first and last value, and unit."""
    record: dict[str, Any] = field(default_factory=dict)
    """``run.json``."""
    case: dict[str, Any] = field(default_factory=dict)
    """``case.resolved.yaml``."""

    def _pick(self, part: Part) -> slice:
        middle = self.days.size // 2
        return {"all": slice(None), "first": slice(middle), "second": slice(middle, None)}[part]

    def time_mean(self, values: F64, part: Part = "all") -> F64:
        """Mean over time (the first axis) of the run or of one of its halves."""
        pick = self._pick(part)
        return np.asarray(np.average(values[pick], axis=0, weights=self.length[pick]))

    def section(self, name: str, part: Part = "all") -> F64:
        """Time-mean zonal mean, shape [lev, lat]."""
        return self.time_mean(self.sections[name], part)

    def band(self, name: str, part: Part = "all") -> F64:
        """Time-mean zonal mean of a field without levels, shape [lat]."""
        return self.time_mean(self.bands[name].values, part)

    def until(self, days: float) -> Climate:
        """The run up to `days` since its start; pressure stays the mean of all of it."""
        n = max(1, int(np.sum(self.days + 0.5 * self.length <= days + 1e-6)))
        if n == self.days.size:
            return self
        return replace(
            self,
            days=self.days[:n],
            length=self.length[:n],
            sections={k: v[:n] for k, v in self.sections.items()},
            bands={k: replace(v, values=v.values[:n]) for k, v in self.bands.items()},
            air={k: v[:n] for k, v in self.air.items()},
        )

    @property
    def end_day(self) -> float:
        """End of the last output interval since the start of the run [day]."""
        return float(self.days[-1] + 0.5 * self.length[-1])

    @property
    def has_halves(self) -> bool:
        """Whether there are enough records to compare the run with itself."""
        return self.days.size >= 2
