"""What models that share the surface have in common: a grid, a step, the land fraction."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from coupler.interface.component import Array, Params, Site
from coupler.interface.errors import DataError
from coupler.interface.grid import Grid
from coupler.interface.units import Unit

FUSION = 3.34e5
"""Latent heat of fusion of water [J kg-1]."""
MELTING = 273.15
"""Temperature at which snow and ice melt [K]."""
FREEZING = 271.35
"""Temperature at which sea water of 34 per mille freezes [K]."""
FASTEST = 100.0
"""Strongest reaction of surface fluxes to surface temperature that steps must resolve
[W m-2 K-1]: 6 by radiation, the rest by turbulence in a gale over warm wet ground."""


class OnGrid(Params):
    """Grid and step."""

    nlat: Annotated[int, Field(ge=2, le=2160)] = 64
    """Number of latitudes of a regular grid."""
    nlon: Annotated[int, Field(ge=4, le=4320)] = 128
    """Number of longitudes."""
    dt: Annotated[float, Unit("s"), Field(gt=0)] = 3600.0
    """Time step [s]."""

    def grid(self) -> Grid:
        """The grid."""
        return Grid.regular(self.nlat, self.nlon)


def land_fraction(site: Site, shape: tuple[int, int]) -> Array:
    """The boundary field ``sftlf`` from 0 to 1 [1]; no land without one.

    Raises:
        DataError: for another shape or values that are no fractions.
    """
    land = np.asarray(site.boundary.get("sftlf", np.zeros(shape)), np.float64)
    if land.shape != shape or not np.all((land > -1e-6) & (land < 1.0 + 1e-6)):
        raise DataError.of(
            "land fraction does not fit",
            "sftlf",
            expected=f"values from 0 to 1, shape {shape}",
            found=f"shape {land.shape}, from {land.min():g} to {land.max():g}",
            remedy="give it as a fraction (or with its unit, %) on the model's own grid",
        )
    land = np.clip(land, 0.0, 1.0)
    land[land < 1e-6] = 0.0  # slivers by the remapping of a mask
    land[land > 1.0 - 1e-6] = 1.0
    return land


def months(site: Site, name: str, shape: tuple[int, int]) -> Array | None:
    """A boundary field as twelve months [12, lat, lon]; None when it is not given.

    Raises:
        DataError: for another shape.
    """
    if name not in site.boundary:
        return None
    field = np.array(site.boundary[name], np.float64)
    if field.ndim == 2:
        field = np.broadcast_to(field, (12, *field.shape)).copy()
    if field.shape != (12, *shape):
        raise DataError.of(
            "climatology does not fit",
            name,
            expected=f"shape {(12, *shape)} or {shape}",
            found=f"shape {field.shape}",
            remedy="give twelve months, or one time, on the model's own grid",
        )
    return field


def annual_mean_temperature(grid: Grid) -> Array:
    """Zonal temperature to begin with at sea level [K], shape [lat, lon]: 300 K at the equator,
    and 50 K less at the poles, as sin^2 of latitude."""
    sine = np.sin(np.radians(grid.lat))[:, None]
    return np.broadcast_to(300.0 - 50.0 * sine**2, grid.shape).copy()
