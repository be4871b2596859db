"""A network on a periodic plane as a closure: training, bundle, driver, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from coupler import Simulation
from coupler.interface.component import Arrays, Host
from coupler.interface.constants import Planet
from coupler.interface.errors import ContractError, CouplerError, DataError, UnstableError
from coupler.interface.grid import Grid, HybridLevels
from emulators.bundle import load_bundle, read_spec
from emulators.component import emulator_class
from emulators.plane import PlaneTendency
from emulators.schema import Architecture
from emulators.training.closure import Closure, ClosureFit, train_closure
from physics.dynamics.plane_waves import PlaneWaves
from physics.dynamics.qg_coarsen import Coarsener, forcing
from physics.dynamics.qg_core import EDDY, QGCore, noise
from physics.dynamics.qg_dataset import read_fields, units_of, write_forcing

CASES = Path(__file__).resolve().parents[2] / "cases"
NX = 16
CONFIG = {"spacing": EDDY.at(NX).dx, "channels": [6], "kernels": [3, 3]}
RECIPE = Closure(
    name="small",
    of="qgpv",
    architecture=Architecture(name="plane_conv", config=CONFIG),
    fit=ClosureFit(epochs=60, learning_rate=1e-2),
    seed=1,
)


def maps(number: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Vorticity, and as the tendency its Laplacian in the units of the grid: what 3x3 can learn."""
    q = torch.tensor(1e3 * noise(EDDY.at(NX), number, seed, shortest=5), dtype=torch.float32)
    q[1] = 0.5 * q[0].flip(-1)
    plane = PlaneWaves(NX, NX, 1.0, 1, torch.float32)
    return 1e-2 * q, 1e-9 * plane.grid(-plane.k2 * plane.waves(q))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    q, rate = maps(24, 1)
    return train_closure(RECIPE, {"qgpv": q}, rate, tmp_path_factory.mktemp("b") / "small")


def host(nx: int = NX, members: int = 1, spacing: float | None = None) -> Host:
    grid = Grid.plane(nx, nx, spacing or EDDY.at(NX).dx, members=members)
    levels = HybridLevels.layers(2)
    return Host(grid=grid, levels=levels, planet=Planet(), dtype=np.dtype("f4"), seed=0)


def made(folder: Path, where: Host) -> PlaneTendency:
    scheme = emulator_class(folder, "subgrid")()
    assert isinstance(scheme, PlaneTendency)
    scheme.setup(where)
    return scheme


def answer(scheme: PlaneTendency, q: torch.Tensor) -> np.ndarray:
    flat = np.ascontiguousarray(q.numpy().reshape(2, -1))
    tend = Arrays(qgpv=np.full_like(flat, np.nan))
    scheme.compute(Arrays(qgpv=flat), tend, Arrays(), Arrays(), None)  # type: ignore[arg-type]
    return tend.qgpv.reshape(q.shape)


def test_a_network_learns_the_tendency_and_says_it_of_maps_it_has_not_seen(bundle: Path) -> None:
    q, rate = maps(5, 2)
    found = answer(made(bundle, host(members=5)), q)
    missed = ((found - rate.numpy()) ** 2).mean(axis=(1, 2, 3)) / rate.numpy().var(axis=(1, 2, 3))
    # A linear map of 3x3 points is within reach of six channels; an untrained one misses by 1.
    assert (missed < 0.1).all()


def test_it_is_as_periodic_as_the_plane_keeps_members_apart_and_gives_no_mean(bundle: Path) -> None:
    q, _ = maps(3, 3)
    scheme = made(bundle, host(members=3))
    found = answer(scheme, q)
    size = np.abs(found).max()
    rolled = answer(scheme, q.roll((5, -3), (-2, -1)))
    np.testing.assert_allclose(rolled, np.roll(found, (5, -3), (-2, -1)), atol=1e-5 * size)
    alone = answer(made(bundle, host()), q[:, 1:2].contiguous())
    np.testing.assert_allclose(alone[:, 0], found[:, 1], atol=1e-5 * size)
    assert np.abs(found.mean(axis=(-2, -1))).max() < 1e-6 * size


def test_a_seed_gives_the_same_network_and_another_one_another(
    bundle: Path, tmp_path: Path
) -> None:
    q, rate = maps(24, 1)
    for seed, same in ((1, True), (2, False)):
        recipe = RECIPE.model_copy(update={"seed": seed})
        other = train_closure(recipe, {"qgpv": q}, rate, tmp_path / str(seed))
        a, b = (load_bundle(p).network.state_dict() for p in (bundle, other))
        assert all(torch.equal(a[n], b[n]) for n in a) == same


def test_it_is_a_closure_by_one_option_and_is_counted(bundle: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "atmosphere.nx": NX,
        "atmosphere.members": 3,
        "days": 1,
        "output.interval": 0.5,
    }
    runs = {}
    for name, swap in (("learned", {"subgrid": str(bundle)}), ("own", None)):
        runs[name] = Simulation.from_case(
            CASES / "qg_eddy.yaml", set=settings, swap=swap, out=tmp_path / name
        ).run(quiet=True)
    data = runs["learned"].dataset()
    assert float(np.abs(data["tn_qgpv_subgrid"]).max()) > 0.0
    q = [r.model.atmosphere.columns()["qgpv"] for r in runs.values()]
    assert np.abs(q[0] - q[1]).max() > 0.0
    counts = runs["learned"].model.suite.counts()
    (seen,) = counts.values()
    assert seen["calls"] == 24
    assert seen["columns"] == 24 * 2 * 3 * NX**2


def test_what_is_not_to_be_believed_is_cut_and_counted(bundle: Path) -> None:
    scheme = made(bundle, host())
    q, _ = maps(1, 4)
    bound = scheme.bundle.spec.outputs[0].bound
    found = answer(scheme, 1e6 * q)
    assert np.abs(found).max() == np.float32(bound)
    counts = scheme.counts()
    assert counts["beyond_bound"] > 0
    assert counts["outside"] > 0
    q[0, 0, 3, 3] = np.nan
    assert np.isfinite(answer(scheme, q)).all()
    assert scheme.counts()["not_finite"] > 0


@pytest.mark.parametrize(
    ("where", "found"), [(host(18), "18"), (host(spacing=1e4), "10000 m apart")]
)
def test_another_plane_is_refused(bundle: Path, where: Host, found: str) -> None:
    with pytest.raises(ContractError, match="a network for another plane") as error:
        made(bundle, where)
    assert found in str(error.value)


def test_a_sphere_is_refused(bundle: Path) -> None:
    sphere = Host(
        grid=Grid.gaussian(8, 16),
        levels=HybridLevels.layers(2),
        planet=Planet(),
        dtype=np.dtype("f4"),
        seed=0,
    )
    with pytest.raises(ContractError, match="a network for another plane"):
        made(bundle, sphere)
    with pytest.raises(ContractError, match="bundle of another process"):
        emulator_class(bundle, "gravity_wave")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": "qgpv_rate"}, "unknown tendency of a bundle"),
        ({"of": "psi", "name": "tn_psi"}, "unknown tendency of a bundle"),
        ({"units": "s-1"}, "wrong unit of a bundle's channel"),
    ],
)
def test_a_wrong_output_is_refused(
    bundle: Path, tmp_path: Path, change: dict[str, str], match: str
) -> None:
    import shutil

    from emulators.schema import BundleSpec, normalizer_hash

    folder = Path(shutil.copytree(bundle, tmp_path / "other"))
    content = yaml.safe_load((folder / "bundle.yaml").read_text())
    content["outputs"][0] |= change
    content["normalizer"] = normalizer_hash(BundleSpec.model_validate(content))
    (folder / "bundle.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(CouplerError, match=match + "|reference lacks channels"):
        emulator_class(folder)


def test_maps_that_do_not_fit_are_refused_and_a_loss_that_explodes_is_said(tmp_path: Path) -> None:
    q, rate = maps(4, 1)
    with pytest.raises(DataError, match="maps that do not fit"):
        train_closure(RECIPE, {"qgpv": q}, rate[:, :3], tmp_path / "a")
    with pytest.raises(UnstableError, match="the loss is not finite"):
        wild = RECIPE.model_copy(update={"fit": ClosureFit(epochs=3, learning_rate=1e30)})
        train_closure(wild, {"qgpv": q}, rate, tmp_path / "b")


def test_a_configuration_that_cannot_be_is_refused(bundle: Path) -> None:
    from emulators.networks import build

    spec = read_spec(bundle)
    for change, match in (
        ({"kernels": [3, 4]}, "kernels are odd"),
        ({"kernels": [3]}, "one more than channels"),
        ({"nx": 4, "kernels": [5, 7]}, "kernels reach 5"),
    ):
        config = spec.architecture.config | change
        other = spec.architecture.model_copy(update={"config": config})
        with pytest.raises(ContractError, match=match):
            build(spec.model_copy(update={"architecture": other}))


def test_a_data_set_holds_what_the_forcing_is(tmp_path: Path) -> None:
    fine, coarse = QGCore(EDDY.at(32)), QGCore(EDDY.at(16))
    operator = Coarsener(fine, coarse, "spectral")
    runs = [noise(EDDY.at(32), 3, s).swapaxes(0, 1) for s in (1, 2)]
    path = write_forcing(tmp_path / "forcing1.nc", operator, runs)
    q, step = read_fields(path, "q", "q_forcing_step")
    assert q.shape == (2, 6, 16, 16)
    state = torch.tensor(runs[1][2])[:, None]
    expected = forcing(operator, fine.to_waves(state))
    torch.testing.assert_close(step[:, 5], expected["q_forcing_step"][:, 0])
    torch.testing.assert_close(q[:, 5], expected["q"][:, 0])
    names = {n: units_of(n) for n in expected}
    assert names["uq_subgrid_flux"] == "m s-2"
    assert names["uv_subgrid_flux"] == "m2 s-2"
    assert names["q_forcing_step"] == "s-2"
    assert names["u_subgrid_forcing"] == "m s-2"
    with pytest.raises(DataError, match="no such data set"):
        read_fields(tmp_path / "none.nc", "q")
    with pytest.raises(DataError, match="variables missing"):
        read_fields(path, "salt")
