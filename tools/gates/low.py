"""What the waves of 2014 and 2004 have in common: a core from one of them, day by day, its low."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from gates.dry import run
from gates.peer_wave import CONSTANTS, WAVES, lowest
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import to_spectral

STEPS = {42: 1200.0, 63: 900.0, 85: 600.0}
"""By truncation [s]."""
PLANET = Planet(**CONSTANTS)


def begun(wave: str, state: Callable[[Any], Any], truncation: int, **options: Any) -> DynamicalCore:
    """A core at the start, float32.

    Args:
        wave: of `WAVES`.
        state: the start on the frame of the core.
        truncation: of `STEPS`.
        options: of the core.
    """
    core = DynamicalCore(
        truncation=truncation, levels=HybridLevels.sigma(WAVES[wave]), dt=STEPS[truncation],
        planet=PLANET, dtype=torch.float32, tracers=0, **options,
    )  # fmt: skip
    with torch.no_grad():
        core.start(to_spectral(core.equations, state(core.frame)))
    return core


def by_day(core: DynamicalCore, days: Iterable[int]) -> Iterator[int]:
    """Each of the days, with the core there."""
    done = 0
    for day in days:
        run(core, day - done)
        done = day
        yield day


def low(core: DynamicalCore) -> tuple[float, float, float]:
    """Lowest surface pressure [hPa], its longitude and latitude [degrees]."""
    lat = np.degrees(np.arcsin(core.transform.sin_lat))
    lon = 360.0 / core.transform.nlon * np.arange(core.transform.nlon)
    return lowest(core.newest()["ps"] / 100.0, lat, lon)
