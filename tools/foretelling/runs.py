"""Coupled runs of the slow scale with a closure, through the driver; short ones and long ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from foretelling.truth import DT
from numpy.typing import NDArray

from coupler.config import read_yaml, with_changes
from coupler.driver import loop
from coupler.driver.assemble import Assembly, assemble
from coupler.interface.errors import UnstableError

CASE = Path(__file__).resolve().parents[2] / "cases" / "lorenz96.yaml"
F64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """What a run did."""

    x: F64
    """The slow scale, shape [time, member, place]; shorter than asked for when it failed."""
    push: F64
    """What it was last pushed with [1 per time unit], the same shape."""
    failed: str = ""


def course(
    scheme: str,
    steps: int,
    every: int,
    *,
    members: int,
    start: tuple[F64, F64] | None = None,
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
) -> Course:
    """Runs the case with a closure.

    Args:
        scheme: of the process ``subgrid``, as ``--swap`` takes it; empty for none.
        steps: of the slow scale.
        every: steps between what is kept.
        members: side by side.
        start: X and the push of the step before, both [member, place]; None for the case's own.
        seed: of the case.
        changes: of the case.
    """
    words = {"atmosphere.members": members, "seed": seed, **(changes or {})}
    if not scheme:
        words["subgrid.mode"] = "off"
    raw, problems = with_changes(
        read_yaml(CASE), set=words, swap={"subgrid": scheme} if scheme else None
    )
    model: Assembly = assemble(raw, CASE.parent, problems)
    ring: Any = model.atmosphere
    if start is not None:
        ring.x[:], ring.push[:] = start
    x, push, failed = [], [], ""
    try:
        for step in range(steps):
            if step % every == 0:
                x.append(ring.x.copy())
                push.append(ring.push.copy())
            loop.step(model)
    except UnstableError as error:
        failed = f"{error.problems[0].what} after {step * DT:g} units of time"
    return Course(x=np.array(x), push=np.array(push), failed=failed)
