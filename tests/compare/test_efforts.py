"""Efforts of correctors, and what they are of the flows and tendencies that they act on."""

import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from made_up_run import NLON, write_run
from made_up_study import FINE, STRONG, made_up_study

from coupler.compare.efforts import efforts, tendency_sizes
from coupler.compare.findings import examine


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
