r"""Gate of the spectrum of kinetic energy: its slope, and what the diffusion leaves at its end.

.. math:: E_n = \frac{a^2}{2 n (n+1)} \sum_m \left(|\zeta_n^m|^2 + |D_n^m|^2\right)

by total wavenumber n, averaged over levels, with harmonics whose square has the global mean 1. From
a run of its own of Held and Suarez (1994), with the diffusion that the core has by default at T42,
del^8 and 0.1 day at the truncation limit: the climate of that test is made with another one, which
leaves all waves below 0.8 T alone and so raises the end of the spectrum.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from coupler import Simulation
from coupler.driver import loop
from coupler.driver.state import Memory
from coupler.output import restart
from gates.held_suarez import CASE
from gates.longrun import Work, carry_out
from gates.pictures import EDGE, INK, png
from gates.rows import Picture, Row, at_least, at_most, near
from gates.store import ROOT

_RADIUS = 6.371e6
SPIN_UP, SAMPLED = 60.0, 30
"""[days]"""
CHANGES = {
    "atmosphere.initial": "baroclinic_wave", "atmosphere.diffusion_power": 4,
    "atmosphere.diffusion_start": 0.0, "atmosphere.diffusion_time": "0.1 day",
}  # fmt: skip


def kinetic_energy(spec: Any, levels: int, chosen: slice) -> Any:
    """E_n [m2 s-2], n = 1 to T, mean over `chosen` levels.

    Args:
        spec: coefficients [T+1 (m), 2, fields, T+2 (n - m)]: vorticity, then divergence [s-1].
        levels: number of levels K.
        chosen: of them.
    """
    power = spec.astype(np.float64) ** 2
    power = power[:, :, :levels][:, :, chosen] + power[:, :, levels : 2 * levels][:, :, chosen]
    power = power.sum(1).mean(1)  # [m, n - m]
    power[1:] *= 2.0  # m and -m
    truncation = spec.shape[0] - 1
    energy = np.zeros(truncation + 1)
    for m in range(truncation + 1):
        energy[m:] += power[m, : truncation + 1 - m]
    n = np.arange(1, truncation + 1)
    return 0.5 * _RADIUS**2 / (n * (n + 1)) * energy[1:]


def upturn(energy: Any, last: int = 10) -> float:
    """Largest rise from one of the last wavenumbers to a higher one [1]."""
    end = energy[-last:]
    return float(max(end[j] / end[i] for i in range(last) for j in range(i + 1, last)))


def slope(energy: Any) -> float:
    """Exponent of a power law between n = 10 and 0.7 T."""
    n = np.arange(1, energy.size + 1)
    inside = (n > 10) & (n < 0.7 * energy.size)
    return float(np.polyfit(np.log(n[inside]), np.log(energy[inside]), 1)[0])


def sampled(folder: Path, case: str | Path, changes: dict[str, Any], days: int) -> Any:
    """E_n [m2 s-2], mean over all levels and `days` days after the restart in `folder`."""
    model = Simulation.from_case(ROOT / case, set=changes, out=folder / "unused").model
    memory = Memory(model)
    memory.put(restart.newest_good(folder / "restart", case=memory.fingerprint))
    found = []
    for n in range(round(days * model.steps_per_day)):
        loop.step(model)
        if (n + 1) % round(model.steps_per_day) == 0:
            spec = model.atmosphere.memory()["spectral_now"]
            found.append(kinetic_energy(spec, (spec.shape[2] - 1) // 3, slice(None)))
    return np.mean(found, axis=0)


def spectrum(quick: bool, work: Work) -> Iterator[Row | Picture]:
    """Spectrum of kinetic energy in the circulation of Held and Suarez (1994), T42, 20 levels.

    Mean over all levels and days 60 to 90 after a baroclinic wave, with diffusion by del^8, 0.1 day
    at the truncation limit. About n^-3 between n = 10 and 0.7 T, and no pile of energy at the end,
    where the diffusion acts. It takes 1.9 days at n = 29, the end of the range, and makes that part
    steeper; with the diffusion of the climate above, which leaves n < 34 alone, the exponent was
    -1.97.
    """
    if quick:  # too short for a cascade: that there is energy, and most of it in long waves
        changes = {**CHANGES, "atmosphere.truncation": "T21"}
        folder = carry_out(CASE, 2.0, work, "spectrum", changes=changes, block=2.0)
        energy = sampled(folder, CASE, changes, 1)
        part = float(energy[:10].sum() / energy.sum())
        yield at_least("part of the energy in n up to 10, T21, day 3", part, "", 0.9, ".3f")
        return
    folder = carry_out(CASE, SPIN_UP, work, "spectrum", changes=CHANGES, block=30.0)
    energy = sampled(folder, CASE, CHANGES, SAMPLED)
    yield near("exponent between n = 10 and 29", slope(energy), -3.0, 0.7, ".2f")
    yield at_most("largest rise over the last 10 wavenumbers", upturn(energy), "none", 2.0, ".2f")
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes, n = figure.add_subplot(), np.arange(1, energy.size + 1)
    axes.loglog(n, energy, color="#1b5e9e", lw=1.6, label="model")
    axes.loglog(n[9:], energy[9] * (n[9:] / 10.0) ** -3.0, color=EDGE, ls="--", label="n$^{-3}$")
    axes.set_xlabel("Total wavenumber n", fontsize=8, color=INK)
    axes.set_ylabel("Kinetic energy [m$^2$ s$^{-2}$]", fontsize=8, color=INK)
    axes.tick_params(colors=INK, labelsize=8)
    axes.legend(frameon=False, fontsize=8)
    yield Picture(name="spectrum.png", caption="Spectrum of kinetic energy, Held-Suarez, T42",
                  png=png(figure))  # fmt: skip
