"""What a Fortran routine's arguments mean: the declaration, a YAML file beside its library.

    process: gravity_wave
    call: block                     # once for all columns, or: column (once for each)
    kind: real64                    # of all arrays and real scalars that do not say their own
    conserves: [momentum]
    arguments:                      # in the order of the routine's dummy arguments
      - {name: ncol, size: column}
      - {name: nlev, size: level}
      - {name: u, input: ua}
      - {name: p, input: pfull, units: hPa}
      - {name: stress, parameter: 0.0043, units: Pa, minimum: 0}
      - {name: g, constant: gravity}
      - {name: flux, flux: xgwdparam, of: ua, top: dump, dump_above: 85}
      - {name: ierr, status: {1: layers out of order}}

Each argument has exactly one role: ``size input tendency flux diagnostic parameter constant time
status``. Inputs are ``intent(in)``; tendencies, fluxes, diagnostics and the status are
``intent(inout)`` or ``(out)`` and arrive zeroed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from coupler.interface.component import Conserves, Flux, Port
from coupler.interface.constants import Planet
from coupler.interface.errors import BadValue, ConfigError, Problem, nearest
from coupler.interface.fields import COLUMN, DIMS, FIELDS, STATE
from coupler.interface.fields import Field as TableField
from coupler.interface.units import Unit, convertible, is_unit

Kind = Literal["real64", "real32", "host"]
"""``host``: whatever precision the case has."""
Layout = Literal["column_level", "level_column"]
"""Order of a routine's extents, as Fortran writes them. ``(column, level)``, which is also
``(lon, lat, level)``, is Isthmus's own memory; ``(level, column)`` is packed in one pass."""

ROLES = (
    "size",
    "input",
    "tendency",
    "flux",
    "diagnostic",
    "parameter",
    "constant",
    "time",
    "status",
)
_ONLY: dict[str, tuple[str, ...]] = {
    "units": ("input", "diagnostic", "parameter"),
    "optional": ("input",),
    "of": ("flux",),
    "top": ("flux",),
    "dump_above": ("flux",),
    "long_name": ("diagnostic", "parameter"),
    "dims": ("diagnostic",),
    "minimum": ("parameter",),
    "maximum": ("parameter",),
    "layout": ("input", "tendency", "flux", "diagnostic"),
}
"""Which roles an entry belongs to; ``name``, ``kind`` and ``by`` belong to several kinds."""
_ARRAYS = ("input", "tendency", "flux", "diagnostic")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Argument(_Record):
    """One dummy argument of the routine."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z]\w{0,62}$")]
    size: Literal["level", "interface", "column", "latitude", "longitude"] | None = None
    """An integer: how many there are; with ``call: column`` there is one column."""
    input: str | None = None
    """A field of the table that the routine reads."""
    tendency: str | None = None
    """State variable whose rate of change the routine returns [SI per s]."""
    flux: str | None = None
    """A flux on interfaces, positive upward, that the coupler takes the divergence of."""
    diagnostic: str | None = None
    """A field of the table, or one's own with ``units``, ``long_name`` and ``dims``."""
    parameter: float | None = None
    """A number that a case may set, with its default here."""
    constant: str | None = None
    """A constant of the planet, see `coupler.interface.constants.Planet`."""
    time: Literal["dt", "seconds", "step"] | None = None
    """``dt``: time over which the result is applied [s]; ``seconds`` since the start of the run
    [s]; ``step``: completed steps."""
    status: dict[int, str] | Literal[True] | None = None
    """An integer that the routine sets: 0, or why it could not go on."""

    units: str | None = None
    optional: bool = False
    """An input that may be missing: the routine then gets an absent (null) argument."""
    of: str | None = None
    top: Literal["escape", "dump", "zero"] = "escape"
    dump_above: Annotated[float, Unit("Pa"), Field(gt=0)] = 85.0
    long_name: str = ""
    dims: tuple[str, ...] = COLUMN
    minimum: float | None = None
    maximum: float | None = None
    kind: Kind | Literal["int32", "int64"] | None = None
    layout: Layout | None = None
    by: Literal["reference", "value"] = "reference"
    """How a scalar is passed; arrays always are passed by reference."""

    @property
    def role(self) -> str:
        """Which of `ROLES` it has."""
        return next(r for r in ROLES if getattr(self, r) is not None)

    @property
    def is_array(self) -> bool:
        """Whether it is a field, not a number."""
        return self.role in _ARRAYS

    @property
    def field(self) -> TableField:
        """The field of an input, flux or diagnostic."""
        name = self.input or self.flux or self.diagnostic or ""
        if name in FIELDS:
            return FIELDS[name]
        return TableField(
            name=name,
            standard_name=None,
            long_name=self.long_name,
            units=self.units or "1",
            dims=self.dims,
        )

    @model_validator(mode="after")
    def _one_role(self) -> Argument:
        given = [r for r in ROLES if getattr(self, r) is not None]
        if len(given) != 1:
            raise BadValue(
                "an argument without one role",
                expected="exactly one of " + ", ".join(ROLES),
                found=", ".join(given) or "none",
            )
        for entry, roles in _ONLY.items():
            if entry in self.model_fields_set and self.role not in roles:
                raise BadValue(
                    f"an entry that does not belong to a {self.role}",
                    expected=f"{entry} only with " + " or ".join(roles),
                    found=f"{entry} of {self.name}",
                )
        self._check_kind()
        self._check_names()
        return self

    def _check_kind(self) -> None:
        integer = self.role in ("size", "status") or self.time == "step"
        if self.kind is not None and self.kind.startswith("int") != integer:
            raise BadValue(
                "a kind that does not fit",
                expected="int32 or int64" if integer else "real32, real64 or host",
                found=f"{self.kind} of {self.name}",
            )
        if self.by == "value" and (self.is_array or self.role == "status"):
            raise BadValue(
                f"a {self.role} cannot be passed by value",
                expected="by: reference",
                found=f"by: value of {self.name}",
            )

    def _check_names(self) -> None:
        role = self.role
        if role in ("input", "flux"):
            name = self.input or self.flux or ""
            if name not in FIELDS:
                raise BadValue(
                    "unknown field", found=f"{name} of {self.name}", remedy=nearest(name, FIELDS)
                )
        state = self.tendency or self.of
        if role in ("tendency", "flux") and state not in STATE:
            raise BadValue(
                "no tendency of this field",
                expected=f"{'of' if role == 'flux' else role}: one of " + ", ".join(STATE),
                found=f"{state} of {self.name}",
            )
        if role == "flux" and self.field.dims != ("interface", "column"):
            raise BadValue(
                "a flux that does not lie on interfaces",
                expected="one of " + ", ".join(_fluxes()),
                found=f"{self.flux} of {self.name}",
            )
        if role == "constant" and self.constant not in Planet.__dataclass_fields__:
            known = Planet.__dataclass_fields__
            raise BadValue(
                "unknown constant",
                found=f"{self.constant} of {self.name}",
                remedy=nearest(str(self.constant), known),
            )
        if role == "diagnostic" and self.diagnostic not in FIELDS:
            if not self.long_name or self.units is None:
                raise BadValue(
                    "a field that the table does not have",
                    expected="long_name and units beside a field of one's own",
                    found=f"{self.diagnostic} of {self.name}",
                    remedy=nearest(str(self.diagnostic), FIELDS),
                )
            if self.dims not in DIMS:
                raise BadValue(
                    "unknown dims",
                    expected=" or ".join(str(list(d)) for d in DIMS),
                    found=str(list(self.dims)),
                )
        self._check_units()

    def _check_units(self) -> None:
        if self.units is not None and not is_unit(self.units):
            raise BadValue("unknown unit", found=f"{self.units!r} of {self.name}")
        role = self.role
        if role == "input" and self.units is not None:
            if not convertible(self.field.units, self.units):
                raise BadValue(
                    "a unit that does not fit",
                    expected=f"a unit convertible from {self.field.units!r}",
                    found=f"{self.units!r} of {self.name}",
                )
        elif role == "diagnostic" and self.units not in (None, self.field.units):
            raise BadValue(
                "another unit than the table's",
                expected=repr(self.field.units),
                found=f"{self.units!r} of {self.name}",
            )


def _fluxes() -> list[str]:
    return [n for n, f in FIELDS.items() if f.dims == ("interface", "column") and f.positive]


class Declaration(_Record):
    """All of a declaration."""

    process: str
    title: str = "A Fortran routine."
    call: Literal["block", "column"] = "block"
    kind: Kind = "real64"
    layout: Layout = "column_level"
    interval: Annotated[float, Unit("s"), Field(gt=0)] | None = None
    """Default time between calls; None: every step."""
    conserves: tuple[Literal["momentum", "energy", "water"], ...] = ()
    """What the promise of `coupler.interface.component.Conserves` holds for, in each column."""
    arguments: Annotated[tuple[Argument, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Declaration:
        names = [a.name.lower() for a in self.arguments]
        twice = next((n for i, n in enumerate(names) if n in names[:i]), None)
        if twice is not None:
            raise BadValue("two arguments with one name", found=twice)
        fields = [
            (a.role, str(getattr(a, a.role)))
            for a in self.arguments
            if a.role in ("tendency", "flux", "diagnostic", "input")
        ]
        again = next((f for i, f in enumerate(fields) if f in fields[:i]), None)
        if again is not None:
            raise BadValue(f"two arguments with one {again[0]}", found=again[1])
        if not any(a.role in ("tendency", "flux", "diagnostic") for a in self.arguments):
            raise BadValue(
                "a routine that returns nothing",
                expected="an argument with the role tendency, flux or diagnostic",
            )
        if sum(a.role == "status" for a in self.arguments) > 1:
            raise BadValue("two arguments with the role status")
        return self

    def those(self, role: str) -> tuple[Argument, ...]:
        """The arguments of one role."""
        return tuple(a for a in self.arguments if a.role == role)

    def inputs(self) -> tuple[Port, ...]:
        """What the routine reads, as a component declares it."""
        return tuple(
            Port(field=a.field, units=a.units or a.field.units, optional=a.optional)
            for a in self.those("input")
        )

    def fluxes(self) -> tuple[Flux, ...]:
        """Its fluxes, as a component declares them."""
        return tuple(
            Flux(field=a.field, of=str(a.of), top=a.top, dump_above=a.dump_above)
            for a in self.those("flux")
        )

    def promises(self) -> tuple[Conserves, ...]:
        """What it conserves, as a component declares it."""
        return tuple(Conserves(quantity=q) for q in self.conserves)


def read_declaration(path: Path) -> Declaration:
    """The declaration in a YAML file.

    Raises:
        ConfigError: when it is missing, is not YAML, or for everything in it that does not fit.
    """
    if not path.is_file():
        near = nearest(path.name, [p.name for p in path.parent.glob("*.yaml")])
        raise ConfigError.of(
            "no declaration of the Fortran routine",
            str(path),
            expected="a YAML file that names the routine's arguments",
            remedy=f"write it beside the library, or name it with 'declaration'; {near}",
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = " ".join(str(error).split())
        raise ConfigError.of("not valid YAML", str(path), found=where) from error
    return checked(content, str(path))


def checked(content: Any, source: str) -> Declaration:
    """A declaration from plain data; `source` is its name in messages.

    Raises:
        ConfigError: for everything in it that does not fit.
    """
    if not isinstance(content, dict):
        raise ConfigError.of(
            "not a declaration",
            source,
            expected="a mapping with 'process' and 'arguments'",
            found=type(content).__name__,
        )
    try:
        return Declaration.model_validate(content)
    except ValidationError as error:
        problems = [_sentence(e, source, content) for e in error.errors()]
        raise ConfigError(*dict.fromkeys(problems)) from error


def _sentence(item: Any, source: str, content: dict[str, Any]) -> Problem:
    loc = [p for p in item["loc"] if not (isinstance(p, str) and p.startswith(("lit", "dict[")))]
    name = f"{source}: {'.'.join(_shown(loc, content)) or 'declaration'}"
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, BadValue):
        return cause.problem(name)
    if item["type"] == "extra_forbidden":
        known = Argument.model_fields if loc[0] == "arguments" and len(loc) > 1 else None
        remedy = nearest(str(loc[-1]), known or Declaration.model_fields)
        return Problem(what="unknown key", name=name, remedy=remedy)
    if item["type"] == "missing":
        return Problem(what="missing key", name=name, remedy="add it to the declaration")
    said = item["msg"]
    return Problem(
        what="bad value",
        name=name,
        expected=(said[0].lower() + said[1:]).removeprefix("input should be "),
        found=repr(item.get("input")),
    )


def _shown(loc: list[Any], content: dict[str, Any]) -> list[str]:
    """A location with an argument's name instead of its number."""
    parts = [str(p) for p in loc]
    if len(loc) > 1 and loc[0] == "arguments" and isinstance(loc[1], int):
        entry = content["arguments"][loc[1]]
        if isinstance(entry, dict) and "name" in entry:
            parts[1] = str(entry["name"])
    return parts
