"""Going on with a run: the newest good restart in its folder, and what is left to do."""

from __future__ import annotations

import json
from dataclasses import replace

from coupler.config import Case, read_yaml, validate
from coupler.driver.state import differences
from coupler.interface.errors import ConfigError
from coupler.interface.parallel import Parallel
from coupler.output import restart
from coupler.output.folder import RunFolder
from coupler.parallel.agreement import from_first


def find(folder: RunFolder, case: Case, fingerprint: str, parallel: Parallel) -> restart.Restart:
    """The newest good restart of the folder; rank 0 has its arrays.

    Raises:
        ConfigError: when it is of another case.
        DataError: when all are damaged, or what differs is not known.
    """
    read: list[restart.Restart] = []

    def on_first() -> restart.Restart:
        read.append(_newest(folder, case, fingerprint))
        return replace(read[0], arrays={})

    told = from_first(parallel, on_first)
    return read[0] if read else told


def _newest(folder: RunFolder, case: Case, fingerprint: str) -> restart.Restart:
    found = restart.newest_good(folder.restart)
    if found.moment.case == fingerprint:
        return found
    before = validate(read_yaml(folder.case))[0] if folder.case.is_file() else None
    differ = differences(before, case) if before is not None else []
    if differ:
        raise ConfigError(*differ)
    return restart.read(found.path, case=fingerprint)


def nothing_to_do(
    folder: RunFolder,
    days: float,
    found: restart.Restart,
    steps_per_day: float,
    parallel: Parallel,
) -> str:
    """Says that the run in `folder` is complete; empty when something is left to do.

    A run that was killed between its last restart and its record has the record left to do.

    Args:
        folder: of the run.
        days: its length by the case [day].
        found: its newest restart.
        steps_per_day: of the atmosphere.
        parallel: the ranks of the run.

    Raises:
        ConfigError: when the run is beyond `days` already.
    """
    day = found.moment.seconds / 86400.0
    left = round((days - day) * steps_per_day)
    if left < 0:
        raise ConfigError.of(
            "the run is beyond the days asked for",
            str(folder.path),
            expected=f"days from {day:g} on",
            found=f"{days:g}",
            remedy="raise --days, or give another --out",
        )
    if left or not from_first(parallel, lambda: _recorded(folder, found.moment.step)):
        return ""
    return (
        f"nothing to do: the run in {folder.path} is at day {day:g} of {days:g}; "
        "raise --days to go on"
    )


def _recorded(folder: RunFolder, step: int) -> bool:
    """Whether the record in the folder is that of a run which is complete with this step."""
    try:
        record = json.loads(folder.report.read_text(encoding="utf-8"))
        return bool(record["outcome"] == "complete" and record["steps"] == step)
    except (OSError, ValueError, KeyError, TypeError):
        return False
