"""An evaluation for people and programs: tables, a page of pictures, JSON."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from coupler.interface.files import write_whole
from emulators.evaluation.ladder import Evaluation, OutputScores
from emulators.evaluation.metrics import F64, PERCENTILES


def print_evaluation(console: Console, found: Evaluation) -> None:
    """The tables of `isthmus evaluate`."""
    console.print(
        f"{found.bundle} on {found.recording}: {found.columns} columns of {found.times} calls"
    )
    for name, s in found.outputs.items():
        console.print(_by_interface(found, name, s))
        console.print(_large_and_drag(found, name, s))
        console.print(_by_latitude(found, f"{name}: R² by latitude", s.band_r2, 2))
        rmse, normal = 1e3 * np.sqrt(s.band_mse), s.band_mse_normalized
        console.print(_by_latitude(found, f"{name}: RMSE mPa, by latitude", rmse, 3))
        console.print(_by_latitude(found, f"{name}: MSE normalized, by latitude", normal, 3))
        known = np.isfinite(s.band_r2_normalized)
        if not np.allclose(s.band_r2[known], s.band_r2_normalized[known], atol=1e-6):
            title = f"{name}: R² normalized, by latitude"
            console.print(_by_latitude(found, title, s.band_r2_normalized, 2))
    summary = Table(title="Over all levels and outputs", show_header=False)
    for label, value in found.overall.items():
        summary.add_row(label, f"{value:.3g}" if "roll" in label else number(value, 4))
    for name, s in found.outputs.items():
        summary.add_row(f"{name}: momentum residual of a column", f"{s.momentum_residual:.1e}")
        summary.add_row(
            f"{name}: net momentum, scheme / emulator",
            f"{s.net_truth:.4f} / {s.net_estimate:.4f}",
        )
    console.print(summary)
    for name, changed in found.roll.items():
        table = Table(title=f"{name}: roll test, means over interfaces by variance")
        for head in ("", "as it is", "turned"):
            table.add_column(head, justify="right" if head else "left")
        for label, both in changed.items():
            table.add_row(label, *(number(v) for v in both))
        console.print(table)
    if found.responses:
        table = Table(title="Change of the flux when the wind is changed, against the scheme's")
        for head in ("graft", "R²", "amplitude", "r"):
            table.add_column(head, justify="left" if head == "graft" else "right")
        for r in found.responses:
            table.add_row(r.graft, number(r.r2), number(r.amplitude), number(r.correlation))
        console.print(table)
    for note in found.notes:
        console.print(note)


def _by_latitude(found: Evaluation, title: str, values: F64, digits: int) -> Table:
    table = Table(title=title)
    table.add_column("hPa", justify="right")
    for middle in 0.5 * (found.band_edges[1:] + found.band_edges[:-1]):
        table.add_column(f"{abs(middle):.0f}{'S' if middle < 0 else 'N'}", justify="right")
    for k, p in enumerate(found.half_pressure):
        table.add_row(f"{p / 100.0:.4g}", *(number(v, digits) for v in values[k]))
    return table


def _by_interface(found: Evaluation, name: str, s: OutputScores) -> Table:
    table = Table(title=f"{name}, by interface")
    columns = {"R²": s.r2, "R² norm.": s.r2_normalized, "r": s.correlation}
    if s.time_correlation is not None:
        columns["r in time"] = s.time_correlation
    columns["variance ratio"] = s.variance_ratio
    for head in ("hPa", "std mPa", "RMSE mPa", "MSE norm.", *columns):
        table.add_column(head, justify="right")
    for k, p in enumerate(found.half_pressure):
        table.add_row(
            f"{p / 100.0:.4g}",
            f"{s.deviation[k] * 1e3:.4f}",
            f"{np.sqrt(s.mse[k]) * 1e3:.4f}",
            number(s.mse_normalized[k], 4),
            *(number(v[k]) for v in columns.values()),
        )
    return table


def _large_and_drag(found: Evaluation, name: str, s: OutputScores) -> Table:
    bins = found.bins
    table = Table(
        title=f"{name}: distribution ({bins.number} bins to {bins.reach:g} deviations), large "
        "fluxes (emulator / scheme), drag of the layer below"
    )
    heads = ("hPa", "H²", "H", *(f"P{p:g}" for p in PERCENTILES), "RMSE m/s/d", "R² drag")
    for head in heads:
        table.add_column(head, justify="right")
    for k, p in enumerate(found.half_pressure):
        h2 = s.hellinger_squared[k]
        layer = k < s.drag_r2.size
        table.add_row(
            f"{p / 100.0:.4g}",
            *(number(v) for v in (h2, np.sqrt(h2), *s.ladder[:, k])),
            number(s.drag_rmse[k] * 86400.0) if layer else "-",
            number(s.drag_r2[k]) if layer else "-",
        )
    return table


def number(value: float, digits: int = 3) -> str:
    """A number of a table, a dash for none."""
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"


def write_json(found: Evaluation, path: Path) -> Path:
    """Everything, with None for numbers that do not exist; the bins are stored with it."""
    write_whole(path, json.dumps(_plain(asdict(found)), indent=1) + "\n")
    return path


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value


def draw(found: Evaluation, path: Path) -> Path:
    """A page of pictures: profiles, latitude and height, grafts; one row for each output."""
    from matplotlib.figure import Figure

    rows = len(found.outputs)
    figure = Figure(figsize=(13.0, 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, 4, squeeze=False)
    p = found.half_pressure / 100.0
    for row, (name, s) in zip(axes, found.outputs.items(), strict=True):
        scores = {"flux": s.r2, "r": s.correlation}
        if s.time_correlation is not None:
            scores["r in time"] = s.time_correlation
        _profile(row[0], p, scores, f"{name}: R² and r")
        layers = 0.5 * (p[1:] + p[:-1])
        row[0].plot(s.drag_r2, layers, "--", color="tab:red", label="R² drag")
        row[0].set_xlim(-0.2, 1.02)
        row[0].legend(frameon=False)
        ladder = {f"P{q:g}": s.ladder[i] for i, q in enumerate(PERCENTILES)}
        _profile(row[1], p, {**ladder, "variance": s.variance_ratio}, "emulator / scheme")
        row[1].axvline(1.0, color="0.6", lw=0.8)
        row[1].set_xlim(0.0, 1.6)
        row[1].legend(frameon=False)
        _profile(row[2], p, {"H²": s.hellinger_squared}, "Hellinger, squared")
        _profile(row[2], p, {"H": np.sqrt(s.hellinger_squared)}, "Hellinger")
        row[2].legend(frameon=False)
        image = row[3].pcolormesh(
            found.band_edges,
            np.arange(p.size + 1) - 0.5,
            np.ma.masked_invalid(s.band_r2),
            vmin=0.0,
            vmax=1.0,
            cmap="viridis",
        )
        row[3].invert_yaxis()
        row[3].set(title="R² by latitude", xlabel="latitude", ylabel="interface from the top")
        figure.colorbar(image, ax=row[3])
    figure.suptitle(f"{found.bundle} on {found.recording}, {found.columns} columns")
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix[1:] or "png", dpi=110)
    write_whole(path, drawn.getvalue())
    return path


def _profile(axis: Any, p: F64, lines: dict[str, F64], title: str) -> None:
    for label, values in lines.items():
        axis.plot(values, p, label=label)
    axis.set_yscale("log")
    axis.set_ylim(float(p[-1]), max(float(p[0]), 0.5 * float(p[1])))
    axis.set(title=title, ylabel="hPa")
