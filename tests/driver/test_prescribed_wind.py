"""Tests of transport as runs: the winds of the papers through the driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import assert_same, changed, contents, run

from coupler import Simulation
from coupler.cli import main
from coupler.interface.errors import ConfigError
from physics.dynamics import prescribed
from physics.dynamics.prescribed import Flow

STEPS = 24
LAYER: dict[str, Any] = {
    "title": "layer",
    "days": 12,
    "precision": "float64",
    "planet": {"radius": 6.37122e6},
    "atmosphere": {
        "scheme": "prescribed_layer",
        "latitudes": 16,
        "dt": "12 h",
        "tracers": ["hills", "uniform"],
    },
    "output": {"interval": "1 day"},
}
AIR: dict[str, Any] = changed(
    LAYER,
    {"atmosphere": {"scheme": "prescribed_air", "latitudes": 16, "layers": 5, "dt": "6 h"}},
)


def tracers_of(simulation: Simulation) -> dict[str, np.ndarray]:
    model = simulation.model.atmosphere
    return {name: model.columns()[name] for name in model.tracers}


def test_a_run_of_hills_is_the_function_of_the_same_test_bit_for_bit(tmp_path: Path) -> None:
    found = tracers_of(run(tmp_path / "out", LAYER))
    flow = Flow(16)
    start = prescribed.hills(flow)
    q = np.stack([start, np.ones_like(start)])
    flow.run(q, prescribed.deformation(flow, prescribed.TAU), prescribed.TAU, STEPS)
    assert np.array_equal(found["hills"], q[0])
    assert np.array_equal(found["uniform"], q[1])
    assert np.abs(found["hills"] - start).max() > 0.1  # it is no copy of the start
    budgets = contents(tmp_path / "out" / "budgets.nc")
    masses = budgets["mass_of_hills"]
    assert np.abs(masses / masses[0] - 1.0).max() < 1e-12
    assert budgets["greatest_hills"].max() <= start.max()
    assert budgets["least_hills"].min() >= start.min()


def test_a_run_of_dcmip_1_1_is_the_function_of_the_same_test_and_goes_on_after_a_stop(
    tmp_path: Path,
) -> None:
    raw = changed(AIR, {"days": 1})
    whole = run(tmp_path / "whole", raw)
    run(tmp_path / "parts", raw, days=0.5)
    run(tmp_path / "parts", raw, resume=True)
    for name in ("atmosphere.nc", "budgets.nc"):
        assert_same(contents(tmp_path / "parts" / name), contents(tmp_path / "whole" / name))
    flow, _, p = prescribed.dcmip_grid(16, 5)
    first = prescribed.blobs(flow, p)
    q = np.stack([first, 0.9 - 0.8 * first**2, np.ones_like(first)])
    flow.run(q, prescribed.deformation_3d(flow, p), 86400.0, 4)
    for name, expected in zip(("blobs", "curve", "uniform"), q, strict=True):
        assert np.array_equal(tracers_of(whole)[name], expected), name


def test_chemistry_acts_on_the_tracers_of_a_layer(tmp_path: Path) -> None:
    raw = changed(
        LAYER,
        {
            "days": 1,
            "atmosphere.dt": "1 h",
            "atmosphere.tracers": ["cl", "cl2"],
            "physics.chemistry": "terminator",
        },
    )
    found = tracers_of(run(tmp_path / "out", raw))
    total = (found["cl"] + 2.0 * found["cl2"]) / 4.0e-6
    assert np.abs(total - 1.0).max() < 2e-2  # limiters act on each for itself
    still = tracers_of(run(tmp_path / "still", changed(raw, {"physics": {}})))
    assert np.abs(found["cl"] - still["cl"]).max() > 1e-7  # the control: without, it is carried


def test_rotation_over_the_poles_brings_the_bell_back(tmp_path: Path) -> None:
    raw = changed(
        LAYER,
        {
            "atmosphere.flow": "rotation",
            "atmosphere.angle": "90 degree",
            "atmosphere.latitudes": 32,
            "atmosphere.dt": "2 h",
            "atmosphere.tracers": ["bell"],
        },
    )
    simulation = run(tmp_path / "out", raw)
    bell = tracers_of(simulation)["bell"][0]
    flow = Flow(32)
    j, i = np.unravel_index(bell.argmax(), bell.shape)
    assert abs(flow.lat[j, 0]) < 0.1 and abs(flow.lon[0, i] - 1.5 * np.pi) < 0.2
    assert flow.norms(bell[None], prescribed.bell(flow))[1] < 0.6  # coarse


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"atmosphere.tracers": ["hilss"]},
            r"no start for a tracer: atmosphere\.tracers; found 'hilss'; did you mean 'hills'",
        ),
        (
            {"atmosphere.tracers": ["hills", "hills"]},
            r"no tracers to move: atmosphere\.tracers; expected names, each once; found "
            r"\['hills', 'hills'\]",
        ),
        ({"atmosphere.latitudes": 15}, r"atmosphere\.latitudes"),
        ({"physics.boundary_layer": "held_suarez"}, r"boundary_layer"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=sentence):
        run(tmp_path / "out", changed(LAYER, change))


def test_a_map_of_a_tracer_wants_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "out", changed(LAYER, {"days": 1}))
    arguments = ["plot", str(tmp_path / "out"), "--out", str(tmp_path / "p.png")]
    assert main([*arguments, "--kind", "tracer", "--name", "hills"]) == 0
    assert (tmp_path / "p.png").stat().st_size > 5000
    capsys.readouterr()
    for more, sentence in (
        (["--kind", "tracer"], "no tracer named: tracer; add --name NAME"),
        (["--kind", "wind", "--name", "hills"], "no name in this kind: maps; leave --name out"),
        (["--kind", "tracer", "--name", "dye"], "missing variable: dye"),
    ):
        assert main([*arguments, *more]) != 0
        assert sentence in capsys.readouterr().err
