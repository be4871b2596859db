"""Radiation by bands and correlated k: RRTMG of climt, longwave and shortwave, without clouds.

Gases are carbon dioxide (prescribed by the case, or a constant), water vapour of the model, ozone
of the analytic column of `ozone` as a mole fraction, methane, nitrous oxide and oxygen as
constants. Insolation is that of `sun`: the scheme gets the cosine of the zenith angle by day, and
its fluxes are scaled so that what enters at the top is the insolation of the place and the time.

Both parts return fluxes on interfaces; their divergence is taken by the coupler.

Sources: Mlawer et al. (1997), doi:10.1029/97JD00237; Iacono et al. (2008),
doi:10.1029/2008JD009944, for RRTMG; Monteiro et al. (2018), doi:10.5194/gmd-11-3781-2018, for
climt, which this needs (``pip install isthmus[climt]``).
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Any

import numpy as np
from pydantic import Field as Limit

from coupler.interface.component import (
    Array,
    Arrays,
    Host,
    Now,
    Params,
    Port,
    Tendency,
    flux_of,
    gives,
    reads,
)
from coupler.interface.errors import ConfigError, UnstableError
from coupler.interface.fields import FIELDS, INTERFACE, Field
from coupler.interface.registry import scheme
from coupler.interface.sympl_call import SymplCall
from coupler.interface.units import Unit
from physics.columns.jit import njit
from physics.columns.ozone import above
from physics.columns.sun import Sun, SunParams

CO2 = Port(field=FIELDS["co2"], units="1", optional=True)
_CLEAR = dict.fromkeys(
    (
        "cloud_area_fraction_in_atmosphere_layer",
        "mass_content_of_cloud_ice_in_atmosphere_layer",
        "mass_content_of_cloud_liquid_water_in_atmosphere_layer",
        "longwave_optical_thickness_due_to_cloud",
        "longwave_optical_thickness_due_to_aerosol",
        "shortwave_optical_thickness_due_to_cloud",
        "shortwave_optical_thickness_due_to_aerosol",
        "single_scattering_albedo_due_to_cloud",
        "single_scattering_albedo_due_to_aerosol",
        "cloud_asymmetry_parameter",
        "aerosol_asymmetry_parameter",
        "cloud_forward_scattering_fraction",
        "aerosol_optical_depth_at_55_micron",
        "solar_cycle_fraction",
        "mole_fraction_of_cfc11_in_air",
        "mole_fraction_of_cfc12_in_air",
        "mole_fraction_of_cfc22_in_air",
        "mole_fraction_of_carbon_tetrachloride_in_air",
    ),
    0.0,
) | {"cloud_ice_particle_size": 20.0, "cloud_water_droplet_radius": 10.0}
"""Air without clouds and aerosols; sizes inside the range that the scheme accepts."""
_SIZES = {"num_longwave_bands": 16, "num_shortwave_bands": 14, "num_ecmwf_aerosols": 6}
_ALBEDOS = tuple(
    f"surface_albedo_for_{beam}_{band}"
    for beam in ("direct", "diffuse")
    for band in ("shortwave", "near_infrared")
)
_MOLECULES = 2.6867811e23
"""Of a gas in a layer of 1 cm at standard conditions [m-2]."""
_AIR = 28.9647e-3 / 6.02214076e23
"""Mass of a molecule of dry air [kg]."""


@njit()
def ozone_fraction(phalf: Array, total: float, gravity: float, out: Array) -> None:
    """Fills the mole fraction of ozone [1], shape [level, column], for `total` [cm] in a column."""
    nlev, ncol = out.shape
    for k in range(nlev):
        for c in range(ncol):
            top, bottom = np.float64(phalf[k, c]), np.float64(phalf[k + 1, c])
            ozone = (above(bottom, total) - above(top, total)) * _MOLECULES
            out[k, c] = ozone * gravity * _AIR / (bottom - top)


@scheme("radiation", "rrtmg")
class Rrtmg(Tendency):
    """RRTMG of climt in air without clouds; sunlight, seasons, hours, ozone."""

    class Parameters(SunParams):
        """Well-mixed gases are those of about the year 2000."""

        co2: Annotated[float, Unit("ppm"), Limit(gt=0, le=1e5)] = 360.0
        """Carbon dioxide, unless the case prescribes it (``forcing``) [ppm]."""
        methane: Annotated[float, Unit("ppm"), Limit(ge=0, le=1e3)] = 1.75
        """Methane [ppm]."""
        nitrous_oxide: Annotated[float, Unit("ppm"), Limit(ge=0, le=1e2)] = 0.316
        """Nitrous oxide [ppm]."""
        ozone: Annotated[float, Unit("cm"), Limit(ge=0, le=2)] = 0.3
        """Ozone of a column as a layer at standard conditions [cm]."""

    inputs = (*reads("ta hus pfull phalf ts albs lat", optional="lon"), CO2)
    fluxes = (flux_of("ta", "rnl"), flux_of("ta", "rns"))
    fills = True
    diagnostics = gives("rsdt rsut rlut rsds rsus rlds rlus")

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        if find_spec("climt") is None:
            raise ConfigError.of(
                "a scheme that needs another package",
                "radiation=rrtmg",
                expected="climt",
                remedy="pip install 'isthmus[climt]', or take another radiation",
            )

    def setup(self, host: Host) -> None:
        import climt

        p, self._host = self.p, host
        self._sun = Sun(p, host.ncol)
        full, half = (host.nlev, host.ncol), (host.nlev + 1, host.ncol)
        self._own: dict[str, Array] = {
            "ozone": np.zeros(full),
            "co2": np.zeros(full),
            "zenith": np.zeros(host.ncol),
            "hus": np.zeros(full),
        }
        gases = {
            "mole_fraction_of_methane_in_air": 1e-6 * p.methane,
            "mole_fraction_of_nitrous_oxide_in_air": 1e-6 * p.nitrous_oxide,
            "mole_fraction_of_oxygen_in_air": 0.2095,
        }
        names = {
            "mole_fraction_of_ozone_in_air": "ozone",
            "mole_fraction_of_carbon_dioxide_in_air": "co2",
            "specific_humidity": "hus",
            "zenith_angle": "zenith",
            **dict.fromkeys(_ALBEDOS, "albs"),
        }
        self._long = self._part(climt.RRTMGLongwave(), host, names, gases, "longwave")
        sun = climt.RRTMGShortwave(ignore_day_of_year=True)
        whole = {"flux_adjustment_for_earth_sun_distance": 1.0}
        self._short = self._part(sun, host, names, gases | whole, "shortwave")
        self._flux = Arrays(**{n: np.zeros(half) for n in _NAMES})

    def _part(
        self, component: Any, host: Host, names: dict[str, str], gases: dict[str, float], band: str
    ) -> SymplCall:
        constants = {**_CLEAR, **gases, "surface_longwave_emissivity": 1.0}
        call = SymplCall(component, host, constants=constants, sizes=_SIZES, names=names)
        for way in ("up", "down"):
            call.bind(f"{way}welling_{band}_flux_in_air", _NAMES[f"{band}_{way}"])
        return call

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        own, given, host = self._own, self._flux, self._host
        own["co2"][...] = x.co2 if "co2" in x else 1e-6 * self.p.co2
        ozone_fraction(x.phalf, self.p.ozone, host.planet.gravity, own["ozone"])
        np.maximum(x.hus, 0.0, out=own["hus"])
        q = self._sun.shine(x, now)
        np.arccos(np.clip(self._sun.cosine, 0.0, 1.0), out=own["zenith"])
        if not np.isfinite(own["zenith"]).all():
            raise UnstableError.of("an input that is not finite", "lat of radiation=rrtmg")
        none = Arrays()

        def source(name: str) -> Array:
            return own[name] if name in own else getattr(x, name)

        self._long(source, none, given, now)
        self._short(source, none, given, now)
        up, down = given.longwave_up, given.longwave_down
        np.subtract(up, down, out=flux.rnl, casting="same_kind")
        diag.rlut[...], diag.rlds[...], diag.rlus[...] = up[0], down[-1], up[-1]
        up, down = given.shortwave_up, given.shortwave_down
        scale = np.divide(q, down[0], out=np.zeros_like(q), where=down[0] > 1e-6)
        up *= scale
        down *= scale
        np.subtract(up, down, out=flux.rns, casting="same_kind")
        diag.rsdt[...], diag.rsut[...] = down[0], up[0]
        diag.rsds[...], diag.rsus[...] = down[-1], up[-1]


_NAMES = {
    f"{band}_{way}": Field(
        name=f"{band}_{way}",
        standard_name=None,
        long_name=f"{band.capitalize()} Flux {way.capitalize()}ward",
        units="W m-2",
        dims=INTERFACE,
    )
    for band in ("longwave", "shortwave")
    for way in ("up", "down")
}
