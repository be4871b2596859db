"""Fields from netCDF files, with one clear sentence for everything that can be wrong with them.

Dimensions are recognised by name or by the attributes of their coordinate variables, so their order
does not matter. Latitudes are turned to run south to north and longitudes to begin at or east of
zero. Values come out in float64, without holes, in the unit asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from coupler.input.classic import missing_bytes
from coupler.interface.errors import ConfigError, CouplerError, DataError, nearest
from coupler.interface.grid import Grid
from coupler.interface.units import conversion, convertible

F64 = NDArray[np.float64]

STANDARD_GRAVITY = 9.80665
"""Turns geopotential into height as data centres do [m s-2]."""

_AXES: dict[str, tuple[str, ...]] = {
    "lat": ("lat", "latitude", "nlat", "y"),
    "lon": ("lon", "longitude", "nlon", "x"),
    "level": ("level", "lev", "plev", "pressure", "pressure_level", "pfull", "isobaric"),
    "time": ("time", "month", "valid_time", "t"),
}
_MARKS: dict[str, tuple[str, ...]] = {
    "lat": ("latitude", "degrees_north", "degree_north", "Y"),
    "lon": ("longitude", "degrees_east", "degree_east", "X"),
    "level": ("air_pressure", "Z", "Pa", "hPa", "mb", "mbar", "millibar", "millibars"),
    "time": ("time", "T"),
}
_SPELLINGS = {"(0 - 1)": "1", "0-1": "1", "0 - 1": "1", "fraction": "1", "-": "1", "": "1"}
"""Unit texts of data centres that are no units."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FileField:
    """A field as read: whole, ordered, in known units."""

    values: F64
    """Shape as the dimensions asked for."""
    coordinates: Mapping[str, F64]
    """``lat`` [degrees_north], ``lon`` [degrees_east], ``level`` [as in the file], ..."""
    missing: NDArray[np.bool_] | None
    """Where the file has no value (`values` is NaN there); None when it has all."""


@contextmanager
def open_file(path: Path) -> Iterator[Any]:
    """An open netCDF file.

    Raises:
        DataError: when the file is missing, truncated or not netCDF.
    """
    path = Path(path)
    if not path.is_file():
        near = [p.name for p in path.parent.glob("*.nc")] if path.parent.is_dir() else []
        remedy = nearest(path.name, near) if near else "check the path, or `isthmus data fetch`"
        raise DataError.of("no such file", str(path), remedy=remedy)
    lacking = missing_bytes(path)
    if lacking:
        raise _truncated(path, f"{path.stat().st_size} bytes, at least {lacking} are missing")
    try:
        dataset = netCDF4.Dataset(path)
    except OSError as error:
        start = _first_bytes(path)
        if start.startswith(b"\x89HDF"):
            raise _truncated(path, str(error)) from error
        found = f"a file that begins with {start!r}" if start else "an empty file"
        raise DataError.of(
            "not a netCDF file", str(path), found=found, remedy="check the path"
        ) from error
    try:
        yield dataset
    except (RuntimeError, OSError) as error:  # what the library raises for damaged data
        raise _truncated(path, str(error)) from error
    finally:
        dataset.close()


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(12)


def _truncated(path: Path, found: str) -> CouplerError:
    return DataError.of(
        "truncated or damaged netCDF file",
        str(path),
        found=found,
        remedy="remove it and fetch it again",
    )


def read_field(
    path: Path,
    variable: str,
    dims: Sequence[str],
    *,
    units: str | None = None,
    file_units: str | None = None,
    time: int | None = None,
    allow_missing: bool = False,
) -> FileField:
    """One variable of a file, ordered as asked.

    Args:
        path: the file.
        variable: its name in the file.
        dims: the order wanted, of ``time level lat lon``.
        units: unit wanted; geopotential [m2 s-2] and height [m] convert into each other.
        file_units: unit of the values where the file does not say or is wrong. A file without a
            unit is taken to be in `units` already.
        time: which time to take when the variable has a time dimension that was not asked for.
        allow_missing: gives NaN where the file has no value instead of refusing.

    Raises:
        DataError: with one sentence saying what is wrong.
    """
    with open_file(path) as file:
        return field_of(
            file,
            variable,
            dims,
            units=units,
            file_units=file_units,
            time=time,
            allow_missing=allow_missing,
        )


def field_of(
    file: Any,
    variable: str,
    dims: Sequence[str],
    *,
    units: str | None = None,
    file_units: str | None = None,
    time: int | None = None,
    allow_missing: bool = False,
) -> FileField:
    """As `read_field`, from a file that is open."""
    where = f"{variable} in {file.filepath()}"
    if variable not in file.variables:
        known = [n for n, v in file.variables.items() if v.ndim >= len(dims)]
        remedy = nearest(variable, known) if known else "it has " + ", ".join(file.variables)
        raise DataError.of("no such variable", where, remedy=remedy)
    source = file[variable]
    axes = [axis_of(file, name) for name in source.dimensions]
    values = np.asarray(np.ma.filled(np.ma.asarray(source[...], np.float64), np.nan))
    values, axes = _dropped(values, axes, source, dims, where, time)
    if sorted(axes) != sorted(dims):
        raise DataError.of(
            "wrong dimensions",
            where,
            expected=", ".join(dims) + " in any order",
            found=", ".join(source.dimensions) or "none",
            remedy="name the dimensions lat, lon, level, time, or choose another variable",
        )
    values = values.transpose([axes.index(d) for d in dims])
    names = {axis_of(file, n): n for n in source.dimensions}
    coordinates: dict[str, F64] = {}
    for axis in dims:
        coordinates[axis] = _coordinate(file, names[axis], values.shape[dims.index(axis)], where)
    values, coordinates = _ordered(values, list(dims), coordinates, where)
    values = _converted(values, source, units, file_units, where)
    missing = ~np.isfinite(values)
    if missing.any() and not allow_missing:
        raise _holes(missing, dims, coordinates, where)
    return FileField(
        values=np.ascontiguousarray(values),
        coordinates=coordinates,
        missing=missing if missing.any() else None,
    )


def times_of(file: Any, variable: str) -> int:
    """Number of times of a variable; 1 when it has no time dimension or does not exist."""
    if variable not in file.variables:
        return 1
    source = file[variable]
    axes = [axis_of(file, name) for name in source.dimensions]
    return int(source.shape[axes.index("time")]) if "time" in axes else 1


def axis_of(file: Any, dimension: str) -> str:
    """``lat``, ``lon``, ``level`` or ``time``, or the dimension's own name when unknown."""
    if dimension in file.variables:
        attributes = file[dimension].__dict__
        said = {attributes.get(k) for k in ("standard_name", "axis", "units")}
        for axis, marks in _MARKS.items():
            if said.intersection(marks):
                return axis
    for axis, names in _AXES.items():
        if dimension.lower() in names:
            return axis
    return dimension


def _dropped(
    values: F64,
    axes: list[str],
    source: Any,
    dims: Sequence[str],
    where: str,
    time: int | None,
) -> tuple[F64, list[str]]:
    """Without dimensions that were not asked for: of length one, or time at a given index."""
    for axis in [a for a in axes if a not in dims]:
        at = axes.index(axis)
        length = values.shape[at]
        index = 0
        if axis == "time" and time is not None:
            if not -length <= time < length:
                raise DataError.of(
                    "no such time", where, expected=f"0 to {length - 1}", found=str(time)
                )
            index = time
        elif length != 1:
            continue
        values = np.take(values, index, axis=at)
        axes = axes[:at] + axes[at + 1 :]
    return values, axes


def _coordinate(file: Any, name: str, size: int, where: str) -> F64:
    if name not in file.variables:
        if axis_of(file, name) == "time":
            return np.arange(size, dtype=np.float64)
        raise DataError.of(
            "dimension without coordinate variable",
            f"{name} of {where}",
            expected=f"a variable {name}({name}) with its values",
        )
    values = np.asarray(np.ma.filled(np.ma.asarray(file[name][...], np.float64), np.nan))
    steps = np.diff(values)
    if not np.isfinite(values).all() or not ((steps > 0).all() or (steps < 0).all()):
        raise DataError.of(
            "coordinate is not monotonic",
            f"{name} of {where}",
            expected="finite values that only grow or only fall",
        )
    return values


def _ordered(
    values: F64, dims: list[str], coordinates: dict[str, F64], where: str
) -> tuple[F64, dict[str, F64]]:
    """Latitudes south to north; longitudes ascending, the first one at or east of 0."""
    if "lat" in dims:
        lat = coordinates["lat"]
        if np.abs(lat).max() > 90.0 + 1e-6:
            raise DataError.of(
                "latitude beyond the poles", where, found=f"{lat.min():g} to {lat.max():g}"
            )
        if lat.size > 1 and lat[0] > lat[-1]:
            values = np.flip(values, dims.index("lat"))
            coordinates["lat"] = lat[::-1].copy()
    if "lon" in dims:
        axis = dims.index("lon")
        given = coordinates["lon"]
        lon = given - 360.0 * np.floor((given + 1e-9) / 360.0)  # -1e-10 stays beside zero
        order = np.argsort(lon, kind="stable")
        lon = lon[order]
        repeated = np.append(False, np.diff(lon) < 1e-6)  # a last meridian that repeats the first
        order = order[~repeated]
        coordinates["lon"] = lon[~repeated]
        if not np.array_equal(order, np.arange(values.shape[axis])):
            values = values.take(order, axis=axis)
    return values, coordinates


def _converted(
    values: F64,
    source: Any,
    units: str | None,
    file_units: str | None,
    where: str,
) -> F64:
    stated = file_units if file_units is not None else getattr(source, "units", None)
    if units is None or stated is None:
        return values
    stated = _SPELLINGS.get(str(stated).strip(), str(stated).strip())
    if convertible(stated, units):
        factor, offset = conversion(stated, units)
    elif convertible(stated, "m2 s-2") and convertible("m", units):
        factor, offset = conversion("m", units)[0] / STANDARD_GRAVITY, 0.0
        factor *= conversion(stated, "m2 s-2")[0]
    elif convertible(stated, "m") and convertible("m2 s-2", units):
        factor, offset = conversion("m2 s-2", units)[0] * STANDARD_GRAVITY, 0.0
        factor *= conversion(stated, "m")[0]
    else:
        raise DataError.of(
            "wrong unit",
            where,
            expected=f"a unit convertible to {units!r}",
            found=repr(stated),
            remedy="state the true unit in the case with `units:` if the file is wrong",
        )
    return values if (factor, offset) == (1.0, 0.0) else values * factor + offset


def _holes(
    missing: NDArray[np.bool_], dims: Sequence[str], coordinates: Mapping[str, F64], where: str
) -> CouplerError:
    first = np.argwhere(missing)[0]
    place = ", ".join(f"{d} {coordinates[d][i]:g}" for d, i in zip(dims, first, strict=True))
    count = int(np.count_nonzero(missing))
    return DataError.of(
        "missing values (NaN)",
        where,
        expected="a number everywhere",
        found=f"{count} missing of {missing.size}, the first at {place}",
    )


def grid_of(coordinates: Mapping[str, F64], where: str) -> Grid:
    """The grid of a file's ``lat`` and ``lon`` (both ascending).

    Gaussian latitudes are recognised (to 0.001 degree) and get the cells of `Grid.gaussian`.
    Otherwise cell edges lie midway between centres, and the outermost ones at the poles.

    Raises:
        DataError: when longitudes are not evenly spaced around the globe, or latitudes leave a
            gap at a pole.
    """
    lat, lon = coordinates["lat"], coordinates["lon"]
    step = 360.0 / lon.size
    if lon.size < 4 or np.abs(lon - lon[0] - step * np.arange(lon.size)).max() > 0.01 * step:
        raise DataError.of(
            "longitudes are not a whole circle",
            where,
            expected="evenly spaced longitudes around the globe",
            found=f"{lon.size} from {lon[0]:g} to {lon[-1]:g}",
        )
    lon_bounds = lon[0] + step * (np.arange(lon.size + 1) - 0.5)
    try:
        gaussian = Grid.gaussian(lat.size, 4) if lat.size % 2 == 0 else None
    except ConfigError:  # no latitudes at all
        gaussian = None
    if gaussian is not None and np.abs(gaussian.lat - lat).max() < 1e-3:
        lat, edges, weights = gaussian.lat, gaussian.lat_bounds, gaussian.weights
        kind = "gaussian"
    else:
        gap = np.diff(lat).max() if lat.size > 1 else 180.0
        if max(lat[0] + 90.0, 90.0 - lat[-1]) > 1.01 * gap:
            raise DataError.of(
                "latitudes do not reach the poles",
                where,
                expected="a global field",
                found=f"{lat[0]:g} to {lat[-1]:g}",
            )
        edges = np.concatenate([[-90.0], 0.5 * (lat[1:] + lat[:-1]), [90.0]])
        weights = 0.5 * np.diff(np.sin(np.radians(edges)))
        kind = "regular"
    return Grid(
        kind=kind,
        lat=np.asarray(lat),
        lon=lon[0] + step * np.arange(lon.size),
        lat_bounds=np.asarray(edges),
        lon_bounds=lon_bounds,
        weights=np.asarray(weights),
    )
