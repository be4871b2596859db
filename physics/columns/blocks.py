"""Columns dealt out in blocks: contiguous scratch for kernels whose inner loop is the level.

Fields are ``[level, column]``: walking down one column touches one cache line per level and, at
power-of-two grid sizes, always the same few sets of the cache. A kernel therefore gathers `BLOCK`
neighbouring columns at a time into float64 scratch ``[field, BLOCK, level]``, whole cache lines
at once, and checks there that a column makes sense at all.
"""

from __future__ import annotations

import numpy as np

from coupler.interface.component import Array, Arrays, Host
from coupler.interface.errors import ConfigError, ContractError, CouplerError, UnstableError
from physics.columns.jit import njit

BLOCK = 16
"""Columns of a block: one cache line of float32, two of float64, at each level."""
WORKERS = 64
"""Slices of scratch; more than threads, so that columns of unequal cost are shared evenly."""

State = tuple[Array, Array, Array, Array, Array]
"""ua va ta pfull zg, shape [level, column]."""


def workers(ncol: int) -> int:
    """Slices of scratch for `ncol` columns."""
    return min(WORKERS, -(-ncol // BLOCK))


@njit()
def gather(state: State, start: int, stop: int, work: Array) -> None:
    """Copies columns `start` to `stop` of ua va ta pfull zg into ``work[0:5]``."""
    nlev = state[0].shape[0]
    for k in range(nlev):
        for i in range(start, stop):
            work[0, i - start, k] = state[0][k, i]
            work[1, i - start, k] = state[1][k, i]
            work[2, i - start, k] = state[2][k, i]
            work[3, i - start, k] = state[3][k, i]
            work[4, i - start, k] = state[4][k, i]


@njit()
def senseless(work: Array, column: int) -> int:
    """1 + the first level at which a gathered column makes no sense, else 0."""
    u, v, t = work[0, column], work[1, column], work[2, column]
    p, z = work[3, column], work[4, column]
    for k in range(t.size):
        finite = abs(u[k]) + abs(v[k]) < np.inf and 0.0 < t[k] < np.inf and 0.0 < p[k] < np.inf
        if not (finite and (k == 0 or (p[k] > p[k - 1] and z[k] < z[k - 1]))):
            return k + 1
    return 0


@njit()
def scatter(source: Array, start: int, stop: int, out: Array) -> None:
    """Copies scratch [BLOCK, level] back to columns `start` to `stop` of `out`."""
    for k in range(source.shape[1]):
        for i in range(start, stop):
            out[k, i] = source[i - start, k]


def complaint(name: str, bad: Array, x: Arrays, lat: Array) -> CouplerError:
    """What was wrong with the first column that `senseless` found, and where."""
    column = int(np.flatnonzero(bad)[0])
    level = int(bad[column]) - 1
    values = {n: float(getattr(x, n)[level, column]) for n in ("ua", "va", "ta", "pfull", "zg")}
    broken = [n for n, v in values.items() if not np.isfinite(v)]
    where = f"level {level}, column {column} (latitude {lat[column]:.2f})"
    if broken or values["ta"] <= 0.0:
        return UnstableError.of(
            f"{name} was given a state without meaning",
            ", ".join(broken or ["ta"]),
            expected="finite numbers and a positive temperature",
            found=", ".join(f"{n} = {v:g}" for n, v in values.items()) + f" at {where}",
            remedy="shorten the time step, or look at the process before this one",
        )
    return ContractError.of(
        f"{name} was given layers out of order",
        "pfull, zg",
        expected="positive pressure that increases, and height that decreases, downward",
        found=f"pfull = {values['pfull']:g} Pa, zg = {values['zg']:g} m at {where}",
        remedy="check that level 0 is the top",
    )


def layers_above(host: Host, pressure: float, name: str) -> int:
    """How many layers of the host's reference column have at most this mean pressure.

    Raises:
        ConfigError: when none or all of them have.
    """
    half = host.levels.half_pressure(np.asarray(host.planet.reference_pressure))
    middle = 0.5 * (half[1:] + half[:-1])
    above = int(np.count_nonzero(middle <= pressure))
    if above in (0, host.nlev):
        raise ConfigError.of(
            "gravity waves without room",
            name,
            expected=f"a pressure between {middle[0]:.4g} and {middle[-1]:.4g} Pa, "
            "the highest and the lowest layer",
            found=f"{pressure:g} Pa",
            remedy="launch the waves inside the column, or take levels that hold their source",
        )
    return above


def latitudes(host: Host, name: str) -> Array:
    """Latitudes of the columns [degrees_north].

    Raises:
        ContractError: when the host gives none.
    """
    if "lat" not in host.static:
        raise ContractError.of("missing static field", name, expected="lat")
    return np.asarray(host.static["lat"], np.float64)


def longitudes(host: Host, name: str) -> Array:
    """Longitudes of the columns [degrees_east].

    Raises:
        ContractError: when the host gives none.
    """
    if "lon" not in host.static:
        raise ContractError.of("missing static field", name, expected="lon")
    return np.asarray(host.static["lon"], np.float64)
