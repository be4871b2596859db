"""A simulation: a case, the folder it writes to, and the loop in between.

from coupler import Simulation
sim = Simulation.from_case("cases/earth_t31.yaml", swap={"gravity_wave": "ad99"})
sim.run(days=10)
ds = sim.dataset()
"""

from __future__ import annotations

import contextlib
import logging
import re
import signal
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coupler.config import read_yaml
from coupler.driver import loop, resuming
from coupler.driver.asked import asked_for
from coupler.driver.assemble import Assembly, assemble
from coupler.driver.branch import begin_from, halves, read_branch
from coupler.driver.compiling import compiling
from coupler.driver.connect import differing
from coupler.driver.crashes import STATE_KEPT
from coupler.driver.files import Files, too_short, unknown_fields
from coupler.driver.info import machine, versions
from coupler.driver.keeping import Keeping
from coupler.driver.recording import record_problems, unrecordable
from coupler.driver.signals import Asked, Interrupted, listening
from coupler.driver.spent import FILES, KEPT, LOOK, LOOP, MEANS, RANKS, START, overhead, table
from coupler.driver.state import Memory
from coupler.driver.suite import NOT_FINITE
from coupler.driver.timeline import Timeline
from coupler.driver.watch import BLEW_UP, DYNAMICS, NO_LONGER_FINITE, WATCHED, Watch
from coupler.interface.errors import ConfigError, CouplerError, Problem, UnstableError
from coupler.interface.files import write_json, write_whole
from coupler.interface.parallel import ALONE, Parallel
from coupler.output import restart
from coupler.output.folder import RunFolder
from coupler.output.library import lazy
from coupler.output.netcdf import run_attributes
from coupler.output.progress import RunProgress
from coupler.parallel import threads
from coupler.parallel.agreement import from_first, summed, together

if TYPE_CHECKING:
    import xarray as xr

_log = logging.getLogger(__name__)

_SNAPSHOT = 43200.0
"""Time between copies of the state kept in memory for the case of a blow-up [s]."""
_SNAPSHOT_STEPS = 20
"""Fewest steps between them: where a step is a day, copying would cost as much as stepping."""


class Simulation:
    """One run of one case."""

    def __init__(
        self,
        model: Assembly,
        folder: RunFolder,
        *,
        resume: bool = False,
        record: Sequence[str] = (),
        record_columns: int | None = 512,
        timeline: bool = False,
    ) -> None:
        """Use `from_case`."""
        self.model, self.folder = model, folder
        self.case = model.case
        self._resume, self._record, self._record_columns = resume, tuple(record), record_columns
        self._memory = Memory(model)
        self._parallel = model.rows.parallel
        self._first = self._parallel.rank == 0
        if hasattr(self._parallel, "count"):
            self._parallel.count(model.spent.to, RANKS)
        self._files: Files | None = None
        columns = model.atmosphere.columns()
        self._watched = {n: columns[n] for n in WATCHED if n in columns}
        suite = model.suite
        self._watch = Watch(self._watched, suite.absurd, suite.rates, suite.host.grid)
        self._keeping: Keeping | None = None
        self._wall = 0.0
        self._begun = False
        self._first_step = 0
        self._loop_began = 0.0
        self._waited: dict[str, float] | None = None
        """For workers, in the first step of this object; None until it is over [s]."""
        self._timeline: Timeline | None = None
        if timeline:
            self._timeline = Timeline(model)
            self._timeline.wrap(self, "_write", "output")

    # -- making one ---------------------------------------------------------------------------

    @classmethod
    def from_case(
        cls,
        case: str | Path | Mapping[str, Any],
        *,
        swap: Mapping[str, str] | None = None,
        set: Mapping[str, Any] | None = None,
        plugins: Sequence[str | Path] = (),
        out: str | Path | None = None,
        overwrite: bool = False,
        resume: bool = False,
        record: Sequence[str] = (),
        record_columns: int | None = 512,
        timeline: bool = False,
        parallel: Parallel = ALONE,
        warn: bool = True,
    ) -> Simulation:
        """Checks a case and builds its models; nothing is written yet.

        Args:
            case: path of a YAML case, or its content.
            swap: scheme by process; the case's own scheme becomes the reference.
            set: values by dotted key.
            plugins: Python files with schemes.
            out: folder of the run; default ``runs/TITLE``.
            overwrite: replace a run that is in the folder.
            resume: go on from the newest good restart in the folder.
            record: processes whose inputs and outputs are stored.
            record_columns: columns stored at each call of a recorded scheme; None: all.
            timeline: note what ran when, and write it to the folder at the end of `run`.
            parallel: the ranks that share the run; each calls this with the same arguments.
            warn: say the model's `advice` in the log; it is known already otherwise.

        Raises:
            ConfigError: with everything that is wrong.
        """
        threads.prepare()
        raw, base = (
            (dict(case), Path())
            if isinstance(case, Mapping)
            else (read_yaml(Path(case)), Path(case).parent)
        )
        raw, problems = asked_for(raw, base, set=set, swap=swap, plugins=plugins)
        folder = RunFolder(Path(out) if out is not None else _default_folder(raw))
        problems += from_first(
            parallel, lambda: _folder_problems(folder, resume=resume, overwrite=overwrite)
        )
        problems += record_problems(raw, record, parallel)
        going_on = resume and from_first(parallel, folder.has_restart)
        other, wrong = read_branch(None if going_on else raw.get("branch"), base, parallel)
        problems += wrong
        model = assemble(raw, base, problems, record, parallel)
        with model.elsewhere.closed_on_failure():
            simulation = cls(
                model,
                folder,
                resume=resume,
                record=record,
                record_columns=record_columns,
                timeline=timeline,
            )
            if going_on:
                own = simulation._memory.fingerprint
                simulation._found = resuming.find(folder, model.case, own, parallel)
            if other is not None:
                wrong = begin_from(simulation._memory, other, parallel)
                model.advice = [*model.advice, *halves(model, other)]
            others = {name: c.model for name, c in model.couplings.items()}
            more = [*differing(others), *too_short(model)]
            model.advice = [*model.advice, *model.ledger.advice(), *more]
            for advice in model.advice if warn and simulation._first else ():
                _log.warning("isthmus: warning: %s", advice)
            wrong += [*unknown_fields(model), *unrecordable(model, record)]
            if wrong:
                raise ConfigError(*wrong)
        if overwrite and not resume:
            simulation._overwrite = True
        return simulation

    _overwrite = False
    _outcome = "failed"
    _found: restart.Restart | None = None

    # -- running ------------------------------------------------------------------------------

    def run(self, days: float | None = None, *, quiet: bool = False) -> Simulation:
        """Runs for `days`, by default what is left of the case's days; may be called again.

        Whatever ends it early, a restart from before that is in the folder. A run that was complete
        when it was resumed is left as it is.

        Raises:
            ConfigError: when a resumed run is beyond the case's days, and none are given.
            UnstableError: when the state blew up.
            Interrupted: when a signal asked to stop.
        """
        line = self._timeline
        note = partial(line.add, "run", "compile") if line is not None else None
        with listening() as asked, compiling(self.model.spent, note):  # before the files are made
            return self._run(days, quiet, asked)

    def nothing_to_do(self) -> str:
        """Says that the run in the folder was complete when it was resumed; else empty.

        Raises:
            ConfigError: when it is beyond the case's days already.
        """
        if self._begun or self._found is None:
            return ""
        how = self._found, self.model.steps_per_day, self._parallel
        return resuming.nothing_to_do(self.folder, self.case.days, *how)

    def _refuse_beyond_files(self, days: float) -> None:
        """Refuses to run for longer than what is prescribed in time, naming the files."""
        clock, found = self.model.clock, None if self._begun else self._found
        begin = clock.now.seconds if found is None else found.moment.seconds
        start, end = (clock.start + timedelta(seconds=begin + d * 86400.0) for d in (0.0, days))
        missing = [p for s in self.model.forcings.values() for p in s.problems(start, end)]
        if missing:
            raise ConfigError(*missing)

    def _run(self, days: float | None, quiet: bool, asked: Asked) -> Simulation:
        if days is not None:
            self._refuse_beyond_files(days)
        elif self._found is not None and (idle := self.nothing_to_do()):
            self._memory.put(self._found)
            _log.info("isthmus: %s", idle)
            return self
        self._begin()
        self._outcome = "failed"
        clock = self.model.clock
        length = days if days is not None else self.case.days - clock.days
        steps = max(0, round(length * self.model.steps_per_day))
        began = time.perf_counter()
        start = clock.now.seconds
        end = start + steps * clock.step_length
        with RunProgress(start=start, end=end, silent=quiet or not self._first) as bar:
            try:
                self._loop_began = time.monotonic()
                self.model.spent.to(LOOP)
                loop.run(self.model, steps, lambda _: self._after_step(bar, asked))
                self.model.spent.to(FILES)
                self._kept.finish()
                self._out.flush()
                self._outcome = f"stopped by {asked.signal.name}" if asked.signal else "complete"
            except UnstableError as error:
                path = self._kept.go_back()
                raise UnstableError(
                    *(*self._explained(error), *self._out.promises.broken(error.problems)),
                    Problem(what="the state before it was kept", name=str(path)),
                ) from error
            except Exception as error:
                if self._parallel.size > 1 and not isinstance(error, CouplerError | OSError):
                    self._outcome = "aborted"  # the other ranks do not know; the job ends at once
                    raise
                path = self._kept.keep()
                error.add_note(f"{STATE_KEPT}{path}")
                raise
            finally:
                self.model.spent.leave()
                self._wall += time.perf_counter() - began
                if self._outcome == "failed":
                    with contextlib.suppress(OSError, RuntimeError):  # what failed may be the disk
                        self._out.flush()
                    self._report()
            try:
                path = self._kept.save()  # waits for the last answers, which the report counts
            finally:
                self._report()
        for line in self.closing_lines() if self._first else ():
            _log.info("isthmus: %s", line)
        if self._timeline is not None and self._first:
            self._timeline.write(self.folder.path)
        if asked.signal is not None and clock.now.seconds < end:
            raise Interrupted(asked.signal, clock.now.date, path)
        return self

    def close(self) -> None:
        """Ends the worker processes of the run; otherwise they end with this object."""
        self.model.elsewhere.close()

    def seconds(self) -> dict[str, float]:
        """Where the time of all steps so far went, see `coupler.driver.spent` [s]."""
        start = self._waited or {}
        waited = {name: s - start.get(name, 0.0) for name, s in self._waits().items()}
        return self.model.spent.seconds(waited)

    def _waits(self) -> dict[str, float]:
        """How long this run waited for workers so far, by account [s]."""
        labels = {p.name: p.schemes[0].account for p in self.model.suite.processes}
        waits = self.model.elsewhere.waits().items()
        return {
            labels.get(name, f"{name}={getattr(getattr(self.case, name, None), 'scheme', '')}"): w[
                "run_waited_seconds"
            ]
            for name, w in waits
        }

    def _start_is_over(self) -> None:
        """What comes from now on are steps like all others."""
        self._waited = self._waits()
        self.model.spent.started()
        if self._timeline is not None:
            self._timeline.add("start", START, self._loop_began, time.monotonic())

    def closing_lines(self) -> list[str]:
        """Where the time went, and who waited for whom; none before a step."""
        if not self._begun:
            return []
        steps = self.model.clock.now.step - self._first_step - 1
        m = self.model
        kept = [*m.ledger.lines(), *m.correctors.lines(), *self._out.promises.lines()]
        return [*table(self.seconds(), steps), *kept, *m.elsewhere.who_waited()]

    def _explained(self, error: UnstableError) -> Sequence[Problem]:
        """Problems of an unstable step, with the component when the dynamics could not know it.

        What was said stays where it is another complaint than theirs, alone if nothing absurd was
        seen.
        """
        if any(p.what in (BLEW_UP, NOT_FINITE) for p in error.problems):
            return [*error.problems, *self._strain(error.problems[0])]
        m, step = self.model, self.model.clock.now.step + 1
        date = m.clock.start + timedelta(seconds=step * m.clock.step_length)
        own = self._watch.explain(step, date)
        worst = min(self._parallel.collect(own), key=lambda p: p.found.endswith(DYNAMICS))
        said = [p for p in error.problems if p.what != NO_LONGER_FINITE]
        if said and worst.found.endswith(DYNAMICS):
            return said
        return [worst, *said, *self._strain(worst)]

    def _strain(self, problem: Problem) -> list[Problem]:
        """What the dynamics say of the last state that was finite, when they are to blame."""
        atmosphere = self.model.atmosphere
        kept = self._kept.copies("atmosphere")
        for memory in (atmosphere.memory(), *kept) if problem.found.endswith(DYNAMICS) else ():
            found = self._parallel.collect(atmosphere.strain(memory))
            known = [f for f in found if f is not None]
            if len(known) == len(found):
                return [max(known, key=lambda f: f[0])[1]]
        return []

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        found = self._found
        if found is not None:
            self._memory.put(found)
            self._first_step = self.model.clock.now.step
        text = self.case.to_yaml()
        together(self._parallel, lambda: self._make_folder(text))
        attrs = run_attributes(title=self.case.title, case=text, versions=versions())
        self._files = Files(self.model, self.folder, self._memory, attrs, found, self._watch.ranges)
        for process in self._record:
            self._files.open_record(process, self._record_columns)
        wanted, memory = self.case.restart, (self._memory, self._out, self.folder.restart)
        age = round(wanted.age * self.model.steps_per_day)
        self._keeping = Keeping(*memory, wanted.keep, age, self._parallel)
        if self._timeline is not None:
            for method, name in (("remember", "copy"), ("checkpoint", "restart")):
                self._timeline.wrap(self._keeping, method, name)

    def _make_folder(self, case: str) -> None:
        if not self._first:
            return
        if self._found is None and self._overwrite:
            self.folder.clear()
        self.folder.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder.case, case)

    @property
    def _out(self) -> Files:
        assert self._files is not None  # made by `_begin`
        return self._files

    @property
    def _kept(self) -> Keeping:
        assert self._keeping is not None  # made by `_begin`
        return self._keeping

    def _after_step(self, bar: RunProgress, asked: Asked) -> bool:
        m = self.model
        clock = m.clock
        spent = m.spent
        spent.to(MEANS)
        sound = self._out.add(clock.step_length)
        spent.to(LOOK)
        together(self._parallel, lambda: self._watch.look(clock.now.step, clock.now.date, sound))
        spent.to(KEPT)
        between = max(_SNAPSHOT / 86400.0, _SNAPSHOT_STEPS / m.steps_per_day)
        self._if_due(between, lambda _: self._kept.remember())
        spent.to(FILES)
        self._if_due(self.case.output.interval, self._write)
        self._if_due(self.case.restart.interval, lambda _: self._kept.checkpoint())
        together(self._parallel, self._out.flush_if_due)
        self._kept.advance()
        spent.to(LOOP)
        # A rank knows the wind of its own rows only; numbers on a ring have none.
        known = self._parallel.size == 1 and "ua" in self._watched
        wind = self._max_wind if known else None
        bar.update(clock.now.date, clock.now.seconds, wind)
        if self._waited is None:
            self._start_is_over()
        if self._timeline is not None:
            self._timeline.stepped()
        number = self._parallel.most(asked.signal or 0)
        asked.signal = signal.Signals(number) if number else None
        return asked.signal is None

    def _max_wind(self) -> float:
        u, v = self._watched["ua"], self._watched["va"]
        return float(np.sqrt((u * u + v * v).max()))

    def _if_due(self, interval: float, action: Any) -> None:
        every = max(1, round(interval * self.model.steps_per_day))
        if self.model.clock.now.step % every == 0:
            action(every)

    def _write(self, every: int) -> None:
        clock = self.model.clock
        t1 = clock.now.seconds
        self._out.write(max(0.0, t1 - every * clock.step_length), t1)

    def _report(self) -> None:
        clock = self.model.clock
        days = (clock.now.step - self._first_step) / self.model.steps_per_day
        speed = days / 365.0 / (self._wall / 86400.0) if self._wall > 0 else 0.0
        budgets = {n: v for n, (v, _, _) in self.model.atmosphere.budgets().items()}
        counts = summed(self._parallel, self.model.suite.counts())
        ledger = self.model.ledger.worst() | self.model.correctors.record()
        of_schemes = self._out.promises.largest()  # by all ranks
        if not self._first:
            return
        write_json(
            self.folder.report,
            {
                "title": self.case.title,
                "outcome": self._outcome,
                "date": clock.now.date.isoformat(),
                "steps": clock.now.step,
                "days_run": days,
                "wall_seconds": round(self._wall, 3),
                "sypd": round(speed, 3),
                "ranks": self._parallel.size,
                "versions": versions(),
                "machine": machine(),
                "schemes": {
                    p.name: [b.label for b in p.schemes] for p in self.model.suite.processes
                },
                "guard": counts,
                "waits": self.model.elsewhere.waits(),
                "seconds": {name: round(s, 4) for name, s in self.seconds().items()},
                "coupling_share": round(overhead(self.seconds()), 4),
                "budgets": budgets | self._out.residuals.mean() | ledger,
                "residuals_of_schemes": of_schemes,
            },
        )

    # -- looking at it ------------------------------------------------------------------------

    def dataset(self, which: str = "atmosphere") -> xr.Dataset:
        """The run's output: ``atmosphere``, ``surface`` or ``budgets``."""
        return lazy(self.folder.path / f"{which}.nc")

    def describe(self) -> str:
        """The set-up in one sentence."""
        m = self.model
        physics = ", ".join(f"{p.name}={p.schemes[0].label}" for p in m.suite.processes)
        return (
            f"{m.atmosphere.grid}, {m.atmosphere.levels.nlev} levels, "
            f"step {m.clock.step_length:g} s, {physics or 'no physics'}"
        )


def _default_folder(raw: Mapping[str, Any]) -> Path:
    """``runs/TITLE``, with nothing in the title that means something in a path."""
    title = re.sub(r"[^\w.+-]+", "_", str(raw.get("title", ""))).strip("._")
    return Path("runs") / (title or "run")


def _folder_problems(folder: RunFolder, *, resume: bool, overwrite: bool) -> list[Problem]:
    problems: list[Problem] = []
    checks = [folder.refuse_if_unusable]
    if resume:
        checks.append(folder.refuse_if_not_resumable)
    elif not overwrite:
        checks.append(folder.refuse_if_taken)
    for refuse in checks:
        try:
            refuse()
        except CouplerError as error:
            problems += error.problems
    return problems
