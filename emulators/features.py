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

Even features are the spread M - m, which every wind component has its own of, and those common to
all components. Columns are dealt out in tiles of `TILE`, each filled by one pass over the levels;
the last tile is filled up with zeros.
"""

from __future__ import annotations

from typing import Any, Literal

import numba
import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from coupler.interface.component import Array
from coupler.interface.jit import njit
from emulators.schema import Data, Levels

TILE = 256
"""Columns of a matrix product. Always the same number: matrix kernels choose their order of
summation by size, so a column's flux would otherwise depend on how many others there are, and
hence on the number of ranks."""


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
        """Number of even features: the spread at each level, then the common ones."""
        return nlev + self.common(nlev)

    def common(self, nlev: int) -> int:
        """Number of even features that all components share."""
        return nlev + 1 + 2 * self.harmonics


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
        found = np.empty(pressure.shape[1], np.int64)
        count_above(pressure.numpy(), config.launch_pressure, nlev - 1, found)
        return torch.from_numpy(found)
    above = int((nominal_full_pressure(levels) <= config.launch_pressure).sum())
    height = (nlev - above) * torch.cos(torch.deg2rad(lat.double()))
    return (nlev + 1 - (height + 0.5)).to(torch.int64).clamp(2, nlev - 1) - 1


@njit(parallel=True)
def count_above(pressure: Array, limit: float, most: int, found: Array) -> None:
    """Number of levels with at most `limit` [Pa], from 1 to `most`, in `found`, shape [column]."""
    nlev, ncol = pressure.shape
    for tile in numba.prange((ncol + TILE - 1) // TILE):
        start, stop = tile * TILE, min(tile * TILE + TILE, ncol)
        found[start:stop] = 0
        for k in range(nlev):
            for i in range(start, stop):
                found[i] += pressure[k, i] <= limit
        for i in range(start, stop):
            found[i] = min(max(found[i], 1), most)


@njit(parallel=True, allocates=True)
def fill_features(
    first: int,
    winds: tuple[Array, ...],
    temperature: Array,
    lowest_pressure: Array,
    lat: Array,
    launch: Array,
    saturation: Array,
    wind_scale: Array,
    mean_wind_scale: Any,
    temperature_mean: Array,
    temperature_scale: Array,
    log_mean: float,
    log_scale: float,
    odd: Array,
    spread: Array,
    common: Array,
) -> None:
    """Fills `odd`, `spread` and `common`, float32, from columns in the precision of the host.

    Args:
        first: the tile of columns that the first one of `odd` is.
        winds: components [m s-1], each shape [level, column].
        temperature: [K], shape [level, column].
        lowest_pressure: pressure of the lowest level [Pa], shape [column].
        lat: latitude [degrees_north], shape [column].
        launch: source level index, shape [column].
        saturation: speed at which waves break [m s-1], shape [level].
        wind_scale: one scale for all components [m s-1], shape [level].
        mean_wind_scale: its mean [m s-1], float32. (A sum in here would be shared among the
            threads, and its last bit would depend on their number.)
        temperature_mean: [K], shape [level].
        temperature_scale: [K], shape [level].
        log_mean: of ln of `lowest_pressure`.
        log_scale: of ln of `lowest_pressure`.
        odd: filled, shape [tile, component, 2 level + 1, TILE].
        spread: filled, shape [tile, component, level, TILE].
        common: filled, shape [tile, level + 1 + 2 harmonics, TILE].
    """
    nlev, ncol = temperature.shape
    zero, one = np.float32(0.0), np.float32(1.0)
    harmonics = (common.shape[1] - nlev - 1) // 2
    for tile in numba.prange(odd.shape[0]):
        start = (first + tile) * TILE
        n = min(TILE, ncol - start)
        high, low = np.empty(n, np.float32), np.empty(n, np.float32)
        source = np.empty(n, temperature.dtype)
        for c in range(len(winds)):
            wind, o, even = winds[c], odd[tile, c], spread[tile, c]
            for j in range(n):
                source[j] = wind[launch[start + j], start + j]
                o[2 * nlev, j] = np.float32(source[j]) / mean_wind_scale
                high[j], low[j] = zero, zero
            for k in range(nlev - 1, -1, -1):
                speed, per_scale = saturation[k], one / wind_scale[k]
                for j in range(n):
                    r, offset = np.float32(wind[k, start + j] - source[j]), speed
                    if k >= launch[start + j]:
                        # Nothing breaks at or below the source.
                        r, offset = zero, zero
                    high[j] = max(high[j], r + offset)
                    low[j] = min(low[j], r - offset)
                    o[k, j] = r * per_scale
                    o[nlev + k, j] = (high[j] + low[j]) * per_scale
                    even[k, j] = (high[j] - low[j]) * per_scale
            o[:, n:] = zero
            even[:, n:] = zero
        shared = common[tile]
        for k in range(nlev):
            mean, per_scale = temperature_mean[k], one / temperature_scale[k]
            for j in range(n):
                shared[k, j] = np.float32(temperature[k, start + j] - mean) * per_scale
        for j in range(n):
            shared[nlev, j] = (np.log(lowest_pressure[start + j]) - log_mean) / log_scale
            angle = np.radians(np.float64(lat[start + j]))
            s1, c1 = np.sin(angle), np.cos(angle)
            s, co = s1, c1
            for m in range(harmonics):
                shared[nlev + 1 + 2 * m, j], shared[nlev + 2 + 2 * m, j] = s, co
                s, co = s * c1 + co * s1, co * c1 - s * s1
        shared[:, n:] = zero


@njit(parallel=True)
def from_tiles(y: Array, scale: Array, fluxes: tuple[Array, ...]) -> None:
    """``flux = scale y`` back in the order of columns.

    Args:
        y: shape [tile, component, interface, TILE].
        scale: shape [interface].
        fluxes: filled, one of each component, shape [interface, column].
    """
    nhalf, ncol = fluxes[0].shape
    for tile in numba.prange(y.shape[0]):
        start = tile * TILE
        n = min(TILE, ncol - start)
        for c in range(len(fluxes)):
            flux, part = fluxes[c], y[tile, c]
            for k in range(nhalf):
                for j in range(n):
                    flux[k, start + j] = scale[k] * part[k, j]
