"""Schedules, averages, going on from a bundle, seeds, blocks of validation, devices."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console
from synthetic_columns import FLUXES, NAMES, columns, tensors, with_truth, write_recording
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from coupler.interface.errors import ConfigError, DataError
from coupler.interface.grid import HybridLevels
from emulators.bundle import load_bundle, read_spec
from emulators.networks import build
from emulators.networks.column_mlp import ColumnMLP, ColumnMLPConfig
from emulators.schema import BundleSpec
from emulators.training import train, train_seeds
from emulators.training.averaging import combined, search, update_mean
from emulators.training.data import read_recording, refuse_leaks, split, thinned
from emulators.training.fit import curve, device_of, fit, learning_rate
from emulators.training.recipe import Optimizer, Recipe, read_recipe
from emulators.training.skill import predict
from emulators.training.train import _parts, _refuse_samples

EPOCHS = Optimizer(epochs=5, batch=128, learning_rate=3e-3)
ALL = (*NAMES, *FLUXES)


@pytest.fixture(scope="module")
def data(levels: HybridLevels) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    made = [with_truth(columns(n, levels, seed), levels) for n, seed in ((701, 31), (97, 32))]
    return tensors(made[0], ALL), tensors(made[1], ALL)


def fitted(spec: BundleSpec, data: Any, **options: Any):
    torch.manual_seed(0)
    network = build(spec)
    arguments: dict[str, Any] = {"optimizer": EPOCHS, "seed": 5} | options
    return network, fit(network, spec, *data, **arguments)


def test_wsd_rises_stays_and_falls_with_the_root() -> None:
    o = Optimizer(schedule="wsd", learning_rate=0.01, warm_up=0.1, decay=0.2)
    rates = [learning_rate(i, 100, o) for i in range(100)]
    assert rates[:2] == [pytest.approx(0.001), pytest.approx(0.002)]
    assert rates[10:81] == [pytest.approx(0.01)] * 71
    assert rates[85] == pytest.approx(0.01 * (1.0 - np.sqrt(0.25)))
    assert 0.0 < rates[99] < 5e-4
    # A plateau that is longer is the same run, continued: it does not know its end.
    longer = [learning_rate(i, 1000, o.model_copy(update={"warm_up": 0.01})) for i in range(80)]
    assert longer == [pytest.approx(r) for r in rates[:80]]
    with pytest.raises(ValueError, match="exceed the whole"):
        Optimizer(schedule="wsd", warm_up=0.5, decay=0.6)


def test_a_search_finds_the_combination_that_is_known_to_be_best() -> None:
    rng = np.random.default_rng(3)
    axes = [{"w": torch.from_numpy(rng.normal(size=(4, 3)))} for _ in range(3)]
    want = combined(axes, [1.4, -0.9, 0.5])["w"]

    def score(weights: Any) -> float:
        return float((weights["w"] - want).square().sum())

    found = search(axes, score, evaluations=400, seed=1)
    assert sum(found.coefficients) == pytest.approx(1.0)
    assert found.score < 0.02 * found.best_single
    assert found.coefficients == [pytest.approx(c, abs=0.25) for c in (1.4, -0.9, 0.5)]
    assert search(axes, score, evaluations=400, seed=1) == found
    alone = search(axes[:1], score)
    assert alone.coefficients == [1.0] and alone.score == alone.best_single
    # What is not finite never wins.
    assert np.isfinite(search(axes, lambda w: float("nan") if w["w"][0, 0] > 0 else 1.0).score)
    with pytest.raises(ValueError, match="no checkpoint"):
        search([], score)


def test_the_exponential_mean_is_that_of_torch() -> None:
    torch.manual_seed(1)
    network = torch.nn.Linear(3, 2)
    theirs = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    theirs.update_parameters(network)
    ours = {k: v.clone() for k, v in network.state_dict().items()} | {"n": torch.tensor(3)}
    for _ in range(4):
        with torch.no_grad():
            network.weight.add_(torch.randn(2, 3))
        theirs.update_parameters(network)
        update_mean(ours, network.state_dict() | {"n": torch.tensor(7)}, 0.8)
    torch.testing.assert_close(ours["weight"], theirs.module.weight.detach())
    assert int(ours["n"]) == 7


@pytest.mark.parametrize("average", ["ema", "search"])
def test_an_average_is_taken_only_where_it_validates_better(spec, data, average, tmp_path) -> None:
    o = EPOCHS.model_copy(update={"average": average, "ema": 0.9, "snapshots": 3, "evaluations": 9})
    plain, history = fitted(spec, data)
    path = tmp_path / "checkpoint.safetensors"
    fitted(spec, data, optimizer=o, checkpoint=path, identity="a", stop_after=3)
    network, found = fitted(spec, data, optimizer=o, checkpoint=path, identity="a")
    assert found.validation == history.validation  # looking on changes nothing
    whole, again = fitted(spec, data, optimizer=o)
    assert vars(again) == vars(found)  # interrupted or not
    want, got = whole.state_dict(), network.state_dict()
    assert all(torch.equal(want[k], got[k]) for k in want)
    if found.averaged is None:
        assert all(torch.equal(v, got[k]) for k, v in plain.state_dict().items())
    else:
        assert found.averaged < found.best
    if average == "search":
        assert found.averaged is not None  # it begins with the single epochs and their mean
        assert len(found.coefficients) == 3 and sum(found.coefficients) == pytest.approx(1.0)
    assert (tmp_path / "losses.png").stat().st_size > 3000


def test_mixed_precision_learns_as_well(spec, data) -> None:
    _, full = fitted(spec, data)
    _, half = fitted(spec, data, optimizer=EPOCHS.model_copy(update={"precision": "bfloat16"}))
    assert half.validation != full.validation
    assert half.best < 1.15 * full.best  # 8 bits of products, float32 weights


def test_a_device_that_is_not_there_is_refused() -> None:
    assert device_of("cpu").type == "cpu"
    assert device_of("auto").type in ("cpu", "cuda")
    with pytest.raises(ConfigError, match="no such device to train on: cuda:77"):
        device_of("cuda:77")


def test_the_live_curve_shows_the_course_of_the_losses() -> None:
    assert curve([8.0, 4.0, 2.0, 1.0]) == "█▆▃▁"
    assert curve([1.0]) == "▁"
    assert len(curve(list(range(1, 50)))) == 24


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, levels) -> Path:
    """Three runs, of 40 calls in five days each."""
    folder = tmp_path_factory.mktemp("recordings")
    for seed in (1, 2, 3):
        c = with_truth(columns(40 * 11, levels, 70 + seed), levels)
        write_recording(folder / f"{seed}.nc", c, levels, times=40, seed=seed, title=f"run {seed}")
    return folder


def recipe(folder: Path, name: str = "recipe", **more: Any) -> Path:
    content = {
        "name": "small",
        "process": "gravity_wave",
        "bundle": "made",
        "train": [{"file": "1.nc"}],
        "test": {"file": "2.nc"},
        "architecture": {"name": "column_mlp", "config": {"width": 11, "depth": 1}},
        "optimizer": {"epochs": 2, "batch": 128},
    } | more
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return folder / f"{name}.yaml"


def quiet() -> Console:
    return Console(quiet=True)


def test_blocks_of_validation_lie_in_every_part_of_a_run_and_apart_from_what_is_fitted(
    recordings,
) -> None:
    r = read_recording(recordings / "1.nc", ALL)
    fitted_, validated = split(r, 0.25, 0.5)  # four blocks a round; five days, eight calls a day
    assert isinstance(fitted_, torch.Tensor) and isinstance(validated, torch.Tensor)
    calls = [torch.unique(x // 11).numpy() for x in (fitted_, validated)]
    days = [r.days[c] for c in calls]
    distance = np.abs(days[0][:, None] - days[1]).min()
    assert distance >= 0.25  # half a block
    assert days[1].min() < 1.6 and days[1].max() > 3.0
    assert 0.1 < calls[1].size / 40 < 0.35
    assert fitted_.numel() == 11 * calls[0].size  # whole calls
    with pytest.raises(DataError, match=r"too short for blocks of validation: 1\.nc; expected at"):
        split(r, 0.15, 30.0)


def test_training_recordings_that_overlap_are_refused(recordings, tmp_path, levels) -> None:
    c = with_truth(columns(40 * 11, levels, 71), levels)
    part = {k: v[..., 220:] for k, v in c.items()}
    write_recording(tmp_path / "part.nc", part, levels, times=20, seed=9, title="another")
    one, part_, test = (
        read_recording(p, ALL)
        for p in (recordings / "1.nc", tmp_path / "part.nc", recordings / "2.nc")
    )
    refuse_leaks([one], test)
    with pytest.raises(DataError, match=r"two training recordings overlap: part\.nc and 1"):
        refuse_leaks([one, part_], test)


def test_a_short_recording_within_a_long_one_is_refused_whichever_comes_first(
    tmp_path, levels
) -> None:
    c = with_truth(columns(400 * 3, levels, 81), levels)
    write_recording(tmp_path / "long.nc", c, levels, times=400, seed=7)
    part = {k: v[..., 300:309] for k, v in c.items()}  # less than a hundredth of the long one
    write_recording(tmp_path / "short.nc", part, levels, times=3, seed=8, title="another")
    long, short = (read_recording(tmp_path / f"{n}.nc", ALL) for n in ("long", "short"))
    for training, test in ((short, long), (long, short)):
        with pytest.raises(
            DataError, match=r"repeats a training.*found 100 % of the columns of one are in the"
        ):
            refuse_leaks([training], test)


def test_several_seeds_give_several_bundles_on_the_same_recordings(recordings, tmp_path) -> None:
    with (tmp_path / "log").open("w") as file:
        console = Console(file=file, width=100)
        made = train_seeds(
            recipe(recordings), (1, 2), out=tmp_path / "b", work=tmp_path / "w", console=console
        )
    assert [p.name for p in made] == ["b_seed1", "b_seed2"]
    one, two = (load_bundle(p) for p in made)
    assert (one.spec.provenance.seed, two.spec.provenance.seed) == (1, 2)
    assert one.spec.provenance.fingerprint == two.spec.provenance.fingerprint
    assert not torch.equal(one.network.state_dict()["out.weight"], two.network.out.weight)
    said = (tmp_path / "log").read_text()
    assert "deviation" in said and f"{one.spec.skill.flux_overall:.4f}" in said
    assert one.domain  # what the guard may measure with


def test_a_mean_is_learned_where_the_recipe_says_so(recordings, tmp_path) -> None:
    made = {}
    for name, more in (("call", {}), ("mean", {"target": "mean", "interval": 21600.0})):
        at = tmp_path / name
        path = train(recipe(recordings, name, **more), out=at / "b", work=at / "w",
                     console=quiet())  # fmt: skip
        made[name] = read_spec(path)
    assert made["mean"].interval == 21600.0
    assert [s.times for s in made["mean"].provenance.sources] == [39, 39]
    # A mean of two calls that know nothing of each other varies by the square root of two less.
    mean, call = (np.array(made[n].outputs[0].scale) for n in ("mean", "call"))
    np.testing.assert_allclose(mean, 0.5**0.5 * call, rtol=0.1)
    with pytest.raises(DataError, match="another fit"):  # the checkpoint says what was learned
        train(recipe(recordings, "other", interval=21600.0), out=tmp_path / "x",
              work=tmp_path / "mean" / "w", console=quiet())  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"target": "mean"}, "target: mean needs an interval"),
        ({"target": "mean", "interval": 21600.0, "online": {"case": "c.yaml"}}, "single steps"),
        ({"target": "median"}, "'call' or 'mean'"),
        ({"interval": -1.0}, "greater than 0"),
    ],
)
def test_a_mean_over_no_time_is_refused(recordings, wrong, why) -> None:
    with pytest.raises(ConfigError, match=why):
        read_recipe(recipe(recordings, "wrong", **wrong))


def test_going_on_from_a_bundle_keeps_its_normalization_and_widens_its_domain(
    recordings, tmp_path
) -> None:
    before = train(recipe(recordings), out=tmp_path / "first", work=tmp_path / "w", console=quiet())
    again = recipe(
        recordings,
        "again",
        train=[{"file": "3.nc"}],
        start=str(before),
        replay=[{"file": "1.nc"}],
        replay_share=0.2,
        optimizer={"epochs": 1, "batch": 64, "learning_rate": 1e-9, "schedule": "wsd"},
    )
    after = train(again, out=tmp_path / "second", work=tmp_path / "w2", console=quiet())
    one, two = load_bundle(before), load_bundle(after)
    assert two.spec.input("ua").scale == one.spec.input("ua").scale
    assert min(two.spec.input("ua").minimum) <= min(one.spec.input("ua").minimum)
    assert {s.file for s in two.spec.provenance.sources} == {"1.nc", "2.nc", "3.nc"}
    # With hardly any learning rate, the weights are those that it began with.
    for k, v in one.network.state_dict().items():
        torch.testing.assert_close(two.network.state_dict()[k], v, rtol=1e-3, atol=1e-5)
    other = recipe(
        recordings,
        "other",
        train=[{"file": "3.nc"}],
        start=str(before),
        architecture={"name": "column_mlp", "config": {"width": 12, "depth": 1}},
    )
    with pytest.raises(ConfigError, match="other architecture than those of the bundle to go on"):
        train(other, out=tmp_path / "third", work=tmp_path / "w3", console=quiet())
    assert read_spec(before).provenance.seed == 0
    # Another bundle to go on from is another fit, although its normalization is the same.
    longer = recipe(recordings, "longer", optimizer={"epochs": 2, "batch": 64})
    train(longer, out=before, work=tmp_path / "w4", console=quiet())
    with pytest.raises(DataError, match="checkpoint of another fit"):
        train(again, out=tmp_path / "fourth", work=tmp_path / "w2", console=quiet())


def test_replayed_columns_have_the_share_that_is_said(recordings) -> None:
    path = recipe(recordings, "share", start="x", replay=[{"file": "3.nc"}], replay_share=0.25)
    new, old = (read_recording(recordings / f"{n}.nc", ALL) for n in (1, 3))
    fitting, _ = _parts([new, old], read_recipe(path))
    n = fitting["lat"].numel()
    alone, _ = _parts([new], read_recipe(recipe(recordings)))
    size = alone["lat"].numel()
    assert (n - size) / n == pytest.approx(0.25, abs=0.05)  # every so-manieth column
    with pytest.raises(ValueError, match="replay is for going on from a bundle"):
        Recipe.model_validate(
            yaml.safe_load(recipe(recordings, "no", replay=[{"file": "3.nc"}]).read_text())
        )


class OnMaps(ColumnMLP):
    """A network that wants maps of seven columns, and looks at what it is given."""

    columns_together = 7
    seen: list[torch.Tensor]

    def _tiles(self, inputs):
        self.seen.append(inputs["ps"])
        return super()._tiles(inputs)


def test_a_network_on_maps_is_given_whole_maps_in_any_order(spec, data) -> None:
    network = OnMaps(spec, ColumnMLPConfig(width=9, depth=1))
    network.seen = []
    numbered = [
        {k: v[..., : 7 * n] for k, v in part.items()} | {"ps": torch.arange(7.0 * n)}
        for part, n in zip(data, (100, 13), strict=True)
    ]
    own = spec.model_copy(
        update={"inputs": [*spec.inputs, spec.input("lat").model_copy(update={"name": "ps"})]}
    )
    o = EPOCHS.model_copy(update={"epochs": 2, "batch": 60})
    fit(network, own, *numbered, optimizer=o, seed=1)
    assert len(network.seen) == 2 * (13 + 1)  # 100 maps, eight at a time; one look at the others
    for places in network.seen:
        maps = places.reshape(-1, 7)
        assert bool((maps[:, 0] % 7 == 0).all())
        torch.testing.assert_close(maps - maps[:, :1], torch.arange(7.0).expand_as(maps))
    assert network.seen[0][0] != 0.0 or network.seen[1][0] != 56.0  # shuffled
    first = torch.cat(network.seen[:13]).sort().values
    torch.testing.assert_close(first, torch.arange(700.0))
    network.seen = []
    network.eval()
    predict(network, {n: numbered[0][n] for n in (*NAMES, "ps")}, batch=100)
    assert {p.numel() for p in network.seen} == {98, 14}
    half = thinned(numbered[0], 350, 7)["ps"].reshape(-1, 7)
    assert half.shape[0] == 50 and bool((half[:, 0] % 14 == 0).all())


def test_a_recording_without_whole_maps_is_refused_for_a_network_that_needs_them(
    recordings,
) -> None:
    r = read_recording(recordings / "1.nc", ALL)
    _refuse_samples([r], 11)
    with pytest.raises(DataError, match=r"without whole maps: 1\.nc; expected calls of 7 columns"):
        _refuse_samples([r], 7)
