"""What `boundary_layer` and `boundary_layer_tiled` share: parameters, memory, order of arguments.

The mixing itself is `mixing.mix_block`.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from coupler.interface.component import (
    Array,
    Arrays,
    Conserves,
    Host,
    Params,
    Tendency,
    tendencies_of,
)
from coupler.interface.fields import COLUMN
from coupler.interface.fields import Field as Entry
from coupler.interface.units import Unit
from physics.columns.lanes import LANES, upward
from physics.columns.mixing import FLAT, FULL, HALF

_A = Array
COLUMN_INPUTS = "ua va ta hus pfull phalf zg zghalf ps"
SURFACE_OUTPUTS = "tauu tauv hfss hfls evspsbl tas uas vas"
BLDEP = Entry(
    name="bldep",
    standard_name="atmosphere_boundary_layer_thickness",
    long_name="Boundary Layer Depth",
    units="m",
    dims=COLUMN,
)


class MixingParameters(Params):
    """Roughness, gusts, and the mixing in the air."""

    mixing: Literal["k_profile", "reed_jablonowski"] = "k_profile"
    """Diffusivity in the air."""
    roughness_sea: Annotated[float, Unit("m"), Field(gt=0, lt=1)] = 3.21e-5
    """Roughness length over sea (Frierson et al. 2006), with `louis` or without `waves` [m]."""
    roughness_land: Annotated[float, Unit("m"), Field(gt=0, lt=10)] = 0.1
    """Roughness length over bare land: low crops to scattered trees [m]."""
    waves: bool = True
    """With `monin_obukhov`: roughness over sea follows the wind (Fairall et al. 2003)."""
    roughness_ratio: Annotated[float, Unit("1"), Field(ge=1, le=1e6)] = 10.0
    """With `monin_obukhov`: of momentum's roughness to that of heat, but on open water [1]."""
    gust_factor: Annotated[float, Unit("1"), Field(ge=0, le=5)] = 1.2
    """beta, of convective gusts to w_*, with `monin_obukhov` [1]."""
    gust_depth: Annotated[float, Unit("m"), Field(gt=0, le=5000)] = 1000.0
    """z_i, depth of the convection that makes them [m]."""
    gustiness: Annotated[float, Unit("m s-1"), Field(gt=0, lt=20)] = 1.0
    """u_g, wind that exchange never falls below [m s-1]."""
    critical_richardson: Annotated[float, Unit("1"), Field(gt=0, le=2)] = 0.3
    """Ri_c at the top of the boundary layer (Vogelezang and Holtslag 1996) [1]."""
    dissipation: bool = True
    """Whether dissipated kinetic energy warms the air."""


class ImplicitMixing(Tendency):
    """Surface fluxes and vertical mixing in one backward step."""

    Parameters = MixingParameters
    tendencies = tendencies_of("ua va ta hus")
    fills = True
    conserves: ClassVar[tuple[Conserves, ...]] = (
        Conserves(quantity="momentum"),
        Conserves(quantity="energy"),
        Conserves(quantity="water"),
    )

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        if not self.p.dissipation:
            kept = tuple(c for c in type(self).conserves if c.quantity != "energy")
            self.conserves = kept  # type: ignore[misc]

    def setup(self, host: Host) -> None:
        p, planet = self.p, host.planet
        self._constants = (
            planet.gravity,
            planet.cp_dry,
            planet.gas_constant_dry,
            planet.gas_constant_vapour,
            planet.latent_heat_vaporization,
            p.gustiness,
            p.critical_richardson,
        )
        self._work = np.zeros((len(FULL), host.nlev, LANES))
        self._half = np.zeros((len(HALF), host.nlev + 1, LANES))
        self._lane = np.zeros((FLAT, LANES))
        self._up = upward(host.nlev)

    def similarity_settings(
        self, roughness: float
    ) -> tuple[float, float, float, float, float, float]:
        """What `monin_obukhov.similarity` takes of a surface of some roughness [m]."""
        p, rough = self.p, math.log(roughness)
        still = math.log(p.roughness_sea)
        heat = rough - math.log(p.roughness_ratio)
        return rough, heat, still, float(p.waves), p.gust_factor, p.gust_depth

    @staticmethod
    def column(x: Arrays) -> tuple[_A, _A, _A, _A, _A, _A, _A, _A, _A]:
        """`COLUMN_INPUTS` of the state."""
        return x.ua, x.va, x.ta, x.hus, x.pfull, x.phalf, x.zg, x.zghalf, x.ps

    @staticmethod
    def results(
        tend: Arrays, diag: Arrays
    ) -> tuple[_A, _A, _A, _A, _A, _A, _A, _A, _A, _A, _A, _A, _A]:
        """Tendencies, `SURFACE_OUTPUTS` and the depth, to be filled."""
        rates = tend.ua, tend.va, tend.ta, tend.hus
        fluxes = diag.tauu, diag.tauv, diag.hfss, diag.hfls, diag.evspsbl
        return (*rates, *fluxes, diag.tas, diag.uas, diag.vas, diag.bldep)
