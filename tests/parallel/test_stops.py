"""A run that is stopped at any step and goes on in any other way ends as if nothing had happened.

The undisturbed run keeps a restart of every step, so that each stop is held against the same step
of it, array by array and bit by bit, before the run goes on. Nearly every step lies within an
output mean (9 steps), a step of the surface (7) and between two calls of the waves (5).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fields_of_runs import arrays_of, differing_arrays
from safetensors import safe_open
from tiny import COUPLED, changed, write_small_bundle
from ways import Way, another, go

from coupler.interface.grid import HybridLevels
from coupler.output import background, restart

STEPS, STEP = 36, 1200.0 / 86400.0
"""Of `COUPLED`: number, and length [day]."""
KEEP_ALL = {"restart": {"interval": "20 min", "keep": STEPS + 1}}
LAST = f"restart_{STEPS:09d}.safetensors"


def random_waves(_: Path) -> dict[str, Any]:
    """Sources from a generator, one call behind: generator and open answer must not be lost.

    The surface is a step behind as well.
    """
    waves = {"scheme": "ad99", "interval": "100 min", "stress_deviation": 1e-3, "lag": 1}
    return {"physics.gravity_wave": waves, "surface.lag": 1}


def learned_waves(folder: Path) -> dict[str, Any]:
    """An emulator whose guard hands half of the columns over, and counts them."""
    narrow = {"ta": {"minimum": [250.0] * 9, "maximum": [270.0] * 9}}
    bundle = write_small_bundle(folder / "small", HybridLevels.named("hybrid9"), **narrow)
    scheme = {"scheme": str(bundle), "reference": "ad99", "interval": "100 min"}
    return {"physics.gravity_wave": scheme}


WAVES = {"random": random_waves, "learned": learned_waves}


@pytest.fixture(scope="module", params=WAVES)
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """A case, and a run of it on one rank with everything in one process."""
    folder = tmp_path_factory.mktemp(request.param)
    raw = changed(COUPLED, WAVES[request.param](folder))
    return raw, go(folder / "run", changed(raw, KEEP_ALL), Way(1, "inline"))


def different_at(step: int, out: Path, undisturbed: Path) -> list[str]:
    """What differs between the restarts of a step, the texts in their headers included."""
    name = f"restart/restart_{step:09d}.safetensors"
    texts = [_text(folder / name) for folder in (out, undisturbed)]
    return differing_arrays(out / name, undisturbed / name) + ["texts"] * (texts[0] != texts[1])


def _text(path: Path) -> dict[str, Any]:
    with safe_open(path, "numpy") as file:
        found: dict[str, Any] = json.loads(file.metadata()["isthmus"])
        return found


def stopped(raw: dict[str, Any], undisturbed: Path, out: Path, stops: list[int], seed: int) -> None:
    """Runs to each stop in turn and to the end, each time in another way, and compares."""
    random, way, done, told = np.random.default_rng(seed), None, 0, []
    for stop in [*sorted(stops), STEPS]:
        way = another(random, way)
        told.append(f"{way} to {stop}")
        go(out, raw, way, days=(stop - done) * STEP, resume=done > 0)
        assert restart.newest_good(out / "restart").moment.step == stop
        assert different_at(stop, out, undisturbed) == [], told
        done = stop
    written, wanted = arrays_of(out), arrays_of(undisturbed)
    output = [name for name in wanted if ".nc/" in name]
    assert {n.partition("/")[0] for n in output} == {"atmosphere.nc", "surface.nc", "budgets.nc"}
    assert [n for n in output if written[n].tobytes() != wanted[n].tobytes()] == [], told


def test_restarts_that_are_written_while_the_model_goes_on_are_those_of_one_rank(
    tmp_path: Path, undisturbed: tuple[dict[str, Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Array by array, where little may wait for the disk; a step is over before they are there."""
    raw, folder = undisturbed
    monkeypatch.setattr(background, "_ROOM", 1)
    often = {"restart": {"interval": "80 min", "keep": 9}}
    out = go(tmp_path / "run", changed(raw, often), Way(3, "inline"), days=9 * STEP)
    names = sorted(path.name for path in (out / "restart").iterdir())
    assert names == [f"restart_{step:09d}.safetensors" for step in (4, 8, 9)]
    assert [different_at(step, out, folder) for step in (4, 8, 9)] == [[], [], []]


@pytest.mark.parametrize("stop", [3, 14])
def test_a_stop_changes_nothing(
    tmp_path: Path, undisturbed: tuple[dict[str, Any], Path], stop: int
) -> None:
    """Within the first mean and between two calls; at the end of a step of the surface."""
    stopped(*undisturbed, tmp_path / "run", [stop], seed=stop)


def test_a_stop_at_a_random_step_changes_nothing(
    tmp_path: Path, undisturbed: tuple[dict[str, Any], Path]
) -> None:
    """Another step in each of the two cases, and the same ones at each time."""
    seed = sum(map(ord, str(undisturbed[0]["physics"]["gravity_wave"]["scheme"][-5:])))
    stop = int(np.random.default_rng(seed).integers(1, STEPS))
    stopped(*undisturbed, tmp_path / "run", [stop], seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(13))
def test_two_stops_at_random_steps_change_nothing(
    tmp_path: Path, undisturbed: tuple[dict[str, Any], Path], seed: int
) -> None:
    """Thirteen times two stops in each of two cases: 52."""
    stops = np.random.default_rng(1000 + seed).choice(np.arange(1, STEPS), 2, replace=False)
    stopped(*undisturbed, tmp_path / "run", [int(s) for s in stops], seed)


def test_a_restart_with_one_bit_changed_is_seen(
    tmp_path: Path, undisturbed: tuple[dict[str, Any], Path]
) -> None:
    """What the comparison would show if a stop changed anything."""
    raw, folder = undisturbed
    out = go(tmp_path / "run", raw, Way(2, "inline"), days=4 * STEP)
    assert different_at(4, out, folder) == []
    path = out / "restart" / "restart_000000004.safetensors"
    found = restart.read(path)
    arrays = {name: array.copy() for name, array in found.arrays.items()}
    name = next(n for n in arrays if n.startswith("coupling.surface/sum.hfss"))
    arrays[name].reshape(-1).view(np.uint8)[5] ^= 1
    memories: dict[str, dict[str, np.ndarray]] = {}
    for full, array in arrays.items():
        part, _, own = full.partition("/")
        memories.setdefault(part, {})[own] = array
    restart.write(out / "restart", memories, found.moment)
    assert different_at(4, out, folder) == [name]
