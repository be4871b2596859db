"""A learned closure: a network fitted to the tendency that a coarse flow is missing, as a bundle.

What a coarse flow is missing cannot be recorded from a coarse run; it comes from a fine one, as
maps of fields and of the tendency that is wanted: of a periodic plane (`networks.plane_conv`), or
of numbers on a ring (`networks.ring`), a map with one row. Loss: mean square of the normalized
tendency. Adam, one cycle of the learning rate. Maps in files: `emulators.training.closure_recipe`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from pydantic import Field

from coupler.interface.errors import ConfigError, DataError, UnstableError
from coupler.interface.fields import FIELDS, TENDENCY_UNITS
from coupler.interface.grid import HybridLevels
from emulators.bundle import write_bundle
from emulators.networks import build, configured
from emulators.schema import (
    Architecture,
    BundleSpec,
    Channel,
    Data,
    Levels,
    Output,
    Source,
    TendencySkill,
)
from emulators.training.made import provenance

Tensor = torch.Tensor
_SIDES = {
    "plane_conv": "square planes [level, map, y, x]",
    "ring": "rings [1, map, 1, place]",
}
_OF_MAPS: dict[str, dict[str, float]] = {
    "plane_conv": {"nx": 1_000_000, "spacing": 1.0},
    "ring": {"points": 1_000_000},
}
"""What maps say of the configuration; numbers that stand for it as long as there are none."""
_REFERENCE = 128
"""About as many columns are replayed at every load, and at least one map."""


class ClosureFit(Data):
    """How the weights are found."""

    epochs: int = Field(default=60, ge=1)
    batch: int = Field(default=8, ge=1)
    """Samples of a step: planes, or places of rings."""
    learning_rate: float = Field(default=4e-3, gt=0.0)
    """The largest one of the cycle."""
    noise: float = Field(default=0.0, ge=0.0)
    """Added to the inputs, anew in every epoch, in deviations of theirs."""


class Closure(Data):
    """What is fitted, and how."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    process: str = "subgrid"
    of: str
    """State variable whose tendency it is."""
    architecture: Architecture
    """``plane_conv`` or ``ring``; points along its sides are those of the maps."""
    interval: float | None = Field(default=None, gt=0.0)
    """Time between calls [s]; None: every step."""
    fit: ClosureFit = ClosureFit()
    seed: int = 0
    bound_factor: float = Field(default=100.0, gt=1.0)
    """Tendencies beyond this times the largest one of the training data are cut."""


class ClosureNetwork(Protocol):
    """What is asked of a network, beside being a `Network`."""

    def stacked(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Normalized samples of inputs [level, column]."""
        ...

    def rates(self, x: Tensor) -> Tensor:
        """Normalized tendencies of samples."""
        ...

    def wanted(self, target: Tensor) -> Tensor:
        """The same of a target [level, map, y, x]."""
        ...


def train_closure(
    closure: Closure,
    inputs: Mapping[str, Tensor],
    target: Tensor,
    out: Path,
    *,
    source: str = "maps",
    test: tuple[Mapping[str, Tensor], Tensor] | None = None,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Fits a network and writes its bundle.

    Args:
        closure: what and how.
        inputs: fields by name, in the units of the fields table, [level, map, y, x].
        target: the tendency, [level, map, y, x].
        out: the folder of the bundle.
        source: what the maps are, in words.
        test: inputs and target of another run; the bundle says how well it does there.
        overwrite: whether a bundle that is there is replaced.
        progress: told the loss now and then.

    Raises:
        ConfigError: for an architecture that is neither.
        DataError: for maps that do not fit each other.
        UnstableError: when the loss is not finite.
    """
    refuse_misfits(closure, inputs, target)
    spec = describe(closure, inputs, target, source)
    torch.manual_seed(closure.seed)
    network = build(spec)
    net = cast(ClosureNetwork, network)
    columns = {n: f.reshape(f.shape[0], -1) for n, f in inputs.items()}
    x, y = net.stacked(columns).contiguous(), net.wanted(target)
    fit(closure, network, x, y, progress=progress)
    if test is not None:
        spec = spec.model_copy(update={"tendency_skill": scored(network, *test)})
    points = target.shape[-2] * target.shape[-1]
    kept = points * max(1, _REFERENCE // points)
    reference = {n: c[:, :kept] for n, c in columns.items()}
    return write_bundle(out, spec, network, reference, overwrite=overwrite)


def refuse_other_architectures(closure: Closure) -> None:
    """What can be said of the network before there are maps.

    Raises:
        ConfigError: for an architecture that is neither for planes nor for rings.
        ContractError: for a configuration that it does not know.
    """
    kind, own = closure.architecture.name, closure.architecture.config
    if kind not in _SIDES:
        raise ConfigError.of(
            "architecture that gives no tendencies of maps",
            closure.name,
            expected=" or ".join(_SIDES),
            found=kind,
        )
    configured(Architecture(name=kind, config=_OF_MAPS[kind] | own), closure.name)


def refuse_misfits(closure: Closure, inputs: Mapping[str, Tensor], target: Tensor) -> None:
    """Maps of one shape, planes square and rings in one row.

    Raises:
        ConfigError, ContractError: see `refuse_other_architectures`.
        DataError: for maps that do not fit each other.
    """
    refuse_other_architectures(closure)
    kind = closure.architecture.name
    shapes = {n: tuple(f.shape) for n, f in inputs.items()}
    shapes[f"tn_{closure.of}"] = tuple(target.shape)
    rows_fit = target.dim() == 4 and target.shape[-2] == (1 if kind == "ring" else target.shape[-1])
    if len(set(shapes.values())) != 1 or not rows_fit:
        raise DataError.of(
            "maps that do not fit each other",
            closure.name,
            expected=f"{_SIDES[kind]} of one shape",
            found=", ".join(f"{n} {s}" for n, s in shapes.items()),
        )


def fit(
    closure: Closure,
    network: torch.nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Fits a network in place; the order of samples follows from the seed.

    Args:
        closure: how.
        network: with fresh weights.
        x: normalized inputs, the first axis is samples.
        y: the normalized tendency.
        progress: told the loss now and then.

    Raises:
        UnstableError: when the loss is not finite.
    """
    how, rates = closure.fit, cast(ClosureNetwork, network).rates
    adam = torch.optim.Adam(network.parameters(), lr=how.learning_rate)
    batches = -(-len(x) // how.batch)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        adam, how.learning_rate, total_steps=how.epochs * batches, pct_start=0.1
    )
    order = torch.Generator().manual_seed(closure.seed)
    network.train()
    for epoch in range(how.epochs):
        total = 0.0
        shuffled = torch.randperm(len(x), generator=order)
        for i in range(batches):
            chosen = shuffled[i * how.batch : (i + 1) * how.batch]
            given = x[chosen]
            if how.noise:
                given = given + how.noise * torch.randn(given.shape, generator=order)
            adam.zero_grad()
            loss = (rates(given) - y[chosen]).square().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            cycle.step()
            total += float(loss.detach()) * len(chosen) / len(x)
        if not total < float("inf"):
            raise UnstableError.of(
                "the loss is not finite",
                f"{closure.name}: epoch {epoch + 1}",
                remedy="use a smaller learning rate, or look at the maps",
            )
        if progress is not None and (epoch + 1) % max(1, how.epochs // 6) == 0:
            progress(f"{closure.name}: epoch {epoch + 1} of {how.epochs}, loss {total:.4f}")
    network.eval()


def scored(network: Any, inputs: Mapping[str, Tensor], target: Tensor) -> TendencySkill:
    """How well a network gives the tendency of maps that it was not fitted to.

    Args:
        network: of a bundle.
        inputs: fields by name, [level, map, y, x].
        target: the tendency, [level, map, y, x].
    """
    with torch.inference_mode():
        (found,) = network({n: f.flatten(1) for n, f in inputs.items()}).values()
    truth = target.flatten(1).double()
    missed = (truth - found.double()).square().mean(dim=1)
    variance = truth.var(dim=1, correction=0)
    return TendencySkill(
        r2=(1.0 - missed / variance).tolist(),
        overall=float(1.0 - (missed / variance).mean()),
        maps=target.shape[1],
    )


def describe(
    closure: Closure, inputs: Mapping[str, Tensor], target: Tensor, source: str
) -> BundleSpec:
    """What `bundle.yaml` says of a tendency's network, from its training maps [level, map, y, x].

    Args:
        closure: what is fitted.
        inputs: fields by name.
        target: the tendency.
        source: what the maps are, in words.
    """
    nlev, maps, rows, n = target.shape
    levels = HybridLevels.layers(nlev) if nlev > 1 else HybridLevels.layer()
    kind = closure.architecture
    sides = {"points" if kind.name == "ring" else "nx": n}

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
        name=f"tn_{closure.of}",
        of=closure.of,
        units=TENDENCY_UNITS[closure.of],
        dims="level",
        bound=closure.bound_factor * float(target.abs().max()),
        **found,
    )
    digest = hashlib.sha256()
    for field in (*inputs.values(), target):
        digest.update(field.contiguous().numpy().tobytes())
    return BundleSpec(
        process=closure.process,
        name=closure.name,
        architecture=Architecture(name=kind.name, config={**kind.config, **sides}),
        levels=Levels(name=levels.name, a=levels.a.tolist(), b=levels.b.tolist()),
        inputs=channels,
        outputs=[output],
        interval=closure.interval,
        provenance=provenance(
            digest.hexdigest(),
            [Source(file=source, sha256=digest.hexdigest(), times=maps, columns=rows * n)],
            closure.seed,
            closure,
        ),
    )
