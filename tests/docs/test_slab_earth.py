"""The small Earth: its cases are one case in three sizes, its page comes from a run's files."""

import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from small_earth import small_earth

from coupler import Simulation
from coupler.config import read_yaml
from coupler.driver.assemble import check

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import slab_earth_results

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
    (line,) = slab_earth_results.yearly(air, ice)
    year, ts, *_, north, south = (float(cell) for cell in line.strip("| ").split("|"))
    volume = ice.mean(ice["simass"]).mean() * slab_earth_results.EARTH / 917.0
    assert (year, ts) == (1.0, pytest.approx(float(air.mean(air["ts"]).mean()), abs=0.006))
    assert north + south == pytest.approx(float(volume), abs=0.11)
    assert rows["heat of currents"] == "0.00 W m-2"
    assert rows["net at the surface"] == f"{net:.2f} W m-2"
    rows = dict(slab_earth_results.budget_rows(tmp_path / "run", air, float(times[0])))
    assert rows["energy that the dynamics lost"] == f"{last:.2f} W m-2"
    with pytest.raises(SystemExit, match="no record after day 9"):
        slab_earth_results.page(tmp_path / "run", tmp_path / "page", 9.0)


def test_a_run_of_double_precision_has_its_rows(tmp_path: Path) -> None:
    case = small_earth(tmp_path)  # in double precision
    Simulation.from_case(case, out=tmp_path / "double").run(quiet=True)
    rows = dict(slab_earth_results.double_rows(tmp_path / "double"))
    water = rows["residuals of water and of energy in one exchange"].split(",")[0]
    assert 0.0 < float(water) < 1e-12
    Simulation.from_case(case, set={"precision": "float32"}, out=tmp_path / "single").run(
        quiet=True
    )
    with pytest.raises(SystemExit, match="a run of float32; --double is for one of float64"):
        slab_earth_results.double_rows(tmp_path / "single")
