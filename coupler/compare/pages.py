"""A study as files: one page that needs nothing else, netCDF, JSON, and lines for the terminal."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import xarray as xr
from markupsafe import Markup
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import coupler
from coupler.compare import drawings, skill_pictures, stored
from coupler.compare.answers import Answers
from coupler.compare.asked import Settings
from coupler.compare.candidates import BASELINE, REFERENCE
from coupler.compare.findings import Findings, examine
from coupler.compare.foretold import Picture, ahead
from coupler.compare.metrics import GROUPS
from coupler.compare.numerals import number
from coupler.compare.online import Online, Score
from coupler.compare.scales import BANDS
from coupler.compare.starts import FIELDS, LEADS
from coupler.compare.statistics.similarity import summary
from coupler.compare.study import make, plan
from coupler.driver.info import versions
from coupler.interface.files import write_whole

_SUITS = {"good": "good", "doubtful": "doubtful", "bad": "bad", "open": "open"}


def compare(settings: Settings, *, console: Console | None = None) -> Findings:
    """Plans, runs, examines and writes; what was made before is not made again.

    Raises:
        ConfigError: with everything that is wrong, before anything runs.
        DataError: for a recording or a truth that does not fit.
    """
    console = console or Console()
    began = time.perf_counter()
    planned = plan(settings)
    runs = make(planned, console, ahead)
    found = examine(planned, runs)
    write(found, took=time.perf_counter() - began)
    console.print(terminal(found))
    for note in found.notes:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    return found


def terminal(found: Findings) -> Table:
    """The verdicts, for people who do not open the page."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("candidate", "verdict", "before", "after", "why"):
        table.add_column(head, overflow="fold")
    for v in found.verdicts:
        ran = any(e.when == "after" for e in v.evidence)
        grade = v.after if ran else v.before
        style = {"bad": "bold red", "doubtful": "yellow", "good": "green", "open": ""}[grade]
        table.add_row(Text(v.name), Text(v.word, style=style), v.before, v.after, Text(v.why))
    return table


def write(found: Findings, *, took: float = math.nan) -> None:
    """HTML, JSON and netCDF beside each other."""
    path = found.plan.settings.report
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_plain(_data(found)), indent=1, allow_nan=False)
    write_whole(path.with_suffix(".json"), text + "\n")
    _netcdf(path.with_suffix(".nc"), dataset(found))
    for name, of in found.foretold.items():
        if of.dataset is not None:
            _netcdf(path.with_suffix(f".{name}.nc"), of.dataset)
    write_whole(path, page(found, took=took))


def _netcdf(path: Path, data: xr.Dataset) -> None:
    beside = path.with_name(f".{path.stem}.{os.getpid()}.nc")
    data.to_netcdf(beside)
    beside.replace(path)


# -- the page --------------------------------------------------------------------------------------


def page(found: Findings, *, took: float = math.nan) -> str:
    """The whole page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = found.plan.judged_names
    foretold = found.foretold.values()
    below = [p for of in foretold for p in of.more_pictures]
    return environment.get_template("study.html.j2").render(
        f=found,
        plan=found.plan,
        names=names,
        colours={n: drawings.colour(found.plan.names, n) for n in names},
        number=number,
        interval=interval,
        finite=math.isfinite,
        suits=_SUITS,
        groups=GROUPS,
        metrics=_metrics(found),
        by_metric={n: {s.metric: s for s in o.scores} for n, o in found.online.items()},
        summaries=summaries(found),
        answer_rows=answer_rows(found),
        bands=[name for name, _, _ in BANDS],
        lacks=list(
            dict.fromkeys(f"{a.where}: {w}" for _, a in answer_rows(found) for w in a.lacks)
        ),
        card=_card(found),
        leads=_leads(found),
        quantities=list(dict.fromkeys(q for v in found.conservation.values() for q in v)),
        residual_quantities=list(
            dict.fromkeys(q for v in found.residuals_of_schemes.values() for q in v)
        ),
        first_pictures=_embedded([of.picture for of in foretold if of.picture]),
        pictures=_embedded([*below, *skill_pictures.gallery(found), *drawings.gallery(found)]),
        stamp=stamp(found, took),
        version=coupler.__version__,
        commit=_commit(found),
        baseline=BASELINE,
        reference=REFERENCE,
        chance=0.05,
    )


def _embedded(pictures: Sequence[Picture]) -> list[tuple[str, str, Markup]]:
    lead = Markup("data:image/png;base64,")
    return [(head, text, lead + base64.b64encode(png).decode()) for head, text, png in pictures]


def stamp(found: Findings, took: float = math.nan) -> str:
    """Case, commit, seeds and run time, under every picture."""
    seeds = sorted({int(r.job.changes["seed"]) for r in found.runs})
    wall = sum(r.wall for r in found.runs if math.isfinite(r.wall))
    words = [
        str(found.plan.raw.get("title", found.plan.settings.case.stem)),
        f"commit {_commit(found)}",
        f"seeds {_ranges(seeds)}" if seeds else "no run",
        f"{len(found.runs)} runs, {wall / 60.0:.1f} min of processes",
    ]
    if math.isfinite(took):
        words.append(f"made in {took / 60.0:.1f} min")
    return " · ".join(words)


def _ranges(values: Sequence[int]) -> str:
    parts: list[list[int]] = []
    for v in values:
        if parts and v == parts[-1][-1] + 1:
            parts[-1].append(v)
        else:
            parts.append([v])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def _commit(found: Findings) -> str:
    for run in found.runs:
        known = (run.record.get("versions") or {}).get("commit")
        if known:
            return str(known)
    return str(versions().get("commit", "unknown"))


def interval(pair: tuple[float, float]) -> str:
    """``low to high``, or nothing."""
    return f"{number(pair[0])} to {number(pair[1])}" if all(map(math.isfinite, pair)) else ""


def _metrics(found: Findings) -> list[Score]:
    """One score of each metric, for names, groups and units."""
    seen: dict[str, Score] = {}
    for online in found.online.values():
        for s in online.scores:
            seen.setdefault(s.metric, s)
    return sorted(seen.values(), key=lambda s: (GROUPS.index(s.group), s.metric))


def summaries(found: Findings) -> dict[str, dict[str, Any]]:
    """Similarity of each candidate over all metrics, where there is a baseline."""
    base = found.online.get(BASELINE)
    out = {}
    for name, online in found.online.items():
        if name == BASELINE or base is None or not online.scores or not base.scores:
            continue
        whole = summary(
            {s.metric: s.distance for s in online.scores},
            {s.metric: s.distance for s in base.scores},
        )
        out[name] = dataclasses.asdict(whole)
    return out


def answer_rows(found: Findings) -> list[tuple[str, Answers]]:
    """Candidate and its answers, offline, shadow and own states one after another."""
    rows = []
    for c in found.plan.judged:
        for answers in (found.offline, found.shadow, found.own_states):
            if c.name in answers:
                rows.append((c.name, answers[c.name]))
    return rows


def _leads(found: Findings) -> list[float]:
    present = {lead for card in found.cards.values() for row in card.values() for lead in row}
    return [lead for lead in LEADS if lead in present]


def _card(found: Findings) -> list[tuple[str, str, str, Mapping[str, Mapping[float, Any]]]]:
    """Rows of the scorecard: field, level, region, cells by candidate and lead."""
    keys = list(dict.fromkeys(k for card in found.cards.values() for k in card))
    return [
        (
            FIELDS[of][0],
            f"{p / 100.0:.0f} hPa",
            region,
            {n: card.get((of, p, region), {}) for n, card in found.cards.items()},
        )
        for of, p, region in keys
    ]


# -- numbers for programs --------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """As JSON has it: numbers that are not finite, which it has not, are null."""
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _scores(online: Online) -> list[dict[str, Any]]:
    return [
        {**dataclasses.asdict(s), "significant": s.significant, "over_noise": s.over_noise}
        for s in online.scores
    ]


def _data(found: Findings) -> dict[str, Any]:
    p = found.plan
    return {
        "case": str(p.settings.case),
        "kind": p.settings.kind,
        "process": p.process,
        "reference": p.reference,
        "truth": None if p.settings.truth is None else str(p.settings.truth),
        "candidates": {c.name: c.scheme or "off" for c in p.candidates},
        "members": p.settings.members,
        "days": p.days,
        "skip_days": p.skip_days,
        "code": found.code,
        "versions": versions(),
        "verdicts": [dataclasses.asdict(v) for v in found.verdicts],
        "offline": stored.numbers(found.offline),
        "shadow": stored.numbers(found.shadow),
        "foretold": {n: dict(of.numbers) for n, of in found.foretold.items()},
        "own_states": stored.numbers(found.own_states),
        "online": {n: _scores(o) for n, o in found.online.items()},
        "spread": {
            n: None if o.spread is None else dataclasses.asdict(o.spread)
            for n, o in found.online.items()
        },
        "forecasts": {n: [dataclasses.asdict(f) for f in of] for n, of in found.forecasts.items()},
        "similarity": summaries(found),
        "survival": {
            n: {"at_end": float(s.share[-1]), "interval": [float(s.low[-1]), float(s.high[-1])],
                "mean_time_to_failure": s.mean_time_to_failure}
            for n, s in found.survival.items()
        },
        "failures": found.failures,
        "missing": found.missing,
        "cost": {n: dataclasses.asdict(c) for n, c in found.cost.items()},
        "conservation": found.conservation,
        "residuals_of_schemes": {
            n: {q: dataclasses.asdict(r) for q, r in of.items()}
            for n, of in found.residuals_of_schemes.items()
        },
        "order": dataclasses.asdict(found.order),
        "starts": found.starts,
        "unequal_options": found.unequal,
        "notes": found.notes,
        "runs": [
            {"candidate": r.job.candidate, "member": r.job.member, "status": r.status,
             "why": r.why, "failed_at": r.failed_at, "wall": r.wall, "memory": r.memory,
             "folder": str(r.folder), "command": " ".join(r.job.command()[2:])}
            for r in found.runs
        ],
    }  # fmt: skip


def dataset(found: Findings) -> xr.Dataset:
    """Distances, noise, similarity and probabilities by candidate and metric; zonal means."""
    metrics = [s.metric for s in _metrics(found)]
    names = list(found.online) or list(found.plan.judged_names)
    data: dict[str, Any] = {}
    wanted = {"distance": "distance", "noise": "noise", "relative": "relative_distance",
              "similarity": "similarity", "octaves": "octaves", "probability": "probability",
              "corrected": "corrected_probability", "needed": "members_needed"}  # fmt: skip
    for of, label in wanted.items():
        values = np.full((len(names), len(metrics)), np.nan)
        for i, name in enumerate(names):
            known = {s.metric: s for s in found.online[name].scores} if name in found.online else {}
            for j, metric in enumerate(metrics):
                values[i, j] = getattr(known[metric], of) if metric in known else np.nan
        data[label] = (("candidate", "metric"), values)
    ensembles = {n: e for n, e in found.ensembles.items() if e.sections}
    for of in ("ua", "ta", "hus"):
        known_of = {n: e.sections[of] for n, e in ensembles.items() if of in e.sections}
        if known_of:
            stack = np.stack([np.mean(x, axis=0) for x in known_of.values()])
            data[of] = (("ensemble", "plev", "lat"), stack)
    data |= stored.variables(found, names)
    coords: dict[str, Any] = {"candidate": names, "metric": metrics}
    if ensembles:
        coords |= {
            "ensemble": list(ensembles),
            "plev": ("plev", found.levels, {"units": "Pa", "positive": "down"}),
            "lat": ("lat", found.lat, {"units": "degrees_north"}),
        }
    out = xr.Dataset(data, coords=coords)
    out.attrs = {
        "title": f"Comparison of {', '.join(names)}",
        "case": found.plan.settings.case.name,
        "code": found.code,
    }
    return out
