"""The truth: two-layer turbulence on a grid that holds its eddies.

Each run begins with noise on a coarse grid, where years cost little, and its waves are put on finer
ones; years have 360 days. Of the years on the last grid those at the end are kept, a state every
five days.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import netCDF4
import numpy as np
import torch

from coupler.interface.files import appearing
from physics.dynamics.qg_core import REGIMES, QGCore, QGState, noise
from physics.dynamics.qg_fused import Stepper

Tensor = torch.Tensor
DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long a run is, and on which grids."""

    nx: int = 256
    spin_up: tuple[tuple[int, float], ...] = ((128, 4.0), (256, 1.0))
    """Points a side and years, one after the other, that are thrown away."""
    years: float = 5.0
    """Kept, at `nx` points."""
    every: float = 5.0
    """Days between states that are kept."""


def refined(qh: Tensor, nx: int) -> Tensor:
    """Coefficients on a grid of `nx` points, of those on a coarser one, [..., m, m/2 + 1]."""
    m = qh.shape[-2]
    if m == nx:
        return qh
    half = m // 2
    fine = torch.zeros((*qh.shape[:-2], nx, nx // 2 + 1), dtype=qh.dtype)
    # The highest wave of the coarse grid has no sign: left out.
    fine[..., :half, :half] = qh[..., :half, :half]
    fine[..., nx - half + 1 :, :half] = qh[..., half + 1 :, :half]
    return fine * (nx / m) ** 2


def make(regime: str, member: int, path: Path, length: Length) -> Path:
    """Runs one truth, unless its file is there; returns the file.

    An interrupted run goes on from its last year.

    Raises:
        FloatingPointError: when it blows up.
    """
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    # Filtered waves decay to numbers with few digits, which processors are slow with.
    torch.set_flush_denormal(True)
    try:
        return _made(regime, member, path, length)
    finally:
        torch.set_flush_denormal(False)


def _made(regime: str, member: int, path: Path, length: Length) -> Path:
    config = REGIMES[regime]
    per_day = round(DAY / config.dt)
    year, every = 360 * per_day, round(length.every * per_day)
    plan = [*length.spin_up, (length.nx, length.years)]
    ends = np.cumsum([round(years * year) for _, years in plan]).tolist()
    first = ends[-2]
    part = path.with_suffix(".part.npz")
    stepper, step, states, days = _resumed(part, regime, plan, ends, member)
    began, start = time.perf_counter(), step
    while step < ends[-1]:
        step += 1
        stepper.step()
        if step > first and (step - first) % every == 0:
            states.append(stepper.core.to_grid(stepper.qh)[:, 0].numpy())
            days.append(step / per_day)
        if step in ends[:-1]:
            core = _core(regime, plan[ends.index(step) + 1][0])
            state = QGState(qh=refined(stepper.qh, core.config.nx))
            stepper = Stepper(core, 1)
            stepper.begin(state)
        if step % year == 0 or step == ends[-1]:
            energy = float(stepper.core.energy(stepper.qh).mean())
            if not np.isfinite(energy):
                raise FloatingPointError(f"{regime} {member}: no longer finite")
            spent = (time.perf_counter() - began) / (step - start) * (ends[-1] - step)
            print(
                f"truth {regime} {member}: year {step / year:.1f} of {ends[-1] / year:.1f}, "
                f"energy {energy:.3e} m2 s-2, {spent / 60:.0f} min left at this pace",
                flush=True,
            )
            kept = {"step": step, "qh": stepper.qh.numpy(), "states": states, "days": days}
            with appearing(part) as beside:
                np.savez(beside, **kept)
    _write(path, np.stack(states), np.array(days), regime, member, length)
    part.unlink()
    return path


def _core(regime: str, nx: int) -> QGCore:
    return QGCore(REGIMES[regime].at(nx), dtype=torch.float32)


def _resumed(
    part: Path, regime: str, plan: list[tuple[int, float]], ends: list[int], member: int
) -> tuple[Stepper, int, list[np.ndarray], list[float]]:
    """A stepper, the steps that it has done, and what was kept."""
    if part.is_file():
        with np.load(part) as kept:
            step = int(kept["step"])
            stage = next(i for i, end in enumerate(ends) if step < end or end == ends[-1])
            stepper = Stepper(_core(regime, plan[stage][0]), 1)
            stepper.begin(QGState(qh=torch.tensor(kept["qh"])))
            return stepper, step, list(kept["states"]), list(kept["days"])
    core = _core(regime, plan[0][0])
    stepper = Stepper(core, 1)
    stepper.begin(core.begin(torch.tensor(noise(core.config, 1, 100 + member))))
    return stepper, 0, [], []


def _write(
    path: Path, q: np.ndarray, days: np.ndarray, regime: str, member: int, length: Length
) -> None:
    config = REGIMES[regime].at(length.nx)
    with appearing(path) as beside, netCDF4.Dataset(beside, "w") as file:
        for name, size in zip(("run", "time", "lev", "y", "x"), (1, *q.shape), strict=True):
            file.createDimension(name, size)
        clock = file.createVariable("time", "f8", ("time",))
        clock[:] = days
        clock.units = "days"
        field = file.createVariable("q", "f4", ("run", "time", "lev", "y", "x"))
        field.units = "s-1"
        field[0] = q
        file.config = json.dumps(asdict(config))
        file.length = json.dumps(asdict(length))
        file.member = member


def read(path: Path) -> np.ndarray:
    """States of a file [time, 2, nx, nx], q [s-1]."""
    with netCDF4.Dataset(path) as file:
        return np.asarray(np.ma.getdata(file["q"][0]))
