"""A recording replayed: the same scheme, offline, on the inputs that it was given in the run.

A recording (`coupler.output.record`) holds its case, so that scheme, parameters, planet and seed
are known; columns are independent of each other and random numbers belong to a place and a time, so
that the recorded sample gives the recorded bits. An emulator that handed a column to its fallback
is the exception: that may depend on calls which are not in the file.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import yaml

from coupler.config import Case, ModelChoice, validate
from coupler.driver.bound import with_top
from coupler.driver.discovery import discover, find_scheme
from coupler.driver.flux import flux_tendency
from coupler.interface.component import (
    Array,
    Arrays,
    Component,
    Diagnostic,
    Host,
    Now,
    Tendency,
)
from coupler.interface.constants import SECONDS_PER_DAY, Planet
from coupler.interface.errors import ConfigError, DataError
from coupler.interface.fields import tendency_field
from coupler.interface.grid import Grid, HybridLevels
from coupler.interface.units import conversion

_SPOILED = (OSError, RuntimeError, AttributeError, IndexError, TypeError, ValueError)
"""What reading raises of a file that is damaged (RuntimeError: NetCDF: HDF error) or another's."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of one output, recorded against replayed."""

    values: int
    """That were compared."""
    different: int
    """That are not the same bits."""
    largest: float
    """Largest absolute difference, in the output's units."""


def replay(path: Path | str, *, base: Path | None = None) -> dict[str, Difference]:
    """Calls the recorded scheme on every recorded call.

    Args:
        path: the recording.
        base: folder that plugins and bundles of its case are relative to; the present one.

    Returns:
        What was found for each flux, tendency and diagnostic of the scheme.

    Raises:
        DataError: for a file that is no recording of this version.
        ConfigError: when its scheme is not at hand.
    """
    counts: dict[str, list[float]] = {}
    with RecordedScheme(path, base or Path()) as recorded:
        for call in range(recorded.calls):
            found, read = recorded.call(call)
            for name, array in found.items():
                total = counts.setdefault(name, [0, 0, 0.0])
                total[0] += array.size
                total[1] += int(np.count_nonzero(array != read[name]))
                error = np.abs(array.astype(np.float64) - read[name])
                total[2] = max(total[2], float(error.max()))
    return {
        name: Difference(values=int(n), different=int(bad), largest=worst)
        for name, (n, bad, worst) in counts.items()
    }


class RecordedScheme:
    """The scheme of a recording, offline, on the recorded columns or on changed ones."""

    def __init__(self, path: Path | str, base: Path) -> None:
        """Opens the recording and finds its scheme.

        Args:
            path: the recording.
            base: folder that plugins and bundles of its case are relative to.

        Raises:
            DataError: for a file that is no recording of this version.
            ConfigError: when its scheme is not at hand.
        """
        self.path, self._base = Path(path), base
        with self._readable():
            self._file = netCDF4.Dataset(self.path)
            self._file.set_auto_mask(False)
            raw = yaml.safe_load(self._file.case)
            if not isinstance(raw, dict):
                raise ValueError(f"the case {str(raw)[:40]!r}, which is no mapping")
            self._process: str = self._file.process
            variables = self._file.variables.values()
            self._names = dict.fromkeys(v.name for v in variables if "column" in v.dimensions)
            self._levels = HybridLevels(
                a=self._file["ap"][:], b=self._file["b"][:], name=self.path.name
            )
            self._dtype = np.result_type(self._file["lat"].dtype, self._file["lon"].dtype)
            self.calls: int = self._file.dimensions["time"].size
            units = {v.name: str(getattr(v, "units", "1")) for v in variables}
            self._units = {n: units[n] for n in self._names}
            self._classes: dict[str, type[Component]] = {}
            self._last: tuple[int, dict[str, Array]] | None = None
            self.process, self.days = self._process, np.asarray(self._file["time"][:])
            self._days_of = self._file["time"].units, self._file["time"].calendar
        case, problems = validate(raw)
        if case is None:
            raise ConfigError(*problems)
        if self._process not in case.physics:
            raise DataError.of(
                "a recorded process that its case has not",
                f"{self.path}: {self._process}",
                expected=", ".join(case.physics) or "a case with physics",
                remedy="record it again: isthmus run CASE.yaml --record PROCESS",
            )
        self._case, self._choice = case, case.physics[self._process]
        problems += discover(case.plugins, base)
        if problems:
            raise ConfigError(*problems)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (*_SPOILED, yaml.YAMLError) as error:
            raise DataError.of(
                "not a recording that can be replayed",
                str(self.path),
                expected="a file record_PROCESS.nc of this version of Isthmus",
                found=" ".join(str(error).split()),
                remedy="record it again: isthmus run CASE.yaml --record PROCESS",
            ) from error

    def __enter__(self) -> RecordedScheme:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def call(
        self, call: int, changed: Mapping[str, Array] | None = None
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Outputs of the scheme at a recorded call, and what the recording holds of it.

        Args:
            call: number of the call.
            changed: inputs that shall be others than the recorded ones, in the recording's units.

        Raises:
            DataError: when the recording is damaged.
        """
        held, now = self._held(call)
        read = dict(held)
        for name, values in (changed or {}).items():
            read[name] = np.ascontiguousarray(values, self._dtype)
        component = _built(self._process, self._choice, self._case, self._base)
        return _called(component, self._host(read), read, now), held

    def _held(self, call: int) -> tuple[dict[str, Array], Now]:
        """What the recording has of a call, and when it was.

        Raises:
            DataError: when it cannot be read.
        """
        with self._readable():
            if self._last is None or self._last[0] != call:  # several schemes look at one call
                names = [n for n in self._names if n != "index"]
                self._last = call, {n: np.ascontiguousarray(self._file[n][call]) for n in names}
            days, dt = self._file["time"][call], float(self._file["dt"][call])
        # Days were made of whole microseconds at the least; their round-off is far below.
        seconds = round(float(days) * SECONDS_PER_DAY, 6)
        date = netCDF4.num2date(days, *self._days_of)
        held = {n: x.copy() for n, x in self._last[1].items()}  # whatever somebody does to them
        return held, Now(date=date, step=call, seconds=seconds, dt=dt)

    def inputs(self, scheme: str | None = None) -> tuple[str, ...]:
        """What a scheme reads of the recording; None for the recorded one."""
        chosen = self._chosen(scheme)
        ports = getattr(self._class(chosen), "inputs", ())
        return tuple(p.name for p in ports if p.name in self._names)

    def _chosen(self, scheme: str | None) -> ModelChoice:
        """The recorded scheme, also by its name, has the recorded parameters; others their own."""
        if scheme is None or scheme == self._choice.scheme:
            return self._choice
        return ModelChoice(scheme=scheme)

    def _class(self, chosen: ModelChoice) -> type[Component]:
        if chosen.scheme not in self._classes:
            self._classes[chosen.scheme] = find_scheme(
                self._process, chosen.scheme, self._base, chosen.parameters
            )
        return self._classes[chosen.scheme]

    def answer(
        self, call: int, scheme: str | None = None, changed: Mapping[str, Array] | None = None
    ) -> Answer:
        """What a scheme would have changed at a recorded call, and what it was given.

        Args:
            call: number of the call.
            scheme: any scheme or bundle of the process, alone, without a fallback; None for what
                the recorded one gave in the run, or would have given to other inputs.
            changed: inputs that shall be others than the recorded ones, in the recording's units;
                what it gives is still divided among the recorded layers.

        Raises:
            DataError: when the recording is damaged, or lacks what the scheme reads.
        """
        chosen = self._chosen(scheme)
        held, now = self._held(call)
        cls = self._class(chosen)
        component = cls(cls.Parameters.model_validate(chosen.parameters))
        assert isinstance(component, Tendency)
        host = self._host(held)
        seconds, given = 0.0, held
        if scheme is not None or changed:
            others = {n: np.ascontiguousarray(v, self._dtype) for n, v in (changed or {}).items()}
            read = self._converted(component, {**held, **others})
            began = time.perf_counter()
            given = _called(component, host, read, now)
            seconds = time.perf_counter() - began
        half = held.get("phalf")
        if half is None:
            ps = held.get("ps", np.full(held["lat"].shape, 1.0e5, self._dtype))
            half = np.ascontiguousarray(self._levels.half_pressure(ps), self._dtype)
        rates = {}
        for of in component.tendencies:
            rates[of] = given[tendency_field(self._process, of).name].copy()
        for f in (with_top(f, self._choice.top) for f in component.fluxes):
            rate = host.empty("level", "column")
            capacity = host.planet.cp_dry if f.of == "ta" else 1.0
            flux_tendency(
                given[f.name], half, scale=host.planet.gravity / capacity, top=f.top,
                dump_above=f.dump_above, out=rate, escaped=np.zeros(half.shape[-1]),
            )  # fmt: skip
            rates[f.of] = rates[f.of] + rate if f.of in rates else rate
        return Answer(
            rates=rates, half_pressure=half, held=held, seconds=seconds, counts=component.counts()
            if scheme is not None else {},
        )  # fmt: skip

    def _host(self, held: Mapping[str, Array]) -> Host:
        return Host(
            grid=Grid.column(count=held["lat"].size),
            levels=self._levels,
            planet=Planet(**self._case.planet),
            dtype=self._dtype,
            seed=self._case.seed,
            static={n: held[n] for n in ("lat", "lon")},
        )

    def _converted(self, component: Tendency, held: Mapping[str, Array]) -> dict[str, Array]:
        """What a scheme reads, in its own units."""
        read, absent = dict(held), []
        for port in component.inputs:
            if port.name not in held:
                absent += [] if port.optional else [port.name]
                continue
            factor, offset = conversion(self._units[port.name], port.units)
            if (factor, offset) != (1.0, 0.0):
                read[port.name] = (held[port.name] * factor + offset).astype(self._dtype)
        if absent:
            raise DataError.of(
                "a recording without what the scheme reads",
                str(self.path),
                expected=f"{', '.join(absent)} for {type(component).scheme}",
                found=", ".join(held),
                remedy="record a run in which a scheme reads it",
            )
        return read


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What a scheme gave at one call of a recording."""

    rates: dict[str, Array]
    """Tendency of the state, fluxes divided among the layers [SI s-1], shape [level, column]."""
    half_pressure: Array
    """[Pa], shape [interface, column]."""
    held: dict[str, Array]
    """All that the recording has of this call."""
    seconds: float
    """Time that the call took, setting up included; 0 for what was recorded."""
    counts: Mapping[str, int]
    """What the scheme's guard counted."""


def _built(process: str, choice: Any, case: Case, base: Path) -> Tendency | Diagnostic:
    """A fresh scheme for every call, since its columns are others; with its fallback."""

    def build(chosen: ModelChoice) -> Tendency | Diagnostic:
        cls = find_scheme(process, chosen.scheme, base, chosen.parameters)
        component = cls(cls.Parameters.model_validate(chosen.parameters))
        assert isinstance(component, Tendency | Diagnostic)
        return component

    component = build(choice)
    if choice.reference is not None and hasattr(component, "fallback"):
        component.fallback = build(choice.reference)
    return component


def _called(
    component: Tendency | Diagnostic, host: Host, read: Mapping[str, Array], now: Now
) -> dict[str, Array]:
    component.setup(host)
    x = Arrays(**{p.name: read[p.name] for p in component.inputs if p.name in read})
    diag = Arrays(**{d.name: host.empty(*d.dims) for d in component.diagnostics})
    if isinstance(component, Diagnostic):
        component.compute(x, diag, now)
        return dict(diag.items())
    tend = Arrays(**{of: host.empty("level", "column") for of in component.tendencies})
    flux = Arrays(**{f.name: host.empty("interface", "column") for f in component.fluxes})
    component.compute(x, tend, flux, diag, now)
    named = {tendency_field(component.process, of).name: a for of, a in tend.items()}
    return {**dict(flux.items()), **named, **dict(diag.items())}
