"""Units, by the UDUNITS library (cf-units): conversion factors once, at set-up.

Per call nothing here is used: a binding either shares memory (same unit) or applies the
precomputed ``y = factor x + offset``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from coupler.interface.errors import BadValue

_NUMBER_UNIT = re.compile(r"^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*$")


@cache
def _unit(text: str) -> Any:
    from cf_units import Unit as CfUnit

    return CfUnit(text)


def is_unit(text: str) -> bool:
    """Whether UDUNITS understands `text`."""
    try:
        _unit(text)
    except ValueError:
        return False
    return True


def convertible(source: str, target: str) -> bool:
    """Whether a number in `source` units means something in `target` units."""
    return source == target or bool(
        is_unit(source) and is_unit(target) and _unit(source).is_convertible(_unit(target))
    )


@cache
def conversion(source: str, target: str) -> tuple[float, float]:
    """``(factor, offset)`` with ``x[target] = factor x[source] + offset``.

    Raises:
        ValueError: when the units measure different things.
    """
    if source == target:
        return 1.0, 0.0
    if not convertible(source, target):
        raise ValueError(f"cannot convert {source!r} to {target!r}")
    offset = float(_unit(source).convert(0.0, _unit(target)))
    factor = float(_unit(source).convert(1.0, _unit(target))) - offset
    return factor, offset


def parse_quantity(value: object, units: str) -> float | int:
    """`value` in `units`: a plain number is taken to be in `units`, ``"315 hPa"`` is converted.

    Raises:
        BadValue: saying what was wrong.
    """
    like = f"a number [{units}], or text with a number and a unit convertible to {units!r}"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadValue("not a number", expected=like, found=repr(value))
    if isinstance(value, int | float):
        return value  # pydantic makes a float of it, or says why not
    match = _NUMBER_UNIT.match(value)
    if match is None:
        raise BadValue("not a number", expected=like, found=repr(value))
    number, unit = float(match[1]), match[2]
    if not unit:
        return number
    if not convertible(unit, units):
        raise BadValue(
            "wrong unit" if is_unit(unit) else "unknown unit",
            expected=f"a unit convertible to {units!r}",
            found=repr(value),
        )
    factor, offset = conversion(unit, units)
    return number * factor + offset


@dataclass(frozen=True)
class Unit:
    """Annotation of a number in a configuration: ``p_src: Annotated[float, Unit("Pa")]``.

    A plain number is in that unit; a text such as ``"315 hPa"`` is converted to it.
    """

    units: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def parse(value: object) -> object:
            if value is None:
                return None
            return parse_quantity(value, self.units)

        return core_schema.no_info_before_validator_function(parse, handler(source))
