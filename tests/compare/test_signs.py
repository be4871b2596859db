"""Ablation, twins and early warning as parts of a comparison: what is made, found and said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from made_up_study import FINE, STRONG, made_up_study

from coupler import Simulation
from coupler.compare import signs
from coupler.compare.ablation import Effect
from coupler.compare.asked import Settings
from coupler.compare.candidates import REFERENCE, Candidate
from coupler.compare.findings import examine
from coupler.compare.foretold import ANALYSES, foretell
from coupler.compare.statistics import twins
from coupler.compare.study import TWIN, plan
from coupler.compare.verdict import Facts, novelty_evidence
from coupler.driver.replay import RecordedScheme
from coupler.interface.errors import ConfigError, DataError

CASES = Path(__file__).resolve().parents[2] / "cases"


def effect(name: str, size: float) -> Effect:
    return Effect(name=name, effect=size, r2=float("nan"), lost=float("nan"))


# -- inputs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the two-wave source on four columns that are not alike."""
    out = tmp_path_factory.mktemp("recorded")
    changes: dict[str, Any] = {"atmosphere.columns": 5, "days": 40, "output.interval": 40,
                               "gravity_wave": "plumb_stochastic"}  # fmt: skip
    Simulation.from_case(CASES / "qbo_1d.yaml", set=changes, out=out / "run",
                         record=["gravity_wave"]).run(quiet=True)  # fmt: skip
    return out / "run" / "record_gravity_wave.nc"


def _asked(base: Path, recording: Path, scheme: str) -> Any:
    found, _ = made_up_study(base, members=1, kind="stability")
    settings = replace(found.settings, recording=recording, case=CASES / "qbo_1d.yaml")
    return replace(found, settings=settings, candidates=(Candidate(name="own", scheme=scheme),))


def test_the_reference_leans_on_what_it_reads_and_a_like_candidate_on_the_same(
    recording: Path, tmp_path: Path
) -> None:
    found = signs.ablations(_asked(tmp_path, recording, "plumb_two_wave"), [])
    own, reference = found.numbers["own"], found.numbers[REFERENCE]
    assert reference["ua"] > 0.05
    assert set(own) == {"ua"}  # the only input that differs from column to column
    assert [e.grade for e in found.evidence["own"]] == ["good"]


class Counting:
    """A file that knows what was read of it."""

    def __init__(self, file: Any) -> None:
        self.file, self.read = file, []

    def __getitem__(self, name: str) -> Any:
        self.read.append(name)
        return self.file[name]

    def close(self) -> None:
        self.file.close()


def test_a_recorded_call_is_read_once_whoever_looks_at_it_and_changes_it(recording: Path) -> None:
    with RecordedScheme(recording, CASES) as recorded:
        recorded._file = file = Counting(recorded._file)
        first = recorded.answer(3)
        wind = first.held["ua"].copy()
        first.held["ua"][...] = 0.0
        np.testing.assert_array_equal(recorded.answer(3, "plumb_two_wave").held["ua"], wind)
        assert file.read.count("ua") == 1
        recorded.answer(4)
        assert file.read.count("ua") == 2


def test_a_recording_that_is_not_there_is_said(tmp_path: Path) -> None:
    found, _ = made_up_study(tmp_path, members=1, kind="stability")
    with pytest.raises(DataError, match="no recording to take inputs away from"):
        signs.ablations(found, [])


def test_an_input_that_only_the_candidate_leans_on_is_named() -> None:
    reference = {"ua": 0.9, "ta": 0.01}
    bad = signs.lean_evidence([effect("ta", 0.6), effect("ua", 0.4)], reference)
    assert bad.grade == "bad" and "ta 0.6" in bad.found and bad.when == "before"
    assert (
        signs.lean_evidence([effect("ua", 0.8), effect("ta", 0.1)], reference).grade == "doubtful"
    )
    assert signs.lean_evidence([effect("ua", 0.8), effect("ta", 0.02)], reference).grade == "good"


# -- twins -----------------------------------------------------------------------------------------


def test_twins_are_runs_of_their_own_that_differ_in_the_noise_alone(tmp_path: Path) -> None:
    settings = Settings(kind="online", case=CASES / "aquaplanet_t21.yaml", members=3, twins=2,
                        candidates=["wms=wms"], days=30.0, report=tmp_path / "r.html")  # fmt: skip
    jobs = {(j.candidate, j.member): j for j in plan(settings).jobs}
    assert len(jobs) == 3 + 3 + 2 + 2
    for name in (REFERENCE, "wms"):
        own, twin = jobs[name, 2], jobs[name + TWIN, 2]
        assert twin.folder != own.folder and twin.swap == own.swap and twin.days == 20.0
        differ = {k for k in {*own.changes, *twin.changes} if own.changes.get(k)
                  != twin.changes.get(k)}  # fmt: skip
        assert differ == {"atmosphere.noise", "days"}
        assert twin.changes["atmosphere.noise"] == "0.101 K"
    assert "gravity_wave.beside" not in jobs["wms" + TWIN, 1].changes


def test_twins_of_a_start_without_noise_are_refused(tmp_path: Path) -> None:
    settings = Settings(kind="online", case=CASES / "qbo_1d.yaml", members=2, twins=1,
                        candidates=["wms=wms"], report=tmp_path / "r.html")  # fmt: skip
    with pytest.raises(ConfigError, match="twins without noise at the start"):
        plan(settings)
    with pytest.raises(ConfigError, match="--twins"):
        plan(replace(settings, twins=-1))
    with pytest.raises(ConfigError, match="twins without two members"):
        plan(replace(settings, members=1))


def test_twins_that_part_faster_than_the_references_are_evidence(tmp_path: Path) -> None:
    t = np.linspace(0.0, 20.0, 41)

    def pairs(rate: float) -> twins.Growth:
        rates = rate + np.array([-0.01, 0.0, 0.01])
        return twins.growth(t, 1e-4 * np.exp(rates[:, None] * t), saturation=20.0)

    assert signs.twin_evidence(pairs(0.4), pairs(0.2)).grade == "bad"
    assert signs.twin_evidence(pairs(0.21), pairs(0.21)).grade == "good"
    one = twins.growth(t, 1e-4 * np.exp(0.4 * t), saturation=20.0)
    assert signs.twin_evidence(one, pairs(0.2)).grade == "open"


def test_twins_are_read_from_the_files_of_their_runs(tmp_path: Path) -> None:
    found, runs = made_up_study(tmp_path, members=2)
    settings = replace(found.settings, twins=1)
    more = []
    for name in (REFERENCE, FINE):
        own = next(r for r in runs if r.job.candidate == name and r.job.member == 1)
        other = next(r for r in runs if r.job.candidate == name and r.job.member == 2)
        job = replace(own.job, candidate=name + TWIN, folder=other.folder)
        more.append(replace(own, job=job))
    asked = replace(found, settings=settings)
    # Members that have nothing to do with each other are as far apart as they can be.
    with pytest.raises(DataError, match="no pair of the reference"):
        signs.twin_growth(asked, [*runs, *more])
    with pytest.raises(DataError, match="no twins were made"):
        signs.twin_growth(found, runs)
    close = 1e-4 * np.exp(0.3 * np.arange(8))
    for run in more:
        own = next(r for r in runs if run.job.candidate == r.job.candidate + TWIN)
        with xr.open_dataset(own.folder / "atmosphere.nc", decode_times=False) as data:
            near = data.load()
        near["ua"] = near["ua"] + close[:, None, None, None]
        (own.folder / "twin").mkdir()
        near.to_netcdf(own.folder / "twin" / "atmosphere.nc")
        more[more.index(run)] = replace(run, job=replace(run.job, folder=own.folder / "twin"))
    grown = signs.twin_growth(asked, [*runs, *more])
    # The records are a day apart; float32 rounds the wind at 1e-6.
    assert grown.numbers[FINE]["rate"] == pytest.approx(0.3, abs=0.01)
    assert grown.evidence[FINE][0].grade == "open"  # one pair has no interval


# -- series ----------------------------------------------------------------------------------------


def test_series_that_lose_their_restoring_force_are_evidence(tmp_path: Path) -> None:
    found, runs = made_up_study(tmp_path, members=4)
    for run in runs:
        if not run.good:
            continue
        rng = np.random.default_rng([run.job.member, run.job.candidate == STRONG, 7])
        phi = np.linspace(0.1, 0.985, 300) if run.job.candidate == STRONG else np.full(300, 0.5)
        x = np.zeros((2, 300))
        for i in range(1, 300):
            x[:, i] = phi[i] * x[:, i - 1] + rng.standard_normal(2)
        series = {"total_energy": ("time", 1e9 + x[0]), "angular_momentum": ("time", x[1])}
        xr.Dataset(series).to_netcdf(run.folder / "budgets.nc")
    told = signs.warnings(found, runs)
    assert told.numbers[STRONG] == {"runs": 4, "warn": 4}  # of two series each, but one alarm
    assert told.evidence[STRONG][0].grade == "doubtful"
    assert told.evidence[FINE][0].grade == "good"


def test_more_alarms_than_the_references_are_evidence_where_chance_would_not_give_them() -> None:
    def grade(a: int, n: int, b: int, m: int) -> str:
        alarms = ([i < k for i in range(of)] for k, of in ((a, n), (b, m)))
        return signs.warning_evidence(*alarms).grade

    # 3 of 4 beside 1 of 4 happen by chance in (16 + 1)/70 of all ways to deal four alarms.
    assert signs._by_chance(3, 4, 1, 4) == pytest.approx(17 / 70)
    assert grade(3, 4, 1, 4) == grade(4, 8, 1, 8) == "good"
    assert grade(4, 4, 0, 4) == grade(7, 8, 2, 8) == "doubtful"
    assert grade(2, 2, 0, 2) == "open"  # one of the six ways: two runs of each show nothing
    assert grade(0, 2, 0, 2) == "good"


def test_runs_that_are_too_short_to_warn_are_said_and_judge_nobody(tmp_path: Path) -> None:
    found, runs = made_up_study(tmp_path, members=1)
    told = foretell(found, runs)["early_warning"]
    assert not told.evidence and "40 records" in told.notes[0]
    assert [a.name for a in ANALYSES if a.wanted(found)] == ["early_warning"]


# -- novelty ---------------------------------------------------------------------------------------


def test_runs_that_leave_the_training_domain_are_evidence(found: Any) -> None:
    shadow = replace(found.shadow[FINE], outside=0.01)

    def grade(*outside: float) -> list[str]:
        facts = Facts(name="x", shadow=shadow, outside=outside)
        return [e.grade for e in novelty_evidence(facts)]

    assert grade(0.3, 0.32, 0.31) == ["bad"]
    assert grade(0.05, 0.06, 0.05) == ["doubtful"]
    assert grade(0.011, 0.009, 0.012) == ["good"]
    assert grade(0.0, 0.5) == grade(0.9) == ["open"]  # nothing in common, or alone: no claim
    assert grade() == []


def test_what_is_new_beside_the_reference_on_the_same_days_is_not_held_against_anybody(
    tmp_path: Path,
) -> None:
    made, runs = made_up_study(tmp_path, members=3)
    start = {"columns": 1000, "outside": 300}  # of a cold start; offline it is left out
    for n, r in enumerate(runs):
        if r.job.candidate == REFERENCE:
            counts = {f"gravity_wave.{FINE}": start, f"gravity_wave.{STRONG}": start}
        else:
            more = {FINE: 2, STRONG: 400}[r.job.candidate] + r.job.member
            counts = {"gravity_wave": start | {"outside": 300 + more}}
        runs[n] = replace(r, record={**r.record, "guard": counts}) if r.good else r
    got = examine(made, runs)
    assert got.shadow[FINE].outside == 0.3
    grades = {v.name: e.grade for v in got.verdicts for e in v.evidence if "less those" in e.what}
    assert grades == {FINE: "good", STRONG: "bad"}
