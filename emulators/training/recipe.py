"""A recipe: which recordings to make, which network to fit, how. YAML, checked as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from coupler.interface.errors import ConfigError, Problem, nearest
from emulators.schema import Architecture, Data, GuardRule
from emulators.training.closure import ClosureFit

R = TypeVar("R", bound=Data)


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
    columns: int | Literal["all"] = 512
    """Columns of a call that are recorded; a network that sees whole maps needs ``all``."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Recording:
        if (self.file is None) == (self.case is None):
            raise ValueError("a recording is either a file, or a case with days")
        if self.case is not None and self.days is None:
            raise ValueError("a recording of a case needs days")
        if self.columns != "all" and self.columns < 1:
            raise ValueError("columns are a number of at least 1, or all")
        if self.days is not None and self.skip_days >= self.days:
            raise ValueError("skip_days leave nothing of the days that are recorded")
        return self


class Optimizer(Data):
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) with a schedule over all steps."""

    learning_rate: float = Field(default=2e-3, gt=0.0)
    weight_decay: float = Field(default=1e-4, ge=0.0)
    schedule: Literal["cosine", "one_cycle", "wsd"] = "one_cycle"
    """``cosine`` falls from the start; ``one_cycle`` rises linearly over a tenth first; ``wsd``
    rises over `warm_up`, stays, and falls over `decay` with 1 - sqrt: any epoch of its plateau can
    be continued (warm-up-stable-decay: Hu et al. 2024, arXiv:2404.06395)."""
    warm_up: float = Field(default=0.02, ge=0.0, lt=1.0)
    """Share of the steps of ``wsd`` that rise."""
    decay: float = Field(default=0.2, gt=0.0, le=1.0)
    """Share of the steps of ``wsd`` that fall."""
    batch: int = Field(default=4096, ge=1)
    epochs: int = Field(default=40, ge=1)
    patience: int = Field(default=10, ge=1)
    """Epochs without a better validation loss before it stops."""
    drag_weight: float = Field(default=0.5, ge=0.0)
    """Weight of the layers' flux differences in the loss, beside 1 for the flux."""
    clip: float = Field(default=1.0, gt=0.0)
    """Largest norm of the gradient."""
    average: Literal["none", "ema", "search"] = "none"
    """What is tried beside the best epoch, and taken where it validates better: ``ema``, an
    exponential mean of the weights; ``search``, a combination of the last `snapshots` epochs."""
    ema: float = Field(default=0.999, gt=0.0, lt=1.0)
    """What the mean keeps at every step."""
    snapshots: int = Field(default=12, ge=2, le=200)
    evaluations: int = Field(default=100, ge=1)
    """Combinations that the search may try."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """``bfloat16``: products in mixed precision, weights and loss in float32. It helps on a GPU;
    for narrow networks on a CPU it costs time."""
    device: str = "auto"
    """``auto``: a GPU when there is one, or the name of a torch device."""

    @model_validator(mode="after")
    def _room_for_a_plateau(self) -> Optimizer:
        if self.warm_up + self.decay > 1.0:
            raise ValueError("warm_up and decay together exceed the whole of the steps")
        return self


class Online(Data):
    """Fine-tuning through steps of the flow, after the fit (`emulators.training.online`)."""

    case: str
    """A case with the scheme that is emulated, relative to the recipe: a dry spectral atmosphere
    alone, ``stepper: sil3``."""
    set: dict[str, Any] = Field(default={})
    steps: int = Field(default=4, ge=1, le=1000)
    """Steps of a window."""
    windows: int = Field(default=16, ge=2)
    """Of the run that is trained on; the last quarter validates."""
    held_out: int = Field(default=6, ge=1)
    """Of another run."""
    apart: float = Field(default=21600.0, gt=0.0)
    """From the start of one window to the next [s]."""
    spin_up: float = Field(default=2.0, ge=0.0)
    """Days before the first one."""
    epochs: int = Field(default=5, ge=1)
    learning_rate: float = Field(default=3e-4, gt=0.0)
    clip: float = Field(default=1.0, gt=0.0)
    seed: int = 31
    test_seed: int = 32

    @model_validator(mode="after")
    def _starts_differ(self) -> Online:
        if self.seed == self.test_seed:
            raise ValueError("seed and test_seed must differ: the held-out starts are another run")
        return self


class Recipe(Data):
    """All of a recipe of a scheme that gives fluxes."""

    kind: Literal["fluxes"] = "fluxes"
    """``tendency``: see `emulators.training.closure_recipe`."""
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
    validation_block: float | None = Field(default=None, ge=5.0)
    """Length of blocks of time [day]: with it, blocks spread over each run validate instead of its
    end, so that every season does. Half a block on either side is used for neither."""
    start: str | None = None
    """A bundle to go on from, relative to the recipe: its weights and normalization. The schedule
    warms up again to the full learning rate."""
    pretrained: str | None = None
    """A checkpoint with the transformers of a network that has a backbone, relative to the recipe:
    what `emulators.training.pretrain` makes, or a published file."""
    replay: list[Recording] = Field(default=[])
    """Recordings that the bundle of `start` was trained on, mixed with the new ones."""
    replay_share: float = Field(default=0.25, gt=0.0, lt=1.0)
    """Share of the fitted columns that are replayed: 0.05 for a weak shift of the climate, 0.25 or
    more for a strong one (Ibrahim et al. 2024, arXiv:2403.08763)."""
    inputs: list[str] = Field(default=["ua", "va", "ta", "pfull", "lat"], min_length=1)
    outputs: dict[str, str] = Field(default={"xgwdparam": "ua", "ygwdparam": "va"}, min_length=1)
    """Flux to the state variable that its divergence changes."""
    top: Literal["escape", "dump", "zero"] = "dump"
    dump_above: float = 85.0
    interval: float | None = Field(default=None, gt=0.0)
    """Time between calls in a run [s], which the bundle asks for; None: at every step."""
    target: Literal["call", "mean"] = "call"
    """What is learned: the fluxes of a call, or their mean over `interval`, for which an answer is
    held."""
    architecture: Architecture = Architecture(name="column_mlp")
    guard: GuardRule = GuardRule()
    bound_factor: float = Field(default=1.5, gt=1.0)
    """Fluxes beyond this times the largest one of the training data are not believed."""
    optimizer: Optimizer = Optimizer()
    online: Online | None = None
    seed: int = 0
    max_columns: int = Field(default=1_000_000, ge=1)
    """Training columns are thinned evenly to at most this many."""

    @field_validator("replay")
    @classmethod
    def _replay_needs_a_start(
        cls, replay: list[Recording], info: ValidationInfo
    ) -> list[Recording]:
        if replay and info.data.get("start", "wrong") is None:
            raise ValueError("replay is for going on from a bundle: give it as start")
        return replay

    @field_validator("target")
    @classmethod
    def _a_mean_is_over_an_interval(cls, target: str, info: ValidationInfo) -> str:
        if target == "mean" and info.data.get("interval", "wrong") is None:
            raise ValueError("target: mean needs an interval, over which it is a mean")
        return target

    @field_validator("online")
    @classmethod
    def _steps_are_single(cls, online: Online | None, info: ValidationInfo) -> Online | None:
        if online is not None and info.data.get("target") == "mean":
            raise ValueError("online trains on single steps: it needs target: call")
        return online


_PARTS: dict[str, type[Data]] = {
    "train": Recording,
    "test": Recording,
    "replay": Recording,
    "online": Online,
    "optimizer": Optimizer,
    "guard": GuardRule,
    "architecture": Architecture,
    "fit": ClosureFit,
}


def read_recipe(path: Path | str) -> Recipe:
    """Reads and checks a recipe of fluxes.

    Raises:
        ConfigError: with all that is wrong.
    """
    return checked(Path(path), content_of(Path(path)), Recipe)


REQUIRED: dict[str, Any] = {
    "name": "unknown",
    "process": "unknown",
    "bundle": "unknown",
    "train": [{"file": "unknown"}],
    "test": {"file": "unknown"},
}
"""Entries that a recipe cannot be without, and what stands for them in `as_far_as_sound`."""


def as_far_as_sound(
    path: Path, kind: type[R], required: Mapping[str, Any]
) -> tuple[R | None, set[str], list[Problem]]:
    """A recipe without its wrong entries, so that the others can be looked at.

    Args:
        path: where it lies.
        kind: of recipe.
        required: entries that it cannot be without, and what stands for them.

    Returns:
        the recipe, None where nothing can be made of it; which of `required` it lacks, for which
        something else stands; and all that is wrong with it by itself.

    Raises:
        ConfigError: for a file that is missing or no YAML.
    """
    content, problems = content_of(path), list[Problem]()
    lacking: set[str] = set()
    for _ in range(20):
        try:
            return kind.model_validate(content), lacking, problems
        except ValidationError as error:
            found: list[dict[str, Any]] = [dict(e) for e in error.errors()]
        known = [p.name for p in problems]
        for e in found:
            p = _problem(path, e, kind)
            follows = p.name in known
            if e["loc"][:1] in (("train",), ("replay",), ("test",)):
                # What was taken out of a recording is missing now, which is no fault of its own.
                follows |= any(k.startswith(f"{p.name}.") for k in known)
            problems += [] if follows else [p]
        if not isinstance(content, dict):
            break
        for e in reversed(found):
            _take_out(content, e["loc"][:-1] if e["type"] == "missing" else e["loc"])
        missing = {name for name in required if not content.get(name)}
        content |= {name: required[name] for name in missing}
        lacking |= missing
    return None, lacking, problems


def _take_out(content: Any, loc: tuple[str | int, ...]) -> None:
    """Leaves out what is at a location, or the deepest entry on the way to it that there is."""
    owner: Any = None
    for key in loc:
        inside = isinstance(content, dict) and key in content
        inside |= isinstance(content, list) and isinstance(key, int) and key < len(content)
        if not inside:
            break
        owner, last, content = content, key, content[key]
    if owner is not None:
        del owner[last]


def content_of(path: Path) -> Any:
    """What a recipe says, not checked yet.

    Raises:
        ConfigError: for a file that is missing or no YAML.
    """
    if not path.is_file():
        raise ConfigError.of("no such recipe", str(path), expected="a YAML file")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = str(error).replace("\n", " ")
        raise ConfigError.of("not readable as YAML", str(path), found=where) from error


def checked(path: Path, content: Any, kind: type[R]) -> R:
    """A recipe of some kind.

    Raises:
        ConfigError: with all that is wrong.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ConfigError(*(_problem(path, dict(e), kind) for e in error.errors())) from error


def _problem(path: Path, error: dict[str, Any], kind: type[Data]) -> Problem:
    where = ".".join(map(str, error["loc"])) or "recipe"
    if error["type"] != "extra_forbidden":
        return Problem(what="wrong entry in a recipe", name=f"{path}: {where}", found=error["msg"])
    owner = kind
    if len(error["loc"]) > 1:
        owner = _PARTS.get(str(error["loc"][0]), kind)
    key = str(error["loc"][-1])
    return Problem(
        what="unknown key in a recipe",
        name=f"{path}: {where}",
        remedy=nearest(key, owner.model_fields),
    )
