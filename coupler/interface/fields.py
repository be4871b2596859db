"""The one table of fields: name, CF standard name, units, dimensions, sign and plausible range.

Names are CMIP6 short names where CMIP has one. Every quantity that crosses between components or
reaches a file stands here once; a scheme may add diagnostics of its own by declaring them with a
unit and a long name. Tracers are the open end of the table: `tracer` adds one by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from coupler.interface.errors import ConfigError

LEVEL = ("level", "column")
INTERFACE = ("interface", "column")
COLUMN = ("column",)
DIMS = (LEVEL, INTERFACE, COLUMN)


@dataclass(frozen=True, kw_only=True)
class Field:
    """What a name means."""

    name: str
    """CMIP6 short name, or ours where CMIP has none."""
    standard_name: str | None
    """CF standard name, None where CF has none."""
    long_name: str
    units: str
    dims: tuple[str, ...] = LEVEL
    positive: str | None = None
    """``up`` or ``down`` for a vertical flux."""
    valid: tuple[float, float] | None = None
    """Range outside of which a value is an error of the model, in `units`."""
    part: str | None = None
    """Name of the field of area fractions of the part of a cell that it belongs to, see `AREAS`;
    None: all of it. Means over cells, and over time where it changes, are weighted with it."""
    carries: str | None = None
    """``water`` or ``energy`` for a flux that moves it between models: from the one that provides
    it to the one that receives it, or `positive`."""


def _f(
    name: str,
    standard_name: str | None,
    units: str,
    long_name: str,
    dims: tuple[str, ...] = COLUMN,
    positive: str | None = None,
    valid: tuple[float, float] | None = None,
    *,
    part: str | None = None,
    carries: str | None = None,
) -> Field:
    return Field(
        name=name,
        standard_name=standard_name,
        long_name=long_name,
        units=units,
        dims=dims,
        positive=positive,
        valid=valid,
        part=part,
        carries=carries,
    )


TILES = ("ocean", "ice", "land", "snow")
"""Types of surface that share a cell; snow is the part of the land that it covers."""
_TILE_PART = {"ocean": "sftof", "ice": "sft_ice", "land": "sft_land", "snow": "sft_snow"}
CHANGING = ("sft_ocean", "sft_ice", "sft_land", "sft_snow")
"""Fractions that change in time: means over time of fields of such a part are weighted with it."""
AREAS = {
    "sftof": "sea",
    "sftlf": "land",
    "sft_ocean": "ice_free_sea",
    "sft_ice": "sea_ice",
    "sft_land": "land (without snow)",
    "sft_snow": "snow (on land)",
}
"""CF area type of each part of a cell, by the name of the field of its fractions."""


def _of_tile(tile: str) -> tuple[Field, ...]:
    """What the air meets on one type of surface, and what it gives to it, per area of it."""
    on, part, unit = tile.capitalize(), _TILE_PART[tile], "W m-2"
    meets = "sft_ocean" if tile == "ocean" else part  # the sea below ice meets no air
    return (
        _f(f"ts_{tile}", None, "K", f"Temperature of {on}", valid=(150.0, 380.0), part=part),
        _f(f"albs_{tile}", None, "1", f"Albedo of {on}", part=part),
        _f(f"wetness_{tile}", None, "1", f"Share of Potential Evaporation from {on}", part=part),
        _f(
            f"hfds_{tile}",
            None,
            unit,
            f"Net Downward Heat Flux into {on}",
            positive="down",
            part=meets,
            carries="energy",
        ),
        _f(
            f"evspsbl_{tile}",
            None,
            "kg m-2 s-1",
            f"Evaporation from {on}",
            positive="up",
            part=meets,
            carries="water",
        ),
        _f(f"hfss_{tile}", None, unit, f"Sensible Heat Flux from {on}", positive="up", part=meets),
        _f(f"tauu_{tile}", None, "Pa", f"Eastward Stress on {on}", positive="down", part=meets),
        _f(f"tauv_{tile}", None, "Pa", f"Northward Stress on {on}", positive="down", part=meets),
    )


_TABLE = (
    # state on full levels
    _f("ua", "eastward_wind", "m s-1", "Eastward Wind", LEVEL, valid=(-350.0, 350.0)),
    _f("va", "northward_wind", "m s-1", "Northward Wind", LEVEL, valid=(-350.0, 350.0)),
    _f("ta", "air_temperature", "K", "Air Temperature", LEVEL, valid=(80.0, 400.0)),
    _f("hus", "specific_humidity", "1", "Specific Humidity", LEVEL, valid=(-0.01, 0.1)),
    _f("wap", "lagrangian_tendency_of_air_pressure", "Pa s-1", "Omega (=dp/dt)", LEVEL),
    _f("rv", "atmosphere_upward_relative_vorticity", "s-1", "Relative Vorticity", LEVEL),
    _f("zg", "geopotential_height", "m", "Geopotential Height", LEVEL),
    _f("pfull", "air_pressure", "Pa", "Pressure on Model Levels", LEVEL),
    _f("phalf", "air_pressure", "Pa", "Pressure on Model Half-Levels", INTERFACE),
    _f("zghalf", "geopotential_height", "m", "Geopotential Height on Half-Levels", INTERFACE),
    _f("hur", "relative_humidity", "%", "Relative Humidity", LEVEL),
    # small members of the hierarchy
    _f(
        "qgpv",
        None,
        "s-1",
        "Quasi-geostrophic Potential Vorticity Less That of the Mean State",
        LEVEL,
        valid=(-1e-2, 1e-2),
    ),
    _f("psi", None, "m2 s-1", "Streamfunction Less That of the Mean State", LEVEL),
    _f("thkcello", "cell_thickness", "m", "Thickness of the Layer", LEVEL),
    _f("x_slow", None, "1", "Slow Variable of Lorenz (1996)", LEVEL, valid=(-200.0, 200.0)),
    _f("x_push", None, "s-1", "Tendency of x_slow by What Is Not Resolved, Last Step", LEVEL),
    _f(
        "co2",
        "mole_fraction_of_carbon_dioxide_in_air",
        "1",
        "Mole Fraction of Carbon Dioxide",
        valid=(2.5e-6, 0.1),
    ),
    # surface of the atmosphere
    _f("ps", "surface_air_pressure", "Pa", "Surface Air Pressure", valid=(3.0e4, 1.2e5)),
    _f("psl", "air_pressure_at_mean_sea_level", "Pa", "Sea Level Pressure"),
    _f("orog", "surface_altitude", "m", "Surface Altitude"),
    _f("sgh", None, "m", "Standard Deviation of Orography inside a Grid Cell", valid=(0.0, 5.0e3)),
    _f("sftlf", "land_area_fraction", "1", "Land Area Fraction", valid=(-1e-6, 1.0 + 1e-6)),
    _f("lat", "latitude", "degrees_north", "Latitude"),
    _f("lon", "longitude", "degrees_east", "Longitude"),
    _f("ts", "surface_temperature", "K", "Surface Temperature", valid=(150.0, 380.0)),
    _f("tos", "sea_surface_temperature", "K", "Sea Surface Temperature", valid=(150.0, 380.0)),
    _f("albs", "surface_albedo", "1", "Surface Albedo", valid=(0.0, 1.0)),
    _f("wetness", None, "1", "Share of Potential Evaporation that the Surface Delivers"),
    _f("tas", "air_temperature", "K", "Air Temperature of the Lowest Layer"),
    _f("uas", "eastward_wind", "m s-1", "Eastward Wind of the Lowest Layer"),
    _f("vas", "northward_wind", "m s-1", "Northward Wind of the Lowest Layer"),
    _f("prw", "atmosphere_mass_content_of_water_vapor", "kg m-2", "Water Vapor Path"),
    # fluxes at the surface and at the top
    _f("rsdt", "toa_incoming_shortwave_flux", "W m-2", "TOA Incident Shortwave", positive="down"),
    _f("rsut", "toa_outgoing_shortwave_flux", "W m-2", "TOA Outgoing Shortwave", positive="up"),
    _f("rlut", "toa_outgoing_longwave_flux", "W m-2", "TOA Outgoing Longwave", positive="up"),
    _f(
        "rsds",
        "surface_downwelling_shortwave_flux_in_air",
        "W m-2",
        "Surface Downwelling Shortwave",
        positive="down",
    ),
    _f(
        "rsus",
        "surface_upwelling_shortwave_flux_in_air",
        "W m-2",
        "Surface Upwelling Shortwave",
        positive="up",
    ),
    _f(
        "rlds",
        "surface_downwelling_longwave_flux_in_air",
        "W m-2",
        "Surface Downwelling Longwave",
        positive="down",
    ),
    _f(
        "rlus",
        "surface_upwelling_longwave_flux_in_air",
        "W m-2",
        "Surface Upwelling Longwave",
        positive="up",
    ),
    _f(
        "hfls",
        "surface_upward_latent_heat_flux",
        "W m-2",
        "Surface Upward Latent Heat Flux",
        positive="up",
    ),
    _f(
        "hfss",
        "surface_upward_sensible_heat_flux",
        "W m-2",
        "Surface Upward Sensible Heat Flux",
        positive="up",
    ),
    _f(
        "hfds",
        "surface_downward_heat_flux_in_air",
        "W m-2",
        "Downward Heat Flux into the Surface",
        positive="down",
    ),
    _f(
        "tauu",
        "surface_downward_eastward_stress",
        "Pa",
        "Surface Downward Eastward Wind Stress",
        positive="down",
    ),
    _f(
        "tauv",
        "surface_downward_northward_stress",
        "Pa",
        "Surface Downward Northward Wind Stress",
        positive="down",
    ),
    _f("evspsbl", "water_evapotranspiration_flux", "kg m-2 s-1", "Evaporation", positive="up"),
    _f("pr", "precipitation_flux", "kg m-2 s-1", "Precipitation", carries="water"),
    _f("prc", "convective_precipitation_flux", "kg m-2 s-1", "Convective Precipitation"),
    _f("prl", "stratiform_precipitation_flux", "kg m-2 s-1", "Large-scale Precipitation"),
    # types of surface that share a cell
    _f("sftof", "sea_area_fraction", "1", "Sea Area Fraction", valid=(-1e-6, 1.0 + 1e-6)),
    _f("sft_ocean", None, "1", "Area Fraction of Open Water"),
    _f("sft_ice", "sea_ice_area_fraction", "1", "Area Fraction of Sea Ice"),
    _f("sft_land", None, "1", "Area Fraction of Land without Snow"),
    _f("sft_snow", None, "1", "Area Fraction of Land under Snow"),
    *(field for tile in TILES for field in _of_tile(tile)),
    # what models beside the atmosphere keep, and give to each other per area of the whole cell;
    # what they keep in a part of a cell is per area of it
    _f(
        "mlotst",
        "ocean_mixed_layer_thickness",
        "m",
        "Depth of the Mixed Layer",
        part="sftof",
    ),
    _f("qflux", None, "W m-2", "Convergence of Ocean Heat Transport", positive="down"),
    _f(
        "hfcorr",
        None,
        "W m-2",
        "Heat that Currents Bring to the Sea",
        positive="down",
        part="sftof",
    ),
    _f("siconc", None, "1", "Share of the Sea under Ice", part="sftof"),
    _f(
        "sithick",
        "sea_ice_thickness",
        "m",
        "Mean Thickness of Ice where there is Ice",
        part="sft_ice",
    ),
    _f("simass", "sea_ice_amount", "kg m-2", "Sea Ice per Area of the Cell"),
    _f("sisnmass", None, "kg m-2", "Snow on Sea Ice per Area of the Cell"),
    _f(
        "mrso",
        "mass_content_of_water_in_soil",
        "kg m-2",
        "Water in the Soil, per Area of Land",
        part="sftlf",
    ),
    _f("snw", "surface_snow_amount", "kg m-2", "Snow, per Area of Land", part="sftlf"),
    # CMIP6 has the change of it only, drivw; its rivo is what flows
    _f("rivw", None, "kg m-2", "Water in Rivers per Area of the Cell"),
    _f("mrro", "runoff_flux", "kg m-2 s-1", "Runoff per Area of the Cell", carries="water"),
    _f("friver", None, "kg m-2 s-1", "River Water into the Sea per Area of Cell", carries="water"),
    _f("hfsi", None, "W m-2", "Heat from the Sea into Ice per Area of Cell", carries="energy"),
    _f("hfsio", None, "W m-2", "Heat from Ice into the Sea per Area of Cell", carries="energy"),
    _f("fsitherm", None, "kg m-2 s-1", "Water from Ice to the Sea per Area", carries="water"),
    # interface fluxes that schemes return; positive upward
    _f(
        "xgwdparam",
        "atmosphere_eastward_stress_due_to_gravity_wave_drag",
        "Pa",
        "Eastward Gravity-wave Momentum Flux",
        INTERFACE,
        positive="up",
    ),
    _f(
        "ygwdparam",
        "atmosphere_northward_stress_due_to_gravity_wave_drag",
        "Pa",
        "Northward Gravity-wave Momentum Flux",
        INTERFACE,
        positive="up",
    ),
    _f(
        "xogwd",
        "atmosphere_eastward_stress_due_to_gravity_wave_drag",
        "Pa",
        "Eastward Orographic Gravity-wave Momentum Flux",
        INTERFACE,
        positive="up",
    ),
    _f(
        "yogwd",
        "atmosphere_northward_stress_due_to_gravity_wave_drag",
        "Pa",
        "Northward Orographic Gravity-wave Momentum Flux",
        INTERFACE,
        positive="up",
    ),
    _f(
        "rnl",
        "net_upward_longwave_flux_in_air",
        "W m-2",
        "Net Upward Longwave Flux",
        INTERFACE,
        positive="up",
    ),
    _f(
        "rns",
        "net_upward_shortwave_flux_in_air",
        "W m-2",
        "Net Upward Shortwave Flux",
        INTERFACE,
        positive="up",
    ),
)
FIELDS: dict[str, Field] = {f.name: f for f in _TABLE}

STATE = ("ua", "va", "ta", "hus")
"""What a parameterization can have a tendency of, besides tracers."""
SMALL_STATE = ("qgpv", "x_slow")
"""The same of the small members of the hierarchy: vorticity of layers on a plane, numbers on a
ring."""
TRACERS: dict[str, Field] = {}
"""Mixing ratios that an atmosphere may carry, by name, see `tracer`."""


def tracer(
    name: str, long_name: str | None = None, valid: tuple[float, float] | None = None
) -> Field:
    """Adds a tracer to the table, or finds it there.

    A scheme that reads or changes one calls this when it is imported; an atmosphere carries those
    that its case names.

    Args:
        name: lower-case letters, digits and underscores.
        long_name: for the output; default from the name.
        valid: range outside of which a value is an error of the model [kg kg-1].

    Raises:
        ConfigError: for an impossible name, or one that means something else.
    """
    if name in TRACERS:
        return TRACERS[name]
    if name in FIELDS or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigError.of(
            "no name for a tracer",
            name,
            expected="lower-case letters, digits and underscores, a name that is not taken",
            found="a field of the model" if name in FIELDS else repr(name),
        )
    text = long_name or f"Mass Fraction of {name} in Air"
    found = Field(name=name, standard_name=None, long_name=text, units="1", valid=valid)
    TRACERS[name] = FIELDS[name] = found
    return found


TENDENCY_UNITS = {
    "ua": "m s-2",
    "va": "m s-2",
    "ta": "K s-1",
    "hus": "s-1",
    "qgpv": "s-2",
    "x_slow": "s-1",
}

_TENDENCY_NAMES = {
    ("gravity_wave", "ua"): (
        "utendnogw",
        "tendency_of_eastward_wind_due_to_nonorographic_gravity_wave_drag",
    ),
    ("gravity_wave", "va"): (
        "vtendnogw",
        "tendency_of_northward_wind_due_to_nonorographic_gravity_wave_drag",
    ),
    ("gravity_wave", "ta"): (
        "tntnogw",
        "tendency_of_air_temperature_due_to_dissipation_of_nonorographic_gravity_waves",
    ),
    ("orographic_drag", "ua"): (
        "utendogw",
        "tendency_of_eastward_wind_due_to_orographic_gravity_wave_drag",
    ),
    ("orographic_drag", "va"): (
        "vtendogw",
        "tendency_of_northward_wind_due_to_orographic_gravity_wave_drag",
    ),
    ("orographic_drag", "ta"): (
        "tntogw",
        "tendency_of_air_temperature_due_to_dissipation_of_orographic_gravity_waves",
    ),
    ("radiation", "ta"): ("tntr", "tendency_of_air_temperature_due_to_radiative_heating"),
    ("convection", "ta"): ("tntc", "tendency_of_air_temperature_due_to_convection"),
    ("convection", "hus"): ("tnhusc", "tendency_of_specific_humidity_due_to_convection"),
    ("condensation", "ta"): (
        "tntscp",
        "tendency_of_air_temperature_due_to_stratiform_cloud_and_precipitation",
    ),
    ("condensation", "hus"): (
        "tnhusscp",
        "tendency_of_specific_humidity_due_to_stratiform_cloud_and_precipitation",
    ),
    ("boundary_layer", "ta"): (
        "tntpbl",
        "tendency_of_air_temperature_due_to_boundary_layer_mixing",
    ),
    ("boundary_layer", "hus"): (
        "tnhuspbl",
        "tendency_of_specific_humidity_due_to_boundary_layer_mixing",
    ),
}


def tendency_field(process: str, of: str) -> Field:
    """The field of the tendency of state variable `of` due to `process`."""
    short = {"ua": "utend", "va": "vtend", "ta": "tnt", "hus": "tnhus"}.get(of, f"tn_{of}")
    name, standard_name = _TENDENCY_NAMES.get((process, of), (f"{short}_{process}", None))
    of_name = FIELDS[of].long_name
    return Field(
        name=name,
        standard_name=standard_name,
        long_name=f"Tendency of {of_name} due to {process.replace('_', ' ')}",
        units=TENDENCY_UNITS.get(of, "s-1"),
        dims=LEVEL,
    )
