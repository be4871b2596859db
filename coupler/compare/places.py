"""Where a scheme has skill: R2 and r of each column, and by latitude and level.

With e = p - t of a prediction p and the truth t, means by mass over a set D and t', p' deviations
from these,

    R2 = 1 - mean_D e^2 / mean_D t'^2,      r = mean_D t'p' / sqrt(mean_D t'^2 mean_D p'^2)

The map has D = all times and levels of a column, the section D = all times and longitudes of a
latitude and level. The first counts the profile of a column as skill, as the pooled numbers do;
R2 in time alone, at each place and level, is what "R2, columns last" is the mean of. Columns of a
recording are drawn anew at every call: they are gathered by their place. A place that was met fewer
than `LEAST` times has no number.
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
        shape = (rows.size, meridians.size)
        r2, r = (x.reshape(shape) for x in _scores(t, p, w, place, rows.size * meridians.size))
        levels = [
            _scores(t[:, [k]], p[:, [k]], w[:, [k]], row, rows.size) for k in range(t.shape[1])
        ]
        section_r2, section_r = (np.stack(x) for x in zip(*levels, strict=True))
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


def _scores(t: F64, p: F64, w: F64, group: Places, count: int) -> tuple[F64, F64]:
    """R2 and r over the times and levels of each group of columns, shape [group]."""
    which = group.ravel()

    def total(x: F64) -> F64:
        columns = x.sum(axis=1).ravel()
        return np.asarray(np.bincount(which, weights=columns, minlength=count))

    few = np.bincount(which, minlength=count) < LEAST
    mass = np.where(few, np.nan, total(w))
    dt, dp = (x - (total(w * x) / mass)[group][:, None] for x in (t, p))
    power, other = total(w * dt * dt), total(w * dp * dp)
    with np.errstate(invalid="ignore", divide="ignore"):
        varies = power > 0.0
        r2 = np.where(varies, 1.0 - total(w * (p - t) ** 2) / power, np.nan)
        r = np.where(varies, total(w * dt * dp) / np.sqrt(power * other), np.nan)
    return np.where(few, np.nan, r2), np.where(few, np.nan, r)
