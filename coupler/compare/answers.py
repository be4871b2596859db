"""Two answers to one question: what a scheme gives where another one is the truth.

Used offline (on a recording), in the shadow of a run, and on the candidate's own states, with the
same numbers, so that they can stand in one table. Rates are weighted with mass and area. Errors of
temperature and humidity are also given in W m-2 of each layer: the mass is in that number and only
the area weighs it. A recording holds single calls, the files of a run means over their interval,
in which what varies within it is gone: the skill of the one is not that of the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from coupler.compare.column_budgets import ColumnBudget, column_budgets
from coupler.compare.opening import opened
from coupler.compare.places import PlaceSkill, reason_against, skill_by_place
from coupler.compare.sample import layer_pressure
from coupler.compare.scales import NO_CIRCLES, ScaleSkill, skill_by_scale
from coupler.compare.statistics.distances import area_weights, heating_in_watts
from coupler.compare.statistics.offline import columns_last, extremes, right_sign, skill
from coupler.driver.replay import RecordedScheme
from coupler.interface.constants import SECONDS_PER_DAY, Planet
from coupler.interface.errors import CouplerError, DataError
from coupler.interface.fields import STATE, tendency_field

F64 = NDArray[np.float64]
MOST_CALLS = 64
"""Calls of a recording that are looked at, evenly spread."""
_UNITS = {"ua": "m s-1 day-1", "va": "m s-1 day-1", "ta": "K day-1", "hus": "kg kg-1 day-1"}


@dataclass(frozen=True, kw_only=True, eq=False)
class OutputSkill:
    """Of the tendency of one state variable."""

    of: str
    units: str
    r2: float
    """Infinitely low for a prediction that is no number, or where the truth does not change."""
    r: float
    amplitude: float
    rmse: float
    watts: float
    """Root mean square error as energy [W m-2 per layer]; NaN for wind."""
    mae: float
    """Mean absolute error."""
    mae_watts: float
    """The same as energy [W m-2 per layer]; NaN for wind."""
    bias: float
    columns_last: float
    """R2 of each column in time, averaged last; NaN where columns change from call to call."""
    p99: float
    """99th percentile of |prediction| over that of |truth|, of the mass."""
    p999: float
    work_sign: float
    """Share of the true work on the wind for which the prediction has its sign; NaN otherwise."""
    pressure: F64
    """Of the layers [Pa], shape [level]."""
    level_r2: F64
    level_r: F64
    level_amplitude: F64


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """A scheme against the truth on one set of states."""

    where: str
    """``offline``, ``shadow`` or ``own states``."""
    outputs: tuple[OutputSkill, ...] = ()
    samples: int = 0
    """Columns times calls."""
    milliseconds: float = float("nan")
    """For a thousand columns, median over calls."""
    outside: float = float("nan")
    """Share of columns that an emulator's guard found outside its training."""
    why: str = ""
    """Why there is nothing."""
    counts: Mapping[str, int] = field(default_factory=dict)
    budgets: tuple[ColumnBudget, ...] = ()
    scales: tuple[ScaleSkill, ...] = ()
    places: tuple[PlaceSkill, ...] = ()
    lacks: tuple[str, ...] = ()
    """Why there are no maps or no spectra."""

    def mean(self, of: str) -> float:
        """Mean of a score over the outputs that have it; geometric for amplitudes."""
        values = [v for o in self.outputs if not math.isnan(v := float(getattr(o, of)))]
        if not values:
            return float("nan")
        if of == "amplitude":
            return math.exp(sum(math.log(max(v, 1e-6)) for v in values) / len(values))
        return sum(values) / len(values)


def judge(
    where: str,
    truth: Mapping[str, ArrayLike],
    prediction: Mapping[str, ArrayLike],
    thickness: ArrayLike,
    area: ArrayLike,
    pressure: ArrayLike,
    *,
    wind: Mapping[str, ArrayLike] | None = None,
    fixed_columns: bool = False,
    planet: Planet | None = None,
) -> Answers:
    """Scores of the tendencies of all variables that either of both changes.

    Args:
        where: for the tables.
        truth: rates by state variable [SI s-1], shape [time, level, column].
        prediction: the same; what one of both does not change is zero.
        thickness: of the layers [Pa], broadcast to that shape.
        area: of the columns, shape [column] or [time, 1, column].
        pressure: of the layers [Pa], shape [level].
        wind: ``ua`` and ``va`` of the states, for the sign of the work.
        fixed_columns: whether a column is the same place at all times.
        planet: for heat capacities.
    """
    planet, prediction = planet or Planet(), _numbers(prediction)
    capacity = {"ta": planet.cp_dry, "hus": planet.latent_heat_vaporization}
    outputs, samples = [], 0
    for of in [o for o in STATE if o in truth or o in prediction]:
        t = np.asarray(truth.get(of, np.zeros(1)), np.float64)
        p = np.asarray(prediction.get(of, np.zeros(1)), np.float64)
        t, p = np.broadcast_arrays(t, p)
        if not t.any() and not p.any():
            continue
        dp = np.broadcast_to(np.asarray(thickness, np.float64), t.shape)
        w = dp * np.asarray(area, np.float64)
        samples = t.shape[0] * t.shape[-1]
        whole, levels = skill(t, p, w), skill(t, p, w, axis=(0, 2))
        p99, p999 = extremes(t, p, w)
        watts = mae_watts = float("nan")
        if of in capacity:
            error = heating_in_watts(p - t, dp / planet.gravity, capacity[of])
            watts = float(np.sqrt(skill(np.zeros_like(t), error, area).mse))
            mae_watts = float(np.average(np.abs(error), weights=np.broadcast_to(area, t.shape)))
        sign = float("nan")
        if wind is not None and of in wind:
            u = np.asarray(wind[of], np.float64)
            sign = right_sign(t * u, p * u, w)
        r2 = float(whole.r2)
        if math.isnan(r2) and whole.mse != 0.0:
            r2 = -math.inf
        last = columns_last(t, p, np.ravel(area)) if fixed_columns and t.shape[0] > 2 else math.nan
        outputs.append(
            OutputSkill(
                of=of,
                units=_UNITS.get(of, "day-1"),
                r2=r2,
                r=float(whole.r),
                amplitude=float(whole.amplitude),
                rmse=float(whole.rmse) * SECONDS_PER_DAY,
                watts=watts,
                mae=float(np.average(np.abs(p - t), weights=w)) * SECONDS_PER_DAY,
                mae_watts=mae_watts,
                bias=float(whole.bias) * SECONDS_PER_DAY,
                columns_last=last,
                p99=p99,
                p999=p999,
                work_sign=sign,
                pressure=np.asarray(pressure, np.float64),
                level_r2=levels.r2,
                level_r=levels.r,
                level_amplitude=levels.amplitude,
            )
        )
    budgets: tuple[ColumnBudget, ...] = ()
    if outputs:
        arrays = {of: np.asarray(x) for of, x in truth.items()}
        winds = {of: np.asarray(x) for of, x in (wind or {}).items()}
        budgets = column_budgets(arrays, prediction, thickness, area, winds, planet)
    return Answers(where=where, outputs=tuple(outputs), samples=samples, budgets=budgets)


def _numbers(rates: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Rates in which all that is no number is the same one."""
    return {of: np.where(np.isfinite(x), x, np.nan) for of, x in rates.items()}


def on_recording(
    recording: Path, schemes: Mapping[str, str], *, base: Path, skip_days: float = 0.0
) -> dict[str, Answers]:
    """Every candidate on the states of a recording, against what the recorded scheme gave.

    Args:
        recording: ``record_PROCESS.nc`` of a run.
        schemes: by candidate.
        base: folder that file names are relative to.
        skip_days: at the start of the recording that are left out.

    Raises:
        DataError: for a recording that is none, or has no calls (after the days left out).
    """
    found: dict[str, Answers] = {}
    with RecordedScheme(recording, base) as recorded:
        calls = np.arange(recorded.calls)
        if calls.size:
            calls = calls[recorded.days - recorded.days[0] >= skip_days - 1e-9]
        if not calls.size:
            raise DataError.of(
                "an empty recording",
                str(recording),
                expected="at least one call" + (f" after {skip_days:g} days" if skip_days else ""),
                found=f"{recorded.calls} calls",
                remedy="record a longer run, or leave out fewer days",
            )
        some = np.unique(np.linspace(0, calls.size - 1, MOST_CALLS).round().astype(int))
        calls = calls[some]
        for name, scheme in schemes.items():
            try:
                found[name] = _recorded_answers(recorded, calls.tolist(), scheme)
            except CouplerError as error:  # the others can still be judged
                found[name] = Answers(where="offline", why=str(error.problems[0]))
    return found


def _recorded_answers(recorded: RecordedScheme, calls: Sequence[int], scheme: str) -> Answers:
    truths, answers, half, lat, lon, times = [], [], [], [], [], []
    wind: list[dict[str, NDArray[Any]]] = []
    counts: dict[str, int] = {}
    for call in calls:
        truth, own = recorded.answer(call), recorded.answer(call, scheme)
        truths.append(truth.rates)
        answers.append(own.rates)
        half.append(truth.half_pressure)
        lat.append(truth.held["lat"])
        lon.append(truth.held["lon"])
        wind.append({str(n): truth.held[n] for n in ("ua", "va") if n in truth.held})
        times.append(1e3 * own.seconds / (own.half_pressure.shape[-1] / 1000.0))
        for key, n in own.counts.items():
            counts[key] = counts.get(key, 0) + int(n)

    def stacked(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        return {of: np.stack([p[of] for p in parts]) for of in parts[0]}

    interfaces = np.stack(half).astype(np.float64)
    middle = 0.5 * (interfaces[:, 1:] + interfaces[:, :-1])
    gave, would = stacked(truths), _numbers(stacked(answers))
    thick, pressure = np.diff(interfaces, axis=1), middle.mean(axis=(0, 2))
    judged = judge(
        "offline",
        gave,
        would,
        thick,
        np.cos(np.radians(np.stack(lat).astype(np.float64)))[:, None, :].clip(1e-6),
        pressure,
        wind=stacked(wind) if wind[0] else None,
    )
    where = np.stack(lat), np.stack(lon)
    why = reason_against(*where)
    places = () if why else skill_by_place(gave, would, thick, *where, pressure)
    columns = counts.get("columns", 0)
    outside = counts.get("outside", 0) / columns if columns else float("nan")
    own_time = float(np.median(times[1:] or times))
    return replace(
        judged,
        milliseconds=own_time,
        outside=outside,
        counts=counts,
        places=places,
        lacks=tuple(x for x in (why, NO_CIRCLES) if x),
    )


def in_run(
    folder: Path, process: str, name: str, *, where: str, applied_is_truth: bool, skip_days: float
) -> Answers:
    """A scheme that was called beside the one that acted, from the means in a run's files.

    Args:
        folder: of the run.
        process: whose schemes they are.
        name: of the one beside; its output has the name behind its own.
        where: for the tables.
        applied_is_truth: whether what acted is the truth (a shadow) or the candidate (own states).
        skip_days: at the start that are left out.
    """
    try:
        with opened(folder / "atmosphere.nc") as data:
            return _in_file(data, process, name, where, applied_is_truth, skip_days)
    except CouplerError as error:
        return Answers(where=where, why=str(error.problems[0]))


def _in_file(
    data: xr.Dataset, process: str, name: str, where: str, applied_is_truth: bool, skip: float
) -> Answers:
    edges = data["time_bnds"].values
    days = np.array([(d - edges[0, 0]).total_seconds() / SECONDS_PER_DAY for d in edges[:, 0]])
    late = np.flatnonzero(days >= skip - 1e-9)
    late = late if late.size else np.arange(days.size)[-1:]
    part = data.isel(time=late)
    names = {of: tendency_field(process, of).name for of in STATE}
    plain = {of: n for of, n in names.items() if n in data and data[n].ndim == 4}
    beside = {of: f"{n}_{name}" for of, n in names.items() if f"{n}_{name}" in data}
    if not plain or not beside:
        return Answers(where=where, why="nothing of it in the output of the run")
    lat = np.asarray(data["lat"].values, np.float64)
    bounds = data.get("lat_bnds")
    area = area_weights(lat, None if bounds is None else bounds.values) / data.sizes["lon"]
    columns = np.repeat(area, data.sizes["lon"])

    def flat(variable: str) -> F64:
        x = part[variable].values.astype(np.float64)
        return x.reshape(*x.shape[:2], -1)

    axis = str(data[next(iter(plain.values()))].dims[1])
    middle = layer_pressure(part, axis)
    thick = layer_thickness(part).reshape(late.size, middle.shape[1], -1)
    acted = {of: flat(n) for of, n in plain.items()}
    other = {of: flat(n) for of, n in beside.items()}
    truth, candidate = (acted, other) if applied_is_truth else (other, acted)
    changed = truth.keys() | candidate.keys()
    if changed & {"ua", "va"} and ("ta" in truth) != ("ta" in candidate):
        # Heat of the drag, which the coupler makes of fluxes and not of tendencies: nobody's skill.
        truth.pop("ta", None)
        candidate.pop("ta", None)
    pressure, candidate = middle.mean(axis=(0, 2, 3)), _numbers(candidate)
    judged = judge(
        where,
        truth,
        candidate,
        thick,
        columns,
        pressure,
        wind={n: flat(n) for n in ("ua", "va") if n in data},
        fixed_columns=True,
    )
    lon = np.asarray(data["lon"].values, np.float64)
    north, east = (np.tile(x.ravel(), (late.size, 1)) for x in np.meshgrid(lat, lon, indexing="ij"))
    why = reason_against(north, east)
    return replace(
        judged,
        scales=skill_by_scale(truth, candidate, thick, area, pressure, lon.size, _UNITS),
        places=() if why else skill_by_place(truth, candidate, thick, north, east, pressure),
        lacks=(why,) if why else (),
    )


def layer_thickness(data: xr.Dataset) -> F64:
    """Of the layers in a file of ours [Pa], shape [time, level, lat, lon]."""
    ap, b = (np.diff(data[n].values, axis=1)[None, :, :, None] for n in ("ap_bnds", "b_bnds"))
    return np.abs(ap + b * data["ps"].values.astype(np.float64)[:, None])
