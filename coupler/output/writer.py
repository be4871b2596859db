"""Averages over the output interval, and the files they go to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cftime
import numpy as np

from coupler.exchange.accumulate import Accumulator
from coupler.exchange.live import Ranges
from coupler.interface.component import Array
from coupler.interface.constants import Planet
from coupler.interface.errors import Problem, nearest
from coupler.interface.fields import SMALL_STATE, TRACERS, Field
from coupler.interface.grid import Grid, HybridLevels
from coupler.interface.parallel import ALONE, Along, Rows, Spread
from coupler.output.background import Background
from coupler.output.netcdf import OutputFile

Live = Mapping[str, tuple[Field, Array]]
"""Fields by name with the live array of each."""
Steady = tuple[Sequence[Array], list[Callable[[], None]]]
"""Arrays that change together, and what is called before they do."""
_SMALL = tuple(f"tn_{of}" for of in SMALL_STATE)
DEFAULT = ("ua", "va", "rv", "ta", "hus", "ps", "zg")
_NO_AREA = 1e-9
"""Share of the globe below which a part of the cells is not there."""


def choose(
    live: Live, wanted: str | Sequence[str]
) -> tuple[dict[str, tuple[Field, Array]], list[Problem]]:
    """The fields to write: ``default`` (state, everything two-dimensional, and what the gravity
    waves do), ``all``, or the named ones.

    Surface pressure comes with every field on levels, whose pressure depends on it.
    """
    if wanted == "all":
        return dict(live), []
    if wanted == "default":
        return {n: fa for n, fa in live.items() if _by_default(n, fa[0])}, []
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    problems = [
        Problem(what="unknown output field", name=n, remedy=nearest(n, live))
        for n in names
        if n not in live
    ]
    chosen = {n: live[n] for n in names if n in live}
    if "ps" in live and any(len(f.dims) > 1 for f, _ in chosen.values()):
        chosen.setdefault("ps", live["ps"])
    return chosen, problems


def _by_default(name: str, field: Field) -> bool:
    return (
        name in DEFAULT
        or name in (*SMALL_STATE, *TRACERS)
        or len(field.dims) == 1
        or any(mark in name for mark in ("nogw", "endogw", "gwdparam", *_SMALL))
    )


class Averages:
    """Time means of live fields, written to one file."""

    def __init__(
        self,
        path: Path,
        live: Live,
        grid: Grid,
        levels: HybridLevels | None,
        *,
        start: cftime.datetime,
        attrs: Mapping[str, str],
        planet: Planet,
        area: str = "areacella",
        resume_at: float | None = None,
        patience: float = 0.0,
        background: Background | None = None,
        rows: Rows | None = None,
        writes: bool = True,
        ranges: Ranges | None = None,
        steady: Sequence[Steady] = (),
        fractions: Mapping[str, Array] = MappingProxyType({}),
    ) -> None:
        """Opens the file.

        Args:
            path: where.
            live: fields and their arrays ``[..., column]`` or ``[..., lat, lon]``.
            grid: the grid of the globe.
            levels: their levels, None for a surface model; the file has them where a field does.
            start: date that times count from.
            attrs: global attributes.
            planet: for the cell areas.
            area: name of the cell area variable.
            resume_at: time up to which an existing file is kept [s]; None makes a new one.
            patience, background: see `PatientFile`.
            rows: latitudes that the arrays hold; None: all.
            writes: whether this rank has the file; one writes for all.
            ranges: of fields that `add` is to look at, by name.
            steady: arrays that change in a scheme's calls only.
            fractions: of the parts of cells that change in time, by name, in arrays like those of
                the fields: what is per area of one of them is weighted with it.
        """
        self._rows = rows or Rows(parallel=ALONE, nlat=grid.lat.size)
        self._plane = self._rows.own.size, grid.lon.size
        self._columns = Along(self._rows.columns(grid.lon.size), -1)
        fields = [f for f, _ in live.values()]
        if all(len(f.dims) == 1 for f in fields):
            levels = None
        self._arrays = {n: a for n, (_, a) in live.items()}
        parts = {
            n: (f.part, fractions[f.part])
            for n, (f, a) in live.items()
            if f.part is not None and f.part in fractions and fractions[f.part].shape == a.shape
        }
        every_step = dict(parts.values()) | self._arrays
        shapes = {n: a.shape for n, a in every_step.items()}
        self.sums = Accumulator(shapes, parts)
        for group, before_change in steady:
            own = {n: a for n, a in every_step.items() if n not in parts and _among(a, group)}
            every_step = {n: a for n, a in every_step.items() if n not in own}
            if own:
                before_change.append(self.sums.follow(own, steady=True))
        self.sums.follow(every_step, ranges)
        self._scratch: dict[tuple[int, ...], Array] = {s: np.empty(s) for s in set(shapes.values())}
        self._record: dict[str, Array] = {}
        """The last means of the globe as the file holds them, on rank 0."""
        self.flat: dict[str, Array] = {}
        """Those of two-dimensional fields in float64, on rank 0."""
        self.file: OutputFile | None = None
        if not writes:
            return
        if resume_at is None:
            self.file = OutputFile(
                path,
                grid,
                levels,
                fields,
                start,
                attrs=attrs,
                planet=planet,
                area=area,
                weighted=parts,
                patience=patience,
                background=background,
            )
        else:
            self.file = OutputFile.reopen(
                path, resume_at, fields, patience=patience, background=background
            )

    def add(self, dt: float) -> set[str]:
        """Adds the present values for `dt` [s]; which fields were found within their ranges."""
        return self.sums.add_live(dt)

    def close(self) -> None:
        """Makes the means and begins a new interval; gathers them where they are written.

        One field at a time is there in float64; what is written is kept in float32.
        """
        for name, array in self._arrays.items():
            mean = self._scratch[array.shape]
            self.sums.mean({name: mean})
            plane = mean.reshape(*_lead(mean, self._plane), *self._plane)
            whole = self._rows.on_first(plane, -2)
            if whole is None:
                continue
            self._record[name] = whole.astype(np.float32)
            if whole.size == whole.shape[-1] * whole.shape[-2]:
                self.flat[name] = whole.copy()
        self.sums.reset()

    def write(self, t0: float, t1: float) -> None:
        """Writes the last means, those over ``[t0, t1]`` [s since the start]."""
        if self.file is not None:
            self.file.append(self._record, t0, t1, copy=False)
            self._record = {}

    def memory(self) -> dict[str, Array]:
        """The running sums."""
        return self.sums.memory()

    def may_lack(self) -> tuple[str, ...]:
        """What of them a restart may be without."""
        return self.sums.may_lack()

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave."""
        self.sums.restore(memory)

    def spread(self) -> dict[str, Spread]:
        """How the sums lie on the ranks; the same on all where every rank has all rows."""
        if self._rows.parallel.size == 1:
            return {}
        rows = Along(self._rows, -2)
        return {
            name: rows if array.shape[-2:] == self._plane else self._columns
            for name, array in self.sums.memory().items()
            if array.ndim
        }


def _among(array: Array, group: Sequence[Array]) -> bool:
    return any(array is other for other in group)


def _lead(array: Array, plane: tuple[int, int]) -> tuple[int, ...]:
    """Dimensions of an array before its latitudes and longitudes, or columns."""
    return array.shape[:-2] if array.shape[-2:] == plane else array.shape[:-1]


def area_means(means: Mapping[str, Array], live: Live, grid: Grid) -> dict[str, Any]:
    """Global means of two-dimensional fields: (value, units, long name) by name.

    A field of a part of the cells is averaged over that part, weighted with the mean fraction.
    There is no number where the fraction is not among the means, or no such part on the globe.
    Where it never was in a cell there is no mean, and none is needed.

    Args:
        means: time means, ``[lat, lon]`` or as columns, by name, in the units of the fields.
        live: the fields, by name.
        grid: the grid of the globe.
    """
    flat = {n: a.reshape(grid.shape) for n, a in means.items()}
    found: dict[str, Any] = {}
    for name, (field, _) in live.items():
        if len(field.dims) > 1 or name not in flat:
            continue
        if field.part is None:
            value, of = grid.mean(flat[name]), "global mean"
        elif field.part in flat and (share := grid.mean(flat[field.part])) > _NO_AREA:
            there = np.where(np.isnan(flat[name]), 0.0, flat[name])
            value = grid.mean(flat[field.part] * there) / share
            of = f"mean, weighted with {field.part},"
        else:
            continue
        found[name] = value, field.units, f"{of} of {field.long_name}"
    return found
