"""Derivatives on a periodic plane for schemes that look beyond their own column.

A scheme sees arrays [level, column]; on a plane the columns are [member, y, x]. Operators are
pseudo-spectral. They are made from the grid that the driver gives a scheme at set-up.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch

from coupler.interface.component import Array, Host
from coupler.interface.errors import ContractError
from coupler.interface.grid import Grid

Tensor = torch.Tensor


class PlaneWaves:
    """Operators on fields [..., y, x] and their coefficients [..., y, x/2 + 1]."""

    def __init__(
        self, ny: int, nx: int, spacing: float, members: int, dtype: torch.dtype = torch.float64
    ) -> None:
        """Makes the wavenumbers.

        Args:
            ny, nx: points.
            spacing: distance of points [m].
            members: planes that lie side by side in the columns.
            dtype: of the fields.
        """
        self.ny, self.nx, self.spacing, self.members = ny, nx, spacing, members
        k = 2.0 * math.pi / (nx * spacing) * np.arange(nx // 2 + 1)
        el = 2.0 * math.pi / (ny * spacing) * np.fft.fftfreq(ny, 1.0 / ny)
        self.k2 = torch.tensor(k[None, :] ** 2 + el[:, None] ** 2, dtype=dtype)
        if nx % 2 == 0:
            k[-1] = 0.0  # the highest wave of an even grid has no sine
        if ny % 2 == 0:
            el[ny // 2] = 0.0
        self.ik = 1j * torch.tensor(k, dtype=dtype)[None, :]
        self.il = 1j * torch.tensor(el, dtype=dtype)[:, None]
        self.dtype = dtype

    @classmethod
    def of(cls, host: Host, who: str) -> PlaneWaves:
        """Operators on the grid of a host.

        Raises:
            ContractError: when it is no plane.
        """
        grid: Grid = host.grid
        if not grid.is_plane:
            raise ContractError.of(
                "a scheme for periodic planes",
                who,
                expected="a plane, as of atmosphere: two_layer_qg",
                found=str(grid),
                remedy="leave the process out, or take such an atmosphere",
            )
        dtype = torch.float64 if np.dtype(host.dtype) == np.float64 else torch.float32
        ny = grid.lat.size // grid.members
        return cls(ny, grid.lon.size, grid.spacing, grid.members, dtype)

    def view(self, array: Array) -> Tensor:
        """Columns [level, column] as a tensor [level, member, y, x] on the same memory."""
        with warnings.catch_warnings():
            # Inputs may be read-only, which a tensor cannot express; nothing writes to them.
            warnings.filterwarnings("ignore", ".*not writable.*", UserWarning)
            return torch.from_numpy(array).view(-1, self.members, self.ny, self.nx)

    def waves(self, field: Tensor) -> Tensor:
        """Coefficients of a field."""
        waves: Tensor = torch.fft.rfft2(field)
        return waves

    def grid(self, waves: Tensor) -> Tensor:
        """A field of coefficients."""
        field: Tensor = torch.fft.irfft2(waves, s=(self.ny, self.nx))
        return field
