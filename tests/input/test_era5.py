"""The initial state: analytic columns, and the real analysis."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from coupler.input.era5 import (
    LAPSE_RATE,
    full_pressure,
    initial_state,
    interpolate,
    surface_pressure,
)
from coupler.interface.constants import Planet
from coupler.interface.errors import DataError
from coupler.interface.grid import Grid, HybridLevels

PLANET = Planet()
R, G = PLANET.gas_constant_dry, PLANET.gravity
ERA5_LEVELS = np.concatenate(
    [
        [1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0, 50.0, 70.0],
        np.arange(100.0, 250.0, 25.0),
        np.arange(250.0, 750.0, 50.0),
        np.arange(750.0, 1001.0, 25.0),
    ]
)
"""Pressure levels of the reanalysis [hPa]."""
SEA_LEVEL, T0, TROPOPAUSE = 101325.0, 288.15, 11000.0


def standard_pressure(z):
    """ICAO standard atmosphere up to 20 km, isothermal above 11 km [Pa], height in m."""
    t11 = T0 - LAPSE_RATE * TROPOPAUSE
    p11 = SEA_LEVEL * (t11 / T0) ** (G / (R * LAPSE_RATE))
    low = SEA_LEVEL * (np.maximum(T0 - LAPSE_RATE * z, t11) / T0) ** (G / (R * LAPSE_RATE))
    return np.where(z < TROPOPAUSE, low, p11 * np.exp(-G * (z - TROPOPAUSE) / (R * t11)))


def standard_height(p):
    """Inverse of `standard_pressure` [m]."""
    t11 = T0 - LAPSE_RATE * TROPOPAUSE
    p11 = standard_pressure(TROPOPAUSE)
    low = T0 / LAPSE_RATE * (1.0 - (p / SEA_LEVEL) ** (R * LAPSE_RATE / G))
    return np.where(p > p11, low, TROPOPAUSE + R * t11 / G * np.log(p11 / p))


def standard_temperature(z):
    return np.maximum(T0 - LAPSE_RATE * z, T0 - LAPSE_RATE * TROPOPAUSE)


def standard_file(path: Path, levels=ERA5_LEVELS, change=None) -> Path:
    """A file laid out like the reanalysis, with the dry standard atmosphere in every column."""
    grid = Grid.gaussian(8, 12)
    z = standard_height(levels * 100.0)
    fields = {
        "temperature": standard_temperature(z),
        "geopotential": G * z,
        "u_component_of_wind": 40.0 - 0.035 * levels,
        "v_component_of_wind": np.log(levels),
        "specific_humidity": np.full(levels.size, -1e-9),
    }
    units = ("K", "m**2 s**-2", "m s**-1", "m s**-1", "kg kg**-1")
    with netCDF4.Dataset(path, "w") as nc:
        for name, values in (("level", levels), ("longitude", grid.lon), ("latitude", grid.lat)):
            nc.createDimension(name, values.size)
            nc.createVariable(name, "f8", (name,))[:] = values
        for (name, column), unit in zip(fields.items(), units, strict=True):
            nc.createVariable(name, "f4", ("level", "longitude", "latitude"))
            nc[name][:] = np.broadcast_to(column[:, None, None], (levels.size, 12, 8))
            nc[name].units = unit
        if change is not None:
            change(nc)
    return path


@pytest.fixture
def target():
    """Grid, levels and a rough ground between -250 m and 5500 m."""
    grid = Grid.gaussian(10, 18)
    orog = np.random.default_rng(8).uniform(-250.0, 5500.0, grid.shape)
    return grid, HybridLevels.named("hybrid17"), orog


def test_surface_pressure_is_that_of_the_standard_atmosphere(tmp_path, target):
    grid, levels, orog = target
    ps = initial_state(standard_file(tmp_path / "a.nc"), grid, levels, orog)["ps"]
    error = np.abs(ps - standard_pressure(orog))
    assert error.max() < 1.0  # [Pa]; float32 geopotential alone is worth 0.03 Pa


def test_surface_pressure_needs_the_cubic_not_a_straight_line(tmp_path, target):
    _, _, orog = target
    p, ground = ERA5_LEVELS * 100.0, G * orog
    z = standard_height(p)
    shape = (p.size, *orog.shape)
    phi = np.broadcast_to((G * z)[:, None, None], shape)
    virtual = np.broadcast_to(standard_temperature(z)[:, None, None], shape)
    ps = surface_pressure(p, phi, virtual, ground, PLANET)
    assert np.abs(ps - standard_pressure(orog)).max() < 0.1
    line = np.exp(np.interp(-ground, -G * z, np.log(p)))
    inside = ps < p[-1]
    assert np.abs(line - standard_pressure(orog))[inside].max() > 5.0


def test_temperature_and_winds_at_model_levels_are_those_of_the_column(tmp_path, target):
    grid, levels, orog = target
    state = initial_state(standard_file(tmp_path / "a.nc"), grid, levels, orog)
    p = full_pressure(levels, state["ps"])
    expected = standard_temperature(standard_height(p))
    inside = p > 100.0
    # Linear in ln p between levels 1/40 to 1/3 apart in ln p: (dlnp)^2/8 (R Gamma/g)^2 T, and the
    # kink of the profile at 226 hPa between the levels 225 and 250 hPa.
    assert np.abs(state["ta"] - expected)[inside].max() < 0.6
    assert np.sqrt(np.mean((state["ta"] - expected)[inside] ** 2)) < 0.1
    below = p > 1.0e5
    assert below.any()
    assert np.abs(state["ta"] - expected)[below].max() < 1e-3
    v = np.log(np.clip(p / 100.0, 1.0, 1000.0))
    np.testing.assert_allclose(state["va"], v, atol=1e-5)  # float32 file
    assert state["ua"].max() <= 40.0 + 1e-5


def test_shapes_types_and_humidity(tmp_path, target):
    grid, levels, orog = target
    state = initial_state(standard_file(tmp_path / "a.nc"), grid, levels, orog)
    assert state.keys() == {"ua", "va", "ta", "hus", "ps"}
    for name, array in state.items():
        assert array.shape == (() if name == "ps" else (17,)) + grid.shape
        assert array.dtype == np.float64
    assert state["hus"].min() == state["hus"].max() == 0.0  # the file's is negative


def test_below_the_lowest_level_warmer_or_moister_air_weighs_less():
    p = ERA5_LEVELS * 100.0
    z = standard_height(p)
    virtual, ground = standard_temperature(z), np.array(-G * 200.0)
    dry = surface_pressure(p, G * z, virtual, ground, PLANET)
    assert dry == pytest.approx(standard_pressure(-200.0), abs=0.1)
    moist = surface_pressure(p, G * z, virtual * 1.01, ground, PLANET)
    # The layer below 1000 hPa holds g dz / (R Tv) of pressure; one per cent less of it.
    assert (dry - moist) / (dry - p[-1]) == pytest.approx(0.01, rel=0.05)


def test_full_level_pressure_is_that_of_simmons_and_burridge():
    levels = HybridLevels.sigma(4)
    full = full_pressure(levels, np.array([1.0e5]))[:, 0]
    upper, lower = 25000.0, 50000.0
    alpha = 1 - upper / (lower - upper) * np.log(lower / upper)
    assert full[0] == pytest.approx(12500.0)  # ln 2 below 25000 Pa
    assert full[1] == pytest.approx(lower * np.exp(-alpha))


def test_interpolation_is_linear_in_log_pressure_and_constant_outside():
    p = np.array([100.0, 1000.0, 10000.0])
    columns = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 9.0]])
    want = np.array([[10.0, 1000.0], [np.sqrt(1e5), 3e4]])
    np.testing.assert_allclose(interpolate(p, columns, want), [[1.0, 5.0], [2.0, 9.0]])


def test_levels_in_any_order_and_unit_give_the_same_state(tmp_path, target):
    reference = initial_state(standard_file(tmp_path / "a.nc"), *target)
    turned = initial_state(standard_file(tmp_path / "b.nc", ERA5_LEVELS[::-1]), *target)

    def in_pascal(nc):
        nc["level"][:] = ERA5_LEVELS * 100.0
        nc["level"].units = "Pa"

    pascal = initial_state(standard_file(tmp_path / "c.nc", change=in_pascal), *target)
    for name, array in reference.items():
        np.testing.assert_array_equal(turned[name], array)
        np.testing.assert_allclose(pascal[name], array, rtol=1e-12, atol=1e-12)


def test_bad_files_are_refused_in_clear_sentences(tmp_path, target):
    path = tmp_path / "a.nc"

    def rename(nc):
        nc.renameVariable("temperature", "warmth")
        nc.renameVariable("geopotential", "height")

    standard_file(path, change=rename)
    with pytest.raises(DataError) as error:
        initial_state(path, *target)
    assert len(error.value.problems) == 2
    assert "no such variable for the initial state: temperature in" in str(error.value)
    assert "expected geopotential or z or phi" in str(error.value)

    def hole(nc):
        nc["temperature"][30, 5, 2] = np.nan

    standard_file(path, change=hole)
    with pytest.raises(
        DataError, match=r"missing values \(NaN\): temperature .*level 850 hPa, lat"
    ):
        initial_state(path, *target)
    standard_file(path, change=lambda nc: nc["level"].__setitem__(slice(None), ERA5_LEVELS - 9))
    with pytest.raises(DataError, match="not pressure levels"):
        initial_state(path, *target)
    grid, levels, orog = target
    standard_file(path)
    with pytest.raises(DataError, match=r"ground above the highest level.*unit of the orography"):
        initial_state(path, grid, levels, orog * 100.0)


def test_a_ground_that_could_not_be_compared_is_said(tmp_path, target):
    grid, levels, orog = target
    path = standard_file(tmp_path / "a.nc")
    said = []
    initial_state(path, grid, levels, orog, say=said)
    (problem,) = said
    assert problem.what == "the model's ground was not compared with that of the initial state"
    assert "initial.variables.orog" in problem.remedy and "no ground" in problem.found
    said.clear()
    initial_state(path, grid, levels, np.zeros_like(orog), say=said)
    (problem,) = said
    assert problem.what == "a start from data over flat ground, not checked"
    assert "boundary.orog" in problem.remedy

    def with_ground(nc):
        nc.createVariable("orog", "f4", ("longitude", "latitude"))[:] = 200.0
        nc["orog"].units = "m"

    said.clear()
    standard_file(path, change=with_ground)
    initial_state(path, grid, levels, np.full_like(orog, 200.0), say=said)
    assert said == []  # the control: compared, and the same


def test_the_real_analysis_gives_a_plausible_atmosphere(data):
    from coupler.input.boundary import read_boundary
    from coupler.interface.fields import FIELDS

    grid, levels = Grid.gaussian(48, 96), HybridLevels.named("hybrid30")
    orography = data / "isca" / "era-spectral_T42_64x128.nc"
    orog = read_boundary(orography, "zsurf", grid, FIELDS["orog"])
    state = initial_state(data / "neuralgcm" / "era5_tl31_19590102T00.nc", grid, levels, orog)
    # Trenberth and Smith (2005, doi:10.1175/JCLI-3299.1): 985.5 hPa in the annual mean.
    assert grid.mean(state["ps"]) == pytest.approx(98550.0, abs=200.0)
    for name in ("ua", "va", "ta", "hus", "ps"):
        low, high = FIELDS[name].valid
        assert low < state[name].min() <= state[name].max() < high
    tibet = state["ps"][np.argmin(abs(grid.lat - 33)), np.argmin(abs(grid.lon - 88))]
    assert 5.5e4 < tibet < 6.5e4
    zonal = state["ua"].mean(axis=-1)
    p = full_pressure(levels, state["ps"]).mean(axis=-1)
    jet = (p > 1.5e4) & (p < 3.0e4)
    north = np.where(jet & (grid.lat > 20)[None], zonal, -99).max()
    assert 30.0 < north < 60.0  # the subtropical jet of January
    tropics = np.abs(grid.lat) < 15
    assert zonal[-1, tropics].mean() < 0.0  # trade winds
    water = (state["hus"] * np.diff(levels.half_pressure(state["ps"]), axis=0)).sum(axis=0) / G
    assert 20.0 < grid.mean(water) < 28.0  # [kg m-2], about 24 in reanalyses


def test_the_real_ground_of_the_analysis_is_met_where_levels_are_close(data):
    """Where Phi of a pressure level equals the ground, that level's pressure is the answer."""
    with netCDF4.Dataset(data / "neuralgcm" / "era5_tl31_19590102T00.nc") as nc:
        phi = np.asarray(nc["geopotential"][:], np.float64)
        virtual = np.asarray(nc["temperature"][:], np.float64)
        p = np.asarray(nc["level"][:], np.float64) * 100.0
    for k in (10, 22, 30, 35):
        found = surface_pressure(p, phi, virtual, phi[k], PLANET)
        np.testing.assert_allclose(found, p[k], rtol=1e-12)
        # Halfway in ln p the hydrostatic layer is met to well below 1 hPa.
        between = 0.5 * (phi[k] + phi[k + 1]) if k < 36 else phi[k]
        middle = surface_pressure(p, phi, virtual, between, PLANET)
        assert (middle > p[k]).all()
        assert (middle < p[k + 1]).all()
