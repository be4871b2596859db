"""Prithvi WxC: a masked transformer on the weather of the globe, with the published state.

Schmude et al. 2024, arXiv:2409.13598. Inputs of two times are embedded by patches, beside static
fields, the position, and the two time spans; a share of the tokens may be masked; an encoder sees
the others, a decoder all of them; the result is unfolded to the map and added to a climatology:

    out = sigma_out y + climatology     residual: climate
    out = sigma_out y + x_last          temporal (x_first where the lead time is negative)
    out = sigma_out y + mu              none

The published configuration is `PrithviConfig.published()`: 2,366,633,600 parameters, 320 entries in
its state. In evaluation nothing is random: with no token masked their order is the natural one. A
masked forward draws from the generator that it is given.

Shapes: B samples, T times, C channels, E features; ``[B, C, lat, lon]`` as the maps come.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, dropout2d, pixel_shuffle

from emulators.networks.transformer import Encoder, LocalGlobalLocal, Shifter
from emulators.schema import Data


class PrithviConfig(Data):
    """Size and options; the names are those of published configuration files."""

    in_channels: int = Field(ge=1)
    input_size_time: int = Field(default=2, ge=1)
    in_channels_static: int = Field(default=8, ge=1)
    """Static channels without latitude and longitude (``fourier``), or all of them."""
    n_lats_px: int = Field(ge=2)
    n_lons_px: int = Field(ge=2)
    patch_size_px: tuple[int, int] = (2, 2)
    mask_unit_size_px: tuple[int, int] = (30, 32)
    embed_dim: int = Field(ge=4)
    n_blocks_encoder: int = Field(ge=0)
    n_blocks_decoder: int = Field(ge=0)
    mlp_multiplier: int = Field(default=4, ge=1)
    n_heads: int = Field(ge=1)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    drop_path: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Stochastic depth of the encoder."""
    parameter_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of input channels that are left out while training."""
    residual: Literal["climate", "temporal", "none"] = "climate"
    masking_mode: Literal["local", "global", "both"] = "both"
    """Tokens inside each window, whole windows, or now the one and then the other."""
    encoder_shifting: bool = True
    decoder_shifting: bool = True
    positional_encoding: Literal["fourier", "absolute"] = "fourier"
    checkpoint_encoder: tuple[int, ...] = ()
    """Transformers whose activations are computed again in the backward pass."""
    checkpoint_decoder: tuple[int, ...] = ()
    epsilon: float = Field(default=0.0, ge=0.0)
    """Added to the scale of inputs."""

    @model_validator(mode="after")
    def _fits(self) -> PrithviConfig:
        wrong = []
        for name, px, patch, unit in (
            ("n_lats_px", self.n_lats_px, self.patch_size_px[0], self.mask_unit_size_px[0]),
            ("n_lons_px", self.n_lons_px, self.patch_size_px[1], self.mask_unit_size_px[1]),
        ):
            if unit % patch or px % unit:
                wrong.append(
                    f"{name} = {px} is no whole number of mask units of {unit} pixels in "
                    f"patches of {patch}"
                )
        if self.patch_size_px[0] != self.patch_size_px[1]:
            wrong.append("patches are square")
        if self.embed_dim % 4 or self.embed_dim % self.n_heads:
            wrong.append(
                f"embed_dim = {self.embed_dim} must be divisible by 4 and by n_heads = "
                f"{self.n_heads}"
            )
        for name, shifts, blocks in (
            ("encoder", self.encoder_shifting, self.n_blocks_encoder),
            ("decoder", self.decoder_shifting, self.n_blocks_decoder),
        ):
            if shifts and blocks % 2:
                wrong.append(f"{name}_shifting needs an even number of blocks to roll back")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @classmethod
    def published(cls, **changes: object) -> PrithviConfig:
        """The configuration of the released weights."""
        return cls.model_validate(
            {
                "in_channels": 160,
                "n_lats_px": 360,
                "n_lons_px": 576,
                "embed_dim": 2560,
                "n_blocks_encoder": 12,
                "n_blocks_decoder": 2,
                "n_heads": 16,
                **changes,
            }
        )

    @classmethod
    def small(cls, **changes: object) -> PrithviConfig:
        """The small configuration: 279,685,760 parameters."""
        return cls.published(**{"embed_dim": 1024, "n_blocks_encoder": 8, **changes})

    @property
    def windows(self) -> tuple[int, int]:
        """Number of windows along latitude and longitude."""
        return (
            self.n_lats_px // self.mask_unit_size_px[0],
            self.n_lons_px // self.mask_unit_size_px[1],
        )

    @property
    def tokens(self) -> tuple[int, int]:
        """Number of tokens of a window along latitude and longitude."""
        return (
            self.mask_unit_size_px[0] // self.patch_size_px[0],
            self.mask_unit_size_px[1] // self.patch_size_px[1],
        )


class PatchEmbed(nn.Module):
    """A linear map of every patch."""

    def __init__(self, channels: int, features: int, patch: tuple[int, int]) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, features, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        """Shape [B, channel, lat, lon] to [B, E, lat / p, lon / p]."""
        y: Tensor = self.proj(x)
        return y


class PrithviWxC(nn.Module):
    """See the module."""

    def __init__(self, config: PrithviConfig, scalers: Mapping[str, Tensor] | None = None) -> None:
        """Builds it with fresh weights.

        Args:
            config: sizes and options.
            scalers: ``input_mu``, ``input_sigma`` and ``output`` by channel, ``static_mu`` and
                ``static_sigma``; those left out are 0 and 1. Their type stays.
        """
        super().__init__()
        c = self.config = config
        scalers = dict(scalers or {})
        fourier = c.positional_encoding == "fourier"
        n_static = c.in_channels_static + (3 if fourier else 0)
        for name, key, size, shape, default in (
            ("input_scalers_mu", "input_mu", c.in_channels, (1, 1, -1, 1, 1), 0.0),
            ("input_scalers_sigma", "input_sigma", c.in_channels, (1, 1, -1, 1, 1), 1.0),
            ("static_input_scalers_mu", "static_mu", n_static, (1, -1, 1, 1), 0.0),
            ("static_input_scalers_sigma", "static_sigma", n_static, (1, -1, 1, 1), 1.0),
            ("output_scalers", "output", c.in_channels, (1, -1, 1, 1), 1.0),
        ):
            given = scalers.pop(key, None)
            values = torch.full((size,), default) if given is None else given
            self.register_buffer(name, values.reshape(shape).clone())
        if scalers:
            raise TypeError(f"unknown scalers: {', '.join(scalers)}")
        features = c.embed_dim
        extra = c.in_channels if c.residual == "climate" else 0
        self.patch_embedding = PatchEmbed(
            c.in_channels * c.input_size_time, features, c.patch_size_px
        )
        self.patch_embedding_static = PatchEmbed(
            c.in_channels_static + extra, features, c.patch_size_px
        )
        self.input_time_embedding = nn.Linear(1, features // 4)
        self.lead_time_embedding = nn.Linear(1, features // 4)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, 1, features))
        # The encoder's has no state in published checkpoints; the decoder's has, under two names.
        shift = Shifter(c.windows, c.tokens, masks=False) if c.encoder_shifting else None
        self.decoder_shifter = Shifter(c.windows, c.tokens) if c.decoder_shifting else None
        self.encoder = Encoder(
            LocalGlobalLocal(
                features,
                c.mlp_multiplier,
                c.n_heads,
                c.dropout,
                c.drop_path,
                c.n_blocks_encoder,
                shifter=shift,
                checkpoints=c.checkpoint_encoder,
            )
        )
        self.decoder = Encoder(
            LocalGlobalLocal(
                features,
                c.mlp_multiplier,
                c.n_heads,
                c.dropout,
                0.0,
                c.n_blocks_decoder,
                shifter=self.decoder_shifter,
                checkpoints=c.checkpoint_decoder,
            )
        )
        self.unembed = nn.Linear(features, c.in_channels * c.patch_size_px[0] ** 2)
        self.masking: Literal["local", "global"] = (
            "global" if c.masking_mode == "global" else "local"
        )

    def swap_masking(self) -> None:
        """With masking mode ``both``: the other of the two from now on."""
        if self.config.masking_mode == "both":
            self.masking = "global" if self.masking == "local" else "local"

    # -- embeddings ---------------------------------------------------------------------------

    def to_windows(self, x: Tensor) -> Tensor:
        """Shape [B, E, lat / p, lon / p] to [B, window, token, E]."""
        (g0, g1), (l0, l1) = self.config.windows, self.config.tokens
        x = x.reshape(x.shape[0], x.shape[1], g0, l0, g1, l1).permute(0, 2, 4, 3, 5, 1)
        return x.reshape(x.shape[0], g0 * g1, l0 * l1, -1)

    def to_map(self, x: Tensor) -> Tensor:
        """The way back."""
        (g0, g1), (l0, l1) = self.config.windows, self.config.tokens
        x = x.reshape(x.shape[0], g0, g1, l0, l1, -1).permute(0, 5, 1, 3, 2, 4)
        return x.reshape(x.shape[0], -1, g0 * l0, g1 * l1)

    def position(self, lat: Tensor, lon: Tensor) -> Tensor:
        """Fourier code of the mean latitude and longitude [rad] of patches, shape [B, E, ..]."""
        lat, lon = (avg_pool2d(a[:, None], self.config.patch_size_px) for a in (lat, lon))
        modes = torch.arange(1, self.config.embed_dim // 4 + 1, device=lat.device, dtype=lat.dtype)
        modes = modes[:, None, None]
        return torch.cat(
            ((modes * lat).sin(), (modes * lon).sin(), (modes * lat).cos(), (modes * lon).cos()),
            dim=1,
        )

    def embed(
        self,
        x: Tensor,
        static: Tensor,
        input_time: Tensor,
        lead_time: Tensor,
        climate: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Tokens with the time code, and the static part of them, both [B, window, token, E]."""
        c = self.config
        mu, sigma = self.get_buffer("input_scalers_mu"), self.get_buffer("input_scalers_sigma")
        scaled = ((x - mu) / (sigma + c.epsilon)).flatten(1, 2)
        scaled = dropout2d(scaled, c.parameter_dropout, self.training)
        tokens = self.to_windows(self.patch_embedding(scaled))
        mu_s = self.get_buffer("static_input_scalers_mu")
        sigma_s = self.get_buffer("static_input_scalers_sigma")
        first = 3 if c.positional_encoding == "fourier" else 0
        fields = static[:, 2:] if first else static
        parts = [(fields - mu_s[:, first:]) / (sigma_s[:, first:] + c.epsilon)]
        if c.residual == "climate":
            assert climate is not None
            parts.append((climate - mu[:, 0]) / (sigma[:, 0] + c.epsilon))
        still = self.patch_embedding_static(torch.cat(parts, dim=1))
        if first:
            still = still + self.position(static[:, 0], static[:, 1])
        still = self.to_windows(still)
        a, b = self.input_time_embedding(input_time), self.lead_time_embedding(lead_time)
        time = torch.cat((a.cos(), b.cos(), a.sin(), b.sin()), dim=-1)[:, None, None]
        return tokens + still + time, still

    # -- masking ------------------------------------------------------------------------------

    def _order(self, batch: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
        """A random order of windows [B, window], or of the tokens of each [B, window, token]."""
        _, windows, tokens, _ = like.shape
        shape = (batch, windows) if self.masking == "global" else (batch, windows, tokens)
        device = generator.device if generator is not None else like.device
        drawn = torch.rand(shape, generator=generator, device=device)
        return drawn.argsort(dim=-1).to(like.device)

    def _take(self, x: Tensor, order: Tensor) -> Tensor:
        if self.masking == "global":
            index = order[:, :, None, None].expand(-1, -1, *x.shape[2:])
            return x.gather(1, index)
        return x.gather(2, order[..., None].expand(*order.shape, x.shape[-1]))

    def _backbone(
        self, tokens: Tensor, still: Tensor, ratio: float, generator: torch.Generator | None
    ) -> Tensor:
        decoded: Tensor
        if ratio == 0.0:
            decoded = self.decoder(self.encoder(tokens))
            return decoded
        axis = 1 if self.masking == "global" else 2
        order = self._order(tokens.shape[0], generator, tokens)
        kept = tokens.shape[axis] - int(ratio * tokens.shape[axis])
        seen = self.encoder(self._take(tokens, order.narrow(-1, 0, kept)), complete=False)
        hidden = order.narrow(-1, kept, order.shape[-1] - kept)
        masked = self.mask_token + self._take(still, hidden)
        together = torch.cat((seen, masked), dim=axis)
        natural = self._take(together, order.argsort(dim=-1))
        decoded = self.decoder(natural)
        return decoded

    # -- the whole ----------------------------------------------------------------------------

    def forward(
        self,
        x: Tensor,
        static: Tensor,
        *,
        input_time: Tensor | None = None,
        lead_time: Tensor | None = None,
        climate: Tensor | None = None,
        mask_ratio: float = 0.0,
        generator: torch.Generator | None = None,
        transform: bool = True,
    ) -> Tensor:
        """A forecast, or what was masked.

        Args:
            x: shape [B, T, C, lat, lon], the earlier time first.
            static: shape [B, static, lat, lon]; with ``fourier`` latitude and longitude [rad] come
                first.
            input_time: hours between the inputs, shape [B, 1]; None: 0.
            lead_time: hours from the later input to the target, shape [B, 1]; None: 0.
            climate: climatology at the target time for the residual ``climate``, [B, C, lat, lon].
            mask_ratio: share of tokens, or windows, that the encoder does not see.
            generator: where the order of masked tokens is drawn from; evaluation needs one.
            transform: False leaves all transformers out, for comparison.

        Returns:
            Shape [B, C, lat, lon].

        Raises:
            ValueError: for shapes that the configuration does not have, or no climatology.
        """
        self._check(x, static, climate)
        self._check_mask(mask_ratio, generator)
        zero = torch.zeros(x.shape[0], 1, dtype=x.dtype, device=x.device)
        input_time = zero if input_time is None else input_time
        lead_time = zero if lead_time is None else lead_time
        tokens, still = self.embed(x, static, input_time, lead_time, climate)
        decoded = tokens
        if transform:
            decoded = self._backbone(tokens, still, mask_ratio, generator)
        y = pixel_shuffle(self.to_map(self.unembed(decoded)), self.config.patch_size_px[0])
        y = self.get_buffer("output_scalers") * y
        if self.config.residual == "climate":
            assert climate is not None
            return y + climate
        if self.config.residual == "temporal":
            last = (lead_time >= 0.0)[..., None, None]
            return y + torch.where(last, x[:, -1], x[:, 0])
        return y + self.get_buffer("input_scalers_mu")[:, 0]

    def _check(self, x: Tensor, static: Tensor, climate: Tensor | None) -> None:
        c = self.config
        n_static = c.in_channels_static + (2 if c.positional_encoding == "fourier" else 0)
        size = (c.n_lats_px, c.n_lons_px)
        wanted: dict[str, tuple[Tensor | None, tuple[int, ...]]] = {
            "x": (x, (x.shape[0], c.input_size_time, c.in_channels, *size)),
            "static": (static, (x.shape[0], n_static, *size)),
        }
        if c.residual == "climate":
            wanted["climate"] = (climate, (x.shape[0], c.in_channels, *size))
        for name, (tensor, shape) in wanted.items():
            found = None if tensor is None else tuple(tensor.shape)
            if found != shape:
                raise ValueError(f"wrong shape of {name}; expected {shape}; found {found}")

    def _check_mask(self, mask_ratio: float, generator: torch.Generator | None) -> None:
        if not 0.0 <= mask_ratio < 1.0:
            raise ValueError(f"mask_ratio must be at least 0 and below 1; found {mask_ratio}")
        if mask_ratio and generator is None and not self.training:
            raise ValueError("a masked forward in evaluation needs a generator")
