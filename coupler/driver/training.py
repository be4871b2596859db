"""``isthmus train``: the driver makes the recordings of a recipe, the emulators learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from coupler.driver.online import CoupledFlow
from coupler.driver.recording import recorded
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
    """Runs a case with recording of `process` on, of all columns for None; returns the file.

    What is doubtful in the case was said by `foresee`.
    """
    simulation = _to_record(process, case, days, seed, overrides, out, columns, warn=False)
    simulation.run()
    return simulation.folder.record(process)


def foresee(
    process: str, case: Path, days: float, seed: int, overrides: Mapping[str, Any], out: Path
) -> Any:
    """What a recording would hold (`emulators.training.beforehand.Foreseen`): builds the case only.

    Raises:
        ConfigError: with all that is wrong with the case, or with recording it.
    """
    simulation = _to_record(process, case, days, seed, overrides, out, None)
    try:
        model = simulation.model
        bound, _, fields = recorded(model, process)
        return import_module("emulators.training.beforehand").Foreseen(
            names=frozenset(fields),
            levels=model.atmosphere.levels,
            columns=model.atmosphere.grid.ncol,
            interval=bound.every * model.clock.step_length,
        )
    finally:
        simulation.close()


def _to_record(
    process: str,
    case: Path,
    days: float,
    seed: int,
    overrides: Mapping[str, Any],
    out: Path,
    columns: int | None,
    warn: bool = True,
) -> Simulation:
    return Simulation.from_case(
        case,
        set={**overrides, "days": days, "seed": seed, "output.interval": days},
        out=out,
        overwrite=True,
        record=[process],
        record_columns=columns,
        warn=warn,
    )


def train(recipe: Path, *, out: Path | None = None, work: Path | None = None) -> Path:
    """Follows a recipe: record, fit, score, bundle. Returns the folder of the bundle.

    Raises:
        ConfigError: for a recipe that is wrong.
        DataError: for recordings that are missing or not independent.
    """
    if (closures := _closures(recipe, out)) is not None:
        return closures(None)[0]
    folder: Path = _learning().train(recipe, **_tools(recipe), out=out, work=work)
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
    folders: list[Path] = _learning().train_seeds(
        recipe, seeds, **_tools(recipe), out=out, work=work
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
    said, lacking, problems = reading.as_far_as_sound(
        recipe, learning.ClosureRecipe, learning.REQUIRED
    )
    if said is None:
        raise ConfigError(*problems)
    if problems:
        learning.looked_through(said, recipe, lacking, problems)

    def follow(seeds: Sequence[int] | None) -> list[Path]:
        folders: list[Path] = learning.train(said, recipe, seeds, out=out)
        return folders

    return follow


def _learning() -> Any:
    return import_module("emulators.training.train")


def _tools(recipe: Path) -> dict[str, Any]:
    """What only the driver can do for a recipe, which need not be sound."""
    content = import_module("emulators.training.recipe").content_of(recipe)
    process = content.get("process") if isinstance(content, dict) else None
    return {"record": partial(record, str(process)), "foresee": foresee, "flow": CoupledFlow}
