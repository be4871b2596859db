"""Moving fields between rectilinear grids: conservative, bilinear, nearest.

First-order conservative remapping gives target cell i the overlap-weighted mean of source cells j,

    F_i = sum_j s_j A_ij f_j / N_i,        A_ij: area common to cells i and j [fraction of sphere],

with s_j the valid share of the source cell. On rectilinear grids the overlap is a product of an
overlap in sin(latitude) and one in longitude, A = L x M, so that two small matrix products do it.

The divisor N_i is a choice (Jones 1999, section 2,
doi:10.1175/1520-0493(1999)127<2204:FASOCR>2.0.CO;2):

- ``fraction``: N_i = sum_j s_j A_ij, the part of the cell that has data. Values stay means of
  source values (a constant stays that constant); the integral is conserved over
  `Regridder.coverage` c_i and cell areas a: sum_i a_i c_i F_i = sum_j a_j s_j f_j.
- ``destination``: N_i = area of the whole cell. The integral is conserved over whole cells; a
  partly covered cell holds a diluted value. For amounts, not for temperatures.

Without a source fraction the two are the same. Bilinear and nearest remapping conserve nothing.
Vectors need no rotation here: east and north mean the same on all latitude-longitude grids.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from coupler.interface.errors import ExchangeError, nearest
from coupler.interface.grid import Grid

F64 = NDArray[np.float64]
Array = NDArray[Any]
Method = Literal["conservative", "bilinear", "nearest"]
Normalise = Literal["fraction", "destination"]


class Regridder:
    """Remaps fields ``[..., lat, lon]`` from `source` to `target`, set up once.

    Everything is computed in float64 whatever the type of the field; buffers are kept from call to
    call. The conservative method keeps the area integral to round-off (1e-14 relative in float64).

    Attributes:
        coverage: part of each target cell that has source data [1], shape [lat, lon]; 1 or 0 for
            ``nearest`` and ``bilinear``.
    """

    def __init__(
        self,
        source: Grid,
        target: Grid,
        method: Method = "conservative",
        *,
        source_fraction: Array | None = None,
        normalise: Normalise = "fraction",
        fill: float | Literal["nearest"] = np.nan,
    ) -> None:
        """Precomputes the weights.

        Args:
            source: grid of the fields that come in.
            target: grid of the fields that go out.
            method: ``conservative``, ``bilinear`` or ``nearest``.
            source_fraction: valid share of each source cell [1], shape [lat, lon]; None: all valid.
                Bilinear and nearest use a cell when its share is above zero.
            normalise: divisor of the conservative method, see the module's text.
            fill: value of target cells that no valid source cell touches; ``"nearest"``: the value
                of the nearest valid source cell.

        Raises:
            ExchangeError: for an unknown method, a grid that is not the whole sphere, or a
                fraction of the wrong shape or outside 0..1.
        """
        for name, choice, known in (
            ("method", method, get_args(Method)),
            ("normalise", normalise, get_args(Normalise)),
        ):
            if choice not in known:
                raise ExchangeError.of(
                    f"unknown {name} of remapping", str(choice), remedy=nearest(str(choice), known)
                )
        self.source, self.target, self.method = source, target, method
        self._fraction = _checked_fraction(source, source_fraction)
        self._nearest: NDArray[np.intp] | None = None
        self._buffers: dict[tuple[int, ...], tuple[F64, F64, F64]] = {}
        if method == "nearest":
            self._nearest = nearest_index(source, target, self._fraction)
            self.coverage: F64 = np.ones(target.shape)
            self._fill: float | None = None
            return
        if method == "conservative":
            lat, lon = latitude_overlap(source, target), longitude_overlap(source, target)
        else:
            lat, lon = latitude_linear(source, target), longitude_linear(source, target)
        self._lat, self._lon_t = lat, np.ascontiguousarray(lon.T)
        whole = np.outer(lat.sum(axis=1), lon.sum(axis=1))
        valid = np.ones(source.shape) if self._fraction is None else self._fraction
        if method == "bilinear":
            valid = (valid > 0.0).astype(np.float64)
        touched = lat @ valid @ self._lon_t
        # Below this a cell is "touched" only through round-off of cell edges that coincide.
        missing = touched <= 1e-12 * whole
        self.coverage = np.where(missing, 0.0, np.minimum(touched / whole, 1.0))
        divisor = whole if normalise == "destination" and method == "conservative" else touched
        self._scale = np.where(missing, 0.0, 1.0 / np.where(missing, 1.0, divisor))
        self._valid = None if self._fraction is None else valid
        self._invalid = None if self._valid is None else self._valid == 0.0
        self._missing = missing if missing.any() else None
        self._fill = None if fill == "nearest" else float(fill)
        if self._missing is not None and fill == "nearest":
            self._nearest = nearest_index(source, target, self._fraction)

    def apply(self, field: Array, out: Array | None = None) -> Array:
        """The field on the target grid.

        Args:
            field: shape [..., lat, lon] on the source grid, float32 or float64.
            out: shape [..., lat, lon] on the target grid, written in place; None: a new array of
                the type of `field`.

        Raises:
            ExchangeError: when a shape does not fit its grid.
        """
        lead = field.shape[:-2]
        if field.ndim < 2 or field.shape[-2:] != self.source.shape:
            raise ExchangeError.of(
                "field is not on the source grid",
                f"shape {field.shape}",
                expected=f"[..., {self.source.shape[0]}, {self.source.shape[1]}] ({self.source})",
            )
        if out is None:
            out = np.empty((*lead, *self.target.shape), field.dtype)
        elif out.shape != (*lead, *self.target.shape):
            raise ExchangeError.of(
                "output is not on the target grid",
                f"shape {out.shape}",
                expected=f"{(*lead, *self.target.shape)} ({self.target})",
            )
        if self.method == "nearest":
            out[...] = self._take_nearest(field)
            return out
        work, half, full = self._work(lead)
        np.copyto(work, field)
        if self._valid is not None and self._invalid is not None:
            np.copyto(work, 0.0, where=self._invalid)  # also where the source holds NaN
            np.multiply(work, self._valid, out=work)
        np.matmul(self._lat, work, out=half)
        np.matmul(half, self._lon_t, out=full)
        np.multiply(full, self._scale, out=full)
        if self._missing is not None:
            filler = self._take_nearest(field) if self._fill is None else self._fill
            np.copyto(full, filler, where=self._missing)
        np.copyto(out, full, casting="same_kind")
        return out

    def _work(self, lead: tuple[int, ...]) -> tuple[F64, F64, F64]:
        if lead not in self._buffers:
            (ns, ms), (nt, mt) = self.source.shape, self.target.shape
            self._buffers[lead] = (
                np.empty((*lead, ns, ms)),
                np.empty((*lead, nt, ms)),
                np.empty((*lead, nt, mt)),
            )
        return self._buffers[lead]

    def _take_nearest(self, field: Array) -> Array:
        assert self._nearest is not None
        return field.reshape(*field.shape[:-2], -1)[..., self._nearest]


def _checked_fraction(source: Grid, fraction: Array | None) -> F64 | None:
    if fraction is None:
        return None
    share = np.array(fraction, dtype=np.float64)
    # Fractions arrive in float32 and from earlier remapping; 1e-6 is their round-off.
    if share.shape != source.shape or not (np.min(share) >= -1e-6 and np.max(share) <= 1 + 1e-6):
        raise ExchangeError.of(
            "bad source fraction",
            f"shape {share.shape}, range {share.min():g} to {share.max():g}",
            expected=f"shape {source.shape} and values from 0 to 1",
        )
    if not share.any():
        raise ExchangeError.of(
            "no valid source cell", str(source), expected="a source fraction above 0 somewhere"
        )
    return np.clip(share, 0.0, 1.0)


def sine_edges(grid: Grid) -> F64:
    """Sines of the cell edges [1], shape [nlat + 1], from -1 to 1.

    They are summed from the area weights, not taken from the bounds in degrees, so that remapping
    and `Grid.mean` weigh cells alike to the last bits.

    Raises:
        ExchangeError: when the rows do not fill the sphere or disagree with the bounds.
    """
    edges = np.concatenate([[-1.0], -1.0 + 2.0 * np.cumsum(grid.weights)])
    bounds = np.sin(np.radians(grid.lat_bounds))
    span = float(grid.lon_bounds[-1] - grid.lon_bounds[0])
    if np.abs(edges - bounds).max() > 1e-9 or abs(span - 360.0) > 1e-9:
        raise ExchangeError.of(
            "grid cannot be remapped",
            str(grid),
            expected="cells that fill the sphere, with areas that agree with their bounds",
            found=f"latitudes {grid.lat_bounds[0]:g} to {grid.lat_bounds[-1]:g}, longitudes "
            f"spanning {span:g}, area weights summing to {grid.weights.sum():.12g}",
        )
    edges[-1] = 1.0
    return edges


def _overlap(source_edges: F64, target_edges: F64) -> F64:
    """Common length of intervals, shape [target, source]."""
    upper = np.minimum(target_edges[1:, None], source_edges[None, 1:])
    lower = np.maximum(target_edges[:-1, None], source_edges[None, :-1])
    common: F64 = np.maximum(upper - lower, 0.0)
    return common


def latitude_overlap(source: Grid, target: Grid) -> F64:
    """Common share of the sphere of two rows [1], shape [target rows, source rows]."""
    return 0.5 * _overlap(sine_edges(source), sine_edges(target))


def longitude_overlap(source: Grid, target: Grid) -> F64:
    """Common share of the circle of two columns [1], shape [target, source]; periodic."""
    start = source.lon_bounds[0]
    shift = 360.0 * np.floor((target.lon_bounds[0] - start) / 360.0)
    edges = target.lon_bounds - shift  # begins within the source's own turn, ends in the next one
    turns = (_overlap(source.lon_bounds + 360.0 * k, edges) for k in (0, 1))
    share: F64 = sum(turns, np.zeros((target.lon.size, source.lon.size))) / 360.0
    return share


def latitude_linear(source: Grid, target: Grid) -> F64:
    """Linear interpolation in latitude [1], shape [target, source].

    Poleward of the outermost source row its value is kept.
    """
    where = np.interp(target.lat, source.lat, np.arange(source.lat.size, dtype=np.float64))
    return _two_point(where, source.lat.size, periodic=False)


def longitude_linear(source: Grid, target: Grid) -> F64:
    """Linear interpolation in longitude [1], shape [target, source]; periodic."""
    n = source.lon.size
    turn = np.append(source.lon, source.lon[0] + 360.0)
    lon = source.lon[0] + np.mod(target.lon - source.lon[0], 360.0)
    return _two_point(np.interp(lon, turn, np.arange(n + 1, dtype=np.float64)), n, periodic=True)


def _two_point(where: F64, n: int, *, periodic: bool) -> F64:
    """Weights of the two points around fractional positions `where`, shape [target, n]."""
    low = np.minimum(np.floor(where).astype(np.intp), n - 1 if periodic else max(n - 2, 0))
    share = where - low
    rows = np.arange(where.size)
    weights = np.zeros((where.size, n))
    weights[rows, low] += 1.0 - share
    weights[rows, (low + 1) % n] += share
    return weights


def nearest_index(source: Grid, target: Grid, fraction: F64 | None = None) -> NDArray[np.intp]:
    """Flat index of the source cell nearest on the sphere, shape [target lat, target lon].

    Only cells with a `fraction` above zero are candidates.
    """
    from scipy.spatial import KDTree

    if fraction is None:
        fraction = np.ones(source.shape)
    candidates = np.flatnonzero(fraction.ravel() > 0.0)
    _, found = KDTree(_unit_vectors(source)[candidates]).query(_unit_vectors(target))
    index: NDArray[np.intp] = candidates[found].reshape(target.shape)
    return index


def _unit_vectors(grid: Grid) -> F64:
    lat, lon = np.meshgrid(np.radians(grid.lat), np.radians(grid.lon), indexing="ij")
    xyz = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    return xyz.reshape(-1, 3)
