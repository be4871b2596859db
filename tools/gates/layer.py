"""Gates of one layer of fluid: shallow water and barotropic vorticity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from coupler.interface.constants import Planet
from gates.pictures import Panel, sphere_panels
from gates.rows import Picture, Row, below, factor, near
from physics.dynamics.shallow_water import LayerCore, LayerDiffusion
from physics.dynamics.shallow_water_initial import (
    LAYER_STATES,
    LayerFrame,
    LayerState,
    rossby_haurwitz_speed,
)

EARTH_1992 = Planet(radius=6.37122e6, rotation_rate=7.292e-5, gravity=9.80616)
DEL4 = {42: 5e15, 63: 1e15, 85: 3e14, 106: 1.2e14}
"""Diffusion of the reference model's shallow-water runs by truncation [m4 s-1]."""


def _layer(
    truncation: int, dt: float, initial: str, *, tilt: float = 0.0, **options: Any
) -> tuple[LayerCore, LayerState]:
    core = LayerCore(
        truncation=truncation, planet=EARTH_1992, dt=dt, tilt=tilt, stepping="rk4", **options
    )
    tr, g = core.transform, EARTH_1992.gravity
    frame = LayerFrame(
        sin_lat=tr.sin_lat, weights=tr.gauss_weights, nlon=tr.nlon, planet=EARTH_1992, tilt=tilt
    )
    state = LAYER_STATES[initial](frame)
    core.start(state.ua, state.va, g * state.height, g * state.ground)
    return core, state


def _panel(
    core: LayerCore,
    title: str,
    values: Any,
    low: float,
    high: float,
    step: float,
    middle: float | None = None,
) -> Panel:
    tr = core.transform
    return Panel(
        title=title,
        values=values,
        lat=np.degrees(np.arcsin(tr.sin_lat)),
        lon=360.0 / tr.nlon * np.arange(tr.nlon),
        levels=np.arange(low, high + 0.5 * step, step),
        colours="viridis" if middle is None else "RdBu_r",
        middle=middle,
    )


def _wave_panel(core: LayerCore, day: int) -> Panel:
    return _panel(core, f"Height [m], day {day}", core.newest()["zg"], 8100.0, 10500.0, 200.0)


def _run(core: LayerCore, days: float) -> None:
    for _ in range(round(days * 86400.0 / core.dt)):
        core.step()


def _l2(core: LayerCore, field: Any, true: Any) -> float:
    return float(np.sqrt(core.mean((field - true) ** 2) / core.mean(true**2)))


def _change(core: LayerCore, before: dict[str, float]) -> dict[str, float]:
    now = core.integrals()
    return {name: now[name] / before[name] - 1.0 for name in before}


def _error(core: LayerCore, fine: LayerCore) -> float:
    """Normalised l2 error of height against a finer run, truncated as `core` is."""
    truth = fine.transform.to_complex(fine.coefficients())[2:]
    size = core.transform.truncation + 1
    with torch.no_grad():
        spec = core.transform.from_complex(truth[:, :size, :size])
        grid = core.transform.synthesis(spec)[0].numpy() + fine.reference
    return _l2(core, core.newest()["zg"], grid / EARTH_1992.gravity)


def _del4(truncation: int) -> LayerDiffusion:
    return LayerDiffusion(coefficient=DEL4[truncation], power=2)


def williamson_2(quick: bool) -> Iterator[Row]:
    """Steady zonal flow (Williamson et al. 1992, case 2): normalised l2 error of height, day 5."""
    peer = {42: "5.7e-14", 85: "2.9e-13"}
    for truncation in (42,) if quick else (42, 85):
        for tilt, gate in ((0.0, 1e-11), (np.pi / 4.0, 1e-9)):
            core, state = _layer(
                truncation, 1200.0 if truncation == 42 else 600.0, "williamson_2", tilt=tilt
            )
            _run(core, 5)
            error = _l2(core, core.newest()["zg"], state.height)
            angle = f"tilt {np.degrees(tilt):.0f} degrees"
            reference = peer[truncation] if tilt == 0.0 else "none"
            yield below(f"T{truncation}, {angle}", error, reference, gate)


def williamson_5(quick: bool) -> Iterator[Row | Picture]:
    """Flow over a mountain (case 5), day 15, T42, del^4 of 5e15 m4/s on vorticity and divergence.

    The reference's extremes are those of T213. Errors are against a finer run truncated to T42.
    """
    core, _ = _layer(42, 600.0, "williamson_5", diffusion=_del4(42))
    before = core.integrals()
    if not quick:
        fine, _ = _layer(106, 240.0, "williamson_5", diffusion=_del4(106))
        done = 0
        for day, error in ((1, 1.4e-5), (5, 5.9e-5), (10, 1.1e-4), (15, 2.0e-4)):
            _run(core, day - done), _run(fine, day - done)
            done = day
            ours = _error(core, fine)
            yield factor(f"l2(h) day {day}, T42 against T106", ours, error, 1.5)
    else:
        _run(core, 15)
    change, x = _change(core, before), core.newest()
    yield below("mass, relative change", change["depth"], "1e-15", 1e-13)
    yield near("energy, relative change", change["energy"], -2.1e-5, 1e-6)
    yield near("potential enstrophy, relative change", change["enstrophy"], -3.2e-4, 1e-5)
    yield near("free surface, minimum [m]", x["zg"].min(), 5031.9, 6.0, ".1f")
    yield near("free surface, maximum [m]", x["zg"].max(), 5954.0, 6.0, ".1f")
    yield near("vorticity, minimum [1/s]", x["rv"].min(), -3.63e-5, 2e-6)
    yield near("vorticity, maximum [1/s]", x["rv"].max(), 4.85e-5, 2e-6)
    panels = [_panel(core, "Height of the free surface [m], day 15", x["zg"], 5050.0, 5950.0, 75.0)]
    yield Picture(name="williamson-5.png", caption="Flow over a mountain, T42, day 15",
                  png=sphere_panels(panels, columns=1, size=(6.0, 3.2)))  # fmt: skip


def williamson_6(quick: bool) -> Iterator[Row | Picture]:
    """Rossby-Haurwitz wave (case 6), T42, del^4 of 5e15 m4/s."""
    core, _ = _layer(42, 600.0, "rossby_haurwitz", diffusion=_del4(42))
    before, panels = core.integrals(), [_wave_panel(core, 0)]
    _run(core, 7)
    panels.append(_wave_panel(core, 7))
    if not quick:
        fine, _ = _layer(106, 240.0, "rossby_haurwitz", diffusion=_del4(106))
        _run(fine, 7)
        ours = _error(core, fine)
        yield factor("l2(h) day 7, T42 against T106", ours, 9.5e-4, 1.5)
    _run(core, 7)
    x = core.newest()
    yield near("height, minimum day 14 [m]", x["zg"].min(), 8188.0, 1.0, ".1f")
    yield near("height, maximum day 14 [m]", x["zg"].max(), 10530.0, 1.0, ".1f")
    yield below("mass, relative change", _change(core, before)["depth"], "round-off", 1e-13)
    size = core.transform.to_complex(core.coefficients()).abs()
    size = size / size.amax(dim=(1, 2), keepdim=True)
    others = [m for m in range(core.transform.size_m) if m % 4]
    yield below("largest coefficient with m not 4 n", float(size[:, others].max()), "round-off",
                1e-10)  # fmt: skip
    lopsided = x["rv"].max() / -x["rv"].min() - 1.0
    yield below("asymmetry of vorticity about the equator", lopsided, "round-off", 1e-10)
    panels.append(_wave_panel(core, 14))
    yield Picture(name="williamson-6.png", caption="Rossby-Haurwitz wave, T42, days 0, 7 and 14",
                  png=sphere_panels(panels, columns=3, size=(3.4, 2.3)))  # fmt: skip


def barotropic(quick: bool) -> Iterator[Row]:
    """Barotropic vorticity: the non-divergent Rossby-Haurwitz wave is an exact solution."""
    days = 7 if quick else 14
    core, _ = _layer(42, 1200.0, "rossby_haurwitz", divergent=False)
    start = core.transform.to_complex(core.coefficients())[0, 4, 5]
    _run(core, days)
    now = core.transform.to_complex(core.coefficients())[0, 4, 5]
    exact = rossby_haurwitz_speed(EARTH_1992) * 86400.0 * days
    turn = complex(now / start) * np.exp(4j * exact)  # what is left when it is turned back
    speed = np.degrees(exact - np.angle(turn) / 4.0) / days
    yield near(f"eastward speed over {days} days [degrees/day]", speed, 12.195, 1e-3, ".4f")
    yield below("amplitude of the wave, relative change", abs(turn) - 1.0, "0", 1e-8)


def galewsky(quick: bool) -> Iterator[Row | Picture]:
    """Barotropic instability (Galewsky et al. 2004), day 6, del^2 of 1e5 m2/s on all variables."""
    table = {
        42: ((-8.10e-5, 8.91e-5), (8942.0, 10207.2)),
        85: ((-7.33e-5, 9.25e-5), (8907.3, 10209.9)),
    }
    for truncation in (42,) if quick else (42, 85):
        diffusion = LayerDiffusion(coefficient=1e5, power=1, height=True)
        dt = 600.0 if truncation == 42 else 300.0
        core, _ = _layer(truncation, dt, "galewsky", diffusion=diffusion)
        before = core.integrals()
        panels = []
        for day in (4, 5, 6):
            _run(core, day if day == 4 else 1)
            spin = 1e5 * core.newest()["rv"]
            title = f"Vorticity [1e-5/s], day {day}"
            panels.append(_panel(core, title, spin, -11.0, 11.0, 2.0, middle=0.0))
        x, t = core.newest(), f"T{truncation}, "
        (low, high), (lowest, highest) = table[truncation]
        yield near(t + "vorticity, minimum [1/s]", x["rv"].min(), low, 1e-7)
        yield near(t + "vorticity, maximum [1/s]", x["rv"].max(), high, 1e-7)
        yield near(t + "height, minimum [m]", x["zg"].min(), lowest, 0.3, ".1f")
        yield near(t + "height, maximum [m]", x["zg"].max(), highest, 0.3, ".1f")
        change = _change(core, before)
        yield below(t + "mass, relative change", change["depth"], "round-off", 1e-13)
        yield near(t + "energy, relative change", change["energy"], -5.84e-4, 6e-6)
        yield near(t + "potential enstrophy, relative change", change["enstrophy"], -4.12e-2, 8e-4)
        if truncation == 85:
            caption = "Barotropic instability, T85, days 4, 5 and 6 (compare figure 4 of the paper)"
            picture = sphere_panels(
                panels, columns=1, window=(0.0, 360.0, 10.0, 80.0), size=(7.0, 2.1)
            )
            yield Picture(name="galewsky.png", caption=caption, png=picture)
