"""What can be swapped for what: processes, schemes, inputs, outputs, parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from coupler.driver.discovery import discover, shipped_bundles
from coupler.interface.component import Component, Diagnostic, Model, Tendency
from coupler.interface.errors import ConfigError, nearest
from coupler.interface.fields import Field
from coupler.interface.registry import SCHEMES


def print_catalogue(process: str | None = None, console: Console | None = None) -> None:
    """Prints all processes, or the details of one.

    Args:
        process: its name; None for all.
        console: where to.

    Raises:
        ConfigError: for an unknown process.
    """
    problems = discover()
    if process is not None and process not in SCHEMES:
        raise ConfigError.of("unknown process", process, remedy=nearest(process, SCHEMES))
    console = console or Console()
    bundles = {name: _bundle(folder) for name, folder in shipped_bundles().items()}
    if process is None:
        console.print(_overview(bundles))
        console.print("isthmus schemes PROCESS shows inputs, outputs and parameters.")
    else:
        for scheme, cls in sorted(SCHEMES[process].items()):
            console.print(_details(process, scheme, cls))
        for name, (of, what) in bundles.items():
            if of == process:
                console.print(f"[bold]{process}={name}[/bold]: {what}\n")
    for problem in problems:
        console.print(Text(f"warning: {problem}"))


def _bundle(folder: Path) -> tuple[str, str]:
    """Process of a bundle, and what it is in a sentence."""
    spec = yaml.safe_load((folder / "bundle.yaml").read_text(encoding="utf-8"))
    what = f"Learned scheme ({spec['architecture']['name']}, {len(spec['levels']['a']) - 1} levels"
    flux = (spec.get("skill") or {}).get("flux_overall")
    rate = (spec.get("tendency_skill") or {}).get("overall")
    what += f", R2 of fluxes {flux:.3f}" if flux else ""
    what += f", R2 of tendencies {rate:.3f}" if rate else ""
    return spec["process"], what + ")."


def _overview(bundles: dict[str, tuple[str, str]]) -> Table:
    table = _table("process", "scheme", "what it is")
    rows = [
        (p, s, _first_line(cls)) for p, schemes in SCHEMES.items() for s, cls in schemes.items()
    ]
    rows += [(process, name, what) for name, (process, what) in bundles.items()]
    last = ""
    for process, scheme, what in sorted(rows):
        table.add_row("" if process == last else process, scheme, Text(what))
        last = process
    return table


def _table(*names: str) -> Table:
    """Names are never cut; what explains them folds."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for i, name in enumerate(names):
        explains = i == len(names) - 1
        table.add_column(name, no_wrap=not explains, overflow="fold", ratio=1 if explains else None)
    return table


def _first_line(cls: type[Component]) -> str:
    return (cls.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ").replace("`", "")


def _details(process: str, scheme: str, cls: type[Component]) -> RenderableType:
    head = Text.assemble((f"{process}={scheme}", "bold"), f": {_first_line(cls)}")
    if issubclass(cls, Tendency):
        often = f"every {cls.interval:g} s" if cls.interval else "every step"
        kept = [f"{c.quantity} by {c.scope} to {c.tolerance:g}" for c in cls.conserves]
        head.append(f" Called {often} unless the case gives an interval.")
        head.append(f" Conserves {' and '.join(kept)}." if kept else "")
    parts = [Padding(_ports(cls), (0, 2))]
    if cls.Parameters.model_fields:
        parts.append(Padding(_parameters(cls), (0, 2)))
    return Group(head, *parts)


def _ports(cls: type[Component]) -> Table:
    table = _table("", "name", "unit", "meaning")
    inputs: Any = cls.receives if issubclass(cls, Model) else getattr(cls, "inputs", ())
    _add(table, "reads", ((p.field, p.units, p.optional) for p in inputs))
    if issubclass(cls, Model):
        _add(table, "file", ((p.field, p.units, p.optional) for p in cls.boundary))
        _add(table, "provides", _plain(cls.provides))
    if issubclass(cls, Tendency):
        _add(table, "changes", _plain(cls.tendency_fields()))
        _add(table, "flux", _plain(f.field for f in cls.fluxes))
    if issubclass(cls, Tendency | Diagnostic):
        _add(table, "gives", _plain(cls.diagnostics))
    return table


def _plain(fields: Iterable[Field]) -> list[tuple[Field, str, bool]]:
    return [(f, f.units, False) for f in fields]


def _add(table: Table, kind: str, ports: Iterable[tuple[Field, str, bool]]) -> None:
    for i, (field, units, optional) in enumerate(ports):
        meaning = field.long_name + (" (optional)" if optional else "")
        table.add_row("" if i else kind, field.name, units, meaning)


def _parameters(cls: type[Component]) -> Table:
    table = _table("parameter", "default", "meaning")
    for name, info in cls.Parameters.model_fields.items():
        units = next((m.units for m in info.metadata if hasattr(m, "units")), "")
        default = f"{info.default:g}" if isinstance(info.default, float) else str(info.default)
        meaning = " ".join(inspect.cleandoc(info.description or "").replace("`", "").split())
        meaning = re.sub(r" ?\[[^]]*\]\.?$", "", meaning)
        meaning += "" if not meaning or meaning.endswith(".") else "."
        allowed = _allowed(info)
        table.add_row(
            name,
            default if units in ("", "1") else f"{default} {units}",
            Text(f"{meaning} {allowed}".strip()),
        )
    return table


def _allowed(info: Any) -> str:
    """The range or the choices of a parameter, in brackets."""
    if get_origin(info.annotation) is Literal:
        return "(" + ", ".join(map(str, get_args(info.annotation))) + ")"
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    limits = [
        f"{sign} {getattr(m, key):g}"
        for m in info.metadata
        for key, sign in signs.items()
        if getattr(m, key, None) is not None
    ]
    return f"({', '.join(limits)})" if limits else ""
