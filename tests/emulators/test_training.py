"""Fitting: it learns, the same way each time, also when interrupted; and the skill it reports."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from scipy import stats
from synthetic_columns import FLUXES, NAMES, columns, tensors, with_truth

from coupler.interface.errors import DataError, UnstableError
from coupler.interface.grid import HybridLevels
from emulators.networks import Network, build
from emulators.normalization import flux_scale, statistics, wind_scale
from emulators.schema import BundleSpec, Levels
from emulators.training.fit import History, Loss, fit, learning_rate
from emulators.training.recipe import Optimizer
from emulators.training.skill import layer_thickness, predict, print_skill, r2_by_level, skill

EPOCHS = Optimizer(epochs=4, batch=128, learning_rate=3e-3)


@pytest.fixture(scope="module")
def data(levels: HybridLevels) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    names = (*NAMES, *FLUXES)
    train = with_truth(columns(701, levels, 31), levels)
    later = with_truth(columns(97, levels, 32), levels)
    return tensors(train, names), tensors(later, names)


def fitted(spec: BundleSpec, data: Any, **options: Any) -> tuple[Network, History]:
    torch.manual_seed(0)
    network = build(spec)
    arguments: dict[str, Any] = {"optimizer": EPOCHS, "seed": 5} | options
    return network, fit(network, spec, *data, **arguments)


def test_a_short_fit_on_real_fluxes_learns(spec: BundleSpec, data: Any) -> None:
    longer = EPOCHS.model_copy(update={"epochs": 16})
    network, history = fitted(spec, data, optimizer=longer)
    assert history.validation[-1] < 0.5 * history.validation[0]
    assert history.train[-1] < 0.5 * history.train[0]
    truth = {n: data[1][n] for n in FLUXES}
    result = skill(truth, predict(network, {n: data[1][n] for n in NAMES}), spec.levels)
    assert result.flux_overall > 0.7  # 0 for the mean; a second of training on 701 columns


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    spec: BundleSpec, data: Any
) -> None:
    one, two = (fitted(spec, data)[0].state_dict() for _ in range(2))
    other = fitted(spec, data, seed=6)[0].state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not torch.equal(one["out.weight"], other["out.weight"])


def test_an_interrupted_fit_continues_to_the_same_weights(
    spec: BundleSpec, data: Any, tmp_path: Path
) -> None:
    whole, history = fitted(spec, data)
    path = tmp_path / "work" / "checkpoint.safetensors"
    _, first = fitted(spec, data, checkpoint=path, identity="a", stop_after=2)
    assert len(first.train) == 2
    again, second = fitted(spec, data, checkpoint=path, identity="a")
    assert vars(second) == vars(history)
    want, got = whole.state_dict(), again.state_dict()
    assert all(torch.equal(want[k], got[k]) for k in want)
    left = sorted(p.name for p in path.parent.iterdir())
    assert left == ["checkpoint.safetensors", "losses.png"]


def test_a_checkpoint_of_another_fit_or_a_broken_one_is_refused(
    spec: BundleSpec, data: Any, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    fitted(spec, data, checkpoint=path, identity="a", stop_after=1)
    with pytest.raises(DataError, match=r"checkpoint of another fit: .*delete it to start anew"):
        fitted(spec, data, checkpoint=path, identity="b")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="unreadable checkpoint"):
        fitted(spec, data, checkpoint=path, identity="a")


def test_it_stops_when_validation_does_not_improve_and_keeps_the_best(
    spec: BundleSpec, data: Any
) -> None:
    train, later = data
    # Fluxes that have nothing to do with the columns: fitting them cannot generalize.
    order = torch.randperm(97, generator=torch.Generator().manual_seed(1))
    unrelated = later | {n: -3.0 * later[n][:, order] for n in FLUXES}
    longer = EPOCHS.model_copy(update={"epochs": 40, "patience": 2})
    network, history = fitted(spec, (train, unrelated), optimizer=longer)
    assert len(history.train) == history.best_epoch + 1 + longer.patience < longer.epochs
    loss = Loss(spec, train, longer.drag_weight)
    with torch.no_grad():
        y = network.normalized({n: unrelated[n] for n in NAMES})
    assert float(loss(y, loss.target(unrelated))) == pytest.approx(history.best, rel=1e-5)


def test_a_loss_that_is_not_finite_is_an_error(spec: BundleSpec, data: Any) -> None:
    broken = data[0] | {"xgwdparam": data[0]["xgwdparam"] * torch.nan}
    with pytest.raises(UnstableError, match="the loss is not finite: small: epoch 1"):
        fitted(spec, (broken, data[1]))


def test_progress_says_the_loss_of_every_epoch(spec: BundleSpec, data: Any, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        fitted(spec, data, console=Console(file=file, width=100))
    text = (tmp_path / "log").read_text()
    for epoch in range(1, 5):
        assert f"epoch   {epoch}  loss" in text


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_the_learning_rate_ends_at_nothing_and_never_exceeds_its_value(schedule: str) -> None:
    o = Optimizer.model_validate({"schedule": schedule, "learning_rate": 0.01})
    rates = [learning_rate(i, 200, o) for i in range(200)]
    assert max(rates) == pytest.approx(0.01, rel=1e-3)
    assert rates[-1] < 1e-5
    assert rates[0] == (0.01 if schedule == "cosine" else 0.01 / 20)
    assert rates[110] == pytest.approx(
        0.005 if schedule == "one_cycle" else 0.005 * (1 + math.cos(math.pi * 0.55))
    )


def test_the_loss_is_the_mean_square_of_normalized_flux_and_drag(
    spec: BundleSpec, data: Any
) -> None:
    train, _ = data
    loss = Loss(spec, train, 0.25)
    scale = np.array(spec.outputs[0].scale)
    used = scale > 0
    truth = np.concatenate([train[n].numpy() for n in FLUXES], axis=1).astype(np.float64)
    y = np.random.default_rng(2).normal(size=truth.shape)
    error = np.where(used[:, None], y - truth / np.where(used, scale, 1.0)[:, None], 0.0)
    rms = np.sqrt((np.diff(truth, axis=0) ** 2).mean(axis=1))
    per = np.where(rms > 0.0, 1.0 / np.maximum(rms, 0.02 * rms.max()), 0.0)
    drag = np.diff(error * scale[:, None], axis=0) * per[:, None]
    want = (error**2).sum(axis=0).mean() / used.sum() + 0.25 * (drag**2).mean()
    got = loss(torch.from_numpy(y).float(), loss.target(train))
    assert float(got) == pytest.approx(want, rel=1e-4)  # float32 sums of 1402 x 14 numbers


def test_r2_is_the_one_of_the_textbook() -> None:
    rng = np.random.default_rng(4)
    truth = rng.normal(3.0, 2.0, (3, 57))
    truth[2] = 0.7
    estimate = truth + rng.normal(0.0, 1.0, truth.shape)
    got = r2_by_level(torch.from_numpy(truth), torch.from_numpy(estimate))
    for k in (0, 1):
        want = (
            1.0 - ((truth[k] - estimate[k]) ** 2).sum() / ((truth[k] - truth[k].mean()) ** 2).sum()
        )
        assert got[k] == pytest.approx(want, rel=1e-12)
    assert got[2] is None
    # For a least-squares line it is the square of the correlation.
    line = stats.linregress(estimate[0], truth[0])
    fit_ = torch.from_numpy(line.intercept + line.slope * estimate[:1])
    (r2,) = r2_by_level(torch.from_numpy(truth[:1]), fit_)
    assert r2 == pytest.approx(line.rvalue**2, rel=1e-12)
    assert r2_by_level(torch.from_numpy(truth[:2]), torch.from_numpy(truth[:2])) == [1.0, 1.0]
    mean = np.repeat(truth[:1].mean(axis=1, keepdims=True), 57, axis=1)
    assert r2_by_level(torch.from_numpy(truth[:1]), torch.from_numpy(mean)) == [
        pytest.approx(0.0, abs=1e-12)
    ]


def test_skill_of_flux_and_drag_by_hand(levels: HybridLevels, tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    own = Levels(a=levels.a.tolist(), b=levels.b.tolist())
    truth = {n: rng.normal(size=(14, 31)) * 1e-3 for n in FLUXES}
    estimate = {n: v + rng.normal(size=v.shape) * 3e-4 for n, v in truth.items()}
    for fields in (truth, estimate):
        for v in fields.values():
            v[-1] = 0.0
    to_tensor = {n: torch.from_numpy(v) for n, v in truth.items()}
    result = skill(to_tensor, {n: torch.from_numpy(v) for n, v in estimate.items()}, own)
    dp = np.diff(levels.half_pressure(np.array(1e5)))[:, None]
    np.testing.assert_allclose(layer_thickness(own).numpy(), dp, rtol=1e-12)

    def r2(t: list[np.ndarray], e: list[np.ndarray]) -> float:
        residual = sum(((a - b) ** 2).sum() for a, b in zip(t, e, strict=True))
        return 1.0 - residual / sum(((a - a.mean(axis=1, keepdims=True)) ** 2).sum() for a in t)

    names = list(FLUXES)
    assert result.flux_overall == pytest.approx(
        r2([truth[n] for n in names], [estimate[n] for n in names]), rel=1e-12
    )
    assert result.drag_overall == pytest.approx(
        r2(
            [np.diff(truth[n], axis=0) / dp for n in names],
            [np.diff(estimate[n], axis=0) / dp for n in names],
        ),
        rel=1e-12,
    )
    one = np.diff(truth["ygwdparam"], axis=0)[5]
    two = np.diff(estimate["ygwdparam"], axis=0)[5]
    assert result.drag["ygwdparam"][5] == pytest.approx(r2([one[None]], [two[None]]), rel=1e-12)
    assert result.flux["xgwdparam"][-1] is None
    with (tmp_path / "table").open("w") as file:
        print_skill(Console(file=file, width=160), result, to_tensor, own)
    text = (tmp_path / "table").read_text()
    assert f"{result.flux['xgwdparam'][0]:.3f}" in text
    assert f"R2 flux {result.flux_overall:.3f}, drag {result.drag_overall:.3f}" in text


def test_normalization_is_that_of_numpy_and_leaves_constants_alone() -> None:
    x = np.random.default_rng(7).normal(240.0, 11.0, (2, 83)).astype(np.float32)
    x[1] = 55.5
    x = np.concatenate([x, np.zeros((1, 83), np.float32)])
    mean, scale = statistics(torch.from_numpy(x), "none")
    assert mean == [pytest.approx(x[0].astype(float).mean()), pytest.approx(55.5), 0.0]
    assert scale == [pytest.approx(x[0].astype(float).std()), pytest.approx(0.0555), 1.0]
    logs, _ = statistics(torch.from_numpy(x[:2]), "log")
    assert logs[0] == pytest.approx(np.log(x[0].astype(float)).mean())


def test_components_share_their_scale_and_empty_interfaces_have_none() -> None:
    one, two = torch.tensor([[3.0, -3.0], [0.0, 0.0]]), torch.tensor([[4.0, 4.0], [0.0, 0.0]])
    assert wind_scale([one, two]) == [pytest.approx(math.sqrt(12.5)), 1.0]
    flux = torch.tensor([[1.0, -1.0], [0.02, 0.02], [0.005, -0.005], [0.0, 0.0]])
    assert flux_scale([flux, flux], 0.01) == [1.0, pytest.approx(0.02), 0.0, 0.0]


def test_a_checkpoint_holds_no_more_than_tensors_and_text(
    spec: BundleSpec, data: Any, tmp_path: Path
) -> None:
    path = tmp_path / "c.safetensors"
    fitted(spec, data, checkpoint=path, identity="a", stop_after=1)
    kinds = {name.split(".")[0] for name in load_file(path)}
    assert kinds == {"now", "best", "adam"}
