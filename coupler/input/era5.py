"""An initial state of the atmosphere from a reanalysis on pressure levels.

Horizontally, fields are interpolated bilinearly to the model's grid (winds by component; poleward
of the outermost row of the file its value is kept). Vertically, with x = ln p:

    surface pressure   Phi(ln ps) = g z_s: the pressure at which the analysis reaches the model's
                       own ground. Between levels Phi is the cubic through Phi and its hydrostatic
                       slope dPhi/dx = -R T_v at both ends; below the lowest level the layer has the
                       lapse rate Gamma: ps = p_1 (1 + Gamma (z_1 - z_s) / T_v1)^(g / (R Gamma))
    T, u, v, q         linear in ln p at the model's full levels; above the highest level constant;
                       below the lowest one T = T_1 (p / p_1)^(R Gamma / g), others constant

with Gamma = 6.5 K km-1, the lapse rate of the ICAO standard atmosphere, as reanalyses use it below
ground (Trenberth, Berry and Buja 1993, NCAR/TN-396+STR, doi:10.5065/D6HX19NH). Full-level pressure
is that of Simmons and Burridge (1981), doi:10.1175/1520-0493(1981)109<0758:AEAAMC>2.0.CO;2:
ln p_k = ln p_{k+1/2} - alpha_k, alpha_k = 1 - p_{k-1/2}/dp_k ln(p_{k+1/2}/p_{k-1/2}), and ln 2 in
a top layer that reaches zero pressure. Negative humidity is set to zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coupler.exchange.regrid import Regridder
from coupler.input.files import FileField, field_of, grid_of, open_file
from coupler.interface.constants import Planet
from coupler.interface.errors import DataError, Problem
from coupler.interface.grid import Grid, HybridLevels

F64 = NDArray[np.float64]

LAPSE_RATE = 6.5e-3
"""Lapse rate below the lowest level [K m-1]."""
NAMES: Mapping[str, tuple[str, ...]] = {
    "ua": ("u_component_of_wind", "u", "ua"),
    "va": ("v_component_of_wind", "v", "va"),
    "ta": ("temperature", "t", "ta"),
    "hus": ("specific_humidity", "q", "hus"),
    "phi": ("geopotential", "z", "phi"),
}
"""Names under which data centres store what is needed."""
_DIMS = ("level", "lat", "lon")
_UNITS = {"ua": "m s-1", "va": "m s-1", "ta": "K", "hus": "1", "phi": "m2 s-2"}


def initial_state(
    path: Path,
    grid: Grid,
    levels: HybridLevels,
    orog: NDArray[Any],
    planet: Planet | None = None,
    time: int = 0,
) -> dict[str, F64]:
    """State of the atmosphere on the model's grid and levels, above the model's own ground.

    Args:
        path: netCDF file with winds, temperature, humidity and geopotential on pressure levels, in
            any order of dimensions.
        grid: the model's grid.
        levels: the model's levels.
        orog: height of the model's ground [m], shape [lat, lon].
        planet: gravity and gas constant.
        time: which time, if the file has several.

    Returns:
        ``ua va`` [m s-1], ``ta`` [K], ``hus`` [1], shape [level, lat, lon]; ``ps`` [Pa], shape
        [lat, lon]; all float64.

    Raises:
        DataError: naming everything that the file lacks, or what else is wrong with it.
    """
    planet = planet or Planet()
    p, fields = _read(path, time)
    remap = Regridder(grid_of(fields["ta"].coordinates, str(path)), grid, "bilinear")
    columns = {name: remap.apply(read.values) for name, read in fields.items()}
    virtual = columns["ta"] * (1.0 + planet.virtual_factor * np.maximum(columns["hus"], 0.0))
    ground = planet.gravity * np.asarray(orog, np.float64)
    ps = surface_pressure(p, columns["phi"], virtual, ground, planet)
    target = full_pressure(levels, ps)
    state = {name: interpolate(p, columns[name], target) for name in ("ua", "va", "hus")}
    state["ta"] = interpolate(p, columns["ta"], target)
    below = np.maximum(target / p[-1], 1.0)
    state["ta"] *= below ** (planet.gas_constant_dry * LAPSE_RATE / planet.gravity)
    np.maximum(state["hus"], 0.0, out=state["hus"])
    return state | {"ps": ps}


def _read(path: Path, time: int) -> tuple[F64, dict[str, FileField]]:
    """Pressure [Pa], shape [level] (top first), and the fields [level, lat, lon] by our names."""
    with open_file(path) as file:
        found = {ours: [n for n in names if n in file.variables] for ours, names in NAMES.items()}
        lacking = [
            Problem(
                what="no such variable for the initial state",
                name=f"{NAMES[ours][0]} in {path}",
                expected=" or ".join(NAMES[ours]),
                remedy="the file has " + ", ".join(file.variables),
            )
            for ours, names in found.items()
            if not names
        ]
        if lacking:
            raise DataError(*lacking)
        fields = {
            ours: field_of(file, names[0], _DIMS, units=_UNITS[ours], time=time)
            for ours, names in found.items()
        }
        pressure = _pressure(file, fields["ta"], file[found["ta"][0]].dimensions, path)
    order = np.argsort(pressure)
    for ours, read in fields.items():
        fields[ours] = replace(read, values=read.values[order])
    return pressure[order], fields


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
        if unit in ("Pa", "hPa", "millibars", "mb", "mbar"):
            return level * (1.0 if unit == "Pa" else 100.0)
    return level * (100.0 if level.max() < 2000.0 else 1.0)


def full_pressure(levels: HybridLevels, ps: F64) -> F64:
    """Pressure of full levels [Pa], shape [level, ...], for surface pressure [Pa]."""
    half = levels.half_pressure(ps)
    upper, lower = half[:-1], half[1:]
    # Where the layer's top is at zero pressure the limit of alpha is ln 2 by convention.
    open_top = upper <= 0.0
    ratio = np.log(lower / np.where(open_top, lower, upper))
    alpha = np.where(open_top, np.log(2.0), 1.0 - upper / (lower - upper) * ratio)
    full: F64 = lower * np.exp(-alpha)
    return full


def surface_pressure(p: F64, phi: F64, virtual: F64, ground: F64, planet: Planet) -> F64:
    """Pressure at which the geopotential equals that of the ground [Pa], shape [...].

    Args:
        p: pressure of the levels, top first [Pa], shape [level].
        phi: geopotential [m2 s-2], shape [level, ...].
        virtual: virtual temperature [K], shape [level, ...].
        ground: geopotential of the ground [m2 s-2], shape [...].
        planet: gravity and gas constant.

    Raises:
        DataError: when the ground lies above the highest level.
    """
    gas, gravity = planet.gas_constant_dry, planet.gravity
    if (ground >= phi[0]).any():
        raise DataError.of(
            "ground above the highest level of the initial state",
            f"{float(ground.max()) / gravity:g} m",
            expected=f"heights below {float(phi[0].min()) / gravity:g} m",
            remedy="check the unit of the orography",
        )
    x = np.log(p)
    # The lowest layer whose upper end is above the ground; below all levels: the last one.
    above = phi > ground
    top = np.minimum(above.sum(axis=0) - 1, p.size - 2)
    phi_a, phi_b = _at(phi, top), _at(phi, top + 1)
    step = x[top + 1] - x[top]
    slope_a, slope_b = -gas * _at(virtual, top) * step, -gas * _at(virtual, top + 1) * step
    low, high = np.zeros_like(ground), np.ones_like(ground)
    for _ in range(50):  # halving: 2^-50 of a layer
        s = 0.5 * (low + high)
        h = (
            (1 + 2 * s) * (1 - s) ** 2 * phi_a
            + s * (1 - s) ** 2 * slope_a
            + s**2 * (3 - 2 * s) * phi_b
            + s**2 * (s - 1) * slope_b
        )
        higher = h > ground
        low, high = np.where(higher, s, low), np.where(higher, high, s)
    inside = np.exp(x[top] + 0.5 * (low + high) * step)
    rise = LAPSE_RATE * (phi[-1] - ground) / (gravity * virtual[-1])
    exponent = gravity / (gas * LAPSE_RATE)
    under = p[-1] * (1.0 + np.maximum(rise, 0.0)) ** exponent
    ps: F64 = np.where(phi[-1] > ground, under, inside)
    return ps


def _at(columns: F64, index: NDArray[np.intp]) -> F64:
    taken: F64 = np.take_along_axis(columns, index[None], axis=0)[0]
    return taken


def interpolate(p: F64, columns: F64, target: F64) -> F64:
    """Columns at `target` pressures, linear in ln p and constant outside.

    Args:
        p: pressure of the columns' levels, top first [Pa], shape [level].
        columns: shape [level, ...].
        target: pressure wanted [Pa], shape [target level, ...].

    Returns:
        Shape [target level, ...].
    """
    x, want = np.log(p), np.log(np.clip(target, p[0], p[-1]))
    top = np.clip(np.searchsorted(x, want, side="right") - 1, 0, p.size - 2)
    share = (want - x[top]) / (x[top + 1] - x[top])
    upper = np.take_along_axis(columns, top, axis=0)
    lower = np.take_along_axis(columns, top + 1, axis=0)
    out: F64 = upper + share * (lower - upper)
    return out
