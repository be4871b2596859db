"""What an exchange and a scheme have to keep, and what happens where one does not.

This is ``budgets:`` of a case; see `coupler.driver.ledger` and `coupler.driver.promises`.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from coupler.interface.errors import BadValue
from coupler.interface.units import Unit

Corrector = Literal["clamp", "dry_air", "moisture", "energy"]
"""What may be put right in every step, in this order (`coupler.driver.correctors`)."""


def in_order(asked: list[Corrector]) -> list[Corrector]:
    """Correctors as a case names them, refused where they could not act as written."""
    order = get_args(Corrector)
    if asked != [name for name in order if name in asked]:
        raise BadValue(
            "correctors in an order in which they cannot act",
            expected=f"each once, in the order {', '.join(order)}",
            found=", ".join(asked),
        )
    return asked


class Contract(BaseModel):
    """Largest residuals of one quantity, and a policy."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    policy: Literal["warn", "fix", "raise"] = "warn"
    """``warn`` once; ``fix``: hand what is missing over at the next step of the model that lost it,
    and record how much; ``raise``: end the run. Schemes are not mended, see `correctors`: ``fix``
    warns of them."""


class WaterContract(Contract):
    """Water, relative to all water of the model."""

    tolerance: Annotated[float, Field(gt=0)] = 1e-7
    """[1]. In float64 1e-12 is kept; in float32 the fluxes' own rounding shows."""
    process_tolerance: Annotated[float, Unit("kg m-2 s-1"), Field(gt=0)] = 1e-9
    """Of a scheme that promises to conserve, mean over an output interval [kg m-2 s-1]."""


class EnergyContract(Contract):
    """Energy between air, sea, ice and land."""

    tolerance: Annotated[float, Unit("W m-2"), Field(gt=0)] = 0.01
    """Global mean over the exchange [W m-2]."""
    process_tolerance: Annotated[float, Unit("W m-2"), Field(gt=0)] = 0.01
    """Of a scheme that promises to conserve, mean over an output interval [W m-2]."""


class BudgetChoice(BaseModel):
    """Contracts that are held at every exchange, and by schemes in every output interval."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    water: WaterContract = WaterContract()
    energy: EnergyContract = EnergyContract()
