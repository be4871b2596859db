r"""A slab of sea water below open water and ice, with heat from currents that are not there.

.. math::
   \rho c h\, \frac{dT}{dt} = (1-A) F_o + F_{ice} - A\, \gamma (T - T_f) + Q

per area of sea; F_o is the net downward flux into open water, A the ice cover, F_ice the heat that
melting ice left over, gamma (T - T_f) the heat that ice takes at its base, Q the convergence of
heat by currents ("q-flux"), all [W m-2]. Where T would fall below the freezing point T_f, it stays
there and the heat that is missing is taken from the water that freezes: the sea hands it to the
ice as a negative heat flux.

Where the given q-flux is negative, currents would take heat from warm water, not from below ice:
the share A of it is taken from all open water of the globe alike, and Q keeps its global mean.
Ice that came over such water by chance would grow for ever else, metres a year. Once less than half
of the sea is open, that much less is taken over, so that little open water is not asked for all.

``sea: prescribed``: T follows a monthly climatology, and the heat that this takes is ``hfcorr``:

.. math:: Q = \rho c h\, \frac{dT_{clim}}{dt} - (1-A) F_o - F_{ice} + A\, \gamma (T - T_f)

the q-flux with which the slab keeps that climatology where no ice lies over water that currents
cool (tools/qflux.py makes its twelve months; it is given as it is, no ice spared). The
climatology at or below `at_freezing` is taken as frozen sea: there water freezes freely, and what
would warm it goes to the ice, as long as there is some; Q is 0 but where open water has none.
In a run without a model of ice nothing freezes, and T follows the climatology everywhere.

Fresh water that arrives is added up in an account and changes nothing else.

Sources: Hansen et al. (1984), doi:10.1029/GM029p0130, for the q-flux; Collins et al. (2004),
doi:10.5065/D63N21CH, chapter 5, adjust it below ice and keep its global mean, too; McPhee (1992),
doi:10.1029/92JC00239, for gamma = rho c c_h u_* with c_h = 0.0057 and u_* of 4 mm/s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from coupler.interface.component import Array, Arrays, Model, Now, Params, Site, gives, reads
from coupler.interface.errors import BadValue, ConfigError, DataError
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.surface.climatology import interpolate
from physics.surface.parts import (
    FASTEST,
    FREEZING,
    OnGrid,
    annual_mean_temperature,
    land_fraction,
    months,
)

ZERO = 273.15
"""Temperature at which the stored heat is counted as 0 [K]."""


@scheme("ocean", "slab")
class SlabOcean(Model):
    """Mixed layer of given depth, with a q-flux, or prescribed temperature."""

    class Parameters(OnGrid):
        """Grid, step and properties of the water."""

        sea: Literal["slab", "prescribed"] = "slab"
        """Whether the sea obeys its heat budget or follows the boundary field ``tos``."""
        depth: Annotated[float, Unit("m"), Field(gt=0, le=1000)] = 30.0
        """Depth of the mixed layer where no field ``mlotst`` gives it, of whose months the annual
        mean is taken [m]."""
        heat_capacity: Annotated[float, Unit("J m-3 K-1"), Field(gt=0)] = 4.0e6
        """rho c of sea water [J m-3 K-1]."""
        albedo: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.26
        """Albedo of open water; it stands for the clouds above as well [1]."""
        exchange: Annotated[float, Unit("W m-2 K-1"), Field(ge=0, le=2000)] = 90.0
        """gamma, of heat between water and the base of ice [W m-2 K-1]."""
        freezing_point: Annotated[float, Unit("K"), Field(gt=250, lt=280)] = FREEZING
        """T_f [K]."""
        at_freezing: Annotated[float, Unit("K"), Field(ge=0, lt=5)] = 0.2
        """With `prescribed`: a climatology within this of T_f is frozen sea [K]."""

        @model_validator(mode="after")
        def _steps_resolve_the_reaction(self) -> Self:
            capacity = self.depth * self.heat_capacity
            if self.sea == "slab" and self.dt * FASTEST > capacity:
                raise BadValue(
                    "step too long for the mixed layer",
                    expected=f"dt of at most {capacity / FASTEST:g} s for its depth times "
                    f"heat_capacity = {capacity:g} J m-2 K-1",
                    found=f"{self.dt:g} s",
                    remedy="shorten dt or deepen it",
                )
            return self

    receives = reads("hfds_ocean evspsbl_ocean pr", optional="sft_ice hfsio fsitherm friver")
    provides = gives("sftof ts_ocean albs_ocean mlotst hfcorr hfsi")
    boundary = reads("", optional="sftlf tos mlotst qflux")

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        self.grid, self.dt = self.p.grid(), self.p.dt

    def setup(self, site: Site) -> None:
        p, shape = self.p, self.grid.shape
        self._sea = 1.0 - land_fraction(site, shape)
        self._wet = self._sea > 0.0
        self._area = self._sea * self.grid.cell_weights
        self._capacity = p.heat_capacity * self._depth(site)
        self._tos = self._climatology(site)
        self._q = self._heat_of_currents(site)
        self._t = annual_mean_temperature(self.grid)
        if self._tos is not None:
            interpolate(self._tos, site.date, self._t)
        np.maximum(self._t, p.freezing_point, out=self._t)
        self._account = np.zeros(shape)
        self._next, self._currents = np.zeros(shape), np.zeros(shape)
        self._fields = {f.name: np.zeros(shape) for f in self.provides}
        self._fields["sftof"][...] = self._sea
        self._fields["albs_ocean"][...] = p.albedo
        self._fields["mlotst"][...] = self._capacity / p.heat_capacity
        self._fields["ts_ocean"][...] = self._t

    def _depth(self, site: Site) -> Array:
        """Annual mean of ``mlotst`` [m]: a depth that changed would have to move heat."""
        depth = months(site, "mlotst", self.grid.shape)
        if depth is None:
            return np.full(self.grid.shape, float(self.p.depth))
        least_of_all = np.where(self._wet & ~np.isnan(depth), depth, np.inf)
        where = np.unravel_index(np.argmin(least_of_all), depth.shape)
        month, row, column = (int(i) for i in where)
        if least_of_all[month, row, column] <= 0.0:
            raise DataError.of(
                "mixed layer of impossible depth",
                "mlotst",
                expected="more than 0 m in all months wherever there is sea",
                found=f"{depth[month, row, column]:g} m in month {month + 1} at "
                f"{self.grid.lat[row]:g} N, {self.grid.lon[column]:g} E",
                remedy="depths are positive downward; fill the file under the coast",
            )
        mean = depth.mean(axis=0)
        least = self.dt * FASTEST / self.p.heat_capacity
        bad = self._wet & ~(mean >= least)
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            raise DataError.of(
                "mixed layer of impossible depth",
                "mlotst",
                expected=f"at least {least:.2g} m wherever there is sea, for steps of "
                f"{self.dt:g} s",
                found=f"{mean[row, column]:g} m at {self.grid.lat[row]:g} N, "
                f"{self.grid.lon[column]:g} E, {int(bad.sum())} cells",
                remedy="depths are positive downward; fill the file under the coast, or shorten dt",
            )
        return np.asarray(np.where(self._wet, mean, self.p.depth))

    def _heat_of_currents(self, site: Site) -> Array | None:
        """Months of ``qflux`` [W m-2], 0 on land."""
        q = months(site, "qflux", self.grid.shape)
        if q is None:
            return None
        q[:, ~self._wet] = 0.0
        self._refuse(
            ~np.isfinite(q),
            q,
            "sea without heat of currents",
            "qflux",
            expected="numbers wherever sftlf < 1",
            remedy="fill the file under the coast, or correct sftlf",
        )
        return q

    def _refuse(self, bad: Array, months: Array, what: str, name: str, **advice: str) -> None:
        """Says where the first of some bad values in months of a field is, if there are any."""
        if bad.any():
            month, row, column = (int(i) for i in np.argwhere(bad)[0])
            found = (
                f"{int(bad.sum())} others, the first {months[month, row, column]:g} in month "
                f"{month + 1} at {self.grid.lat[row]:g} N, {self.grid.lon[column]:g} E"
            )
            raise DataError.of(what, name, found=found, **advice)

    def _climatology(self, site: Site) -> Array | None:
        p, tos = self.p, months(site, "tos", self.grid.shape)
        if tos is None:
            if p.sea == "prescribed":
                raise ConfigError.of(
                    "prescribed sea without data",
                    "ocean.tos",
                    expected="a boundary field of sea surface temperature",
                    remedy="name a file for tos, or set sea to 'slab'",
                )
            return None
        self._refuse(
            self._wet & ~((tos > 150.0) & (tos < 380.0)),
            tos,
            "sea without a temperature",
            "tos",
            expected="values from 150 to 380 K wherever sftlf < 1",
            remedy="extend the sea temperature under the coast, or correct sftlf",
        )
        tos[:, ~self._wet] = p.freezing_point
        tos[tos <= p.freezing_point + p.at_freezing] = p.freezing_point
        return tos

    def fields(self) -> Mapping[str, Array]:
        return self._fields

    def parts(self, received: Arrays) -> Mapping[str, Array]:
        water = self._sea
        if "sft_ice" in received:
            water = self._sea - received.sft_ice
        return {"hfds_ocean": water, "evspsbl_ocean": water, "pr": water, "friver": self._sea}

    def step(self, received: Arrays, now: Now) -> None:
        p, sea = self.p, np.where(self._wet, self._sea, 1.0)
        water = self.parts(received)["pr"]
        # all heat per area of the sea
        heat = water * received.hfds_ocean
        base = np.zeros(self.grid.shape)
        if "hfsio" in received:
            heat += received.hfsio
        if "sft_ice" in received:
            # backward in time, so that a thin layer is not cooled below freezing by its ice
            g = p.exchange * received.sft_ice / sea
            g /= 1.0 + g * self.dt / self._capacity
            base = g * (self._t - p.freezing_point)
        heat /= sea
        heat -= base
        per = self.dt / self._capacity
        self._currents.fill(0.0)
        if p.sea == "slab" and self._q is not None:
            interpolate(self._q, now.date, self._currents)
            if "sft_ice" in received:
                self._spare_the_ice(np.clip(received.sft_ice / sea, 0.0, 1.0))
        self._next[...] = self._t + per * (heat + self._currents)
        if p.sea == "prescribed" and self._tos is not None:
            clim = np.empty(self.grid.shape)
            interpolate(self._tos, now.date, clim)
            free = clim <= p.freezing_point
            if "sft_ice" not in received:  # nobody freezes: all of it follows the climatology
                free.fill(False)
            else:
                warms = free & (self._next > p.freezing_point) & (received.sft_ice > 0.0)
                base += np.where(warms, (self._next - p.freezing_point) / per, 0.0)
                np.copyto(self._next, p.freezing_point, where=warms)
            free &= self._next <= p.freezing_point
            self._currents[...] = np.where(free, 0.0, (clim - self._next) / per)
            self._next[...] = np.where(free, self._next, clim)
        frozen = np.maximum(p.freezing_point - self._next, 0.0) / per
        if "sft_ice" not in received:
            # nobody takes what freezes: the water is allowed to cool further
            frozen = np.zeros(self.grid.shape)
        self._t[...] = np.where(self._wet, self._next + per * frozen, self._t)
        gained = water * (received.pr - received.evspsbl_ocean)
        for name in ("fsitherm", "friver"):
            if name in received:
                gained = gained + getattr(received, name)
        self._account += self.dt * np.where(self._wet, gained, 0.0)
        self._fields["ts_ocean"][...] = self._t
        self._fields["hfcorr"][...] = np.where(self._wet, self._currents, 0.0)
        self._fields["hfsi"][...] = np.where(self._wet, self._sea * (base - frozen), 0.0)

    def _spare_the_ice(self, cover: Array) -> None:
        """Takes from open water what currents would take from below ice, of that share of sea."""
        room = ((1.0 - cover) * self._area).sum()
        spared = np.minimum(self._currents, 0.0) * cover * min(1.0, 2.0 * room / self._area.sum())
        if room > 0.0:
            self._currents += (spared * self._area).sum() / room * (1.0 - cover) - spared

    def stores(self) -> Mapping[str, Array]:
        """Heat above 0 degC and fresh water received since the start, per area of the cell."""
        heat = self._capacity * (self._t - ZERO) * self._sea
        return {"water": self._account, "energy": heat}

    def sources(self) -> Mapping[str, Array]:
        """Heat by currents per area of the cell [W m-2]."""
        return {"energy": self._fields["hfcorr"] * self._sea}

    def memory(self) -> dict[str, Array]:
        own = ("hfcorr", "hfsi")
        return {"t": self._t, "account": self._account} | {n: self._fields[n] for n in own}

    def restore(self, memory: Mapping[str, Array]) -> None:
        super().restore(memory)
        self._fields["ts_ocean"][...] = self._t
