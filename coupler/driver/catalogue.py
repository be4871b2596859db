"""What can be swapped for what: processes, schemes, inputs, outputs, parameters."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from coupler.driver.discovery import discover, shipped_bundles
from coupler.interface.component import Component, Diagnostic, Model, Tendency
from coupler.interface.errors import ConfigError, nearest
from coupler.interface.registry import SCHEMES


def print_catalogue(process: str | None = None) -> None:
    """Prints all processes, or the details of one.

    Raises:
        ConfigError: for an unknown process.
    """
    discover()
    if process is not None and process not in SCHEMES:
        raise ConfigError.of("unknown process", process, remedy=nearest(process, SCHEMES))
    console = Console()
    if process is None:
        table = Table("process", "scheme", "what it is", title="Schemes")
        for name, schemes in sorted(SCHEMES.items()):
            for scheme, cls in sorted(schemes.items()):
                table.add_row(name, scheme, _first_line(cls))
        for bundle, folder in shipped_bundles().items():
            table.add_row("(bundle)", bundle, f"learned scheme in {folder.name}/bundle.yaml")
        console.print(table)
        console.print("isthmus schemes PROCESS shows inputs, outputs and parameters.")
        return
    for scheme, cls in sorted(SCHEMES[process].items()):
        console.print(_details(process, scheme, cls))


def _first_line(cls: type[Component]) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0] if cls.__doc__ else ""


def _details(process: str, scheme: str, cls: type[Component]) -> Table:
    table = Table("", "name", "unit", "meaning", title=f"{process}={scheme}: {_first_line(cls)}")
    inputs: Any = cls.receives if issubclass(cls, Model) else getattr(cls, "inputs", ())
    for p in inputs:
        table.add_row("reads", p.name, p.units, p.field.long_name)
    if issubclass(cls, Tendency):
        for t in cls.tendency_fields():
            table.add_row("changes", t.name, t.units, t.long_name)
        for f in cls.fluxes:
            table.add_row("flux", f.name, f.field.units, f.field.long_name)
    if issubclass(cls, Tendency | Diagnostic):
        for d in cls.diagnostics:
            table.add_row("gives", d.name, d.units, d.long_name)
    if issubclass(cls, Model):
        for d in cls.provides:
            table.add_row("provides", d.name, d.units, d.long_name)
    for name, info in cls.Parameters.model_fields.items():
        units = next((m.units for m in info.metadata if hasattr(m, "units")), "")
        text = f"default {info.default!r}. {info.description or ''}"
        table.add_row("parameter", name, units, text)
    return table
