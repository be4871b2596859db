"""The published flux head (`emulators.networks.flux_head`) between a bundle's channels.

With this the released checkpoint becomes a bundle: ``isthmus bundle convert`` with a description
whose architecture is ``flux_head_published`` takes it strictly. Layers, padding (zeros beyond the
map) and static fields (sine of latitude, cosine and sine of longitude) are as published: inputs
``ta pfull ua va`` in this order, on the network's 64x128 columns and 122 levels; outputs are
potential temperature, which no flux is and which is left out, and the two fluxes on levels. Its
backbone contributes what the file's output scalers say; `emulators.networks.flux_head_v2` is the
one to train.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from emulators.networks.flux_head import WIDTHS, FluxHead, published_backbone
from emulators.networks.maps import MapConfig, MapNetwork
from emulators.networks.prithvi import PrithviConfig
from emulators.schema import BundleSpec, Data


class BackboneSize(Data):
    """Size of the backbone's transformers; the defaults are the published ones."""

    embed_dim: int = Field(default=2560, ge=4)
    n_heads: int = Field(default=16, ge=1)
    n_blocks_encoder: int = Field(default=12, ge=0)
    n_blocks_decoder: int = Field(default=2, ge=0)
    mask_unit_size_px: tuple[int, int] = (8, 16)
    """Pixels of a window along latitude and longitude."""


class PublishedHeadConfig(MapConfig):
    """Size of a `flux_head_published`; the defaults are the published ones."""

    poles: Literal["zero"] = "zero"
    on: Literal["interface", "level"] = "level"
    widths: tuple[int, ...] = Field(default=WIDTHS, min_length=1)
    """Channels of the blocks."""
    size: BackboneSize = BackboneSize()
    temperature: bool = True
    """Whether potential temperature on levels comes before the fluxes."""

    @model_validator(mode="after")
    def _backbone_fits(self) -> PublishedHeadConfig:
        self.prithvi()
        return self

    def prithvi(self) -> PrithviConfig:
        """The backbone's configuration."""
        own = {
            "in_channels": self.widths[-1],
            "n_lats_px": self.grid.nlat,
            "n_lons_px": self.grid.nlon,
            **self.size.model_dump(),
        }
        published = published_backbone(checkpoints=False).model_dump()
        return PrithviConfig.model_validate({**published, **own})


class PublishedHead(MapNetwork):
    """See the module."""

    Config = PublishedHeadConfig

    def __init__(self, spec: BundleSpec, config: PublishedHeadConfig) -> None:
        super().__init__(spec, config)
        self._no_fluxes = spec.levels.nlev if config.temperature else 0
        self.core: FluxHead = FluxHead(
            n_in=self.stack.size,
            n_out=self._no_fluxes + self.unstack.size,
            widths=config.widths,
            backbone=config.prithvi(),
        )
        grid = config.grid.grid()
        lat = torch.deg2rad(torch.tensor(grid.lat))[:, None].expand(grid.shape)
        lon = torch.deg2rad(torch.tensor(grid.lon))[None, :].expand(grid.shape)
        static = torch.stack((lat.sin(), lon.cos(), lon.sin())).float()
        self.register_buffer("static", static, persistent=False)

    def through_core(self, x: Tensor) -> Tensor:
        """Stacked fluxes of stacked channels, both shape [map, stacked channel, lat, lon]."""
        static = self.get_buffer("static")[None].expand(x.shape[0], -1, -1, -1)
        y: Tensor = self.core(x, static)
        return y[:, self._no_fluxes :]
