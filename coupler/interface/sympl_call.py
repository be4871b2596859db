"""Components of sympl and climt as components of Isthmus: names, units, dimensions settled once.

A sympl component says what it wants and gives by CF names with dimensions and units. `SymplCall`
finds each of them in the table of fields, computes conversions, allocates what is handed over, and
then calls ``array_call``: no dictionary of unit strings is looked at again. Columns are handed over
in blocks, so that a component with sixteen bands does not need the whole globe's memory at once.
`from_sympl` makes a scheme of it that a case can name:

    Rain = from_sympl("condensation", "theirs", climt.GridScaleCondensation, gives={...})

Levels of climt go from the ground upward, ours from the top down (`upward`).

Source: Monteiro, McGibbon and Caballero (2018), doi:10.5194/gmd-11-3781-2018 (sympl and climt).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from coupler.interface.component import Array, Arrays, Host, Now, Port, Tendency
from coupler.interface.errors import ContractError, CouplerError, Problem, UnstableError, nearest
from coupler.interface.fields import COLUMN, FIELDS, INTERFACE, LEVEL, STATE, TENDENCY_UNITS, Field
from coupler.interface.registry import scheme
from coupler.interface.units import conversion, convertible

BLOCK = 512
"""Columns of a call."""
_ON_INTERFACES = "_on_interface_levels"
_DIMS = {"mid_levels": "level", "interface_levels": "interface"}
_SPELLINGS = {"dimensionless": "1", "": "1", "degK": "K"}
"""Units of sympl that UDUNITS spells otherwise."""


def unit_of(text: str) -> str:
    """A unit of sympl as UDUNITS has it."""
    return " ".join(_SPELLINGS.get(word, word) for word in text.split()) or "1"


def field_of(name: str, aliases: Mapping[str, str]) -> Field | None:
    """Our field for a name of sympl; None where there is none."""
    if name in aliases:
        return FIELDS.get(aliases[name])
    plain, half = name.removesuffix(_ON_INTERFACES), name.endswith(_ON_INTERFACES)
    for f in FIELDS.values():
        if f.standard_name == plain and half == (f.dims == INTERFACE):
            return f
    return None


@dataclass(kw_only=True, eq=False)
class _Handed:
    """One array on its way to or from a sympl component, a block of columns."""

    theirs: str
    ours: str
    array: Array
    factor: float
    offset: float
    flipped: bool

    def take(self, source: Array, columns: slice) -> None:
        view = source[..., columns]
        width = view.shape[-1]
        target = self.array[..., :width]
        np.multiply(view[::-1] if self.flipped else view, self.factor, out=target)
        if self.offset:
            target += self.offset
        self.array[..., width:] = target[..., -1:]

    def put(self, given: Array, target: Array, columns: slice) -> None:
        view = target[..., columns]
        own = given.reshape(self.array.shape)[..., : view.shape[-1]]
        np.multiply(own[::-1] if self.flipped else own, self.factor, out=view, casting="same_kind")
        if self.offset:
            view += self.offset


class SymplCall:
    """One sympl component bound to the columns of a host."""

    def __init__(
        self,
        component: Any,
        host: Host,
        *,
        constants: Mapping[str, float] | None = None,
        sizes: Mapping[str, int] | None = None,
        names: Mapping[str, str] | None = None,
        upward: bool = True,
        block: int = BLOCK,
    ) -> None:
        """Settles all of its inputs.

        Args:
            component: an object of sympl with ``array_call``.
            host: whose columns.
            constants: values of inputs that the table of fields has not, in the component's units.
            sizes: of dimensions that are neither levels nor columns, such as spectral bands.
            names: our names of fields by theirs, where CF names do not tell or where an input comes
                from the caller: those may be any names.
            upward: whether its level 0 is the lowest.
            block: columns of a call.

        Raises:
            ContractError: naming every input that nothing gives, or that is in a foreign unit.
        """
        self.component, self._host, self._upward = component, host, upward
        self.width = min(block, host.ncol)
        self._names, self._sizes = dict(names or {}), dict(sizes or {})
        self._inputs: list[_Handed] = []
        self._outputs: dict[str, _Handed] = {}
        self._state: dict[str, Any] = {}
        self._points = self._all_points()
        problems: list[Problem] = []
        for theirs, wanted in component.input_properties.items():
            try:
                self._settle(theirs, wanted, constants or {})
            except CouplerError as error:
                problems += error.problems
        if problems:
            raise ContractError(*problems)

    @property
    def reads(self) -> tuple[str, ...]:
        """Names under which its inputs are looked for."""
        return tuple(h.ours for h in self._inputs)

    def _all_points(self) -> int:
        """What ``*`` stands for: the columns, or all points where levels are not told apart."""
        wanted = self.component.input_properties.items()
        alone = [field_of(n, self._names) for n, w in wanted if list(w["dims"]) == ["*"]]
        whole = not any("mid_levels" in w["dims"] for _, w in wanted)
        whole = whole and any(f is not None and f.dims == LEVEL for f in alone)
        return self.width * (self._host.nlev if whole else 1)

    def _settle(
        self, theirs: str, wanted: Mapping[str, Any], constants: Mapping[str, float]
    ) -> None:
        if theirs in constants:
            self._state[theirs] = np.full(self._shape(theirs, wanted), float(constants[theirs]))
            return
        f = field_of(theirs, self._names)
        own = self._names.get(theirs)
        if f is None and own is None:
            raise ContractError.of(
                "an input that nothing gives",
                f"{theirs} of {type(self.component).__name__}",
                expected="a field of ours with that CF name, one under names, or a constant",
                remedy=nearest(
                    theirs, [x.standard_name for x in FIELDS.values() if x.standard_name]
                ),
            )
        factor, offset = (1.0, 0.0) if f is None else self._between(f.units, wanted, theirs)
        dims = self._dims(theirs, wanted, f)
        array = np.zeros(self._size(dims))
        flipped = self._upward and dims != COLUMN
        self._inputs.append(
            _Handed(
                theirs=theirs,
                ours=own or (f.name if f else theirs),
                array=array,
                factor=factor,
                offset=offset,
                flipped=flipped,
            )
        )
        whole = list(wanted["dims"]) == ["*"] and dims != COLUMN
        self._state[theirs] = array.reshape(-1) if whole else array

    def _between(self, ours: str, wanted: Mapping[str, Any], theirs: str) -> tuple[float, float]:
        target = unit_of(wanted["units"])
        if not convertible(ours, target):
            raise ContractError.of(
                "a unit that does not fit",
                f"{theirs} of {type(self.component).__name__}",
                expected=f"a unit convertible from {ours!r}",
                found=repr(wanted["units"]),
            )
        return conversion(ours, target)

    def _dims(self, theirs: str, wanted: Mapping[str, Any], f: Field | None) -> tuple[str, ...]:
        dims = list(wanted["dims"])
        if dims == ["*"] and f is not None:
            return f.dims
        found = tuple(_DIMS.get(d, "column" if d == "*" else d) for d in dims)
        if found not in (LEVEL, INTERFACE, COLUMN):
            raise ContractError.of(
                "dimensions that do not fit",
                f"{theirs} of {type(self.component).__name__}",
                expected="levels or interfaces, then columns; others only of constants",
                found=", ".join(dims),
            )
        return found

    def _size(self, dims: tuple[str, ...]) -> tuple[int, ...]:
        size = {"level": self._host.nlev, "interface": self._host.nlev + 1, "column": self.width}
        return tuple(size[d] for d in dims)

    def _shape(self, theirs: str, wanted: Mapping[str, Any]) -> tuple[int, ...]:
        """Of a constant."""
        known = {
            "mid_levels": self._host.nlev,
            "interface_levels": self._host.nlev + 1,
            "*": self._points,
            **self._sizes,
        }
        missing = [d for d in wanted["dims"] if d not in known]
        if missing:
            raise ContractError.of(
                "a dimension without a size",
                f"{missing[0]} of {theirs}",
                remedy=f"give sizes={{{missing[0]!r}: ...}}",
            )
        return tuple(known[d] for d in wanted["dims"])

    def bind(self, theirs: str, f: Field, *, kind: str = "diagnostic") -> None:
        """Settles an output: where `theirs` goes and what becomes of its unit.

        Args:
            theirs: name of an output of the component.
            f: our field.
            kind: ``diagnostic``, or ``tendency`` of a state variable.

        Raises:
            ContractError: for an output that it does not give, or in a foreign unit.
        """
        of_kind = getattr(self.component, f"{kind}_properties", {})
        if theirs not in of_kind:
            raise ContractError.of(
                "an output that is not given",
                f"{theirs} of {type(self.component).__name__}",
                remedy=nearest(theirs, list(of_kind)),
            )
        units = TENDENCY_UNITS.get(f.name, "s-1") if kind == "tendency" else f.units
        given = unit_of(of_kind[theirs]["units"])
        if not convertible(given, units):
            raise ContractError.of(
                "a unit that does not fit",
                f"{theirs} of {type(self.component).__name__}",
                expected=f"a unit convertible to {units!r}",
                found=repr(of_kind[theirs]["units"]),
            )
        factor, offset = conversion(given, units)
        self._outputs[f"{kind} {f.name}"] = _Handed(
            theirs=theirs,
            ours=f.name,
            array=np.zeros(self._size(f.dims)),
            factor=factor,
            offset=offset,
            flipped=self._upward and f.dims != COLUMN,
        )

    def __call__(
        self, source: Callable[[str], Array], tend: Arrays, diag: Arrays, now: Now
    ) -> None:
        """Calls the component and fills what is bound.

        Args:
            source: an input [.., column] by our name.
            tend: tendencies that are bound.
            diag: diagnostics that are bound.
            now: when.
        """
        self._state["time"] = now.date
        arrays = [(h, source(h.ours)) for h in self._inputs]
        steps = hasattr(self.component, "output_properties")
        takes_time = steps or _takes_time(self.component)
        for start in range(0, self._host.ncol, self.width):
            columns = slice(start, min(start + self.width, self._host.ncol))
            for handed, array in arrays:
                handed.take(array, columns)
                if not np.isfinite(handed.array).all():  # compiled code may look up tables by it
                    raise UnstableError.of(
                        "an input that is not finite",
                        f"{handed.ours} of {type(self.component).__name__}",
                        found=f"step {now.step}, date {now.date}",
                        remedy="shorten the step, or swap what gives it",
                    )
            extra = (dt.timedelta(seconds=now.dt),) if takes_time else ()
            found = self.component.array_call(self._state, *extra)
            first, second = found if isinstance(found, tuple) else ({}, found)
            tendencies, diagnostics = ({}, first) if steps else (first, second)
            for name, handed in self._outputs.items():
                of_tendency = name.startswith("tendency")
                given = (tendencies if of_tendency else diagnostics)[handed.theirs]
                target = getattr(tend if of_tendency else diag, handed.ours)
                handed.put(np.asarray(given), target, columns)


def _takes_time(component: Any) -> bool:
    import sympl

    return isinstance(component, sympl.ImplicitTendencyComponent)


def from_sympl(
    process: str,
    name: str,
    component: Callable[[], Any],
    *,
    reads: tuple[Port, ...],
    tendencies: Mapping[str, str] | None = None,
    gives: Mapping[str, Field] | None = None,
    constants: Mapping[str, float] | None = None,
    sizes: Mapping[str, int] | None = None,
    names: Mapping[str, str] | None = None,
    upward: bool = True,
) -> type[Tendency]:
    """Registers a sympl component that gives tendencies or diagnostics as a scheme.

    Args:
        process: of which it is a scheme.
        name: its name in a case.
        component: makes it, without arguments; called once for each run.
        reads: the fields that it reads, as ports.
        tendencies: state variables of ours by the names of its tendencies.
        gives: fields of ours by the names of its diagnostics.
        constants: see `SymplCall`.
        sizes: see `SymplCall`.
        names: see `SymplCall`.
        upward: see `SymplCall`.

    Raises:
        ContractError: for a tendency of what is no state variable.
    """
    wrong = [of for of in (tendencies or {}).values() if of not in STATE]
    if wrong:
        raise ContractError.of(
            "no tendency of this field", wrong[0], remedy=nearest(wrong[0], STATE)
        )
    changed, diagnosed = tuple((tendencies or {}).values()), tuple((gives or {}).values())

    class FromSympl(Tendency):
        """A component of sympl."""

        inputs = reads
        tendencies = changed
        diagnostics = diagnosed
        fills = True

        def setup(self, host: Host) -> None:
            self._call = SymplCall(
                component(), host, constants=constants, sizes=sizes, names=names, upward=upward
            )
            for theirs, of in (_tendencies or {}).items():
                self._call.bind(theirs, FIELDS[of], kind="tendency")
            for theirs, f in (gives or {}).items():
                self._call.bind(theirs, f)

        def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
            self._call(lambda name: getattr(x, name), tend, diag, now)

    _tendencies = tendencies
    FromSympl.__name__ = FromSympl.__qualname__ = f"{process}_{name}"
    return scheme(process, name)(FromSympl)
