r"""An analysis on pressure levels from a netCDF file, whoever wrote it.

Variables are found by the name that the case gives, by the names that data centres use, or by
their CF standard name; units are converted; levels may be in any order, in Pa or hPa, and those of
humidity others than those of temperature; values below the ground may be missing.

    humidity      specific (kg/kg, g/kg) or relative over water, q = 0.622 e / (p - 0.378 e),
                  e = rh 611.2 exp(17.67 (T - 273.15) / (T - 29.65)); above its highest level
                  q (p / p_1)^3
    geopotential  or height; without either it is built upwards from the surface pressure and the
                  ground of the file, Phi_{k-1} = Phi_k + R (T_v,k-1 + T_v,k)/2 ln(p_k/p_{k-1})
    below ground  T = T_1 (p/p_1)^(R Gamma/g), Phi = Phi_1 - g T_v1/Gamma ((p/p_1)^(R Gamma/g) - 1),
                  winds and humidity constant; _1: the lowest level with a value

Sources: Bolton, D. (1980), Mon. Wea. Rev. 108, 1046-1053,
doi:10.1175/1520-0493(1980)108<1046:TCOEPT>2.0.CO;2 (saturation pressure); Trenberth, K. E.,
J. C. Berry and L. E. Buja (1993), NCAR/TN-396+STR, doi:10.5065/D6HX19NH (below the ground).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coupler.input.files import FileField, field_of, open_file
from coupler.interface.constants import Planet
from coupler.interface.errors import DataError, Problem, nearest
from coupler.interface.fields import FIELDS

F64 = NDArray[np.float64]

LAPSE_RATE = 6.5e-3
"""Gamma, lapse rate below the lowest level [K m-1]."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How a variable is known outside.

    Attributes:
        names: under which data centres store it.
        standard: CF standard names.
        units: that it is wanted in; taken for granted where a file says none.
        dims: 3 on levels, 2 at the surface.
    """

    names: tuple[str, ...]
    standard: tuple[str, ...]
    units: str
    dims: int = 3


WANTED: Mapping[str, Wanted] = {
    "ua": Wanted(
        names=("u_component_of_wind", "u", "ua", "uwnd"), standard=("eastward_wind",), units="m s-1"
    ),
    "va": Wanted(
        names=("v_component_of_wind", "v", "va", "vwnd"), standard=("northward_wind",),
        units="m s-1",
    ),
    "ta": Wanted(names=("temperature", "t", "ta", "air"), standard=("air_temperature",), units="K"),
    "hus": Wanted(
        names=("specific_humidity", "q", "hus", "shum"), standard=("specific_humidity",), units="1"
    ),
    "hur": Wanted(
        names=("relative_humidity", "r", "hur", "rh", "rhum"), standard=("relative_humidity",),
        units="1",
    ),
    "phi": Wanted(
        names=("geopotential", "z", "phi"), standard=("geopotential",), units="m2 s-2"
    ),
    "zg": Wanted(
        names=("geopotential_height", "zg", "z3", "gh", "hgt"), standard=("geopotential_height",),
        units="m",
    ),
    "ps": Wanted(
        names=("surface_pressure", "sp", "ps"), standard=("surface_air_pressure",), units="Pa",
        dims=2,
    ),
    "orog": Wanted(
        names=("orog", "geopotential_at_surface", "surface_geopotential", "zsurf", "phis"),
        standard=("surface_altitude", "surface_geopotential"), units="m", dims=2,
    ),
}  # fmt: skip
"""By our names. What one of `ALTERNATIVES` has needs only one of them."""
ALTERNATIVES = (("ua",), ("va",), ("ta",), ("hus", "hur"), ("phi", "zg"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysis:
    """A state on pressure levels, whole, on the grid of its file.

    Attributes:
        p: pressure of the levels, top first [Pa], [level].
        fields: ``ua va`` [m s-1], ``ta`` [K], ``hus`` [1], ``phi`` [m2 s-2], [level, lat, lon].
        coordinates: ``lat`` [degrees_north], ``lon`` [degrees_east].
        ground: height of the analysis' own ground [m], [lat, lon]; None when it does not say.
    """

    p: F64
    fields: Mapping[str, F64]
    coordinates: Mapping[str, F64]
    ground: F64 | None = None


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """What a case says about a file."""

    path: Path
    time: int
    units: Mapping[str, str] = field(default_factory=dict)


def read_analysis(
    path: Path,
    planet: Planet,
    *,
    time: int = 0,
    variables: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
) -> Analysis:
    """Reads an analysis.

    Args:
        path: the netCDF file.
        planet: gas constant and gravity.
        time: which time, if the file has several.
        variables: names in the file by ours (`WANTED`), where they are not found.
        units: units of variables by our names, where the file is wrong or says none.

    Raises:
        DataError: naming everything that the file lacks, or what else is wrong with it.
    """
    choice = _Choice(path=path, time=time, units=units or {})
    with open_file(path) as file:
        found = _found(file, path, variables or {})
        fields: dict[str, F64] = {}
        temperature, p = _on_levels(file, found, "ta", choice)
        fields["ta"] = temperature.values
        for name in ("ua", "va", "hus", "hur", "phi", "zg"):
            if name in found and name not in _superseded(found):
                read, own = _on_levels(file, found, name, choice)
                _same_grid(read, temperature, name, path)
                fields[name] = _to_levels(own, read.values, p, name)
        surface: dict[str, F64] = {
            name: _surface(file, found[name], name, choice, temperature)
            for name in ("ps", "orog")
            if name in found
        }
    return _completed(p, fields, surface, temperature.coordinates, planet, path)


def _superseded(found: Mapping[str, str]) -> tuple[str, ...]:
    """What is not needed because its better alternative is there."""
    return tuple(b for a, b in (("hus", "hur"), ("phi", "zg")) if a in found)


def _found(file: Any, path: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Names in the file by ours.

    Raises:
        DataError: naming all that is missing.
    """
    unknown = [
        Problem(what="unknown variable", name=f"initial.variables.{n}", remedy=nearest(n, WANTED))
        for n in given
        if n not in WANTED
    ]
    unknown += [
        Problem(
            what="no such variable",
            name=f"{theirs} in {path}",
            remedy=nearest(theirs, list(file.variables)),
        )
        for ours, theirs in given.items()
        if ours in WANTED and theirs not in file.variables
    ]
    found = {
        ours: theirs
        for ours, wanted in WANTED.items()
        if (theirs := given.get(ours) or _named(file, wanted)) is not None
    }
    columns = {"ps", "orog"} <= found.keys()
    lacking = [
        Problem(
            what="no such variable for the initial state",
            name=f"{WANTED[ours[0]].names[0]} in {path}",
            expected=" or ".join(n for o in ours for n in WANTED[o].names),
            remedy="name it with initial.variables; the file has " + ", ".join(file.variables),
        )
        for ours in ALTERNATIVES
        if not any(o in found for o in ours) and not (ours[0] == "phi" and columns)
    ]
    if unknown or lacking:
        raise DataError(*unknown, *lacking)
    return found


def _named(file: Any, wanted: Wanted) -> str | None:
    """The variable of a file under one of its usual names, else by its standard name."""
    usual: dict[str, str] = {
        name.lower(): name for name in file.variables if file[name].ndim >= wanted.dims
    }
    for name in wanted.names:
        if name in usual:
            return usual[name]
    for name in usual.values():
        if getattr(file[name], "standard_name", "") in wanted.standard:
            return name
    return None


def _on_levels(
    file: Any, found: Mapping[str, str], name: str, choice: _Choice
) -> tuple[FileField, F64]:
    """A variable [level, lat, lon], top first, and the pressure of its levels [Pa]."""
    theirs = found[name]
    read = field_of(
        file, theirs, ("level", "lat", "lon"), units=WANTED[name].units,
        file_units=choice.units.get(name), time=choice.time, allow_missing=True,
    )  # fmt: skip
    p = _pressure(file, read, file[theirs].dimensions, choice.path)
    order = np.argsort(p)
    values = read.values[order]
    _check_range(values, name, theirs, choice.path)
    _check_holes(values, p[order], read.coordinates, f"{theirs} in {choice.path}")
    return FileField(values=values, coordinates=read.coordinates, missing=None), p[order]


def _pressure(file: Any, read: FileField, dimensions: tuple[str, ...], path: Path) -> F64:
    """Pressure of the levels [Pa]: by their unit; without one, hPa below 2000 and Pa above."""
    level = read.coordinates["level"]
    if level.size < 2 or level.min() <= 0.0:
        raise DataError.of(
            "not pressure levels",
            f"level in {path}",
            expected="at least two positive pressures",
            found=f"{level.size} from {level.min():g}",
        )
    for name in dimensions:
        unit = str(getattr(file.variables.get(name), "units", ""))
        if unit in ("Pa", "hPa", "millibar", "millibars", "mb", "mbar"):
            return level * (1.0 if unit == "Pa" else 100.0)
    return level * (100.0 if level.max() < 2000.0 else 1.0)


def _check_range(values: F64, name: str, theirs: str, path: Path) -> None:
    """Refuses values that cannot be what they are said to be.

    Raises:
        DataError: naming the range.
    """
    # Interpolation below the ground leaves relative humidity and height outside any strict range.
    limits = {"hur": (-0.5, 2.0), "phi": (-3.0e4, 9.0e5), "zg": (-3.0e3, 9.0e4)}
    low, high = limits.get(name) or FIELDS[name].valid or (-np.inf, np.inf)
    if name == "hus":
        low = -1.0e-3  # analyses overshoot; negative humidity is set to zero
    known = values[np.isfinite(values)]
    if known.size and (known.min() < low or known.max() > high):
        raise DataError.of(
            "values out of range",
            f"{theirs} in {path}",
            expected=f"{low:g} to {high:g} {WANTED[name].units}",
            found=f"{known.min():g} to {known.max():g}",
            remedy=f"state the true unit in the case with `initial: {{units: {{{name}: ...}}}}`",
        )


def _check_holes(values: F64, p: F64, coordinates: Mapping[str, F64], where: str) -> None:
    """Refuses missing values that are not below the lowest level that has one.

    Raises:
        DataError: naming the first.
    """
    missing = np.asarray(~np.isfinite(values))
    known_below = np.cumsum(~missing[::-1], axis=0)[::-1] > 0
    inside: NDArray[np.bool_] = np.asarray(missing & known_below, np.bool_)
    inside |= missing.all(axis=0, keepdims=True)
    if not inside.any():
        return
    k, j, i = np.argwhere(inside)[0]
    raise DataError.of(
        "missing values (NaN)",
        where,
        expected="a number everywhere above the ground",
        found=f"{int(inside.sum())} missing of {missing.size}, the first at level "
        f"{p[k] / 100.0:g} hPa, lat {coordinates['lat'][j]:g}, lon {coordinates['lon'][i]:g}",
    )


def _same_grid(read: FileField, other: FileField, name: str, path: Path) -> None:
    for axis in ("lat", "lon"):
        ours, theirs = read.coordinates[axis], other.coordinates[axis]
        if ours.shape != theirs.shape or np.abs(ours - theirs).max() > 1e-6:
            raise DataError.of(
                "variables on different grids",
                f"{name} in {path}",
                expected=f"the {theirs.size} values of {axis} of the temperature",
                found=f"{ours.size} others",
                remedy="bring all to one grid first",
            )


def _to_levels(own: F64, values: F64, p: F64, name: str) -> F64:
    """Values from levels of their own at those of the temperature, linear in ln p."""
    if own.shape == p.shape and np.allclose(own, p, rtol=1e-9):
        return values
    filled = _held(values)
    x, want = np.log(own), np.log(np.clip(p, own[0], own[-1]))
    top = np.clip(np.searchsorted(x, want, side="right") - 1, 0, own.size - 2)
    share = ((want - x[top]) / (x[top + 1] - x[top]))[:, None, None]
    out = filled[top] + share * (filled[top + 1] - filled[top])
    if name == "hus":
        out *= (np.minimum(p / own[0], 1.0) ** 3)[:, None, None]
    result: F64 = out
    return result


def _held(values: F64) -> F64:
    """Missing values below the lowest level with one, as that one."""
    out = values.copy()
    for k in range(1, out.shape[0]):
        np.copyto(out[k], out[k - 1], where=~np.isfinite(out[k]))
    return out


def _surface(file: Any, theirs: str, name: str, choice: _Choice, temperature: FileField) -> F64:
    """Surface pressure [Pa] or height of the ground [m], [lat, lon]."""
    # The geopotential of a ground says so by its unit, or by its name.
    assumed = "m2 s-2" if "geopotential" in theirs.lower() or theirs.lower() == "phis" else "m"
    said = choice.units.get(name) or getattr(file[theirs], "units", None)
    read = field_of(
        file, theirs, ("lat", "lon"), units=WANTED[name].units,
        file_units=said or (assumed if name == "orog" else None), time=choice.time,
    )  # fmt: skip
    _same_grid(read, temperature, theirs, choice.path)
    if name == "ps" and (read.values.min() < 3.0e4 or read.values.max() > 1.15e5):
        raise DataError.of(
            "values out of range",
            f"{theirs} in {choice.path}",
            expected="30000 to 115000 Pa",
            found=f"{read.values.min():g} to {read.values.max():g}",
            remedy="state the true unit in the case with `initial: {units: {ps: ...}}`",
        )
    return read.values


def _completed(
    p: F64,
    fields: dict[str, F64],
    surface: Mapping[str, F64],
    coordinates: Mapping[str, F64],
    planet: Planet,
    path: Path,
) -> Analysis:
    """Fills what lies below the ground, and makes humidity and geopotential from what there is."""
    gravity, gas = planet.gravity, planet.gas_constant_dry
    power = gas * LAPSE_RATE / gravity
    missing = ~np.isfinite(fields["ta"])
    lowest = (~missing).sum(axis=0) - 1
    ratio = np.maximum(p[:, None, None] / p[lowest][None], 1.0)
    fields = {name: _held(values) for name, values in fields.items()}
    fields["ta"] = fields["ta"] * np.where(missing, ratio**power, 1.0)
    if "hus" not in fields:
        ta, rh = fields["ta"], np.clip(fields.pop("hur"), 0.0, 1.0)
        vapour = rh * 611.2 * np.exp(17.67 * (ta - 273.15) / (ta - 29.65))
        dry = np.maximum(p[:, None, None] - 0.378 * vapour, vapour)  # near the top e exceeds p
        fields["hus"] = 0.622 * vapour / dry
    fields.pop("hur", None)
    fields["hus"] = np.maximum(fields["hus"], 0.0)
    virtual = fields["ta"] * (1.0 + planet.virtual_factor * fields["hus"])
    if "phi" not in fields and "zg" in fields:
        fields["phi"] = gravity * fields.pop("zg")
    fields.pop("zg", None)
    ground = surface.get("orog")
    if "phi" in fields:
        # Where the height was missing too it is that of the column continued with Gamma.
        below = (virtual / np.where(missing, ratio**power, 1.0)) * (gravity / LAPSE_RATE)
        sunk = fields["phi"] - below * (ratio**power - 1.0)
        fields["phi"] = np.where(missing, sunk, fields["phi"])
        if ground is None and "ps" in surface:
            ground = _height_at(p, fields["phi"], surface["ps"]) / gravity
    else:
        fields["phi"] = built_up(p, virtual, surface["ps"], gravity * surface["orog"], planet)
    return Analysis(p=p, fields=fields, coordinates=coordinates, ground=ground)


def _height_at(p: F64, phi: F64, ps: F64) -> F64:
    """Geopotential where the pressure is `ps`, linear in ln p and continued below [m2 s-2]."""
    x = np.log(p)
    top = np.clip(np.searchsorted(x, np.log(ps), side="right") - 1, 0, p.size - 2)
    share = (np.log(ps) - x[top]) / (x[top + 1] - x[top])
    upper = np.take_along_axis(phi, top[None], axis=0)[0]
    lower = np.take_along_axis(phi, top[None] + 1, axis=0)[0]
    out: F64 = upper + share * (lower - upper)
    return out


def built_up(p: F64, virtual: F64, ps: F64, ground: F64, planet: Planet) -> F64:
    """Geopotential of the levels [m2 s-2], [level, ...], from the surface upwards.

    Args:
        p: pressure of the levels, top first [Pa], [level].
        virtual: virtual temperature [K], [level, ...].
        ps: surface pressure [Pa], [...].
        ground: geopotential of the ground [m2 s-2], [...].
        planet: gas constant.
    """
    gas = planet.gas_constant_dry
    x = np.log(p)
    # The integral of R T_v from each level to the lowest one, and from there to the ground: both
    # by the trapezoid in ln p, so that levels below the ground come out below it.
    layers = 0.5 * gas * (virtual[1:] + virtual[:-1]) * np.diff(x).reshape(-1, *[1] * ps.ndim)
    above = np.concatenate([np.cumsum(layers[::-1], axis=0)[::-1], np.zeros((1, *ps.shape))])
    top = np.clip(np.searchsorted(x, np.log(ps), side="right") - 1, 0, p.size - 2)
    t0 = np.take_along_axis(virtual, top[None], axis=0)[0]
    t1 = np.take_along_axis(virtual, top[None] + 1, axis=0)[0]
    step = np.log(ps) - x[top]
    at_ground = t0 + (t1 - t0) * step / (x[top + 1] - x[top])
    reach = np.take_along_axis(above, top[None], axis=0)[0] - 0.5 * gas * (t0 + at_ground) * step
    return np.asarray(above - reach + ground)
