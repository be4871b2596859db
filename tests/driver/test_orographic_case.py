"""Orographic drag in the global model, over sub-grid mountains from a file."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from coupler import Simulation
from coupler.config import read_yaml
from coupler.driver.assemble import check
from coupler.interface.errors import ConfigError
from coupler.interface.grid import Grid

CASES = Path(__file__).resolve().parents[2] / "cases"


@pytest.fixture
def relief(tmp_path):
    """Mountains at longitudes of the eastern half only."""
    grid = Grid.regular(72, 144)
    heights = 500.0 * np.random.default_rng(3).standard_normal(grid.shape)
    heights[:, grid.lon >= 180.0] = 0.0
    path = tmp_path / "relief.nc"
    with netCDF4.Dataset(path, "w") as nc:
        for name, axis in (("lat", grid.lat), ("lon", grid.lon)):
            nc.createDimension(name, axis.size)
            nc.createVariable(name, "f8", (name,))[:] = axis
        nc.createVariable("z", "f4", ("lat", "lon"))[:] = heights
    return path


def case(relief=None, scheme="mcfarlane1987"):
    raw = {
        "title": "mountains",
        "days": 0.25,
        "precision": "float64",
        "atmosphere": {
            "scheme": "spectral",
            "truncation": 10,
            "levels": "hybrid15",
            "dt": 1800,
            "moist": False,
            "initial": "jablonowski_williamson",
        },
        "physics": {"radiation": "held_suarez", "orographic_drag": scheme},
        "output": {"interval": 0.25, "fields": "all"},
    }
    if relief is not None:
        source = {"file": str(relief), "variable": "z", "units": "m", "statistic": "deviation"}
        raw["boundary"] = {"sgh": source}
    return raw


@pytest.mark.parametrize("scheme", ["mcfarlane1987", "pierrehumbert1986"])
def test_mountains_brake_the_wind_where_they_stand(relief, tmp_path, scheme):
    run = Simulation.from_case(case(relief, scheme), out=tmp_path / "run")
    run.run(quiet=True)
    ds = run.dataset()
    stress = ds["xogwd"].values[0, -1]
    east = ds["lon"].values > 195.0
    assert not stress[:, east & (ds["lon"].values < 345.0)].any()
    west = (ds["lon"].values > 15.0) & (ds["lon"].values < 165.0)
    wind = ds["ua"].values[0, -3:].mean(axis=0)[:, west]
    strong = np.abs(wind) > 4.0
    assert strong.any()
    assert np.all(np.sign(stress[:, west][strong]) * np.sign(wind[strong]) <= 0.0)
    assert np.abs(stress).max() > 1e-2
    assert np.abs(ds["utendogw"].values).max() > 1e-6


def test_drag_without_mountains_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"nobody provides: sgh of .*boundary\.sgh"):
        Simulation.from_case(case(), out=tmp_path / "run")


def test_an_unknown_statistic_is_refused(relief, tmp_path):
    raw = case(relief)
    raw["boundary"]["sgh"]["statistic"] = "variance"
    with pytest.raises(ConfigError, match=r"boundary\.sgh\.statistic.*'mean' or 'deviation'"):
        Simulation.from_case(raw, out=tmp_path / "run")


@pytest.mark.parametrize("scheme", ["mcfarlane1987", "pierrehumbert1986"])
def test_the_earth_case_with_mountains_has_nothing_wrong(data, scheme):
    raw = read_yaml(CASES / "earth_t31_orographic.yaml")
    raw["physics"]["orographic_drag"] = scheme
    assert check(raw, CASES) == []


def test_the_orographic_case_is_the_other_one_with_mountains() -> None:
    with_, without = (read_yaml(CASES / f"earth_t31{tail}.yaml") for tail in ("_orographic", ""))
    with_["physics"].pop("orographic_drag")
    with_["boundary"].pop("sgh")
    for raw in (with_, without):
        raw.pop("title")
        raw.pop("description")
    assert with_ == without
