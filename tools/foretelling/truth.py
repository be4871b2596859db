"""The truth that networks are trained on and judged by: both scales of Lorenz (1996), resolved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import kept
import numpy as np
from numpy.typing import NDArray

from coupler.interface.files import appearing
from physics.dynamics.lorenz96 import step_both

DT = 0.005
"""Of a step of the slow scale [time unit]; the case's."""
SUBSTEPS = 5
MEMBERS, SLOW, EACH = 40, 8, 32
_SPIN_UP = 10.0
F32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """A run of both scales."""

    x: F32
    """The slow scale at the start of each step, shape [step, member, place]."""
    push: F32
    """What the fast scale pushes it with, averaged over the step [1 per time unit]."""


def truth_file(folder: Path, forcing: float, units: float, members: int, seed: int) -> Path:
    """Where a truth is kept, see `truth`."""
    code = kept.code("tools/foretelling/truth.py", inside=("physics/", "coupler/interface/"))
    name = f"truth_F{forcing:g}_{units:g}_{members}_{seed}"
    return kept.place(folder, name, [forcing, units, members, seed, code], ".npz")


def truth(folder: Path, forcing: float, units: float, members: int, seed: int) -> Truth:
    """Made once for the same settings and code, then read.

    Args:
        folder: where it is kept.
        forcing: F.
        units: of time, after a spin-up.
        members: independent ones.
        seed: of their starts.
    """
    path = truth_file(folder, forcing, units, members, seed)
    if not kept.there(path):
        draw = np.random.default_rng(seed)
        x = 0.3 * forcing + draw.standard_normal((members, SLOW))
        y = 0.1 * draw.standard_normal((members, SLOW * EACH))
        now, total = np.zeros_like(x), np.zeros_like(x)

        def step(count: int) -> None:
            step_both(x, y, forcing, 1.0, 10.0, 10.0, DT / SUBSTEPS, count, now)

        step(SUBSTEPS * round(_SPIN_UP / DT))
        steps = round(units / DT)
        slow, push = (np.empty((steps, members, SLOW), np.float32) for _ in range(2))
        for i in range(steps):
            slow[i] = x
            total[:] = 0.0
            for _ in range(SUBSTEPS):
                step(1)
                total += now
            push[i] = total / SUBSTEPS
        with appearing(path) as beside:
            np.savez(beside, x=slow, push=push)
    with np.load(path) as held:
        return Truth(x=held["x"], push=held["push"])
