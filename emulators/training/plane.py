"""From maps of a plane to a bundle that gives tendencies: the recipe of a learned closure.

What a coarse flow is missing can not be recorded from a coarse run; it comes from a fine one, as
maps of fields and of the tendency that is wanted. Loss: mean square of the normalized tendency.
Adam, one cycle of the learning rate.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from coupler.interface.errors import DataError, UnstableError
from coupler.interface.fields import FIELDS, TENDENCY_UNITS
from coupler.interface.grid import HybridLevels
from emulators.bundle import write_bundle
from emulators.networks.plane_conv import PlaneConv
from emulators.schema import Architecture, BundleSpec, Channel, Levels, Output, Provenance, Source

Tensor = torch.Tensor


@dataclass(frozen=True, kw_only=True)
class PlaneRecipe:
    """What is fitted, and how."""

    name: str
    process: str
    of: str
    """State variable whose tendency it is."""
    spacing: float
    """Distance of grid points [m]."""
    interval: float | None = None
    """Time between calls [s]; None: every step."""
    channels: tuple[int, ...] = (16, 16, 16)
    kernels: tuple[int, ...] = (5, 3, 3, 3)
    epochs: int = 60
    batch: int = 8
    """Maps."""
    learning_rate: float = 4e-3
    seed: int = 0
    bound_factor: float = 100.0
    """Tendencies beyond this times the largest one of the training data are cut."""


def train_plane(
    recipe: PlaneRecipe,
    inputs: Mapping[str, Tensor],
    target: Tensor,
    out: Path,
    *,
    source: str = "maps",
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Fits a network and writes its bundle.

    Args:
        recipe: what and how.
        inputs: fields by name, in the units of the fields table, [level, map, y, x].
        target: the tendency, [level, map, y, x].
        out: the folder of the bundle.
        source: what the maps are, in words.
        overwrite: whether a bundle that is there is replaced.
        progress: told the loss now and then.

    Raises:
        DataError: for maps that do not fit each other.
        UnstableError: when the loss is not finite.
    """
    shapes = {n: tuple(f.shape) for n, f in inputs.items()} | {f"tn_{recipe.of}": target.shape}
    if len({tuple(s) for s in shapes.values()}) != 1 or target.shape[-1] != target.shape[-2]:
        raise DataError.of(
            "maps that do not fit each other",
            recipe.name,
            expected="square maps [level, map, y, x] of one shape",
            found=", ".join(f"{n} {tuple(s)}" for n, s in shapes.items()),
        )
    nx = target.shape[-1]
    own = {
        "nx": nx,
        "spacing": recipe.spacing,
        "channels": list(recipe.channels),
        "kernels": list(recipe.kernels),
    }
    spec = describe(recipe, Architecture(name="plane_conv", config=own), inputs, target, source)
    torch.manual_seed(recipe.seed)
    network = PlaneConv(spec, PlaneConv.Config.model_validate(own))
    columns = {n: f.reshape(f.shape[0], -1) for n, f in inputs.items()}
    x = network.stacked(columns).contiguous()
    y = target.transpose(0, 1).float() / network.get_buffer("out_scale")
    fit_tendency(recipe, network, network.planes, x, y, progress=progress)
    reference = {n: c[:, : nx * nx] for n, c in columns.items()}
    return write_bundle(out, spec, network, reference, overwrite=overwrite)


class Fitted(Protocol):
    """What `describe` and `fit_tendency` need of a recipe."""

    @property
    def name(self) -> str: ...
    @property
    def process(self) -> str: ...
    @property
    def of(self) -> str: ...
    @property
    def interval(self) -> float | None: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def bound_factor(self) -> float: ...


def fit_tendency(
    recipe: Fitted,
    network: nn.Module,
    call: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    noise: float = 0.0,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Fits a network in place; the order of samples follows from the seed.

    Args:
        recipe: how.
        network: with fresh weights.
        call: its normalized tendency of normalized inputs.
        x: the inputs, the first axis is samples.
        y: the tendency.
        noise: deviation of what is added to the inputs, anew in every epoch.
        progress: told the loss now and then.

    Raises:
        UnstableError: when the loss is not finite.
    """
    adam = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    batches = -(-len(x) // recipe.batch)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        adam, recipe.learning_rate, total_steps=recipe.epochs * batches, pct_start=0.1
    )
    order = torch.Generator().manual_seed(recipe.seed)
    network.train()
    for epoch in range(recipe.epochs):
        total = 0.0
        shuffled = torch.randperm(len(x), generator=order)
        for i in range(batches):
            chosen = shuffled[i * recipe.batch : (i + 1) * recipe.batch]
            given = x[chosen]
            if noise:
                given = given + noise * torch.randn(given.shape, generator=order)
            adam.zero_grad()
            loss = (call(given) - y[chosen]).square().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            cycle.step()
            total += float(loss.detach()) * len(chosen) / len(x)
        if not total < float("inf"):
            raise UnstableError.of(
                "the loss is not finite",
                f"{recipe.name}: epoch {epoch + 1}",
                remedy="use a smaller learning rate, or look at the maps",
            )
        if progress is not None and (epoch + 1) % max(1, recipe.epochs // 6) == 0:
            progress(f"{recipe.name}: epoch {epoch + 1} of {recipe.epochs}, loss {total:.4f}")
    network.eval()


def describe(
    recipe: Fitted,
    architecture: Architecture,
    inputs: Mapping[str, Tensor],
    target: Tensor,
    source: str,
) -> BundleSpec:
    """What `bundle.yaml` says of a tendency's network, from its training maps [level, map, y, x].

    Args:
        recipe: how it is fitted.
        architecture: of the network.
        inputs: fields by name.
        target: the tendency.
        source: what the maps are, in words.
    """
    nlev, maps, rows, n = target.shape
    levels = HybridLevels.layers(nlev) if nlev > 1 else HybridLevels.layer()

    def numbers(field: Tensor) -> dict[str, Any]:
        flat = field.double().flatten(1)
        return {
            "mean": flat.mean(dim=1).tolist(),
            "scale": flat.std(dim=1).tolist(),
            "minimum": flat.amin(dim=1).tolist(),
            "maximum": flat.amax(dim=1).tolist(),
        }

    channels = [
        Channel(name=k, units=FIELDS[k].units, dims="level", **numbers(f))
        for k, f in inputs.items()
    ]
    found = numbers(target)
    del found["mean"]  # a tendency has none over the plane
    output = Output(
        name=f"tn_{recipe.of}",
        of=recipe.of,
        units=TENDENCY_UNITS[recipe.of],
        dims="level",
        bound=recipe.bound_factor * float(target.abs().max()),
        **found,
    )
    digest = hashlib.sha256()
    for field in (*inputs.values(), target):
        digest.update(field.contiguous().numpy().tobytes())
    return BundleSpec(
        process=recipe.process,
        name=recipe.name,
        architecture=architecture,
        levels=Levels(name=levels.name, a=levels.a.tolist(), b=levels.b.tolist()),
        inputs=channels,
        outputs=[output],
        interval=recipe.interval,
        provenance=Provenance(
            fingerprint=digest.hexdigest(),
            sources=[Source(file=source, sha256=digest.hexdigest(), times=maps, columns=rows * n)],
            seed=recipe.seed,
            date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            recipe={k: v for k, v in vars(recipe).items() if not isinstance(v, tuple)},
            software={"python": platform.python_version(), "torch": str(torch.__version__)},
        ),
    )
