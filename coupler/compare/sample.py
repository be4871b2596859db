"""Fields of a run, or of anybody's file, on pressure levels and one grid: what metrics look at.

Our own files are on hybrid levels; they are brought to `LEVELS` record by record, linear in ln(p),
NaN below the lowest layer. A file of others is taken with its own pressure levels, interpolated to
the same; its variables are found by CF standard name or by usual names, its units converted, its
latitudes turned. Where its grid is another one it is remapped conservatively, if that is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from coupler.compare.opening import opened
from coupler.compare.statistics.distances import area_weights
from coupler.exchange.regrid import Regridder
from coupler.interface.constants import SECONDS_PER_DAY
from coupler.interface.errors import DataError, Problem
from coupler.interface.fields import FIELDS
from coupler.interface.grid import Grid
from coupler.interface.units import conversion, convertible

F64 = NDArray[np.float64]
Array = NDArray[Any]
LEVELS = (850e2, 700e2, 500e2, 250e2, 100e2, 50e2, 10e2, 3e2)
"""Pressures at which runs are compared [Pa], as far as the model reaches."""
DEEP = ("ua", "va", "ta", "hus")
FLAT = ("pr", "ts", "ps", "rlut", "rsdt", "rsut", "hfls", "hfss")
USUAL = {
    "ua": ("u", "u_component_of_wind", "U"), "va": ("v", "v_component_of_wind", "V"),
    "ta": ("t", "temperature", "T", "air"), "hus": ("q", "specific_humidity", "Q", "shum"),
    "pr": ("tp", "precip", "precipitation"), "ts": ("skt", "skin_temperature", "sst"),
    "ps": ("sp", "surface_pressure"), "rlut": ("olr",), "hfls": (), "hfss": (), "rsdt": (),
    "rsut": (),
}  # fmt: skip
"""Names that files of others give them, beside ours and the CF standard names."""
PARTS = {"pr": ("prc", "prl")}
"""What a field is the sum of, where a run has only the parts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Fields of one run over a span of time."""

    name: str
    days: F64
    """Middle of each record since the start of the run [day], shape [time]."""
    lat: F64
    """[degrees_north], ascending."""
    lon: F64
    levels: F64
    """[Pa], from the ground upward."""
    area: F64
    """Share of the globe of each latitude, shape [lat]; sums to 1."""
    deep: dict[str, Array]
    """Shape [time, level, lat, lon]."""
    flat: dict[str, Array]
    """Shape [time, lat, lon]."""
    calendar: str = ""
    start: str = ""
    units: dict[str, str] = field(default_factory=dict)

    def since(self, day: float) -> Sample:
        """The records after a day; the last one at least."""
        first = min(int(np.searchsorted(self.days, day)), self.days.size - 1)
        return self._records(slice(first, None))

    def pieces(self, days: float) -> list[Sample]:
        """The records cut into parts of so many days; what is left at the end is none."""
        interval = float(np.median(np.diff(self.days))) if self.days.size > 1 else days
        span = float(self.days[-1] - self.days[0]) + interval
        # Months are not alike: the last record may end half an interval early.
        edges = self.days[0] + days * np.arange(int((span + 0.5 * interval) // days) + 1) - 1e-6
        bounds = np.searchsorted(self.days, edges)
        return [self._records(slice(*pair)) for pair in pairwise(bounds) if pair[1] > pair[0]]

    def _records(self, which: slice) -> Sample:
        return replace(
            self,
            days=self.days[which],
            deep={n: x[which] for n, x in self.deep.items()},
            flat={n: x[which] for n, x in self.flat.items()},
        )

    @property
    def mass(self) -> F64:
        """Share of the mass that each level stands for, shape [level]; sums to 1."""
        p = self.levels
        edges = np.concatenate([[min(1.05 * p[0], 1.0e5)], 0.5 * (p[1:] + p[:-1]), [0.5 * p[-1]]])
        thickness = np.abs(np.diff(edges))
        return np.asarray(thickness / thickness.sum())

    def finite(self) -> bool:
        """Whether every field is, but for what lies below the ground."""
        flat = all(bool(np.isfinite(x).any(axis=(1, 2)).all()) for x in self.flat.values())
        return flat and all(bool(np.isfinite(x[:, -1]).all()) for x in self.deep.values())


def read_run(
    folder: Path, name: str, extra: Sequence[str] = (), levels: tuple[float, ...] = LEVELS
) -> Sample:
    """Fields of a run of ours.

    Args:
        folder: of the run.
        name: in tables.
        extra: fields on levels beside the usual ones, such as tendencies; left out where absent.
        levels: pressures that are wanted [Pa].

    Raises:
        DataError: for files that are missing or lack winds, temperature or surface pressure.
    """
    path = folder / "atmosphere.nc"
    with opened(path) as data:
        lacking = [n for n in ("ua", "ta", "ps", "lat", "lon") if n not in data.variables]
        if lacking:
            raise DataError(
                *(
                    Problem(
                        what="missing variable",
                        name=n,
                        expected=f"in {path}",
                        remedy="compare atmospheres on latitudes and longitudes, with ua, ta and "
                        "ps among output.fields",
                    )
                    for n in lacking
                )
            )
        sample = _sample(data, name, [*DEEP, *extra], levels)
        if (folder / "surface.nc").is_file():
            with opened(folder / "surface.nc") as surface:
                same = surface.sizes.get("time") == sample.days.size
                if same and surface["lat"].shape == sample.lat.shape:
                    more = _flat(surface, np.argsort(surface["lat"].values))
                    sample.flat.update({n: x for n, x in more.items() if n not in sample.flat})
    return sample


def read_foreign(path: Path, like: Sample, *, regrid: bool = False) -> Sample:
    """Fields of a CF netCDF file or zarr store on latitudes and longitudes.

    Args:
        path: a file, or a folder whose name ends in ``.zarr``.
        like: of which the grid and the levels are wanted.
        regrid: whether another grid is remapped (conservatively) or refused.

    Raises:
        DataError: with all that is wrong with it.
    """
    with opened(path) as data:
        data = _renamed(data, path)
        sample = _sample(data, path.stem, DEEP, levels=tuple(like.levels))
    same = sample.lat.shape == like.lat.shape and sample.lon.shape == like.lon.shape
    if same and np.allclose(sample.lat, like.lat, atol=1e-2) and _turned(sample.lon, like.lon):
        return sample
    if not regrid:
        raise DataError.of(
            "a reference on another grid",
            str(path),
            expected=_grid_in_words(like),
            found=_grid_in_words(sample),
            remedy="say --regrid to have it remapped conservatively",
        )
    move = Regridder(_grid(sample), _grid(like))

    def moved(x: Array) -> Array:
        """Means over the parts of cells that have a value."""
        known = np.isfinite(x)
        share = move.apply(known.astype(np.float64))
        total = move.apply(np.where(known, x, 0.0).astype(np.float64))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(share > 0.5, total / share, np.nan))

    return replace(
        sample,
        lat=like.lat,
        lon=like.lon,
        area=like.area,
        deep={n: moved(x) for n, x in sample.deep.items()},
        flat={n: moved(x) for n, x in sample.flat.items()},
    )


def _turned(a: F64, b: F64) -> bool:
    return bool(np.allclose(np.mod(a - b + 180.0, 360.0), 180.0, atol=1e-2))


def _grid(sample: Sample) -> Grid:
    """Cells around the points: Gaussian where the latitudes are, else half-way between them."""
    lat, lon = sample.lat, sample.lon
    step = 360.0 / lon.size
    edges = np.concatenate([[-90.0], 0.5 * (lat[1:] + lat[:-1]), [90.0]])
    if lat.size % 2 == 0:
        gaussian = Grid.gaussian(lat.size, 4)
        if np.allclose(gaussian.lat, lat, atol=0.02):
            edges = gaussian.lat_bounds
    return Grid(
        kind="regular",
        lat=lat,
        lon=lon,
        lat_bounds=edges,
        lon_bounds=lon[0] + step * (np.arange(lon.size + 1) - 0.5),
        weights=0.5 * np.diff(np.sin(np.radians(edges))),
    )


def _grid_in_words(s: Sample) -> str:
    return f"{s.lat.size} x {s.lon.size} from {s.lat[0]:.2f} to {s.lat[-1]:.2f} degrees north"


def _sample(
    data: xr.Dataset, name: str, deep: Sequence[str], levels: tuple[float, ...] = LEVELS
) -> Sample:
    lat = np.asarray(data["lat"].values, np.float64)
    up = np.argsort(lat)
    time = data["time"].values
    bounds = data.get("time_bnds")
    first = bounds.values[0, 0] if bounds is not None else time[0]
    days = np.array([(t - first).total_seconds() / SECONDS_PER_DAY for t in time])
    present = [n for n in deep if n in data]
    axis = str(data[present[0]].dims[1])
    pressure = layer_pressure(data, axis)
    if pressure.shape[2] > 1:
        pressure = pressure[:, :, up]
    wanted = np.array(_within(pressure, levels))
    bnds = data.get(str(data["lat"].attrs.get("bounds", "lat_bnds")))
    middle = pressure.mean(axis=(0, 2, 3))
    down = slice(None, None, -1 if middle[0] > middle[-1] else 1)  # top first
    brackets = _brackets(pressure[:, down], wanted)
    fields = {n: _on_levels(data[n].values[:, down, up], brackets) for n in present}
    return Sample(
        name=name,
        days=days,
        lat=lat[up],
        lon=np.asarray(data["lon"].values, np.float64),
        levels=wanted,
        area=area_weights(lat[up], None if bnds is None else bnds.values[up]),
        deep=fields,
        flat=_flat(data, up),
        calendar=str(getattr(first, "calendar", "")),
        start=str(first),
        units={n: str(data[n].attrs.get("units", "")) for n in present},
    )


def _within(pressure: F64, levels: Sequence[float]) -> tuple[float, ...]:
    """Levels that every column reaches at its top and some at the bottom."""
    top = pressure.min(axis=1)
    # Where the top moves with the ground, members must not differ in what they just reach.
    limit = float(top.max()) * (1.0 if float(np.ptp(top)) < 1.0 else 1.1)
    return tuple(p for p in levels if limit - 0.1 <= p <= pressure.max() + 0.1)


def levels_of(path: Path) -> tuple[float, ...]:
    """Which of `LEVELS` somebody's file has layers around [Pa]."""
    with opened(path) as data:
        return _within(layer_pressure(_renamed(data, path), "lev"), LEVELS)


def times_of(path: Path) -> tuple[float, float]:
    """Time from one record of somebody's file to the next, and what all span [day].

    NaN for fewer than two records.
    """
    with opened(path) as data:
        axis = _axes(data).get("time")
        times = data[axis].values if axis is not None else ()
    apart = [(b - a).total_seconds() / SECONDS_PER_DAY for a, b in pairwise(times)]
    interval = float(np.median(apart)) if apart else float("nan")
    return interval, sum(apart) + interval


def _flat(data: xr.Dataset, up: Array) -> dict[str, Array]:
    found = {}
    for name in FLAT:
        parts = [name] if name in data else PARTS.get(name, ())
        if parts and all(n in data and data[n].dims[0] == "time" for n in parts):
            total = sum((data[n].values for n in parts), start=np.float32(0.0))
            found[name] = np.asarray(total)[:, up]
    return found


def formula(data: xr.Dataset, terms: str) -> tuple[F64, F64, str]:
    """Terms of p = ap + b ps: ap [Pa], b, and the name of the surface pressure."""
    term = dict(re.findall(r"(\w+):\s+(\S+)", terms))
    a = np.asarray(data[term.get("ap", term.get("a", ""))].values, np.float64)
    if "ap" not in term:
        a = a * float(data[term["p0"]].values)
    return a, np.asarray(data[term["b"]].values, np.float64), term.get("ps", "ps")


def layer_pressure(data: xr.Dataset, axis: str) -> F64:
    """Of the layers, shape [time or 1, level, lat or 1, lon or 1] [Pa]."""
    level = data[axis]
    terms = str(level.attrs.get("formula_terms", ""))
    if not terms:
        units = str(level.attrs.get("units", "Pa")).replace("millibars", "hPa")
        scale = conversion(units, "Pa")[0] if convertible(units, "Pa") else 1.0
        return scale * np.asarray(level.values, np.float64)[None, :, None, None]
    a, b, name = formula(data, terms)
    ps = np.asarray(data[name].values, np.float64)
    return np.asarray(a[None, :, None, None] + b[None, :, None, None] * ps[:, None])


Bracket = tuple[Array, F64, Array]
"""Of one pressure: index of the layer below, its share, and where there are layers around it."""


def _brackets(pressure: F64, wanted: F64) -> list[Bracket]:
    """Where pressures lie among the layers of an atmosphere, top first; the same for all fields."""
    log_p, nlev = np.log(pressure), pressure.shape[1]
    found = []
    for p in np.log(wanted):
        below = np.clip((log_p < p - 1e-9).sum(axis=1, keepdims=True), 1, nlev - 1)
        upper = np.take_along_axis(log_p, below - 1, axis=1)
        lower = np.take_along_axis(log_p, below, axis=1)
        share = (p - upper) / (lower - upper)
        found.append((below, share, (share >= -1e-6) & (share <= 1.0 + 1e-6)))
    return found


def _on_levels(x: Array, brackets: list[Bracket]) -> Array:
    """Linear in ln(p) between layers; NaN below the lowest and above the uppermost layer."""
    out = np.empty((x.shape[0], len(brackets), *x.shape[2:]), np.float32)
    for k, (below, share, inside) in enumerate(brackets):
        where = np.broadcast_to(below, (x.shape[0], 1, *x.shape[2:]))
        low = np.take_along_axis(x, where, axis=1)
        high = np.take_along_axis(x, where - 1, axis=1)
        out[:, k] = np.where(inside, share * low + (1.0 - share) * high, np.nan)[:, 0]
    return out


def _renamed(data: xr.Dataset, path: Path) -> xr.Dataset:
    """With our names for axes and fields, in our units; the time axis first.

    Raises:
        DataError: for a file without latitudes, longitudes, levels, time, wind or temperature, or
            with units that do not fit.
    """
    axes = _axes(data)
    absent = [n for n in ("lat", "lon", "time", "lev") if n not in axes]
    if absent:
        raise DataError(
            *(
                Problem(
                    what="missing axis of a reference",
                    name=f"{path}: {n}",
                    expected="one-dimensional lat, lon, time and pressure level",
                    found=", ".join(str(v) for v in data.dims),
                    remedy="give a file on a latitude-longitude or Gaussian grid and pressure "
                    "levels",
                )
                for n in absent
            )
        )
    data = data.rename({v: k for k, v in axes.items() if v != k})
    data = data.assign_coords(lon=np.mod(data["lon"].values, 360.0)).sortby("lon")
    if not data["lev"].attrs.get("units"):
        hectopascal = float(data["lev"].max()) < 2000.0
        data["lev"].attrs["units"] = "hPa" if hectopascal else "Pa"
    problems: list[Problem] = []
    chosen: dict[str, xr.DataArray] = {}
    for ours in (*DEEP, *FLAT):
        variable = _variable(data, ours)
        if variable is None:
            continue
        order = ["time", "lev", "lat", "lon"] if ours in DEEP else ["time", "lat", "lon"]
        if set(variable.dims) != set(order):
            continue
        chosen[ours] = _converted(variable.transpose(*order), ours, path, problems)
    for needed in ("ua", "ta"):
        if needed not in chosen and not problems:
            problems.append(
                Problem(
                    what="missing variable of a reference",
                    name=f"{path}: {needed}",
                    expected=f"a variable with the standard name {FIELDS[needed].standard_name}",
                    found=", ".join(str(v) for v in data.data_vars),
                )
            )
    if problems:
        raise DataError(*problems)
    keep = [n for n in ("time_bnds", "lat_bnds") if n in data]
    axes_of = {n: data[n] for n in ("time", "lat", "lon", "lev")}
    return xr.Dataset({**chosen, **{n: data[n] for n in keep}}, coords=axes_of)


def _axes(data: xr.Dataset) -> dict[str, str]:
    """Names in somebody's file of the axes ``lat lon time lev`` that it has."""
    axes: dict[str, str] = {}
    for name in data.variables:
        attrs = data[name].attrs
        standard, units = str(attrs.get("standard_name", "")), str(attrs.get("units", ""))
        for ours, names, of in (
            ("lat", ("latitude", "lat"), "degrees_north"),
            ("lon", ("longitude", "lon"), "degrees_east"),
            ("time", ("time", "valid_time"), "-"),
            ("lev", ("air_pressure", "level", "plev", "pressure_level", "isobaricInhPa"), "-"),
        ):
            fits = standard in names or str(name) in names or units == of
            if fits and data[name].dims == (name,):
                axes.setdefault(ours, str(name))
    return axes


def _variable(data: xr.Dataset, ours: str) -> xr.DataArray | None:
    for name in (ours, *USUAL[ours]):
        if name in data:
            return data[name]
    standard = FIELDS[ours].standard_name
    same = (v for v in data.data_vars.values() if v.attrs.get("standard_name") == standard)
    return next(same, None)


def _converted(
    variable: xr.DataArray, ours: str, path: Path, problems: list[Problem]
) -> xr.DataArray:
    wanted, units = FIELDS[ours].units, str(variable.attrs.get("units", FIELDS[ours].units))
    if not convertible(units, wanted):
        problems.append(
            Problem(
                what="unit of a reference that does not fit",
                name=f"{path}: {variable.name}",
                expected=f"a unit convertible to {wanted!r}",
                found=repr(units),
                remedy="correct its attribute, or give it a rate instead of an amount",
            )
        )
        return variable
    factor, offset = conversion(units, wanted)
    return variable if (factor, offset) == (1.0, 0.0) else variable * factor + offset


def differences_of(
    samples: Mapping[str, Sample], options: Sequence[tuple[str, Any, Any]] = ()
) -> list[Problem]:
    """How samples differ in what they must share: grid, levels, calendar, units, start, options."""
    names = list(samples)
    if len(names) < 2:
        return []
    first, a = names[0], samples[names[0]]
    problems = []

    def add(what: str, name: str, x: object, y: object) -> None:
        problems.append(
            Problem(what=what, name=f"{first} and {name}", expected=str(x), found=str(y))
        )

    for name in names[1:]:
        b = samples[name]
        shapes = a.lat.shape == b.lat.shape and a.lon.shape == b.lon.shape
        if not shapes or not np.allclose(a.lat, b.lat, atol=1e-2):
            add("two runs on different grids", name, _grid_in_words(a), _grid_in_words(b))
        elif not np.array_equal(a.levels, b.levels):
            add("two runs on different levels", name, a.levels / 100.0, b.levels / 100.0)
        if a.calendar != b.calendar:
            add("two calendars", name, a.calendar, b.calendar)
        if a.start != b.start:
            add("two starts", name, a.start, b.start)
        for field_, units in a.units.items():
            if b.units.get(field_, units) != units:
                add(f"two units of {field_}", name, units, b.units[field_])
    for key, x, y in options:
        problems.append(Problem(what="two options", name=key, expected=str(x), found=str(y)))
    return problems
