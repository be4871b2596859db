"""The tropical atmosphere of Anderson et al. (1986), AFGL-TR-0110, model 1, up to 60 km."""

import numpy as np

_TABLE = np.array(
    [  # height [km], pressure [hPa], temperature [K], water [ppmv]
        (0, 1013, 299.7, 25900), (1, 904, 293.7, 19500),
        (2, 805, 287.7, 15300), (3, 715, 283.7, 8600),
        (4, 633, 277.0, 4440), (5, 559, 270.3, 3350),
        (6, 492, 263.6, 2100), (7, 432, 257.0, 1290),
        (8, 378, 250.3, 764), (9, 329, 243.6, 410),
        (10, 286, 237.0, 191), (11, 247, 230.1, 73.1),
        (12, 213, 223.6, 29.1), (13, 182, 217.0, 9.9),
        (14, 156, 210.3, 6.22), (15, 132, 203.7, 4),
        (16, 111, 197.0, 3), (17, 93.7, 194.8, 2.9),
        (18, 78.9, 198.8, 2.75), (19, 66.6, 202.7, 2.6),
        (20, 56.5, 206.7, 2.6), (25, 25.7, 221.4, 3.25),
        (30, 12.2, 232.3, 4), (35, 6, 243.1, 4.6),
        (40, 3.05, 254.0, 5.2), (45, 1.59, 264.8, 5.7),
        (50, 0.854, 270.2, 6), (55, 0.456, 263.4, 6),
        (60, 0.239, 253.1, 6),
    ]
)  # fmt: skip
PRESSURE = _TABLE[:, 1] * 100.0
"""Pressure [Pa]."""


def profile(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Temperature [K] and specific humidity [1] at `p` [Pa], linear in ln p, held above 60 km."""
    at, known = -np.log(p), -np.log(PRESSURE)
    ta = np.interp(at, known, _TABLE[:, 2])
    ppmv = np.exp(np.interp(at, known, np.log(_TABLE[:, 3])))
    share = 0.622 * ppmv * 1e-6
    return ta, share / (1.0 - ppmv * 1e-6 + share)
