"""A long run of a case that leaves block means and a restart, and goes on where it stopped."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coupler import Simulation
from coupler.driver import loop
from coupler.driver.info import versions
from coupler.driver.state import Memory
from coupler.output import restart
from gates.rows import Data
from gates.store import ROOT
from gates.zonal import Climate, Sampler

SAMPLES = 4
"""A day."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Where long runs keep their blocks, and with which code they have to be made.

    Attributes:
        folder: of all runs.
        sources: fingerprint of the code; blocks of other code are thrown away.
        as_is: take the blocks that are there, whatever code made them.
    """

    folder: Path
    sources: str = ""
    as_is: bool = False


def carry_out(
    case: str | Path,
    days: float,
    work: Work,
    name: str,
    *,
    changes: Mapping[str, Any] | None = None,
    block: float = 50.0,
    say: bool = True,
) -> Path:
    """Steps a case to day `days` and leaves blocks of `block` days in the folder `name`.

    Returns:
        The folder; ``about.json`` in it says what was run with which code.

    Raises:
        ValueError: when the folder holds blocks of another case.
    """
    out = work.folder / name
    said = {"case": str(case), "changes": {n: str(v) for n, v in (changes or {}).items()}}
    before = _read(out / "about.json")
    if before:
        other = {n: before[n] for n in said if before[n] != said[n]}
        if other:
            text = f"{out} holds another run: {other}; choose another folder, or empty it"
            raise ValueError(text)
        if before["sources"] != work.sources and not work.as_is:
            shutil.rmtree(out)
    if _read(out / "done.json").get("days", 0.0) >= days:
        return out
    model = Simulation.from_case(ROOT / case, set=dict(changes or {}), out=out / "unused").model
    atmosphere, clock = model.atmosphere, model.clock
    memory = Memory(model)
    out.mkdir(parents=True, exist_ok=True)
    if (out / "restart").is_dir():
        memory.put(restart.newest_good(out / "restart", case=memory.fingerprint))
    said |= {"sources": work.sources, **versions()}
    (out / "about.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    levels, grid = atmosphere.levels, atmosphere.grid
    half = levels.half_pressure(np.array(1.0e5))
    frame = {
        "lat": grid.lat, "pressure": 0.5 * (half[1:] + half[:-1]), "weights": grid.weights,
        "thickness": np.diff(half) / (half[-1] - half[0]), "length": np.array(block),
    }  # fmt: skip
    every = round(model.steps_per_day / SAMPLES)
    while clock.days < days - 1e-6:
        first, began = clock.days, time.perf_counter()
        sampler = Sampler(atmosphere.columns())
        for n in range(round(block * model.steps_per_day)):
            loop.step(model)
            if (n + 1) % every == 0:
                sampler.add()
        found = sampler.block()
        seconds = time.perf_counter() - began
        path = out / f"block_{round(first):06d}.npz"
        with path.open("wb") as file:
            np.savez(file, first=np.array(first), seconds=np.array(seconds), **frame, **found)
        # After the block: what is run again after an interruption overwrites its own file.
        snapshot = memory.take()
        restart.write(out / "restart", snapshot.memories, snapshot.moment)
        if say:
            print(
                f"day {clock.days:6.0f}  {seconds:6.1f} s  jet {found['ua'].max():5.1f} m/s  "
                f"fastest {float(found['fastest']):6.1f} m/s  T {found['ta'].min():5.1f} K",
                flush=True,
            )
    (out / "done.json").write_text(json.dumps({"days": days}) + "\n", encoding="utf-8")
    return out


def _read(path: Path) -> dict[str, Any]:
    """A small file of facts; nothing when there is none."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def about(folder: Path, climate: Climate) -> Data:
    """What a long run says of itself: with which code it was made, how long it took."""
    made = _read(folder / "about.json")
    kept = {n: str(v) for n, v in made.items() if n not in ("case", "changes", "sources")}
    numbers = {"seconds": climate.seconds, "made": kept, "sources": made["sources"]}
    return Data(numbers=numbers)
