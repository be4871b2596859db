"""The tools that make the pages of the aquaplanet and of carbon dioxide."""

import copy
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import COUPLED

from coupler import Simulation
from coupler.config import read_yaml
from coupler.interface.errors import DataError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import aquaplanet_results as aquaplanet
import co2_results as co2
from made_with import made_with


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "moist"
    raw = copy.deepcopy(COUPLED)
    raw["physics"]["precipitation"] = "total"
    Simulation.from_case(raw, out=out).run(quiet=True)
    return out


def test_a_page_names_the_version_and_the_commit_of_the_run(tmp_path):
    assert made_with(tmp_path) == ""
    for known, expected in (({}, ""), ({"commit": "abc"}, ", commit `abc`")):
        report = {"versions": {"isthmus": "0.0.9", **known}}
        (tmp_path / "run.json").write_text(json.dumps(report))
        assert made_with(tmp_path) == "Isthmus 0.0.9" + expected


def test_forcing_and_feedback_are_those_that_made_the_points():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(20):
        warming = 3.0 * (1.0 - np.exp(-np.arange(60) / 12.0)) + 0.1 * rng.standard_normal(60)
        net = 4.5 - 1.5 * warming + 0.3 * rng.standard_normal(60)
        fit = co2.gregory(warming, net, draws=200)
        for name, true in (("forcing", 4.5), ("feedback", 1.5), ("equilibrium", 3.0)):
            value, spread = fit[name]
            hits += abs(value - true) < 2.0 * spread
    # 60 intervals of two deviations; blocks of few points are a little too sure of themselves
    assert hits >= 46
    exact = co2.gregory(warming, 4.5 - 1.5 * warming, draws=20)
    assert exact["equilibrium"] == pytest.approx((3.0, 0.0), abs=1e-9)


def test_the_control_is_as_long_as_its_case_says():
    case = read_yaml(co2.ROOT / "cases" / f"{co2.CONTROL}.yaml")
    assert co2.DAYS[0] == case["days"] == 1080
    assert "Its second half" in case["description"]


def test_the_grey_aquaplanets_have_no_gusts_and_say_how_they_differ():
    for name in ("frierson_t21", "aquaplanet_t42"):
        case = read_yaml(co2.ROOT / "cases" / f"{name}.yaml")
        layer = case["physics"]["boundary_layer"]
        assert layer["gust_factor"] == 0.0
        assert layer["gustiness"] == "0.01 m/s"
        for words in ("stability functions", "depth of the boundary layer", "shear"):
            assert words in case["description"]


def test_amplification_compares_caps_with_the_tropics():
    lat = np.linspace(-87.0, 87.0, 30)
    assert co2.amplification(lat, np.full(30, 2.0)) == pytest.approx(1.0)
    assert co2.amplification(lat, np.where(np.abs(lat) > 45.0, 3.0, 2.0)) == pytest.approx(1.5)


def test_the_page_of_carbon_dioxide_is_made_from_four_runs(folder, tmp_path):
    base = co2.read(folder)
    assert base.zonal.shape == (base.days.size, base.lat.size)
    warm = np.linspace(0.5, 2.0, base.days.size)
    base = replace(base, warmth=np.full(base.days.size, 288.0), net=0.0 * warm)
    runs = {co2.CONTROL: base}
    for name, factor in ((co2.DOUBLED, 1.0), (co2.FOURFOLD, 2.0), (co2.RAMP, 0.3)):
        runs[name] = replace(
            base,
            warmth=288.0 + factor * warm,
            net=factor * (4.0 - 1.6 * warm),
            zonal=base.zonal + factor * warm[:, None],
        )
    runs[co2.RAMP] = replace(runs[co2.RAMP], made="Isthmus 9.9, commit `abc`")
    text = co2.page(runs, tmp_path / "page" / "co2.md", "the command")
    assert f"`the command` with {made_with(folder)} and Isthmus 9.9, commit `abc`,\nfrom" in text
    assert "4.00 ± 0.00 | 1.60 ± 0.00 | 2.50 ± 0.00" in text and "forces 2.00 times" in text
    assert "The ramp of 1 % a year" in text
    assert (tmp_path / "page" / "co2.png").stat().st_size > 5_000
    with pytest.raises(DataError, match="no such file"):
        co2.read(tmp_path)


def test_a_cell_turns_and_energy_goes_where_it_is_missing():
    edge, _ = np.polynomial.legendre.leggauss(24)
    lat = np.degrees(np.arcsin(edge))
    x = {"lat": lat, "a": np.zeros(4), "b": np.array([0.0, 0.3, 0.8, 1.0])}
    x["ps"] = np.full(24, 1e5)
    x["va"] = np.array([2.0, 0.0, -3.0])[:, None] * np.ones(24)  # 2 x 0.3 = 3 x 0.2
    psi = aquaplanet.streamfunction(x)
    arm = 2.0 * np.pi * aquaplanet.PLANET.radius * np.cos(np.radians(lat))
    np.testing.assert_allclose(psi[2], arm * 6e4 / aquaplanet.PLANET.gravity, rtol=1e-12)
    np.testing.assert_allclose(psi[3], 0.0, atol=1e-3)
    x |= dict.fromkeys(aquaplanet._FLUXES, np.zeros(24))
    x["rsdt"] = 100.0 * (1.0 / 3.0 - edge**2)  # no global mean
    edges, carried = aquaplanet.transport(x)
    sine = np.sin(np.radians(edges))
    expected = 2.0 * np.pi * aquaplanet.PLANET.radius**2 * 100.0 / 3.0 * (sine - sine**3)
    np.testing.assert_allclose(carried, expected, atol=0.02 * expected.max())
    assert carried[-1] == pytest.approx(0.0, abs=1e-6 * carried.max())


def test_convection_is_judged_by_what_the_paper_says_of_it():
    coarse = aquaplanet.Pair("T21", cells=(90.0, 60.0), rain=(8.6, 8.4), on_grid=(0.0, 100.0))
    fine = aquaplanet.Pair("T42", cells=(100.0, 150.0), rain=(9.0, 18.0), on_grid=(20.0, 100.0))
    assert dict(aquaplanet.statements([coarse])) == {
        "Hadley cells carry significantly less": "T21: **no**",
        "equatorial rain is significantly less": "T21: **no**",
        "little rain condenses on the grid": "T21: yes",
    }
    both = dict(aquaplanet.statements([coarse, fine]))
    assert both["Hadley cells carry significantly less"] == "T21: **no**, T42: yes"
    assert both["little rain condenses on the grid"] == "T21: yes, T42: **no**"
    cells, rain = both["the tropics depend less on the grid"].split("; ")
    assert cells == "cells: yes, by a factor of 1.11, without 2.50"
    assert rain == "rain: yes, by a factor of 1.05, without 2.14"
    text = "\n".join(aquaplanet.convection([coarse, fine]))
    assert "| | T21 with | T21 without | T42 with | T42 without |" in text
    assert "| Hadley cells [1e9 kg s-1] | 90 | 60 | 100 | 150 |" in text


def test_a_pair_is_read_from_two_runs_of_one_grid(folder, tmp_path):
    found = aquaplanet.pair(folder, folder, 0.25)
    x = aquaplanet.read(folder, 0.25)
    south, north = aquaplanet.hadley(x)
    assert found.cells == (found.cells[1],) * 2 and north > 0.0 > south
    assert found.cells[0] == pytest.approx(0.5 * (north - south))
    assert found.rain[0] == pytest.approx(86400.0 * x["pr"].max())
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    case = (other / "case.resolved.yaml").read_text()
    (other / "case.resolved.yaml").write_text(case.replace(found.truncation, "T85"))
    with pytest.raises(DataError, match=f"unlike grids.*expected {found.truncation}.*found T85"):
        aquaplanet.pair(folder, other, 0.25)


def test_the_page_of_the_aquaplanet_says_what_does_not_hold(folder, tmp_path):
    out = tmp_path / "page" / "aquaplanet.md"
    status = aquaplanet.main([str(folder), "--skip-days", "0.25", "--out", str(out)])
    text = out.read_text()
    assert status == 1 and "**no**" in text, "half a day is no climate"
    assert "| climate | ours (south, north) | expected |" in text
    assert f"--skip-days 0.25 --out {out}` from a run with {made_with(folder)}.\n" in text
    assert text.startswith("# The grey aquaplanet of Frierson et al. (2006) at T")
    assert "no numbers of the paper" in text and "stability functions" in text
    assert "Hadley cells" in text and "--skip-days 0.25" in text
    for name in ("sections", "profiles"):
        assert (out.parent / f"aquaplanet-{name}.png").stat().st_size > 5_000
    assert "What convection does" not in text
    pair = ["--pair", str(folder), str(folder), "0.25"]
    aquaplanet.main([str(folder), "--skip-days", "0.25", *pair, "--out", str(out)])
    text = out.read_text()
    assert " ".join(pair) in text and "significantly less | T" in text
    with pytest.raises(DataError, match="nothing left of a run"):
        aquaplanet.read(folder, 50.0)
    with pytest.raises(DataError, match="no such file"):
        aquaplanet.read(tmp_path, 0.0)
