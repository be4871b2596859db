"""The linear analyses of a study: response, waves and modes of every candidate and the reference.

All are made about mean columns of the end of one run of the reference (`columns`). The reference
runs, so what it does itself is no warning: candidates are judged by what they add to it, and the
flow without either is shown beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from coupler.compare.candidates import NONE, REFERENCE
from coupler.compare.foretold import Foretold
from coupler.compare.jobs import Run
from coupler.compare.numerals import number
from coupler.compare.stability import parts
from coupler.compare.stability.analysed import Analysed
from coupler.compare.stability.columns import Columns
from coupler.compare.stability.flow import Modes
from coupler.compare.stability.waves import FAST
from coupler.compare.study import Plan
from coupler.compare.verdict import Evidence, Grade
from coupler.interface.errors import DataError

F64 = NDArray[np.float64]
ROOM = 0.05
"""Growth above the reference's that is no warning [day-1]: an e-folding of 20 days."""


def analyse(plan: Plan, runs: Sequence[Run]) -> Foretold:
    """See the module.

    Raises:
        DataError: when there is no run of the reference to linearize about.
    """
    from coupler.compare.stability import figures

    source = _source(runs)
    ground, notes = parts.Ground(source, plan.process), []
    found = {NONE: Analysed(name=NONE)}
    try:
        found[NONE] = parts.known(parts.part(plan, source, NONE), ground)
    except DataError as error:
        notes.append(str(error.problems[0]))
    for name in parts.schemes(plan):
        found[name] = parts.known(parts.part(plan, source, name), ground)
    judged = [name for name in plan.judged_names if name in found]
    notes += said(found, ground.columns)
    return Foretold(
        evidence={name: evidence(found[name], found[REFERENCE]) for name in judged},
        picture=figures.first(found, plan.names),
        more_pictures=figures.more(found, judged),
        numbers=numbers(found),
        dataset=dataset(found),
        notes=tuple(notes),
    )


def _source(runs: Sequence[Run]) -> Run:
    """The recorded run of the reference, or its first member."""
    own = [r for r in runs if r.job.candidate == REFERENCE and r.good]
    if not own:
        raise DataError.of(
            "no run of the reference to linearize about",
            "stability",
            expected="one that reached its end",
            found="; ".join(r.why for r in runs if r.job.candidate == REFERENCE) or "none",
        )
    return min(own, key=lambda r: r.job.member)


def grade_of(growth: float, reference: float) -> Grade:
    """Of a growth rate beside the reference's [day-1]."""
    more = growth - max(reference, 0.0)
    if more <= ROOM:
        return "good"
    return "bad" if growth > 2.0 * max(reference, 0.0) and more > 2.0 * ROOM else "doubtful"


def evidence(own: Analysed, reference: Analysed) -> list[Evidence]:
    """What the analyses say of a candidate, the worst first."""

    def line(what: str, found: str, expected: str, grade: Grade) -> Evidence:
        return Evidence(when="before", what=what, found=found, expected=expected, grade=grade)

    if own.response is None or reference.response is None:
        why = own.why or reference.why
        return [line("stability: no answer", why, "a response to the state", "open")]
    if not own.waves:
        return [line("stability: no answer", own.why, "a response to the state", "open")]
    lines = []
    alone, usual = own.response.growth(), reference.response.growth()
    at = int(alone.argmax())
    where = own.response.columns.names[at]
    lines.append(line(
        "growth of the scheme in a column alone",
        f"{number(float(alone[at]))} per day at {where}",
        f"not far above the reference's {number(float(usual.max()))} per day",
        grade_of(float(alone[at]), float(usual.max())),
    ))  # fmt: skip
    growth, length, speed, kind = own.fastest_wave()
    theirs = reference.fastest_wave()[0] if reference.waves else -math.inf
    grade = grade_of(growth, theirs) if growth > 0.0 else "good"
    lines.append(line(
        f"fastest-growing gravity wave above {FAST:g} m/s",
        f"{number(growth)} per day at {length / 1e3:.0f} km with phase speed {speed:.0f} m/s, "
        f"{kind}" if growth > 0.0 else "none grows",
        f"none, or the reference's {number(theirs)} per day" if theirs > 0.0 else "none",
        grade,
    ))  # fmt: skip
    if own.modes is not None and reference.modes is not None:
        lines.append(line(*_flow_line(own.modes, reference.modes, own.response.columns)))
    order = ("bad", "doubtful", "open", "good")
    return sorted(lines, key=lambda e: order.index(e.grade))


def _flow_line(own: Modes, usual: Modes, columns: Columns) -> tuple[str, str, str, Grade]:
    sure = own.uncertainty + usual.uncertainty
    excess = own.growth - np.maximum(usual.growth, 0.0) - sure
    at = int(excess.argmax())
    if excess[at] <= ROOM:  # nothing to warn of: say what leads
        at = int(own.growth.argmax())
    grade = grade_of(float(own.growth[at] - sure[at]), float(usual.growth[at]))
    return (
        "leading mode of the flow with it",
        f"{mode_words(own, at, columns)}",
        f"{mode_words(usual, at, columns)} with the reference",
        grade,
    )


def mode_words(modes: Modes, at: int, columns: Columns) -> str:
    """``growing 0.4 per day at wavenumber 7, phase speed 11 m/s at 47N (320 hPa)``."""
    level, row = np.unravel_index(int(np.abs(modes.wind[at]).argmax()), modes.wind[at].shape)
    lat = float(columns.fields["lat"][row])
    pressure = float(columns.fields["pfull"][level, row]) / 100.0
    speed = float(modes.speed(lat, columns.planet.radius)[at])
    growth = float(modes.growth[at])
    lead = "growing" if growth > 0.0 else "decaying"
    side = "N" if lat >= 0.0 else "S"
    return (
        f"{lead} {number(abs(growth))} per day at wavenumber {modes.wavenumber[at]:.0f} with phase "
        f"speed {speed:.0f} m/s, largest at {abs(lat):.0f}{side}, {pressure:.3g} hPa"
    )


def said(found: Mapping[str, Analysed], columns: Columns) -> list[str]:
    """How it was made, in a sentence or two."""
    made = []
    for own in found.values():
        if own.response is not None:
            how = str(own.response.method)
            if own.response.why:
                how += f" ({own.response.why})"
            made.append(f"{own.name}: {how}")
    text = f"stability: linear about zonal means of day {columns.day:g}; responses by "
    notes = [text + "; ".join(made)]
    notes += [
        f"stability: {own.name} has no answer: {own.why}" for own in found.values() if own.why
    ]
    if any(own.modes is not None for own in found.values()):
        worst = max(float(o.modes.uncertainty.max()) for o in found.values() if o.modes is not None)
        notes.append(
            "stability: the modes are those of the dry flow with the process alone; what the other "
            f"processes do is taken as constant; growth is known to {number(worst)} per day"
        )
    return notes


def numbers(found: Mapping[str, Analysed]) -> dict[str, Any]:
    """For programs."""
    out: dict[str, Any] = {}
    for name, own in found.items():
        one: dict[str, Any] = {"why": own.why}
        if own.response is not None:
            one |= {
                "method": own.response.method,
                "curvature": own.response.curvature,
                "growth_alone": dict(
                    zip(own.response.columns.names, own.response.growth().tolist(), strict=True)
                ),
                "signs": own.response.signs(),
                "waves": {
                    kind: dict(zip(("growth", "wavelength", "speed"), d.worst(), strict=True))
                    for kind, d in own.waves.items()
                },
            }
        if own.modes is not None:
            one["modes"] = {
                of: getattr(own.modes, of).tolist()
                for of in ("wavenumber", "growth", "period", "uncertainty")
            }
        out[name] = one
    return out


def dataset(found: Mapping[str, Analysed]) -> xr.Dataset:
    """Responses, stability diagrams and modes of all schemes; names end with the scheme's."""
    parts: list[xr.Dataset] = []
    for name, own in found.items():
        if own.response is not None:
            whole = own.response.dataset()
            state = [n for n in ("ua", "va", "ta", "hus") if n in whole]
            renamed = whole.drop_vars(state).rename({n: f"{n}_{name}" for n in whole.data_vars
                                                     if n not in state})  # fmt: skip
            renamed = renamed.assign_attrs({f"{k}_{name}": v for k, v in whole.attrs.items()})
            parts += [whole[state], renamed]
        if own.waves:
            kinds = list(own.waves)
            dims = ("kind", "wavelength", f"wave_{name}")
            parts.append(xr.Dataset(
                {f"wave_growth_{name}": (dims, _beside([d.growth for d in own.waves.values()]),
                                         {"units": "day-1"}),
                 f"wave_speed_{name}": (dims, _beside([d.speed for d in own.waves.values()]),
                                        {"units": "m s-1"})},
                coords={"kind": kinds, "wavelength": ("wavelength", own.waves[kinds[0]].wavelengths,
                                                      {"units": "m"})},
            ))  # fmt: skip
        if own.modes is not None:
            m = own.modes
            shape = ("wavenumber", "level", "row")
            parts.append(xr.Dataset({
                f"mode_growth_{name}": ("wavenumber", m.growth, {"units": "day-1"}),
                f"mode_period_{name}": ("wavenumber", m.period, {"units": "day"}),
                f"mode_uncertainty_{name}": ("wavenumber", m.uncertainty, {"units": "day-1"}),
                **{f"mode_{of}_{part}_{name}": (shape, getattr(getattr(m, of), part), {"units": u})
                   for of, u in (("wind", "1"), ("temperature", "K (m s-1)-1"))
                   for part in ("real", "imag")},
            }, coords={"wavenumber": m.wavenumber}))  # fmt: skip
    out = xr.merge(parts, combine_attrs="drop_conflicts", compat="override", join="outer")
    out.attrs["title"] = "Linear stability of schemes"
    return out


def _beside(parts: list[F64]) -> F64:
    """Side by side; a column in which humidity does not respond has fewer modes: NaN."""
    most = max(p.shape[1] for p in parts)
    gap = [((0, 0), (0, most - p.shape[1])) for p in parts]
    return np.stack([np.pad(p, g, constant_values=np.nan) for p, g in zip(parts, gap, strict=True)])
