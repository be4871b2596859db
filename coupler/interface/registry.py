"""Every scheme of a process registers under a name; a swap is another name.

    @scheme("gravity_wave", "ad99")
    class AlexanderDunkerton1999(Tendency): ...

Any module in `physics.columns`, `physics.surface` or `physics.dynamics` is found by itself, as are
files named in a case's ``plugins`` and installed packages with an entry point in the group
``isthmus.schemes``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from coupler.interface.component import Component
from coupler.interface.errors import ContractError

_C = TypeVar("_C", bound=type[Component])
SCHEMES: dict[str, dict[str, type[Component]]] = {}


def providers(field: str) -> list[str]:
    """Registered schemes that give a field to others, as ``process=scheme``."""
    found = []
    for process, schemes in sorted(SCHEMES.items()):
        for name, cls in sorted(schemes.items()):
            given = (*getattr(cls, "provides", ()), *getattr(cls, "diagnostics", ()))
            if process != "atmosphere" and field in (f.name for f in given):
                found.append(f"{process}={name}")
    return found


def readers(field: str) -> list[str]:
    """Registered schemes that can read a field, as ``process=scheme``."""
    return [
        f"{process}={name}"
        for process, schemes in sorted(SCHEMES.items())
        for name, cls in sorted(schemes.items())
        if field in (port.name for port in getattr(cls, "inputs", ()))
    ]


def scheme(process: str, name: str) -> Callable[[_C], _C]:
    """Registers a component class as scheme `name` of `process`.

    Raises:
        ContractError: when another class already has that name.
    """

    def register(cls: _C) -> _C:
        known = SCHEMES.setdefault(process, {})
        other = known.get(name)
        if other is not None and (other.__module__, other.__qualname__) != (
            cls.__module__,
            cls.__qualname__,
        ):
            raise ContractError.of(
                "two schemes with one name",
                f"{process}={name}",
                found=f"{other.__module__}.{other.__qualname__} and "
                f"{cls.__module__}.{cls.__qualname__}",
                remedy="rename one of them",
            )
        cls.process, cls.scheme = process, name
        known[name] = cls
        return cls

    return register
