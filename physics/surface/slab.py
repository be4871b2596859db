r"""A slab surface on a grid of its own: a mixed-layer ocean, prescribed sea, and land.

Each cell has two tiles, sea and land, with temperatures T_i [K] and heat capacities
C_i = rho c h [J m-2 K-1], and shows the air their area-weighted mean,
T_s = (1 - f) T_sea + f T_land with f the land fraction; albedo and wetness are area-weighted too.
The net downward flux F [W m-2] arrives for the whole cell, at T_s; each tile gets

.. math::
   F_i = F - \lambda\,(T_i - T_s), \qquad C_i\, \frac{dT_i}{dt} = F_i, \qquad
   F = S_\downarrow - S_\uparrow + L_\downarrow - L_\uparrow - H_s - H_l

The correction with lambda [W m-2 K-1], the linear feedback of surface fluxes on temperature,
brings the tiles towards each other and sums to nothing over the cell: the energy of the cell
changes by F dt exactly. A cell that is all sea or all land has one temperature, and the
correction vanishes. With ``sea="prescribed"`` the sea tile follows a monthly climatology of sea
surface temperature and only the land tile obeys its budget; what the sea takes, (1 - f) F_sea, is
not stored but leaves the model (`Slab.sources`). Water is not received: what evaporates comes from
a sea without bounds, whose account the driver keeps.

Time stepping is explicit: T_i += dt F_i/C_i. Surface fluxes react to T_s with up to 100 W m-2 K-1
(6 by radiation, the rest by turbulence in a gale over warm wet ground), so a tile answers with a
time scale of C_i/100 at the fastest, and parameters with a longer step than that are refused. The
default land (1 m, 2e6 J m-2 K-1) has 5.6 hours, the default ocean over a day.

Source: Frierson, Held and Zurita-Gotor (2006), doi:10.1175/JAS3753.1, for the slab (C = 1e7
J m-2 K-1) and the albedo 0.31 that gives their net insolation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from coupler.interface.component import (
    Array,
    Arrays,
    Model,
    Now,
    Params,
    Site,
    gives,
    reads,
)
from coupler.interface.errors import BadValue, ConfigError, DataError
from coupler.interface.grid import Grid
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.surface.climatology import interpolate

FASTEST = 100.0
"""Strongest reaction of surface fluxes to surface temperature that steps must resolve
[W m-2 K-1]."""
_SEA_RHO_C = 1000.0 * 4000.0


@scheme("surface", "slab")
class Slab(Model):
    """Slab ocean or prescribed sea, with slab land, on a regular latitude-longitude grid."""

    class Parameters(Params):
        """Grid, step and properties of the two tiles."""

        nlat: Annotated[int, Field(ge=2, le=2160)] = 45
        """Number of latitudes."""
        nlon: Annotated[int, Field(ge=4, le=4320)] = 90
        """Number of longitudes."""
        dt: Annotated[float, Unit("s"), Field(gt=0)] = 10800.0
        """Time step [s]."""
        sea: Literal["slab", "prescribed"] = "slab"
        """Whether the sea obeys its heat budget or follows the boundary field ``tos``."""
        depth: Annotated[float, Unit("m"), Field(gt=0)] = 2.5
        """Mixed-layer depth; 2.5 m at 4e6 J m-3 K-1 are Frierson's 1e7 J m-2 K-1 [m]."""
        sea_heat_capacity: Annotated[float, Unit("J m-3 K-1"), Field(gt=0)] = _SEA_RHO_C
        """rho c of sea water [J m-3 K-1]."""
        land_depth: Annotated[float, Unit("m"), Field(gt=0)] = 1.0
        """Depth of soil that takes part [m]."""
        land_heat_capacity: Annotated[float, Unit("J m-3 K-1"), Field(gt=0)] = 2.0e6
        """rho c of soil [J m-3 K-1]."""
        sea_albedo: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.31
        """Albedo of sea, planetary as nothing else reflects [1]."""
        land_albedo: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.31
        """Albedo of land [1]."""
        land_wetness: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.5
        """Share of potential evaporation that land delivers [1]; the sea delivers all."""
        tile_coupling: Annotated[float, Unit("W m-2 K-1"), Field(ge=0, le=FASTEST)] = 30.0
        """lambda [W m-2 K-1]: 6 by radiation, the rest by sensible heat at 7 m/s."""
        t_equator: Annotated[float, Unit("K"), Field(gt=150, lt=380)] = 299.0
        """Initial temperature at the equator [K]."""
        t_contrast: Annotated[float, Unit("K"), Field(ge=-100, le=100)] = 40.0
        """Initial fall from the equator to the poles, as sin^2 of latitude [K]."""

        @model_validator(mode="after")
        def _steps_resolve_the_reaction(self) -> Self:
            tiles = {"land": self.land_depth * self.land_heat_capacity}
            if self.sea == "slab":
                tiles["sea"] = self.depth * self.sea_heat_capacity
            for name, capacity in tiles.items():
                if self.dt * FASTEST > capacity:
                    raise BadValue(
                        f"step too long for the {name}",
                        expected=f"dt of at most {capacity / FASTEST:g} s for its depth times "
                        f"{name}_heat_capacity = {capacity:g} J m-2 K-1",
                        found=f"{self.dt:g} s",
                        remedy="shorten dt or deepen it",
                    )
            return self

    receives = reads("rsds rsus rlds rlus hfss hfls")
    provides = gives("ts albs wetness hfds sftlf")
    boundary = reads("", optional="sftlf tos")

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        self.grid = Grid.regular(self.p.nlat, self.p.nlon)
        self.dt = self.p.dt

    def setup(self, site: Site) -> None:
        p, shape = self.p, self.grid.shape
        land = np.asarray(site.boundary.get("sftlf", np.zeros(shape)), np.float64)
        if land.shape != shape or not np.all((land > -1e-6) & (land < 1.0 + 1e-6)):
            raise DataError.of(
                "land fraction does not fit",
                "sftlf",
                expected=f"values from 0 to 1, shape {shape}",
                found=f"shape {land.shape}, from {land.min():g} to {land.max():g}",
                remedy="give it as a fraction (or with its unit, %) on the surface's own grid",
            )
        self._land = np.clip(land, 0.0, 1.0)
        self._tos = self._climatology(site)
        sine = np.sin(np.radians(self.grid.lat))[:, None]
        # Temperatures are kept in float64: a step of 3 hours moves a deep ocean by less than
        # float32 resolves.
        self._sea = np.broadcast_to(p.t_equator - p.t_contrast * sine**2, shape).copy()
        if self._tos is not None:
            if site.date is None:
                self._sea[...] = self._tos.mean(axis=0)
            else:
                interpolate(self._tos, site.date, self._sea)
        self._soil = self._sea.copy()
        self._flux, self._taken = np.zeros(shape), np.zeros(shape)
        self._mean = np.zeros(shape)
        self._scratch = np.zeros(shape)
        self._fields = {
            name: np.zeros(shape, site.dtype) for name in (f.name for f in self.provides)
        }
        self._fields["sftlf"][...] = self._land
        self._fields["albs"][...] = p.sea_albedo + (p.land_albedo - p.sea_albedo) * self._land
        self._fields["wetness"][...] = 1.0 + (p.land_wetness - 1.0) * self._land
        self._show()

    def _climatology(self, site: Site) -> Array | None:
        """`tos` as [12, lat, lon], finite under land too; None when it is not given."""
        if "tos" not in site.boundary:
            if self.p.sea == "prescribed":
                raise ConfigError.of(
                    "prescribed sea without data",
                    "surface.tos",
                    expected="a boundary field of sea surface temperature",
                    remedy="name a file for tos, or set sea to 'slab'",
                )
            return None
        tos = np.array(site.boundary["tos"], np.float64)
        if tos.ndim == 2:
            tos = np.broadcast_to(tos, (12, *tos.shape)).copy()
        if tos.shape != (12, *self.grid.shape):
            raise DataError.of(
                "climatology does not fit",
                "tos",
                expected=f"shape {(12, *self.grid.shape)} or {self.grid.shape}",
                found=f"shape {tos.shape}",
                remedy="give twelve months on the surface's own grid",
            )
        sea = np.broadcast_to(self._land < 1.0, tos.shape)
        bad = sea & ~((tos > 150.0) & (tos < 380.0))
        if bad.any():
            month, row, column = (int(i) for i in np.argwhere(bad)[0])
            raise DataError.of(
                "sea without a temperature",
                "tos",
                expected="values from 150 to 380 K wherever sftlf < 1",
                found=f"{int(bad.sum())} others, the first {tos[month, row, column]:g} in month "
                f"{month + 1} at {self.grid.lat[row]:g} N, {self.grid.lon[column]:g} E",
                remedy="extend the sea temperature under the coast, or correct sftlf",
            )
        self._fill_land(tos)
        return tos

    def _fill_land(self, tos: Array) -> None:
        """Values where there is no sea: never shown, but land starts from them. Zonal means."""
        lat = self.grid.lat
        for month in tos:
            good = (month > 150.0) & (month < 380.0)
            rows = good.any(axis=1)
            if not rows.any():
                month[...] = self.p.t_equator
                continue
            mean = np.where(good, month, 0.0)[rows].sum(axis=1) / good[rows].sum(axis=1)
            zonal = np.interp(lat, lat[rows], mean)
            month[~good] = np.broadcast_to(zonal[:, None], month.shape)[~good]

    def fields(self) -> Mapping[str, Array]:
        return self._fields

    def step(self, received: Arrays, now: Now) -> None:
        p, f, part = self.p, self._flux, self._scratch
        f[...] = received.rsds
        f -= received.rsus
        f += received.rlds
        f -= received.rlus
        f -= received.hfss
        f -= received.hfls
        np.subtract(self._sea, self._mean, out=part)
        part *= -p.tile_coupling
        part += f
        if p.sea == "slab":
            part *= self.dt / (p.depth * p.sea_heat_capacity)
            self._sea += part
        else:
            np.multiply(part, 1.0 - self._land, out=self._taken)
        np.subtract(self._soil, self._mean, out=part)
        part *= -p.tile_coupling
        part += f
        part *= self.dt / (p.land_depth * p.land_heat_capacity)
        self._soil += part
        if p.sea == "prescribed" and self._tos is not None:
            interpolate(self._tos, now.date, self._sea)
        self._show()

    def _show(self) -> None:
        np.subtract(self._soil, self._sea, out=self._mean)
        self._mean *= self._land
        self._mean += self._sea
        self._fields["ts"][...] = self._mean
        self._fields["hfds"][...] = self._flux

    def heat(self) -> Array:
        """Heat stored in a cell above 0 K [J m-2], shape [lat, lon]."""
        p = self.p
        sea = p.depth * p.sea_heat_capacity * (1.0 - self._land) * self._sea
        soil = p.land_depth * p.land_heat_capacity * self._land * self._soil
        return np.asarray(sea + soil)

    def stores(self) -> Mapping[str, Array]:
        """Heat above 0 K per area of the cell [J m-2]; a prescribed sea stores none."""
        if self.p.sea == "slab":
            return {"energy": self.heat()}
        capacity = self.p.land_depth * self.p.land_heat_capacity
        return {"energy": capacity * self._land * self._soil}

    def sources(self) -> Mapping[str, Array]:
        """Heat that a prescribed sea took out of the model, per area of the cell [W m-2]."""
        return {"energy": -self._taken}

    def memory(self) -> dict[str, Array]:
        return {"sea": self._sea, "soil": self._soil, "flux": self._flux}

    def restore(self, memory: Mapping[str, Array]) -> None:
        super().restore(memory)
        self._show()
