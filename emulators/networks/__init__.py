"""Architectures by name. A new one is a module here and a line in `ARCHITECTURES`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from coupler.interface.errors import ContractError, DataError, Problem, nearest
from coupler.interface.grid import Grid
from emulators.schema import Architecture, BundleSpec

ARCHITECTURES = {
    "column_mlp": "emulators.networks.column_mlp:ColumnMLP",
    "column_conv": "emulators.networks.column_conv:ColumnConv",
    "stencil": "emulators.networks.stencil:Stencil",
    "attention_unet": "emulators.networks.attention_unet:UNet",
    "flux_head": "emulators.networks.flux_head_v2:FluxHeadNetwork",
    "flux_head_published": "emulators.networks.flux_head_published:PublishedHead",
    "forecast_head": "emulators.networks.forecast_head:ForecastHead",
    "plane_conv": "emulators.networks.plane_conv:PlaneConv",
    "ring": "emulators.networks.ring:Ring",
    "program": "emulators.networks.program:Program",
}
"""Name to ``module:class``, imported when needed."""


class Network(nn.Module, ABC):
    """From raw channels to interface fluxes, both in the units of the bundle's channels.

    Features and normalization are part of it, so there is one code path offline and online.
    """

    Config: type[BaseModel]
    tolerance: float = 1e-5
    """How closely a reference must be reproduced, relative to each output's scale: some ten float32
    round-offs through the layers, so that another processor passes, and another unit, level order
    or normalizer does not."""
    differentiable_in_inputs: ClassVar[bool] = False
    """Whether gradients go through it to its inputs. Those of features that are filled in place, in
    compiled loops or without gradients end there, silently or with an error of torch."""

    def __init__(self, spec: BundleSpec, config: Any) -> None:
        super().__init__()

    @property
    def columns_together(self) -> int:
        """How many columns make one sample; more than one for a network that sees whole maps.

        The last axis of its inputs is then a multiple of it, map after map.
        """
        return 1

    def host_problem(self, name: str, host: Grid) -> Problem | None:
        """Why this network, of the bundle `name`, cannot run on a host's grid; None if it can."""
        return None

    def load_backbone(self, path: Path) -> object:
        """Takes pretrained transformers from a checkpoint; returns an account of it.

        Raises:
            DataError: when they do not fit.
            ContractError: for a network that has none.
        """
        raise no_backbone(type(self))

    def read_weights(self, path: Path, format: str) -> None:
        """Takes its weights from a file of the bundle.

        Raises:
            DataError: when they do not fit.
        """
        try:
            self.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError) as error:
            raise DataError.of(
                "weights do not fit the architecture",
                str(path.parent),
                expected="the tensors of the architecture as bundle.yaml configures it",
                found=" ".join(str(error).split()),
            ) from error

    @abstractmethod
    def normalized(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Normalized fluxes of all outputs, shape [interface, outputs x column]: what is fitted."""

    @abstractmethod
    def forward(
        self, inputs: Mapping[str, Tensor], out: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Fluxes by output name, shape [interface, column], written to `out` where given."""


def no_backbone(cls: type[Network]) -> ContractError:
    """What is wrong with a checkpoint for a network that has nothing of its kind."""
    return ContractError(
        Problem(
            what="a pretrained backbone for a network without one",
            name=cls.__name__,
            expected="an architecture with a backbone: flux_head or forecast_head",
            remedy="leave `pretrained` out",
        )
    )


def build(spec: BundleSpec) -> Network:
    """The network that a bundle describes, with fresh weights.

    Raises:
        ContractError: for an unknown architecture, a configuration it does not know, or channels
            that it cannot use.
    """
    cls, config = configured(spec.architecture, spec.name)
    return cls(spec, config)


def configured(architecture: Architecture, bundle: str) -> tuple[type[Network], BaseModel]:
    """The class of an architecture and its configuration, for a bundle of this name.

    Raises:
        ContractError: for an unknown architecture, or a configuration it does not know.
    """
    name = architecture.name
    if name not in ARCHITECTURES:
        raise ContractError.of(
            "unknown architecture of a bundle",
            f"{bundle}: {name}",
            remedy=nearest(name, ARCHITECTURES),
        )
    module, _, cls_name = ARCHITECTURES[name].partition(":")
    cls: type[Network] = getattr(import_module(module), cls_name)
    try:
        return cls, cls.Config.model_validate(architecture.config)
    except ValidationError as error:
        raise ContractError(
            *(
                Problem(
                    what="wrong configuration of an architecture",
                    name=f"{bundle}: {name}." + ".".join(map(str, e["loc"])),
                    found=e["msg"],
                )
                for e in error.errors()
            )
        ) from error
