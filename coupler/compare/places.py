"""Where a scheme has skill: R2 and r at every place, and by latitude and level.

At a place and level the truth t and the prediction p have means over time only; their deviations
t', p' from these give

    R2 = 1 - sum w (p - t)^2 / sum w t'^2,      r = sum w t'p' / sqrt(sum w t'^2 sum w p'^2)

with the sums over time and, for the map, over the levels of the column by mass w. That a place has
another mean than the next, or a level than the one above, is no skill here, which makes it stricter
than the pooled numbers. By latitude and level the sums and means are over time and longitude.
Columns of a recording are drawn anew at every call: they are gathered by their place. A place that
was met fewer than `LEAST` times has no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]
Places = NDArray[np.intp]
LEAST = 3
"""Times at a place: with two of them the variance is that of a single difference."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlaceSkill:
    """Of the tendency of one state variable; NaN where nothing is known."""

    of: str
    lat: F64
    """[degrees_north], ascending."""
    lon: F64
    pressure: F64
    """Of the layers [Pa], shape [level]."""
    map_r2: F64
    """Of the whole column, shape [lat, lon]."""
    map_r: F64
    section_r2: F64
    """Over all longitudes and times, shape [level, lat]."""
    section_r: F64


def grid_of(lat: ArrayLike, lon: ArrayLike) -> tuple[F64, F64, Places, Places]:
    """Latitudes, longitudes, and for every column the numbers of its row and of its meridian.

    Args:
        lat: of the columns [degrees_north], any shape.
        lon: the same.
    """
    rows, row = np.unique(np.asarray(lat, np.float64), return_inverse=True)
    meridians, meridian = np.unique(np.asarray(lon, np.float64), return_inverse=True)
    shape = np.shape(lat)
    return rows, meridians, row.reshape(shape), meridian.reshape(shape)


def reason_against(lat: ArrayLike, lon: ArrayLike) -> str:
    """Why there can be no map of columns at these places [time, column]; empty where there can."""
    if np.shape(lat)[0] < LEAST:
        return f"maps of skill take {LEAST} times, here there are {np.shape(lat)[0]}"
    rows, meridians, row, meridian = grid_of(lat, lon)
    met = np.bincount((row * meridians.size + meridian).ravel())
    if met.max() < LEAST:
        return f"no place was recorded {LEAST} times; record more columns or a longer run"
    if rows.size * meridians.size > 4 * np.count_nonzero(met):
        return "the columns are not on latitudes and longitudes"
    return ""


def skill_by_place(
    truth: Mapping[str, NDArray[np.float64]],
    prediction: Mapping[str, NDArray[np.float64]],
    thickness: ArrayLike,
    lat: ArrayLike,
    lon: ArrayLike,
    pressure: ArrayLike,
) -> tuple[PlaceSkill, ...]:
    """Of every variable that the truth changes.

    Args:
        truth: rates by state variable, shape [time, level, column].
        prediction: the same; what is not there is zero.
        thickness: of the layers [Pa], broadcast to that shape.
        lat: of the columns [degrees_north], shape [time, column].
        lon: [degrees_east], the same shape.
        pressure: of the layers [Pa], shape [level].
    """
    rows, meridians, row, meridian = grid_of(lat, lon)
    place = row * meridians.size + meridian
    found = []
    for of, t in truth.items():
        if not np.any(t):
            continue
        t = np.asarray(t, np.float64)
        p = np.broadcast_to(np.asarray(prediction.get(of, 0.0), np.float64), t.shape)
        w = np.broadcast_to(np.asarray(thickness, np.float64), t.shape)
        at = _sums(t, p, w, place, rows.size * meridians.size).sum(axis=1)
        by = _sums(t, p, w, row, rows.size)
        r2, r = (x.reshape(rows.size, meridians.size) for x in _scores(at))
        section_r2, section_r = _scores(by)
        found.append(
            PlaceSkill(
                of=of,
                lat=rows,
                lon=meridians,
                pressure=np.asarray(pressure, np.float64),
                map_r2=r2,
                map_r=r,
                section_r2=section_r2,
                section_r=section_r,
            )
        )
    return tuple(found)


def _sums(t: F64, p: F64, w: F64, group: Places, count: int) -> F64:
    """Of w e^2, w t'^2, w p'^2, w t'p' of each group and level, shape [4, level, group]."""
    which = group.ravel()
    few = np.bincount(which, minlength=count) < LEAST
    out = np.empty((4, t.shape[1], count))

    def total(x: F64) -> F64:
        return np.bincount(which, weights=x.ravel(), minlength=count)

    for k in range(t.shape[1]):
        a, b, m = t[:, k], p[:, k], w[:, k]
        mass = np.where(few, np.nan, total(m))
        with np.errstate(invalid="ignore"):
            da = a - (total(m * a) / mass)[group]
            db = b - (total(m * b) / mass)[group]
            for i, x in enumerate(((b - a) ** 2, da * da, db * db, da * db)):
                out[i, k] = np.where(few, np.nan, total(m * x))
    return out


def _scores(sums: F64) -> tuple[F64, F64]:
    error, power, other, both = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        varies = power > 0.0
        r2 = np.where(varies, 1.0 - error / power, np.nan)
        return r2, np.where(varies, both / np.sqrt(power * other), np.nan)
