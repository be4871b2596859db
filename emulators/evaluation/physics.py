"""What the flow would feel of a flux: drag, and whether a column's momentum closes.

    du/dt = g dF/dp,   residual = sum_k (du/dt)_k dp_k / g - (F_K - F_0)

with F positive upward on interfaces 0 (top) to K. The residual is round-off of the precision in
which the rate is held: a scheme of fluxes closes by construction. The *net* is the momentum that
a column gains from below and above, ``F_K - F_0`` over ``sum |F_{k+1} - F_k|``: 0 for a column that
only exchanges it between its layers, 1 for a drag of one sign.
"""

from __future__ import annotations

import numpy as np

from emulators.evaluation.metrics import F64, Array

GRAVITY = 9.80665
"""[m s-2], as in the score that a bundle carries (`emulators.training.skill`)."""


def drag(flux: Array, half_pressure: Array) -> F64:
    """Acceleration [m s-2], shape [level, n].

    Args:
        flux: positive upward [Pa], shape [level + 1, n].
        half_pressure: at interfaces [Pa], shape [level + 1, n] or [level + 1, 1].
    """
    f, p = np.asarray(flux, np.float64), np.asarray(half_pressure, np.float64)
    return np.asarray(GRAVITY * np.diff(f, axis=0) / np.diff(p, axis=0), np.float64)


def momentum_residual(flux: Array, half_pressure: Array, dtype: str = "float32") -> float:
    """Largest residual of all columns relative to ``sum |dF|``, with rates held in `dtype`."""
    f, p = np.asarray(flux, np.float64), np.asarray(half_pressure, np.float64)
    rate = drag(f, p).astype(dtype).astype(np.float64)
    gained = (rate * np.diff(p, axis=0)).sum(axis=0) / GRAVITY
    size = np.abs(np.diff(f, axis=0)).sum(axis=0)
    error = np.abs(gained - (f[-1] - f[0]))
    moved = size > 0.0
    return float((error[moved] / size[moved]).max(initial=0.0))


def net_momentum(flux: Array, weights: Array) -> float:
    """Mean over columns of ``|F_K - F_0|`` over the mean of ``sum |dF|``."""
    f, w = np.asarray(flux, np.float64), np.asarray(weights, np.float64)
    size = float(np.abs(np.diff(f, axis=0)).sum(axis=0) @ w)
    return float(np.abs(f[-1] - f[0]) @ w) / size if size > 0.0 else float("nan")
