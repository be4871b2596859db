"""Levels of the spectral atmosphere as a case names them or lists their interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from coupler.interface.errors import BadValue, ConfigError
from coupler.interface.grid import HybridLevels

_EXPECTED = (
    "a name such as 'hybrid30', or interfaces from the top to the ground: {sigma: [0, .., 1]}, or "
    "{a: [.. Pa, .., 0], b: [0, .., 1]}"
)


def hybrid_levels(value: object) -> HybridLevels:
    """The levels of a case's entry.

    Args:
        value: a name, see `HybridLevels.named`, or interfaces ``p = a + b ps``, top first:
            ``{"a": [Pa], "b": [1]}``, or ``{"sigma": [1]}`` for a = 0.

    Raises:
        BadValue: for what is no set of levels, with the reason.
    """
    try:
        if isinstance(value, str):
            return HybridLevels.named(value)
        b, a = _interfaces(value)
        levels = HybridLevels(a=a, b=b, name="custom")
    except ConfigError as error:
        (problem,) = error.problems
        raise BadValue(
            problem.what, expected=problem.expected, found=problem.found or repr(value)
        ) from error
    if b[0] != 0.0 or b[-1] != 1.0 or a[0] < 0.0:
        raise BadValue(
            "levels of a part of the atmosphere",
            expected="b = 0 and a of 0 or more at the top, b = 1 and a = 0 at the ground",
            found=f"a from {a[0]:g} to {a[-1]:g} Pa, b from {b[0]:g} to {b[-1]:g}",
        )
    if np.any(np.diff(b) < 0.0):
        raise BadValue(
            "b of the levels falls downward",
            expected="values that do not fall from the top to the ground",
            found=f"{b.tolist()}",
        )
    return levels


def _interfaces(value: object) -> tuple[Any, Any]:
    """b [1] and a [Pa] of a mapping."""
    given = dict(value) if isinstance(value, Mapping) else {}
    if set(given) not in ({"sigma"}, {"a", "b"}):
        raise BadValue("no set of levels", expected=_EXPECTED, found=repr(value))
    try:
        lists = {name: np.array(x, np.float64) for name, x in given.items()}
    except (TypeError, ValueError):
        lists = {"b": np.zeros((0, 0))}
    if any(x.ndim != 1 or x.size < 3 or not np.isfinite(x).all() for x in lists.values()):
        raise BadValue("no set of levels", expected=_EXPECTED, found=repr(value))
    if "sigma" in lists:
        return lists["sigma"], np.zeros_like(lists["sigma"])
    return lists["b"], lists["a"]


def _checked(value: object) -> object:
    hybrid_levels(value)
    return value


Levels = Annotated[str | dict[str, list[float]], BeforeValidator(_checked)]
"""A name, or interfaces by list."""
