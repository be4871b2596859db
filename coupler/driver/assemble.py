"""From a case to models, schemes and couplings that are ready to step.

The only module (with `discovery`) that names components, by string and lazily. `check` finds all
that is wrong with a case without a step and without writing; `assemble` builds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import cftime
import numpy as np
from pydantic import ValidationError

from coupler.config import (
    Case,
    ModelChoice,
    Ramp,
    SchemeChoice,
    problems_of,
    validate,
)
from coupler.driver.bound import Bound
from coupler.driver.clock import Clock, parse_date, steps_of
from coupler.driver.connect import connect, refuse_gaps, shown_by
from coupler.driver.correctors import Correctors
from coupler.driver.correctors import problems as corrector_problems
from coupler.driver.crashes import not_made
from coupler.driver.discovery import bundle_path, discover, find_scheme
from coupler.driver.given import Boundary, Start, initial_state_of, read_files, read_on_first
from coupler.driver.ledger import Ledger
from coupler.driver.levels import level_problems
from coupler.driver.links import Coupling
from coupler.driver.negotiate import STATIC, Plan, negotiate, overridden, rank_problems, unread
from coupler.driver.outputs import unknown_outputs
from coupler.driver.places import Elsewhere, place_of, place_problems
from coupler.driver.spent import Spent
from coupler.driver.suite import Process, Suite, flat
from coupler.input.forcing import Series, read_forcings
from coupler.interface.component import (
    Array,
    ColumnModel,
    Component,
    Diagnostic,
    Host,
    Model,
    Site,
    Tendency,
)
from coupler.interface.constants import Planet
from coupler.interface.errors import ConfigError, CouplerError, Problem, nearest
from coupler.interface.grid import Grid
from coupler.interface.parallel import ALONE, Parallel, Rows
from coupler.parallel.agreement import from_first, together
from coupler.where import BESIDE


@dataclass(kw_only=True)
class Assembly:
    """A case that is ready to run."""

    case: Case
    clock: Clock
    atmosphere: ColumnModel
    suite: Suite
    couplings: dict[str, Coupling]
    ledger: Ledger
    """Budgets of what they exchange."""
    correctors: Correctors
    """What is put right in every step."""
    rows: Rows
    """Latitudes of the atmosphere that this rank holds."""
    steps_per_day: float
    elsewhere: Elsewhere
    """What runs in other processes."""
    spent: Spent
    """Where the time goes."""
    forcings: Mapping[str, Series] = field(default_factory=dict)
    """What the case prescribes in time, by field."""
    advice: Sequence[Problem] = ()
    """What a user should hear although nothing is wrong."""


@dataclass(kw_only=True)
class _Draft:
    """A case on its way: what could be resolved, and what is wrong so far."""

    case: Case
    base: Path
    parallel: Parallel
    problems: list[Problem] = field(default_factory=list)
    planet: Planet = field(default_factory=Planet)
    start: cftime.datetime | None = None
    models: dict[str, Model] = field(default_factory=dict)
    plans: list[Plan] = field(default_factory=list)
    components: dict[tuple[str, str], Tendency | Diagnostic] = field(default_factory=dict)
    boundary: Boundary = field(default_factory=dict)
    forcings: dict[str, Series] = field(default_factory=dict)
    start_from: Start | None = None
    """What makes the initial state from the case's file."""
    failed: list[str] = field(default_factory=list)
    """Processes and models that could not be built."""
    said: list[Problem] = field(default_factory=list)
    """What a user should hear about the start."""
    of_files: list[Problem] = field(default_factory=list)
    """The same about boundary and forcing."""

    def build(self, process: str, choice: ModelChoice, *, weights: bool = True) -> Component | None:
        """The component of a choice, or None with the problem noted."""
        try:
            cls = find_scheme(process, choice.scheme, self.base, choice.parameters, weights=weights)
            return cls(cls.Parameters.model_validate(choice.parameters))
        except ValidationError as error:
            for p in problems_of(error, cls.Parameters, (process,)):
                if p.what == "unknown key":
                    keys = [*cls.Parameters.model_fields, *_choice_keys(choice)]
                    p = replace(p, remedy=nearest(p.name.rsplit(".", 1)[-1], keys))
                self.problems.append(p)
        except CouplerError as error:
            self.problems += error.problems
        except Exception as error:  # of a class that does not keep the contract
            self.problems.append(not_made(f"{process}={choice.scheme}", error))
        self.failed.append(process)
        return None


def _choice_keys(choice: ModelChoice) -> list[str]:
    return [k for k in type(choice).model_fields if k != "parameters"]


def check(raw: Mapping[str, Any], base: Path) -> list[Problem]:
    """Everything that can be wrong with a case, found without building or writing anything."""
    case, problems = validate(raw)
    return problems if case is None else problems + _draft(case, base, ()).problems


def assemble(
    raw: Mapping[str, Any],
    base: Path,
    problems: list[Problem] | None = None,
    record: Sequence[str] = (),
    parallel: Parallel = ALONE,
) -> Assembly:
    """Builds the models, schemes and couplings of a case.

    Args:
        raw: the case as read, with its changes.
        base: folder that relative file names are relative to.
        problems: what is already known to be wrong.
        record: processes whose scheme is to be recorded.
        parallel: the ranks that run it.

    Raises:
        ConfigError: with everything that is wrong.
    """
    case, found = validate(raw)
    problems = [*(problems or []), *found]
    if case is None:
        raise ConfigError(*problems)
    draft = _draft(case, base, record, parallel)
    problems += draft.problems
    if problems:
        raise ConfigError(*problems)
    elsewhere = Elsewhere(case, base, parallel)
    with elsewhere.closed_on_failure():
        return _bind(draft, elsewhere)


def _draft(case: Case, base: Path, record: Sequence[str], parallel: Parallel = ALONE) -> _Draft:
    draft = _Draft(case=case, base=base, parallel=parallel)
    draft.problems += discover(case.plugins, base)
    _planet_and_start(draft)
    for name in ("atmosphere", *BESIDE):
        choice = getattr(case, name)
        if choice is not None:
            model = draft.build(name, choice)
            if isinstance(model, Model):
                draft.models[name] = model
            if isinstance(model, ColumnModel):
                model.place(draft.planet)
    for process, choice in case.physics.items():
        _plan(draft, process, choice)
    own = {p.process: draft.components[p.process, p.label] for p in reversed(draft.plans)}
    draft.problems += place_problems(case, own, record, parallel)
    asked = [n for n in ("atmosphere", *BESIDE) if getattr(case, n) is not None]
    complete = len(draft.models) == len(asked)
    draft.start_from = initial_state_of(
        case, base, draft.planet, draft.models.get("atmosphere"), draft.said
    )
    how = case, base, draft.models, complete, draft.start_from, draft.of_files
    draft.boundary, found = from_first(parallel, lambda: read_files(*how))
    draft.problems += found
    end = None if draft.start is None else draft.start + timedelta(days=case.days)
    draft.forcings, found = from_first(
        parallel, lambda: read_forcings(case.forcing, base, draft.start, end)
    )
    draft.problems += found
    draft.problems += unread(case.forcing, draft.plans)
    draft.of_files += overridden(case.forcing, draft.plans, draft.components)
    draft.problems += unknown_outputs(case, draft.models, draft.plans, draft.failed)
    atmosphere = draft.models.get("atmosphere")
    if atmosphere is None:
        return draft
    offered = [f.name for f in atmosphere.provides]
    offered += atmosphere.tracers if isinstance(atmosphere, ColumnModel) else ()
    offered += case.forcing
    others = {n: type(m) for n, m in draft.models.items() if n != "atmosphere"}
    draft.problems += negotiate(
        draft.plans,
        offered,
        others,
        {n: b.keys() for n, b in draft.boundary.items()},
        draft.failed,
        [n for n in STATIC if n not in ("lat", "lon") or not atmosphere.grid.is_plane],
    )
    draft.problems += level_problems(draft.components, atmosphere)
    if (run := case.days * 86400.0) < 0.5 * atmosphere.dt:
        what, step = "run shorter than a step", f"the atmosphere's step of {atmosphere.dt:g} s"
        length = {"expected": f"at least {step}", "found": f"{run:g} s"}
        draft.problems.append(Problem(what=what, name="days", **length))
    draft.problems += rank_problems(parallel, atmosphere, case.atmosphere.scheme)
    given = {
        d.name: _interval(draft, plan)
        for plan in draft.plans
        if plan.plain
        for d in draft.components[plan.process, plan.label].diagnostics
    }
    draft.problems += corrector_problems(case.correctors, offered, given, atmosphere.dt)
    for name, seconds in _intervals(draft):
        draft.problems += steps_of(seconds, atmosphere.dt, name)[1]
    return draft


def _planet_and_start(draft: _Draft) -> None:
    known = list(Planet.__dataclass_fields__)
    for name in draft.case.planet:
        if name not in known:
            draft.problems.append(
                Problem(what="unknown key", name=f"planet.{name}", remedy=nearest(name, known))
            )
        elif not draft.case.planet[name] > 0.0 and name != "rotation_rate":
            draft.problems.append(
                Problem(
                    what="bad value",
                    name=f"planet.{name}",
                    expected="greater than 0",
                    found=f"{draft.case.planet[name]:g}",
                )
            )
    possible = {k: v for k, v in draft.case.planet.items() if v > 0.0 or k == "rotation_rate"}
    draft.planet = Planet(**{k: v for k, v in possible.items() if k in known})
    try:
        draft.start = parse_date(draft.case.start, draft.case.calendar)
    except ValueError:
        draft.problems.append(
            Problem(
                what="no such date",
                name="start",
                expected=f"a date of the calendar {draft.case.calendar!r}",
                found=draft.case.start,
            )
        )


def _plan(draft: _Draft, process: str, choice: SchemeChoice) -> None:
    """Resolves the one or two schemes of a process."""
    if choice.mode == "off":
        return
    if choice.mode in ("blend", "shadow") and choice.reference is None:
        draft.problems.append(
            Problem(
                what=f"{choice.mode} needs a reference",
                name=process,
                remedy=f"add --swap {process}=SCHEME or a reference to the case",
            )
        )
    acts = choice.mode == "apply"
    away = place_of(draft.case, process) is not None
    own = _add_plan(draft, process, choice, plain=acts, called=True, weights=not away)
    partner = type(own) if own is not None and choice.mode == "blend" else None
    if choice.top is not None and isinstance(own, Tendency) and not own.fluxes:
        draft.problems.append(
            Problem(
                what="a policy at the top for a scheme without fluxes",
                name=f"{process}.top",
                expected="a scheme that returns interface fluxes",
                found=f"{process}={choice.scheme}",
                remedy="leave it out",
            )
        )
    if choice.reference is not None:
        other = _add_plan(
            draft, process, choice.reference, plain=not acts, called=not acts, partner=partner
        )
        if own is not None and hasattr(own, "fallback"):
            own.fallback = other
    for name, other_choice in choice.beside.items():
        _add_plan(draft, process, other_choice, plain=False, called=True, label=name)


def _add_plan(
    draft: _Draft,
    process: str,
    choice: ModelChoice,
    *,
    plain: bool,
    called: bool,
    weights: bool = True,
    label: str = "",
    partner: type[Component] | None = None,
) -> Component | None:
    component = draft.build(process, choice, weights=weights)
    if component is None:
        return None
    if not isinstance(component, Tendency | Diagnostic):
        draft.problems.append(
            Problem(
                what="not a parameterization",
                name=f"{process}={choice.scheme}",
                remedy="name it under the model's own key instead of physics",
            )
        )
        return None
    if label and (process, label) in draft.components:
        where = f"{process}.beside.{label}"
        remedy = "choose another: a scheme of the process has it already"
        draft.problems.append(Problem(what="a name for two schemes", name=where, remedy=remedy))
    label = label or _label(choice.scheme, draft.base)
    if (process, label) in draft.components:
        label += "_reference"
    draft.components[process, label] = component
    cls = type(component)
    draft.plans.append(
        Plan(process=process, label=label, cls=cls, plain=plain, called=called, partner=partner)
    )
    return component


def _label(scheme: str, base: Path) -> str:
    folder = None if ".py:" in scheme else bundle_path(scheme, base)
    return folder.name if folder else scheme.rpartition(":")[2]


def _intervals(draft: _Draft) -> list[tuple[str, float]]:
    case = draft.case
    found = [
        ("output.interval", case.output.interval * 86400.0),
        ("restart.interval", case.restart.interval * 86400.0),
    ]
    found += [(f"{n}.dt", m.dt) for n, m in draft.models.items() if n != "atmosphere"]
    for plan in draft.plans:
        seconds = _interval(draft, plan) if plan.called else None
        if seconds is not None:
            found.append((f"{plan.process}.interval", seconds))
    return list(dict.fromkeys(found))


def _interval(draft: _Draft, plan: Plan) -> float | None:
    chosen = draft.case.physics[plan.process].interval
    if chosen is None and issubclass(plan.cls, Tendency):
        own, atmosphere = plan.cls.interval, draft.models.get("atmosphere")
        # Its own interval says how rarely a scheme may be called: a longer step calls it each time.
        return None if own and atmosphere and own < atmosphere.dt else own
    return chosen


def _bind(draft: _Draft, elsewhere: Elsewhere) -> Assembly:
    case = draft.case
    dtype = np.dtype(case.precision)
    atmosphere = draft.models["atmosphere"]
    if not isinstance(atmosphere, ColumnModel) or draft.start is None:
        raise ConfigError.of(
            "cannot host parameterizations", f"atmosphere={case.atmosphere.scheme}"
        )
    start = read_on_first(draft.parallel, draft.start_from)
    others = {n: elsewhere.model(n, m) for n, m in draft.models.items() if n != "atmosphere"}
    for name, model in {"atmosphere": atmosphere, **others}.items():
        model.setup(
            Site(
                planet=draft.planet,
                dtype=dtype,
                seed=case.seed,
                boundary=draft.boundary.get(name, {}),
                date=draft.start,
                initial=start if name == "atmosphere" else None,
                parallel=draft.parallel,
            )
        )
    clock = Clock(draft.start, atmosphere.dt)
    columns = atmosphere.columns()
    rows = Rows(parallel=draft.parallel, nlat=atmosphere.grid.lat.size)
    given = draft.boundary.get("atmosphere", {}).items()
    own = {n: a[rows.own] for n, a in given if a.shape == atmosphere.grid.shape}
    host = Host(
        grid=atmosphere.grid.part(rows.own),
        globe=atmosphere.grid,
        rows=rows,
        levels=atmosphere.levels,
        planet=draft.planet,
        dtype=dtype,
        seed=case.seed,
        static=_static(atmosphere.grid.part(rows.own), columns, own, dtype),
    )
    spent = Spent()
    suite = Suite(host, columns, spent)
    shown = shown_by(others, [plan.cls for plan in draft.plans])
    for names in shown.values():
        for name in names:
            suite.pool.setdefault(name, host.empty("column"))
    for name, series in draft.forcings.items():
        suite.pool[name] = host.empty("column")
        suite.pool[name].fill(series.at(clock.now.date))
    dt = atmosphere.dt
    together(draft.parallel, lambda: _bind_schemes(draft, suite, host, dt, elsewhere))
    elsewhere.complete()
    accounts = {name: f"{name}={getattr(case, name).scheme}" for name in others}
    couplings = connect(others, atmosphere, rows, suite.pool, shown, accounts, spent)
    refuse_gaps(suite.pool, host)
    return Assembly(
        case=case,
        clock=clock,
        atmosphere=atmosphere,
        suite=suite,
        couplings=couplings,
        ledger=Ledger(couplings, atmosphere, suite.pool, rows, case.budgets),
        correctors=Correctors(case.correctors, suite),
        rows=rows,
        steps_per_day=86400.0 / atmosphere.dt,
        advice=[
            *(a for model in draft.models.values() for a in model.advice()),
            *draft.said,
            *draft.of_files,
        ],
        elsewhere=elsewhere,
        spent=spent,
        forcings=draft.forcings,
    )


def _static(
    grid: Grid, columns: Mapping[str, Array], boundary: Mapping[str, Array], dtype: np.dtype[Any]
) -> dict[str, Array]:
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    fields = {
        "sftlf": np.zeros(grid.shape),
        **boundary,
        **({} if grid.is_plane else {"lat": lat, "lon": lon}),
        "orog": columns.get("orog", np.zeros(grid.shape)),
    }
    return {n: flat(np.ascontiguousarray(a, dtype=dtype)) for n, a in fields.items()}


def _bind_schemes(draft: _Draft, suite: Suite, host: Host, dt: float, elsewhere: Elsewhere) -> None:
    by_process: dict[str, list[Plan]] = {}
    for plan in draft.plans:
        if plan.called:
            by_process.setdefault(plan.process, []).append(plan)
    for process, plans in by_process.items():
        choice = draft.case.physics[process]
        bounds: list[Bound] = []
        weights: list[float | Ramp] = []
        for plan in plans:
            component = draft.components[process, plan.label]
            if plan is plans[0] and isinstance(component, Tendency):
                component = elsewhere.place(
                    component,
                    process,
                    levels=host.levels,
                    available=suite.pool,
                    reference=draft.build(process, choice.reference) if choice.reference else None,
                )
            component.setup(host)
            seconds = _interval(draft, plan)
            every = steps_of(seconds, dt, process)[0] if seconds else 1
            span = every * dt if every > 1 else 0.0
            bound = Bound(component, plan.label, every, suite.pool, host, span=span, top=choice.top)
            bounds.append(bound)
            if plan.plain and choice.mode != "blend":
                suite.pool.update(bound.diag.items())
            if plan.label in choice.beside:
                weights.append(0.0)
            elif choice.mode == "blend":
                weight = choice.weight
                weights.append(_complement(weight) if weights else weight)
            else:
                weights.append(1.0 if plan.plain else 0.0)
        made = Process(name=process, schemes=bounds, weights=weights)
        if choice.mode == "blend":
            suite.pool.update(made.blend())
        suite.add(made)


def _complement(weight: float | Ramp) -> float | Ramp:
    if isinstance(weight, Ramp):
        return weight.model_copy(update={"start": 1.0 - weight.start, "end": 1.0 - weight.end})
    return 1.0 - weight
