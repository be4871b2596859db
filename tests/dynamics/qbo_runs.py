"""The 1-D QBO model run by the driver, and the reference written out in plain numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from coupler.config import read_yaml, with_changes
from coupler.driver import loop
from coupler.driver.assemble import Assembly, assemble

CASE = Path(__file__).resolve().parents[2] / "cases" / "qbo_1d.yaml"
DAY = 86400.0


def built(swap: dict | None = None, **changes) -> Assembly:
    """The case with changes: a double underscore stands for the dot of a key."""
    keys = {k.replace("__", "."): v for k, v in changes.items()}
    raw, problems = with_changes(read_yaml(CASE), set=keys, swap=swap)
    return assemble(raw, CASE.parent, problems)


def daily_winds(model: Assembly, years: int, spin_up: int = 12) -> np.ndarray:
    """Wind at the start of every day after the spin-up [m s-1], shape [day, level, column]."""
    per_day = round(DAY / model.clock.step_length)
    wind = model.atmosphere.columns()["ua"]
    found = np.empty((360 * years, wind.shape[0], wind.shape[2]))
    for step in range(360 * years * per_day):
        if step % per_day == 0:
            model.atmosphere.columns()
            found[step // per_day] = wind[:, 0]
        loop.step(model)
    return found[360 * spin_up :]


def at(model: Assembly, winds: np.ndarray, km: float, column: int = 0) -> np.ndarray:
    """The series at a height [km]."""
    level = int(np.argmin(np.abs(model.atmosphere.height - 1e3 * km)))
    assert abs(model.atmosphere.height[level] - 1e3 * km) < 1.0
    return winds[:, level, column]


def reference_winds(years: int, spin_up: int = 12) -> np.ndarray:
    """The two-wave model as its equations stand, on nodes from the bottom up: [day, node].

    Independent of everything in the packages: dense matrices, density on the nodes, the source as
    the centred derivative of the flux over density.
    """
    dz, n, dt = 250.0, 73, DAY
    z = 17e3 + dz * np.arange(n)
    scale = 287.04 * 204.0 / 9.8
    rho = 101325.0 / (287.04 * 204.0) * np.exp(-z / scale)
    alpha = (1 / 21 + (3 / 21 - 1 / 21) * np.clip((z - 17e3) / 13e3, 0, 1)) / DAY
    wavenumber, buoyancy = 2 * np.pi / 4e7, 0.0216
    d1, d2 = np.zeros((n, n)), np.zeros((n, n))
    for i in range(1, n - 1):
        d1[i, i - 1], d1[i, i + 1] = -0.5 / dz, 0.5 / dz
        d2[i, i - 1 : i + 2] = np.array([1.0, -2.0, 1.0]) / dz**2
    a = -0.3 * d2
    forward, backward = np.eye(n) - dt * a, np.linalg.inv(np.eye(n) + dt * a)

    def source(u):
        flux = np.zeros(n)
        for c, stress in ((32.0, 6e-4), (-32.0, -6e-4)):
            g = alpha * buoyancy / (wavenumber * (u - c) ** 2)
            depth = np.concatenate([[0.0], np.cumsum(0.5 * dz * (g[1:] + g[:-1]))])
            flux += stress * np.exp(-depth)
        return d1 @ flux / rho

    u = -(14.0 / 81e6) * (z - 17e3) * (z - 35e3)
    winds = np.empty((360 * years, n))
    before, now = u, u - dt * (a @ u) - dt * source(u)
    winds[0] = u
    for day in range(1, 360 * years):
        winds[day] = now
        before, now = now, backward @ (forward @ before - 2 * dt * source(now))
    return winds[360 * spin_up :]
