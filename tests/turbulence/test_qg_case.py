"""Two-layer turbulence through the driver: cases, swaps, restarts, files, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from coupler import Simulation
from coupler.interface.errors import ConfigError, CouplerError
from physics.dynamics.qg_core import EDDY, QGCore, noise
from physics.dynamics.qg_model import TwoLayerQG

CASES = Path(__file__).resolve().parents[2] / "cases"
SMALL = {"atmosphere.nx": 16, "atmosphere.members": 3, "days": 1, "output.interval": 0.25}


def run(case: str, out: Path, **more: Any) -> Simulation:
    changes = SMALL | more.pop("set", {})
    simulation = Simulation.from_case(CASES / f"{case}.yaml", out=out, set=changes, **more)
    return simulation.run(quiet=True)


@pytest.mark.parametrize("case", ["qg_eddy", "qg_jet"])
@pytest.mark.parametrize("closure", ["smagorinsky", "backscatter_biharmonic", "symbolic"])
def test_every_closure_acts_in_every_regime(case: str, closure: str, tmp_path: Path) -> None:
    data = run(case, tmp_path / "run", swap={"subgrid": closure}).dataset()
    rate = data["tn_qgpv_subgrid"]
    assert rate.dims == ("time", "lev", "row", "x")
    assert rate.attrs["units"] == "s-2"
    assert float(np.abs(rate).max()) > 0.0
    assert data["member"].values.tolist() == [0] * 16 + [1] * 16 + [2] * 16


def test_the_driver_steps_as_the_core_does(tmp_path: Path) -> None:
    settings = {"subgrid.mode": "off", "precision": "float64", "seed": 4}
    simulation = run("qg_eddy", tmp_path / "run", set=settings)
    core = QGCore(EDDY.at(16))
    state = core.begin(torch.tensor(noise(core.config, 3, 4)))
    for _ in range(24):
        state = core.step(state)
    found = simulation.model.atmosphere.columns()["qgpv"].reshape(2, 3, 16, 16)
    # The same operations in another order of sums.
    expected = core.to_grid(state.qh).numpy()
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-13 * np.abs(expected).max())


def test_a_push_on_the_wind_is_its_curl(tmp_path: Path) -> None:
    model = run("qg_eddy", tmp_path / "run", set={"precision": "float64"}).model.atmosphere
    assert isinstance(model, TwoLayerQG)
    core, start = model.core, model.columns()["qgpv"].reshape(2, 3, 16, 16).copy()
    u, v = (1e-7 * np.random.default_rng(i).standard_normal((2, 48, 16)) for i in range(2))
    curl = core.to_grid(core.curl(*(torch.tensor(w.reshape(2, 3, 16, 16)) for w in (u, v))))
    results = []
    for push in ({"ua": u, "va": v}, {"qgpv": curl.numpy().reshape(2, 48, 16)}):
        model.start(torch.tensor(start))
        model.advance(push)
        results.append(model.columns()["qgpv"].copy())
    scale = np.abs(results[0]).max()
    np.testing.assert_allclose(*results, rtol=0.0, atol=1e-13 * scale)
    assert np.abs(results[0].reshape(start.shape) - start).max() > 1e-3 * scale


def test_a_resumed_run_is_the_whole_run_bit_for_bit(tmp_path: Path) -> None:
    swap = {"subgrid": "backscatter_biharmonic"}
    whole = run("qg_eddy", tmp_path / "whole", swap=swap)
    cut = {"set": SMALL, "swap": swap, "out": tmp_path / "cut"}
    part = Simulation.from_case(CASES / "qg_eddy.yaml", **cut)
    part.run(days=1.0 / 24.0, quiet=True)  # one step: the next one still starts the extrapolation
    rest = Simulation.from_case(CASES / "qg_eddy.yaml", resume=True, **cut)
    rest.run(quiet=True)
    for name, array in whole.model.atmosphere.memory().items():
        np.testing.assert_array_equal(rest.model.atmosphere.memory()[name], array)


def test_one_member_is_written_on_y_and_x(tmp_path: Path) -> None:
    data = run("qg_eddy", tmp_path / "run", set={"atmosphere.members": 1}).dataset()
    assert data["qgpv"].dims == ("time", "lev", "y", "x")
    assert data["y"].attrs["standard_name"] == "projection_y_coordinate"
    assert float(data["x"][1] - data["x"][0]) == EDDY.at(16).dx


def test_a_start_from_a_file_is_taken(tmp_path: Path) -> None:
    import xarray as xr

    q = noise(EDDY.at(16), 4, 9).swapaxes(0, 1)
    path = tmp_path / "start.nc"
    xr.Dataset({"q": (("run", "lev", "y", "x"), q)}).to_netcdf(path)
    settings = SMALL | {"atmosphere.initial": str(path), "precision": "float64"}
    simulation = Simulation.from_case(CASES / "qg_eddy.yaml", set=settings, out=tmp_path / "run")
    found = simulation.model.atmosphere.columns()["qgpv"].reshape(2, 3, 16, 16)
    np.testing.assert_allclose(found.swapaxes(0, 1), q[:3], atol=1e-19)
    for change in ({"atmosphere.members": 5}, {"atmosphere.nx": 18}):
        with pytest.raises(CouplerError, match="start does not fit"):
            Simulation.from_case(
                CASES / "qg_eddy.yaml", set=settings | change, out=tmp_path / "other"
            )
    with pytest.raises(CouplerError, match="no such start"):
        run("qg_eddy", tmp_path / "none", set={"atmosphere.initial": "nowhere.nc"})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"atmosphere.nx": 17}, "odd number of points"),
        ({"atmosphere.rd": "-15 km"}, "rd"),
        ({"atmosphere.depth": 3}, "unknown key"),
        ({"physics.gravity_wave": "ad99"}, "nobody provides"),
        ({"physics.subgrid": "smagorinski"}, "unknown scheme"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], match: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=match):
        Simulation.from_case(CASES / "qg_eddy.yaml", set=SMALL | changes, out=tmp_path / "run")


def test_a_closure_of_the_plane_is_refused_on_the_sphere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nobody provides"):
        Simulation.from_case(
            CASES / "held_suarez_t21.yaml",
            set={"physics.subgrid": "smagorinsky"},
            out=tmp_path / "run",
        )


def test_a_step_that_is_too_long_is_said_and_its_blow_up_is_named(tmp_path: Path) -> None:
    settings = SMALL | {"atmosphere.dt": "20 day", "days": 4000, "subgrid.mode": "off"}
    settings |= {"output.interval": 400, "restart.interval": 4000}
    simulation = Simulation.from_case(CASES / "qg_eddy.yaml", set=settings, out=tmp_path / "run")
    assert any("step probably too long" in str(a) for a in simulation.model.advice)
    with pytest.raises(CouplerError, match=r"qgpv|ua|va"):
        simulation.run(quiet=True)
