"""`evaluate(bundle, recording)`: every rung of the ladder for one bundle on one recording.

From what everybody prints to what decides: R2 and mean square error by level and latitude, in Pa
and normalized; distributions; the ladder of large fluxes; drag and momentum; roll test; grafts.
Columns are weighted with the cosine of latitude, because recordings draw from the cells of a grid.
None of this replaces a run: it says where to look when one goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import torch
from torch import Tensor

from coupler.interface.errors import DataError
from coupler.interface.grid import HybridLevels
from emulators.bundle import Bundle, load_bundle, same_levels
from emulators.evaluation.metrics import (
    BINS,
    F64,
    PERCENTILES,
    Array,
    Bins,
    by_band,
    correlation_in_time,
    hellinger_squared,
    mean_by_variance,
    moments,
    normalized,
    pooled_r2,
    quantile_ratios,
)
from emulators.evaluation.physics import drag, momentum_residual, net_momentum
from emulators.evaluation.responses import (
    Fields,
    Jet,
    Response,
    grafts,
    relative_change,
    response,
    roll_test,
    shift_of_roll,
)
from emulators.schema import NOMINAL_SURFACE, Output
from emulators.training.data import Columns, read_recording
from emulators.training.describe import WINDS
from emulators.training.skill import predict

Truth = Callable[[int, Fields], dict[str, Array]]
"""Fluxes that the recorded scheme gives at a call of the recording, some of its inputs changed."""
BAND = 20.0
"""Width of a band of latitude [degree]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OutputScores:
    """Scores of one flux; by interface where nothing else is said."""

    deviation: F64
    """Of the truth [Pa]."""
    mse: F64
    """[Pa2]."""
    r2: F64
    mse_normalized: F64
    """Of what the network gives (`normalized`); NaN where the bundle's scale is 0."""
    r2_normalized: F64
    """Another one than `r2` for an output with ``transform: cbrt`` only."""
    correlation: F64
    variance_ratio: F64
    hellinger_squared: F64
    ladder: F64
    """Quantile ratios at 90, 99, 99.9 %, shape [3, interface]."""
    band_r2: F64
    """Shape [interface, band]."""
    band_mse: F64
    """[Pa2], shape [interface, band]."""
    band_r2_normalized: F64
    band_mse_normalized: F64
    drag_rmse: F64
    """[m s-2], shape [level]."""
    drag_r2: F64
    """Shape [level]."""
    momentum_residual: float
    net_truth: float
    net_estimate: float
    time_correlation: F64 | None = None
    """Median over columns of the correlation in time; None where columns change from call to call.
    """


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """All scores of one bundle on one recording."""

    bundle: str
    recording: str
    sha256: str
    times: int
    columns: int
    half_pressure: F64
    """Nominal pressure of the interfaces [Pa], shape [interface]."""
    band_edges: F64
    """[degrees_north], shape [band + 1]."""
    bins: Bins
    outputs: dict[str, OutputScores]
    overall: dict[str, float]
    roll: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    """By output and score, its mean over interfaces as it is and with turned inputs."""
    responses: list[Response] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""


def evaluate(
    bundle: Bundle | Path | str,
    recording: Path | str,
    *,
    truth: Truth | None = None,
    skip_days: float = 0.0,
    jet: Jet | None = None,
    bins: Bins = BINS,
    most: int = 200_000,
    graft_columns: int = 4096,
) -> Evaluation:
    """Climbs the ladder.

    Args:
        bundle: the bundle, or its folder.
        recording: made with the scheme that the bundle emulates.
        truth: that scheme, for the grafts; without it they are left out.
        skip_days: at the start of the recording that are left out.
        jet: what is grafted as a critical level.
        bins: of the Hellinger distance.
        most: columns to use, as whole calls spread evenly over the recording.
        graft_columns: columns to graft, the same way.

    Raises:
        DataError: for a recording that lacks a channel, or on other levels.
    """
    bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    spec, path = bundle.spec, Path(recording)
    inputs, outputs = [c.name for c in spec.inputs], [c.name for c in spec.outputs]
    extra, index = _more(path)
    names = list(dict.fromkeys((*inputs, *outputs, "lat", *extra)))
    data = read_recording(path, names, role="test", skip_days=skip_days)
    if not same_levels(spec.levels.hybrid(), data.levels.hybrid()):
        raise DataError.of(
            "recording on other levels than the bundle's",
            str(path),
            expected=f"{spec.levels.nlev} levels {spec.levels.name!r}",
            found=f"{data.levels.nlev} levels {data.levels.name!r}",
            remedy="evaluate it on a recording of a case with the bundle's levels",
        )
    calls = _spread(data.times, most // max(data.n // data.times, 1))
    fields = _at(data, calls)
    longitudes = _longitudes(fields["lat"], data.n // data.times)
    own = None if index is None else index[-data.times :][calls]
    truths = {n: fields[n].numpy() for n in outputs}
    weights = np.cos(np.radians(fields["lat"].double().numpy())).clip(1e-6)

    def estimate(x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return predict(bundle.network, {n: x[n] for n in inputs})

    given = estimate(fields)
    estimates = {n: given[n].numpy() for n in outputs}
    half = _half_pressure(fields, data.levels.hybrid())
    edges = np.linspace(-90.0, 90.0, round(180.0 / BAND) + 1)
    lat = fields["lat"].double().numpy()
    fixed = calls.size if own is not None and calls.size > 2 and (own == own[0]).all() else 0
    turned, note = _turned(bundle, fields, estimate, calls.size, own, longitudes, weights)
    scores, overall, roll = {}, {}, {}
    spaces: list[tuple[F64, F64]] = []
    for output in spec.outputs:
        t, e = truths[output.name], estimates[output.name]
        tn, en = _normalized(t, output), _normalized(e, output)
        spaces.append((tn, en))
        s = _scores(t, e, tn, en, weights, half, lat, edges, bins, fixed)
        scores[output.name] = s
        back = turned[output.name]
        other = _rungs(t, back, tn, _normalized(back, output), weights, bins)
        roll[output.name] = {
            n: (mean_by_variance(one, s.deviation), mean_by_variance(other[n], s.deviation))
            for n, one in _rungs(t, e, tn, en, weights, bins).items()
        }
    t_all, e_all = (np.concatenate([d[n] for n in outputs]) for d in (truths, estimates))
    t_normal, e_normal = (np.concatenate(x) for x in zip(*spaces, strict=True))
    known = np.isfinite(t_normal[:, 0]).astype(float)
    t_drag, e_drag = (
        np.concatenate([drag(d[n], half) for n in outputs]) for d in (truths, estimates)
    )
    overall["R2 flux, in Pa"] = pooled_r2(t_all, e_all, weights)
    overall["R2 flux, normalized"] = pooled_r2(t_normal, e_normal, weights, known)
    overall["R2 drag, in m s-2"] = pooled_r2(t_drag, e_drag, weights)
    overall["roll test, relative change"] = relative_change(estimates, turned, weights)
    responses, notes = [], [note]
    if truth is None:
        notes.append("grafts: left out, the scheme of the recording is not at hand")
    else:
        winds = [n for n in inputs if n in WINDS]
        some = _spread(data.times, graft_columns // max(data.n // data.times, 1))
        responses = _grafted(data, some, winds, truth, estimate, outputs, jet or Jet(), path)
    return Evaluation(
        bundle=spec.name,
        recording=path.name,
        sha256=data.source.sha256,
        times=calls.size,
        columns=weights.size,
        half_pressure=data.levels.half_pressure(),
        band_edges=edges,
        bins=bins,
        outputs=scores,
        overall=overall,
        roll=roll,
        responses=responses,
        notes=notes,
    )


def _more(path: Path) -> tuple[list[str], Array | None]:
    """Fields for layer masses, where the recording has them, and the places of its columns."""
    if not path.is_file():
        return [], None  # `read_recording` says so
    try:
        with netCDF4.Dataset(path) as file:
            have: list[str] = next(([n] for n in ("phalf", "ps") if n in file.variables), [])
            return have, np.asarray(file["index"][:]) if "index" in file.variables else None
    except (OSError, RuntimeError):
        return [], None


def _spread(times: int, most: int) -> Array:
    """At most `most` of so many calls, evenly spread."""
    return np.unique(np.linspace(0, times - 1, min(times, max(1, most))).round().astype(int))


def _at(data: Columns, calls: Array) -> dict[str, Tensor]:
    """Fields of some calls."""
    if calls.size == data.times:
        return dict(data.fields)
    per_call = data.n // data.times
    columns = torch.from_numpy((calls[:, None] * per_call + np.arange(per_call)).reshape(-1))
    return data.take(columns)


def _longitudes(lat: Tensor, per_call: int) -> int | None:
    """Columns in a row of a map; None where the columns of a call are no map."""
    first = lat[:per_call]
    length = int((first == first[0]).sum())
    whole = length > 1 and per_call % length == 0
    rows = first.reshape(-1, length) if whole else first[:, None]
    return length if whole and bool((rows == rows[:, :1]).all()) else None


def _half_pressure(fields: Mapping[str, Tensor], levels: HybridLevels) -> F64:
    if "phalf" in fields:
        return fields["phalf"].double().numpy()
    if "ps" in fields:
        return levels.half_pressure(fields["ps"].double().numpy())
    return levels.half_pressure(np.array([NOMINAL_SURFACE]))


def _normalized(flux: Array, output: Output) -> F64:
    mean = np.asarray(output.mean) if output.mean else None
    return normalized(flux, np.asarray(output.scale), mean, cubic=output.transform == "cbrt")


def _rungs(t: Array, e: Array, tn: F64, en: F64, weights: Array, bins: Bins) -> dict[str, F64]:
    """What a turn of the inputs may change, by interface; the latter two normalized."""
    found, normal = moments(t, e, weights), moments(tn, en, weights)
    ladder = zip(PERCENTILES, quantile_ratios(t, e, weights), strict=True)
    return {
        "R²": found.r2,
        "R² normalized": normal.r2,
        "RMSE normalized": np.sqrt(normal.mse),
        "H²": hellinger_squared(t, e, weights, bins),
        **{f"P{p:g}": v for p, v in ladder},
        "variance ratio": found.variance_ratio,
    }


def _scores(
    t: Array,
    e: Array,
    tn: F64,
    en: F64,
    weights: Array,
    half: Array,
    lat: Array,
    edges: Array,
    bins: Bins,
    fixed: int,
) -> OutputScores:
    found, normal = moments(t, e, weights), moments(tn, en, weights)
    rates = moments(drag(t, half), drag(e, half), weights)
    band_r2, band_mse = by_band(t, e, weights, lat, edges)
    band_r2_normalized, band_mse_normalized = by_band(tn, en, weights, lat, edges)
    in_time = None
    if fixed:
        by_column = correlation_in_time(t, e, fixed)
        some = np.isfinite(by_column).any(axis=1)
        in_time = np.full(t.shape[0], np.nan)
        in_time[some] = np.nanmedian(by_column[some], axis=1)
    return OutputScores(
        deviation=np.sqrt(found.truth),
        mse=found.mse,
        r2=found.r2,
        mse_normalized=normal.mse,
        r2_normalized=normal.r2,
        correlation=found.correlation,
        variance_ratio=found.variance_ratio,
        hellinger_squared=hellinger_squared(t, e, weights, bins),
        ladder=quantile_ratios(t, e, weights),
        band_r2=band_r2,
        band_mse=band_mse,
        band_r2_normalized=band_r2_normalized,
        band_mse_normalized=band_mse_normalized,
        drag_rmse=np.sqrt(rates.mse),
        drag_r2=rates.r2,
        momentum_residual=momentum_residual(e, half),
        net_truth=net_momentum(t, weights),
        net_estimate=net_momentum(e, weights),
        time_correlation=in_time,
    )


def _turned(
    bundle: Bundle,
    fields: Mapping[str, Tensor],
    estimate: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
    times: int,
    index: Array | None,
    longitudes: int | None,
    weights: Array,
) -> tuple[dict[str, Array], str]:
    """What it gives on turned inputs, turned back; and how they were turned."""
    per_call = weights.size // times
    inputs = {c.name: fields[c.name] for c in bundle.spec.inputs}
    shift = shift_of_roll(index, per_call, longitudes)
    if shift is not None and longitudes is not None:
        length, note = longitudes, "roll test: maps turned by half the circle"
    else:
        length, shift = per_call, per_call // 2
        note = "roll test: a sample of columns, each call's turned by half their number"
    back = roll_test(estimate, inputs, times, length, shift)
    return {k: v.numpy() for k, v in back.items()}, note


def _grafted(
    data: Columns,
    calls: Array,
    winds: list[str],
    truth: Truth,
    estimate: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
    outputs: list[str],
    jet: Jet,
    path: Path,
) -> list[Response]:
    """Each graft, computed call by call, estimated at once."""
    if not winds:
        return []
    fields = _at(data, calls)
    per_call = data.n // data.times
    with netCDF4.Dataset(path) as file:
        first = file.dimensions["time"].size - data.times
    pressure = fields["pfull"].double().numpy() if "pfull" in fields else _nominal(data)
    weights = np.cos(np.radians(fields["lat"].double().numpy())).clip(1e-6)
    before = {k: v.numpy() for k, v in estimate(fields).items()}
    found = []
    for name, graft in grafts(winds, pressure, jet).items():
        changed = graft({n: fields[n].numpy() for n in winds})
        parts: list[dict[str, Any]] = []
        for i, call in enumerate(calls):
            own = slice(i * per_call, (i + 1) * per_call)
            parts.append(truth(first + int(call), {k: v[:, own] for k, v in changed.items()}))
        tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in changed.items()}
        after = estimate({**fields, **tensors})
        want, got = {}, {}
        for n in outputs:
            joined = np.concatenate([np.asarray(p[n], np.float64) for p in parts], axis=1)
            want[n] = joined - fields[n].double().numpy()
            got[n] = after[n].numpy().astype(np.float64) - before[n]
        found.append(response(name, want, got, weights))
    return found


def _nominal(data: Columns) -> F64:
    half = data.levels.half_pressure()[:, None]
    return np.asarray(0.5 * (half[1:] + half[:-1]), np.float64)
