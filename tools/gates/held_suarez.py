"""Gate of the climate of Held and Suarez (1994): 1200 days at T42 on 20 sigma levels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gates import peer
from gates.longrun import Work, about, carry_out
from gates.pictures import Panel, section_panels
from gates.rows import Data, Picture, Row, Table, at_least, at_most, near
from gates.zonal import Climate

CASE = "cases/tests/held_suarez_1994_t42.yaml"
DAYS, SPIN_UP = 1200.0, 200.0
_ROW = 2.79
"""Distance of the latitudes at T42 [degrees]."""
_MIRROR = 0.6
"""Half the difference of the hemispheres that sampling may leave [m s-1]."""
_NAMES = {
    "ua": "[u] [m/s]", "ta": "[T] [K]", "tt": "[T'^2] [K2]", "uv": "[u'v'] [m2/s2]",
    "vt": "[v'T'] [K m/s]",
}  # fmt: skip


def at_table(climate: Climate, name: str) -> Any:
    """Both hemispheres' mean at the levels and latitudes of the reference."""
    section = climate.symmetric(name)
    k = [int(np.argmin(np.abs(climate.pressure / 1e5 - s))) for s in peer.SIGMA]
    return np.array([np.interp(peer.LATITUDES, climate.lat, section[i]) for i in k])


def rms(difference: Any) -> float:
    """Root mean square over the levels and, by area, the latitudes of the reference's table."""
    weights = np.cos(np.radians(peer.LATITUDES))
    return float(np.sqrt((difference**2).mean(0) @ weights / weights.sum()))


def peak(section: Any, climate: Climate, below: float = 0.0) -> tuple[float, float, float]:
    """Largest value north of the equator below a sigma: value, latitude, sigma."""
    sigma = climate.pressure / 1e5
    inside = (sigma[:, None] > below) & (climate.lat > 0.0)
    k, j = np.unravel_index(np.where(inside, section, -np.inf).argmax(), section.shape)
    return float(section[k, j]), float(climate.lat[j]), float(sigma[k])


def jet(section: Any, climate: Climate, north: bool) -> tuple[float, float, float]:
    """Largest zonal-mean wind of one hemisphere: m/s, degrees from the equator, sigma."""
    return peak(section if north else section[:, ::-1], climate)


def surface_section(climate: Climate) -> Any:
    """[u] on the lowest level, both hemispheres' mean."""
    return climate.symmetric("ua")[-1]


def gates(climate: Climate) -> Iterator[Row]:
    """The numbers that have to hold."""
    what = {"ua": ("u [m/s]", 1.0), "ta": ("T [K]", 0.7)}
    for name, (label, limit) in what.items():
        difference = at_table(climate, name) - peer.HELD_SUAREZ[name]
        yield at_most(f"rms difference of the zonal mean from the reference, {label}",
                      rms(difference), "0", limit, ".2f")  # fmt: skip
    u = climate.mean("ua")
    for north, reference in ((True, 40.5), (False, 43.3)):
        side = "north" if north else "south"
        yield near(f"latitude of the jet, {side}", jet(u, climate, north)[1], reference,
                   _ROW + 0.01, ".1f")  # fmt: skip
    for name, label, reference in (("uv", "[u'v'] [m2/s2]", 68.0), ("vt", "[v'T'] [K m/s]", 21.9)):
        yield near(f"largest {label}", peak(climate.symmetric(name), climate)[0], reference,
                   0.1 * reference, ".1f")  # fmt: skip
    warm = peak(climate.symmetric("tt"), climate, below=0.5)[0]
    yield near("largest [T'^2] below sigma 0.5 [K2]", warm, 39.7, 0.1 * 39.7, ".1f")
    weights = climate.thickness[:, None] * climate.weights
    mirror = np.sqrt((weights * (0.5 * (u - u[:, ::-1])) ** 2).sum())
    yield at_most("half the difference of the hemispheres, rms of u [m/s]", mirror, "0.24",
                  _MIRROR, ".2f")  # fmt: skip


def halves(climate: Climate) -> float:
    """Difference of [u] between the two halves of the run, rms over the mass of the air [m s-1]."""
    middle = 0.5 * (climate.first[0] + climate.last)
    first, second = (
        climate.between(begin, end).mean("ua")
        for begin, end in ((climate.first[0], middle), (middle, climate.last))
    )
    weights = climate.thickness[:, None] * climate.weights
    return float(np.sqrt((weights * (first - second) ** 2).sum()))


def temperatures(climate: Climate, sigma: float, *latitudes: float) -> tuple[str, str]:
    """[T] of ours and of the reference at one level and some latitudes of the reference's table.

    The table is the only source that names both: of means of two levels it knows nothing.
    """
    k, j = list(peer.SIGMA).index(sigma), [list(peer.LATITUDES).index(x) for x in latitudes]
    ours, reference = (
        ", ".join(f"{x:.1f}" for x in section[k, j])
        for section in (at_table(climate, "ta"), peer.HELD_SUAREZ["ta"])
    )
    return ours, reference


def table(climate: Climate) -> Table:
    """Beside the reference's column."""
    u, t, ps = climate.mean("ua"), climate.symmetric("ta"), climate.symmetric("ps")
    lat, sigma = climate.lat, climate.pressure / 1e5

    def at(latitude: float, row: Any) -> float:
        return float(np.interp(latitude, lat, row))

    def place(found: tuple[float, float, float]) -> str:
        return f"{found[0]:.1f} at {found[1]:.0f}, sigma {found[2]:.3f}"

    north, south = jet(u, climate, True), jet(u, climate, False)
    surface = surface_section(climate)
    tropics = np.where(np.abs(lat) < 25.0, surface, np.inf)
    westerly = np.where(lat > 25.0, surface, -np.inf)
    coldest = np.unravel_index(t.argmin(), t.shape)
    equator = 0.5 * (at(0.0, u[4]) + at(0.0, u[5]))
    body = [
        ["jet, north [m/s]", place(north), "32.3 at 40.5, sigma 0.225"],
        ["jet, south [m/s]", place(south), "32.5 at 43.3, sigma 0.225"],
        ["surface westerlies [m/s]", f"{westerly.max():.1f} at {lat[westerly.argmax()]:.0f}",
         "7.3 at 43"],
        ["tropical surface easterlies [m/s]",
         f"{tropics.min():.1f} at {abs(lat[tropics.argmin()]):.0f}", "-8.7 at 15"],
        ["[u] at the equator, sigma 0.225 to 0.275 [m/s]", f"{equator:.1f}", "2.5"],
        ["coldest [T] [K]", f"{t.min():.1f} at {abs(lat[coldest[1]]):.0f}, sigma "
         f"{sigma[coldest[0]]:.3f}", "189.0 at the equator, sigma 0.125"],
        ["[T] at sigma 0.975: equator, 45, 85 [K]", *temperatures(climate, 0.975, 0.0, 45.0, 85.0)],
        ["[T] at sigma 0.475: equator, 45 [K]", *temperatures(climate, 0.475, 0.0, 45.0)],
        ["global mean T [K]", f"{climate.global_mean('ta'):.2f}", "246.30"],
        ["largest [T'^2] below sigma 0.5 [K2]",
         place(peak(climate.symmetric("tt"), climate, below=0.5)), "39.7 at 38, sigma 0.825"],
        ["largest eddy kinetic energy [m2/s2]", place(peak(climate.symmetric("eke"), climate)),
         "407 at 40, sigma 0.275"],
        ["largest [u'v'] [m2/s2]", place(peak(climate.symmetric("uv"), climate)),
         "68 at 32, sigma 0.275"],
        ["largest [v'T'] [K m/s]", place(peak(climate.symmetric("vt"), climate)),
         "21.9 at 35, sigma 0.875"],
        ["[ps]: equator, lowest, highest [hPa]",
         f"{at(0.0, ps) / 100:.1f}, {ps.min() / 100:.1f} at {abs(lat[ps.argmin()]):.0f}, "
         f"{ps.max() / 100:.1f} at {abs(lat[ps.argmax()]):.0f}",
         "997.7, 990.8 at 54, 1007.1 at 29"],
        ["[u], one half of the run less the other, rms [m/s]", f"{halves(climate):.2f}", ""],
    ]  # fmt: skip
    return Table(caption="The climate beside the reference's:", head=["", "ours", "reference"],
                 body=body)  # fmt: skip


def difference_table(climate: Climate) -> Table:
    """Ours minus the reference at its levels and latitudes."""
    head = ["", "sigma", *(f"{x:.0f}" for x in peer.LATITUDES)]
    body = []
    for name, label in _NAMES.items():
        difference = at_table(climate, name) - peer.HELD_SUAREZ[name]
        for sigma, row in zip(peer.SIGMA, difference, strict=True):
            body.append([label, f"{sigma:.3f}", *(f"{x:+.1f}" for x in row)])
            label = ""
    caption = "Ours minus the reference, both hemispheres' mean, by latitude:"
    return Table(caption=caption, head=head, body=body)


def picture(climate: Climate, name: str, caption: str) -> Picture:
    """Sections of zonal means and eddy statistics."""
    lat, sigma = climate.lat, climate.pressure / 1e5
    wind = np.array([-20, -16, -12, -8, -4, 4, 8, 12, 16, 20, 24, 28, 32], float)
    kinds = (
        ("ua", "[u], m/s", wind, "RdBu_r", 0.0),
        ("ta", "[T], K", np.arange(190.0, 311.0, 10.0), "RdYlBu_r", None),
        ("tt", "[T'^2], K2", np.arange(0.0, 45.0, 5.0), "viridis", None),
        ("eke", "Eddy kinetic energy, m2/s2", np.arange(0.0, 441.0, 40.0), "viridis", None),
        ("uv", "[u'v'], m2/s2", np.array([-70, -50, -30, -10, 10, 30, 50, 70], float), "RdBu_r",
         0.0),
        ("vt", "[v'T'], K m/s", np.array([-20, -15, -10, -5, 5, 10, 15, 20], float), "RdBu_r",
         0.0),
    )  # fmt: skip
    panels = [
        Panel(title=title, lat=lat, sigma=sigma, values=climate.mean(key), levels=levels,
              colours=colours, middle=middle)
        for key, title, levels, colours, middle in kinds
    ]  # fmt: skip
    return Picture(name=name, caption=caption, png=section_panels(panels, columns=3))


def held_suarez(quick: bool, work: Work) -> Iterator[Row | Table | Picture | Data]:
    """Climate of Held and Suarez (1994), T42, 20 sigma levels, float32, days 200 to 1200.

    Four samples a day. The reference is an independent spectral core at the same truncation with a
    Runge-Kutta scheme and almost no diffusion below the top wavenumbers, days 200 to 1000. The rms
    is over the reference's table (6 levels, 7 latitudes, weighted by area). No heat is returned by
    friction. The diffusion of this case is matched to the reference's filter (none below 0.8 T):
    the climates agree in spite of other time schemes, not of other diffusions.
    """
    if quick:  # too short for a climate: that it runs and has begun to turn
        changes = {"atmosphere.truncation": "T21"}
        folder = carry_out(CASE, 10.0, work, "held_suarez", changes=changes, block=5.0)
        climate = Climate.load(folder)
        fastest = float(climate.blocks["fastest"].max())
        yield at_most("fastest wind to day 10, T21 [m/s]", fastest, "", 30.0, ".1f")
        yield at_least("westerlies aloft, T21 [m/s]", climate.mean("ua").max(), "", 1.0, ".1f")
        return
    folder = carry_out(CASE, DAYS, work, "held_suarez")
    climate = Climate.load(folder).between(SPIN_UP, DAYS)
    yield about(folder, climate)
    yield from gates(climate)
    yield table(climate)
    yield difference_table(climate)
    yield picture(climate, "held-suarez.png", "Held-Suarez, T42, days 200 to 1200")
