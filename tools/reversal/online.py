"""Coarse runs through the coupler's driver: one case, one closure, some members, states kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coupler.config import read_yaml, with_changes
from coupler.driver import loop
from coupler.driver.assemble import Assembly, assemble
from coupler.interface.errors import UnstableError
from coupler.interface.files import appearing

CASES = Path(__file__).resolve().parents[2] / "cases"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of a regime on the coarse grid."""

    regime: str
    closure: str
    """A scheme of `subgrid`, the folder of a bundle, or empty for none."""
    settings: Mapping[str, Any]
    seed: int
    members: int = 1
    years: float = 10.0
    kept: float = 5.0
    """At the end [years]."""
    every: float = 5.0
    """Days between states that are kept."""


@dataclass(frozen=True, kw_only=True, eq=False)
class States:
    """What was kept of a run."""

    q: np.ndarray
    """Potential vorticity [s-1], [member x time, 2, n, n]."""
    pushed: np.ndarray
    """What the closure gave then [s-2], the same shape."""
    alive: float
    """Share of the run that was reached."""


def states_of(run: Run, path: Path) -> States:
    """Makes the run, unless its file is there, and returns what was kept."""
    if not path.is_file():
        _make(run, path)
    with np.load(path) as file:
        return States(q=file["q"], pushed=file["pushed"], alive=float(file["alive"]))


def _make(run: Run, path: Path) -> None:
    case = CASES / f"qg_{run.regime}.yaml"
    changes: dict[str, Any] = {
        "atmosphere.members": run.members,
        "seed": run.seed,
        "output.interval": 30,
        **run.settings,
    }
    if not run.closure:
        changes["subgrid.mode"] = "off"
    swap = {"subgrid": run.closure} if run.closure else None
    raw, problems = with_changes(read_yaml(case), set=changes, swap=swap)
    model = assemble(raw, case.parent, problems)
    atmosphere, n = model.atmosphere, int(model.atmosphere.p.nx)
    shape = (2, run.members, n, n)
    pushed = np.zeros(shape, np.float32)
    advance = atmosphere.advance

    def listening(tendencies: Mapping[str, np.ndarray]) -> None:
        pushed[:] = tendencies["qgpv"].reshape(shape) if "qgpv" in tendencies else 0.0
        advance(tendencies)

    atmosphere.advance = listening
    per_day = round(86400.0 / atmosphere.dt)
    total = round(run.years * 360 * per_day)
    first, every = total - round(run.kept * 360 * per_day), round(run.every * per_day)
    kept: list[np.ndarray] = []
    gave: list[np.ndarray] = []
    done = 0

    def after(_: Assembly) -> bool:
        nonlocal done
        done += 1
        if done > first and (done - first) % every == 0:
            q = atmosphere.columns()["qgpv"].reshape(shape)
            kept.append(q.swapaxes(0, 1).copy())
            gave.append(pushed.swapaxes(0, 1).copy())
        return True

    try:
        loop.run(model, total, after)
    except UnstableError as error:
        print(f"{path.stem}: {error}", flush=True)
    empty = np.zeros((0, run.members, 2, n, n), np.float32)
    q, p = (
        np.stack(x).swapaxes(0, 1).reshape(-1, 2, n, n) if x else empty.reshape(-1, 2, n, n)
        for x in (kept, gave)
    )
    with appearing(path) as beside:
        np.savez(beside, q=q, pushed=p, alive=done / total)
