"""Which inputs a scheme leans on: each is taken away in turn.

An input is *permuted* (every sample gets that of another sample: its distribution stays, its
connection is gone) or *held* at its mean over the samples. What the scheme then gives differs from
what it gave before:

    effect = mean (f(x) - f(x'))^2 / (2 var f)  permuted,    mean (f(x) - f(x'))^2 / var f  held

For independent inputs the first is Jansen's (1999, doi:10.1016/S0010-4655(98)00154-4) estimate of
the total-order Sobol index. It needs no truth, so that it can be asked of the reference, too: an
input that a network leans on and the scheme that it stands for does not is *spurious*. In training
it goes along with the answer (most of all where it is a consequence of it), so that skill offline
is high; in the coupled run the network changes it itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coupler.compare.statistics.offline import skill
from coupler.interface.component import Array, Arrays, Host, Now, Tendency
from coupler.interface.errors import DataError

F64 = NDArray[np.float64]
How = Literal["permute", "hold"]
Answer = Callable[[Mapping[str, Array]], ArrayLike]
LEANS = 0.05
"""Effect from which on a scheme leans on an input."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Of taking one input away."""

    name: str
    effect: float
    """See the module; NaN where the scheme's answer does not vary."""
    r2: float
    """Skill without it; NaN where no truth was given."""
    lost: float
    """R2 with it less R2 without it."""


def ablate(
    answer: Answer,
    inputs: Mapping[str, Array],
    *,
    truth: ArrayLike | None = None,
    how: How = "permute",
    repeats: int = 1,
    seed: int = 0,
) -> list[Effect]:
    """The effect of each input, the largest first.

    Args:
        answer: of the scheme to inputs; the last axis is samples.
        inputs: shape [..., sample] each.
        truth: what the answer should be.
        how: the input is taken away.
        repeats: permutations that are averaged over.
        seed: of the permutations.

    Raises:
        DataError: for inputs without at least two samples.
    """
    sizes = {name: x.shape[-1] for name, x in inputs.items()}
    n = min(sizes.values(), default=0)
    if n < 2 or len(set(sizes.values())) != 1:
        raise DataError.of(
            "inputs that cannot be taken away",
            ", ".join(inputs) or "none",
            expected="at least two samples, as many of each input",
            found=", ".join(f"{k} {v}" for k, v in sizes.items()) or "no input",
        )
    rng = np.random.default_rng(seed)
    whole = np.asarray(answer(inputs), np.float64).copy()
    variance = float(whole.var(axis=-1).sum())
    right = None if truth is None else np.asarray(truth, np.float64)
    before = float("nan") if right is None else _r2(right, whole)
    found = []
    for name, x in inputs.items():
        changes, scores = [], []
        for _ in range(repeats if how == "permute" else 1):
            other = x[..., rng.permutation(n)] if how == "permute" else held(x)
            got = np.asarray(answer({**inputs, name: np.ascontiguousarray(other)}), np.float64)
            changes.append(float(((got - whole) ** 2).mean(axis=-1).sum()))
            scores.append(float("nan") if right is None else _r2(right, got))
        per = (0.5 if how == "permute" else 1.0) / variance if variance > 0.0 else float("nan")
        r2 = float(np.mean(scores))
        found.append(
            Effect(name=name, effect=per * float(np.mean(changes)), r2=r2, lost=before - r2)
        )
    return sorted(found, key=lambda e: -e.effect if np.isfinite(e.effect) else np.inf)


def held(x: Array) -> Array:
    """Every sample the mean of all, level by level."""
    return np.broadcast_to(x.mean(axis=-1, keepdims=True), x.shape).astype(x.dtype)


def _r2(truth: F64, found: F64) -> float:
    return float(skill(truth, found, np.ones_like(truth)).r2)


def spurious(
    candidate: list[Effect], reference: Mapping[str, float], *, leans: float = LEANS
) -> dict[str, float]:
    """Inputs that a candidate leans on and the reference hardly does, with their effect.

    Args:
        candidate: what `ablate` found.
        reference: effects of the same inputs on the reference; absent ones it does not read.
        leans: effect from which on a scheme leans on an input.
    """
    return {
        e.name: e.effect
        for e in candidate
        if e.effect > leans and reference.get(e.name, 0.0) < min(leans, 0.2 * e.effect)
    }


def holding(cls: type[Tendency], names: Mapping[str, float]) -> type[Tendency]:
    """The scheme that finds a number in place of an input, for runs online.

    Args:
        cls: of the scheme.
        names: the number by input, in the unit in which the scheme reads it.

    Raises:
        DataError: for what the scheme does not read.
    """
    foreign = [n for n in names if n not in {p.name for p in cls.inputs}]
    if foreign:
        raise DataError.of(
            "an input that the scheme does not read",
            f"{cls.scheme}: {', '.join(foreign)}",
            expected=", ".join(p.name for p in cls.inputs),
        )
    base: Any = cls

    class Holding(base):  # type: ignore[misc]
        """With inputs held."""

        def setup(self, host: Host) -> None:
            super().setup(host)
            dims = {p.name: p.field.dims for p in cls.inputs}
            self._held = {n: host.empty(*dims[n]) for n in names}
            for n, value in names.items():
                self._held[n][...] = value
            self._given: tuple[Arrays, Arrays] | None = None

        def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
            if self._given is None or self._given[0] is not x:
                self._given = (x, Arrays(**{**dict(x.items()), **self._held}))
            super().compute(self._given[1], tend, flux, diag, now)

    Holding.__name__ = f"{cls.__name__}_holding_{'_'.join(names)}"
    return Holding
