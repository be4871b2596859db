"""The training loop: deterministic by seed, resumable, stopped by later days of the same runs.

Loss, on normalized quantities: mean square of the flux error, plus `drag_weight` times the mean
square of the error of each layer's flux difference, because the flow feels the difference.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from coupler.interface.errors import DataError, UnstableError
from emulators.networks import Network
from emulators.schema import BundleSpec
from emulators.training.recipe import Optimizer


@dataclass(kw_only=True)
class History:
    """What happened, epoch by epoch."""

    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best: float = math.inf
    best_epoch: int = -1


class Loss:
    """Mean square error of normalized flux and of normalized flux differences."""

    def __init__(self, spec: BundleSpec, truth: Mapping[str, Tensor], drag_weight: float) -> None:
        self.names = [o.name for o in spec.outputs]
        scale = torch.tensor(spec.outputs[0].scale)[:, None]
        self.weight = (scale > 0.0).float()
        self.per_scale = torch.where(scale > 0.0, 1.0 / scale, torch.zeros_like(scale))
        self.scale = scale
        square = torch.stack(
            [truth[n].double().diff(dim=0).square().mean(dim=1) for n in self.names]
        )
        rms = square.mean(dim=0).sqrt().float()[:, None]
        # As for the flux: an almost empty layer shall not rule the loss.
        self.per_drag = torch.where(rms > 0.0, 1.0 / rms.clamp_min(0.02 * float(rms.max())), rms)
        self.drag_weight = drag_weight

    def target(self, fields: Mapping[str, Tensor]) -> Tensor:
        """Normalized truth, shape [interface, outputs x n]."""
        return torch.cat([fields[n] for n in self.names], dim=1) * self.per_scale

    def __call__(self, y: Tensor, target: Tensor) -> Tensor:
        error = (y - target) * self.weight
        flux = error.square().sum(dim=0).mean() / self.weight.sum()
        drag = (((error * self.scale).diff(dim=0)) * self.per_drag).square().mean()
        return flux + self.drag_weight * drag


def learning_rate(step: int, steps: int, o: Optimizer) -> float:
    """Learning rate at `step` of `steps`: a cosine to zero, after a rise for ``one_cycle``."""
    rise = steps // 10 if o.schedule == "one_cycle" else 0
    if step < rise:
        return o.learning_rate * (step + 1) / rise
    share = (step - rise) / max(steps - rise, 1)
    return o.learning_rate * 0.5 * (1.0 + math.cos(math.pi * share))


def fit(
    network: Network,
    spec: BundleSpec,
    train: Mapping[str, Tensor],
    validation: Mapping[str, Tensor],
    *,
    optimizer: Optimizer,
    seed: int,
    checkpoint: Path | None = None,
    identity: str = "",
    stop_after: int | None = None,
    console: Console | None = None,
) -> History:
    """Fits `network` in place; at the end it holds the weights that validated best.

    Args:
        network: with fresh weights.
        spec: what is fitted.
        train: inputs and truth, shape [level|interface, n].
        validation: the same of later times.
        optimizer: how.
        seed: of the order of columns; with the same weights at the start, the result is the same.
        checkpoint: file to resume from where it exists, written after every epoch.
        identity: says what is being fitted; a checkpoint of something else is refused.
        stop_after: epochs after which to return, as if interrupted.
        console: where progress and losses go.

    Raises:
        DataError: for a checkpoint that is unreadable or of another fit.
        UnstableError: when the loss is not finite.
    """
    loss_of = Loss(spec, train, optimizer.drag_weight)
    inputs = [c.name for c in spec.inputs]
    n = next(iter(train.values())).shape[-1]
    batches = -(-n // optimizer.batch)
    adam = torch.optim.AdamW(
        network.parameters(), lr=optimizer.learning_rate, weight_decay=optimizer.weight_decay
    )
    history, best = History(), {k: v.clone() for k, v in network.state_dict().items()}
    if checkpoint is not None and checkpoint.is_file():
        history, best = _resume(checkpoint, identity, network, adam)
    console = console or Console(quiet=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    network.train()
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        start = len(history.train)
        task = progress.add_task("fit", total=(optimizer.epochs - start) * batches)
        for epoch in range(start, optimizer.epochs):
            if epoch - history.best_epoch > optimizer.patience or epoch == stop_after:
                break
            order = torch.randperm(
                n, generator=torch.Generator().manual_seed(seed * 100003 + epoch)
            )
            total = torch.zeros((), dtype=torch.float64)
            for i in range(batches):
                index = order[i * optimizer.batch : (i + 1) * optimizer.batch]
                batch = {k: v[..., index] for k, v in train.items()}
                rate = learning_rate(epoch * batches + i, optimizer.epochs * batches, optimizer)
                for group in adam.param_groups:
                    group["lr"] = rate
                adam.zero_grad()
                y = network.normalized({k: batch[k] for k in inputs})
                loss = loss_of(y, loss_of.target(batch))
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(network.parameters(), optimizer.clip)
                adam.step()
                total += float(loss.detach()) * index.numel() / n
                progress.advance(task)
            value = evaluate(network, loss_of, inputs, validation)
            if not (math.isfinite(value) and math.isfinite(float(total))):
                raise UnstableError.of(
                    "the loss is not finite",
                    f"{spec.name}: epoch {epoch + 1}",
                    found=f"{float(total):g} in training, {value:g} in validation",
                    remedy="use a smaller learning rate, or look at the recordings",
                )
            history.train.append(float(total))
            history.validation.append(value)
            if value < history.best:
                history.best, history.best_epoch = value, epoch
                best = {k: v.clone() for k, v in network.state_dict().items()}
            console.print(
                f"epoch {epoch + 1:3d}  loss {float(total):.5f}  validation {value:.5f}"
                + ("  best" if history.best_epoch == epoch else "")
            )
            if checkpoint is not None:
                _save(checkpoint, identity, network, adam, history, best)
    network.load_state_dict(best)
    network.eval()
    return history


def evaluate(
    network: Network, loss_of: Loss, inputs: list[str], fields: Mapping[str, Tensor]
) -> float:
    """The loss over all columns of `fields`."""
    n = next(iter(fields.values())).shape[-1]
    total = 0.0
    with torch.no_grad():
        for j in range(0, n, 16384):
            part = {k: v[..., j : j + 16384] for k, v in fields.items()}
            y = network.normalized({k: part[k] for k in inputs})
            size = next(iter(part.values())).shape[-1]
            total += float(loss_of(y, loss_of.target(part))) * size / n
    return total


def _save(
    path: Path,
    identity: str,
    network: Network,
    adam: torch.optim.Optimizer,
    history: History,
    best: Mapping[str, Tensor],
) -> None:
    tensors = {f"now.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    for i, state in adam.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
    metadata = {"identity": identity, "history": json.dumps(vars(history))}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    save_file({k: v.contiguous() for k, v in tensors.items()}, beside, metadata)
    beside.rename(path)


def _resume(
    path: Path, identity: str, network: Network, adam: torch.optim.Optimizer
) -> tuple[History, dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError.of(
            "unreadable checkpoint", str(path), found=str(error), remedy="delete it to start anew"
        ) from error
    if metadata.get("identity") != identity:
        raise DataError.of(
            "checkpoint of another fit",
            str(path),
            expected="the same recipe and data",
            remedy="delete it to start anew, or set `work` to another folder",
        )
    part: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}}
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "adam":
            index, _, key = rest.partition(".")
            states.setdefault(int(index), {})[key] = tensor
        else:
            part[kind][rest] = tensor
    network.load_state_dict(part["now"])
    adam.load_state_dict(adam.state_dict() | {"state": states})
    return History(**json.loads(metadata["history"])), part["best"]
