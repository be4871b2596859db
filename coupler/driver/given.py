"""What a case gives its models from files: boundary fields on their grids, and an initial state.

Rank 0 reads; the others are told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from coupler.config import Case
from coupler.input.fetch import locate
from coupler.input.sources import Source
from coupler.interface.component import Array, ColumnModel, Model
from coupler.interface.constants import Planet
from coupler.interface.errors import CouplerError, Problem, nearest
from coupler.interface.fields import FIELDS
from coupler.interface.parallel import Parallel
from coupler.parallel.agreement import from_first

Boundary = dict[str, dict[str, Array]]
"""Fields of each model on its grid, by model and name."""
Start = Callable[[Array], Mapping[str, Array]]


def read_files(
    case: Case,
    base: Path,
    models: Mapping[str, Model],
    complete: bool,
    start: Start | None,
    said: list[Problem],
) -> tuple[Boundary, list[Problem]]:
    """Reads the boundary fields onto the grid of each model that takes them, tries the start.

    Args:
        case: the case.
        base: folder that relative names are relative to.
        models: those that could be built, by process.
        complete: whether these are all. A model that could not be built may be the one that takes
            a field: one mistake, one sentence.
        start: what makes the initial state; None where there is none.
        said: what a user should hear about the files is put here.
    """
    takers = {n: {p.name for p in m.boundary} for n, m in models.items()}
    found: Boundary = {}
    problems: list[Problem] = []
    for name, source in case.boundary.items():
        if complete and not any(name in t for t in takers.values()):
            problems.append(
                Problem(
                    what="boundary field that no model takes",
                    name=f"boundary.{name}",
                    remedy=nearest(name, {x for t in takers.values() for x in t}),
                )
            )
        for model, names in takers.items():
            if name in names:
                heard: list[Problem] = []
                try:
                    field = _read(base, models[model], name, source, case.calendar, heard)
                except CouplerError as error:
                    problems += (p for p in error.problems if p not in problems)
                else:
                    found.setdefault(model, {})[name] = field
                said += (p for p in heard if p not in said)
    if case.initial is not None:
        atmosphere = models.get("atmosphere")
        ground = found.get("atmosphere", {}).get("orog")
        try:
            # A missing file is said even where a wrong atmosphere leaves nothing to interpolate to.
            locate(case.initial.file, beside=base)
            if atmosphere is not None and start is not None:
                start(np.zeros(atmosphere.grid.shape) if ground is None else ground)
        except CouplerError as error:
            problems += error.problems
    return found, problems


def _read(
    base: Path, model: Model, name: str, source: Source, calendar: str, heard: list[Problem]
) -> Array:
    from coupler.input.boundary import read_boundary
    from coupler.input.orography import read_deviation

    path = locate(source.file, beside=base)
    what = path, source.variable, model.grid, FIELDS[name]
    if source.statistic == "mean":
        return read_boundary(*what, file_units=source.units, calendar=calendar, say=heard)
    return read_deviation(*what, file_units=source.units)


def initial_state_of(
    case: Case, base: Path, planet: Planet, atmosphere: Model | None, said: list[Problem]
) -> Start | None:
    """What makes the start from the case's file, given the model's ground; None without a file.

    Args:
        case: the case.
        base: folder that relative names are relative to.
        planet: constants.
        atmosphere: gives grid and levels.
        said: what a user should hear about the start is put here.
    """
    from coupler.input import era5

    initial = case.initial
    if initial is None or not isinstance(atmosphere, ColumnModel):
        return None
    grid, levels = atmosphere.grid, atmosphere.levels

    def read(orog: Array) -> Mapping[str, Array]:
        path = locate(initial.file, beside=base)
        start = era5.Start(path=path, **initial.model_dump(exclude={"file"}))
        said.clear()  # the model's ground as it was truncated has the last word
        return era5.initial_state(start, grid, levels, orog, planet=planet, say=said)

    return read


def read_on_first(parallel: Parallel, start: Start | None) -> Start | None:
    """`start`, called on rank 0 for all ranks; the fields are told one by one."""
    if start is None:
        return None

    def everywhere(orog: Array) -> Mapping[str, Array]:
        read: dict[str, Array] = {}

        def names() -> list[str]:
            read.update(start(orog))
            return list(read)

        return {n: parallel.broadcast(read.get(n)) for n in from_first(parallel, names)}

    return everywhere
