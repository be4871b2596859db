"""Architectures by name. A new one is a module here and a line in `ARCHITECTURES`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from coupler.interface.errors import ContractError, Problem, nearest
from emulators.schema import BundleSpec

ARCHITECTURES = {
    "column_mlp": "emulators.networks.column_mlp:ColumnMLP",
    "column_conv": "emulators.networks.column_conv:ColumnConv",
}
"""Name to ``module:class``, imported when needed."""


class Network(nn.Module, ABC):
    """From raw channels to interface fluxes, both in the units of the bundle's channels.

    Features and normalization are part of it, so there is one code path offline and online.
    """

    Config: type[BaseModel]

    def __init__(self, spec: BundleSpec, config: Any) -> None:
        super().__init__()

    @abstractmethod
    def normalized(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Normalized fluxes of all outputs, shape [interface, outputs x column]: what is fitted."""

    @abstractmethod
    def forward(
        self, inputs: Mapping[str, Tensor], out: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Fluxes by output name, shape [interface, column], written to `out` where given."""


def build(spec: BundleSpec) -> Network:
    """The network that a bundle describes, with fresh weights.

    Raises:
        ContractError: for an unknown architecture, a configuration it does not know, or channels
            that it cannot use.
    """
    name = spec.architecture.name
    if name not in ARCHITECTURES:
        raise ContractError.of(
            "unknown architecture of a bundle",
            f"{spec.name}: {name}",
            remedy=nearest(name, ARCHITECTURES),
        )
    module, _, cls_name = ARCHITECTURES[name].partition(":")
    cls: type[Network] = getattr(import_module(module), cls_name)
    try:
        config = cls.Config.model_validate(spec.architecture.config)
    except ValidationError as error:
        raise ContractError(
            *(
                Problem(
                    what="wrong configuration of an architecture",
                    name=f"{spec.name}: {name}." + ".".join(map(str, e["loc"])),
                    found=e["msg"],
                )
                for e in error.errors()
            )
        ) from error
    return cls(spec, config)
