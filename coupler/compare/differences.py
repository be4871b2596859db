"""How two runs differ, in numbers, beside how much each run differs from itself.

One run each is one sample each: the difference of their means holds what the change did and what
the weather happened to do. The yardstick is the larger of the two runs' change from its first to
its second half. It is short of a significance test (halves are dependent, drift counts as
variability), but a difference below it says nothing.

Weights of a zonal-mean section are the mass of each ring of air, ``dp cos(lat)``. For the gravity
wave drag a second set, ``dln(p) cos(lat)``, weighs every scale height alike, because the drag that
matters is where the air is thin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from coupler.compare.climate import F64, Climate, Part
from coupler.interface.constants import SECONDS_PER_DAY

JET_PRESSURE = (1.5e4, 1.1e5)
"""Pressure range in which the jets are sought [Pa]. Westerlies above it may belong to the
stratosphere; a run can have them as strong as the jet, and the stronger one changes from month to
month."""
JET_LATITUDE = (15.0, 75.0)
TROPICS = 15.0
"""Half width of the equatorial belt of the surface easterlies [degrees]."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of both runs."""

    name: str
    units: str
    a: float
    b: float
    yardstick: float | None
    """Larger of the two runs' own change from first to second half."""

    @property
    def difference(self) -> float:
        return self.b - self.a

    @property
    def beyond(self) -> bool:
        """Whether the runs differ by more than each differs from itself."""
        return self.yardstick is not None and abs(self.difference) > self.yardstick


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """One number of the two runs together."""

    name: str
    units: str
    value: float
    yardstick: float | None
    """The same number between the two halves of run A."""


@dataclass(frozen=True, kw_only=True)
class Jet:
    """Strongest westerly of the zonal mean below 150 hPa in one hemisphere."""

    speed: float
    """[m s-1]"""
    lat: float
    """[degrees_north]"""
    p: float
    """[Pa]"""


def _peak(x: F64, y: F64) -> tuple[float, float]:
    """Place and height of the parabola through three points whose middle one is the highest."""
    curve, slope, top = np.polyfit(x - x[1], y, 2)
    shift = -slope / (2.0 * curve) if curve < 0.0 else 0.0
    return float(x[1] + shift), float(top + 0.5 * slope * shift)


def jet(climate: Climate, hemisphere: int, part: Part = "all") -> Jet:
    """The jet of the northern (+1) or southern (-1) hemisphere.

    Its place is that of the parabola through the strongest value and its neighbours, in latitude
    and in ln(p), so that it can move by less than a grid cell.
    """
    u = climate.section("ua", part)
    north = hemisphere * climate.lat
    inside = (north > JET_LATITUDE[0]) & (north < JET_LATITUDE[1])
    inside = inside & (climate.p > JET_PRESSURE[0]) & (climate.p < JET_PRESSURE[1])
    k, j = np.unravel_index(np.argmax(np.where(inside, u, -np.inf)), u.shape)
    speed, lat, log_p = float(u[k, j]), float(climate.lat[j]), float(np.log(climate.p[k, j]))
    across, along = u[k, max(j - 1, 0) : j + 2], u[max(k - 1, 0) : k + 2, j]
    if across.size == 3 and across.max() == speed:
        lat, speed = _peak(climate.lat[j - 1 : j + 2], across)
    if along.size == 3 and along.max() == u[k, j]:
        log_p, higher = _peak(np.log(climate.p[k - 1 : k + 2, j]), along)
        speed += higher - float(u[k, j])
    return Jet(speed=speed, lat=lat, p=float(np.exp(log_p)))


def easterlies(climate: Climate, part: Part = "all") -> float:
    """Area-mean zonal wind of the lowest layer within `TROPICS` of the equator [m s-1]."""
    belt = np.abs(climate.lat) <= TROPICS
    return float(np.average(climate.section("ua", part)[-1, belt], weights=climate.area[belt]))


def _global(name: str, scale: float = 1.0) -> Callable[[Climate, Part], float]:
    def value(climate: Climate, part: Part) -> float:
        return scale * float(climate.time_mean(climate.bands[name].global_mean(), part))

    return value


def _toa(climate: Climate, part: Part) -> float:
    down, short, long = (_global(n)(climate, part) for n in ("rsdt", "rsut", "rlut"))
    return down - short - long


def _air_temperature(climate: Climate, part: Part) -> float:
    weight = climate.dp * climate.area
    return float(np.average(climate.section("ta", part), weights=weight))


_METRICS: tuple[tuple[str, str, tuple[str, ...], Callable[[Climate, Part], float]], ...] = (
    ("Jet north, speed", "m s-1", (), lambda c, t: jet(c, 1, t).speed),
    ("Jet north, latitude", "degrees", (), lambda c, t: jet(c, 1, t).lat),
    ("Jet north, pressure", "hPa", (), lambda c, t: jet(c, 1, t).p / 100.0),
    ("Jet south, speed", "m s-1", (), lambda c, t: jet(c, -1, t).speed),
    ("Jet south, latitude", "degrees", (), lambda c, t: jet(c, -1, t).lat),
    ("Jet south, pressure", "hPa", (), lambda c, t: jet(c, -1, t).p / 100.0),
    ("Surface wind, 15S to 15N", "m s-1", (), easterlies),
    ("Air temperature", "K", (), _air_temperature),
    ("Surface temperature", "K", ("ts",), _global("ts")),
    ("Precipitation", "mm day-1", ("pr",), _global("pr", SECONDS_PER_DAY)),
    ("Water vapour", "kg m-2", (), lambda c, t: float(c.time_mean(c.air["water"], t))),
    ("Outgoing longwave", "W m-2", ("rlut",), _global("rlut")),
    ("Net downward at the top", "W m-2", ("rsdt", "rsut", "rlut"), _toa),
    ("Latent heat flux", "W m-2", ("hfls",), _global("hfls")),
    ("Sensible heat flux", "W m-2", ("hfss",), _global("hfss")),
    ("Surface pressure", "hPa", ("ps",), _global("ps", 0.01)),
)
"""Name, units, fields without levels that it needs, value of a run or of one of its halves."""


def rows(a: Climate, b: Climate) -> list[Row]:
    """Global means, jets and surface winds of both runs, where both have what it takes."""
    found = []
    for name, units, needs, value in _METRICS:
        if any(n not in c.bands for n in needs for c in (a, b)):
            continue
        own = [abs(value(c, "second") - value(c, "first")) for c in (a, b) if c.has_halves]
        found.append(
            Row(
                name=name,
                units=units,
                a=value(a, "all"),
                b=value(b, "all"),
                yardstick=max(own) if own else None,
            )
        )
    return found


def rms(x: F64, y: F64, weight: F64) -> float:
    """Weighted root-mean-square difference."""
    return float(np.sqrt(np.average((x - y) ** 2, weights=weight)))


def correlation(x: F64, y: F64, weight: F64) -> float:
    """Weighted pattern correlation; NaN where one of the patterns is constant."""
    dx, dy = (z - np.average(z, weights=weight) for z in (x, y))
    power = np.average(dx**2, weights=weight) * np.average(dy**2, weights=weight)
    return float(np.average(dx * dy, weights=weight) / np.sqrt(power)) if power > 0 else np.nan


def amplitude_ratio(x: F64, y: F64, weight: F64) -> float:
    """Root mean square of `y` over that of `x`; NaN where `x` is zero."""
    power = float(np.average(x**2, weights=weight))
    return float(np.sqrt(np.average(y**2, weights=weight) / power)) if power > 0 else np.nan


_DAY = SECONDS_PER_DAY
_RMS = (
    ("ua", "Zonal wind", "m s-1", 1.0),
    ("va", "Meridional wind", "m s-1", 1.0),
    ("ta", "Temperature", "K", 1.0),
    ("hus", "Specific humidity", "g kg-1", 1000.0),
    ("utendnogw", "Zonal drag", "m s-1 day-1", _DAY),
    ("vtendnogw", "Meridional drag", "m s-1 day-1", _DAY),
)


def patterns(a: Climate, b: Climate) -> list[Pattern]:
    """Differences of zonal means, and the likeness of the gravity-wave drag."""
    mass = a.dp * a.area
    height = a.dp / a.p * a.area
    wanted = [(of, f"{name}, rms difference", u, rms, mass, s) for of, name, u, s in _RMS]
    for weight, how in ((mass, "by mass"), (height, "by height")):
        wanted += [
            ("utendnogw", f"Zonal drag, correlation {how}", "1", correlation, weight, 1.0),
            ("utendnogw", f"Zonal drag, amplitude ratio {how}", "1", amplitude_ratio, weight, 1.0),
        ]
    found = []
    for of, name, units, compare, weight, scale in wanted:
        if of not in a.sections or of not in b.sections:
            continue
        own = None
        if a.has_halves:
            own = scale * compare(a.section(of, "first"), a.section(of, "second"), weight)
        value = scale * compare(a.section(of), b.section(of), weight)
        found.append(Pattern(name=name, units=units, value=value, yardstick=own))
    return found


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested mappings by dotted name; lists of mappings by number."""
    if isinstance(tree, dict):
        items = [(str(k), v) for k, v in tree.items()]
    elif isinstance(tree, list) and any(isinstance(v, dict) for v in tree):
        items = [(str(k), v) for k, v in enumerate(tree)]
    else:
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for key, value in items:
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else key))
    return flat


def changed_settings(a: Climate, b: Climate) -> list[tuple[str, Any, Any]]:
    """Settings of the resolved cases that differ: name, in run A, in run B."""
    x, y = flatten(a.case), flatten(b.case)
    return [(k, x.get(k), y.get(k)) for k in dict.fromkeys([*x, *y]) if x.get(k) != y.get(k)]
