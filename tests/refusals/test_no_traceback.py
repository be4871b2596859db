"""What is possible but not as meant is a warning; nothing escapes as a traceback."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import COUPLED, DRY, changed, write_case

from coupler.cli import main

Refused = Callable[..., list[str]]


def test_a_step_that_is_too_long_is_a_warning_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    case = write_case(tmp_path / "case.yaml", changed(DRY, {"atmosphere.dt": "3 h"}))
    with caplog.at_level(logging.WARNING):
        assert main(["check", str(case)]) == 0
    (record,) = caplog.records
    assert record.getMessage() == (
        "isthmus: warning: step probably too long for the truncation, the run may blow up: "
        "atmosphere.dt; expected at most about 7495 s at T10 with winds up to 85 m/s (top level "
        "near 1.4e+02 hPa); found 10800 s"
    )
    caplog.clear()
    write_case(case, DRY)
    assert main(["check", str(case)]) == 0
    assert not caplog.records


def test_a_run_too_short_for_its_output_is_a_warning_and_its_readers_say_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    case, out = write_case(tmp_path / "case.yaml", changed(DRY, {"days": 0.09})), tmp_path / "out"
    with caplog.at_level(logging.WARNING):
        assert main(["check", str(case)]) == 0
        assert main(["run", str(case), "--quiet", "--out", str(out)]) == 0
    assert [record.getMessage() for record in caplog.records] == 2 * [
        "isthmus: warning: run too short for its output: no time mean will be written: days; "
        "expected at least output.interval, 0.125 days; found 0.09 days; run longer, or set "
        "output.interval to '7200 s'"
    ]
    lead, tail = (
        "isthmus: ",
        (
            f"no record in a file: {out / 'atmosphere.nc'}; expected a run of at least "
            "output.interval; run longer, or set output.interval to less\n"
        ),
    )
    capsys.readouterr()
    picture = ["--out", str(tmp_path / "x.png")]
    for more in (["ua"], picture, ["--kind", "qbo", *picture], ["--kind", "wind", *picture]):
        assert main(["plot", str(out), *more]) == 2
        assert capsys.readouterr().err == lead + tail
    assert main(["compare", "runs", str(out), str(tmp_path / "none")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"isthmus compare: 2 problems\n  - {tail}  - no such file: ")
    caplog.clear()
    long_enough = ["--set", "output.interval=7200 s", "--out", str(tmp_path / "long")]
    assert main(["run", str(case), "--quiet", *long_enough]) == 0
    assert not caplog.records
    assert main(["plot", str(tmp_path / "long"), "ua"]) == 0


def test_check_names_the_set_up_writes_nothing_and_is_quick(tmp_path: Path) -> None:
    case = write_case(tmp_path / "case.yaml", DRY)
    code = (
        f"import sys; sys.argv[0]='isthmus'; from coupler.cli import main; "
        f"status = main(['check', {str(case)!r}]); import time; print(time.process_time()); "
        f"sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    sentence, seconds = done.stdout.splitlines()
    assert sentence == (
        f"{case}: nothing wrong found; gaussian 16x32, 5 levels, step 3600 s, "
        "radiation=held_suarez, boundary_layer=held_suarez"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["case.yaml"]
    assert float(seconds) < 8.0  # 2.5 s of processor time on a slow core, most of it imports


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 40),
    st.integers(10**5, 10**20),
    st.floats(),
    st.sampled_from(["", "off", "T", "20 min", "3 kg", "-1 s", "slab", "x.nc", ".", "a: b", "é"]),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.sampled_from(["scheme", "mode", "weight", "file", "x"]), st.integers()),
)


def places(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """All keys of nested mappings."""
    if not isinstance(node, dict):
        return []
    return [p for k, v in node.items() for p in [(*path, k), *places(v, (*path, k))]]


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_mutation_of_a_case_escapes_as_a_traceback(
    data: st.DataObject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = data.draw(st.sampled_from([DRY, COUPLED]))
    full = changed(
        base, {"start": "2000-01-01", "planet": {"gravity": 9.8}, "restart": {"keep": 2}}
    )
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(full)))
        node = full
        for name in path[:-1]:
            node = node[name]
        what = data.draw(st.sampled_from(["value", "typo", "remove", "extra"]))
        if what == "value":
            node[path[-1]] = data.draw(VALUES)
        elif what == "extra":
            node[data.draw(st.sampled_from(["x", 3, "weight", "dt", "initial"]))] = data.draw(
                VALUES
            )
        else:
            kept = node.pop(path[-1])
            at = data.draw(st.integers(0, len(path[-1]) - 1))
            if what == "typo":
                node[path[-1][:at] + path[-1][at + 1 :]] = kept
    case = write_case(tmp_path / "case.yaml", full)
    status = main(["check", str(case)])
    said = capsys.readouterr()
    assert status in (0, 2)
    assert (status == 2) == said.err.startswith("isthmus")
    assert "Traceback" not in said.err
    assert len(list(tmp_path.iterdir())) == 1
