"""Gate of the baroclinic wave of Jablonowski and Williamson (2006), by truncation.

Each truncation is a gate of its own, because the high ones take long; the statement about
convergence is made from their stored numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gates.dry import run, wave_2006
from gates.pictures import Panel, at_pressure, sphere_panels
from gates.rows import Data, Picture, Row, Table, at_most, near
from physics.dynamics.core import DynamicalCore

DAYS = (4, 5, 6, 7, 8, 9, 10)
LOWEST = {
    42: dict(zip(DAYS, (998.36, 996.70, 993.41, 986.10, 970.52, 947.46, 924.4), strict=True)),
    85: dict(zip(DAYS, (998.32, 996.71, 993.36, 985.89, 967.14, 940.10, 931.5), strict=True)),
    106: dict(zip(DAYS[:-1], (998.33, 996.70, 993.37, 985.84, 966.53, 942.01), strict=True)),
}
"""Lowest surface pressure [hPa] by truncation and day: an independent spectral core on the same
levels with a Runge-Kutta scheme and almost no diffusion below the top wavenumbers."""
WHERE = {4: (107, 49), 5: (127, 49), 6: (146, 49), 7: (169, 52), 8: (191, 57), 9: (214, 60)}
"""Of its T42 run [degrees east, degrees north], to one grid cell."""
VORTICITY = {
    42: dict(zip(DAYS, (0.78, 1.04, 1.77, 3.95, 8.34, 13.6, 15.7), strict=True)),
    85: dict(zip(DAYS, (0.77, 1.07, 2.11, 5.21, 15.1, 21.0, 20.4), strict=True)),
}
"""Largest vorticity at 850 hPa [1e-5 s-1]."""
WITHIN = {4: 0.3, 5: 0.3, 6: 0.6, 7: 1.0, 8: 3.0, 9: 4.0}
"""Gate on the lowest surface pressure [hPa] by day."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a truncation is run."""

    dt: float
    dtype: torch.dtype = torch.float32
    pictures: bool = False


SETTINGS = {
    42: Setting(dt=1200.0, dtype=torch.float64),
    63: Setting(dt=900.0),
    85: Setting(dt=600.0, pictures=True),
    106: Setting(dt=480.0),
    127: Setting(dt=400.0),
}


def at_850(core: DynamicalCore) -> dict[str, Any]:
    """Temperature [K] and vorticity [s-1] at 850 hPa, and surface pressure [Pa], [lat, lon]."""
    x, nlev = core.newest(), core.levels.nlev
    with torch.no_grad():
        spec = torch.from_numpy(core.memory()["spectral_now"])[:, :, :nlev]
        vorticity = core.transform.synthesis(spec.contiguous()).numpy()
    half = core.levels.half_pressure(x["ps"])
    full = 0.5 * (half[1:] + half[:-1])
    ta, rv = (at_pressure(field, full, 8.5e4) for field in (x["ta"], vorticity))
    return {"ta": ta, "rv": rv, "ps": x["ps"]}


def wave(truncation: int) -> Callable[[bool], Iterator[Row | Table | Picture | Data]]:
    """The gate of one truncation."""
    how = SETTINGS[truncation]

    def gate(quick: bool) -> Iterator[Row | Table | Picture | Data]:
        days = (4, 5) if quick else DAYS
        core, done = wave_2006(truncation, how.dt, perturbed=True, dtype=how.dtype), 0
        lat = np.degrees(np.arcsin(core.transform.sin_lat))
        lon = 360.0 / core.transform.nlon * np.arange(core.transform.nlon)
        lowest, body, panels = {}, [], []
        for day in days:
            run(core, day - done)
            done = day
            x = at_850(core)
            ps = x["ps"] / 100.0
            j, i = np.unravel_index(ps.argmin(), ps.shape)
            lowest[day] = float(ps.min())
            spin = 1e5 * float(x["rv"].max())
            peer, peer_spin = LOWEST.get(truncation, {}), VORTICITY.get(truncation, {})
            place = f"{lon[i]:.0f}E {lat[j]:.0f}N"
            body.append([
                f"{day}", f"{ps.min():.2f}", f"{peer[day]:.2f}" if day in peer else "",
                place, "{}E {}N".format(*WHERE[day]) if day in WHERE else "",
                f"{ps.max():.1f}", f"{spin:.2f}",
                f"{peer_spin[day]:.2f}" if day in peer_spin else "",
            ])  # fmt: skip
            if day in peer and day in WITHIN:
                yield near(f"lowest surface pressure, day {day} [hPa]", lowest[day], peer[day],
                           WITHIN[day], ".2f")  # fmt: skip
            if how.pictures and day in (7, 9):
                panels += _panels(day, lon, lat, x)
        yield Data(numbers={"lowest": {str(day): value for day, value in lowest.items()}})
        head = [
            "day", "lowest ps [hPa]", "reference", "where", "reference (T42)", "highest ps [hPa]",
            "vorticity at 850 hPa, largest [1e-5/s]", "reference",
        ]  # fmt: skip
        yield Table(caption="By day:", head=head, body=body)
        if panels:
            caption = (
                f"T{truncation}: surface pressure [hPa], temperature [K] and vorticity [1e-5/s] at "
                "850 hPa on days 7 and 9 (compare figures 5 to 8 of the paper)"
            )
            yield Picture(
                name=f"wave-t{truncation}.png", caption=caption,
                png=sphere_panels(panels, columns=3, window=(45.0, 360.0, 0.0, 90.0)),
            )  # fmt: skip

    gate.__doc__ = (
        f"Baroclinic wave of Jablonowski and Williamson (2006), T{truncation}, 26 equal sigma "
        f"layers, {'float64' if how.dtype == torch.float64 else 'float32'}, step "
        f"{how.dt / 60:g} minutes. The reference has another time scheme and less diffusion."
    )
    return gate


def _panels(day: int, lon: Any, lat: Any, x: dict[str, Any]) -> list[Panel]:
    pressure = np.arange(940.0, 1021.0, 10.0) if day > 7 else np.arange(984.0, 1013.0, 4.0)
    spin = np.array([-9.0, -6.0, -3.0, 3.0, 6.0, 9.0, 12.0, 15.0, 18.0, 21.0]) / (
        3 if day < 9 else 1
    )
    return [
        Panel(title=f"Surface pressure, day {day}", lon=lon, lat=lat, values=x["ps"] / 100.0,
              levels=pressure, colours="viridis"),
        Panel(title=f"Temperature at 850 hPa, day {day}", lon=lon, lat=lat, values=x["ta"],
              levels=np.arange(220.0, 311.0, 10.0), colours="RdYlBu_r"),
        Panel(title=f"Vorticity at 850 hPa, day {day}", lon=lon, lat=lat, values=1e5 * x["rv"],
              levels=spin, colours="RdBu_r", middle=0.0),
    ]  # fmt: skip


def convergence(quick: bool, stored: dict[int, dict[str, float]]) -> Iterator[Row | Table]:
    """The wave at rising truncation: what a finer grid still changes on day 9.

    Made from the runs above; differences of the lowest surface pressure in hPa.
    """
    days = ("7", "8", "9")
    body = [[f"T{t}", *(f"{stored[t][day]:.2f}" for day in days)] for t in sorted(stored)]
    yield Table(caption="Lowest surface pressure [hPa]:", head=["", *(f"day {d}" for d in days)],
                body=body)  # fmt: skip
    for coarse, fine, finest in ((42, 85, 106), (42, 85, 127)):
        if not {coarse, fine, finest} <= set(stored):
            continue
        p = {t: stored[t]["9"] for t in (coarse, fine, finest)}
        first, second = abs(p[coarse] - p[fine]), abs(p[fine] - p[finest])
        what = f"T{fine} to T{finest}, as a part of T{coarse} to T{fine}, day 9"
        yield at_most(what, second / first, "1.9/7.4 = 0.26" if finest == 106 else "", 0.5, ".2f")
