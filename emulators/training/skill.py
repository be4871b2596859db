"""Offline skill: R2 by level, for the flux and for the drag that follows from it.

    R2 = 1 - sum (y - y')^2 / sum (y - mean y)^2

over all columns of a level, in float64; None where the truth does not vary. The overall numbers put
all levels in one sum, around each level's mean, in Pa for the flux and in m s-2 for the drag: what
varies most counts most.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from emulators.networks import Network
from emulators.schema import Levels, Skill

GRAVITY = 9.80665


def r2_by_level(truth: Tensor, estimate: Tensor) -> list[float | None]:
    """R2 of each row; None where `truth` does not vary.

    Args:
        truth: shape [level, n].
        estimate: shape [level, n].
    """
    residual, total = _sums(truth, estimate)
    return [
        None if t == 0.0 else 1.0 - r / t
        for r, t in zip(residual.tolist(), total.tolist(), strict=True)
    ]


def _sums(truth: Tensor, estimate: Tensor) -> tuple[Tensor, Tensor]:
    t, e = truth.double(), estimate.double()
    total = (t - t.mean(dim=1, keepdim=True)).square().sum(dim=1)
    # A constant row has a round-off of its mean left over: that is not variance.
    noise = t.shape[1] * (1e-14 * t.abs().amax(dim=1)).square()
    return (t - e).square().sum(dim=1), torch.where(total > noise, total, torch.zeros_like(total))


def layer_thickness(pressure_levels: Levels) -> Tensor:
    """Nominal thickness [Pa] of the layers at a surface pressure of 1000 hPa, shape [level, 1]."""
    return torch.tensor(pressure_levels.half_pressure()).diff()[:, None]


def predict(
    network: Network, inputs: Mapping[str, Tensor], batch: int = 16384
) -> dict[str, Tensor]:
    """Fluxes for many columns, some at a time, shape [interface, n]."""
    n = next(iter(inputs.values())).shape[-1]
    # Whole maps at a time, for a network that sees whole maps.
    together = getattr(network, "columns_together", 1)
    batch = max(1, batch // together) * together
    parts = []
    with torch.inference_mode():
        for j in range(0, n, batch):
            parts.append(network({k: v[..., j : j + batch] for k, v in inputs.items()}))
    return {k: torch.cat([p[k] for p in parts], dim=-1) for k in parts[0]}


def skill(truth: Mapping[str, Tensor], estimate: Mapping[str, Tensor], levels: Levels) -> Skill:
    """R2 of all outputs, shape [interface, n] each, by interface and by layer."""
    flux: dict[str, list[float | None]] = {}
    drag: dict[str, list[float | None]] = {}
    sums = torch.zeros(2, 2, dtype=torch.float64)  # flux or drag; residual, total
    per_mass = GRAVITY / layer_thickness(levels)
    for name, want in truth.items():
        got = estimate[name]
        want_drag, got_drag = want.double().diff(dim=0), got.double().diff(dim=0)
        flux[name], drag[name] = r2_by_level(want, got), r2_by_level(want_drag, got_drag)
        for i, (w, g) in enumerate(((want, got), (want_drag * per_mass, got_drag * per_mass))):
            residual, total = _sums(w, g)
            sums[i, 0] += residual.sum()
            sums[i, 1] += total.sum()
    overall = [float(1.0 - r / t) if t > 0.0 else 0.0 for r, t in sums]
    return Skill(flux=flux, drag=drag, flux_overall=overall[0], drag_overall=overall[1])


def print_skill(
    console: Console, result: Skill, truth: Mapping[str, Tensor], levels: Levels
) -> None:
    """The table that `isthmus train` ends with."""
    half = levels.half_pressure(np.float32)
    table = Table(title="Offline R2 on the held-out run, by level")
    table.add_column("interface hPa", justify="right")
    for name in truth:
        table.add_column(f"{name} std mPa", justify="right")
        table.add_column("R2 flux", justify="right")
        table.add_column("R2 drag below", justify="right")
    for i in range(levels.nlev + 1):
        row = [f"{float(half[i]) / 100.0:.4g}"]
        for name, want in truth.items():
            drag = result.drag[name][i] if i < levels.nlev else None
            row += [f"{float(want[i].double().std()) * 1e3:.4f}", _number(result.flux[name][i])]
            row.append(_number(drag))
        table.add_row(*row)
    console.print(table)
    console.print(
        f"all levels together: R2 flux {result.flux_overall:.3f}, drag {result.drag_overall:.3f}"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}".replace("-0.000", "0.000")
