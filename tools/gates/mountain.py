"""Gate of rest over mountains at the scale of the grid: the error of the pressure gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from gates.dry import run
from gates.rows import Row, Table, at_most, below
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import filtered_orography, to_spectral
from physics.dynamics.initial_states import GROUNDS, INITIAL_STATES

_WITH_AIR_ABOVE = ("hybrid30", "sigma30")


def dcmip_levels(count: int) -> HybridLevels:
    """Levels of DCMIP 2012 test 2-0-0: equal steps of height up to 12 km, where p is 205.44 hPa.

    In its atmosphere over the sea, eta = (1 - Gamma z / T0)^(g / (R Gamma)); B = (eta - eta_top) /
    (1 - eta_top), A = (eta - B) 1000 hPa. ``cases/tests/dcmip_2012_2_0_0_t85.yaml`` has the 30.
    """
    z = np.linspace(12000.0, 0.0, count + 1)
    eta = (1.0 - 0.0065 * z / 300.0) ** (9.80616 / (287.0 * 0.0065))
    b = (eta - eta[0]) / (1.0 - eta[0])
    return HybridLevels(a=1.0e5 * (eta - b), b=b, name=f"dcmip{count}")


def _at_rest_over_mountains(truncation: int, levels: HybridLevels, dt: float) -> DynamicalCore:
    """The start of DCMIP 2012 test 2-0-0, ready to step."""
    planet = Planet(rotation_rate=0.0, gravity=9.80616, gas_constant_dry=287.0)
    core = DynamicalCore(
        truncation=truncation, levels=levels, planet=planet, dt=dt, tracers=0, dtype=torch.float64
    )
    ground = GROUNDS["mountain_rest"].geopotential(core.frame)
    core.set_surface(filtered_orography(core.transform, ground))
    with torch.no_grad():
        core.start(to_spectral(core.equations, INITIAL_STATES["mountain_rest"](core.frame)))
    return core


def _acceleration(core: DynamicalCore) -> Any:
    """Largest acceleration of the air on each level [m s-2], [K]."""
    eq = core.equations
    with torch.no_grad():
        rate = eq.tendency(core._now, eq.to_grid(core._now), core.surface_geopotential)
        found = eq.to_grid(rate)
    return torch.hypot(found.ua, found.va).amax((1, 2)).numpy()


def mountain_rest(quick: bool) -> Iterator[Row | Table]:
    """Rest over mountains 11 degrees apart, DCMIP 2012 test 2-0-0, no rotation, float64.

    T = 300 K - 6.5 K/km up to 12 km, where the test ends; the exact answer is no wind. The ground
    is truncated and tapered first. The acceleration at the start is the error of the pressure
    gradient alone, of second order in the levels; the wind of day 6 has that of diffusion along the
    levels too, which twice the levels do not lessen. With isothermal
    air above (hybrid30, sigma30), the layer that holds the bend of the profile has a larger error,
    which is then that of all layers above.
    """
    truncation, dt, days = (21, 3600.0, 1.0) if quick else (85, 1800.0, 6.0)
    sets = {n: dcmip_levels(n) for n in ((15, 30) if quick else (30, 60))}
    body, errors, winds = [], {}, []
    for count, levels in [*sets.items(), *((0, HybridLevels.named(n)) for n in _WITH_AIR_ABOVE)]:
        core, wind = _at_rest_over_mountains(truncation, levels, dt), ""
        half = levels.half_pressure(np.array(1.0e5)) / 100.0
        push = _acceleration(core) * 86400.0
        k = int(push.argmax())
        if count:
            errors[count] = float(push.max())
            run(core, days)
            fastest = core.integrals()["max_wind"]
            winds.append(fastest)
            wind = f"{fastest:.3f}"
            yield below(f"largest wind [m/s], day {days:g}, T{truncation}, {count} levels", fastest,
                        "0", 1.0, ".3f")  # fmt: skip
        body.append([levels.name, f"{half[0]:.2f}", f"{push.max():.3f}",
                     f"{0.5 * (half[k] + half[k + 1]):.0f}", wind])  # fmt: skip
    coarse, fine = errors.values()
    yield at_most("error of the pressure gradient, twice the levels over once", fine / coarse,
                  "0.25 (second order)", 0.4, ".2f")  # fmt: skip
    yield at_most(f"largest wind, day {days:g}, twice the levels over once", winds[1] / winds[0],
                  "falls", 1.0, ".2f")  # fmt: skip
    head = ["levels", "top [hPa]", "largest acceleration at the start [m/s/day]", "at [hPa]",
            f"largest wind, day {days:g} [m/s]"]  # fmt: skip
    yield Table(caption="Where it is:", head=head, body=body)
