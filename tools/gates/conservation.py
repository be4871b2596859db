"""Gate of conservation: dry air, energy, angular momentum, water."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from gates.dry import wave_2006
from gates.rows import Row, Table, below
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import to_spectral
from physics.dynamics.initial_ullrich import moist_baroclinic_wave

_KEPT = ("dry_mass", "energy", "angular_momentum")


def _changes(core: DynamicalCore, days: Iterable[float]) -> Iterator[tuple[float, list[float]]]:
    """Relative changes of what ought to be kept, by day; the largest step of the fixer last."""
    before, done, largest = core.integrals(), 0.0, 0.0
    for day in days:
        for _ in range(round((day - done) * 86400.0 / core.dt)):
            core.step()
            largest = max(largest, abs(core.mass_fix))
        done = day
        now = core.integrals()
        yield day, [*(now[n] / before[n] - 1.0 for n in _KEPT), largest]


def conservation(quick: bool) -> Iterator[Row | Table]:
    """Conservation in the wave of 2006 with the usual diffusion (and filter), T42, float64.

    Water: humidity of the moist wave of 2014 on the grid, largest change in one step, no rain.

    The reference has the Runge-Kutta scheme SIL3 and no fixer. Leapfrog conserves ln ps
    only to second order in its step; that is what the fixer, on by default, takes back.
    """
    truncation, days = (21, (1.0, 4.0)) if quick else (42, (1.0, 4.0, 7.0, 9.0, 10.0))
    yield _water(quick)
    settings: list[tuple[str, float, dict[str, Any]]] = [
        ("leapfrog, 20 minutes, no fixer", 1200.0, {"fix_mass": False}),
        ("leapfrog, 20 minutes, fixer", 1200.0, {}),
        ("SIL3, 10 minutes, no fixer", 600.0, {"fix_mass": False, "stepper": "sil3"}),
    ]
    if not quick:
        settings.insert(1, ("leapfrog, 5 minutes, no fixer", 300.0, {"fix_mass": False}))
    last, body = min(7.0, days[-1]), []
    for label, dt, options in settings:
        core = wave_2006(truncation, dt, perturbed=True, dtype=torch.float64, **options)
        for day, (mass, energy, spin, fix) in _changes(core, days):
            shown = [f"{x:+.1e}" for x in (mass, energy, spin)]
            body.append([label if day == days[0] else "", f"{day:g}", *shown, f"{fix:.1e}"])
            if day != last:
                continue
            where = f"to day {day:g}, {label}"
            limit = 1e-9 if "no fixer" in label else 1e-12
            yield below(f"mass {where}", mass, "3e-10" if limit == 1e-9 else "", limit)
            yield below(f"energy {where}", energy, "4e-9", 1e-6 * day)
    head = ["", "day", "mass", "energy", "angular momentum", "largest step of the fixer"]
    yield Table(caption="Relative changes since the start:", head=head, body=body)


def _water(quick: bool) -> Row:
    """Largest relative change of the mass of water in one step, two days of the moist wave."""
    core = DynamicalCore(
        truncation=21, levels=HybridLevels.named("hybrid9" if quick else "hybrid20"),
        planet=Planet(), dt=2400.0, dtype=torch.float64, moisture="grid",
    )  # fmt: skip
    state, largest = moist_baroclinic_wave(core.frame), 0.0
    with torch.no_grad():
        core.start(to_spectral(core.equations, state), state.hus)
    water = first = core.integrals()["water"]
    for _ in range(12 if quick else 72):
        core.step()
        before, water = water, core.integrals()["water"]
        largest = max(largest, abs(water - before) / first)
    return below("water, largest change in a step, flux form, no fixer", largest, "", 1e-12)
