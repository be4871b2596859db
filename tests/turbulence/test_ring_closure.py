"""A network on a ring as the closure of Lorenz (1996): training, bundle, driver, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from coupler import Simulation
from coupler.compare.ablation import holding
from coupler.interface.component import Arrays, Host
from coupler.interface.constants import Planet
from coupler.interface.errors import ContractError, CouplerError, DataError
from coupler.interface.grid import Grid, HybridLevels
from coupler.interface.registry import SCHEMES, scheme
from emulators.bundle import load_bundle
from emulators.component import emulator_class
from emulators.networks.ring import RingConfig
from emulators.plane import PlaneTendency
from emulators.schema import Architecture
from emulators.training.closure import Closure, ClosureFit, train_closure
from physics.dynamics.lorenz96 import TIME_UNIT
from physics.dynamics.lorenz96_closures import PolynomialParameters

CASE = Path(__file__).resolve().parents[2] / "cases" / "lorenz96.yaml"


def recipe(epochs: int, batch: int, noise: float = 0.0, **ring: Any) -> Closure:
    fit = ClosureFit(epochs=epochs, batch=batch, learning_rate=2e-2, noise=noise)
    return Closure(name="ring", of="x_slow", seed=1, bound_factor=10.0, fit=fit,
                   architecture=Architecture(name="ring", config=ring))  # fmt: skip


RECIPE = recipe(120, 512, reach=1, widths=[24])


def train_ring(closure: Closure, inputs: dict[str, torch.Tensor], target: torch.Tensor,
               out: Path) -> Path:  # fmt: skip
    """Of samples [sample, place]."""
    maps = {n: f[None, :, None] for n, f in inputs.items()}
    return train_closure(closure, maps, target[None, :, None], out)


def polynomial(x: torch.Tensor) -> torch.Tensor:
    """What the case's own closure gives [s-1]."""
    found = np.polynomial.polynomial.polyval(x.numpy(), PolynomialParameters().coefficients)
    return torch.tensor(found / TIME_UNIT, dtype=torch.float32)


def rings(number: int, seed: int, places: int = 8) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return 3.0 + 5.0 * torch.randn(number, places, generator=draw)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x = rings(500, 1)
    return train_ring(RECIPE, {"x_slow": x}, polynomial(x), tmp_path_factory.mktemp("b") / "ring")


def host(places: int = 8, members: int = 3) -> Host:
    grid = Grid.plane(1, places, 1.0, members=members, units="1")
    return Host(grid=grid, levels=HybridLevels.layer(), planet=Planet(), dtype=np.dtype("f8"),
                seed=0)  # fmt: skip


def made(folder: Path, where: Host) -> PlaneTendency:
    found = emulator_class(folder, "subgrid")()
    assert isinstance(found, PlaneTendency)
    found.setup(where)
    return found


def answer(closure: Any, x: np.ndarray, **more: np.ndarray) -> np.ndarray:
    tend = Arrays(x_slow=np.full((1, x.size), np.nan))
    inputs = {"x_slow": x.reshape(1, -1), **more}
    closure.compute(Arrays(**inputs), tend, Arrays(), Arrays(), None)
    return tend.x_slow.reshape(x.shape)


def test_a_network_learns_the_polynomial_and_is_the_same_at_every_place(bundle: Path) -> None:
    x = rings(5, 2).double()
    found = answer(made(bundle, host(members=5)), x.numpy())
    truth = polynomial(x).numpy()
    # A cubic of one of three inputs: 24 units get it to a few percent of its variance.
    assert ((found - truth) ** 2).mean() < 0.05 * truth.var()
    rolled = answer(made(bundle, host(members=5)), np.roll(x.numpy(), 3, axis=1))
    np.testing.assert_allclose(rolled, np.roll(found, 3, axis=1), atol=1e-6 * np.abs(found).max())
    alone = answer(made(bundle, host(members=1)), x.numpy()[1:2])
    np.testing.assert_allclose(alone[0], found[1], atol=1e-6 * np.abs(found).max())


def test_it_sees_its_neighbours_and_nobody_else(bundle: Path) -> None:
    x = rings(1, 3).double().numpy()
    network = made(bundle, host(members=1))
    before = answer(network, x)
    for place, moved in ((0, {7, 0, 1}), (4, {3, 4, 5})):
        other = x.copy()
        other[0, place] += 1.0
        changed = np.flatnonzero(answer(network, other)[0] != before[0])
        assert set(changed.tolist()) == moved


def test_it_is_a_closure_by_one_option(bundle: Path, tmp_path: Path) -> None:
    settings = {"atmosphere.members": 24, "days": 30, "output.interval": 30}
    energy = {}
    for name, words in (("own", {}), ("learned", {"swap": {"subgrid": str(bundle)}}),
                        ("none", {"set": {"subgrid.mode": "off"}})):  # fmt: skip
        changes = settings | words.pop("set", {})
        run = Simulation.from_case(CASE, set=changes, out=tmp_path / name, **words)
        energy[name] = float((run.run(quiet=True).model.atmosphere.x ** 2).mean())
    # 192 numbers, half of them independent: a mean square is known to a sixth. Over a long time it
    # is 1.7 times as large without a closure.
    assert energy["learned"] == pytest.approx(energy["own"], rel=0.3)
    assert energy["none"] > 1.3 * energy["own"]


def test_the_push_of_the_last_step_can_be_an_input_and_be_held(tmp_path: Path) -> None:
    """A network that only repeats the last push keeps what a run begins with."""
    x = rings(400, 4)
    push = 2e-5 * torch.randn(400, 8, generator=torch.Generator().manual_seed(5))
    folder = train_ring(
        recipe(200, 800, widths=[]), {"x_slow": x, "x_push": push}, push, tmp_path / "repeats"
    )
    given = push[:3].double().numpy().reshape(1, -1)
    found = answer(made(folder, host()), x[:3].double().numpy(), x_push=given)
    np.testing.assert_allclose(found.reshape(1, -1), given, atol=2e-7)
    cls = emulator_class(folder, "subgrid")
    assert issubclass(cls, PlaneTendency)
    held = holding(cls, {"x_push": 1e-5})()
    held.setup(host())
    np.testing.assert_allclose(answer(held, x[:3].double().numpy(), x_push=given), 1e-5, atol=2e-7)
    with pytest.raises(DataError, match="does not read"):
        holding(cls, {"ua": 0.0})
    try:
        scheme("subgrid", "held_push")(holding(cls, {"x_push": 1e-5}))
        model = Simulation.from_case(
            CASE, set={"atmosphere.members": 2, "days": 2}, swap={"subgrid": "held_push"},
            out=tmp_path / "run",
        ).run(quiet=True).model.atmosphere  # fmt: skip
        np.testing.assert_allclose(model.push, 1e-5 * TIME_UNIT, atol=0.1)
        columns = model.columns()
        np.testing.assert_allclose(TIME_UNIT * columns["x_push"][0], model.push, rtol=1e-12)
    finally:
        SCHEMES["subgrid"].pop("held_push", None)


def test_noise_on_the_inputs_takes_slope_away(tmp_path: Path) -> None:
    """Least squares with noise of variance s2 on an input of variance 1: slope 1/(1 + s2)."""
    x = rings(2000, 6)
    how = recipe(30, 1600, noise=1.0, widths=[])
    network = load_bundle(train_ring(how, {"x_slow": x}, 1e-5 * x, tmp_path / "n")).network
    at = torch.tensor([[0.0, 1.0] * 4])
    slope = network({"x_slow": at})["tn_x_slow"][0, :2].diff()
    assert float(slope) == pytest.approx(0.5e-5, rel=0.05)


def test_another_ring_and_samples_that_do_not_fit_are_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="a ring of 8 places"):
        made(bundle, host(places=9))
    with pytest.raises(CouplerError, match="a ring of 8 places"):
        Simulation.from_case(CASE, set={"atmosphere.slow": 9, "days": 1}, out=tmp_path / "r",
                             swap={"subgrid": str(bundle)}).run(quiet=True)  # fmt: skip
    x = rings(5, 7)
    with pytest.raises(DataError, match="rings \\[1, map, 1, place\\] of one shape"):
        train_ring(RECIPE, {"x_slow": x}, polynomial(x[:4]), tmp_path / "x")
    with pytest.raises(ValueError, match="sees a place of 8 twice"):
        RingConfig(points=8, reach=4)
    with pytest.raises(ValueError, match="at least 1"):
        RingConfig(points=8, widths=[0])
