r"""Sub-grid statistics of a high-resolution field: what a coarse grid does not resolve of it.

With <.> the area mean over a cell of the coarse grid and H the cell means interpolated back to the
fine grid,

.. math:: s = \sqrt{\langle (h - H)^2 \rangle}

h [m], s [m]. Subtracting H, not the cell's own mean, leaves out the slope that the coarse grid does
resolve; what would otherwise be counted as roughness of a smooth rise. Means are conservative: the
global mean of s^2 is that of the fine field's unresolved variance.

Used as the height of the mountains by McFarlane (1987),
doi:10.1175/1520-0469(1987)044<1775:TEOOEG>2.0.CO;2, and later schemes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coupler.exchange.regrid import Regridder
from coupler.input.files import grid_of, read_field
from coupler.interface.errors import DataError
from coupler.interface.fields import Field
from coupler.interface.grid import Grid

F64 = NDArray[np.float64]


def deviation(values: F64, source: Grid, target: Grid) -> F64:
    """Standard deviation of the unresolved part of `values` in each cell of `target`.

    Args:
        values: shape [lat, lon] on `source`.
        source: the fine grid.
        target: the coarse grid.

    Returns:
        Shape [lat, lon] on `target`, in the unit of `values`.
    """
    to_target = Regridder(source, target, "conservative")
    resolved = Regridder(target, source, "bilinear").apply(to_target.apply(values))
    variance = to_target.apply((values - resolved) ** 2)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def read_deviation(
    path: Path, variable: str, target: Grid, field: Field, *, file_units: str | None = None
) -> F64:
    """The deviation of a field of a file on `target`, in the unit of `field`.

    Args:
        path: the netCDF file.
        variable: its name in the file; without a time.
        target: the coarse grid.
        field: what the deviation is to us: its unit and plausible range.
        file_units: unit of the file where the file does not say or is wrong.

    Raises:
        DataError: with one sentence saying what is wrong.
    """
    where = f"{variable} in {path}"
    read = read_field(path, variable, ("lat", "lon"), units=field.units, file_units=file_units)
    source = grid_of(read.coordinates, where)
    if source.lat.size < 2 * target.lat.size or source.lon.size < 2 * target.lon.size:
        raise DataError.of(
            "too coarse for sub-grid statistics",
            where,
            expected=f"at least two cells in each of {target}, in both directions",
            found=str(source),
            remedy="take a file of higher resolution",
        )
    out = deviation(read.values, source, target)
    low, high = field.valid or (0.0, np.inf)
    if out.min() < low or out.max() > high:
        raise DataError.of(
            "values out of range",
            where,
            expected=f"{field.name} from {low:g} to {high:g} {field.units}",
            found=f"{out.min():g} to {out.max():g}",
            remedy="state the unit of the file in the case with `units:`",
        )
    return out
