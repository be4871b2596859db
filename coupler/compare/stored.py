"""What report.json and report.nc hold of answers and of forecasts.

Maps and sections of skill are in the netCDF file alone, each kind of answer with axes of its own:
a recording may have other places than the runs. Power by scale, column budgets and forecasts are in
both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from coupler.compare.answers import Answers
from coupler.compare.findings import Findings

KINDS = ("offline", "shadow", "own_states")
Variable = tuple[tuple[str, ...], Any, dict[str, str]]
_SCORES = ("truth_mean", "truth_rms", "mean", "rms", "residual_mean", "residual_rms")


def numbers(answers: Mapping[str, Answers]) -> dict[str, dict[str, Any]]:
    """Answers by candidate for JSON, without maps."""
    found = {}
    for name, of in answers.items():
        found[name] = dataclasses.asdict(dataclasses.replace(of, places=()))
        del found[name]["places"]
    return found


def variables(found: Findings, names: Sequence[str]) -> dict[str, Variable]:
    """Variables and axes for the dataset, with names that say which answers they are of.

    Args:
        found: of a study.
        names: of the axis ``candidate``.
    """
    kinds: dict[str, Mapping[str, Answers]] = {kind: getattr(found, kind) for kind in KINDS}
    answers = [a for of in kinds.values() for a in of.values()]
    outputs = list(dict.fromkeys(o.of for a in answers for o in a.outputs))
    data: dict[str, Variable] = {}
    if outputs:
        data["output"] = (("output",), np.array(outputs), {"long_name": "tendency of"})
    for kind, of in kinds.items():
        data |= _places(kind, of, names, outputs)
        data |= _scales(kind, of, names, outputs)
        data |= _budgets(kind, of, names)
    return data | _forecasts(found)


def _places(
    kind: str, answers: Mapping[str, Answers], names: Sequence[str], outputs: Sequence[str]
) -> dict[str, Variable]:
    known = {(n, p.of): p for n, a in answers.items() for p in a.places}
    if not known:
        return {}
    first = next(iter(known.values()))
    lat, lon, lev = (f"{kind}_{axis}" for axis in ("lat", "lon", "plev"))
    data: dict[str, Variable] = {
        lat: ((lat,), first.lat, {"units": "degrees_north"}),
        lon: ((lon,), first.lon, {"units": "degrees_east"}),
        lev: ((lev,), first.pressure, {"units": "Pa", "positive": "down"}),
    }
    for of, axes in (("map_r2", (lat, lon)), ("map_r", (lat, lon)),
                     ("section_r2", (lev, lat)), ("section_r", (lev, lat))):  # fmt: skip
        values = {key: getattr(p, of) for key, p in known.items()}
        data[f"{kind}_{of}"] = _table(values, axes, names, outputs, {"units": "1"})
    return data


def _scales(
    kind: str, answers: Mapping[str, Answers], names: Sequence[str], outputs: Sequence[str]
) -> dict[str, Variable]:
    all_of = [(n, s) for n, a in answers.items() for s in a.scales]
    data: dict[str, Variable] = {}
    for layer in dict.fromkeys(s.layer for _, s in all_of):
        short = layer.replace(" hPa", "").replace(" ", "_")
        for of in ("truth", "prediction"):
            values = {(n, s.of): getattr(s, of) for n, s in all_of if s.layer == layer}
            named = {"units": "square of the unit per day", "long_name": f"power, {layer}"}
            axes = (f"{kind}_wavenumber",)
            data[f"{kind}_power_{of}_{short}"] = _table(values, axes, names, outputs, named)
    return data


def _table(
    values: Mapping[tuple[str, str], Any],
    axes: tuple[str, ...],
    names: Sequence[str],
    outputs: Sequence[str],
    named: dict[str, str],
) -> Variable:
    """One variable over candidates and outputs, NaN for what one of them has not."""
    shape = np.shape(next(iter(values.values())))
    out = np.full((len(names), len(outputs), *shape), np.nan)
    for (name, of), one in values.items():
        if name in names and of in outputs:
            out[names.index(name), outputs.index(of)] = one
    return ("candidate", "output", *axes), out, named


def _budgets(
    kind: str, answers: Mapping[str, Answers], names: Sequence[str]
) -> dict[str, Variable]:
    known = {(n, b.short): b for n, a in answers.items() for b in a.budgets}
    data: dict[str, Variable] = {}
    for short in dict.fromkeys(key[1] for key in known):
        rows = [known.get((n, short)) for n in names]
        units = next(b.units for b in rows if b is not None) if any(rows) else ""
        for of in _SCORES:
            values = [np.nan if b is None else getattr(b, of) for b in rows]
            name = f"{kind}_column_{short.replace(' ', '_')}_{of}"
            data[name] = (("candidate",), np.array(values), {"units": units})
    return data


def _forecasts(found: Findings) -> dict[str, Variable]:
    if not found.forecasts:
        return {}
    fields = list(dict.fromkeys(f.field for of in found.forecasts.values() for f in of))
    data: dict[str, Variable] = {
        "forecast": (("forecast",), np.array(list(found.forecasts)), {}),
        "forecast_field": (("forecast_field",), np.array(fields), {}),
    }
    for of in ("day_3", "day_5", "days_3_to_7", "drift"):
        known = [{f.field: getattr(f, of) for f in row} for row in found.forecasts.values()]
        values = [[row.get(field, np.nan) for field in fields] for row in known]
        name = "drift_of_the_global_mean" if of == "drift" else f"error_{of}"
        data[name] = (("forecast", "forecast_field"), np.array(values), {})
    return data
