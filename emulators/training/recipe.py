"""A recipe: which recordings to make, which network to fit, how. YAML, checked as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from coupler.interface.errors import ConfigError, Problem, nearest
from emulators.schema import Architecture, Data, GuardRule


class Recording(Data):
    """A recorded run: either made for this recipe (`case`, `days`, ...) or an existing `file`."""

    file: str | None = None
    """A recording that exists, relative to the recipe."""
    case: str | None = None
    """A case file, relative to the recipe."""
    days: float | None = Field(default=None, gt=0.0)
    seed: int = 0
    set: dict[str, Any] = Field(default={})
    """Settings of the case that differ, as after ``--set``."""
    skip_days: float = Field(default=0.0, ge=0.0)
    """Days at the start that are left out (spin-up)."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Recording:
        if (self.file is None) == (self.case is None):
            raise ValueError("a recording is either a file, or a case with days")
        if self.case is not None and self.days is None:
            raise ValueError("a recording of a case needs days")
        return self


class Optimizer(Data):
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) with a schedule over all steps."""

    learning_rate: float = Field(default=2e-3, gt=0.0)
    weight_decay: float = Field(default=1e-4, ge=0.0)
    schedule: Literal["cosine", "one_cycle"] = "one_cycle"
    """``cosine`` falls from the start; ``one_cycle`` rises linearly over a tenth first."""
    batch: int = Field(default=4096, ge=1)
    epochs: int = Field(default=40, ge=1)
    patience: int = Field(default=10, ge=1)
    """Epochs without a better validation loss before it stops."""
    drag_weight: float = Field(default=0.5, ge=0.0)
    """Weight of the layers' flux differences in the loss, beside 1 for the flux."""
    clip: float = Field(default=1.0, gt=0.0)
    """Largest norm of the gradient."""


class Recipe(Data):
    """All of a recipe."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    process: str
    bundle: str
    """Folder that the bundle becomes, relative to the recipe."""
    work: str | None = None
    """Folder of recordings and checkpoints, relative to the current one; ``runs/train_NAME``."""
    train: list[Recording] = Field(min_length=1)
    test: Recording
    """Another run: another seed or start. Never seen in training."""
    validation: float = Field(default=0.15, gt=0.0, lt=0.9)
    """Last part of each training run that chooses when to stop."""
    inputs: list[str] = Field(default=["ua", "va", "ta", "pfull", "lat"], min_length=1)
    outputs: dict[str, str] = Field(default={"xgwdparam": "ua", "ygwdparam": "va"}, min_length=1)
    """Flux to the state variable that its divergence changes."""
    top: Literal["escape", "dump", "zero"] = "dump"
    dump_above: float = 85.0
    interval: float | None = None
    architecture: Architecture = Architecture(name="column_mlp")
    guard: GuardRule = GuardRule()
    bound_factor: float = Field(default=1.5, gt=1.0)
    """Fluxes beyond this times the largest one of the training data are not believed."""
    optimizer: Optimizer = Optimizer()
    seed: int = 0
    max_columns: int = Field(default=1_000_000, ge=1)
    """Training columns are thinned evenly to at most this many."""


_PARTS: dict[str, type[Data]] = {
    "train": Recording,
    "test": Recording,
    "optimizer": Optimizer,
    "guard": GuardRule,
    "architecture": Architecture,
}


def read_recipe(path: Path | str) -> Recipe:
    """Reads and checks a recipe.

    Raises:
        ConfigError: with all that is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError.of("no such recipe", str(path), expected="a YAML file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = str(error).replace("\n", " ")
        raise ConfigError.of("not readable as YAML", str(path), found=where) from error
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise ConfigError(*(_problem(path, dict(e)) for e in error.errors())) from error


def _problem(path: Path, error: dict[str, Any]) -> Problem:
    where = ".".join(map(str, error["loc"])) or "recipe"
    if error["type"] != "extra_forbidden":
        return Problem(what="wrong entry in a recipe", name=f"{path}: {where}", found=error["msg"])
    owner: type[Data] = Recipe
    if len(error["loc"]) > 1:
        owner = _PARTS.get(str(error["loc"][0]), Recipe)
    key = str(error["loc"][-1])
    return Problem(
        what="unknown key in a recipe",
        name=f"{path}: {where}",
        remedy=nearest(key, owner.model_fields),
    )
