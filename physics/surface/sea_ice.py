r"""Thermodynamic sea ice with snow and leads: the zero-layer model of Semtner with a thin skin.

A cell's sea is covered to the share A by ice of mean thickness h_i under snow of thickness h_s,
which conduct heat without storing it. The skin, of heat capacity C, stands for the upper
decimetre; with it the surface balance needs no iteration, and on average it is Semtner's,

.. math::
   C\, \frac{dT_s}{dt} = F - L_f (E - P_s) - G (T_s - T_f), \qquad
   G = \frac{k_i k_s}{k_s h_i + k_i h_s}, \qquad T_s \le T_m

F net downward heat [W m-2] (with L_v E in it; ice that sublimates takes its heat of fusion from the
skin, rain that falls as snow P_s leaves its there). Where T_s would pass the melting point, it
stays there and what is left melts snow, then ice. At the base, where the water freezes or melts,

.. math:: L_f\, \frac{dm}{dt} = G (T_s - T_f)\,(-1) - F_w

with F_w the heat that the sea gives. Its negative part freezes water in the leads: the new ice
covers (dm/rho_i)/h_0 of the sea (Hibler 1979), never more than `most`. Ice that melts loses cover
as if its thickness were spread evenly from 0 to 2h, dA = A dm/(2 m), and is never thinner than
`thinnest`. Snow and skin of cover that vanishes go into the sea, which melts them. Whatever heat
ice cannot use goes to the sea.

Energy of ice per area of the cell: A C (T_s - T_m) - L_f (m_ice + m_snow), water as liquid at no
heat; what is stored changes by what arrives and leaves, to round-off.

Sources: Semtner (1976), doi:10.1175/1520-0485(1976)006<0379:AMFTTG>2.0.CO;2, appendix; Hibler
(1979), doi:10.1175/1520-0485(1979)009<0815:ADTSIM>2.0.CO;2, for the leads.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from coupler.interface.component import Array, Arrays, Model, Now, Params, Site, gives, reads
from coupler.interface.errors import BadValue
from coupler.interface.jit import njit
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.surface.parts import FREEZING, FUSION, MELTING, OnGrid, land_fraction
from physics.surface.snow import snow_share

RHO_ICE = 917.0
"""Density of ice [kg m-3]."""
RHO_SNOW = 330.0
"""Density of snow [kg m-3]."""
REACTION = 30.0
"""Strongest reaction of fluxes to the temperature of ice that steps must resolve [W m-2 K-1]."""


@njit()
def freeze_and_melt(
    cover: Array,
    ice: Array,
    snow: Array,
    skin: Array,
    sea: Array,
    heat: Array,
    evaporation: Array,
    rain: Array,
    air: Array,
    from_sea: Array,
    dt: float,
    settings: tuple[float, float, float, float, float, float, float, float],
    to_sea: Array,
    water: Array,
) -> None:
    """One step of all cells, in place; fills heat [W m-2] and water [kg m-2 s-1] for the sea.

    Args:
        cover: A, share of the sea [1]. ice, snow: masses per area of sea [kg m-2].
        skin: T_s [K]. sea: area fraction of the sea.
        heat: F, per area of ice [W m-2]. evaporation, rain: per area of ice [kg m-2 s-1].
        air: temperature that decides between rain and snow [K].
        from_sea: F_w, per area of sea [W m-2].
        dt: [s].
        settings: C [J m-2 K-1], k_i and k_s [W m-1 K-1], h_0, `thinnest` [m], `most` [1], T_f [K],
            and L_f [J kg-1].
        to_sea, water: filled, per area of sea.
    """
    capacity, k_ice, k_snow, lead, thinnest, most, freezing, fusion = settings
    melting = 273.15
    for c in range(cover.size):
        to_sea[c], water[c] = 0.0, 0.0
        if sea[c] <= 0.0:
            continue
        a, m_ice, m_snow, t = cover[c], ice[c], snow[c], skin[c]
        base = max(from_sea[c], 0.0) * dt  # heat that melts ice at its base, per area of sea
        gain = 0.0  # water for the sea [kg m-2]
        if a > 0.0:
            falls = a * rain[c] * snow_share(air[c]) * dt
            gain += a * rain[c] * dt - falls
            m_snow += falls
            # sublimation takes snow, then ice, then the sea's water; frost is snow
            frozen = a * evaporation[c] * dt
            if frozen > 0.0:
                of_snow = min(frozen, m_snow)
                of_ice = min(frozen - of_snow, m_ice)
                gain -= frozen - of_snow - of_ice
                frozen = of_snow + of_ice
                m_snow -= of_snow
                m_ice -= of_ice
            else:
                m_snow -= frozen
            h_ice = max(m_ice / (a * 917.0), thinnest)
            h_snow = m_snow / (a * 330.0)
            g = k_ice * k_snow / (k_snow * h_ice + k_ice * h_snow) * dt
            offered = heat[c] * dt - fusion * (frozen - falls) / a
            new = min((capacity * t + offered + g * freezing) / (capacity + g), melting)
            through = g * (freezing - new)  # conducted up to the skin [J per m2 of ice]
            left = capacity * (t - new) + offered + through
            # `left` is round-off unless the skin melts
            melts = min(max(a * left / fusion, 0.0), m_snow)
            m_snow -= melts
            gain += melts
            base += a * (left - through) - fusion * melts
            t = new
        if from_sea[c] < 0.0:  # water freezes in the leads
            made = -from_sea[c] * dt / fusion
            m_ice += made
            gain -= made
            grown = min(a + made / (917.0 * lead), most)
            if grown > a:
                # the skin's cold is spread over the new cover
                t = melting + (t - melting) * a / grown
                a = grown
        before = m_ice
        used = min(base / fusion, m_ice)  # below 0 it freezes
        m_ice -= used
        gain += used
        rest = base - fusion * used
        smaller = a * (1.0 - 0.5 * used / before) if used > 0.0 and before > 0.0 else a
        smaller = min(smaller, m_ice / (917.0 * thinnest))
        if m_ice < 1.0e-3 or smaller < 1.0e-5:
            smaller = 0.0
        if smaller < a:
            # of cover that vanishes the skin's cold and the snow go to the sea
            fell = m_snow * (a - smaller) / a
            m_snow -= fell
            gain += fell
            rest += capacity * (a - smaller) * (t - melting) - fusion * fell
            a = smaller
        if a == 0.0:
            rest -= fusion * (m_ice + m_snow)
            gain += m_ice + m_snow
            m_ice, m_snow, t = 0.0, 0.0, freezing
        cover[c], ice[c], snow[c], skin[c] = a, m_ice, m_snow, t
        to_sea[c] = rest / dt
        water[c] = gain / dt


@scheme("ice", "semtner")
class SemtnerIce(Model):
    """Zero-layer thermodynamic sea ice with snow and leads."""

    class Parameters(OnGrid):
        """Grid, step and properties of ice and snow."""

        skin: Annotated[float, Unit("J m-2 K-1"), Field(gt=0)] = 2.0e5
        """C, heat capacity of the skin: a decimetre of ice [J m-2 K-1]."""
        conductivity: Annotated[float, Unit("W m-1 K-1"), Field(gt=0)] = 2.04
        """k_i of ice [W m-1 K-1]."""
        snow_conductivity: Annotated[float, Unit("W m-1 K-1"), Field(gt=0)] = 0.31
        """k_s of snow [W m-1 K-1]."""
        lead_thickness: Annotated[float, Unit("m"), Field(gt=0, le=5)] = 0.5
        """h_0, of ice that closes a lead [m]."""
        thinnest: Annotated[float, Unit("m"), Field(gt=0, le=1)] = 0.1
        """Least mean thickness; thinner ice covers less [m]."""
        most: Annotated[float, Unit("1"), Field(gt=0, le=1)] = 0.99
        """Largest cover [1]."""
        albedo_ice: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.55
        """Of bare ice [1]."""
        albedo_snow: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.75
        """Of cold snow [1]; it falls by 0.1 over the last five kelvin below melting."""
        albedo_water: Annotated[float, Unit("1"), Field(ge=0, le=1)] = 0.26
        """Of the water that shows through ice of less than half a metre: the ocean's `albedo`."""
        freezing_point: Annotated[float, Unit("K"), Field(gt=250, lt=273.15)] = FREEZING
        """T_f [K]."""
        first_thickness: Annotated[float, Unit("m"), Field(ge=0, le=20)] = 1.5
        """Of the ice at the start [m]."""
        first_edge: Annotated[float, Unit("degrees"), Field(ge=0, le=90)] = 70.0
        """Latitude beyond which there is ice at the start [degrees]."""

        @model_validator(mode="after")
        def _steps_resolve_the_reaction(self) -> Self:
            if self.dt * REACTION > self.skin:
                raise BadValue(
                    "step too long for the skin of the ice",
                    expected=f"dt of at most {self.skin / REACTION:g} s for a skin of "
                    f"{self.skin:g} J m-2 K-1",
                    found=f"{self.dt:g} s",
                    remedy="shorten dt",
                )
            return self

    receives = reads("hfds_ice evspsbl_ice pr tas hfsi")
    provides = gives("sft_ice ts_ice albs_ice siconc sithick simass sisnmass hfsio fsitherm")
    boundary = reads("", optional="sftlf")
    alike = MappingProxyType(
        {"freezing_point": "ocean.freezing_point", "albedo_water": "ocean.albedo"}
    )

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        self.grid, self.dt = self.p.grid(), self.p.dt

    def setup(self, site: Site) -> None:
        p, shape = self.p, self.grid.shape
        self._sea = 1.0 - land_fraction(site, shape)
        there = (np.abs(self.grid.lat)[:, None] >= p.first_edge) & (self._sea > 0.0)
        there &= p.first_thickness > 0.0
        self._cover = np.where(there, min(0.9, p.most), 0.0)
        self._ice = self._cover * RHO_ICE * p.first_thickness
        self._snow = self._cover * RHO_SNOW * 0.1
        self._skin = np.full(shape, p.freezing_point)
        self._per_sea = np.zeros(shape)
        self._settings = (
            p.skin,
            p.conductivity,
            p.snow_conductivity,
            p.lead_thickness,
            p.thinnest,
            p.most,
            p.freezing_point,
            FUSION,
        )
        self._fields = {f.name: np.zeros(shape) for f in self.provides}
        self._show()

    def fields(self) -> Mapping[str, Array]:
        return self._fields

    def parts(self, received: Arrays) -> Mapping[str, Array]:
        ice = self._fields["sft_ice"]
        return {"hfds_ice": ice, "evspsbl_ice": ice, "pr": ice}

    def step(self, received: Arrays, now: Now) -> None:
        sea = np.where(self._sea > 0.0, self._sea, 1.0)
        np.divide(received.hfsi, sea, out=self._per_sea)
        freeze_and_melt(
            self._cover.reshape(-1),
            self._ice.reshape(-1),
            self._snow.reshape(-1),
            self._skin.reshape(-1),
            self._sea.reshape(-1),
            received.hfds_ice.reshape(-1),
            received.evspsbl_ice.reshape(-1),
            received.pr.reshape(-1),
            received.tas.reshape(-1),
            self._per_sea.reshape(-1),
            self.dt,
            self._settings,
            self._fields["hfsio"].reshape(-1),
            self._fields["fsitherm"].reshape(-1),
        )
        for name in ("hfsio", "fsitherm"):
            self._fields[name] *= self._sea
        self._show()

    def _show(self) -> None:
        p, f = self.p, self._fields
        f["siconc"][...] = self._cover
        f["sft_ice"][...] = self._cover * self._sea
        f["ts_ice"][...] = self._skin
        f["simass"][...] = self._ice * self._sea
        f["sisnmass"][...] = self._snow * self._sea
        covered = np.where(self._cover > 0.0, self._cover, 1.0)
        f["sithick"][...] = self._ice / (covered * RHO_ICE)
        depth = self._snow / (covered * RHO_SNOW)
        warm = np.clip((self._skin - MELTING) / 5.0 + 1.0, 0.0, 1.0)
        white = np.minimum(depth / 0.05, 1.0)
        bright = p.albedo_ice + white * (p.albedo_snow - 0.1 * warm - p.albedo_ice)
        thick = np.sqrt(np.minimum(f["sithick"] / 0.5, 1.0))  # the water shows through thin ice
        f["albs_ice"][...] = p.albedo_water + thick * (bright - p.albedo_water)

    def stores(self) -> Mapping[str, Array]:
        """Energy and water of ice, snow and skin per area of the cell."""
        skin = self.p.skin * self._cover * (self._skin - MELTING)
        frozen = self._ice + self._snow
        return {"water": frozen * self._sea, "energy": (skin - FUSION * frozen) * self._sea}

    def memory(self) -> dict[str, Array]:
        own = {n: self._fields[n] for n in ("hfsio", "fsitherm")}
        return own | {
            "cover": self._cover,
            "ice": self._ice,
            "snow": self._snow,
            "skin": self._skin,
        }

    def restore(self, memory: Mapping[str, Array]) -> None:
        super().restore(memory)
        self._show()
