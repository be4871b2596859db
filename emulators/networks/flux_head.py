"""The published gravity-wave flux head on Prithvi WxC, as it was published.

Encoder and decoder of four blocks each, twice [3x3 convolution, batch normalization, ReLU] without
any change of resolution, around a frozen Prithvi between the deepest two; every decoder block sees
the encoder block of its size beside what comes from below (Gupta et al. 2025, arXiv:2509.03816).
For 488 channels (potential temperature, pressure and winds on 122 levels) at 64x128 and 366 outputs
it has 93,641,646 trainable parameters and 2,479,889,326 in all.

**Its backbone contributes nothing.** Prithvi's output scalers are 0 and its residual is ``none``
with a mean of 0, so that the decoder gets ``0 * transformer + 0`` whatever the transformer does
(`backbone_share` measures it). What is left is a convolutional network that sees 16 cells in every
direction. The same constants stand in all public copies of the code; what the released file holds
in ``model.output_scalers`` is for `backbone_share` to say. Version 2 is
`emulators.networks.flux_head_v2`.

The released file keeps its tensors under ``module.``; `load_published` takes it strictly. A mask of
half of the tokens, drawn anew at every call, is published too: in evaluation there is none here.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from emulators.networks.pretrained import Taken, load_pretrained
from emulators.networks.prithvi import PrithviConfig, PrithviWxC

WIDTHS = (160, 320, 640, 1280)


def block(n_in: int, n_out: int) -> nn.Sequential:
    """Twice [3x3 convolution, batch normalization, ReLU]; zeros beyond the map, as published."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
        nn.Conv2d(n_out, n_out, 3, padding=1),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )


class ConvEncoder(nn.Module):
    """Four blocks; every one's output is kept."""

    def __init__(self, n_in: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        for i, (a, b) in enumerate(zip((n_in, *widths), widths, strict=False), 1):
            self.add_module(f"encoder{i}", block(a, b))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Outputs of the blocks, the first one first."""
        kept = []
        for layer in self.children():
            x = layer(x)
            kept.append(x)
        return kept


class ConvDecoder(nn.Module):
    """Four blocks from the deepest to the first, and a 1x1 convolution."""

    def __init__(self, n_out: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        below = widths[-1]
        for i in range(len(widths), 0, -1):
            size = widths[i - 1]
            self.add_module(f"decoder{i}", block(below + size, size))
            below = size
        self.final_conv = nn.Conv2d(below, n_out, 1)

    def forward(self, x: Tensor, kept: list[Tensor]) -> Tensor:
        """What comes from below and from across, to the outputs."""
        *layers, final = self.children()
        for layer, across in zip(layers, reversed(kept), strict=True):
            x = layer(torch.cat((x, across), dim=1))
        y: Tensor = final(x)
        return y


class FluxHead(nn.Module):
    """See the module."""

    def __init__(
        self,
        *,
        n_in: int = 488,
        n_out: int = 366,
        widths: tuple[int, ...] = WIDTHS,
        backbone: PrithviConfig | None = None,
        checkpoints: bool = True,
    ) -> None:
        """Builds it, the backbone frozen; the defaults are what was published.

        Args:
            n_in, n_out: channels.
            widths: of the blocks; the last is the number of the backbone's channels.
            backbone: a smaller one for tests.
            checkpoints: whether the backbone computes activations again in the backward pass.
        """
        super().__init__()
        self.encoder = ConvEncoder(n_in, widths)
        self.decoder = ConvDecoder(n_out, widths)
        c = backbone or published_backbone(checkpoints=checkpoints)
        one = torch.ones(widths[-1], dtype=torch.int64)
        static = torch.ones(c.in_channels_static, dtype=torch.int64)
        self.model = PrithviWxC(
            c,
            {
                "input_mu": 0 * one,
                "input_sigma": one,
                "static_mu": 0 * static,
                "static_sigma": static,
                "output": 0 * one,
            },
        )
        self.model.requires_grad_(False)

    def forward(self, x: Tensor, static: Tensor) -> Tensor:
        """Normalized outputs.

        Args:
            x: shape [B, n_in, lat, lon].
            static: sine of latitude, cosine and sine of longitude, shape [B, 3, lat, lon].

        Returns:
            Shape [B, n_out, lat, lon].
        """
        kept = self.encoder(x)
        ratio = 0.5 if self.training else 0.0
        through = self.model(kept[-1][:, None], static, mask_ratio=ratio)
        y: Tensor = self.decoder(through, kept)
        return y

    def backbone_share(self) -> float:
        """Largest |output scaler| of the backbone: 0 means that it contributes nothing."""
        return float(self.model.get_buffer("output_scalers").abs().max())

    def load_published(self, path: Path | str) -> Taken:
        """The released file, every tensor of it.

        Raises:
            DataError: when it is another network's.
        """
        return load_pretrained(self, path, strict=True)


def published_backbone(*, checkpoints: bool = True) -> PrithviConfig:
    """The backbone of the published head."""
    return PrithviConfig(
        in_channels=WIDTHS[-1],
        input_size_time=1,
        in_channels_static=3,
        n_lats_px=64,
        n_lons_px=128,
        mask_unit_size_px=(8, 16),
        embed_dim=2560,
        n_blocks_encoder=12,
        n_blocks_decoder=2,
        n_heads=16,
        drop_path=0.05,
        residual="none",
        masking_mode="both",
        encoder_shifting=False,
        decoder_shifting=False,
        positional_encoding="absolute",
        checkpoint_encoder=tuple(range(3, 25, 3)) if checkpoints else (),
        checkpoint_decoder=(1, 3) if checkpoints else (),
    )
