"""``isthmus plot FILE VARIABLE``: a quick look at one field, in the terminal or as a picture.

The field is averaged over time. With a level (or without levels) it is drawn as a map, with levels
as a zonal-mean section, and a field of time alone as a line. North and the top are up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from coupler.diagnostics.figures import no_levels, refuse_format, refuse_numbers, save
from coupler.interface.errors import ConfigError, DataError, nearest
from coupler.output.library import lazy, nothing_left, readable, refuse_without_records

F64 = NDArray[np.float64]
_SHADES = " .:-=+*#%@"
_BARS = "▁▂▃▄▅▆▇█"
_FILES = ("atmosphere.nc", "surface.nc", "budgets.nc")


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What there is to draw."""

    title: str
    units: str
    values: F64
    """Shape [y, x], the first row on top; or [x]."""
    x: F64
    y: F64
    """Of the rows; empty for a line."""
    x_name: str
    y_name: str
    logarithmic: bool = False


def view(path: Path, variable: str, *, level: float | None = None, skip_days: float = 0.0) -> View:
    """Reads and reduces a variable.

    Args:
        path: a netCDF file, a zarr store, or the folder of a run.
        variable: its name there.
        level: pressure of a map [Pa]; the nearest nominal one is taken.
        skip_days: at the start that are left out.

    Raises:
        DataError: for a file that cannot be read or has no record, numbers that mean nothing, a
            variable without numbers, or when nothing is left.
        ConfigError: for a variable that is not in it, or has no axis to draw along.
    """
    refuse_numbers(skip_days, level)
    data, file = _opened(path, variable)
    if variable not in data:
        known = [str(v) for v in data.data_vars]
        raise ConfigError.of("no such variable", variable, expected=f"one of those in {path}",
                             remedy=nearest(variable, known))  # fmt: skip
    with readable(file):
        return _reduced(data, file, variable, level, skip_days)


def _reduced(
    data: xr.Dataset, path: Path, variable: str, level: float | None, skip_days: float
) -> View:
    x = data[variable]
    if x.dtype.kind not in "biuf":
        raise DataError.of("not a field of numbers", variable, found=f"{x.dtype} in {path}")
    axes = {_role(data, str(d)): str(d) for d in x.dims}
    units = str(x.attrs.get("units", ""))
    title = f"{variable}: {x.attrs.get('long_name', '')}".rstrip(": ")
    if level is not None and "lev" not in axes:
        raise no_levels(variable, x.dims)
    if "time" in axes:
        refuse_without_records(data, path, axes["time"])
        days = _days(data, axes["time"])
        late = np.flatnonzero(days >= skip_days)
        if not late.size:
            raise nothing_left(path, skip_days, days.max())
        x = x.isel({axes["time"]: late})
        if set(axes) == {"time"}:
            return View(title=title, units=units, values=_array(x), x=days[late], y=np.zeros(0),
                        x_name="day", y_name=units)  # fmt: skip
        x = x.mean(axes["time"], skipna=True)
    pressure = _nominal(data, axes["lev"]) if "lev" in axes else np.zeros(0)
    if "lev" in axes and level is not None:
        k = int(np.argmin(np.abs(np.log(pressure) - np.log(level))))
        x = x.isel({axes["lev"]: k})
        title += f", {pressure[k] / 100.0:.4g} hPa"
        del axes["lev"]
    others = [d for d in x.dims if str(d) not in axes.values()]
    if others:
        x = x.mean(others)
    if {"lat", "lon"} <= axes.keys() and "lev" not in axes:
        lat, lon = (data[axes[n]].values.astype(np.float64) for n in ("lat", "lon"))
        order = np.argsort(lat)[::-1]
        values = _array(x.transpose(axes["lat"], axes["lon"]))[order]
        return View(title=title, units=units, values=values, x=lon, y=lat[order],
                    x_name="longitude", y_name="latitude")  # fmt: skip
    if {"lat", "lev"} <= axes.keys():
        if "lon" in axes:
            x = x.mean(axes["lon"], skipna=True)
        lat = data[axes["lat"]].values.astype(np.float64)
        across, down = np.argsort(lat), np.argsort(pressure)
        values = _array(x.transpose(axes["lev"], axes["lat"]))[down][:, across]
        return View(title=title, units=units, values=values, x=lat[across],
                    y=pressure[down] / 100.0, x_name="latitude", y_name="hPa",
                    logarithmic=True)  # fmt: skip
    raise ConfigError.of(
        "nothing to draw along",
        variable,
        expected="time alone, latitude and longitude, or levels and latitude",
        found=", ".join(map(str, data[variable].dims)) or "a single number",
    )


def _array(x: xr.DataArray) -> F64:
    values = np.asarray(x.values, np.float64)
    if not np.isfinite(values).any():
        raise DataError.of(
            "nothing to draw", str(x.name), expected="a finite value", found="none in what is left"
        )
    return values


def _opened(path: Path, variable: str) -> tuple[xr.Dataset, Path]:
    """The file of a run that holds the variable, or its first."""
    files = [path]
    if path.is_dir() and path.suffix != ".zarr":
        files = [path / n for n in _FILES if (path / n).is_file()]
    if not files or not files[0].exists():
        raise DataError.of("no such file", str(path), remedy="give a netCDF file or a run's folder")
    opened = []
    for file in files:
        try:
            if file.is_file():
                opened.append((lazy(file, decode=False), file))
            else:
                data = xr.open_dataset(file, engine="zarr", decode_times=False)
                opened.append((data, file))
        except (OSError, ValueError, ImportError) as error:
            raise DataError.of(
                "not a readable netCDF file", str(file), found=str(error).splitlines()[0]
            ) from error
    return next((of for of in opened if variable in of[0]), opened[0])


def _role(data: xr.Dataset, name: str) -> str:
    if name not in data:
        return name
    attrs = data[name].attrs
    words = f"{attrs.get('standard_name', '')} {attrs.get('units', '')} {name}".lower()
    for role, signs in (
        ("time", ("time", " since ")),
        ("lat", ("latitude", "degrees_north", "lat")),
        ("lon", ("longitude", "degrees_east", "lon")),
        ("lev", ("pressure", "lev", "hpa")),
    ):
        if any(s in words for s in signs):
            return role
    return name


def _days(data: xr.Dataset, axis: str) -> F64:
    values = data[axis].values.astype(np.float64) if axis in data else np.arange(data.sizes[axis])
    unit = str(data[axis].attrs.get("units", "days")).split()[0] if axis in data else "days"
    scale = {"hours": 24.0, "h": 24.0, "minutes": 1440.0, "seconds": 86400.0, "s": 86400.0}
    return np.asarray((values - values[0]) / scale.get(unit, 1.0))


def _nominal(data: xr.Dataset, axis: str) -> F64:
    """Pressure of levels over a surface of 1000 hPa [Pa]."""
    for a, b in (("ap", "b"), ("ap_half", "b_half")):
        if a in data and data[a].sizes == {axis: data.sizes[axis]}:
            return np.maximum(data[a].values + 1.0e5 * data[b].values, 0.1)
    values = data[axis].values.astype(np.float64)
    return values * (100.0 if str(data[axis].attrs.get("units", "")) in ("hPa", "mbar") else 1.0)


def in_terminal(of: View, *, width: int = 72, height: int = 20) -> str:
    """The field as text of a terminal."""
    values = of.values
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    head = f"{of.title} [{of.units}]\nfrom {low:.4g} to {high:.4g}"
    span = high - low or 1.0
    if values.ndim == 1:
        at = np.linspace(0, values.size - 1, min(width, values.size)).round().astype(int)
        level = np.nan_to_num((values[at] - low) / span * (len(_BARS) - 1)).round().astype(int)
        line = "".join(_BARS[k] for k in level)
        return f"{head}\n{line}\n{of.x_name} {of.x[0]:.4g} to {of.x[-1]:.4g}"
    rows = np.linspace(0, values.shape[0] - 1, min(height, values.shape[0])).round().astype(int)
    columns = np.linspace(0, values.shape[1] - 1, width - 8).round().astype(int)
    part = values[np.ix_(rows, columns)]
    lines = []
    for row, y in zip(part, of.y[rows], strict=True):
        shade = np.nan_to_num((row - low) / span * (len(_SHADES) - 1)).round().astype(int)
        marks = (" " if np.isnan(v) else _SHADES[k] for v, k in zip(row, shade, strict=True))
        lines.append(f"{y:7.4g} " + "".join(marks))
    foot = f"{of.y_name:>7} {of.x_name} {of.x[0]:.4g} to {of.x[-1]:.4g}; " + (
        f"'{_SHADES[1]}' low, '{_SHADES[-1]}' high"
    )
    return "\n".join([head, *lines, foot])


def picture(of: View, out: Path) -> None:
    """The field as a file.

    Args:
        of: what is drawn.
        out: the picture; its suffix says the format: png, pdf or svg.

    Raises:
        DataError: for another suffix, or a folder.
    """
    refuse_format(out)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    if of.values.ndim == 1:
        axes.plot(of.x, of.values, color="#1b5e9e")
        axes.set_ylabel(of.units)
    else:
        both = float(np.nanmin(of.values)) < 0.0 < float(np.nanmax(of.values))
        most = float(np.nanmax(np.abs(of.values))) if both else None
        shade = axes.pcolormesh(
            of.x, of.y, of.values, cmap="RdBu_r" if both else "viridis", shading="nearest",
            vmin=None if most is None else -most, vmax=most,
        )  # fmt: skip
        figure.colorbar(shade, ax=axes).set_label(of.units)
        axes.set_ylabel(of.y_name)
        if of.logarithmic:
            axes.set_yscale("log")
            axes.set_ylim(float(of.y.max()), float(of.y.min()))
    axes.set_xlabel(of.x_name)
    axes.set_title(of.title, loc="left", fontsize=10)
    save(figure, out, dpi=130)
