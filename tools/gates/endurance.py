"""Gate of 1000 days of earth_t31 with its physics, made with ``isthmus run`` in both precisions.

What is finished in WORK/earth_t31_float32 and WORK/earth_t31_float64 is taken as it is; what is not
is begun, or gone on with from its newest restart. Each takes two hours and more on one core.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from gates.longrun import Work
from gates.rows import Data, Row, Table, at_least, at_most, below
from gates.sources import changed_since, reached
from gates.store import ROOT

CASE = "cases/earth_t31.yaml"
SOURCES = (
    *reached(
        "physics/dynamics/atmosphere.py",
        *(f"physics/columns/{name}.py" for name in (
            "grey_radiation", "boundary_layer", "betts_miller", "condensation",
            "gravity_wave_ad99", "sponge", "precipitation", "sea_level_pressure",
        )),
        "physics/surface/slab.py",
    ), "coupler/driver/loop.py", CASE, "tools/gates/endurance.py",
)  # fmt: skip
DAYS, QUICK = 1000.0, 1.0
PRECISIONS = ("float32", "float64")
_BLOCK = 100.0


def finished(folder: Path) -> float:
    """Days that a run has stored from its start on; 0 when there is none, or it goes on."""
    report = folder / "run.json"
    if not report.is_file() or json.loads(report.read_text("utf-8"))["outcome"] != "complete":
        return 0.0
    with xr.open_dataset(folder / "atmosphere.nc", decode_times=False) as fields:
        bounds = fields["time_bnds"].values
        return float(bounds[-1, 1] - bounds[0, 0])


def carried_out(folder: Path, case: str | Path, days: float, changes: Mapping[str, str]) -> Path:
    """The folder of a run of at least `days` days, which is made or gone on with if need be.

    Raises:
        RuntimeError: when the run failed.
    """
    if finished(folder) < days - 1e-6:
        command = [sys.executable, "-m", "coupler", "run", str(ROOT / case), "--days", f"{days:g}"]
        for name, value in changes.items():
            command += ["--set", f"{name}={value}"]
        command += ["--out", str(folder), "--resume"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-600:]
            raise RuntimeError(f"no run in {folder}, status {done.returncode}: {said}")
    return folder


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


def _facts(folders: Mapping[str, Path], current: str) -> Data:
    """Seconds of both runs, and with which code they were made.

    A run that went on after an interruption knows the seconds since then, which stand for all.
    """
    seconds, made, changed = 0.0, {}, []
    for folder in folders.values():
        report = json.loads((folder / "run.json").read_text("utf-8"))
        seconds += report["wall_seconds"] * finished(folder) / report["days_run"]
        made = made or {str(n): str(v) for n, v in report["versions"].items()}
        try:
            sources = [path for path in SOURCES if path != "tools/gates/endurance.py"]
            changed += changed_since(report["versions"].get("commit", ""), sources)
        except ValueError as error:
            changed.append(str(error))
    told = current if not changed else "older: " + ", ".join(sorted(set(changed)))
    return Data(numbers={"seconds": seconds, "made": made, "sources": told})


def endurance(quick: bool, work: Work) -> Iterator[Row | Table | Data]:
    """1000 days of `earth_t31` with its physics, in float32 and in float64.

    From the runs' own files: the fastest wind of a daily mean, the zonal-mean jets, temperature and
    the changes of mass and energy since the first day, by hundreds of days.
    """
    days, changes = (QUICK, {"atmosphere.truncation": "T21"}) if quick else (DAYS, {})
    folders = {
        precision: carried_out(
            work.folder / f"earth_t31_{precision}", CASE, days, {**changes, "precision": precision}
        )
        for precision in PRECISIONS[: 1 if quick else None]
    }
    yield _facts(folders, work.sources)
    for precision, folder in folders.items():
        report = json.loads((folder / "run.json").read_text("utf-8"))
        yield at_least(f"{precision}: days run", finished(folder), "", days - 1e-6, ".0f")
        rows = list(_blocks(folder))
        fastest = max(float(row[1]) for row in rows)
        yield at_most(f"{precision}: fastest wind of a daily mean [m/s]", fastest, "", 200.0, ".0f")
        yield below(f"{precision}: dry mass, relative change", float(rows[-1][5]), "0",
                    1e-6 if precision == "float32" else 1e-9)  # fmt: skip
        made = f"commit `{report['versions'].get('commit', 'unknown')}`"
        speed = f"{report['sypd']:.1f} simulated years a day"
        yield Table(caption=f"{precision}, {made}, {speed}:", head=_HEAD, body=rows)
