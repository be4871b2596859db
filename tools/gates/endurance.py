"""Gate of long runs that were made with ``isthmus run``: 1000 days of earth_t31 in both precisions.

    isthmus run cases/earth_t31.yaml --days 1000 --out WORK/earth_t31_float32
    isthmus run cases/earth_t31.yaml --days 1000 --out WORK/earth_t31_float64 \\
        --set precision=float64

The gate reads what these left; it does not run them, because each takes hours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gates.longrun import Work
from gates.rows import Data, Row, Table, at_least, at_most, below

DAYS = 1000.0
PRECISIONS = ("float32", "float64")
_BLOCK = 100.0


def _blocks(folder: Path, nominal: float = _BLOCK) -> Iterator[list[str]]:
    """Extremes and means of a run by blocks of days, as a table shows them."""
    with (
        xr.open_dataset(folder / "atmosphere.nc", decode_times=False) as fields,
        xr.open_dataset(folder / "budgets.nc", decode_times=False) as budgets,
    ):
        day = fields["time_bnds"].values[:, 1]
        lat, start = fields["lat"].values, fields["time_bnds"].values[0, 0]
        ends = budgets["time"].values
        for begin in np.arange(0.0, day[-1] - start - 1e-6, nominal):
            chosen = np.flatnonzero((day - start > begin + 1e-6) & (day - start <= begin + nominal))
            if not chosen.size:
                continue
            u, v = (fields[n].values[chosen].astype(np.float64) for n in ("ua", "va"))
            fastest = float(np.sqrt((u * u + v * v).max()))
            zonal, t = u.mean(axis=(0, 3)), fields["ta"].values[chosen]
            at = int(np.searchsorted(ends, ends[0] + begin + nominal - 1e-6))
            at = min(at, ends.size - 1)
            mass, energy = (
                budgets[n].values[at] / budgets[n].values[0] - 1.0
                for n in ("dry_air_mass", "total_energy")
            )
            north, south = (np.where(side, zonal, -np.inf) for side in (lat > 0, lat < 0))
            places = [abs(lat[int(np.argmax(s)) % lat.size]) for s in (north, south)]
            yield [
                f"{begin:.0f} to {begin + nominal:.0f}", f"{fastest:.0f}",
                f"{north.max():.0f} at {places[0]:.0f}", f"{south.max():.0f} at {places[1]:.0f}",
                f"{float(t.min()):.0f} to {float(t.max()):.0f}", f"{mass:+.1e}", f"{energy:+.4f}",
                f"{float(budgets['water_vapour'].values[at]):.1f}",
            ]  # fmt: skip


_HEAD = [
    "days", "fastest [m/s]", "jet, north [m/s]", "jet, south [m/s]", "temperature [K]",
    "dry mass, change", "energy, change", "water vapour [kg/m2]",
]  # fmt: skip


def endurance(quick: bool, work: Work) -> Iterator[Row | Table | Data]:
    """1000 days of `earth_t31` with its physics, in float32 and in float64.

    From the runs' own files: the fastest wind of a daily mean, the zonal-mean jets, temperature and
    the changes of mass and energy since the first day, by hundreds of days.
    """
    if quick:
        return
    found: dict[str, Any] = {}
    for precision in PRECISIONS:
        folder = work.folder / f"earth_t31_{precision}"
        report = folder / "run.json"
        if not report.is_file():
            raise FileNotFoundError(f"no finished run in {folder}; make it with:\n{__doc__}")
        found[precision] = json.loads(report.read_text(encoding="utf-8"))
    seconds = sum(float(r["wall_seconds"]) for r in found.values())
    made = {str(n): str(v) for n, v in found["float32"]["versions"].items()}
    yield Data(numbers={"seconds": seconds, "made": made})
    for precision, report in found.items():
        folder = work.folder / f"earth_t31_{precision}"
        yield at_least(f"{precision}: days run", report["days_run"], "", DAYS - 1e-6, ".0f")
        rows = list(_blocks(folder))
        fastest = max(float(row[1]) for row in rows)
        yield at_most(f"{precision}: fastest wind of a daily mean [m/s]", fastest, "", 200.0, ".0f")
        yield below(f"{precision}: dry mass, relative change", float(rows[-1][5]), "0",
                    1e-6 if precision == "float32" else 1e-9)  # fmt: skip
        speed = f"{report['sypd']:.1f} simulated years a day"
        yield Table(caption=f"{precision}, {speed}:", head=_HEAD, body=rows)
