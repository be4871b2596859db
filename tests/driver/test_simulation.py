"""Runs of a tiny case: resumed, replaced, blown up, looked at."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from tiny import (
    COUPLED,
    DRY,
    PLUGIN,
    assert_same,
    changed,
    contents,
    plugin,
    run,
    write_case,
)

from coupler import Simulation
from coupler.cli import main
from coupler.driver.watch import BLEW_UP
from coupler.interface.errors import ConfigError, UnstableError
from coupler.output import restart
from coupler.where import BESIDE

HOUR = 1.0 / 24.0


def newest(out: Path) -> dict[str, np.ndarray]:
    """The arrays of the newest restart."""
    return dict(restart.newest_good(out / "restart").arrays)


@pytest.mark.parametrize(
    ("stops", "raw"),
    [
        # Steps of 20 min: 4 and 13 lie within averages (9), slab steps (7) and calls of ad99 (5).
        ((4, 13), COUPLED),
        ((4,), changed(COUPLED, {"precision": "float64"})),
        ((1,), changed(DRY, {"days": 0.5})),
    ],
    ids=["coupled", "coupled float64", "dry, after the first step"],
)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
    tmp_path: Path, stops: tuple[int, ...], raw: dict[str, Any]
) -> None:
    run(tmp_path / "whole", raw)
    done = 0
    for stop in stops:
        simulation = Simulation.from_case(raw, out=tmp_path / "parts", resume=True)
        step = simulation.model.clock.step_length
        simulation.run(days=(stop - done) * step / 86400.0, quiet=True)
        done = stop
    case = write_case(tmp_path / "case.yaml", raw)
    assert main(["run", str(case), "--quiet", "--out", str(tmp_path / "parts"), "--resume"]) == 0
    files = sorted(p.name for p in (tmp_path / "whole").glob("*.nc"))
    assert "atmosphere.nc" in files and ("surface.nc" in files) == ("surface" in raw)
    for name in files:
        whole = contents(tmp_path / "whole" / name)
        assert whole["time"].size == 4
        assert_same(contents(tmp_path / "parts" / name), whole)
    assert_same(newest(tmp_path / "parts"), newest(tmp_path / "whole"))
    # The control: a run that differs a little is seen.
    other = changed(raw, {"planet": {"rotation_rate": 7.292e-5 * (1.0 + 1e-5)}})
    run(tmp_path / "other", other)
    whole = contents(tmp_path / "whole" / "atmosphere.nc")
    assert (contents(tmp_path / "other" / "atmosphere.nc")["ua"] != whole["ua"]).any()


def test_records_after_the_restart_are_dropped_and_made_again(tmp_path: Path) -> None:
    raw = changed(DRY, {"restart.interval": 0.125, "restart.keep": 3})
    out = tmp_path / "out"
    run(out, raw)
    want = {name: contents(out / name) for name in ("atmosphere.nc", "budgets.nc")}
    newest_file = max((out / "restart").iterdir())
    newest_file.write_bytes(newest_file.read_bytes()[:1000])
    again = run(out, raw, resume=True)
    assert again._first_step == 3, "the newest restart was damaged"
    for name, values in want.items():
        assert_same(contents(out / name), values)


def test_overwrite_replaces_the_run_and_keeps_what_is_not_of_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(out, COUPLED, days=0.25, record=["gravity_wave"])
    (out / "notes.txt").write_text("mine")
    for name in BESIDE:  # of a run with more models
        (out / f"{name}.nc").touch()
    with pytest.raises(ConfigError, match="output folder holds another run"):
        Simulation.from_case(DRY, out=out)
    run(out, DRY, overwrite=True, days=3 * HOUR)
    names = {p.name for p in out.iterdir()}
    assert names == {
        "atmosphere.nc",
        "budgets.nc",
        "case.resolved.yaml",
        "restart",
        "run.json",
        "notes.txt",
    }
    assert [p.name for p in (out / "restart").iterdir()] == ["restart_000000003.safetensors"]
    assert contents(out / "atmosphere.nc")["time"].size == 1


def test_a_run_goes_on_beyond_its_days_and_from_an_empty_folder(tmp_path: Path) -> None:
    run(tmp_path / "a", DRY, resume=True)
    run(tmp_path / "a", changed(DRY, {"days": 0.5}), resume=True)
    run(tmp_path / "b", changed(DRY, {"days": 0.5}))
    for name in ("atmosphere.nc", "budgets.nc"):
        assert_same(contents(tmp_path / "a" / name), contents(tmp_path / "b" / name))


def test_a_run_that_is_complete_is_left_as_it_is_when_it_is_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case, out = write_case(tmp_path / "case.yaml", DRY), tmp_path / "out"
    command = ["run", str(case), "--quiet", "--out", str(out)]
    assert main(command) == 0

    def files() -> dict[Path, tuple[int, bytes]]:
        known = [p for p in out.rglob("*") if p.is_file()]
        return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in known}

    before = files()
    assert json.loads((out / "run.json").read_text())["wall_seconds"] > 0.0
    capsys.readouterr()
    assert main([*command, "--resume", "--set", "title=another"]) == 0
    told = f"nothing to do: the run in {out} is at day 0.25 of 0.25; raise --days to go on\n"
    assert capsys.readouterr().out == told
    assert files() == before
    finished = run(out, DRY, resume=True)
    assert finished.model.clock.now.step == 6, "its state is there to look at"
    assert finished.closing_lines() == []
    assert files() == before
    assert main([*command, "--resume", "--days", "0.125"]) == 2
    assert capsys.readouterr().err == (
        f"isthmus: the run is beyond the days asked for: {out}; expected days from 0.25 on; "
        "found 0.125; raise --days, or give another --out\n"
    )
    assert files() == before
    # A part more is asked for in Python, whatever the case's days are.
    run(out, changed(DRY, {"days": 0.125}), resume=True, days=HOUR)
    assert json.loads((out / "run.json").read_text())["steps"] == 7


@pytest.mark.parametrize("lost", ["removed", "of a part"])
def test_a_run_that_was_killed_before_its_record_gets_one(tmp_path: Path, lost: str) -> None:
    report = tmp_path / "run.json"
    run(tmp_path, DRY, days=0.125)
    old = report.read_text()
    run(tmp_path, DRY, resume=True)
    report.unlink() if lost == "removed" else report.write_text(old)
    run(tmp_path, DRY, resume=True)
    told = json.loads(report.read_text())
    assert (told["outcome"], told["steps"]) == ("complete", 6)


def test_a_recording_is_continued(tmp_path: Path) -> None:
    raw = changed(COUPLED, {"days": 0.25})
    how: dict[str, Any] = {"record": ["gravity_wave"], "record_columns": 17}
    run(tmp_path / "whole", raw, **how)
    run(tmp_path / "parts", raw, days=6 / 72, **how)
    run(tmp_path / "parts", raw, resume=True, **how)
    whole = contents(tmp_path / "whole" / "record_gravity_wave.nc")
    assert whole["time"].size == 4
    assert_same(contents(tmp_path / "parts" / "record_gravity_wave.nc"), whole)


NAMED = (
    r"component test_forcing={}; continue from the last good restart with a shorter atmosphere.dt, "
    r"or swap or shadow the named component"
)


@pytest.mark.parametrize(
    ("name", "body", "found"),
    [
        (
            "planted_nan",
            "tend.ta[1, 75] = np.nan if now.step == 45 else 0.0",
            r"a tendency is not finite: ta of test_forcing=planted_nan; expected a finite number; "
            r"found nan at level 1, lat -60\.0, lon 123\.8, step 45, date 2000-01-02 21:00:00, "
            r"1 of 2560 points; swap or shadow this scheme, or give a learned one a reference to "
            r"fall back on",
        ),
        (
            "planted_wind",
            "tend.ua[2, 75] = 0.5 if now.step == 45 else 0.0",
            r"the model state blew up: ua; expected -350 to 350 m s-1; found -?\d+(\.\d+)? at "
            r"level 2, lat -\d\d\.\d, lon 1\d\d\.\d, step 47, date 2000-01-02 23:00:00, "
            + NAMED.format("planted_wind"),
        ),
        (
            "planted_infinity",
            "tend.ua[2, 75] = 1e30 if now.step == 45 else 0.0",
            r"the model state blew up: ua; expected tendencies within 0\.1 m s-1 per second; "
            r"found 1e\+30 at level 2, lat -60\.0, lon 123\.8, step 46, date 2000-01-02 22:00:00, "
            + NAMED.format("planted_infinity"),
        ),
    ],
)
def test_a_blow_up_names_who_what_where_and_when_and_leaves_a_restart_from_before(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    body: str,
    found: str,
) -> None:
    raw = changed(DRY, {"days": 2.5, **plugin(tmp_path, name, body)})
    case, out = write_case(tmp_path / "case.yaml", raw), tmp_path / "out"
    assert main(["run", str(case), "--quiet", "--out", str(out)]) == 3
    said = capsys.readouterr().err
    assert "Traceback" not in said
    first, second = said.removeprefix("isthmus run: 2 problems\n  - ").split("\n  - ")
    assert re.fullmatch(found, first)
    kept = out / "restart" / "restart_000000020.safetensors"
    assert second == f"the state before it was kept: {kept}\n"
    assert json.loads((out / "run.json").read_text())["outcome"] == "failed"
    # The cause removed, the run goes on from there and ends as one that never had it.
    (tmp_path / f"{name}.py").write_text(PLUGIN.format(name=name, body="pass"))
    assert main(["run", str(case), "--quiet", "--out", str(out), "--resume"]) == 0
    run(tmp_path / "clean", raw)
    for file in ("atmosphere.nc", "budgets.nc"):
        assert_same(contents(out / file), contents(tmp_path / "clean" / file))


def test_a_step_that_was_too_long_is_named_with_level_and_courant_number(tmp_path: Path) -> None:
    raw = changed(
        DRY,
        {
            "days": 20,
            "atmosphere.dt": "240 min",
            "atmosphere.initial": "baroclinic_wave",
            "output.interval": "4 h",
        },
    )
    with pytest.raises(UnstableError) as caught:
        run(tmp_path / "out", raw)
    first, second, third = (str(problem) for problem in caught.value.problems)
    assert first.startswith(BLEW_UP) and "component atmosphere (dynamics)" in first
    found = re.fullmatch(
        r"Courant number of the last state that was finite: level ([0-4]); expected dt T \|V\| / a "
        r"below 1; found (\d+\.\d\d): (\d+) m/s near \d00 hPa, atmosphere\.dt = 14400 s, T10",
        second,
    )
    assert found is not None, second
    assert float(found[2]) > 1.0
    assert abs(float(found[3]) * 14400.0 * 10.0 / 6.371e6 / float(found[2]) - 1.0) < 0.02
    assert third.startswith("the state before it was kept")


def test_a_scheme_that_raises_is_named_and_leaves_a_restart(tmp_path: Path) -> None:
    body = "1 / (now.step - 47)"
    raw = changed(DRY, {"days": 2.5, **plugin(tmp_path, "planted_error", body)})
    with pytest.raises(ZeroDivisionError) as caught:
        run(tmp_path / "out", raw)
    notes = "\n".join(caught.value.__notes__)
    assert "in test_forcing=planted_error, step 47, date 2000-01-02 23:00:00" in notes
    assert str(tmp_path / "out" / "restart" / "restart_000000040.safetensors") in notes
    assert restart.newest_good(tmp_path / "out" / "restart").moment.step == 40


def test_a_scheme_that_raises_ends_the_command_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "np.linalg.inv(np.zeros((2, 2)) * now.step)"
    case = write_case(tmp_path / "case.yaml", changed(DRY, plugin(tmp_path, "singular", body)))
    file, out = tmp_path / "singular.py", tmp_path / "out"
    line = file.read_text().splitlines().index(f"        {body}") + 1
    command = ["run", str(case), "--quiet", "--out", str(out), "--overwrite"]
    monkeypatch.delenv("ISTHMUS_TRACEBACK", raising=False)
    assert main(command) == 1
    assert capsys.readouterr().err == (
        "isthmus: a scheme failed: test_forcing=singular, step 0, date 2000-01-01 00:00:00; found "
        f"LinAlgError: Singular matrix ({file}, line {line}); the state before it is kept in "
        f"{out}/restart/restart_000000000.safetensors; ISTHMUS_TRACEBACK=1 shows Python's "
        "traceback\n"
    )
    monkeypatch.setenv("ISTHMUS_TRACEBACK", "1")
    with pytest.raises(np.linalg.LinAlgError):
        main(command)


def test_the_folder_tells_all_about_the_run(tmp_path: Path) -> None:
    simulation = run(tmp_path / "out", changed(COUPLED, {"days": 0.25}))
    ds = simulation.dataset()
    assert isinstance(ds, xr.Dataset)
    assert ds.time.dt.calendar == "noleap"
    assert str(ds.time.values[0]) == "2000-01-01 01:30:00"
    assert ds.ta.attrs["standard_name"] == "air_temperature"
    ds.close()
    for which in ("surface", "budgets"):
        with simulation.dataset(which) as other:
            assert other.sizes["time"] == 2
    told = json.loads((tmp_path / "out" / "run.json").read_text())
    assert told["outcome"] == "complete"
    assert told["steps"] == 18 and told["days_run"] == 0.25 and told["sypd"] > 0.0
    assert {"isthmus", "torch", "numpy", "python"} <= told["versions"].keys()
    assert told["schemes"]["gravity_wave"] == ["ad99"]
    assert told["budgets"]["dry_air_mass"] == pytest.approx(1e4, rel=0.1)


@pytest.mark.parametrize("fields", [["prl", "ts"], []])
def test_a_run_may_write_nothing_on_levels_and_go_on_with_it(
    tmp_path: Path, fields: list[str]
) -> None:
    raw = changed(COUPLED, {"days": 0.25, "output.fields": fields})
    for resume in (False, True):
        Simulation.from_case(raw, out=tmp_path, resume=resume).run(days=0.125, quiet=True)
    found = contents(tmp_path / "atmosphere.nc")
    assert found["time"].size == 2
    assert set(fields) <= found.keys()
    assert found.keys().isdisjoint({"ps", "lev", "ap"})
    assert contents(tmp_path / "budgets.nc")["time"].size == 2


def test_a_scheme_that_has_had_enough_is_heard_unless_something_absurd_was_before(
    tmp_path: Path,
) -> None:
    enough = "from coupler.interface.errors import UnstableError as E\n"
    complains = "if now.step == 3: raise E.of('too much of it', 'ta')"
    for before, blamed in (("pass", False), ("tend.ua[2, 75] = 0.2 * (now.step == 2)", True)):
        name = f"complains_{blamed}".lower()
        raw = changed(DRY, plugin(tmp_path, name, f"{before}\n        {complains}"))
        file = tmp_path / f"{name}.py"
        file.write_text(enough + file.read_text())
        with pytest.raises(UnstableError) as caught:
            run(tmp_path / name, raw)
        *first, said, kept = (str(problem) for problem in caught.value.problems)
        assert said == "too much of it: ta"
        assert kept.startswith("the state before it was kept")
        assert len(first) == blamed
        assert all(s.startswith(BLEW_UP) and f"test_forcing={name}" in s for s in first)
