"""A long run of a case that leaves block means and a restart, and goes on where it stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
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


def carry_out(
    case: str | Path,
    days: float,
    out: Path,
    *,
    changes: Mapping[str, Any] | None = None,
    block: float = 50.0,
    say: bool = True,
) -> Path:
    """Steps a case to day `days` and leaves blocks of `block` days in the folder `out`.

    Returns:
        The folder; ``about.json`` in it says what was run with which code.

    Raises:
        DataError: when the folder holds blocks of another case.
    """
    model = Simulation.from_case(ROOT / case, set=dict(changes or {}), out=out / "unused").model
    atmosphere, clock = model.atmosphere, model.clock
    memory = Memory(model)
    out.mkdir(parents=True, exist_ok=True)
    if (out / "restart").is_dir():
        memory.put(restart.newest_good(out / "restart", case=memory.fingerprint))
    levels, grid = atmosphere.levels, atmosphere.grid
    half = levels.half_pressure(np.array(1.0e5))
    frame = {
        "lat": grid.lat, "pressure": 0.5 * (half[1:] + half[:-1]), "weights": grid.weights,
        "thickness": np.diff(half) / (half[-1] - half[0]), "length": np.array(block),
    }  # fmt: skip
    every = round(model.steps_per_day / SAMPLES)
    said = {"case": str(case), "changes": dict(changes or {}), **versions()}
    if clock.days < days - 1e-6:  # else nothing is run, and what was run is said already
        (out / "about.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
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
    return out


def about(folder: Path, climate: Climate) -> Data:
    """What a long run says of itself: with which code it was made, how long it took."""
    made = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    kept = {n: str(v) for n, v in made.items() if n not in ("case", "changes")}
    return Data(numbers={"seconds": climate.seconds, "made": kept})
