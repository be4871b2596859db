"""Columns over mountains, for the tests of orographic drag."""

import numpy as np
from isothermal import KM, NCOL, Z_HALF, state, weather

from coupler.interface.component import Arrays

WIND = 8 + 22 * np.exp(-(((KM - 12) / 6) ** 2)) + 40 * np.exp(-(((KM - 60) / 20) ** 2))


def mountains(sgh, wind=WIND, north=False, dtype=np.float64):
    winds = np.repeat(np.asarray(wind)[:, None], NCOL, axis=1)
    x = state(**{"va" if north else "ua": winds}, dtype=dtype)
    heights = np.full(NCOL, sgh).astype(dtype)
    zghalf = np.repeat(Z_HALF[:, None], NCOL, axis=1).astype(dtype)
    return Arrays(**dict(x.items()), sgh=heights, zghalf=zghalf)


def rough_weather(seed=2):
    x, host = weather(seed)
    rng = np.random.default_rng(seed)
    zghalf = np.repeat(np.linspace(62e3, 0.0, 30)[:, None], NCOL, axis=1)
    sgh = rng.uniform(20.0, 700.0, NCOL)
    # calmer than the default noise, so that waves get some way up
    winds = {n: 12.0 + 0.1 * getattr(x, n) for n in ("ua", "va")}
    return Arrays(**dict(x.items()) | winds, sgh=sgh, zghalf=zghalf), host
