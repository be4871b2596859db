"""What became of members: one count for curves, verdicts and the order of candidates."""

import math
from pathlib import Path

import pytest
from made_up_study import STRONG, made_up_study

from coupler.compare import fates
from coupler.compare.fates import Fate
from coupler.compare.findings import examine
from coupler.compare.jobs import COMPLETE, FAILED, MISSING, Job, Run

JOB = Job(candidate="x", member=7, case=Path("c.yaml"), days=9.0, changes={})


def test_a_run_tells_its_fate() -> None:
    assert fates.of_run(Run(job=JOB, status=COMPLETE)) == Fate(member=7)
    blown = fates.of_run(Run(job=JOB, status=FAILED, failed_at=3.25, why="too fast"))
    assert (blown.failed_on, blown.text) == (3.25, "member 7 on day 3.2: too fast")
    # A failure whose day is not known is one all the same.
    assert fates.of_run(Run(job=JOB, status=FAILED, why="too fast")).failed
    gone = fates.of_run(Run(job=JOB, status=MISSING, why="killed"))
    assert (gone.failed, gone.missing, gone.text) == (False, True, "member 7: killed")


def test_the_missing_are_in_no_share() -> None:
    some = [Fate(member=1), fates.no_number(2, 9.0), fates.missing(3, "killed"), Fate(member=4)]
    assert fates.failures(some) == ["member 2: its output is not a number"]
    assert fates.absences(some) == ["member 3: killed"]
    assert fates.survivors(some) == (2, 3)
    assert fates.lost(some) == pytest.approx(1 / 3)
    lives = fates.survival_of(some, 9.0, [0.0, 8.0, 9.0])
    assert lives is not None
    assert lives.share == pytest.approx([1.0, 1.0, 2 / 3])
    assert lives.mean_time_to_failure == pytest.approx(27.0)
    assert math.isnan(fates.lost(some[2:3]))
    assert fates.survival_of(some[2:3], 9.0, [0.0]) is None


def test_a_member_that_cannot_be_read_is_missing_everywhere(tmp_path: Path) -> None:
    plan, runs = made_up_study(tmp_path, members=2)
    lost = next(r for r in runs if r.job.candidate == STRONG and r.job.member == 2)
    (lost.folder / "atmosphere.nc").unlink()
    got = examine(plan, runs)
    (why,) = got.missing[STRONG]
    assert why.startswith("member 2: no such file")
    # Of three, one blew up and one cannot be read.
    assert got.survival[STRONG].share[-1] == 0.5
    verdict = next(v for v in got.verdicts if v.name == STRONG)
    (reached,) = [e for e in verdict.evidence if e.what == "members that reached the end"]
    assert reached.found.startswith(f"1 of 2, 1 missing ({why}); member 3 on day 3.0")
    assert {s.name: s.lost for s in got.order.standings}[STRONG] == 0.5
