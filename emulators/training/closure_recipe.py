"""The recipe of a closure: maps in files, a network, a bundle with its score on another run.

A file holds fields of a coarse grid and the tendency that it is missing with the dimensions (run,
time, lev, y, x), the distance of points from the coordinate ``x`` [m]: what
`tools/resolved_forcing.py` writes from a fine run of two-layer turbulence, or anybody's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from statistics import stdev
from typing import Any, Literal

import netCDF4
import numpy as np
import torch
from cf_units import Unit
from pydantic import Field
from rich.console import Console
from rich.table import Table

from coupler.interface.errors import ConfigError, DataError, Problem, nearest
from coupler.interface.fields import FIELDS, TENDENCY_UNITS
from emulators.bundle import read_spec
from emulators.schema import Architecture
from emulators.training.beforehand import Faults
from emulators.training.closure import Closure, refuse_other_architectures, train_closure

Tensor = torch.Tensor
DIMENSIONS = ("run", "time", "lev", "y", "x")
REQUIRED: dict[str, Any] = {
    "kind": "tendency",
    "name": "unknown",
    "bundle": "unknown",
    "of": "qgpv",
    "inputs": {"qgpv": "unknown"},
    "target": "unknown",
    "train": ["unknown"],
    "test": "unknown",
    "architecture": {"name": "plane_conv"},
}
"""What a recipe cannot be without, and what stands for it, see `recipe.as_far_as_sound`."""


class ClosureRecipe(Closure):
    """All of a recipe with ``kind: tendency``."""

    kind: Literal["tendency"]
    bundle: str
    """Folder that the bundle becomes, relative to the recipe."""
    inputs: dict[str, str] = Field(min_length=1)
    """Field that the network is given to the variable of the files that holds it."""
    target: str
    """Variable that holds the tendency."""
    train: list[str] = Field(min_length=1)
    """Files, relative to the recipe."""
    test: str
    """A file of another run."""


class Maps:
    """What is read of one file: inputs and target [level, map, y, x]."""

    def __init__(self, path: Path, recipe: ClosureRecipe) -> None:
        """Reads it.

        Raises:
            DataError: for a file that is missing or holds something else, with all that is wrong.
        """
        if not path.is_file():
            raise DataError.of(
                "no such file of maps",
                str(path),
                remedy="make it with tools/resolved_forcing.py; paths are relative to the recipe",
            )
        known = {n: v for n, v in recipe.inputs.items() if n in FIELDS}
        wanted = {v: FIELDS[n].units for n, v in known.items()}
        wanted[recipe.target] = TENDENCY_UNITS.get(recipe.of, "")
        with netCDF4.Dataset(path) as file:
            problems = [p for n, u in wanted.items() if (p := _problem(path, file, n, u))]
            if problems:
                raise DataError(*problems)
            arrays = {n: np.ma.filled(file[n][:].astype("f4"), np.nan) for n in wanted}
            x = np.asarray(file["x"][:], np.float64) if "x" in file.variables else np.zeros(0)
        problems = [
            Problem(what="values that are not finite", name=f"{path}: {n}",
                    found=f"{np.count_nonzero(~np.isfinite(a))} of {a.size}")
            for n, a in arrays.items() if not np.isfinite(a).all()
        ]  # fmt: skip
        if problems:
            raise DataError(*problems)
        fields = {n: _by_level(a) for n, a in arrays.items()}
        self.path = path
        self.inputs = {n: fields[v] for n, v in known.items()}
        self.target = fields[recipe.target]
        self.spacing = float(x[1] - x[0]) if x.size > 1 else None
        self.maps = {
            hashlib.sha256(self.target[:, i].contiguous().numpy().tobytes()).digest()
            for i in range(self.target.shape[1])
        }


def _problem(path: Path, file: netCDF4.Dataset, name: str, units: str) -> Problem | None:
    where = f"{path}: {name}"
    if name not in file.variables:
        return Problem(
            what="variable missing in a file of maps",
            name=where,
            found=", ".join(sorted(v for v in file.variables if v not in DIMENSIONS)),
            remedy=nearest(name, file.variables),
        )
    found = file[name]
    if found.dimensions != DIMENSIONS:
        return Problem(
            what="dimensions of a file of maps",
            name=where,
            expected=f"({', '.join(DIMENSIONS)})",
            found=f"({', '.join(found.dimensions)})",
        )
    said = getattr(found, "units", None)
    if not units:  # of something that is not known
        return None
    try:
        same = said is not None and Unit(said) == Unit(units)
    except ValueError:
        same = False
    if not same:
        return Problem(what="unit of a file of maps", name=where, expected=units, found=str(said),
                       remedy="convert it and say so in its units attribute")  # fmt: skip
    return None


def _by_level(array: np.ndarray) -> Tensor:
    """[run, time, lev, y, x] as [lev, run x time, y, x]."""
    flat = array.reshape(-1, *array.shape[2:]).swapaxes(0, 1)
    return torch.from_numpy(np.ascontiguousarray(flat))


def train(
    recipe: ClosureRecipe,
    path: Path,
    seeds: Sequence[int] | None = None,
    *,
    out: Path | None = None,
    console: Console | None = None,
) -> list[Path]:
    """Follows a recipe to its bundle, or to one for each of `seeds`, ``BUNDLE_seedN``.

    Args:
        recipe: what it says.
        path: where it lies.
        seeds: instead of the recipe's own.
        out: folder that the bundle becomes, instead of the recipe's.
        console: where progress goes.

    Raises:
        ConfigError: for names that do not exist.
        DataError: for files that are missing, wrong, or not independent of each other.
        UnstableError: when a loss is not finite.
    """
    console = console or Console()
    *training, test = looked_through(recipe, path, (), [])
    for part in (*training, test):
        role = "test" if part is test else "train"
        console.print(f"{role:5s} {part.path.name}: {len(part.maps)} maps")
    own = dict(recipe.architecture.config)
    if recipe.architecture.name == "plane_conv" and test.spacing is not None:
        own.setdefault("spacing", test.spacing)
    inputs = {n: torch.cat([m.inputs[n] for m in training], dim=1) for n in recipe.inputs}
    target = torch.cat([m.target for m in training], dim=1)
    base = (out or path.parent / recipe.bundle).resolve()
    found = []
    for seed in [recipe.seed] if seeds is None else seeds:
        folder = base if seeds is None else base.with_name(f"{base.name}_seed{seed}")
        closure = recipe.model_copy(
            update={
                "seed": seed,
                "architecture": Architecture(name=recipe.architecture.name, config=own),
            }
        )
        say: Callable[[str], None] = console.print
        found.append(
            train_closure(
                closure, inputs, target, folder, source=", ".join(m.path.name for m in training),
                test=(test.inputs, test.target), overwrite=True, progress=say,
            )
        )  # fmt: skip
    console.print(_scores(found))
    return found


def looked_through(
    recipe: ClosureRecipe, path: Path, lacking: Collection[str], problems: Sequence[Problem]
) -> list[Maps]:
    """The maps of a recipe, the test last, after all of it was looked at.

    Args:
        recipe: as far as it is sound.
        path: where it lies.
        lacking: which of `REQUIRED` are wrong.
        problems: what is wrong with it by itself.

    Raises:
        ConfigError, ContractError, DataError: with all that is wrong, before anything is fitted.
    """
    faults = Faults(errors=[ConfigError(*problems)] if problems else [])
    with faults.gathered():
        refuse_unknown(recipe, path)
    with faults.gathered():
        refuse_other_architectures(recipe)
    files = [] if "train" in lacking else list(recipe.train)
    files += [] if "test" in lacking else [recipe.test]
    found: list[Maps] = []
    for file in [] if {"inputs", "target", "of"} & {*lacking} else files:
        with faults.gathered():
            found.append(Maps(path.parent / file, recipe))
    if len(found) == len(recipe.train) + 1:
        with faults.gathered():
            refuse_others(found[:-1], found[-1])
    faults.told()
    return found


def refuse_unknown(recipe: ClosureRecipe, path: Path) -> None:
    """Fields of the table, and a state variable that has a tendency.

    Raises:
        ConfigError: with all that are not.
    """
    problems = [
        Problem(what="unknown field in a recipe", name=f"{path}: {n}", remedy=nearest(n, FIELDS))
        for n in recipe.inputs
        if n not in FIELDS
    ]
    if recipe.of not in TENDENCY_UNITS:
        problems.append(
            Problem(what="no state variable that a closure changes", name=f"{path}: of",
                    expected=", ".join(TENDENCY_UNITS), found=recipe.of)
        )  # fmt: skip
    if problems:
        raise ConfigError(*problems)


def refuse_others(training: Sequence[Maps], test: Maps) -> None:
    """One grid, and no map of the test among those that are fitted.

    Raises:
        DataError: naming the two files.
    """
    for part in training:
        sides = [m.target.shape[0::2] + m.target.shape[3:] for m in (part, test)]
        if sides[0] != sides[1] or part.spacing != test.spacing:
            raise DataError.of(
                "maps of another grid",
                f"{part.path} and {test.path}",
                expected="the same levels, points and spacing in all files",
                found=f"{sides[0]}, {part.spacing} m and {sides[1]}, {test.spacing} m",
            )
        shared = len(part.maps & test.maps)
        if shared:
            raise DataError.of(
                "the test repeats what is fitted",
                f"{part.path} and {test.path}",
                expected="another run",
                found=f"{shared} of {len(test.maps)} maps in both",
                remedy="make the test with another seed",
            )


def _scores(folders: Sequence[Path]) -> Table:
    """R2 of the tendency by seed and level."""
    skills = [(s.provenance.seed, s.tendency_skill) for s in map(read_spec, folders)]
    table = Table(title="Offline R2 of the tendency, other run")
    table.add_column("seed", justify="right")
    table.add_column("all levels", justify="right")
    columns = [[k.overall, *k.r2] for _, k in skills if k is not None]
    for i in range(1, len(columns[0])):
        table.add_column(f"level {i}", justify="right")
    for (seed, _), values in zip(skills, columns, strict=True):
        table.add_row(str(seed), *(f"{v:.4f}" for v in values))
    if len(columns) > 1:
        spread = (f"{stdev(v):.4f}" for v in zip(*columns, strict=True))
        table.add_row("deviation", *spread)
    return table
