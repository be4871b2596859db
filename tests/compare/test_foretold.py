"""Analyses that warn before a run: how one is added, and what becomes of what it finds."""

import json
from pathlib import Path

import pytest
import xarray as xr
from made_up_study import FINE, STRONG, made_up_study

from coupler.compare.findings import Findings, examine
from coupler.compare.foretold import Analysis, Foretold
from coupler.compare.jobs import Run
from coupler.compare.pages import terminal, write
from coupler.compare.study import Plan
from coupler.compare.verdict import Evidence
from coupler.interface.errors import DataError

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63680000008200814c17d7df0000000049454e44ae426082"
)
"""A whole PNG of one grey point."""


def warns(plan: Plan, runs: list[Run]) -> Foretold:
    bad = Evidence(when="before", what="growth", found="2 a day", expected="0", grade="bad")
    return Foretold(
        evidence={STRONG: [bad]},
        picture=("Growth by wavenumber", "Made up.", PIXEL),
        more_pictures=[("Another", "Below.", PIXEL)],
        numbers={"growth": {STRONG: 2.0}},
        dataset=xr.Dataset({"growth": ("k", [2.0])}),
        notes=["a day has 86400 seconds"],
    )


def cannot(plan: Plan, runs: list[Run]) -> Foretold:
    raise DataError.of("no state to look at", "record", remedy="run longer")


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Findings:
    analyses = [
        Analysis(name="alarm", of=warns, kinds=("stability",)),
        Analysis(name="silent", of=cannot, kinds=("stability",)),
        Analysis(name="other", of=cannot, kinds=("full",)),
    ]
    monkeypatch.setattr("coupler.compare.foretold.ANALYSES", analyses)
    monkeypatch.setattr("coupler.compare.drawings.gallery", lambda found: [])
    plan, _ = made_up_study(tmp_path, members=1, kind="stability")
    return examine(plan, [])


def test_a_warning_decides_the_verdict_before_any_run(found: Findings) -> None:
    verdicts = {v.name: v for v in found.verdicts}
    assert verdicts[STRONG].word == "bad before any run"
    assert verdicts[STRONG].why == "growth: 2 a day"
    assert verdicts[FINE].word == "not judged"
    table = terminal(found)
    assert table.row_count == 2


def test_an_analysis_that_cannot_tell_is_shown_and_others_go_on(found: Findings) -> None:
    assert set(found.foretold) == {"alarm", "silent"}
    assert any("silent cannot tell: no state to look at" in n for n in found.notes)
    (fine,) = [v for v in found.verdicts if v.name == FINE]
    assert [(e.what, e.grade) for e in fine.evidence] == [("silent: no answer", "open")]


def test_its_picture_is_on_the_first_screen_and_its_numbers_beside_the_report(
    found: Findings,
) -> None:
    path = found.plan.settings.report
    write(found)
    page = path.read_text()
    first, rest = page.split("The evidence</summary>")
    assert "Growth by wavenumber" in first
    assert "Another" in rest
    assert "before the run: flagged" in first
    assert json.loads(path.with_suffix(".json").read_text())["foretold"]["alarm"] == {
        "growth": {STRONG: 2.0}
    }
    with xr.open_dataset(path.with_suffix(".alarm.nc")) as data:
        assert float(data["growth"][0]) == 2.0
