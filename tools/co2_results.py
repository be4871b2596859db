"""The page of carbon dioxide: a control, abrupt doubling and quadrupling, a ramp.

    python tools/co2_results.py [--work runs/co2] [--days CONTROL AFTER RAMP] [--out FILE.md]
                                [--no-runs]

Makes or continues ``cases/co2_1x.yaml`` and those that branch from its end, and then the page with
its pictures; called again it goes on where it stopped, with ``--no-runs`` it only reads.
Forcing F and feedback L are those of a straight line through the anomalies of the net flux at the
top and of surface temperature, N = F - L T, by records of ten days; T = F/L at N = 0 is the warming
at equilibrium. Uncertainty is the standard deviation over resampled blocks of records.

Source: Gregory et al. (2004), doi:10.1029/2003GL018747.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from gates.pictures import INK, png  # noqa: E402
from made_with import made_with  # noqa: E402

from coupler import Simulation  # noqa: E402
from coupler.interface.errors import DataError  # noqa: E402
from coupler.interface.files import write_whole  # noqa: E402

F64 = NDArray[np.float64]
PAGE = ROOT / "docs" / "results" / "co2.md"
CONTROL, DOUBLED, FOURFOLD, RAMP = "co2_1x", "co2_2x", "co2_4x_abrupt", "co2_1pct"
DAYS = (1080.0, 720.0, 3650.0)
BLOCK = 5
"""Records of a resampled block: fifty days, longer than weather remembers."""
COLOURS = {DOUBLED: "#bf8700", FOURFOLD: "#cf222e", RAMP: "#8250df", CONTROL: "#57606a"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """What the page needs of a run."""

    days: F64
    """End of each record [day]."""
    warmth: F64
    """Global mean surface temperature [K]."""
    net: F64
    """Net downward flux at the top [W m-2]."""
    residual: F64
    """Of moist energy [W m-2]."""
    lat: F64
    zonal: F64
    """Zonal mean surface temperature of each record [K], [time, lat]."""
    made: str = ""
    """With which Isthmus."""


def make(name: str, days: float, work: Path) -> None:
    """Makes or continues a run until it has `days`."""
    out = work / name
    changes: dict[str, object] = {"days": days}
    if name != CONTROL:
        changes["branch"] = str((work / CONTROL).resolve())
    resume = any((out / "restart").glob("restart_*.safetensors"))
    case = ROOT / "cases" / f"{name}.yaml"
    Simulation.from_case(case, set=changes, out=out, resume=resume, overwrite=not resume).run()


def read(folder: Path) -> Run:
    """A run from its files.

    Raises:
        DataError: for a folder without them.
    """
    paths = [folder / "budgets.nc", folder / "atmosphere.nc"]
    for path in paths:
        if not path.is_file():
            raise DataError.of("no such file", str(path), remedy="run without --no-runs")
    with netCDF4.Dataset(paths[0]) as file, netCDF4.Dataset(paths[1]) as air:
        file.set_auto_mask(False)
        air.set_auto_mask(False)
        x = {n: np.asarray(file[n][:], np.float64) for n in ("rsdt", "rsut", "rlut", "ts")}
        return Run(
            days=np.asarray(file["time"][:], np.float64),
            warmth=x["ts"],
            net=x["rsdt"] - x["rsut"] - x["rlut"],
            residual=np.asarray(file["energy_residual"][:], np.float64),
            lat=np.asarray(air["lat"][:], np.float64),
            zonal=np.asarray(air["ts"][:].mean(axis=-1), np.float64),
            made=made_with(folder),
        )


def line(warming: F64, net: F64) -> tuple[float, float]:
    """F and L of N = F - L T by least squares."""
    slope, forcing = np.polyfit(warming, net, 1)
    return float(forcing), float(-slope)


def gregory(warming: F64, net: F64, draws: int = 2000) -> dict[str, tuple[float, float]]:
    """Forcing [W m-2], feedback [W m-2 K-1] and equilibrium warming [K], each with its deviation.

    Residuals of the line are resampled in blocks, which keep their memory.
    """
    forcing, feedback = line(warming, net)
    fitted = forcing - feedback * warming
    residual, n = net - fitted, net.size
    size = min(BLOCK, max(1, n // 4))
    rng = np.random.default_rng(0)
    found = np.zeros((draws, 3))
    for d in range(draws):
        starts = rng.integers(0, n - size + 1, -(-n // size))
        drawn = np.concatenate([residual[s : s + size] for s in starts])[:n]
        f, b = line(warming, fitted + drawn - drawn.mean())
        found[d] = f, b, f / b
    spread = found.std(axis=0)
    values = (forcing, feedback, forcing / feedback)
    names = ("forcing", "feedback", "equilibrium")
    return {k: (v, float(s)) for k, v, s in zip(names, values, spread, strict=True)}


def amplification(lat: F64, change: F64) -> float:
    """Warming poleward of 60 degrees relative to that between 30 S and 30 N."""
    weight = np.cos(np.radians(lat))
    cap, middle = np.abs(lat) >= 60.0, np.abs(lat) <= 30.0
    return float(
        np.average(change[cap], weights=weight[cap])
        / np.average(change[middle], weights=weight[middle])
    )


def late(run: Run) -> slice:
    """The second half of a run."""
    return slice(run.days.size // 2, None)


def pictures(runs: dict[str, Run], fits: dict[str, dict[str, tuple[float, float]]]) -> bytes:
    """The Gregory plot, the course of the warming, and its pattern."""
    base = runs[CONTROL]
    mean = base.warmth[late(base)].mean(), base.net[late(base)].mean()
    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    scatter, course, pattern = figure.subplots(1, 3)
    for name in (DOUBLED, FOURFOLD):
        run, fit = runs[name], fits[name]
        warming, net = run.warmth - mean[0], run.net - mean[1]
        scatter.plot(warming, net, ".", ms=4, color=COLOURS[name], label=name)
        ends = np.array([0.0, fit["equilibrium"][0]])
        scatter.plot(ends, fit["forcing"][0] - fit["feedback"][0] * ends, color=COLOURS[name], lw=1)
        change = run.zonal[late(run)].mean(axis=0) - base.zonal[late(base)].mean(axis=0)
        pattern.plot(np.sin(np.radians(run.lat)), change, color=COLOURS[name], label=name)
    for name, run in runs.items():
        if name != CONTROL:
            warming = run.warmth - mean[0]
            course.plot(run.days / 365.0, warming, color=COLOURS[name], lw=1, label=name)
    own = base.warmth[late(base)] - mean[0]
    course.plot((base.days[late(base)] - base.days[-1]) / 365.0, own, color=COLOURS[CONTROL], lw=1)
    ticks = np.array([-90, -60, -30, 0, 30, 60, 90])
    pattern.set_xticks(np.sin(np.radians(ticks)), [str(t) for t in ticks])
    labels = (
        (scatter, "Warming [K]", "Change of net flux at the top [W m-2]"),
        (course, "Years after the change", "Warming [K]"),
        (pattern, "Latitude", "Warming, second half [K]"),
    )
    for axes, across, up in labels:
        axes.set_xlabel(across, fontsize=8, color=INK)
        axes.set_ylabel(up, fontsize=8, color=INK)
        axes.tick_params(labelsize=7, colors=INK)
        axes.grid(color="#d0d7de", lw=0.5)
        axes.legend(fontsize=7, frameon=False)
    scatter.axhline(0.0, color=INK, lw=0.6)
    return png(figure)


def page(runs: dict[str, Run], out: Path, command: str) -> str:
    """Writes the page and its picture; returns the text."""
    base = runs[CONTROL]
    mean = base.warmth[late(base)].mean(), base.net[late(base)].mean()
    fits = {
        name: gregory(runs[name].warmth - mean[0], runs[name].net - mean[1])
        for name in (DOUBLED, FOURFOLD)
    }
    picture = out.with_suffix(".png")
    write_whole(picture, pictures(runs, fits))
    made = " and ".join(dict.fromkeys(r.made for r in runs.values() if r.made))
    closes = np.abs([r.residual[late(r)].mean() for r in runs.values()]).max()
    lines = [
        "# Carbon dioxide on an aquaplanet",
        "",
        f"Made by `{command}`" + (f" with {made}," if made else ""),
        "from runs at T21 with 20 levels, radiation of Byrne and",
        "O'Gorman (2013) and a slab ocean of 2.5 m. The control has "
        f"{base.days[-1]:.0f} days; its second half is at",
        f"{mean[0]:.2f} K with a net flux at the top of {mean[1]:.2f} W m-2. The moist energy of",
        f"the air closes within {closes:.2f} W m-2 in the second half of every run.",
        "",
        "| | forcing [W m-2] | feedback [W m-2 K-1] | equilibrium warming [K] | warming, second "
        "half [K] | polar amplification |",
        "|---|---|---|---|---|---|",
    ]
    for name, fit in fits.items():
        run = runs[name]
        change = run.zonal[late(run)].mean(axis=0) - base.zonal[late(base)].mean(axis=0)
        cells = [f"{v:.2f} ± {s:.2f}" for v, s in fit.values()]
        reached = run.warmth[late(run)].mean() - mean[0]
        lines.append(
            f"| `{name}`, {run.days[-1]:.0f} days | {' | '.join(cells)} | {reached:.2f} | "
            f"{amplification(run.lat, change):.2f} |"
        )
    ratio = fits[FOURFOLD]["forcing"][0] / fits[DOUBLED]["forcing"][0]
    lines += [
        "",
        f"Four times the gas forces {ratio:.2f} times as much as twice (2 if forcing goes by",
        "the logarithm). Deviations are of resampled blocks of fifty days, one standard deviation.",
        "Amplification is the warming poleward of 60 degrees over that within 30 of the equator.",
    ]
    if RAMP in runs:
        ramp = runs[RAMP]
        last = ramp.days > ramp.days[-1] - min(730.0, 0.5 * ramp.days[-1])
        years = float(ramp.days[last].mean()) / 365.25
        doubled = years * np.log(1.01) / np.log(2.0)
        found = float(ramp.warmth[last].mean() - mean[0])
        expected = doubled * fits[DOUBLED]["equilibrium"][0]
        lines += [
            "",
            f"The ramp of 1 % a year has warmed by {found:.2f} K around year {years:.1f}, after",
            f"{doubled:.2f} doublings; at equilibrium with that much gas it would be "
            f"{expected:.2f} K,",
            f"and {mean[1] / fits[DOUBLED]['feedback'][0]:+.2f} K for what the control gains at "
            "the top.",
        ]
    text = "\n".join([*lines, "", f"![Gregory plot, warming and pattern]({picture.name})", ""])
    write_whole(out, text)
    return text


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "co2")
    parser.add_argument("--days", type=float, nargs=3, default=DAYS,
                        metavar=("CONTROL", "AFTER", "RAMP"))  # fmt: skip
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--no-runs", action="store_true")
    args = parser.parse_args(arguments)
    control, after, ramp = args.days
    lengths = {CONTROL: control, DOUBLED: after, FOURFOLD: after, RAMP: ramp}
    names = [name for name, days in lengths.items() if days > 0.0]
    if not args.no_runs:
        for name in names:
            make(name, lengths[name], args.work)
    runs = {name: read(args.work / name) for name in names}
    command = "python tools/co2_results.py"
    if tuple(args.days) != DAYS:
        command += " --days " + " ".join(f"{d:g}" for d in args.days)
    print(page(runs, args.out, command))
    return 0


if __name__ == "__main__":
    sys.exit(main())
