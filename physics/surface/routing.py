r"""Flow directions from the orography, and the order in which water passes the cells.

Every land cell drains into one of its eight neighbours. The directions are found by flooding from
the sea: cells are taken out of a queue lowest first, and each neighbour that was not reached yet
drains into the cell that reached it, its ground raised to that cell's height if it lies lower. So
every hollow fills up to its lowest outlet and no water stands, whatever the resolution did to the
valleys; ties are broken by the order of the cells, so that directions are the same everywhere.

Source: Barnes, Lehman and Mulla (2014), Computers & Geosciences 62, 117-127,
doi:10.1016/j.cageo.2013.04.024 (priority flood).
"""

from __future__ import annotations

import heapq

import numpy as np

from coupler.interface.component import Array
from coupler.interface.errors import DataError
from coupler.interface.grid import Grid
from coupler.interface.jit import njit

SEA = -1
"""Receiver of a cell that is sea."""


def neighbours(row: int, column: int, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """The up to eight cells around one, across the date line but not across the poles."""
    nlat, nlon = shape
    return [
        (row + dy, (column + dx) % nlon)
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if (dy or dx) and 0 <= row + dy < nlat
    ]


def flow_directions(orog: Array, land: Array) -> Array:
    """Flat index of the cell that each land cell drains into, `SEA` for sea; shape [lat, lon].

    Args:
        orog: height of the ground [m], shape [lat, lon].
        land: which cells are land.
    """
    shape = (int(land.shape[0]), int(land.shape[1]))
    receiver = np.full(shape, SEA, np.intp)
    height = orog.astype(np.float64).copy()
    reached = ~land
    queue: list[tuple[float, int]] = []
    for row, column in np.argwhere(~land):
        if any(land[i, j] for i, j in neighbours(row, column, shape)):
            queue.append((float(min(height[row, column], 0.0)), int(row * shape[1] + column)))
    heapq.heapify(queue)
    while queue:
        level, cell = heapq.heappop(queue)
        row, column = divmod(cell, shape[1])
        for i, j in neighbours(row, column, shape):
            if reached[i, j]:
                continue
            reached[i, j] = True
            receiver[i, j] = cell
            heapq.heappush(queue, (max(level, float(height[i, j])), i * shape[1] + j))
    return receiver


def downstream_order(receiver: Array, land: Array, grid: Grid) -> Array:
    """Flat indices of the land cells, every one before the cell that it drains into.

    Raises:
        DataError: for a land cell from which water never reaches the sea.
    """
    flat, is_land = receiver.reshape(-1), land.reshape(-1)
    cells = np.flatnonzero(is_land)
    inflows = np.zeros(flat.size, np.intp)
    to = flat[cells]
    np.add.at(inflows, to[to >= 0], 1)
    ready = [int(c) for c in cells if inflows[c] == 0]
    order: list[int] = []
    while ready:
        cell = ready.pop()
        order.append(cell)
        below = int(flat[cell])
        if below >= 0 and is_land[below]:
            inflows[below] -= 1
            if inflows[below] == 0:
                ready.append(below)
    lost = np.zeros(flat.size, bool)
    lost[cells] = True
    lost[order] = False
    lost |= is_land & (flat == SEA)
    if lost.any():
        first = int(np.argmax(lost))
        raise DataError.of(
            "land cell without an outlet",
            grid.point(first),
            expected="a way down to a cell of sea from every cell of land",
            found=f"{int(lost.sum())} of {cells.size} land cells whose water never arrives",
            remedy="give the rivers a map with sea (sftlf below 0.5 somewhere), or correct the "
            "flow directions",
        )
    return np.array(order, np.intp)


def lengths(receiver: Array, grid: Grid, radius: float) -> Array:
    """Great-circle distance from each cell to the one it drains into [m], shape [lat, lon]."""
    rows, columns = np.meshgrid(np.radians(grid.lat), np.radians(grid.lon), indexing="ij")
    lat, lon, to = rows.reshape(-1), columns.reshape(-1), receiver.reshape(-1)
    below = np.where(to >= 0, to, np.arange(to.size))
    half = np.sin(0.5 * (lat - lat[below])) ** 2
    half += np.cos(lat) * np.cos(lat[below]) * np.sin(0.5 * (lon - lon[below])) ** 2
    return np.asarray(2.0 * radius * np.arcsin(np.sqrt(half))).reshape(receiver.shape)


@njit()
def flow(
    order: Array, receiver: Array, rate: Array, volume: Array, inflow: Array, dt: float
) -> None:
    """Linear reservoirs one after another, each backward in time with what arrives in this step.

    Args:
        order: land cells, upstream first.
        receiver: where each drains.
        rate: v/L [s-1], shape [cell].
        volume: water [kg], changed in place.
        inflow: what arrives [kg s-1]: runoff at first; afterwards, in cells of the sea, what they
            were delivered.
        dt: [s].
    """
    for n in range(order.size):
        c = order[n]
        full = volume[c] + dt * inflow[c]
        out = full * rate[c] / (1.0 + dt * rate[c])
        volume[c] = full - dt * out
        inflow[receiver[c]] += out
