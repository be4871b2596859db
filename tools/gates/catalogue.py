"""Every gate by name, with the code that its result depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coupler.interface.source import fingerprint
from gates import (
    conservation,
    dry,
    endurance,
    held_suarez,
    layer,
    life_cycle,
    mountain,
    polvani_kushner,
    published,
    spectrum,
    transform,
    transport,
    wave,
    wave_2014,
)
from gates.longrun import Work
from gates.sources import REGISTRY, reached
from gates.store import FOLDER, Result

_TRANSFORM = reached("physics/dynamics/transform.py")
_CORE = "physics/dynamics/core.py"
# Of the core one layer of fluid takes only the size of a grid.
_LAYER = (*reached("physics/dynamics/shallow_water.py", but=(_CORE,)),
          "physics/dynamics/shallow_water_initial.py", "tools/gates/layer.py")  # fmt: skip
_DRY = reached(_CORE)
_PUBLISHED = (REGISTRY, *reached("physics/dynamics/initial_published.py"))
_ULLRICH = "physics/dynamics/initial_ullrich.py"
_MODEL = (*reached("physics/dynamics/atmosphere.py"), "coupler/driver/loop.py")
_CASES = (*_MODEL, *_PUBLISHED, "tools/gates/published.py")
_FORCED = (*_MODEL, *reached("physics/columns/held_suarez.py", "physics/columns/rayleigh.py"),
           "tools/gates/zonal.py", "tools/gates/longrun.py")  # fmt: skip
_WAVE = (*_DRY, "tools/gates/dry.py", "tools/gates/wave.py")
_LOW = (*_DRY, "tools/gates/dry.py", "tools/gates/low.py", "tools/gates/peer_wave.py")
_TRANSPORT = (*reached("physics/dynamics/prescribed.py"), "tools/gates/transport.py")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate.

    Attributes:
        title: heading on the page.
        call: gives rows, tables, pictures; takes whether to be quick and the folder of long runs.
        sources: patterns of the files whose code decides the result.
        needs: names of gates whose stored results it uses.
    """

    title: str
    call: Callable[[bool, Work], Iterator[Any]]
    text: str
    sources: tuple[str, ...]
    needs: tuple[str, ...] = ()


def _short(title: str, gate: Callable[[bool], Iterator[Any]], sources: tuple[str, ...]) -> Gate:
    return Gate(title=title, call=lambda quick, _: gate(quick), text=gate.__doc__ or "",
                sources=sources)  # fmt: skip


def _convergence(quick: bool, _: Work) -> Iterator[Any]:
    found = {t: Result.load(FOLDER, f"wave_t{t}") for t in wave.SETTINGS}
    return wave.convergence(
        quick, {t: result.data["lowest"] for t, result in found.items() if result is not None}
    )


GATES: dict[str, Gate] = {
    "transform": _short(
        "Transform", transform.transform, (*_TRANSFORM, "tools/gates/transform.py")
    ),
    "williamson_2": _short("Steady zonal flow", layer.williamson_2, _LAYER),
    "williamson_5": _short("Flow over a mountain", layer.williamson_5, _LAYER),
    "williamson_6": _short("Rossby-Haurwitz wave", layer.williamson_6, _LAYER),
    "barotropic": _short("Barotropic vorticity", layer.barotropic, _LAYER),
    "galewsky": _short("Barotropic instability", layer.galewsky, _LAYER),
    "rest": _short("State at rest", dry.rest, (*_DRY, "tools/gates/dry.py")),
    "mountain_rest": _short(
        "Rest over narrow mountains", mountain.mountain_rest,
        (*_DRY, *_PUBLISHED, "tools/gates/dry.py", "tools/gates/mountain.py"),
    ),
    "steady": _short("Steady baroclinic flow", dry.steady, (*_DRY, "tools/gates/dry.py")),
    **{
        f"wave_t{t}": _short(f"Baroclinic wave, T{t}", wave.wave(t), _WAVE)
        for t in wave.SETTINGS
    },
    "wave_convergence": Gate(
        title="Baroclinic wave, convergence", call=_convergence,
        text=wave.convergence.__doc__ or "",
        sources=_WAVE, needs=tuple(f"wave_t{t}" for t in wave.SETTINGS),
    ),
    "rossby_haurwitz": _short(
        "Rossby-Haurwitz wave in three dimensions", published.rossby_haurwitz,
        (*_CASES, "cases/tests/asp_2008_4_0_0_t42.yaml"),
    ),
    "mountain_wave": _short(
        "Waves behind a mountain", published.mountain_wave,
        (*_CASES, "cases/tests/asp_2008_5_0_0_t42.yaml"),
    ),
    "wave_2014": _short(
        "Dry wave of 2014", wave_2014.wave_2014,
        (*_LOW, _ULLRICH, "tools/gates/wave_2014.py"),
    ),
    "life_cycle": _short(
        "Life cycle that converges", life_cycle.life_cycles,
        (*_LOW, "physics/dynamics/initial_polvani.py", "tools/gates/life_cycle.py"),
    ),
    "moist_wave": _short(
        "Dry and moist wave", published.moist_wave,
        (*_CASES, _ULLRICH, *reached("physics/columns/condensation.py"),
         "cases/tests/ullrich_2014_dry_t42.yaml", "cases/tests/dcmip_2016_1_1_t42.yaml"),
    ),
    "conservation": _short(
        "Conservation", conservation.conservation,
        (*_DRY, _ULLRICH, "tools/gates/dry.py", "tools/gates/conservation.py"),
    ),
    "torque": _short(
        "Angular momentum", dry.torque,
        (*_FORCED, _ULLRICH, "tools/gates/dry.py"),
    ),
    "transport_2d": _short("Transport in two dimensions", transport.two_dimensions, _TRANSPORT),
    "transport_3d": _short("Transport in three dimensions", transport.three_dimensions, _TRANSPORT),
    "terminator": _short("Terminator chemistry", transport.chemistry, _TRANSPORT),
    "held_suarez": Gate(
        title="Held-Suarez climate", call=held_suarez.held_suarez,
        text=held_suarez.held_suarez.__doc__ or "",
        sources=(*_FORCED, held_suarez.CASE, "tools/gates/held_suarez.py", "tools/gates/peer.py"),
    ),
    "spectrum": Gate(
        title="Spectrum of kinetic energy", call=spectrum.spectrum,
        text=spectrum.spectrum.__doc__ or "",
        sources=(*_FORCED, _ULLRICH, held_suarez.CASE, "tools/gates/spectrum.py"),
    ),
    "polvani_kushner": Gate(
        title="Polar vortex", call=polvani_kushner.polvani_kushner,
        text=polvani_kushner.polvani_kushner.__doc__ or "",
        sources=(*_FORCED, *reached("physics/columns/polvani_kushner.py",
                 "physics/columns/sponge.py"), polvani_kushner.CASE,
                 "tools/gates/polvani_kushner.py"),
    ),
    "endurance": Gate(
        title="A thousand days of earth_t31", call=endurance.endurance,
        text=endurance.endurance.__doc__ or "",
        sources=endurance.SOURCES,
    ),
}  # fmt: skip


def state_of(name: str, folder: Path = FOLDER) -> str:
    """``stored``, ``stale`` or ``missing``."""
    found = Result.load(folder, name)
    if found is None:
        return "missing"
    return "stored" if found.sources == fingerprint(GATES[name].sources) else "stale"
