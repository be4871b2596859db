"""``--record PROCESS``: what a scheme is given and gives goes to a file at every call of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coupler.driver.assemble import Assembly
from coupler.driver.bound import Bound
from coupler.interface.component import Array
from coupler.interface.errors import Problem, nearest
from coupler.interface.fields import FIELDS, Field
from coupler.interface.parallel import Parallel
from coupler.output.background import Background
from coupler.output.record import RecordFile

PLACE = ("lat", "lon")


def recorded(model: Assembly, process: str) -> tuple[Bound, dict[str, Array], dict[str, Field]]:
    """The first scheme of a process; arrays beside its own, by name; and all that is recorded."""
    bound = next(p for p in model.suite.processes if p.name == process).schemes[0]
    # Where a column is, and the state that an emulator of the scheme may want to see.
    extra = {n: model.suite.host.static[n] for n in PLACE}
    extra |= {n: bound.seen[n] for n in ("ua", "va", "ta", "pfull") if n in bound.seen}
    return bound, extra, {n: FIELDS[n] for n in extra} | bound.described()


def open_recording(
    model: Assembly,
    process: str,
    path: Path,
    attrs: Mapping[str, str],
    *,
    columns: int | None,
    resume_at: float | None,
    patience: float,
    background: Background | None = None,
) -> RecordFile:
    """Opens the file and has the process's first scheme write to it.

    Args:
        model: the model, bound.
        process: whose scheme is recorded.
        path: of the file.
        attrs: global attributes.
        columns: stored at each call; None: all.
        resume_at: time up to which an existing file is kept [s]; None makes a new one.
        patience, background: see `PatientFile`.
    """
    bound, extra, fields = recorded(model, process)
    suite, start, seed = model.suite, model.clock.start, model.case.seed
    file = RecordFile(
        path,
        list(fields.values()),
        model.atmosphere.levels,
        model.atmosphere.grid.ncol,
        columns=model.atmosphere.grid.ncol if columns is None else columns,
        seed=seed,
        time_units=f"days since {start.strftime('%Y-%m-%d %H:%M:%S')}",
        calendar=start.calendar,
        attrs={**attrs, "process": process, "scheme": bound.label, "seed": str(seed)},
        dtype=f"f{suite.host.dtype.itemsize}",
        resume_at=None if resume_at is None else resume_at / 86400.0,
        patience=patience,
        background=background,
    )
    arrays = extra | bound.arrays()
    bound.reads = tuple(dict.fromkeys((*bound.reads, *(n for n in extra if n in suite.state))))
    bound.on_call = lambda now: file.append(now.seconds / 86400.0, now.dt, arrays)
    return file


def record_problems(
    raw: Mapping[str, Any], record: Sequence[str], parallel: Parallel
) -> list[Problem]:
    """What is wrong with the processes that are to be recorded."""
    if record and parallel.size > 1:
        return [
            Problem(
                what="cannot record on more than one rank",
                name=", ".join(record),
                found=f"{parallel.size} ranks",
                remedy="record with one: the columns are the same",
            )
        ]
    physics = raw.get("physics")
    known = {str(p): c for p, c in physics.items()} if isinstance(physics, Mapping) else {}
    problems = [
        Problem(
            what="cannot record a process that the case does not have",
            name=process,
            remedy=nearest(process, known),
        )
        for process in record
        if process not in known
    ]
    choices = {p: known[p] for p in record if isinstance(known.get(p), Mapping)}
    return problems + [
        Problem(
            what="cannot record a process that is off",
            name=process,
            remedy=f"give {process}.mode: apply, shadow or blend",
        )
        for process, choice in choices.items()
        if choice.get("mode") in ("off", False)  # YAML reads a bare off as false
    ]


def unrecordable(model: Assembly, record: Sequence[str]) -> list[Problem]:
    """What cannot be recorded on the grid of this model."""
    if all(n in model.suite.host.static for n in PLACE):
        return []
    return [
        Problem(
            what="cannot record columns that have no place on a globe",
            name=process,
            expected="an atmosphere with latitudes and longitudes",
            found=str(model.atmosphere.grid),
            remedy="leave --record out: the run's own output has the whole plane",
        )
        for process in record
    ]
