"""Alexander and Dunkerton (1999) written in Fortran, run by Isthmus beside its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fortran_harness import GRID, Tried, columns
from tiny import COUPLED, changed, contents, run

from coupler.interface.errors import UnstableError
from fortran_bridge.component import fortran_class
from physics.columns.gravity_wave_ad99 import AlexanderDunkerton1999

CLOSE = 1e-12
"""Of the largest value: both sum the same 166 waves in float64, in another order."""


def scheme(library: Path) -> Any:
    return fortran_class(f"fortran:{library}:ad99", library.parent, "gravity_wave", {})


def near(found: np.ndarray, wanted: np.ndarray, name: str) -> None:
    scale = np.abs(wanted).max()
    assert scale > 0.0, name
    assert np.abs(found - wanted).max() <= CLOSE * scale, name


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"stress_equator": "0.001 Pa", "transition": 30.0, "transition_width": 20.0},
        {"source_pressure": "500 hPa", "wide_half_width": 20.0, "wavelength": "100 km"},
        {"phase_speed_step": 2.5, "phase_speed_max": 60.0, "wide_amplitude": 0.1},
    ],
)
def test_it_agrees_with_the_compiled_python_scheme(ad99: Path, parameters: dict[str, Any]) -> None:
    own = dict(parameters)
    if "transition" in own:
        own["transition_north"] = own["transition"]
        own["transition_south"] = -own.pop("transition")
    if "wide_half_width" in own:
        own["wide_half_width_tropics"] = own["wide_half_width"]
    for seed in (4, 5):
        x = columns(seed=seed)
        theirs, ours = Tried(scheme(ad99), x, **parameters), Tried(AlexanderDunkerton1999, x, **own)
        for step in range(2):
            found, wanted = theirs(step), ours(step)
            near(found["flux.xgwdparam"], wanted["flux.xgwdparam"], "eastward")
            near(found["flux.ygwdparam"], wanted["flux.ygwdparam"], "northward")
        near(theirs.bound.rate["ua"], ours.bound.rate["ua"], "drag")
        assert theirs.bound.escaped["xgwdparam"].max() == 0.0  # the coupler dumps it


def test_another_spectrum_is_seen_by_the_comparison(ad99: Path) -> None:
    x = columns()
    found = Tried(scheme(ad99), x, wide_half_width=35.001)()["flux.xgwdparam"]
    wanted = Tried(AlexanderDunkerton1999, x)()["flux.xgwdparam"]
    with pytest.raises(AssertionError):
        near(found, wanted, "eastward")


def test_a_column_without_meaning_is_said(ad99: Path) -> None:
    x = columns()
    x["ta"][3, GRID.ncol - 2] = np.nan
    with pytest.raises(UnstableError, match=r"gravity_wave=ad99.*pfull or zg is not finite"):
        Tried(scheme(ad99), x)()


def test_a_coupled_run_with_it_is_the_run_with_the_compiled_python_scheme(
    ad99: Path, tmp_path: Path
) -> None:
    waves = {"output.fields": "all", "precision": "float64"}
    case = changed(COUPLED, waves)
    run(tmp_path / "ours", case)
    run(tmp_path / "theirs", case, swap={"gravity_wave": f"fortran:{ad99}:ad99"})
    ours, theirs = (contents(tmp_path / n / "atmosphere.nc") for n in ("ours", "theirs"))
    assert np.abs(ours["utendnogw"]).max() > 1e-6
    for name in ("utendnogw", "vtendnogw", "ua", "ta"):
        scale = np.abs(ours[name]).max()
        # Files are float32; 36 steps let round-off of 1e-16 grow a little.
        assert np.abs(ours[name] - theirs[name]).max() <= 3e-7 * scale, name
