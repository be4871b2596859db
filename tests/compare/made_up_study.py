"""A study whose runs are made from formulas: one candidate like the reference, one that is not."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from made_up_run import write_run

from coupler.compare.asked import Settings
from coupler.compare.candidates import REFERENCE, Candidate
from coupler.compare.jobs import COMPLETE, FAILED, Job, Run
from coupler.compare.study import Plan

MEMBERS, RECORDS = 7, 8
FINE, STRONG = "fine", "strong"
FACTOR = 4.0
"""By how much the drag of the bad candidate is too strong."""


def _beside(**factors: float) -> Any:
    def edit(data: xr.Dataset) -> xr.Dataset:
        noise = np.random.default_rng(9).normal(size=data["utendnogw"].shape)
        for name, factor in factors.items():
            for short in ("utendnogw", "vtendnogw"):
                data[f"{short}_{name}"] = data[short] * factor * (1.0 + 0.1 * noise)
        return data

    return edit


def made_up_study(
    base: Path, *, members: int = MEMBERS, kind: str = "online"
) -> tuple[Plan, list[Run]]:
    """A plan and its runs, as `coupler.compare.findings.examine` takes them."""
    case = {"title": "made_up", "start": "2001-03-01", "calendar": "noleap"}
    runs: list[Run] = []

    def add(name: str, member: int, seed: int, edit: Any = None, **how: float) -> None:
        folder = base / "runs" / f"{name}{member}"
        scheme = {"gravity_wave": {"scheme": name}}
        write_run(folder, seed=seed, records=RECORDS, edit=edit, **how,
                  settings={**case, "seed": member, "physics": scheme})  # fmt: skip
        job = Job(candidate=name, member=member, case=base / "case.yaml", days=float(RECORDS),
                  changes={"seed": member}, folder=folder)  # fmt: skip
        guard = {"columns": 1000, "guarded": 300 if name == STRONG else 0}
        runs.append(
            Run(job=job, status=COMPLETE, wall=3.0, memory=400.0,
                record={"steps": 576, "wall_seconds": 2.5, "sypd": 190.0, "guard": {
                    "gravity_wave": guard}, "versions": {"commit": "0123abc"}})
        )  # fmt: skip

    for m in range(1, members + 1):
        first = m == 1
        add(REFERENCE, m, 10 + m, _beside(fine=1.0, strong=FACTOR) if first else None)
        add(FINE, m, 110 + m, _beside(reference=1.0) if first else None)
        add(STRONG, m, 210 + m, _beside(reference=1.0 / FACTOR) if first else None,
            shift=4.0, drag=FACTOR)  # fmt: skip
    lost = Job(candidate=STRONG, member=members + 1, case=base / "case.yaml", days=float(RECORDS),
               changes={"seed": members + 1}, folder=base / "none")  # fmt: skip
    runs.append(Run(job=lost, status=FAILED, failed_at=3.0, wall=1.0, memory=300.0,
                    why="the state blew up: <b>ua</b> of dynamics, 412 m/s"))  # fmt: skip
    settings = Settings(kind=kind, case=base / "case.yaml", candidates=(), members=members,
                        report=base / "report.html")  # type: ignore[arg-type]  # fmt: skip
    plan = Plan(
        settings=settings,
        raw=case,
        process="gravity_wave",
        reference={"scheme": "ad99"},
        candidates=(Candidate(name=FINE, scheme="a"), Candidate(name=STRONG, scheme="b")),
        days=float(RECORDS),
        skip_days=2.0,
        jobs=tuple(r.job for r in runs),
    )
    return plan, runs
