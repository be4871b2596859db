"""The divergence of a flux in torch: what `coupler.driver.flux` makes of it, with gradients.

    rate_k = s (F_{k+1} - F_k) / (p_{k+1} - p_k)

and of the flux F_0 at the top what its policy says. Training through the flow and linear responses
take it; the loop takes the compiled one, whose numbers these are to rounding.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def divergence(
    flux: Tensor,
    phalf: Tensor,
    *,
    top: Literal["escape", "dump", "zero"],
    dump_above: float,
    scale: float = 1.0,
) -> Tensor:
    """Rate of the layers between interfaces, differentiable in flux and pressure.

    Args:
        flux: positive upward [unit of flux], shape [interface, column].
        phalf: pressure at the interfaces [Pa], shape [interface, column].
        top: what becomes of the flux at interface 0 (`coupler.interface.component.Flux`).
        dump_above: pressure above which ``dump`` absorbs [Pa].
        scale: s, g [m s-2] for momentum and humidity, g/c_p [K s-2 m2 J-1 kg] for temperature.

    Returns:
        [unit of flux times that of `scale` over Pa], shape [level, column].
    """
    thickness = phalf.diff(dim=0)
    if top == "zero":
        flux = torch.cat([torch.zeros_like(flux[:1]), flux[1:]])
    rate = scale * flux.diff(dim=0) / thickness
    if top != "dump":
        return rate
    absorbs = 0.5 * (phalf[1:] + phalf[:-1]) < dump_above
    absorbs[0] = True
    return rate + absorbs * (scale * flux[0] / (thickness * absorbs).sum(dim=0))
