"""A flux head that looks ahead: convolutions see the state, and what a backbone says it will be.

For a head that is called rarely and whose answer is held until the next call: what is wanted is a
mean over hours that have not been. The backbone is used as what it was pretrained as. From the
winds and the temperature of now, in its own channels, it forecasts those of some hours later, and
all of it goes through convolutions on a sphere,

    F = C(x(t), x'(t + h_1), x'(t + h_2), ..),    x'(t + h) = x(t) + s B(x(t), h)

with B the backbone, given the state of now twice and 0 hours between, and s its output scalers
(`residual: temporal`). It is given no clock.

The ablation is a switch, `backbone`: ``pretrained`` (all of it from a checkpoint; it refuses to run
before), ``random`` (as it was drawn), ``zero`` (zeros in the place of forecasts), ``identity``
(patches are embedded and unfolded with no transformer between). Transformers are frozen,
embeddings are trained, whatever the switch says; only ``zero`` has none to train.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn

from coupler.interface.errors import ContractError
from emulators.networks.attention_unet import double_conv
from emulators.networks.flux_head_v2 import TRAINED, Backbone, BackboneSize
from emulators.networks.maps import VECTORS, MapConfig, MapNetwork
from emulators.networks.pretrained import Taken, read_checkpoint, take
from emulators.networks.prithvi import PrithviConfig, PrithviWxC
from emulators.networks.sphere import Poles, SphereConv2d
from emulators.schema import BundleSpec

CLOCK = 4
"""Static channels of a pretrained backbone that tell the time: zeros here."""


class ForecastHeadConfig(MapConfig):
    """Size of a `forecast_head`."""

    widths: tuple[int, ...] = Field(default=(16, 32, 32), min_length=1)
    """Channels of the blocks of two convolutions."""
    backbone: Backbone = "pretrained"
    size: BackboneSize = BackboneSize()
    names: tuple[str, ...] = Field(default=("ua", "va", "ta"), min_length=1)
    """Inputs that the backbone forecasts."""
    every: int = Field(default=1, ge=1)
    """Every how many levels of them are its channels."""
    lead_hours: tuple[float, ...] = Field(default=(12.0,), min_length=1)

    def prithvi(self, channels: int) -> PrithviConfig:
        """The backbone's configuration, as `emulators.training.pretrain` makes it."""
        s = self.size
        return PrithviConfig(
            in_channels=channels,
            in_channels_static=CLOCK,
            n_lats_px=self.grid.nlat,
            n_lons_px=self.grid.nlon,
            patch_size_px=(s.patch, s.patch),
            mask_unit_size_px=s.mask_unit,
            embed_dim=s.embed_dim,
            n_blocks_encoder=s.n_blocks_encoder,
            n_blocks_decoder=s.n_blocks_decoder,
            mlp_multiplier=s.mlp_multiplier,
            n_heads=s.n_heads,
            drop_path=s.drop_path,
            residual="temporal",
            encoder_shifting=False,
            decoder_shifting=False,
        )


class Convolutions(nn.Module):
    """Blocks of two convolutions, and as many back that see what the first ones saw."""

    def __init__(self, n_in: int, n_out: int, widths: tuple[int, ...], poles: Poles) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            double_conv(a, b, poles=poles, norm="group")
            for a, b in zip((n_in, *widths[:-1]), widths, strict=True)
        )
        back = tuple(reversed(widths))
        self.decoder = nn.ModuleList(
            double_conv(a + b, b, poles=poles, norm="group") for a, b in pairwise(back)
        )
        self.final_conv = nn.Conv2d(widths[0], n_out, 1)

    @property
    def first(self) -> SphereConv2d:
        """The convolution that sees the input."""
        conv = self.encoder[0][0]  # type: ignore[index]
        assert isinstance(conv, SphereConv2d)
        return conv

    def forward(self, x: Tensor) -> Tensor:
        """Shape [B, n_in, lat, lon] to [B, n_out, lat, lon]."""
        kept = []
        for layer in self.encoder:
            x = layer(x)
            kept.append(x)
        kept.pop()
        for layer in self.decoder:
            x = layer(torch.cat((x, kept.pop()), dim=1))
        y: Tensor = self.final_conv(x)
        return y


class ForecastHead(MapNetwork):
    """See the module."""

    Config = ForecastHeadConfig

    def __init__(self, spec: BundleSpec, config: ForecastHeadConfig) -> None:
        super().__init__(spec, config)
        self.names, self.every, self.backbone = config.names, config.every, config.backbone
        known = {c.name: c for c in spec.inputs if c.dims == "level"}
        if missing := [n for n in config.names if n not in known]:
            self.refuse(
                "a forecast of what is no input channel on levels",
                ", ".join(missing),
                expected="some of " + (", ".join(known) or "none"),
            )
        of = [known[n] for n in config.names]
        mean = torch.tensor([v for c in of for v in c.mean[:: config.every]])
        scale = torch.tensor([v for c in of for v in c.scale[:: config.every]])
        states, leads = mean.numel(), len(config.lead_hours)
        # Forecasts are normalized as the inputs are, whatever the backbone's own scalers are.
        self.register_buffer("mean", mean[:, None, None], persistent=False)
        self.register_buffer("scale", scale[:, None, None], persistent=False)
        self.register_buffer("leads", torch.tensor(config.lead_hours), persistent=False)
        self.model = PrithviWxC(
            config.prithvi(states), {"input_mu": mean, "input_sigma": scale, "output": scale}
        )
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name.startswith(TRAINED) and config.backbone != "zero")
        # Part of the state: a bundle that says `pretrained` has to have been.
        self.register_buffer("has_pretrained", torch.zeros((), dtype=torch.bool))
        core = Convolutions(
            self.stack.size + states * leads, self.unstack.size, config.widths, config.poles
        )
        self.core: Convolutions = core
        vectors = [c.name in VECTORS for c in of for _ in c.mean[:: config.every]]
        self.turn_components(core.first, vectors * leads)
        grid = config.grid.grid()
        lat = torch.deg2rad(torch.tensor(grid.lat))[:, None].expand(grid.shape)
        lon = torch.deg2rad(torch.tensor(grid.lon))[None, :].expand(grid.shape)
        static = torch.cat((torch.stack((lat, lon)), torch.zeros(CLOCK, *grid.shape)))
        self.register_buffer("static", static.float(), persistent=False)

    def ahead(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Normalized forecasts, lead after lead, shape [map, lead x channel, lat, lon].

        Raises:
            ContractError: when it is to be pretrained and has not been.
        """
        states = torch.cat([inputs[n][:: self.every].float() for n in self.names])
        x = states.view(len(states), -1, self.grid.nlat, self.grid.nlon).transpose(0, 1)
        hours = self.get_buffer("leads")
        maps, leads = x.shape[0], hours.numel()
        if self.backbone == "zero":
            return torch.zeros_like(x).repeat(1, leads, 1, 1)
        if self.backbone == "pretrained" and not self._loaded():
            raise ContractError.of(
                "a pretrained backbone without pretrained weights",
                f"{self.name}: forecast_head.backbone",
                expected="weights from a checkpoint",
                found="freshly drawn ones",
                remedy="call load_backbone first, or set backbone: random",
            )
        now = x.repeat_interleave(leads, 0)
        later = self.model(
            torch.stack((now, now), dim=1),
            self.get_buffer("static").expand(maps * leads, -1, -1, -1),
            lead_time=hours.repeat(maps)[:, None],
            transform=self.backbone != "identity",
        )
        y: Tensor = (later - self.get_buffer("mean")) / self.get_buffer("scale")
        return y.reshape(maps, -1, *y.shape[-2:])

    def _loaded(self) -> bool:
        flag = self.get_buffer("has_pretrained")
        return flag.is_meta or bool(flag)

    def maps(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Stacked channels and forecasts as maps, shape [map, channel, lat, lon]."""
        return torch.cat((super().maps(inputs), self.ahead(inputs)), dim=1)

    def train(self, mode: bool = True) -> ForecastHead:
        """Frozen transformers are not trained, so they drop no paths either."""
        super().train(mode)
        self.model.eval()
        return self

    def load_backbone(self, path: Path) -> Taken:
        """All of a pretrained backbone, its embeddings and scalers included.

        Raises:
            DataError: when it does not fit, to the last tensor.
        """
        taken = take(self.model, read_checkpoint(path), strict=True)
        self.get_buffer("has_pretrained").fill_(True)
        return taken
