"""The training loop: deterministic by seed, resumable, stopped by later days of the same runs,
on a GPU when there is one. At its end an average of checkpoints may take the place of the best one.

Loss, on normalized quantities: mean square of the flux error, plus `drag_weight` times the mean
square of the error of each layer's flux difference, because the flow feels the difference.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from coupler.interface.errors import ConfigError, DataError, UnstableError
from emulators.networks import Network
from emulators.schema import BundleSpec
from emulators.training.averaging import combined, search, update_mean
from emulators.training.recipe import Optimizer


@dataclass(kw_only=True)
class History:
    """What happened, epoch by epoch."""

    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best: float = math.inf
    best_epoch: int = -1
    averaged: float | None = None
    """Validation loss of the average that was taken; None where the best epoch was."""
    coefficients: list[float] = field(default_factory=list)
    """Of the snapshots, where a search found them."""


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

    def to(self, device: torch.device) -> Loss:
        """The same with its tensors on another device."""
        for name in ("weight", "per_scale", "scale", "per_drag"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def target(self, fields: Mapping[str, Tensor]) -> Tensor:
        """Normalized truth, shape [interface, outputs x n]."""
        return torch.cat([fields[n] for n in self.names], dim=1) * self.per_scale

    def __call__(self, y: Tensor, target: Tensor) -> Tensor:
        error = (y - target) * self.weight
        flux = error.square().sum(dim=0).mean() / self.weight.sum()
        drag = (((error * self.scale).diff(dim=0)) * self.per_drag).square().mean()
        return flux + self.drag_weight * drag


def learning_rate(step: int, steps: int, o: Optimizer) -> float:
    """Learning rate at `step` of `steps`: see `Optimizer.schedule`."""
    if o.schedule == "wsd":
        rise, fall = round(o.warm_up * steps), max(1, round(o.decay * steps))
        if step < rise:
            return o.learning_rate * (step + 1) / rise
        return o.learning_rate * (1.0 - math.sqrt(max(0, step - (steps - fall)) / fall))
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
        seed: of the order of columns and of dropout; with the same weights at the start, the result
            is the same.
        checkpoint: file to resume from where it exists, written after every epoch.
        identity: says what is being fitted; a checkpoint of something else is refused.
        stop_after: epochs after which to return, as if interrupted.
        console: where progress and losses go.

    Raises:
        DataError: for a checkpoint that is unreadable or of another fit.
        UnstableError: when the loss is not finite.
    """
    device = device_of(optimizer.device)
    network.to(device)
    loss_of = Loss(spec, train, optimizer.drag_weight).to(device)
    inputs = [c.name for c in spec.inputs]
    n = next(iter(train.values())).shape[-1]
    # A network that sees whole maps is shown whole maps; for others a sample is a column.
    together = getattr(network, "columns_together", 1)
    samples, each = n // together, max(1, optimizer.batch // together)
    within = torch.arange(together)
    batches = -(-samples // each)
    adam = torch.optim.AdamW(
        network.parameters(), lr=optimizer.learning_rate, weight_decay=optimizer.weight_decay
    )
    history, kept = History(), {"best": copied(network)}
    if optimizer.average == "ema":
        kept["ema"] = copied(network)
    if checkpoint is not None and checkpoint.is_file():
        history, kept = resumed(checkpoint, identity, network, adam)
    console = console or Console(quiet=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        start = len(history.train)
        task = progress.add_task("fit", total=(optimizer.epochs - start) * batches)
        for epoch in range(start, optimizer.epochs):
            if epoch - history.best_epoch > optimizer.patience or epoch == stop_after:
                break
            # All that is random in an epoch, dropout too, follows from its number: a fit that was
            # resumed is the same.
            torch.manual_seed(seed * 100003 + epoch)
            order = torch.randperm(samples)
            network.train()
            total = torch.zeros((), dtype=torch.float64)
            for i in range(batches):
                chosen = order[i * each : (i + 1) * each]
                index = (chosen[:, None] * together + within).reshape(-1)
                batch = {k: v[..., index].to(device) for k, v in train.items()}
                rate = learning_rate(epoch * batches + i, optimizer.epochs * batches, optimizer)
                for group in adam.param_groups:
                    group["lr"] = rate
                adam.zero_grad()
                with mixed(optimizer.precision, device):
                    y = network.normalized({k: batch[k] for k in inputs})
                loss = loss_of(y.float(), loss_of.target(batch))
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(network.parameters(), optimizer.clip)
                adam.step()
                if "ema" in kept:
                    update_mean(kept["ema"], network.state_dict(), optimizer.ema)
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
                kept["best"] = copied(network)
            if optimizer.average == "search":
                kept[f"epoch{epoch}"] = copied(network)
                kept.pop(f"epoch{epoch - optimizer.snapshots}", None)
            progress.update(task, description=f"fit {curve(history.validation)}")
            console.print(
                f"epoch {epoch + 1:3d}  loss {float(total):.5f}  validation {value:.5f}"
                + ("  best" if history.best_epoch == epoch else "")
            )
            if checkpoint is not None:
                save_checkpoint(checkpoint, identity, network, adam, history, kept)
                draw_losses(history, checkpoint.with_name("losses.png"))

    def validated(weights: Mapping[str, Tensor]) -> float:
        network.load_state_dict(weights)
        return evaluate(network, loss_of, inputs, validation)

    network.eval()
    taken = _averaged(kept, validated, history, optimizer, seed, console)
    network.load_state_dict(taken)
    network.to("cpu")
    return history


def _averaged(
    kept: Mapping[str, dict[str, Tensor]],
    validated: Callable[[Mapping[str, Tensor]], float],
    history: History,
    optimizer: Optimizer,
    seed: int,
    console: Console,
) -> dict[str, Tensor]:
    """The best epoch, or an average that validates better."""
    if "ema" in kept:
        value = validated(kept["ema"])
        console.print(f"exponential mean: validation {value:.5f}, best epoch {history.best:.5f}")
        if value < history.best:
            history.averaged = value
            return kept["ema"]
    epochs = [k for k in kept if k.startswith("epoch")]
    if len(epochs) > 1:
        states = [kept[k] for k in epochs]
        found = search(states, validated, evaluations=optimizer.evaluations, seed=seed)
        console.print(
            f"search over {len(states)} epochs: validation {found.score:.5f}, their mean "
            f"{found.mean:.5f}, best epoch {history.best:.5f}"
        )
        if found.score < history.best:
            history.averaged, history.coefficients = found.score, found.coefficients
            return combined(states, found.coefficients)
    return kept["best"]


def copied(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights."""
    return {k: v.detach().clone() for k, v in network.state_dict().items()}


def device_of(name: str) -> torch.device:
    """The device that a recipe names.

    Raises:
        ConfigError: for one that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError.of(
            "no such device to train on",
            name,
            found=str(error).splitlines()[0],
            remedy="leave `optimizer.device` out, or say 'cpu'",
        ) from error


def mixed(precision: str, device: torch.device) -> torch.autocast:
    """The context in which a network is called in training."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def curve(losses: list[float], width: int = 24) -> str:
    """The last losses as a line of blocks, on a logarithmic scale: the live loss curve."""
    last = [math.log(max(v, 1e-30)) for v in losses[-width:]]
    low, high = min(last), max(last)
    steps = "▁▂▃▄▅▆▇█"
    scale = (len(steps) - 1) / (high - low) if high > low else 0.0
    return "".join(steps[round((v - low) * scale)] for v in last)


def draw_losses(history: History, path: Path) -> None:
    """The losses of all epochs as a picture, beside the checkpoint."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.2), layout="constrained")
    axis = figure.subplots()
    epochs = range(1, len(history.train) + 1)
    axis.semilogy(epochs, history.train, label="training")
    axis.semilogy(epochs, history.validation, label="validation")
    axis.axvline(history.best_epoch + 1, color="0.7", lw=0.8)
    axis.set(xlabel="epoch", ylabel="loss")
    axis.legend(frameon=False)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    figure.savefig(beside, dpi=90, format="png")
    beside.rename(path)


def evaluate(
    network: Network, loss_of: Loss, inputs: list[str], fields: Mapping[str, Tensor]
) -> float:
    """The loss over all columns of `fields`, as the network is used: nothing dropped, and running
    statistics, if it has any, left as they are. `network` is then in the mode in which it was."""
    n = next(iter(fields.values())).shape[-1]
    together = getattr(network, "columns_together", 1)
    batch = max(1, 16384 // together) * together
    total, training = 0.0, network.training
    network.eval()
    with torch.no_grad():
        for j in range(0, n, batch):
            part = {k: v[..., j : j + batch].to(loss_of.scale.device) for k, v in fields.items()}
            y = network.normalized({k: part[k] for k in inputs})
            size = next(iter(part.values())).shape[-1]
            total += float(loss_of(y, loss_of.target(part))) * size / n
    network.train(training)
    return total


def save_checkpoint(
    path: Path,
    identity: str,
    network: nn.Module,
    adam: torch.optim.Optimizer,
    history: History,
    kept: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """All that a fit goes on from, in one file that appears whole or not at all."""
    tensors = {f"now.{k}": v for k, v in network.state_dict().items()}
    for kind, weights in kept.items():
        tensors |= {f"{kind}.{k}": v for k, v in weights.items()}
    for i, state in adam.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
    metadata = {"identity": identity, "history": json.dumps(vars(history))}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    save_file({k: v.contiguous() for k, v in tensors.items()}, beside, metadata)
    beside.rename(path)


def resumed(
    path: Path, identity: str, network: nn.Module, adam: torch.optim.Optimizer
) -> tuple[History, dict[str, dict[str, Tensor]]]:
    """Puts `network` and `adam` where `save_checkpoint` left them; the losses and kept weights.

    Raises:
        DataError: for a file that is unreadable or of another fit.
    """
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
    part: dict[str, dict[str, Tensor]] = {}
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "adam":
            index, _, key = rest.partition(".")
            states.setdefault(int(index), {})[key] = tensor
        else:
            part.setdefault(kind, {})[rest] = tensor
    network.load_state_dict(part.pop("now"))
    adam.load_state_dict(adam.state_dict() | {"state": states})
    device = next(network.parameters()).device
    kept = {kind: {k: v.to(device) for k, v in w.items()} for kind, w in part.items()}
    return History(**json.loads(metadata["history"])), kept
