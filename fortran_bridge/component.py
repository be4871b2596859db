"""A Fortran routine as a scheme: ``gravity_wave: {scheme: "fortran:./libmine.so:my_routine"}``.

What its arguments mean stands in a declaration (`fortran_bridge.declaration`): by default the file
beside the library with its name and ``.yaml``, ``libmine.yaml``. Arguments with the role
``parameter`` become parameters of the scheme, which a case sets like any other's.

The routine runs in this process: a ``stop`` in it ends the run. `isthmus serve` puts it into a
process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Field, create_model

from coupler.interface.component import Arrays, Host, Now, Params, Tendency
from coupler.interface.errors import ConfigError, ContractError
from coupler.interface.units import Unit
from fortran_bridge.calls import Call, kind_problems
from fortran_bridge.declaration import Argument, Declaration, read_declaration
from fortran_bridge.library import locate, open_library, split, symbol


class FortranParameters(Params):
    """What a case may say beside the routine's own parameters."""

    declaration: str = ""
    """File that says what the arguments mean; default: the library's name with .yaml."""
    kinds: Literal["refuse", "convert"] = "refuse"
    """What arrays of another precision than the case's get: a sentence, or a conversion at every
    call."""


class FortranTendency(Tendency):
    """Base of the classes that `fortran_class` makes."""

    Parameters = FortranParameters
    declaration: ClassVar[Declaration]
    address: ClassVar[int]
    library: ClassVar[Any]
    """Keeps the library loaded."""

    def setup(self, host: Host) -> None:
        """Checks the kinds and prepares the call.

        Raises:
            ContractError: for arrays of another precision than the case's.
        """
        name = f"{self.process}={self.scheme}"
        problems = kind_problems(self.declaration, host.dtype, name)
        if problems and self.p.kinds == "refuse":
            raise ContractError(*problems)
        own = {a.name: getattr(self.p, a.name) for a in self.declaration.those("parameter")}
        self._call = Call(name, self.address, self.declaration, host, own)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """One call of the routine, or one for every column."""
        self._call(x, tend, flux, diag, now)


def fortran_class(
    scheme: str, base: Path, process: str, parameters: Mapping[str, Any]
) -> type[FortranTendency]:
    """The scheme that a routine is, with its declared ports.

    Args:
        scheme: ``fortran:LIBRARY:ROUTINE``.
        base: folder that relative file names are relative to, before the working folder.
        process: what it is wanted for.
        parameters: what the case gives; only ``declaration`` matters here.

    Raises:
        ConfigError: for a missing library, routine or declaration, and for everything in the
            declaration that does not fit.
    """
    library, routine = split(scheme)
    path = locate(library, base)
    declaration = read_declaration(_declared(parameters.get("declaration"), library, path, base))
    if declaration.process != process:
        raise ConfigError.of(
            "a routine of another process",
            f"{process}={scheme}",
            expected=f"process: {process} in its declaration",
            found=declaration.process,
            remedy=f"swap {declaration.process} for it",
        )
    if declaration.call == "column":
        _check_columns(declaration, scheme)
    handle = open_library(library, path)
    members = {
        "__module__": __name__,
        "__doc__": declaration.title,
        "process": process,
        "scheme": routine,
        "Parameters": _parameters(declaration),
        "declaration": declaration,
        "address": symbol(handle, routine, library, path),
        "library": handle,
        "interval": declaration.interval,
        "inputs": declaration.inputs(),
        "tendencies": tuple(str(a.tendency) for a in declaration.those("tendency")),
        "fluxes": declaration.fluxes(),
        "diagnostics": tuple(a.field for a in declaration.those("diagnostic")),
        "conserves": declaration.promises(),
    }
    return cast(type[FortranTendency], type(f"Fortran_{routine}", (FortranTendency,), members))


def _declared(given: Any, library: str, path: Path | None, base: Path) -> Path:
    if given:
        beside = base / str(given)
        return beside if beside.is_file() else Path(str(given))
    return (path or base / library).with_suffix(".yaml")


def _check_columns(declaration: Declaration, scheme: str) -> None:
    by_value = [a.name for a in declaration.arguments if a.by == "value"]
    if by_value:
        raise ConfigError.of(
            "an argument by value in a routine that is called for each column",
            f"{', '.join(by_value)} of {scheme}",
            expected="by: reference",
            remedy="leave out the attribute value in the routine, or take call: block",
        )


def _parameters(declaration: Declaration) -> type[FortranParameters]:
    """Parameters of the scheme: the routine's own beside those of every routine."""
    fields: dict[str, Any] = {}
    for a in declaration.those("parameter"):
        fields[a.name] = (Annotated[float, *_limits(a)], a.parameter)
    return create_model("Parameters", __base__=FortranParameters, **fields)


def _limits(a: Argument) -> tuple[Any, ...]:
    unit = () if a.units is None else (Unit(a.units),)
    about = Field(ge=a.minimum, le=a.maximum, description=a.long_name or None)
    return (*unit, about)
