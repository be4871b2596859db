r"""Land: a layer of ground that stores heat, a bucket of water, and snow.

Per area of land, with T ground temperature [K], w water and s snow [kg m-2]:

.. math::
   C\, \frac{dT}{dt} &= F + L_f (P_s - E_s) - L_f M, \qquad
   F = (1-f) F_{bare} + f F_{snow}, \quad f = \frac{s}{s + s_0} \\
   \frac{dw}{dt} &= P_r + M - (1-f) E_{bare} - R, \qquad
   \frac{ds}{dt} = P_s - f E_{snow} - M, \qquad \beta = \min\left(1, \frac{w}{0.75\, w_{max}}\right)

The bucket holds w_max (15 cm); what more arrives runs off. Snow melts (M) with all heat that would
take the ground above the melting point. Snow beyond `most_snow`, on ice sheets, runs off too, and
its heat of fusion is taken from the ground, which had it from the water that fell as snow: an ice
sheet in balance costs nothing. Evaporation from snow beyond what there is comes from the bucket,
which may owe a little water (the air's cells and the land's need not be the same); rain pays it.

Heat as zero at the melting point, of liquid water: C (T - T_m) - L_f s changes by F exactly.

Sources: Manabe (1969), doi:10.1175/1520-0493(1969)097<0739:CATOC>2.3.CO;2, for bucket and beta;
the snow cover f with s_0 of 10 kg m-2 and albedos are rounded from Roesch et al. (2001),
doi:10.1007/s003820100153.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from coupler.interface.component import Array, Arrays, Model, Now, Params, Site, gives, reads
from coupler.interface.errors import BadValue
from coupler.interface.jit import njit
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.surface.parts import (
    FASTEST,
    FUSION,
    MELTING,
    OnGrid,
    annual_mean_temperature,
    land_fraction,
)
from physics.surface.snow import snow_share


@njit()
def wet_and_dry(
    ground: Array,
    water: Array,
    snow: Array,
    cover: Array,
    heat: Array,
    heat_snow: Array,
    evaporation: Array,
    evaporation_snow: Array,
    rain: Array,
    air: Array,
    dt: float,
    capacity: float,
    holds: float,
    most_snow: float,
    fusion: float,
    runoff: Array,
) -> None:
    """One step of all cells, in place; fills the runoff [kg m-2 s-1]. Fluxes are per area of their
    type: bare ground, or the share `cover` under snow."""
    for c in range(ground.size):
        f = cover[c]
        falls = rain[c] * snow_share(air[c]) * dt
        w = water[c] + rain[c] * dt - falls - (1.0 - f) * evaporation[c] * dt
        gone = f * evaporation_snow[c] * dt
        of_snow = min(gone, snow[c] + falls)
        s = snow[c] + falls - of_snow
        w -= gone - of_snow
        gained = ((1.0 - f) * heat[c] + f * heat_snow[c]) * dt + fusion * (falls - of_snow)
        t = ground[c] + gained / capacity
        if t > 273.15 and s > 0.0:
            melts = min(capacity * (t - 273.15) / fusion, s)
            s -= melts
            w += melts
            t -= fusion * melts / capacity
        if s > most_snow:
            t -= fusion * (s - most_snow) / capacity
            w += s - most_snow
            s = most_snow
        off = max(w - holds, 0.0)
        ground[c], water[c], snow[c] = t, w - off, s
        runoff[c] = off / dt


@scheme("land", "bucket")
class Bucket(Model):
    """Ground with a bucket of water and snow."""

    class Parameters(OnGrid):
        """Grid, step and properties of the ground."""

        depth: Annotated[float, Unit("m"), Field(gt=0)] = 1.0
        """Depth of ground that takes part [m]."""
        heat_capacity: Annotated[float, Unit("J m-3 K-1"), Field(gt=0)] = 2.0e6
        """rho c of the ground [J m-3 K-1]."""
        holds: Annotated[float, Unit("kg m-2"), Field(gt=0)] = 150.0
        """w_max, water that the bucket holds: 15 cm [kg m-2]."""
        wet_from: Annotated[float, Unit("1"), Field(gt=0, le=1)] = 0.75
        """Share of w_max above which evaporation is that of water [1]."""
        snow_half: Annotated[float, Unit("kg m-2"), Field(gt=0)] = 10.0
        """s_0, snow that covers half of a cell [kg m-2]."""
        most_snow: Annotated[float, Unit("kg m-2"), Field(gt=0)] = 1000.0
        """Snow that stays; what more falls flows to the sea as ice sheets do [kg m-2]."""
        albedo: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.29
        """Of bare ground; it stands for the clouds above as well [1]."""
        albedo_snow: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.7
        """Of cold snow [1]; `snow_fades` less at the melting point."""
        snow_fades: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.2
        """By how much the albedo of snow falls over the last ten kelvin [1]."""
        first_wetness: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.5
        """Share of w_max that the bucket holds at the start [1]."""
        ice_sheet: Annotated[float, Unit("K"), Field(gt=0)] = 250.0
        """Ground that begins colder than this begins under `most_snow` [K]."""
        lapse_rate: Annotated[float, Unit("K m-1"), Field(ge=0)] = 6.5e-3
        """Of the initial temperature with the height of the ground [K m-1]."""

        @model_validator(mode="after")
        def _steps_resolve_the_reaction(self) -> Self:
            capacity = self.depth * self.heat_capacity
            if self.dt * FASTEST > capacity:
                raise BadValue(
                    "step too long for the ground",
                    expected=f"dt of at most {capacity / FASTEST:g} s for its depth times "
                    f"heat_capacity = {capacity:g} J m-2 K-1",
                    found=f"{self.dt:g} s",
                    remedy="shorten dt or deepen it",
                )
            return self

    receives = reads("hfds_land hfds_snow evspsbl_land evspsbl_snow pr tas")
    provides = gives(
        "sft_land sft_snow ts_land ts_snow albs_land albs_snow wetness_land mrso snw mrro"
    )
    boundary = reads("", optional="sftlf orog")

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        self.grid, self.dt = self.p.grid(), self.p.dt

    def setup(self, site: Site) -> None:
        p, shape = self.p, self.grid.shape
        self._land = land_fraction(site, shape)
        orog = np.maximum(np.asarray(site.boundary.get("orog", np.zeros(shape)), np.float64), 0.0)
        self._ground = annual_mean_temperature(self.grid) - p.lapse_rate * orog
        self._water = np.full(shape, p.holds * p.first_wetness)
        self._snow = np.where(self._ground < p.ice_sheet, p.most_snow, 0.0)
        self._capacity = p.depth * p.heat_capacity
        self._runoff = np.zeros(shape)
        self._cover = np.zeros(shape)
        self._fields = {f.name: np.zeros(shape) for f in self.provides}
        self._show()

    def fields(self) -> Mapping[str, Array]:
        return self._fields

    def parts(self, received: Arrays) -> Mapping[str, Array]:
        bare, white = self._fields["sft_land"], self._fields["sft_snow"]
        return {
            "hfds_land": bare,
            "evspsbl_land": bare,
            "hfds_snow": white,
            "evspsbl_snow": white,
            "pr": self._land,
        }

    def step(self, received: Arrays, now: Now) -> None:
        p = self.p
        wet_and_dry(
            self._ground.reshape(-1),
            self._water.reshape(-1),
            self._snow.reshape(-1),
            self._cover.reshape(-1),
            received.hfds_land.reshape(-1),
            received.hfds_snow.reshape(-1),
            received.evspsbl_land.reshape(-1),
            received.evspsbl_snow.reshape(-1),
            received.pr.reshape(-1),
            received.tas.reshape(-1),
            self.dt,
            self._capacity,
            p.holds,
            p.most_snow,
            FUSION,
            self._runoff.reshape(-1),
        )
        self._show()

    def _show(self) -> None:
        p, f = self.p, self._fields
        self._cover[...] = self._snow / (self._snow + p.snow_half)
        f["sft_snow"][...] = self._land * self._cover
        f["sft_land"][...] = self._land - f["sft_snow"]
        f["ts_land"][...] = self._ground
        f["ts_snow"][...] = self._ground
        f["albs_land"][...] = p.albedo
        warm = np.clip((self._ground - MELTING) / 10.0 + 1.0, 0.0, 1.0)
        f["albs_snow"][...] = p.albedo_snow - p.snow_fades * warm
        np.clip(self._water / (p.wet_from * p.holds), 0.0, 1.0, out=f["wetness_land"])
        f["mrso"][...] = np.where(self._land > 0.0, self._water, 0.0)
        f["snw"][...] = np.where(self._land > 0.0, self._snow, 0.0)
        f["mrro"][...] = self._runoff * self._land

    def stores(self) -> Mapping[str, Array]:
        """Water in bucket and snow, heat of the ground less that of fusion, per area of cell."""
        heat = self._capacity * (self._ground - MELTING) - FUSION * self._snow
        return {"water": (self._water + self._snow) * self._land, "energy": heat * self._land}

    def memory(self) -> dict[str, Array]:
        return {
            "ground": self._ground,
            "water": self._water,
            "snow": self._snow,
            "runoff": self._runoff,
        }

    def restore(self, memory: Mapping[str, Array]) -> None:
        super().restore(memory)
        self._show()
