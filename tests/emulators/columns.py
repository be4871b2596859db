"""Random but plausible columns: jets, a tropical oscillation, planetary waves, smooth noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coupler.interface.grid import HybridLevels

G, R = 9.80665, 287.04


def columns(n: int, levels: HybridLevels, seed: int) -> dict[str, NDArray[Any]]:
    """`n` columns of ``ua va ta pfull zg`` [level, n], ``phalf zghalf`` and ``lat``."""
    rng = np.random.default_rng(seed)
    lat = np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, n)))
    ps = 1.0e5 * np.exp(-np.abs(rng.normal(0.0, 0.04, n))) * rng.uniform(0.97, 1.02, n)
    phalf = levels.half_pressure(ps)
    pfull = 0.5 * (phalf[1:] + phalf[:-1])
    z = 7.0 * np.log(1.0e5 / pfull)  # log-pressure height [km]
    tropical = np.exp(-((lat / 15.0) ** 2))

    def draw(mean: float, std: float) -> NDArray[Any]:
        return rng.normal(mean, std, n)

    def bump(centre: NDArray[Any], width: NDArray[Any]) -> NDArray[Any]:
        return np.exp(-(((z - centre) / width) ** 2))

    def waves(amplitude: float) -> NDArray[Any]:
        total = np.zeros_like(z)
        for _ in range(5):
            length, phase = rng.uniform(5.0, 30.0, n), rng.uniform(0.0, 2.0 * np.pi, n)
            total += draw(0.0, amplitude) * np.sin(2.0 * np.pi * z / length + phase)
        return total * np.exp(np.clip(z - 12.0, -12.0, 30.0) / 45.0)

    ua = draw(12.0, 14.0) * bump(draw(12.0, 1.5), rng.uniform(4.0, 8.0, n))
    ua += draw(5.0, 32.0) * bump(draw(52.0, 7.0), rng.uniform(12.0, 22.0, n)) * (1 - 0.5 * tropical)
    height = draw(0.0, 1.0) * 14.0
    ua += (
        tropical
        * rng.uniform(0.0, 35.0, n)
        * np.sin(2.0 * np.pi * (z - height) / rng.uniform(18.0, 28.0, n))
        * np.clip((z - 16.0) / 4.0, 0.0, 1.0)
    )
    ua += waves(4.0)
    va = waves(4.0)
    ground = 300.0 - 45.0 * np.sin(np.radians(lat)) ** 2 + draw(0.0, 6.0)
    tropopause = 10.0 + 6.5 * np.cos(np.radians(lat)) ** 4 + draw(0.0, 0.8)
    cold = ground - 6.2 * tropopause
    ta = ground - 6.2 * np.minimum(z, tropopause)
    ta += np.clip(z - np.maximum(tropopause, 20.0), 0.0, 28.0) * (1.8 + draw(0.0, 0.4))
    ta = np.maximum(ta + np.where(cold < 190.0, 4.0, 0.0) + waves(1.0), 165.0)
    zghalf = np.zeros_like(phalf)
    thickness = R * ta / G * np.log(phalf[1:] / np.maximum(phalf[:-1], 0.5 * phalf[1:2]))
    zghalf[:-1] = np.cumsum(thickness[::-1], axis=0)[::-1]
    zg = 0.5 * (zghalf[1:] + zghalf[:-1])
    return {
        "ua": ua,
        "va": va,
        "ta": ta,
        "pfull": pfull,
        "phalf": phalf,
        "zg": zg,
        "zghalf": zghalf,
        "lat": lat,
    }
