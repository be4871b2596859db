"""``isthmus evaluate``: a bundle against the scheme that a recording was made with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from coupler.driver.discovery import bundle_path
from coupler.driver.replay import RecordedScheme
from coupler.interface.component import Array
from coupler.interface.errors import ConfigError, CouplerError, nearest


def evaluate(
    bundle: str,
    recording: Path,
    *,
    out: Path | None = None,
    skip_days: float = 0.0,
    with_grafts: bool = True,
    base: Path | None = None,
) -> Any:
    """Climbs the evaluation ladder, prints it and, with `out`, writes picture and numbers.

    Args:
        bundle: folder or name of a bundle.
        recording: of a run with the scheme that it emulates.
        out: folder of ``evaluation.png`` and ``evaluation.json``.
        skip_days: at the start of the recording that are left out.
        with_grafts: call the recorded scheme on changed columns, for the graft tests.
        base: folder that plugins and bundles of the recorded case are relative to.

    Returns:
        An ``emulators.evaluation.Evaluation``.

    Raises:
        ConfigError: for no such bundle.
        DataError: for a bundle or recording that is damaged, or one that does not fit the other.
    """
    from rich.console import Console

    base = base or Path()
    folder = bundle_path(bundle, base)
    if folder is None:
        shipped = import_module("coupler.driver.discovery").shipped_bundles()
        raise ConfigError.of("no such bundle", bundle, remedy=nearest(bundle, shipped))
    climb = import_module("emulators.evaluation").evaluate
    recorded, why = None, "not wanted"
    if with_grafts:
        try:
            recorded = RecordedScheme(recording, base)
        except CouplerError as error:  # the rest of the ladder needs no scheme
            why = str(error)
    if recorded is None:
        found = climb(folder, recording, skip_days=skip_days)
        found.notes.append(f"why: {why}")
    else:
        with recorded as scheme:
            found = climb(folder, recording, truth=_truth(scheme), skip_days=skip_days)
    report = import_module("emulators.evaluation.report")
    report.print_evaluation(Console(), found)
    if out is not None:
        report.draw(found, out / "evaluation.png")
        report.write_json(found, out / "evaluation.json")
    return found


def _truth(scheme: RecordedScheme) -> Callable[[int, Mapping[str, Array]], dict[str, Array]]:
    def truth(call: int, changed: Mapping[str, Array]) -> dict[str, Array]:
        return scheme.call(call, changed)[0]

    return truth
