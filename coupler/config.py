"""A case: read from YAML, checked as a whole, frozen.

Everything that is wrong is collected as :class:`~coupler.interface.errors.Problem` sentences: an
unknown key with the nearest known one, a wrong type, a number with a wrong unit, a value out of
range. What belongs to a scheme (its parameters) is checked by the scheme's own parameter class when
the case is assembled, so that a new scheme brings its own configuration.
"""

from __future__ import annotations

import copy
import datetime as dt
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from coupler.contracts import BudgetChoice, Corrector, in_order
from coupler.input.forcing import Forcing
from coupler.input.sources import InitialState, Source
from coupler.interface.errors import BadValue, ConfigError, Problem, nearest
from coupler.interface.units import Unit
from coupler.where import BESIDE, Place
from coupler.written import load

_WORD = r"^[A-Za-z][A-Za-z0-9_]*$"
_NUMBER, _RAMP = "a number", "a ramp"
"""Tags of the two forms of a weight; they show up in the locations of pydantic's errors."""


def _not_a_mode(value: object) -> object:
    return "off" if value is False else value  # YAML reads a bare off as false


def _as_date(value: object) -> object:
    return str(value) if isinstance(value, dt.date) else value


def _is_date(value: str) -> str:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?)?", value):
        raise BadValue(
            "not a date", expected="YYYY-MM-DD, or YYYY-MM-DD hh:mm[:ss]", found=repr(value)
        )
    return value


def _field_names(value: object) -> object:
    if isinstance(value, str) and value not in ("default", "all"):
        return [value]
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(n, str) for n in names):
        raise BadValue(
            "not a choice of output fields",
            expected="'default', 'all', or a list of names",
            found=repr(value),
        )
    return value


def _needs(key: str, wanted: str, info: ValidationInfo, what: str) -> None:
    """Refuses what means nothing beside another `key`; what is off keeps what it is given."""
    found = info.data.get(key, wanted)
    if found not in (wanted, "off"):
        remedy = f"set {key} to {wanted}, or leave this out"
        raise BadValue(
            what, expected=f"{key}: {wanted} beside it", found=f"{key}: {found}", remedy=remedy
        )


Mode = Annotated[Literal["apply", "shadow", "blend", "off"], BeforeValidator(_not_a_mode)]
Days = Annotated[float, Unit("day"), Field(gt=0, le=1e7)]
"""Up to 27 000 years, which dates can still be made of."""
Seconds = Annotated[float, Unit("s"), Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Ramp(_Section):
    """A weight that goes linearly from `start` to `end` within `over` from the run's start."""

    start: Annotated[float, Field(ge=0, le=1)] = 0.0
    end: Annotated[float, Field(ge=0, le=1)] = 1.0
    over: Annotated[float, Unit("s"), Field(gt=0)]

    def at(self, seconds: float) -> float:
        """Weight at `seconds` of model time since the start of the run."""
        return self.start + (self.end - self.start) * min(1.0, seconds / self.over)


class ModelChoice(_Section):
    """Which scheme is the model, with its parameters beside it: ``{scheme: slab, depth: 40 m}``."""

    scheme: str
    parameters: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather_parameters(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"scheme": data}
        if not isinstance(data, Mapping):
            return data
        own = set(cls.model_fields)
        loose = {k: v for k, v in data.items() if k not in own}
        kept = {k: v for k, v in data.items() if k in own}
        given = kept.get("parameters") or {}
        if not isinstance(given, Mapping):
            return kept
        return {**kept, "parameters": {**given, **loose}}


class TopPolicy(_Section):
    """What happens to flux that reaches the model top, instead of what the scheme declares.

    ``top: escape`` or ``top: {policy: dump, above: 0.5 hPa}``.
    """

    policy: Literal["escape", "dump", "zero"]
    above: Annotated[float, Unit("Pa"), Field(gt=0)] | None = None
    """Pressure above which ``dump`` absorbs; default: the scheme's own."""

    @field_validator("above")
    @classmethod
    def _is_used(cls, above: float | None, info: ValidationInfo) -> float | None:
        if above is not None:
            _needs("policy", "dump", info, "a pressure that nothing is absorbed above")
        return above

    @model_validator(mode="before")
    @classmethod
    def _one_word(cls, data: Any) -> Any:
        return {"policy": data} if isinstance(data, str) else data


class SchemeChoice(ModelChoice):
    """Which scheme a process uses, how, and beside which reference."""

    mode: Mode = "apply"
    """``apply``; ``shadow``: called and recorded, not applied (the reference is applied);
    ``blend``: weighted with the reference, what they give to others too; ``off``."""
    interval: Seconds | None = None
    """Time between calls; in between the last result is applied. Default: the scheme's own."""
    weight: Annotated[
        Annotated[float, Field(ge=0, le=1), Tag(_NUMBER)] | Annotated[Ramp, Tag(_RAMP)],
        Discriminator(lambda w: _RAMP if isinstance(w, Mapping | Ramp) else _NUMBER),
    ] = 0.5
    """Share of this scheme in mode ``blend``."""
    top: TopPolicy | None = None
    """For the fluxes of all schemes of the process; default: what each scheme declares."""
    reference: ModelChoice | None = None
    """The scheme that acts in ``shadow``, shares in ``blend`` and is an emulator's fallback."""
    beside: dict[Annotated[str, Field(pattern=_WORD)], ModelChoice] = {}
    """Schemes that are called after it on the same input and never applied, by the name that is
    added to their output: several candidates in the shadow of one run."""
    lag: Literal[0, 1] = 0
    """Calls by which what is applied is behind. With 1 a scheme in another process computes while
    the rest of the model goes on; the numbers are the same wherever it runs."""

    @field_validator("weight")
    @classmethod
    def _is_used(cls, weight: float | Ramp, info: ValidationInfo) -> float | Ramp:
        if weight != cls.model_fields["weight"].default:  # which a resolved case names, too
            _needs("mode", "blend", info, "a weight that nothing is mixed by")
        return weight


class BesideChoice(ModelChoice):
    """Which scheme is a model beside the atmosphere."""

    lag: Literal[0, 1] = 0
    """Steps by which what it shows is behind. With 1 a model on a rank of its own steps while the
    rest goes on; the numbers are the same wherever it runs."""


class OutputConfig(_Section):
    interval: Days = 1.0
    """Averaging interval of the files [day]."""
    fields: Annotated[Literal["default", "all"] | list[str], BeforeValidator(_field_names)] = (
        "default"
    )
    """``default``, ``all``, or names."""


class RestartConfig(_Section):
    interval: Days = 10.0
    keep: Annotated[int, Field(ge=1)] = 2
    age: Annotated[float, Unit("day"), Field(ge=0, le=1e7)] = 0.0
    """Besides the `keep` newest, those younger than this in model time are kept [day]."""


class Case(_Section):
    """One run, completely described."""

    title: str
    description: str = ""
    start: Annotated[str, BeforeValidator(_as_date), AfterValidator(_is_date)] = "2000-01-01"
    calendar: Literal["standard", "proleptic_gregorian", "noleap", "360_day"] = "noleap"
    days: Days = 10.0
    precision: Literal["float32", "float64"] = "float32"
    seed: Annotated[int, Field(ge=0)] = 0
    planet: dict[str, float] = {}
    """Constants that differ from `coupler.interface.constants.Planet`."""
    atmosphere: ModelChoice
    physics: dict[str, SchemeChoice] = {}
    """Processes in the order in which they act."""
    where: dict[str, Place] = {}
    """Processes that do not run inside the run's own process. The numbers do not depend on it."""
    surface: BesideChoice | None = None
    land: ModelChoice | None = None
    rivers: ModelChoice | None = None
    ocean: ModelChoice | None = None
    ice: ModelChoice | None = None
    budgets: BudgetChoice = BudgetChoice()
    correctors: Annotated[
        list[Corrector],
        BeforeValidator(lambda v: list(get_args(Corrector)) if v == "all" else v),
        AfterValidator(in_order),
    ] = []
    """What is put right in every step whatever the schemes did, see `coupler.driver.correctors`:
    ``all``, or some of ``clamp dry_air moisture energy`` in this order."""
    boundary: dict[str, Source] = {}
    initial: InitialState | None = None
    branch: str | None = None
    """Folder, relative to the case, of a run whose newest restart this one begins with."""
    forcing: dict[str, Forcing] = {}
    output: OutputConfig = OutputConfig()
    restart: RestartConfig = RestartConfig()
    plugins: list[str] = []
    """Python files with schemes, relative to the case."""

    def to_yaml(self) -> str:
        """The case as YAML that reads back to the same case."""
        data = self.model_dump(mode="json", exclude_none=True)
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: when the file is missing, is not YAML or is not a mapping.
    """
    if not path.is_file():
        near = nearest(path.name, [p.name for p in path.parent.glob("*.yaml")])
        found = "a folder" if path.is_dir() else ""
        raise ConfigError.of("no such case file", str(path), found=found, remedy=near)
    try:
        data = load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        where = " ".join(str(error).split())
        raise ConfigError.of("not valid YAML", str(path), found=where) from error
    if not isinstance(data, dict):
        raise ConfigError.of(
            "not a case", str(path), expected="a mapping of keys", found=type(data).__name__
        )
    return data


def with_changes(
    raw: Mapping[str, Any],
    *,
    set: Mapping[str, Any] | None = None,
    swap: Mapping[str, str] | None = None,
) -> tuple[dict[str, Any], list[Problem]]:
    """`raw` with ``--swap`` and then ``--set`` changes made.

    A swap makes the case's own scheme the reference of the new one; ``off`` leaves the process out.
    A dotted key that does not begin with a top-level key is taken to begin with a process:
    ``gravity_wave.mode``.
    """
    data: dict[str, Any] = copy.deepcopy(dict(raw))
    problems: list[Problem] = []
    physics = data.get("physics")
    for process, scheme in (swap or {}).items():
        if process in ("atmosphere", *BESIDE):
            data[process] = {"scheme": scheme}
        elif not isinstance(physics, dict) or process not in physics:
            problems.append(
                Problem(
                    what="cannot swap a process that the case does not have",
                    name=process,
                    remedy=nearest(process, [str(p) for p in physics or {}]),
                )
            )
        else:
            physics[process] = _swapped(physics[process], scheme)
    for key, value in (set or {}).items():
        path = key.split(".")
        if path[0] not in Case.model_fields:
            processes = list(map(str, physics)) if isinstance(physics, dict) else []
            if path[0] not in processes:
                problems.append(
                    Problem(
                        what="cannot set what is neither a key nor a process of the case",
                        name=key,
                        remedy=nearest(path[0], [*Case.model_fields, *processes]),
                    )
                )
                continue
            path.insert(0, "physics")
        _assign(data, path, value)
    return data, problems


def _swapped(old: Any, scheme: str) -> dict[str, Any]:
    if scheme == "off":
        return {**(old if isinstance(old, Mapping) else {"scheme": old}), "mode": "off"}
    if not isinstance(old, Mapping):
        return {"scheme": scheme, "reference": {"scheme": old}}
    own = set(SchemeChoice.model_fields) - {"scheme", "parameters"}
    new = {k: v for k, v in old.items() if k in own - {"reference"}}
    reference = {k: v for k, v in old.items() if k not in own}
    return {"scheme": scheme, **new, "reference": reference}


def _assign(data: dict[str, Any], path: Sequence[str], value: Any) -> None:
    node = data
    for name in path[:-1]:
        inner = node.get(name)
        if isinstance(inner, str):
            inner = {"scheme": inner}
        elif not isinstance(inner, dict):
            inner = {}
        node[name] = inner
        node = inner
    node[path[-1]] = value


def parse_value(text: str) -> Any:
    """The value of ``--set KEY=VALUE``, read as YAML: 3, 3.5, true, [1, 2], 20 min."""
    try:
        return load(text)
    except (yaml.YAMLError, ValueError):
        return text


def validate(raw: Mapping[str, Any]) -> tuple[Case | None, list[Problem]]:
    """The case in `raw`, and everything that is wrong with it.

    Wrong entries are left out and the rest is checked on, so that later stages can add what they
    find; the case is None only when something required is missing.
    """
    data = copy.deepcopy(dict(raw))
    problems: list[Problem] = []
    for _ in range(20):
        try:
            return Case.model_validate(data), problems
        except ValidationError as error:
            known = {p.name for p in problems}  # what was pruned may be missing now
            problems += [p for p in problems_of(error, Case) if p.name not in known]
            before = len(_leaves(data))
            for item in error.errors():
                loc = item["loc"]
                _prune(data, loc[:-1] if item["type"] == "missing" else loc)
            if "title" not in data:
                data["title"] = "untitled"
            if len(_leaves(data)) == before:
                return None, problems
    return None, problems


def _leaves(node: Any) -> list[Any]:
    if isinstance(node, Mapping):
        return [x for v in node.values() for x in [v, *_leaves(v)]]
    if isinstance(node, list):
        return [x for v in node for x in [v, *_leaves(v)]]
    return []


def _prune(data: Any, loc: Sequence[str | int]) -> None:
    node: Any = data
    loc = [part for part in loc if not _is_branch(part)]
    for i, name in enumerate(loc):
        if not isinstance(node, dict) or name not in node:
            return
        if i == len(loc) - 1 or not isinstance(node[name], dict):
            del node[name]
            return
        node = node[name]


_IN_WORDS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "list_type": "a list",
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping of keys"),
}
"""What pydantic's kinds of error expect, in a user's words; it words others well itself."""


def problems_of(
    error: ValidationError, model: type[BaseModel], prefix: Sequence[str] = ()
) -> list[Problem]:
    """A pydantic error as sentences, with the nearest known key for an unknown one."""
    problems: dict[str, Problem] = {}
    for item in error.errors():
        loc = [str(x) for x in item["loc"] if not _is_branch(x)]
        name = ".".join([*prefix, *loc])
        problems.setdefault(name, _sentence(item, name, loc, model))
    return list(problems.values())


def _sentence(item: Any, name: str, loc: Sequence[str], model: type[BaseModel]) -> Problem:
    kind, found = item["type"], item.get("input")
    if kind == "extra_forbidden":
        remedy = nearest(loc[-1], _keys_at(model, loc[:-1]))
        return Problem(what="unknown key", name=name, remedy=remedy)
    if kind == "missing":
        return Problem(what="missing key", name=name, remedy="add it to the case")
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, BadValue):
        return cause.problem(name)
    if kind == "value_error":
        what, _, remedy = str(cause).partition("; ")
        return Problem(what=what, name=name or "case", remedy=remedy)
    if name.endswith("[key]"):
        what = "not a key"
        return Problem(what=what, name=repr(found), expected="text", remedy="put it in quotes")
    remedy = ""
    if kind == "string_type":
        expected = "text"
        remedy = "put it in quotes" if isinstance(found, bool | int | float) else ""
    elif kind in _IN_WORDS:
        expected = _IN_WORDS[kind]
        if kind.startswith("model") and _is_choice(_type_at(model, loc)):
            expected = "the name of a scheme, or a mapping with the key 'scheme'"
    else:
        message = item["msg"]
        expected = (message[0].lower() + message[1:]).removeprefix("input should be ")
    shown = "nothing" if found is None else repr(found)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return Problem(what="bad value", name=name, expected=expected, found=shown, remedy=remedy)


def _is_choice(annotation: Any) -> bool:
    inner = _model_in(annotation)
    return inner is not None and issubclass(inner, ModelChoice)


def _is_branch(part: object) -> bool:
    """Whether a location part names a branch of a union rather than a key."""
    return isinstance(part, str) and (
        part in ("str", "float", "int", _NUMBER, _RAMP)
        or part.startswith(("literal[", "list[", "function"))
    )


def _type_at(model: type[BaseModel], loc: Sequence[str]) -> Any:
    """The annotation of the entry at a location, None when there is none."""
    here: Any = model
    for name in loc:
        inner = _model_in(here)
        if inner is not None and name in inner.model_fields:
            here = inner.model_fields[name].annotation
        elif getattr(here, "__origin__", None) is dict:
            here = here.__args__[1]
        else:
            return None
    return here


def _keys_at(model: type[BaseModel], loc: Sequence[str]) -> list[str]:
    here: Any = model
    for name in loc:
        if not (isinstance(here, type) and issubclass(here, BaseModel)):
            return []
        field = here.model_fields.get(name)
        here = _model_in(field.annotation) if field else here
    if isinstance(here, type) and issubclass(here, BaseModel):
        return list(here.model_fields)
    return []


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
