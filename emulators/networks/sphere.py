"""Convolutions on a latitude-longitude grid that know it is a sphere.

Longitude is circular. Beyond the last row there is the pole and then the same row half a turn
away: with ``poles: rotate`` the row j places beyond the pole is row j, turned by half the
longitudes, and channels that are components of a horizontal vector change sign there, because east
and north point the other way across the pole. ``replicate`` repeats the last row. ``zero`` pads
with zeros on all sides, in longitude too, as published networks do: they learn where the map ends,
and their output changes when the map is turned (it exists to run them as they are).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

Poles = Literal["rotate", "replicate", "zero"]


def sphere_pad(x: Tensor, n: int, poles: Poles, signs: Tensor | None = None) -> Tensor:
    """`x` with `n` more rows beyond either pole and `n` more columns at either end.

    Args:
        x: shape [..., channel, lat, lon]; on an odd number of longitudes, as a coarse map inside a
            network may have, half a turn of `rotate` is rounded down to whole cells.
        n: how many, at most as many as there are rows and longitudes.
        poles: what lies beyond the last row.
        signs: +1 or -1 by channel for `rotate`, shape [channel, 1, 1]; None: all +1.
    """
    if poles == "zero":
        return nn.functional.pad(x, (n, n, n, n))
    recorded = torch.compiler.is_compiling()  # exporting too
    recorded |= torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if not torch.is_grad_enabled() and not recorded:
        return _pad_in_place(x, n, poles, signs)
    if poles == "rotate":
        half = x.shape[-1] // 2
        south = x[..., :n, :].flip(-2).roll(half, -1)
        north = x[..., -n:, :].flip(-2).roll(half, -1)
        if signs is not None:
            south, north = south * signs, north * signs
    else:
        south = x[..., :1, :].expand(*x.shape[:-2], n, x.shape[-1])
        north = x[..., -1:, :].expand(*x.shape[:-2], n, x.shape[-1])
    x = torch.cat((south, x, north), dim=-2)
    return torch.cat((x[..., -n:], x, x[..., :n]), dim=-1)


def _pad_in_place(x: Tensor, n: int, poles: Poles, signs: Tensor | None) -> Tensor:
    """The same with one copy of the map instead of two, where no gradient is wanted.

    Channels that lie together stay so, see `UNet`.
    """
    *lead, nlat, nlon = x.shape
    last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    kept = torch.channels_last if last else torch.contiguous_format
    y = torch.empty(
        (*lead, nlat + 2 * n, nlon + 2 * n), dtype=x.dtype, device=x.device, memory_format=kept
    )
    inner = y[..., n : n + nlon]
    inner[..., n : n + nlat, :] = x
    half = nlon // 2
    for j in range(n):
        for row, beyond in ((j, n - 1 - j), (nlat - 1 - j, n + nlat + j)):
            if poles == "replicate":
                inner[..., beyond, :] = x[..., 0 if row == j else -1, :]
                continue
            there = x[..., row, :] if signs is None else x[..., row, :] * signs[..., 0]
            inner[..., beyond, :half] = there[..., nlon - half :]
            inner[..., beyond, half:] = there[..., : nlon - half]
    y[..., :n] = inner[..., nlon - n :]
    y[..., n + nlon :] = inner[..., :n]
    return y


class SphereConv2d(nn.Conv2d):
    """A convolution of odd kernel size whose output has the size of its input.

    Parameters and their names are those of `torch.nn.Conv2d`.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, *, poles: Poles = "rotate") -> None:
        super().__init__(n_in, n_out, kernel)
        self.reach, self.poles = kernel // 2, poles
        self.signs: Tensor | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Shape [batch, channel, lat, lon] to the same with `n_out` channels."""
        if self.poles == "zero":
            return conv2d(input, self.weight, self.bias, padding=self.reach)
        padded = sphere_pad(input, self.reach, self.poles, self.signs)
        return conv2d(padded, self.weight, self.bias)


def components_turn(conv: SphereConv2d, components: list[bool]) -> None:
    """Tells a convolution which of its input channels are components of horizontal vectors."""
    if any(components):
        signs = torch.tensor([-1.0 if c else 1.0 for c in components])
        del conv.signs
        conv.register_buffer("signs", signs[:, None, None], persistent=False)
