"""Gate of the dry wave of Ullrich et al. (2014): depth and place of the low beside another core."""

from __future__ import annotations

from collections.abc import Iterator

from gates.low import begun, by_day, low
from gates.rows import Row, Table, near
from physics.dynamics.initial_ullrich import baroclinic_wave

PEER: dict[int, dict[int, tuple[float, float, float]]] = {
    42: {
        1: (999.73, 32.90, 44.87),
        4: (999.06, 67.88, 46.23),
        6: (996.39, 89.85, 46.63),
        7: (992.54, 100.96, 47.43),
        8: (983.65, 111.87, 49.26),
        9: (964.26, 121.73, 53.53),
        10: (937.66, 130.45, 58.20),
    },
    85: {
        1: (999.73, 33.05, 44.66),
        4: (999.09, 68.06, 46.62),
        6: (996.54, 90.30, 46.88),
        7: (992.79, 101.48, 47.60),
        8: (983.91, 112.68, 49.72),
    },
}  # fmt: skip
"""By truncation and day: lowest surface pressure [hPa], its longitude and latitude [degrees], as
``tools/gates/peer_wave.py`` prints them."""


def wave_2014(quick: bool) -> Iterator[Row | Table]:
    """Dry wave of Ullrich et al. (2014), DCMIP-2016 test 1-1 without water, 26 equal sigma layers.

    The lowest surface pressure and where it is, by parabolas through grid points; float32. The
    reference is `dinosaur` from the same fields, with a Runge-Kutta scheme and almost no diffusion
    below the top wavenumbers; its T85 run ended on day 8.
    """
    body = []
    for truncation, peer in list(PEER.items())[: 1 if quick else None]:
        core = begun("2014", baroclinic_wave, truncation)
        for day in by_day(core, (1,) if quick else (4, 6, 7, 8, 9, 10)):
            ps, east, north = low(core)
            theirs = peer.get(day)
            body.append([
                f"T{truncation}" if day in (1, 4) else "", f"{day}", f"{ps:.2f}",
                f"{theirs[0]:.2f}" if theirs else "", f"{east:.1f}E {north:.1f}N",
                f"{theirs[1]:.1f}E {theirs[2]:.1f}N" if theirs else "",
            ])  # fmt: skip
            if theirs and (quick or day == 8):
                label = f"T{truncation}, day {day}: "
                yield near(label + "lowest surface pressure [hPa]", ps, theirs[0], 2.0, ".2f")
                yield near(label + "its longitude [degrees]", east, theirs[1], 2.0, ".1f")
    head = ["", "day", "lowest ps [hPa]", "reference", "where", "reference"]
    yield Table(caption="By day:", head=head, body=body)
