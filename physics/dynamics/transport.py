r"""Grid-space transport of tracers in flux form: monotone, positive, mass-conserving.

One step moves tracer and air through the same faces, axis after axis, so that a constant stays
constant and the tracer's mass is kept to rounding without any fixer:

1. Air through the east and north faces from the mean of the winds at both ends of the step (fourth
   order in the mesh). Cell areas are the Gaussian weights, so global sums are the model's own.
2. The column sums of these fluxes do not agree exactly with the model's change of surface pressure
   (other discretization, semi-implicit terms, time filter). A gradient flux G = grad(chi), the
   same displacement at all levels, closes every column: div G = M^- - M^+ - div F. The discrete
   Poisson equation is solved directly, Fourier along longitude, tridiagonal along latitude. The
   downward flux through half levels then follows from continuity. What no flux can mend is a change
   of the global mass of air (the core's own fixer): mixing ratios then change by that factor.
3. Sweeps along longitude, latitude, height, in reversed order every other step; each is a
   one-dimensional flux form with limited profiles, parabolas (Colella and Woodward) along the
   horizontal and van Leer's straight lines along the vertical, carrying the air along, so that no
   sweep makes a new extremum. Faces with Courant numbers above 1, near the poles, take
   whole cells of air first and then a part of the last one.

Sources: van Leer (1977), J. Comput. Phys. 23, 276-299, doi:10.1016/0021-9991(77)90095-X; Colella,
P. and P. R. Woodward (1984), J. Comput. Phys. 54, 174-201, doi:10.1016/0021-9991(84)90143-8; Lin,
S.-J. and R. B. Rood (1996), Mon. Wea. Rev. 124, 2046-2070 (integer and fractional fluxes),
doi:10.1175/1520-0493(1996)124<2046:MFFSLT>2.0.CO;2; Easter, R. C. (1993), Mon. Wea. Rev. 121,
297-304 (air carried through the sweeps); Prather, M., M. McElroy, S. Wofsy, G. Russell, D. Rind
(1987), J. Geophys. Res. 92, 6579-6613, doi:10.1029/JD092iD06p06579 (closing the columns).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from coupler.interface.errors import UnstableError
from coupler.interface.parallel import ALONE, Rows
from physics.dynamics import transport_air as air
from physics.dynamics import transport_kernels as kernels
from physics.dynamics.exchanged_rows import Halo, Levels

Array = NDArray[Any]
Float64 = NDArray[np.float64]


class ColumnSolver:
    """Direct solver of the five-point Poisson equation on the cells of a Gaussian grid.

    Args:
        east_slope: flux per difference through east faces [1], [lat].
        north_slope: the same through edges [1], [lat+1], 0 at both ends.
        nlon: number of longitudes.
    """

    def __init__(self, east_slope: Float64, north_slope: Float64, nlon: int) -> None:
        nlat, modes = east_slope.size, np.arange(nlon // 2 + 1)
        waves = 2.0 - 2.0 * np.cos(2.0 * np.pi * modes / nlon)
        diagonal = -(north_slope[:-1] + north_slope[1:])[:, None] - east_slope[:, None] * waves
        diagonal[0, 0] -= north_slope[1]  # the mean of chi is free; with sum(R) = 0 this is exact
        self._lower = north_slope[:-1].copy()
        self._upper, self._pivot = np.zeros((2, nlat, modes.size))
        for j in range(nlat):
            above = self._upper[j - 1] if j else 0.0
            self._pivot[j] = 1.0 / (diagonal[j] - self._lower[j] * above)
            self._upper[j] = north_slope[j + 1] * self._pivot[j]
        self._nlon = nlon

    def __call__(self, residual: Float64) -> Float64:
        """chi with div grad chi = `residual`, both [lat, lon]; the sum of `residual` must be 0."""
        spectrum = np.fft.rfft(residual, axis=1)
        real, imaginary = spectrum.real.copy(), spectrum.imag.copy()
        air.solve_columns(self._upper, self._pivot, self._lower, real, imaginary)
        solution: Float64 = np.fft.irfft(real + 1j * imaginary, n=self._nlon, axis=1)
        return solution


class GridTransport:
    """Moves tracers on a Gaussian grid with hybrid levels.

    Args:
        sin_lat: sine of the Gaussian latitudes, south to north, [lat].
        weights: Gaussian weights, sum 2, [lat].
        nlon: number of longitudes, even.
        a, b: half-level coefficients [Pa], [1], [K+1].
        radius: of the planet [m].
        dtype: float32 or float64, of all arrays given later.
        rows: latitudes that the arrays given later hold; None: all.
    """

    def __init__(
        self,
        *,
        sin_lat: Float64,
        weights: Float64,
        nlon: int,
        a: ArrayLike,
        b: ArrayLike,
        radius: float,
        dtype: DTypeLike,
        rows: Rows | None = None,
    ) -> None:
        if nlon % 2:
            raise ValueError(f"transport: expected an even number of longitudes, got {nlon}")
        self.dtype = np.dtype(dtype)
        self._real: Any = self.dtype.type
        a64, b64 = np.asarray(a, np.float64), np.asarray(b, np.float64)
        self.rows = rows = rows or Rows(parallel=ALONE, nlat=sin_lat.size)
        levels, nlat, dlon = a64.size - 1, sin_lat.size, 2.0 * np.pi / nlon
        own_rows = rows.own
        self.shape = (levels, own_rows.size, nlon)
        cos_lat = np.sqrt(1.0 - sin_lat**2)
        edge = np.clip(-1.0 + np.concatenate([[0.0], np.cumsum(weights)]), -1.0, 1.0)
        cos_edge = np.sqrt(1.0 - edge**2)
        cos_edge[[0, -1]] = 0.0
        east_slope = weights / (cos_lat * dlon) ** 2
        north_slope = np.zeros(nlat + 1)
        north_slope[1:-1] = cos_edge[1:-1] / np.diff(np.arcsin(sin_lat))
        self._solver = ColumnSolver(east_slope, north_slope, nlon)
        self._slopes = east_slope, north_slope
        thickness = np.diff(a64 + 1.0e5 * b64)
        self._share = (thickness / thickness.sum()).astype(self.dtype)
        self._radius, self._weights64 = radius, weights
        self._east_factor = (weights / (radius * cos_lat * dlon))[own_rows]
        own = self.dtype
        self._a, self._b = a64.astype(own), b64.astype(own)
        self._weights = weights[own_rows].astype(own)
        self._cos_lat, self._cos_edge = cos_lat.astype(own), cos_edge.astype(own)
        self._cos_own = self._cos_lat[own_rows]
        self._halo, self._levels = Halo(rows, 2), Levels(rows, levels)
        blocks = [(a, b) for a, b in rows.blocks[rows.parallel.rank] if b > a]
        self._edge = np.concatenate([np.arange(a, b + 1) for a, b in blocks])
        """Numbers of the edges around own rows; each block of rows has one more than rows."""
        block = np.repeat(np.arange(len(blocks)), [b - a for a, b in blocks])
        self._south = np.arange(own_rows.size) + block
        self._fx = np.zeros(self.shape, own)
        self._fy = np.zeros((levels, self._edge.size, nlon), own)
        self._fz = np.zeros((levels + 1, *self.shape[1:]), own)
        self._mass = np.zeros(self.shape, own)
        self._rows = np.zeros((7, nlon + 6), own)
        self._planes = np.zeros((8, max(levels + 1, nlat + 4), nlon), own)
        self._carried = np.zeros((levels, self._halo.count, nlon), own)
        self._by_level = np.zeros((0, 0, 0, 0), own)
        self._residual = np.zeros(self.shape[1:])
        self._sums = np.zeros((3, self.shape[1]))
        self._shift = (
            (1.0 / self._east_factor)[:, None],
            radius / np.maximum(cos_edge, 1e-6)[self._edge][self._south, None],
        )
        self.closing_shift = 0.0
        """Largest distance by which the closing flux moved a column of these rows in the last step
        [m]."""
        self.air_change = 0.0
        """Relative change of the global mass of air in the last step [1]."""

    def clear(self) -> None:
        """Forgets the air fluxes."""
        self._fx.fill(0.0)
        self._fy.fill(0.0)

    def add_wind(self, ua: Array, va: Array, ps: Array, dt: float) -> None:
        """Adds what a wind carries in `dt` seconds; call at both ends with half the step.

        Args:
            ua, va: [m s-1], [K, lat, lon]. ps: [Pa], [lat, lon].
            dt: [s].
        """
        air.add_east_flux(
            ua,
            va,
            ps,
            self._a,
            self._b,
            (self._east_factor * dt).astype(self.dtype),
            self._cos_own,
            self._rows,
            self._fx,
            self._carried,
        )
        self._halo.fill(self._carried)
        air.add_north_flux(
            self._carried,
            self._halo.place,
            self._edge,
            self._cos_lat,
            self._cos_edge,
            self._real(dt / self._radius),
            self._fy,
        )

    def advance(self, q: Array, before: Array, after: Array, *, reverse: bool = False) -> None:
        """Transports in place with the winds added since :meth:`clear`.

        Args:
            q: mixing ratios, [tracer, K, lat, lon].
            before, after: ps at both ends of the step [Pa], [lat, lon].
            reverse: sweep down, north, east instead of east, north, down.

        Raises:
            UnstableError: when more air leaves a cell than it has.
        """
        given = np.stack([before.sum(1, dtype=np.float64), after.sum(1, dtype=np.float64)])
        total, then = (self._weights64 * self.rows.each(given)).cumsum(axis=1)[:, -1]
        factor = float(total / then)
        self.air_change = 1.0 / factor - 1.0
        air.column_residual(
            self._fx,
            self._fy,
            self._south,
            before,
            after,
            self._weights64[self.rows.own],
            factor,
            self._residual,
        )
        east, north = self._closing_flux()
        self.closing_shift = float(
            max(
                np.abs(self._shift[0] * east / before).max(),
                np.abs(self._shift[1] * north[self._south] / before).max(),
            )
        )
        air.close_columns(
            east.astype(self.dtype),
            north.astype(self.dtype),
            self._share,
            before,
            after,
            self._real(factor),
            self._a,
            self._b,
            self._weights,
            self._south,
            self._fx,
            self._fy,
            self._fz,
            self._mass,
        )
        sweeps = (self._east, self._north, self._down)
        self._refuse_emptied({s.__name__: s(q) for s in (sweeps[::-1] if reverse else sweeps)})
        kernels.settle(q, self._mass, after, self._a, self._b, self._weights)

    def _refuse_emptied(self, emptied: dict[str, float]) -> None:
        """Raises on every rank when a sweep left cells on any of them without air."""
        ranks = self.rows.parallel.size
        all_of_them = np.zeros((ranks, len(emptied)))
        own = np.array([list(emptied.values())])
        self.rows.parallel.allgather(own, all_of_them, [len(emptied)] * ranks)
        for sweep, cells in zip(emptied, all_of_them.sum(axis=0), strict=True):
            if cells:
                raise UnstableError.of(
                    "more air leaves a cell than it has",
                    sweep.strip("_"),
                    expected="a positive part left in all cells",
                    found=f"{cells:g} without air",
                    remedy="shorten dt",
                )

    def _closing_flux(self) -> tuple[Float64, Float64]:
        """Flux of whole columns [Pa] with the missing divergence, [lat, lon], [edge, lon]."""
        rows, (east_slope, north_slope) = self.rows, self._slopes
        # Two dimensions only: every rank solves for the globe and keeps what is around its rows.
        potential = self._solver(rows.globe(self._residual))
        own = potential[rows.own]
        east = east_slope[rows.own, None] * (np.roll(own, -1, axis=1) - own)
        north = np.zeros((self._edge.size, self.shape[2]))
        inner = (self._edge > 0) & (self._edge < rows.nlat)
        edge = self._edge[inner]
        north[inner] = north_slope[edge, None] * (potential[edge] - potential[edge - 1])
        return east, north

    def _east(self, q: Array) -> float:
        return kernels.sweep_east(q, self._mass, self._fx, self._rows)

    def _north(self, q: Array) -> float:
        if self.rows.parallel.size == 1:
            return kernels.sweep_north(q, self._mass, self._fy, self._planes)
        tracers, nlat, count = q.shape[0], self.rows.nlat, self._levels.count
        if self._by_level.shape[0] != tracers + 2:
            self._by_level = np.zeros((tracers + 2, count, nlat, self.shape[2]), self.dtype)
            self._over_edges = np.zeros((count, nlat + 1, self.shape[2]), self.dtype)
        self._levels.to_levels([*q, self._mass, self._fy[:, self._south]], self._by_level)
        self._over_edges[:, :-1] = self._by_level[-1]
        emptied = kernels.sweep_north(
            self._by_level[:tracers], self._by_level[tracers], self._over_edges, self._planes
        )
        self._levels.to_rows(self._by_level[:-1], [*q, self._mass])
        return emptied

    def _down(self, q: Array) -> float:
        return kernels.sweep_down(q, self._mass, self._fz, self._planes)

    def add_source(
        self, q: Array, rate: Array | None, ps: Array, dt: float
    ) -> tuple[float, float, float]:
        """q += dt rate for one tracer [K, lat, lon], filling negative values within columns.

        Returns:
            global means [Pa]: g times the tracer's mass, times what was moved to fill, and times
            what had to be made because a whole column was negative.
        """
        given = np.zeros((0, 0, 0), self.dtype) if rate is None else rate
        kernels.add_source(q, given, ps, self._a, self._b, dt, self._sums)
        mass, moved, made = self._means(self._sums)
        return mass, moved, made

    def mass(self, q: Array, ps: Array) -> float:
        """g times the global mean mass of a tracer [K, lat, lon] [Pa], summed in float64."""
        delta_a, delta_b = np.diff(self._a.astype(np.float64)), np.diff(self._b.astype(np.float64))
        dp = delta_a[:, None, None] + delta_b[:, None, None] * ps.astype(np.float64)
        return self._means((dp * q).sum(0).sum(1)[None])[0]

    def _means(self, sums: Float64) -> list[float]:
        """Global means from sums over own rows [quantity, lat], added from south to north."""
        found = 0.5 / self.shape[2] * self._weights64 * self.rows.each(sums)
        return [float(x) for x in found.cumsum(axis=1)[:, -1]]
