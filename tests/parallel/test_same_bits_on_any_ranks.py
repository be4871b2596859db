"""Whole runs give the same bits on any number of ranks, also where another number went before.

Ranks are threads here, see ``team``; ``test_mpi_jobs`` starts real ones.
"""

import json
from pathlib import Path

import pytest
from fields_of_runs import differing
from team import on_ranks
from tiny import (
    COUPLED,
    DRY,
    assert_same,
    changed,
    contents,
    plugin,
    write_orography,
    write_small_bundle,
)

from coupler import Simulation
from coupler.interface.errors import ConfigError, UnstableError
from coupler.interface.grid import HybridLevels
from coupler.output import netcdf, restart

STEP = 1200.0 / 86400.0
"""Of `COUPLED` [day]."""


def run(out: Path, raw: dict, ranks: int, *, days: float | None = None, **how) -> Path:
    """Runs a case on so many ranks into a folder."""

    def work(parallel):
        simulation = Simulation.from_case(raw, out=out, parallel=parallel, **how)
        simulation.run(days, quiet=True)

    on_ranks(ranks, work)
    return out


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The coupled case on one rank."""
    return run(tmp_path_factory.mktemp("alone") / "run", COUPLED, 1)


# 8 is one latitude pair for each, 3 and 5 do not divide the 8 pairs.
@pytest.mark.parametrize("ranks", [2, 3, 5, 8])
def test_a_coupled_run_writes_the_same_bits(tmp_path: Path, alone: Path, ranks: int) -> None:
    assert differing(alone, run(tmp_path / "run", COUPLED, ranks)) == []
    assert json.loads((tmp_path / "run" / "run.json").read_text())["ranks"] == ranks


def test_another_seed_writes_other_bits(tmp_path: Path, alone: Path) -> None:
    """What the comparison would show if ranks changed anything."""
    found = differing(alone, run(tmp_path / "run", COUPLED | {"seed": 4}, 2))
    assert "atmosphere.nc/ta" in found
    assert "restart_000000036.safetensors/atmosphere/spectral_now" in found


VARIANTS = {
    "double": {"precision": "float64"},
    "spectral_moisture": {"atmosphere.moisture": "spectral"},
    "sil3": {"atmosphere.stepper": "sil3"},
    "tracers": {"atmosphere.tracers": {"smoke": 0.1, "dust": 0.0}},
    "fft": {"atmosphere.truncation": "T53", "atmosphere.levels": "hybrid3", "days": 0.07},
    "uneven": {"atmosphere.truncation": "T13", "atmosphere.levels": "hybrid7"},
    "all_schemes": {
        "physics.convection": "betts_miller",
        "physics.sponge": "rayleigh",
        "physics.precipitation": "total",
        "physics.sea_level_pressure": "standard_lapse",
        "physics.gravity_wave": {
            "scheme": "ad99",
            "interval": "100 min",
            "stress_deviation": 1.0e-3,
        },
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_the_model_write_the_same_bits(tmp_path: Path, variant: str) -> None:
    raw = changed(COUPLED, {"days": 10 * STEP, "output.interval": "2 h"} | VARIANTS[variant])
    one, three = run(tmp_path / "one", raw, 1), run(tmp_path / "three", raw, 3)
    assert differing(one, three) == []


@pytest.mark.parametrize("mode", ["apply", "shadow", "blend"])
def test_an_emulator_and_its_guard_write_the_same_bits(tmp_path: Path, mode: str) -> None:
    # Temperatures of 250 to 270 K for a domain: the guard has much to hand over.
    narrow = {"ta": {"minimum": [250.0] * 9, "maximum": [270.0] * 9}}
    bundle = write_small_bundle(tmp_path / "small", HybridLevels.named("hybrid9"), **narrow)
    scheme = {"scheme": str(bundle), "mode": mode, "reference": "ad99", "interval": "100 min"}
    raw = changed(COUPLED, {"days": 12 * STEP, "physics.gravity_wave": scheme})
    one, three = run(tmp_path / "one", raw, 1), run(tmp_path / "three", raw, 3)
    assert differing(one, three) == []
    counts = [json.loads((f / "run.json").read_text())["guard"] for f in (one, three)]
    assert counts[0] == counts[1]
    assert counts[0]["gravity_wave"]["guarded"] > 0


def test_mountains_from_a_file_write_the_same_bits(tmp_path: Path) -> None:
    file = write_orography(tmp_path / "orog.nc")
    source = {"file": str(file), "variable": "orog"}
    changes = {
        "days": 10 * STEP,
        "atmosphere.initial": "standard_rest",
        "atmosphere.relative_humidity": 0.7,
        "boundary.orog": source,
    }
    raw = changed(COUPLED, changes)
    one, three = run(tmp_path / "one", raw, 1), run(tmp_path / "three", raw, 3)
    assert differing(one, three) == []


def test_a_restart_without_something_the_model_remembers_is_refused_on_every_rank(
    tmp_path: Path,
) -> None:
    out = run(tmp_path / "run", DRY, 1)
    found = restart.newest_good(out / "restart")
    memories = {"atmosphere": dict(found.memory("atmosphere"))}
    del memories["atmosphere"]["spectral_before"]
    restart.write(out / "restart", memories, found.moment)
    refused = []

    def work(parallel):
        simulation = Simulation.from_case(DRY, out=out, parallel=parallel, resume=True)
        with pytest.raises(restart.DataError, match="atmosphere/spectral_before with the shape"):
            simulation.run(quiet=True)
        refused.append(parallel.rank)

    on_ranks(3, work)
    assert sorted(refused) == [0, 1, 2]


def test_a_run_goes_on_with_more_ranks_and_a_worker_whose_last_answer_may_be_held(
    tmp_path: Path,
) -> None:
    whole = run(tmp_path / "whole", DRY, 1)
    place = {"where.radiation": {"at": "worker", "on_failure": "hold"}}
    out = run(tmp_path / "run", DRY, 1, days=0.125)
    run(out, changed(DRY, place), 2, resume=True)
    for name in ("atmosphere.nc", "budgets.nc"):
        assert_same(contents(out / name), contents(whole / name))


def test_a_blow_up_on_one_rank_is_one_error_on_all_and_leaves_a_restart(tmp_path: Path) -> None:
    # 8 pairs on three ranks: 2, 3 and 3 of them, 192 columns where there are 3.
    body = "tend.ta[2, 5] = np.inf if now.step == 4 and x.ta.shape[1] == 192 else 0.0"
    raw = changed(DRY, {"days": 1.0, **plugin(tmp_path, "planted_on_one_rank", body)})
    errors = {}

    def work(parallel):
        simulation = Simulation.from_case(raw, out=tmp_path / "run", parallel=parallel)
        with pytest.raises(UnstableError) as caught:
            simulation.run(quiet=True)
        errors[parallel.rank] = str(caught.value)

    on_ranks(3, work)
    assert len(set(errors.values())) == 1
    assert "ta of test_forcing=planted_on_one_rank; expected a finite number" in errors[0]
    assert restart.newest_good(tmp_path / "run" / "restart").moment.step == 0


def test_a_full_disk_on_rank_0_stops_all_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self, *_, **how):
        raise OSError(28, "No space left on device", str(self.path))

    monkeypatch.setattr(netcdf.OutputFile, "append", full)
    stopped = []

    def work(parallel):
        simulation = Simulation.from_case(DRY, out=tmp_path / "run", parallel=parallel)
        with pytest.raises(OSError, match="No space left on device"):
            simulation.run(quiet=True)
        stopped.append(parallel.rank)

    on_ranks(3, work)
    assert sorted(stopped) == [0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "how", "ranks", "sentence"),
    [
        (
            {},
            {},
            9,
            r"more ranks than the atmosphere can be shared by: atmosphere=spectral; "
            r"expected at most 8, one for each of its latitude pairs; found 9 ranks; start fewer",
        ),
        (
            {"atmosphere": {"scheme": "shallow_water", "truncation": "T10"}, "physics": {}},
            {},
            2,
            r"atmosphere=shallow_water; expected one: this atmosphere cannot be shared; found 2",
        ),
        (
            {},
            {"record": ["radiation"]},
            2,
            r"cannot record on more than one rank: radiation; found 2 ranks; record with one",
        ),
    ],
    ids=["too_many", "one_only", "record"],
)
def test_what_ranks_cannot_do_is_refused_in_one_sentence(
    tmp_path: Path, changes: dict, how: dict, ranks: int, sentence: str
) -> None:
    raw = changed(DRY, changes)

    def work(parallel):
        with pytest.raises(ConfigError, match=sentence) as caught:
            Simulation.from_case(raw, out=tmp_path / "run", parallel=parallel, **how)
        assert len(caught.value.problems) == 1

    on_ranks(ranks, work)
    assert not (tmp_path / "run").exists()
