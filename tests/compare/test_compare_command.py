"""`isthmus compare` with real runs of a small atmosphere, and what it refuses."""

import errno
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from spoil_bundle import spoil
from tiny import COUPLED, changed, write_case

from coupler.cli import _COMMANDS, main
from coupler.compare import jobs
from coupler.compare.answers import on_recording
from coupler.compare.asked import Kind, Settings
from coupler.compare.candidates import code_version, fingerprint, parse, process_of
from coupler.compare.stability.flow import Effort
from coupler.compare.study import plan
from coupler.driver.assemble import check
from coupler.driver.discovery import bundle_path
from coupler.interface.errors import ConfigError, DataError
from emulators.bundle import load_bundle

SCHEMES = '''
"""A scheme that pushes so hard that no atmosphere stands it."""
import numpy as np
from coupler.interface.component import Tendency, tendencies_of
from coupler.interface.registry import scheme


@scheme("gravity_wave", "too_strong")
class TooStrong(Tendency):
    """Doubles its push at every call."""

    tendencies = tendencies_of("ua")

    def compute(self, x, tend, flux, diag, now):
        tend.ua[...] = 0.05
'''
SMALL = {"output": {"interval": "3 h", "fields": "default"}, "days": 0.5}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("compare")
    (base / "schemes.py").write_text(SCHEMES)
    return write_case(base / "case.yaml", changed(COUPLED, SMALL))


@pytest.fixture(scope="module")
def command(case: Path) -> list[str]:
    words = ["compare", "full", str(case), "--candidates", "wms=wms"]
    words += [f"bad={case.parent}/schemes.py:too_strong", "--members", "1"]
    return [*words, "--report", str(case.parent / "report.html")]


@pytest.fixture(scope="module")
def data(command: list[str], case: Path) -> dict:
    with pytest.MonkeyPatch.context() as patched:  # test_stability.py has the long way
        little = Effort(hours=2.0, vectors=4, more=3)
        patched.setattr("coupler.compare.stability.flow.EFFORT", little)
        assert main(command) == 0
    return json.loads((case.parent / "report.json").read_text())


def test_a_whole_comparison_runs_everything_and_shows_the_failure(data: dict, case: Path) -> None:
    states = {(r["candidate"], r["member"]): r["status"] for r in data["runs"]}
    assert states == {("reference", 0): "complete", ("reference", 1): "complete",
                      ("wms", 1): "complete", ("bad", 1): "failed"}  # fmt: skip
    words = {v["name"]: v["word"] for v in data["verdicts"]}
    assert words["bad"] == "blows up"
    assert words["wms"] != "blows up"
    assert data["failures"]["bad"][0].startswith("member 1 on day 0.")
    assert data["shadow"]["wms"]["outputs"][0]["of"] == "ua"
    assert data["own_states"]["wms"]["samples"] > 0
    assert data["own_states"]["bad"]["why"]
    assert data["offline"]["wms"]["samples"] > 0
    assert data["offline"]["bad"]["outputs"][0]["amplitude"] is not None
    assert "no circles of latitude" in data["offline"]["wms"]["lacks"][-1]
    assert data["offline"]["wms"]["budgets"][0]["quantity"] == "eastward momentum"
    assert data["offline"]["wms"]["outputs"][0]["mae"] > 0.0
    assert len(data["shadow"]["wms"]["scales"][0]["truth"]) == 11  # two thirds of 16, and 0
    page = (case.parent / "report.html").read_text()
    assert "blows up" in page
    assert "cannot show a difference" in page


def test_nothing_runs_twice_and_what_is_lost_is_made_again(
    data: dict,
    command: list[str],
    case: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("coupler.compare.drawings.gallery", lambda found: [])  # seconds each
    monkeypatch.setattr("coupler.compare.foretold.ANALYSES", [])
    lost = next(r for r in data["runs"] if r["candidate"] == "wms")
    assert main(command) == 0
    assert " of 4" not in capsys.readouterr().out  # no run was made
    shutil.rmtree(lost["folder"])
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "1 of 1: wms, member 1" in told
    again = json.loads((case.parent / "report.json").read_text())
    assert [r["folder"] for r in again["runs"]] == [r["folder"] for r in data["runs"]]


def test_all_shadows_ride_in_one_run_of_the_reference_and_do_not_change_it(
    data: dict, case: Path, tmp_path: Path
) -> None:
    first = next(r for r in data["runs"] if r["candidate"] == "reference" and r["member"] == 1)
    alone = tmp_path / "alone"
    assert main(["run", str(case), "--quiet", "--out", str(alone)]) == 0
    with netCDF4.Dataset(Path(first["folder"]) / "atmosphere.nc") as a, \
            netCDF4.Dataset(alone / "atmosphere.nc") as b:  # fmt: skip
        assert {"utendnogw_wms", "vtendnogw_wms", "utendnogw_bad"} <= set(a.variables)
        for name in ("ua", "ta", "utendnogw"):
            np.testing.assert_array_equal(a[name][:], b[name][:], err_msg=name)


# -- what is refused -------------------------------------------------------------------------------


def test_an_empty_recording_is_refused_in_one_sentence(data: dict, case: Path) -> None:
    folder = next(Path(r["folder"]) for r in data["runs"] if r["member"] == 0)
    path = folder / "record_gravity_wave.nc"
    with pytest.raises(DataError, match=r"an empty recording: .*at least one call after 9 days"):
        on_recording(path, {"wms": "wms"}, base=case.parent, skip_days=9.0)
    with pytest.raises(DataError, match="not a recording that can be replayed"):
        on_recording(folder / "atmosphere.nc", {"wms": "wms"}, base=case.parent)


def test_names_of_candidates_are_words_and_stand_once() -> None:
    assert parse(["a=ad99", "path/to/net", "file.py:mine"]) == {
        "a": "ad99", "net": "path/to/net", "mine": "file.py:mine"}  # fmt: skip
    with pytest.raises(ConfigError) as refused:
        parse(["a=ad99", "a=wms", "reference=wms", "1x=wms", "b=", "none=wms"])
    assert len(refused.value.problems) == 5
    assert "a name given twice: a=wms" in str(refused.value)
    # Linear analyses call the flow without a scheme so.
    assert "a name that is taken: none=wms; expected NAME=SCHEME, the name" in str(refused.value)


def test_candidates_belong_to_one_process(case: Path) -> None:
    raw = yaml.safe_load(case.read_text())
    assert process_of({"a": "wms"}, raw, case.parent, None) == "gravity_wave"
    with pytest.raises(ConfigError, match="candidates without one process in common: a, b"):
        process_of({"a": "wms", "b": "grey"}, raw, case.parent, None)
    with pytest.raises(ConfigError, match=r"does not have such a process: gravty.*gravity_wave"):
        process_of({"a": "wms"}, raw, case.parent, "gravty")


def test_everything_wrong_is_said_before_anything_runs(case: Path, tmp_path: Path) -> None:
    asked = Settings(kind="full", case=case, candidates=["a=ad98"], process="gravity_wave",
                     members=2, report=tmp_path / "r.html")  # fmt: skip
    with pytest.raises(ConfigError, match="unknown scheme: gravity_wave=ad98"):
        plan(asked)
    with pytest.raises(ConfigError) as refused:
        plan(Settings(kind="full", case=case, candidates=[], members=0, days=-1.0,
                      truth=tmp_path / "none.nc", report=tmp_path / "r.html"))  # fmt: skip
    told = str(refused.value)
    for sentence in ("--members; expected at least 1; found 0", "--days", "none.nc",
                     "nothing to compare"):  # fmt: skip
        assert sentence in told
    with pytest.raises(ConfigError, match="nothing left of a run: --skip-days"):
        plan(Settings(kind="online", case=case, candidates=["a=wms"], days=1.0, skip_days=2.0))
    with pytest.raises(ConfigError, match="a recording does not hold the state of the flow"):
        plan(Settings(kind="stability", case=case, candidates=["a=wms"], recording=case))
    with pytest.raises(
        ConfigError, match=r"begin with the same state: branch=\.\..*found 2 members"
    ):
        plan(Settings(kind="online", case=case, candidates=["a=wms"], members=2,
                      changes={"branch": ".."}))  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["offline", "shadow", "online", "stability", "full"])
@pytest.mark.parametrize(
    ("name", "candidate"), [("qg_eddy", "a=symbolic"), ("lorenz96", "a=polynomial_ar1")]
)
def test_what_has_no_climate_is_refused_before_it_runs(
    kind: Kind, name: str, candidate: str, tmp_path: Path
) -> None:
    case = Path(__file__).parents[2] / "cases" / f"{name}.yaml"
    asked = Settings(kind=kind, case=case, candidates=[candidate], members=2, process="subgrid",
                     report=tmp_path / "r.html", changes={"precision": "float16"})  # fmt: skip
    with pytest.raises(ConfigError, match="precision") as refused:
        plan(asked)
    told = str(refused.value)
    assert "an atmosphere that is not compared: atmosphere=" in told
    assert "tools/reversal_results.py" in told
    assert not list(tmp_path.iterdir())


def test_a_scheme_that_crashes_has_not_blown_up(case: Path, tmp_path: Path) -> None:
    crashing = SCHEMES.replace("too_strong", "crashing").replace("tend.ua[...] = 0.05", "1 / 0")
    (tmp_path / "crashing.py").write_text(crashing)
    job = jobs.Job(candidate="x", member=1, case=case, days=0.1, folder=tmp_path / "run",
                   changes={"days": 0.1},
                   swap={"gravity_wave": f"{tmp_path}/crashing.py:crashing"})  # fmt: skip
    (run,) = jobs.run_all([job], parallel=1)
    assert (run.status, run.failed_at) == (jobs.MISSING, None)
    assert "division by zero" in run.why
    assert jobs.found(job) is None  # mended, it runs again


def test_a_name_beside_must_be_its_own(case: Path) -> None:
    raw = yaml.safe_load(case.read_text())
    raw["physics"]["gravity_wave"]["beside"] = {"ad99": "wms"}
    problems = check(raw, case.parent)
    assert any("a name for two schemes: gravity_wave.beside.ad99" in str(p) for p in problems)
    raw["physics"]["gravity_wave"]["beside"] = {"other": "wms", "third": "wms"}
    assert check(raw, case.parent) == []


def test_the_reference_gets_other_starts_where_it_is_its_own_candidate(case: Path) -> None:
    found = plan(Settings(kind="online", case=case, candidates=["again=ad99", "wms=wms"],
                          process="gravity_wave", members=3, baseline="off"))  # fmt: skip
    seeds = {n: [j.changes["seed"] for j in found.jobs if j.candidate == n]
             for n in ("reference", "again", "wms", "baseline")}  # fmt: skip
    assert seeds["reference"] == seeds["wms"] == seeds["baseline"]
    assert not set(seeds["again"]) & set(seeds["reference"])
    assert len({j.folder for j in found.jobs}) == len(found.jobs)


@pytest.fixture
def tuned(case: Path, tmp_path: Path) -> Path:
    """The case with a parameter of the scheme that is compared."""
    scheme = {"scheme": "ad99", "interval": "100 min", "wide_amplitude": 0.3}
    raw = changed(yaml.safe_load(case.read_text()), {"physics.gravity_wave": scheme})
    return write_case(tmp_path / "tuned.yaml", raw)


def records(path: Path, interval: float) -> Path:
    """A file with three records so many days apart."""
    time = ("time", interval * np.arange(3), {"units": "days since 1979-01-01"})
    xr.Dataset(coords={"time": time}).to_netcdf(path)
    return path


def test_the_cases_own_scheme_is_the_case_as_it_is_with_its_parameters(
    tuned: Path, tmp_path: Path
) -> None:
    asked = Settings(kind="online", case=tuned, candidates=["again=ad99"], members=2,
                     process="gravity_wave")  # fmt: skip
    again = [j for j in plan(asked).jobs if j.candidate == "again"]
    assert [(j.swap, j.changes["seed"]) for j in again] == [({}, 1003), ({}, 1004)]
    truth = records(tmp_path / "truth.nc", 0.125)
    jobs_of = plan(replace(asked, truth=truth, candidates=["wms=wms"])).jobs
    assert {(j.candidate, j.changes["seed"]): j.swap for j in jobs_of} == {
        ("wms", 3): {"gravity_wave": "wms"}, ("wms", 4): {"gravity_wave": "wms"},
        ("baseline", 3): {}, ("baseline", 4): {}}  # fmt: skip
    (own,) = plan(replace(asked, truth=truth)).candidates  # takes the place of the baseline
    assert own.own and not own.repeats


def test_a_truth_with_records_at_other_intervals_is_refused(tuned: Path, tmp_path: Path) -> None:
    truth = records(tmp_path / "truth.nc", 1.0)
    asked = Settings(kind="online", case=tuned, candidates=["wms=wms"], truth=truth)
    with pytest.raises(ConfigError, match=r"different times: --truth .*0\.125 days.*found 1 days"):
        plan(asked)
    assert plan(replace(asked, changes={"output.interval": "1 day", "days": 2})).jobs
    long = replace(asked, changes={"output.interval": "1 day", "days": 9})
    with pytest.raises(ConfigError, match=r"shorter than what .*: --truth .*4\.5 days.*found 3 d"):
        plan(long)
    with pytest.raises(ConfigError) as refused:
        plan(replace(asked, days=9.0))
    assert len(refused.value.problems) == 2


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("a = 1")
    raw = {"physics": {"gravity_wave": f"{file}:mine"}}
    before = fingerprint(raw, tmp_path)
    assert fingerprint(raw, tmp_path) == before
    other = tmp_path / "again.py"
    other.write_text("a = 2")
    assert fingerprint({"physics": {"gravity_wave": f"{other}:mine"}}, tmp_path) != before
    assert fingerprint({**raw, "seed": 1}, tmp_path) != before
    long = {**raw, "description": "~10 km " + 300 * "x"}  # no name of a file
    assert fingerprint(long, tmp_path) == fingerprint(long, tmp_path / "..")


def test_what_a_run_reads_from_elsewhere_decides_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, base, control = tmp_path / "store", tmp_path / "cases", tmp_path / "control"
    for folder in (store / "sst", base, control / "restart"):
        folder.mkdir(parents=True)
    monkeypatch.setenv("ISTHMUS_DATA", str(store))
    raw = {"boundary": {"ts": "sst/mean.nc"}, "branch": "../control"}
    seen = [fingerprint(raw, base)]
    (store / "sst" / "mean.nc").write_bytes(b"a")
    seen.append(fingerprint(raw, base))
    (control / "restart" / "restart_000000007.safetensors").write_bytes(b"b")
    seen.append(fingerprint(raw, base))
    (base / "sst").mkdir()
    (base / "sst" / "mean.nc").write_bytes(b"c")  # beside the case it is found first
    seen.append(fingerprint(raw, base))
    assert len(set(seen)) == 4


def test_the_code_decides_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "compare" / "coupler"
    (root / "compare").mkdir(parents=True)
    (root / "loop.py").write_text("a = 1")
    monkeypatch.setattr("coupler.__file__", str(root / "__init__.py"))
    version = code_version.__wrapped__
    before = version()
    (root / "compare" / "report.py").write_text("b = 1")  # makes no run another one
    assert version() == before
    (root / "loop.py").write_text("a = 2")
    assert version() != before


def test_a_run_that_was_killed_is_missing_and_not_kept(tmp_path: Path) -> None:
    job = jobs.Job(candidate="x", member=1, case=tmp_path / "c.yaml", days=1.0, changes={},
                   folder=tmp_path / "run")  # fmt: skip
    assert jobs.found(job) is None
    assert jobs._reason(["a", "isthmus: bad value: days; found 3"]) == "bad value: days; found 3"
    told = ["isthmus run: 2 problems", "  - one thing", "  - another"]
    assert jobs._reason(told) == "one thing"
    assert jobs._reason(["Killed"]) == "Killed"
    crash = ["isthmus: warning: a", "Traceback (most recent call last):", "  File x",
             "    y = 1 / 0", "ZeroDivisionError: division by zero", "kept in z"]  # fmt: skip
    assert jobs._reason(crash) == "ZeroDivisionError: division by zero"
    assert jobs._reason([]) == ""


class Ended(jobs.Job):
    """A run that ends at once with a status that its case names."""

    def command(self) -> list[str]:
        report = json.dumps({"outcome": self.changes["outcome"]})
        text = f"import sys; open({str(self.folder / 'run.json')!r}, 'w').write({report!r}); "
        text += f"sys.exit({self.changes['status']})"
        return [sys.executable, "-c", text, "--resume"]


@pytest.mark.parametrize(
    ("status", "outcome", "kept"),
    [
        (0, "complete", jobs.COMPLETE),
        (3, "failed", jobs.FAILED),  # blew up
        (1, "failed", jobs.MISSING),  # a crash of Python
        (0, "stopped by SIGTERM", jobs.MISSING),
        (2, "", jobs.MISSING),
        (os.EX_TEMPFAIL, "failed", jobs.MISSING),
        (143, "", jobs.MISSING),
    ],
)
def test_only_what_a_run_did_itself_is_a_result(
    tmp_path: Path, status: int, outcome: str, kept: str
) -> None:
    how = {"status": status, "outcome": outcome}
    job = Ended(candidate="x", member=1, case=tmp_path / "c.yaml", days=1.0, changes=how,
                folder=tmp_path / "run")  # fmt: skip
    (run,) = jobs.run_all([job], parallel=1)
    assert run.status == kept
    assert (jobs.found(job) is None) == (kept == jobs.MISSING)  # what is no result is made again


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "a.nc"),
            "cannot read or write: No space",
        ),
        (MemoryError("3 GB"), "not enough memory: 3 GB"),
    ],
)
def test_too_little_disk_or_memory_has_an_exit_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    sentence: str,
) -> None:
    def short_of_it(args: object) -> int:
        raise error

    monkeypatch.setitem(_COMMANDS, "info", short_of_it)
    assert main(["info"]) == os.EX_TEMPFAIL
    assert sentence in capsys.readouterr().err


def test_a_spoilt_bundle_is_whole_and_as_bad_as_was_asked(tmp_path: Path) -> None:
    source = bundle_path("gw_column", tmp_path)
    assert source is not None
    good = load_bundle(source)
    inputs = {c.name: good.reference[f"input.{c.name}"] for c in good.spec.inputs}
    out = {c.name: good.reference[f"output.{c.name}"] for c in good.spec.outputs}
    strong = load_bundle(spoil(source, tmp_path / "strong", drag=5.0))
    turned = load_bundle(spoil(source, tmp_path / "turned", flip=True))
    for name, values in out.items():
        # float32 sums, in the order of another batch at the worst
        torch.testing.assert_close(strong.network(inputs)[name], 5.0 * values, rtol=1e-4, atol=1e-6)
        flipped = torch.flip(values, dims=(0,))
        torch.testing.assert_close(turned.network(inputs)[name], flipped, rtol=1e-4, atol=1e-6)
    assert strong.spec.name == "strong"
