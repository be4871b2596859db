"""The flux head, version 2: a backbone that contributes, and a switch that proves it.

As the published head (`emulators.networks.flux_head`), with what made its backbone idle undone:

- the backbone's output scalers are 1, and its patch embeddings, for which there are no pretrained
  weights of this shape, and its unembedding are trained; the transformers between stay frozen;
- convolutions are on a sphere, and group normalization stands where the batch normalization would
  suffer from the one map of the loop;
- the static fields are sine of latitude, cosine and sine of longitude, and any of the bundle's
  columns, such as surface height and its variance;
- nothing is masked, and nothing is random in evaluation;
- it returns interface fluxes, nothing else.

The ablation is a switch, `backbone`: ``pretrained`` (transformers loaded from a checkpoint and
frozen; it refuses to run before they are), ``random`` (frozen as they were drawn), ``zero`` (the
decoder gets zeros from below), ``identity`` (patches are embedded and unfolded with no transformer
between).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from coupler.interface.errors import ContractError
from emulators.networks.attention_unet import double_conv
from emulators.networks.maps import MapConfig, MapGrid, MapNetwork, is_angle
from emulators.networks.pretrained import Taken, read_checkpoint, take
from emulators.networks.prithvi import PrithviConfig, PrithviWxC
from emulators.networks.sphere import Poles, SphereConv2d
from emulators.schema import BundleSpec, Data

Backbone = Literal["pretrained", "random", "zero", "identity"]
TRAINED = ("patch_embedding.", "patch_embedding_static.", "unembed.")
"""Parts of the backbone that are not frozen."""


class BackboneSize(Data):
    """Size of the backbone's transformers; the published one is 2560 wide, 12 and 2 deep."""

    embed_dim: int = Field(default=64, ge=4)
    n_heads: int = Field(default=4, ge=1)
    n_blocks_encoder: int = Field(default=2, ge=0)
    n_blocks_decoder: int = Field(default=1, ge=0)
    mlp_multiplier: int = Field(default=4, ge=1)
    patch: int = Field(default=2, ge=1)
    mask_unit: tuple[int, int] = (8, 16)
    """Pixels of a window along latitude and longitude."""
    drop_path: float = Field(default=0.05, ge=0.0, lt=1.0)
    checkpoint: bool = False
    """Whether activations of the transformers are computed again in the backward pass."""

    def on(self, grid: MapGrid, **settings: Any) -> PrithviConfig:
        """A backbone of this size on a grid, with the other settings of its configuration."""
        each = range(2 * self.n_blocks_encoder + 1) if self.checkpoint else ()
        return PrithviConfig(
            n_lats_px=grid.nlat,
            n_lons_px=grid.nlon,
            patch_size_px=(self.patch, self.patch),
            mask_unit_size_px=self.mask_unit,
            embed_dim=self.embed_dim,
            n_blocks_encoder=self.n_blocks_encoder,
            n_blocks_decoder=self.n_blocks_decoder,
            mlp_multiplier=self.mlp_multiplier,
            n_heads=self.n_heads,
            drop_path=self.drop_path,
            encoder_shifting=False,
            decoder_shifting=False,
            checkpoint_encoder=tuple(each),
            **settings,
        )


class FluxHeadConfig(MapConfig):
    """Size of a `flux_head`."""

    widths: tuple[int, ...] = Field(default=(24, 48), min_length=1)
    """Channels of the blocks; published: 160, 320, 640, 1280."""
    backbone: Backbone = "pretrained"
    size: BackboneSize = BackboneSize()
    static: tuple[str, ...] = ()
    """Input channels without levels that the backbone gets as static fields, with the position."""

    @model_validator(mode="after")
    def _backbone_fits(self) -> FluxHeadConfig:
        self.prithvi()
        return self

    def prithvi(self) -> PrithviConfig:
        """The backbone's configuration."""
        return self.size.on(
            self.grid,
            in_channels=self.widths[-1],
            input_size_time=1,
            in_channels_static=3 + len(self.static),
            residual="none",
            positional_encoding="absolute",
        )


class FluxHeadV2(nn.Module):
    """See the module."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        widths: tuple[int, ...],
        prithvi: PrithviConfig,
        backbone: Backbone = "pretrained",
        poles: Poles = "rotate",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.encoder = nn.ModuleList(
            double_conv(a, b, poles=poles, norm="group")
            for a, b in zip((n_in, *widths[:-1]), widths, strict=True)
        )
        below = (widths[-1], *reversed(widths))
        self.decoder = nn.ModuleList(
            double_conv(b + w, w, poles=poles, norm="group")
            for b, w in zip(below, reversed(widths), strict=False)
        )
        self.final_conv = nn.Conv2d(widths[0], n_out, 1)
        self.model = PrithviWxC(prithvi)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name.startswith(TRAINED) and backbone != "zero")
        # Part of the state: a bundle that says `pretrained` has to have been.
        self.register_buffer("has_pretrained", torch.zeros((), dtype=torch.bool))

    @property
    def first(self) -> SphereConv2d:
        """The convolution that sees the input."""
        conv = self.encoder[0][0]  # type: ignore[index]
        assert isinstance(conv, SphereConv2d)
        return conv

    def through(self, x: Tensor, static: Tensor) -> Tensor:
        """What the decoder gets from the backbone, shape [B, last width, lat, lon]."""
        if self.backbone == "zero":
            return torch.zeros_like(x)
        if self.backbone == "identity":
            return self.model(x[:, None], static, transform=False)  # type: ignore[no-any-return]
        if self.backbone == "pretrained" and not self._loaded():
            raise ContractError.of(
                "a pretrained backbone without pretrained weights",
                "flux_head.backbone",
                expected="weights from a checkpoint",
                found="freshly drawn ones",
                remedy="call load_backbone first, or set backbone: random",
            )
        y: Tensor = self.model(x[:, None], static)
        return y

    def _loaded(self) -> bool:
        flag = self.get_buffer("has_pretrained")
        return flag.is_meta or bool(flag)

    def forward(self, x: Tensor, static: Tensor) -> Tensor:
        """Normalized fluxes.

        Args:
            x: shape [B, n_in, lat, lon].
            static: position and static fields, shape [B, 3 + .., lat, lon].

        Returns:
            Shape [B, n_out, lat, lon].
        """
        kept = []
        for layer in self.encoder:
            x = layer(x)
            kept.append(x)
        x = self.through(x, static)
        for layer in self.decoder:
            x = layer(torch.cat((x, kept.pop()), dim=1))
        y: Tensor = self.final_conv(x)
        return y

    def train(self, mode: bool = True) -> FluxHeadV2:
        """Frozen transformers are not trained, so they drop no paths either."""
        super().train(mode)
        self.model.encoder.eval()
        self.model.decoder.eval()
        return self

    def load_backbone(self, path: Path | str) -> Taken:
        """Pretrained transformers, from a checkpoint of a `PrithviWxC` of the same width.

        Raises:
            DataError: when not every transformer is in it.
        """
        return self.take_backbone(read_checkpoint(path))

    def take_backbone(self, tensors: dict[str, Tensor]) -> Taken:
        """Pretrained transformers and time embeddings by their names in a `PrithviWxC`.

        Raises:
            DataError: when not every transformer is among them.
        """
        own = {n for n, _ in self.model.named_parameters() if not n.startswith(TRAINED)}
        frozen = nn.ModuleDict({"encoder": self.model.encoder, "decoder": self.model.decoder})
        parts = {
            n: t for n, t in tensors.items() if n in own and n.startswith(("encoder.", "decoder."))
        }
        taken = take(frozen, parts, strict=True)
        with torch.no_grad():
            for name in own - set(taken.loaded):
                parameter = self.model.get_parameter(name)
                if name in tensors and tensors[name].shape == parameter.shape:
                    parameter.copy_(tensors[name])
            self.get_buffer("has_pretrained").fill_(True)
        return taken

    def account(self) -> dict[str, int]:
        """Numbers of trained and frozen parameters, for the log of a training."""
        trained = sum(p.numel() for p in self.parameters() if p.requires_grad)
        return {"trained": trained, "frozen": sum(p.numel() for p in self.parameters()) - trained}


class FluxHeadNetwork(MapNetwork):
    """A flux head of version 2 between a bundle's channels."""

    Config = FluxHeadConfig

    def __init__(self, spec: BundleSpec, config: FluxHeadConfig) -> None:
        super().__init__(spec, config)
        # The position is there already: an angle is no field beside it.
        known = [c.name for c in spec.inputs if c.dims == "column" and not is_angle(c)]
        missing = [n for n in config.static if n not in known]
        if missing:
            self.refuse(
                "static field of a flux head that is no input channel",
                ", ".join(missing),
                expected="one of " + (", ".join(known) or "none"),
            )
        self._static_rows = [
            row for n in config.static for row in range(*self.stack.rows[n].indices(10**9))
        ]
        core = FluxHeadV2(
            self.stack.size,
            self.unstack.size,
            widths=config.widths,
            prithvi=config.prithvi(),
            backbone=config.backbone,
            poles=config.poles,
        )
        self.core: FluxHeadV2 = core
        self.turn_components(core.first)
        grid = config.grid.grid()
        lat = torch.deg2rad(torch.tensor(grid.lat))[:, None].expand(grid.shape)
        lon = torch.deg2rad(torch.tensor(grid.lon))[None, :].expand(grid.shape)
        position = torch.stack((lat.sin(), lon.cos(), lon.sin())).float()
        self.register_buffer("position", position, persistent=False)

    def through_core(self, x: Tensor) -> Tensor:
        """The core with its static fields."""
        position = self.get_buffer("position")[None].expand(x.shape[0], -1, -1, -1)
        y: Tensor = self.core(x, torch.cat((position, x[:, self._static_rows]), dim=1))
        return y

    def load_backbone(self, path: Path) -> Taken:
        """Pretrained transformers, from a checkpoint of a `PrithviWxC` of the same width.

        Raises:
            DataError: when not every transformer is in it.
        """
        return self.core.load_backbone(path)
