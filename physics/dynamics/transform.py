r"""Spherical harmonic transform of many fields at once, as matrix products.

A real field is f = sum_{n<=T} sum_{|m|<=n} f_n^m P_n^m(sin phi) exp(i m lambda). Spectral arrays
are real tensors ``[T+1 (m), 2 (real, imaginary), field, T+2 (l = n - m)]``: with m outermost and l
innermost, the Legendre stage is a few ``bmm`` over m on the array as it lies in memory (see
``legendre_products``). It writes
``[lat, m, 2, field]``, and each latitude of that is, without a copy, the matrix that the longitude
stage multiplies: for small grids the Fourier sum is one more matrix product that writes a row of
``[field, lat, lon]`` directly (no transposition anywhere), for larger grids an FFT after one
transposing copy. The crossover and the reason why the north-south parity split is *not* used (its
extra pass over memory costs more than the products it saves, up to T85 at least) are measured in
``benchmarks/transform.py``.

No product spans wavenumbers or latitudes: BLAS rounds an element differently in matrices of
different sizes, and a rank that holds a part of the rows must find the same bits as one that holds
all. With a `share`, ``size_m``, ``nlat`` and every table are those of this rank's wavenumbers and
rows, and the Fourier coefficients change hands between the two stages.

Derivatives act on coefficients (a: radius, eps: see ``legendre``):

    (1 - mu^2) dP_n/dmu = (n+1) eps_n P_{n-1} - n eps_{n+1} P_{n+1}
    u cos(phi) = (1/a) [d chi/d lambda - (1-mu^2) d psi/d mu],  zeta = lap psi
    v cos(phi) = (1/a) [d psi/d lambda + (1-mu^2) d chi/d mu],  D = lap chi

Source: Bourke, W. (1972), Mon. Wea. Rev. 100, 683-689,
doi:10.1175/1520-0493(1972)100<0683:AEOSGA>2.3.CO;2; Temperton, C. (1991), Mon. Wea. Rev. 119,
1303-1307, doi:10.1175/1520-0493-119-5-1303.1.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from physics.dynamics import fused_spectral
from physics.dynamics.distributed import Share
from physics.dynamics.legendre import epsilon, gaussian_nodes, legendre_functions
from physics.dynamics.legendre_products import NEGLIGIBLE, LegendreProducts

Tensor = torch.Tensor
Float64 = npt.NDArray[np.float64]

PAGE, BLOCK = 4096, 8
"""Bytes of a page; latitudes that are laid side by side where rows lie pages apart."""


class SpectralTransform:
    """Triangular truncation T on a Gaussian grid of nlat x nlon points.

    Differentiable under autograd; with gradients disabled, scratch memory is kept and reused.

    Args:
        truncation: T, the largest total wavenumber [1].
        nlat: number of Gaussian latitudes, south to north.
        nlon: number of longitudes, from 0 east.
        radius: planet radius [m].
        dtype: torch.float32 or torch.float64; tables are computed in float64 and rounded once.
        device: torch device.
        longitude: "matrix", "fft", or "auto" (by size).
        share: this rank's part, see ``distributed``; None: everything. For the CPU without
            gradients.
    """

    def __init__(
        self,
        *,
        truncation: int,
        nlat: int,
        nlon: int,
        radius: float = 1.0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        longitude: Literal["auto", "matrix", "fft"] = "auto",
        share: Share | None = None,
    ) -> None:
        if nlat < truncation + 1 or nlon < 2 * truncation + 1:
            raise ValueError(
                f"grid too small for the truncation: T{truncation} needs nlat >= {truncation + 1}, "
                f"nlon >= {2 * truncation + 1}, got nlat = {nlat}, nlon = {nlon}"
            )
        self.truncation, self.nlat, self.nlon, self.share = truncation, nlat, nlon, share
        self.radius, self.dtype, self.device = radius, dtype, torch.device(device)
        self.longitude = ("matrix" if nlon <= 150 else "fft") if longitude == "auto" else longitude
        self.size_l = truncation + 2

        mu, weights = gaussian_nodes(nlat)
        self.all_sin_lat, self.all_weights = mu, weights
        """Sine of latitude and Gaussian weight of every row of the globe [1]."""
        self.wavenumbers = np.arange(truncation + 1) if share is None else share.wavenumbers
        """m of this rank, ascending."""
        self.rows = np.arange(nlat) if share is None else share.rows.own
        """Latitude rows of this rank, south to north."""
        self.size_m, self.nlat = self.wavenumbers.size, self.rows.size
        table = legendre_functions(truncation, mu)
        table[np.abs(table) < NEGLIGIBLE[dtype] * np.abs(table).max()] = 0.0
        by_latitude = np.ascontiguousarray(np.swapaxes(table[self.wavenumbers], 1, 2))
        self._synthesis_table = self._tensor(by_latitude)
        self._analysis_table = self._tensor(by_latitude * (0.5 * weights[:, None]))
        self._legendre = LegendreProducts(
            table=table,
            wavenumbers=self.wavenumbers,
            synthesis=self._synthesis_table,
            analysis=self._analysis_table,
        )
        self.sin_lat, self.gauss_weights = mu[self.rows], weights[self.rows]
        self.cos_lat = np.sqrt(1.0 - self.sin_lat**2)
        self.secant = self._tensor(1.0 / self.cos_lat)[:, None]
        self._make_fourier_tables()
        self._make_derivative_tables()
        self._scratch: dict[tuple[str, int], Tensor] = {}
        self._views: dict[tuple[str, tuple[int, ...]], Tensor] = {}
        self._blocks: dict[tuple[int, torch.Size], list[tuple[int | None, Tensor, Tensor]]] = {}

    def _tensor(self, array: Float64) -> Tensor:
        tensor = torch.tensor(array, dtype=torch.float64)
        return tensor.to(dtype=self.dtype, device=self.device)

    def _make_fourier_tables(self) -> None:
        m = np.arange(self.truncation + 1)
        angle = 2.0 * np.pi * ((m[:, None] * np.arange(self.nlon)[None, :]) % self.nlon) / self.nlon
        factor = np.where(m == 0, 1.0, 2.0)[:, None]
        to_grid = np.stack([factor * np.cos(angle), -factor * np.sin(angle)], axis=1)
        from_grid = np.stack([np.cos(angle), -np.sin(angle)], axis=1) / self.nlon
        self._to_grid = self._tensor(to_grid.reshape(2 * m.size, self.nlon))
        self._from_grid = self._tensor(from_grid.reshape(2 * m.size, self.nlon))

    def _make_derivative_tables(self) -> None:
        size_m, size_l, a = self.size_m, self.size_l, self.radius
        m = self.wavenumbers.astype(np.float64)[:, None]
        n = m + np.arange(size_l, dtype=np.float64)[None, :]
        eps = epsilon(self.truncation)[self.wavenumbers]
        inside = n <= self.truncation
        n_safe = np.maximum(n, 1.0)

        def column(array: Float64) -> Tensor:
            return self._tensor(np.broadcast_to(array, (size_m, size_l))[:, None, None, :])

        self.degree = n
        self.degrees = np.asarray(self.truncation + 1 - self.wavenumbers, np.intp)
        """How many degrees n <= T each wavenumber of this rank has."""
        self.inside = column(inside.astype(np.float64))
        self.eigenvalue = column(np.where(inside, -n * (n + 1.0) / a**2, 0.0))
        inverse = np.where(inside & (n > 0), -(a**2) / (n_safe * (n + 1.0)), 0.0)
        self._inverse_eigenvalue = column(inverse)
        # i m X: the real part takes -m Im X, the imaginary part m Re X.
        pair = np.stack([-m[:, 0], m[:, 0]], axis=1)
        self._im = self._tensor(pair[:, :, None, None])
        self._im_over_a = self._im / a
        # Scatter form: coefficient n adds up[n] X_n to degree n+1 and down[n] X_n to degree n-1.
        up, down = -n * eps[:, 1 : size_l + 1], (n + 1.0) * eps[:, :size_l]
        self._dmu_up = column(np.where(inside, up / a, 0.0))
        self._dmu_down = column(np.where(inside, down / a, 0.0))
        self._dmu_inv_up = column(up / a * inverse)
        self._dmu_inv_down = column(down / a * inverse)
        self._im_inv = self._im / a * self._inverse_eigenvalue
        # Gather form: degree n takes (n+1) eps_n X_{n-1} - n eps_{n+1} X_{n+1} (the transpose).
        self._dmu_from_below = column(np.where(inside, down / a, 0.0))
        self._dmu_from_above = column(np.where(inside, up / a, 0.0))
        self._im_inside = self._im_over_a * self.inside

    def plain_tables(self) -> dict[str, npt.NDArray[Any]]:
        """The derivative tables as arrays [T+1, T+2], for compiled passes, and 1/cos(lat) [lat]."""
        named = {
            "up": self._dmu_up,
            "down": self._dmu_down,
            "inverse": self._inverse_eigenvalue,
            "eigenvalue": self.eigenvalue,
            "east": self._im_inside[:, 1:2],
        }
        tables = {name: t[:, 0, 0].cpu().numpy().copy() for name, t in named.items()}
        return tables | {"secant": self.secant[:, 0].cpu().numpy().copy()}

    # -- storage ------------------------------------------------------------------------------

    def _buffer(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Zeroed when new; reused between calls only while gradients are disabled."""
        if torch.is_grad_enabled():
            return torch.zeros(shape, dtype=self.dtype, device=self.device)
        key = (name, shape)
        if key not in self._views:
            flat = (name, math.prod(shape))
            if flat not in self._scratch:
                self._scratch[flat] = torch.zeros(flat[1], dtype=self.dtype, device=self.device)
            self._views[key] = self._scratch[flat].view(shape)
        return self._views[key]

    def spectral_shape(self, fields: int) -> tuple[int, int, int, int]:
        """Shape of a spectral array of so many fields."""
        return (self.size_m, 2, fields, self.size_l)

    def zeros(self, fields: int) -> Tensor:
        """Spectral zeros, shape [T+1, 2, fields, T+2]."""
        return torch.zeros(self.spectral_shape(fields), dtype=self.dtype, device=self.device)

    def to_complex(self, spec: Tensor) -> Tensor:
        """Spectral array to complex coefficients, shape [field, T+1 (m), T+1 (n)], 0 for n < m."""
        fields = spec.shape[2]
        pairs = spec.permute(2, 0, 3, 1).contiguous()
        packed = torch.view_as_complex(pairs)
        size = self.truncation + 1
        out = torch.zeros((fields, size, size), dtype=packed.dtype, device=packed.device)
        for m in range(size):
            out[:, m, m:] = packed[:, m, : size - m]
        return out

    def from_complex(self, coefficients: Tensor) -> Tensor:
        """Inverse of :meth:`to_complex`."""
        size = self.truncation + 1
        out = torch.zeros(
            self.spectral_shape(coefficients.shape[0]), dtype=self.dtype, device=self.device
        )
        for m in range(size):
            part = coefficients[:, m, m:].to(device=self.device)
            out[m, 0, :, : size - m] = part.real.to(self.dtype)
            out[m, 1, :, : size - m] = part.imag.to(self.dtype)
        return out

    # -- the transform ------------------------------------------------------------------------

    def synthesis(self, spec: Tensor, out: Tensor | None = None) -> Tensor:
        """Coefficients to grid.

        Args:
            spec: shape [T+1, 2, field, T+2]; degree T+1 is included.
            out: optional contiguous result to write to, shape [field, lat, lon].

        Returns:
            shape [field, lat, lon].
        """
        if torch.is_grad_enabled() or self.device.type != "cpu":
            return self._synthesis_whole(spec, out)
        fields, size = spec.shape[2], 2 * spec.shape[2]
        nlat = self.all_sin_lat.size
        by_m = self._buffer("by_m", (nlat, self.size_m, size))
        self._legendre.synthesis(spec.reshape(self.size_m, size, self.size_l), by_m)
        if self.share is None:
            fourier = by_m
        else:
            fourier = self._buffer("fourier", (self.nlat, self.truncation + 1, size))
            self.share.to_rows(by_m.numpy(), fourier.numpy())
        if out is None:
            out = torch.empty((fields, self.nlat, self.nlon), dtype=self.dtype, device=self.device)
        self._rows_from_fourier(fourier.view(self.nlat, -1, fields), out)
        return out

    def _synthesis_whole(self, spec: Tensor, out: Tensor | None) -> Tensor:
        """:meth:`synthesis` in differentiable products over all latitudes at once."""
        self._refuse_share()
        fields = spec.shape[2]
        flat = spec.reshape(self.size_m, 2 * fields, self.size_l)
        fourier = torch.bmm(flat, self._synthesis_table.mT)
        rows = fields * self.nlat
        if self.longitude == "matrix":
            matrix = fourier.view(2 * self.size_m, rows).t()
            grid = torch.mm(matrix, self._to_grid)
        else:
            half = torch.zeros((rows, self.nlon // 2 + 1, 2), dtype=self.dtype, device=self.device)
            half[:, : self.size_m] = fourier.view(self.size_m, 2, rows).permute(2, 0, 1)
            grid = torch.fft.irfft(torch.view_as_complex(half), n=self.nlon, norm="forward")
        grid = grid.view(fields, self.nlat, self.nlon)
        return grid if out is None or torch.is_grad_enabled() else out.copy_(grid)

    def analysis(
        self, grid: Tensor, out: Tensor | None = None, *, extended: bool = False
    ) -> Tensor:
        """Grid to coefficients by Gaussian quadrature.

        Args:
            grid: shape [field, lat, lon].
            out: optional result to write to, from :meth:`zeros` and written by this method only.
            extended: keep degree T+1 (wanted by :meth:`vorticity_divergence`).

        Returns:
            shape [T+1, 2, field, T+2].
        """
        fields = grid.shape[0]
        if torch.is_grad_enabled() or self.device.type != "cpu":
            spec = torch.bmm(self._fourier_whole(grid), self._analysis_table)
            spec = spec.view(self.spectral_shape(fields))
            return spec if extended else spec * self.inside
        size, whole = 2 * fields, self.truncation + 1
        fourier = self._buffer("fourier", (self.nlat, whole, size))
        self._fourier_from_rows(grid, fourier.view(self.nlat, 2 * whole, fields))
        by_m = fourier
        if self.share is not None:
            # Not the buffer of the synthesis, which relies on the zeros it never writes.
            by_m = self._buffer("gathered", (self.all_sin_lat.size, self.size_m, size))
            self.share.to_wavenumbers(fourier.numpy(), by_m.numpy())
        spec = self.zeros(fields) if out is None else out
        self._legendre.analysis(by_m, spec.view(self.size_m, size, self.size_l))
        return spec if extended else spec.mul_(self.inside)

    def _fourier_whole(self, grid: Tensor) -> Tensor:
        """Fourier coefficients [T+1, 2 field, lat], differentiable."""
        self._refuse_share()
        rows = grid.shape[0] * self.nlat
        flat = grid.reshape(rows, self.nlon)
        if self.longitude == "matrix":
            fourier = torch.mm(self._from_grid, flat.t())
        else:
            pairs = torch.view_as_real(torch.fft.rfft(flat, norm="forward"))[:, : self.size_m]
            fourier = pairs.permute(1, 2, 0).reshape(2 * self.size_m, rows)
        return fourier.reshape(self.size_m, -1, self.nlat)

    def _refuse_share(self) -> None:
        if self.share is not None:
            raise ValueError(
                "transform: expected the CPU without gradients for a transform that ranks share, "
                f"got {self.device.type} with gradients {torch.is_grad_enabled()}; use one rank"
            )

    def _rows_from_fourier(self, fourier: Tensor, out: Tensor) -> None:
        """Row after row of `out` [field, lat, lon] from `fourier` [lat, 2 (T+1), field]."""
        nlat, size, fields = fourier.shape
        if self.longitude == "matrix":
            table = self._to_grid.expand(nlat, size, self.nlon)
            torch.bmm(fourier.mT, table, out=out.transpose(0, 1))
            return
        half = self._buffer("half", (fields, self.nlon // 2 + 1, 2))
        packed, rows = torch.view_as_complex(half), half.view(fields, -1)[:, :size].numpy()
        for j, source in enumerate(fourier.numpy()):
            fused_spectral.transpose(source, rows)
            out[:, j] = torch.fft.irfft(packed, n=self.nlon, norm="forward")

    def _fourier_from_rows(self, grid: Tensor, out: Tensor) -> None:
        """`out` [lat, 2 (T+1), field] from row after row of `grid` [field, lat, lon]."""
        _, size, fields = out.shape
        if self.longitude == "matrix":
            for rows, source, target in self._row_blocks(grid, out):
                if rows is not None:
                    fused_spectral.rows_of_fields(grid.numpy(), rows, source.numpy())
                table = self._from_grid.expand(source.shape[0], size, self.nlon)
                torch.bmm(table, source.mT, out=target)
            return
        row = self._buffer("row", (fields, self.nlon))
        for j, target in enumerate(out.numpy()):
            row.copy_(grid[:, j])  # the FFT of a slice in place costs half as much again
            part = torch.view_as_real(torch.fft.rfft(row, norm="forward"))
            fused_spectral.transpose(part.view(fields, -1)[:, :size].numpy(), target)

    def _row_blocks(self, grid: Tensor, out: Tensor) -> list[tuple[int | None, Tensor, Tensor]]:
        """Operands [lat, field, lon] and results [lat, 2 (T+1), field] of the products over rows.

        Where the fields of a grid are a multiple of a page apart, their rows evict each other from
        the nearest cache. In float32 it then pays to lay some latitudes at a time, from the first
        one given, side by side in a buffer.
        """
        fields, nlat, nlon = grid.shape
        if self.dtype != torch.float32 or 4 * nlat * nlon % PAGE:
            return [(None, grid.transpose(0, 1), out)]
        key = (out.data_ptr(), out.shape)
        if key not in self._blocks:
            blocks: list[tuple[int | None, Tensor, Tensor]] = []
            for first in range(0, nlat, BLOCK):
                here = min(BLOCK, nlat - first)
                buffer = self._buffer("block", (here, fields, nlon))
                blocks.append((first, buffer, out[first : first + here]))
            self._blocks[key] = blocks
        return self._blocks[key]

    # -- derivatives on coefficients ----------------------------------------------------------

    def _add_dmu(self, out: Tensor, spec: Tensor, up: Tensor, down: Tensor, sign: float) -> None:
        """out += sign * (1-mu^2) d/dmu, in scatter form."""
        out[..., 1:].addcmul_(spec[..., :-1], up[..., :-1], value=sign)
        out[..., :-1].addcmul_(spec[..., 1:], down[..., 1:], value=sign)

    def wind(self, vorticity: Tensor, divergence: Tensor, out: Tensor | None = None) -> Tensor:
        """Coefficients of (u cos phi, v cos phi) [m s-1].

        Args:
            vorticity, divergence: [s-1], shape [T+1, 2, K, T+2].
            out: optional result.

        Returns:
            shape [T+1, 2, 2K, T+2]: the K of u cos(phi), then the K of v cos(phi).
        """
        levels = vorticity.shape[2]
        if out is None:
            out = torch.zeros(self.spectral_shape(2 * levels), dtype=self.dtype, device=self.device)
        else:
            out.zero_()
        u, v = out[:, :, :levels], out[:, :, levels:]
        for ri in (0, 1):
            factor = self._im_inv[:, ri]
            u[:, ri].addcmul_(divergence[:, 1 - ri], factor)
            v[:, ri].addcmul_(vorticity[:, 1 - ri], factor)
        self._add_dmu(u, vorticity, self._dmu_inv_up, self._dmu_inv_down, -1.0)
        self._add_dmu(v, divergence, self._dmu_inv_up, self._dmu_inv_down, 1.0)
        return out

    def gradient(self, spec: Tensor, out: Tensor | None = None) -> Tensor:
        """Coefficients of cos(phi) times the horizontal gradient [unit m-1].

        Returns:
            shape [T+1, 2, 2K, T+2]: the K eastward components, then the K northward ones.
        """
        fields = spec.shape[2]
        if out is None:
            out = torch.zeros(self.spectral_shape(2 * fields), dtype=self.dtype, device=self.device)
        else:
            out.zero_()
        east, north = out[:, :, :fields], out[:, :, fields:]
        for ri in (0, 1):
            east[:, ri].addcmul_(spec[:, 1 - ri], self._im_inside[:, ri])
        self._add_dmu(north, spec, self._dmu_up, self._dmu_down, 1.0)
        return out

    def vorticity_divergence(self, east: Tensor, north: Tensor) -> tuple[Tensor, Tensor]:
        """Curl and divergence of a vector whose components were divided by cos(phi) on the grid.

        Args:
            east, north: extended coefficients of A/cos(phi) and B/cos(phi), [T+1, 2, K, T+2].

        Returns:
            curl and divergence of (A, B) [unit m-1], each [T+1, 2, K, T+2].
        """
        curl, div = torch.zeros_like(east), torch.zeros_like(north)
        for ri in (0, 1):
            curl[:, ri].addcmul_(north[:, 1 - ri], self._im_inside[:, ri])
            div[:, ri].addcmul_(east[:, 1 - ri], self._im_inside[:, ri])
        below, above = self._dmu_from_below, self._dmu_from_above
        for target, source, sign in ((curl, east, 1.0), (div, north, -1.0)):
            target[..., 1:].addcmul_(source[..., :-1], below[..., 1:], value=sign)
            target[..., :-1].addcmul_(source[..., 1:], above[..., :-1], value=sign)
        return curl, div

    def laplacian(self, spec: Tensor) -> Tensor:
        """Horizontal Laplacian [unit m-2]."""
        return spec * self.eigenvalue

    def inverse_laplacian(self, spec: Tensor) -> Tensor:
        """Solution of lap X = spec with zero global mean [unit m2]."""
        return spec * self._inverse_eigenvalue

    # -- whole-field conveniences -------------------------------------------------------------

    def wind_on_grid(self, vorticity: Tensor, divergence: Tensor) -> tuple[Tensor, Tensor]:
        """u and v [m s-1], each [K, lat, lon], from coefficients of vorticity and divergence."""
        levels = vorticity.shape[2]
        grid = self.synthesis(self.wind(vorticity, divergence)) * self.secant
        return grid[:levels], grid[levels:]

    def curl_divergence_of(self, east: Tensor, north: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients of curl and divergence [unit m-1] of a vector on the grid [K, lat, lon]."""
        levels = east.shape[0]
        spec = self.analysis(torch.cat([east, north]) * self.secant, extended=True)
        return self.vorticity_divergence(spec[:, :, :levels], spec[:, :, levels:])

    def gradient_on_grid(self, spec: Tensor) -> tuple[Tensor, Tensor]:
        """Eastward and northward derivative [unit m-1], each [K, lat, lon]."""
        fields = spec.shape[2]
        grid = self.synthesis(self.gradient(spec)) * self.secant
        return grid[:fields], grid[fields:]

    def global_mean(self, grid: Tensor) -> Tensor:
        """Area mean in float64 of [..., lat, lon]."""
        weight = torch.as_tensor(0.5 * self.gauss_weights / self.nlon, device=grid.device)
        return (grid.double().sum(-1) * weight).sum(-1)
