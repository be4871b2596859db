"""Gates of the dry primitive equations: rest, the steady flow of 2006, spurious torque."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from gates.rows import Row, Table, below
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import (
    filtered_orography,
    isothermal_rest,
    jablonowski_williamson,
    to_spectral,
)

EARTH_2006 = Planet(
    radius=6.371229e6, rotation_rate=7.29212e-5, gravity=9.80616,
    gas_constant_dry=287.0, cp_dry=1004.5,
)  # fmt: skip


def _begin(core: DynamicalCore, state: Any) -> DynamicalCore:
    with torch.no_grad():
        core.start(to_spectral(core.equations, state))
    return core


def run(core: DynamicalCore, days: float) -> None:
    """Steps over `days`."""
    for _ in range(round(days * 86400.0 / core.dt)):
        core.step()


def rest(quick: bool) -> Iterator[Row]:
    """States at rest: the largest wind [m/s]."""
    for dtype, name, gate in ((torch.float64, "float64", 1e-9), (torch.float32, "float32", 1e-3)):
        for temperature in (300.0, 250.0):
            core = DynamicalCore(
                truncation=10 if quick else 42, levels=HybridLevels.named("hybrid9"),
                planet=Planet(), dt=3600.0 if quick else 1200.0, dtype=dtype,
            )  # fmt: skip
            _begin(core, isothermal_rest(core.frame, temperature=temperature))
            run(core, 10)
            wind = core.integrals()["max_wind"]
            what = f"isothermal, {temperature:.0f} K, T{core.transform.truncation}, 10 days, {name}"
            yield below(what, wind, "0", gate)
    for levels, temperature, gate in (
        ("sigma11", 300.0, 1e-6), ("sigma11", 250.0, 1e-6),
        ("hybrid11", 300.0, 1e-6), ("hybrid11", 250.0, 1e-2),
    ):  # fmt: skip
        core = _over_mountain(21, levels, 1800.0, temperature)
        run(core, 2 if quick else 6)
        wind = core.integrals()["max_wind"]
        what = f"over the mountain of DCMIP 2-0-0, {temperature:.0f} K, T21, {levels}"
        yield below(what, wind, "0", gate)


def _over_mountain(truncation: int, levels: str, dt: float, temperature: float) -> DynamicalCore:
    planet = Planet(rotation_rate=0.0, gravity=9.80616, gas_constant_dry=287.0)
    core = DynamicalCore(
        truncation=truncation, levels=HybridLevels.named(levels), planet=planet, dt=dt, tracers=0,
        dtype=torch.float64,
    )  # fmt: skip
    frame = core.frame
    r = np.arccos(np.clip(np.cos(frame.latitude) * np.cos(frame.longitude - 1.5 * np.pi), -1, 1))
    shape = 0.5 * (1.0 + np.cos(4.0 * r / 3.0)) * np.cos(16.0 * r) ** 2
    height = np.where(r < 0.75 * np.pi, 2000.0 * shape, 0.0)
    core.set_surface(filtered_orography(core.transform, height * planet.gravity))
    return _begin(core, isothermal_rest(core.frame, temperature=temperature))


def wave_2006(
    truncation: int, dt: float, *, perturbed: bool, dtype: torch.dtype, **options: Any
) -> DynamicalCore:
    """Jablonowski and Williamson (2006) on 26 equal sigma layers, ready to step."""
    core = DynamicalCore(
        truncation=truncation, levels=HybridLevels.sigma(26), planet=EARTH_2006, dt=dt,
        dtype=dtype, tracers=0, **options,
    )  # fmt: skip
    state = jablonowski_williamson(core.frame, perturbed=perturbed)
    core.set_surface(filtered_orography(core.transform, state.surface_geopotential, taper=False))
    return _begin(core, state)


def _rms(core: DynamicalCore, field: Any) -> float:
    """Root mean square over the globe and sigma thickness."""
    weights = 0.5 * core.transform.gauss_weights
    return float(np.sqrt(np.diff(core.levels.b) @ ((field**2).mean(-1) @ weights)))


def steady(quick: bool) -> Iterator[Row | Table]:
    """Steady zonal flow of Jablonowski and Williamson (2006), T42, 26 sigma layers, float64.

    The mean is over the globe and the mass of the air. Afterwards the round-off, which grows on the
    instability of the jets, breaks the zonal symmetry in any model.
    """
    days = (1,) if quick else (1, 2, 4, 6, 8, 10, 12)
    core, done, body = wave_2006(42, 1800.0, perturbed=False, dtype=torch.float64), 0, []
    start = core.newest()["ua"]
    asymmetry, drift = {}, {}
    for day in days:
        run(core, day - done)
        done = day
        x = core.newest()
        u, ps = x["ua"], x["ps"]
        asymmetry[day] = _rms(core, u - u.mean(-1, keepdims=True))
        drift[day] = _rms(core, u - start)
        body.append([f"{day}", f"{asymmetry[day]:.1e}", f"{drift[day]:.4f}",
                     f"{ps.min() / 100:.3f} to {ps.max() / 100:.3f}"])  # fmt: skip
    gates = {1: (1e-10, "2e-11"), 10: (1e-7, "5e-10"), 12: (1e-6, "2e-9")}
    for day, (gate, peer) in gates.items():
        if day in asymmetry:
            yield below(f"l2(u - zonal mean) [m/s], day {day}", asymmetry[day], peer, gate)
    yield below(f"largest l2(u - initial u) [m/s] to day {done}", max(drift.values()),
                "0.010 to 0.021", 0.05)  # fmt: skip
    head = ["day", "l2(u - zonal mean) [m/s]", "l2(u - initial u) [m/s]", "surface pressure [hPa]"]
    yield Table(caption="By day:", head=head, body=body)


def torque(quick: bool) -> Iterator[Row | Table]:
    """Spurious torque in the circulation of Held and Suarez (1994), T21, 10 levels, float64.

    The change of angular momentum that friction does not explain, over half-days of days 20 to 40,
    with the usual diffusion and three sponge levels; of friction's mean size.
    """
    import tempfile

    from coupler import Simulation

    days = (1.0, 3.0) if quick else (20.0, 40.0)
    for stepper in ("leapfrog", "sil3"):
        case = {
            "title": "torque", "days": days[1], "precision": "float64",
            "atmosphere": {
                "scheme": "spectral", "truncation": 21, "levels": "sigma10", "dt": 1800,
                "initial": "baroclinic_wave", "moist": False, "stepper": stepper,
            },
            "physics": {"radiation": "held_suarez", "boundary_layer": "held_suarez"},
            "output": {"interval": 0.5},
        }  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            simulation = Simulation.from_case(case, out=Path(folder) / "run").run(quiet=True)
            with simulation.dataset("budgets") as found:
                late = np.arange(found.sizes["time"]) >= 2 * days[0]
                given = found["angular_momentum_from_physics"].values
                rest = found["angular_momentum_residual"].values
        friction = np.abs(np.diff(given) / 43200.0)[late[1:]].mean()
        part = float(np.abs(rest[late]).mean() / friction)
        yield below(f"spurious torque, {stepper}, as a part of friction", part, "", 0.01)
