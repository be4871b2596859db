"""The climate of a finished run of slab_earth: a page with its seasons, ice, rain, rivers, budgets.

    python tools/slab_earth_results.py runs/slab_earth_t31 [--skip 365] [--out docs/results]
                                       [--double runs/slab_earth_t31_double]

writes ``slab-earth.md`` and its pictures from the run's files; nothing is computed anew. Observed
numbers beside the model's are rounded annual or monthly means of the present climate, with sources
on the page. ``--double`` adds what closed, and how well, in a run of the same case in double
precision.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cftime
import matplotlib as mpl
import netCDF4
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from gates.pictures import plain
from made_with import made_with

from coupler.compare.differences import flatten
from coupler.config import read_yaml
from coupler.interface.files import write_whole

EARTH = 4.0e-12 * np.pi * 6.371e6**2
"""Area of the Earth [1e12 m2]."""
LEAST_COVER = 0.15
"""Share of the sea of a cell from which on observers count all of it as covered."""
IN_RIVERS = ("rivw", "rivo")
"""Water in rivers by its name, and by that of runs of before, which is CMIP's for discharge."""
MONTHS = "JFMAMJJASOND"
MAY_DIFFER = ("precision", "days", "output")
"""Between a run and that of double precision beside it."""


class Records:
    """A file of time means, with the month of each record, from `skip` days on."""

    def __init__(self, path: Path, skip: float) -> None:
        with netCDF4.Dataset(path) as file:
            file.set_auto_mask(False)
            time = file["time"]
            days = np.asarray(time[:], np.float64)
            self.keep = days >= skip
            dates = cftime.num2date(days[self.keep], time.units, time.calendar)
            self.lat, self.lon = np.asarray(file["lat"][:]), np.asarray(file["lon"][:])
            name = next((n for n in ("areacella", "areacello") if n in file.variables), "")
            if not name:
                raise SystemExit(f"{path}: no areacella or areacello; is it a run of Isthmus?")
            area = np.asarray(file[name][:], np.float64)
        if not self.keep.any():
            raise SystemExit(f"{path}: no record after day {skip:g}; give a smaller --skip")
        self.path, self.month = path, np.array([d.month - 1 for d in dates])
        self.days = days[self.keep]
        self.weights = area / area.sum()

    def __getitem__(self, name: str) -> Any:
        with netCDF4.Dataset(self.path) as file:
            file.set_auto_mask(False)
            return np.asarray(file[name][self.keep], np.float64)

    def first_of(self, names: Sequence[str]) -> Any:
        """The first of these variables that the file has."""
        with netCDF4.Dataset(self.path) as file:
            known = [n for n in names if n in file.variables]
        if not known:
            raise SystemExit(f"{self.path}: no {names[0]}; is it a run of Isthmus?")
        return self[known[0]]

    def mean(self, field: Any) -> Any:
        """Area mean over the last two axes."""
        return (field * self.weights).sum(axis=(-2, -1))

    def monthly(self, series: Any) -> Any:
        """Means by month of the year, NaN where there is no record."""
        found = np.full((12, *series.shape[1:]), np.nan)
        for m in range(12):
            if (self.month == m).any():
                found[m] = series[self.month == m].mean(axis=0)
        return found


def extent_of(cover: Any, sea: Any) -> Any:
    """Share of a cell that counts as covered: all of its sea where ice covers 15 % of that.

    Args:
        cover: share of the cell under ice, shape [time, lat, lon].
        sea: share of the cell that is sea, the same shape.
    """
    return np.where(cover > LEAST_COVER * sea, sea, 0.0)


def seasons(
    ice: Records, ocean: Records, air: Records, out: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draws ice extent and volume by month of both hemispheres, and surface temperature.

    Returns:
        Extent and area of the ice by month [1e12 m2].
    """
    cover, mass = ice["sft_ice"], ice["simass"]
    covered = extent_of(cover, ocean["sftof"])
    fig, axes = plt.subplots(1, 3, figsize=(12, 3.4))
    extents: dict[str, Any] = {}
    areas: dict[str, Any] = {}
    for name, half, colour in (
        ("north", ice.lat > 0, "tab:blue"),
        ("south", ice.lat < 0, "tab:red"),
    ):
        share = ice.weights * half[:, None]
        areas[name] = ice.monthly((cover * share).sum(axis=(1, 2)) * EARTH)
        extents[name] = ice.monthly((covered * share).sum(axis=(1, 2)) * EARTH)
        volume = ice.monthly((mass * share).sum(axis=(1, 2)) * EARTH / 917.0)
        own = air.weights * ((air.lat > 0) == (name == "north"))[:, None]
        warm = air.monthly((air["ts"] * own).sum(axis=(1, 2)) / own.sum())
        for axis, series in zip(axes, (extents[name], volume, warm), strict=True):
            axis.plot(range(12), series, "o-", color=colour, label=name)
    titles = "Sea ice extent [10$^{12}$ m$^2$]", "Sea ice volume [10$^{12}$ m$^3$]", "Surface [K]"
    for axis, title in zip(axes, titles, strict=True):
        axis.set(title=title, xticks=range(12), xticklabels=MONTHS)
        axis.grid(alpha=0.3)
    axes[0].legend()
    fig.tight_layout()
    write_whole(out / "slab-earth-seasons.png", plain(fig))
    plt.close(fig)
    return extents, areas


def maps(air: Records, rivers: Records, land: Records, ice: Records, out: Path) -> None:
    """Temperature, rain, what rivers deliver and carry, snow and ice of the coldest months."""
    carried = np.log10(rivers.first_of(IN_RIVERS).mean(axis=0) + 1e-3)
    given = np.log10(rivers["friver"].mean(axis=0) * 86400.0 + 1e-4)
    cover = np.nanmax(ice.monthly(ice["sft_ice"]), axis=0)
    log = "log$_{10}$"
    panels = (
        (air, air["ts"].mean(axis=0), "Surface temperature [K]", "RdYlBu_r", 220.0, 310.0),
        (air, air["pr"].mean(axis=0) * 86400.0, "Precipitation [mm/day]", "YlGnBu", 0.0, 12.0),
        (rivers, carried, f"Water in rivers, {log} [kg m$^{{-2}}$]", "viridis", -2.0, 3.0),
        (rivers, given, f"River water into the sea, {log} [mm/day]", "magma_r", -2.0, 2.0),
        (land, land.monthly(land["snw"])[0], "Snow in January [kg m$^{-2}$]", "PuBu", 0.0, 200.0),
        (ice, cover, "Largest monthly ice cover [1]", "Blues_r", 0.0, 1.0),
    )
    fig, axes = plt.subplots(3, 2, figsize=(12, 9))
    for axis, (grid, field, title, colours, low, high) in zip(axes.flat, panels, strict=True):
        drawn = axis.pcolormesh(grid.lon, grid.lat, field, cmap=colours, vmin=low, vmax=high)
        fig.colorbar(drawn, ax=axis, shrink=0.9)
        axis.set_title(title, fontsize=10)
    fig.tight_layout()
    write_whole(out / "slab-earth-maps.png", plain(fig))
    plt.close(fig)


def worst(run: Path) -> tuple[float, float]:
    """Largest residuals in one exchange of the whole run: of all water [1], of energy [W m-2]."""
    with netCDF4.Dataset(run / "budgets.nc") as file:
        water, energy = (
            float(np.nanmax(np.asarray(file[f"{n}_residual_worst"][:], np.float64)))
            for n in ("water", "energy")
        )
    return water, energy


def currents(ocean: Records) -> float:
    """Mean of the q-flux per area of the globe [W m-2]."""
    return float(ocean.mean(ocean["hfcorr"] * ocean["sftof"]).mean())


def yearly(air: Records, ice: Records) -> list[str]:
    """Rows of a table by year of 365 days: surface, net flux at the top, volume of ice.

    Years of which a good part is missing are left out: their means would be of a season.
    """
    ts, top = air.mean(air["ts"]), air.mean(air["rsdt"] - air["rsut"] - air["rlut"])
    volume = ice["simass"] * ice.weights * EARTH / 917.0
    halves = [volume[:, ice.lat > 0].sum(axis=(1, 2)), volume[:, ice.lat < 0].sum(axis=(1, 2))]
    year, rows = np.floor(air.days / 365.0), []
    for y in np.unique(year):
        own = year == y
        if np.ptp(air.days[own]) < 0.7 * 365.0:
            continue
        numbers = (ts[own].mean(), top[own].mean(), *(half[own].mean() for half in halves))
        rows.append("| {:.0f} | {:.2f} | {:.2f} | {:.1f} | {:.1f} |".format(y + 1, *numbers))
    return rows


def budget_rows(run: Path, air: Records, skip: float) -> list[tuple[str, str]]:
    """What closed and how well."""
    outcome = json.loads((run / "run.json").read_text())["outcome"]
    with netCDF4.Dataset(run / "budgets.nc") as file:
        keep = np.asarray(file["time"][:]) > skip + 1e-9  # ends of intervals
        numbers = {n: np.asarray(v[:], np.float64)[keep] for n, v in file.variables.items()}
    water, energy = worst(run)
    stores = [n for n in numbers if n.startswith("water_of_")]
    top = air.mean(air["rsdt"] - air["rsut"] - air["rlut"]).mean()
    down = air["rsds"] - air["rsus"] + air["rlds"] - air["rlus"]
    down = down - air["hfss"] - air["hfls"]
    rows = [
        ("days of the run", f"{numbers['time'][-1]:.0f} ({outcome})"),
        ("largest residual of all water in one exchange", f"{water:.1e}"),
        ("largest residual of energy in one exchange", f"{energy:.1e} W m-2"),
        ("energy that the dynamics lost", f"{np.nanmean(numbers['energy_residual']):.2f} W m-2"),
        ("net at the top", f"{top:.2f} W m-2"),
        ("net at the surface", f"{air.mean(down).mean():.2f} W m-2"),
        (
            "heat of currents, with their correction",
            f"{currents(Records(run / 'ocean.nc', skip)):.2f} W m-2",
        ),
    ]
    rows += [(n.replace("_", " ") + " at the end", f"{numbers[n][-1]:.3f} kg m-2") for n in stores]
    return rows


def rivers_row(land: Records, rivers: Records) -> tuple[str, str]:
    """Runoff against delivery and storage, means over the records."""
    off = land.mean(land["mrro"]).mean() * 86400.0
    to_sea = rivers.mean(rivers["friver"]).mean() * 86400.0
    return "runoff, and river water into the sea", f"{off:.4f}, {to_sea:.4f} mm/day of the globe"


def double_rows(double: Path, run: Path) -> list[tuple[str, str]]:
    """What closed in a run of double precision, of the same case as `run`."""
    theirs, ours = (flatten(read_yaml(f / "case.resolved.yaml")) for f in (double, run))
    if theirs["precision"] != "float64":
        precision = theirs["precision"]
        raise SystemExit(f"{double}: a run of {precision}; --double is for one of float64")
    other = [
        f"{key} is {theirs.get(key)}, not {ours.get(key)}"
        for key in dict.fromkeys([*theirs, *ours])
        if theirs.get(key) != ours.get(key) and key.partition(".")[0] not in MAY_DIFFER
    ]
    if other:
        raise SystemExit(f"{double}: not of the same case as {run}: {'; '.join(other)}")
    water, energy = worst(double)
    with netCDF4.Dataset(double / "budgets.nc") as file:
        days = float(file["time"][-1])
    with_what = made_with(double)
    return [
        (
            "last record of the same in double precision",
            f"day {days:.0f}" + (f", with {with_what}" if with_what else ""),
        ),
        ("residuals of water and of energy in one exchange", f"{water:.1e}, {energy:.1e} W m-2"),
    ]


def page(run: Path, out: Path, skip: float, double: Path | None = None) -> None:
    """Writes the page and its pictures."""
    files = ("atmosphere", "ice", "ocean", "land", "rivers")
    air, ice, ocean, land, rivers = (Records(run / f"{n}.nc", skip) for n in files)
    out.mkdir(parents=True, exist_ok=True)
    extents, areas = seasons(ice, ocean, air, out)
    maps(air, rivers, land, ice, out)
    reflected = air.mean(air["rsut"]).mean() / air.mean(air["rsdt"]).mean()
    rows = [
        ("surface temperature", f"{air.mean(air['ts']).mean():.1f} K (observed 288)"),
        ("share of sunlight that is reflected", f"{reflected:.3f} (observed 0.29)"),
        ("longwave to space", f"{air.mean(air['rlut']).mean():.1f} W m-2 (observed 240)"),
        ("precipitation", f"{air.mean(air['pr']).mean() * 86400.0:.2f} mm/day (observed 2.7)"),
        rivers_row(land, rivers),
        *budget_rows(run, air, skip),
        *(double_rows(double, run) if double else []),
    ]
    report = json.loads((run / "run.json").read_text())
    with_what = made_with(run)
    command = f"python tools/slab_earth_results.py {run} --skip {skip:g}"
    command += f" --double {double}" if double else ""
    lines = [
        "# A small Earth over a slab ocean",
        "",
        f"{air.month.size} records of `{report['title']}` from day {skip:g} on"
        f"{', with ' + with_what if with_what else ''}. Made by `{command}`.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
        "",
        "Currents themselves only move heat: their mean is a correction of the model's fluxes, by",
        "what it loses at the top when its sea is as observed. The sea gets what it loses: in a",
        "steady climate the net flux at the surface is its opposite, but for snow and ice that",
        "pile up; at the top it differs by what the dynamics lose. Without the correction the",
        "globe would cool until it lost nothing.",
        "",
        "## Year by year, counted from the start",
        "",
        "| year | surface [K] | net at the top [W m-2] | ice, north [10^12 m3] | south |",
        "|---|---|---|---|---|",
        *yearly(air, ice),
        "",
        "## Extent of sea ice by month, and its area [10^12 m2]",
        "",
        "| | " + " | ".join(MONTHS) + " |",
        "|---|" + "---|" * 12,
        *(
            f"| {n}{more} | " + " | ".join(f"{a:.1f}" for a in of[n]) + " |"
            for n in ("north", "south")
            for of, more in ((extents, ""), (areas, ", area"))
        ),
        "",
        "Extent: the sea of cells of which ice covers 15 % or more, in means of records. Observed",
        "(Parkinson 2014, doi:10.1175/JCLI-D-14-00605.1): the north from 6 in September to 15 in",
        "March, the south from 3 in February to 18 in September.",
        "",
        "![Seasons](slab-earth-seasons.png)",
        "",
        "![Maps](slab-earth-maps.png)",
        "",
    ]
    write_whole(out / "slab-earth.md", "\n".join(lines))
    print(out / "slab-earth.md")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--skip", type=float, default=0.0, help="days to leave out [day]")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--double", type=Path, metavar="RUN", help="a run of double precision")
    args = parser.parse_args()
    page(args.run, args.out, args.skip, args.double)


if __name__ == "__main__":
    main()
