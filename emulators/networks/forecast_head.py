"""A flux head that looks ahead: convolutions are called on states that a backbone foretells.

For a head that is called rarely and whose answer is held until the next call: what is wanted is a
mean over hours that have not been. The backbone is used as what it was pretrained as. From the
winds and the temperature of now, in its own channels, it forecasts those of some hours later; one
network C sees each of these states, and the answer is the mean,

    F = 1/n sum_i C(x(t) + I s B(x(t), h_i))

with B the backbone, given the state of now twice and 0 hours between, s its output scalers
(`residual: temporal`), and I the linear interpolation of changes to levels that are not its own.
It is given no clock. Without a backbone this is C(x(t)). C is a sum: a perceptron on columns,
because schemes work on columns, and convolutions on a sphere, which can look upstream themselves.

The ablation is a switch, `backbone`: ``pretrained`` (all of it from a checkpoint; it refuses to
run before), ``random`` (as it was drawn), ``zero`` (nothing changes), ``identity`` (patches are
embedded and unfolded with no transformer between). Transformers are frozen, embeddings are trained,
whatever the switch says; only ``zero`` has none to train.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from coupler.interface.errors import ContractError
from emulators.networks.attention_unet import double_conv
from emulators.networks.flux_head_v2 import TRAINED, Backbone, BackboneSize
from emulators.networks.maps import MapConfig, MapNetwork
from emulators.networks.pretrained import Taken, read_checkpoint, take
from emulators.networks.prithvi import PrithviConfig, PrithviWxC
from emulators.networks.sphere import Poles, SphereConv2d
from emulators.schema import BundleSpec

CLOCK = 4
"""Static channels of a pretrained backbone: cosine and sine of the time of the year and of the hour
at the target; zeros here."""


class ForecastHeadConfig(MapConfig):
    """Size of a `forecast_head`."""

    widths: tuple[int, ...] = Field(default=(16, 32), min_length=1)
    """Channels of the blocks of two convolutions."""
    column: tuple[int, ...] = Field(default=(128, 128, 128), min_length=1)
    """Units of the layers that see one column."""
    backbone: Backbone = "pretrained"
    size: BackboneSize = BackboneSize()
    names: tuple[str, ...] = Field(default=("ua", "va", "ta"), min_length=1)
    """Inputs that the backbone forecasts."""
    every: int = Field(default=1, ge=1)
    """Every how many levels of them are its channels."""
    lead_hours: tuple[float, ...] = Field(default=(12.0,), min_length=1)

    def prithvi(self, channels: int) -> PrithviConfig:
        """The backbone's configuration, as `emulators.training.pretrain` makes it."""
        return self.size.on(
            self.grid, in_channels=channels, in_channels_static=CLOCK, residual="temporal"
        )


class Convolutions(nn.Module):
    """Layers on columns, beside blocks of two convolutions and back."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        widths: tuple[int, ...],
        column: tuple[int, ...],
        poles: Poles,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise((n_in, *column)):
            layers += [nn.Conv2d(a, b, 1), nn.SiLU()]
        self.column = nn.Sequential(*layers, nn.Conv2d(column[-1], n_out, 1))
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
        columns, kept = self.column(x), []
        for layer in self.encoder:
            x = layer(x)
            kept.append(x)
        kept.pop()
        for layer in self.decoder:
            x = layer(torch.cat((x, kept.pop()), dim=1))
        y: Tensor = columns + self.final_conv(x)
        return y


class ForecastHead(MapNetwork):
    """See the module."""

    Config = ForecastHeadConfig

    def __init__(self, spec: BundleSpec, config: ForecastHeadConfig) -> None:
        super().__init__(spec, config)
        self.names, self.every, self.backbone = config.names, config.every, config.backbone
        known = {c.name: c for c in spec.inputs if c.dims == "level" and c.transform == "none"}
        if missing := [n for n in config.names if n not in known]:
            self.refuse(
                "a forecast of what is no input channel on levels",
                ", ".join(missing),
                expected="some of " + (", ".join(known) or "none"),
            )
        of = [known[n] for n in config.names]
        own = torch.arange(0, spec.levels.nlev, config.every)
        mean = torch.tensor([c.mean for c in of])
        scale = torch.tensor([c.scale for c in of])
        self.model = PrithviWxC(
            config.prithvi(len(of) * len(own)),
            {
                "input_mu": mean[:, own].flatten(),
                "input_sigma": scale[:, own].flatten(),
                "output": scale[:, own].flatten(),
            },
        )
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name.startswith(TRAINED) and config.backbone != "zero")
        # Part of the state: a bundle that says `pretrained` has to have been.
        self.register_buffer("has_pretrained", torch.zeros((), dtype=torch.bool))
        core = Convolutions(
            self.stack.size, self.unstack.size,
            widths=config.widths, column=config.column, poles=config.poles,
        )  # fmt: skip
        self.core: Convolutions = core
        self.turn_components(core.first)
        rows = [r for n in config.names for r in range(*self.stack.rows[n].indices(10**9))]
        between = np.stack(
            [np.interp(range(spec.levels.nlev), own, unit) for unit in np.eye(len(own))], axis=1
        )
        grid = config.grid.grid()
        lat = torch.deg2rad(torch.tensor(grid.lat))[:, None].expand(grid.shape)
        lon = torch.deg2rad(torch.tensor(grid.lon))[None, :].expand(grid.shape)
        static = torch.cat((torch.stack((lat, lon)), torch.zeros(CLOCK, *grid.shape)))
        for name, values in (
            ("leads", torch.tensor(config.lead_hours)),
            ("rows", torch.tensor(rows)),
            ("scale", scale.flatten()[:, None, None]),
            ("between", torch.from_numpy(between).float()),
            ("static", static.float()),
        ):
            self.register_buffer(name, values, persistent=False)

    def changes(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What is different at each lead time, in the units of the inputs.

        Returns:
            Shape [map, lead, channel, lat, lon], the channels those of all levels, name by name.

        Raises:
            ContractError: when it is to be pretrained and has not been.
        """
        states = torch.cat([inputs[n][:: self.every].float() for n in self.names])
        x = states.view(len(states), -1, self.grid.nlat, self.grid.nlon).transpose(0, 1)
        hours = self.get_buffer("leads")
        if self.backbone == "pretrained" and not self._loaded():
            raise ContractError.of(
                "a pretrained backbone without pretrained weights",
                f"{self.name}: forecast_head.backbone",
                expected="weights from a checkpoint",
                found="freshly drawn ones",
                remedy="call load_backbone first, or set backbone: random",
            )
        now = x.repeat_interleave(hours.numel(), 0)
        later = self.model(
            torch.stack((now, now), dim=1),
            self.get_buffer("static").expand(now.shape[0], -1, -1, -1),
            lead_time=hours.repeat(x.shape[0])[:, None],
            transform=self.backbone != "identity",
        )
        shape = self.grid.grid().shape
        change = (later - now).reshape(len(now), len(self.names), -1, *shape)
        change = torch.einsum("kc,bncyx->bnkyx", self.get_buffer("between"), change)
        return change.reshape(-1, hours.numel(), change.shape[1] * change.shape[2], *shape)

    def _loaded(self) -> bool:
        flag = self.get_buffer("has_pretrained")
        return flag.is_meta or bool(flag)

    def maps(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Stacked channels as they will be, shape [map x lead, channel, lat, lon]."""
        x = super().maps(inputs)
        if self.backbone == "zero":
            return x
        change = (self.changes(inputs) / self.get_buffer("scale")).flatten(0, 1)
        x = x.repeat_interleave(change.shape[0] // x.shape[0], 0)
        return x.index_add(1, self.get_buffer("rows"), change)

    def through_core(self, x: Tensor) -> Tensor:
        """The mean over lead times of what the core gives."""
        y: Tensor = self.core(x)
        if self.backbone == "zero":
            return y
        return y.reshape(-1, self.get_buffer("leads").numel(), *y.shape[1:]).mean(dim=1)

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
