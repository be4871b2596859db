"""Efforts of correctors beside the flows and tendencies that they act on; residuals of schemes."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from made_up_run import NLON, write_run
from made_up_study import FINE, STRONG, made_up_study

from coupler.compare.candidates import REFERENCE
from coupler.compare.efforts import efforts, tendency_sizes
from coupler.compare.findings import examine
from coupler.compare.pages import page


def test_efforts_of_correctors_are_given_with_their_share(tmp_path: Path) -> None:
    plan, runs = made_up_study(tmp_path, members=2)
    one = {"corrector_energy": (2.0, "W m-2"), "corrector_moisture": (-1e-6, "kg m-2 s-1"),
           "corrector_dry_air": (0.25, "Pa")}  # fmt: skip
    for run in [r for r in runs if r.job.candidate == FINE]:
        with xr.open_dataset(run.folder / "budgets.nc") as file:
            data = file.load()
        for name, (value, units) in one.items():
            data[name] = ("time", np.full(data.sizes["time"], value), {"units": units})
        data.to_netcdf(run.folder / "budgets.nc")
    got = examine(plan, runs)
    told = got.conservation[FINE]
    assert told["corrector energy"] == (2.0, "W m-2")
    assert told["corrector dry air"] == (0.25, "Pa")
    vectors = got.ensembles[FINE].vectors
    for name, flow, effort in (("energy", "outgoing longwave", 2.0),
                               ("moisture", "precipitation", -1e-6 * 86400.0)):  # fmt: skip
        flows = [float(v[f"mean {flow}"].values[0]) for v in vectors.values()]
        share, units = told[f"corrector {name}, share of {flow}"]
        assert share == pytest.approx(np.mean([effort / x for x in flows]))
        assert units == "1"
    assert not [label for label in got.conservation[STRONG] if "corrector" in label]


def test_efforts_of_correctors_are_held_against_the_size_of_the_tendencies(tmp_path: Path) -> None:
    def heating(
        data: xr.Dataset,
    ) -> xr.Dataset:  # 2 K a day in one half of the globe, -2 in the other
        sign = np.sign(data["utendnogw"].values * 0.0 + np.where(np.arange(NLON) < 5, 1.0, -1.0))
        return data.assign(tntr=(data["utendnogw"].dims, sign * 2.0 / 86400.0))

    case = {"physics": {"radiation": {"scheme": "grey"}}}
    run = write_run(tmp_path / "run", records=4, edit=heating, settings=case)
    with xr.open_dataset(run / "budgets.nc") as file:
        data = file.load()
    data["corrector_energy"] = ("time", np.array([1.0, -1.0, 3.0, -1.0]), {"units": "W m-2"})
    data["corrector_dry_air"] = ("time", np.full(4, 0.25), {"units": "Pa"})
    data.to_netcdf(run / "budgets.nc")
    told = {"corrector_dry_air": 0.25, "corrector_energy": 0.5,
            "corrector_dry_air_largest": 0.5, "corrector_energy_largest": 8.0}  # fmt: skip
    got = efforts(run, {"budgets": told}, {})
    # 2 K/day x 1004 J/kg/K x 9.92e4 Pa (below the top, mean of the globe)/9.81 = 235 W m-2.
    size = tendency_sizes(run)["ta"]
    assert size == pytest.approx(235.0, rel=0.02)
    assert got["corrector energy"] == (0.5, "W m-2")
    rms, units = got["corrector energy, rms, share of the tendency"]
    assert (rms, units) == (pytest.approx(math.sqrt(3.0) / size), "1")
    assert got["corrector energy, largest in a step"] == (8.0, "W m-2")
    assert got["corrector energy, largest in a step, share of the tendency"][0] == 8.0 / size
    assert got["corrector dry air, largest in a step"] == (0.5, "Pa")
    assert not [n for n in got if "dry air" in n and "share" in n]  # a pressure is no tendency
    # Runs of before there was one say nothing of the largest.
    other = efforts(run, {"budgets": {"corrector_energy": 0.5}}, {})
    assert not [n for n in other if "largest" in n]


def test_the_scheme_with_the_largest_residual_is_named_for_each_ensemble(tmp_path: Path) -> None:
    plan, runs = made_up_study(tmp_path, members=2)
    told = {
        (REFERENCE, 1): {"energy": {"radiation=grey": 2e-5, "sponge=rayleigh": 1e-9}},
        (REFERENCE, 2): {"energy": {"radiation=grey": 1e-5}, "water": {"convection=bm": 3e-12}},
        (FINE, 2): {"energy": {"radiation=grey": 1e-5, "gravity_wave=fine": 0.25}},
    }
    runs = [
        replace(r, record={**r.record, "residuals_of_schemes": told[key]})
        if (key := (r.job.candidate, r.job.member)) in told else r
        for r in runs
    ]  # fmt: skip
    got = examine(plan, runs)
    largest = {
        name: {q: (r.scheme, r.value, r.units) for q, r in of.items()}
        for name, of in got.residuals_of_schemes.items()
    }
    assert largest == {
        REFERENCE: {
            "water": ("convection=bm", 3e-12, "kg m-2 s-1"),
            "energy": ("radiation=grey", 2e-5, "W m-2"),
        },
        FINE: {"energy": ("gravity_wave=fine", 0.25, "W m-2")},
        STRONG: {},
    }
    row = page(got).partition("largest residual of a scheme, energy")[2].partition("</tr>")[0]
    cells = [x.partition("</td>")[0] for x in row.split('<td class="n">')[1:]]
    assert cells == ["2.00e−05 W m-2<br>radiation=grey", "0.2500 W m-2<br>gravity_wave=fine", "–"]
    got.residuals_of_schemes = {name: {} for name in got.ensembles}  # runs that did not look
    assert "esidual of a scheme" not in page(got)
