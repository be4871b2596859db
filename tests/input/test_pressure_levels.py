"""Analyses of any layout: names, units, level order, humidity, missing values, the ground."""

import netCDF4
import numpy as np
import pytest
from test_era5 import (
    ERA5_LEVELS,
    PLANET,
    G,
    R,
    standard_file,
    standard_height,
    standard_pressure,
    standard_temperature,
)

from coupler import Simulation
from coupler.driver.assemble import check
from coupler.input.era5 import Start, initial_state
from coupler.input.pressure_levels import built_up, read_analysis
from coupler.interface.errors import CouplerError, DataError
from coupler.interface.grid import Grid, HybridLevels

PLEV = np.array([1000.0, 925, 850, 700, 600, 500, 400, 300, 250, 200, 150, 100, 70, 50, 30, 20, 10])
"""The levels of CMIP without the highest [hPa]."""
UNITS = {"ua": "m s-1", "va": "m s-1", "ta": "K", "hus": "1", "hur": "%", "zg": "m"}


def hills(lat, lon):
    """A smooth ground [m] of up to 3000 m."""
    east, north = np.radians(lon)[None], np.radians(lat)[:, None]
    return 1500.0 * np.cos(north) ** 2 * (1.0 + np.cos(east - 1.0))


def cmip_file(path, *, without=(), masked=True, extra=None, humidity="hus"):
    """A dry standard atmosphere as CMIP stores it: N to S, -180 to 180, bottom first, in Pa."""
    lat = np.linspace(87.5, -87.5, 36)
    lon = -180.0 + 10.0 * np.arange(36)
    z = standard_height(PLEV * 100.0)
    shape = (1, PLEV.size, lat.size, lon.size)
    wind = 10.0 * np.cos(np.radians(lat))[:, None] * np.cos(np.radians(lon))[None]
    column = {"ua": 3.0 * np.log(PLEV), "va": 0.0 * z, "ta": standard_temperature(z), "zg": z}
    column[humidity] = np.full(PLEV.size, 60.0 if humidity == "hur" else 0.0)
    ps = standard_pressure(hills(lat, lon))
    with netCDF4.Dataset(path, "w") as nc:
        axes = (("plev", PLEV * 100.0, "Pa"), ("lat", lat, "degrees_north"))
        for name, values, unit in (*axes, ("lon", lon, "degrees_east"), ("time", [15.0], "days")):
            nc.createDimension(name, len(values))
            nc.createVariable(name, "f8", (name,))[:] = values
            nc[name].units = unit
        nc["plev"].standard_name = "air_pressure"
        for name, values in column.items():
            if name in without:
                continue
            full = np.broadcast_to(values[None, :, None, None], shape).copy()
            if name == "ua":
                full += wind
            hidden = (PLEV[:, None, None] * 100.0 > ps)[None] & masked
            nc.createVariable(name, "f4", ("time", "plev", "lat", "lon"), fill_value=1e20)
            nc[name][:] = np.ma.masked_array(full, mask=hidden)
            nc[name].units = UNITS[name]
        if extra is not None:
            extra(nc, lat, lon, ps)
    return path


def with_surface(nc, lat, lon, ps):
    nc.createVariable("ps", "f4", ("time", "lat", "lon"))[:] = ps / 100.0
    nc["ps"].units = "hPa"
    nc.createVariable("orog", "f4", ("lat", "lon"))[:] = hills(lat, lon)
    nc["orog"].units = "m"


@pytest.fixture
def target():
    grid = Grid.gaussian(16, 32)
    return grid, HybridLevels.named("hybrid12"), hills(grid.lat, grid.lon)


def test_a_file_of_cmip_gives_the_standard_atmosphere_over_the_ground(tmp_path, target):
    grid, levels, orog = target
    state = initial_state(cmip_file(tmp_path / "a.nc"), grid, levels, orog)
    # The layers of CMIP are 1 to 2 km: the cubic through them is good to 10 Pa below 4 km.
    assert np.abs(state["ps"] - standard_pressure(orog)).max() < 15.0
    half = levels.half_pressure(state["ps"])
    middle = 0.5 * (half[1:] + half[:-1])
    low = middle > 5.0e4
    expected = standard_temperature(standard_height(middle))
    assert np.abs(state["ta"] - expected)[low].max() < 1.0
    # Longitudes and latitudes were turned with their values.
    zonal = state["ua"][-1] - 3.0 * np.log(np.minimum(middle[-1] / 100.0, 1000.0))
    wind = 10.0 * np.cos(np.radians(grid.lat))[:, None] * np.cos(np.radians(grid.lon))[None]
    assert np.abs(zonal - wind).max() < 0.5  # bilinear between 10 degrees, and masked levels held


def test_values_missing_below_the_ground_change_little(tmp_path, target):
    masked = initial_state(cmip_file(tmp_path / "a.nc"), *target)
    whole = initial_state(cmip_file(tmp_path / "b.nc", masked=False), *target)
    np.testing.assert_allclose(masked["ps"], whole["ps"], atol=5.0)
    np.testing.assert_allclose(masked["ta"], whole["ta"], atol=0.3)


def test_without_height_the_column_is_built_from_surface_pressure_and_ground(tmp_path, target):
    path = cmip_file(tmp_path / "a.nc", without=("zg",), extra=with_surface)
    state = initial_state(path, *target)
    assert np.abs(state["ps"] - standard_pressure(target[2])).max() < 40.0
    bare = cmip_file(tmp_path / "b.nc", without=("zg",))
    with pytest.raises(DataError, match=r"no such variable .*: geopotential in .*or zg or"):
        initial_state(bare, *target)


def test_a_column_built_up_is_that_of_the_standard_atmosphere():
    p = np.geomspace(2.0e4, 1.05e5, 60)
    heights = np.array([0.0, 700.0, 2900.0])
    virtual = np.repeat(standard_temperature(standard_height(p))[:, None], 3, axis=1)
    phi = built_up(p, virtual, standard_pressure(heights), G * heights, PLANET)
    # Trapezoids of 3 % of the pressure: relative error of a layer (dT/T)^2/12.
    np.testing.assert_allclose(phi / G, np.repeat(standard_height(p)[:, None], 3, 1), atol=1.0)


def test_relative_humidity_and_grams_become_specific_humidity(tmp_path):
    path = cmip_file(tmp_path / "a.nc", humidity="hur", masked=False)
    analysis = read_analysis(path, PLANET)
    k = int(np.argmin(np.abs(analysis.p - 85000.0)))
    t = analysis.fields["ta"][k]
    vapour = 0.6 * 611.2 * np.exp(17.67 * (t - 273.15) / (t - 29.65))
    np.testing.assert_allclose(
        analysis.fields["hus"][k], 0.622 * vapour / (85000.0 - 0.378 * vapour), rtol=1e-6
    )
    assert analysis.fields["hus"].min() >= 0.0 and analysis.fields["hus"].max() < 0.02


def ncep_like(nc):
    """Humidity in g/kg on the lowest levels only, height instead of geopotential, other names."""
    for name in ("specific_humidity", "geopotential"):
        nc.renameVariable(name, f"unused_{name}")
    kept = ERA5_LEVELS[ERA5_LEVELS >= 300.0]
    nc.createDimension("lev2", kept.size)
    nc.createVariable("lev2", "f8", ("lev2",))[:] = kept[::-1]
    nc["lev2"].units = "millibars"
    nc.createVariable("SHUM", "f4", ("lev2", "longitude", "latitude"))[:] = 4.0
    nc["SHUM"].units = "g/kg"
    z = standard_height(ERA5_LEVELS * 100.0)
    nc.createVariable("Z3", "f4", ("level", "longitude", "latitude"))[:] = z[:, None, None]
    nc["Z3"].units = "meters"
    nc.renameVariable("temperature", "warmth")
    nc["warmth"].standard_name = "air_temperature"


def test_humidity_on_levels_of_its_own_and_height_are_taken(tmp_path):
    path = standard_file(tmp_path / "a.nc", change=ncep_like)
    analysis = read_analysis(path, PLANET)
    np.testing.assert_allclose(analysis.p, ERA5_LEVELS * 100.0)
    low, high = analysis.p > 3.0e4, analysis.p < 3.0e4
    np.testing.assert_allclose(analysis.fields["hus"][low], 4e-3, rtol=1e-6)
    ratio = (analysis.p[high] / 3.0e4)[:, None, None] ** 3
    np.testing.assert_allclose(analysis.fields["hus"][high], 4e-3 * ratio * np.ones((1, 8, 12)),
                               rtol=1e-6)  # fmt: skip
    z = standard_height(analysis.p)
    np.testing.assert_allclose(analysis.fields["phi"][:, 3, 4], PLANET.gravity * z, atol=30.0)


def test_names_and_units_of_the_case_have_the_last_word(tmp_path, target):
    def mislabelled(nc):
        nc["temperature"].units = "degC"  # although in kelvin, as some files have it
        nc.renameVariable("u_component_of_wind", "westerly")

    path = standard_file(tmp_path / "a.nc", change=mislabelled)
    variables = {"ua": "westerly"}
    with pytest.raises(DataError, match=r"values out of range: temperature .*initial: \{units"):
        initial_state(Start(path=path, variables=variables), *target)
    state = initial_state(Start(path=path, variables=variables, units={"ta": "K"}), *target)
    assert 180.0 < state["ta"].min() < state["ta"].max() < 320.0
    with pytest.raises(DataError) as error:
        initial_state(Start(path=path, variables={"ua": "westerli", "ub": "x"}), *target)
    assert "no such variable: westerli in" in str(error.value)
    assert "did you mean 'westerly'" in str(error.value)
    assert "unknown variable: initial.variables.ub" in str(error.value)


def test_what_is_wrong_with_a_file_is_said(tmp_path, target):
    def hole(nc, lat, lon, ps):
        nc["ta"][0, 5, 3, 4] = np.ma.masked

    path = cmip_file(tmp_path / "a.nc", extra=hole)
    with pytest.raises(DataError, match=r"missing values .*ta in .*1 missing of .* 500 hPa, lat 7"):
        initial_state(path, *target)

    def coarse(nc, lat, lon, ps):
        nc.renameVariable("ua", "old")
        nc.createDimension("latitude", 18)
        nc.createVariable("latitude", "f8", ("latitude",))[:] = np.linspace(-85, 85, 18)
        nc.createVariable("ua", "f4", ("plev", "latitude", "lon"))[:] = 0.0
        nc["ua"].units = "m s-1"

    path = cmip_file(tmp_path / "b.nc", extra=coarse)
    with pytest.raises(DataError, match=r"variables on different grids: ua .*36 values of lat"):
        initial_state(path, *target)

    def thick(nc, lat, lon, ps):
        with_surface(nc, lat, lon, ps)
        nc["ps"].units = "Pa"

    path = cmip_file(tmp_path / "c.nc", extra=thick)
    with pytest.raises(DataError, match=r"values out of range: ps .*30000 to 115000 Pa"):
        initial_state(path, *target)


def test_a_ground_of_another_planet_is_refused_unless_it_is_meant(tmp_path, target):
    grid, levels, orog = target
    path = cmip_file(tmp_path / "a.nc", extra=with_surface)
    said = []
    initial_state(path, grid, levels, orog, say=said)
    assert said == []  # interpolated to the model's grid it differs by less than 500 m
    flat = np.zeros_like(orog)
    with pytest.raises(DataError) as error:
        initial_state(path, grid, levels, flat, say=said)
    text = str(error.value)
    # 1500 cos^2(lat) (1 + cos(lon)): the mean of the square is 1500^2 (8/15) (3/2).
    rms = 1500.0 * np.sqrt(0.8)
    assert f"{rms:.0f}"[:2] in text and "m rms apart" in text
    assert "the surface pressure is moved hydrostatically" in text
    assert "initial: {ground: adjust}" in text
    state = initial_state(Start(path=path, ground="adjust"), grid, levels, flat, say=said)
    assert "at most -29" in str(said[0]) or "at most -30" in str(said[0])
    # Down to sea level the layer has 6.5 K/km, as the file has.
    assert np.abs(state["ps"] - 101325.0).max() < 150.0


def test_the_ground_is_found_from_surface_pressure_where_the_file_has_no_other(tmp_path, target):
    def only_pressure(nc, lat, lon, ps):
        with_surface(nc, lat, lon, ps)
        nc.renameVariable("orog", "something")

    path = cmip_file(tmp_path / "a.nc", extra=only_pressure, masked=False)
    ground = read_analysis(path, PLANET).ground
    lat = np.linspace(-87.5, 87.5, 36)
    expected = hills(lat, 10.0 * np.arange(36))
    assert np.abs(ground - expected).max() < 20.0  # linear in ln p between levels of CMIP


def test_check_and_run_say_that_the_ground_is_another(tmp_path, caplog):
    path = cmip_file(tmp_path / "a.nc", extra=with_surface)
    case = {
        "title": "t",
        "days": 0.1,
        "atmosphere": {"scheme": "spectral", "truncation": 10, "levels": "hybrid7", "dt": 1800},
        "initial": {"file": str(path)},
    }
    (problem,) = check(case, tmp_path)
    assert problem.what == "the model's ground is not that of the initial state"
    with pytest.raises(CouplerError, match="m rms apart"):
        Simulation.from_case(case, out=tmp_path / "run")
    meant = case | {"initial": {"file": str(path), "ground": "adjust"}}
    Simulation.from_case(meant, out=tmp_path / "run")
    assert sum("ground is not that of" in r.message for r in caplog.records) == 1


def test_a_real_climatology_of_another_centre_starts_the_model(data):
    """June means of a reanalysis: humidity in g/kg on 8 levels, heights, millibars."""
    grid, levels = Grid.gaussian(32, 64), HybridLevels.named("hybrid20")
    start = Start(path=data / "geocat" / "NCEP_06_climo.nc", ground="adjust")
    said = []
    state = initial_state(start, grid, levels, np.zeros(grid.shape), say=said)
    assert 1.0e5 < grid.mean(state["ps"]) < 1.02e5  # over a flat planet: sea level pressure
    (remark,) = said
    assert "m rms apart" in str(remark)
    assert 180.0 < state["ta"].min() < state["ta"].max() < 320.0
    water = (state["hus"] * np.diff(levels.half_pressure(state["ps"]), axis=0)).sum(axis=0) / G
    assert 20.0 < grid.mean(water) < 32.0
    assert pytest.approx(287.0, abs=0.1) == R
