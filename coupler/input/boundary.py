"""Boundary fields from files on a model's own grid: constant or a climatology of twelve months."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coupler.exchange.regrid import Method, Regridder
from coupler.input.files import axis_of, field_of, grid_of, open_file, times_of
from coupler.input.months import months_of
from coupler.interface.errors import DataError, Problem
from coupler.interface.fields import Field
from coupler.interface.grid import Grid
from coupler.interface.units import conversion

F64 = NDArray[np.float64]


def read_boundary(
    path: Path,
    variable: str,
    target: Grid,
    field: Field,
    *,
    units: str | None = None,
    file_units: str | None = None,
    method: Method = "conservative",
    allow_missing: bool = False,
    calendar: str = "standard",
    say: list[Problem] | None = None,
) -> F64:
    """A field of a file on `target`, in float64.

    Args:
        path: the netCDF file.
        variable: its name in the file.
        target: grid to remap to.
        field: what it is to us: its unit and plausible range.
        units: unit to deliver; default: the field's own.
        file_units: unit of the file where the file does not say or is wrong.
        method: how to remap; ``conservative`` keeps the global mean.
        allow_missing: takes only valid values into means, and the nearest one where there is none
            (a sea surface temperature without values over land).
        calendar: of the run, for a climatology.
        say: what a user should hear is put here.

    Returns:
        Shape [lat, lon], or [12, lat, lon], January first, when the file holds twelve times.

    Raises:
        DataError: with one sentence saying what is wrong.
    """
    where = f"{variable} in {path}"
    with open_file(path) as file:
        count = times_of(file, variable)
        if count not in (1, 12):
            raise DataError.of(
                "not a climatology",
                where,
                expected="one time, or twelve months",
                found=f"{count} times",
            )
        order, said = None, list[Problem]()
        if count == 12:
            order, said = months_of(_time_of(file, variable), where, field.name, calendar)
        if say is not None:
            say += said
        read = field_of(
            file,
            variable,
            ("time", "lat", "lon") if count == 12 else ("lat", "lon"),
            units=field.units,
            file_units=file_units,
            allow_missing=allow_missing,
        )
    source = grid_of(read.coordinates, where)
    if order is not None:
        read = replace(
            read,
            values=read.values[order],
            missing=None if read.missing is None else read.missing[order],
        )
    if read.missing is None:
        out = Regridder(source, target, method).apply(read.values)
    else:
        out = _with_holes(read.values, source, target, method, where)
    # Round-off and nothing else: 1e-9 of a fraction or of a kelvin.
    low, high = field.valid or (-np.inf, np.inf)
    if out.min() < low - 1e-9 or out.max() > high + 1e-9:
        raise DataError.of(
            "values out of range",
            where,
            expected=f"{field.name} from {low:g} to {high:g} {field.units}",
            found=f"{out.min():g} to {out.max():g}",
            remedy="state the unit of the file in the case with `units:`",
        )
    if units is None or units == field.units:
        return out
    factor, offset = conversion(field.units, units)
    return out * factor + offset


def _time_of(file: Any, variable: str) -> Any:
    """The coordinate of a variable's times; None where the file has none."""
    name = next(n for n in file[variable].dimensions if axis_of(file, n) == "time")
    return file.variables.get(name)


def _with_holes(values: F64, source: Grid, target: Grid, method: Method, where: str) -> F64:
    """Remaps every time with its own mask of valid values."""
    out = np.empty((*values.shape[:-2], *target.shape))
    for index in np.ndindex(values.shape[:-2]):
        valid = np.isfinite(values[index])
        if not valid.any():
            raise DataError.of("no value at all", where, found=f"only NaN at time {index}")
        remap = Regridder(
            source, target, method, source_fraction=valid.astype(np.float64), fill="nearest"
        )
        remap.apply(values[index], out[index])
    return out
