"""The time loop. One step of the coupled model, in the order in which things happen."""

from __future__ import annotations

from collections.abc import Callable

from coupler.driver.assemble import Assembly
from coupler.driver.spent import APPLIED, BUDGETS, CORRECTED, DYNAMICS, EXCHANGE, LOOP
from coupler.parallel.agreement import together


def step(model: Assembly) -> None:
    """One step of the coupled model.

    The atmosphere offers its columns, prescribed numbers take today's value; every scheme that is
    due acts on them; correctors put right what they did together; the dynamics takes one step with
    the sum of the tendencies; other models receive what they need, time-averaged and remapped, and
    take their own, longer step when it is complete.
    """
    atmosphere, suite, clock, spent = model.atmosphere, model.suite, model.clock, model.spent
    spent.to(DYNAMICS)
    atmosphere.columns()
    clock.now.dt = atmosphere.physics_dt()
    spent.to(APPLIED)
    for name, series in model.forcings.items():
        suite.pool[name].fill(series.at(clock.now.date))
    tendencies = together(model.rows.parallel, lambda: suite.run(clock.now))
    if model.correctors.asked:
        spent.to(CORRECTED)
        model.correctors.apply(clock.now, clock.step_length)
    spent.to(DYNAMICS)
    shape = suite.host.grid.shape
    atmosphere.advance({of: rate.reshape(-1, *shape) for of, rate in tendencies.items()})
    # Pressure and height follow the winds and temperatures before anyone averages them together;
    # the next step finds them made.
    atmosphere.columns()
    spent.to(EXCHANGE)
    for coupling in model.couplings.values():
        coupling.collect(clock.step_length)
    clock.tick()
    exchange(model)
    spent.to(LOOP)


def exchange(model: Assembly) -> None:
    """Models beside the atmosphere whose interval is complete take their steps, one by one."""
    now, ledger, spent = model.clock.now, model.ledger, model.spent
    before = spent.to(BUDGETS)
    ledger.collect(model.clock.step_length)
    spent.to(before)
    due = {name: c for name, c in model.couplings.items() if c.due(now)}
    if not due:
        return
    for name, coupling in due.items():
        with ledger.exchange(name):
            coupling.receive()
        coupling.step(now)
        for other in model.couplings.values():
            for link in other.between:
                if link.giver is coupling.model:
                    link.collect()
    before = spent.to(BUDGETS)
    ledger.close(due, now)
    spent.to(before)


def run(model: Assembly, steps: int, after_step: Callable[[Assembly], bool]) -> None:
    """`steps` steps; `after_step` watches, averages, writes, and says whether to go on."""
    for _ in range(steps):
        step(model)
        if not after_step(model):
            break
