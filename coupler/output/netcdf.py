"""CF netCDF files: time means with bounds, cell areas and hybrid levels, one record at a time.

Follows the CF conventions 1.10 (Eaton et al., https://cfconventions.org) with CMIP6 names. Full
levels k and half levels k+1/2 are ``p = ap + b ps`` with the interface coefficients of the model;
the full levels' coefficients are the means of their interfaces', which is what CF can express (the
model's own full-level pressure is the field ``pfull``).

The file is open only while records are written, which `OutputFile.append` does at once, or with
`patience` a little later (see `patient`): a run that dies leaves a file that opens and ends with a
whole record, others may read it while the run goes on, and `OutputFile.reopen` continues it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cftime
import numpy as np
from numpy.typing import NDArray

from coupler.interface.constants import SECONDS_PER_DAY, Planet
from coupler.interface.errors import ContractError, DataError, nearest
from coupler.interface.fields import AREAS, COLUMN, FIELDS, LEVEL, Field
from coupler.interface.grid import Grid, HybridLevels
from coupler.output.axes import define_layers, define_plane, horizontal
from coupler.output.background import Background
from coupler.output.library import opened
from coupler.output.patient import PatientFile

Array = NDArray[Any]

FILL = np.float32(1.0e20)
"""Missing value of CMIP files."""
_VERTICAL = {"level": "lev", "interface": "ilev"}
_SAME_TIME = 5.0e-7
"""Times closer than this are the same [s]: far below a step, above the round-off of days."""
_COMPRESSION = {"zlib": True, "complevel": 1, "shuffle": True}


def run_attributes(
    *, title: str, case: str, versions: Mapping[str, str], source: str = "Isthmus"
) -> dict[str, str]:
    """Global attributes of a run's files.

    Args:
        title: what the run is.
        case: the resolved case as YAML.
        versions: versions of the program and of what it uses, by name; stored as JSON.
        source: name and version of the model.
    """
    return {
        "title": title,
        "source": source,
        "case": case,
        "versions": json.dumps(dict(versions), sort_keys=True),
    }


class OutputFile(PatientFile):
    """A CF file of one grid to which records of time means are appended."""

    def __init__(
        self,
        path: Path,
        grid: Grid,
        levels: HybridLevels | None,
        fields: Sequence[Field],
        start: cftime.datetime,
        *,
        attrs: Mapping[str, str] | None = None,
        static: Mapping[str, Array] | None = None,
        planet: Planet | None = None,
        area: str = "areacella",
        weighted: Collection[str] = (),
        patience: float = 0.0,
        background: Background | None = None,
    ) -> None:
        """Creates the file with its coordinates and no record.

        Args:
            path: a file that does not exist yet, or is to be replaced.
            grid: horizontal grid of all fields.
            levels: vertical levels; needed for fields on levels or interfaces. The surface
                pressure ``ps`` is then added to the fields, because pressure follows from it.
                Fields of a single layer of fluid are written without a vertical dimension.
            fields: what every record holds.
            start: date of time zero; its calendar is the file's.
            attrs: global attributes, see `run_attributes`.
            static: fields of the table that never change, shape [lat, lon], by name.
            planet: gives the radius for the cell areas and p0 for the level numbers.
            area: CMIP name of the cell areas: ``areacella``, or ``areacello`` for the sea.
            weighted: fields whose means over time are weighted with the fraction of their part.
            patience, background: see `PatientFile`.

        Raises:
            ContractError: for two fields of one name, or fields on levels without levels.
        """
        super().__init__(path, patience, background)
        planet = planet or Planet()
        if levels is not None and levels.is_layer:
            fields, levels = [_of_layer(f) for f in fields], None
        self.fields = _with_surface_pressure(fields, levels)
        _check_fields(self.fields, levels)
        self.path = Path(path)
        nlev = levels.nlev if levels is not None else 0
        sizes = {"level": (nlev,), "interface": (nlev + 1,), "column": grid.shape}
        self._shapes = {f.name: tuple(n for d in f.dims for n in sizes[d]) for f in self.fields}
        self._count, self._last = 0, -np.inf
        with opened(self.path, "w", format="NETCDF4") as nc:
            nc.setncatts(global_attributes(attrs or {}))
            _define_time(nc, start)
            if grid.is_plane:
                define_plane(nc, grid, area)
            else:
                _define_horizontal(nc, grid, planet, area)
            if levels is not None and levels.has_pressure:
                _define_vertical(nc, levels, planet)
            elif levels is not None:
                define_layers(nc, levels.nlev)
            for field in self.fields:
                variable = _define_field(
                    nc, field, self._shapes[field.name], area, horizontal(grid)
                )
                variable.cell_methods = _cell_methods(field, field.name in weighted)
            for name, values in (static or {}).items():
                _define_static(nc, name, values, area)
        self._prepare()

    @classmethod
    def reopen(
        cls,
        path: Path,
        upto: float,
        fields: Sequence[Field] | None = None,
        *,
        patience: float = 0.0,
        background: Background | None = None,
    ) -> OutputFile:
        """Opens an existing file to append to it; records that end after `upto` are dropped.

        Args:
            path: the file of an earlier run.
            upto: time since the file's start up to which records are kept [s].
            fields: what the caller is going to append; None: whatever the file holds.
            patience, background: see `PatientFile`.

        Raises:
            DataError: when the file is missing, damaged or holds other fields.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError.of(
                "no output file to continue",
                str(path),
                remedy="run without --resume, or give the folder of the run to continue",
            )
        self = cls.__new__(cls)
        PatientFile.__init__(self, path, patience, background)
        try:
            with opened(path) as nc:
                ends = np.ma.getdata(nc["time_bnds"][:, 1]) * SECONDS_PER_DAY
                held = [v for v in nc.variables.values() if "cell_methods" in v.ncattrs()]
                self._shapes = {v.name: v.shape[1:] for v in held}
                self.fields = tuple(_field_of(v) for v in held)
                hybrid = "ap" in nc.variables
        except (OSError, IndexError, RuntimeError) as error:
            raise DataError.of(
                "output file cannot be continued",
                str(path),
                expected="a readable netCDF file of an earlier run",
                found=str(error),
                remedy="move it away and resume: a new file is begun",
            ) from error
        if fields is not None:
            wanted = {f.name for f in fields} | ({"ps"} if hybrid else set())
            if wanted != set(self._shapes):
                raise DataError.of(
                    "output file holds other fields",
                    str(path),
                    expected=", ".join(sorted(wanted)),
                    found=", ".join(sorted(self._shapes)),
                    remedy="resume with the output fields of the run that wrote it, or with the "
                    "version of Isthmus that began it",
                )
        self._count = int(np.count_nonzero(ends <= upto + _SAME_TIME))
        if self._count < ends.size:
            keep_records(path, self._count)
        self._last = float(ends[self._count - 1]) if self._count else -np.inf
        self._prepare()
        return self

    def _prepare(self) -> None:
        self._records: list[tuple[float, float, dict[str, Array]]] = []
        """Begin and end [day] and fields of what waits."""
        self._stored = self._count
        fsync(self.path)

    @property
    def records(self) -> int:
        """Number of records, those that wait to be written among them."""
        return self._count

    def append(
        self, arrays: Mapping[str, Array], t0: float, t1: float, *, copy: bool = True
    ) -> None:
        """Takes means over one interval; they are on disk when this returns, or see `patient`.

        Args:
            arrays: every field by name, ``[level|interface, lat, lon]`` or ``[lat, lon]``, or the
                same memory as columns; NaN becomes the missing value. More names may be given.
            t0: begin of the interval [s since start].
            t1: its end [s since start].
            copy: False where float32 arrays are given up to the file.

        Raises:
            ContractError: for a missing field, a wrong shape, or an interval that does not follow
                the last one.
        """
        if not t1 > t0 or t0 < self._last - _SAME_TIME:
            raise ContractError.of(
                "output interval out of order",
                str(self.path),
                expected=f"a begin not before {max(self._last, 0.0):g} s, and an end after it",
                found=f"{t0:g} s to {t1:g} s",
            )
        # All is checked before anything is written: a record is whole or not there.
        for name, shape in self._shapes.items():
            if name not in arrays:
                raise ContractError.of("output field not given", name, remedy=nearest(name, arrays))
            columns = (*shape[:-2], shape[-2] * shape[-1])
            fits = (shape, columns, (1, *shape), (1, *columns))
            if arrays[name].shape not in (fits if len(shape) == 2 else fits[:2]):
                raise ContractError.of(
                    "wrong shape for output",
                    name,
                    expected=f"{shape} or {columns}",
                    found=str(arrays[name].shape),
                )
        record = {n: _stored(arrays[n].reshape(shape), copy) for n, shape in self._shapes.items()}
        self._records.append((t0 / SECONDS_PER_DAY, t1 / SECONDS_PER_DAY, record))
        self._count, self._last = self._count + 1, t1
        self._wait(sum(a.nbytes for a in record.values()))

    def _write_waiting(self, count: int) -> None:
        records = self._records[:count]
        bounds = np.array([(begin, end) for begin, end, _ in records])
        new = slice(self._stored, self._stored + count)
        with opened(self.path, "a") as nc:
            nc.set_fill_off()
            nc.set_auto_mask(False)
            for name in self._shapes:
                nc[name][new] = np.stack([record[name] for _, _, record in records])
            nc["time"][new] = bounds.mean(axis=1)
            nc["time_bnds"][new] = bounds
        fsync(self.path)
        del self._records[:count]
        self._stored += count


def _stored(array: Array, copy: bool) -> Array:
    """Values as the file holds them; in the same memory where possible and no copy is wanted."""
    stored = array.astype(np.float32, copy=copy)
    np.copyto(stored, FILL, where=np.isnan(stored))
    return stored


def fsync(path: Path) -> None:
    """Returns when a closed file is on disk."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def _define_time(nc: Any, start: cftime.datetime) -> None:
    nc.createDimension("time", None)
    nc.createDimension("bnds", 2)
    time = nc.createVariable("time", "f8", ("time",), chunksizes=(512,))
    time.setncatts(
        {
            "standard_name": "time",
            "long_name": "time",
            "axis": "T",
            "units": f"days since {start.strftime('%Y-%m-%d %H:%M:%S')}",
            "calendar": start.calendar,
            "bounds": "time_bnds",
        }
    )
    nc.createVariable("time_bnds", "f8", ("time", "bnds"), chunksizes=(512, 2))


def _define_field(
    nc: Any, field: Field, shape: tuple[int, ...], area: str, plane: tuple[str, str]
) -> Any:
    dims = ("time", *(_VERTICAL[d] for d in field.dims[:-1]), *plane)
    variable = nc.createVariable(
        field.name, "f4", dims, fill_value=FILL, chunksizes=(1, *shape), **_COMPRESSION
    )
    variable.setncatts(_field_attributes(field))
    variable.cell_measures = f"area: {area}"
    if plane[0] == "row":
        variable.coordinates = "member y"
    return variable


def _cell_methods(field: Field, weighted: bool) -> str:
    """What a value is a mean of: without an area that is the whole cell (CF 1.10, section 7.3).

    Weighted with the part in time, too, it is one mean over both, as the sea ice of CMIP6 has it.
    """
    area = AREAS.get(field.part or "")
    if not area:
        return "time: mean"
    return f"area: time: mean where {area}" if weighted else f"area: mean where {area} time: mean"


def _of_layer(field: Field) -> Field:
    """`field` without the dimension of the one layer."""
    return replace(field, dims=COLUMN) if field.dims == LEVEL else field


def _with_surface_pressure(
    fields: Sequence[Field], levels: HybridLevels | None
) -> tuple[Field, ...]:
    if levels is None or not levels.has_pressure or any(f.name == "ps" for f in fields):
        return tuple(fields)
    return (*fields, FIELDS["ps"])


def _check_fields(fields: Sequence[Field], levels: HybridLevels | None) -> None:
    names = [f.name for f in fields]
    for name in sorted({n for n in names if names.count(n) > 1}):
        raise ContractError.of("output field given twice", name, remedy="name it once")
    for field in fields:
        if len(field.dims) > 1 and levels is None:
            raise ContractError.of(
                "output field on levels in a file without levels",
                field.name,
                remedy="give the levels, or leave the field out",
            )


def global_attributes(attrs: Mapping[str, str]) -> dict[str, str]:
    """`attrs` with what CF asks of every file added."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    fixed = {"Conventions": "CF-1.10", "history": f"{now} created by Isthmus"}
    return {"title": "Isthmus run", "source": "Isthmus"} | dict(attrs) | fixed


def _field_attributes(field: Field) -> dict[str, str]:
    attributes = {"long_name": field.long_name, "units": field.units}
    if field.standard_name is not None:
        attributes["standard_name"] = field.standard_name
    if field.positive is not None:
        attributes["positive"] = field.positive
    return attributes


def _field_of(variable: Any) -> Field:
    dims = {"lev": ("level", "column"), "ilev": ("interface", "column")}
    name = variable.name
    return Field(
        name=name,
        standard_name=getattr(variable, "standard_name", None),
        long_name=variable.long_name,
        units=variable.units,
        dims=dims.get(variable.dimensions[1], ("column",)),
        positive=getattr(variable, "positive", None),
    )


def _define_horizontal(nc: Any, grid: Grid, planet: Planet, area: str) -> None:
    for name, standard, units, axis, centre, edges in (
        ("lat", "latitude", "degrees_north", "Y", grid.lat, grid.lat_bounds),
        ("lon", "longitude", "degrees_east", "X", grid.lon, grid.lon_bounds),
    ):
        nc.createDimension(name, centre.size)
        nc.createVariable(name, "f8", (name,)).setncatts(
            {
                "standard_name": standard,
                "long_name": standard,
                "units": units,
                "axis": axis,
                "bounds": f"{name}_bnds",
            }
        )
        nc[name][:] = centre
        nc.createVariable(f"{name}_bnds", "f8", (name, "bnds"))
        nc[f"{name}_bnds"][:] = np.stack([edges[:-1], edges[1:]], axis=1)
    nc.createVariable(area, "f4", ("lat", "lon"), **_COMPRESSION).setncatts(
        {
            "standard_name": "cell_area",
            "long_name": "Grid-Cell Area",
            "units": "m2",
        }
    )
    nc[area][:] = grid.cell_weights * (4.0 * np.pi * planet.radius**2)


def _define_vertical(nc: Any, levels: HybridLevels, planet: Planet) -> None:
    """`lev` with bounds, and `ilev` for fields on interfaces, with their formula terms."""
    p0 = planet.reference_pressure
    a, b = levels.a, levels.b
    full = {"ap": 0.5 * (a[1:] + a[:-1]), "b": 0.5 * (b[1:] + b[:-1])}
    half = {"ap": a, "b": b}
    coefficients = {"ap": ("pressure part", "Pa"), "b": ("surface-pressure share", "1")}
    nc.createDimension("lev", levels.nlev)
    nc.createDimension("ilev", levels.nlev + 1)
    for name, suffix, terms, place in (
        ("lev", "", full, "layers"),
        ("ilev", "_half", half, "interfaces of layers"),
    ):
        nc.createVariable(name, "f8", (name,)).setncatts(
            {
                "standard_name": "atmosphere_hybrid_sigma_pressure_coordinate",
                "computed_standard_name": "air_pressure",
                "long_name": f"hybrid sigma-pressure coordinate at {place}",
                "units": "1",
                "axis": "Z",
                "positive": "down",
                "formula": "p = ap + b*ps",
                "formula_terms": f"ap: ap{suffix} b: b{suffix} ps: ps",
            }
        )
        nc[name][:] = terms["ap"] / p0 + terms["b"]
        for term, values in terms.items():
            what, units = coefficients[term]
            variable = nc.createVariable(f"{term}{suffix}", "f8", (name,))
            variable.setncatts({"long_name": f"{what} of pressure at {place}", "units": units})
            variable[:] = values
    nc["lev"].bounds = "lev_bnds"
    edges = a / p0 + b
    # CF 1.10, section 7.1: boundary variables inherit units and names from their parents, except
    # the formula terms, which name the boundary variables of the terms.
    bounds = nc.createVariable("lev_bnds", "f8", ("lev", "bnds"))
    bounds.formula_terms = "ap: ap_bnds b: b_bnds ps: ps"
    bounds[:] = np.stack([edges[:-1], edges[1:]], axis=1)
    for term, values in half.items():
        nc[term].bounds = f"{term}_bnds"
        nc.createVariable(f"{term}_bnds", "f8", ("lev", "bnds"))
        nc[f"{term}_bnds"][:] = np.stack([values[:-1], values[1:]], axis=1)


def _define_static(nc: Any, name: str, values: Array, area: str) -> None:
    if name not in FIELDS:
        raise ContractError.of("unknown field", name, remedy=nearest(name, FIELDS))
    variable = nc.createVariable(name, "f4", ("lat", "lon"), fill_value=FILL, **_COMPRESSION)
    variable.setncatts(_field_attributes(FIELDS[name]))
    variable.cell_measures = f"area: {area}"
    variable[:] = np.asarray(values).reshape(variable.shape)


def keep_records(path: Path, keep: int) -> None:
    """Replaces a closed file by a copy with its first `keep` records.

    NetCDF cannot shrink a file. Records are along ``time``, the first dimension of what has it.
    """
    beside = path.with_name(path.name + ".partial")
    old: Any
    new: Any
    with opened(path) as old, opened(beside, "w") as new:
        old.set_auto_maskandscale(False)
        new.set_auto_maskandscale(False)
        new.set_fill_off()
        new.setncatts({k: old.getncattr(k) for k in old.ncattrs()})
        for name, dim in old.dimensions.items():
            new.createDimension(name, None if dim.isunlimited() else dim.size)
        for name, source in old.variables.items():
            attributes = {k: source.getncattr(k) for k in source.ncattrs()}
            chunks = source.chunking()
            filters = source.filters() or {}
            target = new.createVariable(
                name,
                source.dtype,
                source.dimensions,
                fill_value=attributes.pop("_FillValue", None),
                chunksizes=None if chunks == "contiguous" else chunks,
                zlib=filters.get("zlib", False),
                complevel=filters.get("complevel", 1) or 1,
                shuffle=filters.get("shuffle", False),
            )
            target.setncatts(attributes)
            if source.dimensions[:1] != ("time",):
                target[...] = source[...]
                continue
            for record in range(keep):
                target[record] = source[record]
    fsync(beside)
    beside.replace(path)
