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
    half = torch.tensor(levels.half_pressure())
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
    ncol = found.size
    for tile in numba.prange((ncol + TILE - 1) // TILE):
        start, stop = tile * TILE, min(tile * TILE + TILE, ncol)
        _count_above(pressure, start, limit, most, found[start:stop])


@njit()
def _count_above(pressure: Array, start: int, limit: float, most: int, found: Array) -> None:
    for j in range(found.size):
        found[j] = 0
    for k in range(pressure.shape[0]):
        p = pressure[k, start : start + found.size]
        for j in range(found.size):
            found[j] += p[j] <= limit
    for j in range(found.size):
        found[j] = min(max(found[j], 1), most)


@njit(parallel=True)
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
    ncol = temperature.shape[1]
    for tile in numba.prange(odd.shape[0]):
        start = (first + tile) * TILE
        n = min(TILE, ncol - start)
        source = launch[start : start + n]
        for c in range(len(winds)):
            o, even = odd[tile, c], spread[tile, c]
            _fill_wind(winds[c], start, source, saturation, wind_scale, mean_wind_scale, o, even)
        p, north, shared = lowest_pressure[start : start + n], lat[start : start + n], common[tile]
        normal = temperature_mean, temperature_scale
        _fill_common(temperature, start, normal, p, log_mean, log_scale, north, shared)
        if n < TILE:
            odd[tile, :, :, n:] = 0.0
            spread[tile, :, :, n:] = 0.0
            shared[:, n:] = 0.0


@njit(allocates=True)
def _fill_wind(
    wind: Array,
    start: int,
    launch: Array,
    saturation: Array,
    scale: Array,
    mean_scale: Any,
    odd: Array,
    spread: Array,
) -> None:
    """What one component gives in the tile of columns that begins at `start`.

    Rows are cut to the length of the loop out of whole arrays: otherwise the compiler does not see
    that each lies in one piece and apart from the others, and takes them number by number.
    """
    nlev, n = wind.shape[0], launch.size
    zero, one = np.float32(0.0), np.float32(1.0)
    source, level = np.empty(n, wind.dtype), np.empty(n, np.int32)
    high, low = np.zeros(n, np.float32), np.zeros(n, np.float32)
    for j in range(n):
        source[j], level[j] = wind[launch[j], start + j], launch[j]
    for j in range(n):
        odd[2 * nlev, j] = np.float32(source[j]) / mean_scale
    for k in range(nlev - 1, -1, -1):
        speed, per_scale = saturation[k], one / scale[k]
        u, of_wind = wind[k, start : start + n], odd[k, :n]
        of_sum, of_spread = odd[nlev + k, :n], spread[k, :n]
        for j in range(n):
            above = k < level[j]  # nothing breaks at or below the source
            r = np.float32(u[j] - source[j]) if above else zero
            offset = speed if above else zero
            up, down = r + offset, r - offset
            most = up if up > high[j] else high[j]
            least = down if down < low[j] else low[j]
            high[j], low[j] = most, least
            of_wind[j] = r * per_scale
            of_sum[j] = (most + least) * per_scale
            of_spread[j] = (most - least) * per_scale


@njit()
def _fill_common(
    temperature: Array,
    start: int,
    normal: tuple[Array, Array],
    lowest_pressure: Array,
    log_mean: float,
    log_scale: float,
    lat: Array,
    common: Array,
) -> None:
    """What all components share in the tile that begins at `start`."""
    nlev, n = temperature.shape[0], lat.size
    one = np.float32(1.0)
    for k in range(nlev):
        mean, per_scale = normal[0][k], one / normal[1][k]
        t, to = temperature[k, start : start + n], common[k, :n]
        for j in range(n):
            to[j] = np.float32(t[j] - mean) * per_scale
    s1, c1 = 0.0, 1.0
    for j in range(n):
        common[nlev, j] = (np.log(lowest_pressure[j]) - log_mean) / log_scale
        if j == 0 or lat[j] != lat[j - 1]:
            angle = np.radians(np.float64(lat[j]))
            s1, c1 = np.sin(angle), np.cos(angle)
        s, c = s1, c1
        for row in range(nlev + 1, common.shape[0], 2):
            common[row, j], common[row + 1, j] = s, c
            s, c = s * c1 + c * s1, c * c1 - s * s1


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
            for k in range(nhalf):
                row, part, times = fluxes[c][k, start : start + n], y[tile, c, k, :n], scale[k]
                for j in range(n):
                    row[j] = times * part[j]
