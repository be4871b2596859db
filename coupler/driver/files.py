"""The output files of a run: time means, budgets, recordings; rank 0 writes for all ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from coupler.diagnostics.budgets import RESIDUALS, Residuals
from coupler.driver.assemble import Assembly
from coupler.driver.links import Coupling
from coupler.driver.promises import Promises
from coupler.driver.recording import open_recording
from coupler.driver.state import Memory
from coupler.exchange.live import Ranges
from coupler.interface.component import Array
from coupler.interface.errors import Problem
from coupler.interface.fields import CHANGING, FIELDS, Field
from coupler.interface.grid import Grid, HybridLevels
from coupler.interface.parallel import Rows
from coupler.output.background import Background
from coupler.output.folder import RunFolder
from coupler.output.patient import PatientFile
from coupler.output.restart import Restart
from coupler.output.series import SeriesFile
from coupler.output.writer import Averages, Live, Steady, area_means, choose
from coupler.parallel.agreement import together

_PATIENCE = 1.0
"""Wall time for which finished records may wait in memory while others are made [s]."""


class Files:
    """All files but restarts and what describes the run."""

    def __init__(
        self,
        model: Assembly,
        folder: RunFolder,
        memory: Memory,
        attrs: Mapping[str, str],
        found: Restart | None,
        ranges: Ranges,
    ) -> None:
        """Creates the files, or goes on with them.

        Args:
            model: the run's models.
            folder: where.
            memory: takes in the running means.
            attrs: global attributes.
            found: the restart to go on from; None begins anew.
            ranges: of fields of the atmosphere that `add` is to look at.
        """
        self._model, self._folder, self._attrs = model, folder, attrs
        self._at = None if found is None else found.moment.seconds
        self._first = model.rows.parallel.rank == 0
        self._written: list[PatientFile] = []
        self.background = Background()
        """Who writes."""
        self._series: SeriesFile | None = None
        self.residuals = Residuals(model.suite.host.planet.latent_heat_vaporization)
        self.residuals.start(model.atmosphere.budgets())
        self._live, _ = choose(atmosphere_fields(model), model.case.output.fields)
        air = model.atmosphere
        bounds = [b for p in model.suite.processes for b in p.schemes if b.every > 1]
        means = self._averages(
            "atmosphere",
            self._live,
            air.grid,
            levels=air.levels,
            rows=model.rows,
            ranges=ranges,
            steady=[(list(b.held().values()), b.before_call) for b in bounds],
            fractions=changing(atmosphere_fields(model)),
        )
        self._means = {"atmosphere": means}
        memory.keep("output.atmosphere", means, found)
        memory.keep("output.residuals", self.residuals, found)
        self.promises = Promises(model.suite, model.case.budgets)
        memory.keep("promises", self.promises, found)
        if model.ledger.terms:
            if found is None:  # what the models begin with may have come from another run
                model.ledger.open()
            memory.keep("ledger", model.ledger, found)
        if model.correctors.asked:
            memory.keep("correctors", model.correctors, found)
        self._fractions: list[Fractions] = []
        for name, live in surface_fields(model).items():
            coupling = model.couplings[name]
            fractions = Fractions(coupling, live)
            self._fractions.append(fractions)
            self._means[name] = means = self._averages(
                name, live, coupling.model.grid, area=cell_area(name), fractions=fractions.arrays
            )
            memory.keep(f"output.{name}", means, found)
        self._written += [m.file for m in self._means.values() if m.file is not None]
        together(model.rows.parallel, self._open_series)

    def _averages(
        self,
        name: str,
        live: Live,
        grid: Grid,
        *,
        levels: HybridLevels | None = None,
        rows: Rows | None = None,
        area: str = "areacella",
        ranges: Ranges | None = None,
        steady: Sequence[Steady] = (),
        fractions: Mapping[str, Array],
    ) -> Averages:
        m = self._model
        return together(
            m.rows.parallel,
            lambda: Averages(
                self._folder.path / f"{name}.nc",
                live,
                grid,
                levels,
                start=m.clock.start,
                attrs=self._attrs,
                planet=m.suite.host.planet,
                area=area,
                resume_at=self._at,
                patience=_PATIENCE,
                background=self.background,
                rows=rows,
                writes=self._first,
                ranges=ranges,
                steady=steady,
                fractions=fractions,
            ),
        )

    def _open_series(self) -> None:
        if not self._first:
            return
        path, start = self._folder.budgets, self._model.clock.start
        how: dict[str, Any] = {"patience": _PATIENCE, "background": self.background}
        if self._at is not None:
            self._series = SeriesFile.reopen(path, self._at / 86400.0, **how)
        else:
            since = start.strftime("%Y-%m-%d %H:%M:%S")
            self._series = SeriesFile(path, since, start.calendar, self._attrs, **how)
        self._written.append(self._series)

    def open_record(self, process: str, columns: int | None) -> None:
        """Stores from now on what the scheme of a process sees and gives, at `columns` columns."""
        record = open_recording(
            self._model,
            process,
            self._folder.record(process),
            self._attrs,
            columns=columns,
            resume_at=self._at,
            patience=_PATIENCE,
            background=self.background,
        )
        self._written.append(record)

    def add(self, dt: float) -> set[str]:
        """Adds the present values to all means; which of the atmosphere's are within range."""
        sound: set[str] = set()
        for fractions in self._fractions:
            fractions.refresh()
        for means in self._means.values():
            sound |= means.add(dt)
        return sound

    def write(self, t0: float, t1: float) -> None:
        """Writes means and budgets of the interval from `t0` to `t1` [s since the start]."""
        m = self._model
        numbers: dict[str, tuple[float, str, str]] = dict(m.atmosphere.budgets())
        of_schemes = m.suite.budgets() | m.ledger.take() | m.correctors.take()
        for means in self._means.values():
            means.close()
        # All ranks have given what they have: from here on rank 0 is by itself.
        together(m.rows.parallel, lambda: self._write(numbers, of_schemes, t0, t1))
        self.promises.judge(of_schemes, m.clock.now.date)

    def _write(self, numbers: dict[str, Any], more: dict[str, Any], t0: float, t1: float) -> None:
        if self._series is None:
            return
        for means in self._means.values():
            means.write(t0, t1)
        state = dict(numbers)
        globe = self._model.atmosphere.grid
        numbers |= area_means(self._means["atmosphere"].flat, self._live, globe)
        for name, value in self.residuals.close(state, numbers, t1 - t0).items():
            numbers[name] = (value, *RESIDUALS[name])
        self._series.append(t1 / 86400.0, numbers | more)

    def flush(self) -> None:
        """Puts on disk what waits in memory."""
        together(self._model.rows.parallel, self.flush_own)

    def flush_own(self) -> None:
        """The same for what this rank writes, by itself."""
        for file in self._written:
            file.flush()

    def flush_soon(self) -> None:
        """Has all that waits written before anything that is asked for after it."""
        for file in self._written:
            file.flush_soon()

    def flush_if_due(self) -> None:
        """As `flush_soon`, for what has waited long enough; raises what went wrong meanwhile."""
        self.background.check()
        for file in self._written:
            file.flush_if_due()


def cell_area(model: str) -> str:
    """CMIP name of the cell areas of a model's grid: those of the sea have one of their own."""
    return "areacello" if model in ("ocean", "ice") else "areacella"


def atmosphere_fields(model: Assembly) -> dict[str, tuple[Field, Array]]:
    """Every field of the atmosphere that can be written, with its live array."""
    live = {n: (FIELDS[n], a) for n, a in model.atmosphere.columns().items() if n in FIELDS}
    names = [f.name for c in model.couplings.values() for f in c.model.provides]
    names += model.forcings
    pool = model.suite.pool
    live |= {n: (FIELDS[n], pool[n]) for n in names if n in FIELDS and n in pool}
    return live | model.suite.outputs()


def surface_fields(model: Assembly) -> dict[str, dict[str, tuple[Field, Array]]]:
    """The same for every other model."""
    return {
        name: {
            **{f.name: (f, c.model.fields()[f.name]) for f in c.model.provides},
            **{n: (FIELDS[n], a) for n, a in c.received.items()},
        }
        for name, c in model.couplings.items()
    }


def changing(live: Live) -> dict[str, Array]:
    """Fractions of cells that change in time, among these fields."""
    return {n: live[n][1] for n in CHANGING if n in live}


class Fractions:
    """Fractions that change in time on a model's grid, with those that it does not provide.

    What it receives is per area of `Model.parts`: open water, for a slab below ice.
    """

    def __init__(self, coupling: Coupling, live: Live) -> None:
        """Finds them among the model's fields, and asks it for the others."""
        self._coupling = coupling
        self.arrays = changing(live)
        self._asked: dict[str, Array] = {}
        """Copies, by a field that is received per area of it."""
        for name, of in coupling.model.parts(coupling.received).items():
            part = FIELDS[name].part
            if part in CHANGING and part not in self.arrays:
                self.arrays[part] = self._asked[name] = np.array(of, np.float64)

    def refresh(self) -> None:
        """Brings the copies up to date."""
        if self._asked:
            parts = self._coupling.model.parts(self._coupling.received)
            for name, array in self._asked.items():
                array[...] = parts[name]


def unknown_fields(model: Assembly) -> Sequence[Any]:
    """What is wrong with the output fields that a case names."""
    return choose(atmosphere_fields(model), model.case.output.fields)[1]


def too_short(model: Assembly) -> list[Problem]:
    """Advice for a run that ends before the first of its time means is over."""
    days, interval = model.case.days, model.case.output.interval
    if round(days * model.steps_per_day) >= max(1, round(interval * model.steps_per_day)):
        return []
    seconds = round(days * model.steps_per_day) * model.clock.step_length
    return [
        Problem(
            what="run too short for its output: no time mean will be written",
            name="days",
            expected=f"at least output.interval, {interval:g} days",
            found=f"{days:g} days",
            remedy=f"run longer, or set output.interval to '{seconds:g} s'",
        )
    ]
