"""The component contract: `Model`, `Tendency`, `Diagnostic` and what they declare.

Three kinds, told apart by type because the driver treats them differently:

- a `Model` owns state and a time step (atmosphere, ocean, ...); a `ColumnModel` is one whose
  columns parameterizations act on;
- a `Tendency` is a parameterization, physical or learned: it reads declared fields and returns
  tendencies, interface fluxes and diagnostics, kept apart, and changes nothing it was given;
- a `Diagnostic` reads only.

Declarations are class attributes. The driver checks all of them before the first step and binds
arrays once; `compute` then receives the same arrays on every call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import cftime
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from coupler.interface.constants import Planet
from coupler.interface.errors import ContractError, Problem, nearest
from coupler.interface.fields import FIELDS, SMALL_STATE, STATE, TRACERS, Field, tendency_field
from coupler.interface.grid import Grid, HybridLevels
from coupler.interface.parallel import ALONE, Along, Parallel, Rows, Spread

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Port:
    """One declared field of a component: what it is, in which units the component wants it."""

    field: Field
    units: str
    optional: bool = False

    @property
    def name(self) -> str:
        return self.field.name


@dataclass(frozen=True, kw_only=True)
class Flux:
    """An interface flux, positive upward, that the coupler differentiates with its layer masses.

    The tendency of `of` is ``g dF/dp`` for momentum and humidity and ``(g/c_p) dF/dp`` for
    temperature, so that the column integral is the difference of the end values.
    """

    field: Field
    of: str
    """State variable that the divergence changes: ``ua``, ``va``, ``ta``, ``hus`` or a tracer."""
    top: Literal["escape", "dump", "zero"] = "escape"
    """What happens to flux that reaches the model top: it leaves and is reported (``escape``), is
    absorbed with uniform acceleration above `dump_above` (``dump``), or the top layer takes it
    (``zero``)."""
    dump_above: float = 85.0
    """Pressure above which ``dump`` absorbs [Pa]; at least the top layer always does."""

    @property
    def name(self) -> str:
        return self.field.name


@dataclass(frozen=True, kw_only=True)
class Conserves:
    """A promise that the contract tests hold a component to."""

    quantity: Literal["momentum", "energy", "water"]
    scope: Literal["column", "global"] = "column"
    tolerance: float = 1e-12
    """Largest residual relative to the absolute column sum, in float64."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a component needs of its surroundings."""

    arrays: Literal["numpy", "torch"] = "numpy"
    deterministic: bool = True
    differentiable: bool = False
    closed_top: bool = False
    """Pressure at the uppermost interface above 0, for example where its logarithm is taken."""
    globe: bool = False
    """All columns of the globe at once: its columns see their neighbours. It gathers what it needs
    itself (`Host.rows`) and says in `grid_problems` on which grids it can run."""


def _known(name: str) -> Field:
    if name not in FIELDS:
        raise ContractError.of("unknown field", name, remedy=nearest(name, FIELDS))
    return FIELDS[name]


def reads(names: str, *, optional: str = "", **units: str) -> tuple[Port, ...]:
    """Input ports: ``reads("ua va ta", optional="sftlf", pfull="hPa")``.

    Names come from the fields table; a keyword asks for a field in a unit of its own, which the
    driver converts to for schemes (once bound, nothing is converted where nothing differs). Models
    exchange fields in the units of the table.
    """
    ports = [Port(field=_known(n), units=_known(n).units) for n in names.split()]
    ports += [Port(field=_known(n), units=u) for n, u in units.items()]
    ports += [Port(field=_known(n), units=_known(n).units, optional=True) for n in optional.split()]
    return tuple(ports)


def gives(names: str = "", **own: Field) -> tuple[Field, ...]:
    """Diagnostic outputs: names of the table, and fields of the component's own."""
    return tuple(_known(n) for n in names.split()) + tuple(own.values())


def tendencies_of(names: str) -> tuple[str, ...]:
    """State variables that the component returns tendencies of: ``tendencies_of("ua va")``.

    Tracers too, once `fields.tracer` has added them to the table.
    """
    known = (*STATE, *SMALL_STATE, *TRACERS)
    for name in names.split():
        if name not in known:
            raise ContractError.of("no tendency of this field", name, remedy=nearest(name, known))
    return tuple(names.split())


def flux_of(of: str, name: str, **policy: Any) -> Flux:
    """An interface flux of the table whose divergence changes `of`."""
    return Flux(field=_known(name), of=of, **policy)


class Params(BaseModel):
    """Base of a component's parameters: frozen, unknown names refused, units converted.

    Write ``name: Annotated[float, Unit("Pa"), Field(gt=0)] = 31500.0``: a case may then say
    ``315 hPa``.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
    )


class Arrays:
    """Named arrays bound once: ``x.ua`` is the array. Cheap attribute access, no dictionary."""

    def __init__(self, **arrays: Any) -> None:
        self.__dict__.update(arrays)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no array {name!r} here; bound: {', '.join(self.__dict__) or 'none'}")

    def __contains__(self, name: str) -> bool:
        return name in self.__dict__

    def items(self) -> list[tuple[str, Any]]:
        return list(self.__dict__.items())


@dataclass(kw_only=True)
class Now:
    """When a component is called. One object, updated in place by the driver."""

    date: cftime.datetime
    step: int
    """Number of completed steps of the run."""
    seconds: float
    """Model time since the start of the run [s]."""
    dt: float
    """Time over which what is returned will be applied [s]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Host:
    """The column model around a scheme, given at set-up."""

    grid: Grid
    """Of the columns at hand; in a parallel run those of this rank's rows."""
    levels: HybridLevels
    planet: Planet
    dtype: np.dtype[Any]
    seed: int
    static: Mapping[str, Array] = field(default_factory=dict)
    """Fields that never change: ``lat lon orog sftlf``, shape [column]."""
    globe: Grid | None = None
    """The whole grid, where `grid` is a part of it."""
    rows: Rows | None = None
    """Which rows of it are at hand; None: all."""

    @property
    def parallel(self) -> Parallel:
        """The ranks of the run."""
        return self.rows.parallel if self.rows is not None else ALONE

    def mean(self, field: Array) -> float:
        """Global mean of a field [column], the same for any number of ranks; called by all."""
        own = field.reshape(self.grid.shape)
        if self.rows is None or self.globe is None:
            return self.grid.mean(own)
        return self.globe.mean(self.rows.globe(own))

    def spread(self) -> Spread:
        """How arrays ``[..., column]`` lie on the ranks."""
        rows = self.rows or Rows(parallel=ALONE, nlat=self.grid.lat.size)
        return Along(rows.columns(self.grid.lon.size), -1)

    @property
    def nlev(self) -> int:
        return self.levels.nlev

    @property
    def ncol(self) -> int:
        return self.grid.ncol

    def empty(self, *dims: str) -> Array:
        """A zeroed array of this host, ``host.empty("level", "column")``."""
        size = {"level": self.nlev, "interface": self.nlev + 1, "column": self.ncol}
        return np.zeros([size[d] for d in dims], self.dtype)


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """What a model is given at set-up."""

    planet: Planet
    dtype: np.dtype[Any]
    seed: int
    boundary: Mapping[str, Array] = field(default_factory=dict)
    """Boundary fields on the model's own grid, by the names of `Model.boundary`: constant
    ``[lat, lon]`` or a monthly climatology ``[12, lat, lon]``."""
    date: cftime.datetime | None = None
    """When the run starts; a model may take climatologies at that date for its first fields."""
    initial: Callable[[Array], Mapping[str, Array]] | None = None
    """For the atmosphere, a start from data: given the model's own surface height ``[lat, lon]``
    [m], it returns ``ua va ta hus`` ``[level, lat, lon]`` and ``ps`` ``[lat, lon]``; of the whole
    globe, on every rank."""
    parallel: Parallel = ALONE
    """The ranks of the run; boundary and initial fields are those of the whole globe."""


class Component:
    """What all kinds share. The registry sets `process` and `scheme`."""

    process: ClassVar[str] = ""
    scheme: ClassVar[str] = ""
    Parameters: ClassVar[type[Params]] = Params
    """The scheme's own parameters: ``class Parameters(Params)`` inside the component."""

    def __init__(self, parameters: Params | None = None) -> None:
        self.p: Any = parameters if parameters is not None else self.Parameters()

    def counts(self) -> dict[str, int]:
        """Numbers worth a place in ``run.json``, for example how often a guard had to act."""
        return {}

    def memory(self) -> dict[str, Array]:
        """Everything beyond its inputs that a restart needs; empty for a memoryless component.

        In a parallel run, arrays of a scheme whose last axis are the columns at hand are put
        together from all ranks; those in `counted` are added; the others are the same everywhere.
        """
        return {}

    def counted(self) -> tuple[str, ...]:
        """Names in `memory` of numbers that count over columns."""
        return ()

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave."""
        for name, array in self.memory().items():
            array[...] = memory[name]


class Tendency(Component, ABC):
    """A parameterization. Arrays are ``[level|interface, column]``; outputs arrive zeroed."""

    inputs: ClassVar[tuple[Port, ...]] = ()
    tendencies: ClassVar[tuple[str, ...]] = ()
    fluxes: ClassVar[tuple[Flux, ...]] = ()
    diagnostics: ClassVar[tuple[Field, ...]] = ()
    conserves: ClassVar[tuple[Conserves, ...]] = ()
    needs: ClassVar[Needs] = Needs()
    interval: ClassVar[float | None] = None
    """Default time between calls [s]; None: every step. In between, the last result is applied."""
    fills: ClassVar[bool] = False
    """Whether `compute` writes every element of every output; they are then not zeroed before."""
    reach: int | None = None
    """How many of the uppermost levels it looks at and may change, once set up; None: all. Below,
    winds and temperatures may be those of another moment, and tendencies stay zero as given."""

    def setup(self, host: Host) -> None:
        """Called once before the first step: allocate and precompute here."""

    @abstractmethod
    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """Fills `tend` [SI per s], `flux` (upward) and `diag` from the inputs `x`."""

    @classmethod
    def tendency_fields(cls) -> tuple[Field, ...]:
        """Table entries of what this scheme does to the state, directly or by its fluxes."""
        changed = dict.fromkeys(cls.tendencies + tuple(f.of for f in cls.fluxes))
        return tuple(tendency_field(cls.process, of) for of in changed)


class Diagnostic(Component, ABC):
    """Reads only; returns fields for the output."""

    inputs: ClassVar[tuple[Port, ...]] = ()
    diagnostics: ClassVar[tuple[Field, ...]] = ()
    fills: ClassVar[bool] = False
    """Whether `compute` writes every element of every output; they are then not zeroed before."""
    lowest: int | None = None
    """How many of the lowest levels it looks at; None: all. Above, winds, temperature and humidity
    may be those of another moment."""

    def setup(self, host: Host) -> None:
        """Called once before the first step."""

    @abstractmethod
    def compute(self, x: Arrays, diag: Arrays, now: Now) -> None:
        """Fills `diag` from the inputs `x`."""


class Model(Component, ABC):
    """Owns state and a time step.

    Arrays are ``[lat, lon]`` or ``[level, lat, lon]`` on the model's own `grid`.
    """

    receives: ClassVar[tuple[Port, ...]] = ()
    """What it takes from other models: time means since its last step, remapped to its grid."""
    provides: ClassVar[tuple[Field, ...]] = ()
    """What it offers to other models and to the output."""
    boundary: ClassVar[tuple[Port, ...]] = ()
    """Constant or climatological fields that a case may give it from files."""
    alike: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Its parameters that are those of another model, as ``{"albedo_water": "ocean.albedo"}``; a
    run says where the two are not the same."""

    grid: Grid
    dt: float
    """Time step [s]."""

    def stand_for(self, other: Model) -> None:
        """Declares and advises what `other` does, which it takes the place of."""
        self.p, self.grid, self.dt = other.p, other.grid, other.dt
        for name in ("process", "scheme", "receives", "provides", "boundary", "alike"):
            vars(self)[name] = getattr(other, name)
        self.advice = other.advice  # type: ignore[method-assign]

    def setup(self, site: Site) -> None:
        """Called once before the first step."""

    @abstractmethod
    def fields(self) -> Mapping[str, Array]:
        """The provided fields: the same arrays, updated in place, at every call."""

    def advice(self) -> list[Problem]:
        """What a user should hear before a run that is possible but probably not meant."""
        return []

    @abstractmethod
    def step(self, received: Arrays, now: Now) -> None:
        """Advances the state by `dt`."""

    def parts(self, received: Arrays) -> Mapping[str, Array]:
        """Area fraction of the cell that each received field belongs to, ``[lat, lon]``, and where
        each flux to another model comes from.

        What is not named is per area of the whole cell, or no flux. `received` holds what other
        models show at present; it is empty while the models are being connected.
        """
        return {}

    def stores(self) -> Mapping[str, Array]:
        """What it keeps per area of the cell: ``water`` [kg m-2] and ``energy`` [J m-2].

        The budget holds their change against what was received and given.
        """
        return {}

    def sources(self) -> Mapping[str, Array]:
        """What the last step took from outside of all models, by quantity, per area of the cell
        [kg m-2 s-1 or W m-2]: a heat transport by currents that are not there."""
        return {}

    def spread(self) -> Mapping[str, Spread]:
        """How the arrays of `memory` lie on the ranks; what is not named is the same on all."""
        return {}


class ColumnModel(Model):
    """A model that hosts parameterizations: the atmosphere, or a small core of the hierarchy."""

    levels: HybridLevels
    planet: Planet
    dtype: np.dtype[Any]
    most_ranks: int = 1
    """How many ranks can share it; `columns` are then those of this rank's rows of `grid`."""
    tracers: tuple[str, ...] = ()
    """Names of the tracers that it carries besides ``hus``; they are among its columns."""

    def place(self, planet: Planet) -> None:
        """Told before it is checked on which planet it is: its levels may depend on that."""

    @abstractmethod
    def columns(self) -> Mapping[str, Array]:
        """State that physics starts from, ``[level|interface, lat, lon]`` or ``[lat, lon]``.

        At least ``ua va ta hus ps pfull phalf zg zghalf`` for an atmosphere; a layer of fluid
        without pressure (`HybridLevels.layer`) leaves out what it has not. The same arrays, brought
        up to date by this call. Those that a case may write are in `provides` or `tracers`.
        """

    @abstractmethod
    def physics_dt(self) -> float:
        """Time over which the next step applies physics tendencies [s] (2 dt in leapfrog)."""

    def budgets(self) -> dict[str, tuple[float, str, str]]:
        """Global integrals for the budget file: value, units and long name by name."""
        return {}

    def water(self) -> float | None:
        """Water of the air, global mean [kg m-2]; called by all ranks. None: not conserved."""
        return None

    def water_made(self) -> float:
        """Water that the last step made of nothing or left out, global mean [kg m-2]: known gaps of
        the dynamics."""
        return 0.0

    def strain(self, memory: Mapping[str, Array]) -> tuple[float, Problem] | None:
        """How close the state in `memory` was to what a step can follow.

        Returns:
            a number that grows with the danger, and words that name the level; None when it is not
            known, or the state not finite.
        """
        return None

    @abstractmethod
    def advance(self, tendencies: Mapping[str, Array]) -> None:
        """One step with physics `tendencies` of ``ua va ta hus`` and tracers [SI per s]."""

    def step(self, received: Arrays, now: Now) -> None:
        """A column model is advanced by the driver with tendencies, see `advance`."""
        self.advance({})
