r"""Momentum flux of the gravity waves that a model resolves: targets for an emulator.

Gravity waves are divergent and small; so of the wind the irrotational part is taken, and of that
what lies beyond total wavenumber N. With omega* the vertical motion without its zonal mean,

    u_d = grad inv-lap D,  u' = u_d - [u_d]_{n <= N},
    F_x = - u' omega* / g,  F_y = - v' omega* / g

in Pa, positive upward: rho w = -omega / g. It still varies within a wavelength; a mean over cells
much wider than that, which keeps the area integral, makes it the flux that a coarse model misses.

The recipe is that of the data sets which gravity-wave emulators were trained on, N = 21 (Gupta et
al. 2024, arXiv:2406.14775).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from physics.dynamics.transform import SpectralTransform

Tensor = torch.Tensor
Array = NDArray[Any]
LARGE = 21
"""Total wavenumber up to which divergent wind belongs to the large scales."""


@torch.no_grad()
def small_divergent_wind(
    transform: SpectralTransform, ua: Tensor, va: Tensor, beyond: int = LARGE
) -> tuple[Tensor, Tensor]:
    """The irrotational wind of total wavenumbers above `beyond` [m s-1], each [K, lat, lon].

    Args:
        transform: of the grid; its radius is the planet's.
        ua: [m s-1], shape [K, lat, lon].
        va: [m s-1], shape [K, lat, lon].
        beyond: largest total wavenumber that is left out; -1 for none.

    Raises:
        ValueError: for a truncation that resolves nothing beyond it.
    """
    if beyond >= transform.truncation:
        raise ValueError(
            f"resolved flux: nothing is resolved beyond wavenumber {beyond} at "
            f"T{transform.truncation}; use a finer run"
        )
    _, divergence = transform.curl_divergence_of(ua, va)
    small = torch.from_numpy(transform.degree > beyond).to(divergence.dtype)
    divergence = divergence * small[:, None, None, :]
    return transform.wind_on_grid(torch.zeros_like(divergence), divergence)


@torch.no_grad()
def resolved_flux(
    transform: SpectralTransform,
    ua: Tensor,
    va: Tensor,
    wap: Tensor,
    *,
    gravity: float,
    beyond: int = LARGE,
) -> tuple[Tensor, Tensor]:
    """Eastward and northward momentum flux, positive upward [Pa], each [K, lat, lon].

    Args:
        transform: of the grid.
        ua: [m s-1], shape [K, lat, lon].
        va: [m s-1], shape [K, lat, lon].
        wap: omega [Pa s-1], shape [K, lat, lon].
        gravity: [m s-2].
        beyond: largest total wavenumber of the wind that is left out.
    """
    u, v = small_divergent_wind(transform, ua, va, beyond)
    motion = (wap - wap.mean(dim=-1, keepdim=True)) / -gravity
    return u * motion, v * motion


def on_interfaces(full: Array, pfull: Array, phalf: Array) -> Array:
    """A flux at levels moved to interfaces, linear in ln p.

    The uppermost level's flux leaves through the top, and none enters at the ground.

    Args:
        full: at levels, shape [K, ...].
        pfull: [Pa], shape [K, ...].
        phalf: [Pa], shape [K + 1, ...]; the uppermost may be 0.

    Returns:
        shape [K + 1, ...].
    """
    half = np.zeros((full.shape[0] + 1, *full.shape[1:]), full.dtype)
    low, high = np.log(pfull[1:]), np.log(pfull[:-1])
    weight = (np.log(phalf[1:-1]) - high) / (low - high)
    half[1:-1] = (1.0 - weight) * full[:-1] + weight * full[1:]
    half[0] = full[0]
    return half
