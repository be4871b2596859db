"""Which files a case takes its boundary fields and its initial state from."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Source(_Section):
    """Where a boundary field comes from."""

    file: str
    variable: str
    units: str | None = None
    """Unit of the values, where the file does not say or is wrong."""
    statistic: Literal["mean", "deviation"] = "mean"
    """Of the file's values within a cell of the model: their mean, or the standard deviation of
    what the model's grid does not resolve (the sub-grid orography of gravity-wave drag)."""


class InitialState(_Section):
    """Atmosphere from a file on pressure levels instead of an analytic state."""

    file: str
    time: int = 0
    variables: dict[str, str] = {}
    """Names in the file by ours (ua va ta hus hur phi zg ps orog), where they are not found."""
    units: dict[str, str] = {}
    """Units by our names, where the file is wrong or says none."""
    ground: Literal["check", "adjust"] = "check"
    """``check`` refuses a model whose ground is another planet's than the file's; ``adjust`` takes
    any, and moves the surface pressure hydrostatically."""
