"""Recordings: columns of a run with what a scheme was given and what it returned.

A recording is a netCDF file with dimensions ``time``, ``lev``, ``ilev``, ``column`` and variables
named as in the fields table, each with ``units``: levels ``(time, lev, column)``, interface fluxes
``(time, ilev, column)``, ``lat (column)`` or ``(time, column)``; the coefficients of the levels,
``ap (ilev)`` [Pa] and ``b (ilev)`` [1]. Global attributes: ``title`` of the case, ``seed`` and
``scheme``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coupler.interface.errors import DataError, Problem
from coupler.interface.fields import FIELDS, Field
from coupler.interface.grid import HybridLevels
from coupler.interface.units import conversion, convertible
from emulators.bundle import same_levels, sha256
from emulators.schema import Levels, Source

_DIMENSION = {"level": "lev", "interface": "ilev", "column": None}


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """Columns of one recording, later times last; all in the units of the fields table."""

    fields: dict[str, Tensor]
    """float32, shape [level|interface, n], or [n]."""
    levels: Levels
    source: Source
    times: int
    days: NDArray[np.float64]
    """Time of each call since the first one of the file [day], shape [times]."""
    fixed: bool = True
    """Whether the columns are the same ones at every call."""

    @property
    def n(self) -> int:
        """Number of columns."""
        return next(iter(self.fields.values())).shape[-1]

    def take(self, index: Tensor | slice) -> dict[str, Tensor]:
        """Fields of some columns."""
        return {k: v[..., index] for k, v in self.fields.items()}


def read_recording(
    path: Path | str, names: Sequence[str], *, role: str = "train", skip_days: float = 0.0
) -> Columns:
    """Reads the variables `names` of a recording.

    Raises:
        DataError: for a missing or truncated file and every missing variable, wrong unit, wrong
            dimension or value that is not finite, all at once.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError.of("no such recording", str(path), remedy="make it, or correct the path")
    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_mask(False)
            return _read(file, path, names, role, skip_days)
    except (OSError, RuntimeError) as error:
        raise DataError.of(
            "not readable as netCDF", str(path), found=str(error), remedy="record it again"
        ) from error


def _read(file: Any, path: Path, names: Sequence[str], role: str, skip_days: float) -> Columns:
    problems: list[Problem] = []

    def wrong(what: str, name: str, expected: str = "", found: str = "") -> None:
        problems.append(Problem(what=what, name=f"{path}: {name}", expected=expected, found=found))

    for dim in ("time", "lev", "ilev", "column"):
        if dim not in file.dimensions:
            wrong("missing dimension", dim)
    for name in ("ap", "b"):
        if name not in file.variables:
            wrong("missing variable", name, "coefficients of the interfaces")
    if problems:
        raise DataError(*problems)
    levels = _named(
        Levels(
            a=np.asarray(file["ap"][:], np.float64).tolist(),
            b=np.asarray(file["b"][:], np.float64).tolist(),
        )
    )
    ntime = len(file.dimensions["time"])
    if len(file.dimensions["lev"]) != levels.nlev:
        wrong("wrong length", "lev", str(levels.nlev), str(len(file.dimensions["lev"])))
    days = _days(file) if "time" in file.variables else np.arange(ntime, dtype=np.float64)
    first = int(np.searchsorted(days, skip_days)) if skip_days > 0.0 else 0
    if first >= ntime:
        wrong("no time left", "time", f"more than {skip_days:g} days", f"{ntime} times")
    fields = {}
    for name in names:
        field = FIELDS[name]
        if name not in file.variables:
            wrong("missing variable", name)
            continue
        variable = file.variables[name]
        units = str(_attribute(variable, "units", ""))
        if not convertible(units, field.units):
            wrong("wrong unit", name, field.units, units or "none")
            continue
        vertical = _DIMENSION[field.dims[0]]
        allowed = [("time", vertical, "column")] if vertical else [("time", "column"), ("column",)]
        if variable.dimensions not in allowed:
            wrong("wrong dimensions", name, str(allowed[0]), str(variable.dimensions))
            continue
        values = _columns_last(variable, field, units, first, ntime)
        if not bool(torch.isfinite(values).all()):
            wrong("values that are not finite", name)
        fields[name] = values
    if problems:
        raise DataError(*problems)
    seed = _attribute(file, "seed", None)
    source = Source(
        file=path.name,
        sha256=sha256(path),
        case=str(_attribute(file, "title", "unknown")),
        scheme=str(_attribute(file, "scheme", "unknown")),
        seed=None if seed is None else int(seed),
        times=ntime - first,
        columns=len(file.dimensions["column"]),
        role="test" if role == "test" else "train",
    )
    return Columns(
        fields=fields,
        levels=levels,
        source=source,
        times=ntime - first,
        days=days[first:],
        fixed="index" not in file.variables or not np.diff(file["index"][first:], axis=0).any(),
    )


def _named(levels: Levels) -> Levels:
    """The same levels, by the name that a case gives them where it has one."""
    for name in (f"hybrid{levels.nlev}", f"sigma{levels.nlev}"):
        if same_levels(HybridLevels.named(name), levels.hybrid()):
            return levels.model_copy(update={"name": name})
    return levels


def _attribute(owner: Any, name: str, default: Any) -> Any:
    return owner.getncattr(name) if name in owner.ncattrs() else default


def _days(file: Any) -> NDArray[np.float64]:
    """Time since the first call [day]."""
    time = file.variables["time"]
    unit = str(_attribute(time, "units", "days")).split()[0]
    factor = {"seconds": 86400.0, "hours": 24.0, "days": 1.0}.get(unit, 1.0)
    values = np.asarray(time[:], np.float64)
    return np.asarray((values - values[:1]) / factor, np.float64)


def _columns_last(variable: Any, field: Field, units: str, first: int, ntime: int) -> Tensor:
    """Values in the unit of `field`, shape [level, time x column] or [time x column]."""
    if variable.dimensions == ("column",):
        values = np.tile(np.asarray(variable[:]), ntime - first)
    else:
        values = np.asarray(variable[first:])
        values = np.moveaxis(values, 0, -2).reshape(*values.shape[1:-1], -1)
    factor, offset = conversion(units, field.units)
    if (factor, offset) != (1.0, 0.0):
        values = values * factor + offset
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def refuse_duplicates(sources: Iterable[Source]) -> None:
    """The same data twice, or a test that was trained on, would flatter the skill.

    Raises:
        DataError: naming both.
    """
    sources = list(sources)
    problems = []
    for i, one in enumerate(sources):
        for other in sources[:i]:
            run = (one.case, one.scheme, one.seed)
            known = one.seed is not None and one.case != "unknown"
            if one.sha256 == other.sha256 or (
                known and run == (other.case, other.scheme, other.seed) and one.role != other.role
            ):
                problems.append(
                    Problem(
                        what="the same recording twice",
                        name=f"{other.role} {other.file} and {one.role} {one.file}",
                        expected="different runs",
                        found=f"case {one.case}, seed {one.seed}",
                        remedy="give another seed or start to one of them",
                    )
                )
    if problems:
        raise DataError(*problems)


def refuse_leaks(training: Sequence[Columns], test: Columns) -> None:
    """Two runs with different seeds may be the same run: each must have columns of its own.

    Raises:
        DataError: when more than one column of a recording in a hundred is in another one, a
            short one within a long one as well as the other way round.
    """
    keys = [_keys(r) for r in (*training, test)]
    everything = [*training, test]
    for j, one in enumerate(everything):
        for i, other in enumerate(everything[:j]):
            share = max(
                float(np.isin(a, b).mean()) for a, b in ((keys[j], keys[i]), (keys[i], keys[j]))
            )
            if share > 0.01:
                raise DataError.of(
                    "the test recording repeats a training recording"
                    if j == len(training)
                    else "two training recordings overlap",
                    f"{one.source.file} and {other.source.file}",
                    expected="a run that differs",
                    found=f"{100.0 * share:.0f} % of the columns of one are in the other",
                    remedy="give it another start, or skip the days before the runs part",
                )


def _keys(recording: Columns) -> NDArray[Any]:
    """Bits of a column's first field at three levels, as one number."""
    values = next(v for v in recording.fields.values() if v.dim() == 2)
    rows = [values.shape[0] // 4, values.shape[0] // 2, values.shape[0] - 1]
    bits = values[rows].numpy().view(np.uint32).astype(np.uint64)
    mixed = bits[0] * np.uint64(0x9E3779B97F4A7C15) + bits[1] * np.uint64(0xC2B2AE3D27D4EB4F)
    return np.asarray(mixed ^ (bits[2] << np.uint64(17)))


def refuse_other_levels(recordings: Sequence[Columns]) -> None:
    """All recordings must be on the same levels.

    Raises:
        DataError: naming the first one that differs.
    """
    first = recordings[0]
    for other in recordings[1:]:
        if not same_levels(first.levels.hybrid(), other.levels.hybrid()):
            raise DataError.of(
                "recordings on different levels",
                f"{first.source.file} and {other.source.file}",
                expected=f"{first.levels.nlev} levels {first.levels.name!r}",
                found=f"{other.levels.nlev} levels {other.levels.name!r}",
            )


def fingerprint(sources: Iterable[Source]) -> str:
    """SHA-256 over the SHA-256 of all sources, in the order of their roles and hashes."""
    text = "\n".join(sorted(f"{s.role} {s.sha256}" for s in sources))
    return hashlib.sha256(text.encode()).hexdigest()


def split(
    recording: Columns, validation: float, block: float | None = None
) -> tuple[Tensor | slice, Tensor | slice]:
    """Columns for fitting and for validation: the *last* times of a run validate, or blocks of it.

    Neighbouring times are nearly alike, so a random choice would validate on what was fitted. Half
    a block beside a block that validates is used for neither.

    Args:
        recording: of one run.
        validation: share of it that validates.
        block: length of the blocks [day]; None for the end of the run.

    Raises:
        DataError: for a run that is too short for blocks.
    """
    per_time = recording.n // recording.times
    if block is None:
        kept = max(1, min(recording.times - 1, round(recording.times * (1.0 - validation))))
        return slice(0, kept * per_time), slice(kept * per_time, recording.n)
    fitted, chosen = split_times(recording.days, validation, block, recording.source.file)

    def columns(times: NDArray[np.bool_]) -> Tensor:
        start = np.flatnonzero(times)[:, None] * per_time
        return torch.from_numpy((start + np.arange(per_time)).reshape(-1))

    return columns(fitted), columns(chosen)


def split_times(
    days: NDArray[np.float64], validation: float, block: float, name: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which calls of a run are fitted, and which validate in blocks of `block` days.

    Args:
        days: time of each call [day], shape [times].
        validation: share that validates.
        block: length of the blocks [day].
        name: of the recording.

    Raises:
        DataError: for a run that is too short.
    """
    days = days - days[0]
    every = max(2, round(1.0 / validation))
    middles = np.arange(every // 2 + 0.5, days[-1] / block + 0.5, every) * block
    away = np.abs(days[:, None] - middles).min(axis=1, initial=np.inf)
    chosen, fitted = away < 0.5 * block, away >= block
    if not (chosen.any() and fitted.any()):
        raise DataError.of(
            "recording too short for blocks of validation",
            name,
            expected=f"at least {(every // 2 + 1) * block:g} days",
            found=f"{days[-1]:g} days",
            remedy="record more, or give a smaller validation_block",
        )
    return fitted, chosen


def joined(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Several sets of columns as one."""
    return {k: torch.cat([p[k] for p in parts], dim=-1) for k in parts[0]}


def thinned(fields: dict[str, Tensor], most: int, together: int = 1) -> dict[str, Tensor]:
    """Every s-th column, or map of `together` columns, so that at most `most` columns are left."""
    n = next(iter(fields.values())).shape[-1]
    step = -(-n // max(most, together))
    if step == 1:
        return fields
    if together == 1:
        return {k: v[..., ::step].contiguous() for k, v in fields.items()}
    maps = torch.arange(0, n // together, step)
    index = (maps[:, None] * together + torch.arange(together)).reshape(-1)
    return {k: v[..., index] for k, v in fields.items()}
