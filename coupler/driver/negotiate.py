"""Negotiation: does every input have a provider, every output one owner, every unit a meaning?

Pure bookkeeping on declarations; no array is touched. All mismatches come back together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from coupler.input.forcing import FORCINGS, Forcing
from coupler.interface.component import Component, Diagnostic, Model, Tendency
from coupler.interface.errors import Problem, nearest
from coupler.interface.fields import TRACERS, Field
from coupler.interface.parallel import Parallel
from coupler.interface.registry import providers, readers
from coupler.interface.units import conversion, convertible, is_unit

STATIC = ("lat", "lon", "orog", "sftlf")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One scheme of the case, before it is bound."""

    process: str
    label: str
    cls: type[Tendency] | type[Diagnostic]
    plain: bool
    """Whether its diagnostics go by their plain names (it acts), or by suffixed ones (shadow)."""
    called: bool = True
    """False for a fallback: another scheme calls it when it has to."""
    partner: type[Component] | None = None
    """What it is blended with."""

    def gives(self) -> list[Field]:
        """What others see of it."""
        partner = self.partner
        if partner is None or not issubclass(partner, Tendency | Diagnostic):
            return list(self.cls.diagnostics)
        return blended(self.cls.diagnostics, partner.diagnostics)


FLUXES = ("kg m-2 s-1", "W m-2", "Pa")


def blended(one: Iterable[Field], other: Iterable[Field]) -> list[Field]:
    """What others see of two schemes together.

    Fluxes of either, because a scheme that says nothing of rain makes none; of anything else
    what both give.
    """
    found = {f.name: f for f in (*one, *other)}
    both = {f.name for f in one} & {f.name for f in other}
    return [f for n, f in found.items() if n in both or f.units in FLUXES]


def negotiate(
    plans: Sequence[Plan],
    atmosphere: Iterable[str],
    models: Mapping[str, type[Model]],
    boundary: Mapping[str, Iterable[str]],
    failed: Iterable[str] = (),
    static: Iterable[str] = STATIC,
) -> list[Problem]:
    """Everything about the declared fields that does not fit.

    Args:
        plans: the schemes in the order of the case.
        atmosphere: names that the atmosphere's columns offer.
        models: the other models by name.
        boundary: names of boundary fields that the case gives, by model.
        failed: processes and models of the case that something else is wrong with; what they would
            provide is not missed here as well.
        static: what never changes on the grid at hand.
    """
    problems: list[Problem] = []
    from_models = {f.name: name for name, cls in models.items() for f in cls.provides}
    atmosphere = set(atmosphere)
    given = boundary.get("atmosphere", ())
    available = dict.fromkeys((*atmosphere, *static, *given), "atmosphere") | from_models
    owner: dict[str, str] = {}
    expected = set(failed)
    for plan in plans:
        who = f"{plan.process}={plan.label}"
        for port in plan.cls.inputs:
            if not is_unit(port.units) or not convertible(port.field.units, port.units):
                problems.append(
                    Problem(
                        what="input in a unit that does not fit",
                        name=f"{port.name} of {who}",
                        expected=f"a unit convertible from {port.field.units!r}",
                        found=repr(port.units),
                    )
                )
            if port.name not in available and not port.optional:
                problems += _nobody(port.name, who, plans, available, expected)
        problems += _no_state(plan, who, atmosphere)
        if not plan.plain:
            continue
        for f in plan.gives():
            taken = owner.get(f.name) or from_models.get(f.name)
            if not taken and f.name in atmosphere:
                taken = "atmosphere"
            if taken:
                problems.append(
                    Problem(
                        what="two components claim one output",
                        name=f.name,
                        found=f"{taken} and {who}",
                        remedy="leave one of them out of the case",
                    )
                )
            owner[f.name] = who
            available[f.name] = who
    for name, cls in models.items():
        for port in cls.receives:
            if port.name not in available and not port.optional:
                problems += _nobody(port.name, name, plans, available, expected)
        problems += _other_units(name, cls)
    problems += _boundaries(models, boundary)
    return problems


def unread(forcings: Iterable[str], plans: Sequence[Plan]) -> list[Problem]:
    """What a case prescribes in time although nothing of it is read."""
    read = {port.name for plan in plans for port in plan.cls.inputs}
    return [
        Problem(
            what="a forcing that no scheme of the case reads",
            name=f"forcing.{name}",
            remedy="take a scheme that reads it, for example " + " or ".join(readers(name)),
        )
        for name in forcings
        if name in FORCINGS and name not in read
    ]


def _no_state(plan: Plan, who: str, atmosphere: set[str]) -> list[Problem]:
    """What a scheme would change in an atmosphere that does not have it."""
    if not issubclass(plan.cls, Tendency):
        return []
    needed = dict.fromkeys(plan.cls.tendencies, "a tendency")
    needed |= {f.of: "a flux" for f in plan.cls.fluxes}
    problems = [
        Problem(
            what=f"{what} of a field that the atmosphere does not have",
            name=f"{of} of {who}",
            remedy="leave the process out, or take an atmosphere that has it",
        )
        for of, what in needed.items()
        if of not in atmosphere and of not in TRACERS  # a tracer that is read is missed already
    ]
    if plan.cls.fluxes and "phalf" not in atmosphere:
        problems.append(
            Problem(
                what="a flux through an atmosphere without pressure",
                name=f"{plan.cls.fluxes[0].name} of {who}",
                remedy="leave the process out, or take an atmosphere with levels",
            )
        )
    return problems


def _nobody(
    name: str, who: str, plans: Sequence[Plan], available: Mapping[str, str], failed: set[str]
) -> list[Problem]:
    have = [p for p in plans if name in (f.name for f in p.cls.diagnostics)]
    later = [f"{p.process}={p.label}" for p in have]
    half = [
        p.process for p in plans
        if p.partner and p.process in (q.process for q in have) and name not in available
    ]  # fmt: skip
    able = providers(name)
    if failed.intersection(s.split("=")[0] for s in able):
        return []
    if half:
        remedy = f"only one of the blended schemes of {half[0]} gives it: apply that one, or "
        remedy += "blend two that both do"
    elif later:
        remedy = f"{later[0]} provides it: put {later[0].split('=')[0]} before it in the case"
    elif name in TRACERS:
        remedy = f"add {name} to atmosphere.tracers"
    elif able:
        remedy = "add a component that provides it: " + " or ".join(able)
    else:
        remedy = f"add a component that provides it, or a file as boundary.{name}; "
        remedy += nearest(name, available)
    return [Problem(what="an input that nobody provides", name=f"{name} of {who}", remedy=remedy)]


def _other_units(name: str, cls: type[Model]) -> list[Problem]:
    """What a model wants in units of its own: only schemes have their inputs converted."""
    return [
        Problem(
            what="a model takes fields in the units of the table",
            name=f"{port.name} of {name}",
            expected=repr(port.field.units),
            found=repr(port.units),
            remedy="leave the units out and convert in the model",
        )
        for port in (*cls.receives, *cls.boundary)
        if not convertible(port.units, port.field.units)
        or conversion(port.units, port.field.units) != (1.0, 0.0)
    ]


def _boundaries(
    models: Mapping[str, type[Component]], boundary: Mapping[str, Iterable[str]]
) -> list[Problem]:
    problems = []
    for name, cls in models.items():
        if not issubclass(cls, Model):
            continue
        given = set(boundary.get(name, ()))
        for port in cls.boundary:
            if port.name not in given and not port.optional:
                problems.append(
                    Problem(
                        what="missing boundary field",
                        name=f"{port.name} of {name}",
                        remedy=f"add boundary.{port.name} with file and variable to the case",
                    )
                )
    return problems


def overridden(
    forcing: Mapping[str, Forcing],
    plans: Sequence[Plan],
    components: Mapping[tuple[str, str], Component],
) -> list[Problem]:
    """Settings of schemes, given in the case, whose place a file takes: said, not refused.

    A setting belongs to a forcing when it has its name, alone (``co2``) or before an underscore
    (``co2_growth``).
    """
    return [
        Problem(
            what="a setting that has no effect: the file of the forcing is taken instead",
            name=f"physics.{plan.process}.{setting}",
            expected=f"either this setting or forcing.{name}",
            found=f"{setting} = {getattr(component.p, setting)!r} and {choice.file}",
        )
        for name, choice in forcing.items()
        for plan in plans
        if any(port.name == name for port in plan.cls.inputs)
        for component in (components[plan.process, plan.label],)
        for setting in sorted(component.p.model_fields_set)
        if setting.partition("_")[0] == name
    ]


def rank_problems(parallel: Parallel, atmosphere: Model, scheme: str) -> list[Problem]:
    """More ranks than the atmosphere can be shared by."""
    most = getattr(atmosphere, "most_ranks", 1)
    if parallel.size <= most:
        return []
    expected = "one: this atmosphere cannot be shared"
    if most > 1:
        expected = f"at most {most}, one for each of its latitude pairs"
    return [
        Problem(
            what="more ranks than the atmosphere can be shared by",
            name=f"atmosphere={scheme}",
            expected=expected,
            found=f"{parallel.size} ranks",
            remedy="start fewer with mpiexec -n",
        )
    ]
