"""Names that a case can write, from what its models and schemes declare: known before a step.

What was built gives the exact ones (`coupler.driver.files`); these are told beside all else that is
wrong with a case, of which nothing is built. Where something is not known, nor is what it gives:
names that it might give are left for later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coupler.config import Case
from coupler.driver.negotiate import Plan
from coupler.interface.component import Component, Model
from coupler.interface.errors import Problem, nearest
from coupler.interface.fields import FIELDS, tendency_field
from coupler.interface.registry import SCHEMES


def unknown_outputs(
    case: Case, models: Mapping[str, Model], plans: Sequence[Plan], failed: Sequence[str]
) -> list[Problem]:
    """Output fields that a case names and nothing of it gives.

    Args:
        case: the case.
        models: its models that could be made.
        plans: its schemes that could be found.
        failed: its processes and models of which one could not.
    """
    if isinstance(case.output.fields, str):
        return []
    known = {f.name for m in models.values() for f in m.provides}
    known |= {n for m in models.values() for n in getattr(m, "tracers", ())} | {*case.forcing}
    for plan in plans:
        given = _given(plan.process, plan.cls)
        alone = sum(p.process == plan.process for p in plans) == 1
        known |= given | (set() if alone else {f"{n}_{plan.label}" for n in given})
    open_ = {n for p in failed for cls in SCHEMES.get(p, {}).values() for n in _given(p, cls)}
    return [
        Problem(what="unknown output field", name=name, remedy=nearest(name, known))
        for name in case.output.fields
        if name not in known and not (failed and _may_be(name, open_))
    ]


def _given(process: str, cls: type[Component]) -> set[str]:
    """What a scheme gives to the output when it acts alone."""
    fluxes = getattr(cls, "fluxes", ())
    changed = {*getattr(cls, "tendencies", ()), *(f.of for f in fluxes)}
    if fluxes:
        changed.add("ta")  # the heat of a drag
    names = {tendency_field(process, of).name for of in changed if of in FIELDS}
    names |= {name for f in fluxes for name in (f.name, f"{f.name}_escaped")}
    return names | {f.name for f in getattr(cls, "diagnostics", ())}


def _may_be(name: str, given: set[str]) -> bool:
    """Whether a scheme that could not be found, or a model, may give a field of this name."""
    return name in FIELDS or any(name == n or name.startswith(f"{n}_") for n in given)
