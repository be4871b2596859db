"""The runs of a comparison: which there are, and how they are made, several at a time.

Each is a process of its own, `isthmus run`, in a folder named by its content; parts of analyses go
beside them (`coupler.compare.parts`). A run that is there and complete is not made again; one that
was interrupted, or for which a disk or the memory was too small, goes on from its newest restart,
and so does one whose scheme crashed (the code is at fault). One that blew up has failed (the
numbers are the same every time) unless it shall be tried again. It is a result: it is kept with its
reason and the day on which it happened.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from coupler.cli import BLEW_UP
from coupler.compare.candidates import fingerprint
from coupler.compare.parts import Made, Part, make_alone
from coupler.compare.side_by_side import Children, Task, side_by_side
from coupler.config import with_changes
from coupler.driver.clock import parse_date
from coupler.interface.constants import SECONDS_PER_DAY
from coupler.interface.files import write_json

COMPLETE, FAILED, MISSING = "complete", "failed", "missing"
_RECORD = "member.json"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run that a comparison needs."""

    candidate: str
    member: int
    """From 1; 0 is the run that is recorded."""
    case: Path
    days: float
    changes: Mapping[str, Any]
    """Of the case, by dotted key."""
    swap: Mapping[str, str] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    record: tuple[str, ...] = ()
    folder: Path = Path()

    def command(self) -> list[str]:
        """The same run from a shell."""
        words = [sys.executable, "-m", "coupler", "run", str(self.case), "--quiet", "--resume"]
        words += ["--out", str(self.folder)]
        for process, scheme in self.swap.items():
            words += ["--swap", f"{process}={scheme}"]
        for key, value in self.changes.items():
            words += ["--set", f"{key}={json.dumps(value)}"]
        for file in self.plugins:
            words += ["--plugin", file]
        for process in self.record:
            words += ["--record", process]
        return words


@dataclass(frozen=True, kw_only=True)
class Run:
    """What became of a job."""

    job: Job
    status: str
    why: str = ""
    failed_at: float | None = None
    """Day since the start."""
    wall: float = float("nan")
    """[s]"""
    memory: float = float("nan")
    """Largest resident memory of the process [MB]."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """``run.json``."""

    @property
    def good(self) -> bool:
        return self.status == COMPLETE

    @property
    def folder(self) -> Path:
        return self.job.folder


def placed(job: Job, raw: Mapping[str, Any], work: Path) -> Job:
    """The job with the folder that its content gives it."""
    changed, _ = with_changes(raw, set=dict(job.changes), swap=dict(job.swap))
    more = [*job.record, *job.plugins, *(Path(p).read_text() for p in job.plugins)]
    name = fingerprint(changed, job.case.parent, more)
    return Job(**{**vars(job), "folder": work / "runs" / name})


def found(job: Job) -> Run | None:
    """What is known of a job from before; None for one that has to run or to go on."""
    try:
        known = json.loads((job.folder / _RECORD).read_text())
    except (OSError, json.JSONDecodeError):
        return None
    return Run(
        job=job,
        status=known["status"],
        why=known["why"],
        failed_at=known["failed_at"],
        wall=known["wall"],
        memory=known["memory"],
        record=_report(job.folder),
    )


def run_all(
    jobs: Sequence[Job],
    *,
    parallel: int,
    retry: bool = False,
    told: Callable[[Run, int, int], None] = lambda run, done, of: None,
    ahead: Callable[[Sequence[Run]], Sequence[Part]] = lambda runs: (),
    told_part: Callable[[Made], None] = lambda made: None,
) -> list[Run]:
    """Makes all runs that are not there yet, and beside them parts of analyses.

    Args:
        jobs: with their folders; two with the same folder are one run.
        parallel: processes at a time.
        retry: make those again that failed before.
        told: called with each run that is finished, the number finished and that of all.
        ahead: parts that the runs which have ended make possible, asked whenever something has
            ended. Each that is not kept is tried once, before the runs that still wait.
        told_part: called with each part that is finished.

    Returns:
        In the order of the jobs. An interruption lets the running ones write their restart, and is
        raised again.
    """
    runs: dict[Path, Run] = {}
    waiting: dict[Path, Job] = {}
    for job in jobs:
        known = found(job)
        if known is not None and not (retry and known.status == FAILED):
            runs[job.folder] = known
        else:
            waiting[job.folder] = job
    made = 0
    tried: set[Path] = set()

    def as_asked() -> list[Run]:
        return [replace(runs[job.folder], job=job) for job in jobs if job.folder in runs]

    def possible() -> list[Task[Run | Made]]:
        new = {p.file: p for p in ahead(as_asked()) if p.file not in tried and not p.file.exists()}
        tried.update(new)
        return [partial(make_alone, part) for part in new.values()]

    def then(result: Run | Made) -> list[Task[Run | Made]]:
        nonlocal made
        if isinstance(result, Made):
            told_part(result)
        else:
            made += 1
            runs[result.folder] = result
            told(result, made, len(waiting))
        return possible()

    tasks: list[Task[Run | Made]] = [partial(_make, job, retry) for job in waiting.values()]
    side_by_side([*possible(), *tasks], parallel=parallel, then=then)
    return as_asked()


def _make(job: Job, retry: bool, children: Children) -> Run:
    job.folder.mkdir(parents=True, exist_ok=True)
    command = job.command()
    if (retry and found(job) is not None) or not any(job.folder.glob("restart/*.safetensors")):
        command[command.index("--resume")] = "--overwrite"
        (job.folder / _RECORD).unlink(missing_ok=True)
    began = time.perf_counter()
    log = job.folder / "log.txt"
    code, memory = children.run(command, log)
    record = _report(job.folder)
    state, why, failed_at = COMPLETE, "", None
    if code != 0 or record.get("outcome") != "complete":
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        why = _reason(lines) or f"exit status {code}"
        # Any other status is no result: stopped in order (0 and 130), a crash or a lost worker (1),
        # refused before the first step (2), without disk or memory (75), terminated (143).
        killed = code != BLEW_UP
        state = MISSING if killed else FAILED
        if killed and not lines:
            why = f"ended by signal {-code}" if code < 0 else "interrupted"
        failed_at = None if killed else _day_of(job.folder, record)
    known: dict[str, Any] = {
        "status": state,
        "why": why,
        "failed_at": failed_at,
        "wall": round(time.perf_counter() - began, 3),
        "memory": round(memory, 1),
    }
    if state != MISSING:
        write_json(job.folder / _RECORD, {**known, "candidate": job.candidate, "command": command})
    return Run(job=job, record=record, **known)


def _reason(lines: Sequence[str]) -> str:
    """The first sentence that `isthmus` said at its end, or the error of a crash."""
    said = [i for i, line in enumerate(lines) if line.startswith("isthmus")]
    crashes = [i for i, line in enumerate(lines) if line.startswith("Traceback ")]
    if crashes and crashes[-1] > max(said, default=-1):
        return next((x for x in lines[crashes[-1] + 1 :] if not x.startswith(" ")), lines[-1])
    if not said:
        return lines[-1].strip() if lines else ""
    first = lines[said[-1]].partition(": ")[2]
    if first.endswith("problems") and said[-1] + 1 < len(lines):
        first = lines[said[-1] + 1].strip().removeprefix("- ")
    return first


def _day_of(folder: Path, record: Mapping[str, Any]) -> float:
    """Day since the start at which a run ended, also of one that was resumed."""
    try:
        case = yaml.safe_load((folder / "case.resolved.yaml").read_text())
        calendar = case["calendar"]
        ended = parse_date(str(record["date"]).replace("T", " "), calendar)
        since = ended - parse_date(case["start"], calendar)
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
        return float(record.get("days_run", 0.0))
    return float(since.total_seconds() / SECONDS_PER_DAY)


def _report(folder: Path) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads((folder / "run.json").read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return read
