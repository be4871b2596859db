"""Gate of the life cycle of Polvani, Scott and Thomas (2004), which converges with truncation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from gates.low import PLANET, STEPS, begun, by_day, low
from gates.peer_wave import DIFFUSION
from gates.rows import Row, Table, below, near
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial_polvani import life_cycle
from physics.dynamics.leapfrog import Diffusion

Found = tuple[float, float, float, float, float, float]
"""Lowest surface pressure [hPa], its longitude [degrees]; lowest layer: least and largest vorticity
[1e-5 s-1] and temperature [K]."""
PEER: dict[int, dict[int, Found]] = {
    42: {
        1: (998.68, 11.67, -0.110, 0.272, 253.28, 292.51),
        4: (997.66, 44.81, -0.382, 0.683, 253.27, 292.49),
        8: (986.68, 86.83, -2.462, 3.930, 253.36, 292.45),
        10: (974.09, 106.00, -4.007, 6.200, 253.44, 292.47),
        12: (964.37, 177.68, -4.729, 7.185, 253.61, 292.51),
    },
}
"""By truncation and day, as ``tools/gates/peer_wave.py --wave 2004`` prints them."""
DAYS = (4, 8, 10, 12)
WITHIN = {"lowest surface pressure [hPa]": 1.0, "its longitude [degrees]": 1.0}


def measured(core: DynamicalCore) -> Found:
    """What is compared, of the newest state."""
    nlev = core.levels.nlev
    ps, east, _ = low(core)
    waves = torch.from_numpy(core.memory()["spectral_now"])[:, :, :nlev].contiguous()
    with torch.no_grad():
        curl = core.transform.synthesis(waves).numpy()[-1] * 1e5
    warm = core.newest()["ta"][-1]
    return ps, east, *(float(v) for v in (curl.min(), curl.max(), warm.min(), warm.max()))


def life_cycles(quick: bool) -> Iterator[Row | Table]:
    """Life cycle of Polvani, Scott and Thomas (2004), 20 equal sigma layers, its diffusion of
    7e5 m2/s.

    The lowest surface pressure and where it is, by parabolas through grid points, and the extremes
    of vorticity in the lowest layer; float32. The reference is `dinosaur` from the same fields with
    the same diffusion and a Runge-Kutta scheme. The paper's solutions converge with truncation, so
    ours have to; the largest vorticity among grid points is already within two hundredths of that
    of T85 at T42, and has no order to show.
    """
    body, last = [], {}
    for truncation in list(STEPS)[: 1 if quick else None]:
        slow = PLANET.radius**2 / (DIFFUSION * truncation * (truncation + 1))
        core = begun("2004", life_cycle, truncation, diffusion=Diffusion(power=1, timescale=slow))
        for day in by_day(core, (1,) if quick else DAYS):
            ours, theirs = measured(core), PEER.get(truncation, {}).get(day)
            last[truncation] = ours
            body.append([f"T{truncation}" if day == DAYS[0] else "", f"{day}", *_cells(ours)])
            if theirs:
                body.append(["", "reference", *_cells(theirs)])
            if theirs and (quick or day == DAYS[-1]):
                label = f"T{truncation}, day {day}: "
                for i, (what, within) in enumerate(WITHIN.items()):
                    yield near(label + what, ours[i], theirs[i], within, ".2f")
                if not quick:  # at first it is small, and waves of the adjustment cross it
                    apart = ours[3] / theirs[3] - 1.0
                    yield below(label + "largest vorticity, relative difference", apart, "0", 0.03)
    if not quick:
        coarse, middle, fine = (np.array(last[t]) for t in STEPS)
        label = "day 12, T63 less T85: "
        yield below(label + "lowest surface pressure [hPa]", middle[0] - fine[0], "0", 0.2, ".2f")
        for i, what in ((2, "least"), (3, "largest")):
            apart = middle[i] / fine[i] - 1.0
            yield below(label + f"{what} vorticity, relative difference", apart, "0", 0.02)
        for i, what in ((0, "lowest surface pressure"), (2, "least vorticity")):
            ratio = abs(middle[i] - fine[i]) / abs(coarse[i] - fine[i])
            yield below(label + f"{what}, over T42 less T85", ratio, "0", 0.5)
    head = ["", "day", "lowest ps [hPa]", "where", "vorticity [1e-5 s-1]", "temperature [K]"]
    yield Table(caption="By day:", head=head, body=body)


def _cells(x: Found) -> list[str]:
    return [f"{x[0]:.2f}", f"{x[1]:.1f}E", f"{x[2]:.2f} to {x[3]:.2f}", f"{x[4]:.1f} to {x[5]:.1f}"]
