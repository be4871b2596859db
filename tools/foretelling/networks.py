"""The networks: families that differ in what they see and how they were trained, several seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kept
import numpy as np
import torch
from foretelling.truth import MEMBERS, Truth, truth, truth_file

from emulators.schema import Architecture
from emulators.training.closure import Closure, ClosureFit, train_closure
from physics.dynamics.lorenz96 import TIME_UNIT

TRAIN, TEST = slice(0, 30), slice(30, 40)
"""Members of the truth."""
EVERY = 20
"""Steps between samples: a tenth of a unit of time, in which X moves by half its deviation."""
HOME, ELSEWHERE = 20.0, 8.0
"""F of the case, and of another climate."""
UNBOUNDED = 1e6
"""Where tendencies are cut, in largest ones of the training data: where no run goes on. A nearer
bound would keep X finite whatever the network does, and no run could end."""


def _closure(
    epochs: int = 12, batch: int = 2048, learning_rate: float = 5e-3, noise: float = 0.0,
    **ring: object,
) -> Closure:  # fmt: skip
    fit = ClosureFit(epochs=epochs, batch=batch, learning_rate=learning_rate, noise=noise)
    return Closure(name="network", of="x_slow", bound_factor=UNBOUNDED, fit=fit,
                   architecture=Architecture(name="ring", config=ring))  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Family:
    """Networks that differ by their seed alone."""

    name: str
    kind: str
    """Of families that are alike: what is learned from one must not judge another."""
    about: str
    closure: Closure
    memory: bool = False
    """Whether the push of the last step is an input."""
    rings: int = 15_000
    """Samples; which ones is drawn with the seed."""
    forcing: float = HOME
    """F of the truth that it is trained on."""


FAMILIES = (
    Family(name="local", kind="now", about="sees its own place", closure=_closure()),
    Family(
        name="neighbours", kind="now", about="and two on either side", closure=_closure(reach=2)
    ),
    Family(
        name="linear",
        kind="now",
        about="a straight line",
        closure=_closure(widths=[], learning_rate=0.05),
    ),
    Family(
        name="short",
        kind="now",
        about="trained for a twelfth of the time",
        closure=_closure(epochs=1),
    ),
    Family(
        name="noisy",
        kind="noise",
        about="noise of one deviation on its inputs",
        closure=_closure(noise=1.0),
    ),
    Family(
        name="slightly noisy",
        kind="noise",
        about="noise of 0.4 deviations",
        closure=_closure(noise=0.4),
    ),
    Family(
        name="few",
        kind="few",
        about="60 rings, five places seen, trained long",
        closure=_closure(reach=2, widths=[64, 64], activation="relu", epochs=300, batch=64),
        rings=60,
    ),
    Family(
        name="very few",
        kind="few",
        about="3 rings",
        closure=_closure(activation="relu", epochs=400, batch=24),
        rings=3,
    ),
    Family(
        name="elsewhere",
        kind="elsewhere",
        about=f"trained where F = {ELSEWHERE:g}",
        closure=_closure(),
        forcing=ELSEWHERE,
    ),
    Family(
        name="elsewhere, relu",
        kind="elsewhere",
        about="the same, five places seen, ReLU",
        closure=_closure(reach=2, widths=[64, 64], activation="relu"),
        forcing=ELSEWHERE,
    ),
    Family(
        name="memory",
        kind="memory",
        about="sees the last push, too",
        closure=_closure(),
        memory=True,
    ),
    Family(
        name="memory, linear",
        kind="memory",
        about="a straight line of both",
        closure=_closure(widths=[], learning_rate=0.05),
        memory=True,
    ),
    Family(
        name="memory, noisy",
        kind="memory",
        about="noise of 0.3 deviations on its inputs",
        closure=_closure(noise=0.3),
        memory=True,
    ),
    Family(
        name="memory, wide",
        kind="memory",
        about="three places seen, larger, trained longer",
        closure=_closure(reach=1, widths=[64, 64], epochs=24),
        memory=True,
    ),
    Family(
        name="memory, few",
        kind="memory",
        about="60 rings",
        closure=_closure(widths=[64, 64], activation="relu", epochs=300, batch=64),
        memory=True,
        rings=60,
    ),
    Family(
        name="memory, short",
        kind="memory",
        about="trained for a twelfth of the time",
        closure=_closure(epochs=1),
        memory=True,
    ),
    Family(
        name="memory, neighbours",
        kind="memory",
        about="five places seen",
        closure=_closure(reach=2),
        memory=True,
    ),
    Family(
        name="memory, relu",
        kind="memory",
        about="ReLU",
        closure=_closure(activation="relu"),
        memory=True,
    ),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Inputs by name and the tendency, all [sample, place], in the units of the fields table."""

    inputs: dict[str, torch.Tensor]
    target: torch.Tensor


def samples(of: Truth, members: slice, memory: bool, rings: int | None, seed: int) -> Samples:
    """Drawn from a truth; all of them without a number."""
    at = np.arange(1, of.x.shape[0], EVERY)

    def part(array: np.ndarray, steps: np.ndarray) -> torch.Tensor:
        flat = array[steps][:, members].reshape(-1, array.shape[-1])
        if rings is not None:
            chosen = np.random.default_rng(seed).permutation(len(flat))[:rings]
            flat = flat[chosen]
        return torch.from_numpy(np.ascontiguousarray(flat))

    inputs = {"x_slow": part(of.x, at)}
    if memory:
        inputs["x_push"] = part(of.push, at - 1) / TIME_UNIT
    return Samples(inputs=inputs, target=part(of.push, at) / TIME_UNIT)


def home(work: Path, units: float) -> Truth:
    """The truth of the case."""
    return truth(work, **of_forcing(HOME, units))


def of_forcing(forcing: float, units: float) -> dict[str, Any]:
    """Settings of the truth that networks are trained on."""
    seed = 1 if forcing == HOME else 2
    return {"forcing": forcing, "units": units, "members": MEMBERS, "seed": seed}


def training(family: Family, seed: int, work: Path, units: float) -> Samples:
    """What one network was trained on."""
    own = truth(work, **of_forcing(family.forcing, units))
    return samples(own, TRAIN, family.memory, family.rings, seed)


def bundle(family: Family, seed: int, work: Path, units: float) -> Path:
    """The trained network; made once for the same settings, truth and code."""
    name = f"{family.name.replace(', ', '_').replace(' ', '_')}_{seed}"
    closure = family.closure.model_copy(update={"name": name, "seed": seed})
    made_of = [
        closure.model_dump(mode="json"), family.memory, family.rings,
        truth_file(work, **of_forcing(family.forcing, units)).name,
        kept.code("tools/foretelling/networks.py", "emulators/networks/ring.py",
                  inside=("tools/", "emulators/", "physics/", "coupler/interface/")),
    ]  # fmt: skip
    folder = kept.place(work / "bundles", name, made_of)
    if not kept.there(folder, "bundle.yaml"):
        data = training(family, seed, work, units)
        rings = {n: f[None, :, None] for n, f in data.inputs.items()}
        train_closure(closure, rings, data.target[None, :, None], folder,
                      source=f"both scales resolved, F = {family.forcing:g}")  # fmt: skip
    return folder
