"""The page of the stratosphere: one long run with gravity waves beside one without.

    python tools/stratosphere_results.py [WITH WITHOUT] [--run] [--days 7300] [--out FILE.md]

WITH and WITHOUT are folders of runs of ``cases/stratosphere_t21.yaml``; ``--run`` makes or
continues them first (hours on one core). The first two years are left out.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gates.pictures import INK, Panel, png, section_panels
from matplotlib.figure import Figure

from coupler import Simulation
from coupler.diagnostics.plots import qbo_figure, read_time_height
from coupler.interface.errors import DataError
from coupler.interface.files import write_whole

F64 = NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[1]
CASE = ROOT / "cases" / "stratosphere_t21.yaml"
PAGE = ROOT / "docs" / "results" / "stratosphere.md"
DAY = 86400.0
VORTEX = (10.0, 60.0)
"""Where the vortex is measured: pressure [hPa] and latitude of the winter hemisphere."""
LIMIT = 1e-6
"""Largest momentum residual relative to the drag."""
_BLOCK = 73


@dataclass(frozen=True, kw_only=True, eq=False)
class Climate:
    """Zonal means of a run after its spin-up."""

    days: F64
    """Middle of the records [day], shape [time]."""
    interval: float
    """Of a record [day]."""
    pressure: F64
    """Of the layers [hPa], shape [level]."""
    lat: F64
    """[degrees_north], shape [lat]."""
    sections: dict[str, F64]
    """Zonal means, shape [time, level, lat]."""
    launch: dict[str, float]
    """Global means of the waves' momentum at both ends [mPa]."""
    budget: dict[str, float]
    """Time means of ``budgets.nc``."""

    def mean(self, name: str) -> F64:
        """Time mean of a section, shape [level, lat]."""
        return np.asarray(self.sections[name].mean(axis=0))

    @property
    def winter(self) -> float:
        """1 if the vortex is in the north, -1 in the south: the colder cap at 10 hPa."""
        cap = {s: self.cap("ta", VORTEX[0], s).mean() for s in (1.0, -1.0)}
        return min(cap, key=lambda s: float(cap[s]))

    def at(self, name: str, pressure: float, lat: float) -> F64:
        """Series at a place, linear in ln p and latitude, shape [time]."""
        column = np.stack([_between(self.lat, lat, s.T) for s in self.sections[name]])
        return _between(np.log(self.pressure), np.log(pressure), column.T)

    def cap(self, name: str, pressure: float, hemisphere: float) -> F64:
        """Series of the area mean poleward of 60 degrees at a pressure, shape [time]."""
        rows = hemisphere * self.lat >= VORTEX[1]
        weight = np.cos(np.radians(self.lat[rows]))
        band = np.average(self.sections[name][:, :, rows], axis=-1, weights=weight)
        return _between(np.log(self.pressure), np.log(pressure), band.T)


def _between(points: F64, at: float, values: F64) -> F64:
    """Linear interpolation over the first axis of `values` at increasing `points`."""
    k = int(np.clip(np.searchsorted(points, at), 1, points.size - 1))
    w = (at - points[k - 1]) / (points[k] - points[k - 1])
    return np.asarray((1.0 - w) * values[k - 1] + w * values[k])


def read(folder: Path, skip_days: float) -> Climate:
    """The climate of a run.

    Raises:
        DataError: for a folder without such a run, or one that is too short.
    """
    path = folder / "atmosphere.nc"
    if not path.is_file():
        raise DataError.of("no such file", str(path), remedy="give a run's folder, or --run")
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        bounds = np.asarray(file["time_bnds"][:])
        kept = np.flatnonzero(bounds[:, 0] >= skip_days - 1e-9)
        if kept.size < 2:
            raise DataError.of(
                "nothing left of a run",
                str(path),
                expected=f"more than {skip_days:g} days",
                found=f"{bounds[-1, 1] if bounds.size else 0.0:g} days",
            )
        first, last = int(kept[0]), int(kept[-1]) + 1
        sections = {
            name: _zonal(file[name], first, last)
            for name in ("ua", "ta", "utendnogw", "vtendnogw", "tntnogw")
            if name in file.variables
        }
        lat = np.asarray(file["lat"][:])
        weight = np.cos(np.radians(lat))
        ps = float(np.average(file["ps"][first:last].mean(axis=(0, 2)), weights=weight))
        pressure = 0.01 * (np.asarray(file["ap"][:]) + np.asarray(file["b"][:]) * ps)
        launch = _launch(file, first, last, weight)
    return Climate(
        days=bounds[first:last].mean(axis=1),
        interval=float(np.diff(bounds[first]).item()),
        pressure=pressure,
        lat=lat,
        sections=sections,
        launch=launch,
        budget=_budget(folder / "budgets.nc", skip_days),
    )


def _zonal(variable: netCDF4.Variable, first: int, last: int) -> F64:
    blocks = range(first, last, _BLOCK)
    parts = [variable[n : min(n + _BLOCK, last)].mean(axis=-1, dtype=np.float64) for n in blocks]
    return np.concatenate(parts)


def _launch(file: netCDF4.Dataset, first: int, last: int, weight: F64) -> dict[str, float]:
    """Global time means of absolute launched, net launched and reflected flux, and at the top."""
    found: dict[str, float] = {}
    for axis in "xy":
        for name in ("abs", "launch", "refl", "param_escaped"):
            full = f"{axis}gwd{name}"
            if full in file.variables:
                mean = file[full][first:last].mean(axis=(0, 2), dtype=np.float64)
                found[f"{axis} {name}"] = 1e3 * float(np.average(mean, weights=weight))
        flux = f"{axis}gwdparam"
        if flux in file.variables:
            top = file[flux][first:last, 0].mean(axis=(0, 2), dtype=np.float64)
            size = np.abs(file[flux][first:last, 0]).mean(axis=(0, 2), dtype=np.float64)
            found[f"{axis} top"] = 1e3 * float(np.average(top, weights=weight))
            found[f"{axis} top size"] = 1e3 * float(np.average(size, weights=weight))
    return found


def _budget(path: Path, skip_days: float) -> dict[str, float]:
    with netCDF4.Dataset(path) as file:
        kept = np.asarray(file["time"][:]) > skip_days
        names = [n for n in file.variables if n.startswith("momentum_")]
        return {n: float(np.ma.mean(file[n][:][kept])) for n in names}


def uncertainty(series: F64) -> float:
    """Standard error of a mean whose values remember each other (integral time scale)."""
    anomaly = series - series.mean()
    variance = float(anomaly @ anomaly)
    if variance == 0.0:
        return 0.0
    scale = 1.0
    for lag in range(1, series.size // 4):
        correlation = float(anomaly[lag:] @ anomaly[:-lag]) / variance
        if correlation <= 0.0:
            break
        scale += 2.0 * correlation
    return float(series.std(ddof=1) * np.sqrt(scale / series.size))


def reversals(series: F64, interval: float, apart: float = 20.0) -> int:
    """Times the westerlies turn to easterlies after at least `apart` days of westerlies."""
    count, westerly = 0, 0.0
    for value in series:
        if value < 0.0:
            count += westerly >= apart
            westerly = 0.0
        else:
            westerly += interval
    return count


def vortex_table(both: dict[str, Climate], side: float) -> list[str]:
    """Rows of numbers with and without the waves, and the difference with its standard error."""
    series: dict[str, tuple[str, str, dict[str, F64]]] = {}
    for key, what, form in (
        ("u", f"zonal-mean wind at {VORTEX[0]:g} hPa, {VORTEX[1]:g} degrees [m/s]", ".1f"),
        ("t", f"temperature of the polar cap at {VORTEX[0]:g} hPa [K]", ".1f"),
        ("u1", "zonal-mean wind at 1 hPa, 60 degrees [m/s]", ".1f"),
        ("t1", "temperature of the polar cap at 1 hPa [K]", ".1f"),
    ):
        level = VORTEX[0] if key in ("u", "t") else 1.0
        values = {
            n: c.at("ua", level, side * VORTEX[1])
            if key.startswith("u")
            else c.cap("ta", level, side)
            for n, c in both.items()
        }
        series[key] = (what, form, values)
    lines = ["| winter hemisphere | with | without | difference |", "|---|---|---|---|"]
    for what, form, values in series.values():
        mean = {n: float(v.mean()) for n, v in values.items()}
        error = {n: uncertainty(v) for n, v in values.items()}
        cells = [f"{mean[n]:{form}} +- {error[n]:{form}}" for n in ("with", "without")]
        difference = mean["with"] - mean["without"]
        spread = float(np.hypot(error["with"], error["without"]))
        lines.append(f"| {what} | {cells[0]} | {cells[1]} | {difference:+{form}} +- {spread:.1f} |")
    what, form, wind = series["u"]
    for name, number in (
        ("standard deviation of its means over a record [m/s]", lambda v, _: v.std(ddof=1)),
        ("largest of them [m/s]", lambda v, _: v.max()),
        ("smallest [m/s]", lambda v, _: v.min()),
        ("reversals a year", lambda v, c: reversals(v, c.interval) / (c.interval * v.size / 365.0)),
    ):
        one, other = (float(number(wind[n], both[n])) for n in ("with", "without"))
        lines.append(f"| {name} | {one:.1f} | {other:.1f} | {one - other:+.1f} |")
    for name, c in (("strongest mean westerly anywhere [m/s]", np.max),
                    ("strongest mean easterly anywhere [m/s]", np.min)):  # fmt: skip
        one, other = (float(c(both[n].mean("ua"))) for n in ("with", "without"))
        lines.append(f"| {name} | {one:.1f} | {other:.1f} | {one - other:+.1f} |")
    return lines


def place(climate: Climate, name: str, factor: float, pick: str) -> str:
    """The extreme of a section's time mean, and where it is."""
    section = factor * climate.mean(name)
    k, j = np.unravel_index(int(getattr(np, "arg" + pick)(section)), section.shape)
    side = "S" if climate.lat[j] < 0.0 else "N"
    where = f"{climate.pressure[k]:.2g} hPa, {abs(climate.lat[j]):.0f} {side}"
    return f"{section[k, j]:+.1f} at {where}"


def budget_rows(climate: Climate) -> tuple[list[str], bool]:
    """Residual of the momentum budget against the drag, and whether it is small enough."""
    lines = ["| wind | drag | residual | absolute residual | relative | gate | met |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    good = True
    for axis, wind in (("x", "eastward"), ("y", "northward")):
        stem = f"momentum_{axis}_gravity_wave_"
        if stem + "drag" not in climate.budget:
            return [f"No momentum budget in `budgets.nc`: {stem}drag is missing."], False
        drag, net, size = (climate.budget[stem + n] for n in ("drag", "residual", "residual_abs"))
        met = size < LIMIT * drag
        good &= met
        lines.append(
            f"| {wind} | {1e3 * drag:.4f} | {1e3 * net:.1e} | {1e3 * size:.1e} | {size / drag:.1e} "
            f"| below {LIMIT:g} | {'yes' if met else '**no**'} |"
        )
    return lines, good


def pictures(both: dict[str, Climate], folder: Path, stem: str, side: float) -> list[str]:
    """Writes the pictures; returns the page's lines about them."""
    waves = both["with"]
    shape = {"lat": waves.lat, "pressure": waves.pressure}
    wind = np.arange(-80.0, 81.0, 10.0)
    change = np.arange(-60.0, 61.0, 10.0)
    u = {n: c.mean("ua") for n, c in both.items()}
    t = {n: c.mean("ta") for n, c in both.items()}
    drag = DAY * waves.mean("utendnogw")
    decades = np.array([-100, -30, -10, -3, -1, -0.3, -0.1, 0.1, 0.3, 1, 3, 10, 30, 100.0])
    red = {"colours": "RdBu_r"}
    made = {
        "wind": section_panels(
            [
                Panel(title="with waves [m/s]", values=u["with"], levels=wind, **red, **shape),
                Panel(title="without", values=u["without"], levels=wind, **red, **shape),
                Panel(title="with - without", values=u["with"] - u["without"], levels=change,
                      **red, **shape),
            ],
            columns=3,
            size=(2.9, 2.5),
        ),
        "drag": section_panels(
            [
                Panel(title="drag of the waves [m/s/day]", values=drag, levels=decades, **red,
                      **shape),
                Panel(title="temperature with waves [K]", values=t["with"],
                      levels=np.arange(150.0, 311.0, 10.0), **shape),
                Panel(title="temperature, with - without [K]", values=t["with"] - t["without"],
                      levels=np.arange(-30.0, 31.0, 4.0), **red, **shape),
            ],
            columns=3,
            size=(2.9, 2.5),
        ),
        "vortex": _series(both, side),
    }  # fmt: skip
    for name, data in made.items():
        write_whole(folder / f"{stem}-{name}.png", data)
    return [f"![{n}]({stem}-{n}.png)" for n in made]


def _series(both: dict[str, Climate], side: float) -> bytes:
    """The wind of the vortex against time, and how often it has which strength."""
    figure = Figure(figsize=(9.6, 2.6), layout="constrained")
    axes, counts = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    for (name, climate), colour in zip(both.items(), ("#b2182b", "#2166ac"), strict=True):
        series = climate.at("ua", VORTEX[0], side * VORTEX[1])
        axes.plot(climate.days / 365.0, series, color=colour, linewidth=0.6, label=name)
        counts.hist(series, bins=25, orientation="horizontal", density=True, histtype="step",
                    color=colour)  # fmt: skip
    axes.legend(fontsize=7, frameon=False)
    axes.set_xlabel("year", fontsize=7, color=INK)
    axes.set_ylabel(f"wind at {VORTEX[0]:g} hPa, {VORTEX[1]:g} deg [m/s]", fontsize=7, color=INK)
    counts.set_xlabel("frequency [s/m]", fontsize=7, color=INK)
    for a in (axes, counts):
        a.tick_params(labelsize=7, colors=INK)
    return png(figure)


def tropics(run: Path, skip_days: float, target: Path) -> list[str]:
    """Draws the wind over the equator against time and height; the page's lines about it."""
    section = read_time_height(run, skip_days=skip_days)
    figure = qbo_figure(section)
    figure.set_size_inches(8.6, 2.8)
    write_whole(target, png(figure))
    lines = ["| pressure [hPa] | mean | standard deviation | cycles | period [month] |"]
    lines.append("|---|---|---|---|---|")
    for wanted in (5000.0, 3000.0, 1000.0, 300.0, 100.0):
        pressure, found = section.oscillation_at(wanted)
        k = int(np.argmin(np.abs(section.pressure - pressure)))
        wind = section.wind[k]
        cycles = "-" if found is None else str(found.cycles)
        period = "-" if found is None or found.cycles < 2 else f"{found.crossing_period:.1f}"
        numbers = f"{0.01 * pressure:.2g} | {wind.mean():+.1f} | {wind.std():.1f}"
        lines.append(f"| {numbers} | {cycles} | {period} |")
    return lines


def page(
    both: dict[str, Climate],
    command: str,
    folder: Path,
    stem: str,
    equator: list[str],
    origin: str,
) -> tuple[str, bool]:
    """The page, and whether the budget is met."""
    waves = both["with"]
    side = waves.winter
    years = {n: c.interval * c.days.size / 365.0 for n, c in both.items()}
    images = pictures(both, folder, stem, side)
    budget, good = budget_rows(waves)
    table = vortex_table(both, side)
    at60 = {n: float(c.at("ua", VORTEX[0], side * VORTEX[1]).mean()) for n, c in both.items()}
    words = "weaker" if at60["with"] < at60["without"] else "stronger"
    start = waves.days[0] - 0.5 * waves.interval
    sums = waves.launch
    lines = [
        "# A stratosphere with and without gravity waves",
        "",
        f"Made by `{command}`. Two runs of `cases/stratosphere_t21.yaml`: dry, T21, 40 levels up "
        "to 0.2 hPa, forced as by Polvani and Kushner (2002) with 4 K/km; one with the "
        "non-orographic waves of Alexander and Dunkerton (1999), one with "
        "`--set gravity_wave.mode=off`. The forcing knows no seasons: it is January (or, for a "
        "southern winter, July) all the time, so that there are no months to tell apart and one "
        "hemisphere is in winter for ever. "
        f"Means over {years['with']:.1f} and {years['without']:.1f} years after the first "
        f"{start:.0f} days, from means over {waves.interval:g} days; +- is a standard error that "
        f"takes the memory of the series into account. {origin}",
        "",
        "## The winds",
        "",
        images[0],
        "",
        f"The vortex is in the {'northern' if side > 0 else 'southern'} hemisphere. At "
        f"{VORTEX[0]:g} hPa and {VORTEX[1]:g} degrees the westerlies are {words} with the waves: "
        f"{at60['with']:.1f} against {at60['without']:.1f} m/s.",
        "",
        *table,
        "",
        images[2],
        "",
        "## The tropics",
        "",
        f"![wind over the equator]({stem}-tropics.png)",
        "",
        "Wind within 5 degrees of the equator in the run with waves [m/s]. Waves of either sign "
        "are launched there too, with the same strength as elsewhere, and pull the wind towards "
        "their phase speeds one shear zone after the other; without them the tropical winds are "
        "weak. Nothing here is tuned to the observed oscillation: the case is dry, so that the "
        "tropics have hardly any resolved waves, and shear is worn down by no more than the "
        "diffusion of the dynamics. Cycles are counted between changes from easterlies to "
        "westerlies after a running mean of five months; a period needs two.",
        "",
        *equator,
        "",
        "## The drag",
        "",
        images[1],
        "",
        "Time- and zonal-mean drag on the eastward wind, positive eastward [m/s/day]: strongest "
        f"eastward {place(waves, 'utendnogw', DAY, 'max')}, strongest westward "
        f"{place(waves, 'utendnogw', DAY, 'min')}. Waves break where the wind nears their phase "
        "speed or the air is too thin for them; the sign of the drag is that of the phase speed "
        "relative to the wind, so that it opposes jets from above and gives the layers above 0.85 "
        "hPa, which also take what reaches the top, the largest numbers.",
        "",
        "## Momentum",
        "",
        "Global means of both winds [mPa].",
        "",
        "| | launched, absolute | launched, net | reflected, net | at the top, absolute | at the "
        "top, net | escaped |",
        "|---|---|---|---|---|---|---|",
        *(_launch_row(sums, axis) for axis in "xy"),
        "",
        "The launched spectrum is symmetric about the wind at the source, so that its net is "
        "round-off; what arrives at the top is shared by mass among the layers above 0.85 hPa and "
        "nothing escapes. The scheme limits nothing.",
        "",
        "Against the fluxes at both ends, what the layers received at every step, averaged over "
        "all steps and the globe [mPa] (`budgets.nc`):",
        "",
        *budget,
        "",
    ]
    return "\n".join(lines), good


def _launch_row(sums: dict[str, float], axis: str) -> str:
    keys = ("abs", "launch", "refl", "top size", "top", "param_escaped")
    cells = [f"{sums[f'{axis} {k}']:.2e}" if f"{axis} {k}" in sums else "-" for k in keys]
    return "| " + " | ".join(["eastward" if axis == "x" else "northward", *cells]) + " |"


def make(folder: Path, days: float, **changes: object) -> None:
    """Runs the case to `days`, or goes on with it."""
    resume = any((folder / "restart").glob("restart_*.safetensors"))
    settings = {"days": days, **changes}
    Simulation.from_case(CASE, set=settings, out=folder, resume=resume).run()


def made_by(runs: Iterable[Path]) -> str:
    """With which code the runs were made, and how long that took."""
    said = [json.loads((run / "run.json").read_text(encoding="utf-8")) for run in runs]
    commits = " and ".join(dict.fromkeys(f"`{s['versions']['commit']}`" for s in said))
    hours = ", ".join(f"{s['wall_seconds'] / 3600.0:.1f}" for s in said)
    return f"Made at {commits} in {hours} hours, each on one core of a shared machine."


def main(argv: list[str] | None = None) -> int:
    """Writes the page; returns 1 when the momentum budget is not met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    runs = ROOT / "runs"
    parser.add_argument("waves", nargs="?", type=Path, default=runs / "stratosphere_waves",
                        metavar="WITH")  # fmt: skip
    parser.add_argument("none", nargs="?", type=Path, default=runs / "stratosphere_none",
                        metavar="WITHOUT")  # fmt: skip
    parser.add_argument("--run", action="store_true", help="make or continue the runs first")
    parser.add_argument("--days", type=float, default=7300.0)
    parser.add_argument("--skip-days", type=float, default=730.0)
    parser.add_argument("--out", type=Path, default=PAGE)
    args = parser.parse_args(argv)
    if args.run:
        make(args.waves, args.days)
        make(args.none, args.days, **{"gravity_wave.mode": "off"})
    both = {"with": read(args.waves, args.skip_days), "without": read(args.none, args.skip_days)}
    options = [f"--{n}={v:g}" for n, v, usual in (("days", args.days, 7300.0),
               ("skip-days", args.skip_days, 730.0)) if v != usual]  # fmt: skip
    command = shlex.join(["python", "tools/stratosphere_results.py", "--run", *options])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    shown = args.out.parent / f"{args.out.stem}-tropics.png"
    equator = tropics(args.waves, args.skip_days, shown)
    origin = made_by((args.waves, args.none))
    text, good = page(both, command, args.out.parent, args.out.stem, equator, origin)
    write_whole(args.out, text)
    print(f"{args.out} written; momentum budget {'met' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
