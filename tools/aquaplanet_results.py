"""The page of the grey aquaplanet of Frierson et al. (2006): jets, Hadley cells, rain, energy.

    python tools/aquaplanet_results.py RUN [--skip-days 360] [--pair WITH WITHOUT DAYS]

RUN is the folder of a finished run of ``cases/frierson_t21.yaml`` or ``aquaplanet_t42.yaml``, for
example of ``isthmus run cases/frierson_t21.yaml --days 2160 --out runs/frierson_t21``, of which
the stratosphere needs the first 1440 (``--skip-days``) to forget its start. A ``--pair`` of runs
with a scheme of convection and without (``--swap convection=off``), both from day DAYS on, shows
what it does; several pairs show how that depends on the grid. The transport of moist static energy
is what the fluxes at the top and at the surface ask for,

    F(lat) = 2 pi a^2 int_{-90}^{lat} (N_top - N_surface) cos(lat') dlat',

and a cell's strength the extreme of the streamfunction (2 pi a cos(lat)/g) int_0^p [v] dp.

Source: Frierson, Held and Zurita-Gotor (2006), doi:10.1175/JAS3753.1; Frierson (2007),
doi:10.1175/JAS3935.1, for what convection does; Trenberth and Caron (2001),
doi:10.1175/1520-0442(2001)014<3433:EOMAAO>2.0.CO;2, for the transport on Earth.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from gates.pictures import INK, Panel, png, section_panels  # noqa: E402
from made_with import made_with  # noqa: E402

from coupler.compare.differences import JET_PRESSURE  # noqa: E402
from coupler.config import read_yaml  # noqa: E402
from coupler.interface.constants import Planet  # noqa: E402
from coupler.interface.errors import DataError  # noqa: E402
from coupler.interface.files import write_whole  # noqa: E402

F64 = NDArray[np.float64]
PLANET = Planet()
PAGE = ROOT / "docs" / "results" / "aquaplanet.md"
ABSORBED = 938.4 / 4.0
"""Sunlight that the surface takes, global mean [W m-2]."""
EXPECTED = (
    "What is expected of the climate are orders of magnitude of an aquaplanet with this forcing,",
    "no numbers of the paper; the transport is that of the Earth's air, which the ocean helps.",
    "What has to hold follows from the set-up: the surface absorbs 938.4/4 W m-2.",
)
DIFFERENCES = (
    "Not as in the paper: the stability functions of the exchange at the surface (there",
    "kappa^2/ln^2 where unstable, times (1 - Ri/Ri_c)^2 up to Ri_c = 1, and none beyond), the",
    "depth of the boundary layer and the profile of K in it (there with a surface layer of a",
    "tenth of the depth), mixing by shear everywhere, and a least wind of 0.01 m/s. There are no",
    "gusts.",
)
EARTH = (5.0, 0.14, (-40.0, 43.0))
"""Largest northward transport by the Earth's atmosphere, its uncertainty [PW], and where [degrees]:
Trenberth and Caron (2001), "with similar values" in the south."""
_FLUXES = ("rsdt", "rsut", "rlut", "rsds", "rsus", "rlds", "rlus", "hfls", "hfss")


def read(folder: Path, skip: float) -> dict[str, F64]:
    """Time and zonal means of a run after `skip` days, and global means of its budgets.

    Raises:
        DataError: for a folder without a run that is long enough.
    """
    path = folder / "atmosphere.nc"
    if not path.is_file():
        raise DataError.of("no such file", str(path), remedy="give the folder of a finished run")
    found: dict[str, F64] = {}
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        begins = np.asarray(file["time_bnds"][:, 0])
        kept = np.flatnonzero(begins >= skip - 1e-9)
        if not kept.size:
            raise DataError.of(
                "nothing left of a run", str(path), expected=f"more than {skip:g} days"
            )
        first = int(kept[0])
        for name in ("ua", "va", "ta", "hus", "ps", "ts", "pr", *_FLUXES):
            means = [
                file[name][n].mean(axis=-1, dtype=np.float64) for n in range(first, begins.size)
            ]
            found[name] = np.mean(means, axis=0)
        found["lat"] = np.asarray(file["lat"][:], np.float64)
        found["a"], found["b"] = _interfaces(file)
    with netCDF4.Dataset(folder / "budgets.nc") as file:
        file.set_auto_mask(False)
        last = np.asarray(file["time"][:]) > skip + 1e-9
        for name in ("rlut", "pr", "prl", "evspsbl", "energy_residual", *_FLUXES):
            found[f"global {name}"] = np.asarray(file[name][:], np.float64)[last].mean()
    return found


def _interfaces(file: netCDF4.Dataset) -> tuple[F64, F64]:
    """a [Pa] and b [1] of the interfaces, from the bounds of the levels."""
    pairs = []
    for name in ("ap_bnds", "b_bnds"):
        bounds = np.asarray(file[name][:], np.float64)
        pairs.append(np.append(bounds[:, 0], bounds[-1, 1]))
    return pairs[0], pairs[1]


def layers(x: dict[str, F64]) -> F64:
    """Pressure of the layers [Pa], of mean surface pressure."""
    half = x["a"] + x["b"] * x["ps"].mean()
    return np.asarray(0.5 * (half[1:] + half[:-1]))


def streamfunction(x: dict[str, F64]) -> F64:
    """Of the mass [kg s-1] at the interfaces, [interface, lat], clockwise seen to the east."""
    thick = np.diff(x["a"])[:, None] + np.diff(x["b"])[:, None] * x["ps"]
    through = np.cumsum(x["va"] * thick, axis=0) / PLANET.gravity
    arm = 2.0 * np.pi * PLANET.radius * np.cos(np.radians(x["lat"]))
    return np.asarray(arm * np.concatenate([np.zeros((1, x["lat"].size)), through]))


def hadley(x: dict[str, F64]) -> tuple[float, float]:
    """Mass that either Hadley cell turns over [1e9 kg s-1], the southern one negative."""
    cells = 1e-9 * streamfunction(x)[:, np.abs(x["lat"]) < 35.0]
    return float(cells.min()), float(cells.max())


def transport(x: dict[str, F64]) -> tuple[F64, F64]:
    """Latitudes between the rows [degrees] and the northward transport through them [W]."""
    net = (x["rsdt"] - x["rsut"] - x["rlut"]) - (
        x["rsds"] - x["rsus"] + x["rlds"] - x["rlus"] - x["hfls"] - x["hfss"]
    )
    _, weights = np.polynomial.legendre.leggauss(x["lat"].size)
    net = net - np.average(net, weights=weights)  # what is stored is not carried
    edges = np.concatenate([[-1.0], np.cumsum(weights) - 1.0])
    carried = 2.0 * np.pi * PLANET.radius**2 * np.concatenate([[0.0], np.cumsum(net * weights)])
    return np.degrees(np.arcsin(np.clip(edges, -1.0, 1.0))), carried


def numbers(x: dict[str, F64]) -> list[tuple[str, str, str]]:
    """Rows of the table: what, ours, expected."""
    lat, rain = x["lat"], 86400.0 * x["pr"]
    high = layers(x) < JET_PRESSURE[0]
    upper, above = (np.max(x["ua"][of], axis=0, initial=-np.inf) for of in (~high, high))
    south, north = (np.flatnonzero(lat * s > 20.0) for s in (-1.0, 1.0))
    jets = [upper[half].max() for half in (south, north)]
    vortex = [above[half].max() for half in (south, north)]
    where, poles = (
        [lat[half[np.argmax(of[half])]] for half in (south, north)] for of in (upper, above)
    )
    near = x["ua"][-1]
    surface = [lat[half[np.argmax(near[half])]] for half in (south, north)]
    southern, northern = hadley(x)
    edges, carried = transport(x)
    top = int(np.argmax(carried))
    return [
        (
            f"Jets below {JET_PRESSURE[0] / 100.0:g} hPa, zonal-mean wind [m s-1]",
            f"{jets[0]:.1f}, {jets[1]:.1f}",
            "25 to 35",
        ),
        ("at latitude", f"{where[0]:.0f}, {where[1]:.0f}", "mid-latitudes, 30 to 50"),
        (
            "Westerlies above it [m s-1], latitude",
            f"{vortex[0]:.1f} at {poles[0]:.0f}, {vortex[1]:.1f} at {poles[1]:.0f}",
            "not known: nothing damps them, and they change for years",
        ),
        ("Westerlies at the surface, latitude", f"{surface[0]:.0f}, {surface[1]:.0f}", "40 to 50"),
        (
            "Hadley cells [1e9 kg s-1]",
            f"{southern:.0f}, {northern:.0f}",
            "of the order of 100, equal",
        ),
        (
            "Rain, largest zonal mean [mm day-1]",
            f"{rain.max():.1f} at {lat[np.argmax(rain)]:.0f}",
            "one peak at the equator",
        ),
        ("Warmest sea surface [K]", f"{x['ts'].max():.1f}", "near 300"),
        (
            "Moist static energy, largest transport [PW]",
            f"{1e-15 * carried[top]:.2f} at {edges[top]:.0f}",
            f"{EARTH[0]:g} ± {EARTH[1]:g} at {EARTH[2][1]:g} on Earth (Trenberth and Caron 2001)",
        ),
    ]


@dataclass(frozen=True)
class Pair:
    """What runs on one grid gave with a scheme of convection and without."""

    truncation: str
    cells: tuple[float, float]
    """Strength of the Hadley cells [1e9 kg s-1]."""
    rain: tuple[float, float]
    """Largest zonal mean of rain [mm day-1]."""
    on_grid: tuple[float, float]
    """Share of all rain that condenses on the grid [%]."""


LESS = 0.95
"""What is below this share of another number counts as significantly less."""


def truncation(run: Path) -> str:
    """Of the case of a run."""
    return str(read_yaml(run / "case.resolved.yaml")["atmosphere"]["parameters"]["truncation"])


def pair(scheme: Path, bare: Path, skip: float) -> Pair:
    """Both runs after `skip` days.

    Raises:
        DataError: for folders without runs that are long enough, and for runs of unlike grids.
    """
    runs = read(scheme, skip), read(bare, skip)
    one, other = truncation(scheme), truncation(bare)
    if one != other:
        raise DataError.of("a pair of unlike grids", str(bare), expected=one, found=other)

    def both(of: Callable[[dict[str, F64]], float]) -> tuple[float, float]:
        return of(runs[0]), of(runs[1])

    return Pair(
        one,
        cells=both(lambda x: 0.5 * float(np.ptp(hadley(x)))),
        rain=both(lambda x: 86400.0 * float(x["pr"].max())),
        on_grid=both(lambda x: 100.0 * float(x["global prl"]) / max(float(x["global pr"]), 1e-12)),
    )


def convection(pairs: Sequence[Pair]) -> list[str]:
    """What the scheme of convection does, grid by grid, and what Frierson (2007) found."""
    head = " | ".join(f"{p.truncation} with | {p.truncation} without" for p in pairs)
    rows = [
        ("Hadley cells [1e9 kg s-1]", ".0f", [p.cells for p in pairs]),
        ("Rain, largest zonal mean [mm day-1]", ".1f", [p.rain for p in pairs]),
        ("Rain that condenses on the grid [%]", ".1f", [p.on_grid for p in pairs]),
    ]
    return [
        "",
        "## What convection does",
        "",
        f"| | {head} |",
        "|---" * (2 * len(pairs) + 1) + "|",
        *(
            f"| {name} | " + " | ".join(f"{v:{form}}" for pair in values for v in pair) + " |"
            for name, form, values in rows
        ),
        "",
        "Without a scheme, condensation on the grid is all there is. What Frierson (2007,",
        "doi:10.1175/JAS3935.1) says of simplified Betts-Miller at T42 and finer:",
        "",
        "| with the scheme | here |",
        "|---|---|",
        *(f"| {statement} | {here} |" for statement, here in statements(pairs)),
        "",
    ]


def statements(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    """Statements of Frierson (2007) and whether they hold on each grid."""

    def each(hold: Callable[[Pair], bool]) -> str:
        return ", ".join(f"{p.truncation}: {'yes' if hold(p) else '**no**'}" for p in pairs)

    found = [
        ("Hadley cells carry significantly less", each(lambda p: p.cells[0] < LESS * p.cells[1])),
        ("equatorial rain is significantly less", each(lambda p: p.rain[0] < LESS * p.rain[1])),
        ("little rain condenses on the grid", each(lambda p: p.on_grid[0] < 10.0)),
    ]
    if len(pairs) > 1:
        parts = []
        for name, of in (("cells", [p.cells for p in pairs]), ("rain", [p.rain for p in pairs])):
            scheme, bare = np.max(of, axis=0) / np.min(of, axis=0)
            holds = "yes" if scheme < bare else "**no**"
            parts.append(f"{name}: {holds}, by a factor of {scheme:.2f}, without {bare:.2f}")
        found.append(("the tropics depend less on the grid", "; ".join(parts)))
    return found


def checks(x: dict[str, F64]) -> list[tuple[str, float, float, float]]:
    """Hard checks: what, ours, expected, tolerance."""
    g = {n.removeprefix("global "): float(v) for n, v in x.items() if n.startswith("global ")}
    surface = g["rsds"] - g["rsus"] + g["rlds"] - g["rlus"] - g["hfls"] - g["hfss"]
    return [
        ("Outgoing longwave [W m-2]", g["rlut"], ABSORBED, 0.5),
        ("Net flux into the surface [W m-2]", surface, 0.0, 0.5),
        ("Net flux at the top [W m-2]", g["rsdt"] - g["rsut"] - g["rlut"], 0.0, 0.5),
        ("Rain over evaporation [1]", g["pr"] / g["evspsbl"], 1.0, 0.005),
        ("Residual of the air's moist energy [W m-2]", g["energy_residual"], 0.0, 0.5),
    ]


def sections(x: dict[str, F64]) -> bytes:
    """Wind, temperature and streamfunction by latitude and pressure."""
    full = layers(x) / 100.0
    stream = 1e-9 * streamfunction(x)
    stream = 0.5 * (stream[1:] + stream[:-1])
    return section_panels(
        [
            Panel(title="Zonal wind [m s-1]", values=x["ua"], lat=x["lat"], pressure=full,
                  levels=np.arange(-80, 90, 10), colours="RdBu_r", middle=0.0),
            Panel(title="Temperature [K]", values=x["ta"], lat=x["lat"], pressure=full,
                  levels=np.arange(180, 305, 10)),
            Panel(title="Streamfunction [1e9 kg s-1]", values=stream, lat=x["lat"],
                  pressure=full, levels=np.arange(-300, 330, 30), colours="RdBu_r", middle=0.0),
        ],
        columns=3,
    )  # fmt: skip


def profiles(x: dict[str, F64]) -> bytes:
    """Rain and evaporation, and the transport of moist static energy, by latitude."""
    figure = Figure(figsize=(8.5, 2.9), layout="constrained")
    water, energy = figure.subplots(1, 2)
    water.plot(x["lat"], 86400.0 * x["pr"], color="#0969da", label="rain")
    water.plot(x["lat"], 86400.0 * x["hfls"] / PLANET.latent_heat_vaporization, color="#bf8700",
               label="evaporation")  # fmt: skip
    edges, carried = transport(x)
    energy.plot(edges, 1e-15 * carried, color=INK, label="here")
    most, spread, where = EARTH
    energy.errorbar(where, [-most, most], spread, fmt="o", ms=4, capsize=3, color="#cf222e",
                    label="Earth's atmosphere")  # fmt: skip
    energy.legend(fontsize=7, frameon=False)
    for axes, label in ((water, "[mm day-1]"), (energy, "Northward transport [PW]")):
        axes.set_xlabel("Latitude", fontsize=8, color=INK)
        axes.set_ylabel(label, fontsize=8, color=INK)
        axes.set_xticks(range(-90, 91, 30))
        axes.tick_params(labelsize=7, colors=INK)
        axes.grid(color="#d0d7de", lw=0.5)
    water.legend(fontsize=7, frameon=False)
    return png(figure)


def page(
    x: dict[str, F64],
    out: Path,
    command: str,
    made: str,
    grid: str,
    pairs: Sequence[Pair] = (),
) -> tuple[str, bool]:
    """Writes the page and its pictures; returns the text, and whether all hard checks hold."""
    pictures = {"sections": sections(x), "profiles": profiles(x)}
    for name, data in pictures.items():
        write_whole(out.parent / f"{out.stem}-{name}.png", data)
    rows = [(n, v, e, t, abs(v - e) <= t) for n, v, e, t in checks(x)]
    lines = [
        f"# The grey aquaplanet of Frierson et al. (2006) at {grid}",
        "",
        f"Made by `{command}`" + (f" from a run with {made}." if made else "."),
        "",
        "| has to hold | ours | expected | holds |",
        "|---|---|---|---|",
        *(
            f"| {n} | {v:.4g} | {e:g} ± {t:g} | {'yes' if ok else '**no**'} |"
            for n, v, e, t, ok in rows
        ),
        "",
        "| climate | ours (south, north) | expected |",
        "|---|---|---|",
        *(f"| {a} | {b} | {c} |" for a, b, c in numbers(x)),
        "",
        *EXPECTED,
        "",
        *DIFFERENCES,
        *(convection(pairs) if pairs else ()),
        "",
        f"![Wind, temperature, streamfunction]({out.stem}-sections.png)",
        "",
        f"![Rain, evaporation, transport of energy]({out.stem}-profiles.png)",
        "",
    ]
    text = "\n".join(lines)
    write_whole(out, text)
    return text, all(row[-1] for row in rows)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--skip-days", type=float, default=360.0)
    parser.add_argument(
        "--pair", nargs=3, metavar=("WITH", "WITHOUT", "DAYS"), action="append", default=[],
        help="runs with convection and without, from day DAYS on",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=PAGE)
    args = parser.parse_args(arguments)
    command = f"python tools/aquaplanet_results.py {args.run} --skip-days {args.skip_days:g}"
    if args.out != PAGE:
        command += f" --out {args.out}"
    pairs = []
    for scheme, bare, days in args.pair:
        command += f" --pair {scheme} {bare} {days}"
        pairs.append(pair(Path(scheme), Path(bare), float(days)))
    found = read(args.run, args.skip_days)
    text, good = page(found, args.out, command, made_with(args.run), truncation(args.run), pairs)
    print(text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
