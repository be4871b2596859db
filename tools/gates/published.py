"""Gates of published waves that have no converged answer: speed, shape, dry against moist."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from coupler import Simulation
from coupler.driver import loop
from gates.pictures import Panel, at_pressure, sphere_panels
from gates.rows import Picture, Row, Table, at_least, near
from gates.store import ROOT

CASES = ROOT / "cases" / "tests"


class Run:
    """A case of ``cases/tests`` that is stepped in memory."""

    def __init__(self, case: str, **changes: Any) -> None:
        path = CASES / f"{case}.yaml"
        with tempfile.TemporaryDirectory() as folder:
            self.model = Simulation.from_case(path, set=changes, out=Path(folder) / "x").model
        self.day = 0.0

    def to(self, day: float) -> dict[str, Any]:
        """Steps to a day and returns the fields."""
        for _ in range(round((day - self.day) * self.model.steps_per_day)):
            loop.step(self.model)
        self.day = day
        return dict(self.model.atmosphere.columns())

    def panel(self, title: str, values: Any, levels: Any, **options: Any) -> Panel:
        """A map on the run's grid."""
        grid = self.model.atmosphere.grid
        return Panel(title=title, values=values, levels=levels, lat=grid.lat, lon=grid.lon,
                     **options)  # fmt: skip


def rossby_haurwitz(quick: bool) -> Iterator[Row | Table | Picture]:
    """Rossby-Haurwitz wave of zonal wavenumber 4 at every height, ASP 2008 test 4-0-0, T42.

    The non-divergent wave moves by -15.0 degrees a day; the divergence of a compressible atmosphere
    slows a wave of this size by a few per cent. It should keep its shape for about 15 days.
    """
    changes = {"atmosphere.truncation": 21, "atmosphere.levels": "sigma9"} if quick else {}
    run, days = Run("asp_2008_4_0_0_t42", **changes), (1, 2) if quick else (1, 3, 5, 10, 15)
    body, panels = [], []

    def wave(x: dict[str, Any]) -> complex:
        """Amplitude and phase of wavenumber 4 of the surface pressure at 45 N [Pa]."""
        rows = np.fft.rfft(x["ps"].astype(np.float64), axis=1)[:, 4] / x["ps"].shape[1]
        lat = run.model.atmosphere.grid.lat
        return complex(np.interp(45.0, lat, rows.real), np.interp(45.0, lat, rows.imag))

    before = first = wave(run.to(0.0))
    last, turned = 0.0, 0.0
    for day in days:
        x = run.to(day)
        now = wave(x)
        # Less than a quarter of a wave (22.5 degrees a day) between looks, or it is ambiguous.
        guess = -15.0 * 4.0 * (day - last)
        step = np.degrees(-np.angle(now / before))
        step += 360.0 * np.round((guess - step) / 360.0)
        turned, before, last = turned + step / 4.0, now, float(day)
        body.append([f"{day}", f"{turned / day:.2f}", f"{2.0 * abs(now) / 100:.2f}",
                     f"{x['ps'].min() / 100:.1f} to {x['ps'].max() / 100:.1f}"])  # fmt: skip
        if day in (1, 10, 15):
            title = f"Surface pressure [hPa], day {day}"
            panels.append(run.panel(title, x["ps"] / 100.0, np.arange(955.0, 1031.0, 7.5)))
    yield near(f"speed to day {days[-1]} [degrees/day]", turned / days[-1], -15.0, 2.5, ".2f")
    kept = abs(before) / abs(first)
    yield near(f"amplitude on day {days[-1]}, of the first", kept, 1.0, 0.15, ".3f")
    head = ["day", "mean speed [degrees/day]", "amplitude at 45 N [hPa]", "surface pressure [hPa]"]
    yield Table(caption="By day:", head=head, body=body)
    if not quick:
        caption = "Three-dimensional Rossby-Haurwitz wave, T42, days 1, 10 and 15"
        yield Picture(name="rossby-haurwitz-3d.png", caption=caption,
                      png=sphere_panels(panels, columns=3, size=(3.4, 2.3)))  # fmt: skip


def mountain_wave(quick: bool) -> Iterator[Row | Table | Picture]:
    """Rossby waves behind a mountain, ASP 2008 test 5-0-0, T42, 26 sigma layers.

    No analytic answer. Without the mountain the start is in exact balance and must stay as it is.
    """
    changes: dict[str, Any] = {"atmosphere.truncation": 21, "atmosphere.levels": "sigma9"}
    small = changes if quick else {}
    still = Run("asp_2008_5_0_0_t42", **{"atmosphere.initial": "solid_rotation", **small,
                "precision": "float64"})  # fmt: skip
    u = still.to(0.0)["ua"].copy()
    moved = float(np.abs(still.to(1 if quick else 5)["ua"] - u).max())
    yield near(f"without mountain: change of wind to day {still.day:g} [m/s]", moved, 0.0, 1e-6)
    run, panels, body = Run("asp_2008_5_0_0_t42", **small), [], []
    for day in (1, 2) if quick else (5, 15, 25):
        x = run.to(day)
        full = x["pfull"]
        z, ua = (at_pressure(x[n], full, 7.0e4) for n in ("zg", "ua"))
        body.append([f"{day}", f"{z.min():.0f} to {z.max():.0f}",
                     f"{ua.min():.1f} to {ua.max():.1f}"])  # fmt: skip
        panels += [
            run.panel(f"Height [m] at 700 hPa, day {day}", z, np.arange(2200.0, 3301.0, 100.0)),
            run.panel(
                f"Eastward wind [m/s] at 700 hPa, day {day}", ua, np.arange(-15.0, 46.0, 5.0)
            ),
        ]
    yield at_least("mountain: range of the height at 700 hPa [m]", float(np.ptp(z)), "",
                   100.0 if quick else 500.0, ".0f")  # fmt: skip
    head = ["day", "height at 700 hPa [m]", "eastward wind at 700 hPa [m/s]"]
    yield Table(caption="By day:", head=head, body=body)
    if not quick:
        caption = "Waves behind the mountain at 90 E, 30 N"
        yield Picture(name="mountain-wave.png", caption=caption,
                      png=sphere_panels(panels, columns=2, size=(4.2, 2.3)))  # fmt: skip


def moist_wave(quick: bool) -> Iterator[Row | Table | Picture]:
    """Baroclinic wave of Ullrich et al. (2014), dry and with water that rains out at once, T42.

    DCMIP-2016 test 1-1. The moist low is several hPa deeper than the dry one from day 8 on.
    """
    small: dict[str, Any] = {"atmosphere.truncation": 21, "atmosphere.levels": "hybrid12",
                             "atmosphere.dt": 1800}  # fmt: skip
    changes = small if quick else {}
    runs = {
        "dry": Run("ullrich_2014_dry_t42", **changes),
        "moist": Run("dcmip_2016_1_1_t42", **changes),
    }
    days = (1, 2) if quick else (4, 6, 7, 8, 9, 10)
    body, panels, lowest = [], [], {}
    for day in days:
        cells = [f"{day}"]
        for name, run in runs.items():
            x = run.to(day)
            ps, grid = x["ps"] / 100.0, run.model.atmosphere.grid
            j, i = np.unravel_index(ps.argmin(), ps.shape)
            lowest[name, day] = float(ps.min())
            cells += [f"{ps.min():.2f}", f"{grid.lon[i]:.0f}E {grid.lat[j]:.0f}N"]
            if day in (8, 10):
                title = f"Surface pressure [hPa], {name}, day {day}"
                panels.append(run.panel(title, ps, np.arange(944.0, 1021.0, 7.0)))
        body.append(cells)
    gain = lowest["dry", days[-1]] - lowest["moist", days[-1]]
    yield at_least(f"moist low deeper on day {days[-1]} [hPa]", gain, "several",
                   -0.5 if quick else 2.0, ".2f")  # fmt: skip
    head = ["day", "dry, lowest ps [hPa]", "where", "moist, lowest ps [hPa]", "where"]
    yield Table(caption="By day:", head=head, body=body)
    if not quick:
        png = sphere_panels(panels, columns=2, window=(45.0, 360.0, 0.0, 90.0), size=(4.2, 2.0))
        yield Picture(name="moist-wave.png", caption="Dry and moist wave on days 8 and 10", png=png)
