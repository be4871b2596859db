"""Fitting networks that drop units and keep running statistics: judged as they are used."""

from pathlib import Path
from typing import Any

import pytest
import torch
from map_bundles import NLAT, NLON, map_spec, some_inputs

import emulators.training.fit as fitting
from coupler.interface.grid import HybridLevels
from emulators.networks import Network, build
from emulators.schema import BundleSpec
from emulators.training.data import joined
from emulators.training.fit import History, Loss, evaluate, fit
from emulators.training.recipe import Optimizer

INPUTS = ["ua", "va", "ta"]
THREE = Optimizer(epochs=3, batch=2 * NLAT * NLON, learning_rate=3e-3)
Fields = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def spec(levels: HybridLevels) -> BundleSpec:
    # a shipped default is 0.1; more, so that one draw differs from the next beyond doubt
    config = {"width": 4, "depth": 2, "dropout": 0.4, "norm": "batch"}
    return map_spec(levels, "attention_unet", config)


def maps(levels: HybridLevels, spec: BundleSpec, seeds: range) -> Fields:
    found = joined([some_inputs(levels, s) for s in seeds])
    scale = torch.tensor(spec.outputs[0].scale)[:, None]
    wind = found["ua"].new_zeros(scale.shape[0], found["ua"].shape[1])
    wind[:-1] = found["ua"] / 20.0
    return found | {"xgwdparam": scale * wind, "ygwdparam": -0.5 * scale * wind}


@pytest.fixture(scope="module")
def data(levels: HybridLevels, spec: BundleSpec) -> tuple[Fields, Fields]:
    return maps(levels, spec, range(1, 6)), maps(levels, spec, range(11, 14))


def fitted(spec: BundleSpec, data: Any, **options: Any) -> tuple[Network, History]:
    torch.manual_seed(0)
    network = build(spec)
    return network, fit(network, spec, *data, **{"optimizer": THREE, "seed": 5} | options)


def test_an_epoch_is_judged_with_nothing_dropped_and_leaves_the_network_in_its_mode(
    spec: BundleSpec, data: Any
) -> None:
    network, history = fitted(spec, data)
    loss = Loss(spec, data[0], THREE.drag_weight)
    assert not network.training
    with torch.no_grad():
        y = network.normalized({n: data[1][n] for n in INPUTS})
    assert history.best == pytest.approx(float(loss(y, loss.target(data[1]))), rel=1e-5)
    network.train()
    before = {k: v.clone() for k, v in network.named_buffers()}
    assert evaluate(network, loss, INPUTS, data[1]) == pytest.approx(history.best, rel=1e-5)
    assert network.training
    # what validates never enters the running statistics
    assert all(torch.equal(v, before[k]) for k, v in network.named_buffers())
    # the control: as it is trained, it gives something else every time
    with torch.no_grad():
        y = network.normalized({n: data[1][n] for n in INPUTS})
    assert abs(float(loss(y, loss.target(data[1]))) / history.best - 1.0) > 1e-3


def test_an_average_is_held_against_the_best_epoch_on_equal_terms(
    spec: BundleSpec, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[float] = []

    def noted(*args: Any) -> float:
        judged.append(evaluate(*args))
        return judged[-1]

    monkeypatch.setattr(fitting, "evaluate", noted)
    # With a mean that forgets at once, the average is the last epoch: it cannot be better.
    same = THREE.model_copy(update={"average": "ema", "ema": 1e-12})
    _, history = fitted(spec, data, optimizer=same)
    *epochs, average = judged
    assert epochs == history.validation
    assert average == pytest.approx(history.validation[-1])
    assert history.averaged == (average if average < min(epochs) else None)
    assert history.best == min(history.validation)


def test_dropout_of_a_resumed_fit_is_that_of_one_that_was_not_interrupted(
    spec: BundleSpec, data: Any, tmp_path: Path
) -> None:
    whole, history = fitted(spec, data)
    path = tmp_path / "checkpoint.safetensors"
    fitted(spec, data, checkpoint=path, stop_after=1)
    torch.rand(17)  # another process has another random state
    network = build(spec)
    torch.manual_seed(999)
    again = fit(network, spec, *data, optimizer=THREE, seed=5, checkpoint=path)
    assert vars(again) == vars(history)
    want, got = whole.state_dict(), network.state_dict()
    assert all(torch.equal(want[k], got[k]) for k in want)
    # The control: another seed drops others.
    other, _ = fitted(spec, data, seed=6)
    assert not torch.equal(next(other.parameters()), next(whole.parameters()))
