"""Axes of files whose grid is no sphere: periodic planes and layers without pressure (CF 1.10)."""

from __future__ import annotations

from typing import Any

import numpy as np

from coupler.interface.grid import Grid


def horizontal(grid: Grid) -> tuple[str, str]:
    """Names of the horizontal dimensions; several planes lie one after another along ``row``."""
    if not grid.is_plane:
        return "lat", "lon"
    return ("y" if grid.members == 1 else "row"), "x"


def define_plane(nc: Any, grid: Grid, area: str) -> None:
    """Coordinates of a plane, or of several with the member and y of each row.

    Args:
        nc: an open file.
        grid: the plane.
        area: name of the cell areas.
    """
    rows, _ = horizontal(grid)
    nc.createDimension(rows, grid.lat.size)
    nc.createDimension("x", grid.lon.size)
    for name, dimension, values in (("y", rows, grid.lat), ("x", "x", grid.lon)):
        variable = nc.createVariable(name, "f8", (dimension,))
        variable.setncatts({"long_name": f"distance along {name}", "units": grid.units})
        if dimension == name:
            variable.axis = name.upper()
        if grid.units == "m":
            variable.standard_name = f"projection_{name}_coordinate"
        variable[:] = values
    if rows == "row":
        variable = nc.createVariable("member", "i4", (rows,))
        variable.setncatts({"standard_name": "realization", "long_name": "member of the ensemble"})
        variable.units = "1"
        variable[:] = np.repeat(np.arange(grid.members), grid.lat.size // grid.members)
    variable = nc.createVariable(area, "f4", (rows, "x"))
    variable.setncatts({"standard_name": "cell_area", "long_name": "Grid-Cell Area"})
    variable.units = "m2" if grid.units == "m" else "1"
    variable[:] = grid.spacing**2


def define_layers(nc: Any, nlev: int) -> None:
    """Layers by number, the upper one first."""
    nc.createDimension("lev", nlev)
    nc.createDimension("ilev", nlev + 1)
    for name, size, what in (("lev", nlev, "layer"), ("ilev", nlev + 1, "interface of layers")):
        variable = nc.createVariable(name, "i4", (name,))
        variable.setncatts({"long_name": what, "units": "1", "axis": "Z", "positive": "down"})
        variable[:] = np.arange(1, size + 1)
