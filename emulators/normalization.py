"""Normalization of channels: one set of functions for training and for the loop.

A channel is normalized level by level, ``y = (t(x) - mean) / scale`` with t the identity or the
natural logarithm. Wind components share one scale and have no mean, so that turning the wind
around changes nothing but the sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

NARROW = 1e-3
"""Smallest scale relative to the mean: 0.2 K of temperature. Dividing by the spread of a level that
hardly varied in training would turn any other climate into numbers without measure."""


def transformed(x: Tensor, transform: Literal["none", "log"]) -> Tensor:
    """`t(x)`; the same tensor where nothing is to be done."""
    return x.log() if transform == "log" else x


def statistics(x: Tensor, transform: Literal["none", "log"]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of `x` by level, summed in float64.

    Args:
        x: values in channel units, shape [level, n].
        transform: what is applied to them first.

    Returns:
        (mean, scale), each with one value per level; a scale is never below `NARROW` |mean|, and 1
        where that is 0.
    """
    t = transformed(x.double(), transform)
    mean = t.mean(dim=1)
    std = t.std(dim=1, correction=0)
    scale = torch.maximum(std, NARROW * mean.abs())
    return mean.tolist(), torch.where(scale > 0.0, scale, torch.ones_like(scale)).tolist()


def wind_scale(components: Sequence[Tensor]) -> list[float]:
    """Root mean square over all wind components [m s-1] by level; shapes [level, n]."""
    square = torch.stack([c.double().square().mean(dim=1) for c in components]).mean(dim=0)
    return torch.where(square > 0.0, square.sqrt(), torch.ones_like(square)).tolist()


def flux_scale(components: Sequence[Tensor], empty: float) -> list[float]:
    """Root mean square over all components [their unit] by interface.

    Interfaces where it is below `empty` times the largest get exactly 0, and with it the
    emulator's flux there.
    """
    square = torch.stack([c.double().square().mean(dim=1) for c in components]).mean(dim=0)
    rms = square.sqrt()
    return torch.where(rms >= empty * float(rms.max()), rms, torch.zeros_like(rms)).tolist()


def extremes(x: Tensor) -> tuple[list[float], list[float]]:
    """Smallest and largest value of `x`, shape [level, n], by level."""
    return x.amin(dim=1).tolist(), x.amax(dim=1).tolist()
