r"""Period and amplitude of the quasi-biennial oscillation from a series of equatorial wind.

Two estimates of the period: the largest Fourier mode of the whole series, and the mean time
between crossings from westward to eastward wind, after a running mean of five months where the
series is noisy. The amplitude of a cycle between two crossings is half of its maximum minus its
minimum (transition-time method: Schenzinger, Osprey, Gray and Butchart, 2017,
doi:10.5194/gmd-10-2157-2017). A month has 30 days.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coupler.interface.errors import DataError

F64 = NDArray[np.float64]

MONTH = 30.0
"""Days in a month of the published figures."""
SMOOTHING = 5.0
"""Length of the running mean [month]."""
_PADDING = 16


@dataclass(frozen=True, kw_only=True)
class Oscillation:
    """What a series of wind at one height says about the oscillation."""

    period: float
    """Of the largest Fourier mode [month]; NaN where the wind does not change."""
    crossing_period: float
    """Mean time between westward-to-eastward crossings [month]; NaN with fewer than two."""
    amplitude: float
    """Mean over cycles of half the range [m s-1]; NaN with fewer than two crossings."""
    deviation: float
    """Standard deviation [m s-1]."""
    largest: float
    """Largest absolute wind [m s-1]."""
    cycles: int
    """Whole cycles between crossings."""


def fourier_period(wind: F64, interval: float) -> float:
    """Period of the largest Fourier mode [unit of `interval`]; NaN for a constant series.

    The series is padded with zeros, and the maximum is placed by a parabola through the three
    highest points of the spectrum.

    Args:
        wind: Even series, shape [time].
        interval: Time between its values.
    """
    anomaly = np.asarray(wind, np.float64) - np.mean(wind)
    if not np.abs(anomaly).max() > 1e-9 * max(1.0, float(np.abs(wind).max())):
        return float("nan")
    n = _PADDING * anomaly.size
    power = np.abs(np.fft.rfft(anomaly, n))
    k = int(np.argmax(power[1:])) + 1
    shift = 0.0
    if k + 1 < power.size:
        low, mid, high = np.log(np.maximum(power[k - 1 : k + 2], 1e-300))
        curve = low - 2.0 * mid + high
        shift = 0.5 * (low - high) / curve if curve < 0.0 else 0.0
    return float(n * interval / (k + shift))


def running_mean(wind: F64, count: int) -> F64:
    """Centred means over `count` values, where all of them exist, shape [time - count + 1]."""
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(wind, np.float64))])
    return np.asarray((sums[count:] - sums[:-count]) / count)


def eastward_crossings(wind: F64) -> F64:
    """Fractional indices at which the series turns from westward to eastward, shape [crossing]."""
    u = np.asarray(wind, np.float64)
    at = np.flatnonzero((u[:-1] < 0.0) & (u[1:] >= 0.0))
    return np.asarray(at + u[at] / (u[at] - u[at + 1]))


def oscillation(wind: F64, days: float, *, smooth: bool = True) -> Oscillation:
    """Period, amplitude and deviation of an even series of wind at one height.

    Args:
        wind: Eastward wind [m s-1], shape [time].
        days: Time between its values [day].
        smooth: Takes the running mean before crossings are looked for.

    Raises:
        DataError: for a series that is shorter than the running mean or has gaps.
    """
    u = np.asarray(wind, np.float64)
    count = max(1, round(SMOOTHING * MONTH / days)) if smooth else 1
    if u.ndim != 1 or u.size <= count or not np.isfinite(u).all():
        raise DataError.of(
            "not a series of wind",
            f"shape {u.shape}",
            expected=f"more than {count} finite values",
            found=f"{np.count_nonzero(~np.isfinite(u))} that are not finite",
            remedy="run longer, or leave out fewer days",
        )
    smoothed = running_mean(u, count)
    crossings = eastward_crossings(smoothed)
    between = float("nan")
    amplitude = float("nan")
    if crossings.size > 1:
        between = float(np.mean(np.diff(crossings))) * days / MONTH
        edges = np.ceil(crossings).astype(int)
        ranges = [np.ptp(smoothed[a:b]) for a, b in pairwise(edges)]
        amplitude = 0.5 * float(np.mean(ranges))
    return Oscillation(
        period=fourier_period(u, days / MONTH),
        crossing_period=between,
        amplitude=amplitude,
        deviation=float(u.std()),
        largest=float(np.abs(u).max()),
        cycles=max(0, crossings.size - 1),
    )


def read_singapore(path: Path) -> tuple[F64, F64, F64]:
    """Observed monthly winds over the equator: the series of the Freie Universitaet Berlin.

    Canton Island, Gan and Singapore in turn (Naujokat 1986,
    doi:10.1175/1520-0469(1986)043<1873:AUOTOQ>2.0.CO;2), tenths of m/s at seven pressures.

    Returns:
        Time [year], shape [month]; pressure [Pa], shape [level], falling; wind [m s-1], shape
        [level, month], NaN where there is none.

    Raises:
        DataError: when the file is missing or holds no such table.
    """
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
    except OSError as error:
        raise DataError.of("no such file", str(path), found=str(error.strerror)) from error
    header = next((i for i, line in enumerate(lines) if line.startswith("IIIII YYMM")), None)
    rows: dict[float, list[float]] = {}
    pressure: list[float] = []
    if header is not None:
        names = [w.split("hPa")[0] for w in lines[header].split()[2:]]
        pressure = [100.0 * float(n) for n in names]
        for line in lines[header + 1 :]:
            row = _row(line, len(pressure))
            if row is not None:
                rows[row[0]] = row[1]
    if not rows:
        raise DataError.of(
            "not a table of equatorial winds", str(path), expected="lines of station, YYMM, winds"
        )
    times = np.array(sorted(rows))
    return times, np.array(pressure), np.array([rows[t] for t in times]).T


def _row(line: str, count: int) -> tuple[float, list[float]] | None:
    """Year and winds of one line: after ``IIIII YYMM `` five digits of wind, a blank, a count."""
    if not (line[:5].isdigit() and line[6:10].isdigit()):
        return None
    year, month = int(line[6:8]), int(line[8:10])
    year += 1900 if year > 50 else 2000
    winds = []
    for k in range(count):
        text = line[11 + 7 * k : 16 + 7 * k].strip()
        winds.append(0.1 * float(text) if text.lstrip("-").isdigit() else float("nan"))
    return year + (month - 0.5) / 12.0, winds
