"""Pretraining of a backbone on states alone: what was masked, and what comes next.

The objective of Prithvi WxC (Schmude et al. 2024, arXiv:2409.13598). From two states of a run, h
hours apart, of which a share of the tokens (or whole windows) is hidden, the state t hours after
the later one is to be given, t being 0 as often as any other lead time: reconstruction and forecast
with one network. It gives the departure from a climatology in units of that departure's deviation,

    x'(t) = climatology + s y,    loss = < ((x'(t) - x(t)) / s)^2 >

with < > the area mean over all channels, so that the climatology itself scores about 1. The
climatology is the mean over time and longitude of the states that are fitted.

A backbone that shall only forecast hides nothing and adds s y to the later input (`residual:
temporal`): what it says at once is persistence, and it learns what will be different.

What is kept for later is the transformers (`FluxHeadV2.load_backbone`); embeddings belong to the
channels of a task.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from rich.console import Console
from torch import Tensor

from coupler.interface.errors import DataError, UnstableError
from emulators.networks.flux_head_v2 import BackboneSize
from emulators.networks.forecast_head import CLOCK
from emulators.networks.maps import MapGrid
from emulators.networks.prithvi import PrithviWxC
from emulators.schema import Data
from emulators.training.data import Columns
from emulators.training.fit import History, copied, device_of, resumed, save_checkpoint


class Pretraining(Data):
    """How a backbone is pretrained."""

    size: BackboneSize = BackboneSize()
    names: tuple[str, ...] = ("ua", "va", "ta")
    every: int = Field(default=1, ge=1)
    """Every how many levels of these fields become channels."""
    input_hours: tuple[float, ...] = (3.0, 6.0, 9.0, 12.0)
    lead_hours: tuple[float, ...] = (0.0, 6.0, 12.0, 24.0)
    mask_ratio: float = Field(default=0.5, ge=0.0, lt=1.0)
    residual: Literal["climate", "temporal"] = "climate"
    """What the answer is added to: the climatology, or the later input."""
    clock: bool = True
    """Whether it is told the time of the year and of the day, or zeros."""
    turned: bool = False
    """Whether samples are turned about the axis and mirrored at the equator at random: for a planet
    that is the same everywhere on a circle of latitude and in both hemispheres."""
    steps: int = Field(default=1000, ge=1)
    batch: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0.0)
    block: int = Field(default=50, ge=1)
    """Steps between two looks at the validation, and two checkpoints."""
    device: str = "auto"


@dataclass(frozen=True, kw_only=True, eq=False)
class States:
    """Whole maps of one run, equally far apart in time."""

    values: Tensor
    """Shape [time, channel, lat, lon]."""
    step: float
    """Between two of them [h]."""
    start: float
    """Time of the first one since the beginning of a year [h]."""
    grid: MapGrid

    def part(self, times: slice) -> States:
        """Some of the times."""
        first = range(self.values.shape[0])[times].start
        return States(
            values=self.values[times],
            step=self.step,
            start=self.start + first * self.step,
            grid=self.grid,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Normal:
    """What states are measured with, by channel."""

    mean: Tensor
    deviation: Tensor
    climate: Tensor
    """Mean over time and longitude, shape [channel, lat, 1]."""
    departure: Tensor
    """Deviation from the climatology, shape [channel]."""

    @classmethod
    def of(cls, states: States) -> Normal:
        """Statistics of the states that are fitted."""
        v = states.values.double()
        climate = v.mean(dim=(0, 3), keepdim=True)
        area = area_weights(states.grid).double()
        mean = (v.mean(dim=0) * area).sum(dim=(1, 2))
        deviation = ((v - mean[:, None, None]).square().mean(dim=0) * area).sum(dim=(1, 2)).sqrt()
        departure = ((v - climate).square().mean(dim=0) * area).sum(dim=(1, 2)).sqrt()
        floor = 1e-6 * deviation.max()
        return cls(
            mean=mean.float(),
            deviation=deviation.clamp_min(floor).float(),
            climate=climate[0].float(),
            departure=departure.clamp_min(floor).float(),
        )


def area_weights(grid: MapGrid) -> Tensor:
    """Share of each cell in the globe, shape [lat, lon]."""
    w = np.cos(np.radians(grid.grid().lat))
    return (
        torch.from_numpy(np.repeat(w / w.sum() / grid.nlon, grid.nlon))
        .float()
        .view(grid.nlat, grid.nlon)
    )


def states_of(recording: Columns, config: Pretraining, grid: MapGrid) -> States:
    """The states of a recording of whole maps.

    Raises:
        DataError: when it holds samples of columns, or its times are not equally far apart.
    """
    hours = 24.0 * recording.days
    steps = np.diff(hours)
    if recording.n != recording.times * grid.ncol or recording.times < 3:
        raise DataError.of(
            "recording without whole maps",
            recording.source.file,
            expected=f"at least 3 calls of {grid.ncol} columns",
            found=f"{recording.times} calls of {recording.n // recording.times}",
            remedy="say `columns: all` of it",
        )
    if not np.allclose(steps, steps[0], rtol=1e-3):
        raise DataError.of(
            "recording of calls that are not equally far apart",
            recording.source.file,
            found=f"{steps.min():g} to {steps.max():g} hours",
        )
    shape = (-1, recording.times, grid.nlat, grid.nlon)
    parts = [recording.fields[n][:: config.every].reshape(shape) for n in config.names]
    values = torch.cat(parts).transpose(0, 1).contiguous()
    return States(values=values, step=float(steps[0]), start=float(hours[0]), grid=grid)


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A batch of the objective."""

    x: Tensor
    target: Tensor
    static: Tensor
    input_time: Tensor
    lead_time: Tensor


def draw(
    states: Sequence[States], config: Pretraining, batch: int, generator: torch.Generator
) -> Task:
    """Draws inputs and targets; every sample has time spans of its own.

    Raises:
        DataError: for runs that are too short for the longest spans.
    """

    def pick(n: int) -> int:
        return int(torch.randint(n, (1,), generator=generator))

    rows: list[tuple[States, int, int, int]] = []
    for _ in range(batch):
        run = states[pick(len(states))]
        before = round(config.input_hours[pick(len(config.input_hours))] / run.step)
        after = round(config.lead_hours[pick(len(config.lead_hours))] / run.step)
        room = run.values.shape[0] - before - after
        if room < 1:
            raise DataError.of(
                "run too short to pretrain on",
                f"{run.values.shape[0]} states",
                expected=f"more than {before + after}",
            )
        rows.append((run, before + pick(room), before, after))
    grid = states[0].grid.grid()
    lat = torch.deg2rad(torch.tensor(grid.lat)).float()[:, None].expand(grid.shape)
    lon = torch.deg2rad(torch.tensor(grid.lon)).float()[None].expand(grid.shape)
    static = []
    for run, i, _, after in rows:
        hour = run.start + (i + after) * run.step
        year, day = 2.0 * math.pi * hour / (365.0 * 24.0), 2.0 * math.pi * hour / 24.0
        numbers = [math.cos(year), math.sin(year), math.cos(day), math.sin(day)]
        numbers = numbers if config.clock else [0.0] * CLOCK
        static.append(torch.stack((lat, lon, *(torch.full(grid.shape, v) for v in numbers))))
    maps = torch.stack([r.values[[i - b, i, i + a]] for r, i, b, a in rows])
    if config.turned:
        maps = torch.stack([turned(m, config.names, generator) for m in maps])
    return Task(
        x=maps[:, :2],
        target=maps[:, 2],
        static=torch.stack(static),
        input_time=torch.tensor([[b * r.step] for r, _, b, _ in rows]),
        lead_time=torch.tensor([[a * r.step] for r, _, _, a in rows]),
    )


def turned(maps: Tensor, names: Sequence[str], generator: torch.Generator) -> Tensor:
    """`maps` turned about the axis and, as often as not, mirrored at the equator.

    Args:
        maps: shape [time, channel, lat, lon], as many channels of each name.
        names: of the fields.
        generator: what is drawn comes from it.
    """
    by = int(torch.randint(maps.shape[-1], (1,), generator=generator))
    maps = maps.roll(by, -1)
    if torch.rand((), generator=generator) < 0.5:
        return maps
    signs = torch.tensor([-1.0 if n == "va" else 1.0 for n in names])
    each = signs.repeat_interleave(maps.shape[1] // len(names))
    return maps.flip(-2) * each[:, None, None]


def backbone(config: Pretraining, channels: int, grid: MapGrid, normal: Normal) -> PrithviWxC:
    """The network that is pretrained, its transformers those of a flux head of the same size."""
    return PrithviWxC(
        config.size.on(
            grid,
            in_channels=channels,
            in_channels_static=CLOCK,
            residual=config.residual,
            masking_mode="both",
        ),
        {"input_mu": normal.mean, "input_sigma": normal.deviation, "output": normal.departure},
    )


def loss_of(
    model: PrithviWxC,
    task: Task,
    normal: Normal,
    area: Tensor,
    ratio: float,
    generator: torch.Generator,
) -> Tensor:
    """The loss of a batch, `ratio` of its tokens hidden; a scalar."""
    climate = normal.climate.expand(task.target.shape).to(task.target.device)
    found = model(
        task.x,
        task.static,
        input_time=task.input_time,
        lead_time=task.lead_time,
        climate=climate,
        mask_ratio=ratio,
        generator=generator,
    )
    scale = normal.departure.to(found.device)[:, None, None]
    error = ((found - task.target) / scale).square().mean(dim=(0, 1))
    loss: Tensor = (error * area.to(found.device)).sum()
    return loss


def pretrain(
    fitted: Sequence[States],
    held_out: Sequence[States],
    config: Pretraining,
    *,
    seed: int,
    checkpoint: Path | None = None,
    identity: str = "",
    console: Console | None = None,
) -> tuple[PrithviWxC, History]:
    """Pretrains a backbone; resumed from `checkpoint` where it exists, to the same bits.

    Args:
        fitted: runs to learn from.
        held_out: later states of them, or other runs.
        config: how.
        seed: of weights, tasks and masks.
        checkpoint: file written every `config.block` steps.
        identity: says what is pretrained; a checkpoint of something else is refused.
        console: where losses go.

    Returns:
        The network with the weights that validated best, and all losses.

    Raises:
        DataError: for runs that are too short, and a checkpoint of something else.
        UnstableError: when the loss is not finite.
    """
    console = console or Console(quiet=True)
    device = device_of(config.device)
    normal, grid = Normal.of(joined(fitted)), fitted[0].grid
    torch.manual_seed(seed)
    model = backbone(config, fitted[0].values.shape[1], grid, normal).to(device)
    adam = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=1e-4)
    history, kept, area = History(), {"best": copied(model)}, area_weights(grid)
    if checkpoint is not None and checkpoint.is_file():
        history, kept = resumed(checkpoint, identity, model, adam)
    blocks = -(-config.steps // config.block)
    for block in range(len(history.train), blocks):
        # Whatever is random in a block follows from its number, so that a resumed run is the same.
        generator = torch.Generator().manual_seed(seed * 100003 + block)
        torch.manual_seed(seed * 100003 + block)
        model.train()
        total, first = 0.0, block * config.block
        steps = range(first, min(first + config.block, config.steps))
        for step in steps:
            for group in adam.param_groups:
                rise = min(1.0, (step + 1) / (0.05 * config.steps))
                fall = 0.5 * (1.0 + math.cos(math.pi * step / config.steps))
                group["lr"] = config.learning_rate * rise * fall
            task = moved(draw(fitted, config, config.batch, generator), device)
            model.masking = "local" if torch.rand((), generator=generator) < 0.5 else "global"
            loss = loss_of(model, task, normal, area, config.mask_ratio, generator)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
            total += float(loss.detach()) / len(steps)
        value = validated(model, held_out, config, normal)
        if not math.isfinite(total + value):
            raise UnstableError.of(
                "the loss is not finite",
                f"pretraining, step {steps[-1] + 1}",
                found=f"{total:g} in training, {value:g} in validation",
                remedy="use a smaller learning rate, or look at the recordings",
            )
        history.train.append(total)
        history.validation.append(value)
        if value < history.best:
            history.best, history.best_epoch = value, block
            kept["best"] = copied(model)
        console.print(f"pretraining {steps[-1] + 1:5d}  loss {total:.4f}  validation {value:.4f}")
        if checkpoint is not None:
            save_checkpoint(checkpoint, identity, model, adam, history, kept)
    model.load_state_dict(kept["best"])
    return model.to("cpu").eval(), history


def joined(runs: Sequence[States]) -> States:
    """All states of all runs, for statistics."""
    first = runs[0]
    values = torch.cat([r.values for r in runs])
    return States(values=values, step=first.step, start=first.start, grid=first.grid)


def moved(task: Task, device: torch.device) -> Task:
    """The same on another device."""
    return Task(**{n: t.to(device) for n, t in vars(task).items()})


def looked_at(states: Sequence[States], config: Pretraining, batches: int = 8) -> list[Task]:
    """The tasks on which everything is scored: the same every time."""
    generator = torch.Generator().manual_seed(1)
    return [draw(states, config, config.batch, generator) for _ in range(batches)]


@torch.no_grad()
def validated(
    model: PrithviWxC,
    states: Sequence[States],
    config: Pretraining,
    normal: Normal,
    *,
    ratio: float | None = None,
) -> float:
    """The loss on the tasks of `looked_at`, half of them with whole windows hidden."""
    generator = torch.Generator().manual_seed(2)
    device, before = model.mask_token.device, model.masking
    model.eval()
    total, area = 0.0, area_weights(states[0].grid)
    tasks = looked_at(states, config)
    for i, drawn in enumerate(tasks):
        task = moved(drawn, device)
        model.masking = "local" if i % 2 == 0 else "global"
        hidden = config.mask_ratio if ratio is None else ratio
        total += float(loss_of(model, task, normal, area, hidden, generator)) / len(tasks)
    model.masking = before
    return total


def persistence(states: Sequence[States], config: Pretraining, normal: Normal) -> float:
    """What `validated` gives, on the same tasks, for the later input in the place of the answer."""
    area, scale = area_weights(states[0].grid), normal.departure[:, None, None]
    tasks = looked_at(states, config)
    errors = [((t.x[:, 1] - t.target) / scale).square().mean(dim=(0, 1)) for t in tasks]
    return float((torch.stack(errors).mean(dim=0) * area).sum())


def by_lead(
    model: PrithviWxC, states: Sequence[States], config: Pretraining, normal: Normal
) -> dict[float, tuple[float, float]]:
    """By lead time [h], the error with nothing hidden and that of persistence."""
    found = {}
    for lead in config.lead_hours:
        asked = config.model_copy(update={"lead_hours": (lead,)})
        found[lead] = (
            validated(model, states, asked, normal, ratio=0.0),
            persistence(states, asked, normal),
        )
    return found
