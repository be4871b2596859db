"""An initial state of the atmosphere from an analysis on pressure levels.

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

So a ground that is not the analysis' own changes the surface pressure hydrostatically. Where the
two differ as those of two planets do, by more than `REFUSED` on average, the start is refused
unless the case says ``ground: adjust``; where they differ by more than `SAID` somewhere, as smooth
and rough mountains do, it is said by how much and what it did to the surface pressure. Where the
file has no ground, nothing is compared, and that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coupler.exchange.regrid import Regridder
from coupler.input.files import grid_of
from coupler.input.pressure_levels import LAPSE_RATE, read_analysis
from coupler.interface.constants import Planet
from coupler.interface.errors import DataError, Problem
from coupler.interface.grid import Grid, HybridLevels

F64 = NDArray[np.float64]

REFUSED = 400.0
"""Root mean square difference between the grounds of model and analysis that is refused [m]. A flat
planet differs from the Earth by 700 m, truncations from T21 on from full resolution by 250 m."""
SAID = 500.0
"""Largest difference that is not worth a word [m]."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a case says about its initial state.

    Attributes:
        path: netCDF file with winds, temperature, humidity and geopotential on pressure levels.
        time: which time, if the file has several.
        variables: names in the file by ours, where they are not found.
        units: units by our names, where the file is wrong or says none.
        ground: what to do where the model's ground is another than the analysis'.
    """

    path: Path
    time: int = 0
    variables: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    ground: Literal["check", "adjust"] = "check"


def initial_state(
    start: Start | Path,
    grid: Grid,
    levels: HybridLevels,
    orog: NDArray[Any],
    planet: Planet | None = None,
    say: list[Problem] | None = None,
) -> dict[str, F64]:
    """State of the atmosphere on the model's grid and levels, above the model's own ground.

    Args:
        start: the file, and what is said about it.
        grid: the model's grid.
        levels: the model's levels.
        orog: height of the model's ground [m], shape [lat, lon].
        planet: gravity and gas constant.
        say: takes what a user should hear although nothing is wrong.

    Returns:
        ``ua va`` [m s-1], ``ta`` [K], ``hus`` [1], shape [level, lat, lon]; ``ps`` [Pa], shape
        [lat, lon]; all float64.

    Raises:
        DataError: naming everything that the file lacks, or what else is wrong with it, or how far
            its ground is from the model's.
    """
    start = start if isinstance(start, Start) else Start(path=start)
    planet = planet or Planet()
    analysis = read_analysis(
        start.path, planet, time=start.time, variables=start.variables, units=start.units
    )
    p = analysis.p
    remap = Regridder(grid_of(analysis.coordinates, str(start.path)), grid, "bilinear")
    columns = {name: remap.apply(values) for name, values in analysis.fields.items()}
    virtual = columns["ta"] * (1.0 + planet.virtual_factor * columns["hus"])
    ground = planet.gravity * np.asarray(orog, np.float64)
    ps = surface_pressure(p, columns["phi"], virtual, ground, planet)
    if analysis.ground is not None:
        own = remap.apply(analysis.ground)
        before = surface_pressure(p, columns["phi"], virtual, planet.gravity * own, planet)
        _compare(start, grid, np.asarray(orog, np.float64) - own, ps - before, say)
    elif say is not None:
        say.append(_not_compared(start, flat=not np.ptp(np.asarray(orog))))
    target = full_pressure(levels, ps)
    state = {name: interpolate(p, columns[name], target) for name in ("ua", "va", "hus")}
    state["ta"] = interpolate(p, columns["ta"], target)
    below = np.maximum(target / p[-1], 1.0)
    state["ta"] *= below ** (planet.gas_constant_dry * LAPSE_RATE / planet.gravity)
    np.maximum(state["hus"], 0.0, out=state["hus"])
    return state | {"ps": ps}


def _compare(start: Start, grid: Grid, rise: F64, pressure: F64, say: list[Problem] | None) -> None:
    """Says, or refuses, how far the model's ground is from the analysis'.

    Args:
        start: names the file and the policy.
        grid: of the model.
        rise: the model's ground less the analysis' [m], [lat, lon].
        pressure: what that changes at the surface [Pa], [lat, lon].
        say: takes a remark.

    Raises:
        DataError: when they are those of two planets.
    """
    rms = float(np.sqrt(grid.mean(rise**2)))
    j, i = np.unravel_index(np.abs(rise).argmax(), rise.shape)
    place = f"at {grid.lat[j]:.0f} degrees_north, {grid.lon[i]:.0f} degrees_east"
    found = (
        f"{rms:.0f} m rms apart, at most {rise[j, i]:+.0f} m {place}; the surface pressure is "
        f"moved hydrostatically, there by {pressure[j, i] / 100.0:+.0f} hPa"
    )
    what = "the model's ground is not that of the initial state"
    if rms > REFUSED and start.ground == "check":
        raise DataError.of(
            what,
            str(start.path),
            expected=f"grounds less than {REFUSED:g} m apart (root mean square)",
            found=found,
            remedy="give the case the orography with boundary.orog, or say that it is meant with "
            "`initial: {ground: adjust}`",
        )
    if say is not None and abs(rise[j, i]) > SAID:
        say.append(Problem(what=what, name=str(start.path), found=found))


def _not_compared(start: Start, *, flat: bool) -> Problem:
    """What to say when the file has no ground; `flat`: the model has no mountains either."""
    file = "the file has no ground to compare with, by any name of `orog`"
    if flat:
        return Problem(
            what="a start from data over flat ground, not checked",
            name=str(start.path),
            expected="the mountains over which the analysis was made",
            found=file,
            remedy="give the case the orography with boundary.orog",
        )
    return Problem(
        what="the model's ground was not compared with that of the initial state",
        name=str(start.path),
        expected="its orography or surface geopotential",
        found=file,
        remedy="add it to the file and name it with initial.variables.orog, or see that "
        "boundary.orog is of the same planet",
    )


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
