"""What is measured in every run, each as numbers with weights and a distance between two of them.

A metric gives one vector for each run. Of two ensembles the means of the vectors are compared,

    order 2:  D = sqrt(sum w (a - b)^2)       maps, zonal means, spectra, single numbers
    order 1:  D = sum w |a - b|               distributions: the vector holds quantiles, D is W1

with weights that sum to one: shares of area and of mass, or widths in probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coupler.compare.sample import Sample
from coupler.compare.statistics.distances import quantile_weights, quantiles, zonal_power
from coupler.compare.statistics.offline import share_above
from coupler.interface.constants import SECONDS_PER_DAY, Planet

F64 = NDArray[np.float64]
GROUPS = ("distribution", "map", "zonal mean", "spectrum", "number")
_LAYERS = (850e2, 500e2, 250e2, 100e2, 10e2)
"""Where distributions are taken [Pa]."""
_NAMES = {
    "ua": ("zonal wind", "m s-1", 1.0),
    "va": ("meridional wind", "m s-1", 1.0),
    "ta": ("temperature", "K", 1.0),
    "hus": ("specific humidity", "g kg-1", 1000.0),
    "ke": ("kinetic energy", "m2 s-2", 1.0),
    "pr": ("precipitation", "mm day-1", SECONDS_PER_DAY),
    "ts": ("surface temperature", "K", 1.0),
    "ps": ("surface pressure", "hPa", 0.01),
    "rlut": ("outgoing longwave", "W m-2", 1.0),
    "hfls": ("latent heat flux", "W m-2", 1.0),
    "hfss": ("sensible heat flux", "W m-2", 1.0),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Vector:
    """One metric of one run."""

    values: F64
    weight: F64
    order: int
    group: str
    units: str


def distance(a: F64, b: F64, like: Vector) -> float:
    """D between two vectors, in the metric's units."""
    if like.order == 1:
        return float(np.abs(a - b) @ like.weight)
    return float(np.sqrt((a - b) ** 2 @ like.weight))


def size(a: F64, like: Vector) -> float:
    """What D is held against without a baseline: root mean square, or for W1 the mean size."""
    if like.order == 1:
        return float(np.abs(a) @ like.weight)
    return float(np.sqrt(a**2 @ like.weight))


def measure(s: Sample, planet: Planet | None = None) -> dict[str, Vector]:
    """All metrics of a run that its fields allow."""
    found: dict[str, Vector] = {}
    found |= _distributions(s)
    found |= _maps(s)
    found |= _zonal_means(s)
    found |= _spectra(s)
    found |= _numbers(s, planet or Planet())
    return {n: v for n, v in found.items() if np.isfinite(v.values).all()}


def _named(of: str) -> tuple[str, str, float]:
    return _NAMES.get(of, (of, "", 1.0))


def _levels(s: Sample) -> list[tuple[int, float]]:
    return [(k, p) for k, p in enumerate(s.levels) if any(abs(p - q) < 1.0 for q in _LAYERS)]


def _fields(s: Sample) -> dict[str, NDArray[np.float32]]:
    fields = {n: x for n, x in s.deep.items() if n in ("ua", "va", "ta", "hus")}
    if "ua" in fields and "va" in fields:
        fields["ke"] = 0.5 * (fields["ua"] ** 2 + fields["va"] ** 2)
    return fields


def _distributions(s: Sample) -> dict[str, Vector]:
    width, found = quantile_weights(), {}
    area = np.broadcast_to(s.area[:, None], (s.lat.size, s.lon.size))

    def add(x: NDArray[np.float32], name: str, units: str, scale: float) -> None:
        known = np.isfinite(x)
        if known.any():
            weight = np.broadcast_to(area, x.shape)[known]
            values = scale * quantiles(x[known], weight)
            found[f"W1 {name}"] = Vector(
                values=values, weight=width, order=1, group="distribution", units=units
            )

    for of, x in _fields(s).items():
        name, units, scale = _named(of)
        for k, p in _levels(s):
            if of == "hus" and p < 200e2:
                continue
            add(x[:, k], f"{name} {p / 100.0:.0f} hPa", units, scale)
    for of in ("pr", "ts"):
        if of in s.flat:
            add(s.flat[of], *_named(of))
    return found


def _mean(x: NDArray[np.float32]) -> F64:
    """Time mean of what is above the ground all the time."""
    return np.asarray(x.mean(axis=0, dtype=np.float64))


def _maps(s: Sample) -> dict[str, Vector]:
    found = {}
    cells = np.repeat(s.area / s.lon.size, s.lon.size)

    def add(mean: F64, label: str, units: str) -> None:
        values = mean.ravel()
        known = np.isfinite(values)
        if known.any():
            weight = np.where(known, cells, 0.0)
            found[f"map of {label}"] = Vector(
                values=np.where(known, values, 0.0),
                weight=weight / weight.sum(),
                order=2,
                group="map",
                units=units,
            )

    for of, wanted in (("ua", 250e2), ("ua", 850e2), ("ta", 850e2), ("ta", 250e2)):
        for k in np.flatnonzero(np.abs(s.levels - wanted) < 1.0) if of in s.deep else ():
            name, units, scale = _named(of)
            add(scale * _mean(s.deep[of][:, k]), f"{name} {wanted / 100.0:.0f} hPa", units)
    for of in ("pr", "ts", "ps", "rlut"):
        if of in s.flat:
            name, units, scale = _named(of)
            add(scale * _mean(s.flat[of]), name, units)
    return found


def zonal_mean(s: Sample, of: str) -> F64:
    """Time and zonal mean, shape [level, lat]; NaN where all of a circle is below the ground."""
    x = s.deep[of]
    known = np.isfinite(x)
    count = known.sum(axis=(0, 3))
    total = np.where(known, x, 0.0).sum(axis=(0, 3), dtype=np.float64)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _zonal_means(s: Sample) -> dict[str, Vector]:
    found = {}
    for of in [n for n in ("ua", "va", "ta", "hus") if n in s.deep]:
        name, units, scale = _named(of)
        mean = scale * zonal_mean(s, of)
        known = np.isfinite(mean)
        weight = np.where(known, s.mass[:, None] * s.area, 0.0).ravel()
        found[f"zonal-mean {name}"] = Vector(
            values=np.where(known, mean, 0.0).ravel(),
            weight=weight / weight.sum(),
            order=2,
            group="zonal mean",
            units=units,
        )
    return found


_BANDS = {"30N-60N": (30.0, 60.0), "15S-15N": (-15.0, 15.0), "30S-60S": (-60.0, -30.0)}


def energy_spectrum(s: Sample, pressure: float, band: str) -> F64 | None:
    """Mean kinetic energy of a belt by zonal wavenumber 1 ... n/2 [m2 s-2]."""
    found = np.flatnonzero(np.abs(s.levels - pressure) < 1.0)
    if not found.size or "ua" not in s.deep or "va" not in s.deep:
        return None
    low, high = _BANDS[band]
    belt = (s.lat >= low) & (s.lat <= high)
    total = sum(zonal_power(s.deep[n][:, found[0]][:, belt]) for n in ("ua", "va"))
    power = s.area[belt] @ (0.5 * np.asarray(total).mean(axis=0)) / s.area[belt].sum()
    return np.asarray(power)[1:]


def _spectra(s: Sample) -> dict[str, Vector]:
    found = {}
    for band in _BANDS:
        power = energy_spectrum(s, 250e2, band)
        if power is None or not np.isfinite(power).all():
            continue
        upto = max(2, int(2.0 / 3.0 * power.size))
        found[f"spectrum of kinetic energy 250 hPa {band}"] = Vector(
            values=power[:upto],
            weight=np.full(upto, 1.0 / upto),
            order=2,
            group="spectrum",
            units="m2 s-2",
        )
    return found


def streamfunction(s: Sample, planet: Planet) -> F64:
    """Meridional mass transport above each level, 2 pi a cos(lat)/g int_0^p v dp [kg s-1].

    Layers reach half-way to the next level, the uppermost to p = 0. Of a level's own layer only the
    part above the level counts. Shape [level, lat].
    """
    v = np.nan_to_num(zonal_mean(s, "va"))
    order = np.argsort(s.levels)
    p = s.levels[order]
    upper = np.concatenate([[0.0], 0.5 * (p[1:] + p[:-1])])
    across = v[order] * (p - upper)[:, None]
    across[1:] += np.cumsum(v[order][:-1] * np.diff(upper)[:, None], axis=0)
    psi = 2.0 * np.pi * planet.radius * np.cos(np.radians(s.lat)) / planet.gravity * across
    return np.asarray(psi[np.argsort(order)])


def _jet(s: Sample, sign: int) -> tuple[float, float]:
    """Strongest zonal-mean westerly between 15 and 75 degrees at 250 hPa: latitude and speed."""
    k = int(np.argmin(np.abs(s.levels - 250e2)))
    u = np.asarray(zonal_mean(s, "ua"))[k]
    inside = (sign * s.lat > 15.0) & (sign * s.lat < 75.0)
    j = int(np.argmax(np.where(inside, u, -np.inf)))
    if not 0 < j < s.lat.size - 1:
        return float(s.lat[j]), float(u[j])
    curve, slope, top = np.polyfit(s.lat[j - 1 : j + 2] - s.lat[j], u[j - 1 : j + 2], 2)
    shift = float(np.clip(-slope / (2.0 * curve), -15.0, 15.0)) if curve < 0.0 else 0.0
    return float(s.lat[j]) + shift, float(top + slope * shift + curve * shift**2)


def _numbers(s: Sample, planet: Planet) -> dict[str, Vector]:
    numbers: dict[str, tuple[float, str]] = {}
    if "ua" in s.deep:
        for sign, side in ((1, "north"), (-1, "south")):
            lat, speed = _jet(s, sign)
            numbers[f"jet {side}, latitude"] = (lat, "degrees")
            numbers[f"jet {side}, speed"] = (speed, "m s-1")
    if "va" in s.deep and s.levels.size > 2:
        psi = streamfunction(s, planet)
        k = int(np.argmin(np.abs(s.levels - 500e2)))
        numbers["range of the mass streamfunction at 500 hPa"] = (
            float(np.ptp(psi[k])) / 1e9,
            "1e9 kg s-1",
        )
    for of in ("pr", "ts", "rlut", "hfls", "hfss"):
        if of in s.flat:
            name, units, scale = _named(of)
            belt = np.asarray(np.nanmean(s.flat[of], axis=(0, 2), dtype=np.float64))
            known = np.isfinite(belt)
            mean = scale * float(np.average(belt[known], weights=s.area[known]))
            numbers[f"mean {name}"] = (mean, units)
    if "pr" in s.flat:
        rain = SECONDS_PER_DAY * s.flat["pr"]
        weight = np.broadcast_to(s.area[:, None], rain.shape)
        top = float(quantiles(rain, weight, [0.99])[0])
        numbers["precipitation, 99th percentile"] = (top, "mm day-1")
        for bound in (0.1, 1.0):
            wet = share_above(rain, bound, weight)
            numbers[f"part of the globe with more than {bound:g} mm/day"] = (wet, "1")
    return {
        name: Vector(
            values=np.array([value]), weight=np.ones(1), order=2, group="number", units=units
        )
        for name, (value, units) in numbers.items()
    }
