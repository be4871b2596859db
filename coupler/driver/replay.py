"""A recording replayed: the same scheme, offline, on the inputs that it was given in the run.

A recording (`coupler.output.record`) holds its case, so that scheme, parameters, planet and seed
are known; columns are independent of each other and random numbers belong to a place and a time, so
that the recorded sample gives the recorded bits. An emulator that handed a column to its fallback
is the exception: that may depend on calls which are not in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import yaml

from coupler.config import Case, ModelChoice, validate
from coupler.driver.discovery import discover, find_scheme
from coupler.interface.component import Array, Arrays, Host, Now, Tendency
from coupler.interface.constants import SECONDS_PER_DAY, Planet
from coupler.interface.errors import ConfigError, DataError
from coupler.interface.fields import tendency_field
from coupler.interface.grid import Grid, HybridLevels


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
    path, base = Path(path), base or Path()
    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_mask(False)
            return _replay(file, path, base)
    except (OSError, AttributeError, IndexError) as error:
        raise DataError.of(
            "not a recording that can be replayed",
            str(path),
            expected="a file record_PROCESS.nc of this version of Isthmus",
            found=str(error),
            remedy="record it again: isthmus run CASE.yaml --record PROCESS",
        ) from error


def _replay(file: Any, path: Path, base: Path) -> dict[str, Difference]:
    case, problems = validate(yaml.safe_load(file.case))
    if case is None:
        raise ConfigError(*problems)
    process: str = file.process
    choice = case.physics[process]
    problems += discover(case.plugins, base)
    if problems:
        raise ConfigError(*problems)
    names = dict.fromkeys(v.name for v in file.variables.values() if "column" in v.dimensions)
    levels = HybridLevels(a=file["ap"][:], b=file["b"][:], name=str(path.name))
    dtype = file["lat"].dtype
    counts: dict[str, list[float]] = {}
    for call in range(file.dimensions["time"].size):
        read = {n: np.ascontiguousarray(file[n][call]) for n in names if n != "index"}
        component = _built(process, choice, case, base)
        host = Host(
            grid=Grid.column(count=read["lat"].size),
            levels=levels,
            planet=Planet(**case.planet),
            dtype=dtype,
            seed=case.seed,
            static={n: read[n] for n in ("lat", "lon")},
        )
        found = _called(component, host, read, file, call)
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


def _built(process: str, choice: Any, case: Case, base: Path) -> Tendency:
    """A fresh scheme for every call, since its columns are others; with its fallback."""

    def build(chosen: ModelChoice) -> Tendency:
        cls = find_scheme(process, chosen.scheme, base)
        component = cls(cls.Parameters.model_validate(chosen.parameters))
        assert isinstance(component, Tendency)
        return component

    component = build(choice)
    if choice.reference is not None and hasattr(component, "fallback"):
        component.fallback = build(choice.reference)
    return component


def _called(
    component: Tendency, host: Host, read: Mapping[str, Array], file: Any, call: int
) -> dict[str, Array]:
    component.setup(host)
    x = Arrays(**{p.name: read[p.name] for p in component.inputs if p.name in read})
    tend = Arrays(**{of: host.empty("level", "column") for of in component.tendencies})
    flux = Arrays(**{f.name: host.empty("interface", "column") for f in component.fluxes})
    diag = Arrays(**{d.name: host.empty(*d.dims) for d in component.diagnostics})
    days = file["time"]
    # Days were made of whole microseconds at the least; their round-off is far below.
    seconds = round(float(days[call]) * SECONDS_PER_DAY, 6)
    now = Now(
        date=netCDF4.num2date(days[call], days.units, days.calendar),
        step=call,
        seconds=seconds,
        dt=float(file["dt"][call]),
    )
    component.compute(x, tend, flux, diag, now)
    named = {tendency_field(component.process, of).name: a for of, a in tend.items()}
    return {**dict(flux.items()), **named, **dict(diag.items())}
