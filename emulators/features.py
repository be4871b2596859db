"""What a column network sees: features from raw columns, the same offline and in the loop.

A gravity wave launched at a source level with intrinsic phase speed c is removed where the wind
relative to the source reaches c. What is left of a spectrum at some height is therefore governed
by the *largest and smallest launch-relative wind met on the way up* (critical-level filtering:
Lindzen 1981, doi:10.1029/JC086iC10p09707; Alexander and Dunkerton 1999,
doi:10.1175/1520-0469(1999)056<4167:ASPOMF>2.0.CO;2). With r the wind relative to the source and
M, m its running extremes from the source upward, features come in two kinds:

- odd, which change sign with the wind: r, M + m, and the wind at the source;
- even, which do not: M - m, temperature, ln p of the lowest level, harmonics of latitude.

Everything at and below the source is zero in r, M and m. The source level is the highest one with
a pressure above `launch_pressure`; with ``cos_lat`` it sinks towards the poles. Waves also break
before the wind reaches them, the sooner the thinner the air: at |c - u| of about
``saturation (p_source/p)^(1/3)``. So M and m are taken of r plus and minus that speed.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from emulators.schema import Data, Levels


class FeatureConfig(Data):
    """Which features a column network sees."""

    launch_pressure: float = Field(default=31500.0, gt=0.0)
    """Source pressure at the equator [Pa]."""
    launch: Literal["pressure", "cos_lat"] = "pressure"
    """Same source level everywhere, or sinking to the ground at the poles with cos(latitude)."""
    saturation: float = Field(default=9.0, ge=0.0)
    """Intrinsic speed at which waves break near the source [m s-1]; 0 leaves saturation out."""
    harmonics: int = Field(default=3, ge=1, le=12)
    """Number of sines and cosines of multiples of latitude."""

    def odd(self, nlev: int) -> int:
        """Number of odd features."""
        return 2 * nlev + 1

    def even(self, nlev: int) -> int:
        """Number of even features."""
        return 2 * nlev + 1 + 2 * self.harmonics


def nominal_full_pressure(levels: Levels) -> Tensor:
    """Mid-layer pressure [Pa] at a surface pressure of 1000 hPa, float64, shape [level]."""
    a = torch.tensor(levels.a, dtype=torch.float64)
    half = a + torch.tensor(levels.b, dtype=torch.float64) * 1.0e5
    return 0.5 * (half[1:] + half[:-1])


def saturation_speed(levels: Levels, config: FeatureConfig) -> Tensor:
    """Intrinsic speed at which waves break by nominal pressure [m s-1], shape [level]."""
    ratio = config.launch_pressure / nominal_full_pressure(levels)
    return (config.saturation * ratio ** (1.0 / 3.0)).float()


def launch_level(lat: Tensor, pressure: Tensor, levels: Levels, config: FeatureConfig) -> Tensor:
    """Index of the source level, int64 shape [column].

    ``pressure``: the highest level with more than `launch_pressure` in this column. ``cos_lat``:
    ``k = K + 1 - ((K + 1 - k_src) cos(lat) + 1/2)``, truncated, counted from 1 at the top, from 2
    to K - 1, with k_src from nominal pressures (the rule of the FMS implementation of Alexander and
    Dunkerton 1999).

    Args:
        lat: latitude [degrees_north], shape [column].
        pressure: [Pa], shape [level, column].
        levels: the training levels.
        config: the rule.
    """
    nlev = levels.nlev
    if config.launch == "pressure":
        return (pressure <= config.launch_pressure).sum(dim=0).clamp(1, nlev - 1)
    above = int((nominal_full_pressure(levels) <= config.launch_pressure).sum())
    height = (nlev - above) * torch.cos(torch.deg2rad(lat.double()))
    return (nlev + 1 - (height + 0.5)).to(torch.int64).clamp(2, nlev - 1) - 1


@torch.no_grad()
def column_features(
    *,
    winds: tuple[Tensor, ...],
    temperature: Tensor,
    lowest_pressure: Tensor,
    lat: Tensor,
    launch: Tensor,
    saturation: Tensor,
    wind_scale: Tensor,
    temperature_mean: Tensor,
    temperature_scale: Tensor,
    log_pressure: tuple[float, float],
    config: FeatureConfig,
    odd: Tensor,
    even: Tensor,
) -> None:
    """Fills `odd` and `even`; wind components lie end to end along the columns.

    Args:
        winds: components [m s-1], each shape [level, column].
        temperature: [K], shape [level, column].
        lowest_pressure: pressure of the lowest level [Pa], shape [column].
        lat: latitude [degrees_north], shape [column].
        launch: source level index, shape [column].
        saturation: speed at which waves break [m s-1], shape [level].
        wind_scale: one scale for all components [m s-1], shape [level].
        temperature_mean: [K], shape [level].
        temperature_scale: [K], shape [level].
        log_pressure: mean and scale of ln of `lowest_pressure`.
        config: which features.
        odd: filled, shape [2 level + 1, components x column (or more)].
        even: filled, shape [2 level + 1 + 2 harmonics, components x column (or more)].
    """
    nlev, ncol = temperature.shape
    parts = [slice(i * ncol, (i + 1) * ncol) for i in range(len(winds))]
    everything = slice(0, ncol * len(winds))
    scale = wind_scale[:, None]
    below = torch.arange(nlev)[:, None] >= launch[None, :]

    relative = odd[:nlev]
    source = odd[2 * nlev]
    for wind, part in zip(winds, parts, strict=True):
        at_source = wind.gather(0, launch[None, :])
        torch.sub(wind, at_source, out=relative[:, part])
        relative[:, part].masked_fill_(below, 0.0)
        source[part] = at_source[0]
    source.mul_(1.0 / float(wind_scale.mean()))
    high = torch.zeros_like(relative[0, everything])
    low, row = torch.zeros_like(high), torch.empty_like(high)
    # Nothing breaks at or below the source: there r = 0 and the speed is left out.
    offset = (saturation[:, None] * ~below).repeat(1, len(winds))
    for k in reversed(range(nlev)):
        torch.add(relative[k, everything], offset[k], out=row)
        torch.maximum(high, row, out=high)
        torch.sub(relative[k, everything], offset[k], out=row)
        torch.minimum(low, row, out=low)
        torch.add(high, low, out=odd[nlev + k, everything])
        torch.sub(high, low, out=even[k, everything])
    odd[:nlev, everything].div_(scale)
    odd[nlev : 2 * nlev, everything].div_(scale)
    even[:nlev, everything].div_(scale)

    first = parts[0]
    torch.sub(temperature, temperature_mean[:, None], out=even[nlev : 2 * nlev, first])
    even[nlev : 2 * nlev, first].div_(temperature_scale[:, None])
    mean, std = log_pressure
    even[2 * nlev, first] = (lowest_pressure.log() - mean) / std
    angle = torch.deg2rad(lat)
    for m in range(1, config.harmonics + 1):
        torch.sin(m * angle, out=even[2 * nlev + 2 * m - 1, first])
        torch.cos(m * angle, out=even[2 * nlev + 2 * m, first])
    for part in parts[1:]:
        even[nlev:, part] = even[nlev:, first]
