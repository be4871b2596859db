"""Pretraining: what it learns is better than the climatology, and a flux head can take it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console
from safetensors.torch import save_file
from synthetic_columns import columns, with_truth, write_recording

from coupler.interface.errors import ContractError, DataError, UnstableError
from coupler.interface.grid import HybridLevels
from emulators.bundle import load_bundle
from emulators.networks.flux_head_v2 import BackboneSize, FluxHeadConfig, FluxHeadV2
from emulators.networks.maps import MapGrid
from emulators.schema import Levels, Source
from emulators.training import train
from emulators.training.data import Columns
from emulators.training.pretrain import (
    Normal,
    Pretraining,
    States,
    area_weights,
    by_lead,
    draw,
    looked_at,
    persistence,
    pretrain,
    states_of,
    validated,
)
from emulators.training.recipe import Recording

GRID = MapGrid(nlat=8, nlon=16)
CONFIG = Pretraining(
    size=BackboneSize(
        embed_dim=16, n_heads=2, n_blocks_encoder=1, n_blocks_decoder=0, mask_unit=(4, 8),
        drop_path=0.0,
    ),
    steps=120, batch=4, block=40, learning_rate=4e-3, device="cpu",
)  # fmt: skip


def waves(times: int, phase: float = 0.0) -> States:
    """Waves that travel round the globe in two days, over a mean that depends on latitude."""
    lat = np.radians(GRID.grid().lat)[None, :, None]
    lon = np.radians(GRID.grid().lon)[None, None, :]
    hours = 3.0 * np.arange(times)[:, None, None]
    turn = 2.0 * np.pi * hours / 48.0
    a = 20.0 * np.sin(2 * lat) + 5.0 * np.cos(lat) * np.cos(2 * lon - turn + phase)
    b = 250.0 + 30.0 * np.cos(lat) + 3.0 * np.cos(lat) * np.sin(2 * lon - turn + phase)
    values = torch.from_numpy(np.stack((a, b), axis=1)).float()
    return States(values=values, step=3.0, start=0.0, grid=GRID)


@pytest.fixture(scope="module")
def pretrained() -> Any:
    return pretrain([waves(90)], [waves(40, 1.0)], CONFIG, seed=1)


def test_it_beats_the_climatology_with_half_of_the_tokens_hidden(pretrained: Any) -> None:
    model, history = pretrained
    normal = Normal.of(waves(90))
    assert history.best == pytest.approx(validated(model, [waves(40, 1.0)], CONFIG, normal))
    # The climatology scores 1 by the definition of the scale; 120 steps are a beginning.
    assert history.best < 0.9
    assert validated(model, [waves(40, 1.0)], CONFIG, normal, ratio=0.0) < 0.9
    # Waves that turn by up to half a circle within a day: what is there now is no forecast.
    assert persistence([waves(40, 1.0)], CONFIG, normal) > 0.5


def test_persistence_is_scored_on_the_tasks_that_validate() -> None:
    noise = torch.randn(40, 2, 8, 16, generator=torch.Generator().manual_seed(4))
    runs = [States(values=noise, step=3.0, start=0.0, grid=GRID)]
    normal = Normal.of(runs[0])

    class Still(torch.nn.Module):
        """Gives the later input, and keeps what it is asked."""

        def __init__(self) -> None:
            super().__init__()
            self.mask_token, self.masking = torch.zeros(1), "global"
            self.seen: list[Any] = []

        def forward(self, x: Any, static: Any, **more: Any) -> Any:
            self.seen.append((x, more["lead_time"]))
            return x[:, 1]

    still: Any = Still()
    want = validated(still, runs, CONFIG, normal)
    # float32 means over the same numbers in another order
    assert persistence(runs, CONFIG, normal) == pytest.approx(want, rel=1e-5)
    tasks = looked_at(runs, CONFIG)
    assert len(tasks) == len(still.seen)
    for task, (x, lead) in zip(tasks, still.seen, strict=True):
        assert torch.equal(task.x, x) and torch.equal(task.lead_time, lead)


def test_without_learning_it_is_the_climatology_at_best() -> None:
    still = CONFIG.model_copy(update={"learning_rate": 1e-12, "steps": 1})
    _, history = pretrain([waves(90)], [waves(40, 1.0)], still, seed=1)
    assert history.best > 0.95


def test_an_interrupted_pretraining_goes_on_to_the_same_bits(
    pretrained: Any, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    runs = ([waves(90)], [waves(40, 1.0)])

    class Stop(Exception):
        pass

    class Once:
        """A console that ends it after two blocks, before the second checkpoint is written."""

        said = 0

        def print(self, text: str) -> None:
            self.said += 1
            if self.said == 2:
                raise Stop(text)

    with pytest.raises(Stop):
        pretrain(*runs, CONFIG, seed=1, checkpoint=path, identity="a", console=Once())  # type: ignore[arg-type]
    again, history = pretrain(*runs, CONFIG, seed=1, checkpoint=path, identity="a")
    model, whole = pretrained
    assert vars(history) == vars(whole)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    with pytest.raises(DataError, match="checkpoint of another fit"):
        pretrain(*runs, CONFIG, seed=1, checkpoint=path, identity="b")


def test_a_flux_head_takes_the_transformers(pretrained: Any, tmp_path: Path) -> None:
    model, _ = pretrained
    save_file(model.state_dict(), tmp_path / "backbone.safetensors")
    config = FluxHeadConfig(grid=GRID, widths=(6, 8), size=CONFIG.size)
    head = FluxHeadV2(5, 4, widths=(6, 8), prithvi=config.prithvi())
    taken = head.load_backbone(tmp_path / "backbone.safetensors")
    assert taken.loaded
    assert not taken.left
    own = head.model.encoder.state_dict()
    for name, tensor in model.encoder.state_dict().items():
        assert torch.equal(own[name], tensor)


def test_inputs_and_targets_lie_as_far_apart_as_they_say() -> None:
    values = torch.randn(60, 2, 8, 16, generator=torch.Generator().manual_seed(2))
    run = States(values=values, step=3.0, start=0.0, grid=GRID)
    task = draw([run], CONFIG, 32, torch.Generator().manual_seed(3))
    leads = {float(v) for v in task.lead_time}
    assert leads == set(CONFIG.lead_hours)
    for n in range(32):
        i = next(j for j in range(60) if torch.equal(run.values[j], task.x[n, 1]))
        before, after = (round(float(t[n]) / 3.0) for t in (task.input_time, task.lead_time))
        assert torch.equal(run.values[i - before], task.x[n, 0])
        assert torch.equal(run.values[i + after], task.target[n])
        hour = 3.0 * (i + after)
        # The clock is that of the target.
        assert float(task.static[n, 4, 0, 0]) == pytest.approx(
            np.cos(2 * np.pi * hour / 24.0), abs=1e-5
        )


FORECAST = CONFIG.model_copy(
    update={"mask_ratio": 0.0, "residual": "temporal", "clock": False, "lead_hours": (6.0, 12.0)}
)


def test_what_is_added_to_the_later_input_begins_as_persistence_and_beats_it() -> None:
    runs = [waves(40, 1.0)]
    started, _ = pretrain([waves(90)], runs, FORECAST.model_copy(update={"steps": 1}), seed=1)
    with torch.no_grad():
        started.unembed.weight.zero_()
        started.unembed.bias.zero_()
    normal = Normal.of(waves(90))
    for mine, still in by_lead(started, runs, FORECAST, normal).values():
        assert mine == pytest.approx(still, rel=1e-5)  # float32
    model, _ = pretrain([waves(90)], runs, FORECAST, seed=1)
    found = by_lead(model, runs, FORECAST, normal)
    assert list(found) == [6.0, 12.0]
    assert all(mine < 0.7 * still for mine, still in found.values())
    assert found[12.0][1] > 1.5 * found[6.0][1]  # waves move on


def test_a_backbone_without_a_clock_is_told_no_time() -> None:
    task = draw([waves(60)], FORECAST, 3, torch.Generator().manual_seed(3))
    assert not task.static[:, 2:].any() and task.static[:, :2].any()


def test_samples_are_turned_and_mirrored_as_a_whole() -> None:
    values = torch.randn(60, 4, 8, 16, generator=torch.Generator().manual_seed(2))
    run = States(values=values, step=3.0, start=0.0, grid=GRID)
    config = CONFIG.model_copy(update={"turned": True, "names": ("ua", "va")})
    task = draw([run], config, 32, torch.Generator().manual_seed(3))
    signs = torch.tensor([1.0, 1.0, -1.0, -1.0])[:, None, None]  # only the northward wind turns
    kinds = set()
    for n in range(32):
        before, after = (round(float(t[n]) / 3.0) for t in (task.input_time, task.lead_time))
        first = task.x[n, 0, 0]
        for by, mirrored in ((b, m) for b in range(16) for m in (False, True)):
            back = (first.flip(-2) if mirrored else first).roll(-by, -1)
            where = (values[:, 0] == back).all(dim=(1, 2)).nonzero()
            if not len(where):
                continue
            kinds.add((by, mirrored))
            i = int(where[0, 0])
            for found, want in (
                (task.x[n, 0], values[i]),
                (task.x[n, 1], values[i + before]),
                (task.target[n], values[i + before + after]),
            ):
                same = want.roll(by, -1)
                assert torch.equal(found, same.flip(-2) * signs if mirrored else same)
    assert len(kinds) > 12 and {m for _, m in kinds} == {False, True}


def recording(times: int, each: int, days: np.ndarray | None = None) -> Columns:
    levels = Levels(a=[0.0, 100.0, 0.0, 0.0], b=[0.0, 0.1, 0.5, 1.0])
    source = Source(file="r.nc", sha256="0", times=times, columns=each)
    n = times * each
    fields = {
        "ua": torch.arange(3.0 * n).reshape(3, n), "va": torch.zeros(3, n), "ta": torch.ones(3, n)
    }  # fmt: skip
    days = np.arange(times) / 8.0 if days is None else days
    return Columns(fields=fields, levels=levels, source=source, times=times, days=days)


def test_maps_of_a_recording_keep_their_place() -> None:
    config = CONFIG.model_copy(update={"every": 2})
    found = states_of(recording(5, 128), config, GRID)
    assert found.values.shape == (5, 6, 8, 16)  # two of three levels of three fields
    assert found.step == pytest.approx(3.0)
    values = recording(5, 128).fields["ua"]
    assert float(found.values[3, 1, 2, 7]) == float(values[2, 3 * 128 + 2 * 16 + 7])


def test_samples_of_columns_and_uneven_times_are_refused() -> None:
    with pytest.raises(DataError, match=r"recording without whole maps: r.nc; .*columns: all"):
        states_of(recording(5, 100), CONFIG, GRID)
    with pytest.raises(DataError, match="not equally far apart"):
        states_of(recording(4, 128, np.array([0.0, 0.1, 0.3, 0.4])), CONFIG, GRID)
    with pytest.raises(DataError, match="run too short to pretrain on: 7 states"):
        draw([waves(7)], CONFIG, 8, torch.Generator().manual_seed(0))


def test_a_loss_that_is_not_finite_ends_it() -> None:
    broken = waves(90)
    broken.values[40:] = torch.nan
    with pytest.raises(UnstableError, match="the loss is not finite: pretraining, step 40"):
        pretrain([broken], [waves(40)], CONFIG, seed=1)


def test_weights_of_cells_make_a_mean() -> None:
    area = area_weights(GRID)
    assert float(area.sum()) == pytest.approx(1.0, rel=1e-6)
    assert float(area[0, 0]) < float(area[4, 0])


def test_a_recipe_fits_a_head_on_whole_maps_around_a_pretrained_backbone(
    pretrained: Any, tmp_path: Path, levels: HybridLevels
) -> None:
    """The small network of this module pretrained, then recorded maps, then a bundle."""
    model, _ = pretrained
    save_file(model.state_dict(), tmp_path / "backbone.safetensors")
    asked: list[int | None] = []

    def record(case: Path, days: float, seed: int, set: Any, out: Path, n: int | None) -> Path:
        asked.append(n)
        out.mkdir(parents=True, exist_ok=True)
        c = with_truth(columns(4 * GRID.ncol, levels, seed), levels)
        return write_recording(out / "record.nc", c, levels, times=4, seed=seed)

    (tmp_path / "case.yaml").write_text("title: maps\n")
    recipe = {
        "name": "head",
        "process": "gravity_wave",
        "bundle": "head",
        "pretrained": "backbone.safetensors",
        "inputs": ["ua", "va", "ta", "lat"],
        "train": [{"case": "case.yaml", "days": 1, "seed": 1, "columns": "all"}],
        "test": {"case": "case.yaml", "days": 1, "seed": 2, "columns": "all"},
        "architecture": {
            "name": "flux_head",
            "config": {
                "grid": {"nlat": GRID.nlat, "nlon": GRID.nlon},
                "widths": [5, 6],
                "size": CONFIG.size.model_dump(mode="json"),
            },
        },
        "optimizer": {"epochs": 2, "batch": 256, "device": "cpu"},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    quiet = Console(quiet=True)
    bundle = train(path, record=record, work=tmp_path / "work", console=quiet)
    assert asked == [None, None]  # all columns
    core = load_bundle(bundle).network.core
    assert isinstance(core, FluxHeadV2)
    for name, tensor in model.encoder.state_dict().items():
        assert torch.equal(core.model.encoder.state_dict()[name], tensor), name
    # Another backbone is another fit: the checkpoint of the first one is not gone on with.
    changed = {n: t + 1.0 if t.is_floating_point() else t for n, t in model.state_dict().items()}
    save_file(changed, tmp_path / "backbone.safetensors")
    with pytest.raises(DataError, match="checkpoint of another fit"):
        train(path, record=record, work=tmp_path / "work", console=quiet)
    recipe["architecture"] = {"name": "column_mlp", "config": {"width": 5, "depth": 1}}
    recipe["inputs"] = ["ua", "va", "ta", "pfull", "lat"]
    path.write_text(yaml.safe_dump(recipe))
    with pytest.raises(ContractError, match="a pretrained backbone for a network without one"):
        train(path, record=record, work=tmp_path / "work", console=quiet)


def test_a_recording_of_no_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="columns are a number of at least 1, or all"):
        Recording(case="case.yaml", days=1.0, columns=0)
