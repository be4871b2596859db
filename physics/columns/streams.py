"""Random numbers that belong to a column and a draw, whatever else is computed beside them.

The state of the generator is a counter: the number of the draw, scrambled together with the
identity of the column, which follows from the run's seed and the column's place. The same column
draws the same numbers in any order of columns, on any number of processes and after a restart.

SplitMix64: Steele, Lea and Flood (2014), doi:10.1145/2660193.2660195. Normal numbers by the polar
form of Box and Muller (1958), doi:10.1214/aoms/1177706645.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from coupler.interface.component import Array
from physics.columns.jit import njit


@njit()
def _scrambled(x: Any) -> Any:
    """SplitMix64's output function of a 64-bit counter."""
    z = np.uint64(x) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit()
def normal_pair(stream: Any, number: int) -> tuple[float, float]:
    """Two independent standard normal numbers: draw `number` of a column's `stream`."""
    to_unit = 1.0 / 9007199254740992.0
    state = _scrambled(stream ^ _scrambled(np.uint64(number)))
    x = y = square = 0.0
    while square == 0.0 or square >= 1.0:
        state = _scrambled(state)
        x = 2.0 * np.float64(state >> np.uint64(11)) * to_unit - 1.0
        state = _scrambled(state)
        y = 2.0 * np.float64(state >> np.uint64(11)) * to_unit - 1.0
        square = x * x + y * y
    size = math.sqrt(-2.0 * math.log(square) / square)
    return x * size, y * size


@njit()
def log_normal_factors(streams: Array, number: int, deviation: float, out: Array) -> None:
    """Fills factors of mean 1 and standard deviation `deviation`, shape [column]."""
    variance = math.log(1.0 + deviation * deviation)
    for c in range(streams.size):
        one, _ = normal_pair(streams[c], number)
        out[c] = math.exp(math.sqrt(variance) * one - 0.5 * variance)


def column_streams(seed: int, lat: Array, lon: Array) -> Array:
    """Identity of each column's stream, shape [column], from the seed and the place.

    Args:
        seed: of the run.
        lat: Latitudes [degrees_north], shape [column]; a millionth of a degree counts.
        lon: Longitudes [degrees_east], shape [column].
    """
    place = np.stack([np.round(np.asarray(a, np.float64) * 1e6) for a in (lat, lon)])
    found = np.zeros(place.shape[1], np.uint64)
    for c, (y, x) in enumerate(place.astype(np.int64).T.tolist()):
        # words of a seed are not negative
        words = [seed, y + 90_000_000, x + 360_000_000]
        found[c] = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return found
