"""A learned closure of numbers on a ring: `emulators.networks.ring` fitted to a truth, a bundle.

The truth of the two-scale model of Lorenz (1996) gives what the slow scale is pushed with, averaged
over the step in which a scheme's tendency is held, and what it was pushed with in the step before,
which a network may be given as an input, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from coupler.interface.errors import DataError
from emulators.bundle import write_bundle
from emulators.networks.ring import Ring, RingConfig
from emulators.schema import Architecture
from emulators.training.plane import describe, fit_tendency

Tensor = torch.Tensor
_REFERENCE = 16
"""Rings that a bundle replays at every load."""


@dataclass(frozen=True, kw_only=True)
class RingRecipe:
    """What is fitted, and how."""

    name: str
    process: str = "subgrid"
    of: str = "x_slow"
    """State variable whose tendency it is."""
    interval: float | None = None
    """Time between calls [s]; None: every step."""
    reach: int = 0
    widths: tuple[int, ...] = (32, 32)
    activation: Literal["relu", "tanh", "silu"] = "silu"
    epochs: int = 20
    batch: int = 256
    """Places."""
    learning_rate: float = 5e-3
    noise: float = 0.0
    """Added to the inputs in training, in deviations of theirs."""
    seed: int = 0
    bound_factor: float = 10.0
    """Tendencies beyond this times the largest one of the training data are cut."""


def train_ring(
    recipe: RingRecipe,
    inputs: Mapping[str, Tensor],
    target: Tensor,
    out: Path,
    *,
    source: str = "rings",
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Fits a network and writes its bundle.

    Args:
        recipe: what and how.
        inputs: fields by name, in the units of the fields table, [sample, place].
        target: the tendency [s-1], [sample, place].
        out: the folder of the bundle.
        source: what the samples are, in words.
        overwrite: whether a bundle that is there is replaced.
        progress: told the loss now and then.

    Raises:
        DataError: for samples that do not fit each other.
        UnstableError: when the loss is not finite.
    """
    shapes = {n: tuple(f.shape) for n, f in inputs.items()}
    shapes[f"tn_{recipe.of}"] = tuple(target.shape)
    if len(set(shapes.values())) != 1 or target.dim() != 2:
        raise DataError.of(
            "samples that do not fit each other",
            recipe.name,
            expected="rings [sample, place] of one shape",
            found=", ".join(f"{n} {s}" for n, s in shapes.items()),
        )
    config = RingConfig(
        points=target.shape[-1],
        reach=recipe.reach,
        widths=list(recipe.widths),
        activation=recipe.activation,
    )
    maps = {n: f[None, :, None, :] for n, f in inputs.items()}
    architecture = Architecture(name="ring", config=config.model_dump())
    spec = describe(recipe, architecture, maps, target[None, :, None, :], source)
    torch.manual_seed(recipe.seed)
    network = Ring(spec, config)
    x = network.stacked({n: f.reshape(1, -1) for n, f in inputs.items()}).contiguous()
    y = (target.reshape(-1, 1) / network.out_scale).float()
    fit_tendency(recipe, network, network.core, x, y, noise=recipe.noise, progress=progress)
    reference = {n: f[:_REFERENCE].reshape(1, -1) for n, f in inputs.items()}
    return write_bundle(out, spec, network, reference, overwrite=overwrite)
