r"""Vertical differences on hybrid levels (Simmons and Burridge 1981).

p_{k+1/2} = A_{k+1/2} + B_{k+1/2} ps, level 0 = top. With dp_k, dB_k the differences over layer k,

    L_k     = ln(p_{k+1/2} / p_{k-1/2})
    alpha_k = 1 - (p_{k-1/2} / dp_k) L_k          (ln 2 in the top layer if its top is at p = 0)
    G_k     = (ps / dp_k) [dB_k + C_k L_k / dp_k],  C_k = A_{k+1/2} B_{k-1/2} - A_{k-1/2} B_{k+1/2}

    hydrostatic   Phi_k = Phi_s + sum_{j>k} R Tv_j L_j + alpha_k R Tv_k
    continuity    S_k = sum_{j<=k} (dp_j D_j + dB_j ps V_j . grad ln ps);  d ps/dt = -S_K
                  m_{k+1/2} = B_{k+1/2} S_K - S_k
    advection     (1/(2 dp_k)) [m_{k+1/2} (X_{k+1} - X_k) + m_{k-1/2} (X_k - X_{k-1})]
    conversion    (omega/p)_k = -(1/dp_k)[L_k S_{k-1} + alpha_k (S_k - S_{k-1})]
                                + G_k V_k . grad ln ps

Where p_{1/2} = 0, L_1 S_0 is 0 by definition, so L_1 is set to 0, and alpha_1 is ln 2: Phi_1 is
the height of p_{3/2} / 2. Pressure and hydrostatic terms then leave the torque (ln 2 - 1) R Tv_1
d(dp_1)/dlambda wherever the top layer is one of sigma; alpha_1 = 1 leaves none, and a climate that
is further from that of many levels (decision 0021).

G is 1 in pure sigma and 0 on pressure levels. With h_k = sum_{j>k} L_j + alpha_k, grad h_k =
(1 - G_k) grad ln ps holds exactly: -grad Phi - R Tv G grad ln ps may be written with T' = Tv - T_r
in place of Tv in both terms, and -grad(Phi_s + R T_r ln ps). An isothermal column at rest then
stays at rest over any orography.
Source: Simmons, A. J. and D. M. Burridge (1981), Mon. Wea. Rev. 109, 758-766,
doi:10.1175/1520-0493(1981)109<0758:AEAAMC>2.0.CO;2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Tensor = torch.Tensor
Float64 = npt.NDArray[np.float64]
TOP_ALPHA = math.log(2.0)
"""Of a top layer that reaches p = 0 [1]."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """What follows from the surface pressure alone, on the grid.

    Attributes:
        half_pressure: [Pa], shape [K+1, lat, lon].
        thickness: dp_k [Pa], shape [K, lat, lon].
        log_ratio: L_k [1], shape [K, lat, lon].
        alpha: [1], shape [K, lat, lon].
        gradient_weight: G_k [1], shape [K, lat, lon].
    """

    half_pressure: Tensor
    thickness: Tensor
    log_ratio: Tensor
    alpha: Tensor
    gradient_weight: Tensor


class VerticalGrid:
    """Hybrid half levels and the sums over them.

    Args:
        a: A at half levels [Pa], shape [K+1], top first.
        b: B at half levels [1], shape [K+1].
        dtype, device: of the tensors used on the grid.
    """

    def __init__(
        self,
        *,
        a: npt.ArrayLike,
        b: npt.ArrayLike,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        self.a = np.array(a, dtype=np.float64)
        self.b = np.array(b, dtype=np.float64)
        if self.a.ndim != 1 or self.a.shape != self.b.shape or self.a.size < 3:
            raise ValueError(
                "hybrid levels: a and b must be vectors of the same length K+1 >= 3, got shapes "
                f"{self.a.shape} and {self.b.shape}"
            )
        if np.any(np.diff(self.a + self.b * 1.0e5) <= 0.0) or np.any(np.diff(self.b) < 0.0):
            raise ValueError("hybrid levels: pressure must increase downwards and b not decrease")
        if self.b[0] != 0.0 or self.a[-1] != 0.0 or self.b[-1] != 1.0:
            raise ValueError(
                "hybrid levels: expected b = 0 at the top, a = 0 and b = 1 at the surface, got "
                f"b[0] = {self.b[0]}, a[-1] = {self.a[-1]}, b[-1] = {self.b[-1]}"
            )
        self.levels = self.a.size - 1
        self.open_top = bool(self.a[0] == 0.0)
        self.dtype, self.device = dtype, torch.device(device)

        def column(values: Float64) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=self.device)[:, None, None]

        self._a, self._b = column(self.a), column(self.b)
        self.delta_b = column(np.diff(self.b))
        self.cross = column(self.a[1:] * self.b[:-1] - self.a[:-1] * self.b[1:])
        ones = np.ones((self.levels, self.levels))
        self._sum_down = torch.tensor(np.tril(ones), dtype=dtype, device=self.device)
        self._sum_below = torch.tensor(np.triu(ones, 1), dtype=dtype, device=self.device)

    def half_pressure(self, ps: Tensor, out: Tensor | None = None) -> Tensor:
        """Pressure at half levels [Pa], shape [K+1, lat, lon], from ps [Pa], shape [lat, lon]."""
        return torch.addcmul(self._a, self._b, ps, out=out)

    def log_ratio(self, half: Tensor, out: Tensor | None = None) -> Tensor:
        """L_k [1], shape [K, lat, lon], from half-level pressure [Pa], shape [K+1, lat, lon].

        `out` is optional storage, zero at first and written by this method only.
        """
        if not self.open_top:
            return torch.div(half[1:], half[:-1], out=out).log_()
        if torch.is_grad_enabled():
            return torch.cat([torch.zeros_like(half[:1]), torch.log(half[2:] / half[1:-1])])
        if out is None:
            out = half.new_zeros((self.levels, *half.shape[1:]))
        torch.div(half[2:], half[1:-1], out=out[1:])
        out[1:].log_()
        return out

    def layers(self, ps: Tensor) -> Layers:
        """Thicknesses and coefficients of every column for ps [Pa], shape [lat, lon]."""
        half = self.half_pressure(ps)
        thickness = half[1:] - half[:-1]
        log_ratio = self.log_ratio(half)
        inverse = 1.0 / thickness
        alpha = 1.0 - half[:-1] * inverse * log_ratio
        if self.open_top:
            alpha = torch.cat([torch.full_like(alpha[:1], TOP_ALPHA), alpha[1:]])
        weight = (self.delta_b + self.cross * (log_ratio * inverse)) * (inverse * ps)
        return Layers(
            half_pressure=half,
            thickness=thickness,
            log_ratio=log_ratio,
            alpha=alpha,
            gradient_weight=weight,
        )

    def sum_down(self, layer: Tensor) -> Tensor:
        """sum_{j<=k}, shape [K, lat, lon] to the same."""
        return torch.mm(self._sum_down, layer.reshape(self.levels, -1)).view(layer.shape)

    def sum_below(self, layer: Tensor) -> Tensor:
        """sum_{j>k}, shape [K, lat, lon] to the same."""
        return torch.mm(self._sum_below, layer.reshape(self.levels, -1)).view(layer.shape)

    def interface_flux(self, partial: Tensor) -> Tensor:
        """m at the K-1 inner half levels [Pa s-1], from S_k [Pa s-1], shape [K, lat, lon]."""
        return torch.addcmul(-partial[:-1], self._b[1:-1], partial[-1])

    def advection(self, flux: Tensor, half_inverse_thickness: Tensor, field: Tensor) -> Tensor:
        """Vertical advection term (to be subtracted from the tendency).

        Args:
            flux: m at inner half levels [Pa s-1], shape [K-1, lat, lon].
            half_inverse_thickness: 1/(2 dp_k) [Pa-1], shape [K, lat, lon].
            field: X, shape [..., K, lat, lon].

        Returns:
            [unit s-1], shape [..., K, lat, lon].
        """
        product = flux * (field[..., 1:, :, :] - field[..., :-1, :, :])
        out = torch.zeros_like(field)
        out[..., :-1, :, :] += product
        out[..., 1:, :, :] += product
        return out * half_inverse_thickness


def reference_matrices(
    *,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    t_ref: float,
    ps_ref: float,
    gas_constant: float,
    kappa: float,
) -> tuple[Float64, Float64, Float64, Float64]:
    """Linear parts of the vertical operators about an isothermal reference column, in float64.

    Args:
        a, b: half-level coefficients [Pa], [1], shape [K+1].
        t_ref: reference temperature [K].
        ps_ref: reference surface pressure [Pa].
        gas_constant: of dry air [J kg-1 K-1].
        kappa: R / cp [1].

    Returns:
        gamma [J kg-1 K-1], shape [K, K]: Phi = gamma T; tau [K], shape [K, K]: dT/dt = -tau D;
        nu [1], shape [K]: d ln ps/dt = -nu . D; and dp [Pa], shape [K].
    """
    half = np.asarray(a, dtype=np.float64) + np.asarray(b, dtype=np.float64) * ps_ref
    dp = np.diff(half)
    levels = dp.size
    log_ratio, alpha = np.zeros(levels), np.zeros(levels)
    start = 1 if half[0] == 0.0 else 0
    log_ratio[start:] = np.log(half[start + 1 :] / half[start:-1])
    alpha[start:] = 1.0 - half[start:-1] / dp[start:] * log_ratio[start:]
    if start:
        alpha[0] = TOP_ALPHA
    gamma = gas_constant * (np.diag(alpha) + np.triu(np.ones((levels, levels)), 1) * log_ratio)
    below = np.tril(np.ones((levels, levels)), -1) * log_ratio[:, None] + np.diag(alpha)
    tau = kappa * t_ref * below * dp[None, :] / dp[:, None]
    return gamma, tau, dp / ps_ref, dp
