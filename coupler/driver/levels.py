"""Do the atmosphere's levels and its grid suit the schemes of a case?"""

from __future__ import annotations

from collections.abc import Mapping

from coupler.interface.component import ColumnModel, Component, Model, Tendency
from coupler.interface.errors import Problem


def level_problems(
    components: Mapping[tuple[str, str], Component], atmosphere: Model
) -> list[Problem]:
    """Levels or a grid other than an emulator was made for, and a top that a scheme cannot have.

    Args:
        components: by process and label.
        atmosphere: the host; one without columns has nothing to suit.
    """
    problems: list[Problem] = []
    if not isinstance(atmosphere, ColumnModel):
        return problems
    for (process, label), component in components.items():
        if isinstance(component, Tendency):
            problems += _top(f"{process}={label}", component, atmosphere)
        ask = getattr(component, "host_problems", None)
        if ask is not None and getattr(component.p, "levels", "refuse") == "refuse":
            problems += ask(atmosphere.levels)
        ask = getattr(component, "grid_problems", None)
        if ask is not None:
            problems += ask(atmosphere.grid)
    return problems


def _top(who: str, component: Tendency, atmosphere: ColumnModel) -> list[Problem]:
    top = atmosphere.levels.a[0] + atmosphere.levels.b[0]
    if not component.needs.closed_top or top > 0.0:
        return []
    return [
        Problem(
            what="a top at zero pressure",
            name=who,
            expected="a pressure above 0 at the uppermost interface, which this scheme needs",
            found=f"0 Pa with atmosphere.levels = {atmosphere.levels.name}",
            remedy="list the interfaces as atmosphere.levels: {a: [.. Pa], b: [..]}",
        )
    ]
