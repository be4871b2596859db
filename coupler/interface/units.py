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
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

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


def parse_quantity(value: object, units: str) -> float:
    """`value` in `units`: a plain number is taken to be in `units`, ``"315 hPa"`` is converted.

    Raises:
        ValueError: with a sentence that says what was wrong.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expected a number in {units!r}, found {value!r}")
    if isinstance(value, int | float):
        return float(value)
    match = _NUMBER_UNIT.match(value)
    if match is None:
        raise ValueError(f"expected a number with a unit like {units!r}, found {value!r}")
    number, unit = float(match[1]), match[2]
    if not unit:
        return number
    if not is_unit(unit):
        raise ValueError(f"unknown unit {unit!r}; expected one convertible to {units!r}")
    if not convertible(unit, units):
        raise ValueError(f"wrong unit {unit!r}; expected one convertible to {units!r}")
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
            try:
                return parse_quantity(value, self.units)
            except ValueError as error:
                raise PydanticCustomError("quantity", "{error}", {"error": str(error)}) from error

        return core_schema.no_info_before_validator_function(parse, handler(source))
