"""A Fortran routine in a process of its own: the same bits; a stop ends that process alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fortran_harness import RELAX, SIMPLE, declare
from tiny import DRY, assert_same, changed, contents

from coupler import Simulation
from coupler.driver.replay import replay
from coupler.interface.errors import CouplerError


def case(scheme: str, declaration: str, where: str) -> dict[str, Any]:
    return changed(
        DRY,
        {
            "precision": "float64",
            "output.fields": "all",
            "physics.stratosphere": {"scheme": scheme, "declaration": declaration},
            "where": {"stratosphere": where},
        },
    )


def run(out: Path, raw: dict[str, Any], **how: Any) -> None:
    simulation = Simulation.from_case(raw, out=out, **how)
    try:
        simulation.run(quiet=True)
    finally:
        simulation.close()


def test_a_routine_in_a_worker_gives_the_bits_of_the_one_inside(
    routines: Path, tmp_path: Path
) -> None:
    scheme, declaration = f"fortran:{routines}:relax", declare(tmp_path, RELAX)
    for where in ("inline", "worker"):
        run(tmp_path / where, case(scheme, declaration, where), record=["stratosphere"])
    inside, apart = (contents(tmp_path / n / "atmosphere.nc") for n in ("inline", "worker"))
    assert np.abs(inside["tnt_stratosphere"]).max() > 1e-6
    assert_same(apart, inside)
    for found in replay(tmp_path / "inline" / "record_stratosphere.nc").values():
        assert found.values > 0 == found.different


def test_a_stop_in_the_routine_ends_the_worker_and_the_run_says_so(
    routines: Path, tmp_path: Path
) -> None:
    scheme, declaration = f"fortran:{routines}:stops", declare(tmp_path, SIMPLE)
    with pytest.raises(CouplerError, match="the worker died: stratosphere=stops"):
        run(tmp_path / "run", case(scheme, declaration, "worker"))
