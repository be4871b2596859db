"""The small Earth: its cases are one case in three sizes, its page comes from a run's files."""

import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import yaml
from small_earth import small_earth

from coupler import Simulation
from coupler.config import read_yaml
from coupler.driver.assemble import check

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import slab_earth_results
from made_with import made_with

ROOT = Path(__file__).resolve().parents[2]
SIZE = {"truncation", "levels", "dt", "nlat", "nlon", "interval", "days", "title", "description"}
"""What may differ: resolution in space and time, and words."""


def without_size(node: object) -> object:
    if not isinstance(node, dict):
        return node
    return {k: without_size(v) for k, v in node.items() if k not in SIZE}


def test_they_differ_in_their_size_only() -> None:
    one, *others = (read_yaml(ROOT / f"cases/slab_earth_t{n}.yaml") for n in (31, 21, 15))
    assert one["physics"]["radiation"]["mu"] == 0.7
    assert all(without_size(other) == without_size(one) for other in others)


@pytest.mark.parametrize("number", [31, 15])
def test_nothing_is_wrong_with_them(data: Path, number: int) -> None:
    path = ROOT / f"cases/slab_earth_t{number}.yaml"
    assert check(read_yaml(path), path.parent) == []


def test_the_page_is_made_from_the_files_of_a_run(tmp_path: Path) -> None:
    Simulation.from_case(small_earth(tmp_path), out=tmp_path / "run").run(quiet=True)
    slab_earth_results.page(tmp_path / "run", tmp_path / "page", 0.0)
    text = (tmp_path / "page" / "slab-earth.md").read_text()
    assert f" from day 0 on, with {made_with(tmp_path / 'run')}. Made by `python" in text
    assert "| share of sunlight that is reflected | 0." in text
    assert "| largest residual of all water in one exchange | " in text
    assert {p.name for p in (tmp_path / "page").glob("*.png")} == {
        "slab-earth-maps.png",
        "slab-earth-seasons.png",
    }
    air = slab_earth_results.Records(tmp_path / "run" / "atmosphere.nc", 0.0)
    with netCDF4.Dataset(tmp_path / "run" / "budgets.nc") as file:  # areas are those of the grid
        np.testing.assert_allclose(air.mean(air["rsdt"]), file["rsdt"][:], rtol=1e-6)
    rows = dict(slab_earth_results.budget_rows(tmp_path / "run", air, 0.0))
    with netCDF4.Dataset(tmp_path / "run" / "budgets.nc") as file:
        times = np.asarray(file["time"][:])
        into = {"rsds": 1, "rsus": -1, "rlds": 1, "rlus": -1, "hfss": -1, "hfls": -1}
        net = sum(s * np.asarray(file[n][:]).mean() for n, s in into.items())
        last = np.asarray(file["energy_residual"][:])[times > times[0] + 1e-6].mean()
    ice = slab_earth_results.Records(tmp_path / "run" / "ice.nc", 0.0)
    assert slab_earth_results.yearly(air, ice) == [], "a day is no year"
    assert rows["heat of currents, with their correction"] == "0.00 W m-2"
    assert rows["net at the surface"] == f"{net:.2f} W m-2"
    rows = dict(slab_earth_results.budget_rows(tmp_path / "run", air, float(times[0])))
    assert rows["energy that the dynamics lost"] == f"{last:.2f} W m-2"
    assert "| north, area | " in text and "| south | " in text
    rivers = slab_earth_results.Records(tmp_path / "run" / "rivers.nc", 0.0)
    stored = rivers["rivw"]
    with netCDF4.Dataset(rivers.path, "a") as file:
        file.renameVariable("rivw", "rivo")  # as runs of before called it
    np.testing.assert_array_equal(rivers.first_of(slab_earth_results.IN_RIVERS), stored)
    with pytest.raises(SystemExit, match=r"rivers\.nc: no ua; is it a run of Isthmus"):
        rivers.first_of(["ua"])
    with pytest.raises(SystemExit, match="no record after day 9"):
        slab_earth_results.page(tmp_path / "run", tmp_path / "page", 9.0)


def test_ice_extent_counts_the_sea_of_cells_that_are_covered_enough() -> None:
    cover, sea = np.array([0.0, 0.1, 0.16, 0.09, 0.0]), np.array([1.0, 1.0, 1.0, 0.5, 0.0])
    assert slab_earth_results.extent_of(cover, sea).tolist() == [0.0, 0.0, 1.0, 0.5, 0.0]


def test_a_run_of_double_precision_has_its_rows(tmp_path: Path) -> None:
    case = small_earth(tmp_path)  # in double precision
    Simulation.from_case(case, out=tmp_path / "double").run(quiet=True)
    single = tmp_path / "single"
    Simulation.from_case(
        case, set={"precision": "float32", "days": 0.25, "output.interval": 0.25}, out=single
    ).run(quiet=True)
    rows = dict(slab_earth_results.double_rows(tmp_path / "double", single))
    last = rows["last record of the same in double precision"]
    assert last.endswith(f", with {made_with(tmp_path / 'double')}")
    water = rows["residuals of water and of energy in one exchange"].split(",")[0]
    assert 0.0 < float(water) < 1e-12
    with pytest.raises(SystemExit, match="a run of float32; --double is for one of float64"):
        slab_earth_results.double_rows(single, single)
    resolved = single / "case.resolved.yaml"
    other = read_yaml(resolved) | {"seed": 7}
    other["ocean"]["parameters"].pop("dt")
    resolved.write_text(yaml.safe_dump(other))
    wrong = "seed is 0, not 7; ocean.parameters.dt is 1 h, not None"
    with pytest.raises(SystemExit, match=f"not of the same case as .*single: {wrong}$"):
        slab_earth_results.double_rows(tmp_path / "double", single)


class Years(slab_earth_results.Records):
    """Two years and a half of records, every 73 days, on two cells of either hemisphere."""

    def __init__(self, **fields: float) -> None:
        self.days = 36.5 + 73.0 * np.arange(12)
        self.lat, self.weights = np.array([-30.0, 30.0]), np.array([[0.3, 0.2], [0.25, 0.25]])
        self.fields = fields

    def __getitem__(self, name: str) -> np.ndarray:
        year = np.floor(self.days / 365.0)[:, None, None]
        return self.fields[name] * (1.0 + year) * np.array([[1.0, 1.0], [2.0, 2.0]])


def test_years_have_rows_of_their_own() -> None:
    air = Years(ts=100.0, rsdt=6.0, rsut=2.0, rlut=3.0)
    rows = slab_earth_results.yearly(air, Years(simass=917.0 / slab_earth_results.EARTH))
    assert rows == ["| 1 | 150.00 | 1.50 | 1.0 | 0.5 |", "| 2 | 300.00 | 3.00 | 2.0 | 1.0 |"]
    got = slab_earth_results.currents(Years(hfcorr=2.0, sftof=1.0))
    rise = np.repeat([1.0, 2.0, 3.0], (5, 5, 2))  # hfcorr and sftof both have it
    assert got == pytest.approx(float((2.0 * rise**2 * (0.5 + 4.0 * 0.5)).mean()))
