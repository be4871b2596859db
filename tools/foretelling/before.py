"""What is known of a network before its long run: offline, and from ten days with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from foretelling import linear
from foretelling.networks import TEST, Family, Samples, bundle, home, samples, training
from foretelling.runs import Course, course
from foretelling.truth import DT, Truth
from numpy.typing import NDArray

from coupler.compare.ablation import Effect, ablate, holding, spurious
from coupler.compare.statistics import novelty, twins
from coupler.compare.statistics.distances import wasserstein
from coupler.compare.statistics.early_warning import warning
from coupler.compare.statistics.offline import skill
from coupler.interface.component import Tendency
from coupler.interface.registry import SCHEMES, scheme
from emulators.bundle import load_bundle
from emulators.component import emulator_class
from physics.dynamics.lorenz96 import TIME_UNIT

F64 = NDArray[np.float64]
STEPS, EVERY = 400, 4
"""Of the short run: ten days, a value each tenth of a day."""
TWIN = 1e-5
"""Relative difference of a twin's start: well above the rounding of a network's float32."""
_BEYOND = 1e6
"""Of X: what is farther out than this is as far."""
_SKIP = 0.25
"""Units of time in which a difference turns to where it grows."""
_LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A short run of members and their twins from states of the truth."""

    own: Course
    twin: Course

    @property
    def failed(self) -> bool:
        return bool(self.own.failed or self.twin.failed)

    def growth(self, saturation: float) -> twins.Growth:
        """Of the difference of twins [day-1]."""
        n = min(len(self.own.x), len(self.twin.x))
        apart = np.sqrt(((self.own.x[:n] - self.twin.x[:n]) ** 2).mean(axis=-1)).T
        days = 5.0 * DT * EVERY * np.arange(n)
        return twins.growth(days, apart, saturation=saturation, skip=5.0 * _SKIP)


def trial(name: str, work: Path, units: float) -> Trial:
    """Members and twins side by side in one run."""
    of = home(work, units)
    x, push = of.x[1].astype(np.float64), of.push[0].astype(np.float64)
    sign = np.random.default_rng(5).choice([-1.0, 1.0], x.shape)
    start = (np.concatenate([x, x * (1.0 + TWIN * sign)]), np.concatenate([push, push]))
    both = course(name, STEPS, EVERY, members=2 * len(x), start=start)
    n = len(x)
    both = replace(both, x=np.clip(both.x, -_BEYOND, _BEYOND))
    return Trial(
        own=Course(x=both.x[:, :n], push=both.push[:, :n], failed=both.failed),
        twin=Course(x=both.x[:, n:], push=both.push[:, n:], failed=both.failed),
    )


@lru_cache(maxsize=1)
def _reference(work: Path, units: float) -> Trial:
    """Ten days with the polynomial."""
    return trial("polynomial", work, units)


def _features(network: Any, x: NDArray[Any], push: NDArray[Any], memory: bool) -> F64:
    """What the network sees, normalized, shape [..., place, value]."""
    inputs = {"x_slow": torch.from_numpy(np.ascontiguousarray(x)).reshape(1, -1)}
    if memory:
        inputs["x_push"] = torch.from_numpy(np.ascontiguousarray(push / TIME_UNIT)).reshape(1, -1)
    found = network.stacked(inputs).numpy().astype(np.float64)
    return np.asarray(found.reshape(*x.shape, -1))


def before(family: Family, seed: int, work: Path, units: float) -> dict[str, Any]:
    """All indicators of one network, greater is more alarming, and what they come from.

    A run that ends within the ten days is an alarm of all that these days can show.
    """
    folder = bundle(family, seed, work, units)
    network = load_bundle(folder).network
    held_out = samples(home(work, units), TEST, family.memory, 400, seed=0)
    truth_of, reference = home(work, units), _reference(work, units)
    saturation = float(np.sqrt(2.0) * truth_of.x.std())

    def answer(inputs: Any) -> F64:
        with torch.inference_mode():
            given = {n: torch.as_tensor(v).reshape(1, -1) for n, v in inputs.items()}
            return network(given)["tn_x_slow"].numpy().astype(np.float64)

    given = {n: f.reshape(1, -1).numpy() for n, f in held_out.inputs.items()}
    target = held_out.target.reshape(1, -1).numpy()
    effects = _without_neighbours(family, held_out, answer)
    lean = spurious(effects, {"x_slow": 1.0})  # the polynomial reads nothing else
    run = trial(str(folder), work, units)
    seen = training(family, seed, work, units)
    known = _features(network, seen.inputs["x_slow"].numpy(),
                      TIME_UNIT * seen.inputs.get("x_push", seen.target).numpy(),
                      family.memory)  # fmt: skip
    known = known.reshape(-1, known.shape[-1])
    shift = _shift(known, network, truth_of, run.own, family.memory)
    grown, usual = run.growth(saturation), reference.growth(saturation)
    apart = twins.difference(grown, usual)
    short = {
        "novelty": shift.difference,
        "twins": abs(apart.value),
        "early warning": _warned(run.own),
        "ten days' climate": _distance(run.own, truth_of),
    }
    modes = linear.signs(folder, family.memory, work, units)
    return {
        "scores": {
            "offline error": 1.0 - float(skill(target, answer(given)).r2),
            "spurious input": sum(lean.values()),
            **modes["scores"],
            **{n: np.inf if run.failed else s for n, s in short.items()},
        },
        "r2": float(skill(target, answer(given)).r2),
        "linear": {n: modes[n] for n in ("own", "usual")},
        "effects": {e.name: [e.effect, e.lost] for e in effects},
        "held": _held(folder, family, given, work, units),
        "novelty": [shift.offline, shift.online, shift.low, shift.high],
        "growth": [grown.rate, grown.low, grown.high],
        "usual growth": [usual.rate, usual.low, usual.high],
        "failed": run.own.failed,
    }


def _distance(run: Course, of: Truth) -> float:
    """Of the last five of the ten days from the truth of the same starts; infinite if it ended."""
    late = slice(STEPS // EVERY // 2, None)
    return np.inf if run.failed else wasserstein(run.x[late], of.x[1 : 1 + STEPS : EVERY][late])


def _without_neighbours(family: Family, held_out: Samples, answer: Any) -> list[Effect]:
    """Effects of inputs that are permuted ring by ring: neighbours stay neighbours."""
    rings = {n: f.numpy().T for n, f in held_out.inputs.items()}  # [place, sample]

    def of_rings(inputs: Any) -> F64:
        flat = {n: torch.from_numpy(np.ascontiguousarray(v.T)) for n, v in inputs.items()}
        found: F64 = answer(flat).reshape(-1, rings["x_slow"].shape[0])
        return found.T

    return ablate(of_rings, rings, truth=held_out.target.numpy().T, repeats=3, seed=1)


def _shift(known: F64, network: Any, truth_of: Any, run: Course, memory: bool) -> novelty.Shift:
    """Share of inputs unlike those of the training: in the short run, less on held-out members."""
    if known.shape[0] <= max(5, known.shape[1]):
        return novelty.Shift(offline=1.0, online=1.0, low=-1.0, high=1.0)
    seen = novelty.Seen(known)

    def new(x: NDArray[Any], push: NDArray[Any]) -> NDArray[np.bool_]:
        features = _features(network, x, push, memory)
        flat = features.reshape(-1, features.shape[-1])
        return (seen.nearest(flat) > 1.0).reshape(features.shape[:-1])

    at = np.arange(1, truth_of.x.shape[0], 200)
    offline = new(truth_of.x[at][:, TEST], truth_of.push[at - 1][:, TEST])
    online = new(run.x[::4].astype(np.float32), run.push[::4].astype(np.float32))
    return novelty.compare(offline, online.swapaxes(0, 1))


def _warned(run: Course) -> float:
    """Share of members whose energy warns."""
    energy = 0.5 * (run.x**2).mean(axis=-1)
    if energy.shape[0] < STEPS // EVERY:
        return 1.0  # it has ended
    found = [
        warning(energy[:, m], surrogates=99, seed=m).probability <= _LEVEL
        for m in range(0, energy.shape[1], 2)
    ]
    return float(np.mean(found))


def _held(folder: Path, family: Family, given: Any, work: Path, units: float) -> dict[str, float]:
    """Ten days with each input held at its mean: distance of their climate from the truth's."""
    found = {}
    for name, values in given.items():
        key = f"{folder.name}_without_{name}"
        if key not in SCHEMES.get("subgrid", {}):
            cls = emulator_class(folder, "subgrid")
            assert issubclass(cls, Tendency)
            scheme("subgrid", key)(holding(cls, {name: float(values.mean())}))
        found[name] = _distance(trial(key, work, units).own, home(work, units))
    return found
