"""``isthmus train``: the driver makes the recordings of a recipe, the emulators learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from coupler.driver.online import CoupledFlow
from coupler.driver.simulation import Simulation
from coupler.interface.errors import ConfigError


def record(
    process: str,
    case: Path,
    days: float,
    seed: int,
    overrides: Mapping[str, Any],
    out: Path,
    columns: int | None = None,
) -> Path:
    """Runs a case with recording of `process` on, of all columns for None; returns the file."""
    simulation = Simulation.from_case(
        case,
        set={**overrides, "days": days, "seed": seed, "output.interval": days},
        out=out,
        overwrite=True,
        record=[process],
        record_columns=columns,
    )
    simulation.run()
    return simulation.folder.record(process)


def train(recipe: Path, *, out: Path | None = None, work: Path | None = None) -> Path:
    """Follows a recipe: record, fit, score, bundle. Returns the folder of the bundle.

    Raises:
        ConfigError: for a recipe that is wrong.
        DataError: for recordings that are missing or not independent.
    """
    if (closures := _closures(recipe, out)) is not None:
        return closures(None)[0]
    learning, make = _tools(recipe)
    folder: Path = learning.train(recipe, record=make, flow=CoupledFlow, out=out, work=work)
    return folder


def train_seeds(
    recipe: Path, seeds: Sequence[int], *, out: Path | None = None, work: Path | None = None
) -> list[Path]:
    """The same for several seeds on the same recordings: one bundle for each, ``BUNDLE_seedN``.

    Raises:
        ConfigError: for a recipe that is wrong.
        DataError: for recordings that are missing or not independent.
    """
    if (closures := _closures(recipe, out)) is not None:
        return closures(seeds)
    learning, make = _tools(recipe)
    folders: list[Path] = learning.train_seeds(
        recipe, seeds, record=make, flow=CoupledFlow, out=out, work=work
    )
    return folders


def _closures(
    recipe: Path, out: Path | None
) -> Callable[[Sequence[int] | None], list[Path]] | None:
    """What follows a recipe of tendencies, given seeds; None for a recipe of fluxes."""
    reading = import_module("emulators.training.recipe")
    content = reading.content_of(recipe)
    kind = content.get("kind", "fluxes") if isinstance(content, dict) else "fluxes"
    if kind == "fluxes":
        return None
    if kind != "tendency":
        raise ConfigError.of(
            "unknown kind of recipe", f"{recipe}: kind", expected="fluxes or tendency",
            found=str(kind),
        )  # fmt: skip
    learning = import_module("emulators.training.closure_recipe")
    said = reading.checked(recipe, content, learning.ClosureRecipe)

    def follow(seeds: Sequence[int] | None) -> list[Path]:
        folders: list[Path] = learning.train(said, recipe, seeds, out=out)
        return folders

    return follow


def _tools(recipe: Path) -> tuple[Any, Any]:
    """The module that learns, and what makes recordings for it."""
    process = import_module("emulators.training.recipe").read_recipe(recipe).process

    def make(
        case: Path,
        days: float,
        seed: int,
        overrides: Mapping[str, Any],
        out: Path,
        columns: int | None,
    ) -> Path:
        return record(process, case, days, seed, overrides, out, columns)

    return import_module("emulators.training.train"), make
